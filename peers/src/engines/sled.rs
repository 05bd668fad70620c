//! sled: a lock-free B+ tree over a log-structured page cache, in Rust.

use sled::{Batch, Config, Db};

use crate::Failure;
use crate::engine::{Engine, Feature, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "sled",
    package: "sled",
    modes: &[Mode::Memory, Mode::Buffered, Mode::Os],
    settings: "Release 0.34, the newest that is not marked as a preview. `cache_capacity` of the \
               common size, `Mode::HighThroughput`, no compression. *memory*: on a memory file \
               system, never flushed. *buffered*: its default, a flush every 500 ms. *os*: \
               `flush` after every write, its only acknowledgement that survives a killed \
               process. Not measured in *sync*: on Linux that flush ends in `sync_file_range`, \
               which flushes neither the device's cache nor the file's size, so it promises \
               nothing over a power cut.",
    lacks: |feature| match feature {
        Feature::Threads
        | Feature::Rename
        | Feature::RenamePrefix
        | Feature::DeletePrefix
        | Feature::Reopen
        | Feature::BeyondMemory => None,
    },
    open,
};

fn open(setup: &Setup) -> Result<Box<dyn Engine>, Failure> {
    let db = Config::new()
        .path(&setup.dir)
        .cache_capacity(setup.cache)
        .mode(sled::Mode::HighThroughput)
        .flush_every_ms((setup.mode == Mode::Buffered).then_some(500))
        .open()?;
    Ok(Box::new(Sled { db, flush: setup.mode == Mode::Os }))
}

struct Sled {
    db: Db,
    flush: bool,
}

impl Sled {
    fn acknowledge(&self) -> Result<(), Failure> {
        if self.flush {
            self.db.flush()?;
        }
        Ok(())
    }
}

impl Engine for Sled {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        self.db.flush()?;
        Ok(())
    }
}

struct Handle<'a>(&'a Sled);

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let found = self.0.db.get(key)?;
        if let Some(value) = &found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.0.db.insert(key, value)?;
        self.0.acknowledge()
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.0.db.remove(key)?;
        self.0.acknowledge()
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let Some(value) = self.0.db.get(from)? else { return Ok(false) };
        let mut batch = Batch::default();
        batch.insert(to, value);
        batch.remove(from);
        self.0.db.apply_batch(batch)?;
        self.0.acknowledge()?;
        Ok(true)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        for &(key, value) in records {
            self.0.db.insert(key, value)?;
        }
        self.0.acknowledge()
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let mut target = Vec::new();
        let mut records = self.0.db.range(from..);
        while let Some(record) = records.next() {
            let (key, value) = record?;
            match visit(&key, &value, &mut target) {
                Flow::Next => {}
                Flow::Seek => records = self.0.db.range(target.as_slice()..),
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for (key, value) in below(self, from, Want::Records)? {
            batch.insert(moved(&key, from, to), value);
            batch.remove(key);
        }
        self.0.db.apply_batch(batch)?;
        self.0.acknowledge()
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for (key, _) in below(self, prefix, Want::Keys)? {
            batch.remove(key);
        }
        self.0.db.apply_batch(batch)?;
        self.0.acknowledge()
    }
}
