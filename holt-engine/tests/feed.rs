//! Feeds: every change once and in order, whatever happens to the database meanwhile.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Model, Random, contents, seed};
use holt_engine::disk::{CrashPattern, Disk, SimDisk};
use holt_engine::{
    Change, Db, Durability, Effect, Error, Feed, Moved, Options, Renamed, Tree, Version,
};

const LONG: Duration = Duration::from_secs(60);

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).checkpoint_bytes(0).durability(Durability::Os);
    options
}

fn open(disk: &SimDisk, options: &Options) -> Db<SimDisk> {
    options.open_on(Arc::new(disk.clone())).unwrap()
}

/// A copy of a database's trees that is made from its changes alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Replica(BTreeMap<u64, (String, Model)>);

impl Replica {
    fn new() -> Replica {
        Replica(BTreeMap::from([(1, ("default".to_owned(), Model::new()))]))
    }

    fn of<D: Disk>(db: &Db<D>) -> Replica {
        let tree = |name: String| {
            let tree = db.open_tree(&name).unwrap();
            (tree.id(), (name, contents(&tree).unwrap()))
        };
        Replica(db.tree_names().unwrap().into_iter().map(tree).collect())
    }

    fn apply(&mut self, change: &Change) {
        for operation in change.operations() {
            if let Effect::CreateTree { name } = &operation.effect {
                let new = self.0.insert(operation.tree, (name.clone(), Model::new()));
                assert!(new.is_none(), "{operation:?}");
                continue;
            }
            let (name, keys) = self.0.get_mut(&operation.tree).expect("a tree that was created");
            match &operation.effect {
                Effect::Put { key, value } => drop(keys.insert(key.clone(), value.clone())),
                Effect::Delete { key } => drop(keys.remove(key)),
                Effect::Rename { from, to } => {
                    let value = keys.remove(from).expect("what is renamed is there");
                    keys.insert(to.clone(), value);
                }
                Effect::RenamePrefix { from, to, replace } => {
                    let under = |prefix: &[u8], keys: &mut Model| -> Vec<(Vec<u8>, Vec<u8>)> {
                        keys.extract_if(.., |key, _| key.starts_with(prefix)).collect()
                    };
                    let moved = under(from, keys);
                    assert!(!moved.is_empty(), "{operation:?}");
                    let gone = under(to, keys);
                    assert!(*replace || gone.is_empty(), "{operation:?}");
                    keys.extend(
                        moved
                            .into_iter()
                            .map(|(key, value)| ([to, &key[from.len()..]].concat(), value)),
                    );
                }
                Effect::DeletePrefix { prefix } => keys.retain(|key, _| !key.starts_with(prefix)),
                Effect::RenameTree { name: new } => *name = new.clone(),
                Effect::DropTree => drop(self.0.remove(&operation.tree)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Applies all that a feed has by now; says how many changes those were.
    fn follow(&mut self, feed: &mut Feed<SimDisk>) -> u64 {
        let mut last = None;
        feed.map(|change| {
            let change = change.unwrap();
            assert!(last < Some(change.version()), "versions rise");
            let versions = change.operations().iter().map(|operation| operation.version);
            assert!(versions.is_sorted_by(|one, next| one < next));
            last = Some(change.version());
            self.apply(&change);
        })
        .count() as u64
    }
}

fn key(random: &mut Random) -> Vec<u8> {
    let part = |random: &mut Random| [b"a", b"b", b"\0", b"/"][random.below(4) as usize].to_vec();
    (0..random.below(4)).flat_map(|_| part(random)).collect()
}

/// One change at random, if it happens to be possible; says whether it was.
fn step(db: &Db<SimDisk>, random: &mut Random) -> bool {
    let names = db.tree_names().unwrap();
    let name = &names[random.below(names.len() as u64) as usize];
    let tree = db.open_tree(name).unwrap();
    let (one, other) = (key(random), key(random));
    let value = vec![random.next() as u8; random.below(300) as usize];
    let done = |error: Error| match error {
        Error::EmptyPrefix | Error::PrefixInside | Error::GuardFailed(_) => false,
        Error::DefaultTree | Error::TreeExists { .. } => false,
        error => panic!("{error}"),
    };
    match random.below(20) {
        0..8 => tree.put(&one, &value).is_ok(),
        8..10 => tree.delete(&one).unwrap(),
        10 => tree.put_if_absent(&one, &value).unwrap().is_done(),
        11 => matches!(tree.rename_replacing(&one, &other), Ok(Renamed::Done(_))),
        12 => tree
            .rename_prefix_replacing(&one, &other)
            .map_or_else(done, |moved| matches!(moved, Moved::Done(_))),
        13 => tree.delete_prefix(&one).unwrap(),
        14 => db.create_tree(&format!("tree {}", random.below(9))).map_or_else(done, |_| true),
        15 if random.below(3) == 0 => db.drop_tree(name).map_or_else(done, |()| true),
        15 => {
            let new = format!("tree {}", random.below(9));
            db.rename_tree(name, &new).map_or_else(done, |()| true)
        }
        _ => {
            let filled = db.atomic(|batch| {
                for _ in 0..random.below(4) + 1 {
                    let (key, prefix) = (key(random), key(random));
                    batch.put(&tree, &key, &value)?;
                    match random.below(4) {
                        0 => batch.delete(&tree, &prefix)?,
                        1 => batch.rename_replacing(&tree, &key, &prefix)?,
                        2 => batch.delete_prefix(&tree, &[&prefix[..], b"a"].concat())?,
                        _ => batch.put(&db.default_tree(), &prefix, b"two trees")?,
                    }
                }
                Ok(())
            });
            filled.map_or_else(done, |_| true)
        }
    }
}

#[test]
fn a_copy_made_of_changes_is_the_database_over_checkpoints_reopening_and_kills() {
    for run in 0..6 {
        let mut random = Random::new(seed(4700) + run);
        let mut disk = SimDisk::new(run);
        let mut kept = options();
        kept.keep_log_bytes(1 << 30);
        let mut db = open(&disk, &kept);
        let mut replica = Replica::new();
        let (mut feed, mut shown, mut made) = (db.changes(None).open().unwrap(), 0, 0);
        for _ in 0..700 {
            match random.below(40) {
                0 => {
                    db.checkpoint().unwrap();
                }
                1 => {
                    db.compact().unwrap();
                }
                2..6 => {
                    shown += replica.follow(&mut feed);
                    assert_eq!((shown, &replica), (made, &Replica::of(&db)));
                }
                event @ 6..8 => {
                    let position = feed.position().unwrap();
                    drop(feed);
                    if event == 6 {
                        db.close().unwrap();
                    } else {
                        disk = disk.kill();
                        drop(db);
                    }
                    db = open(&disk, &kept);
                    feed = db.changes(Some(position)).open().unwrap();
                }
                _ => made += u64::from(step(&db, &mut random)),
            }
        }
        shown += replica.follow(&mut feed);
        assert_eq!((shown, &replica), (made, &Replica::of(&db)));
        // The whole log says the same again, to a reader too.
        let mut again = Replica::new();
        assert_eq!(again.follow(&mut db.changes(None).open().unwrap()), made);
        assert_eq!(again, replica);
        drop(feed);
        db.close().unwrap();
        let mut reading = kept.clone();
        let reader = open(&disk, reading.read_only(true));
        let mut again = Replica::new();
        let mut feed = reader.changes(None).open().unwrap();
        assert_eq!(again.follow(&mut feed), made);
        assert_eq!((again, feed.next_within(LONG).unwrap()), (replica, None));
    }
}

#[test]
fn followers_keep_up_with_several_writers_beside_checkpoints() {
    const EACH: u64 = 1500;
    let disk = SimDisk::new(1);
    let db = open(&disk, options().checkpoint_bytes(64 << 10));
    let followers = [Durability::Os, Durability::Sync].map(|durability| {
        let mut feed = db.changes(None).durability(durability).open().unwrap();
        thread::spawn(move || {
            let mut next: BTreeMap<u64, u64> = BTreeMap::new();
            while next.values().sum::<u64>() < 3 * EACH {
                let change = feed.next_within(LONG).unwrap().expect("a change within a minute");
                let [one, other] = change.operations() else { panic!("{change:?}") };
                let Effect::Put { key, value } = &one.effect else { panic!("{one:?}") };
                assert_eq!(other.effect, Effect::Delete { key: value.clone() });
                let [writer, number] =
                    [0, 8].map(|at| u64::from_be_bytes(key[at..at + 8].try_into().unwrap()));
                let expected = next.entry(writer).or_default();
                assert_eq!(number, *expected);
                *expected += 1;
            }
        })
    });
    thread::scope(|scope| {
        for writer in 0..3_u64 {
            let db = &db;
            scope.spawn(move || {
                let tree = db.default_tree();
                for number in 0..EACH {
                    let key = [writer.to_be_bytes(), number.to_be_bytes()].concat();
                    let batch = |batch: &mut holt_engine::Batch<SimDisk>| {
                        batch.put(&tree, &key, b"nobody")?;
                        batch.delete(&tree, b"nobody")
                    };
                    db.atomic(batch).unwrap();
                }
                db.sync().unwrap();
            });
        }
    });
    followers.into_iter().for_each(|follower| follower.join().unwrap());
    assert!(db.stats().unwrap().checkpoints.made > 0);
}

fn keys(feed: &mut Feed<SimDisk>) -> Vec<(u64, Vec<u8>)> {
    let mut keys = Vec::new();
    for change in feed {
        for operation in change.unwrap().into_operations() {
            let key = match operation.effect {
                Effect::Put { key, .. } | Effect::Delete { key } => key,
                Effect::Rename { from, .. } | Effect::RenamePrefix { from, .. } => from,
                Effect::DeletePrefix { prefix } => prefix,
                Effect::CreateTree { name } | Effect::RenameTree { name } => name.into_bytes(),
                _ => b"drop".to_vec(),
            };
            keys.push((operation.tree, key));
        }
    }
    keys
}

#[test]
fn a_filter_shows_what_touches_it_and_nothing_else() {
    let disk = SimDisk::new(2);
    let db = open(&disk, &options());
    let (files, users) = (db.tree("files").unwrap(), db.tree("users").unwrap());
    let before = db.last_version().unwrap();
    files.put(b"usr/bin/ls", b"").unwrap();
    files.put(b"var/log", b"").unwrap();
    users.put(b"usr/alice", b"").unwrap();
    let batch = db.atomic(|batch| {
        batch.put(&users, b"bob", b"")?;
        batch.put(&files, b"usr/bin/vi", b"")?;
        batch.put(&files, b"tmp/1", b"")
    });
    let renamed = files.rename_replacing(b"var/log", b"usr/log").unwrap();
    assert!(matches!(renamed, Renamed::Done(_)));
    for (from, to) in [(&b"tmp/"[..], &b"temporary/"[..]), (b"us", b"share")] {
        let moved = files.rename_prefix(from, to).unwrap();
        assert!(matches!(moved, Moved::Done(_)));
    }
    files.delete_prefix(b"temporary/").unwrap();
    files.delete_prefix(b"").unwrap();
    files.delete_prefix(b"").unwrap();
    db.rename_tree("users", "people").unwrap();
    db.rename_tree("files", "paths").unwrap();
    db.drop_tree("paths").unwrap();
    let touched = |feed: holt_engine::Changes<SimDisk>| keys(&mut feed.open().unwrap());
    let own = |tree: &Tree<SimDisk>, names: &[&[u8]]| -> Vec<_> {
        names.iter().map(|name| (tree.id(), name.to_vec())).collect()
    };
    let changes = || db.changes(Some(before));
    let usr: &[&[u8]] = &[b"usr/bin/ls", b"usr/bin/vi", b"var/log", b"us", b"", b"paths", b"drop"];
    assert_eq!(touched(changes().prefix(&files, "usr/")), own(&files, usr));
    let bob: &[&[u8]] = &[b"bob", b"people"];
    assert_eq!(touched(changes().prefix(&users, "bo")), own(&users, bob));
    assert_eq!(touched(changes()).len(), 14);
    let both = touched(changes().tree(&files).tree(&users));
    assert_eq!(both, touched(changes()));
    // The versions in a batch are those that it gave.
    let mut feed = changes().prefix(&files, "tmp/1").open().unwrap();
    let change = feed.next().unwrap().unwrap();
    let applied = batch.unwrap();
    assert_eq!(Some(change.version()), applied.version(0));
    assert_eq!(Some(change.operations()[0].version), applied.version(2));
    // From the middle of a batch on is from behind it.
    for number in 0..3 {
        let mut feed = db.changes(applied.version(number)).open().unwrap();
        let next = feed.next().unwrap().unwrap();
        assert!(matches!(next.operations()[0].effect, Effect::Rename { .. }), "{number}: {next:?}");
    }
    // A filter that shows nothing moves on all the same.
    let mut feed = changes().prefix(&db.default_tree(), "none").open().unwrap();
    assert!(feed.next().is_none());
    assert_eq!(feed.position().unwrap(), db.last_version().unwrap());
}

#[test]
fn what_a_checkpoint_has_taken_is_gone_and_the_error_says_from_where_on_it_is_there() {
    let disk = SimDisk::new(3);
    let db = open(&disk, &options());
    let tree = db.default_tree();
    let put = |number: u64| tree.put(&number.to_be_bytes(), &[7; 500]).unwrap();
    let first = put(0);
    for number in 1..200 {
        put(number);
    }
    db.checkpoint().unwrap();
    let error = db.changes(Some(first)).open().unwrap_err();
    let Error::ChangesGone { oldest } = error else { panic!("{error}") };
    let numbers = |feed: Feed<SimDisk>| -> Vec<Version> {
        feed.map(|change| change.unwrap().version()).collect()
    };
    let left = numbers(db.changes(Some(oldest)).open().unwrap());
    assert_eq!(left, numbers(db.changes(None).open().unwrap()));
    let below = Version::new(oldest.get() - 1);
    assert!(matches!(db.changes(below).open(), Err(Error::ChangesGone { .. })));
    let next = put(200);
    let mut all = left;
    all.push(next);
    assert_eq!(numbers(db.changes(Some(oldest)).open().unwrap()), all);
    assert_eq!(db.changes(Some(next)).open().unwrap().count(), 0);
    let later = Version::new(db.last_version().unwrap().get() + 1);
    assert!(
        matches!(db.changes(later).open(), Err(Error::UnknownVersion { version }) if Some(version) == later)
    );
}

#[test]
fn a_feed_that_lags_holds_the_log_up_to_its_bound() {
    let disk = SimDisk::new(4);
    let db = open(&disk, options().feed_bytes(200 << 10));
    let tree = db.default_tree();
    let mut feed = db.changes(None).open().unwrap();
    let write = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            tree.put(&number.to_be_bytes(), &[1; 1000]).unwrap();
        }
        db.checkpoint().unwrap();
        db.stats().unwrap().feeds
    };
    let held = write(0..100);
    assert!((held.open, held.cut_off) == (1, 0) && held.held_bytes > 100_000, "{held:?}");
    assert_eq!(feed.by_ref().count(), 100);
    let held = write(100..110);
    assert!(held.held_bytes < 20_000, "{held:?}");
    let held = write(110..500);
    assert_eq!((held.open, held.held_bytes, held.cut_off), (0, 0, 1));
    assert!(feed.any(|change| matches!(change, Err(Error::ChangesGone { .. }))));
    assert!(matches!(feed.next_within(LONG), Err(Error::ChangesGone { .. })));
    drop(feed);
    let oldest = |db: &Db<SimDisk>| db.changes(None).open().unwrap().position().unwrap();
    assert!(oldest(&db) > Version::new(60_000).unwrap());
}

#[test]
fn a_version_that_a_loss_of_power_took_is_unknown() {
    let disk = SimDisk::new(5);
    let db = open(&disk, &options());
    let kept = db.default_tree().put_with(b"kept", b"", Durability::Sync).unwrap();
    let lost = db.default_tree().put(b"lost", b"").unwrap();
    let mut seen = db.changes(None).open().unwrap();
    assert_eq!(seen.by_ref().count(), 2);
    let mut safe = db.changes(None).durability(Durability::Sync).open().unwrap();
    assert_eq!(safe.by_ref().count(), 1);
    let disk = disk.crash(5, CrashPattern::LoseAll);
    let (seen, safe) = (seen.position().unwrap(), safe.position().unwrap());
    let db = open(&disk, &options());
    for write in [false, true] {
        if write {
            db.default_tree().put(b"new", b"").unwrap();
        }
        for version in [lost, seen] {
            let refused = db.changes(Some(version)).open();
            assert!(matches!(refused, Err(Error::UnknownVersion { version: v }) if v == version));
        }
        for version in [kept, safe] {
            let feed = db.changes(Some(version)).open().unwrap();
            assert_eq!(feed.count(), usize::from(write));
        }
    }
}

#[test]
fn a_feed_is_refused_or_ended_with_the_reason() {
    let disk = SimDisk::new(6);
    let db = open(&disk, &options());
    let other = Db::in_memory().unwrap();
    assert!(matches!(other.changes(None).open(), Err(Error::NoLog)));
    let foreign = open(&SimDisk::new(7), &options()).default_tree();
    assert!(matches!(db.changes(None).tree(&foreign).open(), Err(Error::OtherDatabase)));
    let long = vec![0; holt_engine::MAX_KEY + 1];
    let refused = db.changes(None).prefix(&db.default_tree(), long).open();
    assert!(matches!(refused, Err(Error::KeyTooLong { .. })));

    let mut feed = db.changes(None).open().unwrap();
    assert_eq!(feed.next_within(Duration::ZERO).unwrap(), None);
    let waiting = thread::spawn(move || (feed.next_within(Duration::MAX), feed.next()));
    let handle = db.clone();
    db.close().unwrap();
    let (waited, next) = waiting.join().unwrap();
    assert!(matches!(waited, Err(Error::Closed)));
    assert!(matches!(next, Some(Err(Error::Closed))));
    assert!(matches!(handle.changes(None).open(), Err(Error::Closed)));
}
