//! Archives: a database, or a part of it, as one stream of bytes that is written and read front to back.
//!
//! An archive holds log records, each with the address that it has or had, in blocks. One of a *state* makes trees and then
//! puts each key once; one of *changes* has the records of a log between two addresses. Whoever applies the records of one to
//! what was there before has what was there after.
//!
//! * Every byte is under a checksum, and every block's covers the archive's header and its own number: blocks do not pass for
//!   those of another place or another archive.
//! * An archive without its end block is cut short, whatever is missing. Nothing follows the end block.
//! * Memory is bounded by one block, and a block by [`MAX_BLOCK`]. A length sizes nothing before its checksum is
//!   verified, and then no more than there are bytes.

mod block;
mod header;
mod reader;
mod writer;

pub use block::MAX_BLOCK;
pub use header::{ARCHIVE_HEADER_LEN, ARCHIVE_VERSION, ArchiveHeader};
pub use reader::{ArchiveReader, Archived};
pub use writer::ArchiveWriter;

use std::io;

/// What reading an archive can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The stream failed; the archive may be all right.
    #[error("reading the archive: {0}")]
    Io(#[from] io::Error),
    /// The archive is not all right.
    #[error("the archive is damaged at byte {offset}: {error}")]
    Damaged {
        /// Offset of what is wrong, or of the block that it is in.
        offset: u64,
        /// What is wrong.
        error: crate::Error,
    },
}

const WHAT: &str = "archive";
