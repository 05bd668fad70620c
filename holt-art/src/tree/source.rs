//! Where a list's frames come from: the live tree, or the past.
//!
//! A list begins with the live tree. Before it gives out a first batch that is not its
//! last, it registers (see [`lists`](crate::pool::lists)). When a move overtakes it, it goes
//! on with the frames as they were, and a batch that was being read when the move began is
//! read again. So all batches of a list lie on one side of every move.
//!
//! A list of its own keeps the pool; one that ends before its caller goes on has it lent.

use std::ops::Deref;
use std::sync::Arc;

use super::Tree;
use crate::pool::lists::Listed;
use crate::pool::moves::Seen;
use crate::pool::past::Past;
use crate::pool::{Pool, Snapshot};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Source<P: Deref<Target = Pool>> {
    pool: P,
    root: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing has been given out, or all has.
    Loose,
    /// Registered, and overtaken by no move that the list knows of.
    Listed(Listed),
    /// Registered, and overtaken: the epoch is pinned.
    Overtaken(Listed, u64),
    Snapshot(Snapshot),
}

impl Source<Arc<Pool>> {
    pub(super) fn live(tree: &Tree) -> Self {
        Self { pool: Arc::clone(&tree.pool), root: tree.root, stage: Stage::Loose }
    }

    pub(super) fn snapshot(snapshot: &Snapshot, root: u32) -> Self {
        let pool = Arc::clone(snapshot.pool());
        Self { pool, root, stage: Stage::Snapshot(snapshot.clone()) }
    }
}

impl<'p> Source<&'p Pool> {
    pub(super) fn lent(tree: &'p Tree) -> Self {
        Self { pool: &tree.pool, root: tree.root, stage: Stage::Loose }
    }
}

impl<P: Deref<Target = Pool>> Source<P> {
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Number of the root frame.
    pub(super) fn root(&self) -> u32 {
        self.root
    }

    /// The past, if frames come from there.
    pub(super) fn past(&self) -> Option<Past<'_>> {
        match &self.stage {
            Stage::Loose | Stage::Listed(_) => None,
            Stage::Overtaken(_, epoch) => Some(Past::new(&self.pool, *epoch, None)),
            Stage::Snapshot(snapshot) => Some(snapshot.past()),
        }
    }

    /// Begins to read a batch. What the live tree gives counts if it [`holds`](Self::holds)
    /// at the end.
    #[inline]
    pub(super) fn begin(&mut self) -> Option<Seen> {
        match &self.stage {
            Stage::Loose => Some(self.pool.moves.begin()),
            Stage::Listed(listed) => Some(listed.seen()),
            Stage::Overtaken(..) | Stage::Snapshot(_) => None,
        }
    }

    /// Whether the batch that began with `seen` is of one state with those before it.
    /// Otherwise it has to be read again, now from the past if there were any.
    #[inline]
    pub(super) fn holds(&mut self, seen: Option<Seen>) -> bool {
        let Some(seen) = seen else { return true };
        let holds = self.pool.moves.unchanged(seen);
        if !holds {
            self.overtaken();
        }
        holds
    }

    #[cold]
    fn overtaken(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Loose) {
            Stage::Listed(listed) => {
                let epoch = self.pool.lists.epoch(&listed);
                let epoch = epoch.expect("a move pins an epoch for every registered list");
                self.stage = Stage::Overtaken(listed, epoch);
            }
            // Nothing has been given out yet. Registered from the start, the list gets on
            // whatever moves come.
            Stage::Loose => {
                self.register(None);
            }
            stage => self.stage = stage,
        }
    }

    /// Makes sure that no move comes between the batch that was begun with `seen` and the next
    /// one. False when one has come already, so that the batch has to be read again.
    #[inline]
    pub(super) fn register(&mut self, seen: Option<Seen>) -> bool {
        if !matches!(self.stage, Stage::Loose) {
            return true;
        }
        let listed = seen.and_then(|seen| self.pool.lists.register(&self.pool.moves, seen));
        let holds = listed.is_some();
        let listed = listed.unwrap_or_else(|| {
            loop {
                let seen = self.pool.moves.begin();
                if let Some(listed) = self.pool.lists.register(&self.pool.moves, seen) {
                    return listed;
                }
            }
        });
        self.stage = Stage::Listed(listed);
        holds
    }

    /// Lets go of what was kept for the list, which is over.
    pub(super) fn end(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Loose) {
            Stage::Loose | Stage::Snapshot(_) => {}
            Stage::Listed(listed) | Stage::Overtaken(listed, _) => {
                if let Some(epoch) = self.pool.lists.end(listed) {
                    self.pool.unpin(epoch);
                }
            }
        }
    }
}

impl<P: Deref<Target = Pool>> Drop for Source<P> {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}
