//! RocksDB: the log-structured merge tree that most servers embed.

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options, WriteBatch, WriteOptions};

use crate::Failure;
use crate::engine::{
    Engine, Feature, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved, successor,
};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "rocksdb",
    package: "rocksdb",
    modes: &Mode::ALL,
    settings: "Block cache of the common size, holding index and filter blocks too; bloom filters \
               of 10 bits a key; no compression; memtables of 64 MiB; two background jobs. \
               *memory*: log off, on a memory file system. *buffered*: `manual_wal_flush`, so the \
               log stays in the process. *os*: its default. *sync*: `WriteOptions::set_sync`. \
               Values are seen pinned in place. A prefix is deleted with its range tombstone.",
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
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(setup.cache as usize));
    table.set_cache_index_and_filter_blocks(true);
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(64 << 20);
    options.set_max_background_jobs(2);
    options.set_manual_wal_flush(setup.mode == Mode::Buffered);
    let db = DB::open(&options, &setup.dir)?;
    Ok(Box::new(Rocks { db, mode: setup.mode }))
}

struct Rocks {
    db: DB,
    mode: Mode,
}

impl Rocks {
    fn write_options(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(self.mode == Mode::Sync);
        options.disable_wal(self.mode == Mode::Memory);
        options
    }
}

impl Engine for Rocks {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle { db: &self.db, write: self.write_options() }))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.db.flush()?)
    }
}

struct Handle<'a> {
    db: &'a DB,
    write: WriteOptions,
}

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let found = self.db.get_pinned(key)?;
        if let Some(value) = &found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        Ok(self.db.put_opt(key, value, &self.write)?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        Ok(self.db.delete_opt(key, &self.write)?)
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let Some(value) = self.db.get_pinned(from)? else { return Ok(false) };
        let mut batch = WriteBatch::default();
        batch.put(to, &value);
        batch.delete(from);
        self.db.write_opt(batch, &self.write)?;
        Ok(true)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = WriteBatch::default();
        for &(key, value) in records {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let mut target = Vec::new();
        let mut cursor = self.db.raw_iterator();
        cursor.seek(from);
        while let (Some(key), Some(value)) = (cursor.key(), cursor.value()) {
            match visit(key, value, &mut target) {
                Flow::Next => cursor.next(),
                Flow::Seek => cursor.seek(&target),
                Flow::Stop => return Ok(()),
            }
        }
        Ok(cursor.status()?)
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let mut batch = WriteBatch::default();
        for (key, value) in below(self, from, Want::Records)? {
            batch.put(moved(&key, from, to), value);
        }
        let mut end = from.to_vec();
        if successor(&mut end) {
            batch.delete_range(from, end.as_slice());
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let mut batch = WriteBatch::default();
        let mut end = prefix.to_vec();
        if !successor(&mut end) {
            return Err("a prefix of 0xFF bytes has no end".into());
        }
        batch.delete_range(prefix, end.as_slice());
        Ok(self.db.write_opt(batch, &self.write)?)
    }
}
