//! Transactions that move, remove and count whole prefixes: what they see of it, what is a conflict, and
//! what is left.

mod common;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use common::{Model, Random, contents, listing, names, seed};
use holt_engine::disk::{CrashPattern, Disk, Fault, SimDisk, Target, Trigger};
use holt_engine::{
    Db, Durability, Error, MAX_KEY, Moved, Options, Scan, Transaction, Tree, Version,
};

const BYTES: &[u8] = b"/ab\xff\0";

fn key(random: &mut Random, longest: u64) -> Vec<u8> {
    (0..random.below(longest)).map(|_| BYTES[random.below(5) as usize]).collect()
}

fn below<'m>(
    model: &'m Model,
    prefix: &'m [u8],
) -> impl Iterator<Item = (&'m Vec<u8>, &'m Vec<u8>)> {
    model.iter().filter(move |(key, _)| key.starts_with(prefix))
}

fn count(model: &Model, prefix: &[u8]) -> u64 {
    below(model, prefix).count() as u64
}

/// What renaming a prefix does to a map, and what it answers.
fn rename(model: &mut Model, from: &[u8], to: &[u8], replace: bool) -> &'static str {
    if count(model, from) == 0 {
        return "missing";
    }
    if from == to {
        return "unchanged";
    }
    let (taken, mut left): (Model, Model) =
        model.clone().into_iter().partition(|(key, _)| key.starts_with(from));
    if count(&left, to) > 0 && !replace {
        return "occupied";
    }
    left.retain(|key, _| !key.starts_with(to));
    left.extend(taken.into_iter().map(|(key, value)| ([to, &key[from.len()..]].concat(), value)));
    *model = left;
    "done"
}

fn answer(moved: Moved) -> &'static str {
    match moved {
        Moved::Done(_) => "done",
        Moved::Unchanged => "unchanged",
        Moved::Missing => "missing",
        Moved::Occupied => "occupied",
    }
}

/// Everything that can be read of a tree in a transaction, against the map that it should be.
fn check<D: Disk>(tx: &Transaction<D>, tree: &Tree<D>, model: &Model, random: &mut Random) {
    let some = |random: &mut Random| (random.below(2) == 0).then(|| key(random, 5));
    let (prefix, after, before) = (key(random, 3), some(random), some(random));
    let delimiter = [None, Some(&b"/"[..]), Some(b"a"), Some(b"//")][random.below(4) as usize];
    let mut expected = listing(model, &prefix, delimiter, after.as_deref());
    expected.retain(|name| before.as_ref().is_none_or(|before| name < before));
    let scan = |reverse: bool, limit: u64| {
        let mut scan = tx.prefix(tree, &prefix).limit(limit);
        if let Some(after) = &after {
            scan = scan.start_after(after);
        }
        if let Some(before) = &before {
            scan = scan.start_before(before);
        }
        let scan = delimiter.into_iter().fold(scan, Scan::delimiter);
        if reverse { scan.reverse() } else { scan }
    };
    let told = |scan: Scan<D>| {
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
    assert_eq!(told(scan(false, u64::MAX)), expected);
    let limit = random.below(6);
    let short = expected.len().min(limit as usize);
    assert_eq!(told(scan(false, limit)), expected[..short]);
    expected.reverse();
    assert_eq!(told(scan(true, u64::MAX)), expected);
    let (low, high) = (key(random, 5), key(random, 5));
    if low < high {
        let range = (Bound::Excluded(low.as_slice()), Bound::Included(high.as_slice()));
        let expected: Vec<_> = model.range::<[u8], _>(range).map(|(key, _)| key.clone()).collect();
        let bounds = || (Bound::Excluded(low.clone()), Bound::Included(high.clone()));
        assert_eq!(told(tx.range(tree, bounds())), expected);
        let mut backward = told(tx.range(tree, bounds()).reverse());
        backward.reverse();
        assert_eq!(backward, expected);
    }
    let one = key(random, 5);
    assert_eq!(tx.get(tree, &one).unwrap().as_ref(), model.get(&one));
    assert_eq!(tx.contains(tree, &one).unwrap(), model.contains_key(&one));
    let prefix = key(random, 4);
    assert_eq!(tx.count(tree, &prefix).unwrap(), count(model, &prefix), "{prefix:?}");
    assert_eq!(tx.is_prefix_empty(tree, &prefix).unwrap(), count(model, &prefix) == 0);
    let usage = tx.usage(tree, &prefix).unwrap();
    let bytes = below(model, &prefix).map(|(key, value)| key.len() + value.len()).sum::<usize>();
    assert_eq!((usage.keys, usage.bytes), (count(model, &prefix), bytes as u64));
}

/// Random transactions on small sets of hostile keys, read after every step, committed, and read again after
/// a crash, from the log.
#[test]
fn what_is_read_and_what_is_left_is_what_a_map_has() {
    let seed = seed(0x7F1C);
    let mut random = Random::new(seed);
    for round in 0..120 {
        let disk = SimDisk::new(seed + round);
        let options = {
            let mut options = Options::new();
            options.checkpoint_bytes(0).segment_bytes(16 << 10);
            options
        };
        let db = options.open_on(Arc::new(disk.clone())).unwrap();
        let tree = db.default_tree();
        let mut model = Model::new();
        for _ in 0..random.below(50) {
            let key = key(&mut random, 5);
            let value = [b"base:", key.as_slice()].concat();
            tree.put(&key, &value).unwrap();
            model.insert(key, value);
        }
        db.transact_with(Durability::Os, 1, |tx| {
            check(tx, &tree, &model, &mut random);
            for step in 0..random.below(20) {
                let one = key(&mut random, 5);
                match random.below(6) {
                    0 | 1 => {
                        let value = format!("own {step}").into_bytes();
                        tx.put(&tree, &one, &value)?;
                        model.insert(one, value);
                    }
                    2 => {
                        tx.delete(&tree, &one)?;
                        model.remove(&one);
                    }
                    3 => {
                        let prefix = key(&mut random, 4);
                        tx.delete_prefix(&tree, &prefix)?;
                        model.retain(|key, _| !key.starts_with(&prefix));
                    }
                    _ => {
                        let (from, to) = (key(&mut random, 4), key(&mut random, 4));
                        let replace = random.below(2) == 0;
                        let moved = match replace {
                            true => tx.rename_prefix_replacing(&tree, &from, &to),
                            false => tx.rename_prefix(&tree, &from, &to),
                        };
                        match moved {
                            Ok(moved) => {
                                let expected = rename(&mut model, &from, &to, replace);
                                assert_eq!(answer(moved), expected, "{from:?} to {to:?}");
                            }
                            Err(Error::EmptyPrefix) => assert!(from.is_empty() || to.is_empty()),
                            Err(Error::PrefixInside) => assert!(to.starts_with(&from)),
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
                check(tx, &tree, &model, &mut random);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{round}: {error}"));
        assert!(contents(&tree).unwrap() == model, "{round}");
        assert!(db.verify().unwrap().faults.is_empty(), "{round}");
        let left =
            disk.crash(seed ^ round, CrashPattern::ALL[round as usize % CrashPattern::ALL.len()]);
        drop((tree, db));
        if round % 2 == 0 {
            let db = options.open_on(Arc::new(disk)).unwrap();
            assert!(contents(&db.default_tree()).unwrap() == model, "{round}, reopened");
        }
        // After a loss of power there is all of the transaction or nothing, which the next test looks at.
        drop(options.open_on(Arc::new(left)).unwrap());
    }
}

#[test]
fn a_crash_at_any_call_leaves_all_of_a_transaction_or_nothing() {
    let seed = seed(0x7F1D);
    for call in 0.. {
        let disk = SimDisk::new(seed + call);
        let options = || {
            let mut options = Options::new();
            options.checkpoint_bytes(0).segment_bytes(16 << 10);
            options
        };
        let db = options().open_on(Arc::new(disk.clone())).unwrap();
        let (files, log) = (db.tree("files").unwrap(), db.tree("log").unwrap());
        for name in ["in/1", "in/2", "out/old", "tmp/x"] {
            files.put(name.as_bytes(), name.as_bytes()).unwrap();
        }
        db.sync().unwrap();
        let model = |db: &Db<SimDisk>| {
            let tree = |name| contents(&db.open_tree(name).unwrap()).unwrap();
            (tree("files"), tree("log"))
        };
        let before = model(&db);
        disk.inject(Trigger::once(Target::Changes, call, Fault::PowerCut));
        let done = db.transact_with(Durability::Sync, 1, |tx| {
            tx.put(&files, b"in/3", b"new")?;
            let _moved = tx.rename_prefix_replacing(&files, b"in/", b"out/")?;
            tx.put(&files, b"out/4", b"after")?;
            tx.delete_prefix(&files, b"tmp/")?;
            tx.put(&log, b"moved", &tx.count(&files, b"out/")?.to_be_bytes())
        });
        let mut after = before.clone();
        after.0.insert(b"in/3".to_vec(), b"new".to_vec());
        assert_eq!(rename(&mut after.0, b"in/", b"out/", true), "done");
        after.0.insert(b"out/4".to_vec(), b"after".to_vec());
        after.0.retain(|key, _| !key.starts_with(b"tmp/"));
        after.1.insert(b"moved".to_vec(), 4_u64.to_be_bytes().to_vec());
        for pattern in CrashPattern::ALL {
            let left = options().open_on(Arc::new(disk.crash(seed ^ call, pattern))).unwrap();
            let found = model(&left);
            let allowed = found == after || (found == before && done.is_err());
            assert!(allowed, "call {call}, {pattern:?}, {done:?}: {found:?}");
            assert!(left.verify().unwrap().faults.is_empty());
        }
        if !disk.is_off() {
            done.unwrap();
            assert!(call > 1, "{call} calls");
            break;
        }
    }
}

type Case = (
    &'static str,
    fn(&Transaction, &Tree) -> Result<(), Error>,
    fn(&Tree) -> Result<(), Error>,
    bool,
);

fn cases() -> Vec<Case> {
    fn put(tree: &Tree, key: &str) -> Result<(), Error> {
        tree.put(key.as_bytes(), b"by others").map(drop)
    }
    fn delete(tree: &Tree, prefix: &str) -> Result<(), Error> {
        tree.delete_prefix(prefix.as_bytes()).map(drop)
    }
    fn moves(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.rename_prefix(tree, b"d/", b"x/").map(drop)
    }
    fn replaces(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.rename_prefix_replacing(tree, b"d/", b"e/").map(drop)
    }
    fn reads_moved(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        moves(tx, tree)?;
        assert_eq!(tx.get(tree, b"x/1")?.as_deref(), Some(&b"d/1"[..]));
        Ok(())
    }
    fn lists_moved(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        moves(tx, tree)?;
        assert_eq!(names(tx.prefix(tree, "x/"))?.len(), 3);
        Ok(())
    }
    fn counts_moved(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        moves(tx, tree)?;
        assert_eq!(tx.count(tree, b"x/")?, 3);
        Ok(())
    }
    fn removes(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.delete_prefix(tree, b"d/")
    }
    fn reads_removed(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        removes(tx, tree)?;
        assert_eq!((tx.get(tree, b"d/1")?, tx.count(tree, b"d/")?), (None, 0));
        assert!(names(tx.prefix(tree, "d/"))?.is_empty() && tx.is_prefix_empty(tree, b"d/")?);
        Ok(())
    }
    fn counts(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.count(tree, b"d/").map(drop)
    }
    fn measures(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.usage(tree, b"d/").map(drop)
    }
    fn asks(tx: &Transaction, tree: &Tree) -> Result<(), Error> {
        tx.is_prefix_empty(tree, b"d/").map(drop)
    }
    vec![
        ("a key moves that changes", moves, |tree| put(tree, "d/1"), false),
        (
            "a prefix moves below which keys come and go",
            moves,
            |tree| {
                put(tree, "d/7")?;
                tree.delete(b"d/2").map(drop)
            },
            false,
        ),
        ("a prefix moves that is emptied", moves, |tree| delete(tree, "d/"), true),
        ("a prefix moves to where keys come", moves, |tree| put(tree, "x/new"), true),
        ("a prefix moves beside which keys change", moves, |tree| put(tree, "e/1"), false),
        ("a prefix moves to where keys may be", replaces, |tree| put(tree, "e/new"), false),
        ("a prefix moves to where no key is left", replaces, |tree| delete(tree, "e/"), false),
        ("a moved key was read and changes", reads_moved, |tree| put(tree, "d/1"), true),
        ("a moved key was read, another one changes", reads_moved, |tree| put(tree, "d/2"), false),
        ("what has moved was listed and changes", lists_moved, |tree| put(tree, "d/2"), true),
        ("what has moved was listed and grows", lists_moved, |tree| put(tree, "d/7"), true),
        ("what has moved was counted and changes", counts_moved, |tree| put(tree, "d/2"), false),
        ("what has moved was counted and grows", counts_moved, |tree| put(tree, "d/7"), true),
        ("what is removed changes", removes, |tree| put(tree, "d/1"), false),
        ("what is removed goes before", removes, |tree| delete(tree, "d/"), false),
        ("what was removed was read and changes", reads_removed, |tree| put(tree, "d/7"), false),
        ("what was counted changes", counts, |tree| put(tree, "d/1"), false),
        ("what was counted grows", counts, |tree| put(tree, "d/7"), true),
        ("what was counted shrinks", counts, |tree| tree.delete(b"d/1").map(drop), true),
        (
            "what was counted is as many again",
            counts,
            |tree| {
                put(tree, "d/7")?;
                tree.delete(b"d/1").map(drop)
            },
            false,
        ),
        ("what was measured changes", measures, |tree| put(tree, "d/1"), true),
        ("what was not empty is not empty", asks, |tree| put(tree, "d/7"), false),
        ("what was not empty is empty", asks, |tree| delete(tree, "d/"), true),
    ]
}

#[test]
fn what_was_read_and_has_changed_is_a_conflict_and_nothing_else_is() {
    for (what, read, meddle, conflicts) in cases() {
        let db = Db::in_memory().unwrap();
        let tree = db.default_tree();
        for key in ["a", "d/1", "d/2", "d/3", "e/1", "e/2", "z"] {
            tree.put(key.as_bytes(), key.as_bytes()).unwrap();
        }
        let mut meddled = None;
        let outcome = db.transact_with(Durability::Buffered, 1, |tx| {
            read(tx, &tree)?;
            meddle(&tree)?;
            meddled = Some(contents(&tree)?);
            tx.put(&tree, b"result", b"done")
        });
        if conflicts {
            assert!(matches!(outcome, Err(Error::Conflict { attempts: 1 })), "{what}: {outcome:?}");
            assert_eq!(contents(&tree).unwrap(), meddled.unwrap(), "{what}");
        } else {
            outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(tree.contains(b"result").unwrap(), "{what}");
        }
        let stats = db.stats().unwrap().snapshots;
        assert_eq!((stats.open, stats.kept_frames), (0, 0), "{what}");
        assert!(db.verify().unwrap().faults.is_empty(), "{what}");
    }
}

#[test]
fn what_others_put_below_a_prefix_moves_or_goes_with_it() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    tree.put(b"d/1", b"1").unwrap();
    tree.put(b"t/1", b"1").unwrap();
    let late = std::cell::Cell::new(None);
    db.transact_with(Durability::Buffered, 1, |tx| {
        let moved = tx.rename_prefix(&tree, b"d/", b"x/")?;
        assert_eq!(moved, Moved::Done(Version::MAX));
        tx.delete_prefix(&tree, b"t/")?;
        late.set(Some(tree.put(b"d/late", b"2")?));
        tree.put(b"t/late", b"2").map(drop)
    })
    .unwrap();
    assert_eq!(names(tree.scan()).unwrap(), [&b"x/1"[..], b"x/late"]);
    assert_eq!(tree.version(b"x/late").unwrap(), late.get(), "it keeps its version");
}

#[test]
fn a_list_goes_on_with_what_is_moved_and_removed_on_its_way() {
    for (reverse, expected) in [(false, ["b", "c/1", "new/1", "z"]), (true, ["z", "c/1", "b", "a"])]
    {
        let db = Db::in_memory().unwrap();
        let tree = db.default_tree();
        for key in ["a", "b", "c/1", "d/1", "e/1", "z"] {
            tree.put(key.as_bytes(), key.as_bytes()).unwrap();
        }
        let told = db
            .transact(|tx| {
                let (mut told, mut entries) = (Vec::new(), tx.scan(&tree));
                if reverse {
                    entries = entries.reverse();
                }
                for entry in entries {
                    let entry = entry?;
                    if told.is_empty() {
                        tx.delete_prefix(&tree, b"e/")?;
                        let _moved = tx.rename_prefix(&tree, b"d/", b"new/")?;
                        if !reverse {
                            tx.delete_prefix(&tree, b"a")?;
                        } else {
                            tx.delete_prefix(&tree, b"new/")?;
                        }
                    }
                    told.push(String::from_utf8(entry.into_name()).unwrap());
                }
                Ok(told)
            })
            .unwrap();
        // Forward the first entry was told before it was removed.
        let told = if reverse { &told[..] } else { &told[1..] };
        assert_eq!(told, expected, "{reverse}");
    }
}

#[test]
fn wrong_requests_are_typed_errors_and_leave_nothing() {
    let (db, other) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
    let (tree, foreign) = (db.default_tree(), other.default_tree());
    let long = vec![b'k'; MAX_KEY + 1];
    tree.put(b"a/1", b"").unwrap();
    let too_long = db.transact(|tx| {
        for (from, to) in [(&long[..], &b"x"[..]), (b"a", &long)] {
            let moved = tx.rename_prefix(&tree, from, to);
            assert!(matches!(moved, Err(Error::KeyTooLong { .. })));
            let moved = tx.rename_prefix_replacing(&tree, from, to);
            assert!(matches!(moved, Err(Error::KeyTooLong { .. })));
        }
        assert!(matches!(tx.delete_prefix(&tree, &long), Err(Error::KeyTooLong { .. })));
        assert!(matches!(tx.count(&tree, &long), Err(Error::KeyTooLong { .. })));
        assert!(matches!(tx.usage(&tree, &long), Err(Error::KeyTooLong { .. })));
        assert!(matches!(tx.is_prefix_empty(&tree, &long), Err(Error::KeyTooLong { .. })));
        assert!(matches!(tx.rename_prefix(&tree, b"", b"x"), Err(Error::EmptyPrefix)));
        assert!(matches!(tx.rename_prefix(&tree, b"a", b""), Err(Error::EmptyPrefix)));
        assert!(matches!(tx.rename_prefix(&tree, b"a", b"a/"), Err(Error::PrefixInside)));
        assert!(matches!(tx.rename_prefix(&foreign, b"a", b"b"), Err(Error::OtherDatabase)));
        assert!(matches!(tx.delete_prefix(&foreign, b"a"), Err(Error::OtherDatabase)));
        assert!(matches!(tx.count(&foreign, b"a"), Err(Error::OtherDatabase)));
        assert_eq!(tx.rename_prefix(&tree, b"none", b"x")?, Moved::Missing);
        assert_eq!(tx.rename_prefix(&tree, b"a/", b"a/")?, Moved::Unchanged);
        // What becomes too long is found at the commit, and nothing is left of the rest.
        tx.put(&tree, b"b", b"")?;
        tx.rename_prefix(&tree, b"a/", &long[..MAX_KEY]).map(drop)
    });
    assert!(matches!(too_long, Err(Error::KeyTooLong { .. })), "{too_long:?}");
    assert_eq!(names(tree.scan()).unwrap(), [b"a/1"]);
    let scratch = db.create_tree("scratch").unwrap();
    db.drop_tree("scratch").unwrap();
    for refused in [
        db.transact(|tx| tx.rename_prefix(&scratch, b"a", b"b").map(drop)),
        db.transact(|tx| tx.delete_prefix(&scratch, b"a")),
        db.transact(|tx| tx.count(&scratch, b"a").map(drop)),
    ] {
        assert!(matches!(refused, Err(Error::TreeDropped)), "{refused:?}");
    }
}

#[test]
fn a_database_for_reading_alone_counts_and_refuses_the_rest() {
    let disk = SimDisk::new(2);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    db.default_tree().put(b"a/1", b"1").unwrap();
    db.close().unwrap();
    let db = Options::new().read_only(true).open_on(Arc::new(disk)).unwrap();
    let tree = db.default_tree();
    assert_eq!(db.transact(|tx| tx.count(&tree, b"a/")).unwrap(), 1);
    let moved = db.transact(|tx| tx.rename_prefix(&tree, b"a/", b"b/").map(drop));
    assert!(matches!(moved, Err(Error::ReadOnly)));
    assert!(matches!(db.transact(|tx| tx.delete_prefix(&tree, b"a/")), Err(Error::ReadOnly)));
}
