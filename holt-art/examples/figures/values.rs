//! Memory that large values take, after a load and under lasting change.

use holt_art::{Art, PoolOptions};

use crate::resident::resident;
use crate::shapes::Random;

/// Lengths in bytes: of all values, or of the shortest and the longest, with as many of each power of two.
pub(crate) const LENGTHS: [&str; 16] = [
    "1000",
    "1500",
    "2100",
    "3000",
    "4000",
    "4200",
    "5000",
    "6000",
    "8300",
    "10000",
    "20000",
    "65000",
    "1048576",
    "1024-4096",
    "1024-65536",
    "1024-1048576",
];

/// How often what is in the map is replaced.
const ROUNDS: usize = 24;

/// How long values are.
#[derive(Clone, Copy)]
struct Lengths {
    shortest: usize,
    longest: usize,
    /// Whether short ones are as many as long ones, rather than what all lengths have in common.
    by_doubling: bool,
}

impl Lengths {
    fn new(shape: &str) -> Self {
        let number = |text: &str| text.parse().expect("lengths in bytes, as 5000 or 1024-65536");
        match shape.split_once('-') {
            Some((from, to)) => {
                Self { shortest: number(from), longest: number(to), by_doubling: true }
            }
            None => Self { shortest: number(shape), longest: number(shape), by_doubling: false },
        }
    }

    /// As long on average, from half to one and a half.
    fn spread(self) -> Self {
        Self { shortest: self.shortest / 2, longest: self.longest * 3 / 2, ..self }
    }

    fn pick(self, random: &mut Random) -> usize {
        if !self.by_doubling {
            return self.shortest + random.below(self.longest - self.shortest + 1);
        }
        let doublings = (self.longest as f64 / self.shortest as f64).log2();
        let share = random.below(1 << 24) as f64 / (1 << 24) as f64;
        (self.shortest as f64 * (doublings * share).exp2()) as usize
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("bucket/{number:016x}").into_bytes()
}

/// A map of values, and what is in it.
struct Values {
    map: Art,
    random: Random,
    /// What the key is made of, and the length of the value.
    records: Vec<(u64, u32)>,
    payload: usize,
    value: Vec<u8>,
    /// Resident memory before the map.
    before: u64,
}

impl Values {
    fn new() -> Self {
        let (random, records, value) =
            (Random(42), Vec::with_capacity(1 << 20), vec![0x5A; 2 << 20]);
        let before = resident();
        let map = Art::with_options(PoolOptions::with_bytes(4 << 30, 4 << 30)).expect("memory");
        Self { map, random, records, payload: 0, value, before }
    }

    /// Puts values until there are so many bytes.
    fn fill(&mut self, bytes: usize, lengths: Lengths) {
        loop {
            let length = lengths.pick(&mut self.random);
            let number = self.random.next();
            let key = key(number);
            if self.payload + key.len() + length > bytes {
                return;
            }
            self.map.put(&key, &self.value[..length]).expect("memory");
            self.payload += key.len() + length;
            self.records.push((number, length as u32));
        }
    }

    /// Replaces so many bytes, a value or a few at a time.
    fn churn(&mut self, bytes: usize, lengths: Lengths) {
        let (full, mut replaced) = (self.payload, 0);
        while replaced < bytes {
            let at = self.random.below(self.records.len());
            let (number, length) = self.records.swap_remove(at);
            let key = key(number);
            self.map.remove(&key).expect("memory");
            self.payload -= key.len() + length as usize;
            replaced += length as usize;
            self.fill(full, lengths);
        }
    }

    /// Memory by the pool's account over payload, and that by the system's.
    fn ratios(&self) -> [f64; 2] {
        let stats = self.map.tree().pool().stats();
        let taken = resident() - self.before;
        [stats.slot_bytes + stats.blob_bytes, taken].map(|bytes| bytes as f64 / self.payload as f64)
    }
}

/// Prints memory over payload for `count` MiB of values of these lengths.
pub(crate) fn run(shape: &str, count: usize) {
    let lengths = Lengths::new(shape);
    let bytes = count << 20;
    let ways: &[(&str, Lengths)] = match lengths.by_doubling {
        true => &[("as long", lengths)],
        false => &[("as long", lengths), ("half to one and a half", lengths.spread())],
    };
    for &(way, later) in ways {
        let mut values = Values::new();
        values.fill(bytes, lengths);
        let [loaded, loaded_resident] = values.ratios();
        let (mut worst, mut worst_resident) = (0_f64, 0_f64);
        for _ in 0..ROUNDS {
            values.churn(bytes, later);
            let [now, resident] = values.ratios();
            (worst, worst_resident) = (worst.max(now), worst_resident.max(resident));
        }
        println!(
            "{shape:>12} B: memory/payload {loaded:.3} loaded, {worst:.3} at worst replaced {ROUNDS} times \
             by values {way}; resident {loaded_resident:.3}, {worst_resident:.3}; fill of frames {:.3}",
            values.map.tree().pool().stats().fill(),
        );
        assert_eq!(values.map.verify(), []);
    }
}
