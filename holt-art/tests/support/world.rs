//! A tree that is larger than its pool's memory, and what it must hold.
//!
//! The source is a map of images that the committed cuts are folded into, as a store on disk
//! would do it. It counts what is read from it, and can be told to fail or to give nonsense.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use holt_art::{
    Condition, Error, FrameSource, Pool, PoolOptions, Put, Removed, Scan, SourceError, Tree,
    Version,
};

use crate::random::Random;

/// Images by object.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(crate) images: Mutex<BTreeMap<u64, Vec<u8>>>,
    /// Those of them that the last cut has not, and somebody still reads.
    pub(crate) freed: Mutex<BTreeSet<u64>>,
    pub(crate) reads: AtomicU64,
    /// What was said to be needed soon, and has not been read since.
    pub(crate) announced: Mutex<BTreeSet<u64>>,
    /// Reads of what had been announced.
    pub(crate) expected: AtomicU64,
    pub(crate) fails: AtomicBool,
    /// Whether it says that it has checked what it gives.
    pub(crate) checked: AtomicBool,
    /// What is wrong with each image.
    pub(crate) damage: Mutex<Option<Damage>>,
}

/// What may be wrong with an image.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    Nothing,
    Half,
    Ragged,
    Another,
    Garbage,
    /// Garbage behind the head.
    Inside,
}

impl FrameSource for Images {
    fn read(&self, object: u64, out: &mut Vec<u8>) -> Result<(), SourceError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.announced.lock().unwrap().remove(&object) {
            self.expected.fetch_add(1, Ordering::Relaxed);
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err("the disk is on fire".into());
        }
        let images = self.images.lock().unwrap();
        out.clone_from(images.get(&object).ok_or("there is no such image")?);
        match *self.damage.lock().unwrap() {
            Some(Damage::Nothing) => out.clear(),
            Some(Damage::Half) => out.truncate(out.len() / 16 * 8),
            Some(Damage::Ragged) => drop(out.pop()),
            Some(Damage::Another) => {
                let another = images.iter().find(|&(&other, _)| other != object);
                out.clone_from(another.unwrap().1);
            }
            Some(Damage::Garbage) => out.fill(0x5A),
            Some(Damage::Inside) => {
                let mut random = Random::new(object);
                out[512..].iter_mut().for_each(|byte| *byte = random.next() as u8);
            }
            None => {}
        }
        Ok(())
    }

    fn is_checked(&self) -> bool {
        self.checked.load(Ordering::Relaxed)
    }

    fn will_need(&self, objects: &[u64]) {
        self.announced.lock().unwrap().extend(objects);
    }
}

/// Seed of all random choices; a failure prints it.
pub(crate) const SEED: u64 = 20_261_124;

/// Keys with large values.
pub(crate) const VALUES: u32 = 2_400;

/// Bytes of frames and blobs in memory: the least that a pool with a source has.
pub(crate) const BUDGET: u64 = 8 << 20;

pub(crate) struct World {
    pub(crate) images: Arc<Images>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tree: Tree,
    pub(crate) trash: Tree,
    pub(crate) versions: AtomicU64,
    pub(crate) model: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub(crate) fn options() -> PoolOptions {
    let mut options = PoolOptions::with_bytes(BUDGET, 64 << 20);
    options.huge_pages = false;
    options
}

impl World {
    pub(crate) fn new() -> Self {
        let images = Arc::new(Images::default());
        let source = Arc::clone(&images);
        let pool = Pool::with_source(options(), source).unwrap();
        let tree = pool.create_tree(&pool.enter()).unwrap();
        let trash = pool.create_tree(&pool.enter()).unwrap();
        let versions = AtomicU64::new(0);
        Self { images, pool, tree, trash, versions, model: BTreeMap::new() }
    }

    /// With a tree of ten times the budget.
    pub(crate) fn large() -> Self {
        let mut world = Self::new();
        for n in 0..48_000 {
            world.put(&key(n), &value(n, 0));
        }
        world.commit();
        let stats = world.pool.stats();
        assert!(stats.frames * Pool::FRAME_BYTES as u64 > 10 * BUDGET, "{stats:?}");
        assert!(stats.slot_bytes + stats.blob_bytes <= BUDGET, "{stats:?}");
        world
    }

    /// With large values of ten times the budget.
    pub(crate) fn of_values() -> Self {
        let mut world = Self::new();
        for n in 0..VALUES {
            world.put(&key(n), &large(n, 0));
        }
        world.commit();
        let stats = world.pool.stats();
        assert!(world.model.values().map(Vec::len).sum::<usize>() as u64 > 10 * BUDGET);
        assert!(stats.slot_bytes + stats.blob_bytes <= BUDGET, "{stats:?}");
        world
    }

    /// How often the source is read meanwhile.
    pub(crate) fn reads(&self, what: impl FnOnce()) -> u64 {
        let before = self.images.reads.load(Ordering::Relaxed);
        what();
        self.images.reads.load(Ordering::Relaxed) - before
    }

    pub(crate) fn version(&self) -> Version {
        Version::new(self.versions.fetch_add(1, Ordering::Relaxed) + 1).unwrap()
    }

    /// Commits a cut to the source.
    pub(crate) fn commit(&self) {
        let cut = self.pool.cut(&self.pool.close_gate()).unwrap();
        let mut images = self.images.images.lock().unwrap();
        for object in cut.dirty() {
            cut.image(object, images.entry(object).or_default()).unwrap();
        }
        // Those that are gone for the trees, and go when nobody reads them any more.
        let mut freed = self.images.freed.lock().unwrap();
        freed.extend(cut.freed());
        let dirty = cut.dirty();
        freed.retain(|object| !dirty.contains(object));
        let still = cut.still_read();
        assert!(still.iter().all(|object| freed.contains(object)), "what is not gone is not kept");
        freed.retain(|object| {
            still.contains(object) || {
                images.remove(object);
                false
            }
        });
        drop(freed);
        drop(images);
        cut.commit();
    }

    /// Runs a mutation, and commits a cut when too much has changed.
    pub(crate) fn write<T>(
        &self,
        mut mutation: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
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

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
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

    pub(crate) fn remove(&mut self, key: &[u8]) {
        let removed = self.write(|| {
            self.pool
                .mutate(|pass| self.tree.remove(pass, key, Condition::Always, || self.version()))
        });
        let known = self.model.remove(key).is_some();
        assert_eq!(matches!(removed.unwrap(), Removed::Removed(_)), known);
    }

    pub(crate) fn get(&self, key: &[u8]) {
        let found = self.tree.get(key, |value, _| value.to_vec()).unwrap();
        assert!(found.as_ref() == self.model.get(key), "{}", key.escape_ascii());
    }

    pub(crate) fn list(&self, prefix: &[u8], reverse: bool) {
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

    pub(crate) fn verify(&self) {
        let closed = self.pool.close_gate();
        let roots = [self.tree.root(), self.trash.root()];
        assert_eq!(self.pool.verify(&closed, &roots), []);
    }

    /// A key whose value is in the frame that its first put misses, behind the frame's head: who reads
    /// the key next reads that part of that frame's image.
    pub(crate) fn absent(&self) -> Vec<u8> {
        const STRIDE: usize = 997;
        let images = self.images.images.lock().unwrap();
        let lost = |key: &[u8], value: &[u8]| {
            let put = self.tree.put(&self.pool.enter(), key, b"", Condition::Absent, || {
                panic!("the key is there")
            });
            let Err(Error::Absent { object }) = put else { return false };
            let at = images[&object].windows(value.len()).position(|bytes| bytes == value);
            at.is_some_and(|at| at > 512)
        };
        let long: Vec<_> = self.model.iter().filter(|(_, value)| value.len() > 512).collect();
        // Neighbours miss the same frame.
        let mut apart = (0..STRIDE).flat_map(|from| long.iter().skip(from).step_by(STRIDE));
        let found = apart.find(|(key, value)| lost(key, value));
        found.expect("nine of ten frames are absent").0.clone()
    }
}

pub(crate) fn key(n: u32) -> Vec<u8> {
    format!("d{:02}/s{:03}/f{n:06}", n / 4_000, n / 100 % 40).into_bytes()
}

pub(crate) fn value(n: u32, salt: u64) -> Vec<u8> {
    let mut random = Random::new(u64::from(n) << 32 | salt);
    let length = if n % 1_000 == 999 { 6_000 } else { 800 + n as usize % 1_800 };
    (0..length).map(|_| random.next() as u8).collect()
}

/// A value that is too large for a frame.
pub(crate) fn large(n: u32, salt: u64) -> Vec<u8> {
    let mut random = Random::new(u64::from(n) << 32 | salt);
    let length = 4_100 + random.below(70_000) as usize;
    (0..length).map(|_| random.next() as u8).collect()
}
