//! Lists beside a writer: what stays throughout is told once, in order, and every value whole.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use holt_art::{Art, Scan};

use crate::random::Random;

/// What is listed, and what a writer does meanwhile.
pub(crate) struct Beside<'a> {
    pub(crate) keys: &'a [Vec<u8>],
    /// Whether a key stays, and only its values change; others come and go.
    pub(crate) stays: fn(&[u8]) -> bool,
    /// A value of a key, one of many.
    pub(crate) value: fn(&[u8], u64) -> Vec<u8>,
    /// Whether a value is one of the key's.
    pub(crate) is_value: fn(&[u8], &[u8]) -> bool,
    /// Which of the keys that stay, in order, half of all changes are among, and short lists read.
    pub(crate) near: RangeInclusive<usize>,
    /// Lists of everything, and short ones for each of them.
    pub(crate) lists: (usize, usize),
}

/// Tells the writer to end, also when a list was wrong.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Beside<'_> {
    /// Puts all keys, and lists them in either direction while a writer changes them.
    pub(crate) fn run(&self, seed: u64) {
        let (map, mut random) = (Art::new().unwrap(), Random::new(seed));
        for key in self.keys {
            map.put(key, &(self.value)(key, random.next())).unwrap();
        }
        let mut stable: Vec<Vec<u8>> =
            self.keys.iter().filter(|key| (self.stays)(key)).cloned().collect();
        stable.sort();
        stable.dedup();
        let (low, high) = (&stable[*self.near.start()], &stable[*self.near.end()]);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.write(&map, low..=high, seed + 1, &over));
            let _ends = Ends(&over);
            for round in 0..self.lists.0 {
                let reverse = round % 2 == 1;
                self.list(&map, Scan::all().reverse(reverse), &stable);
                for _ in 0..self.lists.1 {
                    let range = Scan::range(low.as_slice()..=high.as_slice());
                    self.list(&map, range.reverse(reverse), &stable[self.near.clone()]);
                }
            }
        });
        assert_eq!(map.verify(), []);
    }

    fn write(&self, map: &Art, near: RangeInclusive<&Vec<u8>>, seed: u64, over: &AtomicBool) {
        let near: Vec<&Vec<u8>> = self.keys.iter().filter(|key| near.contains(key)).collect();
        let mut random = Random::new(seed);
        while !over.load(Ordering::Relaxed) {
            let key = match random.below(2) {
                0 => &self.keys[random.below(self.keys.len() as u64) as usize],
                _ => near[random.below(near.len() as u64) as usize],
            };
            if (self.stays)(key) || random.below(2) == 0 {
                map.put(key, &(self.value)(key, random.next())).unwrap();
            } else {
                map.remove(key).unwrap();
            }
        }
    }

    fn list(&self, map: &Art, scan: Scan, expected: &[Vec<u8>]) {
        let mut names = Vec::new();
        let reverse = scan.is_reverse();
        let ended = map.scan(scan).visit::<()>(|entry| {
            let (key, shown) = (entry.name(), entry.value().unwrap_or_default());
            assert!((self.is_value)(key, shown), "{key:?}");
            if (self.stays)(key) {
                names.push(key.to_vec());
            }
            ControlFlow::Continue(())
        });
        assert!(ended.unwrap().is_continue());
        if reverse {
            names.reverse();
        }
        assert!(names == expected, "{} of {}", names.len(), expected.len());
    }
}
