//! Everything that can go wrong with a database, one enum.

use std::io;

use holt_art::Version;
use holt_codec::{GRANULE, MAX_RECORD};

use crate::catalog::MAX_TREE_NAME;
use crate::guard::FailedGuard;
use crate::{MAX_KEY, MAX_VALUE};

/// Why an operation failed.
///
/// Unless a variant says otherwise, nothing has changed when it is returned. Nothing is retried
/// silently; what tries again says so, as [`Db::transact`](crate::Db::transact) does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key, a prefix or a bound is longer than [`MAX_KEY`] bytes. Shorten it.
    #[error("a key of {length} bytes is too long; at most {MAX_KEY} bytes are allowed")]
    KeyTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A value is longer than [`MAX_VALUE`] bytes. Split it, or keep it in a file of its own.
    #[error("a value of {length} bytes is too long; at most {MAX_VALUE} bytes are allowed")]
    ValueTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The name of a tree is empty or longer than [`MAX_TREE_NAME`] bytes.
    #[error("the name of a tree has {length} bytes; 1 to {MAX_TREE_NAME} bytes are allowed")]
    TreeName {
        /// Its length in bytes.
        length: usize,
    },
    /// There is no tree of this name. Create it, or look at
    /// [`Db::tree_names`](crate::Db::tree_names).
    #[error("there is no tree {name:?}")]
    NoSuchTree {
        /// The name asked for.
        name: String,
    },
    /// There is a tree of this name already. Open that one, or take another name.
    #[error("there is a tree {name:?} already")]
    TreeExists {
        /// The name asked for.
        name: String,
    },
    /// The tree was dropped, through this handle's database or another handle of it. The handle is
    /// of no more use, even if a new tree has the name now.
    #[error("the tree was dropped")]
    TreeDropped,
    /// The default tree can be neither renamed nor dropped. Delete what is in it, or use a tree with
    /// a name of its own.
    #[error("the default tree can be neither renamed nor dropped")]
    DefaultTree,
    /// A batch was given a tree of another database. Use the trees of the database whose batch it is.
    #[error("the tree belongs to another database than the batch")]
    OtherDatabase,
    /// A batch would be longer than [`Batch::MAX_BYTES`](crate::Batch::MAX_BYTES). Make several of it.
    #[error("a batch of {bytes} bytes is too long; at most {MAX_RECORD} bytes are allowed")]
    BatchTooLong {
        /// Bytes that it would take in the log.
        bytes: u64,
    },
    /// Something that a batch requires does not hold. Look again, and decide anew.
    #[error("{0}")]
    GuardFailed(Box<FailedGuard>),
    /// What a transaction had read was changed by others before it could be committed, in each of the
    /// attempts that it had. Try again later, read less, or use [`Db::atomic`](crate::Db::atomic),
    /// which does not fail for that.
    #[error("the transaction met changes by others in each of its {attempts} attempts")]
    Conflict {
        /// How often it was tried.
        attempts: u32,
    },
    /// For closures of transactions and batches, which give up by returning an error, whatever it
    /// is: this one holds one of their own. The engine does not make it.
    #[error("given up: {0}")]
    Aborted(Box<dyn std::error::Error + Send + Sync>),
    /// A list or a handle of a transaction was used after the closure that it was made for had
    /// returned. Collect inside the closure what is needed outside.
    #[error("the transaction is over")]
    TransactionOver,
    /// A key is none that a [`KeyPath`](crate::KeyPath) makes. Use it as it is, or leave it out.
    #[error("no path has this key: what is at byte {at} is no segment")]
    NotAPath {
        /// Offset in bytes of what is wrong.
        at: usize,
    },
    /// The empty prefix, which every key begins with, cannot be renamed, and nothing can be renamed to
    /// it. Name what is to be renamed.
    #[error("the empty prefix cannot be renamed, and nothing can be renamed to it")]
    EmptyPrefix,
    /// A prefix was to be renamed to one that begins with it and goes on, so that the keys would
    /// come to lie below themselves. Take a name outside.
    #[error("the new prefix begins with the old one; rename to a name outside of it")]
    PrefixInside,
    /// The lower bound of a range lies above its upper bound. Swap them, or read in reverse.
    #[error("the range's lower bound lies above its upper bound")]
    ReversedBounds,
    /// A listing was asked to roll up at an empty delimiter.
    #[error("the delimiter of a listing is empty")]
    EmptyDelimiter,
    /// An option has a value that no database can be opened with. Nothing was looked at.
    #[error("the option {name} cannot be {value}: {allowed}")]
    BadOption {
        /// The method of [`Options`](crate::Options) that sets it.
        name: &'static str,
        /// The value that it has.
        value: String,
        /// What it could be instead.
        allowed: &'static str,
    },
    /// Somebody else, in this process or another, has the database open: a writer excludes
    /// everybody, readers exclude writers. Close the other one, or wait until it ends.
    #[error("the database is in use: {holder}")]
    Locked {
        /// Who is in the way.
        holder: Holder,
    },
    /// A database was to be backed up beside the process that writes it, and has changed faster than it could be
    /// read. Make the backup in that process, by [`Db::backup`](crate::Db::backup), which is not in anybody's
    /// way and cannot be overtaken; or try again when less is written.
    #[error(
        "the database changes faster than it can be read beside the process that writes it; \
         make the backup in that process, by Db::backup, or try again when less is written"
    )]
    Overtaken,
    /// There is no database here and none was to be created.
    #[error("there is no database here")]
    Missing,
    /// There is a database here already and a new one was asked for.
    #[error("there is a database here already")]
    Exists,
    /// The directory holds other files and no database, so none is created between them.
    #[error("the directory is not empty and holds no database (it has a file {name:?})")]
    Foreign {
        /// One of the files that are there.
        name: String,
    },
    /// The database was opened for reading alone.
    #[error("the database was opened for reading only")]
    ReadOnly,
    /// The database was closed through another handle.
    #[error("the database was closed")]
    Closed,
    /// What is there was written in a format that this version does not know. Use a version that
    /// supports it. No file has been changed.
    #[error("{what} has format version {found}; this version supports {supported}")]
    Version {
        /// The file that has the version, or the part of one.
        what: String,
        /// The version that was found.
        found: u32,
        /// The version that is supported.
        supported: u32,
    },
    /// What is on disk contradicts itself. Restore a backup.
    #[error("the database is damaged: {place}: {what}")]
    Damaged {
        /// File, tree or address at which it was noticed.
        place: String,
        /// What was expected there and what was found.
        what: String,
    },
    /// The log holds an operation that this version cannot apply. Use the version that wrote it.
    #[error("the log's record at address {address} is of a kind that this version cannot apply")]
    UnknownRecord {
        /// Address of the record in the log.
        address: u64,
    },
    /// A change needs more frames in memory at once than the cache has room for, beside what
    /// snapshots and lists keep. Drop those, make smaller batches, or open the database with more
    /// [`cache_bytes`](crate::Options::cache_bytes).
    #[error("the change does not fit the cache, of which {limit} bytes are for changed frames")]
    CacheTooSmall {
        /// Bytes of changed frames that the cache may hold.
        limit: u64,
    },
    /// The tree refused or failed, for want of memory most likely. After
    /// [`holt_art::Error::Source`] and [`holt_art::Error::Image`] a frame could not be read from
    /// disk, for the reason given; everything else can still be read.
    #[error(transparent)]
    Tree(holt_art::Error),
    /// The log or the frame file refused or failed. A write that got this error *may* have been
    /// applied; if the journal has closed itself, every later write fails as well, reads go on,
    /// and opening the database again recovers it.
    #[error(transparent)]
    Journal(holt_journal::Error),
    /// Checkpoints keep failing and the log has become long, or none can be made any more. Nothing has
    /// been written. Writes are accepted again once a checkpoint succeeds, such as one by
    /// [`Db::checkpoint`](crate::Db::checkpoint) after space was made on the disk, or after the
    /// database was opened again.
    #[error("no write is accepted while checkpoints fail: {why}")]
    CheckpointsFail {
        /// What the last one failed with.
        why: String,
    },
    /// The log no longer has all changes after the version that a feed was to begin with, or the feed
    /// has lagged so far behind that the log was given up under it. Read the present state, and
    /// follow the changes after that. [`Options::keep_log_bytes`](crate::Options::keep_log_bytes) and
    /// [`Options::feed_bytes`](crate::Options::feed_bytes) make it rarer.
    #[error("the log has all changes after version {} and no earlier ones", .oldest.get())]
    ChangesGone {
        /// The lowest version of which the log still has all changes after it.
        oldest: Version,
    },
    /// The version that a feed was to begin with is none of this database: it was lost in a crash, or
    /// was not given yet, or is another database's. Whoever has seen changes up to it has seen what
    /// is not there. Read the present state, and follow the changes after that.
    #[error(
        "the database has no version {}: it was lost in a crash, or is another database's",
        .version.get()
    )]
    UnknownVersion {
        /// The version.
        version: Version,
    },
    /// An archive is cut short, damaged, or of a version of the format that is not known. Nothing has
    /// been imported. Take another copy of it.
    #[error(transparent)]
    Archive(holt_codec::ArchiveError),
    /// An archive is whole, but not one for this purpose.
    #[error("this is not the right archive: {what}")]
    WrongArchive {
        /// What is wrong with it.
        what: String,
    },
    /// Another import into this database is under way, or one has failed so that it could be neither
    /// finished nor taken back. Wait until it has ended, or open the database again, which ends it.
    #[error("another import is under way")]
    Importing,
    /// The directory holds no backup of everything. Make one.
    #[error("there is no backup here")]
    NoBackup,
    /// A database in memory has no log to read changes from.
    #[error("a database in memory has no log to read changes from")]
    NoLog,
    /// What was to be written makes no record of the log.
    #[error(transparent)]
    Record(#[from] holt_codec::Error),
    /// The operating system refused something outside of log and frame file.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl From<holt_art::Error> for Error {
    fn from(error: holt_art::Error) -> Error {
        match error {
            // A key that would result from a rename.
            holt_art::Error::KeyTooLong { length } => Error::KeyTooLong { length },
            holt_art::Error::TooManyChanged { limit } => Error::CacheTooSmall { limit },
            error => Error::Tree(error),
        }
    }
}

impl From<holt_journal::Error> for Error {
    fn from(error: holt_journal::Error) -> Error {
        match error {
            // A call that overlapped the closing came to the log after it.
            holt_journal::Error::LogClosed => Error::Closed,
            holt_journal::Error::FeedGone { oldest } => {
                Error::ChangesGone { oldest: version(oldest) }
            }
            holt_journal::Error::NotInLog { address } => {
                Error::UnknownVersion { version: version(address) }
            }
            holt_journal::Error::Format {
                file,
                error: holt_codec::Error::Version { found, supported, .. },
            } => Error::Version { what: file, found, supported },
            error => Error::Journal(error),
        }
    }
}

/// The version that an address of the log stands for. The log's addresses end before versions do.
fn version(address: u64) -> Version {
    Version::new(address / GRANULE as u64).unwrap_or(Version::MAX)
}

/// Who keeps a database from being opened.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use holt_engine::{Db, Error, Holder, Options};
///
/// # let directory = tempfile::tempdir().unwrap();
/// let writer = Db::open(directory.path())?;
/// let refused = Options::new().read_only(true).open(directory.path());
/// assert!(matches!(refused, Err(Error::Locked { holder: Holder::Writer })));
/// # drop(writer);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// Somebody has it open for writing.
    Writer,
    /// Somebody has it open, for writing or reading; it was to be opened for writing.
    Anybody,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Holder::Writer => "another process, or this one, has it open for writing",
            Holder::Anybody => "another process, or this one, has it open; a writer must be alone",
        })
    }
}
