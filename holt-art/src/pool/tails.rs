//! Pages that blobs share: what of each is shorter than a page lies there, in units.
//!
//! These pages are at the end of the arena, so that they are neighbours and a tail may begin in one and end
//! in the next; they are counted from there, while the runs of whole pages come from the beginning. They take memory and
//! are given back one by one: a page is *cold* until a unit of it is wanted, and *idle* when all of its units
//! are free and it has memory. What is free in pages with memory is used first, the shortest run that is
//! long enough. A tail that finds none takes one cold page, and begins in what is free before it.

use std::collections::BTreeSet;

use super::pages::{PAGE_UNITS, Runs};

/// Units in a page.
const UNITS: u32 = PAGE_UNITS as u32;

/// See the module's documentation. Pages and units are counted from the end of the arena.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// Free units of pages with memory.
    free: Runs,
    /// Pages with memory all of whose units are free.
    idle: BTreeSet<u32>,
    /// Pages before the end that have no memory.
    cold: BTreeSet<u32>,
    /// Pages that there have been, less those that are as if they had not.
    end: u32,
}

impl Tails {
    /// Takes units that have memory.
    pub(crate) fn take_warm(&mut self, units: u32) -> Option<u32> {
        let first = self.free.take(units)?;
        self.begin(first, units);
        Some(first)
    }

    /// Takes units, some of them in a page without memory, for which the budget has been asked; when there is
    /// no such page, from one that `grow` may give. To be called when there are none with memory.
    pub(crate) fn take_cold(&mut self, units: u32, grow: impl FnOnce() -> bool) -> Option<u32> {
        debug_assert!(units < UNITS, "longer tails are whole pages");
        let page = self.cold.pop_first().or_else(|| {
            let page = self.end;
            (page < u32::MAX / UNITS && grow()).then(|| {
                self.end += 1;
                page
            })
        })?;
        let (first, length) = self.free.join(page * UNITS, UNITS);
        self.free.remove(first);
        self.free.add(first + units, length - units);
        self.begin(first, units);
        Some(first)
    }

    fn begin(&mut self, first: u32, units: u32) {
        for page in first / UNITS..(first + units).div_ceil(UNITS) {
            self.idle.remove(&page);
        }
    }

    /// Gives units back, which keep their memory.
    pub(crate) fn give(&mut self, first: u32, units: u32) {
        let (start, length) = self.free.join(first, units);
        for page in first / UNITS..(first + units).div_ceil(UNITS) {
            if page * UNITS >= start && (page + 1) * UNITS <= start + length {
                self.idle.insert(page);
            }
        }
    }

    /// Takes an idle page, for giving its memory back to the system. It is to be
    /// [frozen](Self::freeze) then.
    pub(crate) fn thin(&mut self) -> Option<u32> {
        let page = self.idle.pop_last()?;
        self.free.cut_out(page * UNITS, UNITS);
        Some(page)
    }

    /// Adds a page without memory. Returns how many there are less at the end.
    pub(crate) fn freeze(&mut self, page: u32) -> u32 {
        self.cold.insert(page);
        let before = self.end;
        while self.end > 0 && self.cold.remove(&(self.end - 1)) {
            self.end -= 1;
        }
        before - self.end
    }

    /// Pages that have memory.
    pub(crate) fn warm(&self) -> usize {
        self.end as usize - self.cold.len()
    }

    /// Pages with memory that nobody uses.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Free units of pages that are in use.
    pub(crate) fn holes(&self) -> usize {
        self.free.total() - self.idle.len() * PAGE_UNITS
    }

    /// Pages from the end of the arena on that may not be used for anything else.
    pub(crate) fn pages(&self) -> u32 {
        self.end
    }

    /// What does not add up: every unit is in one of the `taken` runs, in one free run or in a cold page.
    pub(crate) fn check(&self, taken: impl Iterator<Item = (u32, u32)>) -> Result<(), String> {
        let mut runs: Vec<(u32, u32)> = self.free.iter().collect();
        let whole = |(first, units): (u32, u32)| first.div_ceil(UNITS)..(first + units) / UNITS;
        let idle: BTreeSet<u32> = runs.iter().copied().flat_map(whole).collect();
        if idle != self.idle {
            return Err(format!("{idle:?} are idle, and {:?} are thought to be", self.idle));
        }
        runs.extend(taken);
        runs.extend(self.cold.iter().map(|page| (page * UNITS, UNITS)));
        runs.sort_unstable();
        let end = runs.iter().try_fold(0, |end, &(at, n)| (at == end).then_some(at + n));
        if end != Some(self.end * UNITS) {
            return Err(format!("units are lost or used twice: {runs:?} up to page {}", self.end));
        }
        Ok(())
    }
}
