//! Backing up a database that another process has open, from its files.
//!
//! - No lock is taken, nothing of the database is changed, and the writer does not notice.
//! - What is read is the newest checkpoint, and the log from its address on. If there is no newer one when the log
//!   has been read, no file of that log can have been used again meanwhile, so it goes on without a gap to an end that
//!   lies behind all that was handed to the operating system before.
//! - Frames are read as the archive comes to them, and are what the checkpoint's checksums and numbers say. Their
//!   places are free once the next checkpoint is made, and may hold something else when the one after that is. So
//!   it may be noticed that a frame is gone; then all begins anew, a few times.
//! - Before the archive counts the files are synced, so that no loss of power leaves the backup ahead of the
//!   database.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use holt_journal::disk::{Access, Disk, DiskFile, RealDisk};

use super::chain::MAKING;
use super::file::failed;
use super::make::{Backup, directory};
use crate::db::Db;
use crate::error::Error;
use crate::open;
use crate::options::{Create, Options};
use crate::sync::{Arc, sleep};

/// How often it is begun anew because checkpoints were faster.
const ATTEMPTS: u32 = 5;
/// How often opening is repeated before its error is believed: what is read may just be being written.
const LOOKS: u32 = 20;
/// The pause between two of those.
const PAUSE: Duration = Duration::from_millis(10);

/// Backs up the database in the directory `database`, also while another process writes it, as
/// [`Db::backup`] does in that process: everything that was handed to the operating system before this was
/// called is in it. `backup` is the backup's directory.
///
/// Nobody waits for this. But nobody waits for it either: a database that is written so fast that frames are
/// replaced before they have been read, two checkpoints later, is backed up by [`Db::backup`] alone. While it is
/// open nowhere, this is the same as opening it for reading and calling that.
///
/// As durable as [`Db::backup`].
///
/// # Errors
///
/// [`Error::Overtaken`] when the database changes too fast; [`Error::Missing`]; and every error of opening and
/// of [`Db::backup`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("db");
/// # let copy = directory.path().join("backup");
/// # let restored = directory.path().join("restored");
/// // As if in another process.
/// let db = holt_engine::Options::new().keep_log_bytes(64 << 20).open(&path)?;
/// db.default_tree().put_with(b"a", b"1", holt_engine::Durability::Os)?;
///
/// holt_engine::backup_beside(&path, &copy)?;
/// db.default_tree().put_with(b"b", b"2", holt_engine::Durability::Os)?;
/// assert_eq!(holt_engine::backup_changes_beside(&path, &copy)?.records, 1);
///
/// holt_engine::restore(&copy, &restored)?;
/// assert_eq!(holt_engine::Db::open(&restored)?.default_tree().len()?, 2);
/// # Ok(())
/// # }
/// ```
pub fn backup_beside(
    database: impl AsRef<Path>,
    backup: impl AsRef<Path>,
) -> Result<Backup, Error> {
    let database = there(database.as_ref())?;
    backup_beside_on(&database, &directory(backup.as_ref())?)
}

/// As [`backup_beside`], between disks of any kind.
///
/// # Errors
///
/// As [`backup_beside`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use std::sync::Arc;
/// use holt_engine::{Durability, Options, disk::SimDisk};
///
/// let (disk, backup) = (Arc::new(SimDisk::new(1)), Arc::new(SimDisk::new(2)));
/// let db = Options::new().keep_log_bytes(1 << 20).open_on(Arc::clone(&disk))?;
/// db.default_tree().put_with(b"a", b"1", Durability::Os)?;
/// let whole = holt_engine::backup_beside_on(&disk, &backup)?;
/// let put = db.default_tree().put_with(b"b", b"2", Durability::Os)?;
/// let changes = holt_engine::backup_changes_beside_on(&disk, &backup)?;
/// assert!(whole.version < put && put <= changes.version);
/// # Ok(())
/// # }
/// ```
pub fn backup_beside_on<D: Disk, B: Disk>(
    database: &Arc<D>,
    backup: &Arc<B>,
) -> Result<Backup, Error> {
    beside(database, |db| db.backup_on(backup))
}

/// As [`backup_beside`], adding to the backup that is there what has changed since, as
/// [`Db::backup_changes`] does.
///
/// # Errors
///
/// As [`backup_beside`] and [`Db::backup_changes`].
///
/// # Examples
///
/// See [`backup_beside`].
pub fn backup_changes_beside(
    database: impl AsRef<Path>,
    backup: impl AsRef<Path>,
) -> Result<Backup, Error> {
    let database = there(database.as_ref())?;
    backup_changes_beside_on(&database, &directory(backup.as_ref())?)
}

/// As [`backup_changes_beside`], between disks of any kind.
///
/// # Errors
///
/// As [`backup_changes_beside`].
///
/// # Examples
///
/// See [`backup_beside_on`].
pub fn backup_changes_beside_on<D: Disk, B: Disk>(
    database: &Arc<D>,
    backup: &Arc<B>,
) -> Result<Backup, Error> {
    beside(database, |db| db.backup_changes_on(backup))
}

/// Has `make` make something of the database, which others may write meanwhile.
fn beside<D: Disk, R>(
    disk: &Arc<D>,
    make: impl Fn(&Db<D>) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut options = Options::new();
    options.read_only(true).create(Create::Never);
    match options.open_on(Arc::clone(disk)) {
        Err(Error::Locked { .. }) => {}
        opened => return make(&opened?),
    }
    let mut attempts = 0;
    loop {
        let (db, checkpoints) = look(disk, &options)?;
        let error = match make(&db) {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        attempts += 1;
        let gone = match &error {
            Error::Tree(_) | Error::Damaged { .. } => true,
            Error::Journal(holt_journal::Error::Io { file, .. }) => file != MAKING,
            Error::Journal(_) => true,
            _ => false,
        };
        // Without another checkpoint everything is still where it was, so something is really wrong.
        if !gone || made_so_far(&**disk).is_ok_and(|now| now == checkpoints) {
            return Err(error);
        }
        if attempts == ATTEMPTS {
            return Err(Error::Overtaken);
        }
    }
}

/// Opens the database as it is; also what there was of checkpoints then.
fn look<D: Disk>(disk: &Arc<D>, options: &Options) -> Result<(Db<D>, Checkpoints), Error> {
    let mut looks = 0;
    loop {
        let before = made_so_far(&**disk)?;
        let opened = open::beside(disk, options);
        let unchanged = made_so_far(&**disk)? == before;
        match opened {
            Ok(db) if unchanged => return Ok((db, before)),
            Err(error) if unchanged && looks == LOOKS => return Err(error),
            _ if looks == LOOKS => return Err(Error::Overtaken),
            _ => sleep(PAUSE),
        }
        looks += 1;
    }
}

/// Names and lengths of the manifests, which tell every checkpoint: it makes one longer or a new one.
type Checkpoints = Vec<(String, u64)>;

fn made_so_far<D: Disk>(disk: &D) -> Result<Checkpoints, Error> {
    let mut names = disk.list().map_err(failed("list", "the database"))?;
    names.retain(|name| name.starts_with("MANIFEST-"));
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names {
        match disk.open(&name, Access::Read).and_then(|file| file.len()) {
            Ok(len) => found.push((name, len)),
            // Replaced by the one that follows.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("measure", &name)(error)),
        }
    }
    Ok(found)
}

fn there(path: &Path) -> Result<Arc<RealDisk>, Error> {
    open::directory(path, Options::new().create(Create::Never)).map(Arc::new)
}
