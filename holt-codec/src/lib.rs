//! Holt's formats: bytes to meaning and back, and nothing else.
//!
//! **Problem.** What a storage engine leaves on a disk is read again by other processes, other versions and after
//! every kind of accident. One place has to say what each byte means, and has to hold up against any bytes at all.
//!
//! **Mechanism.** Each structure is one file with its byte table, an encoder that writes through [`bytes::BufMut`]
//! and a decoder that borrows from its input. Checksums cover everything; lengths are bounded before they size
//! anything. This crate never opens a file: a log is read through the [`LogSource`] that the caller provides.
//!
//! **Vocabulary.** An *address* is a byte position in the log, which never restarts. A *granule* is 8 bytes, the unit
//! of addresses. A *segment* is a file that holds a fixed window of the address space; segments that follow each
//! other without a gap form a *run*. The *synced mark* is the address below which the log is on stable storage.
//!
//! # Example
//!
//! ```
//! use holt_codec::{DbId, LogReader, Op, Record, SegmentHeader, SegmentBytes, FIRST_ADDRESS};
//!
//! // A log of one record in one segment.
//! let header = SegmentHeader {
//!     db: DbId([1; 16]), salt: 99, start: FIRST_ADDRESS, window: 4096, predecessor_end: FIRST_ADDRESS,
//! };
//! let mut file = header.encode().to_vec();
//! let record = Record::from(Op::Put { tree: 1, key: b"a/b", value: b"c" });
//! record.encode(header.seed(), FIRST_ADDRESS, FIRST_ADDRESS, &mut file);
//! file.resize(header.file_len() as usize, 0);
//!
//! let mut reader = LogReader::new(SegmentBytes::new([&file[..]]), header.db, vec![header], FIRST_ADDRESS)?;
//! let entry = reader.next_entry()?.expect("one record");
//! assert_eq!(entry.record()?, record);
//! assert!(reader.next_entry()?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A manifest of one commit:
//!
//! ```
//! use holt_codec::{
//!     Commit, DbId, FIRST_EXTENT, MANIFEST_HEADER_LEN, Manifest, ManifestEnd, ManifestHeader, Mapping, RecordSite,
//! };
//!
//! let header = ManifestHeader { db: DbId([1; 16]), number: 1, predecessor: 0, salt: [7; 16] };
//! let mapping = Mapping { object: 1, generation: 1, offset: FIRST_EXTENT, len: 100, checksum: 0 };
//! let commit = Commit {
//!     base: true, sequence: 1, generation: 1, log_address: 4096,
//!     meta: b"meta".to_vec(), changed: vec![mapping], freed: Vec::new(),
//! };
//! let mut file = header.encode().to_vec();
//! let site = RecordSite { header: &header, offset: MANIFEST_HEADER_LEN as u64, previous: 0 };
//! let checksum = commit.encode(site, &mut file)?;
//! assert_eq!(commit.encoded_len()?, Commit::record_len(1, 0, 4)?);
//! let (found, _len, found_checksum) = Commit::decode(&file[MANIFEST_HEADER_LEN..], site)?;
//! assert_eq!((&found, found_checksum), (&commit, checksum));
//!
//! let manifest = Manifest::decode(&file).map_err(|(_offset, error)| error)?;
//! assert_eq!((manifest.commits, manifest.end), (vec![commit], ManifestEnd::Clean));
//! # Ok::<(), holt_codec::Error>(())
//! ```
//!
//! **Trade-offs.** Records are self-contained rather than compressed against each other: any one can be checked
//! alone, which is what makes telling a torn tail from damage possible.

#![forbid(unsafe_code)]

mod db_id;
mod error;

pub use db_id::DbId;
pub use error::{Damage, Error};

// --- log records and segments ---
mod log_mark;
mod reader;
mod record;
mod segment;
mod varint;

pub use log_mark::{LOG_MARK_LEN, LogMark};
pub use reader::{Entry, LogEnd, LogReader, LogSource, ReadError, SegmentBytes, SegmentFiles};
pub use record::{
    Batch, BatchBuf, BatchOps, GRANULE, HEADER_LEN, Kind, MAX_KEY, MAX_RECORD, MAX_VALUE, Op,
    Record, RecordHeader, Seed,
};
pub use segment::{
    FIRST_ADDRESS, LOG_VERSION, MAX_ADDRESS, SEGMENT_HEADER_LEN, SEGMENT_RESERVE, SegmentHeader,
};

// --- archives ---
mod archive;

pub use archive::{
    ARCHIVE_HEADER_LEN, ARCHIVE_VERSION, ArchiveError, ArchiveHeader, ArchiveReader, ArchiveWriter,
    Archived, MAX_BLOCK,
};

// --- images and manifests ---
mod fields;
mod image;
mod manifest;
mod mark;

pub use image::{IMAGE_HEADER_LEN, ImageHeader, MAX_IMAGE};
pub use manifest::{
    Commit, EXTENT_UNIT, FIRST_EXTENT, MANIFEST_HEADER_LEN, MANIFEST_VERSION, Manifest,
    ManifestEnd, ManifestHeader, Mapping, RecordSite,
};
pub use mark::{MARK_LEN, MARK_VERSION, Mark};

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
