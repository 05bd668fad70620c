//! A database on a simulated disk that is ten times larger than its cache, and what it must hold.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::ops::ControlFlow;
use std::sync::Arc;

use holt_engine::disk::SimDisk;
use holt_engine::{Db, Options, Tree};

use crate::common::{Model, Random};

/// Bytes of the cache: the least there is.
pub(crate) const CACHE: u64 = 8 << 20;

/// Keys that make a database ten times as large.
pub(crate) const KEYS: u32 = 48_000;

/// Bytes of a frame.
pub(crate) const FRAME: u64 = 64 << 10;

pub(crate) fn options() -> Options {
    let mut options = Options::new();
    options.cache_bytes(CACHE).segment_bytes(1 << 20);
    options
}

pub(crate) fn key(n: u32) -> Vec<u8> {
    format!("d{:02}/s{:03}/f{n:06}", n / 4_000, n / 100 % 40).into_bytes()
}

pub(crate) fn value(n: u32, salt: u64) -> Vec<u8> {
    let mut random = Random::new(u64::from(n) << 32 | salt);
    let length = if n % 1_000 == 999 { 6_000 } else { 800 + n as usize % 1_800 };
    (0..length).map(|_| random.next() as u8).collect()
}

pub(crate) struct Large {
    pub(crate) disk: SimDisk,
    pub(crate) db: Option<Db<SimDisk>>,
    pub(crate) model: Model,
}

impl Large {
    /// Loads the database with these options, which decide how much is in a checkpoint then.
    pub(crate) fn load(seed: u64, options: &Options) -> Large {
        let disk = SimDisk::new(seed);
        let db = options.open_on(Arc::new(disk.clone())).unwrap();
        let mut model = Model::new();
        for n in 0..KEYS {
            let (key, value) = (key(n), value(n, 0));
            db.default_tree().put(&key, &value).unwrap();
            model.insert(key, value);
        }
        let stats = db.stats().unwrap();
        assert!(stats.frames * FRAME > 10 * CACHE, "{stats:?}");
        Large { disk, db: Some(db), model }
    }

    /// As [`load`](Self::load) with a small cache, and closed and opened again after a checkpoint.
    pub(crate) fn new(seed: u64) -> Large {
        let mut large = Large::load(seed, &options());
        large.db().checkpoint().unwrap();
        large.reopen();
        large
    }

    pub(crate) fn db(&self) -> &Db<SimDisk> {
        self.db.as_ref().expect("open between actions")
    }

    pub(crate) fn tree(&self) -> Tree<SimDisk> {
        self.db().default_tree()
    }

    /// Closes and opens.
    pub(crate) fn reopen(&mut self) {
        self.db.take().expect("open between actions").close().unwrap();
        self.open(self.disk.clone());
    }

    /// Goes on with another disk.
    pub(crate) fn open(&mut self, disk: SimDisk) {
        self.db = None;
        self.disk = disk;
        self.db = Some(options().open_on(Arc::new(self.disk.clone())).unwrap());
        self.check_memory();
    }

    /// Frames and large values take no more than the cache may.
    pub(crate) fn check_memory(&self) {
        let stats = self.db().stats().unwrap();
        assert!(stats.memory_bytes <= CACHE, "{stats:?}");
    }

    pub(crate) fn get(&self, key: &[u8]) {
        let found = self.tree().get(key).unwrap();
        assert!(found.as_ref() == self.model.get(key), "{}", key.escape_ascii());
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.tree().put(key, value).unwrap();
        self.model.insert(key.to_vec(), value.to_vec());
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        let was = self.tree().delete(key).unwrap();
        assert_eq!(was, self.model.remove(key).is_some());
    }

    /// Lists a prefix in full and compares.
    pub(crate) fn list(&self, prefix: &[u8], reverse: bool) {
        let tree = self.tree();
        let scan = tree.prefix(prefix);
        let scan = if reverse { scan.reverse() } else { scan };
        let below = self.model.range(prefix.to_vec()..);
        let mut below: Vec<_> = below.take_while(|(key, _)| key.starts_with(prefix)).collect();
        if reverse {
            below.reverse();
        }
        let mut expected = below.into_iter();
        let wrong = scan
            .visit(|entry| match expected.next() {
                Some((key, value))
                    if entry.name() == key && entry.value() == Some(value.as_slice()) =>
                {
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(entry.name().to_vec()),
            })
            .unwrap();
        assert_eq!(wrong, None, "below {}", prefix.escape_ascii());
        assert_eq!(expected.next(), None, "the list of {} ended", prefix.escape_ascii());
    }

    /// Moves what the model has below `from`.
    pub(crate) fn move_model(&mut self, from: &[u8], to: &[u8]) {
        for (key, value) in self.take_model(from) {
            self.model.insert([to, &key[from.len()..]].concat(), value);
        }
    }

    /// Takes what the model has below `prefix` out of it.
    pub(crate) fn take_model(&mut self, prefix: &[u8]) -> Model {
        let mut below = self.model.split_off(prefix);
        let end = below.keys().find(|key| !key.starts_with(prefix)).cloned();
        if let Some(end) = end {
            self.model.append(&mut below.split_off(&end));
        }
        below
    }

    /// Verifies everything, and that the tree holds what the model does.
    pub(crate) fn check(&self) {
        let report = self.db().verify().unwrap();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        self.list(b"", false);
        assert_eq!(self.tree().len().unwrap(), self.model.len() as u64);
        self.check_memory();
    }

    /// Frames that `action` reads from disk.
    pub(crate) fn reads(&self, action: impl FnOnce()) -> u64 {
        let before = self.db().stats().unwrap().cache.reads;
        action();
        self.db().stats().unwrap().cache.reads - before
    }

    /// Waits until the trash is empty.
    pub(crate) fn reclaimed(&self) {
        while self.db().stats().unwrap().reclaiming {
            std::thread::yield_now();
        }
    }
}
