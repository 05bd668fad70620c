//! Whole prefixes: renaming, deleting, counting, and the memory that comes back.

mod common;

use std::sync::Arc;
use std::thread;

use common::{Model, contents};
use holt_engine::disk::SimDisk;
use holt_engine::{Db, Durability, Error, MAX_KEY, Moved, Options, Tree};

fn sim(seed: u64) -> (SimDisk, Db<SimDisk>) {
    let disk = SimDisk::new(seed);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    (disk, db)
}

fn fill(tree: &Tree<SimDisk>, prefix: &str, keys: u32) -> Model {
    let mut model = Model::new();
    for number in 0..keys {
        let key = format!("{prefix}{:03}/{number:06}", number % 40).into_bytes();
        let value = vec![number as u8; if number % 500 == 0 { 20_000 } else { 30 }];
        tree.put(&key, &value).unwrap();
        model.insert(key, value);
    }
    model
}

fn reclaimed(db: &Db<SimDisk>) {
    while db.stats().unwrap().reclaiming {
        thread::yield_now();
    }
}

/// That the database has this now, and after a kill, and that it is sound in both.
fn check(disk: &SimDisk, db: &Db<SimDisk>, expected: &Model) {
    check_with(&Options::new(), disk, db, expected);
}

fn check_with(options: &Options, disk: &SimDisk, db: &Db<SimDisk>, expected: &Model) {
    db.sync().unwrap();
    let left = options.open_on(Arc::new(disk.kill())).unwrap();
    for db in [db, &left] {
        assert!(contents(&db.default_tree()).unwrap() == *expected);
        assert_eq!(db.default_tree().len().unwrap(), expected.len() as u64);
        let report = db.verify().unwrap();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
    }
}

#[test]
fn a_directory_moves_as_a_whole_and_keeps_its_versions() {
    let (disk, db) = sim(1);
    let tree = db.default_tree();
    let mut model = fill(&tree, "from/", 8000);
    model.extend(fill(&tree, "stays/", 100));
    let version = tree.version(b"from/001/000001").unwrap();
    for checkpoint in [false, true] {
        if checkpoint {
            db.checkpoint().unwrap();
        }
        let (from, to) = if checkpoint { ("to/", "from/") } else { ("from/", "to/") };
        let before = db.stats().unwrap().log_address;
        let moved = tree.rename_prefix(from.as_bytes(), to.as_bytes()).unwrap();
        assert!(matches!(moved, Moved::Done(_)));
        assert!(db.stats().unwrap().log_address - before < 64, "one small record");
        model = model
            .into_iter()
            .map(|(key, value)| match key.strip_prefix(from.as_bytes()) {
                Some(rest) => ([to.as_bytes(), rest].concat(), value),
                None => (key, value),
            })
            .collect();
        check(&disk, &db, &model);
        assert_eq!(tree.version(format!("{to}001/000001").as_bytes()).unwrap(), version);
        assert_eq!(tree.count(to.as_bytes()).unwrap(), 8000);
        assert!(tree.is_prefix_empty(from.as_bytes()).unwrap());
    }
}

#[test]
fn a_prefix_that_cannot_be_renamed_is_told_and_nothing_changes() {
    let (disk, db) = sim(2);
    let tree = db.default_tree();
    let model = fill(&tree, "a/", 50);
    tree.put(b"b/1", b"").unwrap();
    let address = db.stats().unwrap().log_address;
    assert_eq!(tree.rename_prefix(b"c/", b"d/").unwrap(), Moved::Missing);
    assert_eq!(tree.rename_prefix(b"c/", b"a/").unwrap(), Moved::Missing);
    assert_eq!(tree.rename_prefix_replacing(b"c/", b"a/").unwrap(), Moved::Missing);
    assert_eq!(tree.rename_prefix(b"a/", b"b/").unwrap(), Moved::Occupied);
    assert_eq!(tree.rename_prefix(b"a/", b"a/").unwrap(), Moved::Unchanged);
    assert!(!tree.delete_prefix(b"c").unwrap());
    for (from, to) in [(&b""[..], &b"x"[..]), (b"a", b"")] {
        let error = tree.rename_prefix(from, to).unwrap_err();
        assert!(matches!(error, Error::EmptyPrefix), "{error}");
    }
    let error = tree.rename_prefix(b"a/", b"a/b").unwrap_err();
    assert!(matches!(error, Error::PrefixInside), "{error}");
    let long = vec![b'x'; MAX_KEY + 1];
    for error in [
        tree.rename_prefix(b"a/", &long).unwrap_err(),
        tree.rename_prefix_replacing(&long, b"x").unwrap_err(),
        // The prefix is short enough, and what would result is not.
        tree.rename_prefix(b"a/", &long[..MAX_KEY - 3]).unwrap_err(),
        tree.delete_prefix(&long).unwrap_err(),
        tree.count(&long).unwrap_err(),
        tree.usage(&long).unwrap_err(),
    ] {
        assert!(matches!(error, Error::KeyTooLong { length } if length > MAX_KEY), "{error}");
    }
    let refused = db.atomic(|batch| {
        for error in [
            batch.rename_prefix(&tree, b"", b"x").unwrap_err(),
            batch.rename_prefix_replacing(&tree, b"a", b"").unwrap_err(),
        ] {
            assert!(matches!(error, Error::EmptyPrefix), "{error}");
        }
        let error = batch.rename_prefix(&tree, b"a", b"ab").unwrap_err();
        assert!(matches!(error, Error::PrefixInside), "{error}");
        batch.delete_prefix(&tree, &long)
    });
    assert!(matches!(refused, Err(Error::KeyTooLong { .. })));
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
    let mut expected = model;
    expected.insert(b"b/1".to_vec(), Vec::new());
    check(&disk, &db, &expected);
}

#[test]
fn what_is_in_the_way_is_replaced_where_that_is_asked_for() {
    let (disk, db) = sim(3);
    let tree = db.default_tree();
    fill(&tree, "build/", 5000);
    let new = fill(&tree, "build.new/", 3000);
    let moved = tree.rename_prefix_replacing(b"build.new/", b"build/").unwrap();
    assert!(matches!(moved, Moved::Done(_)));
    let model: Model = new
        .into_iter()
        .map(|(key, value)| ([b"build/", key.strip_prefix(b"build.new/").unwrap()].concat(), value))
        .collect();
    check(&disk, &db, &model);
    reclaimed(&db);
    check(&disk, &db, &model);
}

#[test]
fn deleted_prefixes_and_trees_give_their_memory_back() {
    let (disk, db) = sim(4);
    let tree = db.default_tree();
    let kept = fill(&tree, "kept/", 500);
    let before = db.stats().unwrap();
    for round in 0..3 {
        fill(&tree, "goes/", 20_000);
        let full = db.stats().unwrap();
        assert!(full.frames > before.frames + 10);
        assert!(tree.delete_prefix(b"goes/").unwrap());
        assert_eq!(tree.len().unwrap(), 500);
        if round == 1 {
            // It goes on with a checkpoint beside it, and behind one.
            db.checkpoint().unwrap();
        }
        reclaimed(&db);
        db.checkpoint().unwrap();
        let stats = db.stats().unwrap();
        assert!(stats.frames <= before.frames + 2, "round {round}: {stats:?}");
        check(&disk, &db, &kept);
    }
    tree.clear().unwrap();
    assert!(tree.is_empty().unwrap());
    tree.clear().unwrap();
    reclaimed(&db);
    assert!(db.stats().unwrap().frames <= 4);
    check(&disk, &db, &Model::new());
}

#[test]
fn what_was_deleted_before_a_crash_is_reclaimed_after_it() {
    let (disk, db) = sim(5);
    let tree = db.default_tree();
    fill(&tree, "goes/", 20_000);
    db.checkpoint().unwrap();
    tree.delete_prefix_with(b"goes/", Durability::Os).unwrap();
    let left = disk.kill();
    let db = Options::new().open_on(Arc::new(left.clone())).unwrap();
    assert!(db.default_tree().is_empty().unwrap());
    reclaimed(&db);
    assert!(db.stats().unwrap().frames <= 4, "{:?}", db.stats());
    assert!(db.verify().unwrap().faults.is_empty());
    db.close().unwrap();
    // Whoever only reads leaves the trash as it is, and it is no fault.
    let db = Options::new().read_only(true).open_on(Arc::new(disk.kill())).unwrap();
    assert!(db.default_tree().is_empty().unwrap());
    assert!(db.stats().unwrap().reclaiming);
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn counts_are_those_of_a_walk() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    let mut bytes = 0;
    for number in 0..3000_u32 {
        let (key, value) = (format!("{}/{number}", number % 7), vec![0; number as usize % 50]);
        tree.put(key.as_bytes(), &value).unwrap();
        if number % 7 == 3 {
            bytes += (key.len() + value.len()) as u64;
        }
    }
    let usage = tree.usage(b"3/").unwrap();
    assert_eq!((usage.keys, usage.bytes), (tree.count(b"3/").unwrap(), bytes));
    assert_eq!(usage.keys as usize, tree.prefix("3/").into_iter().count());
    assert_eq!((tree.count(b"").unwrap(), tree.len().unwrap()), (3000, 3000));
    assert_eq!(tree.count(b"8").unwrap(), 0);
    assert_eq!(tree.usage(b"8").unwrap(), holt_engine::Usage::default());
}

#[test]
fn readers_of_a_directory_that_moves_find_it_under_one_name() {
    let (_disk, db) = sim(6);
    let tree = db.default_tree();
    fill(&tree, "here/", 4000);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut here, mut there) = (0, 0);
            while here < 300 || there < 300 {
                let before = tree.version(b"moves").unwrap();
                let found = ["here/007/000007", "there/007/000007"]
                    .map(|key| tree.contains(key.as_bytes()).unwrap());
                if before != tree.version(b"moves").unwrap() {
                    // It may have moved between the two looks.
                    continue;
                }
                here += u32::from(found[0]);
                there += u32::from(found[1]);
                assert!(found[0] != found[1], "{found:?}");
            }
        });
        let mut moves = 0_u32;
        while !reader.is_finished() {
            let (from, to) =
                if moves.is_multiple_of(2) { ("here/", "there/") } else { ("there/", "here/") };
            // The count changes with the move, in one step.
            db.atomic(|batch| {
                batch.put(&tree, b"moves", &moves.to_le_bytes())?;
                batch.rename_prefix(&tree, from.as_bytes(), to.as_bytes())
            })
            .unwrap();
            moves += 1;
            let other = if moves.is_multiple_of(2) { "here/007/x" } else { "there/007/x" };
            tree.put(other.as_bytes(), b"written meanwhile").unwrap();
            if moves.is_multiple_of(64) {
                thread::yield_now();
            }
        }
        reader.join().unwrap();
    });
    assert!(db.verify().unwrap().faults.is_empty());
    assert_eq!(tree.len().unwrap(), 4002);
}

#[test]
fn prefixes_of_a_database_in_memory_are_reclaimed_too() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for number in 0..20_000_u32 {
        tree.put(format!("a/{number}").as_bytes(), &[0; 100]).unwrap();
    }
    let other = db.create_tree("other").unwrap();
    for number in 0..20_000_u32 {
        other.put(format!("a/{number}").as_bytes(), &[0; 100]).unwrap();
    }
    assert!(matches!(tree.rename_prefix(b"a/", b"b/").unwrap(), Moved::Done(_)));
    tree.delete_prefix(b"b/").unwrap();
    db.drop_tree("other").unwrap();
    while db.stats().unwrap().reclaiming {
        thread::yield_now();
    }
    assert!(db.stats().unwrap().frames <= 4, "{:?}", db.stats());
    assert!(db.verify().unwrap().faults.is_empty());
}

/// What is replayed needs no more memory than what was done, and there the trash was emptied
/// meanwhile.
#[test]
fn a_replay_has_room_where_the_first_run_had() {
    let disk = SimDisk::new(8);
    let mut options = Options::new();
    options.memory_bytes(6 << 20).checkpoint_bytes(0);
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.default_tree();
    let mut model = Model::new();
    for round in 0..6 {
        match round % 3 {
            0 => assert_eq!(tree.delete_prefix(b"new/").unwrap(), round > 0),
            1 => {
                db.atomic(|batch| batch.delete_prefix(&tree, b"new/")).unwrap();
            }
            _ => drop(tree.rename_prefix_replacing(b"new/", b"old/").unwrap()),
        }
        tree.delete_prefix(b"old/").unwrap();
        reclaimed(&db);
        model = fill(&tree, "new/", 20_000);
        let other = db.create_tree("other").unwrap();
        fill(&other, "new/", 4_000);
        db.drop_tree("other").unwrap();
        reclaimed(&db);
    }
    check_with(&options, &disk, &db, &model);
}
