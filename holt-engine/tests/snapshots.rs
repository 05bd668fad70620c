//! Snapshots: every reading operation on the past, the trees as they were, what keeps one alive, and
//! the memory that comes back.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use common::{Model, Random, listing, names, seed};
use holt_engine::disk::{Disk, SimDisk};
use holt_engine::{
    Db, Entry, Error, MAX_KEY, MAX_TREE_NAME, Options, Snapshot, SnapshotTree, Tree,
};

fn sim(seed: u64) -> (SimDisk, Db<SimDisk>) {
    let disk = SimDisk::new(seed);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    (disk, db)
}

/// A tree, and a snapshot of it before everything in it was changed.
fn changed(keys: &[&str]) -> (Db, SnapshotTree) {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for key in keys {
        tree.put(key.as_bytes(), key.as_bytes()).unwrap();
    }
    let before = db.snapshot().unwrap().default_tree().unwrap();
    tree.clear().unwrap();
    for key in ["0", "a", "a/b", "z"] {
        tree.put(key.as_bytes(), b"changed").unwrap();
    }
    (db, before)
}

/// Compares everything that a snapshot can be asked with a map as it was.
fn check<D: Disk>(tree: &SnapshotTree<D>, model: &Model) {
    let mut read = Model::new();
    for entry in tree.scan() {
        let (key, value) = entry.unwrap().into_record().unwrap();
        assert_eq!(tree.get(&key).unwrap().as_ref(), Some(&value));
        read.insert(key, value);
    }
    assert!(read == *model, "{} and {} keys", read.len(), model.len());
    assert_eq!(tree.len().unwrap(), model.len() as u64);
    let delimiter = Some(&b"/"[..]);
    for prefix in ["", "a", "a/", "b/1"].map(str::as_bytes) {
        let expected = listing(model, prefix, delimiter, None);
        assert_eq!(names(tree.prefix(prefix).delimiter("/")).unwrap(), expected);
        let below = model.keys().filter(|key| key.starts_with(prefix));
        assert_eq!(tree.count(prefix).unwrap(), below.clone().count() as u64);
        let (first, last) = (tree.first(prefix).unwrap(), tree.last(prefix).unwrap());
        assert_eq!(first.map(Entry::into_name), below.clone().next().cloned());
        assert_eq!(last.map(Entry::into_name), below.clone().next_back().cloned());
    }
}

#[test]
fn gets_of_all_kinds_answer_from_the_past() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    let version = tree.put(b"key", b"old").unwrap();
    let large = vec![7; 100_000];
    tree.put(b"large", &large).unwrap();
    let before = db.snapshot().unwrap().default_tree().unwrap();
    tree.put(b"key", b"new").unwrap();
    tree.put(b"large", b"").unwrap();
    tree.put(b"later", b"").unwrap();
    assert_eq!(before.get(b"key").unwrap().unwrap(), b"old");
    assert_eq!(before.get(b"large").unwrap().unwrap(), large);
    assert_eq!(before.get_with_version(b"key").unwrap(), Some((b"old".to_vec(), version)));
    assert_eq!(before.get_with(b"key", |value, _| value.len()).unwrap(), Some(3));
    assert_eq!(before.version(b"key").unwrap(), Some(version));
    assert!(before.contains(b"large").unwrap() && !before.contains(b"later").unwrap());
    let mut buffer = b"what was there".to_vec();
    assert_eq!(before.get_into(b"key", &mut buffer).unwrap(), Some(version));
    assert_eq!(buffer, b"old");
    assert_eq!(before.get_into(b"later", &mut buffer).unwrap(), None);
    assert!(buffer.is_empty());
    assert_eq!(before.name(), "default");
    let values = before.get_many(&["later", "key", ""]).unwrap();
    assert_eq!(values, [None, Some(b"old".to_vec()), None]);
    let mut versions = Vec::new();
    let note = |index, record: Option<(&[u8], _)>| versions.push((index, record.map(|(_, v)| v)));
    before.get_many_with(&["key", "later"], note).unwrap();
    assert_eq!(versions, [(0, Some(version)), (1, None)]);
}

#[test]
fn lists_and_counts_of_all_kinds_answer_from_the_past() {
    let keys = ["a/1", "a/2", "a/b/3", "c", "d"];
    let (_db, before) = changed(&keys);
    let text = |names: Vec<Vec<u8>>| {
        names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(text(names(before.scan()).unwrap()), keys);
    assert_eq!(text(names(before.prefix("a/").delimiter("/")).unwrap()), ["a/1", "a/2", "a/b/"]);
    assert_eq!(text(names(before.range("a/2".."d").reverse()).unwrap()), ["c", "a/b/3", "a/2"]);
    assert_eq!(text(names(before.scan().start_after("a/2").limit(2)).unwrap()), ["a/b/3", "c"]);
    let page = before.scan().delimiter("/").limit(2).page().unwrap();
    assert_eq!((page.truncated, page.next.as_deref()), (true, Some(&b"c"[..])));
    let found = before.scan().keys_only().visit(|entry| match entry.value() {
        Some(b"") if entry.name() == b"c" => ControlFlow::Break(entry.name().to_vec()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(found.unwrap(), Some(b"c".to_vec()));
    assert_eq!((before.len().unwrap(), before.count(b"a/").unwrap()), (5, 3));
    let usage = before.usage(b"a/").unwrap();
    assert_eq!((usage.keys, usage.bytes), (3, 22));
    assert!(!before.is_empty().unwrap() && before.is_prefix_empty(b"z").unwrap());
    assert_eq!(before.first(b"a/").unwrap().unwrap().name(), b"a/1");
    let longest = |key: &[u8]| before.longest_prefix(key).unwrap().map(Entry::into_record);
    assert_eq!(longest(b"a/b/3/4"), Some(Some((b"a/b/3".to_vec(), b"a/b/3".to_vec()))));
    assert_eq!((longest(b"a/b"), longest(b"0/1")), (None, None));
    assert_eq!(before.last(b"").unwrap().unwrap().name(), b"d");
}

#[test]
fn wrong_requests_are_typed_errors() {
    let (db, before) = changed(&[]);
    let long = vec![0; MAX_KEY + 1];
    for error in [
        before.get(&long).unwrap_err(),
        before.version(&long).unwrap_err(),
        before.count(&long).unwrap_err(),
        before.is_prefix_empty(&long).unwrap_err(),
        before.first(&long).unwrap_err(),
        before.get_many(&[&long]).unwrap_err(),
        before.longest_prefix(&long).unwrap_err(),
        before.prefix(&long).into_iter().next().unwrap().unwrap_err(),
    ] {
        assert!(matches!(error, Error::KeyTooLong { length } if length == MAX_KEY + 1), "{error}");
    }
    let reversed = before.range("b".."a").into_iter().next();
    assert!(matches!(reversed, Some(Err(Error::ReversedBounds))));
    let snapshot = db.snapshot().unwrap();
    let error = snapshot.tree("nobody").unwrap_err();
    assert!(matches!(&error, Error::NoSuchTree { name } if name == "nobody"), "{error}");
    for name in [String::new(), "n".repeat(MAX_TREE_NAME + 1)] {
        assert!(matches!(snapshot.tree(&name), Err(Error::TreeName { .. })));
    }
}

#[test]
fn the_trees_are_those_of_the_moment() {
    let (disk, db) = sim(1);
    for name in ["dropped", "renamed", "stays"] {
        db.create_tree(name).unwrap().put(b"name", name.as_bytes()).unwrap();
    }
    let before = db.snapshot().unwrap();
    // Whether the catalogue has been asked for before makes no difference.
    let early = before.clone();
    assert_eq!(early.tree_names().unwrap(), ["default", "dropped", "renamed", "stays"]);
    db.drop_tree("dropped").unwrap();
    db.rename_tree("renamed", "new name").unwrap();
    db.create_tree("created").unwrap().put(b"name", b"created").unwrap();
    // Another tree of the old name, most likely with the frame of the dropped one.
    db.create_tree("dropped").unwrap().put(b"name", b"another").unwrap();
    db.checkpoint().unwrap();
    let late = db.snapshot().unwrap();
    for snapshot in [&before, &early] {
        assert_eq!(snapshot.tree_names().unwrap(), ["default", "dropped", "renamed", "stays"]);
        for name in ["dropped", "renamed", "stays"] {
            let tree = snapshot.tree(name).unwrap();
            assert_eq!((tree.name(), tree.get(b"name").unwrap().unwrap()), (name, name.into()));
        }
        for name in ["new name", "created"] {
            assert!(matches!(snapshot.tree(name), Err(Error::NoSuchTree { .. })), "{name}");
        }
    }
    assert_eq!(late.tree_names().unwrap(), ["created", "default", "dropped", "new name", "stays"]);
    assert_eq!(late.tree("dropped").unwrap().get(b"name").unwrap().unwrap(), b"another");
    assert_eq!(late.tree("new name").unwrap().get(b"name").unwrap().unwrap(), b"renamed");
    drop((db, before, early, late));
    let db = Options::new().read_only(true).open_on(Arc::new(disk)).unwrap();
    let snapshot = db.snapshot().unwrap();
    assert_eq!(snapshot.tree("created").unwrap().get(b"name").unwrap().unwrap(), b"created");
}

#[test]
fn a_snapshot_has_each_batch_and_each_move_whole_or_not_at_all() {
    let (_disk, db) = sim(2);
    let (one, two) = (db.create_tree("one").unwrap(), db.create_tree("two").unwrap());
    let pad = |number: u32| format!("here/{number:04}/{}", "x".repeat(number as usize % 100));
    for number in 0..2000 {
        one.put(pad(number).as_bytes(), b"").unwrap();
    }
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..400_u32 {
                let (from, to) =
                    if round.is_multiple_of(2) { ("here/", "there/") } else { ("there/", "here/") };
                db.atomic(|batch| {
                    batch.put(&two, b"round", &round.to_le_bytes())?;
                    batch.rename_prefix(&one, from.as_bytes(), to.as_bytes())?;
                    batch.put(&one, b"round", &round.to_le_bytes())
                })
                .unwrap();
            }
        });
        let mut seen = 0;
        while !writer.is_finished() || seen == 0 {
            let snapshot = db.snapshot().unwrap();
            let [one, two] = ["one", "two"].map(|name| snapshot.tree(name).unwrap());
            let round = two.get(b"round").unwrap();
            assert_eq!(one.get(b"round").unwrap(), round);
            let there = round.map(|round| u32::from_le_bytes(round.try_into().unwrap()) % 2 == 0);
            let (full, empty) =
                if there == Some(true) { ("there/", "here/") } else { ("here/", "there/") };
            assert_eq!(one.count(full.as_bytes()).unwrap(), 2000);
            assert!(one.is_prefix_empty(empty.as_bytes()).unwrap());
            seen += 1;
        }
        writer.join().unwrap();
    });
    assert_eq!(db.stats().unwrap().snapshots.open, 0);
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn trees_and_lists_keep_their_snapshot_and_stats_show_it() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for number in 0..2000_u32 {
        tree.put(format!("{number:05}").as_bytes(), &[0; 100]).unwrap();
    }
    tree.put(b"large", &[0; 100_000]).unwrap();
    let stats = || db.stats().unwrap().snapshots;
    assert_eq!((stats().open, stats().oldest), (0, None));
    let first = db.snapshot().unwrap();
    let clone = first.clone();
    assert_eq!((stats().open, stats().oldest), (1, Some(first.version())));
    assert_eq!((stats().kept_frames, stats().kept_values), (0, 0), "nothing has changed");
    // A second one of the same moment.
    let same = db.snapshot().unwrap();
    assert_eq!((same.version(), stats().open), (first.version(), 2));
    tree.clear().unwrap();
    let second = db.snapshot().unwrap();
    assert!(first.version() < second.version());
    assert_eq!((stats().open, stats().oldest), (3, Some(first.version())));
    while db.stats().unwrap().reclaiming {
        thread::yield_now();
    }
    assert!(stats().kept_frames > 2 && stats().kept_values == 1, "{:?}", stats());
    drop((first, same));
    assert_eq!((stats().open, stats().oldest), (2, Some(clone.version())));
    // The tree keeps the snapshot, and the list does when the tree is gone.
    let past = clone.default_tree().unwrap();
    drop((clone, second));
    let mut entries = past.scan().into_iter();
    assert_eq!(entries.next().unwrap().unwrap().name(), b"00000");
    let later = past.range("01000"..).into_iter();
    drop(past);
    assert_eq!(stats().open, 1);
    assert_eq!(entries.count(), 2000);
    assert_eq!((stats().open, later.count()), (1, 1001));
    let stats = stats();
    assert_eq!((stats.open, stats.oldest, stats.kept_frames, stats.kept_values), (0, None, 0, 0));
}

#[test]
fn a_snapshot_keeps_the_database_open_and_ends_with_it() {
    let (disk, db) = sim(3);
    let tree = db.default_tree();
    tree.put(b"key", b"value").unwrap();
    let snapshot = db.snapshot().unwrap();
    drop((db, tree));
    let past = snapshot.default_tree().unwrap();
    assert_eq!(past.get(b"key").unwrap().unwrap(), b"value");
    let refused = Options::new().open_on(Arc::new(disk.clone()));
    assert!(matches!(refused, Err(Error::Locked { .. })));
    drop(snapshot);
    drop(past);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    let snapshot = db.snapshot().unwrap();
    let past = snapshot.default_tree().unwrap();
    let mut entries = past.scan().into_iter();
    let other = db.clone();
    db.close().unwrap();
    assert!(matches!(other.snapshot(), Err(Error::Closed)));
    assert!(matches!(snapshot.tree_names(), Err(Error::Closed)));
    assert!(matches!(snapshot.tree("default"), Err(Error::Closed)));
    assert!(matches!(past.get(b"key"), Err(Error::Closed)));
    assert!(matches!(past.len(), Err(Error::Closed)));
    assert!(matches!(entries.next(), Some(Err(Error::Closed))));
    // Another opener need not wait for who still holds handles.
    Options::new().open_on(Arc::new(disk)).unwrap();
    drop((snapshot, past, entries));
}

/// Removes a prefix under a snapshot and uses the memory up with more of them, so that there is no room to take
/// apart what was removed; then lets all but the first go. Says whether the room was gone before all was taken
/// apart.
fn reclaim_beside_snapshots() -> bool {
    let db = Options::new().memory_bytes(32 << 20).in_memory().unwrap();
    let (tree, other) = (db.default_tree(), db.create_tree("other").unwrap());
    let mut keys = 0_u64;
    while db.stats().unwrap().frames < 485 {
        for _ in 0..20 {
            tree.put(format!("goes/{keys:06}").as_bytes(), &[1; 3000]).unwrap();
            keys += 1;
        }
    }
    let snapshot = db.snapshot().unwrap();
    let clone = snapshot.clone();
    tree.delete_prefix(b"goes/").unwrap();
    // Behind each further one whoever writes, or takes something apart, has to copy frames again.
    let mut further = vec![db.snapshot().unwrap()];
    while other.put(&further.len().to_be_bytes(), &[1; 10]).is_ok() {
        further.push(db.snapshot().unwrap());
    }
    // The thread gets as far as there is room for copies.
    let (mut last, mut same) = (0, 0);
    while same < 500 {
        let kept = db.stats().unwrap().snapshots.kept_frames;
        same = if kept == last { same + 1 } else { 0 };
        last = kept;
        if same < 100 {
            further.push(db.snapshot().unwrap());
        }
        thread::yield_now();
    }
    let stalled = db.stats().unwrap().reclaiming;
    assert_eq!(snapshot.default_tree().unwrap().len().unwrap(), keys);
    drop((further, snapshot));
    assert_eq!(clone.default_tree().unwrap().len().unwrap(), keys);
    drop(clone);
    // No write comes to its help.
    while db.stats().unwrap().reclaiming {
        thread::yield_now();
    }
    assert_eq!(db.stats().unwrap().snapshots.kept_frames, 0);
    assert!(db.verify().unwrap().faults.is_empty());
    stalled
}

#[test]
fn memory_that_a_snapshot_kept_from_being_reclaimed_comes_back_when_it_goes() {
    // The thread may have been faster.
    assert!((0..20).any(|_| reclaim_beside_snapshots()));
}

/// A snapshot of all trees, and what they held.
struct Taken {
    snapshot: Snapshot<SimDisk>,
    models: Vec<(String, Model)>,
}

#[test]
fn snapshots_of_different_ages_stay_as_they_were_beside_everything() {
    let seed = seed(0x51AB);
    let mut random = Random::new(seed);
    let disk = SimDisk::new(seed);
    let mut db = Options::new().checkpoint_bytes(1 << 20).open_on(Arc::new(disk.clone())).unwrap();
    let mut models = vec![("default".to_owned(), Model::new())];
    let mut taken: Vec<Taken> = Vec::new();
    let mut trees = 0;
    for step in 0..6000_u32 {
        let at = random.below(models.len() as u64) as usize;
        let few = models.len() < 5;
        let (name, model) = &mut models[at];
        let tree: Tree<SimDisk> = db.open_tree(name).unwrap();
        let directory =
            |random: &mut Random| format!("{}/", ["a", "b", "c"][random.below(3) as usize]);
        match random.below(1000) {
            0..700 => {
                let key = format!("{}{}", directory(&mut random), random.below(2000)).into_bytes();
                let length = [10, 100, 300, 5000][random.below(4) as usize];
                let value = vec![step as u8; length];
                tree.put(&key, &value).unwrap();
                model.insert(key, value);
            }
            700..900 => {
                let key = format!("{}{}", directory(&mut random), random.below(2000)).into_bytes();
                assert_eq!(tree.delete(&key).unwrap(), model.remove(&key).is_some());
            }
            900..910 => {
                let (from, to) = (directory(&mut random), directory(&mut random));
                let _ = tree.rename_prefix_replacing(from.as_bytes(), to.as_bytes()).unwrap();
                if from != to && model.keys().any(|key| key.starts_with(from.as_bytes())) {
                    model.retain(|key, _| !key.starts_with(to.as_bytes()));
                    let (stay, go): (Model, Model) = std::mem::take(model)
                        .into_iter()
                        .partition(|(key, _)| !key.starts_with(from.as_bytes()));
                    *model = stay;
                    let moved = go
                        .into_iter()
                        .map(|(key, value)| ([to.as_bytes(), &key[from.len()..]].concat(), value));
                    model.extend(moved);
                }
            }
            910..918 => {
                let prefix = directory(&mut random);
                tree.delete_prefix(prefix.as_bytes()).unwrap();
                model.retain(|key, _| !key.starts_with(prefix.as_bytes()));
            }
            918..925 if few => {
                trees += 1;
                let name = format!("tree {trees}");
                db.create_tree(&name).unwrap();
                models.push((name, Model::new()));
            }
            925..930 if at > 0 => {
                db.drop_tree(name).unwrap();
                models.remove(at);
            }
            930..935 if at > 0 => {
                trees += 1;
                let new = format!("tree {trees}");
                db.rename_tree(name, &new).unwrap();
                *name = new;
            }
            935..945 => drop(db.checkpoint().unwrap()),
            945..975 => {
                taken.push(Taken { snapshot: db.snapshot().unwrap(), models: models.clone() })
            }
            975..998 if !taken.is_empty() => {
                let one = random.below(taken.len() as u64) as usize;
                let Taken { snapshot, models } = taken.swap_remove(one);
                let mut names: Vec<_> = models.iter().map(|(name, _)| name.clone()).collect();
                names.sort_unstable();
                assert_eq!(snapshot.tree_names().unwrap(), names);
                for (name, model) in &models {
                    check(&snapshot.tree(name).unwrap(), model);
                }
            }
            998.. => {
                taken.clear();
                drop(tree);
                drop(db);
                db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
            }
            _ => {}
        }
    }
    for Taken { snapshot, models } in taken.drain(..) {
        for (name, model) in &models {
            check(&snapshot.tree(name).unwrap(), model);
        }
    }
    assert_eq!(db.stats().unwrap().snapshots.open, 0);
    assert!(db.verify().unwrap().faults.is_empty());
}
