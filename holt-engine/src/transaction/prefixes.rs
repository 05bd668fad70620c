//! What a transaction does to everything that begins with a prefix.

use holt_journal::disk::Disk;

use super::handle::Transaction;
use crate::core::check_key;
use crate::error::Error;
use crate::outcome::Moved;
use crate::prefixes::{Usage, check_prefixes};
use crate::tree::Tree;

/// # Whole prefixes
impl<D: Disk> Transaction<D> {
    /// Gives every key that begins with `from` a name that begins with `to` instead, as
    /// [`Tree::rename_prefix`] does, and says what became of it. What the transaction reads from
    /// then on lies where it was put; the version that [`Moved::Done`] tells is
    /// [`Version::MAX`](crate::Version::MAX), as the real one is not known yet.
    ///
    /// It reads whether keys begin with `from` and with `to`. What others do to keys below `from` until the
    /// commit moves along, and is no conflict as long as it does not change that.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::EmptyPrefix`], [`Error::PrefixInside`],
    /// [`Error::BatchTooLong`], and those of [`get`](Self::get) and [`put`](Self::put). Nothing has been
    /// written then. A key that would become too long is found at the commit.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::{Error, Moved};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// # let files = db.tree("files")?;
    /// # for name in ["drafts/1/text", "drafts/1/image", "drafts/2/text", "owner/drafts/1"] {
    /// #     files.put(name.as_bytes(), b"alice")?;
    /// # }
    /// // Publishes a draft, if it is hers and it is not the last one.
    /// db.transact(|tx| {
    ///     let owner = tx.get(&files, b"owner/drafts/1")?;
    ///     if owner.as_deref() != Some(b"alice") {
    ///         return Err(Error::Aborted("not yours".into()));
    ///     }
    ///     let moved = tx.rename_prefix(&files, b"drafts/1/", b"published/1/")?;
    ///     assert!(matches!(moved, Moved::Done(_)));
    ///     assert!(tx.contains(&files, b"published/1/text")?);
    ///     if tx.is_prefix_empty(&files, b"drafts/")? {
    ///         return Err(Error::Aborted("that was the last draft".into()));
    ///     }
    ///     tx.put(&files, b"published/count", &tx.count(&files, b"published/")?.to_le_bytes())
    /// })?;
    /// assert_eq!(files.count(b"published/1/")?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_prefix(&self, tree: &Tree<D>, from: &[u8], to: &[u8]) -> Result<Moved, Error> {
        check_prefixes(from, to)?;
        self.shared.rename_prefix(tree, (from, to), false)
    }

    /// As [`rename_prefix`](Self::rename_prefix), in place of all keys that begin with `to`. Whether there
    /// are some is not read.
    ///
    /// # Errors
    ///
    /// As [`rename_prefix`](Self::rename_prefix).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// # let tree = db.default_tree();
    /// tree.put(b"new/a", b"2")?;
    /// tree.put(b"old/b", b"1")?;
    /// db.transact(|tx| {
    ///     tx.rename_prefix_replacing(&tree, b"new/", b"old/")?;
    ///     assert!(!tx.contains(&tree, b"old/b")?);
    ///     tx.put(&tree, b"old/c", b"3")
    /// })?;
    /// assert_eq!(tree.count(b"old/")?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_prefix_replacing(
        &self,
        tree: &Tree<D>,
        from: &[u8],
        to: &[u8],
    ) -> Result<Moved, Error> {
        check_prefixes(from, to)?;
        self.shared.rename_prefix(tree, (from, to), true)
    }

    /// Removes every key that begins with `prefix`, all of them for the empty one, those too that
    /// others put there until the commit. Nothing is read.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and [`Error::BatchTooLong`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// # let tree = db.default_tree();
    /// tree.put(b"tmp/1", b"")?;
    /// db.transact(|tx| {
    ///     tx.delete_prefix(&tree, b"tmp/")?;
    ///     assert!(tx.is_prefix_empty(&tree, b"tmp/")?);
    ///     tx.put(&tree, b"tmp/2", b"")
    /// })?;
    /// assert_eq!(tree.first(b"")?.map(|entry| entry.into_name()), Some(b"tmp/2".to_vec()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_prefix(&self, tree: &Tree<D>, prefix: &[u8]) -> Result<(), Error> {
        check_key(prefix)?;
        self.shared.remove_prefix(tree, prefix)
    }

    /// Whether no key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// See [`rename_prefix`](Self::rename_prefix).
    pub fn is_prefix_empty(&self, tree: &Tree<D>, prefix: &[u8]) -> Result<bool, Error> {
        check_key(prefix)?;
        self.shared.is_prefix_empty(tree, prefix)
    }

    /// Number of keys that begin with `prefix`: as [`Tree::count`], and exact. Of what others do it is in the
    /// way only of what changes the number.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// See [`rename_prefix`](Self::rename_prefix).
    pub fn count(&self, tree: &Tree<D>, prefix: &[u8]) -> Result<u64, Error> {
        check_key(prefix)?;
        self.shared.count(tree, prefix)
    }

    /// Number of keys that begin with `prefix`, and the bytes of keys and values: as [`Tree::usage`].
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// # let tree = db.default_tree();
    /// tree.put(b"a/1", b"one")?;
    /// let usage = db.transact(|tx| {
    ///     tx.put(&tree, b"a/2", b"three")?;
    ///     tx.usage(&tree, b"a/")
    /// })?;
    /// assert_eq!((usage.keys, usage.bytes), (2, 3 + 3 + 3 + 5));
    /// # Ok(())
    /// # }
    /// ```
    pub fn usage(&self, tree: &Tree<D>, prefix: &[u8]) -> Result<Usage, Error> {
        self.prefix(tree, prefix).usage()
    }
}
