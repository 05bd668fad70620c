//! Verification: everything that can be checked, checked.
//!
//! | what | how |
//! |---|---|
//! | files of the checkpoint | the store reads every byte that counts, against its checksum |
//! | catalogue | every entry is decoded, every tree in it opened |
//! | log | every record from the checkpoint on is read, and applied to the trees of a database that nobody has open |
//! | trees | frame by frame: order, counts, free space; everything reached once, nothing besides. Frames that are not in memory are read and not kept |

use std::path::Path;

use holt_art::PoolOptions;
use holt_journal::disk::{Access, Disk};
use holt_journal::store::{self, Store};

use crate::catalog::Catalog;
use crate::core::Core;
use crate::error::Error;
use crate::log::Log;
use crate::open;
use crate::options::{Create, Options};
use crate::sync::{Arc, lock};

/// Something that must not be.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path();
/// # holt_engine::Db::open(path)?.default_tree().put(b"key", b"value")?;
/// std::fs::write(path.join("LOG.mark"), vec![b'x'; 8192]).unwrap();
/// for fault in holt_engine::verify(path)?.faults {
///     assert!(matches!(fault, holt_engine::Fault::Opening(_)));
///     println!("{fault}"); // names the file and what is wrong with it
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// In the files of the last checkpoint.
    #[error(transparent)]
    Store(store::Fault),
    /// In the log of an open database.
    #[error(transparent)]
    Log(holt_journal::Error),
    /// In the structure of the trees.
    #[error("trees: {0}")]
    Tree(holt_art::Fault),
    /// What keeps the database from being opened.
    #[error(transparent)]
    Opening(Error),
}

/// What a verification found.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path();
/// # holt_engine::Db::open(path)?.default_tree().put(b"key", b"value")?;
/// let report: holt_engine::Report = holt_engine::verify(path)?;
/// assert!(report.faults.is_empty());
/// println!("{} things are left behind", report.residue.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// What is wrong. The database is sound if there is nothing.
    pub faults: Vec<Fault>,
    /// What an interrupted process left behind, which harms nothing and goes with the next
    /// checkpoint.
    pub residue: Vec<store::Fault>,
}

impl Report {
    fn store<D: Disk>(&mut self, store: &Store<D>) {
        store.verify(&mut |fault| match fault {
            store::Fault::Residue { .. } => self.residue.push(fault),
            _ => self.faults.push(Fault::Store(fault)),
        });
    }

    /// Of an open database.
    fn log<D: Disk>(&mut self, core: &Core<D>, store: &Store<D>) {
        let Ok(Log::Journal(journal)) = core.log_for_checkpoint() else { return };
        // No checkpoint gives the log up while it is read: there is none before the pin is there.
        let checkpointing = lock(&core.checkpointing);
        let from = store.log_address();
        let _pin = journal.pin(from);
        drop(checkpointing);
        if let Err(error) = journal.verify(from) {
            self.faults.push(Fault::Log(error));
        }
    }

    fn trees(&mut self, pool: &holt_art::Pool, catalog: &Catalog) {
        let closed = pool.close_gate();
        let faults = pool.verify(&closed, &catalog.roots());
        drop(closed);
        self.faults.extend(faults.into_iter().map(Fault::Tree));
    }
}

/// Verifies the database in the directory `path`, which nobody may have open for writing: every
/// checksum of checkpoint and log, every invariant of the trees, and that everything is reachable.
/// Changes nothing.
///
/// # Errors
///
/// [`Error::Locked`] or [`Error::Missing`], or an error of the operating system that kept it from
/// looking. What it found wrong is no error but part of the report.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path();
/// holt_engine::Db::open(path)?.default_tree().put(b"key", b"value")?;
/// assert!(holt_engine::verify(path)?.faults.is_empty());
/// # Ok(())
/// # }
/// ```
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    verify_on(Arc::new(open::directory(path.as_ref(), &reading())?))
}

/// As [`verify`], on a disk of any kind.
///
/// # Errors
///
/// As [`verify`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use std::sync::Arc;
/// use holt_engine::{Options, disk::SimDisk, verify_on};
///
/// let disk = SimDisk::new(1);
/// let db = Options::new().open_on(Arc::new(disk.clone()))?;
/// db.default_tree().put(b"key", b"value")?;
/// db.close()?;
/// assert!(verify_on(Arc::new(disk))?.faults.is_empty());
/// # Ok(())
/// # }
/// ```
pub fn verify_on<D: Disk>(disk: Arc<D>) -> Result<Report, Error> {
    let options = reading();
    let mut report = Report::default();
    let lock = match open::lock(&disk, &options) {
        Ok(lock) => lock,
        Err(error @ (Error::Journal(_) | Error::Damaged { .. })) => {
            report.faults.push(Fault::Opening(error));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let store = match Store::open(Arc::clone(&disk), Access::Read) {
        Ok(store) => Arc::new(store),
        Err(holt_journal::Error::NoStore) => return Err(Error::Missing),
        Err(error) => {
            report.faults.push(Fault::Opening(error.into()));
            return Ok(report);
        }
    };
    report.store(&store);
    match open::trees(&store, PoolOptions::default()) {
        Ok((pool, catalog)) => {
            if let Err(error) = open::log(&disk, &store, &pool, &catalog, false) {
                report.faults.push(Fault::Opening(error));
            }
            report.trees(&pool, &catalog);
        }
        // Most likely the image of one of the faults that the store has reported already.
        Err(_) if !report.faults.is_empty() => {}
        Err(error) => report.faults.push(Fault::Opening(error)),
    }
    drop(lock);
    Ok(report)
}

/// See [`Db::verify`](crate::Db::verify).
pub(crate) fn of<D: Disk>(core: &Core<D>) -> Result<Report, Error> {
    core.check_open()?;
    let mut report = Report::default();
    if let Some(files) = &core.files {
        report.store(&files.store);
        report.log(core, &files.store);
    }
    report.trees(&core.pool, &core.catalog);
    Ok(report)
}

fn reading() -> Options {
    let mut options = Options::new();
    options.read_only(true).create(Create::Never);
    options
}
