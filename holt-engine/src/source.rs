//! Where a reader reads: a live tree, or one of a snapshot.

use holt_art::{Cursor, EntryRef};
use holt_journal::disk::Disk;

use crate::core::Core;
use crate::error::Error;
use crate::reclaim::Trash;
use crate::snapshot::SnapshotTree;
use crate::sync::Arc;
use crate::tree::Tree;

/// A tree to be read, which this keeps open.
pub(crate) enum Source<D: Disk> {
    Live(Tree<D>),
    Snapshot(SnapshotTree<D>),
}

impl<D: Disk> Source<D> {
    pub(crate) fn core(&self) -> &Core<D> {
        match self {
            Source::Live(tree) => tree.core(),
            Source::Snapshot(tree) => tree.core(),
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
        }
    }

    /// Lists what `scan` asks for. To be dropped before this.
    pub(crate) fn list(&self, scan: holt_art::Scan) -> List {
        let cursor = match self {
            Source::Live(tree) => tree.named().tree.cursor(scan),
            Source::Snapshot(tree) => tree.frames().cursor(scan),
        };
        List { cursor, _kept: Kept(Arc::clone(&self.core().trash)) }
    }

    /// Id of the tree.
    pub(crate) fn id(&self) -> u64 {
        match self {
            Source::Live(tree) => tree.named().id,
            Source::Snapshot(tree) => tree.id(),
        }
    }
}

/// A list on its way.
pub(crate) struct List {
    // In the order in which they are dropped.
    cursor: Cursor,
    _kept: Kept,
}

impl List {
    /// The next entry, lent.
    #[inline]
    pub(crate) fn next_ref(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        Ok(self.cursor.next_ref()?)
    }
}

/// What a list may have kept, if a move has overtaken it.
struct Kept(Arc<Trash>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.freed();
    }
}
