//! The 16 bytes before every record's body.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of salt, 64-bit address, and the record from offset 4 to its end |
//! | 4 | 3 | length of the record in granules, header and padding included |
//! | 7 | 1 | kind |
//! | 8 | 4 | low 32 bits of the address, in granules |
//! | 12 | 4 | distance from the synced mark up to this record, in granules; all ones: no claim |
//!
//! All integers are little endian.
//!
//! * Zeros are not a header: no record has length 0.
//! * The address bits let a scan of foreign bytes drop nearly every position without computing a checksum.
//! * The distance says how much of the log was on stable storage when the record was encoded. A reader that
//!   finds a gap below that mark knows that the gap is damage, not a write that never finished.

use super::{GRANULE, MAX_RECORD, Seed};
use crate::Error;

/// Bytes of a record's header.
pub const HEADER_LEN: usize = 16;

/// Where the checksum ends and what it covers begins.
pub(super) const CRC_LEN: usize = 4;

/// Distance that stands for *no claim*.
const NO_CLAIM: u32 = u32::MAX;

const _: () = assert!(HEADER_LEN.is_multiple_of(GRANULE));

/// What a record is; one byte in its header. Numbers are never reused.
///
/// # Examples
///
/// ```
/// use holt_codec::{Kind, Op, Record};
///
/// let record = Record::from(Op::Delete { tree: 1, key: b"k" });
/// assert_eq!(record.kind(), Kind::Delete);
/// assert_eq!(Kind::from_byte(Kind::Delete as u8), Some(Kind::Delete));
/// assert_eq!(Kind::from_byte(0), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// A range that was reserved and never filled.
    Skip = 1,
    /// The log was closed in order here.
    CleanEnd = 2,
    /// One key gets a value.
    Put = 3,
    /// One key goes.
    Delete = 4,
    /// One key's value moves to another key.
    Rename = 5,
    /// All keys with one prefix get another.
    RenamePrefix = 6,
    /// All keys with a prefix go.
    DeletePrefix = 7,
    /// Several operations that count as one.
    Batch = 8,
    /// A tree is created.
    CreateTree = 9,
    /// A tree goes with all that it holds.
    DropTree = 10,
    /// A tree gets another name.
    RenameTree = 11,
}

impl Kind {
    /// The kind with this number, if there is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Skip,
            2 => Kind::CleanEnd,
            3 => Kind::Put,
            4 => Kind::Delete,
            5 => Kind::Rename,
            6 => Kind::RenamePrefix,
            7 => Kind::DeletePrefix,
            8 => Kind::Batch,
            9 => Kind::CreateTree,
            10 => Kind::DropTree,
            11 => Kind::RenameTree,
            _ => return None,
        })
    }
}

/// A record's header, taken apart. Nothing in it is to be trusted before the record's checksum is verified.
///
/// # Examples
///
/// ```
/// use holt_codec::{FIRST_ADDRESS, Kind, Op, Record, RecordHeader, Seed};
///
/// let (seed, record) = (Seed::new(1), Record::from(Op::Delete { tree: 1, key: b"k" }));
/// let mut bytes = Vec::new();
/// record.encode(seed, FIRST_ADDRESS, FIRST_ADDRESS, &mut bytes);
/// let header = RecordHeader::parse(FIRST_ADDRESS, &bytes)?;
/// assert_eq!((header.kind(), header.len()), (Kind::Delete, bytes.len()));
/// assert_eq!(header.synced(), Some(FIRST_ADDRESS));
/// assert!(header.verify(seed, FIRST_ADDRESS, &bytes));
/// println!("checksum {:#010x}", header.crc());
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    crc: u32,
    len: u32,
    kind: Kind,
    synced: Option<u64>,
}

impl RecordHeader {
    /// Takes apart the header of the record that would lie at `address`.
    ///
    /// Costs a few instructions for bytes that are not a header: this is the filter for scans.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`] for fewer than [`HEADER_LEN`] bytes, [`Error::Malformed`] when they are not the header of
    /// a record at this address.
    #[inline]
    pub fn parse(address: u64, bytes: &[u8]) -> Result<RecordHeader, Error> {
        let Some((head, _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(Error::CutShort {
                what: "record header",
                needed: HEADER_LEN as u64,
                found: bytes.len() as u64,
            });
        };
        let malformed = |why| Error::Malformed { what: "record header", why };
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if word(8) != low_granules(address) {
            return Err(malformed("the address in it is another one"));
        }
        let shape = word(4);
        let len = (shape & 0x00ff_ffff) as usize * GRANULE;
        if !(HEADER_LEN..=MAX_RECORD).contains(&len) {
            return Err(malformed("the length in it is outside the limits"));
        }
        let Some(kind) = Kind::from_byte((shape >> 24) as u8) else {
            return Err(malformed("the kind in it is unknown"));
        };
        let synced = match word(12) {
            NO_CLAIM => None,
            distance => match address.checked_sub(u64::from(distance) * GRANULE as u64) {
                Some(mark) => Some(mark),
                None => return Err(malformed("the synced mark in it lies before the log")),
            },
        };
        Ok(RecordHeader { crc: word(0), len: len as u32, kind, synced })
    }

    /// The twelve bytes after the checksum.
    ///
    /// A mark beyond the address, or too far below it for the field, becomes *no claim*: saying less is always safe.
    #[inline]
    pub(super) fn tail(kind: Kind, len: usize, address: u64, synced: u64) -> [u8; 12] {
        debug_assert!((HEADER_LEN..=MAX_RECORD).contains(&len) && len.is_multiple_of(GRANULE));
        let shape = (len / GRANULE) as u32 | (kind as u32) << 24;
        let distance = match address.checked_sub(synced) {
            Some(bytes) => u32::try_from(bytes / GRANULE as u64).unwrap_or(NO_CLAIM),
            None => NO_CLAIM,
        };
        let mut tail = [0; 12];
        tail[..4].copy_from_slice(&shape.to_le_bytes());
        tail[4..8].copy_from_slice(&low_granules(address).to_le_bytes());
        tail[8..].copy_from_slice(&distance.to_le_bytes());
        tail
    }

    /// Length of the whole record in bytes: a multiple of the granule, from [`HEADER_LEN`] to
    /// [`MAX_RECORD`](crate::MAX_RECORD).
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// What the record is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Address below which the log was on stable storage when the record was encoded, if it says so.
    #[must_use]
    pub const fn synced(&self) -> Option<u64> {
        self.synced
    }

    /// Checksum that the record claims.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc
    }

    /// Whether `record`, the bytes from the header's first to the record's last, has this header's checksum.
    #[must_use]
    pub fn verify(&self, seed: Seed, address: u64, record: &[u8]) -> bool {
        self.check(seed, address, record).is_ok()
    }

    /// Like [`RecordHeader::verify`], with the reason.
    pub(crate) fn check(&self, seed: Seed, address: u64, record: &[u8]) -> Result<(), Error> {
        let mut sum = RecordSum::new(seed, address);
        sum.update(record.get(CRC_LEN..self.len()).ok_or(Error::CutShort {
            what: "log record",
            needed: self.len() as u64,
            found: record.len() as u64,
        })?);
        let found = sum.finish();
        if found == self.crc {
            Ok(())
        } else {
            Err(Error::Checksum { what: "log record", expected: self.crc, found })
        }
    }
}

/// A record's checksum over pieces of it, for a reader that does not hold the whole.
pub(crate) struct RecordSum(crc32fast::Hasher);

impl RecordSum {
    pub(crate) fn new(seed: Seed, address: u64) -> RecordSum {
        let mut hasher = seed.hasher();
        hasher.update(&address.to_le_bytes());
        RecordSum(hasher)
    }

    /// Adds the next bytes; the first are those right after the checksum itself, at offset 4.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// Where [`RecordSum`] starts.
pub(crate) const SUM_START: usize = CRC_LEN;

#[inline]
const fn low_granules(address: u64) -> u32 {
    (address / GRANULE as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind, len: usize, address: u64, synced: u64) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[4..].copy_from_slice(&RecordHeader::tail(kind, len, address, synced));
        bytes
    }

    #[test]
    fn zeros_are_no_header_at_any_address() {
        for address in [0, 8, 4096, 1 << 35, 1 << 40] {
            assert!(RecordHeader::parse(address, &[0; HEADER_LEN]).is_err());
        }
    }

    #[test]
    fn fields_come_back_at_their_extremes() {
        for len in [HEADER_LEN, HEADER_LEN + 8, MAX_RECORD] {
            for address in [4096, 1 << 35, u64::MAX / 2 / 8 * 8] {
                for synced in [4096, address - 8, address] {
                    let found =
                        RecordHeader::parse(address, &header(Kind::Put, len, address, synced))
                            .unwrap();
                    assert_eq!((found.len(), found.kind()), (len, Kind::Put));
                    let near = (address - synced) / 8 < u64::from(u32::MAX);
                    assert_eq!(found.synced(), near.then_some(synced));
                }
            }
        }
    }

    #[test]
    fn a_mark_beyond_the_record_claims_nothing() {
        let bytes = header(Kind::Put, 24, 8192, 8200);
        assert_eq!(RecordHeader::parse(8192, &bytes).unwrap().synced(), None);
    }

    #[test]
    fn a_mark_before_the_log_is_refused() {
        let mut bytes = header(Kind::Put, 24, 8192, 8192);
        bytes[12..].copy_from_slice(&2000u32.to_le_bytes());
        assert!(matches!(RecordHeader::parse(8192, &bytes), Err(Error::Malformed { .. })));
    }

    #[test]
    fn a_header_of_another_address_is_refused() {
        let bytes = header(Kind::Put, 24, 8192, 4096);
        assert!(matches!(RecordHeader::parse(8200, &bytes), Err(Error::Malformed { .. })));
    }

    #[test]
    fn every_number_names_at_most_one_kind() {
        for byte in 0..=u8::MAX {
            if let Some(kind) = Kind::from_byte(byte) {
                assert_eq!(kind as u8, byte);
            }
        }
        assert_eq!((0..=u8::MAX).filter_map(Kind::from_byte).count(), 11);
    }
}
