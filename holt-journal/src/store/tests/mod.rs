//! Tests of the store as a whole, on the simulated disk, against a plain map.

mod behaviour;
mod crashes;
mod faults;
mod kept;
mod recovery;

use std::collections::{BTreeMap, BTreeSet};

use holt_codec::EXTENT_UNIT;

use super::*;
use crate::disk::{Access, SimDisk};
use crate::error::Error;
use crate::sync::Arc;

/// What a store holds, as a plain map.
#[derive(Clone, PartialEq, Eq, Default)]
struct Model {
    objects: BTreeMap<u64, Vec<u8>>,
    log_address: u64,
    meta: Vec<u8>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let objects: Vec<_> = self.objects.iter().map(|(id, image)| (id, image.len())).collect();
        write!(f, "at {} meta {:?} objects {objects:?}", self.log_address, self.meta)
    }
}

impl Model {
    fn new() -> Model {
        Model { log_address: LOG_START, ..Model::default() }
    }
}

const LOG_START: u64 = 4096;

/// A source that goes from one model to the next.
struct Step {
    dirty: BTreeMap<u64, Vec<u8>>,
    freed: BTreeSet<u64>,
}

impl Step {
    fn between(from: &Model, to: &Model) -> Step {
        let differs = |(id, image): &(&u64, &Vec<u8>)| from.objects.get(id) != Some(image);
        let dirty = to.objects.iter().filter(differs).map(|(id, i)| (*id, i.clone())).collect();
        let gone = from.objects.keys().filter(|id| !to.objects.contains_key(id));
        Step { dirty, freed: gone.copied().collect() }
    }
}

impl ImageSource for Step {
    fn dirty(&mut self) -> Vec<ObjectId> {
        self.dirty.keys().rev().map(|&id| ObjectId(id)).collect()
    }

    fn freed(&mut self) -> Vec<ObjectId> {
        self.freed.iter().map(|&id| ObjectId(id)).collect()
    }

    fn image(&mut self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
        assert!(out.is_empty(), "the store hands out an empty buffer");
        let image = self.dirty.get(&object.0).ok_or("not dirty")?;
        out.extend_from_slice(image);
        Ok(())
    }
}

type SimStore = Store<SimDisk>;

fn create(disk: &SimDisk) -> Result<SimStore, Error> {
    Store::create(Arc::new(disk.clone()), LOG_START)
}

fn open(disk: &SimDisk) -> Result<SimStore, Error> {
    Store::open(Arc::new(disk.clone()), Access::ReadWrite)
}

/// Takes the store from one model to the next.
fn go(store: &SimStore, from: &Model, to: &Model) -> Result<CheckpointReport, Error> {
    let mut step = Step::between(from, to);
    store.checkpoint(to.log_address, &to.meta, &mut step, &mut || Ok(()))
}

/// Reads all that a store holds.
fn read_all(store: &SimStore) -> Result<Model, Error> {
    let mut model =
        Model { log_address: store.log_address(), meta: store.meta(), objects: BTreeMap::new() };
    for (id, len) in store.objects() {
        let mut image = vec![0xAA];
        store.read(id, &mut image)?;
        assert_eq!(image.len() as u64, len);
        model.objects.insert(id.0, image);
    }
    Ok(model)
}

fn faults(store: &SimStore) -> Vec<Fault> {
    let mut found = Vec::new();
    store.verify(&mut |fault| found.push(fault));
    found
}

/// Nothing is wrong but what the next checkpoint does away with.
fn assert_sound(store: &SimStore, context: &str) {
    for fault in faults(store) {
        assert!(matches!(fault, Fault::Residue { .. }), "{context}: {fault}");
    }
}

/// Nothing is wrong, and no byte of the disk is unaccounted for. For a store that has just
/// committed and met no failed sync.
fn assert_clean(store: &SimStore, disk: &SimDisk, context: &str) {
    let found = faults(store);
    assert!(found.is_empty(), "{context}: {found:?}");
    let stats = store.stats();
    assert_eq!(stats.held_bytes, 0, "{context}: {stats:?}");
    let data = disk.contents("DATA").unwrap().len() as u64;
    assert_eq!(data, stats.file_bytes, "{context}");
    let slack = 2 * EXTENT_UNIT * 16.max(stats.live_bytes / EXTENT_UNIT / 8);
    let used = FIRST + stats.live_bytes + stats.free_bytes;
    assert!(data <= used + slack, "{context}: {data} bytes for {stats:?}");
    let files = own_files(disk);
    assert_eq!(files.len(), 2, "{context}: {files:?}");
}

/// The names of the files that are the store's alone; a new database has the log's mark beside them.
fn own_files(disk: &SimDisk) -> Vec<String> {
    let mut files = crate::disk::Disk::list(disk).unwrap();
    files.retain(|name| name != crate::log::names::MARK);
    files
}

const FIRST: u64 = holt_codec::FIRST_EXTENT;

/// A small generator, so that a printed seed repeats a test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    /// An image that no other has, mostly of few units.
    fn image(&mut self) -> Vec<u8> {
        let len = match self.below(8) {
            0 => 0,
            1 => EXTENT_UNIT - 32,
            2 => 3 * EXTENT_UNIT + self.below(100),
            3 => 20_000 + self.below(9000),
            _ => self.below(6000),
        };
        let mut image = vec![self.next() as u8; len as usize];
        let tag = self.next().to_le_bytes();
        let n = image.len().min(8);
        image[..n].copy_from_slice(&tag[..n]);
        image
    }

    /// The model after some changes to `from`.
    fn next_model(&mut self, from: &Model, objects: u64, changes: u64) -> Model {
        let mut to = from.clone();
        for _ in 0..self.below(changes + 1) {
            let id = self.below(objects);
            if self.below(4) == 0 {
                to.objects.remove(&id);
            } else {
                to.objects.insert(id, self.image());
            }
        }
        to.log_address += 8 * (1 + self.below(100));
        to.meta = vec![self.next() as u8; self.below(20) as usize];
        to
    }
}
