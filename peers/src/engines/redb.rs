//! redb: a copy-on-write B-tree in Rust.

use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::Failure;
use crate::engine::{
    Engine, Feature, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved, successor,
};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "redb",
    package: "redb",
    modes: &Mode::ALL,
    settings: "Cache of the common size. *memory*: its `InMemoryBackend` with \
               `Durability::None`. *buffered*: `Durability::None` with one durable commit in 4,096 \
               (it has no log; a commit without durability lives in the process until a durable \
               one). *os* and *sync*: `Durability::Immediate`, the only acknowledgement that \
               survives a killed process. Every operation is a transaction; values are seen in \
               place.",
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

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// In *buffered*, one commit in so many is durable.
const WINDOW: u64 = 4_096;

fn open(setup: &Setup) -> Result<Box<dyn Engine>, Failure> {
    let mut builder = Builder::new();
    builder.set_cache_size(setup.cache as usize);
    let database = match setup.mode {
        Mode::Memory => builder.create_with_backend(InMemoryBackend::new())?,
        Mode::Buffered | Mode::Os | Mode::Sync => builder.create(setup.dir.join("redb"))?,
    };
    let transaction = database.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    Ok(Box::new(Redb { database, mode: setup.mode, commits: AtomicU64::new(0) }))
}

struct Redb {
    database: Database,
    mode: Mode,
    commits: AtomicU64,
}

impl Redb {
    fn begin(&self) -> Result<WriteTransaction, Failure> {
        let durable = match self.mode {
            Mode::Memory => false,
            // Relaxed: a count that decides nothing but how often.
            Mode::Buffered => self.commits.fetch_add(1, Ordering::Relaxed) % WINDOW == WINDOW - 1,
            Mode::Os | Mode::Sync => true,
        };
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(match durable {
            true => Durability::Immediate,
            false => Durability::None,
        })?;
        Ok(transaction)
    }
}

impl Engine for Redb {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.database.begin_write()?.commit()?)
    }
}

struct Handle<'a>(&'a Redb);

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let table = self.0.database.begin_read()?.open_table(TABLE)?;
        let found = table.get(key)?;
        if let Some(value) = &found {
            see(value.value());
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let transaction = self.0.begin()?;
        transaction.open_table(TABLE)?.insert(key, value)?;
        Ok(transaction.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        let transaction = self.0.begin()?;
        transaction.open_table(TABLE)?.remove(key)?;
        Ok(transaction.commit()?)
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let transaction = self.0.begin()?;
        let found = {
            let mut table = transaction.open_table(TABLE)?;
            let value = table.remove(from)?.map(|value| value.value().to_vec());
            if let Some(value) = &value {
                table.insert(to, value.as_slice())?;
            }
            value.is_some()
        };
        transaction.commit()?;
        Ok(found)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let transaction = self.0.begin()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for &(key, value) in records {
                table.insert(key, value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let table = self.0.database.begin_read()?.open_table(TABLE)?;
        let mut target = Vec::new();
        let mut records = table.range(from..)?;
        while let Some(record) = records.next() {
            let (key, value) = record?;
            match visit(key.value(), value.value(), &mut target) {
                Flow::Next => {}
                Flow::Seek => records = table.range(target.as_slice()..)?,
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let records = below(self, from, Want::Records)?;
        let transaction = self.0.begin()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in &records {
                table.remove(key.as_slice())?;
                table.insert(moved(key, from, to).as_slice(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let mut end = prefix.to_vec();
        if !successor(&mut end) {
            return Err("a prefix of 0xFF bytes has no end".into());
        }
        let transaction = self.0.begin()?;
        transaction.open_table(TABLE)?.retain_in(prefix..end.as_slice(), |_, _| false)?;
        Ok(transaction.commit()?)
    }
}
