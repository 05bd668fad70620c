//! Where a reader reads: a live tree, one of a snapshot, or one of a transaction.

use holt_art::{Cursor, EntryRef};
use holt_journal::disk::Disk;

use crate::core::Core;
use crate::error::Error;
use crate::reclaim::Trash;
use crate::snapshot::SnapshotTree;
use crate::sync::Arc;
use crate::transaction::{Merged, Reader};
use crate::tree::Tree;

/// A tree to be read, which this keeps open.
pub(crate) enum Source<D: Disk> {
    Live(Tree<D>),
    Snapshot(SnapshotTree<D>),
    Transaction(Reader<D>),
}

impl<D: Disk> Source<D> {
    pub(crate) fn core(&self) -> &Core<D> {
        match self {
            Source::Live(tree) => tree.core(),
            Source::Snapshot(tree) => tree.core(),
            Source::Transaction(tree) => tree.core(),
        }
    }

    /// To be asked after reading: see [`Named::check`](crate::catalog::Named::check).
    ///
    /// # Errors
    ///
    /// [`Error::TreeDropped`], of a live tree.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Source::Live(tree) => tree.named().check(),
            Source::Snapshot(_) => Ok(()),
            Source::Transaction(tree) => tree.check(),
        }
    }

    /// Lists what `scan` asks for. To be dropped before this.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionOver`].
    pub(crate) fn list(&self, scan: holt_art::Scan) -> Result<List<D>, Error> {
        let cursor = match self {
            Source::Live(tree) => tree.named().tree.cursor(scan),
            Source::Snapshot(tree) => tree.frames().cursor(scan),
            Source::Transaction(tree) => {
                return Ok(List::Merged(Box::new(Merged::new(tree.clone(), scan)?)));
            }
        };
        Ok(List::Plain { cursor: Box::new(cursor), _kept: Kept(Arc::clone(&self.core().trash)) })
    }

    /// Id of the tree.
    pub(crate) fn id(&self) -> u64 {
        match self {
            Source::Live(tree) => tree.named().id,
            Source::Snapshot(tree) => tree.id(),
            Source::Transaction(tree) => tree.id(),
        }
    }
}

/// A list on its way.
pub(crate) enum List<D: Disk> {
    // In the order in which they are dropped.
    Plain { cursor: Box<Cursor>, _kept: Kept },
    Merged(Box<Merged<D>>),
}

impl<D: Disk> List<D> {
    /// The next entry, lent.
    #[inline]
    pub(crate) fn next_ref(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        match self {
            List::Plain { cursor, .. } => Ok(cursor.next_ref()?),
            List::Merged(merged) => merged.next_ref(),
        }
    }
}

/// What a list may have kept, if a move has overtaken it.
pub(crate) struct Kept(Arc<Trash>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.freed();
    }
}
