//! Writes that look before they change: conditions, answers, updates, renames.

mod common;

use std::sync::Arc;
use std::thread;

use common::contents;
use holt_engine::disk::SimDisk;
use holt_engine::{
    Db, Durability, Error, MAX_KEY, MAX_VALUE, Options, Outcome, Renamed, Tree, Updated, Version,
};

fn sim(seed: u64) -> (SimDisk, Db<SimDisk>) {
    let disk = SimDisk::new(seed);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    (disk, db)
}

/// Opens what a kill leaves after everything was handed over.
fn after_kill(disk: &SimDisk, db: &Db<SimDisk>) -> Db<SimDisk> {
    db.sync().unwrap();
    Options::new().open_on(Arc::new(disk.kill())).unwrap()
}

#[test]
fn a_value_can_be_read_in_every_form() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for length in [0, 1, 255, 256, 257, 4000, 100_000] {
        let value: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let version = tree.put(b"k", &value).unwrap();
        assert_eq!(tree.get(b"k").unwrap().unwrap(), value);
        assert_eq!(tree.get_with_version(b"k").unwrap().unwrap(), (value.clone(), version));
        assert_eq!(tree.version(b"k").unwrap(), Some(version));
        let mut buffer = b"something else".to_vec();
        assert_eq!(tree.get_into(b"k", &mut buffer).unwrap(), Some(version));
        assert_eq!(buffer, value);
        // The closure may use the database.
        let seen = tree.get_with(b"k", |seen, version| {
            tree.put(b"other", seen).unwrap();
            (seen.to_vec(), version)
        });
        assert_eq!(seen.unwrap().unwrap(), (value, version));
    }
    let mut buffer = b"something else".to_vec();
    assert_eq!(tree.get_into(b"missing", &mut buffer).unwrap(), None);
    assert!(buffer.is_empty());
    assert_eq!(tree.get_with(b"missing", |_, _| ()).unwrap(), None);
    assert_eq!(tree.version(b"missing").unwrap(), None);
}

#[test]
fn a_condition_decides_and_its_answer_says_what_is_there() {
    let (disk, db) = sim(1);
    let tree = db.default_tree();
    let first = tree.put_if_absent(b"k", b"1").unwrap().done().unwrap();
    let address = db.stats().unwrap().log_address;
    let refused = Outcome::Refused { found: Some(first) };
    assert_eq!(tree.put_if_absent(b"k", b"2").unwrap(), refused);
    assert_eq!(tree.compare_and_put(b"k", None, b"2").unwrap(), refused);
    let other = Version::new(first.get() + 1).unwrap();
    assert_eq!(tree.compare_and_put(b"k", Some(other), b"2").unwrap(), refused);
    assert_eq!(tree.compare_and_delete(b"k", other).unwrap(), refused);
    let missing = Outcome::Refused { found: None };
    assert_eq!(tree.compare_and_put(b"none", Some(first), b"2").unwrap(), missing);
    assert_eq!(tree.compare_and_delete(b"none", first).unwrap(), missing);
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");

    let second = tree.compare_and_put(b"k", Some(first), b"2").unwrap().done().unwrap();
    assert!(second > first);
    assert_eq!(tree.get_with_version(b"k").unwrap(), Some((b"2".to_vec(), second)));
    assert!(tree.compare_and_put(b"new", None, b"n").unwrap().is_done());
    let left = after_kill(&disk, &db).default_tree();
    assert_eq!(left.get_with_version(b"k").unwrap(), Some((b"2".to_vec(), second)));
    assert!(tree.compare_and_delete(b"k", second).unwrap().is_done());
    let left = after_kill(&disk, &db).default_tree();
    assert_eq!(left.get(b"k").unwrap(), None);
    assert_eq!(left.get(b"new").unwrap().unwrap(), b"n");
}

#[test]
fn a_version_of_before_reopening_still_counts() {
    let (disk, db) = sim(2);
    let version = db.default_tree().put(b"lease", b"mine").unwrap();
    db.checkpoint().unwrap();
    db.close().unwrap();
    let db = Options::new().open_on(Arc::new(disk)).unwrap();
    let tree = db.default_tree();
    let next = tree.compare_and_put(b"lease", Some(version), b"still mine").unwrap();
    assert!(next.done().unwrap() > version);
    // A version that was given up never comes back.
    assert!(!tree.compare_and_put(b"lease", Some(version), b"stolen").unwrap().is_done());
}

#[test]
fn many_records_get_an_answer_each_and_one_place_in_the_log() {
    let (disk, db) = sim(3);
    let tree = db.default_tree();
    let old = tree.put(b"b", b"old").unwrap();
    let records = [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("b", "5")];
    let answers = tree.put_all_if_absent(&records).unwrap();
    let a = answers[0].done().unwrap();
    let c = answers[2].done().unwrap();
    assert_eq!(c.get(), a.get() + 1, "one record, version by version");
    assert_eq!(answers[1], Outcome::Refused { found: Some(old) });
    assert_eq!(answers[3], Outcome::Refused { found: Some(a) });
    assert_eq!(answers[4], Outcome::Refused { found: Some(old) });
    for tree in [tree.clone(), after_kill(&disk, &db).default_tree()] {
        assert_eq!(tree.get_with_version(b"a").unwrap(), Some((b"1".to_vec(), a)));
        assert_eq!(tree.get_with_version(b"b").unwrap(), Some((b"old".to_vec(), old)));
        assert_eq!(tree.get_with_version(b"c").unwrap(), Some((b"3".to_vec(), c)));
    }
    let address = db.stats().unwrap().log_address;
    assert!(tree.put_all_if_absent(&records).unwrap().iter().all(|answer| !answer.is_done()));
    assert!(tree.put_all_if_absent::<&str, &str>(&[]).unwrap().is_empty());
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
}

#[test]
fn many_threads_put_each_key_once() {
    let db = Db::in_memory().unwrap();
    let won: Vec<Vec<usize>> = thread::scope(|scope| {
        let work = |thread: usize| {
            let tree = db.default_tree();
            move || {
                let mut won = Vec::new();
                for round in 0..60_usize {
                    let key = |n: usize| format!("{:04}", round * 8 + n);
                    let records: Vec<_> =
                        (0..8).map(|n| (key((n + thread) % 8), thread.to_string())).collect();
                    let answers = tree.put_all_if_absent(&records[..4 + thread % 4]).unwrap();
                    let done = answers.iter().enumerate().filter(|(_, answer)| answer.is_done());
                    won.extend(done.map(|(n, _)| round * 8 + (n + thread) % 8));
                }
                won
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut all: Vec<usize> = won.iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..480).collect::<Vec<_>>(), "each key was won by exactly one");
    for (thread, keys) in won.iter().enumerate() {
        for key in keys {
            let value = db.default_tree().get(format!("{key:04}").as_bytes()).unwrap().unwrap();
            assert_eq!(value, thread.to_string().as_bytes());
        }
    }
}

#[test]
fn an_update_sees_what_is_there_and_loses_to_nobody() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    assert_eq!(tree.update(b"k", |_| None).unwrap(), Updated::Unchanged);
    let put = tree.update(b"k", |old| {
        assert_eq!(old, None);
        Some(b"0".to_vec())
    });
    assert_eq!(put.unwrap(), Updated::Put(tree.version(b"k").unwrap().unwrap()));
    thread::scope(|scope| {
        for _ in 0..4 {
            let tree = db.default_tree();
            scope.spawn(move || {
                for _ in 0..500 {
                    let add = |old: Option<&[u8]>| {
                        let old: u32 = std::str::from_utf8(old.unwrap()).unwrap().parse().unwrap();
                        Some((old + 1).to_string().into_bytes())
                    };
                    assert!(matches!(tree.update(b"k", add).unwrap(), Updated::Put(_)));
                }
            });
        }
    });
    assert_eq!(tree.get(b"k").unwrap().unwrap(), b"2000");
    let mut runs = 0;
    let deleted = tree.update(b"k", |old| {
        runs += 1;
        if runs == 1 {
            // Somebody else is faster, once.
            tree.put(b"k", b"other").unwrap();
            assert_eq!(old.unwrap(), b"2000");
        } else {
            assert_eq!(old.unwrap(), b"other");
        }
        None
    });
    assert_eq!((deleted.unwrap(), runs), (Updated::Deleted, 2));
    assert!(tree.is_empty().unwrap());
    let error = tree.update(b"k", |_| Some(vec![0; MAX_VALUE + 1])).unwrap_err();
    assert!(matches!(error, Error::ValueTooLong { .. }), "{error}");
    let error = tree.update(&[0; MAX_KEY + 1], |_| panic!("not asked")).unwrap_err();
    assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
}

#[test]
fn a_panic_in_an_update_leaves_everything_usable() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    tree.put(b"k", b"v").unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = tree.update(b"k", |_| panic!("the caller's"));
    }));
    assert!(panicked.is_err());
    tree.put(b"k", b"w").unwrap();
    assert_eq!(tree.get(b"k").unwrap().unwrap(), b"w");
    db.checkpoint().unwrap();
}

#[test]
fn a_key_gets_another_name() {
    let (disk, db) = sim(4);
    let tree = db.default_tree();
    let (large, small) = (vec![7; 300_000], vec![8; 10]);
    tree.put(b"large", &large).unwrap();
    tree.put(b"small", &small).unwrap();
    let check = |expected: &[(&[u8], &[u8])]| {
        let left = after_kill(&disk, &db);
        for tree in [db.default_tree(), left.default_tree()] {
            let found = contents(&tree).unwrap();
            assert_eq!(found.len(), expected.len());
            for (key, value) in expected {
                assert!(found[*key] == *value, "{}", key.escape_ascii());
            }
        }
        for db in [&db, &left] {
            assert!(db.verify().unwrap().faults.is_empty());
        }
    };
    let address = db.stats().unwrap().log_address;
    assert_eq!(tree.rename(b"none", b"new").unwrap(), Renamed::Missing);
    assert_eq!(tree.rename(b"none", b"small").unwrap(), Renamed::Missing);
    assert_eq!(tree.rename_replacing(b"none", b"small").unwrap(), Renamed::Missing);
    let there = tree.version(b"small").unwrap().unwrap();
    assert_eq!(tree.rename(b"large", b"small").unwrap(), Renamed::Exists(there));
    assert_eq!(tree.rename(b"small", b"small").unwrap(), Renamed::Exists(there));
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");

    let Renamed::Done(version) = tree.rename(b"large", b"a/b/c").unwrap() else { panic!() };
    assert!(version > there);
    assert_eq!(tree.version(b"a/b/c").unwrap(), Some(version));
    check(&[(b"a/b/c", &large), (b"small", &small)]);
    // To itself, it gets a new version.
    let Renamed::Done(again) = tree.rename_replacing(b"small", b"small").unwrap() else { panic!() };
    assert!(again > version);
    check(&[(b"a/b/c", &large), (b"small", &small)]);
    let _ = tree.rename_replacing(b"small", b"a/b/c").unwrap();
    check(&[(b"a/b/c", &small)]);
    // Names that begin with each other, and the longest.
    let long = vec![b'x'; MAX_KEY];
    for (from, to) in
        [(&b"a/b/c"[..], &b"a/b"[..]), (b"a/b", b"a/b/c/d"), (b"a/b/c/d", b""), (b"", &long)]
    {
        assert!(matches!(tree.rename(from, to).unwrap(), Renamed::Done(_)));
        check(&[(to, &small)]);
    }
    db.checkpoint().unwrap();
    assert!(matches!(tree.rename(&long, b"short").unwrap(), Renamed::Done(_)));
    check(&[(b"short", &small)]);
}

#[test]
fn a_key_that_moves_to_and_fro_is_always_under_one_of_its_names() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for number in 0..20_000_u32 {
        tree.put(format!("{number:08}").as_bytes(), &[1; 40]).unwrap();
    }
    let (here, there) = (&b"00000000/here"[..], &b"00019999/there"[..]);
    tree.put(here, b"0").unwrap();
    thread::scope(|scope| {
        let reader = |tree: Tree| {
            move || {
                let mut last = 0;
                while last < 4000 {
                    // It moves at most once in between if it is missed once, so it is met soon.
                    let found = tree.get(here).unwrap().or_else(|| tree.get(there).unwrap());
                    let Some(found) = found else { continue };
                    let found = std::str::from_utf8(&found).unwrap().parse::<u32>().unwrap();
                    assert!(found >= last, "{found} after {last}");
                    last = found;
                }
            }
        };
        scope.spawn(reader(db.default_tree()));
        for number in 1..=4000 {
            let (from, to) = if number % 2 == 1 { (here, there) } else { (there, here) };
            tree.put(from, number.to_string().as_bytes()).unwrap();
            assert!(matches!(tree.rename(from, to).unwrap(), Renamed::Done(_)));
        }
    });
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn the_first_and_the_last_key_of_a_prefix_are_found() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    assert_eq!(tree.first(b"").unwrap(), None);
    for key in ["a", "a/", "a/1", "a/2", "a0", "b"] {
        tree.put(key.as_bytes(), b"v").unwrap();
    }
    let name = |entry: Option<holt_engine::Entry>| entry.map(holt_engine::Entry::into_name);
    for (prefix, first, last) in
        [("", "a", "b"), ("a", "a", "a0"), ("a/", "a/", "a/2"), ("b", "b", "b")]
    {
        let prefix = prefix.as_bytes();
        assert_eq!(name(tree.first(prefix).unwrap()), Some(first.into()));
        assert_eq!(name(tree.last(prefix).unwrap()), Some(last.into()));
        assert!(!tree.is_prefix_empty(prefix).unwrap());
    }
    assert_eq!(tree.last(b"c").unwrap(), None);
    assert!(tree.is_prefix_empty(b"c").unwrap());
}

#[test]
fn wrong_input_is_refused_before_anything_changes() {
    let (_disk, db) = sim(5);
    let tree = db.default_tree();
    let version = tree.put(b"k", b"v").unwrap();
    let address = db.stats().unwrap().log_address;
    let (long_key, long_value) = (vec![0; MAX_KEY + 1], vec![0; MAX_VALUE + 1]);
    let mut buffer = Vec::new();
    for error in [
        tree.get_with(&long_key, |_, _| ()).unwrap_err(),
        tree.get_into(&long_key, &mut buffer).unwrap_err(),
        tree.version(&long_key).unwrap_err(),
        tree.first(&long_key).unwrap_err(),
        tree.last(&long_key).unwrap_err(),
        tree.is_prefix_empty(&long_key).unwrap_err(),
        tree.put_if_absent(&long_key, b"").unwrap_err(),
        tree.compare_and_put(&long_key, Some(version), b"").unwrap_err(),
        tree.compare_and_delete(&long_key, version).unwrap_err(),
        tree.put_all_if_absent(&[(&b"new"[..], b""), (&long_key, b"")]).unwrap_err(),
        tree.rename(b"k", &long_key).unwrap_err(),
        tree.rename(&long_key, b"new").unwrap_err(),
        tree.rename_replacing(b"k", &long_key).unwrap_err(),
    ] {
        assert!(matches!(error, Error::KeyTooLong { length } if length == MAX_KEY + 1), "{error}");
    }
    for error in [
        tree.put_if_absent(b"new", &long_value).unwrap_err(),
        tree.compare_and_put(b"k", Some(version), &long_value).unwrap_err(),
        tree.put_all_if_absent(&[("new", &b""[..]), ("more", &long_value)]).unwrap_err(),
    ] {
        assert!(matches!(error, Error::ValueTooLong { .. }), "{error}");
    }
    let half = vec![0; MAX_VALUE];
    let error = tree.put_all_if_absent(&[("x", &half), ("y", &half), ("z", &half)]).unwrap_err();
    assert!(matches!(error, Error::BatchTooLong { .. }), "{error}");
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
    assert_eq!(contents(&tree).unwrap().len(), 1);
}

/// Every call that writes, on a tree that has the key `k` of this version.
fn writes(db: &Db<SimDisk>, tree: &Tree<SimDisk>, version: Version) -> Vec<Error> {
    vec![
        tree.put_if_absent(b"new", b"").unwrap_err(),
        tree.compare_and_put(b"k", Some(version), b"").unwrap_err(),
        tree.compare_and_delete(b"k", version).unwrap_err(),
        tree.put_all_if_absent(&[("new", "")]).unwrap_err(),
        tree.update(b"k", |_| panic!("the closure does not run for nothing")).unwrap_err(),
        tree.rename(b"k", b"new").unwrap_err(),
        tree.rename_replacing(b"k", b"new").unwrap_err(),
        db.atomic(|_| panic!("the closure does not run for nothing")).unwrap_err(),
    ]
}

#[test]
fn a_closed_and_a_read_only_database_refuse_every_write() {
    let (disk, db) = sim(6);
    let tree = db.default_tree();
    let version = tree.put(b"k", b"v").unwrap();
    let other = db.clone();
    db.close().unwrap();
    for error in writes(&other, &tree, version) {
        assert!(matches!(error, Error::Closed), "{error}");
    }
    for error in [
        other.create_tree("t").unwrap_err(),
        other.open_tree("default").unwrap_err(),
        other.rename_tree("a", "b").unwrap_err(),
        other.drop_tree("a").unwrap_err(),
        tree.name().unwrap_err(),
        tree.version(b"k").unwrap_err(),
        tree.first(b"").unwrap_err(),
    ] {
        assert!(matches!(error, Error::Closed), "{error}");
    }
    drop((tree, other));
    let db = Options::new().read_only(true).open_on(Arc::new(disk)).unwrap();
    for error in writes(&db, &db.default_tree(), version) {
        assert!(matches!(error, Error::ReadOnly), "{error}");
    }
    for error in [
        db.create_tree("t").unwrap_err(),
        db.rename_tree("a", "b").unwrap_err(),
        db.drop_tree("a").unwrap_err(),
    ] {
        assert!(matches!(error, Error::ReadOnly), "{error}");
    }
    assert_eq!(db.default_tree().get_with_version(b"k").unwrap(), Some((b"v".to_vec(), version)));
}

#[test]
fn every_write_to_a_dropped_tree_is_refused() {
    let (_disk, db) = sim(7);
    let tree = db.create_tree("t").unwrap();
    let version = tree.put(b"k", b"v").unwrap();
    db.drop_tree("t").unwrap();
    let address = db.stats().unwrap().log_address;
    for error in [
        tree.put_if_absent(b"new", b"").unwrap_err(),
        tree.compare_and_put(b"k", Some(version), b"").unwrap_err(),
        tree.compare_and_delete(b"k", version).unwrap_err(),
        tree.put_all_if_absent(&[("new", "")]).unwrap_err(),
        tree.update(b"k", |_| panic!("there is nothing to update")).unwrap_err(),
        tree.rename(b"k", b"new").unwrap_err(),
        db.atomic(|batch| batch.put(&tree, b"k", b"")).unwrap_err(),
        db.atomic(|batch| batch.require_absent(&tree, b"k")).unwrap_err(),
    ] {
        assert!(matches!(error, Error::TreeDropped), "{error}");
    }
    // Dropped between the filling and the applying.
    let tree = db.create_tree("t").unwrap();
    let before = db.stats().unwrap().log_address;
    assert!(before > address);
    let error = db.atomic(|batch| {
        batch.put(&tree, b"k", b"")?;
        db.drop_tree("t")
    });
    assert!(matches!(error, Err(Error::TreeDropped)), "{error:?}");
}

#[test]
fn a_refused_write_rests_on_nothing_that_can_vanish() {
    let disk = SimDisk::new(8);
    let mut options = Options::new();
    options.buffer_window(std::time::Duration::from_secs(3600));
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.default_tree();
    let left = || options.open_on(Arc::new(disk.kill())).unwrap().default_tree();
    let buffered = |key: &[u8]| tree.put_with(key, b"v", Durability::Buffered).unwrap();
    buffered(b"1");
    assert!(!tree.put_if_absent_with(b"1", b"w", Durability::Os).unwrap().is_done());
    assert!(left().contains(b"1").unwrap());
    let two = buffered(b"2");
    assert!(!tree.compare_and_delete_with(b"1", two, Durability::Os).unwrap().is_done());
    assert!(left().contains(b"2").unwrap());
    buffered(b"3");
    let renamed = tree.rename_with(b"1", b"3", Durability::Os).unwrap();
    assert!(matches!(renamed, Renamed::Exists(_)));
    assert!(left().contains(b"3").unwrap());
    buffered(b"4");
    let answers = tree.put_all_if_absent_with(&[("4", "")], Durability::Os).unwrap();
    assert!(!answers[0].is_done());
    assert!(left().contains(b"4").unwrap());
    buffered(b"5");
    tree.update_with(b"none", Durability::Os, |_| None).unwrap();
    assert!(left().contains(b"5").unwrap());
    buffered(b"6");
    let refused = db.atomic_with(Durability::Os, |batch| batch.require_absent(&tree, b"6"));
    assert!(matches!(refused, Err(Error::GuardFailed(_))));
    assert!(left().contains(b"6").unwrap());
    buffered(b"7");
    db.atomic_with(Durability::Os, |batch| batch.require_present(&tree, b"7")).unwrap();
    assert!(left().contains(b"7").unwrap());
}
