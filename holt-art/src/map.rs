//! A tree and its pool in one, for use in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::pool::{Pool, PoolOptions};
use crate::tree::cursor::Cursor;
use crate::tree::outcome::{Condition, Put, Removed, Version};
use crate::tree::scan::Scan;
use crate::tree::{Tree, verify::Fault};

/// A concurrent ordered map from byte strings to byte strings, in memory.
///
/// All methods take `&self` and may be called from any thread. Versions count mutations.
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
    versions: AtomicU64,
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
        Ok(Self { tree, versions: AtomicU64::new(0) })
    }

    /// The tree, for everything that this type has no shorthand for.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn next_version(&self) -> Version {
        // Relaxed: called under the latch of the key's frame, which orders the versions of
        // one key; the order between keys is any.
        let number = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        Version::new(number).expect("2^48 mutations take nine years at a million a second")
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.tree.get(key, |value, _| value.to_vec())
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
        self.tree.put(&pass, key, value, condition, || self.next_version())
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
        self.tree.remove(&pass, key, condition, || self.next_version())
    }

    /// Lists what `scan` asks for.
    pub fn scan(&self, scan: Scan) -> Cursor {
        self.tree.cursor(scan)
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
        pool.verify(&closed, &[self.tree.root()])
    }
}
