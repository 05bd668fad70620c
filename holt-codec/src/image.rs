//! An object image: one frame or blob as it lies in the data file, bound to what it is.
//!
//! ```text
//!  offset  bytes  field
//!       0      4  magic "HIMG"
//!       4      4  CRC32 of: database id, bytes 8..32 of this header, payload
//!       8      8  object id
//!      16      8  generation: the checkpoint attempt that wrote the image
//!      24      4  payload length in bytes, at most MAX_IMAGE
//!      28      4  zero
//!      32      …  payload
//! ```
//!
//! Integers are little endian. The checksum covers the database's id without storing it, so an
//! image of another database fails like a damaged one; object id and generation are stored, so
//! a valid image in the wrong place, or an older one where a newer should be, says which it is.

use crc32fast::Hasher;

use crate::fields::{put, u32_at, u64_at};
use crate::{DbId, Error};

/// Bytes in front of an image's payload.
pub const IMAGE_HEADER_LEN: usize = 32;

/// The longest payload in bytes: the longest value of the log with room for its frame.
pub const MAX_IMAGE: u32 = 32 << 20;

const MAGIC: [u8; 4] = *b"HIMG";
const CHECKSUM: usize = 4;
const COVERED: usize = 8;
const OBJECT: usize = 8;
const GENERATION: usize = 16;
const LENGTH: usize = 24;
const RESERVED: usize = 28;

const WHAT: &str = "image";

const _: () = assert!(CHECKSUM == MAGIC.len() && COVERED == CHECKSUM + 4 && OBJECT == COVERED);
const _: () = assert!(GENERATION == OBJECT + 8 && LENGTH == GENERATION + 8);
const _: () = assert!(RESERVED == LENGTH + 4 && IMAGE_HEADER_LEN == RESERVED + 4);

/// What stands in front of an image's payload.
///
/// # Examples
///
/// ```
/// use holt_codec::{DbId, ImageHeader};
///
/// let db = DbId([7; 16]);
/// let header = ImageHeader::new(db, 42, 1, b"payload")?;
/// let read = ImageHeader::decode(&header.encode())?;
/// read.check(db, 42, 1, b"payload")?;
/// assert!(read.check(db, 43, 1, b"payload").is_err(), "the image of another object");
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Whose image this is.
    pub object: u64,
    /// The checkpoint attempt that wrote it; grows over the life of the database.
    pub generation: u64,
    /// Payload length in bytes.
    pub len: u32,
    /// CRC32 over database id, header fields and payload.
    pub checksum: u32,
}

impl ImageHeader {
    /// The header for a payload.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] over [`MAX_IMAGE`] bytes.
    pub fn new(
        db: DbId,
        object: u64,
        generation: u64,
        payload: &[u8],
    ) -> Result<ImageHeader, Error> {
        let len = u32::try_from(payload.len()).ok().filter(|&len| len <= MAX_IMAGE);
        let len = len.ok_or(Error::TooLarge {
            what: WHAT,
            size: payload.len() as u64,
            limit: u64::from(MAX_IMAGE),
        })?;
        let mut header = ImageHeader { object, generation, len, checksum: 0 };
        header.checksum = header.checksum_of(db, payload);
        Ok(header)
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; IMAGE_HEADER_LEN] {
        let mut bytes = [0; IMAGE_HEADER_LEN];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, CHECKSUM, self.checksum.to_le_bytes());
        put(&mut bytes, OBJECT, self.object.to_le_bytes());
        put(&mut bytes, GENERATION, self.generation.to_le_bytes());
        put(&mut bytes, LENGTH, self.len.to_le_bytes());
        bytes
    }

    /// Reads a header from the front of `bytes`. Its checksum is only known to be right after
    /// [`ImageHeader::check`].
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Magic`], [`Error::Malformed`], [`Error::TooLarge`].
    pub fn decode(bytes: &[u8]) -> Result<ImageHeader, Error> {
        if bytes.len() < IMAGE_HEADER_LEN {
            let (needed, found) = (IMAGE_HEADER_LEN as u64, bytes.len() as u64);
            return Err(Error::CutShort { what: WHAT, needed, found });
        }
        if bytes[..CHECKSUM] != MAGIC {
            return Err(Error::Magic { what: "an image" });
        }
        if u32_at(bytes, RESERVED) != 0 {
            return Err(Error::Malformed { what: WHAT, why: "reserved bytes are not zero" });
        }
        let len = u32_at(bytes, LENGTH);
        if len > MAX_IMAGE {
            let (size, limit) = (u64::from(len), u64::from(MAX_IMAGE));
            return Err(Error::TooLarge { what: WHAT, size, limit });
        }
        Ok(ImageHeader {
            object: u64_at(bytes, OBJECT),
            generation: u64_at(bytes, GENERATION),
            len,
            checksum: u32_at(bytes, CHECKSUM),
        })
    }

    /// Checks that header and payload are whole and are the image of this object, of this
    /// generation, of this database.
    ///
    /// # Errors
    ///
    /// [`Error::Misplaced`] names the object or generation that differs, [`Error::CutShort`]
    /// a payload of another length, [`Error::Checksum`] everything else.
    pub fn check(
        &self,
        db: DbId,
        object: u64,
        generation: u64,
        payload: &[u8],
    ) -> Result<(), Error> {
        if payload.len() as u64 != u64::from(self.len) {
            let (needed, found) = (u64::from(self.len), payload.len() as u64);
            return Err(Error::CutShort { what: WHAT, needed, found });
        }
        let found = self.checksum_of(db, payload);
        if found != self.checksum {
            return Err(Error::Checksum { what: WHAT, expected: self.checksum, found });
        }
        for (what, expected, found) in [
            ("object of the image", object, self.object),
            ("generation of the image", generation, self.generation),
        ] {
            if expected != found {
                return Err(Error::Misplaced { what, expected, found });
            }
        }
        Ok(())
    }

    fn checksum_of(&self, db: DbId, payload: &[u8]) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&db.0);
        hasher.update(&self.encode()[COVERED..]);
        hasher.update(payload);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DB: DbId = DbId([3; 16]);

    fn image(payload: &[u8]) -> Vec<u8> {
        let header = ImageHeader::new(DB, 77, 5, payload).unwrap();
        [&header.encode()[..], payload].concat()
    }

    fn check(bytes: &[u8]) -> Result<(), Error> {
        let header = ImageHeader::decode(bytes)?;
        header.check(DB, 77, 5, &bytes[IMAGE_HEADER_LEN..])
    }

    #[test]
    fn an_image_reads_back() {
        for payload in [&b""[..], b"x", &[9; 70_000]] {
            let bytes = image(payload);
            let header = ImageHeader::decode(&bytes).unwrap();
            assert_eq!((header.object, header.generation), (77, 5));
            assert_eq!(header.len as usize, payload.len());
            assert_eq!(header.encode()[..], bytes[..IMAGE_HEADER_LEN]);
            check(&bytes).unwrap();
        }
    }

    // Made without this crate, from the table above, by this Python:
    //   h = struct.pack("<QQII", 77, 5, 9, 0)
    //   crc = zlib.crc32(bytes([3] * 16) + h + b"a payload")
    //   (b"HIMG" + struct.pack("<I", crc) + h).hex()
    #[test]
    fn the_golden_header_of_version_1_decodes_and_is_still_written() {
        let golden = "48494d47878b5c584d0000000000000005000000000000000900000000000000";
        let bytes = image(b"a payload");
        let hex: String = bytes[..IMAGE_HEADER_LEN].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, golden);
        check(&bytes).unwrap();
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = image(b"a payload of some bytes");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = image(b"a payload of some bytes");
        for len in 0..bytes.len() {
            let cut = check(&bytes[..len]);
            assert!(matches!(cut, Err(Error::CutShort { .. })), "{len} bytes: {cut:?}");
        }
    }

    #[test]
    fn a_valid_image_in_the_wrong_place_says_what_it_is() {
        let header = ImageHeader::new(DB, 77, 5, b"p").unwrap();
        let what = "object of the image";
        assert_eq!(
            header.check(DB, 78, 5, b"p"),
            Err(Error::Misplaced { what, expected: 78, found: 77 })
        );
        let what = "generation of the image";
        assert_eq!(
            header.check(DB, 77, 6, b"p"),
            Err(Error::Misplaced { what, expected: 6, found: 5 })
        );
        let other = header.check(DbId([4; 16]), 77, 5, b"p");
        assert!(matches!(other, Err(Error::Checksum { .. })), "{other:?}");
    }

    #[test]
    fn a_length_over_the_limit_is_refused_both_ways() {
        let long = vec![0; MAX_IMAGE as usize + 1];
        assert!(ImageHeader::new(DB, 1, 1, &long[1..]).is_ok());
        assert!(matches!(ImageHeader::new(DB, 1, 1, &long), Err(Error::TooLarge { .. })));
        let mut bytes = image(b"");
        put(&mut bytes, LENGTH, (MAX_IMAGE + 1).to_le_bytes());
        assert!(matches!(ImageHeader::decode(&bytes), Err(Error::TooLarge { .. })));
    }
}
