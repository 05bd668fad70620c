//! The store as the place where the pool gets what is not in memory: frames, and values too large for one.
//!
//! - A read sees the store as of one commit: what it reads from is not given to anybody meanwhile. The
//!   pool asks only for what has not changed since the last commit, so any commit will do.
//! - A value that a checkpoint has freed is read on by snapshots; the checkpoint names it as still
//!   read (`checkpoint.rs`).

use std::fmt;

use holt_art::{FrameSource, SourceError};
use holt_journal::disk::Disk;
use holt_journal::store::{ObjectId, Store};

use crate::sync::Arc;

/// See the module's documentation.
pub(crate) struct Frames<D: Disk>(pub(crate) Arc<Store<D>>);

impl<D: Disk> FrameSource for Frames<D> {
    fn read(&self, object: u64, out: &mut Vec<u8>) -> Result<(), SourceError> {
        Ok(self.0.read(ObjectId(object), out)?)
    }

    fn is_checked(&self) -> bool {
        true
    }

    fn will_need(&self, objects: &[u64]) {
        let objects: Vec<ObjectId> = objects.iter().copied().map(ObjectId).collect();
        self.0.will_need(&objects);
    }
}

impl<D: Disk> fmt::Debug for Frames<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Frames").field(&self.0.db()).finish()
    }
}
