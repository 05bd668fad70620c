//! Snapshots of different ages beside a cut, each compared with the map as it was.
//!
//! Writers churn records of all sizes; frames split, merge and are freed, their numbers are
//! used again, blobs come and go. A snapshot has to answer every read as a `BTreeMap` that
//! was cloned when it was taken does, to its end. After each step the pool's accounts
//! have to add up, and with the last snapshot everything that was kept is gone.
//!
//! `HOLT_TEST_SEED` chooses another seed, `HOLT_TEST_ROUNDS` more rounds with seeds that
//! follow it.

#[path = "support/random.rs"]
mod random;
#[path = "support/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use holt_art::{
    Condition, Cut, Entry, EntryRef, Error, Pool, PoolOptions, Put, Removed, Scan, Snapshot,
    SnapshotTree, Tree, Version,
};
use random::Random;
use records::{key, token, value};

/// Version and token by key.
type Model = BTreeMap<Vec<u8>, (Version, u64)>;

/// A tree and what it has to contain.
struct World {
    tree: Tree,
    versions: AtomicU64,
    model: Model,
}

impl World {
    fn new(options: PoolOptions) -> Self {
        let pool = Pool::new(options).unwrap();
        let tree = pool.create_tree(&pool.enter()).unwrap();
        Self { tree, versions: AtomicU64::new(0), model: Model::new() }
    }

    fn pool(&self) -> &Arc<Pool> {
        self.tree.pool()
    }

    fn sequence(&self) -> Version {
        Version::new(self.versions.fetch_add(1, Ordering::Relaxed) + 1).unwrap()
    }

    fn put(&mut self, n: u32, token: u64) -> Result<(), Error> {
        let key = key(n);
        let put = self.tree.put(
            &self.pool().enter(),
            &key,
            &value(&key, token),
            Condition::Always,
            || self.sequence(),
        )?;
        let (Put::Inserted(version) | Put::Replaced(version)) = put else { panic!("refused") };
        self.model.insert(key, (version, token));
        Ok(())
    }

    fn remove(&mut self, n: u32) -> Result<(), Error> {
        let key = key(n);
        let removed =
            self.tree.remove(&self.pool().enter(), &key, Condition::Always, || self.sequence())?;
        let known = self.model.remove(&key).is_some();
        assert_eq!(matches!(removed, Removed::Removed(_)), known);
        Ok(())
    }

    fn snapshot(&self) -> Taken {
        let snapshot = self.pool().snapshot(&self.pool().close_gate());
        let tree = snapshot.tree(self.tree.root()).unwrap();
        drop(snapshot);
        Taken { tree, model: self.model.clone() }
    }

    fn assert_sound(&self) {
        let closed = self.pool().close_gate();
        assert_eq!(self.pool().verify(&closed, &[self.tree.root()]), []);
    }

    /// That nothing is kept for anybody.
    fn assert_nothing_kept(&self) {
        let stats = self.pool().stats();
        assert_eq!((stats.pins, stats.kept_bytes, stats.kept_blobs), (0, 0, 0));
        assert_eq!(stats.slot_bytes, stats.frames * Pool::FRAME_BYTES as u64);
        self.assert_sound();
    }
}

/// A snapshot of the tree, and the map as it was.
struct Taken {
    tree: SnapshotTree,
    model: Model,
}

impl Taken {
    /// Compares gets of some of the keys that exist or may exist.
    fn check_gets(&self, random: &mut Random, keys: u64, count: u64) {
        let mut out = Vec::new();
        for _ in 0..count {
            let key = key(random.below(keys) as u32);
            let version = self.tree.get_into(&key, &mut out).unwrap();
            let found = version.map(|version| (version, token(&key, &out)));
            assert_eq!(found, self.model.get(&key).copied(), "{}", key.escape_ascii());
            assert_eq!(self.tree.version(&key).unwrap(), version);
            let below = [&key[..], b"/below"].concat();
            let expected =
                (0..=below.len()).rev().find(|&end| self.model.contains_key(&below[..end]));
            let longest = self.tree.longest_prefix(&below).unwrap();
            assert_eq!(longest.as_ref().map(|entry| entry.name().len()), expected);
            if let Some(EntryRef::Key { key, value, version }) = longest.as_ref().map(Entry::as_ref)
            {
                assert_eq!(self.model[key], (version, token(key, value)));
            }
        }
        let keys: Vec<_> = (0..count).map(|_| key(random.below(keys) as u32)).collect();
        let mut next = 0;
        let check = |at: usize, record: Option<(&[u8], Version)>| {
            assert_eq!(at, next);
            next += 1;
            let key: &[u8] = &keys[at];
            let found = record.map(|(value, version)| (version, token(key, value)));
            assert_eq!(found, self.model.get(key).copied());
        };
        self.tree.get_many(&keys, check).unwrap();
        assert_eq!(next, keys.len());
    }

    /// Compares every record, and counts below prefixes.
    fn check_all(&self) {
        assert_eq!(self.tree.len(), self.model.len() as u64);
        assert_eq!(self.tree.is_empty(), self.model.is_empty());
        for (key, &record) in &self.model {
            let found = self.tree.get(key, |value, version| (version, token(key, value))).unwrap();
            assert_eq!(found, Some(record), "{}", key.escape_ascii());
        }
        for prefix in [&b"bucket-0"[..], b"bucket-07/path/sub-1/", b"long/1/x", b"spine-3", b"none"]
        {
            let expected = self.model.keys().filter(|key| key.starts_with(prefix)).count() as u64;
            assert_eq!(self.tree.count(prefix).unwrap(), expected, "{}", prefix.escape_ascii());
            assert_eq!(self.tree.is_prefix_empty(prefix).unwrap(), expected == 0);
            for reverse in [false, true] {
                self.check_list(prefix, reverse);
            }
        }
        self.check_list(b"", false);
        self.check_list(b"", true);
    }

    /// Compares a list of what is below the prefix, and its first or last record.
    fn check_list(&self, prefix: &[u8], reverse: bool) {
        let mut expected: Vec<_> =
            self.model.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        if reverse {
            expected.reverse();
        }
        let end = if reverse { self.tree.last(prefix) } else { self.tree.first(prefix) };
        let end = end.unwrap().map(Entry::into_name);
        assert_eq!(end.as_ref(), expected.first().map(|&(key, _)| key));
        let mut expected = expected.into_iter();
        let mut cursor = self.tree.cursor(Scan::prefix(prefix).reverse(reverse));
        while let Some(EntryRef::Key { key, value, version }) = cursor.next_ref().unwrap() {
            let (expected_key, &record) = expected.next().expect("no more keys than there were");
            assert!(expected_key == key, "{}", key.escape_ascii());
            assert_eq!((version, token(key, value)), record, "{}", key.escape_ascii());
        }
        assert_eq!(expected.next(), None);
    }
}

fn seed(default: u64) -> u64 {
    let seed = std::env::var("HOLT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(default);
    println!("HOLT_TEST_SEED={seed}");
    seed
}

fn rounds() -> u64 {
    std::env::var("HOLT_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What the cut gave out, as a store on disk would have it.
type Store = BTreeMap<u64, Vec<u8>>;

fn fold(store: &mut Store, cut: &Cut) {
    let dirty = cut.dirty();
    for &object in &dirty {
        cut.image(object, store.entry(object).or_default()).unwrap();
    }
    for object in cut.freed() {
        store.remove(&object);
    }
}

/// Loads the store into a fresh pool, which must then be the tree at the cut and no more.
fn check_store(store: &Store, tree: &Tree, model: &Model) {
    let pool = Pool::new(PoolOptions::with_bytes(1 << 30, 1 << 30)).unwrap();
    for (&object, image) in store {
        pool.load(object, image).unwrap();
    }
    let tree = pool.open_tree(tree.root()).unwrap();
    assert_eq!(pool.verify(&pool.close_gate(), &[tree.root()]), []);
    assert_eq!(tree.len(), model.len() as u64);
    for (key, &record) in model {
        let found = tree.get(key, |value, version| (version, token(key, value))).unwrap();
        assert_eq!(found, Some(record), "{}", key.escape_ascii());
    }
}

/// Churns `keys` keys; every so often a snapshot or a cut is taken or ends, in any order.
fn ages(seed: u64, keys: u64, steps: u64) {
    let mut random = Random::new(seed);
    let mut world = World::new(PoolOptions::with_bytes(1 << 30, 1 << 30));
    let mut taken: Vec<Taken> = Vec::new();
    let mut cut: Option<(Cut, Model)> = None;
    let mut store = Store::new();
    let (mut snapshots, mut cuts) = (0, 0);
    for step in 0..steps {
        let n = random.below(keys) as u32;
        let grows = (step * 5 / steps).is_multiple_of(2);
        if random.below(10) < if grows { 8 } else { 2 } {
            world.put(n, step).unwrap();
        } else {
            world.remove(n).unwrap();
        }
        match random.below(600) {
            0..=2 if taken.len() < 8 => {
                taken.push(world.snapshot());
                snapshots += 1;
            }
            3 | 4 if !taken.is_empty() => {
                let gone = taken.swap_remove(random.below(taken.len() as u64) as usize);
                gone.check_all();
                drop(gone);
                world.assert_sound();
            }
            5 => match cut.take() {
                None => {
                    let opened = world.pool().cut(&world.pool().close_gate()).unwrap();
                    cut = Some((opened, world.model.clone()));
                }
                Some((cut, _)) if random.below(3) == 0 => {
                    drop(cut);
                    world.assert_sound();
                }
                Some((cut, model)) => {
                    fold(&mut store, &cut);
                    check_store(&store, &world.tree, &model);
                    cut.commit();
                    world.assert_sound();
                    cuts += 1;
                }
            },
            6..=9 => taken.iter().for_each(|one| one.check_gets(&mut random, keys, 10)),
            _ => {}
        }
    }
    println!("{snapshots} snapshots, {cuts} cuts committed, {} at the end", taken.len());
    while !taken.is_empty() {
        let gone = taken.swap_remove(random.below(taken.len() as u64) as usize);
        gone.check_all();
        drop(gone);
        world.assert_sound();
    }
    drop(cut);
    world.assert_nothing_kept();
}

#[test]
fn snapshots_of_all_ages_are_the_map_as_it_was() {
    let seed = seed(11_000);
    for round in 0..rounds() {
        ages(seed + round, 12_000, 60_000);
    }
}

#[test]
fn snapshots_of_a_small_tree_under_heavy_change_are_exact() {
    let seed = seed(12_000);
    for round in 0..rounds() {
        ages(seed + round, 80, 20_000);
    }
}

#[test]
fn a_snapshot_outlives_its_tree() {
    let mut world = World::new(PoolOptions::with_bytes(1 << 30, 1 << 30));
    for n in 0..9_000 {
        world.put(n, 1).unwrap();
    }
    let taken = world.snapshot();
    let root = world.tree.root();
    let pool = Arc::clone(world.pool());
    {
        let closed = pool.close_gate();
        pool.free_tree(&closed, root).unwrap();
    }
    assert_eq!(pool.verify(&pool.close_gate(), &[]), []);
    // Another tree takes the numbers of the frames and blobs.
    world.tree = pool.create_tree(&pool.enter()).unwrap();
    assert_eq!(world.tree.root(), root);
    for n in 0..9_000 {
        world.put(n, 2).unwrap();
    }
    taken.check_all();
    drop(taken);
    world.assert_nothing_kept();
}

#[test]
fn a_snapshot_knows_no_tree_that_came_after_it() {
    let pool = Pool::new(PoolOptions::with_bytes(4 << 20, 1 << 20)).unwrap();
    let before = pool.snapshot(&pool.close_gate());
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let missing = Error::MissingFrame { frame: tree.root().get() };
    assert_eq!(before.tree(tree.root()).unwrap_err(), missing);
    let after = pool.snapshot(&pool.close_gate());
    assert!(after.tree(tree.root()).unwrap().is_empty());
    assert!(Arc::ptr_eq(after.pool(), &pool));
}

/// A pool with hardly any room: what is refused for a snapshot's sake has changed nothing,
/// and works again when the snapshot has gone.
fn squeeze(seed: u64, frames: u64) {
    let options = PoolOptions::with_bytes(frames * Pool::FRAME_BYTES as u64, frames * 8192);
    let mut world = World::new(options);
    let mut random = Random::new(seed ^ frames << 32);
    let mut taken: Vec<Taken> = Vec::new();
    let keys = frames * 400 + 50;
    let (mut done, mut refused) = (0, 0);
    for step in 0..6_000u64 {
        let n = random.below(keys) as u32;
        let grows = step / 1_500 % 2 == 0;
        let result = if random.below(10) < if grows { 8 } else { 3 } {
            world.put(n, step)
        } else {
            world.remove(n)
        };
        match result {
            Ok(()) => done += 1,
            Err(error) => {
                assert!(matches!(error, Error::PoolFull { .. }), "{error}");
                refused += 1;
                let key = key(n);
                let found = world.tree.get(&key, |value, version| (version, token(&key, value)));
                assert_eq!(found.unwrap(), world.model.get(&key).copied());
                if refused % 32 == 1 {
                    world.assert_sound();
                    taken.iter().for_each(|one| one.check_gets(&mut random, keys, 5));
                }
            }
        }
        if step % 150 == 0 && taken.len() < 4 {
            taken.push(world.snapshot());
        } else if step % 100 == 0 && !taken.is_empty() {
            let gone = taken.swap_remove(random.below(taken.len() as u64) as usize);
            gone.check_all();
            drop(gone);
            world.assert_sound();
        }
    }
    taken.iter().for_each(Taken::check_all);
    taken.clear();
    world.assert_nothing_kept();
    // Without a pin removals need no room.
    for n in 0..keys {
        world.remove(n as u32).unwrap();
    }
    let stats = world.pool().stats();
    assert_eq!((stats.frames, stats.blobs), (1, 0));
    println!("{frames} frames: {done} done, {refused} refused");
    assert!(done > 0 && (refused > 0 || frames > 8));
}

#[test]
fn a_pool_without_room_for_a_snapshot_refuses_and_changes_nothing() {
    let seed = seed(13_000);
    for round in 0..rounds() {
        for frames in (2..=8).chain([12, 24]) {
            squeeze(seed + round, frames);
        }
    }
}

/// Readers of snapshots beside writers, with snapshots that come and go in other threads.
#[test]
fn readers_of_snapshots_see_no_writer() {
    let seed = seed(14_000);
    for round in 0..rounds() {
        storm(seed + round);
    }
}

fn storm(seed: u64) {
    const KEYS: u64 = 3_000;
    let mut world = World::new(PoolOptions::with_bytes(1 << 30, 1 << 30));
    let mut random = Random::new(seed);
    let done = AtomicBool::new(false);
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Taken>(3);
    let receiver = std::sync::Mutex::new(receiver);
    let checked = AtomicU64::new(0);
    let pool = Arc::clone(world.pool());
    thread::scope(|scope| {
        for reader in 0..2 {
            let (receiver, checked) = (&receiver, &checked);
            let mut random = Random::new(seed ^ (reader + 1) << 40);
            scope.spawn(move || {
                loop {
                    let taken = receiver.lock().unwrap().recv();
                    let Ok(taken) = taken else { return };
                    taken.check_gets(&mut random, KEYS, 300);
                    if random.below(4) == 0 {
                        taken.check_all();
                    }
                    checked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Snapshots and cuts that nobody reads, so that pins of several threads come and go.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let held: Vec<Snapshot> =
                    (0..3).map(|_| pool.snapshot(&pool.close_gate())).collect();
                let cut = pool.cut(&pool.close_gate()).unwrap();
                drop(held);
                cut.commit();
                thread::yield_now();
            }
        });
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _ends = Ends(&done);
        let sender = sender;
        for step in 0..20_000u64 {
            let n = random.below(KEYS) as u32;
            let grows = step / 5_000 % 2 == 0;
            if random.below(10) < if grows { 8 } else { 3 } {
                world.put(n, step).unwrap();
            } else {
                world.remove(n).unwrap();
            }
            if step % 150 == 0 {
                // Readers that lag behind, or have failed, are not waited for.
                let _ = sender.try_send(world.snapshot());
            }
        }
    });
    println!("{} snapshots checked", checked.load(Ordering::Relaxed));
    assert!(checked.load(Ordering::Relaxed) > 0);
    world.assert_nothing_kept();
}
