//! The tree over its frames: descents, mutations, and the making of room.

mod ahead;
mod apart;
mod batch;
mod beyond;
mod count;
pub(crate) mod cursor;
mod cut;
mod emit;
pub(crate) mod entry;
mod get;
mod groups;
mod images;
mod leaves;
mod load;
mod longest;
mod many;
mod merge;
mod moving;
mod neighbour;
#[cfg(test)]
mod nested;
#[cfg(all(test, not(loom)))]
mod older;
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
mod sheet;
mod short;
mod sink;
pub(crate) mod snapshot;
mod source;
mod spare;
mod spelled;
mod split;
mod subtree;
mod tidy;
#[cfg(test)]
mod turns;
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
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Condition, Existing, Pool, PoolOptions, Removed, Renamed, Scan, Version};
    ///
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let (tree, trash) = (pool.create_tree(&pool.enter())?, pool.create_tree(&pool.enter())?);
    /// assert!(tree.is_empty());
    /// // Whoever has the tree gives the versions, which have to grow.
    /// let mut number = 0;
    /// let mut next = || { number += 1; Version::new(number).unwrap() };
    /// for key in [b"a/1", b"a/2", b"b/1"] {
    ///     tree.put(&pool.enter(), key, b"value", Condition::Always, &mut next)?;
    /// }
    /// let mut value = Vec::new();
    /// assert_eq!(tree.get_into(b"a/1", &mut value)?, tree.version(b"a/1")?);
    /// assert_eq!(tree.first(b"a/")?.unwrap().into_name(), b"a/1");
    /// assert_eq!(tree.last(b"a/")?.unwrap().into_name(), b"a/2");
    /// assert_eq!(tree.cursor(Scan::range(&b"a/2"[..]..)).count(), 2);
    ///
    /// // Prefix operations are alone, and readers see all of them or nothing.
    /// let closed = pool.close_gate();
    /// let moving = pool.start_move(&closed);
    /// let renamed = tree.rename_prefix(&moving, b"a/", b"c/", Existing::Refuse, &trash, &mut next)?;
    /// assert!(matches!(renamed, Renamed::Renamed(_)));
    /// assert!(tree.get_inside(&moving, b"c/1", |_, _| ())?.is_some());
    /// tree.remove_prefix(&moving, b"c/", &trash, &mut next)?;
    /// drop(moving);
    /// drop(closed);
    /// while trash.reclaim(&pool.enter(), 4)? {}
    /// assert!(tree.is_prefix_empty(b"c/")? && trash.is_empty());
    /// let removed = tree.remove(&pool.enter(), b"b/1", Condition::Always, &mut next)?;
    /// assert!(matches!(removed, Removed::Removed(_)));
    ///
    /// // A tree is named by its root.
    /// let again = tree.pool().open_tree(tree.root())?;
    /// assert!(again.is_empty());
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn root(&self) -> FrameId {
        FrameId(self.root)
    }

    /// The pool that the tree's frames are in.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}
