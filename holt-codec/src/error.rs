//! What can be wrong with bytes, or with what somebody asks to have encoded.
//!
//! * A value that cannot be encoded and bytes that cannot be decoded are both errors, never panics.
//! * Texts say what was found, what was expected and what to do where there is something to do.

use thiserror::Error as ThisError;

/// Everything that encoding and decoding can fail with.
///
/// # Examples
///
/// ```
/// use holt_codec::{DbId, Error, Mark};
///
/// let mark = Mark { db: DbId([1; 16]), sequence: 3, manifest: 1, record_checksum: 7, generation: 4 };
/// let mut bytes = mark.encode();
/// bytes[8] = 9;
/// let error = Mark::decode(&bytes).unwrap_err();
/// assert!(matches!(error, Error::Version { found: 9, supported: 1, .. }), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Bytes end before the structure in them does.
    #[error("{what} is cut short: {needed} bytes needed, {found} found")]
    CutShort {
        /// The structure that was being decoded.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there were.
        found: u64,
    },
    /// Bytes break a rule of the format, although their checksum may be right.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The structure that was being decoded.
        what: &'static str,
        /// The rule that is broken.
        why: &'static str,
    },
    /// A checksum does not match.
    #[error("checksum of {what} is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// The structure that was being decoded.
        what: &'static str,
        /// Checksum stored in the structure.
        expected: u32,
        /// Checksum of the bytes that are there.
        found: u32,
    },
    /// The first bytes are not those of this structure: another program's file, or a hole.
    #[error("not {what}: it does not begin with the expected magic bytes")]
    Magic {
        /// The structure that was being decoded.
        what: &'static str,
    },
    /// A format version that this build does not know.
    #[error("{what} has format version {found}, this build reads version {supported}")]
    Version {
        /// The structure that was being decoded.
        what: &'static str,
        /// Version found.
        found: u32,
        /// Version that this build reads.
        supported: u32,
    },

    // --- images and manifests ---
    /// The bytes are valid, but not what was looked for: stale, or in the wrong place.
    #[error("{what} is {found}, expected {expected}: these bytes are stale or belong elsewhere")]
    Misplaced {
        /// What differs.
        what: &'static str,
        /// Value that was looked for.
        expected: u64,
        /// Value that is there.
        found: u64,
    },
    /// More than the format holds.
    #[error("{what} of {size} is larger than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Size asked for, in the same unit as `limit`.
        size: u64,
        /// Largest size that the format holds.
        limit: u64,
    },

    // --- log records and segments ---
    /// A key, prefix or tree name is longer than the format holds.
    #[error("a key of {len} bytes is longer than the limit of {} bytes", crate::MAX_KEY)]
    KeyTooLong {
        /// Length found, in bytes.
        len: u64,
    },
    /// A value is longer than the format holds.
    #[error("a value of {len} bytes is longer than the limit of {} bytes", crate::MAX_VALUE)]
    ValueTooLong {
        /// Length found, in bytes.
        len: u64,
    },
    /// A record, usually a batch, is longer than the format holds.
    #[error(
        "a log record of {len} bytes is longer than the limit of {} bytes; split the batch",
        crate::MAX_RECORD
    )]
    RecordTooLong {
        /// Length found, in bytes.
        len: u64,
    },
    /// A batch without operations: there is nothing to log.
    #[error("a batch holds no operation; there is nothing to log")]
    EmptyBatch,
    /// The log is damaged: what is missing or wrong was durable once.
    #[error(
        "the log is damaged at address {address} \
         (segment {segment:#018x}, file offset {offset}): {damage}"
    )]
    Damaged {
        /// Address in the log.
        address: u64,
        /// Start address of the segment in which that address lies, which names its file.
        segment: u64,
        /// Offset in that segment's file, in bytes.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
}

/// What is wrong with a log at the place that an [`Error::Damaged`] names.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Damage {
    /// There is no valid record here, yet a later one proves that there was.
    #[error(
        "no valid record, although the record at address {witness} says that everything below \
         address {synced} was on stable storage"
    )]
    Proven {
        /// Address of the later record.
        witness: u64,
        /// Synced mark that it carries.
        synced: u64,
    },
    /// There is no valid record here, yet a later segment says that the log was valid to here.
    #[error("no valid record, although the next segment says that the log is valid to {end}")]
    Declared {
        /// End of the valid log according to the next segment's header.
        end: u64,
    },
    /// There is no valid record here, although whoever reads knows that the log is whole to here.
    #[error("no valid record, although the log is known to be whole up to address {end}")]
    Promised {
        /// Address below which the log is known to be whole.
        end: u64,
    },
    /// What follows holds so many pieces that look like records that it cannot be judged.
    #[error("no valid record, and what follows it cannot be judged in a reasonable time")]
    Unjudged,
    /// A segment that has to be there is not.
    #[error("the segment that should follow is missing")]
    MissingSegment,
    /// The segment that the log's mark names is not there.
    #[error("the segment is missing, although the log's mark says that it was durable")]
    LostSegment,
    /// The segment is not the one that the log's mark names.
    #[error("the segment is not the one that the log's mark says was durable here")]
    OtherSegment,
    /// The log does not reach the address from which it is needed.
    #[error("no segment holds the address {wanted} from which the log is needed")]
    MissingStart {
        /// The address that is needed.
        wanted: u64,
    },
    /// Two segments claim the same addresses.
    #[error("two segments claim this address")]
    Overlap,
    /// A segment's header names an end of its predecessor that cannot be.
    #[error("the next segment says that the log ends at {end}, which is not in this stretch")]
    ImpossibleEnd {
        /// End of the valid log according to the header.
        end: u64,
    },
    /// The segment belongs to another database.
    #[error("the segment belongs to another database")]
    ForeignDatabase,
    /// The file is shorter than its header says.
    #[error("the segment's file is shorter than its header says")]
    ShortFile,
    /// The checksum is right and the body is not.
    #[error("{0}")]
    Body(Box<Error>),
}
