//! Opening a database: lock, checkpoint, log, in this order.
//!
//! 1. The lock file's lock is taken before anything is read: what is read stays as it is.
//! 2. The store is opened at its newest checkpoint, or created.
//! 3. The frames of the checkpoint, and its values too large for a frame, are made known, and read when
//!    they are needed. The catalogue is opened with the trees in it.
//! 4. The log from the checkpoint's address on is replayed. If that changes more frames than the cache
//!    has room for, checkpoints are made on the way.
//! 5. The log is made ready to be written, unless reading is all that is wanted.
//!
//! 6. An import that was under way is brought to its end, or taken back.
//!
//! Apart from such checkpoints and the last of these, opening changes nothing on disk but for creating
//! what is to be created.

use std::io::ErrorKind;
use std::path::Path;

use holt_art::{Pool, PoolOptions};
use holt_codec::FIRST_ADDRESS;
use holt_journal::disk::{Access, Disk, RealDisk};
use holt_journal::store::{LOCK_FILE, Store};
use holt_journal::{Journal, RecoveredLog, recover_log};

use crate::archive;
use crate::catalog::Catalog;
use crate::checkpoint;
use crate::core::{Core, Files, Lease};
use crate::db::Db;
use crate::error::{Error, Holder};
use crate::frames::Frames;
use crate::log::Log;
use crate::meta::Meta;
use crate::options::{Create, Options};
use crate::replay::Replay;
use crate::sync::Arc;

/// Bytes of frames beyond which an opening does not take more than it may.
const MOST_FRAMES: u64 = 64 << 30;
/// Bytes of frames that a database has at least.
const LEAST_FRAMES: u64 = 8 << 20;
/// Frames that have to be there for changes when a database is opened.
const MIN_CHANGEABLE: usize = 64;

/// See [`Options::open_on`].
pub(crate) fn open<D: Disk>(disk: Arc<D>, options: &Options) -> Result<Db<D>, Error> {
    let lock = lock(&disk, options)?;
    let store = Arc::new(store(&disk, options)?);
    let (pool, catalog, recovered) = recover(&disk, &store, options)?;
    let end = recovered.end();
    let log = if options.read_only {
        None
    } else {
        let db = store.db();
        Some(Log::Journal(Journal::start(Arc::clone(&disk), db, recovered, options.log())?))
    };
    let files = Files::new(store, disk, end, lock);
    let db = Db::new(Lease::new(Core::new((pool, catalog), Some(files), log, options))?);
    if !options.read_only {
        archive::settle(&db)?;
    }
    Ok(db)
}

/// Opens a database for reading, without a lock, that another process may be writing: as of its newest
/// checkpoint and the log that was written before this. If a checkpoint is made meanwhile, log may be given up
/// before it was read, and the log may seem to end there. Frames are read when they are wanted, and may
/// be there no more when two further checkpoints have been made; that is an error then, and never another answer.
///
/// # Errors
///
/// Any error of opening, which may be about something that was just being changed.
pub(crate) fn beside<D: Disk>(disk: &Arc<D>, options: &Options) -> Result<Db<D>, Error> {
    let store = Arc::new(store(disk, options)?);
    let (pool, catalog, recovered) = recover(disk, &store, options)?;
    let files = Files::beside(store, Arc::clone(disk), recovered.end());
    Ok(Db::new(Lease::new(Core::new((pool, catalog), Some(files), None, options))?))
}

/// See [`Options::in_memory`].
pub(crate) fn in_memory(options: &Options) -> Result<Db, Error> {
    let pool = Pool::new(sizes(options))?;
    let catalog = Catalog::new(&pool)?;
    Ok(Db::new(Lease::new(Core::new((pool, catalog), None, Some(Log::in_memory()), options))?))
}

/// The directory `path` as a disk; it is made if the options allow it.
pub(crate) fn directory(path: &Path, options: &Options) -> Result<RealDisk, Error> {
    let (disk, doing) = if options.may_create() {
        (RealDisk::create(path), "create or open the directory")
    } else {
        (RealDisk::open(path), "open the directory")
    };
    disk.map_err(|source| match source.kind() {
        ErrorKind::NotFound if !options.may_create() => Error::Missing,
        _ => Error::Io { doing, source },
    })
}

/// Takes the lock that the options ask for, without leaving a lock file where no database is.
pub(crate) fn lock<D: Disk>(disk: &Arc<D>, options: &Options) -> Result<D::Lock, Error> {
    let failed = |doing| move |source| Error::Io { doing, source };
    let names = disk.list().map_err(failed("list the directory"))?;
    if !names.iter().any(|name| name == LOCK_FILE) {
        match (Store::open(Arc::clone(disk), Access::Read), names.into_iter().next()) {
            // A database without its lock file; a writer will make a new one.
            (Ok(_), _) => {}
            (Err(holt_journal::Error::NoStore), _) if options.may_create() => {}
            (Err(holt_journal::Error::NoStore), _) => return Err(Error::Missing),
            (Err(_), Some(name)) => return Err(Error::Foreign { name }),
            (Err(error), None) => return Err(error.into()),
        }
    }
    let exclusive = !options.read_only;
    match disk.lock(LOCK_FILE, exclusive) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) if exclusive => Err(Error::Locked { holder: Holder::Anybody }),
        Ok(None) => Err(Error::Locked { holder: Holder::Writer }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::Damaged {
            place: LOCK_FILE.to_owned(),
            what: "the file is missing; opening for writing makes a new one".to_owned(),
        }),
        Err(source) => Err(Error::Io { doing: "lock the database", source }),
    }
}

/// Opens the store, or creates it.
fn store<D: Disk>(disk: &Arc<D>, options: &Options) -> Result<Store<D>, Error> {
    let access = if options.read_only { Access::Read } else { Access::ReadWrite };
    match Store::open(Arc::clone(disk), access) {
        Ok(_) if options.create == Create::New => Err(Error::Exists),
        Ok(store) => Ok(store),
        Err(holt_journal::Error::NoStore) if options.may_create() => {
            Ok(Store::create(Arc::clone(disk), FIRST_ADDRESS)?)
        }
        Err(holt_journal::Error::NoStore) => Err(Error::Missing),
        Err(error) => Err(error.into()),
    }
}

/// Sizes of the memory for the trees.
fn sizes(options: &Options) -> PoolOptions {
    match options.memory_bytes {
        Some(bytes) => PoolOptions::with_bytes(bytes, bytes),
        None => PoolOptions::default(),
    }
}

/// Brings the trees to where the log ends, in as much memory as the options allow, or twice as much, and
/// again, if that does not do.
fn recover<D: Disk>(
    disk: &Arc<D>,
    store: &Arc<Store<D>>,
    options: &Options,
) -> Result<(Arc<Pool>, Catalog, RecoveredLog), Error> {
    let mut sizes = sizes(options);
    sizes.frame_bytes = options.cache_bytes.unwrap_or(sizes.frame_bytes);
    loop {
        let recovered = trees(store, sizes).and_then(|(pool, catalog)| {
            let recovered = log(disk, store, &pool, &catalog, !options.read_only)?;
            Ok((pool, catalog, recovered))
        });
        let full = match &recovered {
            Err(Error::CacheTooSmall { .. }) => true,
            Err(Error::Tree(holt_art::Error::PoolFull { what, .. })) => *what == "frames",
            _ => false,
        };
        if !full || sizes.frame_bytes >= MOST_FRAMES {
            return recovered;
        }
        sizes.frame_bytes = sizes.frame_bytes.max(LEAST_FRAMES) * 2;
    }
}

/// Makes the trees of the newest checkpoint known, for which only their roots are read.
pub(crate) fn trees<D: Disk>(
    store: &Arc<Store<D>>,
    sizes: PoolOptions,
) -> Result<(Arc<Pool>, Catalog), Error> {
    let pool = Pool::with_source(sizes, Arc::new(Frames(Arc::clone(store))))?;
    for (object, bytes) in store.objects() {
        pool.declare(object.0, bytes)?;
    }
    let meta = store.meta();
    let catalog = if meta.is_empty() {
        Catalog::new(&pool)?
    } else {
        Catalog::open(&pool, Meta::decode(&meta)?)?
    };
    if pool.changeable() < MIN_CHANGEABLE {
        // Nearly all of the memory is for the roots of trees.
        let limit = (pool.changeable() * Pool::FRAME_BYTES) as u64;
        return Err(Error::CacheTooSmall { limit });
    }
    Ok((pool, catalog))
}

/// Applies what the log holds beyond the newest checkpoint. `writable` says that checkpoints may be
/// made for that.
pub(crate) fn log<D: Disk>(
    disk: &Arc<D>,
    store: &Arc<Store<D>>,
    pool: &Arc<Pool>,
    catalog: &Catalog,
    writable: bool,
) -> Result<RecoveredLog, Error> {
    let mut relief = |address| checkpoint::amid_replay(disk, store, pool, catalog, address);
    let mut replay = Replay::new(pool, catalog, writable.then_some(&mut relief));
    recover_log(disk, store.db(), store.log_address(), &mut |address, record| {
        replay.apply(address, record)
    })
}
