//! The engine as its users meet it: what each call gives, what it refuses, and what stays.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{contents, names};
use holt_engine::disk::{CrashPattern, Disk, Fault, Operation, SimDisk, Target, Trigger};
use holt_engine::{
    Create, Db, Durability, Error, MAX_KEY, MAX_TREE_NAME, MAX_VALUE, Options, Tree,
};

fn sim(seed: u64) -> (SimDisk, Db<SimDisk>) {
    let disk = SimDisk::new(seed);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    (disk, db)
}

#[test]
fn a_value_can_be_put_read_replaced_and_deleted() {
    let (_disk, db) = sim(1);
    let tree = db.default_tree();
    assert!(tree.is_empty().unwrap());
    assert_eq!(tree.get(b"a").unwrap(), None);
    let first = tree.put(b"a", b"one").unwrap();
    let second = tree.put(b"a", b"two").unwrap();
    assert!(first < second);
    assert_eq!(tree.get_with_version(b"a").unwrap(), Some((b"two".to_vec(), second)));
    assert_eq!(tree.len().unwrap(), 1);
    assert!(tree.delete(b"a").unwrap());
    assert!(!tree.delete(b"a").unwrap());
    assert!(!tree.contains(b"a").unwrap());
    assert!(tree.is_empty().unwrap());
}

#[test]
fn keys_and_values_at_their_limits_are_kept_and_beyond_them_refused() {
    let (disk, db) = sim(2);
    let tree = db.default_tree();
    let (key, value) = (vec![0xFF; MAX_KEY], vec![7; MAX_VALUE]);
    tree.put(&key, b"").unwrap();
    tree.put(b"", &value).unwrap();
    let address = db.stats().unwrap().log_address;
    let (long_key, long_value) = (vec![0; MAX_KEY + 1], vec![0; MAX_VALUE + 1]);
    for error in [
        tree.put(&long_key, b"").unwrap_err(),
        tree.delete(&long_key).unwrap_err(),
        tree.get(&long_key).unwrap_err(),
        tree.contains(&long_key).unwrap_err(),
        tree.prefix(&long_key).into_iter().next().unwrap().unwrap_err(),
        tree.range(&long_key..).into_iter().next().unwrap().unwrap_err(),
        tree.scan().start_after(&long_key).into_iter().next().unwrap().unwrap_err(),
    ] {
        assert!(matches!(error, Error::KeyTooLong { length } if length == MAX_KEY + 1), "{error}");
    }
    let error = tree.put(b"key", &long_value).unwrap_err();
    assert!(matches!(error, Error::ValueTooLong { length } if length == MAX_VALUE + 1), "{error}");
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
    db.close().unwrap();
    let db = Options::new().open_on(Arc::new(disk)).unwrap();
    let tree = db.default_tree();
    assert_eq!(tree.len().unwrap(), 2);
    assert_eq!(tree.get(&key).unwrap().unwrap(), b"");
    assert_eq!(tree.get(b"").unwrap().unwrap(), value);
}

#[test]
fn wrong_requests_are_told_as_the_first_item_and_the_only_one() {
    let (_disk, db) = sim(3);
    let tree = db.default_tree();
    tree.put(b"a", b"").unwrap();
    let mut entries = tree.range("b".."a").into_iter();
    assert!(matches!(entries.next(), Some(Err(Error::ReversedBounds))));
    assert!(entries.next().is_none());
    let mut entries = tree.scan().delimiter("").into_iter();
    assert!(matches!(entries.next(), Some(Err(Error::EmptyDelimiter))));
    assert!(entries.next().is_none());
    assert!(names(tree.range("a".."a")).unwrap().is_empty());
    assert!(names(tree.scan().limit(0)).unwrap().is_empty());
}

#[test]
fn an_iterator_outlives_the_handles_and_ends_with_close() {
    let (_disk, db) = sim(4);
    let tree = db.default_tree();
    for number in 0..2000_u32 {
        tree.put(&number.to_be_bytes(), b"").unwrap();
    }
    let mut entries = tree.scan().into_iter();
    let other = db.clone();
    drop((tree, db));
    assert_eq!(entries.by_ref().take(1500).filter(Result::is_ok).count(), 1500);
    other.close().unwrap();
    assert!(matches!(entries.next(), Some(Err(Error::Closed))));
    assert!(entries.next().is_none());
}

#[test]
fn trees_are_apart_and_survive_reopening_with_and_without_a_checkpoint() {
    let disk = SimDisk::new(5);
    let open = || Options::new().open_on(Arc::new(disk.clone())).unwrap();
    let db = open();
    db.tree("one").unwrap().put(b"k", b"1").unwrap();
    db.checkpoint().unwrap();
    db.tree("two").unwrap().put(b"k", b"2").unwrap();
    db.default_tree().put(b"k", b"0").unwrap();
    db.close().unwrap();
    let db = open();
    assert_eq!(db.tree_names().unwrap(), ["default", "one", "two"]);
    for (name, value) in [("default", b"0"), ("one", b"1"), ("two", b"2")] {
        assert_eq!(db.tree(name).unwrap().get(b"k").unwrap().unwrap(), value, "{name}");
    }
    // A tree made now gets an id of its own.
    db.tree("three").unwrap();
    db.checkpoint().unwrap();
    db.close().unwrap();
    let db = open();
    assert!(db.tree("three").unwrap().is_empty().unwrap());
    assert_eq!(db.tree("two").unwrap().get(b"k").unwrap().unwrap(), b"2");
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn names_of_trees_have_one_to_255_bytes() {
    let (_disk, db) = sim(6);
    for name in [String::new(), "n".repeat(MAX_TREE_NAME + 1)] {
        let error = db.tree(&name).unwrap_err();
        assert!(matches!(error, Error::TreeName { length } if length == name.len()), "{error}");
    }
    db.tree(&"n".repeat(MAX_TREE_NAME)).unwrap();
    assert_eq!(db.tree_names().unwrap().len(), 2);
}

#[test]
fn many_threads_create_one_tree_of_a_name() {
    let (_disk, db) = sim(7);
    thread::scope(|scope| {
        for number in 0..8_u8 {
            let db = &db;
            scope.spawn(move || db.tree("shared").unwrap().put(&[number], b"").unwrap());
        }
    });
    assert_eq!(db.tree("shared").unwrap().len().unwrap(), 8);
    assert_eq!(db.tree_names().unwrap(), ["default", "shared"]);
}

#[test]
fn concurrent_writers_get_unique_versions_and_lose_nothing() {
    let disk = SimDisk::new(8);
    let mut options = Options::new();
    // Checkpoints all the time, while everybody writes.
    options.checkpoint_bytes(64 << 10).segment_bytes(256 << 10);
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let versions: Vec<_> = thread::scope(|scope| {
        let work = |thread: u32| {
            let tree = db.default_tree();
            move || -> Vec<_> {
                let key = |number: u32| format!("{}/{thread}/{number}", number % 7).into_bytes();
                let durability = [Durability::Buffered, Durability::Os][thread as usize % 2];
                let versions = (0..3000).map(|number| {
                    tree.put_with(&key(number), &number.to_be_bytes(), durability).unwrap()
                });
                let versions = versions.collect();
                for number in (0..3000).step_by(3) {
                    assert!(tree.delete(&key(number)).unwrap());
                }
                versions
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(versions.iter().collect::<BTreeSet<_>>().len(), 4 * 3000);
    let before = contents(&db.default_tree()).unwrap();
    assert_eq!(before.len(), 4 * 2000);
    let stats = db.stats().unwrap();
    assert!(stats.checkpoint_address.is_some(), "no automatic checkpoint: {stats:?}");
    assert_eq!((stats.checkpoint_failure, stats.log_failure), (None, None));
    assert!(db.verify().unwrap().faults.is_empty());
    drop(db);
    let db = options.open_on(Arc::new(disk)).unwrap();
    assert_eq!(contents(&db.default_tree()).unwrap(), before);
    assert!(db.verify().unwrap().faults.is_empty());
    let next = db.default_tree().put(b"next", b"").unwrap();
    assert!(versions.iter().all(|version| *version < next));
}

#[test]
fn dropping_the_last_handle_loses_nothing_and_releases_the_lock() {
    let disk = SimDisk::new(9);
    let mut options = Options::new();
    options.buffer_window(Duration::from_secs(3600));
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.default_tree();
    drop(db);
    tree.put_with(b"key", b"value", Durability::Buffered).unwrap();
    let busy = options.open_on(Arc::new(disk.clone())).unwrap_err();
    assert!(matches!(busy, Error::Locked { .. }), "{busy}");
    drop(tree);
    // Not even a power cut takes it away now.
    let left = disk.crash(9, CrashPattern::LoseAll);
    let db = options.open_on(Arc::new(left)).unwrap();
    assert_eq!(db.default_tree().get(b"key").unwrap().unwrap(), b"value");
    options.open_on(Arc::new(disk)).unwrap();
}

#[test]
fn every_handle_is_closed_by_close() {
    let (_disk, db) = sim(10);
    let (tree, other) = (db.default_tree(), db.clone());
    tree.put(b"key", b"value").unwrap();
    db.close().unwrap();
    let closed = |error| assert!(matches!(error, Error::Closed), "{error}");
    closed(tree.get(b"key").unwrap_err());
    closed(tree.put(b"key", b"").unwrap_err());
    closed(tree.delete(b"key").unwrap_err());
    closed(tree.len().unwrap_err());
    closed(other.tree("new").unwrap_err());
    closed(other.sync().unwrap_err());
    closed(other.checkpoint().unwrap_err());
    closed(other.stats().unwrap_err());
    closed(other.verify().unwrap_err());
    closed(tree.scan().into_iter().next().unwrap().unwrap_err());
    other.close().unwrap();
}

#[test]
fn reading_alone_changes_no_file_and_refuses_writes() {
    let (disk, db) = sim(11);
    db.default_tree().put(b"key", b"value").unwrap();
    db.checkpoint().unwrap();
    db.default_tree().put(b"later", b"value").unwrap();
    db.close().unwrap();
    let files = |disk: &SimDisk| -> Vec<_> {
        let names = disk.list().unwrap();
        names.into_iter().map(|name| (disk.contents(&name), name)).collect()
    };
    let before = files(&disk);
    disk.reset_counts();
    let mut options = Options::new();
    options.read_only(true);
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.default_tree();
    assert_eq!(contents(&tree).unwrap().len(), 2);
    let read_only = |error| assert!(matches!(error, Error::ReadOnly), "{error}");
    read_only(tree.put(b"key", b"").unwrap_err());
    read_only(tree.delete(b"key").unwrap_err());
    read_only(db.tree("new").unwrap_err());
    read_only(db.checkpoint().unwrap_err());
    db.sync().unwrap();
    assert!(db.verify().unwrap().faults.is_empty());
    let stats = db.stats().unwrap();
    assert!(stats.log_address > stats.checkpoint_address.unwrap(), "{stats:?}");
    drop(tree);
    db.close().unwrap();
    assert_eq!(disk.count(Target::Changes), 0);
    assert_eq!(files(&disk), before);
}

#[test]
fn opening_and_closing_a_database_changes_nothing_in_it() {
    let (disk, db) = sim(12);
    db.default_tree().put(b"key", b"value").unwrap();
    db.checkpoint().unwrap();
    db.default_tree().put(b"later", b"value").unwrap();
    db.close().unwrap();
    // The first opening may still note that the last checkpoint is known to be durable.
    drop(Options::new().open_on(Arc::new(disk.clone())).unwrap());
    let before: Vec<_> = disk.list().unwrap().iter().map(|name| disk.contents(name)).collect();
    drop(Options::new().open_on(Arc::new(disk.clone())).unwrap());
    let after: Vec<_> = disk.list().unwrap().iter().map(|name| disk.contents(name)).collect();
    assert_eq!(before, after);
}

#[test]
fn what_is_there_decides_what_opening_may_do() {
    let disk = SimDisk::new(13);
    let open = |create, read_only| {
        let mut options = Options::new();
        options.create(create).read_only(read_only).open_on(Arc::new(disk.clone()))
    };
    for read_only in [true, false] {
        let error = open(Create::Never, read_only).unwrap_err();
        assert!(matches!(error, Error::Missing), "{error}");
    }
    let error = open(Create::IfMissing, true).unwrap_err();
    assert!(matches!(error, Error::Missing), "{error}");
    assert!(disk.list().unwrap().is_empty(), "nothing was created");
    open(Create::New, false).unwrap();
    let error = open(Create::New, false).unwrap_err();
    assert!(matches!(error, Error::Exists), "{error}");
    open(Create::Never, false).unwrap();

    let foreign = SimDisk::new(13);
    foreign.put("thesis.txt", Some(b"do not touch"));
    let error = Options::new().open_on(Arc::new(foreign.clone())).unwrap_err();
    assert!(matches!(&error, Error::Foreign { name } if name == "thesis.txt"), "{error}");
    assert_eq!(foreign.list().unwrap(), ["thesis.txt"]);
}

#[test]
fn a_newer_format_is_refused_with_both_versions_and_nothing_is_changed() {
    let (disk, db) = sim(21);
    db.default_tree().put(b"key", b"value").unwrap();
    db.checkpoint().unwrap();
    db.default_tree().put(b"later", b"value").unwrap();
    db.close().unwrap();
    // The version stands behind the eight bytes that say what the file is.
    const VERSION: usize = 8;
    let mut refused = BTreeSet::new();
    for name in disk.list().unwrap() {
        let copy = disk.kill();
        let Some(mut bytes) = copy.contents(&name).filter(|bytes| bytes.len() > VERSION) else {
            continue;
        };
        // Where a header is kept twice, both copies say it.
        for at in [0, 4096] {
            if bytes.get(at..at + 8).is_some_and(|magic| magic.iter().any(|byte| *byte != 0)) {
                bytes[at + VERSION] = 77;
            }
        }
        copy.put(&name, Some(&bytes));
        for read_only in [true, false] {
            copy.reset_counts();
            let error = Options::new().read_only(read_only).open_on(Arc::new(copy.clone()));
            match error {
                Err(error @ Error::Version { .. }) => {
                    let text = error.to_string();
                    let Error::Version { what, found, supported } = error else { unreachable!() };
                    assert_eq!((&what, found), (&name, 77));
                    let both = "has format version 77; this version supports ";
                    assert_eq!(text, format!("{name} {both}{supported}"));
                    refused.insert((name.clone(), supported));
                }
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(copy.count(Target::Changes), 0, "{name} was changed");
        }
    }
    let supported = |prefix: &str| {
        let found: Vec<_> = refused.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
        assert!(found.iter().all(|one| one.1 == found[0].1), "{prefix}: {refused:?}");
        found.first().unwrap_or_else(|| panic!("{prefix}: {refused:?}")).1
    };
    assert_eq!(supported("MANIFEST-"), holt_codec::MANIFEST_VERSION);
    assert_eq!(supported("DATA"), holt_codec::MARK_VERSION);
    assert_eq!(supported("LOG.mark"), holt_codec::LOG_VERSION);
    assert_eq!(supported("LOG-"), holt_codec::LOG_VERSION);
}

#[test]
fn a_failure_of_the_log_closes_it_for_writing_and_reading_goes_on() {
    let (disk, db) = sim(14);
    let tree = db.default_tree();
    tree.put_with(b"safe", b"value", Durability::Sync).unwrap();
    disk.inject(Trigger::lasting(Target::Only(Operation::Sync), 0, Fault::Io));
    let error = tree.put_with(b"lost", b"value", Durability::Sync).unwrap_err();
    assert!(matches!(error, Error::Journal(_)), "{error}");
    // Sticky, although the disk works again.
    disk.clear_faults();
    for _ in 0..2 {
        let error = tree.put_with(b"later", b"value", Durability::Buffered).unwrap_err();
        assert!(matches!(error, Error::Journal(_)), "{error}");
        let error = db.checkpoint().unwrap_err();
        assert!(matches!(error, Error::Journal(_)), "{error}");
    }
    assert_eq!(tree.get(b"safe").unwrap().unwrap(), b"value");
    assert!(db.stats().unwrap().log_failure.is_some());
    assert!(db.close().is_err(), "the loss is told");
    drop(tree);
    let db = Options::new().open_on(Arc::new(disk)).unwrap();
    assert_eq!(db.default_tree().get(b"safe").unwrap().unwrap(), b"value");
    assert_eq!(db.default_tree().get(b"later").unwrap(), None);
    db.default_tree().put_with(b"again", b"value", Durability::Sync).unwrap();
}

#[test]
fn a_checkpoint_that_fails_changes_nothing_and_the_next_one_succeeds() {
    let (disk, db) = sim(15);
    let tree = db.default_tree();
    for number in 0..500_u32 {
        tree.put(&number.to_be_bytes(), &[1; 100]).unwrap();
    }
    db.sync().unwrap();
    disk.inject(Trigger::once(Target::Named(Operation::Write, "DATA"), 0, Fault::NoSpace));
    db.checkpoint().unwrap_err();
    assert_eq!(db.stats().unwrap().checkpoint_address, None);
    tree.put(b"more", b"").unwrap();
    let checkpoint = db.checkpoint().unwrap();
    assert!(checkpoint.images > 1, "{checkpoint:?}");
    assert_eq!(db.stats().unwrap().checkpoint_address, Some(checkpoint.log_address));
    let again = db.checkpoint().unwrap();
    assert_eq!((again.images, again.log_address), (0, checkpoint.log_address));
    let before = contents(&tree).unwrap();
    drop(tree);
    db.close().unwrap();
    let db = Options::new().open_on(Arc::new(disk)).unwrap();
    assert_eq!(contents(&db.default_tree()).unwrap(), before);
}

#[test]
fn memory_that_is_used_up_refuses_the_write_and_nothing_else() {
    let mut options = Options::new();
    options.memory_bytes(1 << 20);
    // In memory frames run out, or values too large for them; on disk both leave memory.
    for length in [200, 9_000] {
        refuses_when_full(&options.in_memory().unwrap().default_tree(), length);
    }
    let disk = SimDisk::new(16);
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.default_tree();
    for number in 0..1_500_u32 {
        tree.put(&number.to_be_bytes(), &vec![3; 9_000]).unwrap();
    }
    assert!(db.stats().unwrap().memory_bytes <= 8 << 20, "the least that a cache has");
    for number in 1..1_500_u32 {
        assert!(tree.delete(&number.to_be_bytes()).unwrap());
    }
    assert!(db.verify().unwrap().faults.is_empty());
    drop(tree);
    db.close().unwrap();
    let db = options.open_on(Arc::new(disk)).unwrap();
    assert_eq!(db.default_tree().get(&0_u32.to_be_bytes()).unwrap(), Some(vec![3; 9_000]));
    assert_eq!(db.default_tree().len().unwrap(), 1);
}

/// Fills a tree with values of so many bytes until it is full, and empties it again.
fn refuses_when_full<D: Disk>(tree: &Tree<D>, length: usize) {
    let mut kept = 0_u64;
    let error = loop {
        match tree.put(format!("{:08}", kept * 7919 % 100_000).as_bytes(), &vec![3; length]) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Tree(_)), "{error}");
    assert_eq!(tree.len().unwrap(), kept);
    // What is there can be read and deleted, and room comes back.
    for number in 0..kept {
        let key = format!("{:08}", number * 7919 % 100_000);
        assert!(tree.delete(key.as_bytes()).unwrap(), "{key}");
    }
    tree.put(b"room", b"again").unwrap();
}

#[test]
fn an_answer_that_changed_nothing_rests_on_nothing_that_can_vanish() {
    let disk = SimDisk::new(18);
    let mut options = Options::new();
    // Nothing leaves the buffer unless somebody waits for it.
    options.buffer_window(Duration::from_secs(3600));
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.default_tree();
    tree.put_with(b"key", b"value", Durability::Buffered).unwrap();
    tree.delete_with(b"key", Durability::Buffered).unwrap();
    tree.put_with(b"other", b"value", Durability::Buffered).unwrap();
    // The key is missing because of a removal that is in memory alone, until this returns.
    assert!(!tree.delete_with(b"key", Durability::Os).unwrap());
    let left = options.open_on(Arc::new(disk.kill())).unwrap().default_tree();
    assert_eq!(names(left.scan()).unwrap(), [b"other"]);
    tree.put_with(b"later", b"value", Durability::Buffered).unwrap();
    assert!(!tree.delete_with(b"key", Durability::Sync).unwrap());
    let crashed = disk.crash(18, CrashPattern::LoseAll);
    let left = options.open_on(Arc::new(crashed)).unwrap().default_tree();
    assert_eq!(names(left.scan()).unwrap(), [&b"later"[..], b"other"]);
}

#[test]
fn an_automatic_checkpoint_that_fails_is_told_and_made_later() {
    let disk = SimDisk::new(19);
    let mut options = Options::new();
    options.checkpoint_bytes(4 << 10).segment_bytes(64 << 10);
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.default_tree();
    let write_until = |done: &dyn Fn(holt_engine::Stats) -> bool| {
        for number in 0..u32::MAX {
            match tree.put(&number.to_be_bytes(), b"value") {
                // Told to writers, once the log has become long.
                Ok(_) | Err(Error::CheckpointsFail { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            if number % 16 == 0 && done(db.stats().unwrap()) {
                break;
            }
            thread::yield_now();
        }
    };
    disk.inject(Trigger::lasting(Target::Named(Operation::Write, "DATA"), 0, Fault::NoSpace));
    write_until(&|stats| stats.checkpoint_failure.is_some());
    assert_eq!(db.stats().unwrap().checkpoint_address, None);
    disk.clear_faults();
    write_until(&|stats| stats.checkpoint_address.is_some() && stats.checkpoint_failure.is_none());
    let before = contents(&tree).unwrap();
    drop((tree, db));
    let db = options.open_on(Arc::new(disk)).unwrap();
    assert_eq!(contents(&db.default_tree()).unwrap(), before);
}

#[test]
fn everything_public_can_be_named_sent_and_printed() {
    fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
    shared::<Db>();
    shared::<holt_engine::Tree>();
    shared::<Options>();
    shared::<Create>();
    shared::<Durability>();
    shared::<Error>();
    shared::<holt_engine::Holder>();
    shared::<holt_engine::Entry>();
    shared::<holt_engine::Version>();
    shared::<holt_engine::Checkpoint>();
    shared::<holt_engine::Stats>();
    shared::<holt_engine::Report>();
    shared::<holt_engine::Fault>();
    fn sent<T: Send + std::fmt::Debug + 'static>() {}
    sent::<holt_engine::Scan>();
    sent::<holt_engine::Entries>();
    fn range(_: impl holt_engine::KeyRange) {}
    range(b"a"..b"b");
    let disk = Arc::new(SimDisk::new(20));
    assert!(matches!(holt_engine::verify_on(disk), Err(Error::Missing)));
    assert!(matches!(holt_engine::verify("/nowhere/at/all"), Err(Error::Missing)));
}

#[test]
fn a_file_cut_short_is_detected_or_irrelevant() {
    let (disk, db) = sim(17);
    db.default_tree().put(b"key", b"value").unwrap();
    db.checkpoint().unwrap();
    db.default_tree().put(b"later", b"value").unwrap();
    db.close().unwrap();
    let expected = 2;
    for name in disk.list().unwrap() {
        let Some(bytes) = disk.contents(&name).filter(|bytes| !bytes.is_empty()) else { continue };
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let copy = disk.kill();
            copy.put(&name, Some(&bytes[..length]));
            if let Ok(db) = Options::new().open_on(Arc::new(copy)) {
                let found = contents(&db.default_tree()).unwrap().len();
                assert_eq!(found, expected, "{name} cut to {length} of {} bytes", bytes.len());
            }
        }
        let copy = disk.kill();
        copy.put(&name, None);
        if let Ok(db) = Options::new().open_on(Arc::new(copy)) {
            let found = contents(&db.default_tree()).unwrap().len();
            assert_eq!(found, expected, "{name} removed");
        }
    }
}
