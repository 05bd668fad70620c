//! The header of a log segment: the first 4096 bytes of its file.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `HOLT-LOG` |
//! | 8 | 4 | format version |
//! | 12 | 4 | CRC-32 of all 4096 bytes, with these four as zeros |
//! | 16 | 16 | database id |
//! | 32 | 8 | salt: seeds the checksums of the records that start in the segment |
//! | 40 | 8 | start: the address of the first byte after the header |
//! | 48 | 8 | window: bytes of the log that the segment holds |
//! | 56 | 8 | end of the valid log before this segment |
//! | 64 | 4032 | zeros |
//!
//! * A segment is a fixed window of the address space: the byte at address `a` is at file offset
//!   `4096 + (a - start)`. A record may begin in one segment and go on in the next.
//! * When the end before is the start, the log flows into this segment from the one that ends there. When it is
//!   less, everything between the two is not part of the log, whatever the bytes say: this is how a torn tail is
//!   cut without being touched.

use crate::{DbId, Error, Seed};

/// Bytes of a segment's header, and the unit of its start and window.
pub const SEGMENT_HEADER_LEN: usize = 4096;

/// Format version of segments, records and the log's mark that this build writes and reads.
pub const LOG_VERSION: u32 = 2;

/// Address of the first byte of every log. Version 0 is thereby never given.
pub const FIRST_ADDRESS: u64 = 4096;

/// No address of a log reaches this: far beyond what can be written, and sums of addresses do not overflow.
pub const MAX_ADDRESS: u64 = 1 << 62;

/// Bytes at the end of the last segment that a writer leaves alone: room for a clean end and one granule more.
///
/// So a log never ends at the end of a segment, and one that seems to is missing its next segment.
pub const SEGMENT_RESERVE: u64 = (crate::HEADER_LEN + crate::GRANULE) as u64;

const MAGIC: [u8; 8] = *b"HOLT-LOG";
const WHAT: &str = "log segment header";
const CRC_AT: usize = 12;
const RESERVED_AT: usize = 64;

const _: () = assert!(RESERVED_AT < SEGMENT_HEADER_LEN);
const _: () = assert!(FIRST_ADDRESS.is_multiple_of(SEGMENT_HEADER_LEN as u64));

/// What the header of a segment says.
///
/// # Examples
///
/// ```
/// use holt_codec::{DbId, FIRST_ADDRESS, SegmentHeader};
/// let header = SegmentHeader {
///     db: DbId([7; 16]),
///     salt: 42,
///     start: FIRST_ADDRESS,
///     window: 1 << 20,
///     predecessor_end: FIRST_ADDRESS,
/// };
/// assert_eq!(SegmentHeader::decode(&header.encode())?, header);
/// # Ok::<(), holt_codec::Error>(())
/// ```
///
/// ```
/// use holt_codec::{DbId, FIRST_ADDRESS, SEGMENT_HEADER_LEN, SegmentHeader};
///
/// let header = SegmentHeader {
///     db: DbId([1; 16]), salt: 9, start: FIRST_ADDRESS, window: 4096, predecessor_end: FIRST_ADDRESS,
/// };
/// assert_eq!(SegmentHeader::decode(&header.encode())?, header);
/// assert_eq!(header.end(), FIRST_ADDRESS + 4096);
/// assert_eq!(header.file_offset(header.start), SEGMENT_HEADER_LEN as u64);
/// assert!(header.flows_on(), "the log before it ends where it starts");
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The database that the segment belongs to.
    pub db: DbId,
    /// Random number that seeds the checksums of the records that start here.
    pub salt: u64,
    /// Address of the window's first byte; a multiple of 4096, at least [`FIRST_ADDRESS`].
    pub start: u64,
    /// Length of the window in bytes; a multiple of 4096, at least 4096.
    pub window: u64,
    /// Where the valid log before this segment ends; at most `start`, and equal to it when the log flows on.
    pub predecessor_end: u64,
}

impl SegmentHeader {
    /// Address behind the window's last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.window
    }

    /// Length of the whole file in bytes.
    #[must_use]
    pub const fn file_len(&self) -> u64 {
        SEGMENT_HEADER_LEN as u64 + self.window
    }

    /// Whether the log flows into this segment from the one that ends where it starts.
    #[must_use]
    pub const fn flows_on(&self) -> bool {
        self.predecessor_end == self.start
    }

    /// What the checksums of the records that start here begin with.
    #[must_use]
    pub fn seed(&self) -> Seed {
        Seed::new(self.salt)
    }

    /// File offset of the byte at `address`, which has to lie in the window or at its end.
    #[must_use]
    pub const fn file_offset(&self, address: u64) -> u64 {
        SEGMENT_HEADER_LEN as u64 + (address - self.start)
    }

    /// The header as it stands in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.db.0);
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.start.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.window.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.predecessor_end.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Magic`], [`Error::Version`], [`Error::Checksum`], or [`Error::Malformed`] when
    /// the fields cannot be those of a segment.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, Error> {
        let Some((bytes, _)) = bytes.split_first_chunk::<SEGMENT_HEADER_LEN>() else {
            return Err(Error::CutShort {
                what: WHAT,
                needed: SEGMENT_HEADER_LEN as u64,
                found: bytes.len() as u64,
            });
        };
        if bytes[..8] != MAGIC {
            return Err(Error::Magic { what: WHAT });
        }
        let mut plain = *bytes;
        plain[CRC_AT..CRC_AT + 4].fill(0);
        let found = crc32fast::hash(&plain);
        let expected = word32(bytes, CRC_AT);
        let version = word32(bytes, 8);
        // A future version may move the checksum, so an unknown version is reported as what it claims to be.
        if version != LOG_VERSION {
            return Err(Error::Version { what: WHAT, found: version, supported: LOG_VERSION });
        }
        if found != expected {
            return Err(Error::Checksum { what: WHAT, expected, found });
        }
        if bytes[RESERVED_AT..].iter().any(|&byte| byte != 0) {
            return Err(Error::Malformed { what: WHAT, why: "reserved bytes are not zero" });
        }
        let mut db = [0; 16];
        db.copy_from_slice(&bytes[16..32]);
        let header = SegmentHeader {
            db: DbId(db),
            salt: word64(bytes, 32),
            start: word64(bytes, 40),
            window: word64(bytes, 48),
            predecessor_end: word64(bytes, 56),
        };
        header.validate()?;
        Ok(header)
    }

    fn validate(&self) -> Result<(), Error> {
        let malformed = |why| Err(Error::Malformed { what: WHAT, why });
        let unit = SEGMENT_HEADER_LEN as u64;
        if self.start < FIRST_ADDRESS || !self.start.is_multiple_of(unit) {
            return malformed("the start address is not one that a segment can have");
        }
        if self.window == 0 || !self.window.is_multiple_of(unit) {
            return malformed("the window is not a positive multiple of 4096 bytes");
        }
        if self.start.checked_add(self.window).is_none_or(|end| end > MAX_ADDRESS) {
            return malformed("the window reaches beyond the address space");
        }
        if self.predecessor_end > self.start
            || self.predecessor_end < FIRST_ADDRESS
            || !self.predecessor_end.is_multiple_of(crate::GRANULE as u64)
        {
            return malformed("the end of the log before it is not one that can be");
        }
        Ok(())
    }
}

fn word32(bytes: &[u8; SEGMENT_HEADER_LEN], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn word64(bytes: &[u8; SEGMENT_HEADER_LEN], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            db: DbId(*b"0123456789abcdef"),
            salt: 0x1122_3344_5566_7788,
            start: 3 << 20,
            window: 1 << 20,
            predecessor_end: (2 << 20) + 48,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        let header = sample();
        assert_eq!(SegmentHeader::decode(&header.encode()).unwrap(), header);
        assert_eq!(header.file_offset(header.end()), header.file_len());
        assert!(!header.flows_on());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sample().encode();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_header_cut_anywhere_is_an_error() {
        let good = sample().encode();
        for len in 0..good.len() {
            assert!(matches!(
                SegmentHeader::decode(&good[..len]),
                Err(Error::CutShort { found, .. }) if found == len as u64
            ));
        }
    }

    #[test]
    fn fields_that_cannot_be_are_refused_despite_a_good_checksum() {
        let good = sample();
        let bad = [
            SegmentHeader { start: 0, predecessor_end: 0, ..good },
            SegmentHeader { start: good.start + 8, ..good },
            SegmentHeader { window: 0, ..good },
            SegmentHeader { window: 4104, ..good },
            SegmentHeader { window: MAX_ADDRESS, ..good },
            SegmentHeader { start: !4095, ..good },
            SegmentHeader { predecessor_end: good.start + 8, ..good },
            SegmentHeader { predecessor_end: good.start - 3, ..good },
            SegmentHeader { predecessor_end: 8, ..good },
        ];
        for header in bad {
            assert!(
                matches!(SegmentHeader::decode(&header.encode()), Err(Error::Malformed { .. })),
                "{header:?}"
            );
        }
    }

    #[test]
    fn an_unknown_version_is_named_with_the_known_one() {
        let mut bytes = sample().encode();
        bytes[8] = 9;
        assert_eq!(
            SegmentHeader::decode(&bytes),
            Err(Error::Version { what: WHAT, found: 9, supported: LOG_VERSION })
        );
    }
}
