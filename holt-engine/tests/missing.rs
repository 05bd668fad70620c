//! Databases of which somebody removed files: refused with an error that says so, or nothing is missing.

mod common;

use std::sync::Arc;

use common::contents;
use holt_engine::disk::{Disk, SimDisk};
use holt_engine::{Create, Db, Durability, Error, Options};

fn open(disk: &SimDisk) -> Result<Db<SimDisk>, Error> {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).checkpoint_bytes(0);
    // Creating is allowed: a database that lost a file must not be taken for an empty directory.
    options.create(Create::IfMissing).open_on(Arc::new(disk.clone()))
}

/// Opens a copy without `names`; true if it is refused.
fn refused_without(disk: &SimDisk, names: &[&str], story: &str) -> bool {
    let expected = contents(&open(&disk.kill()).unwrap().default_tree()).unwrap();
    let without = disk.kill();
    for name in names {
        without.put(name, None);
    }
    match open(&without) {
        Ok(db) => {
            let found = contents(&db.default_tree()).unwrap();
            assert_eq!(found, expected, "{story}: opens without {names:?}, and not whole");
            false
        }
        Err(Error::Damaged { .. } | Error::Journal(_) | Error::Foreign { .. }) => true,
        Err(error) => panic!("{story}, without {names:?}: {error:?}"),
    }
}

/// Removes every file alone, and all files of the log together.
fn check(disk: &SimDisk, needs_log: bool, story: &str) {
    let names = disk.list().unwrap();
    for name in &names {
        let refused = refused_without(disk, &[name], story);
        let required = ["DATA", "LOG.mark"].contains(&&**name);
        assert!(refused || !required, "{story}: {name} is not missed");
    }
    let of = |prefix: &str| -> Vec<&str> {
        names.iter().map(String::as_str).filter(|name| name.starts_with(prefix)).collect()
    };
    assert!(refused_without(disk, &of("MANIFEST"), story), "{story}");
    assert!(refused_without(disk, &of("LOG."), story), "{story}");
    assert!(refused_without(disk, &of("LOG"), story), "{story}");
    assert_eq!(refused_without(disk, &of("LOG-"), story), needs_log, "{story}");
}

#[test]
fn every_file_that_goes_missing_at_any_stage_is_missed_or_of_no_account() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    check(&disk, false, "created");
    let mut number = 0_u32;
    let mut put = |db: &Db<SimDisk>, count| {
        for _ in 0..count {
            let key = number.to_be_bytes();
            db.default_tree().put_with(&key, &[number as u8; 900], Durability::Sync).unwrap();
            number += 1;
        }
    };
    for round in 0..3 {
        let db = open(&disk).unwrap();
        put(&db, 1);
        check(&disk, true, &format!("round {round}: one record"));
        put(&db, 60);
        check(&disk, true, &format!("round {round}: several segments"));
        db.close().unwrap();
        check(&disk, true, &format!("round {round}: closed"));
        let db = open(&disk).unwrap();
        // Nothing is written behind what is checkpointed: the log still says where it ends.
        db.checkpoint().unwrap();
        check(&disk, true, &format!("round {round}: checkpoint before the first record"));
        put(&db, 30);
        db.checkpoint().unwrap();
        put(&db, 2);
        check(&disk, true, &format!("round {round}: records behind a checkpoint"));
        drop(db);
        check(&disk, true, &format!("round {round}: closed behind a checkpoint"));
    }
}

#[test]
fn a_creation_that_was_interrupted_can_be_repeated_and_a_lost_manifest_is_no_such_thing() {
    let disk = SimDisk::new(2);
    let _db = open(&disk).unwrap();
    let unused = disk.kill();
    let manifest = |disk: &SimDisk| {
        disk.list().unwrap().into_iter().find(|name| name.starts_with("MANIFEST")).unwrap()
    };
    unused.put(&manifest(&unused), None);
    // Nothing was ever written: just what a creation leaves that did not come to its end.
    let db = open(&unused).unwrap();
    db.default_tree().put(b"key", b"value").unwrap();
    let used = unused.kill();
    for name in used.list().unwrap() {
        if name.starts_with("MANIFEST") || name.starts_with("LOG-") {
            used.put(&name, None);
        }
    }
    assert!(open(&used).is_err(), "the mark says that there was a log");
}
