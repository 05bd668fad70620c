//! The tree over its frames: descents, mutations, and the making of room.

mod batch;
mod beyond;
mod count;
pub(crate) mod cursor;
mod cut;
pub(crate) mod entry;
mod get;
mod images;
mod load;
mod longest;
mod many;
mod merge;
mod moving;
#[cfg(test)]
mod nested;
pub(crate) mod outcome;
mod path;
mod prefix;
mod pull;
mod put;
#[cfg(test)]
mod races;
mod remove;
mod room;
mod run;
pub(crate) mod scan;
mod seek;
mod sink;
pub(crate) mod snapshot;
mod source;
mod spare;
mod split;
mod under;
pub(crate) mod verify;
mod walker;
#[cfg(test)]
mod walks;
mod way;

pub use outcome::{Condition, Version};

use std::sync::Arc;

use crate::pool::{FrameId, Pool};

/// A handle of one tree in a pool. Cheap to clone; all clones are the same tree.
///
/// # Examples
///
/// ```
/// use holt_art::{Condition, Pool, PoolOptions, Put, Version};
///
/// let pool = Pool::new(PoolOptions::default())?;
/// let pass = pool.enter();
/// let tree = pool.create_tree(&pass)?;
/// let put = tree.put(&pass, b"a/b", b"1", Condition::Absent, || Version::new(1).unwrap())?;
/// assert!(matches!(put, Put::Inserted(_)));
/// assert_eq!(tree.get(b"a/b", |value, _| value.to_vec())?, Some(b"1".to_vec()));
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    pool: Arc<Pool>,
    /// Number of the root frame, whose entry 0 is the tree. It stays the same for ever:
    /// a root that is full hands its content to a new frame below it.
    root: u32,
}

impl Tree {
    pub(crate) fn new(pool: Arc<Pool>, root: u32) -> Self {
        Self { pool, root }
    }

    /// The root frame, by which [`Pool::open_tree`] finds the tree again.
    pub fn root(&self) -> FrameId {
        FrameId(self.root)
    }

    /// The pool that the tree's frames are in.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}
