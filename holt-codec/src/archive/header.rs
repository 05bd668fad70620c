//! The first bytes of an archive.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `HOLT-ARC` |
//! | 8 | 4 | format version |
//! | 12 | 4 | CRC-32 of the other 60 bytes |
//! | 16 | 16 | database that it is of |
//! | 32 | 8 | version after which it has all changes; 0 for a state |
//! | 40 | 8 | version up to which it has everything |
//! | 48 | 16 | zeros |

use crc32fast::Hasher;

use super::WHAT;
use crate::fields::{put, take, u32_at, u64_at};
use crate::{DbId, Error};

/// Bytes of an archive's header.
pub const ARCHIVE_HEADER_LEN: usize = 64;

/// Format version of archives that this build writes and reads.
pub const ARCHIVE_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"HOLT-ARC";
const VERSION: usize = 8;
const CHECKSUM: usize = 12;
const DB: usize = 16;
const AFTER: usize = 32;
const UP_TO: usize = 40;
const RESERVED: usize = 48;

const _: () = assert!(RESERVED + 16 == ARCHIVE_HEADER_LEN);

/// What an archive is of.
///
/// # Examples
///
/// ```
/// use holt_codec::{ArchiveHeader, DbId};
/// let header = ArchiveHeader { db: DbId([7; 16]), after: 0, up_to: 4711 };
/// assert_eq!(ArchiveHeader::decode(&header.encode())?, header);
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveHeader {
    /// The database.
    pub db: DbId,
    /// The version after which the archive has all changes; 0 for one of a state.
    pub after: u64,
    /// The version up to which everything is in it.
    pub up_to: u64,
}

impl ArchiveHeader {
    /// Whether it holds changes, rather than a state.
    ///
    /// # Examples
    ///
    /// See [`ArchiveReader`](crate::ArchiveReader).
    #[must_use]
    pub fn is_of_changes(&self) -> bool {
        self.after > 0
    }

    /// The header as it stands in the stream.
    #[must_use]
    pub fn encode(&self) -> [u8; ARCHIVE_HEADER_LEN] {
        let mut bytes = [0; ARCHIVE_HEADER_LEN];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, VERSION, ARCHIVE_VERSION.to_le_bytes());
        put(&mut bytes, DB, self.db.0);
        put(&mut bytes, AFTER, self.after.to_le_bytes());
        put(&mut bytes, UP_TO, self.up_to.to_le_bytes());
        let checksum = checksum(&bytes);
        put(&mut bytes, CHECKSUM, checksum.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Magic`], [`Error::Version`], [`Error::Checksum`], or [`Error::Malformed`] when
    /// no archive has these fields.
    pub fn decode(bytes: &[u8]) -> Result<ArchiveHeader, Error> {
        let Some(bytes) = bytes.get(..ARCHIVE_HEADER_LEN) else {
            let (needed, found) = (ARCHIVE_HEADER_LEN as u64, bytes.len() as u64);
            return Err(Error::CutShort { what: WHAT, needed, found });
        };
        if bytes[..VERSION] != MAGIC {
            return Err(Error::Magic { what: WHAT });
        }
        // Before the checksum: another version may check itself in another way.
        let version = u32_at(bytes, VERSION);
        if version != ARCHIVE_VERSION {
            let supported = ARCHIVE_VERSION;
            return Err(Error::Version { what: WHAT, found: version, supported });
        }
        let (expected, found) = (u32_at(bytes, CHECKSUM), checksum(bytes));
        if expected != found {
            return Err(Error::Checksum { what: WHAT, expected, found });
        }
        if bytes[RESERVED..].iter().any(|&byte| byte != 0) {
            return Err(Error::Malformed { what: WHAT, why: "reserved bytes are not zero" });
        }
        let header = ArchiveHeader {
            db: DbId(take(bytes, DB)),
            after: u64_at(bytes, AFTER),
            up_to: u64_at(bytes, UP_TO),
        };
        if header.after > header.up_to {
            return Err(Error::Malformed { what: WHAT, why: "it ends before it begins" });
        }
        Ok(header)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&bytes[..CHECKSUM]);
    hasher.update(&bytes[DB..]);
    hasher.finalize()
}
