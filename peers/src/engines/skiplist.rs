//! `crossbeam-skiplist`: the concurrent ordered map without locks.

use std::ops::Bound;

use crossbeam_skiplist::SkipMap;

use super::index_lacks;
use crate::Failure;
use crate::engine::{Engine, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "skiplist",
    package: "crossbeam-skiplist",
    modes: &[Mode::Memory],
    settings: "`SkipMap<Box<[u8]>, Box<[u8]>>` as it is; values are seen in place. A rename is an \
               insertion and a removal that others may see apart: it has no transaction.",
    lacks: index_lacks,
    open: |_: &Setup| Ok(Box::new(List(SkipMap::new()))),
};

struct List(SkipMap<Box<[u8]>, Box<[u8]>>);

impl Engine for List {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(&self.0)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Handle<'a>(&'a SkipMap<Box<[u8]>, Box<[u8]>>);

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let found = self.0.get(key);
        if let Some(entry) = &found {
            see(entry.value());
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.0.insert(key.into(), value.into());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.0.remove(key);
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let Some(entry) = self.0.get(from) else { return Ok(false) };
        self.0.insert(to.into(), entry.value().clone());
        entry.remove();
        Ok(true)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        for &(key, value) in records {
            self.0.insert(key.into(), value.into());
        }
        Ok(())
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let mut target = Vec::new();
        let mut entry = self.0.lower_bound::<[u8]>(Bound::Included(from));
        while let Some(here) = entry {
            entry = match visit(here.key(), here.value(), &mut target) {
                Flow::Next => here.next(),
                Flow::Seek => self.0.lower_bound::<[u8]>(Bound::Included(&target)),
                Flow::Stop => break,
            };
        }
        Ok(())
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        for (key, _) in below(self, from, Want::Keys)? {
            self.rename(&key, &moved(&key, from, to))?;
        }
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        for (key, _) in below(self, prefix, Want::Keys)? {
            self.0.remove(key.as_slice());
        }
        Ok(())
    }
}
