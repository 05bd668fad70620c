//! Reading one tree of a snapshot.

use std::borrow::Cow;
use std::fmt;

use holt_art::Version;
use holt_journal::disk::{Disk, RealDisk};

use super::taken::{Taken, TreeAt};
use crate::core::{Core, check_key};
use crate::entry::Entry;
use crate::error::Error;
use crate::prefixes::Usage;
use crate::range::KeyRange;
use crate::scan::Scan;
use crate::source::Source;
use crate::sync::Arc;

/// One tree of a [`Snapshot`](crate::Snapshot), which it keeps.
///
/// It answers whatever a [`Tree`](crate::Tree) can be asked, and every answer is of the moment of the
/// snapshot: the tree may have been changed, renamed or dropped since. It is a handle: cheap to
/// clone, usable by many threads at once.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// let db = holt_engine::Db::in_memory()?;
/// let tree = db.default_tree();
/// for key in ["usr/bin/ls", "usr/bin/vi", "usr/motd"] {
///     tree.put(key.as_bytes(), b"1")?;
/// }
/// let before = db.snapshot()?.default_tree()?;
/// tree.rename_prefix(b"usr/bin/", b"bin/")?;
///
/// assert_eq!(before.count(b"usr/bin/")?, 2);
/// let level: Vec<_> = before.prefix("usr/").delimiter("/").into_iter().collect::<Result<_, _>>()?;
/// assert_eq!(level[0].name(), b"usr/bin/");
/// assert_eq!(level[1].name(), b"usr/motd");
/// # Ok(())
/// # }
/// ```
///
/// What it can be asked:
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// let db = holt_engine::Db::in_memory()?;
/// let tree = db.default_tree();
/// let put = tree.put(b"a", b"12")?;
/// tree.put(b"a/b", b"345")?;
/// let before = db.snapshot()?.default_tree()?;
/// tree.clear()?;
///
/// assert_eq!(before.get_with_version(b"a")?, Some((b"12".to_vec(), put)));
/// assert_eq!(before.get_with(b"a/b", |value, _| value.len())?, Some(3));
/// let mut buffer = Vec::new();
/// assert_eq!(before.get_into(b"a", &mut buffer)?, Some(put));
/// assert!(before.version(b"a")? == Some(put) && before.contains(b"a/b")?);
/// assert_eq!(before.get_many(&["a", "c"])?, [Some(b"12".to_vec()), None]);
/// before.get_many_with(&["a"], |_, record| assert!(record.is_some()))?;
/// assert_eq!(before.longest_prefix(b"a/c")?.unwrap().name(), b"a");
/// assert_eq!(before.first(b"")?.unwrap().name(), b"a");
/// assert_eq!(before.last(b"")?.unwrap().name(), b"a/b");
/// assert_eq!((before.len()?, before.usage(b"a/")?.bytes), (2, 6));
/// assert!(!before.is_empty()? && before.is_prefix_empty(b"b")?);
/// assert_eq!(before.scan().into_iter().count(), 2);
/// # Ok(())
/// # }
/// ```
pub struct SnapshotTree<D: Disk = RealDisk> {
    // Before `taken`, which tells when the frames have been let go of.
    frames: holt_art::SnapshotTree,
    taken: Arc<Taken<D>>,
    id: u64,
    name: Arc<str>,
}

impl<D: Disk> SnapshotTree<D> {
    pub(super) fn new(taken: &Arc<Taken<D>>, name: &str, at: TreeAt) -> Result<Self, Error> {
        let frames = taken.frames.tree(at.root)?;
        Ok(SnapshotTree { frames, taken: Arc::clone(taken), id: at.id, name: name.into() })
    }

    pub(crate) fn core(&self) -> &Core<D> {
        self.taken.core()
    }

    pub(crate) fn frames(&self) -> &holt_art::SnapshotTree {
        &self.frames
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    fn read<R>(
        &self,
        read: impl FnOnce(&holt_art::SnapshotTree) -> Result<R, holt_art::Error>,
    ) -> Result<R, Error> {
        self.core().check_open()?;
        Ok(read(&self.frames)?)
    }

    /// The name that the tree had.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value that `key` had: as [`Tree::get`](crate::Tree::get).
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::Closed`], and [`Error::Tree`] for damage.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.get_with(key, |value, _| value.to_vec())
    }

    /// The value of `key` and its version: as [`Tree::get_with_version`](crate::Tree::get_with_version).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_with_version(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error> {
        self.get_with(key, |value, version| (value.to_vec(), version))
    }

    /// Hands the value of `key` and its version to `then`: as [`Tree::get_with`](crate::Tree::get_with).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_with<R>(
        &self,
        key: &[u8],
        then: impl FnOnce(&[u8], Version) -> R,
    ) -> Result<Option<R>, Error> {
        check_key(key)?;
        self.read(|tree| tree.get(key, then))
    }

    /// Reads the value of `key` into `out`: as [`Tree::get_into`](crate::Tree::get_into).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). `out` may hold anything then.
    pub fn get_into(&self, key: &[u8], out: &mut Vec<u8>) -> Result<Option<Version>, Error> {
        check_key(key)?;
        let found = self.read(|tree| tree.get_into(key, out))?;
        if found.is_none() {
            out.clear();
        }
        Ok(found)
    }

    /// The version of the write that put the value of `key` there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn version(&self, key: &[u8]) -> Result<Option<Version>, Error> {
        check_key(key)?;
        self.read(|tree| tree.version(key))
    }

    /// Whether `key` had a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, Error> {
        Ok(self.version(key)?.is_some())
    }

    /// The values of many keys, in the order of `keys`: as [`Tree::get_many`](crate::Tree::get_many),
    /// and all of one moment. It is no faster than one [`get`](Self::get) after the other.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut values = vec![None; keys.len()];
        self.get_many_with(keys, |index, record| {
            values[index] = record.map(|(value, _)| value.to_vec());
        })?;
        Ok(values)
    }

    /// Hands the values of many keys to `then`: as [`Tree::get_many_with`](crate::Tree::get_many_with).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). Some keys may have been answered then.
    pub fn get_many_with<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        then: impl FnMut(usize, Option<(&[u8], Version)>),
    ) -> Result<(), Error> {
        keys.iter().try_for_each(|key| check_key(key.as_ref()))?;
        self.read(|tree| tree.get_many(keys, then))
    }

    /// The record with the longest key that `key` begins with: as
    /// [`Tree::longest_prefix`](crate::Tree::longest_prefix).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn longest_prefix(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        Ok(self.read(|tree| tree.longest_prefix(key))?.map(Entry::from))
    }

    /// The record of the first key that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn first(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(prefix)?;
        Ok(self.read(|tree| tree.first(prefix))?.map(Entry::from))
    }

    /// The record of the last key that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(prefix)?;
        Ok(self.read(|tree| tree.last(prefix))?.map(Entry::from))
    }

    /// Number of keys.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<u64, Error> {
        self.count(b"")
    }

    /// Whether there was no key.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.is_prefix_empty(b"")
    }

    /// Whether no key began with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn is_prefix_empty(&self, prefix: &[u8]) -> Result<bool, Error> {
        check_key(prefix)?;
        self.read(|tree| tree.is_prefix_empty(prefix))
    }

    /// Number of keys that begin with `prefix`: as [`Tree::count`](crate::Tree::count), and exact.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn count(&self, prefix: &[u8]) -> Result<u64, Error> {
        check_key(prefix)?;
        self.read(|tree| tree.count(prefix))
    }

    /// Number of keys that begin with `prefix`, and the bytes of keys and values: as
    /// [`Tree::usage`](crate::Tree::usage).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn usage(&self, prefix: &[u8]) -> Result<Usage, Error> {
        self.prefix(prefix).usage()
    }

    /// All keys, in order.
    pub fn scan(&self) -> Scan<'_, D> {
        self.prefix([])
    }

    /// The keys that begin with `prefix`, in order, `prefix` itself among them.
    ///
    /// # Examples
    ///
    /// See [`SnapshotTree`].
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Scan<'_, D> {
        Scan::prefix(Source::Snapshot(Cow::Borrowed(self)), prefix.as_ref())
    }

    /// The keys of a range, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// # let tree = db.default_tree();
    /// for key in ["a", "b", "c"] {
    ///     tree.put(key.as_bytes(), b"")?;
    /// }
    /// let before = db.snapshot()?.default_tree()?;
    /// tree.clear()?;
    /// let last = before.range("a".."c").reverse().into_iter().next().transpose()?;
    /// assert_eq!(last.map(holt_engine::Entry::into_name), Some(b"b".to_vec()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn range(&self, range: impl KeyRange) -> Scan<'_, D> {
        Scan::range(Source::Snapshot(Cow::Borrowed(self)), range.into_bounds())
    }
}

impl<D: Disk> Clone for SnapshotTree<D> {
    fn clone(&self) -> SnapshotTree<D> {
        let (frames, taken) = (self.frames.clone(), Arc::clone(&self.taken));
        SnapshotTree { frames, taken, id: self.id, name: Arc::clone(&self.name) }
    }
}

impl<D: Disk> fmt::Debug for SnapshotTree<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SnapshotTree").field("id", &self.id).finish_non_exhaustive()
    }
}
