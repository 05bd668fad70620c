//! Everything that can go wrong between the engine and the disk.

use std::io;

use holt_codec::DbId;
use thiserror::Error as ThisError;

use crate::store::ObjectId;
use crate::sync::Arc;

/// An error of the journal.
///
/// Clones are cheap: an error that closes something is handed to everybody who asks later.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused a call.
    #[error("{doing} {file}: {error}")]
    Io {
        /// What was being done, as "write".
        doing: &'static str,
        /// The file's name in the database's directory; empty for the directory itself.
        file: String,
        /// The disk's own words.
        error: Arc<io::Error>,
    },

    // --- log ---
    /// What was to be logged is beyond a limit of the format; nothing was changed.
    #[error("this cannot be logged: {0}")]
    Record(#[from] holt_codec::Error),
    /// A record is longer than the ring; nothing was changed.
    #[error("a record of {len} bytes does not fit the log's buffer of {capacity} bytes")]
    RecordTooLarge {
        /// Bytes of the record.
        len: usize,
        /// Bytes of the buffer.
        capacity: usize,
    },
    /// The log's buffer could not be made.
    #[error("the log's buffer cannot be made: {0}")]
    Buffer(holt_wal_ring::Error),
    /// The log's address space is used up; the database has to be copied into a new one.
    #[error("the log's addresses are used up: copy the database into a new one")]
    LogExhausted,
    /// The log was closed in order; the database has to be opened again to write.
    #[error("the log is closed: open the database again to write")]
    LogClosed,
    /// An earlier failure closed the log for writing. What was acknowledged is safe; what was in flight may or may
    /// not have happened. Reads go on; opening the database again recovers.
    #[error("the log is closed for writing until the database is reopened: {0}")]
    LogFailed(#[source] Box<Error>),
    /// A change was applied and its record was never published, as when a writer panicked between the two.
    #[error(
        "the change at log address {address} was applied and never logged: \
         the log is closed for writing until the database is reopened"
    )]
    Unpublished {
        /// Address of the record that is missing.
        address: u64,
    },
    /// A thread panicked while it wrote or synced the log.
    #[error("a thread panicked while it wrote the log")]
    LogPanicked,
    /// The database was opened by the process of which this one is a fork; only that one may write.
    #[error("the log belongs to process {owner}, of which this one is a fork")]
    Forked {
        /// Id of the process that opened it.
        owner: u32,
    },
    /// The log no longer has the records that a feed is to begin with, or the feed has lagged so far behind that it was cut
    /// off. Whoever follows has to begin anew, from a state that is newer.
    #[error("the log begins behind address {oldest}: what is to follow was given up")]
    FeedGone {
        /// The lowest address behind which everything is still there.
        oldest: u64,
    },
    /// A feed was to begin behind an address that the log does not have: it was lost in a crash, or is of another
    /// database.
    #[error(
        "the log has no address {address}: it was lost in a crash, or belongs to another database"
    )]
    NotInLog {
        /// The address.
        address: u64,
    },
    /// A background thread could not be started.
    #[error("a background thread cannot be started: {0}")]
    Thread(Arc<io::Error>),

    // --- store ---
    /// There is no database in the directory, nor anything left of one.
    #[error("there is no database here")]
    NoStore,
    /// A database cannot be created where there is something already.
    #[error("no database can be created here: the directory holds {file}")]
    Occupied {
        /// A file that is in the way.
        file: String,
    },
    /// A file that has to be there is not.
    #[error("{file} is missing: {why}")]
    Missing {
        /// The file's name.
        file: String,
        /// What says that it has to be there.
        why: &'static str,
    },
    /// A file does not hold what it has to hold.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file's name.
        file: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        what: Damage,
    },
    /// A file was written by a version of the format that this build does not know.
    #[error("{file}: {error}; nothing was changed")]
    Format {
        /// The file's name.
        file: String,
        /// Both versions.
        error: holt_codec::Error,
    },
    /// A file belongs to another database.
    #[error("{file} belongs to database {found}, not to {expected}")]
    Foreign {
        /// The file's name.
        file: String,
        /// This database.
        expected: DbId,
        /// The file's database.
        found: DbId,
    },
    /// The store was opened for reading only.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// No image of this object is stored.
    #[error("there is no object {}", .object.0)]
    NoObject {
        /// The object asked for.
        object: ObjectId,
    },
    /// The source of a checkpoint could not give an image.
    #[error("no image of object {}: {error}", .object.0)]
    Source {
        /// The object whose image was asked for.
        object: ObjectId,
        /// The source's own words.
        error: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A checkpoint contradicts itself or the one before; nothing was written.
    #[error("impossible checkpoint: {why}")]
    ImpossibleCheckpoint {
        /// The contradiction.
        why: &'static str,
    },
    /// A checkpoint is larger than the format holds; it was not committed.
    #[error("the checkpoint cannot be written down: {0}")]
    Encoding(holt_codec::Error),
    /// Whether the checkpoint counts is not known: its record may or may not be durable. Both
    /// states are kept; the next successful checkpoint decides.
    #[error("the checkpoint may or may not have been committed: {0}")]
    CommitUnknown(#[source] Box<Error>),
    /// An earlier failure closed the store for checkpoints; reads go on.
    #[error("no more checkpoints until the database is reopened: {0}")]
    StoreClosed(#[source] Box<Error>),
    /// A checkpoint panicked half-way, in the caller's code.
    #[error("a checkpoint panicked")]
    CheckpointPanicked,
}

/// What is wrong at the place that an [`Error::Damaged`] names.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use holt_journal::disk::{Access, SimDisk};
/// use holt_journal::store::Store;
/// use holt_journal::{Damage, Error};
///
/// let disk = Arc::new(SimDisk::new(1));
/// drop(Store::create(Arc::clone(&disk), 4096)?);
/// for byte in [0, 4096] {
///     disk.flip("DATA", byte, 0);
/// }
/// let refused = Store::open(disk, Access::Read).map(drop);
/// assert!(matches!(refused, Err(Error::Damaged { offset: 0, what: Damage::NoMark(_), .. })), "{refused:?}");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Damage {
    /// The log lacks what was durable, or holds what cannot be.
    #[error("{0}")]
    Log(holt_codec::Damage),
    /// An open log has no valid record here, although it has been written further.
    #[error("no valid record, although the log was written up to address {written}")]
    CutOff {
        /// Address up to which it was written.
        written: u64,
    },
    /// A segment's name and its header disagree.
    #[error("the header carries the start address {found}, the name says {expected}")]
    Start {
        /// Address in the name.
        expected: u64,
        /// Address in the header.
        found: u64,
    },
    /// A segment is not as long as its header says.
    #[error("the file has {found} bytes, its header says {expected}")]
    Length {
        /// Bytes according to the header.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The bytes there do not decode, or are not those that should be there.
    #[error(transparent)]
    Bytes(#[from] holt_codec::Error),
    /// The newest commit of the manifest is older than one that was durable.
    #[error("the newest commit is {found}, but commit {durable} was durable")]
    LostCommit {
        /// Sequence of the newest commit that is there.
        found: u64,
        /// Sequence of a commit that was durable.
        durable: u64,
    },
    /// A commit is not the one of that sequence that was durable.
    #[error("commit {sequence} is not the one that was durable")]
    OtherCommit {
        /// Its sequence.
        sequence: u64,
    },
    /// A file's name and its header disagree.
    #[error("the header carries the number {found}, the name says {expected}")]
    Number {
        /// Number in the name.
        expected: u64,
        /// Number in the header.
        found: u64,
    },
    /// Two objects claim the same bytes of the data file.
    #[error("the extent of object {} lies over another", .object.0)]
    Overlap {
        /// One of the two.
        object: ObjectId,
    },
    /// The data file ends before an extent does.
    #[error("the file ends before the image of object {} does, at byte {needed}", .object.0)]
    CutShort {
        /// Whose image it is.
        object: ObjectId,
        /// Where the image's extent ends.
        needed: u64,
    },
    /// A commit frees an object that does not exist.
    #[error("a commit frees object {}, which does not exist", .object.0)]
    FreedTwice {
        /// The object.
        object: ObjectId,
    },
    /// Neither mark of a file that keeps two can be read.
    #[error("neither of the file's two marks can be read: {0}")]
    NoMark(holt_codec::Error),
    /// Bytes that have to be zero are not.
    #[error("padding that is not zero")]
    Padding,
}
