//! Making a backup, while the database is being written.
//!
//! 1. The archive is written and synced under a name that does not count.
//! 2. What is in it is made durable in the database, so that the backup is never ahead of it.
//! 3. It gets its name, and the directory is synced.
//!
//! Killed or without power before the last step, the backup is what it was; afterwards it is the new one. The name may be there
//! without the last sync, and then the archive under it is whole.

use std::io::{BufWriter, ErrorKind};
use std::path::Path;

use holt_art::Version;
use holt_codec::{ArchiveHeader, ArchiveWriter, GRANULE};
use holt_journal::disk::{Disk, DiskFile, RealDisk};

use super::chain::{self, MAKING};
use super::file::{Stream, failed};
use crate::db::Db;
use crate::error::Error;
use crate::feed::open_log;
use crate::options::Durability;
use crate::sync::Arc;

/// A part of a backup that was made.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use std::sync::Arc;
/// use holt_engine::{Backup, Db, Options, Restored, disk::SimDisk};
///
/// let db = Options::new().keep_log_bytes(64 << 20).open_on(Arc::new(SimDisk::new(1)))?;
/// db.default_tree().put(b"a", b"1")?;
/// let store = Arc::new(SimDisk::new(2));
/// let whole: Backup = db.backup_on(&store)?;
/// let put = db.default_tree().put(b"b", b"2")?;
/// let changes = db.backup_changes_on(&store)?;
/// assert_eq!((whole.after, changes.after), (None, Some(whole.version)));
/// assert!(changes.version >= put);
///
/// let restored: Restored = holt_engine::restore_on(&store, Arc::new(SimDisk::new(3)))?;
/// assert_eq!((restored.archives, restored.version), (2, changes.version));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The version after which it has all changes; none for one of everything.
    pub after: Option<Version>,
    /// The version up to which everything is in the backup now.
    pub version: Version,
    /// Records written. An increment with nothing in it is not written.
    pub records: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// # Backups
impl<D: Disk> Db<D> {
    /// Writes a backup of everything to the directory `path`, which is made if its parent exists, while
    /// reading and writing go on. It has all writes up to one moment and none of later ones.
    ///
    /// It is one file; those of earlier backups stay, and can be removed when this returns. The
    /// directory is for this database alone. [`restore`](crate::restore) makes a database of it.
    ///
    /// When this returns, the backup is on stable storage. Killed or without power before that, the
    /// directory has the backup that it had.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::WrongArchive`] if the directory has a backup of another database,
    /// and [`Error::Journal`] or [`Error::Io`] for the failure of a disk.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("db");
    /// # let copy = directory.path().join("backup");
    /// # let restored = directory.path().join("restored");
    /// let db = holt_engine::Options::new().keep_log_bytes(64 << 20).open(&path)?;
    /// db.default_tree().put(b"a", b"1")?;
    /// db.backup(&copy)?;
    /// db.default_tree().put(b"b", b"2")?;
    /// assert_eq!(db.backup_changes(&copy)?.records, 1);
    ///
    /// holt_engine::restore(&copy, &restored)?;
    /// let again = holt_engine::Db::open(&restored)?;
    /// assert_eq!(again.default_tree().get(b"b")?.as_deref(), Some(&b"2"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<Backup, Error> {
        self.backup_on(&directory(path.as_ref())?)
    }

    /// As [`backup`](Self::backup), to a disk of any kind.
    ///
    /// # Errors
    ///
    /// As [`backup`](Self::backup).
    ///
    /// # Examples
    ///
    /// See [`Backup`].
    pub fn backup_on<B: Disk>(&self, to: &Arc<B>) -> Result<Backup, Error> {
        let snapshot = self.snapshot()?;
        self.chain_of(to)?;
        let mut out = create(&**to)?;
        let exported = snapshot.export().write_to(&mut out)?;
        drop(snapshot);
        self.sync()?;
        let db = self.core().db_id();
        let header = ArchiveHeader { db, after: 0, up_to: exported.version.get() };
        give_name(&**to, &out, &header)?;
        let (records, bytes) = (exported.records, out.bytes());
        Ok(Backup { after: None, version: exported.version, records, bytes })
    }

    /// Adds to the backup in the directory `path` what has changed since it was made, or since
    /// something was added last. Costs by the changes and not by what the database holds.
    ///
    /// As durable as [`backup`](Self::backup).
    ///
    /// # Errors
    ///
    /// As [`backup`](Self::backup); [`Error::NoBackup`] if there is nothing to add to;
    /// [`Error::ChangesGone`] if the log does not go back so far, and a new backup of everything is
    /// needed: [`keep_log_bytes`](crate::Options::keep_log_bytes) says how far it does;
    /// [`Error::NoLog`] for a database in memory.
    pub fn backup_changes(&self, path: impl AsRef<Path>) -> Result<Backup, Error> {
        self.backup_changes_on(&directory(path.as_ref())?)
    }

    /// As [`backup_changes`](Self::backup_changes), to a disk of any kind.
    ///
    /// # Errors
    ///
    /// As [`backup_changes`](Self::backup_changes).
    ///
    /// # Examples
    ///
    /// See [`Backup`].
    pub fn backup_changes_on<B: Disk>(&self, to: &Arc<B>) -> Result<Backup, Error> {
        self.core().check_open()?;
        let chain = self.chain_of(to)?;
        // If a link is missing, this makes up for it, if the log goes back so far.
        let after = chain.parts.last().and_then(|part| Version::new(part.header.up_to));
        self.archive_changes(to, after.ok_or(Error::NoBackup)?)
    }

    /// Writes what has changed after the version `after` to the directory `path`, whatever else is in
    /// it: for archives that are kept elsewhere than on this machine. Those of several directories, put
    /// into one, are a backup if each goes on from the version to which one before it goes.
    ///
    /// As durable as [`backup`](Self::backup).
    ///
    /// # Errors
    ///
    /// As [`backup_changes`](Self::backup_changes), and [`Error::UnknownVersion`] if the database has
    /// given no such version.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("db");
    /// # let [whole, monday] = ["whole", "monday"].map(|name| directory.path().join(name));
    /// # let restored = directory.path().join("restored");
    /// let db = holt_engine::Options::new().keep_log_bytes(64 << 20).open(&path)?;
    /// db.default_tree().put(b"a", b"1")?;
    /// let shipped = db.backup(&whole)?.version;
    /// db.default_tree().put(b"b", b"2")?;
    /// let changes = db.backup_changes_after(shipped, &monday)?;
    /// assert_eq!((changes.after, changes.records), (Some(shipped), 1));
    ///
    /// // Where the archives are kept they come together again.
    /// for archive in std::fs::read_dir(&monday).unwrap() {
    ///     let archive = archive.unwrap();
    ///     std::fs::copy(archive.path(), whole.join(archive.file_name())).unwrap();
    /// }
    /// assert_eq!(holt_engine::restore(&whole, &restored)?.version, changes.version);
    /// # Ok(())
    /// # }
    /// ```
    pub fn backup_changes_after(
        &self,
        after: Version,
        path: impl AsRef<Path>,
    ) -> Result<Backup, Error> {
        self.backup_changes_after_on(after, &directory(path.as_ref())?)
    }

    /// As [`backup_changes_after`](Self::backup_changes_after), to a disk of any kind.
    ///
    /// # Errors
    ///
    /// As [`backup_changes_after`](Self::backup_changes_after).
    ///
    /// # Examples
    ///
    /// See [`backup_changes_after`](Self::backup_changes_after).
    pub fn backup_changes_after_on<B: Disk>(
        &self,
        after: Version,
        to: &Arc<B>,
    ) -> Result<Backup, Error> {
        self.core().check_open()?;
        self.chain_of(to)?;
        self.archive_changes(to, after)
    }

    /// Writes an archive of the changes after a version.
    fn archive_changes<B: Disk>(&self, to: &Arc<B>, after: Version) -> Result<Backup, Error> {
        let mut log = open_log(self.core(), Some(after), Durability::Sync)?;
        // What is written from now on is for the next time, so that this comes to an end.
        let until = self.last_version()?;
        self.sync()?;
        let db = self.core().db_id();
        let header = ArchiveHeader { db, after: after.get(), up_to: until.get().max(after.get()) };
        let write = |source| Error::Io { doing: "write the archive", source };
        let out = BufWriter::new(create(&**to)?);
        let mut writer = ArchiveWriter::new(out, header).map_err(write)?;
        let end = until.get() * GRANULE as u64;
        while log.passed() < end {
            let pushed = log.next_record(|address, record| {
                (address <= end).then(|| writer.push(address, &record))
            })?;
            let Some(Some(pushed)) = pushed else { break };
            pushed.map_err(write)?;
        }
        let records = writer.records();
        let out = writer.finish().map_err(write)?.into_inner();
        let out = out.map_err(|error| write(error.into_error()))?;
        if records == 0 {
            to.remove(MAKING).map_err(failed("remove", MAKING))?;
            return Ok(Backup { after: Some(after), version: after, records: 0, bytes: 0 });
        }
        give_name(&**to, &out, &header)?;
        Ok(Backup { after: Some(after), version: until, records, bytes: out.bytes() })
    }

    /// The archives that are in a directory.
    ///
    /// # Errors
    ///
    /// [`Error::WrongArchive`] if they are of another database; those of reading them.
    fn chain_of<B: Disk>(&self, to: &Arc<B>) -> Result<chain::Chain, Error> {
        let chain = chain::chain(&**to)?;
        match chain.db() {
            Some(db) if db != self.core().db_id() => {
                let what = format!("the backup is of database {db}");
                Err(Error::WrongArchive { what })
            }
            _ => Ok(chain),
        }
    }
}

/// The directory of a backup, which is made if there is none.
pub(super) fn directory(path: &Path) -> Result<Arc<RealDisk>, Error> {
    let doing = "create or open the directory of the backup";
    Ok(Arc::new(RealDisk::create(path).map_err(|source| Error::Io { doing, source })?))
}

/// An empty file for an archive, in place of one that was never finished.
fn create<B: Disk>(to: &B) -> Result<Stream<B::File>, Error> {
    match to.remove(MAKING) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("remove", MAKING)(error));
        }
        _ => {}
    }
    Ok(Stream::new(to.create(MAKING).map_err(failed("create", MAKING))?))
}

/// Makes the archive count.
fn give_name<B: Disk>(to: &B, out: &Stream<B::File>, header: &ArchiveHeader) -> Result<(), Error> {
    let name = chain::name(header);
    out.file().sync_all().map_err(failed("sync", MAKING))?;
    to.rename(MAKING, &name).map_err(failed("name", &name))?;
    to.sync_dir().map_err(failed("sync the directory of", &name))
}
