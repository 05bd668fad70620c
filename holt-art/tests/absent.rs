//! Trees that are larger than their pool's memory.
//!
//! The source is a map of images that the committed cuts are folded into, as a store on disk
//! would do it. It counts what is read from it, and can be told to fail or to give nonsense.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use holt_art::{
    Condition, Error, Existing, FrameId, FrameSource, Outlook, Pool, PoolOptions, Put, Removed,
    Renamed, Scan, SourceError, Tree, Version,
};
use random::Random;

/// Images by object.
#[derive(Debug, Default)]
struct Images {
    images: Mutex<BTreeMap<u64, Vec<u8>>>,
    reads: AtomicU64,
    fails: AtomicBool,
    /// What is wrong with each image.
    damage: Mutex<Option<Damage>>,
}

/// What may be wrong with an image.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Nothing,
    Half,
    Ragged,
    Another,
    Garbage,
}

impl FrameSource for Images {
    fn read(&self, object: u64, out: &mut Vec<u8>) -> Result<(), SourceError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            return Err("the disk is on fire".into());
        }
        let images = self.images.lock().unwrap();
        out.extend_from_slice(images.get(&object).ok_or("there is no such image")?);
        match *self.damage.lock().unwrap() {
            Some(Damage::Nothing) => out.clear(),
            Some(Damage::Half) => out.truncate(out.len() / 16 * 8),
            Some(Damage::Ragged) => drop(out.pop()),
            Some(Damage::Another) => {
                let another = images.iter().find(|&(&other, _)| other != object);
                out.clone_from(another.unwrap().1);
            }
            Some(Damage::Garbage) => out.fill(0x5A),
            None => {}
        }
        Ok(())
    }
}

/// Seed of all random choices; a failure prints it.
const SEED: u64 = 20_261_124;

/// Bytes of frames in memory: the least that a pool with a source has.
const BUDGET: u64 = 4 << 20;

struct World {
    images: Arc<Images>,
    pool: Arc<Pool>,
    tree: Tree,
    trash: Tree,
    versions: AtomicU64,
    model: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn options() -> PoolOptions {
    let mut options = PoolOptions::with_bytes(BUDGET, 64 << 20);
    options.huge_pages = false;
    options
}

impl World {
    fn new() -> Self {
        let images = Arc::new(Images::default());
        let source = Arc::clone(&images);
        let pool = Pool::with_source(options(), source).unwrap();
        let tree = pool.create_tree(&pool.enter()).unwrap();
        let trash = pool.create_tree(&pool.enter()).unwrap();
        let versions = AtomicU64::new(0);
        Self { images, pool, tree, trash, versions, model: BTreeMap::new() }
    }

    /// With a tree of ten times the budget.
    fn large() -> Self {
        let mut world = Self::new();
        for n in 0..48_000 {
            world.put(&key(n), &value(n, 0));
        }
        world.commit();
        let stats = world.pool.stats();
        assert!(stats.frames * Pool::FRAME_BYTES as u64 > 10 * BUDGET, "{stats:?}");
        assert!(stats.slot_bytes <= BUDGET, "{stats:?}");
        world
    }

    fn version(&self) -> Version {
        Version::new(self.versions.fetch_add(1, Ordering::Relaxed) + 1).unwrap()
    }

    /// Commits a cut to the source.
    fn commit(&self) {
        let cut = self.pool.cut(&self.pool.close_gate()).unwrap();
        let mut images = self.images.images.lock().unwrap();
        for object in cut.dirty() {
            cut.image(object, images.entry(object).or_default()).unwrap();
        }
        for object in cut.freed() {
            images.remove(&object);
        }
        drop(images);
        cut.commit();
    }

    /// Runs a mutation, and commits a cut when too much has changed.
    fn write<T>(&self, mut mutation: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match mutation() {
                Err(Error::TooManyChanged { limit }) => {
                    assert!(limit < BUDGET);
                    self.commit();
                }
                done => return done,
            }
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let put = self.write(|| {
            self.pool.mutate(|pass| {
                self.tree.put(pass, key, value, Condition::Always, || self.version())
            })
        });
        let before = self.model.insert(key.to_vec(), value.to_vec());
        match put.unwrap() {
            Put::Inserted(_) => assert_eq!(before, None),
            Put::Replaced(_) => assert!(before.is_some()),
            Put::Refused(_) => panic!("an unconditional put was refused"),
        }
    }

    fn remove(&mut self, key: &[u8]) {
        let removed = self.write(|| {
            self.pool
                .mutate(|pass| self.tree.remove(pass, key, Condition::Always, || self.version()))
        });
        let known = self.model.remove(key).is_some();
        assert_eq!(matches!(removed.unwrap(), Removed::Removed(_)), known);
    }

    fn get(&self, key: &[u8]) {
        let found = self.tree.get(key, |value, _| value.to_vec()).unwrap();
        assert!(found.as_ref() == self.model.get(key), "{}", key.escape_ascii());
    }

    fn list(&self, prefix: &[u8], reverse: bool) {
        let scan = Scan::prefix(prefix).reverse(reverse);
        let found: Vec<_> = self.tree.cursor(scan).map(Result::unwrap).collect();
        let below = self.model.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut below: Vec<_> = below.collect();
        if reverse {
            below.reverse();
        }
        assert_eq!(found.len(), below.len());
        for (entry, (key, value)) in found.iter().zip(below) {
            assert!(entry.name() == key && entry.value() == Some(value.as_slice()));
        }
    }

    fn verify(&self) {
        let closed = self.pool.close_gate();
        let roots = [self.tree.root(), self.trash.root()];
        assert_eq!(self.pool.verify(&closed, &roots), []);
    }

    /// A key whose frame is absent.
    fn absent(&self) -> Vec<u8> {
        let lost = |key: &Vec<u8>| {
            let put = self.tree.put(&self.pool.enter(), key, b"", Condition::Absent, || {
                panic!("the key is there")
            });
            matches!(put, Err(Error::Absent { .. }))
        };
        self.model.keys().find(|&key| lost(key)).expect("nine of ten frames are absent").clone()
    }
}

fn key(n: u32) -> Vec<u8> {
    format!("d{:02}/s{:03}/f{n:06}", n / 4_000, n / 100 % 40).into_bytes()
}

fn value(n: u32, salt: u64) -> Vec<u8> {
    let mut random = Random::new(u64::from(n) << 32 | salt);
    let length = if n % 1_000 == 999 { 6_000 } else { 400 + n as usize % 900 };
    (0..length).map(|_| random.next() as u8).collect()
}

#[test]
fn a_tree_of_ten_times_the_budget_is_what_a_map_is() {
    let seed = SEED;
    let mut random = Random::new(seed);
    println!("seed {seed}");
    let mut world = World::large();
    for round in 0..6_000u64 {
        let n = random.below(50_000) as u32;
        match random.below(100) {
            0..40 => world.get(&key(n)),
            40..60 => world.put(&key(n), &value(n, round)),
            60..75 => world.remove(&key(n)),
            75..80 => world.list(&key(n)[..8], n.is_multiple_of(2)),
            80 => {
                let prefix = &key(n)[..4];
                let count = world.model.keys().filter(|key| key.starts_with(prefix)).count();
                assert_eq!(world.tree.count(prefix).unwrap(), count as u64);
            }
            81 => world.commit(),
            _ => {
                // Neighbours, as in life: most of these are hits.
                let n = n / 50 * 50 + random.below(50) as u32;
                world.get(&key(n));
            }
        }
        assert!(world.pool.stats().slot_bytes <= BUDGET);
    }
    world.verify();
    for prefix in [&b"d03/"[..], b""] {
        world.list(prefix, false);
    }
    assert_eq!(world.tree.len(), world.model.len() as u64);
    let stats = world.pool.stats();
    assert!(stats.evictions > 1_000 && stats.absent > stats.frames / 2, "{stats:?}");
    world.commit();
    world.verify();
    assert_eq!(world.pool.stats().changed, 0);
}

#[test]
fn a_pool_is_opened_without_reading_its_frames() {
    let world = World::large();
    let pool = Pool::with_source(options(), Arc::clone(&world.images) as _).unwrap();
    let before = world.images.reads.load(Ordering::Relaxed);
    let objects: Vec<(u64, Vec<u8>)> =
        world.images.images.lock().unwrap().iter().map(|(&o, i)| (o, i.clone())).collect();
    for (object, image) in objects {
        if object < 1 << 32 {
            pool.declare(object).unwrap();
            assert!(matches!(pool.declare(object), Err(Error::Image { .. })), "declared twice");
        } else {
            assert!(matches!(pool.declare(object), Err(Error::Image { .. })), "a blob");
            pool.load(object, &image).unwrap();
        }
    }
    assert_eq!(world.images.reads.load(Ordering::Relaxed), before);
    let tree = pool.open_tree(world.tree.root()).unwrap();
    let trash = pool.open_tree(world.trash.root()).unwrap();
    for n in (0..48_000).step_by(997) {
        let found = tree.get(&key(n), |value, _| value.to_vec()).unwrap();
        assert!(found.as_ref() == world.model.get(&key(n)));
    }
    let faults = pool.verify(&pool.close_gate(), &[tree.root(), trash.root()]);
    assert_eq!(faults, []);
    assert_eq!(
        pool.open_tree(FrameId::new(1 << 22)).unwrap_err(),
        Error::MissingFrame { frame: 1 << 22 }
    );
}

#[test]
fn readers_who_miss_the_same_frame_cause_one_read() {
    let world = World::large();
    for _ in 0..20 {
        let key = world.absent();
        // All but the last frame on the way are in memory then.
        let before = world.images.reads.load(Ordering::Relaxed);
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    world.get(&key);
                });
            }
        });
        let reads = world.images.reads.load(Ordering::Relaxed) - before;
        // A frame of each level at most.
        assert!((1..=3).contains(&reads), "{reads} reads");
    }
}

#[test]
fn a_source_that_fails_gives_an_error_and_nothing_else() {
    let mut world = World::large();
    let hot = key(47_999);
    world.get(&hot);
    let key = world.absent();
    world.images.fails.store(true, Ordering::Relaxed);
    let reason = "the disk is on fire".to_owned();
    let is_source = |error: Error| match error {
        Error::Source { reason: given, .. } => assert_eq!(given, reason),
        error => panic!("{error}"),
    };
    is_source(world.tree.get(&key, |_, _| ()).unwrap_err());
    is_source(world.tree.cursor(Scan::prefix(&key)).next().unwrap().unwrap_err());
    let put = world.pool.mutate(|pass| {
        world.tree.put(pass, &key, b"", Condition::Always, || panic!("it is not there"))
    });
    is_source(put.unwrap_err());
    is_source(world.tree.count(b"").unwrap_err());
    world.get(&hot);
    world.put(&hot, b"still here");
    world.images.fails.store(false, Ordering::Relaxed);
    world.get(&key);
    world.verify();
}

#[test]
fn a_damaged_image_is_refused() {
    let world = World::large();
    let damages = [Damage::Nothing, Damage::Half, Damage::Ragged, Damage::Another, Damage::Garbage];
    for damage in damages {
        let key = world.absent();
        *world.images.damage.lock().unwrap() = Some(damage);
        match world.tree.get(&key, |value, _| value.to_vec()) {
            Err(Error::Image { .. }) => {}
            other => panic!("{damage:?}: {other:?}"),
        }
        *world.images.damage.lock().unwrap() = None;
        world.get(&key);
    }
    world.verify();
}

#[test]
fn prefixes_move_and_go_without_being_in_memory() {
    let mut world = World::large();
    let rename = |world: &World, from: &[u8], to: &[u8], existing| {
        world.write(|| {
            world.pool.mutate_alone(|closed| {
                let moving = world.pool.start_move(closed);
                let version = || world.version();
                world.tree.rename_prefix(&moving, from, to, existing, &world.trash, version)
            })
        })
    };
    let reads = world.images.reads.load(Ordering::Relaxed);
    assert!(matches!(
        rename(&world, b"d03/", b"other/", Existing::Refuse),
        Ok(Renamed::Renamed(_))
    ));
    assert!(matches!(rename(&world, b"d04/", b"d05/", Existing::Replace), Ok(Renamed::Renamed(_))));
    let removed = world.write(|| {
        world.pool.mutate_alone(|closed| {
            let moving = world.pool.start_move(closed);
            world.tree.remove_prefix(&moving, b"d06/", &world.trash, || world.version())
        })
    });
    assert!(removed.unwrap().is_some());
    let reads = world.images.reads.load(Ordering::Relaxed) - reads;
    assert!(reads < 40, "{reads} of {} frames were read", world.pool.stats().frames);
    let model = std::mem::take(&mut world.model);
    for (key, value) in model {
        match &key[..4] {
            b"d05/" | b"d06/" => {}
            b"d03/" => drop(world.model.insert([b"other/", &key[4..]].concat(), value)),
            b"d04/" => drop(world.model.insert([b"d05/", &key[4..]].concat(), value)),
            _ => drop(world.model.insert(key, value)),
        }
    }
    world.verify();
    world.list(b"d0", false);
    world.list(b"other/", true);
    while world.write(|| world.pool.mutate(|pass| world.trash.reclaim(pass, 4))).unwrap() {}
    world.commit();
    world.verify();
    world.list(b"", false);
}

#[test]
fn a_snapshot_of_what_is_absent_is_read() {
    let mut world = World::large();
    let snapshot = world.pool.snapshot(&world.pool.close_gate());
    let before = world.model.clone();
    for n in 0..10 {
        world.put(&key(n * 4_000), b"new");
    }
    world.commit();
    let past = snapshot.tree(world.tree.root()).unwrap();
    // Beside readers who want the same slots for other frames.
    thread::scope(|scope| {
        for thread in 0..3 {
            let (past, before, world) = (&past, &before, &world);
            scope.spawn(move || {
                for n in (0..48_000).skip(thread * 19).step_by(61) {
                    let found = past.get(&key(n), |value, _| value.to_vec()).unwrap();
                    assert!(found.as_ref() == before.get(&key(n)));
                    world.get(&key((n * 7) % 48_000));
                }
            });
        }
    });
    assert_eq!(past.count(b"d07/").unwrap(), 4_000);
    assert_eq!(world.pool.stats().pins, 1);
    drop((past, snapshot));
    world.get(&key(0));
    world.verify();
}

#[test]
fn a_trial_that_misses_a_frame_is_taken_back_and_begins_anew() {
    let mut world = World::large();
    let keys: Vec<_> = (0..10).map(|n| key(n * 4_000 + 77)).collect();
    let batch = || {
        world.pool.mutate_alone(|closed| {
            let outlook = Outlook { mutations: 10, bytes: 100, revocable: false };
            let trial = world.pool.trial(closed, outlook);
            for key in &keys {
                let version = || world.version();
                if let Err(error) =
                    world.tree.put(closed.pass(), key, b"together", Condition::Always, version)
                {
                    assert!(trial.take_back());
                    return Err(error);
                }
            }
            trial.keep();
            Ok(())
        })
    };
    world.write(batch).unwrap();
    for key in keys {
        world.model.insert(key, b"together".to_vec());
    }
    world.verify();
    world.list(b"", false);
}

#[test]
fn writers_and_readers_beside_a_clock_that_never_rests() {
    let seed = SEED;
    println!("seed {seed}");
    let world = World::large();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|id| {
                let world = &world;
                scope.spawn(move || {
                    let mut random = Random::new(seed + id);
                    for round in 0..600 {
                        let n = (random.below(24_000) * 2 + id) as u32;
                        let (key, value) = (key(n), value(n, round));
                        loop {
                            let put = world.pool.mutate(|pass| {
                                let version = || world.version();
                                world.tree.put(pass, &key, &value, Condition::Always, version)
                            });
                            match put {
                                Ok(_) => break,
                                Err(Error::TooManyChanged { .. }) => thread::yield_now(),
                                Err(error) => panic!("{error}"),
                            }
                        }
                        // Nobody else writes this key.
                        let found = world.tree.get(&key, |value, _| value.to_vec()).unwrap();
                        assert!(found.is_some_and(|found| found == value), "seed {seed}");
                    }
                })
            })
            .collect();
        let (world, done) = (&world, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                world.commit();
            }
        });
        scope.spawn(move || {
            let mut random = Random::new(seed + 9);
            while !done.load(Ordering::Relaxed) {
                let prefix = &key(random.below(48_000) as u32)[..8];
                assert_eq!(world.tree.cursor(Scan::prefix(prefix)).count(), 100);
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.tree.len(), 48_000);
    world.commit();
    world.verify();
}
