//! Where a reader reads: a live tree, one of a snapshot, or one of a transaction.

use std::borrow::Cow;
use std::ops::ControlFlow;

use holt_art::{Cursor, Entry, EntryRef};
use holt_journal::disk::Disk;

use crate::catalog::Named;
use crate::core::Core;
use crate::error::Error;
use crate::reclaim::Trash;
use crate::snapshot::SnapshotTree;
use crate::transaction::{Merged, Reader};
use crate::tree::Tree;

/// A tree to be read: somebody's handle, or one of its own, which keeps the tree open. A short list takes as long as
/// a handle's counters to go up and down a few times, so it is read through the handle that is there.
pub(crate) enum Source<'h, D: Disk> {
    Live(Cow<'h, Tree<D>>),
    Snapshot(Cow<'h, SnapshotTree<D>>),
    Transaction(Reader<D>),
}

impl<D: Disk> Source<'_, D> {
    /// With handles of its own.
    pub(crate) fn into_owned(self) -> Source<'static, D> {
        match self {
            Source::Live(tree) => Source::Live(Cow::Owned(tree.into_owned())),
            Source::Snapshot(tree) => Source::Snapshot(Cow::Owned(tree.into_owned())),
            Source::Transaction(tree) => Source::Transaction(tree),
        }
    }

    #[inline]
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

    /// Lists what `scan` asks for. To be dropped before this, and before
    /// [`freed`](crate::reclaim::Trash::freed) is told.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionOver`].
    pub(crate) fn list(&self, scan: holt_art::Scan) -> Result<List<D>, Error> {
        Ok(match self {
            Source::Live(tree) => List::Plain(Box::new(tree.named().tree.cursor(scan))),
            Source::Snapshot(tree) => List::Plain(Box::new(tree.frames().cursor(scan))),
            Source::Transaction(tree) => List::Merged(Box::new(Merged::new(tree.clone(), scan)?)),
        })
    }

    /// Calls `visit` with one entry after the other, `limit` at most, which is that of `scan`, until
    /// it breaks; returns what it broke with.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::TreeDropped`], [`Error::TransactionOver`].
    pub(crate) fn visit<B>(
        &self,
        scan: holt_art::Scan,
        limit: u64,
        mut visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        match self {
            Source::Live(tree) => {
                let named = tree.named();
                self.show(&named.tree, scan, Some(named), limit, visit)
            }
            Source::Snapshot(tree) => self.show(tree.frames(), scan, None, limit, visit),
            Source::Transaction(tree) => {
                let mut list = Merged::new(tree.clone(), scan)?;
                for _ in 0..limit {
                    self.core().check_open()?;
                    let next = list.next_ref();
                    self.check()?;
                    let Some(entry) = next? else { break };
                    if let ControlFlow::Break(value) = visit(entry) {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Shows what is on the lines; `named` is the tree if it may be dropped meanwhile.
    #[inline]
    fn show<B>(
        &self,
        lines: &impl Lines,
        scan: holt_art::Scan,
        named: Option<&Named>,
        limit: u64,
        mut visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        if limit == 0 {
            return Ok(None);
        }
        let core = self.core();
        let _kept = Kept(&core.trash);
        core.check_open()?;
        // Asked before each entry is lent, which is after it was read.
        let check = || core.check_open().and_then(|()| named.map_or(Ok(()), Named::check));
        let mut left = limit;
        let mut refused = None;
        let ended = lines.each(scan, |entry| {
            if let Err(error) = check() {
                refused = Some(error);
                return ControlFlow::Break(None);
            }
            left -= 1;
            visit(entry).map_break(Some)
        });
        match ended {
            Ok(ControlFlow::Break(value)) => refused.map_or(Ok(value), Err),
            Ok(ControlFlow::Continue(())) if left == 0 => Ok(None),
            Ok(ControlFlow::Continue(())) => check().map(|()| None),
            Err(error) => check().and(Err(error.into())),
        }
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

/// What has entries. A piece of code for each, into which what is done with an entry is inlined.
trait Lines {
    fn each<B>(
        &self,
        scan: holt_art::Scan,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, holt_art::Error>;
}

impl Lines for holt_art::Tree {
    #[inline]
    fn each<B>(
        &self,
        scan: holt_art::Scan,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, holt_art::Error> {
        self.visit(scan, visit)
    }
}

impl Lines for holt_art::SnapshotTree {
    fn each<B>(
        &self,
        scan: holt_art::Scan,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, holt_art::Error> {
        self.cursor(scan).visit(visit)
    }
}

/// A list on its way.
pub(crate) enum List<D: Disk> {
    Plain(Box<Cursor>),
    Merged(Box<Merged<D>>),
}

impl<D: Disk> List<D> {
    /// The next entry, owned.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Error> {
        match self {
            List::Plain(cursor) => Ok(cursor.next().transpose()?),
            List::Merged(merged) => Ok(merged.next_ref()?.map(|entry| entry.to_owned())),
        }
    }
}

/// What a list may have kept, if a move has overtaken it.
struct Kept<'a>(&'a Trash);

impl Drop for Kept<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.freed();
    }
}
