//! What the engine leaves in the manifest beside the frames: where everything begins.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | layout version, [`VERSION`] |
//! | 4 | 4 | frame that is the root of the catalogue |
//! | 8 | 8 | id that the next new tree gets |
//!
//! Little endian. The manifest's checksum covers it. A database without a checkpoint has none.

use crate::catalog::FIRST_FREE;
use crate::error::Error;

/// Version of the layout above.
const VERSION: u32 = 1;
/// Bytes of the encoded form.
const LENGTH: usize = 16;

/// The engine's part of a manifest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Number of the frame that is the root of the catalogue.
    pub(crate) catalog: u32,
    /// Id that the next new tree gets: above every id ever given.
    pub(crate) next_tree: u64,
}

impl Meta {
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.catalog.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.next_tree.to_le_bytes());
        bytes
    }

    /// # Errors
    ///
    /// [`Error::Version`] for a layout of another version, [`Error::Damaged`] for anything else
    /// that [`encode`](Self::encode) does not write.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Meta, Error> {
        let damaged = |what: String| Error::Damaged { place: "manifest".to_owned(), what };
        let Some((version, _)) = bytes.split_first_chunk() else {
            return Err(damaged(format!("the engine's part has {} bytes", bytes.len())));
        };
        let found = u32::from_le_bytes(*version);
        if found != VERSION {
            return Err(Error::Version {
                what: "the engine's part of the manifest".to_owned(),
                found,
                supported: VERSION,
            });
        }
        let Ok(bytes) = <[u8; LENGTH]>::try_from(bytes) else {
            return Err(damaged(format!(
                "the engine's part has {} bytes in place of {LENGTH}",
                bytes.len()
            )));
        };
        let [_, _, _, _, c0, c1, c2, c3, next @ ..] = bytes;
        let next_tree = u64::from_le_bytes(next);
        if next_tree < FIRST_FREE {
            return Err(damaged(format!("{next_tree} cannot be the next tree's id")));
        }
        Ok(Meta { catalog: u32::from_le_bytes([c0, c1, c2, c3]), next_tree })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let meta = Meta { catalog: 0x0102_0304, next_tree: 0x1112_1314_1516_1718 };
        let bytes = meta.encode();
        assert_eq!(bytes[..8], [1, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(bytes[8..], [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        assert_eq!(Meta::decode(&bytes).unwrap(), meta);
    }

    #[test]
    fn what_is_no_meta_is_an_error() {
        let good = Meta { catalog: 7, next_tree: FIRST_FREE }.encode();
        for end in 0..LENGTH {
            assert!(matches!(Meta::decode(&good[..end]), Err(Error::Damaged { .. })), "{end}");
        }
        let long = [&good[..], &[0]].concat();
        assert!(matches!(Meta::decode(&long), Err(Error::Damaged { .. })));
        let mut low = good;
        low[8] = 0;
        assert!(matches!(Meta::decode(&low), Err(Error::Damaged { .. })));
        let mut newer = good;
        newer[0] = 2;
        assert!(matches!(
            Meta::decode(&newer),
            Err(Error::Version { found: 2, supported: VERSION, .. })
        ));
    }
}
