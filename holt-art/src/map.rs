//! A tree and its pool in one, for use in memory.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use crate::error::Error;
use crate::pool::gate::Closed;
use crate::pool::{Outlook, Pool, PoolOptions};
use crate::tree::cursor::Cursor;
use crate::tree::entry::{Entry, EntryRef};
use crate::tree::outcome::{Condition, Existing, Put, Removed, Renamed, Version};
use crate::tree::scan::Scan;
use crate::tree::{Tree, verify::Fault};
use crate::versions::Versions;

/// A concurrent ordered map from byte strings to byte strings, in memory.
///
/// All methods take `&self` and may be called from any thread. No two mutations have the same version, and
/// those of a record grow as long as it is there; between records, versions say nothing about the
/// order of mutations. A map whose versions are to have one order takes them from a counter, by
/// [`Tree::put`].
///
/// # Examples
///
/// ```
/// use holt_art::{Art, Condition, Put};
///
/// let map = Art::new()?;
/// let Put::Inserted(version) = map.put(b"lease", b"held by 1")? else { unreachable!() };
/// // Only who saw the last version may replace it.
/// map.put_if(b"lease", b"held by 2", Condition::Version(version))?;
/// assert_eq!(map.get(b"lease")?.as_deref(), Some(&b"held by 2"[..]));
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Debug)]
pub struct Art {
    tree: Tree,
    /// What prefix operations removed, until it is reclaimed; made when it is first needed.
    trash: OnceLock<Tree>,
    versions: Versions,
}

impl Art {
    /// An empty map with the default sizes of a pool.
    ///
    /// # Errors
    ///
    /// [`Error::Reserve`] when the system does not give the address space.
    pub fn new() -> Result<Self, Error> {
        Self::with_options(PoolOptions::default())
    }

    /// An empty map.
    ///
    /// # Errors
    ///
    /// As [`Art::new`]; [`Error::PoolFull`] when there is not even room for a root.
    pub fn with_options(options: PoolOptions) -> Result<Self, Error> {
        let pool = Pool::new(options)?;
        let tree = pool.create_tree(&pool.enter())?;
        Ok(Self { tree, trash: OnceLock::new(), versions: Versions::new() })
    }

    /// The tree, for everything that this type has no shorthand for.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Condition, PoolOptions, Removed};
    ///
    /// let map = Art::with_options(PoolOptions::with_bytes(16 << 20, 1 << 20))?;
    /// for key in ["usr", "usr/bin", "usr/bin/env"] {
    ///     map.put(key.as_bytes(), key.as_bytes())?;
    /// }
    /// let mut found = 0;
    /// map.get_many(&["usr", "var"], |_, record| found += usize::from(record.is_some()))?;
    /// assert_eq!(found, 1);
    /// assert_eq!(map.longest_prefix(b"usr/bin/vi")?.unwrap().name(), b"usr/bin");
    /// // What this type has no shorthand for, the tree has.
    /// assert_eq!(map.tree().last(b"usr")?.unwrap().name(), b"usr/bin/env");
    /// assert!(matches!(map.remove(b"usr")?, Removed::Removed(_)));
    /// assert!(matches!(map.remove_if(b"usr", Condition::Always)?, Removed::Missing));
    /// assert_eq!(map.verify(), []);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The next version of a record, for the holder of its frame's latch.
    #[inline]
    fn next_version(&self, replaced: Option<Version>) -> Version {
        version(self.versions.next(replaced.map_or(0, Version::get)))
    }

    /// The version of an operation on a prefix.
    fn newest_version(&self) -> Version {
        version(self.versions.newest())
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.tree.get(key, |value, _| value.to_vec())
    }

    /// Reads many keys at once, which takes less time than one after the other; see
    /// [`Tree::get_many`].
    ///
    /// # Errors
    ///
    /// As [`Tree::get_many`].
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        then: impl FnMut(usize, Option<(&[u8], Version)>),
    ) -> Result<(), Error> {
        self.tree.get_many(keys, then)
    }

    /// The record with the longest key that `key` begins with; see [`Tree::longest_prefix`].
    ///
    /// # Errors
    ///
    /// As [`Tree::longest_prefix`].
    pub fn longest_prefix(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        self.tree.longest_prefix(key)
    }

    /// Puts a record.
    ///
    /// # Errors
    ///
    /// As [`Tree::put`].
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Put, Error> {
        self.put_if(key, value, Condition::Always)
    }

    /// Puts a record if the condition holds.
    ///
    /// # Errors
    ///
    /// As [`Tree::put`].
    pub fn put_if(&self, key: &[u8], value: &[u8], condition: Condition) -> Result<Put, Error> {
        let pass = self.tree.pool().enter();
        self.tree.put_sequenced(&pass, key, value, condition, |old| self.next_version(old))
    }

    /// Fills the empty map with records that come in the order of their keys, in a part of the
    /// time of as many puts; see [`Tree::bulk_load`]. Returns how many there were.
    ///
    /// # Errors
    ///
    /// As [`Tree::bulk_load`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Error};
    ///
    /// let map = Art::new()?;
    /// let records = (0..10_000).map(|n| (format!("{n:05}"), "value"));
    /// assert_eq!(map.bulk_load(records)?, 10_000);
    /// assert_eq!(map.get(b"00042")?.as_deref(), Some(&b"value"[..]));
    /// assert_eq!(map.bulk_load([("b", "")]), Err(Error::NotEmpty));
    /// assert_eq!(Art::new()?.bulk_load([("b", ""), ("a", "")]), Err(Error::Unordered { at: 1 }));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn bulk_load<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64, Error> {
        self.tree.bulk_load(records, || self.next_version(None))
    }

    /// Removes a record.
    ///
    /// # Errors
    ///
    /// As [`Tree::remove`].
    pub fn remove(&self, key: &[u8]) -> Result<Removed, Error> {
        self.remove_if(key, Condition::Always)
    }

    /// Removes a record if the condition holds.
    ///
    /// # Errors
    ///
    /// As [`Tree::remove`].
    pub fn remove_if(&self, key: &[u8], condition: Condition) -> Result<Removed, Error> {
        let pass = self.tree.pool().enter();
        self.tree.remove_sequenced(&pass, key, condition, |old| self.next_version(old))
    }

    /// Gives the record of `from` the key `to`, if the condition holds for what is there. Gets
    /// and lists find one of the two and never both. The record gets a new version.
    ///
    /// Returns what the put of `to` came to, or `Refused(None)` when `from` has no record.
    ///
    /// # Errors
    ///
    /// As [`Tree::put`]. Nothing has changed when one is returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Condition, Put};
    /// let map = Art::new()?;
    /// map.put(b"draft", b"text")?;
    /// assert!(matches!(map.rename(b"draft", b"final", Condition::Absent)?, Put::Inserted(_)));
    /// assert_eq!(map.get(b"draft")?, None);
    /// assert_eq!(map.rename(b"draft", b"final", Condition::Always)?, Put::Refused(None));
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn rename(&self, from: &[u8], to: &[u8], condition: Condition) -> Result<Put, Error> {
        let pool = self.tree.pool();
        let closed = pool.close_gate();
        let Some(value) = self.get(from)? else { return Ok(Put::Refused(None)) };
        let bytes = value.len() as u64;
        let trial = pool.trial(&closed, Outlook { mutations: 2, bytes, revocable: false });
        let pass = closed.pass();
        let next = |old| self.next_version(old);
        let put = self.tree.put_sequenced(pass, to, &value, condition, next)?;
        if from != to && !matches!(put, Put::Refused(_)) {
            self.tree.remove_sequenced(pass, from, Condition::Always, next)?;
        }
        trial.keep();
        Ok(put)
    }

    /// Gives every key that begins with `from` a name that begins with `to` instead. See
    /// [`Tree::rename_prefix`] for what is refused.
    ///
    /// # Errors
    ///
    /// As [`Tree::rename_prefix`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Error, Existing};
    ///
    /// let map = Art::new()?;
    /// map.put(b"tmp/upload/1", b"one")?;
    /// map.put(b"tmp/upload/2", b"two")?;
    /// map.rename_prefix(b"tmp/upload/", b"album/", Existing::Refuse)?;
    /// assert_eq!(map.get(b"album/2")?.as_deref(), Some(&b"two"[..]));
    /// assert_eq!(map.get(b"tmp/upload/2")?, None);
    /// let again = map.rename_prefix(b"tmp/upload/", b"album/", Existing::Refuse);
    /// assert_eq!(again, Err(Error::PrefixMissing));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn rename_prefix(
        &self,
        from: &[u8],
        to: &[u8],
        existing: Existing,
    ) -> Result<Renamed, Error> {
        let closed = self.tree.pool().close_gate();
        let trash = self.trash(&closed)?;
        let moving = self.tree.pool().start_move(&closed);
        self.tree.rename_prefix(&moving, from, to, existing, trash, || self.newest_version())
    }

    /// Removes every key that begins with `prefix`, and returns whether there was one. Their
    /// memory comes back with [`Art::reclaim`].
    ///
    /// # Errors
    ///
    /// As [`Tree::remove_prefix`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Art;
    ///
    /// let map = Art::new()?;
    /// for n in 0..10_000 {
    ///     map.put(format!("tmp/{n}").as_bytes(), b"")?;
    /// }
    /// assert!(map.remove_prefix(b"tmp/")?);
    /// assert!(map.is_empty());
    /// // Whenever there is time for it, a part at a time.
    /// while map.reclaim(16)? {}
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn remove_prefix(&self, prefix: &[u8]) -> Result<bool, Error> {
        let closed = self.tree.pool().close_gate();
        let trash = self.trash(&closed)?;
        let moving = self.tree.pool().start_move(&closed);
        let removed = self.tree.remove_prefix(&moving, prefix, trash, || self.newest_version())?;
        Ok(removed.is_some())
    }

    /// Gives back up to `parts` parts, of at most a frame each, of the memory of what prefix
    /// operations removed. Returns whether there is more.
    ///
    /// # Errors
    ///
    /// As [`Tree::reclaim`].
    pub fn reclaim(&self, parts: usize) -> Result<bool, Error> {
        let Some(trash) = self.trash.get() else { return Ok(false) };
        trash.reclaim(&self.tree.pool().enter(), parts)
    }

    /// The trash tree. The closed gate keeps others from making a second one.
    fn trash(&self, closed: &Closed<'_>) -> Result<&Tree, Error> {
        if let Some(trash) = self.trash.get() {
            return Ok(trash);
        }
        let trash = self.tree.pool().create_tree(closed.pass())?;
        Ok(self.trash.get_or_init(|| trash))
    }

    /// Lists what `scan` asks for.
    pub fn scan(&self, scan: Scan) -> Cursor {
        self.tree.cursor(scan)
    }

    /// Calls `visit` with one entry after the other of what `scan` asks for, until it breaks or the list ends.
    /// Entries are lent, so nothing is allocated for them.
    ///
    /// # Errors
    ///
    /// As [`Art::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use holt_art::{Art, Scan};
    ///
    /// let map = Art::new()?;
    /// for key in [b"a/1", b"a/2", b"b/1"] {
    ///     map.put(key, b"value")?;
    /// }
    /// let mut groups = Vec::new();
    /// let ended = map.visit(Scan::all().delimiter(b"/"), |entry| {
    ///     groups.push(entry.name().to_vec());
    ///     if groups.len() == 2 { ControlFlow::Break("enough") } else { ControlFlow::Continue(()) }
    /// })?;
    /// assert_eq!(ended, ControlFlow::Break("enough"));
    /// assert_eq!(groups, [b"a/", b"b/"]);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn visit<B>(
        &self,
        scan: Scan,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        self.tree.visit(scan, visit)
    }

    /// Number of records; cost by frames.
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Checks every invariant; see [`Pool::verify`].
    pub fn verify(&self) -> Vec<Fault> {
        let pool: &Arc<Pool> = self.tree.pool();
        let closed = pool.close_gate();
        let roots = [Some(&self.tree), self.trash.get()].into_iter().flatten().map(Tree::root);
        pool.verify(&closed, &roots.collect::<Vec<_>>())
    }
}

fn version(number: u64) -> Version {
    Version::new(number).expect("2^48 mutations take nine years at a million a second")
}
