//! Archives of whole databases and parts of them: what comes out is what went in, all of it or nothing.

mod common;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use common::{Model, Random, contents, seed};
use holt_engine::disk::{CrashPattern, Disk, Fault, SimDisk, Target, Trigger};
use holt_engine::{Db, Durability, Error, ImportOptions, Options};

type Trees = BTreeMap<String, Model>;

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).checkpoint_bytes(0);
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

/// Three trees with keys that are prefixes of each other, and values of all sizes.
fn filled(random: &mut Random) -> Db {
    let db = Db::in_memory().unwrap();
    db.default_tree().put(b"", b"the empty key").unwrap();
    for name in ["default", "files", "users"] {
        let tree = db.tree(name).unwrap();
        for _ in 0..200 {
            let key: Vec<u8> =
                (0..random.below(6)).map(|_| b"ab/\0\xff"[random.below(5) as usize]).collect();
            let length = if random.below(20) == 0 { 9000 } else { random.below(90) };
            tree.put(&key, &vec![random.next() as u8; length as usize]).unwrap();
        }
    }
    db
}

fn archive(db: &Db) -> Vec<u8> {
    let mut bytes = Vec::new();
    db.snapshot().unwrap().export().write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_database_comes_out_of_its_archive() {
    let db = filled(&mut Random::new(seed(4800)));
    let expected = trees(&db);
    let mut bytes = Vec::new();
    let snapshot = db.snapshot().unwrap();
    db.default_tree().put(b"later", b"").unwrap();
    let exported = snapshot.export().write_to(&mut bytes).unwrap();
    let records = expected.values().map(|model| model.len() as u64).sum();
    assert_eq!((exported.trees, exported.records), (3, records));
    assert!(exported.version < snapshot.version());
    let disk = SimDisk::new(1);
    let copy = open(&disk);
    let imported = copy.import(&bytes[..], &ImportOptions::new()).unwrap();
    assert_eq!((imported.trees, imported.records), (3, records));
    assert_eq!(imported.version, exported.version);
    assert_eq!(trees(&copy), expected);
    assert!(copy.verify().unwrap().faults.is_empty());
    copy.close().unwrap();
    assert_eq!(trees(&open(&disk)), expected);
}

#[test]
fn chosen_trees_and_prefixes_and_nothing_else_are_written() {
    let db = filled(&mut Random::new(seed(4801)));
    let all = trees(&db);
    let mut bytes = Vec::new();
    let export = db.snapshot().unwrap().export();
    let export =
        export.tree("users").prefix("files", "a").prefix("files", "a/").prefix("files", "b");
    export.write_to(&mut bytes).unwrap();
    let copy = Db::in_memory().unwrap();
    copy.import(&bytes[..], &ImportOptions::new()).unwrap();
    let mut expected = all.clone();
    expected.insert("default".to_owned(), Model::new());
    let files = expected.get_mut("files").unwrap();
    files.retain(|key, _| key.starts_with(b"a") || key.starts_with(b"b"));
    assert!(!files.is_empty() && files.len() < all["files"].len());
    assert_eq!(trees(&copy), expected);
    let mut nothing = Vec::new();
    let missing = db.snapshot().unwrap().export().tree("users").tree("none");
    assert!(matches!(missing.write_to(&mut nothing), Err(Error::NoSuchTree { .. })));
    let nameless = db.snapshot().unwrap().export().tree("");
    assert!(matches!(nameless.write_to(&mut nothing), Err(Error::TreeName { .. })));
    let long = vec![0; holt_engine::MAX_KEY + 1];
    let long = db.snapshot().unwrap().export().prefix("users", long);
    assert!(matches!(long.write_to(&mut nothing), Err(Error::KeyTooLong { .. })));
    assert!(nothing.is_empty());
}

#[test]
fn an_archive_goes_into_new_trees_or_is_merged_as_told() {
    let db = filled(&mut Random::new(seed(4802)));
    let (bytes, from) = (archive(&db), trees(&db));
    let copy = Db::in_memory().unwrap();
    copy.tree("files").unwrap().put(b"own", b"stays").unwrap();
    copy.tree("files").unwrap().put(b"a", b"goes").unwrap();
    let before = trees(&copy);
    let refused = copy.import(&bytes[..], &ImportOptions::new());
    assert!(matches!(refused, Err(Error::TreeExists { name }) if name == "files"));
    assert_eq!(trees(&copy), before);
    copy.import(&bytes[..], ImportOptions::new().merge(true)).unwrap();
    let mut expected = from;
    let own = (b"own".to_vec(), b"stays".to_vec());
    expected.get_mut("files").unwrap().extend([own]);
    if !expected["files"].contains_key(&b"a"[..]) {
        expected.get_mut("files").unwrap().insert(b"a".to_vec(), b"goes".to_vec());
    }
    assert_eq!(trees(&copy), expected);
    // Something in the default tree is in the way like a tree.
    let other = Db::in_memory().unwrap();
    other.default_tree().put(b"own", b"").unwrap();
    let refused = other.import(&bytes[..], &ImportOptions::new());
    assert!(matches!(refused, Err(Error::TreeExists { name }) if name == "default"));
}

#[test]
fn nothing_is_imported_of_what_is_cut_flipped_or_of_another_kind() {
    let mut random = Random::new(seed(4803));
    let (db, copy) = (filled(&mut random), Db::in_memory().unwrap());
    let bytes = archive(&db);
    let before = trees(&copy);
    let refused = |bytes: &[u8], what: &str| {
        let refused = copy.import(bytes, &ImportOptions::new());
        assert!(matches!(refused, Err(Error::Archive(_))), "{what}: {refused:?}");
        assert_eq!(trees(&copy), before, "{what}");
    };
    for _ in 0..60 {
        let at = random.below(bytes.len() as u64) as usize;
        refused(&bytes[..at], &format!("cut at {at}"));
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << random.below(8);
        refused(&flipped, &format!("a bit of byte {at}"));
    }
    refused(&[&bytes[..], b"\0"].concat(), "more bytes");
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let broken =
        copy.import(io::Read::chain(&bytes[..bytes.len() / 2], Broken), &ImportOptions::new());
    assert!(matches!(broken, Err(Error::Io { .. })));
    assert_eq!(trees(&copy), before);
    // An archive that is whole and no state.
    let header = holt_codec::ArchiveHeader { db: holt_codec::DbId([1; 16]), after: 0, up_to: 9 };
    let put = |tree| holt_codec::Record::from(holt_codec::Op::Put { tree, key: b"k", value: b"" });
    let tree = holt_codec::Record::CreateTree { tree: 7, name: b"seven" };
    let twice = holt_codec::Record::CreateTree { tree: 8, name: b"seven" };
    let own = holt_codec::Record::CreateTree { tree: 8, name: b"holt.import" };
    let gone = holt_codec::Record::DropTree { tree: 7 };
    let changes = holt_codec::ArchiveHeader { after: 3, ..header };
    let cases = [
        (header, vec![put(7)]),
        (header, vec![tree, put(8)]),
        (header, vec![tree, twice]),
        (header, vec![tree, own]),
        (header, vec![tree, gone]),
        (changes, vec![tree]),
    ];
    for (header, records) in cases {
        let mut writer = holt_codec::ArchiveWriter::new(Vec::new(), header).unwrap();
        records.iter().for_each(|record| writer.push(4096, record).unwrap());
        let refused = copy.import(&writer.finish().unwrap()[..], &ImportOptions::new());
        assert!(matches!(refused, Err(Error::WrongArchive { .. })), "{records:?}: {refused:?}");
        assert_eq!(trees(&copy), before);
    }
    copy.import(&bytes[..], &ImportOptions::new()).unwrap();
    assert_eq!(trees(&copy), trees(&db));
}

/// A small archive of two new trees and the default one, and what it holds.
fn small() -> (Vec<u8>, Trees) {
    let db = Db::in_memory().unwrap();
    for name in ["default", "one", "two"] {
        let tree = db.tree(name).unwrap();
        for number in 0..8_u8 {
            tree.put(&[number], name.as_bytes()).unwrap();
        }
    }
    (archive(&db), trees(&db))
}

#[test]
fn a_crash_at_any_call_of_an_import_leaves_all_of_it_or_nothing() {
    let seed = seed(4804);
    let (bytes, from) = small();
    let mut merged = from.clone();
    merged.get_mut("two").unwrap().insert(b"own".to_vec(), b"stays".to_vec());
    for merge in [false, true] {
        let mut outcomes = [0, 0];
        for call in 0.. {
            let disk = SimDisk::new(seed.wrapping_add(call));
            // Each write that waits is a call of its own, so there is a crash between any two.
            let db =
                options().durability(Durability::Sync).open_on(Arc::new(disk.clone())).unwrap();
            if merge {
                db.tree("two").unwrap().put(b"own", b"stays").unwrap();
            }
            db.sync().unwrap();
            let before = trees(&db);
            disk.inject(Trigger::once(Target::Changes, call, Fault::PowerCut));
            let imported = db.import(&bytes[..], ImportOptions::new().merge(merge));
            let synced = imported.is_ok() && db.sync().is_ok();
            let whole = if merge { &merged } else { &from };
            for pattern in CrashPattern::ALL {
                let left = disk.crash(seed ^ call, pattern);
                let found = trees(&open(&left));
                let done = found == *whole;
                assert!(
                    done || (found == before && !synced),
                    "call {call}, {pattern:?}: {found:?}"
                );
                outcomes[usize::from(done)] += 1;
                // Opening has ended it: a reader finds no trace of it.
                let reader = options().read_only(true).open_on(Arc::new(left.kill())).unwrap();
                assert_eq!(trees(&reader), found);
            }
            if !disk.is_off() {
                imported.unwrap();
                break;
            }
        }
        assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
    }
}

#[test]
fn an_import_that_finds_no_room_on_disk_is_taken_back_or_finished_later() {
    let seed = seed(4805);
    let (bytes, from) = small();
    let mut outcomes = [0, 0];
    for call in 0.. {
        let disk = SimDisk::new(seed.wrapping_add(call));
        // What has returned is handed over, so a kill does not lose it.
        let db = options().durability(Durability::Os).open_on(Arc::new(disk.clone())).unwrap();
        let before = trees(&db);
        disk.inject(Trigger::lasting(Target::Changes, call, Fault::NoSpace));
        let imported = db.import(&bytes[..], &ImportOptions::new());
        let full = disk.count(Target::Changes) > call;
        let after = trees(&open(&disk.kill()));
        let done = after == from;
        assert!(done || (after == before && imported.is_err()), "call {call}: {after:?}");
        outcomes[usize::from(done)] += 1;
        if !full {
            imported.unwrap();
            break;
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn an_import_that_finds_no_room_in_memory_changes_nothing() {
    let db = Db::in_memory().unwrap();
    let tree = db.tree("large").unwrap();
    for number in 0..3000_u64 {
        tree.put(&number.to_be_bytes(), &[1; 1000]).unwrap();
    }
    let bytes = archive(&db);
    let copy = Options::new().memory_bytes(1 << 20).in_memory().unwrap();
    copy.default_tree().put(b"own", b"stays").unwrap();
    let before = trees(&copy);
    let refused = copy.import(&bytes[..], ImportOptions::new().merge(true));
    assert!(matches!(refused, Err(Error::Tree(_))), "{refused:?}");
    assert!(trees(&copy) == before, "{:?}", copy.tree_names());
    // The room is given back.
    let (bytes, _) = small();
    while copy.stats().unwrap().reclaiming {
        std::thread::yield_now();
    }
    copy.import(&bytes[..], ImportOptions::new().merge(true)).unwrap();
    assert_eq!(copy.default_tree().get(b"own").unwrap(), Some(b"stays".to_vec()));
}
