//! The way to where room is to be made: its frames as a descent has seen them, and the
//! latches of some of them.
//!
//! Making room takes latches of frames that were only observed before, and does nothing when
//! another writer has changed one of them since. A mutation that has lost so often enough
//! goes down with latches, and then the frames of its way are its own from the descent on.

use super::Tree;
use super::path::{PATIENCE, Step};
use crate::error::Error;
use crate::frame::key::Key;
use crate::pool::Latched;

/// See the module's documentation.
pub(super) struct Way<'p> {
    tree: &'p Tree,
    /// The frames from the root to where the descent ended; never empty.
    pub(super) path: Vec<Step>,
    /// Those of them whose latches are held and not taken yet.
    held: Vec<Latched<'p>>,
    /// Attempts at making room before this one.
    lost: u32,
}

impl<'p> Way<'p> {
    /// Descends along `key` for a mutation that has made `lost` attempts at making room before;
    /// `None` when another writer was faster.
    pub(super) fn find(tree: &'p Tree, key: Key<'_>, lost: u32) -> Result<Option<Self>, Error> {
        let found = if lost >= PATIENCE {
            tree.latch_path(key)?
        } else {
            tree.descend_path(key)?.map(|path| (path, Vec::new()))
        };
        Ok(found.map(|(path, held)| Self { tree, path, held, lost }))
    }

    /// As it is now, with all latches given back before.
    pub(super) fn again(self, key: Key<'_>) -> Result<Option<Self>, Error> {
        let Self { tree, held, lost, .. } = self;
        drop(held);
        Self::find(tree, key, lost)
    }

    /// The latch of the frame at `level`; `None` when it has changed since the descent.
    pub(super) fn latch(&mut self, level: usize) -> Option<Latched<'p>> {
        let step = &self.path[level];
        match self.held.iter().position(|frame| frame.number() == step.frame) {
            Some(held) => Some(self.held.swap_remove(held)),
            None => self.tree.latch_step(step),
        }
    }

    /// Takes a frame of the way back that has not been changed.
    pub(super) fn give(&mut self, frame: Latched<'p>) {
        self.held.push(frame);
    }
}
