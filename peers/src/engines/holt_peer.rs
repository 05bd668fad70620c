//! The crate `holt` 0.9.2 of the registry: the closest peer, an adaptive radix tree in 512 KiB
//! frames with a log.

use holt_peer::{
    CheckpointConfig, Durability, Error, KeyRangeEntryRef, RangeEntry, Tree, TreeConfig,
};

use crate::Failure;
use crate::engine::{
    Engine, Feature, Flow, Kind, Mode, Query, Session, Setup, Visit, Want, below, moved,
};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "holt-0.9.2",
    package: "holt",
    modes: &Mode::ALL,
    settings: "`Tree` with a buffer pool of the common cache size. *memory*: \
               `TreeConfig::memory()` with `memory_flush_on_write` off, which spares it a copy of \
               the frame for every write. *buffered*: `Durability::Wal { sync: false }`. *os* and \
               *sync*: `Durability::Wal { sync: true }`, the cheapest acknowledgement of its that \
               is sure to survive a killed process. The background checkpointer runs with its \
               defaults; `io-uring` is on. Keys are listed through its visitor in place, records \
               through its iterator, levels through its own delimiter. A prefix is moved in \
               atomic batches of 50,000 renames, since a batch has to fit a log record of 16 MiB.",
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

/// The unit of the buffer pool's size.
const FRAME: u64 = 512 << 10;

/// Operations in one atomic batch.
const BATCH: usize = 50_000;

fn open(setup: &Setup) -> Result<Box<dyn Engine>, Failure> {
    let mut config = match setup.mode {
        Mode::Memory => TreeConfig::memory(),
        Mode::Buffered | Mode::Os | Mode::Sync => {
            let mut config = TreeConfig::new(&setup.dir);
            config.durability = Durability::Wal { sync: setup.mode != Mode::Buffered };
            config.checkpoint = CheckpointConfig::default();
            config
        }
    };
    config.memory_flush_on_write = false;
    config.buffer_pool_size = (setup.cache / FRAME).max(16) as usize;
    let synced = config.durability.wal_sync();
    Ok(Box::new(Holt { tree: Tree::open(config)?, synced }))
}

struct Holt {
    tree: Tree,
    synced: bool,
}

impl Engine for Holt {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle { tree: &self.tree, synced: self.synced }))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.tree.checkpoint()?)
    }

    fn fill(&self) -> Option<f64> {
        self.tree.stats().ok().map(|stats| stats.avg_blob_fill_ratio())
    }
}

struct Handle<'a> {
    tree: &'a Tree,
    synced: bool,
}

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let found = self.tree.get(key)?;
        if let Some(value) = &found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        Ok(self.tree.put(key, value)?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.tree.delete(key)?;
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        match self.tree.rename(from, to, true) {
            Ok(()) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        if self.synced {
            self.tree.atomic(|batch| {
                for &(key, value) in records {
                    batch.put(key, value);
                }
            })?;
            return Ok(());
        }
        // Without a sync for each, single puts are cheaper than its batches.
        for &(key, value) in records {
            self.tree.put(key, value)?;
        }
        Ok(())
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        // Its lower bound is exclusive: the bound itself is looked at first.
        let mut from = from.to_vec();
        let mut target = Vec::new();
        'seek: loop {
            if let Some(value) = self.tree.get(&from)? {
                match visit(&from, &value, &mut target) {
                    Flow::Next => {}
                    Flow::Seek => {
                        from.clone_from(&target);
                        continue 'seek;
                    }
                    Flow::Stop => return Ok(()),
                }
            }
            for entry in self.tree.range().start_after(&from) {
                let RangeEntry::Key { key, value, .. } = entry? else { continue };
                match visit(&key, &value, &mut target) {
                    Flow::Next => {}
                    Flow::Seek => {
                        from.clone_from(&target);
                        continue 'seek;
                    }
                    Flow::Stop => return Ok(()),
                }
            }
            return Ok(());
        }
    }

    fn list(
        &mut self,
        query: Query<'_>,
        want: Want,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize, Failure> {
        let mut count = 0;
        match want {
            Want::Keys => {
                let mut range = self.tree.scan_keys(query.prefix);
                if let Some(after) = query.after {
                    range = range.start_after(after);
                }
                range.visit(query.limit, |entry| {
                    if let KeyRangeEntryRef::Key { key, .. } = entry {
                        see(key, b"");
                        count += 1;
                    }
                    Ok(())
                })?;
            }
            Want::Records => {
                let mut range = self.tree.scan(query.prefix);
                if let Some(after) = query.after {
                    range = range.start_after(after);
                }
                for entry in range.into_iter().take(query.limit) {
                    if let RangeEntry::Key { key, value, .. } = entry? {
                        see(&key, &value);
                        count += 1;
                    }
                }
            }
        }
        Ok(count)
    }

    fn groups(
        &mut self,
        query: Query<'_>,
        delimiter: u8,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        let mut range = self.tree.scan_keys(query.prefix).delimiter(delimiter);
        if let Some(after) = query.after {
            range = range.start_after(after);
        }
        let mut count = 0;
        range.visit(query.limit, |entry| {
            match entry {
                KeyRangeEntryRef::Key { key, .. } | KeyRangeEntryRef::CommonPrefix(key) => see(key),
                _ => return Ok(()),
            }
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        for part in below(self, from, Want::Keys)?.chunks(BATCH) {
            self.tree.atomic(|batch| {
                for (key, _) in part {
                    batch.rename(key, &moved(key, from, to), true);
                }
            })?;
        }
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        for part in below(self, prefix, Want::Keys)?.chunks(BATCH) {
            self.tree.atomic(|batch| {
                for (key, _) in part {
                    batch.delete(key);
                }
            })?;
        }
        Ok(())
    }
}
