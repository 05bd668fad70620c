//! Fill of the frames under lasting change: keys come, go and are resized.

use holt_art::{Art, Pool};

use crate::shapes::{Random, empty_map, keys};

/// Rounds of deleting half of the keys, creating as many and resizing some.
const ROUNDS: usize = 10;

/// A tree and which of the keys are in it.
struct Churn {
    map: Art,
    random: Random,
    /// All keys in their order.
    all: Vec<Vec<u8>>,
    present: Vec<bool>,
    length: usize,
    /// What each present key's value has, in bytes.
    lengths: Vec<usize>,
    value: Vec<u8>,
}

impl Churn {
    fn new(shape: &str, count: usize) -> Self {
        // Twice as many keys as are ever present, so that half of those created are new.
        let (mut all, length) = keys(shape, 2 * count);
        all.sort();
        all.dedup();
        let present = vec![false; all.len()];
        let lengths = vec![0; all.len()];
        let value = vec![0x5A; 4 * length];
        let map = empty_map();
        Self { map, random: Random(42), all, present, length, lengths, value }
    }

    fn indices(&self, present: bool) -> Vec<usize> {
        (0..self.all.len()).filter(|&index| self.present[index] == present).collect()
    }

    fn put(&mut self, index: usize, length: usize) {
        self.map.put(&self.all[index], &self.value[..length]).expect("memory");
        self.present[index] = true;
        self.lengths[index] = length;
    }

    fn remove(&mut self, index: usize) {
        self.map.remove(&self.all[index]).expect("memory");
        self.present[index] = false;
    }

    fn create(&mut self, count: usize) {
        let mut absent = self.indices(false);
        self.random.shuffle(&mut absent);
        for index in absent.into_iter().take(count) {
            let length = self.length;
            self.put(index, length);
        }
    }

    fn remove_at_random(&mut self, count: usize) {
        let mut present = self.indices(true);
        self.random.shuffle(&mut present);
        for index in present.into_iter().take(count) {
            self.remove(index);
        }
    }

    /// Removes stretches of neighbouring keys, as if directories of several sizes went.
    fn remove_directories(&mut self, count: usize) {
        let mut gone = 0;
        while gone < count {
            let size = 1 << (4 + self.random.below(10));
            let first = self.random.below(self.all.len());
            for index in first..(first + size).min(self.all.len()) {
                if self.present[index] && gone < count {
                    self.remove(index);
                    gone += 1;
                }
            }
        }
    }

    /// Gives a quarter of the present keys values of another length.
    fn resize(&mut self) {
        let mut present = self.indices(true);
        self.random.shuffle(&mut present);
        present.truncate(present.len() / 4);
        for index in present {
            let length = self.random.below(3 * self.length);
            self.put(index, length);
        }
    }

    fn report(&self, label: &str) {
        let stats = self.map.tree().pool().stats();
        let payload: usize = self
            .indices(true)
            .iter()
            .map(|&index| self.all[index].len() + self.lengths[index])
            .sum();
        println!(
            "  {label:<34} fill {:.3}, {:>5} frames, memory/payload {:.3}",
            stats.fill(),
            stats.frames,
            (stats.frames * Pool::FRAME_BYTES as u64) as f64 / payload.max(1) as f64,
        );
    }
}

/// Prints the fill of a shape under change.
pub(crate) fn run(shape: &str, count: usize) {
    let mut churn = Churn::new(shape, count);
    let count = count.min(churn.all.len() / 2);
    println!("{shape}, {count} keys, under change");
    churn.create(count);
    churn.report("loaded at random");
    for round in 1..=ROUNDS {
        let by_directory = round % 2 == 0;
        if by_directory {
            churn.remove_directories(count / 2);
        } else {
            churn.remove_at_random(count / 2);
        }
        let how = if by_directory { "by directory" } else { "at random" };
        churn.report(&format!("round {round}, half gone {how}"));
        churn.create(count / 2);
        churn.report(&format!("round {round}, as many created"));
        churn.resize();
        churn.report(&format!("round {round}, a quarter resized"));
    }
    for tenth in (1..10).rev() {
        let present = churn.indices(true).len();
        churn.remove_at_random(present - count * tenth / 10);
        churn.report(&format!("shrunk to {} %", tenth * 10));
    }
    churn.remove_at_random(usize::MAX);
    churn.report("all removed");
    assert_eq!(churn.map.verify(), []);
}
