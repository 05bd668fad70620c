//! Applying the records of archives to trees.
//!
//! - An archive names trees by the ids that they had where it was written. They get new ones here.
//! - Nothing waits for the log on the way: whoever loads waits at the end.

use std::collections::HashMap;

use holt_codec::{ArchiveError, ArchiveReader, Op, Record};
use holt_journal::disk::Disk;

use crate::batch::Batch;
use crate::db::Db;
use crate::error::Error;
use crate::options::Durability;
use crate::tree::Tree;

/// Applies records to the trees of a database that nobody else writes.
pub(crate) struct Loader<'a, D: Disk> {
    db: &'a Db<D>,
    /// By the ids that they had.
    trees: HashMap<u64, Tree<D>>,
}

impl<'a, D: Disk> Loader<'a, D> {
    pub(crate) fn new(db: &'a Db<D>) -> Loader<'a, D> {
        Loader { db, trees: HashMap::new() }
    }

    /// Applies all of an archive; says how many records those were.
    ///
    /// # Errors
    ///
    /// [`Error::Archive`], [`Error::WrongArchive`] for one that does not fit what is there, and every
    /// error of a write.
    pub(crate) fn load<R: std::io::Read>(
        &mut self,
        reader: &mut ArchiveReader<R>,
    ) -> Result<u64, Error> {
        while let Some(archived) = reader.next_record()? {
            self.apply(&archived.record)?;
        }
        Ok(reader.records())
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), Error> {
        match *record {
            Record::Op(op) => self.operation(&op),
            Record::Batch(batch) => {
                let ops = batch.ops().collect::<Result<Vec<_>, _>>().map_err(Error::Record)?;
                for op in &ops {
                    self.tree(op.tree())?;
                }
                self.db.atomic_with(Durability::Buffered, |batch| {
                    ops.iter().try_for_each(|op| self.add(batch, op))
                })?;
                Ok(())
            }
            Record::CreateTree { tree, name } => {
                let name = text(name)?;
                let found = self.db.tree(name)?;
                if self.trees.insert(tree, found).is_some() {
                    return Err(wrong(format!("it creates the tree {name:?} twice")));
                }
                Ok(())
            }
            Record::RenameTree { tree, name } => {
                let old = self.tree(tree)?.name()?;
                self.db.rename_tree(&old, text(name)?)
            }
            Record::DropTree { tree } => {
                let name = self.tree(tree)?.name()?;
                self.trees.remove(&tree);
                self.db.drop_tree(&name)
            }
            _ => Err(wrong("it has a record of a kind that cannot be applied".to_owned())),
        }
    }

    fn operation(&self, op: &Op<'_>) -> Result<(), Error> {
        let tree = self.tree(op.tree())?;
        match *op {
            Op::Put { key, value, .. } => {
                tree.put_with(key, value, Durability::Buffered)?;
                Ok(())
            }
            // The others are rare: as batches they need no case of their own.
            _ => {
                let only = |batch: &mut Batch<D>| self.add(batch, op);
                self.db.atomic_with(Durability::Buffered, only).map(drop)
            }
        }
    }

    fn add(&self, batch: &mut Batch<D>, op: &Op<'_>) -> Result<(), Error> {
        let tree = self.tree(op.tree())?;
        match *op {
            Op::Put { key, value, .. } => batch.put(tree, key, value),
            Op::Delete { key, .. } => batch.delete(tree, key),
            Op::Rename { from, to, .. } => batch.rename_replacing(tree, from, to),
            Op::RenamePrefix { from, to, replace: true, .. } => {
                batch.rename_prefix_replacing(tree, from, to)
            }
            Op::RenamePrefix { from, to, .. } => batch.rename_prefix(tree, from, to),
            Op::DeletePrefix { prefix, .. } => batch.delete_prefix(tree, prefix),
            _ => Err(wrong("it has an operation of a kind that cannot be applied".to_owned())),
        }
    }

    fn tree(&self, id: u64) -> Result<&Tree<D>, Error> {
        let missing = || wrong(format!("it changes tree {id}, which it does not create"));
        self.trees.get(&id).ok_or_else(missing)
    }
}

/// The name of a tree.
pub(super) fn text(name: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(name).map_err(|_| wrong("it gives an impossible name".to_owned()))
}

pub(super) fn wrong(what: String) -> Error {
    Error::WrongArchive { what }
}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Error {
        match error {
            ArchiveError::Io(source) => Error::Io { doing: "read the archive", source },
            error => Error::Archive(error),
        }
    }
}
