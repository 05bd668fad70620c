//! `blart`: an adaptive radix tree of the registry.
//!
//! Chosen among the ART crates because its keys are byte strings of any length (`congee` takes
//! fixed eight bytes), it has ordered ranges with a seek and removal, its releases are recent, and
//! it is fuzzed and run under Miri.

use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use blart::TreeMap;

use super::index_lacks;
use crate::Failure;
use crate::engine::{Engine, Flow, Kind, Mode, Session, Setup, Visit, Want, below, moved};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: "blart",
    package: "blart",
    modes: &[Mode::Memory],
    settings: "`TreeMap<Vec<u8>, Box<[u8]>>` behind a `std::sync::RwLock`. No key may be a prefix \
               of another one there, so the adapter ends every key with a zero byte; that copy of \
               the key into a buffer that is kept is part of its figures. Of the ART crates it is \
               the one whose keys are byte strings of any length with ordered ranges (`congee` \
               takes eight fixed bytes), and it is released, fuzzed and run under Miri.",
    lacks: index_lacks,
    open: |_: &Setup| Ok(Box::new(Locked(RwLock::new(TreeMap::new())))),
};

type Map = TreeMap<Vec<u8>, Box<[u8]>>;

struct Locked(RwLock<Map>);

impl Locked {
    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// The map holds raw pointers to its own nodes and nothing that belongs to a thread; the lock
// around it keeps a writer alone.
impl Engine for Locked {
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Handle { tree: self, key: Vec::new() }))
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Handle<'a> {
    tree: &'a Locked,
    key: Vec<u8>,
}

/// `key` with the zero byte that ends it.
fn ended(key: &[u8]) -> Vec<u8> {
    let mut ended = Vec::with_capacity(key.len() + 1);
    ended.extend_from_slice(key);
    ended.push(0);
    ended
}

/// A key of the tree as the caller gave it.
fn stripped(key: &[u8]) -> &[u8] {
    &key[..key.len() - 1]
}

impl Handle<'_> {
    /// Ends `key` in the buffer that is kept.
    fn end(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.key.push(0);
    }
}

fn insert(map: &mut Map, key: &[u8], value: Box<[u8]>) -> Result<(), Failure> {
    map.try_insert(ended(key), value).map_err(|error| format!("{error:?}"))?;
    Ok(())
}

impl Session for Handle<'_> {
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        self.end(key);
        let map = self.tree.read();
        let found = map.get(self.key.as_slice());
        if let Some(value) = found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.end(key);
        let mut map = self.tree.write();
        match map.get_mut(self.key.as_slice()) {
            Some(old) if old.len() == value.len() => old.copy_from_slice(value),
            Some(old) => *old = value.into(),
            None => insert(&mut map, key, value.into())?,
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.end(key);
        self.tree.write().remove(self.key.as_slice());
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
        self.end(from);
        let mut map = self.tree.write();
        let value = map.remove(self.key.as_slice());
        let found = value.is_some();
        if let Some(value) = value {
            insert(&mut map, to, value)?;
        }
        Ok(found)
    }

    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut map = self.tree.write();
        for &(key, value) in records {
            insert(&mut map, key, value.into())?;
        }
        Ok(())
    }

    fn scan(&mut self, from: &[u8], _want: Want, visit: Visit<'_>) -> Result<(), Failure> {
        let map = self.tree.read();
        // The end that every key has keeps their order, and a bound must have it too: without it
        // the key before `key\0` would be at that bound.
        let start = |from: &[u8]| {
            map.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>((
                Bound::Included(&ended(from)),
                Bound::Unbounded,
            ))
        };
        let mut target = Vec::new();
        let mut records = start(from);
        while let Some((key, value)) = records.next() {
            match visit(stripped(key), value, &mut target) {
                Flow::Next => {}
                Flow::Seek => records = start(&target),
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let keys = below(self, from, Want::Keys)?;
        let mut map = self.tree.write();
        for (key, _) in keys {
            if let Some(value) = map.remove(ended(&key).as_slice()) {
                insert(&mut map, &moved(&key, from, to), value)?;
            }
        }
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let keys = below(self, prefix, Want::Keys)?;
        let mut map = self.tree.write();
        for (key, _) in keys {
            map.remove(ended(&key).as_slice());
        }
        Ok(())
    }
}
