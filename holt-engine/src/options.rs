//! How a database is opened, and what a write waits for.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use holt_journal::LogOptions;
use holt_journal::disk::Disk;

use crate::db::Db;
use crate::error::Error;
use crate::open;
use crate::sync::Arc;

/// What [`Options::memory_bytes`] may be: room for the trees that every database has, at least.
const MEMORY_BYTES: RangeInclusive<u64> = 512 << 10..=1 << 50;
/// What [`Options::buffer_bytes`] may be.
const BUFFER_BYTES: RangeInclusive<usize> = 0..=4 << 30;
/// What [`Options::segment_bytes`] may be: a block of the disk at least.
const SEGMENT_BYTES: RangeInclusive<u64> = 4 << 10..=64 << 30;
/// What [`Options::buffer_window`] may be.
const BUFFER_WINDOW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);
/// The shortest [`Options::checkpoint_idle`]: a thread looks as often.
const CHECKPOINT_IDLE: Duration = Duration::from_millis(1);

/// What an acknowledged write has survived when the call returns.
///
/// Levels are ordered: each promises what the one before it does, and more.
///
/// | | the process is killed | the power is lost | cost of one write |
/// |---|---|---|---|
/// | `Buffered` | the last few milliseconds may be missing | as `Os` | a copy in memory |
/// | `Os` | survives | what the system had not yet written may be missing | a system call, shared by concurrent writers |
/// | `Sync` | survives | survives | a sync of the device, shared by concurrent writers |
///
/// Whatever the level, what a crash leaves is a prefix of all writes of the database in the order
/// in which they were applied: a write is never there without every write before it.
/// [`Db::close`](crate::Db::close), dropping the last handle, and [`Db::sync`](crate::Db::sync) make
/// every earlier write as safe as `Sync` does.
///
/// An operation that finds nothing to do, such as deleting a key that is not there, waits like a
/// write: at `Os` and `Sync` its answer rests on nothing that the level lets vanish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The write is in the log's buffer in memory. It reaches the operating system within
    /// [`Options::buffer_window`], or sooner.
    #[default]
    Buffered,
    /// The write has been handed to the operating system.
    Os,
    /// The write is on stable storage.
    Sync,
}

/// What opening does about a database that is there, or is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Create {
    /// Opens the database, and creates it first if there is none.
    #[default]
    IfMissing,
    /// Opens the database; [`Error::Missing`] if there is none.
    Never,
    /// Creates the database; [`Error::Exists`] if there is one already.
    New,
}

/// How a database is opened.
///
/// Every value has a default that suits most uses; [`Db::open`] takes them all. A value outside of
/// the bounds that its method names is [`Error::BadOption`] when the database is opened.
///
/// # Examples
///
/// ```
/// use holt_engine::{Create, Durability, Options};
///
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("db");
/// let db = Options::new()
///     .create(Create::New)
///     .durability(Durability::Sync)
///     .checkpoint_bytes(256 << 20)
///     .open(&path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) create: Create,
    pub(crate) read_only: bool,
    pub(crate) durability: Durability,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) cache_bytes: Option<u64>,
    pub(crate) buffer_bytes: usize,
    pub(crate) buffer_window: Duration,
    pub(crate) segment_bytes: u64,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) checkpoint_idle: Duration,
    pub(crate) keep_log_bytes: u64,
    pub(crate) feed_bytes: u64,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Options {
        Options {
            create: Create::default(),
            read_only: false,
            durability: Durability::default(),
            memory_bytes: None,
            cache_bytes: None,
            buffer_bytes: 32 << 20,
            buffer_window: Duration::from_millis(10),
            segment_bytes: 64 << 20,
            checkpoint_bytes: 256 << 20,
            checkpoint_idle: Duration::from_secs(5),
            keep_log_bytes: 0,
            feed_bytes: 1 << 30,
        }
    }

    /// What to do about a database that is there, or is not. By default a missing one is created.
    pub fn create(&mut self, create: Create) -> &mut Options {
        self.create = create;
        self
    }

    /// Opens for reading alone: no file is changed, other readers may share the database, and it is
    /// never created, so [`Create::New`] does not go with it. Off by default.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::{Db, Error, Options};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("db");
    /// Db::open(&path)?.default_tree().put(b"key", b"value")?;
    /// let reader = Options::new().read_only(true).open(&path)?;
    /// let another = Options::new().read_only(true).open(&path)?;
    /// assert!(another.default_tree().contains(b"key")?);
    /// assert!(matches!(reader.default_tree().put(b"key", b""), Err(Error::ReadOnly)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_only(&mut self, read_only: bool) -> &mut Options {
        self.read_only = read_only;
        self
    }

    /// What writes wait for that do not say it themselves. By default [`Durability::Buffered`].
    pub fn durability(&mut self, durability: Durability) -> &mut Options {
        self.durability = durability;
        self
    }

    /// The most memory in bytes that the frames of a database in memory may take, and again the most
    /// that values of more than 3,000 bytes may take, which frames do not hold. What needs more
    /// fails with [`Error::Tree`] before it changes anything. By default 64 GiB each; from
    /// 512 KiB to 1 PiB.
    ///
    /// A database on disk takes no more than [`cache_bytes`](Self::cache_bytes) for both, which
    /// by default is this.
    pub fn memory_bytes(&mut self, bytes: u64) -> &mut Options {
        self.memory_bytes = Some(bytes);
        self
    }

    /// The most memory in bytes that a database on disk may take for frames and for values of more than about
    /// 3,000 bytes, which lie outside of frames; at least 8 MiB, and 64 KiB for each tree, as the root of every tree
    /// stays in memory. The database may be many times larger: what has not changed since the last checkpoint
    /// leaves memory when the room is needed, the least wanted first, and is read again when somebody
    /// needs it, a frame or a value at a time. To replace or remove a value it need not be read. When half
    /// of what may change has changed a checkpoint is made, whatever
    /// [`checkpoint_bytes`](Self::checkpoint_bytes) says; a writer who finds no room all the same waits for it.
    ///
    /// Besides there is twice what [`buffer_bytes`](Self::buffer_bytes) says, about 150 bytes for each
    /// frame of the database and each such value, 2 MiB while a checkpoint is made, and values on
    /// their way to a reader. One value that does not fit is in memory beyond the cache while it is written, and
    /// one while it is read. Snapshots keep no memory for values that a checkpoint has written.
    ///
    /// One batch, and what snapshots and lists keep, has to fit: a batch may change as many frames as
    /// three eighths of the cache hold, less what its large values take, or gets [`Error::CacheTooSmall`]. Where the log holds a batch
    /// that needs more, and where the log of a database that is opened for reading alone changes more
    /// than the cache holds, the opening takes twice as much, and again.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path();
    /// let db = holt_engine::Options::new().cache_bytes(16 << 20).open(path)?;
    /// let tree = db.default_tree();
    /// for number in 0..40_000_u32 {
    ///     tree.put(&number.to_be_bytes(), &[7; 500])?;
    /// }
    /// assert!(db.stats()?.memory_bytes <= 16 << 20);
    /// assert_eq!(tree.get(&123_u32.to_be_bytes())?, Some(vec![7; 500]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cache_bytes(&mut self, bytes: u64) -> &mut Options {
        self.cache_bytes = Some(bytes);
        self
    }

    /// Bytes of the ring in memory through which all writes go to the log, rounded up to a power of
    /// two. By default 32 MiB, which the longest record needs: less is taken for that. At most 4 GiB.
    pub fn buffer_bytes(&mut self, bytes: usize) -> &mut Options {
        self.buffer_bytes = bytes;
        self
    }

    /// How long a [`Durability::Buffered`] write may stay in memory before it is handed to the
    /// operating system: what a killed process can lose. By default 10 ms, at most a day.
    pub fn buffer_window(&mut self, window: Duration) -> &mut Options {
        self.buffer_window = window;
        self
    }

    /// Bytes of one segment of the log, all of which are reserved on the disk at once. By default
    /// 64 MiB; from 4 KiB to 64 GiB.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use std::time::Duration;
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// // Little memory, little disk, and no more than 2 ms to lose to a kill.
    /// let db = holt_engine::Options::new()
    ///     .memory_bytes(16 << 20)
    ///     .buffer_bytes(0)
    ///     .segment_bytes(1 << 20)
    ///     .buffer_window(Duration::from_millis(2))
    ///     .checkpoint_idle(Duration::from_secs(1))
    ///     .open(directory.path())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn segment_bytes(&mut self, bytes: u64) -> &mut Options {
        self.segment_bytes = bytes;
        self
    }

    /// Bytes of log after which a checkpoint is made in the background; they bound what opening has
    /// to replay. Zero leaves checkpoints to [`Db::checkpoint`] alone. By default 256 MiB.
    pub fn checkpoint_bytes(&mut self, bytes: u64) -> &mut Options {
        self.checkpoint_bytes = bytes;
        self
    }

    /// How long nobody has to write before a checkpoint is made of what there is, so that an idle
    /// database opens without anything to replay; it takes up to twice that. By default 5 s, at least
    /// 1 ms. Without meaning if [`checkpoint_bytes`](Self::checkpoint_bytes) is zero.
    pub fn checkpoint_idle(&mut self, time: Duration) -> &mut Options {
        self.checkpoint_idle = time;
        self
    }

    /// Bytes of log that stay on disk below a checkpoint, so that a [`Feed`](crate::Feed) that was
    /// closed for a while can go on where it was. Segments stay whole, so it may be one
    /// [segment](Self::segment_bytes) more. By default none: what a checkpoint holds leaves the log.
    pub fn keep_log_bytes(&mut self, bytes: u64) -> &mut Options {
        self.keep_log_bytes = bytes;
        self
    }

    /// Bytes of log, beyond those that [stay anyway](Self::keep_log_bytes), that a
    /// [`Feed`](crate::Feed) may keep on disk by lagging behind. One that lags further behind gets
    /// [`Error::ChangesGone`]. By default 1 GiB.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// let db = holt_engine::Options::new()
    ///     .keep_log_bytes(64 << 20) // for feeds that are closed for a while
    ///     .feed_bytes(256 << 20) // for feeds that are slow
    ///     .open(directory.path())?;
    /// # db.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn feed_bytes(&mut self, bytes: u64) -> &mut Options {
        self.feed_bytes = bytes;
        self
    }

    /// # Errors
    ///
    /// [`Error::BadOption`] for the first value that no database can be opened with.
    pub(crate) fn check(&self) -> Result<(), Error> {
        fn bad<T: fmt::Debug>(name: &'static str, value: T, allowed: &'static str) -> Error {
            Error::BadOption { name, value: format!("{value:?}"), allowed }
        }
        if let Some(bytes) = self.memory_bytes.filter(|bytes| !MEMORY_BYTES.contains(bytes)) {
            return Err(bad("memory_bytes", bytes, "524288 bytes to 1 PiB are allowed"));
        }
        if let Some(bytes) = self.cache_bytes.filter(|bytes| bytes > MEMORY_BYTES.end()) {
            return Err(bad("cache_bytes", bytes, "at most 1 PiB are allowed"));
        }
        if !BUFFER_BYTES.contains(&self.buffer_bytes) {
            return Err(bad("buffer_bytes", self.buffer_bytes, "at most 4 GiB are allowed"));
        }
        if !SEGMENT_BYTES.contains(&self.segment_bytes) {
            let allowed = "4096 bytes to 64 GiB are allowed";
            return Err(bad("segment_bytes", self.segment_bytes, allowed));
        }
        if !BUFFER_WINDOW.contains(&self.buffer_window) {
            return Err(bad("buffer_window", self.buffer_window, "at most a day is allowed"));
        }
        if self.checkpoint_idle < CHECKPOINT_IDLE {
            let allowed = "1 ms at least is allowed; no checkpoints are checkpoint_bytes(0)";
            return Err(bad("checkpoint_idle", self.checkpoint_idle, allowed));
        }
        if self.read_only && self.create == Create::New {
            let allowed = "what is opened for reading only is never created";
            return Err(bad("create", self.create, allowed));
        }
        Ok(())
    }

    /// The options of the log.
    pub(crate) fn log(&self) -> LogOptions {
        LogOptions {
            ring_capacity: self.buffer_bytes.max(LogOptions::default().ring_capacity),
            segment_bytes: self.segment_bytes,
            flush_interval: self.buffer_window,
            keep_bytes: self.keep_log_bytes,
            feed_bytes: self.feed_bytes,
        }
    }

    /// Whether a database may be created where there is none.
    pub(crate) fn may_create(&self) -> bool {
        !self.read_only && self.create != Create::Never
    }

    /// Opens the database in the directory `path`, which is created as well if
    /// [`create`](Self::create) allows it and its parent exists.
    ///
    /// Recovers what the log holds beyond the last checkpoint. A log whose end was torn by a crash
    /// ends where the tear is.
    ///
    /// # Errors
    ///
    /// - [`Error::BadOption`]: one of the values is none that a database can be opened with.
    /// - [`Error::Locked`]: somebody else has the database open.
    /// - [`Error::Missing`], [`Error::Exists`], [`Error::Foreign`]: what is there is not what
    ///   [`create`](Self::create) asks for.
    /// - [`Error::Version`], [`Error::Damaged`], or an error of the journal or the tree that names
    ///   what is wrong and where: nothing has been changed.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Db, Error> {
        // Before the directory is made.
        self.check()?;
        self.open_on(Arc::new(open::directory(path.as_ref(), self)?))
    }

    /// A new, empty database in memory alone: it has the whole API, no file, and is gone with its last
    /// handle. [`memory_bytes`](Self::memory_bytes) counts; what is about files and the log does
    /// not, and every [`Durability`] comes to the same.
    ///
    /// # Errors
    ///
    /// [`Error::Tree`] if the system does not give the address space; [`Error::BadOption`], also for
    /// [`read_only`](Self::read_only), since there is nothing to be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// let db = holt_engine::Options::new().memory_bytes(64 << 20).in_memory()?;
    /// db.default_tree().put(b"key", b"value")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_memory(&self) -> Result<Db, Error> {
        self.check()?;
        if self.read_only {
            let allowed = "a database in memory is always new";
            return Err(Error::BadOption { name: "read_only", value: "true".to_owned(), allowed });
        }
        open::in_memory(self)
    }

    /// Opens the database on a disk of any kind, such as a
    /// [simulated one](holt_journal::disk::SimDisk) in a test.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use std::sync::Arc;
    /// use holt_engine::{Durability, Options, disk::{CrashPattern, SimDisk}};
    ///
    /// let disk = SimDisk::new(1);
    /// let db = Options::new().open_on(Arc::new(disk.clone()))?;
    /// db.default_tree().put_with(b"key", b"value", Durability::Sync)?;
    /// // What a power cut leaves at this moment.
    /// let later = disk.crash(1, CrashPattern::LoseAll);
    /// let db = Options::new().open_on(Arc::new(later))?;
    /// assert!(db.default_tree().contains(b"key")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_on<D: Disk>(&self, disk: Arc<D>) -> Result<Db<D>, Error> {
        self.check()?;
        open::open(disk, self)
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}
