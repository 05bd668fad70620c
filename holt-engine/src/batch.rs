//! Batches: operations on several keys and trees that happen together or not at all.

use std::fmt;

use holt_art::Version;
use holt_codec::{BatchBuf, MAX_RECORD, Op, Record};
use holt_journal::disk::{Disk, RealDisk};

use crate::catalog::Named;
use crate::commit::{Commit, Request};
use crate::core::{Lease, check_key, check_value};
use crate::error::Error;
use crate::guard::{FailedGuard, Guard, Guarded};
use crate::options::Durability;
use crate::prefixes::check_prefixes;
use crate::sync::Arc;
use crate::tree::Tree;

/// Operations that are to happen together, and what must hold for that: what
/// [`Db::atomic`](crate::Db::atomic) hands out to be filled.
///
/// - Operations happen in the order in which they are added; each sees what those before it did.
/// - Guards are about the state before the first operation, whenever they are added.
/// - Whatever is wrong with an operation or a guard is told when it is added, and the batch is as
///   it was then.
/// - A batch is one record of the log, of at most [`Batch::MAX_BYTES`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let db = holt_engine::Db::in_memory()?;
/// let tree = db.create_tree("files")?;
/// for key in ["draft", "new", "old/1", "old/2", "tmp/1"] {
///     tree.put(key.as_bytes(), key.as_bytes())?;
/// }
/// let seen = tree.version(b"draft")?.expect("it is there");
/// let applied = db.atomic(|batch| {
///     batch.require_version(&tree, b"draft", seen)?;
///     batch.require_present(&tree, b"new")?;
///     batch.require_absent(&tree, b"final")?;
///     batch.require_empty_prefix(&tree, b"archive/")?;
///     assert!(batch.is_empty(), "guards are no operations");
///     batch.rename(&tree, b"draft", b"final")?;
///     batch.rename_replacing(&tree, b"new", b"final")?;
///     batch.rename_prefix(&tree, b"old/", b"archive/")?;
///     batch.rename_prefix_replacing(&tree, b"tmp/", b"archive/")?;
///     batch.put(&tree, b"log", b"archived")?;
///     batch.delete(&tree, b"missing")?;
///     batch.delete_prefix(&tree, b"archive/")?;
///     assert_eq!(batch.len(), 7);
///     Ok(())
/// })?;
/// assert_eq!(applied.len(), 7);
/// assert_eq!(tree.get(b"final")?.as_deref(), Some(&b"new"[..]));
/// assert_eq!(tree.len()?, 2);
/// # Ok(())
/// # }
/// ```
pub struct Batch<D: Disk = RealDisk> {
    lease: Arc<Lease<D>>,
    trees: Vec<Arc<Named>>,
    guards: Vec<Guarded>,
    ops: BatchBuf,
    /// Which operations are renames that replace nothing.
    gentle: Vec<u64>,
}

impl<D: Disk> Batch<D> {
    /// The most bytes that a batch takes in the log: its keys and values, and some 10 to 30 bytes
    /// for each operation.
    pub const MAX_BYTES: usize = MAX_RECORD;

    pub(crate) fn new(lease: &Arc<Lease<D>>) -> Batch<D> {
        Batch {
            lease: Arc::clone(lease),
            trees: Vec::new(),
            guards: Vec::new(),
            ops: BatchBuf::new(),
            gentle: Vec::new(),
        }
    }

    /// The tree's id, after it has become one of the batch's trees.
    fn enlist(&mut self, tree: &Tree<D>) -> Result<u64, Error> {
        if !std::ptr::eq(tree.core(), self.lease.core()) {
            return Err(Error::OtherDatabase);
        }
        let named = tree.named();
        named.check()?;
        if !self.trees.iter().any(|known| known.id == named.id) {
            self.trees.push(Arc::clone(named));
        }
        Ok(named.id)
    }

    fn push(&mut self, op: &Op<'_>) -> Result<(), Error> {
        self.ops.push(op).map_err(|error| match error {
            holt_codec::Error::RecordTooLong { len } => Error::BatchTooLong { bytes: len },
            error => error.into(),
        })
    }

    /// Gives `key` the value `value`, in place of the one that it may have.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::ValueTooLong`], [`Error::BatchTooLong`],
    /// [`Error::TreeDropped`], and [`Error::OtherDatabase`] for a tree of another database.
    pub fn put(&mut self, tree: &Tree<D>, key: &[u8], value: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        check_value(value)?;
        let tree = self.enlist(tree)?;
        self.push(&Op::Put { tree, key, value })
    }

    /// Removes `key` and its value, if it is there.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete(&mut self, tree: &Tree<D>, key: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        let tree = self.enlist(tree)?;
        self.push(&Op::Delete { tree, key })
    }

    /// Gives the value of `from` to `to` and removes `from`. The batch fails if there is no `from`
    /// by then, or if `to` has a value.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn rename(&mut self, tree: &Tree<D>, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.rename_replacing(tree, from, to)?;
        self.gentle.push(self.ops.len() - 1);
        Ok(())
    }

    /// Gives the value of `from` to `to`, in place of the one that it may have, and removes `from`.
    /// The batch fails if there is no `from` by then.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn rename_replacing(
        &mut self,
        tree: &Tree<D>,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), Error> {
        check_key(from)?;
        check_key(to)?;
        let tree = self.enlist(tree)?;
        self.push(&Op::Rename { tree, from, to })
    }

    /// Gives every key that begins with `from` a name that begins with `to` instead, as
    /// [`Tree::rename_prefix`] does. The batch fails if no key begins with `from` by then, or if one
    /// begins with `to`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and [`Error::EmptyPrefix`], [`Error::PrefixInside`].
    pub fn rename_prefix(&mut self, tree: &Tree<D>, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.move_prefix(tree, from, to, false)
    }

    /// As [`rename_prefix`](Self::rename_prefix), in place of all keys that begin with `to`.
    ///
    /// # Errors
    ///
    /// As [`rename_prefix`](Self::rename_prefix).
    pub fn rename_prefix_replacing(
        &mut self,
        tree: &Tree<D>,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), Error> {
        self.move_prefix(tree, from, to, true)
    }

    fn move_prefix(
        &mut self,
        tree: &Tree<D>,
        from: &[u8],
        to: &[u8],
        replace: bool,
    ) -> Result<(), Error> {
        check_prefixes(from, to)?;
        let tree = self.enlist(tree)?;
        self.push(&Op::RenamePrefix { tree, from, to, replace })
    }

    /// Removes every key that begins with `prefix`, if there is one.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete_prefix(&mut self, tree: &Tree<D>, prefix: &[u8]) -> Result<(), Error> {
        check_key(prefix)?;
        let tree = self.enlist(tree)?;
        self.push(&Op::DeletePrefix { tree, prefix })
    }

    fn require(&mut self, tree: &Tree<D>, key: &[u8], guard: Guard) -> Result<(), Error> {
        check_key(key)?;
        let tree = self.enlist(tree)?;
        self.guards.push(Guarded { tree, key: key.to_vec(), guard });
        Ok(())
    }

    /// The batch is applied only if `key` has the value that `version` put there.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn require_version(
        &mut self,
        tree: &Tree<D>,
        key: &[u8],
        version: Version,
    ) -> Result<(), Error> {
        self.require(tree, key, Guard::Version(version))
    }

    /// The batch is applied only if `key` has no value.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn require_absent(&mut self, tree: &Tree<D>, key: &[u8]) -> Result<(), Error> {
        self.require(tree, key, Guard::Absent)
    }

    /// The batch is applied only if `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn require_present(&mut self, tree: &Tree<D>, key: &[u8]) -> Result<(), Error> {
        self.require(tree, key, Guard::Present)
    }

    /// The batch is applied only if no key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn require_empty_prefix(&mut self, tree: &Tree<D>, prefix: &[u8]) -> Result<(), Error> {
        self.require(tree, prefix, Guard::PrefixEmpty)
    }

    /// Number of operations so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ops.len()
    }

    /// Whether there is no operation yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Applies the batch.
    pub(crate) fn commit(self, durability: Durability) -> Result<Applied, Error> {
        let record = match self.ops.is_empty() {
            true => None,
            false => Some(Record::from(self.ops.as_batch()?)),
        };
        let request =
            Request { trees: &self.trees, guards: &self.guards, record, gentle: &self.gentle };
        match self.lease.core().commit(&request, durability)? {
            Commit::Done(first) => Ok(Applied { first, operations: self.ops.len() }),
            Commit::Failed(failure) => {
                let tree = self.trees.iter().find(|named| named.id == failure.tree);
                Err(Error::GuardFailed(Box::new(FailedGuard {
                    number: failure.number,
                    tree: tree.map(|named| named.name()).unwrap_or_default(),
                    key: failure.key,
                    guard: failure.guard,
                    found: failure.found,
                })))
            }
        }
    }
}

impl<D: Disk> fmt::Debug for Batch<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Batch")
            .field("operations", &self.ops.len())
            .field("guards", &self.guards)
            .finish_non_exhaustive()
    }
}

/// A batch that was applied.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let db = holt_engine::Db::in_memory()?;
/// # let tree = db.default_tree();
/// let applied = db.atomic(|batch| {
///     batch.put(&tree, b"a", b"")?;
///     batch.put(&tree, b"b", b"")
/// })?;
/// assert_eq!(applied.len(), 2);
/// assert_eq!(applied.version(1), tree.version(b"b")?);
/// assert_eq!(applied.version(2), None);
/// assert!(db.atomic(|_| Ok(()))?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    first: Option<Version>,
    operations: u64,
}

impl Applied {
    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.operations
    }

    /// Whether the batch had no operation, and so changed nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// The version of the operation with this number, from zero, if there is one.
    ///
    /// # Examples
    ///
    /// See [`Db::atomic`](crate::Db::atomic).
    #[must_use]
    pub fn version(&self, number: u64) -> Option<Version> {
        let first = self.first.filter(|_| number < self.operations)?;
        Version::new(first.get() + number)
    }
}
