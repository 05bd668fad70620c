//! The checksum of a record: CRC-32 over the segment's salt, the record's full address, and its bytes.
//!
//! * The salt makes records of another segment's past life worthless, the address makes those of another place
//!   worthless: neither needs the old bytes to be wiped.

use crc32fast::Hasher;

/// State of the checksum after the segment's salt; what every record's checksum in that segment starts from.
///
/// # Examples
///
/// ```
/// use holt_codec::Seed;
/// assert_ne!(Seed::new(1), Seed::new(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// The seed for records that start in a segment with this salt.
    #[must_use]
    pub fn new(salt: u64) -> Seed {
        let mut hasher = Hasher::new();
        hasher.update(&salt.to_le_bytes());
        Seed(hasher.finalize())
    }

    /// A hasher that has seen the salt and nothing else.
    #[inline]
    pub(crate) fn hasher(self) -> Hasher {
        Hasher::new_with_initial(self.0)
    }
}
