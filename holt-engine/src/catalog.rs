//! The catalogue: which trees there are, under which names and ids.
//!
//! It is a tree like every other, in the same frames, so checkpoints and recovery treat it as they
//! treat everything. A key is the id of a tree, 8 bytes, big endian; the value is
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | layout version, [`VERSION`] |
//! | 4 | 4 | frame that is the tree's root |
//! | 8 | 1 to 255 | name of the tree, UTF-8; nothing for the trash |
//!
//! - Ids are never given twice, not even after the tree is gone: the log names trees by id.
//! - The catalogue, the default tree and the trash are there before the first record of the log. A
//!   database without a checkpoint begins with exactly these three, the latter two empty.
//! - The trash is a tree without a name, with the id [`TRASH_ID`]. What is removed by the prefix
//!   hangs in it until the [reclaimer](crate::reclaim) has freed it.
//! - Whatever happens to a tree changes one key, and so as a whole or not at all. A name is
//!   unique because whoever gives one holds the lock on [`changing`](Catalog::changing).
//! - Creating a tree is one log record. Its frame, its key in the catalogue and the next free id
//!   change within one pass of the gate, so a cut has all three or none.

use std::collections::{BTreeMap, HashMap};

use holt_art::{Closed, Condition, FrameId, Outlook, Pass, Pool, Put, Removed, Scan, Version};

use crate::error::Error;
use crate::meta::Meta;
use crate::snapshot::TreeAt;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, RwLock, lock, read, write,
};

/// The longest name of a tree in bytes.
pub const MAX_TREE_NAME: usize = 255;

/// Name of the tree that every database has.
pub(crate) const DEFAULT_NAME: &str = "default";
/// Its id.
pub(crate) const DEFAULT_ID: u64 = 1;
/// Id of the trash.
const TRASH_ID: u64 = 0;
/// The lowest id that a tree created later can have.
pub(crate) const FIRST_FREE: u64 = 2;

/// Version of the layout of a catalogue value. Version 1 had the name as the key.
const VERSION: u32 = 2;
/// Bytes of a catalogue value before the name.
const HEAD: usize = 8;

/// One tree of the database, shared by all handles to it.
#[derive(Debug)]
pub(crate) struct Named {
    /// What the log calls it.
    pub(crate) id: u64,
    pub(crate) tree: holt_art::Tree,
    name: RwLock<String>,
    /// Where the record that gave the name ends in the log; zero if that is behind a recovery or a
    /// checkpoint and needs no waiting for.
    since: AtomicU64,
    /// Set under the closed gate, before the frames of the tree are freed.
    dropped: AtomicBool,
}

impl Named {
    /// The tree's name.
    pub(crate) fn name(&self) -> String {
        read(&self.name).clone()
    }

    /// Where the record that gave the name ends in the log.
    pub(crate) fn since(&self) -> u64 {
        // Relaxed: whoever found the tree by its name came through the lock on the names, in
        // which this is set.
        self.since.load(Ordering::Relaxed)
    }

    /// Whether the tree is still there.
    ///
    /// Inside the gate the answer stays so until the gate is left. A reader outside asks *after*
    /// he has read: if a frame that he read was freed, he found that out by the acquire load of
    /// its latch word, which also shows him what came before the freeing.
    ///
    /// # Errors
    ///
    /// [`Error::TreeDropped`].
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        // Relaxed: ordered by the gate, or by the latch word, as said above.
        if self.dropped.load(Ordering::Relaxed) { Err(Error::TreeDropped) } else { Ok(()) }
    }
}

/// All trees of a database.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// The catalogue's own tree.
    tree: holt_art::Tree,
    /// Where removed subtrees wait to be freed.
    trash: holt_art::Tree,
    /// The id that the next new tree gets. Written inside the gate, read under the closed gate.
    next: AtomicU64,
    /// Held while a tree is created, renamed or dropped, so that two of these do not overlap.
    changing: Mutex<()>,
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
        let (tree, trash) = (pool.create_tree(&pass)?, pool.create_tree(&pass)?);
        let catalog = Catalog::of(tree, trash, FIRST_FREE);
        let default = pool.create_tree(&pass)?;
        // No record stands behind this version: the log's first one has a greater.
        let version = || Version::new(1).expect("one is a version");
        catalog.insert(&pass, "", TRASH_ID, &catalog.trash, version)?;
        catalog.insert(&pass, DEFAULT_NAME, DEFAULT_ID, &default, version)?;
        drop(pass);
        catalog.announce(DEFAULT_NAME, DEFAULT_ID, default, 0);
        Ok(catalog)
    }

    /// The catalogue that a checkpoint left behind, in a pool that has its frames.
    pub(crate) fn open(pool: &Arc<Pool>, meta: Meta) -> Result<Catalog, Error> {
        let tree = pool.open_tree(FrameId::new(meta.catalog))?;
        let Some(trash) = tree.get(&TRASH_ID.to_be_bytes(), |value, _| value.to_vec())? else {
            return Err(damaged("the trash is missing".to_owned()));
        };
        let (_, trash, _) = decode(&TRASH_ID.to_be_bytes(), &trash)?;
        let trash = pool.open_tree(FrameId::new(trash))?;
        let catalog = Catalog::of(tree, trash, meta.next_tree);
        for entry in catalog.tree.cursor(Scan::all()) {
            let entry = entry?;
            let Some(value) = entry.value() else { continue };
            let (id, root, name) = decode(entry.name(), value)?;
            if id == TRASH_ID {
                continue;
            }
            if id >= meta.next_tree || catalog.by_name(name).is_some() {
                return Err(damaged(format!("tree {name:?} with the id {id} is impossible")));
            }
            catalog.announce(name, id, pool.open_tree(FrameId::new(root))?, 0);
        }
        if catalog.by_name(DEFAULT_NAME).is_none_or(|tree| tree.id != DEFAULT_ID) {
            return Err(damaged("the default tree is missing".to_owned()));
        }
        Ok(catalog)
    }

    fn of(tree: holt_art::Tree, trash: holt_art::Tree, next: u64) -> Catalog {
        Catalog {
            tree,
            trash,
            next: AtomicU64::new(next),
            changing: Mutex::new(()),
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

    /// All trees of a snapshot, by name.
    pub(crate) fn at(
        &self,
        snapshot: &holt_art::Snapshot,
    ) -> Result<BTreeMap<String, TreeAt>, Error> {
        let mut trees = BTreeMap::new();
        for entry in snapshot.tree(self.tree.root())?.cursor(Scan::all()) {
            let entry = entry?;
            let Some(value) = entry.value() else { continue };
            let (id, root, name) = decode(entry.name(), value)?;
            if id != TRASH_ID {
                trees.insert(name.to_owned(), TreeAt { id, root: FrameId::new(root) });
            }
        }
        Ok(trees)
    }

    /// The root of the tree `id` in a snapshot, if it was there.
    pub(crate) fn root_at(
        &self,
        snapshot: &holt_art::Snapshot,
        id: u64,
    ) -> Result<Option<FrameId>, Error> {
        let key = id.to_be_bytes();
        let found = snapshot
            .tree(self.tree.root())?
            .get(&key, |value, _| decode(&key, value).map(|(_, root, _)| FrameId::new(root)))?;
        found.transpose()
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

    /// Where removed subtrees wait to be freed.
    pub(crate) fn trash(&self) -> &holt_art::Tree {
        &self.trash
    }

    /// The root frames of everything, those of the catalogue and the trash among them.
    pub(crate) fn roots(&self) -> Vec<FrameId> {
        let mut roots = vec![self.tree.root(), self.trash.root()];
        roots.extend(self.all().iter().map(|named| named.tree.root()));
        roots
    }

    /// Keeps others from creating, renaming and dropping trees until the guard is dropped.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        lock(&self.changing)
    }

    /// The id that the next new tree gets. Steady while [`changing`](Self::changing) is held.
    pub(crate) fn next_id(&self) -> u64 {
        // Relaxed: the mutex orders it among creators.
        self.next.load(Ordering::Relaxed)
    }

    /// Makes the tree `id` part of the catalogue, under a name that nobody has.
    /// `sequence` gives the version of the change, at the moment at which it is certain.
    pub(crate) fn insert(
        &self,
        pass: &Pass<'_>,
        name: &str,
        id: u64,
        tree: &holt_art::Tree,
        sequence: impl FnOnce() -> Version,
    ) -> Result<(), Error> {
        let (key, value) = (id.to_be_bytes(), encode(tree.root().get(), name));
        match self.tree.put(pass, &key, &value, Condition::Absent, sequence)? {
            Put::Refused(_) => Err(damaged(format!("there are two trees of the id {id}"))),
            _ => {
                // Relaxed: see `meta` and `next_id`, its readers.
                self.next.fetch_max(id + 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Lets everybody find a tree that has been inserted by a record that ends at `since`.
    pub(crate) fn announce(
        &self,
        name: &str,
        id: u64,
        tree: holt_art::Tree,
        since: u64,
    ) -> Arc<Named> {
        let named = Arc::new(Named {
            id,
            tree,
            name: RwLock::new(name.to_owned()),
            since: AtomicU64::new(since),
            dropped: AtomicBool::new(false),
        });
        let mut names = write(&self.names);
        names.by_name.insert(name.to_owned(), Arc::clone(&named));
        names.by_id.insert(id, Arc::clone(&named));
        named
    }

    /// Gives a tree a name that nobody has. `sequence` is as for [`insert`](Self::insert), and
    /// also says where the record ends.
    pub(crate) fn rename(
        &self,
        pass: &Pass<'_>,
        named: &Named,
        name: &str,
        sequence: impl FnOnce() -> (Version, u64),
    ) -> Result<(), Error> {
        let (key, value) = (named.id.to_be_bytes(), encode(named.tree.root().get(), name));
        let mut end = 0;
        let put = self.tree.put(pass, &key, &value, Condition::Present, || {
            let (version, address) = sequence();
            end = address;
            version
        })?;
        if let Put::Refused(_) = put {
            return Err(damaged(format!("tree {} is not in it", named.id)));
        }
        let mut names = write(&self.names);
        let old = std::mem::replace(&mut *write(&named.name), name.to_owned());
        // Relaxed: see `Named::since`.
        named.since.store(end, Ordering::Relaxed);
        if let Some(named) = names.by_name.remove(&old) {
            names.by_name.insert(name.to_owned(), named);
        }
        Ok(())
    }

    /// Takes a tree out of the catalogue and what it holds into the trash, or frees that at once if the trash
    /// finds no room for it. `sequence` is as for [`insert`](Self::insert).
    pub(crate) fn drop_tree(
        &self,
        pool: &Arc<Pool>,
        closed: &Closed<'_>,
        named: &Named,
        mut sequence: impl FnMut() -> Version,
    ) -> Result<(), Error> {
        match self.try_drop(pool, closed, named, &mut sequence, false) {
            Err(Error::Tree(holt_art::Error::PoolFull { .. })) => {
                // Takes as long as there are frames, but no frame.
                let _reserve = pool.use_reserve();
                self.try_drop(pool, closed, named, &mut sequence, true)
            }
            done => done,
        }
    }

    fn try_drop(
        &self,
        pool: &Arc<Pool>,
        closed: &Closed<'_>,
        named: &Named,
        sequence: impl FnOnce() -> Version,
        at_once: bool,
    ) -> Result<(), Error> {
        // Two changes, of which the second may find no room.
        let trial = pool.trial(closed, Outlook { mutations: 2, bytes: 0, revocable: true });
        let root = named.tree.root();
        if at_once {
            pool.free_tree(closed, root)?;
        } else {
            // The removal of the keys has no record of its own, so its version is nobody's.
            let version = || Version::MAX;
            named.tree.remove_prefix(trial.moving(), b"", &self.trash, version)?;
        }
        let key = named.id.to_be_bytes();
        let removed = self.tree.remove(closed.pass(), &key, Condition::Always, sequence)?;
        if !matches!(removed, Removed::Removed(_)) {
            return Err(damaged(format!("tree {} is not in it", named.id)));
        }
        // Relaxed: see `Named::check`. Before the trial, a move, ends, so that nobody finds the tree
        // empty and not marked.
        named.dropped.store(true, Ordering::Relaxed);
        trial.keep();
        let mut names = write(&self.names);
        names.by_name.remove(&*read(&named.name));
        names.by_id.remove(&named.id);
        drop(names);
        // Otherwise all that is left is the root.
        if at_once { Ok(()) } else { Ok(pool.free_tree(closed, root)?) }
    }
}

fn encode(root: u32, name: &str) -> Vec<u8> {
    [&VERSION.to_le_bytes(), &root.to_le_bytes(), name.as_bytes()].concat()
}

/// Id, root frame and name of a tree.
fn decode<'a>(key: &[u8], value: &'a [u8]) -> Result<(u64, u32, &'a str), Error> {
    let cut_short = || damaged(format!("an entry has {} bytes", value.len()));
    let (head, name) = value.split_at_checked(HEAD).ok_or_else(cut_short)?;
    let [v0, v1, v2, v3, r0, r1, r2, r3] = head.try_into().map_err(|_| cut_short())?;
    let found = u32::from_le_bytes([v0, v1, v2, v3]);
    if found != VERSION {
        return Err(Error::Version {
            what: "an entry of the catalogue".to_owned(),
            found,
            supported: VERSION,
        });
    }
    let id = key.try_into().map(u64::from_be_bytes);
    let id = id.map_err(|_| damaged(format!("an id has {} bytes", key.len())))?;
    let legal = |name: &&str| match id {
        TRASH_ID => name.is_empty(),
        _ => check_name(name).is_ok(),
    };
    let name = std::str::from_utf8(name).ok().filter(legal);
    let name = name.ok_or_else(|| damaged(format!("the name of tree {id} is impossible")))?;
    Ok((id, u32::from_le_bytes([r0, r1, r2, r3]), name))
}

/// # Errors
///
/// [`Error::TreeName`] for what cannot be the name of a tree.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if (1..=MAX_TREE_NAME).contains(&name.len()) {
        Ok(())
    } else {
        Err(Error::TreeName { length: name.len() })
    }
}

fn damaged(what: String) -> Error {
    Error::Damaged { place: "catalogue".to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let value = encode(0x0102_0304, "name");
        assert_eq!(value, [2, 0, 0, 0, 4, 3, 2, 1, b'n', b'a', b'm', b'e']);
        let key = [0, 0, 0, 0, 0, 0, 1, 2];
        assert_eq!(decode(&key, &value).unwrap(), (0x102, 0x0102_0304, "name"));
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        let (key, good) = (7_u64.to_be_bytes(), encode(3, "n"));
        assert!(matches!(decode(&[0; 8], &good), Err(Error::Damaged { .. })), "the trash");
        for end in 0..good.len() {
            let cut = decode(&key, &good[..end]);
            assert!(matches!(cut, Err(Error::Damaged { .. })), "{end}");
        }
        assert!(matches!(decode(&key[1..], &good), Err(Error::Damaged { .. })));
        let long = encode(3, &"n".repeat(MAX_TREE_NAME + 1));
        assert!(matches!(decode(&key, &long), Err(Error::Damaged { .. })));
        let garbled = [&good[..], &[0xFF]].concat();
        assert!(matches!(decode(&key, &garbled), Err(Error::Damaged { .. })));
        let mut newer = good;
        newer[0] = 9;
        assert!(matches!(decode(&key, &newer), Err(Error::Version { found: 9, .. })));
    }
}
