//! A database of `holt-engine`.

use std::convert::Infallible;
use std::ops::ControlFlow;

use holt_engine::{Db, Durability, Moved, Options, Renamed, Scan, Tree};

use crate::Failure;
use crate::engine::{Engine, Flow, Mode, Query, Session, Setup, Visit, Want};

pub(super) fn open(setup: &Setup) -> Result<Box<dyn Engine>, Failure> {
    let durability = match setup.mode {
        Mode::Memory | Mode::Buffered => Durability::Buffered,
        Mode::Os => Durability::Os,
        Mode::Sync => Durability::Sync,
    };
    let db = Options::new().durability(durability).cache_bytes(setup.cache).open(&setup.dir)?;
    Ok(Box::new(Database { tree: db.default_tree(), db }))
}

struct Database {
    db: Db,
    tree: Tree,
}

impl Engine for Database {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(&self.tree)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        self.db.checkpoint()?;
        Ok(())
    }

    fn fill(&self) -> Option<f64> {
        self.db.stats().ok().map(|stats| stats.fill)
    }
}

struct Handle<'a>(&'a Tree);

impl Handle<'_> {
    /// The scan of a query.
    fn scan_of(&self, query: Query<'_>, want: Want) -> Scan<'_> {
        let scan = self.0.prefix(query.prefix).limit(query.limit as u64);
        let scan = if want == Want::Keys { scan.keys_only() } else { scan };
        match query.after {
            Some(after) => scan.start_after(after),
            None => scan,
        }
    }
}

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        Ok(self.0.get_with(key, |value, _| see(value))?.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.0.put(key, value)?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.0.delete(key)?;
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        Ok(matches!(self.0.rename_replacing(from, to)?, Renamed::Done(_)))
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        // All but the last put wait for nothing; the last one waits for the database's
        // durability, and with it the log before it is as durable.
        let Some((&(last_key, last_value), before)) = records.split_last() else { return Ok(()) };
        for &(key, value) in before {
            self.0.put_with(key, value, Durability::Buffered)?;
        }
        self.0.put(last_key, last_value)?;
        Ok(())
    }

    fn scan(&mut self, from: &[u8], want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let mut target = from.to_vec();
        loop {
            let scan = self.0.range(std::mem::take(&mut target)..);
            let scan = if want == Want::Keys { scan.keys_only() } else { scan };
            let ended = scan.visit(|entry| {
                match visit(entry.name(), entry.value().unwrap_or_default(), &mut target) {
                    Flow::Next => ControlFlow::Continue(()),
                    flow => ControlFlow::Break(flow),
                }
            })?;
            if ended != Some(Flow::Seek) {
                return Ok(());
            }
        }
    }

    fn list(
        &mut self,
        query: Query<'_>,
        want: Want,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize, Failure> {
        let mut count = 0;
        self.scan_of(query, want).visit(|entry| {
            see(entry.name(), entry.value().unwrap_or_default());
            count += 1;
            ControlFlow::<Infallible>::Continue(())
        })?;
        Ok(count)
    }

    fn groups(
        &mut self,
        query: Query<'_>,
        delimiter: u8,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        let mut count = 0;
        self.scan_of(query, Want::Keys).delimiter([delimiter]).visit(|entry| {
            see(entry.name());
            count += 1;
            ControlFlow::<Infallible>::Continue(())
        })?;
        Ok(count)
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        match self.0.rename_prefix(from, to)? {
            Moved::Done(_) => Ok(()),
            other => Err(format!("a rename of a prefix came to {other:?}").into()),
        }
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        self.0.delete_prefix(prefix)?;
        Ok(())
    }
}
