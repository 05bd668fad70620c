//! A tree: keys in byte order and their values.

use std::fmt;

use holt_art::{Condition, Put, Removed, Version};
use holt_codec::{Op, Record};
use holt_journal::disk::{Disk, RealDisk};

use crate::catalog::Named;
use crate::core::{Core, Lease, check_key, check_value};
use crate::error::Error;
use crate::options::Durability;
use crate::range::KeyRange;
use crate::scan::Scan;
use crate::sync::Arc;

/// One ordered map from keys to values, in a database of several.
///
/// A key is any string of up to [`MAX_KEY`](crate::MAX_KEY) bytes, the empty one too, and may be the
/// beginning of another key. A value is any string of up to [`MAX_VALUE`](crate::MAX_VALUE) bytes.
///
/// A `Tree` is a handle: cheap to clone, usable by many threads at once, and it keeps the database
/// open. Reads take no lock and see each write whole or not at all.
pub struct Tree<D: Disk = RealDisk> {
    lease: Arc<Lease<D>>,
    named: Arc<Named>,
}

impl<D: Disk> Tree<D> {
    pub(crate) fn new(lease: &Arc<Lease<D>>, named: Arc<Named>) -> Tree<D> {
        Tree { lease: Arc::clone(lease), named }
    }

    fn core(&self) -> &Core<D> {
        self.lease.core()
    }

    /// The tree, for somebody who wants to look up `key`.
    fn look(&self, key: &[u8]) -> Result<&holt_art::Tree, Error> {
        self.core().check_open()?;
        check_key(key)?;
        Ok(&self.named.tree)
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::Closed`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.look(key)?.get(key, |value, _| value.to_vec())?)
    }

    /// The value of `key`, and the version of the write that put it there.
    ///
    /// A version is unique for the life of the database, over reopening too, and greater than that
    /// of every write before it: equal versions mean equal values.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_with_version(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error> {
        Ok(self.look(key)?.get(key, |value, version| (value.to_vec(), version))?)
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, Error> {
        Ok(self.look(key)?.version(key)?.is_some())
    }

    /// Number of keys. It is counted frame by frame, not kept; exact while nobody writes.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn len(&self) -> Result<u64, Error> {
        self.core().check_open()?;
        Ok(self.named.tree.len())
    }

    /// Whether there is no key.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.core().check_open()?;
        Ok(self.named.tree.is_prefix_empty(b"")?)
    }

    /// Gives `key` the value `value`, in place of the one that it may have, and returns the version
    /// of the write. Waits for the database's [durability](crate::Options::durability).
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::ValueTooLong`], [`Error::ReadOnly`], [`Error::Closed`] and
    /// [`Error::Tree`]: nothing has changed. [`Error::Journal`]: the log is closed for writing, and
    /// whether the value is there after the next opening is open.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Version, Error> {
        self.put_with(key, value, self.core().durability)
    }

    /// As [`put`](Self::put), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_with(
        &self,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> Result<Version, Error> {
        check_key(key)?;
        check_value(value)?;
        let Named { id, tree, .. } = &*self.named;
        let record = Record::from(Op::Put { tree: *id, key, value });
        let put = self.core().write(&record, durability, |pass, sequence| {
            Ok(tree.put(pass, key, value, Condition::Always, sequence)?)
        })?;
        match put {
            Put::Inserted(version) | Put::Replaced(version) => Ok(version),
            Put::Refused(_) => unreachable!("a put without a condition is not refused"),
        }
    }

    /// Removes `key` and its value; says whether it was there. Waits for the database's
    /// [durability](crate::Options::durability).
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        self.delete_with(key, self.core().durability)
    }

    /// As [`delete`](Self::delete), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete_with(&self, key: &[u8], durability: Durability) -> Result<bool, Error> {
        check_key(key)?;
        let Named { id, tree, .. } = &*self.named;
        let record = Record::from(Op::Delete { tree: *id, key });
        let removed = self.core().write(&record, durability, |pass, sequence| {
            Ok(tree.remove(pass, key, Condition::Always, sequence)?)
        })?;
        Ok(matches!(removed, Removed::Removed(_)))
    }

    /// All keys, in order.
    pub fn scan(&self) -> Scan<D> {
        self.prefix([])
    }

    /// The keys that begin with `prefix`, in order, `prefix` itself among them.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let tree = holt_engine::Db::open(directory.path())?.default_tree();
    /// for key in ["usr/bin/ls", "usr/bin/vi", "usr/lib/libc.so", "usr/motd", "var"] {
    ///     tree.put(key.as_bytes(), b"")?;
    /// }
    /// let mut level = Vec::new();
    /// for entry in tree.prefix("usr/").delimiter("/") {
    ///     level.push(entry?.into_name());
    /// }
    /// assert_eq!(level, [&b"usr/bin/"[..], b"usr/lib/", b"usr/motd"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Scan<D> {
        Scan::prefix(&self.lease, &self.named, prefix.as_ref())
    }

    /// The keys of a range, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let tree = holt_engine::Db::open(directory.path())?.default_tree();
    /// for key in ["a", "b", "c"] {
    ///     tree.put(key.as_bytes(), b"")?;
    /// }
    /// let first = tree.range("b"..).into_iter().next().transpose()?;
    /// assert_eq!(first.map(holt_engine::Entry::into_name), Some(b"b".to_vec()));
    /// assert_eq!(tree.range("a"..="b").reverse().into_iter().count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn range(&self, range: impl KeyRange) -> Scan<D> {
        Scan::range(&self.lease, &self.named, range.into_bounds())
    }
}

impl<D: Disk> Clone for Tree<D> {
    fn clone(&self) -> Tree<D> {
        Tree { lease: Arc::clone(&self.lease), named: Arc::clone(&self.named) }
    }
}

impl<D: Disk> fmt::Debug for Tree<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tree").field("id", &self.named.id).finish_non_exhaustive()
    }
}
