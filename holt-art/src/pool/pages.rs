//! Memory in pages: how much of it there may be, and which pages of an arena are free.
//!
//! In a pool with a source, frames and blobs share one [`Budget`]. What counts is memory that has been
//! touched and not been given back to the system, in use or not. So a free run of pages is *warm*, it has
//! memory, or *cold*. Warm runs are used first; where none is long enough, others are given back,
//! and their share of the budget pays for a cold one. So holes between blobs cost nothing but
//! addresses. Where the budget has no end, so much is given back that [no more than a sixteenth and a
//! little](SPARE) is free and has memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering};

/// Bytes in a page, in which memory is taken, counted and given back.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Words in a unit of a page that blobs [share](super::tails).
pub(crate) const UNIT_WORDS: usize = 32;
/// Bytes in a unit.
pub(crate) const UNIT_BYTES: usize = UNIT_WORDS * 8;
/// Units in a page.
pub(crate) const PAGE_UNITS: usize = PAGE_BYTES / UNIT_BYTES;

const _: () = assert!(PAGE_BYTES.is_multiple_of(UNIT_BYTES));

/// Pages that may have memory without being in use, where nobody else wants it: one for so many that are,
pub(crate) const SPARE: usize = 16;
/// and so many beside.
pub(crate) const SPARE_LEAST: usize = 256;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// So many pages, or without an end.
    pub(crate) fn new(limit: Option<usize>) -> Arc<Self> {
        let limit = limit.map_or(u64::MAX, |limit| limit as u64);
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Whether there is an end.
    pub(crate) fn is_bounded(&self) -> bool {
        self.limit != u64::MAX
    }

    /// Takes so many pages if they are there.
    #[must_use]
    pub(crate) fn take(&self, pages: usize) -> bool {
        let more = |used: u64| used.checked_add(pages as u64).filter(|&used| used <= self.limit);
        // Relaxed: a count that orders nothing.
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Takes so many pages in any case.
    pub(crate) fn force(&self, pages: usize) {
        self.used.fetch_add(pages as u64, Ordering::Relaxed);
    }

    pub(crate) fn give(&self, pages: usize) {
        self.used.fetch_sub(pages as u64, Ordering::Relaxed);
    }

    /// Whether more was taken than there is.
    pub(crate) fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Pages taken.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Runs of pages or units, no two of them adjacent.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// First page and number of pages.
    by_place: BTreeMap<u32, u32>,
    /// Number of pages and first page.
    by_length: BTreeSet<(u32, u32)>,
    total: usize,
}

impl Runs {
    /// Adds a run that has no neighbours; one of no pages is none.
    pub(crate) fn add(&mut self, first: u32, pages: u32) {
        if pages == 0 {
            return;
        }
        self.by_place.insert(first, pages);
        self.by_length.insert((pages, first));
        self.total += pages as usize;
    }

    pub(crate) fn remove(&mut self, first: u32) -> Option<u32> {
        let pages = self.by_place.remove(&first)?;
        self.by_length.remove(&(pages, first));
        self.total -= pages as usize;
        Some(pages)
    }

    /// Adds a run and joins it with its neighbours.
    pub(crate) fn join(&mut self, mut first: u32, mut pages: u32) -> (u32, u32) {
        let before = self.by_place.range(..first).next_back().map(|(&at, &n)| (at, n));
        if let Some((at, n)) = before.filter(|&(at, n)| at + n == first) {
            self.remove(at);
            (first, pages) = (at, n + pages);
        }
        pages += self.remove(first + pages).unwrap_or(0);
        self.add(first, pages);
        (first, pages)
    }

    /// Takes so many pages from the shortest run that has them.
    pub(crate) fn take(&mut self, pages: u32) -> Option<u32> {
        let &(length, first) = self.by_length.range((pages, 0)..).next()?;
        self.remove(first);
        self.add(first + pages, length - pages);
        Some(first)
    }

    /// Takes these pages out of the run that has them.
    pub(crate) fn cut_out(&mut self, first: u32, pages: u32) {
        let run = self.by_place.range(..=first).next_back().map(|(&at, &n)| (at, n));
        let (at, length) = run.expect("a run has them");
        debug_assert!(at + length >= first + pages);
        self.remove(at);
        self.add(at, first - at);
        self.add(first + pages, at + length - first - pages);
    }

    /// How many pages or units there are.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// First page and number of pages of each, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.by_place.iter().map(|(&first, &pages)| (first, pages))
    }
}

/// The free pages of an arena, from its beginning up to those of the [tails](super::tails).
#[derive(Debug)]
pub(crate) struct Pages {
    warm: Runs,
    cold: Runs,
    /// Smallest page that has never been used, or is as if it had not.
    next: u32,
    /// Pages of the arena, less those that are shared.
    limit: u32,
    /// Pages in use.
    used: usize,
}

impl Pages {
    pub(crate) fn new(limit: usize) -> Self {
        let (warm, cold) = (Runs::default(), Runs::default());
        Self { warm, cold, next: 0, limit: limit as u32, used: 0 }
    }

    /// Leaves the last page to be shared, if it has never been used.
    #[must_use]
    pub(crate) fn leave_last(&mut self) -> bool {
        let free = self.next < self.limit;
        self.limit -= u32::from(free);
        free
    }

    /// Takes back so many pages that were shared.
    pub(crate) fn regain(&mut self, pages: u32) {
        self.limit += pages;
    }

    /// Takes a run that has memory.
    pub(crate) fn take_warm(&mut self, pages: u32) -> Option<u32> {
        let first = self.warm.take(pages)?;
        self.used += pages as usize;
        Some(first)
    }

    /// Takes a run without memory, for which the budget has been asked.
    pub(crate) fn take_cold(&mut self, pages: u32) -> Option<u32> {
        let first = self.cold.take(pages).or_else(|| {
            let end = self.next.checked_add(pages).filter(|&end| end <= self.limit)?;
            Some(std::mem::replace(&mut self.next, end))
        })?;
        self.used += pages as usize;
        Some(first)
    }

    /// Gives a run back, which keeps its memory.
    pub(crate) fn give(&mut self, first: u32, pages: u32) {
        self.used -= pages as usize;
        self.warm.join(first, pages);
    }

    /// Takes the longest free run that has memory, for giving that back to the system. It is to be
    /// [frozen](Self::freeze) then.
    pub(crate) fn thin(&mut self) -> Option<(u32, u32)> {
        let &(pages, first) = self.warm.by_length.last()?;
        self.warm.remove(first);
        Some((first, pages))
    }

    /// Adds a free run that has no memory.
    pub(crate) fn freeze(&mut self, first: u32, pages: u32) {
        let (first, pages) = self.cold.join(first, pages);
        if first + pages == self.next {
            self.cold.remove(first);
            self.next = first;
        }
    }

    /// Pages in use.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Free pages that have memory.
    pub(crate) fn warm(&self) -> usize {
        self.warm.total
    }

    /// Pages that no run of the past has broken up.
    pub(crate) fn unused(&self) -> usize {
        (self.limit - self.next) as usize
    }

    /// What does not add up: every page below the first unused one is in one of the `taken` runs
    /// or in one free run.
    pub(crate) fn check(&self, taken: Vec<(u32, u32)>) -> Result<(), String> {
        let used: usize = taken.iter().map(|&(_, pages)| pages as usize).sum();
        if used != self.used {
            return Err(format!("{used} pages are in use, and {} are counted", self.used));
        }
        let mut runs = taken;
        for free in [&self.warm, &self.cold] {
            runs.extend(free.iter());
        }
        runs.sort_unstable();
        let end = runs.iter().try_fold(0, |end, &(at, n)| (at == end).then_some(at + n));
        // At the end there may be warm pages that nobody has broken off.
        if end != Some(self.next) {
            return Err(format!("pages are lost or used twice: {runs:?} up to {}", self.next));
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    impl Pages {
        fn freeze_all(&mut self) {
            while let Some((first, length)) = self.thin() {
                self.freeze(first, length);
            }
        }
    }

    #[test]
    fn holes_that_are_too_short_pay_for_a_run_elsewhere() {
        let budget = Budget::new(Some(8));
        let mut pages = Pages::new(100);
        let runs: Vec<u32> = (0..4)
            .map(|_| {
                assert!(budget.take(2));
                pages.take_cold(2).unwrap()
            })
            .collect();
        assert_eq!(runs, [0, 2, 4, 6]);
        assert!(!budget.take(1));
        pages.give(0, 2);
        pages.give(4, 2);
        assert_eq!((pages.take_warm(3), pages.warm(), pages.used()), (None, 4, 4));
        while let Some((first, length)) = pages.thin() {
            budget.give(length as usize);
            pages.freeze(first, length);
        }
        assert!(budget.take(4) && !budget.take(1));
        assert_eq!(pages.take_cold(4), Some(8));
        pages.check(vec![(2, 2), (6, 2), (8, 4)]).unwrap();
        assert!(pages.check(vec![(2, 2), (6, 2), (9, 4)]).is_err());
        assert!(pages.check(vec![(2, 2), (6, 2)]).is_err());
        assert_eq!(budget.used(), 8);
    }

    #[test]
    fn runs_join_with_their_neighbours_and_the_end_is_as_new() {
        let mut pages = Pages::new(10);
        let runs: Vec<_> = (0..5).map(|_| pages.take_cold(2).unwrap()).collect();
        assert!(pages.take_cold(1).is_none() && !pages.leave_last());
        for at in [2, 6, 4] {
            pages.give(runs[at / 2], 2);
        }
        assert_eq!((pages.take_warm(6), pages.unused()), (Some(2), 0));
        pages.give(2, 6);
        pages.give(8, 2);
        // What has memory stays where it is.
        assert_eq!((pages.warm(), pages.unused()), (8, 0));
        let (first, length) = pages.thin().unwrap();
        pages.freeze(first, length);
        assert_eq!((first, pages.warm(), pages.unused()), (2, 0, 8));
        assert!(pages.leave_last());
        assert_eq!((pages.unused(), pages.take_cold(8)), (7, None));
        pages.regain(1);
        pages.give(0, 2);
        pages.freeze_all();
        assert_eq!((pages.unused(), pages.used()), (10, 0));
        pages.check(Vec::new()).unwrap();
    }

    #[test]
    fn a_budget_may_be_forced_and_says_so() {
        let budget = Budget::new(Some(4));
        assert!(budget.is_bounded() && budget.take(3) && !budget.take(2));
        budget.force(2);
        assert!(budget.is_over());
        budget.give(2);
        assert!(!budget.is_over() && budget.take(1));
        assert!(!Budget::new(None).is_bounded());
    }
}
