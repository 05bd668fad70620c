//! Making a database of a backup.
//!
//! It is made in a directory beside the one that it is to have, `.<name>.restoring`, closed, and then gets its name. Killed or
//! without power before that, there is no database under the name, and what was made goes with the next attempt.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use holt_art::Version;
use holt_codec::ArchiveReader;
use holt_journal::disk::{Access, Disk, RealDisk};
use holt_journal::store::LOCK_FILE;

use super::chain::{Part, chain};
use super::file::{Stream, failed};
use crate::archive::Loader;
use crate::error::{Error, Holder};
use crate::options::{Create, Options};
use crate::sync::Arc;

/// Bytes of an archive that are read at once.
const CHUNK: usize = 256 << 10;

/// A backup of which a database was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The version, of the database that was backed up, up to which everything is there.
    pub version: Version,
    /// Archives read: one of everything, and those of changes after it.
    pub archives: u64,
    /// Records applied.
    pub records: u64,
}

/// Makes a database in the directory `to`, which is empty or not there, of the backup in the directory
/// `from`: see [`Db::backup`](crate::Db::backup).
///
/// It holds what the other one held at the backup's version. It is another database: its versions begin
/// anew, and a backup of it needs a directory of its own.
///
/// When this returns, it is on stable storage. Killed or without power before that, `to` is as it
/// was or has all of it.
///
/// # Errors
///
/// [`Error::NoBackup`] if `from` holds none, [`Error::Exists`] if something is in `to`,
/// [`Error::Archive`] and [`Error::WrongArchive`] for a backup that is damaged or of which an archive in
/// the middle is missing, [`Error::Locked`]
/// while somebody else restores to the same place, and every error of opening and writing a
/// database. Nothing is in `to` then.
///
/// # Examples
///
/// See [`Db::backup`](crate::Db::backup).
pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Restored, Error> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let failed = |doing| move |source| Error::Io { doing, source };
    let backup = RealDisk::open(from).map_err(failed("open the directory of the backup"))?;
    let parts = chain(&backup)?.whole()?;
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(Error::Exists),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(Error::Exists),
        Err(error) => return Err(failed("read the directory")(error)),
    }
    let (parent, making) = beside(to)?;
    clear(&making)?;
    let restored = RealDisk::create(&making)
        .map_err(failed("create the directory"))
        .and_then(|disk| load(&backup, &parts, Arc::new(disk)));
    let restored = restored.and_then(|restored| {
        fs::rename(&making, to).map_err(failed("name the directory"))?;
        let parent = RealDisk::open(&parent).map_err(failed("open the directory above"))?;
        parent.sync_dir().map_err(failed("sync the directory above"))?;
        Ok(restored)
    });
    if restored.is_err() {
        // It may have its name already; what is left goes with the next attempt.
        let _ = fs::remove_dir_all(&making);
    }
    restored
}

/// As [`restore`], between disks of any kind. `to` is empty; until this has returned, what is there is no
/// database to be used.
///
/// # Errors
///
/// As [`restore`].
///
/// # Examples
///
/// See [`Backup`](crate::Backup).
pub fn restore_on<B: Disk, D: Disk>(from: &Arc<B>, to: Arc<D>) -> Result<Restored, Error> {
    load(&**from, &chain(&**from)?.whole()?, to)
}

/// The directory above, and the one beside in which a database is made.
fn beside(to: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let name = to.file_name().ok_or(Error::Exists)?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut making = OsString::from(".");
    making.push(name);
    making.push(".restoring");
    let making = parent.join(making);
    Ok((parent, making))
}

/// Removes what an attempt before has left, unless it is still under way.
fn clear(making: &Path) -> Result<(), Error> {
    let failed = |source| Error::Io { doing: "remove what an earlier restoring left", source };
    match RealDisk::open(making) {
        Ok(left) => {
            let Some(_alone) = left.lock(LOCK_FILE, true).map_err(failed)? else {
                return Err(Error::Locked { holder: Holder::Writer });
            };
            fs::remove_dir_all(making).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn load<B: Disk, D: Disk>(from: &B, parts: &[Part], to: Arc<D>) -> Result<Restored, Error> {
    let last = parts.last().and_then(|part| Version::new(part.header.up_to));
    let version = last.ok_or(Error::NoBackup)?;
    let db = Options::new().create(Create::New).open_on(to)?;
    let mut loader = Loader::new(&db);
    let mut records = 0;
    for part in parts {
        let file = from.open(&part.name, Access::Read).map_err(failed("open", &part.name))?;
        let stream = BufReader::with_capacity(CHUNK, Stream::new(file));
        records += loader.load(&mut ArchiveReader::new(stream)?)?;
    }
    drop(loader);
    db.checkpoint()?;
    db.close()?;
    Ok(Restored { version, archives: parts.len() as u64, records })
}
