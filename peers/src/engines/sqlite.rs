//! SQLite through `rusqlite`, built from its bundled source.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::Failure;
use crate::engine::{Engine, Feature, Flow, Kind, Mode, Session, Setup, Visit, Want, successor};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "sqlite",
    package: "rusqlite",
    modes: &Mode::ALL,
    settings: "One table `(key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID`, prepared statements, \
               page cache of the common size, a connection for each thread. *memory*: \
               `journal_mode=OFF, synchronous=OFF` on a memory file system (a `:memory:` database \
               cannot be shared between connections). *buffered* and *os*: `journal_mode=WAL, \
               synchronous=OFF`, which hands each commit to the kernel: it has no weaker log, so \
               in *buffered* it promises more than was asked. *sync*: `journal_mode=WAL, \
               synchronous=FULL`. Checkpoints after 64 MiB of log. A prefix is moved by one \
               `UPDATE` and deleted by one `DELETE`.",
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
    let engine = Sqlite { path: setup.dir.join("sqlite"), mode: setup.mode, cache: setup.cache };
    engine.connect()?.execute_batch(
        "CREATE TABLE IF NOT EXISTS records(key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",
    )?;
    Ok(Box::new(engine))
}

struct Sqlite {
    path: PathBuf,
    mode: Mode,
    cache: u64,
}

impl Sqlite {
    fn connect(&self) -> Result<Connection, Failure> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        let (journal, synchronous) = match self.mode {
            Mode::Memory => ("OFF", "OFF"),
            Mode::Buffered | Mode::Os => ("WAL", "OFF"),
            Mode::Sync => ("WAL", "FULL"),
        };
        connection.execute_batch(&format!(
            "PRAGMA journal_mode={journal}; PRAGMA synchronous={synchronous}; \
             PRAGMA cache_size=-{}; PRAGMA wal_autocheckpoint=16384;",
            self.cache >> 10
        ))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }
}

impl Engine for Sqlite {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(self.connect()?)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        let connection = self.connect()?;
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }
}

struct Handle(Connection);

const GET: &str = "SELECT value FROM records WHERE key = ?1";
const PUT: &str = "INSERT INTO records VALUES (?1, ?2) \
                   ON CONFLICT(key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM records WHERE key = ?1";
const RECORDS: &str = "SELECT key, value FROM records WHERE key >= ?1 ORDER BY key";
const KEYS: &str = "SELECT key FROM records WHERE key >= ?1 ORDER BY key";

impl Session for Handle {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let mut statement = self.0.prepare_cached(GET)?;
        let found = statement
            .query_row(params![key], |row| {
                see(row.get_ref(0)?.as_blob()?);
                Ok(())
            })
            .optional()?;
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.0.prepare_cached(PUT)?.execute(params![key, value])?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.0.prepare_cached(DELETE)?.execute(params![key])?;
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let changed = self
            .0
            .prepare_cached("UPDATE OR REPLACE records SET key = ?2 WHERE key = ?1")?
            .execute(params![from, to])?;
        Ok(changed > 0)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let transaction = self.0.unchecked_transaction()?;
        {
            let mut statement = transaction.prepare_cached(PUT)?;
            for &(key, value) in records {
                statement.execute(params![key, value])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&mut self, from: &[u8], want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let mut statement = self.0.prepare_cached(match want {
            Want::Records => RECORDS,
            Want::Keys => KEYS,
        })?;
        let mut target = Vec::new();
        let mut from = from.to_vec();
        loop {
            let mut rows = statement.query(params![from])?;
            let mut again = false;
            while let Some(row) = rows.next()? {
                let key = row.get_ref(0)?.as_blob()?;
                let value = match want {
                    Want::Records => row.get_ref(1)?.as_blob()?,
                    Want::Keys => b"",
                };
                match visit(key, value, &mut target) {
                    Flow::Next => {}
                    Flow::Seek => {
                        again = true;
                        break;
                    }
                    Flow::Stop => return Ok(()),
                }
            }
            if !again {
                return Ok(());
            }
            drop(rows);
            from.clone_from(&target);
        }
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let end = end_of(from)?;
        // A concatenation of blobs is text to SQLite; the cast makes it a blob again.
        self.0
            .prepare_cached(
                "UPDATE records SET key = CAST(?3 || substr(key, ?4) AS BLOB) \
                 WHERE key >= ?1 AND key < ?2",
            )?
            .execute(params![from, end, to, from.len() as i64 + 1])?;
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let end = end_of(prefix)?;
        self.0
            .prepare_cached("DELETE FROM records WHERE key >= ?1 AND key < ?2")?
            .execute(params![prefix, end])?;
        Ok(())
    }
}

/// The first key behind all keys of a prefix.
fn end_of(prefix: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut end = prefix.to_vec();
    match successor(&mut end) {
        true => Ok(end),
        false => Err("a prefix of 0xFF bytes has no end".into()),
    }
}
