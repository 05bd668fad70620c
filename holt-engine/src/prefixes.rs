//! Operations on everything that begins with a prefix.

use holt_art::Existing;
use holt_codec::{Op, Record};
use holt_journal::disk::Disk;

use crate::core::check_key;
use crate::error::Error;
use crate::options::Durability;
use crate::outcome::Moved;
use crate::tree::Tree;

/// What is below a prefix: see [`Tree::usage`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// tree.put(b"a/1", b"one")?;
/// tree.put(b"a/2", b"three")?;
/// let holt_engine::Usage { keys, bytes, .. } = tree.usage(b"a/")?;
/// assert_eq!((keys, bytes), (2, 3 + 3 + 3 + 5));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// Number of keys.
    pub keys: u64,
    /// Bytes of the keys and values. What the tree takes in memory and on disk is less where keys
    /// share their beginnings, and more by what nodes take.
    pub bytes: u64,
}

/// # Whole prefixes
impl<D: Disk> Tree<D> {
    /// Gives every key that begins with `from` a name that begins with `to` instead: what follows
    /// stays, and so do values and versions. It happens as a whole, for readers and for crashes,
    /// and takes as long as two descents, however many keys there are. Does nothing if no key
    /// begins with `from`, or if a key begins with `to`.
    ///
    /// A prefix is a string of bytes: `a/b` is a prefix of `a/bc`, too. To rename a directory use
    /// names that end in the separator.
    ///
    /// Waits for the database's [durability](crate::Options::durability).
    ///
    /// # Errors
    ///
    /// [`Error::EmptyPrefix`] if one of the two is empty, [`Error::PrefixInside`] if `to` begins
    /// with `from` and goes on, [`Error::KeyTooLong`] also for a key that would result, and every
    /// error of a [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::Moved;
    ///
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for name in ["src/main.rs", "src/lib.rs", "README"] {
    ///     tree.put(name.as_bytes(), b"")?;
    /// }
    /// assert!(matches!(tree.rename_prefix(b"src/", b"crates/one/src/")?, Moved::Done(_)));
    /// assert!(tree.contains(b"crates/one/src/lib.rs")?);
    /// assert_eq!(tree.rename_prefix(b"src/", b"lib/")?, Moved::Missing);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_prefix(&self, from: &[u8], to: &[u8]) -> Result<Moved, Error> {
        self.rename_prefix_with(from, to, self.core().durability)
    }

    /// As [`rename_prefix`](Self::rename_prefix), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`rename_prefix`](Self::rename_prefix).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"old/1", b"")?;
    /// let _ = tree.rename_prefix_with(b"old/", b"new/", Durability::Sync)?;
    /// assert!(tree.contains(b"new/1")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_prefix_with(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
    ) -> Result<Moved, Error> {
        self.move_prefix(from, to, Existing::Refuse, durability)
    }

    /// As [`rename_prefix`](Self::rename_prefix), in place of all keys that begin with `to`.
    ///
    /// # Errors
    ///
    /// As [`rename_prefix`](Self::rename_prefix).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"build.new/app", b"2")?;
    /// tree.put(b"build/app", b"1")?;
    /// tree.put(b"build/stale", b"1")?;
    /// let _ = tree.rename_prefix_replacing(b"build.new/", b"build/")?;
    /// assert_eq!(tree.get(b"build/app")?.as_deref(), Some(&b"2"[..]));
    /// assert_eq!(tree.len()?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_prefix_replacing(&self, from: &[u8], to: &[u8]) -> Result<Moved, Error> {
        self.rename_prefix_replacing_with(from, to, self.core().durability)
    }

    /// As [`rename_prefix_replacing`](Self::rename_prefix_replacing), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`rename_prefix`](Self::rename_prefix).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"old/1", b"")?;
    /// let _ = tree.rename_prefix_replacing_with(b"old/", b"new/", Durability::Sync)?;
    /// assert!(tree.contains(b"new/1")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_prefix_replacing_with(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
    ) -> Result<Moved, Error> {
        self.move_prefix(from, to, Existing::Replace, durability)
    }

    fn move_prefix(
        &self,
        from: &[u8],
        to: &[u8],
        existing: Existing,
        durability: Durability,
    ) -> Result<Moved, Error> {
        check_prefixes(from, to)?;
        let (core, named) = (self.core(), self.named());
        let replace = existing == Existing::Replace;
        let record = Record::from(Op::RenamePrefix { tree: named.id, from, to, replace });
        let moved = core.write_alone(&record, durability, |closed, sequence| {
            named.check()?;
            let (tree, trash) = (&named.tree, core.catalog.trash());
            let moving = core.pool.start_move(closed);
            Ok(match tree.rename_prefix(&moving, from, to, existing, trash, sequence) {
                Ok(holt_art::Renamed::Renamed(version)) => Moved::Done(version),
                Ok(holt_art::Renamed::Unchanged) => Moved::Unchanged,
                Err(holt_art::Error::PrefixMissing) => Moved::Missing,
                Err(holt_art::Error::PrefixOccupied) => Moved::Occupied,
                Err(error) => return Err(error.into()),
            })
        })?;
        core.trash.filled();
        Ok(moved)
    }

    /// Removes every key that begins with `prefix`; says whether there was one. It happens as a
    /// whole, for readers and for crashes, and takes as long as a descent, however many keys there
    /// are. Their memory is given back in the background. Waits for the database's
    /// [durability](crate::Options::durability).
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for name in ["tmp/1", "tmp/2", "etc"] {
    ///     tree.put(name.as_bytes(), b"")?;
    /// }
    /// assert!(tree.delete_prefix(b"tmp/")?);
    /// assert!(!tree.delete_prefix(b"tmp/")?);
    /// assert_eq!(tree.len()?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_prefix(&self, prefix: &[u8]) -> Result<bool, Error> {
        self.delete_prefix_with(prefix, self.core().durability)
    }

    /// As [`delete_prefix`](Self::delete_prefix), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"tmp/1", b"")?;
    /// assert!(tree.delete_prefix_with(b"tmp/", Durability::Sync)?);
    /// assert!(!tree.delete_prefix_with(b"tmp/", Durability::Sync)?, "nothing was left");
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_prefix_with(&self, prefix: &[u8], durability: Durability) -> Result<bool, Error> {
        check_key(prefix)?;
        let (core, named) = (self.core(), self.named());
        let record = Record::from(Op::DeletePrefix { tree: named.id, prefix });
        let removed = core.write_alone(&record, durability, |closed, sequence| {
            named.check()?;
            let moving = core.pool.start_move(closed);
            Ok(named.tree.remove_prefix(&moving, prefix, core.catalog.trash(), sequence)?)
        })?;
        core.trash.filled();
        Ok(removed.is_some())
    }

    /// Removes every key: [`delete_prefix`](Self::delete_prefix) for the empty prefix.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"key", b"value")?;
    /// tree.clear()?;
    /// assert!(tree.is_empty()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear(&self) -> Result<(), Error> {
        self.delete_prefix(b"").map(drop)
    }

    /// Number of keys that begin with `prefix`. No key is looked at: the cost follows the number of
    /// frames of 64 KiB below, which keep count of what they hold. Exact while nobody writes there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for name in ["a/1", "a/2", "b"] {
    ///     tree.put(name.as_bytes(), b"12345")?;
    /// }
    /// assert_eq!(tree.count(b"a/")?, 2);
    /// assert_eq!(tree.usage(b"a/")?.bytes, 16);
    /// # Ok(())
    /// # }
    /// ```
    pub fn count(&self, prefix: &[u8]) -> Result<u64, Error> {
        check_key(prefix)?;
        self.read(|tree| tree.count(prefix))
    }

    /// Number of keys that begin with `prefix`, and the bytes of keys and values. Every one is
    /// looked at.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// See [`count`](Self::count).
    pub fn usage(&self, prefix: &[u8]) -> Result<Usage, Error> {
        self.prefix(prefix).usage()
    }
}

/// # Errors
///
/// [`Error::KeyTooLong`], [`Error::EmptyPrefix`], [`Error::PrefixInside`].
pub(crate) fn check_prefixes(from: &[u8], to: &[u8]) -> Result<(), Error> {
    check_key(from)?;
    check_key(to)?;
    if from.is_empty() || to.is_empty() {
        return Err(Error::EmptyPrefix);
    }
    if to.len() > from.len() && to.starts_with(from) {
        return Err(Error::PrefixInside);
    }
    Ok(())
}
