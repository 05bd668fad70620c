//! The mark in the data file: which commit was durable when it was written.
//!
//! ```text
//!  offset  bytes  field
//!       0      8  magic "HOLTDATA"
//!       8      4  format version, 1
//!      12      4  CRC32 of all other bytes of the mark
//!      16     16  database id
//!      32      8  sequence of the commit
//!      40      8  number of the manifest file that holds its record
//!      48      4  checksum of that record
//!      52      4  zero
//!      56      8  generation of the commit
//! ```
//!
//! Integers are little endian. The data file keeps two marks, written in turn, so that a torn
//! one leaves the other. They are a way to the newest commit that does not go through the
//! directory or the manifest: a manifest that ends before the mark's commit has lost
//! something that was durable.

use crate::fields::{HEAD_LEN, Head, put, take, u32_at, u64_at};
use crate::{DbId, Error};

/// Bytes of a mark.
pub const MARK_LEN: usize = 64;

/// Version of the data file's format that this crate reads and writes.
pub const MARK_VERSION: u32 = 1;

const HEAD: Head = Head { magic: *b"HOLTDATA", version: MARK_VERSION, what: WHAT };
const DB: usize = HEAD_LEN;
const SEQUENCE: usize = 32;
const MANIFEST: usize = 40;
const RECORD: usize = 48;
const RESERVED: usize = 52;
const GENERATION: usize = 56;

const WHAT: &str = "data file mark";

const _: () = assert!(SEQUENCE == DB + 16 && MANIFEST == SEQUENCE + 8 && RECORD == MANIFEST + 8);
const _: () = assert!(RESERVED == RECORD + 4 && GENERATION == RESERVED + 4);
const _: () = assert!(MARK_LEN == GENERATION + 8);

/// A durable commit, as the data file remembers it.
///
/// # Examples
///
/// ```
/// use holt_codec::{DbId, Mark};
///
/// let mark = Mark { db: DbId([1; 16]), sequence: 3, manifest: 1, record_checksum: 7, generation: 4 };
/// assert_eq!(Mark::decode(&mark.encode())?, mark);
/// assert!(Mark::decode(b"another file").is_err());
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The database that the data file belongs to.
    pub db: DbId,
    /// Sequence of the commit; 0 in a new file, before any commit.
    pub sequence: u64,
    /// Number of the manifest file that holds the commit's record; 0 in a new file.
    pub manifest: u64,
    /// Checksum of the commit's record; 0 in a new file.
    pub record_checksum: u32,
    /// Generation of the commit; 0 in a new file.
    pub generation: u64,
}

impl Mark {
    /// The mark's bytes.
    pub fn encode(&self) -> [u8; MARK_LEN] {
        let mut bytes = [0; MARK_LEN];
        put(&mut bytes, DB, self.db.0);
        put(&mut bytes, SEQUENCE, self.sequence.to_le_bytes());
        put(&mut bytes, MANIFEST, self.manifest.to_le_bytes());
        put(&mut bytes, RECORD, self.record_checksum.to_le_bytes());
        put(&mut bytes, GENERATION, self.generation.to_le_bytes());
        HEAD.seal(&mut bytes);
        bytes
    }

    /// Reads a mark from the front of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Magic`], [`Error::Version`], [`Error::Checksum`],
    /// [`Error::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Mark, Error> {
        let bytes = HEAD.open(bytes, MARK_LEN)?;
        if u32_at(bytes, RESERVED) != 0 {
            return Err(Error::Malformed { what: WHAT, why: "reserved bytes are not zero" });
        }
        Ok(Mark {
            db: DbId(take(bytes, DB)),
            sequence: u64_at(bytes, SEQUENCE),
            manifest: u64_at(bytes, MANIFEST),
            record_checksum: u32_at(bytes, RECORD),
            generation: u64_at(bytes, GENERATION),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { db: DbId([9; 16]), sequence: 4, manifest: 2, record_checksum: 77, generation: 11 }
    }

    #[test]
    fn a_mark_reads_back() {
        assert_eq!(Mark::decode(&mark().encode()), Ok(mark()));
    }

    // Made without this crate, from the table above, by this Python:
    //   a = struct.pack("<8sI", b"HOLTDATA", 1)
    //   b = bytes([9] * 16) + struct.pack("<QQIIQ", 4, 2, 77, 0, 11)
    //   (a + struct.pack("<I", zlib.crc32(a + b)) + b).hex()
    #[test]
    fn the_golden_mark_of_version_1_is_still_written() {
        let golden = "484f4c5444415441010000001b69fe7a09090909090909090909090909090909\
                      040000000000000002000000000000004d000000000000000b00000000000000";
        let hex: String = mark().encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, golden);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = mark().encode();
        for bit in 0..MARK_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Mark::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..MARK_LEN {
            assert!(Mark::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_newer_version_is_named_and_reserved_bytes_are_checked() {
        let with = |head: Head, at, value: u32| {
            let mut bytes = mark().encode();
            put(&mut bytes, at, value.to_le_bytes());
            head.seal(&mut bytes);
            Mark::decode(&bytes)
        };
        let newer = Head { version: 2, ..HEAD };
        let version = Error::Version { what: WHAT, found: 2, supported: 1 };
        assert_eq!(with(newer, GENERATION, 11), Err(version));
        assert!(matches!(with(HEAD, RESERVED, 1), Err(Error::Malformed { .. })));
    }
}
