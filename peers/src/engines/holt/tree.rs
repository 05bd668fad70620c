//! The tree of `holt-art` alone, in memory.

use std::convert::Infallible;
use std::ops::ControlFlow;

use holt_art::{Art, Condition, EntryRef, Existing, Pool, Put, Scan};

use crate::Failure;
use crate::engine::{Engine, Flow, Query, Session, Visit, Want};

pub(super) fn open() -> Result<Box<dyn Engine>, Failure> {
    Ok(Box::new(Memory(Art::new()?)))
}

struct Memory(Art);

impl Engine for Memory {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(&self.0)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn fill(&self) -> Option<f64> {
        let stats = self.0.tree().pool().stats();
        let room = stats.frames as f64 * Pool::FRAME_BYTES as f64;
        (room > 0.0).then(|| stats.live_bytes as f64 / room)
    }
}

struct Handle<'a>(&'a Art);

/// The scan of a query.
fn scan_of(query: Query<'_>, want: Want) -> Scan {
    let scan = Scan::prefix(query.prefix).keys_only(want == Want::Keys).limit(query.limit as u64);
    match query.after {
        Some(after) => scan.start_after(after),
        None => scan,
    }
}

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        Ok(self.0.tree().get(key, |value, _| see(value))?.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.0.put(key, value)?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.0.remove(key)?;
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        Ok(matches!(
            self.0.rename(from, to, Condition::Always)?,
            Put::Inserted(_) | Put::Replaced(_)
        ))
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        for &(key, value) in records {
            self.0.put(key, value)?;
        }
        Ok(())
    }

    fn scan(&mut self, from: &[u8], want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let start =
            |from: &[u8]| self.0.scan(Scan::range(from.to_vec()..).keys_only(want == Want::Keys));
        let mut target = Vec::new();
        let mut cursor = start(from);
        while let Some(entry) = cursor.next_ref()? {
            let EntryRef::Key { key, value, .. } = entry else { continue };
            match visit(key, value, &mut target) {
                Flow::Next => {}
                Flow::Seek => cursor = start(&target),
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        query: Query<'_>,
        want: Want,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize, Failure> {
        let mut count = 0;
        let ControlFlow::Continue(()) = self.0.visit(scan_of(query, want), |entry| {
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
        let ControlFlow::Continue(()) =
            self.0.visit(scan_of(query, Want::Keys).delimiter(&[delimiter]), |entry| {
                see(entry.name());
                count += 1;
                ControlFlow::<Infallible>::Continue(())
            })?;
        Ok(count)
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        self.0.rename_prefix(from, to, Existing::Refuse)?;
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        self.0.remove_prefix(prefix)?;
        while self.0.reclaim(64)? {}
        Ok(())
    }
}
