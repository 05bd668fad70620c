//! Backups: made beside writers, added to, restored, and never half there.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::thread;

use common::{Model, Random, contents, seed};
use holt_engine::disk::{Access, CrashPattern, Disk, DiskFile, Fault, SimDisk, Target, Trigger};
use holt_engine::{Db, Error, Options, restore, restore_on};

type Trees = BTreeMap<String, Model>;

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).checkpoint_bytes(0).keep_log_bytes(1 << 30);
    options
}

fn open(disk: &SimDisk) -> Db<SimDisk> {
    options().open_on(Arc::new(disk.clone())).unwrap()
}

fn trees<D: Disk>(db: &Db<D>) -> Trees {
    let tree = |name: String| {
        let model = contents(&db.open_tree(&name).unwrap()).unwrap();
        (name, model)
    };
    db.tree_names().unwrap().into_iter().map(tree).collect()
}

/// What a backup makes.
fn restored(backup: &SimDisk) -> Result<Trees, Error> {
    let disk = SimDisk::new(99);
    restore_on(&Arc::new(backup.clone()), Arc::new(disk.clone()))?;
    let db = open(&disk);
    assert!(db.verify().unwrap().faults.is_empty());
    Ok(trees(&db))
}

/// Some changes of all kinds.
fn change(db: &Db<SimDisk>, random: &mut Random) {
    let tree = db.tree(&format!("tree {}", random.below(3))).unwrap();
    for _ in 0..30 {
        let key = format!("{}/{}", random.below(4), random.below(30)).into_bytes();
        tree.put(&key, &vec![7; random.below(200) as usize]).unwrap();
    }
    match random.below(6) {
        0 => drop(tree.delete_prefix(b"1/").unwrap()),
        1 => {
            let _moved = tree.rename_prefix_replacing(b"2/", b"3/").unwrap();
        }
        2 => db.drop_tree(&tree.name().unwrap()).unwrap(),
        3 => {
            let new = format!("other {}", random.next());
            db.rename_tree(&tree.name().unwrap(), &new).unwrap();
        }
        4 => {
            let _renamed = tree.rename_replacing(b"0/1", b"0/2").unwrap();
            tree.delete(b"0/3").unwrap();
        }
        _ => {
            db.atomic(|batch| {
                batch.put(&tree, b"batch", b"1")?;
                batch.delete(&tree, b"0/4")?;
                batch.put(&db.default_tree(), b"batch", b"2")?;
                batch.delete_prefix(&tree, b"3/1")
            })
            .unwrap();
        }
    }
}

#[test]
fn a_backup_and_its_additions_make_the_database_again_over_checkpoints_and_reopening() {
    let mut random = Random::new(seed(4900));
    let (disk, backup) = (SimDisk::new(1), Arc::new(SimDisk::new(2)));
    let mut db = open(&disk);
    change(&db, &mut random);
    let full = db.backup_on(&backup).unwrap();
    assert!(full.after.is_none() && full.bytes > 0);
    assert_eq!(restored(&backup).unwrap(), trees(&db));
    let mut last = full.version;
    for round in 0..12 {
        change(&db, &mut random);
        match round % 4 {
            1 => drop(db.checkpoint().unwrap()),
            2 => {
                db.close().unwrap();
                db = open(&disk);
            }
            _ => {}
        }
        let added = db.backup_changes_on(&backup).unwrap();
        assert!(added.after == Some(last) && added.records > 0, "{added:?}");
        last = added.version;
        assert_eq!(restored(&backup).unwrap(), trees(&db), "round {round}");
    }
    // Nothing new is nothing written.
    let files = backup.list().unwrap();
    let added = db.backup_changes_on(&backup).unwrap();
    assert_eq!((added.version, added.records), (last, 0));
    assert_eq!(backup.list().unwrap(), files);
    // A newer one of everything counts, with what is added to it.
    db.backup_on(&backup).unwrap();
    change(&db, &mut random);
    db.backup_changes_on(&backup).unwrap();
    assert_eq!(restored(&backup).unwrap(), trees(&db));
}

#[test]
fn a_backup_beside_writers_has_a_prefix_of_what_they_wrote() {
    let (disk, backup) = (SimDisk::new(3), Arc::new(SimDisk::new(4)));
    let db = open(&disk);
    let number = |tree: &Model, key: &[u8]| {
        tree.get(key).map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
    };
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let tree = db.default_tree();
            for count in 1..=4000_u64 {
                let count = count.to_be_bytes();
                let batch = |batch: &mut holt_engine::Batch<SimDisk>| {
                    batch.put(&tree, b"one", &count)?;
                    batch.put(&tree, b"two", &count)
                };
                db.atomic(batch).unwrap();
            }
        });
        let mut last = 0;
        db.backup_on(&backup).unwrap();
        while !writer.is_finished() {
            db.backup_changes_on(&backup).unwrap();
            let found = restored(&backup).unwrap().remove("default").unwrap();
            let count = number(&found, b"one");
            assert_eq!(count, number(&found, b"two"));
            assert!(count >= last);
            last = count;
        }
    });
    db.backup_changes_on(&backup).unwrap();
    assert_eq!(restored(&backup).unwrap(), trees(&db));
}

#[test]
fn a_crash_at_any_call_leaves_the_backup_that_there_was_or_the_new_one() {
    let seed = seed(4901);
    for adding in [false, true] {
        for call in 0.. {
            let (disk, backup) = (SimDisk::new(5), Arc::new(SimDisk::new(seed + call)));
            let db = open(&disk);
            db.default_tree().put(b"a", b"1").unwrap();
            db.backup_on(&backup).unwrap();
            let old = trees(&db);
            db.default_tree().put(b"b", b"2").unwrap();
            let new = trees(&db);
            backup.inject(Trigger::once(Target::Changes, call, Fault::PowerCut));
            let made = match adding {
                true => db.backup_changes_on(&backup),
                false => db.backup_on(&backup),
            };
            for pattern in CrashPattern::ALL {
                let left = backup.crash(seed ^ call, pattern);
                let found = restored(&left).unwrap();
                let allowed = found == new || (found == old && made.is_err());
                assert!(allowed, "call {call}, {pattern:?}: {found:?}");
                // What an interrupted one has left is in nobody's way.
                db.backup_changes_on(&Arc::new(left.clone())).unwrap();
                assert_eq!(restored(&left).unwrap(), new, "call {call}, {pattern:?}");
            }
            if !backup.is_off() {
                made.unwrap();
                assert!(call > 3, "{call} calls");
                break;
            }
        }
    }
}

#[test]
fn what_cannot_be_added_to_or_restored_is_refused_with_the_reason() {
    let (disk, backup) = (SimDisk::new(6), Arc::new(SimDisk::new(7)));
    let db = options().keep_log_bytes(0).open_on(Arc::new(disk)).unwrap();
    assert!(matches!(db.backup_changes_on(&backup), Err(Error::NoBackup)));
    assert!(matches!(restored(&backup), Err(Error::NoBackup)));
    db.default_tree().put(b"a", b"1").unwrap();
    db.backup_on(&backup).unwrap();
    let other = open(&SimDisk::new(8));
    assert!(matches!(other.backup_on(&backup), Err(Error::WrongArchive { .. })));
    assert!(matches!(other.backup_changes_on(&backup), Err(Error::WrongArchive { .. })));
    for number in 0..200_u64 {
        db.default_tree().put(&number.to_be_bytes(), &[1; 900]).unwrap();
    }
    db.checkpoint().unwrap();
    assert!(matches!(db.backup_changes_on(&backup), Err(Error::ChangesGone { .. })));
    assert_eq!(backup.list().unwrap().len(), 1, "nothing is left of it");
    // A closed database says so before it looks at the backup.
    let closed = db.clone();
    db.close().unwrap();
    let elsewhere = Arc::new(SimDisk::new(9));
    assert!(matches!(closed.backup_on(&elsewhere), Err(Error::Closed)));
    assert!(matches!(closed.backup_changes_on(&elsewhere), Err(Error::Closed)));
    assert!(elsewhere.list().unwrap().is_empty());
    // Every byte of a backup counts.
    let name = &backup.list().unwrap()[0];
    let bytes = backup.contents(name).unwrap();
    for (at, byte) in bytes.iter().enumerate() {
        let file = backup.open(name, Access::ReadWrite).unwrap();
        file.write_bytes_at(&[byte ^ 4], at as u64).unwrap();
        let error = restored(&backup).unwrap_err();
        assert!(matches!(error, Error::Archive(_) | Error::WrongArchive { .. }), "{at}: {error}");
        file.write_bytes_at(&[*byte], at as u64).unwrap();
    }
    restored(&backup).unwrap();
}

#[test]
fn a_missing_archive_is_told_and_can_be_made_up_for() {
    let backup = Arc::new(SimDisk::new(12));
    let db = open(&SimDisk::new(11));
    db.default_tree().put(b"0", b"").unwrap();
    db.backup_on(&backup).unwrap();
    for number in 1..4_u8 {
        db.default_tree().put(&[number], b"").unwrap();
        db.backup_changes_on(&backup).unwrap();
    }
    let whole = trees(&db);
    let mut names = backup.list().unwrap();
    names.sort();
    let [_, middle, last, full] = &names[..] else { panic!("{names:?}") };
    let without = |missing: &[&String]| {
        let copy = backup.crash(1, CrashPattern::ALL[0]);
        missing.iter().for_each(|name| copy.remove(name).unwrap());
        copy
    };
    for (missing, next) in [(middle, last), (full, &names[0])] {
        let copy = without(&[missing]);
        let refused = restored(&copy);
        let Err(Error::WrongArchive { what }) = refused else { panic!("{missing}: {refused:?}") };
        assert!(what.starts_with(next.as_str()) && what.contains("missing"), "{what}");
    }
    // Without those at the end it is an older backup, and whole.
    assert_eq!(restored(&without(&[last])).unwrap()["default"].len(), 3);
    let copy = without(&[middle]);
    let added = db.backup_changes_on(&Arc::new(copy.clone())).unwrap();
    assert_eq!(added.records, 2);
    assert_eq!(restored(&copy).unwrap(), whole);
    let copy = without(&[full]);
    assert!(matches!(db.backup_changes_on(&Arc::new(copy.clone())), Err(Error::NoBackup)));
    db.backup_on(&Arc::new(copy.clone())).unwrap();
    assert_eq!(restored(&copy).unwrap(), whole);
}

#[test]
fn a_directory_is_restored_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let db = options().open(at("db")).unwrap();
    db.tree("files").unwrap().put(b"a", b"1").unwrap();
    db.backup(at("backup")).unwrap();
    db.tree("files").unwrap().put(b"b", b"2").unwrap();
    db.backup_changes(at("backup")).unwrap();
    // Something is there.
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full").join("file"), b"").unwrap();
    for place in ["full", "full/file", "db"] {
        assert!(matches!(restore(at("backup"), at(place)), Err(Error::Exists)), "{place}");
    }
    assert!(matches!(restore(at("none"), at("new")), Err(Error::Io { .. })));
    assert!(matches!(restore(at("full"), at("new")), Err(Error::NoBackup)));
    // What a killed attempt has left, into an empty directory and beside one.
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at(".empty.restoring")).unwrap();
    fs::write(at(".empty.restoring").join("DATA"), b"half").unwrap();
    for place in ["empty", "new"] {
        let restored = restore(at("backup"), at(place)).unwrap();
        assert_eq!((restored.archives, restored.records), (2, 4));
        assert_eq!(trees(&Db::open(at(place)).unwrap()), trees(&db));
    }
    // An attempt that fails leaves nothing.
    let part = fs::read_dir(at("backup")).unwrap().map(|entry| entry.unwrap().path());
    let part = part.max().unwrap();
    let mut bytes = fs::read(&part).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&part, bytes).unwrap();
    assert!(matches!(restore(at("backup"), at("late")), Err(Error::Archive(_))));
    let mut names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["backup", "db", "empty", "full", "new"]);
    // While somebody is at it, nobody else is.
    fs::create_dir(at(".late.restoring")).unwrap();
    let held = holt_engine::disk::RealDisk::open(at(".late.restoring")).unwrap();
    let _lock = held.lock("LOCK", true).unwrap().unwrap();
    assert!(matches!(restore(at("backup"), at("late")), Err(Error::Locked { .. })));
}

#[test]
fn a_database_in_memory_is_backed_up_whole() {
    let backup = Arc::new(SimDisk::new(10));
    let db = Db::in_memory().unwrap();
    db.default_tree().put(b"a", b"1").unwrap();
    db.backup_on(&backup).unwrap();
    assert_eq!(restored(&backup).unwrap(), trees(&db));
    assert!(matches!(db.backup_changes_on(&backup), Err(Error::NoLog)));
}

#[test]
fn archives_of_changes_after_a_version_come_together_from_several_directories() {
    let seed = seed(17);
    let mut random = Random::new(seed);
    let db = open(&SimDisk::new(seed));
    change(&db, &mut random);
    let store = Arc::new(SimDisk::new(2));
    let mut version = db.backup_on(&store).unwrap().version;
    for day in 3..8 {
        // Nothing of what was archived before is where this is written.
        let here = Arc::new(SimDisk::new(day));
        change(&db, &mut random);
        let made = db.backup_changes_after_on(version, &here).unwrap();
        assert_eq!(made.after, Some(version), "seed {seed}");
        assert!(made.version > version && made.records > 0);
        version = made.version;
        // Alone it is nothing to restore.
        assert!(matches!(restored(&here), Err(Error::WrongArchive { .. })));
        for name in here.list().unwrap() {
            let archive = here.contents(&name).unwrap();
            let copy = store.create(&name).unwrap();
            copy.write_bytes_at(&archive, 0).unwrap();
        }
        assert_eq!(restored(&store).unwrap(), trees(&db), "seed {seed}");
    }
    // The present is no less known than the past; nothing has changed after it.
    let last = db.last_version().unwrap();
    let none = db.backup_changes_after_on(last, &Arc::new(SimDisk::new(9))).unwrap();
    assert_eq!((none.after, none.version, none.records), (Some(last), last, 0));

    let never = holt_engine::Version::new(last.get() + 1000).unwrap();
    let unknown = db.backup_changes_after_on(never, &store);
    assert!(matches!(unknown, Err(Error::UnknownVersion { version }) if version == never));
    let other = open(&SimDisk::new(10));
    other.default_tree().put(b"a", b"").unwrap();
    let foreign = other.backup_changes_after_on(other.last_version().unwrap(), &store);
    assert!(matches!(foreign, Err(Error::WrongArchive { .. })));
}
