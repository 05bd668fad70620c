//! LMDB through `heed`: the memory-mapped B+ tree, the one to beat at reading.

use std::ops::Bound;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use crate::Failure;
use crate::engine::{
    Engine, Feature, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved, successor,
};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "lmdb",
    package: "heed",
    modes: &Mode::ALL,
    settings: "One unnamed database, a map of 16 GiB; its cache is the kernel's page cache, which \
               nothing here limits. *memory*: `NO_SYNC | WRITE_MAP` on a memory file system. \
               *buffered* and *os*: `NO_SYNC`, which hands each commit to the kernel: it has no \
               weaker log, so in *buffered* it promises more than was asked. *sync*: its default. \
               Every operation is a transaction of its own, a read too, as in a server that must \
               see the newest state. Values are seen in place in the map. Reads ahead, its \
               default: without, cold gets take 9 to 13 µs here in place of 10.",
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
    let mut flags = EnvFlags::empty();
    match setup.mode {
        Mode::Memory => flags |= EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP,
        Mode::Buffered | Mode::Os => flags |= EnvFlags::NO_SYNC,
        Mode::Sync => {}
    }
    let mut options = EnvOpenOptions::new();
    options.map_size(16 << 30).max_readers(256);
    // SAFETY: NO_SYNC gives up durability over a power cut, WRITE_MAP the protection against stray
    // writes of this process; the locks of LMDB stay on.
    unsafe { options.flags(flags) };
    // SAFETY: the directory belongs to this process alone and nobody else changes its files.
    let env = unsafe { options.open(&setup.dir)? };
    let transaction = env.write_txn()?;
    let database = env
        .create_databases_and_commit(transaction, |opener, transaction| {
            opener
                .create_database::<Bytes, Bytes>(transaction, None)
                .map(CommitOrAbort::<_, ()>::Commit)
        })?
        .unwrap_commit();
    Ok(Box::new(Lmdb { env, database }))
}

struct Lmdb {
    env: Env,
    database: Database<'static, Bytes, Bytes>,
}

impl Engine for Lmdb {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.env.force_sync()?)
    }
}

struct Handle<'a>(&'a Lmdb);

/// Everything at or after a key. LMDB knows no empty key, not even to seek to.
fn at_or_after(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let lower = if key.is_empty() { Bound::Unbounded } else { Bound::Included(key) };
    (lower, Bound::Unbounded)
}

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let transaction = self.0.env.read_txn()?;
        let found = self.0.database.get(&transaction, key)?;
        if let Some(value) = found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let mut transaction = self.0.env.write_txn()?;
        self.0.database.put(&mut transaction, key, value)?;
        Ok(transaction.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        let mut transaction = self.0.env.write_txn()?;
        self.0.database.delete(&mut transaction, key)?;
        Ok(transaction.commit()?)
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let mut transaction = self.0.env.write_txn()?;
        let Some(value) = self.0.database.get(&transaction, from)?.map(<[u8]>::to_vec) else {
            return Ok(false);
        };
        self.0.database.put(&mut transaction, to, &value)?;
        self.0.database.delete(&mut transaction, from)?;
        transaction.commit()?;
        Ok(true)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut transaction = self.0.env.write_txn()?;
        for &(key, value) in records {
            self.0.database.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let transaction = self.0.env.read_txn()?;
        let mut target = Vec::new();
        let mut records = self.0.database.range(&transaction, &at_or_after(from))?;
        while let Some(record) = records.next() {
            let (key, value) = record?;
            match visit(key, value, &mut target) {
                Flow::Next => {}
                Flow::Seek => {
                    records = self.0.database.range(&transaction, &at_or_after(&target))?;
                }
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let records = below(self, from, Want::Records)?;
        let mut transaction = self.0.env.write_txn()?;
        for (key, value) in records {
            self.0.database.put(&mut transaction, &moved(&key, from, to), &value)?;
            self.0.database.delete(&mut transaction, &key)?;
        }
        Ok(transaction.commit()?)
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let mut end = prefix.to_vec();
        let upper = if successor(&mut end) { Bound::Excluded(&end[..]) } else { Bound::Unbounded };
        let mut transaction = self.0.env.write_txn()?;
        self.0.database.delete_range(&mut transaction, &(Bound::Included(prefix), upper))?;
        Ok(transaction.commit()?)
    }
}
