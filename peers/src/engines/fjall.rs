//! fjall: a log-structured merge tree in Rust.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::Failure;
use crate::engine::{Engine, Feature, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "fjall",
    package: "fjall",
    modes: &Mode::ALL,
    settings: "Cache of the common size, memtables of 64 MiB and no compression (its defaults \
               without the feature `lz4`), two workers. *memory*: on a memory file system; its \
               journal cannot be turned off, so it is written without being flushed. *buffered*: \
               `manual_journal_persist`. *os*: its default, `PersistMode::Buffer` on every write. \
               *sync*: `PersistMode::SyncData` after every write.",
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
    let manual = matches!(setup.mode, Mode::Memory | Mode::Buffered);
    let database = Database::builder(&setup.dir)
        .cache_size(setup.cache)
        .worker_threads(2)
        .manual_journal_persist(manual)
        .open()?;
    let keyspace = database
        .keyspace("records", || KeyspaceCreateOptions::default().manual_journal_persist(manual))?;
    Ok(Box::new(Fjall { database, keyspace, sync: setup.mode == Mode::Sync }))
}

struct Fjall {
    database: Database,
    keyspace: Keyspace,
    sync: bool,
}

impl Fjall {
    fn acknowledge(&self) -> Result<(), Failure> {
        if self.sync {
            self.database.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl Engine for Fjall {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        self.keyspace.rotate_memtable_and_wait()?;
        Ok(())
    }
}

struct Handle<'a>(&'a Fjall);

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let found = self.0.keyspace.get(key)?;
        if let Some(value) = &found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.0.keyspace.insert(key, value)?;
        self.0.acknowledge()
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.0.keyspace.remove(key)?;
        self.0.acknowledge()
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let Some(value) = self.0.keyspace.get(from)? else { return Ok(false) };
        let mut batch = self.0.database.batch();
        batch.insert(&self.0.keyspace, to, value);
        batch.remove(&self.0.keyspace, from);
        batch.commit()?;
        self.0.acknowledge()?;
        Ok(true)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = self.0.database.batch();
        for &(key, value) in records {
            batch.insert(&self.0.keyspace, key, value);
        }
        batch.commit()?;
        self.0.acknowledge()
    }

    fn scan(&mut self, from: &[u8], want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let mut target = Vec::new();
        let mut records = self.0.keyspace.range(from..);
        while let Some(record) = records.next() {
            let flow = match want {
                Want::Keys => visit(&record.key()?, b"", &mut target),
                Want::Records => {
                    let (key, value) = record.into_inner()?;
                    visit(&key, &value, &mut target)
                }
            };
            match flow {
                Flow::Next => {}
                Flow::Seek => records = self.0.keyspace.range(target.as_slice()..),
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let mut batch = self.0.database.batch();
        for (key, value) in below(self, from, Want::Records)? {
            batch.insert(&self.0.keyspace, moved(&key, from, to), value);
            batch.remove(&self.0.keyspace, key);
        }
        batch.commit()?;
        self.0.acknowledge()
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let mut batch = self.0.database.batch();
        for (key, _) in below(self, prefix, Want::Keys)? {
            batch.remove(&self.0.keyspace, key);
        }
        batch.commit()?;
        self.0.acknowledge()
    }
}
