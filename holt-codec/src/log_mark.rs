//! The log's mark: which segment was durable when it was written.
//!
//! ```text
//!  offset  bytes  field
//!       0      8  magic "HOLTMARK"
//!       8      4  format version of the log, 2
//!      12      4  CRC32 of all other bytes of the mark
//!      16     16  database id
//!      32      8  sequence: counts the marks of a log, 0 in the one it is created with
//!      40      8  start address of the newest durable segment, 0 if there was none
//!      48      8  its window in bytes, 0 if there was none
//!      56      8  its salt, 0 if there was none
//! ```
//!
//! Integers are little endian. The file keeps two marks, one every 4096 bytes, written in turn, so that a torn one
//! leaves the other.
//!
//! - A mark is durable before the first address of its segment is granted. So whoever finds no such segment, although
//!   the log is needed from an address below its end, has lost records that may have been acknowledged.
//! - Segments that the mark does not know of were made and never written to.

use crate::fields::{HEAD_LEN, Head, put, take, u64_at};
use crate::{
    Damage, DbId, Error, FIRST_ADDRESS, LOG_VERSION, MAX_ADDRESS, SEGMENT_HEADER_LEN, SegmentHeader,
};

/// Bytes of a mark.
pub const LOG_MARK_LEN: usize = 64;

const HEAD: Head = Head { magic: *b"HOLTMARK", version: LOG_VERSION, what: WHAT };
const DB: usize = HEAD_LEN;
const SEQUENCE: usize = 32;
const START: usize = 40;
const WINDOW: usize = 48;
const SALT: usize = 56;

const WHAT: &str = "the log's mark";

const _: () = assert!(SEQUENCE == DB + 16 && START == SEQUENCE + 8 && WINDOW == START + 8);
const _: () = assert!(SALT == WINDOW + 8 && LOG_MARK_LEN == SALT + 8);

/// The newest durable segment of a log, as the log's mark remembers it.
///
/// # Examples
///
/// ```
/// use holt_codec::{DbId, FIRST_ADDRESS, LogMark, SegmentHeader};
/// let segment = SegmentHeader {
///     db: DbId([7; 16]),
///     salt: 42,
///     start: FIRST_ADDRESS,
///     window: 1 << 20,
///     predecessor_end: FIRST_ADDRESS,
/// };
/// let mark = LogMark::new(segment.db).of(&segment);
/// assert_eq!(LogMark::decode(&mark.encode())?, mark);
/// assert_eq!(mark.end(), segment.end());
/// assert!(mark.names(&segment));
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark {
    /// The database that the log belongs to.
    pub db: DbId,
    /// Counts the marks of the log.
    pub sequence: u64,
    /// Start address of the segment; 0 if there was none.
    pub start: u64,
    /// Bytes of the log that the segment holds; 0 if there was none.
    pub window: u64,
    /// Salt of the segment; 0 if there was none.
    pub salt: u64,
}

impl LogMark {
    /// The mark of a log without segments.
    #[must_use]
    pub const fn new(db: DbId) -> LogMark {
        LogMark { db, sequence: 0, start: 0, window: 0, salt: 0 }
    }

    /// The mark behind this one, when `segment` is the newest.
    #[must_use]
    pub const fn of(&self, segment: &SegmentHeader) -> LogMark {
        let SegmentHeader { salt, start, window, .. } = *segment;
        LogMark { db: self.db, sequence: self.sequence + 1, start, window, salt }
    }

    /// Address behind the segment's last byte; 0 if there was none.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.window
    }

    /// Whether this is the mark of `segment`.
    #[must_use]
    pub fn names(&self, segment: &SegmentHeader) -> bool {
        (self.start, self.window, self.salt) == (segment.start, segment.window, segment.salt)
    }

    /// Checks that the segment of the mark is among those that there are, when the log is needed from `from` on.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] with [`Damage::LostSegment`] or [`Damage::OtherSegment`], at the segment's start.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_codec::{Damage, DbId, Error, FIRST_ADDRESS, LogMark, SegmentHeader};
    ///
    /// let header = SegmentHeader {
    ///     db: DbId([1; 16]), salt: 9, start: FIRST_ADDRESS, window: 4096, predecessor_end: FIRST_ADDRESS,
    /// };
    /// let mark = LogMark::new(header.db).of(&header);
    /// mark.check([&header], FIRST_ADDRESS)?;
    /// let lost = mark.check([], FIRST_ADDRESS);
    /// assert!(matches!(lost, Err(Error::Damaged { damage: Damage::LostSegment, .. })));
    /// # Ok::<(), holt_codec::Error>(())
    /// ```
    pub fn check<'a>(
        &self,
        segments: impl IntoIterator<Item = &'a SegmentHeader>,
        from: u64,
    ) -> Result<(), Error> {
        // Also when there was no segment.
        if self.end() <= from {
            return Ok(());
        }
        let damage = match segments.into_iter().find(|segment| segment.start == self.start) {
            Some(segment) if self.names(segment) => return Ok(()),
            Some(_) => Damage::OtherSegment,
            None => Damage::LostSegment,
        };
        Err(Error::Damaged { address: self.start, segment: self.start, offset: 0, damage })
    }

    /// The mark's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; LOG_MARK_LEN] {
        let mut bytes = [0; LOG_MARK_LEN];
        put(&mut bytes, DB, self.db.0);
        put(&mut bytes, SEQUENCE, self.sequence.to_le_bytes());
        put(&mut bytes, START, self.start.to_le_bytes());
        put(&mut bytes, WINDOW, self.window.to_le_bytes());
        put(&mut bytes, SALT, self.salt.to_le_bytes());
        HEAD.seal(&mut bytes);
        bytes
    }

    /// Reads a mark from the front of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Magic`], [`Error::Version`], [`Error::Checksum`], or [`Error::Malformed`] when
    /// there can be no such segment.
    pub fn decode(bytes: &[u8]) -> Result<LogMark, Error> {
        let bytes = HEAD.open(bytes, LOG_MARK_LEN)?;
        let mark = LogMark {
            db: DbId(take(bytes, DB)),
            sequence: u64_at(bytes, SEQUENCE),
            start: u64_at(bytes, START),
            window: u64_at(bytes, WINDOW),
            salt: u64_at(bytes, SALT),
        };
        mark.validate()?;
        Ok(mark)
    }

    fn validate(&self) -> Result<(), Error> {
        let malformed = |why| Err(Error::Malformed { what: WHAT, why });
        let unit = SEGMENT_HEADER_LEN as u64;
        if self.sequence > u64::MAX / 2 {
            return malformed("no log has so many marks");
        }
        if (self.start, self.window, self.salt) == (0, 0, 0) {
            return Ok(());
        }
        if self.start < FIRST_ADDRESS
            || !self.start.is_multiple_of(unit)
            || self.window == 0
            || !self.window.is_multiple_of(unit)
            || self.start.checked_add(self.window).is_none_or(|end| end > MAX_ADDRESS)
        {
            return malformed("there can be no such segment");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> LogMark {
        LogMark { db: DbId([9; 16]), sequence: 4, start: 8192, window: 1 << 20, salt: 77 }
    }

    #[test]
    fn a_mark_reads_back() {
        for mark in [mark(), LogMark::new(DbId([9; 16]))] {
            assert_eq!(LogMark::decode(&mark.encode()), Ok(mark));
        }
    }

    // Made without this crate, from the table above, by this Python:
    //   a = struct.pack("<8sI", b"HOLTMARK", 2)
    //   b = bytes([9] * 16) + struct.pack("<QQQQ", 4, 8192, 1 << 20, 77)
    //   (a + struct.pack("<I", zlib.crc32(a + b)) + b).hex()
    #[test]
    fn the_golden_mark_of_version_2_is_still_written() {
        let golden = "484f4c544d41524b02000000ed7877fc09090909090909090909090909090909\
                      0400000000000000002000000000000000001000000000004d00000000000000";
        let hex: String = mark().encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, golden);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = mark().encode();
        for bit in 0..LOG_MARK_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(LogMark::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..LOG_MARK_LEN {
            assert!(LogMark::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn fields_that_cannot_be_are_refused_despite_a_good_checksum() {
        let bad = [
            LogMark { start: 0, ..mark() },
            LogMark { start: 8200, ..mark() },
            LogMark { window: 0, ..mark() },
            LogMark { window: 4104, ..mark() },
            LogMark { window: !4095, ..mark() },
            LogMark { start: !4095, ..mark() },
            LogMark { sequence: u64::MAX, ..mark() },
            LogMark { salt: 1, ..LogMark::new(DbId([9; 16])) },
        ];
        for mark in bad {
            let refused = LogMark::decode(&mark.encode());
            assert!(matches!(refused, Err(Error::Malformed { .. })), "{mark:?}");
        }
    }

    #[test]
    fn a_segment_that_is_missing_or_another_is_told_while_it_is_needed() {
        let (db, start, window, salt) = (DbId([9; 16]), 8192, 1 << 20, 77);
        let own = SegmentHeader { db, salt, start, window, predecessor_end: start };
        let other = SegmentHeader { salt: 78, ..own };
        let earlier = SegmentHeader { start: 4096, window: 4096, predecessor_end: 4096, ..own };
        let end = own.end();
        let verdict = |segments: &[SegmentHeader], from| match mark().check(segments, from) {
            Ok(()) => None,
            Err(Error::Damaged { segment: 8192, damage, .. }) => Some(damage),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(verdict(&[earlier, own], 4096), None);
        assert_eq!(verdict(&[own], end - 8), None);
        for from in [4096, 8192, end - 8] {
            assert_eq!(verdict(&[earlier], from), Some(Damage::LostSegment));
            assert_eq!(verdict(&[], from), Some(Damage::LostSegment));
            assert_eq!(verdict(&[other], from), Some(Damage::OtherSegment));
        }
        assert_eq!(verdict(&[], end), None);
        assert!(LogMark::new(db).check(&[], FIRST_ADDRESS).is_ok());
    }

    #[test]
    fn another_version_is_named_with_the_known_one() {
        let mut bytes = mark().encode();
        bytes[8] = 9;
        let (found, supported) = (9, LOG_VERSION);
        assert_eq!(LogMark::decode(&bytes), Err(Error::Version { what: WHAT, found, supported }));
    }
}
