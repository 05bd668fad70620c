//! Transactions: what they see, what becomes of their writes, and what is a conflict.

mod common;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use common::{Model, Random, contents, listing, names, seed};
use holt_engine::disk::SimDisk;
use holt_engine::{
    Db, Durability, Entry, Error, MAX_KEY, MAX_VALUE, Options, Scan, Transaction, Tree, Version,
};

fn number(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()))
}

#[test]
fn what_a_transaction_writes_it_sees_and_others_only_when_it_is_done() {
    let db = Db::in_memory().unwrap();
    let (one, two) = (db.tree("one").unwrap(), db.tree("two").unwrap());
    one.put(b"a", b"old").unwrap();
    one.put(b"gone", b"old").unwrap();
    let before = one.put(b"other", b"old").unwrap();
    db.transact(|tx| {
        tx.put(&one, b"a", b"new")?;
        tx.put(&two, b"b", b"new")?;
        tx.delete(&one, b"gone")?;
        tx.delete(&one, b"never there")?;
        assert_eq!(tx.get(&one, b"a")?.unwrap(), b"new");
        assert_eq!(tx.get(&two, b"b")?.unwrap(), b"new");
        assert_eq!((tx.get(&one, b"gone")?, tx.contains(&one, b"gone")?), (None, false));
        assert!(
            tx.contains(&two, b"b")? && tx.contains(&one, b"other")? && !tx.contains(&two, b"a")?
        );
        let entries: Vec<Entry> = tx.scan(&one).into_iter().collect::<Result<_, _>>()?;
        let record = |key: &[u8], value: &[u8], of: usize| {
            assert_eq!((entries[of].name(), entries[of].value()), (key, Some(value)));
            entries[of].version().unwrap()
        };
        assert_eq!(record(b"a", b"new", 0), Version::MAX);
        assert_eq!((record(b"other", b"old", 1), entries.len()), (before, 2));
        // Nobody else sees it.
        assert_eq!(one.get(b"a")?.unwrap(), b"old");
        assert!(two.is_empty()?);
        Ok(())
    })
    .unwrap();
    assert_eq!(one.get(b"a").unwrap().unwrap(), b"new");
    assert!(two.contains(b"b").unwrap() && !one.contains(b"gone").unwrap());
    // What was not written has not become another version.
    assert_eq!(one.version(b"other").unwrap(), Some(before));
}

#[test]
fn an_error_of_the_closure_gives_up_with_nothing_changed() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    tree.put(b"a", b"old").unwrap();
    let address = db.stats().unwrap().log_address;
    let mut runs = 0;
    let given_up: Result<(), Error> = db.transact(|tx| {
        runs += 1;
        tx.put(&tree, b"a", b"new")?;
        tx.get(&tree, b"b")?;
        Err(Error::Aborted("for a reason".into()))
    });
    let Err(Error::Aborted(reason)) = given_up else { panic!("{given_up:?}") };
    assert_eq!((reason.to_string(), runs), ("for a reason".to_owned(), 1));
    assert_eq!(tree.get(b"a").unwrap().unwrap(), b"old");
    assert_eq!(db.stats().unwrap().log_address, address);
    // A panic does the same.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.transact(|tx| -> Result<(), Error> {
            tx.put(&tree, b"a", b"new")?;
            panic!("expected");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(tree.get(b"a").unwrap().unwrap(), b"old");
    assert_eq!(db.stats().unwrap().snapshots.open, 0);
}

/// Something that a transaction reads, something that others do meanwhile, and whether that is in
/// its way.
type Case = (
    &'static str,
    fn(&Transaction, &Tree) -> Result<(), Error>,
    fn(&Tree) -> Result<(), Error>,
    bool,
);

fn list(scan: Scan) -> Result<(), Error> {
    names(scan).map(drop)
}

fn cases() -> Vec<Case> {
    fn get(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.get(tree, b"d/1").map(drop)
    }
    fn missing(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.contains(tree, b"d/15").map(drop)
    }
    fn directory(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        list(tx.prefix(tree, "d/"))
    }
    fn level(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        list(tx.scan(tree).delimiter("/").reverse())
    }
    fn first_two(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        list(tx.scan(tree).limit(2))
    }
    fn own(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.put(tree, b"d/1", b"own")?;
        tx.get(tree, b"d/1").map(drop)
    }
    fn own_group(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        // Whether the group is there depends on the other keys in it.
        tx.delete(tree, b"d/1")?;
        tx.delete(tree, b"d/2")?;
        tx.delete(tree, b"d/3")?;
        list(tx.scan(tree).delimiter("/"))
    }
    fn put(tree: &Tree, key: &str) -> Result<(), Error> {
        tree.put(key.as_bytes(), b"by others").map(drop)
    }
    vec![
        ("a key that changes", get, |tree| put(tree, "d/1"), true),
        ("a key that is put again as it was", get, |tree| tree.put(b"d/1", b"d/1").map(drop), true),
        ("a key that goes", get, |tree| tree.delete(b"d/1").map(drop), true),
        ("a key that moves away", get, |tree| tree.rename_prefix(b"d/", b"x/").map(drop), true),
        ("a neighbour", get, |tree| put(tree, "d/10"), false),
        ("a missing key that comes", missing, |tree| put(tree, "d/15"), true),
        ("a missing key that stays missing", missing, |tree| put(tree, "d/16"), false),
        ("a list in which a key changes", directory, |tree| put(tree, "d/2"), true),
        ("a list into which a key comes", directory, |tree| put(tree, "d/15"), true),
        ("a list at whose end a key comes", directory, |tree| put(tree, "d/9"), true),
        ("a list out of which a key goes", directory, |tree| tree.delete(b"d/3").map(drop), true),
        (
            "a list that moves away",
            directory,
            |tree| tree.rename_prefix(b"d/", b"x/").map(drop),
            true,
        ),
        (
            "a list into which keys move",
            directory,
            |tree| tree.rename_prefix(b"e/", b"d/x/").map(drop),
            true,
        ),
        ("a list that is deleted", directory, |tree| tree.delete_prefix(b"d/").map(drop), true),
        ("a list beside which keys change", directory, |tree| put(tree, "e/1"), false),
        ("groups in which keys change", level, |tree| put(tree, "d/15"), false),
        ("groups of which one comes", level, |tree| put(tree, "new/1"), true),
        ("groups of which one goes", level, |tree| tree.delete_prefix(b"e/").map(drop), true),
        ("the first of a list, of which one changes", first_two, |tree| put(tree, "d/1"), true),
        ("the first of a list, when one comes behind", first_two, |tree| put(tree, "e/5"), false),
        ("the first of a list, when one comes before", first_two, |tree| put(tree, "0"), true),
        ("what it has written itself", own, |tree| put(tree, "d/1"), false),
        ("a group that it has emptied", own_group, |tree| put(tree, "d/4"), true),
        ("a group that it has emptied, another one", own_group, |tree| put(tree, "e/4"), false),
    ]
}

#[test]
fn what_was_read_and_has_changed_is_a_conflict_and_nothing_else_is() {
    for (what, read, meddle, conflicts) in cases() {
        for attempts in [1, 2] {
            let db = Db::in_memory().unwrap();
            let tree = db.default_tree();
            for key in ["a", "d/1", "d/2", "d/3", "e/1", "e/2", "z"] {
                tree.put(key.as_bytes(), key.as_bytes()).unwrap();
            }
            let mut runs = 0;
            let outcome = db.transact_with(Durability::Buffered, attempts, |tx| {
                runs += 1;
                read(tx, &tree)?;
                if runs == 1 {
                    meddle(&tree)?;
                    // What it reads stays as it was when it began.
                    read(tx, &tree)?;
                }
                tx.put(&tree, b"result", b"done")
            });
            assert_eq!(runs, if conflicts { attempts } else { 1 }, "{what}");
            if conflicts && attempts == 1 {
                assert!(matches!(outcome, Err(Error::Conflict { attempts: 1 })), "{what}");
                assert!(!tree.contains(b"result").unwrap(), "{what}");
            } else {
                outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(tree.contains(b"result").unwrap(), "{what}");
            }
            let stats = db.stats().unwrap().snapshots;
            assert_eq!((stats.open, stats.kept_frames), (0, 0), "{what}");
        }
    }
}

#[test]
fn a_transaction_that_is_always_in_vain_is_tried_so_often_and_no_more() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for (attempts, expected) in [(0, 1), (1, 1), (7, 7)] {
        let mut runs = 0_u64;
        let failed = db.transact_with(Durability::Buffered, attempts, |tx| {
            runs += 1;
            tx.get(&tree, b"key")?;
            tree.put(b"key", &runs.to_le_bytes())?;
            tx.put(&tree, b"own", b"")
        });
        assert!(
            matches!(failed, Err(Error::Conflict { attempts }) if u64::from(attempts) == expected)
        );
        assert_eq!(runs, expected);
        assert!(!tree.contains(b"own").unwrap());
    }
    // One that only reads, or only writes, is in nobody's way.
    let read = db.transact_with(Durability::Buffered, 1, |tx| {
        let before = tx.get(&tree, b"key")?;
        tree.put(b"key", b"changed")?;
        assert_eq!(tx.get(&tree, b"key")?, before);
        Ok(before)
    });
    assert_eq!(number(read.unwrap()), 7);
    db.transact_with(Durability::Buffered, 1, |tx| {
        tree.put(b"key", b"changed again")?;
        tx.put(&tree, b"key", b"own")
    })
    .unwrap();
    assert_eq!(tree.get(b"key").unwrap().unwrap(), b"own");
}

#[test]
fn wrong_requests_are_typed_errors_and_leave_nothing() {
    let (db, other) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
    let (tree, foreign) = (db.default_tree(), other.default_tree());
    let scratch = db.create_tree("scratch").unwrap();
    let long = vec![0; MAX_KEY + 1];
    db.transact(|tx| {
        assert!(matches!(tx.get(&tree, &long), Err(Error::KeyTooLong { .. })));
        assert!(matches!(tx.contains(&tree, &long), Err(Error::KeyTooLong { .. })));
        assert!(matches!(tx.put(&tree, &long, b""), Err(Error::KeyTooLong { .. })));
        assert!(matches!(tx.delete(&tree, &long), Err(Error::KeyTooLong { .. })));
        let large = vec![0; MAX_VALUE + 1];
        assert!(matches!(tx.put(&tree, b"", &large), Err(Error::ValueTooLong { .. })));
        assert!(matches!(tx.get(&foreign, b""), Err(Error::OtherDatabase)));
        assert!(matches!(tx.put(&foreign, b"", b""), Err(Error::OtherDatabase)));
        let mut entries = tx.scan(&foreign).into_iter();
        assert!(
            matches!(entries.next(), Some(Err(Error::OtherDatabase))) && entries.next().is_none()
        );
        assert!(matches!(tx.range(&tree, "b".."a").page(), Err(Error::ReversedBounds)));
        assert!(matches!(tx.prefix(&tree, &long).page(), Err(Error::KeyTooLong { .. })));
        Ok(())
    })
    .unwrap();
    // A tree that goes before the commit.
    let dropped = db.transact(|tx| {
        tx.put(&scratch, b"k", b"v")?;
        tx.put(&tree, b"k", b"v")?;
        if db.open_tree("scratch").is_ok() {
            db.drop_tree("scratch")?;
        }
        Ok(())
    });
    assert!(matches!(dropped, Err(Error::TreeDropped)));
    assert!(matches!(db.transact(|tx| tx.get(&scratch, b"k")), Err(Error::TreeDropped)));
    // More than a record takes.
    let large = vec![7; MAX_VALUE];
    let too_long = db.transact(|tx| (0..40_u8).try_for_each(|key| tx.put(&tree, &[key], &large)));
    assert!(matches!(too_long, Err(Error::BatchTooLong { .. })), "{too_long:?}");
    assert!(tree.is_empty().unwrap());
    // What is taken out of it is of no use.
    tree.put(b"a", b"").unwrap();
    let (scan, mut entries) =
        db.transact(|tx| Ok((tx.scan(&tree), tx.scan(&tree).into_iter()))).unwrap();
    assert!(matches!(entries.next(), Some(Err(Error::TransactionOver))));
    assert!(matches!(scan.page(), Err(Error::TransactionOver)));
    drop(entries);
    assert_eq!(db.stats().unwrap().snapshots.open, 0);
    let closed = db.clone();
    db.close().unwrap();
    assert!(matches!(closed.transact(|tx| tx.get(&tree, b"a")), Err(Error::Closed)));
}

#[test]
fn a_database_for_reading_alone_has_transactions_that_read() {
    let disk = SimDisk::new(1);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    db.default_tree().put(b"a", b"1").unwrap();
    db.close().unwrap();
    let db = Options::new().read_only(true).open_on(Arc::new(disk)).unwrap();
    let tree = db.default_tree();
    assert_eq!(db.transact(|tx| tx.get(&tree, b"a")).unwrap().unwrap(), b"1");
    assert!(matches!(db.transact(|tx| tx.put(&tree, b"a", b"2")), Err(Error::ReadOnly)));
}

#[test]
fn a_tree_that_is_created_inside_can_be_read_there() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    let mut runs = 0;
    let found = db.transact(|tx| {
        runs += 1;
        tx.get(&tree, b"a")?;
        let new = db.tree("new")?;
        tx.put(&new, b"b", b"")?;
        // Younger than what the transaction reads, so it is run again, whatever is made of the error.
        Ok(tx.get(&new, b"a").is_ok())
    });
    assert_eq!((found.unwrap(), runs), (true, 2));
    assert!(db.open_tree("new").unwrap().contains(b"b").unwrap());
}

/// Every list of a transaction against a map that has its writes.
#[test]
fn lists_are_those_of_a_map_with_the_writes_laid_over() {
    let seed = seed(0x7A45);
    let mut random = Random::new(seed);
    const BYTES: &[u8] = b"/ab\xff\0";
    fn key(random: &mut Random) -> Vec<u8> {
        (0..random.below(5)).map(|_| BYTES[random.below(5) as usize]).collect()
    }
    for round in 0..150 {
        let db = Db::in_memory().unwrap();
        let tree = db.default_tree();
        let mut model = Model::new();
        for _ in 0..random.below(60) {
            let key = key(&mut random);
            tree.put(&key, b"base").unwrap();
            model.insert(key, b"base".to_vec());
        }
        let check = |tx: &Transaction, model: &Model, random: &mut Random| {
            let some = |random: &mut Random| (random.below(2) == 0).then(|| key(random));
            let (prefix, after, before) = (key(random), some(random), some(random));
            let prefix = &prefix[..prefix.len().min(2)];
            let delimiter =
                [None, Some(&b"/"[..]), Some(b"a"), Some(b"//")][random.below(4) as usize];
            let mut expected = listing(model, prefix, delimiter, after.as_deref());
            expected.retain(|name| before.as_ref().is_none_or(|before| name < before));
            let scan = |reverse: bool, limit: u64| {
                let mut scan = tx.prefix(&tree, prefix).limit(limit);
                if let Some(after) = &after {
                    scan = scan.start_after(after);
                }
                if let Some(before) = &before {
                    scan = scan.start_before(before);
                }
                let scan = delimiter.into_iter().fold(scan, Scan::delimiter);
                if reverse { scan.reverse() } else { scan }
            };
            let told = |scan: Scan| {
                let mut told = Vec::new();
                scan.visit(|entry| {
                    if let Some(value) = entry.value() {
                        assert_eq!(Some(value), model.get(entry.name()).map(Vec::as_slice));
                    }
                    told.push(entry.name().to_vec());
                    ControlFlow::<()>::Continue(())
                })
                .unwrap();
                told
            };
            assert_eq!(told(scan(false, u64::MAX)), expected, "{round}");
            let limit = random.below(6);
            let short = expected.len().min(limit as usize);
            assert_eq!(told(scan(false, limit)), expected[..short], "{round}");
            expected.reverse();
            assert_eq!(told(scan(true, u64::MAX)), expected, "{round}");
            let page = scan(true, limit.max(1)).page().unwrap();
            assert_eq!(page.truncated, expected.len() as u64 > limit.max(1), "{round}");
            let (low, high) = (key(random), key(random));
            if low <= high {
                let range = (Bound::Excluded(low.as_slice()), Bound::Included(high.as_slice()));
                let expected = model.range::<[u8], _>(range).map(|(key, _)| key.clone());
                let bounds = (Bound::Excluded(low.clone()), Bound::Included(high.clone()));
                if low < high {
                    assert_eq!(told(tx.range(&tree, bounds)), expected.collect::<Vec<_>>());
                }
            }
        };
        db.transact_with(Durability::Buffered, 1, |tx| {
            check(tx, &model, &mut random);
            for _ in 0..random.below(30) {
                let key = key(&mut random);
                if random.below(2) == 0 {
                    tx.put(&tree, &key, b"own")?;
                    model.insert(key, b"own".to_vec());
                } else {
                    tx.delete(&tree, &key)?;
                    model.remove(&key);
                }
                check(tx, &model, &mut random);
            }
            Ok(())
        })
        .unwrap();
        assert!(contents(&tree).unwrap() == model, "{round}");
    }
}

#[test]
fn a_list_sees_what_is_written_before_it_comes_there() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for key in ["a", "b", "c", "d"] {
        tree.put(key.as_bytes(), b"").unwrap();
    }
    let told = db.transact(|tx| {
        let mut told = Vec::new();
        for entry in tx.scan(&tree) {
            let name = entry?.into_name();
            if name == b"b" {
                tx.delete(&tree, b"c")?;
                tx.put(&tree, b"b2", b"")?;
                tx.put(&tree, b"a2", b"")?;
            }
            told.push(name);
        }
        Ok(told)
    });
    assert_eq!(told.unwrap(), [&b"a"[..], b"b", b"b2", b"d"]);
}
