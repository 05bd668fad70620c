//! What the log holds beyond the last checkpoint, applied to the trees again.
//!
//! - Records are applied in the order of their addresses by the same operations that wrote them, with
//!   a sequencer that returns the version that the record's address stands for.
//! - What was removed by the prefix waits in the trash, as it did then. Then it was freed meanwhile;
//!   here that is done when the room is needed.
//! - Frames are read as they are needed. When too many have changed, a checkpoint is made between two
//!   records; within a batch none can be.
//! - The log holds effects. One that cannot happen, such as the removal of a key that is not there,
//!   is damage and not skipped.

use holt_art::{Condition, Existing, Pool, Removed, Version};
use holt_codec::{GRANULE, Op, Record};

use crate::catalog::{Catalog, DEFAULT_ID, Named, check_name};
use crate::error::Error;
use crate::sync::Arc;

/// Subtrees of the trash that are freed at a time.
const AT_ONCE: usize = 64;

/// Makes a checkpoint of what was applied below an address.
pub(crate) type Relief<'a> = dyn FnMut(u64) -> Result<(), Error> + 'a;

/// Applies records to the trees of a database that is being opened.
pub(crate) struct Replay<'a> {
    pool: &'a Arc<Pool>,
    catalog: &'a Catalog,
    /// The tree of the last record: most records go to the tree of the one before.
    recent: Option<Arc<Named>>,
    /// None if nothing may be written.
    relief: Option<&'a mut Relief<'a>>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        pool: &'a Arc<Pool>,
        catalog: &'a Catalog,
        relief: Option<&'a mut Relief<'a>>,
    ) -> Replay<'a> {
        Replay { pool, catalog, recent: None, relief }
    }

    /// Applies the record at `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] for a record that contradicts what is there, [`Error::UnknownRecord`] for
    /// one of a kind that this version does not write, and the errors of the tree.
    pub(crate) fn apply(&mut self, address: u64, record: Record<'_>) -> Result<(), Error> {
        let version = version(address)?;
        if self.pool.is_pressed() {
            self.relieve(address)?;
        }
        match record {
            Record::Op(op) => {
                self.alone(address, |replay| replay.operation(address, op, version, true))?;
            }
            Record::Batch(batch) => {
                for (number, op) in (0..).zip(batch.ops()) {
                    let version = Version::new(version.get() + number);
                    let version = version.ok_or_else(|| beyond(address))?;
                    let op = op?;
                    self.with_room(|replay| replay.operation(address, op, version, false))?;
                }
            }
            Record::CreateTree { tree, name } => {
                self.alone(address, |replay| replay.create(address, tree, name, version))?;
            }
            Record::RenameTree { tree, name } => {
                self.alone(address, |replay| replay.rename(address, tree, name, version))?;
            }
            Record::DropTree { tree } => {
                self.alone(address, |replay| replay.drop(address, tree, version))?;
            }
            Record::Skip { .. } | Record::CleanEnd => {}
            _ => return Err(Error::UnknownRecord { address }),
        }
        Ok(())
    }

    /// Does what a record at `address` asks for that has one operation.
    fn alone(
        &mut self,
        address: u64,
        mut change: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.with_room(&mut change) {
            Err(Error::CacheTooSmall { .. }) if self.relief.is_some() => {
                self.relieve(address)?;
                self.with_room(change)
            }
            done => done,
        }
    }

    /// Does something that changes nothing when it fails for want of room, or of a frame that is not
    /// in memory; then again, with what it needs: that frame, or all room that the trash gives.
    fn with_room(
        &mut self,
        mut change: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut emptied = false;
        loop {
            match change(self) {
                Err(Error::Tree(holt_art::Error::PoolFull { .. })) if !emptied => {
                    let trash = self.catalog.trash();
                    while self.pool.mutate(|pass| trash.reclaim(pass, AT_ONCE))? {}
                    emptied = true;
                }
                Err(Error::Tree(absent @ holt_art::Error::Absent { .. })) => {
                    self.pool.resolve(absent)?;
                }
                done => return done,
            }
        }
    }

    /// Makes a checkpoint of what was applied before the record at `address`.
    fn relieve(&mut self, address: u64) -> Result<(), Error> {
        self.relief.as_mut().map_or(Ok(()), |relief| relief(address))
    }

    /// Applies one operation on keys. One that stands alone was written because it had an effect;
    /// in a batch a removal may have found nothing.
    fn operation(
        &mut self,
        address: u64,
        op: Op<'_>,
        version: Version,
        effective: bool,
    ) -> Result<(), Error> {
        let (pool, trash) = (self.pool, self.catalog.trash());
        let tree = &self.tree(address, op.tree())?.tree;
        if let Op::RenamePrefix { .. } | Op::DeletePrefix { .. } = op {
            let closed = pool.close_gate();
            let moving = pool.start_move(&closed);
            return match op {
                Op::RenamePrefix { from, to, replace, .. } => {
                    let existing = if replace { Existing::Replace } else { Existing::Refuse };
                    tree.rename_prefix(&moving, from, to, existing, trash, || version)?;
                    Ok(())
                }
                Op::DeletePrefix { prefix, .. } => {
                    let removed = tree.remove_prefix(&moving, prefix, trash, || version)?;
                    if effective && removed.is_none() {
                        let what = "removes a prefix that no key has".to_owned();
                        return Err(damaged(address, what));
                    }
                    Ok(())
                }
                _ => Err(Error::UnknownRecord { address }),
            };
        }
        let pass = pool.enter();
        match op {
            Op::Put { key, value, .. } => {
                tree.put(&pass, key, value, Condition::Always, || version)?;
            }
            Op::Delete { key, .. } => {
                let removed = tree.remove(&pass, key, Condition::Always, || version)?;
                if effective && !matches!(removed, Removed::Removed(_)) {
                    return Err(damaged(address, "removes a key that is not there".to_owned()));
                }
            }
            Op::Rename { from, to, .. } => {
                let value = tree.get(from, |value, _| value.to_vec())?;
                let missing = || damaged(address, "renames a key that is not there".to_owned());
                let value = value.ok_or_else(missing)?;
                tree.put(&pass, to, &value, Condition::Always, || version)?;
                if from != to {
                    tree.remove(&pass, from, Condition::Always, || version)?;
                }
            }
            _ => return Err(Error::UnknownRecord { address }),
        }
        Ok(())
    }

    fn tree(&mut self, address: u64, id: u64) -> Result<&Arc<Named>, Error> {
        if self.recent.as_ref().is_none_or(|named| named.id != id) {
            self.recent = self.catalog.by_id(id);
        }
        let missing = || damaged(address, format!("changes tree {id}, which does not exist"));
        self.recent.as_ref().ok_or_else(missing)
    }

    fn create(&self, address: u64, id: u64, name: &[u8], version: Version) -> Result<(), Error> {
        let name = self.free_name(address, name)?;
        if id < self.catalog.next_id() {
            return Err(damaged(address, format!("gives the id {id} to a second tree")));
        }
        let pass = self.pool.enter();
        let tree = self.pool.create_tree(&pass)?;
        if let Err(error) = self.catalog.insert(&pass, name, id, &tree, || version) {
            self.pool.discard_tree(&pass, tree.root());
            return Err(error);
        }
        drop(pass);
        self.catalog.announce(name, id, tree, 0);
        Ok(())
    }

    fn rename(
        &mut self,
        address: u64,
        id: u64,
        name: &[u8],
        version: Version,
    ) -> Result<(), Error> {
        let name = self.free_name(address, name)?;
        let named = self.changeable(address, id)?;
        self.catalog.rename(&self.pool.enter(), &named, name, || (version, 0))
    }

    fn drop(&mut self, address: u64, id: u64, version: Version) -> Result<(), Error> {
        let named = self.changeable(address, id)?;
        self.recent = None;
        let closed = self.pool.close_gate();
        self.catalog.drop_tree(self.pool, &closed, &named, || version)
    }

    /// A name that a tree can get.
    fn free_name<'n>(&self, address: u64, name: &'n [u8]) -> Result<&'n str, Error> {
        let name = std::str::from_utf8(name).ok().filter(|name| check_name(name).is_ok());
        let name = name.ok_or_else(|| damaged(address, "gives an impossible name".to_owned()))?;
        if self.catalog.by_name(name).is_some() {
            return Err(damaged(address, format!("gives the name {name:?} to a second tree")));
        }
        Ok(name)
    }

    /// A tree that may be renamed or dropped.
    fn changeable(&mut self, address: u64, id: u64) -> Result<Arc<Named>, Error> {
        if id == DEFAULT_ID {
            return Err(damaged(address, "renames or drops the default tree".to_owned()));
        }
        self.tree(address, id).cloned()
    }
}

/// The version that the record at `address` gives.
///
/// # Errors
///
/// [`Error::Damaged`] if no version is that large.
pub(crate) fn version(address: u64) -> Result<Version, Error> {
    Version::new(address / GRANULE as u64).ok_or_else(|| beyond(address))
}

fn beyond(address: u64) -> Error {
    damaged(address, "lies beyond the last possible version".to_owned())
}

fn damaged(address: u64, what: String) -> Error {
    Error::Damaged { place: format!("log, record at address {address}"), what }
}
