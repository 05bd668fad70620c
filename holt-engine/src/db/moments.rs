//! What a database was at one moment, what has changed since, and what another one was.

use std::io::Read;

use holt_art::Version;
use holt_codec::GRANULE;
use holt_journal::disk::Disk;

use super::Db;
use crate::archive::{self, ImportOptions, Imported};
use crate::error::Error;
use crate::feed::Changes;
use crate::replay;
use crate::snapshot::Snapshot;

/// # Snapshots, changes, archives
impl<D: Disk> Db<D> {
    /// All trees as they are now, for reading at any time later: see [`Snapshot`].
    ///
    /// It has what has been applied, whether that is on stable storage yet or not. Writers wait for
    /// a moment; how long that is does not depend on what the database holds.
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
    /// let tree = db.default_tree();
    /// tree.put(b"page", b"draft")?;
    /// let draft = db.snapshot()?;
    /// tree.put(b"page", b"final")?;
    /// assert_eq!(draft.default_tree()?.get(b"page")?.as_deref(), Some(&b"draft"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot<D>, Error> {
        Snapshot::take(&self.lease)
    }

    /// The changes after a version, as long as the log has them: for caches, search indexes and
    /// copies elsewhere. Without a version, from the oldest change that the log has.
    ///
    /// A version is that of any operation, from a write, a [`Change`](crate::Change) or a feed's
    /// [position](crate::Feed::position); [`last_version`](Self::last_version) is the way to start
    /// with what is written from now on. What a checkpoint holds leaves the log, but for
    /// [`keep_log_bytes`](crate::Options::keep_log_bytes) and what open feeds still need.
    ///
    /// [`Changes`] has filters by tree and prefix, and says how safe a change is when it is shown.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use holt_engine::Effect;
    ///
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// let files = db.default_tree();
    /// let before = db.last_version()?;
    /// let put = files.put(b"etc/motd", b"hello")?;
    /// let _moved = files.rename_prefix(b"etc/", b"config/")?;
    ///
    /// let mut feed = db.changes(Some(before)).prefix(&files, "etc/").open()?;
    /// let change = feed.next_within(Duration::from_secs(60))?.expect("the put");
    /// assert_eq!(change.version(), put);
    /// let change = feed.next_within(Duration::from_secs(60))?.expect("the renaming");
    /// let Effect::RenamePrefix { from, to, .. } = &change.operations()[0].effect else { panic!() };
    /// assert_eq!((&from[..], &to[..]), (&b"etc/"[..], &b"config/"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn changes(&self, after: Option<Version>) -> Changes<D> {
        Changes::new(&self.lease, after)
    }

    /// A version that no write up to now exceeds, and every later one does.
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
    /// let first = db.default_tree().put(b"key", b"value")?;
    /// let last = db.last_version()?;
    /// assert!(first <= last && last < db.default_tree().put(b"key", b"value")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn last_version(&self) -> Result<Version, Error> {
        self.lease.core().check_open()?;
        // The granule before the log's end, which belongs to the last record.
        replay::version(self.lease.core().log_address() - GRANULE as u64)
    }

    /// Reads an archive, as [`Snapshot::export`] writes it, into trees of this database: all of it, or
    /// nothing.
    ///
    /// - Into trees that are not there yet; the default tree counts as one while it is empty. The
    ///   archive is read to its end, and known to be whole, before any of its trees has its name.
    /// - With [`merge`](ImportOptions::merge), into trees that are there, too: only after the whole
    ///   archive was read its records are put, some at a time, in place of the values that their
    ///   keys have. Readers may see a part of that.
    ///
    /// After an error, and killed or without power at any moment, all of the archive is there or nothing
    /// of it: the next opening for writing brings to an end what was begun. Until then there are trees
    /// with names that begin with `holt.import`. Memory on the way is bounded but for what
    /// the trees take; writers go on. The records get new versions.
    ///
    /// # Errors
    ///
    /// [`Error::Archive`] for an archive that is cut short or damaged; [`Error::WrongArchive`];
    /// [`Error::TreeExists`] for a tree that is there, unless it is to be merged;
    /// [`Error::Importing`] while another import is under way; and every error of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::{Error, ImportOptions};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let (from, to) = (holt_engine::Db::in_memory()?, holt_engine::Db::in_memory()?);
    /// from.tree("files")?.put(b"a", b"1")?;
    /// let mut archive = Vec::new();
    /// from.snapshot()?.export().write_to(&mut archive)?;
    ///
    /// let imported = to.import(&archive[..], &ImportOptions::new())?;
    /// assert_eq!((imported.trees, imported.records), (2, 1));
    /// let again = to.import(&archive[..], &ImportOptions::new());
    /// assert!(matches!(again, Err(Error::TreeExists { name }) if name == "files"));
    /// to.import(&archive[..], ImportOptions::new().merge(true))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn import(&self, from: impl Read, options: &ImportOptions) -> Result<Imported, Error> {
        archive::import(self, from, options)
    }
}
