//! Whole trees: creating, opening, listing, renaming and dropping them, and handles of trees that
//! are gone.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use common::{contents, names};
use holt_engine::disk::SimDisk;
use holt_engine::{Db, Durability, Error, MAX_TREE_NAME, Options};

fn sim(seed: u64) -> (SimDisk, Db<SimDisk>) {
    let disk = SimDisk::new(seed);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    (disk, db)
}

/// Waits until the memory of what was removed has been given back.
fn reclaimed(db: &Db<SimDisk>) {
    while db.stats().unwrap().reclaiming {
        thread::yield_now();
    }
}

#[test]
fn a_tree_is_created_once_and_opened_by_its_name() {
    let (_disk, db) = sim(1);
    let error = db.open_tree("a").unwrap_err();
    assert!(matches!(&error, Error::NoSuchTree { name } if name == "a"), "{error}");
    db.create_tree("a").unwrap().put(b"k", b"v").unwrap();
    let error = db.create_tree("a").unwrap_err();
    assert!(matches!(&error, Error::TreeExists { name } if name == "a"), "{error}");
    assert!(db.open_tree("a").unwrap().contains(b"k").unwrap());
    assert!(db.tree("a").unwrap().contains(b"k").unwrap());
    assert_eq!(db.open_tree("default").unwrap().name().unwrap(), "default");
    let error = db.create_tree("default").unwrap_err();
    assert!(matches!(error, Error::TreeExists { .. }), "{error}");
}

#[test]
fn a_renamed_tree_keeps_its_handles_and_frees_its_name() {
    let disk = SimDisk::new(2);
    let open = || Options::new().open_on(Arc::new(disk.clone())).unwrap();
    let db = open();
    let tree = db.create_tree("old").unwrap();
    tree.put(b"k", b"v").unwrap();
    db.rename_tree("old", "new").unwrap();
    assert_eq!(tree.name().unwrap(), "new");
    tree.put(b"l", b"w").unwrap();
    assert!(matches!(db.open_tree("old"), Err(Error::NoSuchTree { .. })));
    db.create_tree("old").unwrap().put(b"another", b"").unwrap();
    assert_eq!(db.tree_names().unwrap(), ["default", "new", "old"]);
    db.sync().unwrap();
    for checkpoint in [false, true] {
        if checkpoint {
            db.checkpoint().unwrap();
        }
        let left = Options::new().open_on(Arc::new(disk.kill())).unwrap();
        assert_eq!(left.tree_names().unwrap(), ["default", "new", "old"]);
        assert_eq!(names(left.open_tree("new").unwrap().scan()).unwrap(), [b"k", b"l"]);
        assert_eq!(names(left.open_tree("old").unwrap().scan()).unwrap(), [b"another"]);
        assert!(left.verify().unwrap().faults.is_empty());
    }
}

#[test]
fn wrong_requests_about_trees_change_nothing() {
    let (_disk, db) = sim(3);
    db.create_tree("a").unwrap();
    db.create_tree("b").unwrap();
    let address = db.stats().unwrap().log_address;
    let long = "n".repeat(MAX_TREE_NAME + 1);
    for name in ["", &long] {
        for error in [
            db.open_tree(name).unwrap_err(),
            db.create_tree(name).unwrap_err(),
            db.drop_tree(name).unwrap_err(),
            db.rename_tree(name, "c").unwrap_err(),
            db.rename_tree("a", name).unwrap_err(),
        ] {
            assert!(matches!(error, Error::TreeName { .. }), "{error}");
        }
    }
    for error in [db.drop_tree("c").unwrap_err(), db.rename_tree("c", "d").unwrap_err()] {
        assert!(matches!(error, Error::NoSuchTree { .. }), "{error}");
    }
    for error in [db.rename_tree("a", "b").unwrap_err(), db.rename_tree("a", "a").unwrap_err()] {
        assert!(matches!(error, Error::TreeExists { .. }), "{error}");
    }
    for error in [db.drop_tree("default").unwrap_err(), db.rename_tree("default", "c").unwrap_err()]
    {
        assert!(matches!(error, Error::DefaultTree), "{error}");
    }
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
    assert_eq!(db.tree_names().unwrap(), ["a", "b", "default"]);
}

#[test]
fn every_call_on_a_dropped_tree_is_refused() {
    let (_disk, db) = sim(4);
    let tree = db.create_tree("gone").unwrap();
    tree.put(b"k", b"v").unwrap();
    let mut entries = tree.scan().into_iter();
    entries.next().unwrap().unwrap();
    db.drop_tree("gone").unwrap();
    // The frames may be another tree's now, and the name is.
    db.create_tree("gone").unwrap().put(b"k", b"another").unwrap();
    let address = db.stats().unwrap().log_address;
    let mut buffer = Vec::new();
    for error in [
        tree.get(b"k").unwrap_err(),
        tree.get_with(b"k", |_, _| panic!("there is nothing to see")).unwrap_err(),
        tree.get_into(b"k", &mut buffer).unwrap_err(),
        tree.get_with_version(b"k").unwrap_err(),
        tree.version(b"k").unwrap_err(),
        tree.contains(b"k").unwrap_err(),
        tree.first(b"").unwrap_err(),
        tree.last(b"").unwrap_err(),
        tree.len().unwrap_err(),
        tree.is_empty().unwrap_err(),
        tree.is_prefix_empty(b"k").unwrap_err(),
        tree.name().unwrap_err(),
        tree.put(b"k", b"v").unwrap_err(),
        tree.delete(b"k").unwrap_err(),
        tree.scan().into_iter().next().unwrap().unwrap_err(),
        entries.next().unwrap().unwrap_err(),
    ] {
        assert!(matches!(error, Error::TreeDropped), "{error}");
    }
    assert!(entries.next().is_none());
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
    assert_eq!(db.tree("gone").unwrap().get(b"k").unwrap().unwrap(), b"another");
}

#[test]
fn the_space_of_a_dropped_tree_comes_back() {
    let (disk, db) = sim(5);
    let fill = |name: &str| {
        let tree = db.create_tree(name).unwrap();
        for number in 0..4000_u32 {
            tree.put(format!("{number:08}").as_bytes(), &[1; 100]).unwrap();
        }
        tree.put(b"large", &[1; 100_000]).unwrap();
    };
    db.checkpoint().unwrap();
    let before = db.stats().unwrap();
    fill("a");
    db.checkpoint().unwrap();
    let full = db.stats().unwrap();
    assert!(full.frames > before.frames + 5 && full.store_bytes > before.store_bytes + 400_000);
    db.drop_tree("a").unwrap();
    reclaimed(&db);
    assert_eq!(db.stats().unwrap().frames, before.frames);
    assert_eq!(db.stats().unwrap().memory_bytes, before.memory_bytes);
    db.checkpoint().unwrap();
    // Again and again in the space of the first.
    for round in 0..4 {
        fill("a");
        db.checkpoint().unwrap();
        db.drop_tree("a").unwrap();
        reclaimed(&db);
        db.checkpoint().unwrap();
        let stats = db.stats().unwrap();
        assert_eq!(stats.frames, before.frames, "round {round}");
        assert!(stats.store_bytes < 3 * full.store_bytes, "round {round}: {stats:?}");
    }
    assert!(db.verify().unwrap().faults.is_empty());
    db.close().unwrap();
    let db = Options::new().open_on(Arc::new(disk)).unwrap();
    assert_eq!(db.tree_names().unwrap(), ["default"]);
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn a_new_tree_of_an_old_name_has_nothing_of_the_old_one() {
    let disk = SimDisk::new(6);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    for round in 0..5_u8 {
        let tree = db.create_tree("t").unwrap();
        assert!(tree.is_empty().unwrap());
        tree.put(&[round], b"").unwrap();
        if round % 2 == 0 {
            db.checkpoint().unwrap();
        }
        if round < 4 {
            db.drop_tree("t").unwrap();
        }
    }
    // The log has writes to all five; only those of the last may be found.
    let left = Options::new().open_on(Arc::new(disk.kill())).unwrap();
    assert_eq!(names(left.open_tree("t").unwrap().scan()).unwrap(), [[4]]);
    // Ids go on behind the highest one ever given, dropped or not.
    left.drop_tree("t").unwrap();
    left.checkpoint().unwrap();
    let again = left.create_tree("t").unwrap();
    assert!(format!("{again:?}").contains("id: 7"), "{again:?}");
}

#[test]
fn readers_and_writers_of_a_tree_that_is_dropped_get_its_contents_or_an_error() {
    let (_disk, db) = sim(7);
    let done = AtomicBool::new(false);
    let (found, gone) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for thread in 0..2_u32 {
            let (db, done, found, gone) = (&db, &done, &found, &gone);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let tree = match db.open_tree("t") {
                        Ok(tree) => tree,
                        Err(Error::NoSuchTree { .. }) => continue,
                        Err(error) => panic!("{error}"),
                    };
                    for number in 0..300_u32 {
                        let key = format!("t{}", number * 7 % 300);
                        // Whoever reads a value reads one of this tree.
                        let read = tree.get(key.as_bytes());
                        let wrote = tree.put(format!("w{thread}/{number}").as_bytes(), b"t");
                        let listed = tree.prefix("t").limit(3).into_iter().last().transpose();
                        match (read, wrote, listed) {
                            (Err(Error::TreeDropped), _, _)
                            | (_, Err(Error::TreeDropped), _)
                            | (_, _, Err(Error::TreeDropped)) => {
                                gone.fetch_add(1, Ordering::Relaxed);
                                break;
                            }
                            (Ok(value), Ok(_), Ok(entry)) => {
                                found.fetch_add(1, Ordering::Relaxed);
                                let value = value.unwrap_or_else(|| b"t".to_vec());
                                assert_eq!(value, b"t", "a value of another tree");
                                let name = entry.map(holt_engine::Entry::into_name);
                                assert!(name.is_none_or(|name| name.starts_with(b"t")));
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
        let met = |count: &AtomicU32| count.load(Ordering::Relaxed) > 100;
        for round in 0.. {
            if round >= 120 && met(&found) && gone.load(Ordering::Relaxed) > 0 {
                break;
            }
            let tree = db.create_tree("t").unwrap();
            for number in 0..300_u32 {
                tree.put(format!("t{number}").as_bytes(), b"t").unwrap();
            }
            db.drop_tree("t").unwrap();
            // Takes the frames over, with keys that look alike.
            let other = db.create_tree("u").unwrap();
            for number in 0..300_u32 {
                other.put(format!("t{number}").as_bytes(), b"u").unwrap();
            }
            db.drop_tree("u").unwrap();
            if round % 10 == 0 {
                db.checkpoint().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(db.verify().unwrap().faults.is_empty());
    assert_eq!(db.tree_names().unwrap(), ["default"]);
}

#[test]
fn many_trees_are_found_again_under_their_newest_names() {
    let (disk, db) = sim(8);
    for number in 0..400 {
        db.create_tree(&format!("tree with the number {number}")).unwrap();
    }
    for number in (0..400).step_by(2) {
        db.drop_tree(&format!("tree with the number {number}")).unwrap();
    }
    for number in (1..400).step_by(4) {
        let from = format!("tree with the number {number}");
        db.rename_tree(&from, &format!("{number}, renamed")).unwrap();
    }
    db.default_tree().put_with(b"k", b"v", Durability::Sync).unwrap();
    let expected = db.tree_names().unwrap();
    assert_eq!(expected.len(), 201);
    let left = Options::new().open_on(Arc::new(disk.kill())).unwrap();
    assert_eq!(left.tree_names().unwrap(), expected);
    assert!(left.verify().unwrap().faults.is_empty());
}

#[test]
fn a_database_in_memory_does_what_one_on_disk_does() {
    let db = Db::in_memory().unwrap();
    let tree = db.create_tree("t").unwrap();
    let first = tree.put_with(b"k", b"v", Durability::Sync).unwrap();
    let second = tree.put(b"k", b"w").unwrap();
    assert!(first < second);
    assert!(!tree.delete_with(b"missing", Durability::Sync).unwrap());
    assert_eq!(contents(&tree).unwrap().len(), 1);
    db.sync().unwrap();
    let checkpoint = db.checkpoint().unwrap();
    assert_eq!((checkpoint.images, checkpoint.bytes), (0, 0));
    let stats = db.stats().unwrap();
    assert_eq!(
        (stats.keys.unwrap(), stats.trees, stats.store_bytes, stats.log_bytes),
        (1, 2, 0, 0)
    );
    assert_eq!(stats.checkpoint_address, None);
    assert!(stats.log_address > 0);
    db.rename_tree("t", "u").unwrap();
    assert!(db.verify().unwrap().faults.is_empty());
    db.drop_tree("u").unwrap();
    assert!(matches!(tree.get(b"k"), Err(Error::TreeDropped)));
    let default = db.default_tree();
    // Another one is another one.
    default.put(b"mine", b"").unwrap();
    assert!(!Db::in_memory().unwrap().default_tree().contains(b"mine").unwrap());
    db.close().unwrap();
    assert!(matches!(default.get(b"mine"), Err(Error::Closed)));
    assert!(matches!(default.put(b"mine", b""), Err(Error::Closed)));
}

#[test]
fn concurrent_writers_in_memory_get_unique_versions() {
    let db = Db::in_memory().unwrap();
    let mut versions: Vec<_> = thread::scope(|scope| {
        let write = |thread: u8| {
            let tree = db.default_tree();
            move || {
                (0..5000_u32)
                    .map(|n| tree.put(&[&[thread], &n.to_be_bytes()[..]].concat(), b"").unwrap())
                    .collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(write(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 20_000);
    assert_eq!(db.default_tree().len().unwrap(), 20_000);
    assert!(db.verify().unwrap().faults.is_empty());
}
