//! Everything that can go wrong between the engine and the disk.

use std::io;

use holt_codec::DbId;
use thiserror::Error as ThisError;

use crate::store::ObjectId;
use crate::sync::PlainArc as Arc;

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
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Damage {
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
    /// Neither mark of the data file can be read.
    #[error("neither of the file's two marks can be read: {0}")]
    NoMark(holt_codec::Error),
    /// Bytes that have to be zero are not.
    #[error("padding that is not zero")]
    Padding,
}
