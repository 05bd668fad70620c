//! Where a blob lies: whole pages in a run, and what is beyond them in units.
//!
//! ```text
//! word 0: first page (32) | pages (32); zero when the blob is not in memory
//! word 2: length in bytes (28) | first unit of the tail (36)
//! ```
//!
//! The tail is shorter than a page and lies in [pages that blobs share](super::tails). So at most a unit
//! of a blob is unused, but whoever gives a blob up gives up whole pages with it, and need not wait
//! for its neighbours: all blobs have one at least.

use super::pages::{PAGE_BYTES, PAGE_UNITS, UNIT_BYTES};
use crate::MAX_VALUE;

/// Bits of a length.
const LENGTH_BITS: u32 = 28;

const _: () = assert!(MAX_VALUE < 1 << LENGTH_BITS);

/// Whole pages and units that a value of so many bytes takes.
pub(crate) fn parts(length: usize) -> (u32, u32) {
    let (pages, units) = (length / PAGE_BYTES, (length % PAGE_BYTES).div_ceil(UNIT_BYTES));
    let (pages, units) =
        if pages == 0 || units == PAGE_UNITS { (pages + 1, 0) } else { (pages, units) };
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

/// See the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    /// First page.
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
        let first = u64::from(self.first) | u64::from(self.pages) << 32;
        (first, length as u64 | self.tail << LENGTH_BITS)
    }

    /// Of the two words; without pages if there are none. What was read optimistically may be any.
    pub(crate) fn of(first: u64, third: u64) -> Self {
        let pages = (first >> 32) as u32;
        if pages == 0 {
            return Self::default();
        }
        let (_, units) = parts(length_of(third));
        Self { first: first as u32, pages, tail: third >> LENGTH_BITS, units }
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

    /// Pages that the blob is in, alone or with others: what its staying keeps in memory at most.
    pub(crate) fn touched(self) -> usize {
        let units = PAGE_UNITS as u64;
        let shared = (self.tail + u64::from(self.units)).div_ceil(units) - self.tail / units;
        self.pages as usize + if self.units > 0 { shared as usize } else { 0 }
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
        for length in (PAGE_BYTES - UNIT_BYTES + 1..5 * PAGE_BYTES).chain([MAX_VALUE]) {
            let (pages, units) = parts(length);
            let place = Place { first: 3, pages, tail: (1 << 35) - 1, units };
            assert!((length..length + UNIT_BYTES).contains(&place.bytes()), "{length}");
            let (first, third) = place.words(length);
            assert_eq!((Place::of(first, third), length_of(third)), (place, length));
            let (least, most) = pages_for(length);
            assert!((least..=most).contains(&place.touched()), "{length}");
            assert!(most as u64 <= most_pages(1, length as u64));
        }
        assert_eq!([0, 1, PAGE_BYTES].map(parts), [(1, 0); 3]);
        assert_eq!(parts(PAGE_BYTES + 1), (1, 1));
    }
}
