//! The marks: one word a granule, which says that the range starting there is published.
//!
//! # State word
//!
//! ```text
//!  63                                      0
//! | lap of the address | granules  | skip |
//!    61 - L bits          L + 1       1          L = log2(granules of the ring)
//! ```
//!
//! The word stands in the slot `address / 8 mod 2^L`, so slot and lap together *are* the start address, all 64
//! bits of it; length and kind follow in full. A word therefore names exactly one publication out of all
//! that there can ever be, a mark of an earlier lap can never be taken for a new one, and no mark
//! has to be cleared when its bytes are drained. The three fields need 63 bits at every capacity. The length is
//! never 0, so the all-zero word of a fresh ring names nothing.
//!
//! # Who may touch what when
//!
//! A slot is stored by the producer that holds the reservation starting there, once, when it publishes. Anyone may load
//! any slot at any time. Only an exclusive owner of the whole ring clears the slots.

use crate::error::Error;
use crate::sync::{AtomicU64, Ordering};

/// The unit of addresses and lengths, in bytes.
///
/// Every address is a multiple of it and every length is rounded up to it.
pub const GRANULE: usize = 8;

/// log2 of [`GRANULE`].
const GRANULE_SHIFT: u32 = GRANULE.trailing_zeros();

/// What a published range is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The bytes are a record.
    Record,
    /// The bytes mean nothing; only the length counts.
    Skip,
}

/// One publication, the plain form of a slot's word; its start address is where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Bytes, a multiple of the granule.
    pub(crate) len: u64,
    /// Record or skip.
    pub(crate) kind: Kind,
}

/// All marks of a ring.
#[derive(Debug)]
pub(crate) struct Marks {
    slots: Box<[AtomicU64]>,
    /// log2 of the number of slots.
    bits: u32,
}

impl Marks {
    /// Empty marks for a ring of `capacity` bytes, a power of two and at least one granule.
    pub(crate) fn new(capacity: usize) -> Result<Marks, Error> {
        let granules = capacity / GRANULE;
        debug_assert!(granules.is_power_of_two());
        #[cfg(not(loom))]
        let slots = crate::storage::zeroed(granules)?;
        #[cfg(loom)]
        let slots = (0..granules).map(|_| AtomicU64::new(0)).collect();
        Ok(Marks { slots, bits: granules.trailing_zeros() })
    }

    #[inline]
    fn slot(&self, address: u64) -> &AtomicU64 {
        let granule = address >> GRANULE_SHIFT;
        &self.slots[(granule & (self.slots.len() as u64 - 1)) as usize]
    }

    /// Has the system hand over the memory of the marks of `len` bytes from `address` on.
    #[cfg(not(loom))]
    pub(crate) fn populate(&self, address: u64, len: usize) {
        crate::storage::populate(&self.slots, address >> GRANULE_SHIFT, len / GRANULE);
    }

    /// Publishes the range of `len` bytes at `address`.
    #[inline]
    pub(crate) fn publish(&self, address: u64, len: usize, kind: Kind) {
        // E2: releases the producer's bytes to whoever walks over this mark (`Marks::at`).
        self.slot(address).store(encode(self.bits, address, len as u64, kind), Ordering::Release);
    }

    /// The publication that starts at `address`, if there is one and it is not of an older or a newer lap.
    #[inline]
    pub(crate) fn at(&self, address: u64) -> Option<Mark> {
        // E2: acquires what the producer wrote before `Marks::publish`.
        decode(self.bits, address, self.slot(address).load(Ordering::Acquire))
    }

    /// Forgets every publication. The caller owns the whole ring.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots {
            // Nobody else has a reference; whoever gets one next is handed it with synchronisation.
            slot.store(0, Ordering::Relaxed);
        }
    }
}

/// The word for a publication in a ring of `2^bits` granules.
#[inline]
fn encode(bits: u32, address: u64, len: u64, kind: Kind) -> u64 {
    let granule = address >> GRANULE_SHIFT;
    let granules = len >> GRANULE_SHIFT;
    debug_assert!(granules >= 1 && granules <= 1 << bits);
    (granule >> bits) << (bits + 2) | granules << 1 | u64::from(kind == Kind::Skip)
}

/// What `word`, found in the slot of `address`, says about a publication at exactly that address.
#[inline]
fn decode(bits: u32, address: u64, word: u64) -> Option<Mark> {
    let granule = address >> GRANULE_SHIFT;
    let granules = word >> 1 & ((1 << (bits + 1)) - 1);
    if word >> (bits + 2) != granule >> bits || granules == 0 {
        return None;
    }
    let kind = if word & 1 == 0 { Kind::Record } else { Kind::Skip };
    Some(Mark { len: granules << GRANULE_SHIFT, kind })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const ADDRESSES: [u64; 6] = [0, 8, 4096, 1 << 32, (1 << 63) + 24, u64::MAX - 7];

    #[test]
    fn a_word_gives_back_what_was_published() {
        for bits in [0, 3, 10, 22, 40] {
            for address in ADDRESSES {
                for len in [8, 8 << bits >> 1 & !7, 8 << bits] {
                    for kind in [Kind::Record, Kind::Skip] {
                        let len = u64::max(len, 8);
                        let word = encode(bits, address, len, kind);
                        assert_eq!(decode(bits, address, word), Some(Mark { len, kind }));
                    }
                }
            }
        }
    }

    #[test]
    fn a_word_names_no_other_lap_of_its_slot() {
        for bits in [0, 3, 10, 22, 40] {
            let lap = (GRANULE as u64) << bits;
            for address in ADDRESSES {
                let word = encode(bits, address, lap, Kind::Skip);
                for shift in 0..64 {
                    let other = address.wrapping_add(lap.wrapping_mul(1 << shift));
                    if other != address {
                        assert_eq!(decode(bits, other, word), None, "{address} taken for {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_fresh_slot_names_nothing() {
        for bits in [0, 3, 10, 22, 40] {
            assert!(ADDRESSES.iter().all(|&address| decode(bits, address, 0).is_none()));
        }
    }

    #[test]
    fn a_slot_is_shared_by_the_same_place_of_every_lap_only() {
        let marks = Marks::new(64).unwrap();
        marks.publish(72, 16, Kind::Record);
        assert_eq!(marks.at(72), Some(Mark { len: 16, kind: Kind::Record }));
        assert_eq!([8, 64, 80, 136].map(|address| marks.at(address)), [None; 4]);
        marks.publish(136, 8, Kind::Skip);
        assert_eq!(marks.at(72), None);
        assert_eq!(marks.at(136), Some(Mark { len: 8, kind: Kind::Skip }));
    }

    #[test]
    fn clearing_forgets_every_publication() {
        let mut marks = Marks::new(64).unwrap();
        for address in (0..64).step_by(8) {
            marks.publish(address, 8, Kind::Record);
        }
        marks.clear();
        assert!((0..64).step_by(8).all(|address| marks.at(address).is_none()));
    }
}
