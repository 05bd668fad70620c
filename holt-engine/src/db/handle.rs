//! The handle that everything else of a database is reached through.

use std::fmt;
use std::path::Path;

use holt_journal::disk::{Disk, RealDisk};

use crate::core::{Core, Lease};
use crate::error::Error;
use crate::options::Options;
use crate::sync::Arc;

/// An open database: one directory, one log, any number of trees.
///
/// A `Db` is a handle: cheap to clone, and usable by many threads at once. The database is closed,
/// and everything written is on stable storage, when [`close`](Self::close) returns or when the
/// last handle has been dropped, be it a `Db`, a [`Tree`](crate::Tree), a [`Snapshot`](crate::Snapshot) or an
/// [`Entries`](crate::Entries).
///
/// One process at a time has a database open for writing, or any number for reading alone.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("db");
/// let db = holt_engine::Db::open(&path)?;
/// db.default_tree().put(b"etc/hosts", b"127.0.0.1 localhost")?;
/// db.close()?;
///
/// let db = holt_engine::Db::open(&path)?;
/// assert_eq!(db.default_tree().get(b"etc/hosts")?.as_deref(), Some(&b"127.0.0.1 localhost"[..]));
/// # Ok(())
/// # }
/// ```
pub struct Db<D: Disk = RealDisk> {
    pub(super) lease: Arc<Lease<D>>,
}

impl Db {
    /// Opens the database in the directory `path` with the default [`Options`]; it is created if
    /// there is none.
    ///
    /// # Errors
    ///
    /// See [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Db, Error> {
        Options::new().open(path)
    }

    /// A new, empty database in memory alone, with the default [`Options`]. It has the whole API and
    /// is gone with its last handle.
    ///
    /// # Errors
    ///
    /// See [`Options::in_memory`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// let db = holt_engine::Db::in_memory()?;
    /// db.default_tree().put(b"session/42", b"alice")?;
    /// assert!(db.default_tree().contains(b"session/42")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_memory() -> Result<Db, Error> {
        Options::new().in_memory()
    }
}

impl<D: Disk> Db<D> {
    pub(crate) fn new(lease: Lease<D>) -> Db<D> {
        Db { lease: Arc::new(lease) }
    }

    pub(crate) fn core(&self) -> &Core<D> {
        self.lease.core()
    }
}

impl<D: Disk> Clone for Db<D> {
    fn clone(&self) -> Db<D> {
        Db { lease: Arc::clone(&self.lease) }
    }
}

impl<D: Disk> fmt::Debug for Db<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Db").field(self.lease.core()).finish()
    }
}
