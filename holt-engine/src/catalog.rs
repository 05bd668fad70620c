//! The catalogue: which trees there are, under which names and ids.
//!
//! It is a tree like every other, with id 0 and in the same frames, so checkpoints and recovery
//! treat it as they treat everything. A key is the name of a tree; the value is
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | layout version, [`VERSION`] |
//! | 4 | 4 | frame that is the tree's root |
//! | 8 | 8 | id of the tree |
//!
//! - Ids are never given twice, not even after the tree is gone: the log names trees by id.
//! - The catalogue and the default tree are there before the first record of the log. A database
//!   without a checkpoint begins with exactly these two, both empty.
//! - Creating a tree is one log record. Its frame, its key in the catalogue and the next free id
//!   change within one pass of the gate, so a cut has all three or none.

use std::collections::HashMap;

use holt_art::{Condition, Entry, FrameId, Pass, Pool, Put, Scan, Version};

use crate::error::Error;
use crate::meta::Meta;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, RwLock, lock, read, write};

/// The longest name of a tree in bytes.
pub const MAX_TREE_NAME: usize = 255;

/// Name of the tree that every database has.
pub(crate) const DEFAULT_NAME: &str = "default";
/// Its id.
pub(crate) const DEFAULT_ID: u64 = 1;
/// The lowest id that a tree created later can have.
pub(crate) const FIRST_FREE: u64 = 2;

/// Version of the layout of a catalogue value.
const VERSION: u32 = 1;
/// Bytes of a catalogue value.
const LENGTH: usize = 16;

/// One tree of the database, shared by all handles to it.
#[derive(Debug)]
pub(crate) struct Named {
    /// What the log calls it.
    pub(crate) id: u64,
    pub(crate) tree: holt_art::Tree,
    /// Where the record of its creation ends in the log; zero if that is behind a recovery or a
    /// checkpoint and needs no waiting for.
    pub(crate) created: u64,
}

/// All trees of a database.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// The catalogue's own tree.
    tree: holt_art::Tree,
    /// The id that the next new tree gets. Written inside the gate, read under the closed gate.
    next: AtomicU64,
    /// Held while a tree is created, so that two creations of one name do not overlap.
    creating: Mutex<()>,
    names: RwLock<Names>,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<String, Arc<Named>>,
    by_id: HashMap<u64, Arc<Named>>,
}

impl Catalog {
    /// The catalogue of a database that has no checkpoint yet.
    pub(crate) fn new(pool: &Arc<Pool>) -> Result<Catalog, Error> {
        let pass = pool.enter();
        let catalog = Catalog::of(pool.create_tree(&pass)?, FIRST_FREE);
        let default = pool.create_tree(&pass)?;
        // No record stands behind this version: the log's first one has a greater.
        let version = Version::new(1).expect("one is a version");
        catalog.insert(&pass, DEFAULT_NAME, DEFAULT_ID, &default, || version)?;
        drop(pass);
        catalog.announce(DEFAULT_NAME, DEFAULT_ID, default, 0);
        Ok(catalog)
    }

    /// The catalogue that a checkpoint left behind, in a pool that has its frames.
    pub(crate) fn open(pool: &Arc<Pool>, meta: Meta) -> Result<Catalog, Error> {
        let catalog = Catalog::of(pool.open_tree(FrameId::new(meta.catalog))?, meta.next_tree);
        for entry in catalog.tree.cursor(Scan::all()) {
            let Entry::Key { key, value, .. } = entry? else { continue };
            let name = String::from_utf8(key)
                .map_err(|error| damaged(format!("{} is no name", error.utf8_error())))?;
            let (root, id) = decode(&name, &value)?;
            if id >= meta.next_tree || read(&catalog.names).by_id.contains_key(&id) {
                return Err(damaged(format!("tree {name:?} has the impossible id {id}")));
            }
            catalog.announce(&name, id, pool.open_tree(FrameId::new(root))?, 0);
        }
        if catalog.by_name(DEFAULT_NAME).is_none_or(|tree| tree.id != DEFAULT_ID) {
            return Err(damaged("the default tree is missing".to_owned()));
        }
        Ok(catalog)
    }

    fn of(tree: holt_art::Tree, next: u64) -> Catalog {
        Catalog {
            tree,
            next: AtomicU64::new(next),
            creating: Mutex::new(()),
            names: RwLock::default(),
        }
    }

    /// The engine's part of the manifest. Called under the closed gate, which keeps it consistent
    /// with the cut.
    pub(crate) fn meta(&self) -> Meta {
        // Relaxed: the gate orders this after every pass that changed it.
        Meta { catalog: self.tree.root().get(), next_tree: self.next.load(Ordering::Relaxed) }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Named>> {
        read(&self.names).by_name.get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<Named>> {
        read(&self.names).by_id.get(&id).cloned()
    }

    /// Names of all trees, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = read(&self.names).by_name.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// All trees, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Named>> {
        read(&self.names).by_id.values().cloned().collect()
    }

    /// The root frames of everything, the catalogue's among them.
    pub(crate) fn roots(&self) -> Vec<FrameId> {
        let mut roots = vec![self.tree.root()];
        roots.extend(self.all().iter().map(|named| named.tree.root()));
        roots
    }

    /// Keeps others from creating trees until the guard is dropped.
    pub(crate) fn creating(&self) -> MutexGuard<'_, ()> {
        lock(&self.creating)
    }

    /// The id that the next new tree gets. Steady while [`creating`](Self::creating) is held.
    pub(crate) fn next_id(&self) -> u64 {
        // Relaxed: the mutex orders it among creators.
        self.next.load(Ordering::Relaxed)
    }

    /// Makes the tree `id` part of the catalogue, under a name that it does not have yet.
    /// `sequence` gives the version of the change, at the moment at which it is certain.
    pub(crate) fn insert(
        &self,
        pass: &Pass<'_>,
        name: &str,
        id: u64,
        tree: &holt_art::Tree,
        sequence: impl FnOnce() -> Version,
    ) -> Result<(), Error> {
        let value = encode(tree.root().get(), id);
        let condition = Condition::Absent;
        match self.tree.put(pass, name.as_bytes(), &value, condition, sequence)? {
            Put::Refused(_) => Err(damaged(format!("there are two trees {name:?}"))),
            _ => {
                // Relaxed: see `meta` and `next_id`, its readers.
                self.next.fetch_max(id + 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Lets everybody find a tree that has been inserted by a record that ends at `created`.
    pub(crate) fn announce(
        &self,
        name: &str,
        id: u64,
        tree: holt_art::Tree,
        created: u64,
    ) -> Arc<Named> {
        let named = Arc::new(Named { id, tree, created });
        let mut names = write(&self.names);
        names.by_name.insert(name.to_owned(), Arc::clone(&named));
        names.by_id.insert(id, Arc::clone(&named));
        named
    }
}

fn encode(root: u32, id: u64) -> [u8; LENGTH] {
    let mut value = [0; LENGTH];
    value[0..4].copy_from_slice(&VERSION.to_le_bytes());
    value[4..8].copy_from_slice(&root.to_le_bytes());
    value[8..16].copy_from_slice(&id.to_le_bytes());
    value
}

/// Root frame and id of the tree `name`.
fn decode(name: &str, value: &[u8]) -> Result<(u32, u64), Error> {
    let Ok([v0, v1, v2, v3, r0, r1, r2, r3, id @ ..]) = <[u8; LENGTH]>::try_from(value) else {
        return Err(damaged(format!("the entry of tree {name:?} has {} bytes", value.len())));
    };
    let found = u32::from_le_bytes([v0, v1, v2, v3]);
    if found != VERSION {
        return Err(Error::Version {
            what: "an entry of the catalogue",
            found,
            supported: VERSION,
        });
    }
    Ok((u32::from_le_bytes([r0, r1, r2, r3]), u64::from_le_bytes(id)))
}

fn damaged(what: String) -> Error {
    Error::Damaged { place: "catalogue".to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let value = encode(0x0102_0304, 0x1112_1314_1516_1718);
        assert_eq!(value[..8], [1, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(value[8..], [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        assert_eq!(decode("t", &value).unwrap(), (0x0102_0304, 0x1112_1314_1516_1718));
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        let good = encode(3, 4);
        for end in 0..LENGTH {
            assert!(matches!(decode("t", &good[..end]), Err(Error::Damaged { .. })), "{end}");
        }
        let mut newer = good;
        newer[0] = 9;
        assert!(matches!(decode("t", &newer), Err(Error::Version { found: 9, .. })));
    }
}
