//! Checkpoints that nobody asks for, their failures, and the space that they give back.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Random, contents, seed};
use holt_engine::disk::{Disk, Fault, Operation, SimDisk, Target, Trigger};
use holt_engine::{Db, Error, Options, Stats};

fn open(disk: &SimDisk, options: &Options) -> Db<SimDisk> {
    options.open_on(Arc::new(disk.clone())).unwrap()
}

fn small() -> Options {
    let mut options = Options::new();
    options.segment_bytes(64 << 10).checkpoint_bytes(16 << 10);
    // Not while a test runs.
    options.checkpoint_idle(Duration::from_secs(3600));
    options
}

fn data() -> Target {
    Target::Named(Operation::Write, "DATA")
}

/// Waits until the figures are so; a test that waits for ever has failed.
fn wait_until(db: &Db<SimDisk>, done: impl Fn(&Stats) -> bool) {
    while !done(&db.stats().unwrap()) {
        thread::yield_now();
    }
}

#[test]
fn an_idle_database_ends_with_an_empty_log() {
    let disk = SimDisk::new(1);
    let mut options = small();
    options.checkpoint_bytes(1 << 30).checkpoint_idle(Duration::from_millis(5));
    let db = open(&disk, &options);
    for round in 1..4_u64 {
        db.default_tree().put(&round.to_be_bytes(), b"value").unwrap();
        wait_until(&db, |stats| {
            stats.checkpoint_address == Some(stats.log_address) && stats.checkpoints.made >= round
        });
    }
    // Nothing new is no checkpoint.
    let made = db.stats().unwrap().checkpoints.made;
    thread::sleep(Duration::from_millis(50));
    assert_eq!(db.stats().unwrap().checkpoints.made, made);
}

#[test]
fn checkpoints_are_told_in_the_figures() {
    let disk = SimDisk::new(2);
    let mut options = small();
    options.checkpoint_bytes(0);
    let db = open(&disk, &options);
    db.default_tree().put(b"key", b"value").unwrap();
    let made = db.checkpoint().unwrap();
    db.checkpoint().unwrap();
    let figures = db.stats().unwrap().checkpoints;
    assert_eq!((figures.made, figures.images, figures.bytes), (1, made.images, made.bytes));
    assert!(!figures.running && figures.longest_pause >= figures.last_pause);
    disk.inject(Trigger::once(data(), 0, Fault::Io));
    db.default_tree().put(b"key", b"another").unwrap();
    db.checkpoint().unwrap_err();
    let figures = db.stats().unwrap().checkpoints;
    assert_eq!((figures.made, figures.failures, figures.failures_in_a_row), (1, 1, 1));
    assert!(figures.failure.is_some());
    db.checkpoint().unwrap();
    let figures = db.stats().unwrap().checkpoints;
    assert_eq!((figures.made, figures.failures, figures.failures_in_a_row), (2, 1, 0));
    assert_eq!(figures.failure, None);
}

#[test]
fn a_failure_before_the_sync_is_retried_without_any_write() {
    let disk = SimDisk::new(3);
    let db = open(&disk, &small());
    disk.inject(Trigger { target: data(), after: 0, times: 3, fault: Fault::NoSpace });
    let tree = db.default_tree();
    for number in 0..600_u32 {
        tree.put(&number.to_be_bytes(), b"value").unwrap();
    }
    // A checkpoint is in the store a moment before it is in the figures.
    wait_until(&db, |stats| stats.checkpoints.failures >= 3 && stats.checkpoints.made > 0);
    let stats = db.stats().unwrap();
    assert!(stats.checkpoint_address.is_some());
    assert_eq!(stats.checkpoints.failures_in_a_row, 0);
    let left = open(&disk.kill(), &small());
    assert_eq!(contents(&left.default_tree()).unwrap(), contents(&tree).unwrap());
}

#[test]
fn a_failure_that_lasts_refuses_writes_until_a_checkpoint_succeeds() {
    let disk = SimDisk::new(4);
    let db = open(&disk, &small());
    disk.inject(Trigger::lasting(data(), 0, Fault::NoSpace));
    let tree = db.default_tree();
    let mut accepted = 0_u32;
    let refused = loop {
        match tree.put(&accepted.to_be_bytes(), b"value") {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        thread::yield_now();
    };
    assert!(matches!(refused, Error::CheckpointsFail { .. }), "{refused}");
    assert_eq!(contents(&tree).unwrap().len(), accepted as usize, "reads go on");
    let before = db.stats().unwrap().log_address;
    assert!(matches!(db.tree("other"), Err(Error::CheckpointsFail { .. })));
    assert!(matches!(tree.delete(b"key"), Err(Error::CheckpointsFail { .. })));
    assert_eq!(db.stats().unwrap().log_address, before, "the log does not grow");
    disk.clear_faults();
    db.checkpoint().unwrap();
    tree.put(b"again", b"value").unwrap();
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn a_store_that_closed_itself_after_failed_syncs_is_told_by_the_next_write() {
    let disk = SimDisk::new(5);
    let mut options = small();
    options.checkpoint_bytes(0);
    let db = open(&disk, &options);
    let tree = db.default_tree();
    tree.put(b"key", b"value").unwrap();
    disk.inject(Trigger::lasting(Target::Named(Operation::Sync, "DATA"), 0, Fault::Io));
    db.checkpoint().unwrap_err();
    // One failed sync is made good by writing elsewhere.
    tree.put(b"key", b"second").unwrap();
    db.checkpoint().unwrap_err();
    assert!(matches!(tree.put(b"key", b"third"), Err(Error::CheckpointsFail { .. })));
    assert_eq!(tree.get(b"key").unwrap().as_deref(), Some(&b"second"[..]));
    disk.clear_faults();
    drop((tree, db));
    let db = open(&disk, &options);
    assert_eq!(db.default_tree().get(b"key").unwrap().as_deref(), Some(&b"second"[..]));
    db.default_tree().put(b"key", b"third").unwrap();
}

#[test]
fn churn_at_constant_size_keeps_the_frame_file_within_twice_its_contents() {
    let seed = seed(6);
    let mut random = Random::new(seed);
    let disk = SimDisk::new(seed);
    let mut options = small();
    options.checkpoint_bytes(0);
    let db = open(&disk, &options);
    let tree = db.default_tree();
    let mut most = 0;
    for round in 0..30 {
        for _ in 0..4000 {
            let key = format!("dir{}/file{}", random.below(40), random.below(400));
            tree.put(key.as_bytes(), &vec![round; random.below(120) as usize]).unwrap();
        }
        db.checkpoint().unwrap();
        let store = db.stats().unwrap();
        most = most.max(store.store_bytes);
        // The manifest and a constant come on top.
        let bound = 2 * store.live_bytes + (256 << 10);
        assert!(store.store_bytes <= bound, "round {round}: {store:?}");
    }
    assert!(most > 1 << 20, "{most} bytes are no churn");
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn segments_that_a_checkpoint_passes_are_used_again_and_told_in_the_figures() {
    let disk = SimDisk::new(8);
    let mut options = small();
    options.checkpoint_bytes(0);
    let db = open(&disk, &options);
    let tree = db.default_tree();
    let mut most = 0;
    for round in 0..12_u32 {
        // Three segments' worth.
        for number in 0..190_u32 {
            tree.put(&number.to_be_bytes(), &vec![round as u8; 1000]).unwrap();
        }
        db.checkpoint().unwrap();
        let stats = db.stats().unwrap().log_segments;
        most = most.max(stats.segments + stats.spares);
        assert!(stats.spares <= 2 && stats.segments >= 1, "{stats:?}");
    }
    let stats = db.stats().unwrap().log_segments;
    // 2.3 MB of records, in windows of 64 KiB.
    assert!(stats.made >= 35 && stats.recycled >= 12 && stats.recycled < stats.made, "{stats:?}");
    assert!(most <= 8, "{most} files at a time");
    let files = disk.list().unwrap().iter().filter(|name| name.starts_with("LOG-")).count() as u64;
    assert!(files >= stats.segments + stats.spares, "{files} files, {stats:?}");
}

#[test]
fn compacting_after_deleting_most_leaves_no_holes_and_nothing_to_recycle() {
    let disk = SimDisk::new(7);
    let mut options = small();
    options.checkpoint_bytes(0).segment_bytes(1 << 20);
    let db = open(&disk, &options);
    let key = |number: u32| format!("dir{:03}/file{number:08}", number % 200).into_bytes();
    for number in 0..120_000 {
        db.default_tree().put(&key(number), &number.to_be_bytes()).unwrap();
    }
    db.checkpoint().unwrap();
    for number in (0..120_000).filter(|number| number % 10 != 0) {
        assert!(db.default_tree().delete(&key(number)).unwrap());
    }
    let before = contents(&db.default_tree()).unwrap();
    let compaction = db.compact().unwrap();
    assert!(compaction.bytes_after * 4 < compaction.bytes_before, "{compaction:?}");
    let left = db.stats().unwrap();
    // The two marks' units, and the manifest's history.
    assert!(left.store_bytes <= left.live_bytes + (72 << 10), "{left:?}");
    // The segment that is written and the one made ahead.
    assert!(left.log_bytes <= 2 * ((1 << 20) + 4096) + 8192, "{left:?}");
    assert_eq!(contents(&db.default_tree()).unwrap(), before);
    assert!(db.verify().unwrap().faults.is_empty());
    db.close().unwrap();
    assert_eq!(contents(&open(&disk, &options).default_tree()).unwrap(), before);
}
