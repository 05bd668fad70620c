//! Databases whose large values take ten times their cache.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Model, Random, contents, seed};
use holt_engine::disk::{CrashPattern, Fault, Operation, SimDisk, Target, Trigger};
use holt_engine::{
    Db, Durability, Error, ImportOptions, MAX_VALUE, Moved, Options, Renamed, Tree, verify_on,
};

/// Bytes of the cache: the least there is.
const CACHE: u64 = 8 << 20;
/// Keys with values of ten times as much.
const KEYS: u32 = 2_400;
/// The data file is called so.
const DATA: &str = "DATA";

fn options() -> Options {
    let mut options = Options::new();
    options.cache_bytes(CACHE).segment_bytes(4 << 20);
    options
}

fn key(n: u32) -> Vec<u8> {
    format!("d{:02}/f{n:06}", n / 100).into_bytes()
}

/// Most are too large for a frame.
fn value(n: u32, salt: u64) -> Vec<u8> {
    let mut random = Random::new(u64::from(n) << 32 | salt);
    let length = if random.below(10) == 0 { 100 } else { 4_100 + random.below(75_000) as usize };
    (0..length).map(|_| random.next() as u8).collect()
}

struct Values {
    disk: SimDisk,
    db: Option<Db<SimDisk>>,
    model: Model,
}

impl Values {
    fn load(seed: u64, options: &Options) -> Values {
        let disk = SimDisk::new(seed);
        let db = options.open_on(Arc::new(disk.clone())).unwrap();
        let mut model = Model::new();
        for n in 0..KEYS {
            let (key, value) = (key(n), value(n, 0));
            db.default_tree().put(&key, &value).unwrap();
            model.insert(key, value);
        }
        assert!(model.values().map(Vec::len).sum::<usize>() as u64 > 10 * CACHE);
        Values { disk, db: Some(db), model }
    }

    fn new(seed: u64) -> Values {
        let mut values = Values::load(seed, &options());
        values.db().checkpoint().unwrap();
        values.reopen();
        values
    }

    fn db(&self) -> &Db<SimDisk> {
        self.db.as_ref().expect("open between actions")
    }

    fn tree(&self) -> Tree<SimDisk> {
        self.db().default_tree()
    }

    fn reopen(&mut self) {
        self.db.take().expect("open between actions").close().unwrap();
        self.open(self.disk.clone());
    }

    fn open(&mut self, disk: SimDisk) {
        self.db = None;
        self.disk = disk;
        self.db = Some(options().open_on(Arc::new(self.disk.clone())).unwrap());
        self.check_memory();
    }

    fn check_memory(&self) {
        let stats = self.db().stats().unwrap();
        assert!(stats.memory_bytes <= CACHE, "{stats:?}");
    }

    fn get(&self, key: &[u8]) {
        let found = self.tree().get(key).unwrap();
        assert!(found.as_ref() == self.model.get(key), "{}", key.escape_ascii());
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.tree().put(key, value).unwrap();
        self.model.insert(key.to_vec(), value.to_vec());
    }

    fn reads(&self, what: impl FnOnce()) -> u64 {
        let before = self.db().stats().unwrap().cache.reads;
        what();
        self.db().stats().unwrap().cache.reads - before
    }

    fn check(&self) {
        assert!(contents(&self.tree()).unwrap() == self.model);
        let report = self.db().verify().unwrap();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
    }
}

#[test]
fn large_values_of_ten_times_the_cache_are_what_a_map_has() {
    let seed = seed(1);
    let mut random = Random::new(seed);
    let mut values = Values::new(seed);
    let stats = values.db().stats().unwrap();
    assert!(
        stats.cache.reads < 8 && stats.cache.absent_values > 2_000,
        "nothing is read: {stats:?}"
    );
    for round in 0..2_000_u64 {
        let n = random.below(u64::from(KEYS) + 100) as u32;
        let tree = values.tree();
        match random.below(1000) {
            0..450 => values.get(&key(n)),
            450..650 => values.put(&key(n), &value(n, round)),
            650..800 => {
                let was = tree.delete(&key(n)).unwrap();
                assert_eq!(was, values.model.remove(&key(n)).is_some());
            }
            800..850 => {
                let prefix = &key(n)[..8];
                let found: Vec<_> = tree.prefix(prefix).into_iter().map(Result::unwrap).collect();
                let below = values.model.iter().filter(|(key, _)| key.starts_with(prefix));
                let found = found.into_iter().map(|entry| entry.into_record().unwrap());
                assert!(found.eq(below.map(|(key, value)| (key.clone(), value.clone()))));
            }
            850..880 => {
                let (from, to) = (key(n), format!("renamed/{round}").into_bytes());
                let renamed = tree.rename(&from, &to).unwrap();
                let there = values.model.remove(&from);
                assert_eq!(matches!(renamed, Renamed::Done(_)), there.is_some());
                values.model.extend(there.map(|value| (to, value)));
            }
            880..900 => {
                let keys: Vec<_> = (0..6).map(|other| key((n + other * 331) % KEYS)).collect();
                let applied = values.db().atomic(|batch| {
                    for key in &keys[1..] {
                        batch.put(&tree, key, &value(n, round))?;
                    }
                    batch.delete(&tree, &keys[0])
                });
                applied.unwrap();
                values.model.remove(&keys[0]);
                values.model.extend(keys[1..].iter().map(|key| (key.clone(), value(n, round))));
            }
            900..905 => {
                let (from, to) = (key(n)[..4].to_vec(), format!("m{round}/").into_bytes());
                let there = values.model.keys().any(|key| key.starts_with(&from));
                let moved = tree.rename_prefix(&from, &to).unwrap();
                assert_eq!(matches!(moved, Moved::Done(_)), there);
                for (key, value) in std::mem::take(&mut values.model) {
                    let key = match key.strip_prefix(&from[..]) {
                        Some(rest) => [&to[..], rest].concat(),
                        None => key,
                    };
                    values.model.insert(key, value);
                }
            }
            905..908 => {
                let prefix = key(n)[..4].to_vec();
                let there = values.model.keys().any(|key| key.starts_with(&prefix));
                assert_eq!(tree.delete_prefix(&prefix).unwrap(), there);
                values.model.retain(|key, _| !key.starts_with(&prefix));
            }
            908..912 => drop(values.db().checkpoint().unwrap()),
            912 => drop(values.db().compact().unwrap()),
            913 => {
                drop(tree);
                values.reopen();
            }
            914..916 => {
                tree.put_with(b"mark", b"", Durability::Sync).unwrap();
                values.model.insert(b"mark".to_vec(), Vec::new());
                drop(tree);
                let left = match n % 2 {
                    0 => values.disk.kill(),
                    _ => values
                        .disk
                        .crash(round, CrashPattern::ALL[n as usize / 2 % CrashPattern::ALL.len()]),
                };
                values.open(left);
            }
            _ => values.get(&key(n / 40 * 40 + random.below(8) as u32)),
        }
        if round % 16 == 0 {
            values.check_memory();
        }
    }
    values.check();
    values.reopen();
    values.check();
}

#[test]
fn a_snapshot_and_its_export_read_values_that_are_gone() {
    let mut values = Values::new(seed(2));
    let snapshot = values.db().snapshot().unwrap();
    let before = values.model.clone();
    let tree = values.tree();
    for n in 0..KEYS {
        if n % 3 == 0 {
            assert!(tree.delete(&key(n)).unwrap());
            values.model.remove(&key(n));
        } else {
            values.put(&key(n), &value(n, 5));
        }
    }
    values.db().checkpoint().unwrap();
    values.db().compact().unwrap();
    values.check_memory();
    let past = snapshot.default_tree().unwrap();
    for n in (0..KEYS).step_by(7) {
        assert!(past.get(&key(n)).unwrap().as_ref() == before.get(&key(n)));
    }
    let mut archive = Vec::new();
    snapshot.export().write_to(&mut archive).unwrap();
    let copy = Options::new().in_memory().unwrap();
    copy.import(&archive[..], &ImportOptions::new()).unwrap();
    assert!(contents(&copy.default_tree()).unwrap() == before);
    values.check();
    // What only the snapshot read is space that comes back.
    let held = values.db().stats().unwrap();
    drop((past, snapshot));
    values.put(b"one more", b"");
    values.db().checkpoint().unwrap();
    values.db().compact().unwrap();
    let now = values.db().stats().unwrap();
    assert!(now.store_bytes < held.store_bytes * 2 / 3, "{held:?}, {now:?}");
    values.check();
    values.reopen();
    values.check();
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_of_those_who_want_it() {
    let mut values = Values::new(seed(3));
    let tree = values.tree();
    let large = |n: &u32| values.model[&key(*n)].len() > 4_096;
    let cold: Vec<Vec<u8>> = (0..KEYS).filter(large).take(3).map(key).collect();
    // Its frame is in memory, and it is not.
    cold.iter().for_each(|key| assert!(tree.contains(key).unwrap()));
    values.disk.inject(Trigger::lasting(Target::Named(Operation::Read, DATA), 0, Fault::Io));
    let reason = |error: Error| match error {
        Error::Tree(holt_art::Error::Source { reason, .. }) => reason,
        error => panic!("{error}"),
    };
    let why = reason(tree.get(&cold[0]).unwrap_err());
    assert!(why.contains(DATA) && why.contains("at byte"), "{why}");
    reason(tree.prefix(&cold[0]).into_iter().next().unwrap().unwrap_err());
    reason(tree.rename(&cold[0], b"elsewhere").unwrap_err());
    // Nothing of it is needed to replace or to remove it.
    tree.put(&cold[1], b"short").unwrap();
    assert!(tree.delete(&cold[2]).unwrap());
    values.disk.clear_faults();
    values.model.insert(cold[1].clone(), b"short".to_vec());
    values.model.remove(&cold[2]);
    values.get(&cold[0]);
    values.check();
    values.reopen();
    values.check();
}

#[test]
fn a_get_reads_the_one_value_that_it_lacks_also_for_many_readers() {
    let values = Values::new(seed(9));
    // All frames come in, without the values.
    assert!((0..KEYS).all(|n| values.tree().contains(&key(n)).unwrap()));
    let large = |n: &u32| values.model[&key(*n)].len() > 4_096;
    for n in (0..KEYS).filter(large).step_by(100) {
        let reads = values.reads(|| {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| values.get(&key(n)));
                }
            });
        });
        assert!(reads <= 1, "{reads} reads for one value");
    }
}

#[test]
fn a_flipped_byte_is_an_error_of_that_value_alone() {
    let seed = seed(4);
    let mut random = Random::new(seed);
    let values = Values::new(seed);
    let data = values.disk.contents(DATA).unwrap();
    // Large values alone: a flip in a frame is an error of all that hangs there.
    let large = |n: &u32| values.model.get(&key(*n)).is_some_and(|value| value.len() > 4_096);
    let start = random.below(100) as usize;
    let hit = (0..KEYS).filter(large).skip(start).step_by(150).take(6);
    let flips: Vec<(u64, u8)> = hit
        .map(|n| {
            let head = &values.model[&key(n)][..64];
            let at = data.windows(64).position(|window| window == head).expect("it is stored");
            (at as u64 + random.below(4_096), random.below(8) as u8)
        })
        .collect();
    flips.iter().for_each(|&(at, bit)| values.disk.flip(DATA, at, bit));
    let mut failed = 0;
    for n in 0..KEYS {
        match values.tree().get(&key(n)) {
            Ok(found) => assert!(found.as_ref() == values.model.get(&key(n)), "{n}"),
            Err(Error::Tree(holt_art::Error::Source { reason, .. })) => {
                failed += 1;
                assert!(reason.contains("DATA is damaged at byte"), "{reason}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failed > 0 && failed <= flips.len(), "{failed} gets failed");
    assert!(!values.db().verify().unwrap().faults.is_empty());
    flips.iter().for_each(|&(at, bit)| values.disk.flip(DATA, at, bit));
    values.check();
}

#[test]
fn a_log_of_large_values_beyond_the_cache_is_replayed_in_the_cache() {
    let mut roomy = Options::new();
    roomy.segment_bytes(4 << 20).checkpoint_bytes(0);
    let mut values = Values::load(seed(5), &roomy);
    let tree = values.tree();
    assert!(tree.delete_prefix(b"d02/").unwrap());
    values.model.retain(|key, _| !key.starts_with(b"d02/"));
    values.db().sync().unwrap();
    let left = values.disk.kill();
    drop(tree);
    let model = std::mem::take(&mut values.model);
    drop(values);
    for read_only in [true, false] {
        let db = options().read_only(read_only).open_on(Arc::new(left.clone())).unwrap();
        assert!(contents(&db.default_tree()).unwrap() == model);
        assert!(db.verify().unwrap().faults.is_empty());
        let stats = db.stats().unwrap();
        assert!(read_only || stats.memory_bytes <= CACHE, "{stats:?}");
    }
    assert!(verify_on(Arc::new(left)).unwrap().faults.is_empty());
}

#[test]
fn power_cuts_beside_snapshots_leave_what_was_acknowledged() {
    let seed = seed(6);
    let mut random = Random::new(seed);
    let mut values = Values::new(seed);
    for round in 0..10_u64 {
        let after = random.below(300);
        let snapshot = values.db().snapshot().unwrap();
        values.disk.inject(Trigger::once(Target::Changes, after, Fault::PowerCut));
        let tree = values.tree();
        let mut last = None;
        for step in 0..2_000_u64 {
            let n = random.below(u64::from(KEYS)) as u32;
            let (key, value) = (key(n), value(n, round * 10_000 + step));
            match tree.put_with(&key, &value, Durability::Sync) {
                Ok(_) => drop(values.model.insert(key, value)),
                Err(_) => {
                    last = Some((key, value));
                    break;
                }
            }
        }
        let (key, value) = last.expect("the power has gone");
        drop((tree, snapshot));
        let pattern = CrashPattern::ALL[round as usize % CrashPattern::ALL.len()];
        let left = values.disk.crash(round, pattern);
        values.open(left);
        // The write that was under way may have happened.
        if values.tree().get(&key).unwrap().as_ref() == Some(&value) {
            values.model.insert(key, value);
        }
        assert!(contents(&values.tree()).unwrap() == values.model, "round {round}");
    }
    values.check();
}

#[test]
fn the_longest_values_and_batches_that_do_not_fit_are_written_or_refused_whole() {
    let mut values = Values::new(seed(7));
    let longest: Vec<u8> = (0..MAX_VALUE).map(|at| (at / 5) as u8).collect();
    for n in 0..3 {
        values.put(format!("longest/{n}").as_bytes(), &longest);
    }
    for n in 0..3 {
        values.get(format!("longest/{n}").as_bytes());
    }
    let tree = values.tree();
    let batch = |count: usize| {
        values.db().atomic(|batch| {
            (0..count).try_for_each(|n| {
                batch.put(&tree, format!("batch/{n}").as_bytes(), &longest[..1 << 20])
            })
        })
    };
    let error = batch(14).unwrap_err();
    assert!(matches!(error, Error::CacheTooSmall { limit } if limit < CACHE), "{error}");
    batch(3).unwrap();
    for n in 0..3 {
        let key = format!("batch/{n}").into_bytes();
        values.model.insert(key, longest[..1 << 20].to_vec());
    }
    values.check();
    values.reopen();
    values.check();
}

#[test]
fn writers_and_readers_of_large_values_beside_checkpoints_and_compactions() {
    let seed = seed(8);
    let mut values = Values::new(seed);
    let done = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u64)
            .map(|id| {
                let tree = values.tree();
                scope.spawn(move || {
                    let mut random = Random::new(seed + id);
                    let mut written = Model::new();
                    for round in 0..200 {
                        let n = (random.below(u64::from(KEYS) / 2) * 2 + id) as u32;
                        let (key, value) = (key(n), value(n, round));
                        tree.put(&key, &value).unwrap();
                        // Nobody else writes this key.
                        assert!(tree.get(&key).unwrap().as_ref() == Some(&value));
                        written.insert(key, value);
                    }
                    written
                })
            })
            .collect();
        let (values, done) = (&values, &done);
        scope.spawn(move || {
            let mut random = Random::new(seed + 9);
            while !done.load(Ordering::Relaxed) {
                let snapshot = values.db().snapshot().unwrap();
                let past = snapshot.default_tree().unwrap();
                let prefix = &key(random.below(u64::from(KEYS)) as u32)[..8];
                let list = || past.prefix(prefix).into_iter().map(Result::unwrap);
                let first: Vec<_> = list().collect();
                assert!(!first.is_empty() && list().eq(first), "a snapshot does not change");
            }
        });
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                values.db().checkpoint().unwrap();
                values.db().compact().unwrap();
            }
        });
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        written
    });
    for written in written {
        values.model.extend(written.unwrap());
    }
    values.check();
    values.reopen();
    values.check();
}
