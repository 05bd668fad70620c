//! A database: the handle that everything else is reached through.

use std::fmt;
use std::path::Path;

use holt_journal::disk::{Disk, RealDisk};

use crate::checkpoint::{self, Checkpoint};
use crate::core::Lease;
use crate::error::Error;
use crate::options::Options;
use crate::stats::{self, Stats};
use crate::sync::Arc;
use crate::tree::Tree;
use crate::verify::{self, Report};

/// An open database: one directory, one log, any number of trees.
///
/// A `Db` is a handle: cheap to clone, and usable by many threads at once. The database is closed,
/// and everything written is on stable storage, when [`close`](Self::close) returns or when the
/// last handle has been dropped, be it a `Db`, a [`Tree`] or an [`Entries`](crate::Entries).
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
    lease: Arc<Lease<D>>,
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
}

impl<D: Disk> Db<D> {
    pub(crate) fn new(lease: Lease<D>) -> Db<D> {
        Db { lease: Arc::new(lease) }
    }

    /// The tree that every database has, named `default`.
    #[must_use]
    pub fn default_tree(&self) -> Tree<D> {
        Tree::new(&self.lease, self.lease.core().default_tree())
    }

    /// The tree of this name, created if there is none. The creation is as durable as a write.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`] if the name is empty or longer than
    /// [`MAX_TREE_NAME`](crate::MAX_TREE_NAME) bytes, [`Error::ReadOnly`] if it does not exist in a
    /// database that is open for reading alone, and every error of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// let sessions = db.tree("sessions")?;
    /// sessions.put(b"42", b"alice")?;
    /// assert!(!db.default_tree().contains(b"42")?);
    /// assert_eq!(db.tree_names()?, ["default", "sessions"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tree(&self, name: &str) -> Result<Tree<D>, Error> {
        Ok(Tree::new(&self.lease, self.lease.core().tree(name)?))
    }

    /// The names of all trees, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn tree_names(&self) -> Result<Vec<String>, Error> {
        self.lease.core().check_open()?;
        Ok(self.lease.core().catalog.names())
    }

    /// Waits until everything written so far is on stable storage, whatever it asked for itself.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], or the failure of the log.
    pub fn sync(&self) -> Result<(), Error> {
        self.lease.core().sync()
    }

    /// Writes everything that has changed since the last checkpoint to the frame file, and gives up
    /// the log before it. Opening has nothing to replay afterwards, apart from what is written
    /// meanwhile. Readers and writers go on.
    ///
    /// Killed or without power at any moment of it, the database opens with the same contents.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::ReadOnly`], or the failure of the disk. After an error the
    /// previous checkpoint counts and its log is still there.
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        // Before the first image: to a child the parent's newest images may lie in free space.
        self.lease.check_process()?;
        checkpoint::make(self.lease.core())
    }

    /// What the database holds and takes, as of now.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn stats(&self) -> Result<Stats, Error> {
        stats::of(self.lease.core())
    }

    /// Checks what is on disk and what is in memory: every checksum of the last checkpoint, every
    /// invariant of the trees, and that every frame is reachable. Writers wait while the trees are
    /// checked. See [`verify`](crate::verify()) for a database that nobody has open.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]. What is found wrong is no error but part of the report.
    pub fn verify(&self) -> Result<Report, Error> {
        verify::of(self.lease.core())
    }

    /// Closes the database for all handles, whose calls get [`Error::Closed`] from now on.
    ///
    /// When this returns without an error, everything written is on stable storage. Dropping the
    /// last handle does the same, and has nobody to tell of an error.
    ///
    /// # Errors
    ///
    /// The failure of the log: what was not durable before may be lost. The database counts as
    /// closed all the same.
    pub fn close(self) -> Result<(), Error> {
        self.lease.close()
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
