//! Versions: unique, and each greater than all before it, over everything that happens to a database.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::seed;
use holt_engine::disk::{CrashPattern, SimDisk};
use holt_engine::{
    Db, Durability, ImportOptions, Moved, Options, Outcome, Renamed, Updated, Version, restore_on,
};

fn open(disk: &SimDisk) -> Db<SimDisk> {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).checkpoint_bytes(0).durability(Durability::Os);
    options.open_on(Arc::new(disk.clone())).unwrap()
}

/// The versions that have been given, in their order.
struct Given {
    last: Option<Version>,
    all: BTreeSet<Version>,
}

impl Given {
    fn add(&mut self, version: Version, what: &str) {
        assert!(self.last < Some(version), "{what}: {version:?} after {:?}", self.last);
        assert!(version < Version::MAX && self.all.insert(version), "{what}");
        self.last = Some(version);
    }
}

/// One change of each kind that has a version.
fn changes(db: &Db<SimDisk>, given: &mut Given) {
    let tree = db.tree("tree").unwrap();
    given.add(tree.put(b"a", b"1").unwrap(), "put");
    tree.delete(b"b").unwrap();
    given.add(tree.put_if_absent(b"b", b"1").unwrap().done().unwrap(), "put_if_absent");
    let seen = tree.version(b"a").unwrap();
    given.add(tree.compare_and_put(b"a", seen, b"2").unwrap().done().unwrap(), "compare_and_put");
    let Updated::Put(version) = tree.update(b"a", |_| Some(b"3".to_vec())).unwrap() else {
        panic!()
    };
    given.add(version, "update");
    tree.delete_prefix(b"many/").unwrap();
    for outcome in tree.put_all_if_absent(&[("many/1", ""), ("many/2", "")]).unwrap() {
        let Outcome::Done(version) = outcome else { panic!("{outcome:?}") };
        given.add(version, "put_all_if_absent");
    }
    let Renamed::Done(version) = tree.rename_replacing(b"a", b"c").unwrap() else { panic!() };
    given.add(version, "rename");
    let moved = tree.rename_prefix_replacing(b"many/", b"moved/").unwrap();
    let Moved::Done(version) = moved else { panic!("{moved:?}") };
    given.add(version, "rename_prefix");
    let applied = db
        .atomic(|batch| {
            batch.put(&tree, b"d", b"1")?;
            batch.delete(&tree, b"none")?;
            batch.put(&tree, b"e", b"1")
        })
        .unwrap();
    (0..3).for_each(|number| given.add(applied.version(number).unwrap(), "batch"));
    db.transact(|tx| {
        let value = tx.get(&tree, b"d")?.unwrap_or_default();
        tx.put(&tree, b"f", &value)
    })
    .unwrap();
    given.add(tree.version(b"f").unwrap().unwrap(), "transaction");
}

#[test]
fn they_increase_over_reopening_crashes_checkpoints_and_imports() {
    let seed = seed(0x7E25);
    let mut disk = SimDisk::new(seed);
    let mut db = open(&disk);
    let mut given = Given { last: None, all: BTreeSet::new() };
    for round in 0..12_u64 {
        changes(&db, &mut given);
        let last = db.last_version().unwrap();
        assert!(given.last <= Some(last));
        match round % 6 {
            0 => {
                db.close().unwrap();
                db = open(&disk);
            }
            1 => drop(db.checkpoint().unwrap()),
            2 => drop(db.compact().unwrap()),
            3 => {
                // Those of lost writes are not given again either.
                let pattern = CrashPattern::ALL[round as usize % CrashPattern::ALL.len()];
                disk = disk.crash(seed ^ round, pattern);
                db = open(&disk);
            }
            4 => {
                let mut archive = Vec::new();
                db.snapshot().unwrap().export().tree("tree").write_to(&mut archive).unwrap();
                db.drop_tree("tree").unwrap();
                db.import(&archive[..], &ImportOptions::new()).unwrap();
                let tree = db.open_tree("tree").unwrap();
                let imported: BTreeSet<Version> = tree
                    .scan()
                    .into_iter()
                    .map(|entry| entry.unwrap().version().unwrap())
                    .collect();
                assert_eq!(imported.len() as u64, tree.len().unwrap(), "each has its own");
                imported.into_iter().for_each(|version| given.add(version, "import"));
            }
            _ => {
                db.drop_tree("tree").unwrap();
            }
        }
    }
}

#[test]
fn a_restored_database_gives_its_own_and_goes_on_with_them() {
    let (disk, backup) = (SimDisk::new(1), Arc::new(SimDisk::new(2)));
    let db = open(&disk);
    changes(&db, &mut Given { last: None, all: BTreeSet::new() });
    db.backup_on(&backup).unwrap();
    let restored = SimDisk::new(3);
    restore_on(&backup, Arc::new(restored.clone())).unwrap();
    let mut given = Given { last: None, all: BTreeSet::new() };
    for _ in 0..2 {
        let db = open(&restored);
        let of = |entry: holt_engine::Entry| entry.version().unwrap();
        let there: BTreeSet<Version> =
            db.tree("tree").unwrap().scan().into_iter().map(|entry| of(entry.unwrap())).collect();
        assert!(there.last().copied() <= Some(db.last_version().unwrap()));
        given.last = given.last.max(there.last().copied());
        changes(&db, &mut given);
        db.close().unwrap();
    }
}
