//! Values of all lengths at which something else becomes of them: in a frame or outside, a unit or a page more.

mod common;

use std::sync::Arc;

use common::{Model, Random, contents, seed};
use holt_engine::disk::SimDisk;
use holt_engine::{Db, Options};

/// Bytes of a page, and of the units that are less than one.
const PAGE: usize = 4096;
const UNIT: usize = 256;
/// Times that each length is there: together they are more than the cache.
const TIMES: usize = 24;

/// Around the longest that is put into a frame, around the longest that ever was, and around whole
/// units and pages.
fn lengths() -> Vec<usize> {
    let mut around = vec![3_000, 3_568, 1 << 20];
    around.extend((2_816..=2 * PAGE + UNIT).step_by(UNIT));
    around.extend([3 * PAGE - UNIT, 3 * PAGE, 4 * PAGE]);
    let mut lengths: Vec<usize> = around.iter().flat_map(|at| at - 1..=at + 1).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

fn options(cache: u64) -> Options {
    let mut options = Options::new();
    options.cache_bytes(cache).segment_bytes(4 << 20);
    options
}

fn value(n: usize, length: usize, salt: u64) -> Vec<u8> {
    let mut random = Random::new((n as u64) << 32 | salt);
    (0..length).map(|_| random.next() as u8).collect()
}

struct Lengths {
    disk: SimDisk,
    db: Option<Db<SimDisk>>,
    model: Model,
    cache: u64,
}

impl Lengths {
    fn db(&self) -> &Db<SimDisk> {
        self.db.as_ref().expect("open between actions")
    }

    fn put(&mut self, n: usize, length: usize, salt: u64) {
        let (key, value) = (format!("d{:02}/f{n:06}", n % 16).into_bytes(), value(n, length, salt));
        self.db().default_tree().put(&key, &value).unwrap();
        self.model.insert(key, value);
    }

    /// Opens what there is, or what a killed process leaves.
    fn reopen(&mut self, killed: bool) {
        let db = self.db.take().expect("open between actions");
        if killed {
            db.sync().unwrap();
            self.disk = self.disk.kill();
            drop(db);
        } else {
            db.close().unwrap();
        }
        self.db = Some(options(self.cache).open_on(Arc::new(self.disk.clone())).unwrap());
    }

    fn check(&self) {
        for (key, value) in &self.model {
            let found = self.db().default_tree().get(key).unwrap();
            assert!(found.as_ref() == Some(value), "{} of {}", key.escape_ascii(), value.len());
        }
        assert!(contents(&self.db().default_tree()).unwrap() == self.model);
        let report = self.db().verify().unwrap();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
    }
}

#[test]
fn values_of_all_lengths_come_back_from_the_log_and_from_checkpoints() {
    // All at once in memory, and a part.
    for cache in [256 << 20, 8 << 20] {
        let disk = SimDisk::new(seed(1));
        let db = Some(options(cache).open_on(Arc::new(disk.clone())).unwrap());
        let mut lengths = Lengths { disk, db, model: Model::new(), cache };
        let all = self::lengths();
        let short: Vec<usize> = all.iter().copied().filter(|length| *length < 1 << 19).collect();
        for n in 0..TIMES * short.len() {
            lengths.put(n, short[n % short.len()], 0);
        }
        for (n, &length) in all.iter().enumerate().skip(short.len()) {
            lengths.put(1_000_000 + n, length, 0);
        }
        lengths.check();
        // Out of the log, then out of a checkpoint.
        lengths.reopen(true);
        lengths.check();
        lengths.db().checkpoint().unwrap();
        lengths.reopen(false);
        lengths.check();
        // Each becomes one of another length, some are gone, and a snapshot has them all as they were.
        let (before, snapshot) = (lengths.model.clone(), lengths.db().snapshot().unwrap());
        for n in 0..TIMES * short.len() {
            match n % 5 {
                0 => lengths.put(n, short[(n * 7 + 3) % short.len()], 1),
                1 => lengths.put(n, short[n % short.len()], 2),
                2 => {
                    let key = format!("d{:02}/f{n:06}", n % 16).into_bytes();
                    assert!(lengths.db().default_tree().delete(&key).unwrap());
                    lengths.model.remove(&key);
                }
                _ => {}
            }
            if n == TIMES * short.len() / 2 {
                lengths.db().checkpoint().unwrap();
                lengths.db().compact().unwrap();
            }
        }
        let tree = snapshot.default_tree().unwrap();
        for (key, value) in before.iter().step_by(3) {
            assert!(tree.get(key).unwrap().as_ref() == Some(value), "{}", key.escape_ascii());
        }
        drop((tree, snapshot));
        lengths.check();
        lengths.reopen(true);
        lengths.check();
        lengths.db().checkpoint().unwrap();
        lengths.reopen(false);
        lengths.check();
    }
}
