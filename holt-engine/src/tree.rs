//! A tree: keys in byte order and their values.

use std::borrow::Cow;
use std::fmt;

use holt_art::{Condition, Put, Removed, Version};
use holt_codec::{Op, Record};
use holt_journal::disk::{Disk, RealDisk};

use crate::catalog::Named;
use crate::core::{Core, Lease, check_key, check_value};
use crate::entry::Entry;
use crate::error::Error;
use crate::options::Durability;
use crate::range::KeyRange;
use crate::scan::Scan;
use crate::source::Source;
use crate::sync::Arc;

/// One ordered map from keys to values, in a database of several.
///
/// A key is any string of up to [`MAX_KEY`](crate::MAX_KEY) bytes, the empty one too, and may be the
/// beginning of another key. A value is any string of up to [`MAX_VALUE`](crate::MAX_VALUE) bytes.
///
/// A `Tree` is a handle: cheap to clone, usable by many threads at once, and it keeps the database
/// open. Reads take no lock and see each write whole or not at all.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let db = holt_engine::Db::in_memory()?;
/// let tree = db.create_tree("colours")?;
/// let first = tree.put(b"sky", b"grey")?;
/// let second = tree.put(b"sky", b"blue")?;
/// assert!(second > first);
/// assert_eq!(tree.get_with_version(b"sky")?, Some((b"blue".to_vec(), second)));
/// assert_eq!(tree.version(b"sky")?, Some(second));
/// assert!(tree.is_prefix_empty(b"sea")?);
///
/// // A handle can be given to every thread.
/// let other = tree.clone();
/// std::thread::spawn(move || other.put(b"sea", b"green")).join().expect("no panic")?;
/// for entry in tree.scan() {
///     println!("{}", String::from_utf8_lossy(entry?.name())); // sea, sky
/// }
/// assert!(tree.delete(b"sky")? && !tree.delete(b"sky")?);
/// # Ok(())
/// # }
/// ```
pub struct Tree<D: Disk = RealDisk> {
    lease: Arc<Lease<D>>,
    named: Arc<Named>,
}

impl<D: Disk> Tree<D> {
    pub(crate) fn new(lease: &Arc<Lease<D>>, named: Arc<Named>) -> Tree<D> {
        Tree { lease: Arc::clone(lease), named }
    }

    pub(crate) fn named(&self) -> &Arc<Named> {
        &self.named
    }

    pub(crate) fn core(&self) -> &Core<D> {
        self.lease.core()
    }

    /// Reads, and then looks whether the tree was still there: see [`Named::check`].
    pub(crate) fn read<R>(
        &self,
        read: impl FnOnce(&holt_art::Tree) -> Result<R, holt_art::Error>,
    ) -> Result<R, Error> {
        self.core().check_open()?;
        let found = read(&self.named.tree);
        self.named.check()?;
        Ok(found?)
    }

    /// The tree's name.
    ///
    /// # Errors
    ///
    /// [`Error::TreeDropped`], [`Error::Closed`].
    pub fn name(&self) -> Result<String, Error> {
        self.core().check_open()?;
        self.named.check()?;
        Ok(self.named.name())
    }

    /// The tree's id, which it has for as long as it is there, whatever its name, and no other tree
    /// ever has. It is what an [`Operation`](crate::Operation) names the tree by.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let tree = db.create_tree("a")?;
    /// db.rename_tree("a", "b")?;
    /// assert_eq!(db.tree_name(tree.id())?.as_deref(), Some("b"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.named.id
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::TreeDropped`], [`Error::Closed`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.get_with(key, |value, _| value.to_vec())
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
        self.get_with(key, |value, version| (value.to_vec(), version))
    }

    /// Hands the value of `key` and its version to `then`, and returns what that returns. Values of
    /// up to 256 bytes are not copied to the heap on the way.
    ///
    /// `then` gets a copy that is its own, and runs when the reading is over: it may take its time,
    /// and read and write the database.
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
    /// tree.put(b"counter", &7_u64.to_le_bytes())?;
    /// let counter = tree.get_with(b"counter", |value, _| {
    ///     value.try_into().map(u64::from_le_bytes).ok()
    /// })?;
    /// assert_eq!(counter.flatten(), Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_with<R>(
        &self,
        key: &[u8],
        then: impl FnOnce(&[u8], Version) -> R,
    ) -> Result<Option<R>, Error> {
        check_key(key)?;
        self.core().check_open()?;
        // Asked before `then` sees anything, which may be another tree's if this one is gone.
        let found = self
            .named
            .tree
            .get(key, |value, version| self.named.check().map(|()| then(value, version)));
        match found {
            Ok(Some(found)) => found.map(Some),
            missing => {
                self.named.check()?;
                missing?.transpose()
            }
        }
    }

    /// Reads the value of `key` into `out`, in place of what is there, and returns the version of
    /// the write that put it there. Without a value `out` is empty.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). `out` may hold anything then.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let version = tree.put(b"key", b"value")?;
    /// let mut buffer = Vec::new();
    /// assert_eq!(tree.get_into(b"key", &mut buffer)?, Some(version));
    /// assert_eq!(buffer, b"value");
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_into(&self, key: &[u8], out: &mut Vec<u8>) -> Result<Option<Version>, Error> {
        check_key(key)?;
        let found = self.read(|tree| tree.get_into(key, out))?;
        if found.is_none() {
            out.clear();
        }
        Ok(found)
    }

    /// The version of the write that put the value of `key` there, without reading the value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn version(&self, key: &[u8]) -> Result<Option<Version>, Error> {
        check_key(key)?;
        self.read(|tree| tree.version(key))
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, Error> {
        Ok(self.version(key)?.is_some())
    }

    /// The values of many keys, in the order of `keys`.
    ///
    /// Each answer is as one of [`get`](Self::get); between two of them others may write. To have all
    /// of one moment, ask a [snapshot](crate::Db::snapshot).
    ///
    /// It is for trees that are larger than the processor's caches, where it is about twice as fast as
    /// one get after the other, as it waits for memory for many keys together. In a tree of a few
    /// megabytes `get` may be faster: see [`holt_art::Tree::get_many`] for figures.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). A key that is too long is found before anything is read.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"a", b"1")?;
    /// tree.put(b"c", b"3")?;
    /// let values = tree.get_many(&["a", "b", "c"])?;
    /// assert_eq!(values, [Some(b"1".to_vec()), None, Some(b"3".to_vec())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut values = vec![None; keys.len()];
        self.get_many_with(keys, |index, record| {
            values[index] = record.map(|(value, _)| value.to_vec());
        })?;
        Ok(values)
    }

    /// Hands the values of many keys to `then`: once for each key, in any order, with its index in
    /// `keys`, and its value and version if it has one. Values of up to 256 bytes are not copied to
    /// the heap on the way; `then` may read and write the database.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many). Some keys may have been answered then.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"a", b"12")?;
    /// tree.put(b"b", b"345")?;
    /// let mut bytes = 0;
    /// tree.get_many_with(&["a", "b", "c"], |_, record| {
    ///     bytes += record.map_or(0, |(value, _)| value.len());
    /// })?;
    /// assert_eq!(bytes, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_many_with<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut then: impl FnMut(usize, Option<(&[u8], Version)>),
    ) -> Result<(), Error> {
        keys.iter().try_for_each(|key| check_key(key.as_ref()))?;
        self.read(|tree| {
            tree.get_many(keys, |index, record| {
                // Asked before `then` sees anything: see `get_with`.
                if self.named.check().is_ok() {
                    then(index, record);
                }
            })
        })
    }

    /// The record with the longest key that `key` begins with, `key` itself included: what a table of
    /// routes or of mounts asks for. It is found in one descent.
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
    /// tree.put(b"/", b"root disk")?;
    /// tree.put(b"/home/", b"network")?;
    /// let mount = |path: &[u8]| tree.longest_prefix(path).map(|found| found.map(|e| e.into_name()));
    /// assert_eq!(mount(b"/home/alice/notes")?, Some(b"/home/".to_vec()));
    /// assert_eq!(mount(b"/homes")?, Some(b"/".to_vec()));
    /// assert_eq!(mount(b"relative")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn longest_prefix(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        Ok(self.read(|tree| tree.longest_prefix(key))?.map(Entry::from))
    }

    /// The record of the first key that begins with `prefix`.
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
    /// for day in ["log/2026-01-30", "log/2026-01-31", "log/2026-02-01"] {
    ///     tree.put(day.as_bytes(), b"")?;
    /// }
    /// assert_eq!(tree.first(b"log/")?.unwrap().name(), b"log/2026-01-30");
    /// assert_eq!(tree.last(b"log/2026-01")?.unwrap().name(), b"log/2026-01-31");
    /// # Ok(())
    /// # }
    /// ```
    pub fn first(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(prefix)?;
        Ok(self.read(|tree| tree.first(prefix))?.map(Entry::from))
    }

    /// The record of the last key that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// See [`first`](Self::first).
    pub fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(prefix)?;
        Ok(self.read(|tree| tree.last(prefix))?.map(Entry::from))
    }

    /// Number of keys. It is counted frame by frame, not kept; exact while nobody writes. Frames that
    /// are not in memory are read for that.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<u64, Error> {
        self.read(|tree| tree.count(b""))
    }

    /// Whether there is no key.
    ///
    /// # Errors
    ///
    /// [`Error::TreeDropped`], [`Error::Closed`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.is_prefix_empty(b"")
    }

    /// Whether no key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn is_prefix_empty(&self, prefix: &[u8]) -> Result<bool, Error> {
        check_key(prefix)?;
        self.read(|tree| tree.is_prefix_empty(prefix))
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
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"cache", b"can be made again")?;
    /// tree.put_with(b"order", b"paid", Durability::Sync)?; // and so is what came before
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_with(
        &self,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> Result<Version, Error> {
        check_key(key)?;
        check_value(value)?;
        match self.put_if(key, value, Condition::Always, durability)? {
            Put::Inserted(version) | Put::Replaced(version) => Ok(version),
            Put::Refused(_) => unreachable!("a put without a condition is not refused"),
        }
    }

    /// Puts a record if the condition holds. Lengths have been checked.
    #[inline]
    pub(crate) fn put_if(
        &self,
        key: &[u8],
        value: &[u8],
        condition: Condition,
        durability: Durability,
    ) -> Result<Put, Error> {
        let Named { id, tree, .. } = &*self.named;
        let record = Record::from(Op::Put { tree: *id, key, value });
        self.core().write(&record, durability, |pass, sequence| {
            self.named.check()?;
            Ok(tree.put(pass, key, value, condition, sequence)?)
        })
    }

    /// Removes a record if the condition holds. Lengths have been checked.
    #[inline]
    pub(crate) fn remove_if(
        &self,
        key: &[u8],
        condition: Condition,
        durability: Durability,
    ) -> Result<Removed, Error> {
        let Named { id, tree, .. } = &*self.named;
        let record = Record::from(Op::Delete { tree: *id, key });
        self.core().write(&record, durability, |pass, sequence| {
            self.named.check()?;
            Ok(tree.remove(pass, key, condition, sequence)?)
        })
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
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"key", b"")?;
    /// assert!(tree.delete_with(b"key", Durability::Sync)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_with(&self, key: &[u8], durability: Durability) -> Result<bool, Error> {
        check_key(key)?;
        let removed = self.remove_if(key, Condition::Always, durability)?;
        Ok(matches!(removed, Removed::Removed(_)))
    }

    /// All keys, in order.
    pub fn scan(&self) -> Scan<'_, D> {
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
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Scan<'_, D> {
        Scan::prefix(Source::Live(Cow::Borrowed(self)), prefix.as_ref())
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
    pub fn range(&self, range: impl KeyRange) -> Scan<'_, D> {
        Scan::range(Source::Live(Cow::Borrowed(self)), range.into_bounds())
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
