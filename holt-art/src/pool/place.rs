//! Where a blob lies: whole pages in a run, and what is beyond them in units.
//!
//! ```text
//! word 0: first page (32) | pages, and one more (32); zero when the blob is not in memory
//! word 2: length in bytes (28) | first unit of the tail (36)
//! ```
//!
//! The tail is shorter than a page and lies in [pages that blobs share](super::tails). So at most a unit
//! of a blob is unused, but whoever gives up a blob of a page or more gives up whole pages with it, and need
//! not wait for its neighbours. A shorter one is a tail *alone*, and its neighbours are given up with it
//! where a whole page is wanted (see [`neighbours`](super::blobs)).

use std::ops::Range;

use super::pages::{PAGE_BYTES, PAGE_UNITS, UNIT_BYTES};
use crate::MAX_VALUE;

/// Bits of a length.
const LENGTH_BITS: u32 = 28;

const _: () = assert!(MAX_VALUE < 1 << LENGTH_BITS);

/// Whole pages and units that a value of so many bytes takes; one unit at least, so that there is a
/// place for it.
pub(crate) fn parts(length: usize) -> (u32, u32) {
    let length = length.max(1);
    let (pages, units) = (length / PAGE_BYTES, (length % PAGE_BYTES).div_ceil(UNIT_BYTES));
    let (pages, units) = if units == PAGE_UNITS { (pages + 1, 0) } else { (pages, units) };
    (pages as u32, units as u32)
}

/// Pages that a value of so many bytes is in: the fewest, and the most, for a tail that begins in one
/// page and ends in the next.
pub(crate) fn pages_for(length: usize) -> (usize, usize) {
    let (pages, units) = parts(length);
    let least = pages as usize + usize::from(units > 0);
    (least, least + usize::from(units > 1))
}

/// Most pages that so many blobs of so many bytes together are in.
pub(crate) fn most_pages(blobs: usize, bytes: u64) -> u64 {
    (bytes / PAGE_BYTES as u64).saturating_add(2 * blobs as u64)
}

/// See the module's documentation. One without pages and units is nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    /// First page; 0 if there is none.
    pub(crate) first: u32,
    /// Number of pages.
    pub(crate) pages: u32,
    /// First unit of the tail, counted from the beginning of the arena.
    pub(crate) tail: u64,
    /// Units of the tail.
    pub(crate) units: u32,
}

impl Place {
    /// The first word, and the third for a value of this length.
    pub(crate) fn words(self, length: usize) -> (u64, u64) {
        let first = u64::from(self.first) | (u64::from(self.pages) + 1) << 32;
        (first, length as u64 | self.tail << LENGTH_BITS)
    }

    /// Of the two words; nowhere if the first one says so. What was read optimistically may be any.
    pub(crate) fn of(first: u64, third: u64) -> Self {
        let Some(pages) = ((first >> 32) as u32).checked_sub(1) else { return Self::default() };
        let (_, units) = parts(length_of(third));
        Self { first: first as u32, pages, tail: third >> LENGTH_BITS, units }
    }

    /// Whether the blob is not in memory.
    pub(crate) fn is_nowhere(self) -> bool {
        self.pages == 0 && self.units == 0
    }

    /// Whether the blob is a tail alone.
    pub(crate) fn is_alone(self) -> bool {
        self.pages == 0 && self.units > 0
    }

    /// Bytes that there is room for.
    pub(crate) fn bytes(self) -> usize {
        self.body() + self.units as usize * UNIT_BYTES
    }

    /// Bytes of the whole pages.
    pub(crate) fn body(self) -> usize {
        self.pages as usize * PAGE_BYTES
    }

    /// One more than the last unit.
    pub(crate) fn end(self) -> u64 {
        let pages = (u64::from(self.first) + u64::from(self.pages)) * PAGE_UNITS as u64;
        pages.max(self.tail + u64::from(self.units))
    }

    /// The pages that the tail is in.
    pub(crate) fn shared(self) -> Range<u64> {
        let units = PAGE_UNITS as u64;
        self.tail / units..(self.tail + u64::from(self.units)).div_ceil(units)
    }

    /// Pages that the blob is in, alone or with others: what its staying keeps in memory at most.
    pub(crate) fn touched(self) -> usize {
        self.pages as usize + if self.units > 0 { self.shared().count() } else { 0 }
    }
}

/// The length in the third word.
pub(crate) fn length_of(third: u64) -> usize {
    (third & ((1 << LENGTH_BITS) - 1)) as usize
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_value_leaves_less_than_a_unit_unused() {
        for length in (1..5 * PAGE_BYTES).chain([MAX_VALUE]) {
            let (pages, units) = parts(length);
            let place = Place { first: 3, pages, tail: (1 << 35) - 1, units };
            assert!((length..length + UNIT_BYTES).contains(&place.bytes()), "{length}");
            assert!(!place.is_nowhere() && place.is_alone() == (place.body() == 0), "{length}");
            let (first, third) = place.words(length);
            assert_eq!((Place::of(first, third), length_of(third)), (place, length));
            assert!(Place::of(0, third).is_nowhere());
            let (least, most) = pages_for(length);
            assert!((least..=most).contains(&place.touched()), "{length}");
            assert!(most as u64 <= most_pages(1, length as u64));
        }
        assert_eq!([0, 1, UNIT_BYTES].map(parts), [(0, 1); 3]);
        assert_eq!([PAGE_BYTES - UNIT_BYTES, PAGE_BYTES].map(parts), [(0, 15), (1, 0)]);
        assert_eq!([PAGE_BYTES - 1, PAGE_BYTES + 1].map(parts), [(1, 0), (1, 1)]);
    }
}
