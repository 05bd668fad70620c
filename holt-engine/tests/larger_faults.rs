//! What goes wrong in databases that are ten times larger than their cache: reads that fail, power that
//! goes, and logs that do not fit.

mod common;
#[path = "common/large.rs"]
mod large;

use std::sync::Arc;

use common::{Random, contents, seed};
use holt_engine::disk::{CrashPattern, Fault, Operation, SimDisk, Target, Trigger};
use holt_engine::{Db, Durability, Error, Moved, Options, verify_on};
use large::{CACHE, KEYS, Large, key, options, value};

/// The data file is called so.
const DATA: &str = "DATA";

/// What a failed read of a frame has to look like: where and why.
fn reason(error: Error) -> String {
    match error {
        Error::Tree(holt_art::Error::Source { reason, .. }) => reason,
        error => panic!("{error}"),
    }
}

/// A key whose frame is on disk only, and one whose frame is in memory.
fn cold_and_hot(large: &Large) -> (Vec<u8>, Vec<u8>) {
    let hot = key(KEYS - 1);
    large.get(&hot);
    let cold = (0..KEYS).step_by(100).map(key).find(|key| large.reads(|| large.get(key)) > 0);
    // That read has brought it: others have to come in between.
    let cold = cold.expect("nine of ten frames are on disk only");
    for n in (0..KEYS).step_by(61).filter(|n| key(*n)[..4] != cold[..4]) {
        large.get(&key(n));
    }
    large.get(&hot);
    (cold, hot)
}

#[test]
fn a_read_that_fails_is_an_error_of_that_read_alone() {
    let mut large = Large::new(seed(1));
    let tree = large.tree();
    let (cold, hot) = cold_and_hot(&large);
    let target = Target::Named(Operation::Read, DATA);
    large.disk.inject(Trigger::lasting(target, 0, Fault::Io));
    for _ in 0..2 {
        let why = reason(tree.get(&cold).unwrap_err());
        assert!(why.contains(DATA) && why.contains("at byte"), "{why}");
    }
    reason(tree.put(&cold, b"").unwrap_err());
    reason(tree.delete(&cold).unwrap_err());
    reason(tree.len().unwrap_err());
    reason(tree.prefix(&cold[..4]).into_iter().find_map(Result::err).unwrap());
    reason(tree.rename_prefix(&cold[..8], b"elsewhere/").unwrap_err());
    let batch = large.db().atomic(|batch| {
        batch.put(&tree, &hot, b"half")?;
        batch.put(&tree, &cold, b"half")
    });
    reason(batch.unwrap_err());
    // What is in memory can be read and written, and the log goes on.
    large.get(&hot);
    large.put(&hot, b"still here");
    large.db().sync().unwrap();
    large.disk.clear_faults();
    large.get(&cold);
    large.check();
    large.reopen();
    large.check();
}

#[test]
fn a_flipped_byte_is_an_error_of_that_frame_alone_and_never_a_wrong_answer() {
    let seed = seed(2);
    let mut random = Random::new(seed);
    let large = Large::new(seed);
    let len = large.disk.contents(DATA).unwrap().len() as u64;
    let flips: Vec<(u64, u8)> =
        (0..24).map(|_| (8192 + random.below(len - 8192), random.below(8) as u8)).collect();
    flips.iter().for_each(|&(at, bit)| large.disk.flip(DATA, at, bit));
    let mut failed = 0;
    for n in (0..KEYS).step_by(7) {
        match large.tree().get(&key(n)) {
            Ok(found) => assert!(found.as_ref() == large.model.get(&key(n)), "{n}"),
            Err(error) => {
                failed += 1;
                let why = reason(error);
                assert!(why.contains("DATA is damaged at byte"), "{why}");
            }
        }
    }
    assert!(failed > 0 && failed < KEYS / 14, "{failed} gets failed");
    assert!(!large.db().verify().unwrap().faults.is_empty());
    flips.iter().for_each(|&(at, bit)| large.disk.flip(DATA, at, bit));
    large.check();
}

/// A database whose log holds ten times what the cache does, and a little more that a checkpoint
/// has, left by a process that was killed.
fn all_in_the_log(seed: u64) -> (Large, SimDisk) {
    let mut roomy = Options::new();
    roomy.segment_bytes(1 << 20).checkpoint_bytes(0);
    let mut large = Large::load(seed, &roomy);
    let tree = large.tree();
    assert!(tree.delete_prefix(b"d02/").unwrap());
    large.take_model(b"d02/");
    assert!(matches!(tree.rename_prefix(b"d03/", b"moved/").unwrap(), Moved::Done(_)));
    large.move_model(b"d03/", b"moved/");
    let other = large.db().create_tree("other").unwrap();
    let pairs: Vec<u32> = (0..12).map(|n| n * 4_000 + 7).collect();
    large
        .db()
        .atomic(|batch| {
            pairs.iter().try_for_each(|n| batch.put(&other, &key(*n), b"other"))?;
            pairs.iter().try_for_each(|n| batch.put(&tree, &key(*n), b"batch"))
        })
        .unwrap();
    for n in pairs {
        large.model.insert(key(n), b"batch".to_vec());
    }
    large.db().sync().unwrap();
    let left = large.disk.kill();
    (large, left)
}

fn check_recovered(db: &Db<SimDisk>, large: &Large) {
    assert!(contents(&db.default_tree()).unwrap() == large.model);
    assert_eq!(db.open_tree("other").unwrap().len().unwrap(), 12);
    let report = db.verify().unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}

#[test]
fn a_log_larger_than_the_cache_is_replayed_in_the_cache() {
    let (large, left) = all_in_the_log(seed(3));
    let log = large.db().stats().unwrap();
    assert!(log.checkpoint_address.is_none() && log.log_bytes > 10 * CACHE, "{log:?}");
    // For reading alone nothing is written, and more memory is taken.
    let names = |disk: &SimDisk| disk.used();
    let before = names(&left);
    let db = options().read_only(true).open_on(Arc::new(left.clone())).unwrap();
    check_recovered(&db, &large);
    drop(db);
    assert_eq!(names(&left), before);
    assert!(verify_on(Arc::new(left.clone())).unwrap().faults.is_empty());
    let db = options().open_on(Arc::new(left.clone())).unwrap();
    let stats = db.stats().unwrap();
    assert!(stats.memory_bytes <= CACHE, "{stats:?}");
    assert!(stats.checkpoint_address.is_some(), "there was no other way");
    check_recovered(&db, &large);
    db.close().unwrap();
    check_recovered(&options().open_on(Arc::new(left)).unwrap(), &large);
}

#[test]
fn a_recovery_that_makes_checkpoints_may_be_cut_short_anywhere() {
    let seed = seed(4);
    let mut random = Random::new(seed);
    let (large, mut left) = all_in_the_log(seed);
    let whole = left.kill();
    drop(options().open_on(Arc::new(whole.clone())).unwrap());
    let changes = whole.count(Target::Changes);
    assert!(changes > 100, "{changes}");
    // Each attempt goes on from what the one before has left.
    for round in 0..12 {
        let after = random.below(changes);
        left.inject(Trigger::once(Target::Changes, after, Fault::PowerCut));
        let opened = options().open_on(Arc::new(left.clone()));
        let cut = left.is_off();
        assert!(opened.is_ok() || cut, "round {round}: {:?}", opened.err());
        drop(opened);
        let pattern = CrashPattern::ALL[round % CrashPattern::ALL.len()];
        left = if cut { left.crash(seed + round as u64, pattern) } else { left.kill() };
    }
    check_recovered(&options().open_on(Arc::new(left)).unwrap(), &large);
}

#[test]
fn power_cuts_under_pressure_leave_what_was_acknowledged() {
    let seed = seed(5);
    let mut random = Random::new(seed);
    let mut large = Large::new(seed);
    for round in 0..16_u64 {
        let after = random.below(400);
        large.disk.inject(Trigger::once(Target::Changes, after, Fault::PowerCut));
        let mut last = None;
        let tree = large.tree();
        for step in 0..2_000_u64 {
            let n = random.below(u64::from(KEYS)) as u32;
            let (key, value) = (key(n), value(n, round * 10_000 + step));
            match tree.put_with(&key, &value, Durability::Sync) {
                Ok(_) => drop(large.model.insert(key, value)),
                Err(_) => {
                    last = Some((key, value));
                    break;
                }
            }
        }
        let (key, value) = last.expect("the power has gone");
        drop(tree);
        let left =
            large.disk.crash(round, CrashPattern::ALL[round as usize % CrashPattern::ALL.len()]);
        large.open(left);
        // The write that was under way may have happened.
        if large.tree().get(&key).unwrap().as_ref() == Some(&value) {
            large.model.insert(key, value);
        }
        large.list(b"", round % 2 == 0);
    }
    large.check();
}

#[test]
fn a_full_disk_stops_writers_under_pressure_and_nothing_else() {
    let seed = seed(6);
    let mut random = Random::new(seed);
    let mut large = Large::new(seed);
    large.disk.set_capacity(Some(large.disk.used()));
    let tree = large.tree();
    let mut refused = None;
    for round in 0..20_000_u64 {
        let n = random.below(u64::from(KEYS)) as u32;
        match tree.put(&key(n), &value(n, round)) {
            Ok(_) => drop(large.model.insert(key(n), value(n, round))),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.expect("there is no space for another checkpoint");
    assert!(matches!(refused, Error::Journal(_) | Error::CheckpointsFail { .. }), "{refused}");
    for n in (0..KEYS).step_by(997) {
        large.get(&key(n));
    }
    large.disk.set_capacity(None);
    drop(tree);
    large.db().checkpoint().unwrap();
    large.put(b"again", b"there is space");
    large.check();
    large.reopen();
    large.check();
}
