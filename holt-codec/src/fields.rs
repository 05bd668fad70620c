//! Fixed fields at fixed offsets of a fixed array: what the small headers are made of.
//!
//! Offsets and widths are constants, so a field that leaves its array does not compile into
//! anything but a failing test.
//!
//! The marks of the log and of the data file begin with the same [`Head`]:
//!
//! ```text
//!  offset  bytes  field
//!       0      8  magic
//!       8      4  format version
//!      12      4  CRC32 of all other bytes
//! ```

use crc32fast::Hasher;

use crate::Error;

const VERSION: usize = 8;
const CHECKSUM: usize = 12;

/// Bytes of a [`Head`]: where the fields behind it begin.
pub(crate) const HEAD_LEN: usize = CHECKSUM + 4;

/// How a structure of fixed length says what it is, and that it is whole.
pub(crate) struct Head {
    pub(crate) magic: [u8; VERSION],
    /// The version that this crate reads and writes.
    pub(crate) version: u32,
    /// What the structure is called in errors.
    pub(crate) what: &'static str,
}

impl Head {
    /// Puts the head before the fields, which are in their places.
    pub(crate) fn seal(&self, bytes: &mut [u8]) {
        put(bytes, 0, self.magic);
        put(bytes, VERSION, self.version.to_le_bytes());
        let checksum = checksum(bytes);
        put(bytes, CHECKSUM, checksum.to_le_bytes());
    }

    /// The structure of `len` bytes at the front of `bytes`, when its head is right.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Magic`], [`Error::Version`] or [`Error::Checksum`].
    pub(crate) fn open<'a>(&self, bytes: &'a [u8], len: usize) -> Result<&'a [u8], Error> {
        let what = self.what;
        let Some(bytes) = bytes.get(..len) else {
            let (needed, found) = (len as u64, bytes.len() as u64);
            return Err(Error::CutShort { what, needed, found });
        };
        if bytes[..VERSION] != self.magic {
            return Err(Error::Magic { what });
        }
        // Before the checksum: another version may check itself in another way.
        let version = u32_at(bytes, VERSION);
        if version != self.version {
            return Err(Error::Version { what, found: version, supported: self.version });
        }
        let (expected, found) = (u32_at(bytes, CHECKSUM), checksum(bytes));
        if expected != found {
            return Err(Error::Checksum { what, expected, found });
        }
        Ok(bytes)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&bytes[..CHECKSUM]);
    hasher.update(&bytes[HEAD_LEN..]);
    hasher.finalize()
}

/// Puts a field's bytes at an offset.
pub(crate) fn put<const N: usize>(to: &mut [u8], at: usize, bytes: [u8; N]) {
    to[at..at + N].copy_from_slice(&bytes);
}

/// The `N` bytes at an offset; the caller has checked that they are there.
pub(crate) fn take<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&from[at..at + N]);
    bytes
}

/// The little-endian `u32` at an offset.
pub(crate) fn u32_at(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(from, at))
}

/// The little-endian `u64` at an offset.
pub(crate) fn u64_at(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(from, at))
}
