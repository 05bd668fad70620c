//! `std::collections::BTreeMap` behind a reader-writer lock: the index that needs no dependency.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::index_lacks;
use crate::Failure;
use crate::engine::{Engine, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "btreemap",
    package: "",
    modes: &[Mode::Memory],
    settings: "`std::collections::BTreeMap<Box<[u8]>, Box<[u8]>>` behind a `std::sync::RwLock`, \
               which it needs to be shared between threads; an uncontended lock costs what the \
               raw limits say. Values are seen in place under the lock.",
    lacks: index_lacks,
    open: |_: &Setup| Ok(Box::new(Locked::default())),
};

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

#[derive(Debug, Default)]
struct Locked(RwLock<Map>);

impl Locked {
    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Locked {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Handle<'a>(&'a Locked);

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let map = self.0.read();
        let found = map.get(key);
        if let Some(value) = found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let mut map = self.0.write();
        match map.get_mut(key) {
            // The same length: overwritten in place, as anyone would who knows the values.
            Some(old) if old.len() == value.len() => old.copy_from_slice(value),
            Some(old) => *old = value.into(),
            None => drop(map.insert(key.into(), value.into())),
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.0.write().remove(key);
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        let mut map = self.0.write();
        let value = map.remove(from);
        let found = value.is_some();
        if let Some(value) = value {
            map.insert(to.into(), value);
        }
        Ok(found)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut map = self.0.write();
        for &(key, value) in records {
            map.insert(key.into(), value.into());
        }
        Ok(())
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let map = self.0.read();
        let start = |from: &[u8]| map.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        let mut target = Vec::new();
        let mut records = start(from);
        while let Some((key, value)) = records.next() {
            match visit(key, value, &mut target) {
                Flow::Next => {}
                Flow::Seek => records = start(&target),
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let keys = below(self, from, Want::Keys)?;
        let mut map = self.0.write();
        for (key, _) in keys {
            if let Some(value) = map.remove(key.as_slice()) {
                map.insert(moved(&key, from, to).into(), value);
            }
        }
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let keys = below(self, prefix, Want::Keys)?;
        let mut map = self.0.write();
        for (key, _) in keys {
            map.remove(key.as_slice());
        }
        Ok(())
    }
}
