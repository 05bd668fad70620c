//! What keeps a database safe, short and sound, and tells how it is.

use holt_journal::disk::Disk;

use super::Db;
use crate::checkpoint::{self, Checkpoint, Compaction};
use crate::error::Error;
use crate::stats::{self, Stats};
use crate::verify::{self, Report};

/// # Upkeep
impl<D: Disk> Db<D> {
    /// Waits until everything written so far is on stable storage, whatever it asked for itself.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], or the failure of the log.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// for number in 0..1000_u32 {
    ///     db.default_tree().put(&number.to_be_bytes(), b"")?;
    /// }
    /// db.sync()?; // all of them, at the price of one
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// db.default_tree().put(b"key", b"value")?;
    /// let made = db.checkpoint()?;
    /// assert_eq!(made.log_address, db.stats()?.log_address, "opening has nothing to replay");
    /// # Ok(())
    /// # }
    /// ```
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        // Before the first image: to a child the parent's newest images may lie in free space.
        self.lease.check_process()?;
        checkpoint::make(self.lease.core())
    }

    /// Makes the frame file as short as it can be: frees what was removed by the prefix, makes a checkpoint, then moves
    /// what lies at the file's end into holes and gives the end back. For after heavy deletion; what churn leaves is
    /// given back without it. Readers and writers go on. Killed or without power at any moment of
    /// it, the database opens with the same contents.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint). What was moved before the error stays moved.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// db.default_tree().delete_prefix(b"tmp/")?;
    /// let compaction = db.compact()?;
    /// assert!(compaction.bytes_after <= compaction.bytes_before);
    /// # Ok(())
    /// # }
    /// ```
    pub fn compact(&self) -> Result<Compaction, Error> {
        self.lease.check_process()?;
        checkpoint::compact(self.lease.core())
    }

    /// What the database holds and takes, as of now.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// db.default_tree().put(b"key", b"value")?;
    /// assert_eq!(db.stats()?.keys, Some(1));
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// db.default_tree().put(b"key", b"value")?;
    /// assert!(db.verify()?.faults.is_empty());
    /// # Ok(())
    /// # }
    /// ```
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
