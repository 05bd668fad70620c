//! Every method meets every state in which it must refuse: closed, read-only, of a dropped tree.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::contents;
use holt_engine::disk::{SimDisk, Target};
use holt_engine::{Db, Durability, Error, ImportOptions, Options, Tree, Version};

/// No archive; what must not be written to is refused before it is looked at.
const ARCHIVE: &[u8] = b"none";

type Call = fn(&Db<SimDisk>, &Tree<SimDisk>) -> Result<(), Error>;

const SYNC: Durability = Durability::Sync;

fn version() -> Version {
    Version::new(1).unwrap()
}

/// Everything that changes what a tree holds.
const WRITES: &[(&str, Call)] = &[
    ("put", |_, tree| tree.put(b"k", b"").map(drop)),
    ("put_with", |_, tree| tree.put_with(b"k", b"", SYNC).map(drop)),
    ("delete", |_, tree| tree.delete(b"k").map(drop)),
    ("delete_with", |_, tree| tree.delete_with(b"missing", SYNC).map(drop)),
    ("put_if_absent", |_, tree| tree.put_if_absent(b"k", b"").map(drop)),
    ("put_if_absent_with", |_, tree| tree.put_if_absent_with(b"x", b"", SYNC).map(drop)),
    ("compare_and_put", |_, tree| tree.compare_and_put(b"x", None, b"").map(drop)),
    ("compare_and_put_with", |_, tree| {
        tree.compare_and_put_with(b"x", Some(version()), b"", SYNC).map(drop)
    }),
    ("compare_and_delete", |_, tree| tree.compare_and_delete(b"k", version()).map(drop)),
    ("compare_and_delete_with", |_, tree| {
        tree.compare_and_delete_with(b"k", version(), SYNC).map(drop)
    }),
    ("update", |_, tree| tree.update(b"k", |_| panic!("run for nothing")).map(drop)),
    ("update_with", |_, tree| {
        tree.update_with(b"k", SYNC, |_| panic!("run for nothing")).map(drop)
    }),
    ("put_all_if_absent", |_, tree| tree.put_all_if_absent(&[("x", "")]).map(drop)),
    ("put_all_if_absent_with", |_, tree| {
        tree.put_all_if_absent_with::<&str, &str>(&[("k", "")], SYNC).map(drop)
    }),
    ("rename", |_, tree| tree.rename(b"k", b"x").map(drop)),
    ("rename_with", |_, tree| tree.rename_with(b"missing", b"x", SYNC).map(drop)),
    ("rename_replacing", |_, tree| tree.rename_replacing(b"k", b"x").map(drop)),
    ("rename_replacing_with", |_, tree| tree.rename_replacing_with(b"k", b"x", SYNC).map(drop)),
    ("rename_prefix", |_, tree| tree.rename_prefix(b"d/", b"e/").map(drop)),
    ("rename_prefix_with", |_, tree| tree.rename_prefix_with(b"none/", b"e/", SYNC).map(drop)),
    ("rename_prefix_replacing", |_, tree| tree.rename_prefix_replacing(b"d/", b"k").map(drop)),
    ("rename_prefix_replacing_with", |_, tree| {
        tree.rename_prefix_replacing_with(b"d/", b"k", SYNC).map(drop)
    }),
    ("delete_prefix", |_, tree| tree.delete_prefix(b"d/").map(drop)),
    ("delete_prefix_with", |_, tree| tree.delete_prefix_with(b"none/", SYNC).map(drop)),
    ("transact_with", |db, tree| db.transact_with(SYNC, 1, |tx| tx.put(tree, b"k", b""))),
    ("clear", |_, tree| tree.clear()),
    ("atomic", |db, tree| db.atomic(|batch| batch.put(tree, b"k", b"")).map(drop)),
    ("atomic_with", |db, tree| {
        db.atomic_with(SYNC, |batch| batch.require_absent(tree, b"x")).map(drop)
    }),
];

/// Everything that changes which trees there are, or the files.
const CHANGES: &[(&str, Call)] = &[
    ("tree", |db, _| db.tree("new").map(drop)),
    ("create_tree", |db, _| db.create_tree("new").map(drop)),
    ("rename_tree", |db, _| db.rename_tree("t", "new")),
    ("drop_tree", |db, _| db.drop_tree("t")),
    ("checkpoint", |db, _| db.checkpoint().map(drop)),
    ("compact", |db, _| db.compact().map(drop)),
    ("import", |db, _| db.import(ARCHIVE, &ImportOptions::new()).map(drop)),
];

/// Everything that reads a tree.
const READS: &[(&str, Call)] = &[
    ("name", |_, tree| tree.name().map(drop)),
    ("get", |_, tree| tree.get(b"k").map(drop)),
    ("get_with_version", |_, tree| tree.get_with_version(b"k").map(drop)),
    ("get_with", |_, tree| tree.get_with(b"k", |_, _| ()).map(drop)),
    ("get_many", |_, tree| tree.get_many(&["k", "x"]).map(drop)),
    ("get_many_with", |_, tree| tree.get_many_with(&["k", "x"], |_, _| ())),
    ("longest_prefix", |_, tree| tree.longest_prefix(b"d/1/x").map(drop)),
    ("get_into", |_, tree| tree.get_into(b"k", &mut Vec::new()).map(drop)),
    ("version", |_, tree| tree.version(b"k").map(drop)),
    ("contains", |_, tree| tree.contains(b"k").map(drop)),
    ("first", |_, tree| tree.first(b"").map(drop)),
    ("last", |_, tree| tree.last(b"").map(drop)),
    ("len", |_, tree| tree.len().map(drop)),
    ("is_empty", |_, tree| tree.is_empty().map(drop)),
    ("is_prefix_empty", |_, tree| tree.is_prefix_empty(b"d/").map(drop)),
    ("count", |_, tree| tree.count(b"d/").map(drop)),
    ("usage", |_, tree| tree.usage(b"d/").map(drop)),
    ("scan", |_, tree| tree.scan().into_iter().try_for_each(|entry| entry.map(drop))),
    ("prefix", |_, tree| tree.prefix("d/").into_iter().try_for_each(|entry| entry.map(drop))),
    ("range", |_, tree| tree.range("d"..).reverse().into_iter().try_for_each(|e| e.map(drop))),
    ("page", |_, tree| tree.scan().limit(2).page().map(drop)),
    ("visit", |_, tree| tree.scan().visit(|_| std::ops::ControlFlow::<()>::Continue(())).map(drop)),
];

/// Everything that asks the database itself, and changes nothing.
const ASKS: &[(&str, Call)] = &[
    ("open_tree", |db, _| db.open_tree("t").map(drop)),
    ("tree_name", |db, _| db.tree_name(1).map(drop)),
    ("last_version", |db, _| db.last_version().map(drop)),
    ("snapshot", |db, _| db.snapshot().map(drop)),
    ("changes", |db, _| db.changes(None).open().map(drop)),
    ("tree_names", |db, _| db.tree_names().map(drop)),
    ("sync", |db, _| db.sync()),
    ("stats", |db, _| db.stats().map(drop)),
    ("verify", |db, _| db.verify().map(drop)),
];

/// A database with a tree `t` in it that holds three keys.
fn filled(seed: u64) -> (SimDisk, Db<SimDisk>, Tree<SimDisk>) {
    let disk = SimDisk::new(seed);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.create_tree("t").unwrap();
    for key in ["k", "d/1", "d/2"] {
        tree.put(key.as_bytes(), b"value").unwrap();
    }
    (disk, db, tree)
}

#[test]
fn every_call_on_a_closed_database_is_told_so() {
    let (disk, db, tree) = filled(1);
    let other = db.clone();
    db.close().unwrap();
    disk.reset_counts();
    for (name, call) in [WRITES, CHANGES, READS, ASKS].concat() {
        let refused = call(&other, &tree);
        assert!(matches!(refused, Err(Error::Closed)), "{name}: {refused:?}");
    }
    assert_eq!(disk.count(Target::Changes), 0);
    other.close().expect("closing twice is no error");
}

#[test]
fn every_change_of_what_is_open_for_reading_only_is_refused() {
    let (disk, db, tree) = filled(2);
    let before = contents(&tree).unwrap();
    drop(tree);
    db.close().unwrap();
    disk.reset_counts();
    let db = Options::new().read_only(true).open_on(Arc::new(disk.clone())).unwrap();
    let tree = db.open_tree("t").unwrap();
    for (name, call) in [WRITES, CHANGES].concat() {
        let refused = call(&db, &tree);
        assert!(matches!(refused, Err(Error::ReadOnly)), "{name}: {refused:?}");
    }
    for (name, call) in [READS, ASKS].concat() {
        call(&db, &tree).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(contents(&tree).unwrap(), before);
    assert_eq!(db.tree_names().unwrap(), ["default", "t"]);
    db.close().unwrap();
    assert_eq!(disk.count(Target::Changes), 0);
}

#[test]
fn every_call_on_a_dropped_tree_is_refused_even_if_there_is_a_new_one_of_its_name() {
    let (_disk, db, dropped) = filled(3);
    db.drop_tree("t").unwrap();
    let successor = db.create_tree("t").unwrap();
    successor.put(b"k", b"another").unwrap();
    let before = db.stats().unwrap().log_address;
    for (name, call) in [WRITES, READS].concat() {
        let refused = call(&db, &dropped);
        assert!(matches!(refused, Err(Error::TreeDropped)), "{name}: {refused:?}");
    }
    assert_eq!(contents(&successor).unwrap().len(), 1);
    assert_eq!(db.stats().unwrap().log_address, before, "something was logged");
}

#[test]
fn every_call_works_where_nothing_refuses_it() {
    for (name, call) in [WRITES, CHANGES, READS, ASKS].concat() {
        // Those that look whether their closure is run, or their archive is read, would see it here.
        if name.starts_with("update") || name == "import" {
            continue;
        }
        let (_disk, db, tree) = filled(4);
        call(&db, &tree).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn no_method_that_says_how_durable_it_is_is_missing_above() {
    let mut missing = BTreeSet::new();
    let mut seen = 0;
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let source = fs::read_to_string(path).unwrap();
        for item in source.split("\n    pub fn ").skip(1) {
            let signature = item.split(" {\n").next().unwrap();
            let name = signature.split(['(', '<']).next().unwrap();
            // Those of the bare name set what others wait for, and write nothing.
            if !signature.contains("durability: Durability") || name == "durability" {
                continue;
            }
            seen += 1;
            if !WRITES.iter().any(|write| write.0 == name) {
                missing.insert(name.to_owned());
            }
        }
    }
    assert!(seen >= 12, "only {seen} such methods are in the sources");
    assert!(missing.is_empty(), "{missing:?}");
}
