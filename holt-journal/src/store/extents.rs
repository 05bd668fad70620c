//! Which units of the data file are taken: an allocator without a trace on the disk.
//!
//! Units are [`EXTENT_UNIT`](holt_codec::EXTENT_UNIT) bytes. The mapping is the only record of
//! what is taken; at opening the allocator is rebuilt from it.
//!
//! - Every unit below `end` is taken or in exactly one hole; `end` itself follows a taken unit
//!   or is `first`.
//! - No two holes touch: what is given back joins its neighbours, or lowers `end`.
//! - An extent goes to the lowest place that holds it, so that the file's end comes free.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Two extents claim a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// The first unit that both claim.
    pub(crate) unit: u64,
}

/// The taken and the free units of a data file.
#[derive(Clone, Debug)]
pub(crate) struct Extents {
    /// The first unit that may be given out.
    first: u64,
    /// The unit behind the last one taken.
    end: u64,
    /// Units in holes.
    free: u64,
    /// Holes: first unit -> units.
    holes: BTreeMap<u64, u64>,
    /// The same holes: units -> first units.
    by_len: BTreeMap<u64, BTreeSet<u64>>,
}

impl Extents {
    /// Nothing taken yet; `first` is the first unit to give out.
    pub(crate) fn new(first: u64) -> Extents {
        Extents { first, end: first, free: 0, holes: BTreeMap::new(), by_len: BTreeMap::new() }
    }

    /// The unit behind the last one taken: what the file has to hold.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Units in holes below [`Extents::end`].
    pub(crate) fn free_units(&self) -> u64 {
        self.free
    }

    /// Units taken.
    pub(crate) fn taken_units(&self) -> u64 {
        self.end - self.first - self.free
    }

    /// Takes `units` units and returns the first.
    ///
    /// # Panics
    ///
    /// If `units` is 0.
    pub(crate) fn allocate(&mut self, units: u64) -> u64 {
        match self.lowest_hole(units) {
            Some(start) => {
                self.take_from_hole(start, start..start + units);
                start
            }
            None => {
                let start = self.end;
                self.end += units;
                start
            }
        }
    }

    /// Takes `units` units that end at `limit` or before, or nothing.
    ///
    /// # Panics
    ///
    /// If `units` is 0.
    pub(crate) fn allocate_below(&mut self, units: u64, limit: u64) -> Option<u64> {
        let start = self.lowest_hole(units).filter(|start| start + units <= limit)?;
        self.take_from_hole(start, start..start + units);
        Some(start)
    }

    /// Takes `units` units behind all that are taken, and returns the first.
    ///
    /// # Panics
    ///
    /// If `units` is 0.
    pub(crate) fn allocate_at_end(&mut self, units: u64) -> u64 {
        assert!(units > 0, "an extent of no units");
        let start = self.end;
        self.end += units;
        start
    }

    /// The first unit of the lowest hole.
    pub(crate) fn first_hole(&self) -> Option<u64> {
        self.holes.first_key_value().map(|(&start, _)| start)
    }

    /// Takes a range at opening.
    ///
    /// # Errors
    ///
    /// [`Overlap`] if a unit of it is taken or lies before the first; nothing is taken then.
    pub(crate) fn take(&mut self, range: Range<u64>) -> Result<(), Overlap> {
        if range.start < self.first {
            return Err(Overlap { unit: range.start });
        }
        let within = range.start..range.end.min(self.end);
        if !within.is_empty() {
            let hole = self.holes.range(..=within.start).next_back().map(|(s, l)| *s..s + l);
            match hole {
                Some(hole) if hole.contains(&within.start) && within.end <= hole.end => {
                    // A hole ends below `end`, so the range does too.
                    self.take_from_hole(hole.start, range);
                    return Ok(());
                }
                Some(hole) if hole.contains(&within.start) => {
                    return Err(Overlap { unit: hole.end });
                }
                _ => return Err(Overlap { unit: within.start }),
            }
        }
        if range.start > self.end {
            self.add_hole(self.end, range.start - self.end);
        }
        self.end = range.end;
        Ok(())
    }

    /// Takes those units of a range that are free and returns them.
    pub(crate) fn take_free_parts(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        let mut at = range.start.max(self.first);
        while at < range.end {
            if at >= self.end {
                parts.push(at..range.end);
                break;
            }
            let before = self.holes.range(..=at).next_back().map(|(s, l)| *s..s + l);
            if let Some(hole) = before.filter(|hole| hole.contains(&at)) {
                let end = hole.end.min(range.end);
                parts.push(at..end);
                at = end;
            } else {
                // Taken up to the next hole, or to the end.
                let next = self.holes.range(at..).next().map_or(self.end, |(start, _)| *start);
                at = next;
            }
        }
        for part in &parts {
            let taken = self.take(part.clone());
            debug_assert_eq!(taken, Ok(()), "the part was just seen to be free");
        }
        parts
    }

    /// Gives a range back.
    ///
    /// # Panics
    ///
    /// If a unit of it is not taken: freeing twice would hand one unit to two owners.
    pub(crate) fn free(&mut self, range: Range<u64>) {
        assert!(
            self.first <= range.start && range.start < range.end && range.end <= self.end,
            "units {range:?} are not below the end {}",
            self.end
        );
        let (mut start, mut end) = (range.start, range.end);
        let before = self.holes.range(..end).next_back().map(|(s, l)| *s..s + l);
        if let Some(before) = before {
            assert!(before.end <= start, "units {range:?} are free already, in {before:?}");
            if before.end == start {
                start = before.start;
                self.remove_hole(before.start);
            }
        }
        if let Some(&len) = self.holes.get(&end) {
            self.remove_hole(end);
            end += len;
        }
        if end == self.end {
            self.end = start;
        } else {
            self.add_hole(start, end - start);
        }
    }

    /// The lowest hole of at least `units` units.
    fn lowest_hole(&self, units: u64) -> Option<u64> {
        assert!(units > 0, "an extent of no units");
        self.by_len.range(units..).filter_map(|(_, starts)| starts.first().copied()).min()
    }

    fn take_from_hole(&mut self, hole: u64, range: Range<u64>) {
        let end = hole + self.remove_hole(hole);
        if hole < range.start {
            self.add_hole(hole, range.start - hole);
        }
        if range.end < end {
            self.add_hole(range.end, end - range.end);
        }
    }

    fn add_hole(&mut self, start: u64, len: u64) {
        self.free += len;
        self.holes.insert(start, len);
        self.by_len.entry(len).or_default().insert(start);
    }

    fn remove_hole(&mut self, start: u64) -> u64 {
        let len = self.holes.remove(&start).expect("the caller found this hole");
        self.free -= len;
        if let Some(starts) = self.by_len.get_mut(&len) {
            starts.remove(&start);
            if starts.is_empty() {
                self.by_len.remove(&len);
            }
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The allocator as one flag a unit.
    #[derive(Default)]
    struct Bitmap(Vec<bool>);

    impl Bitmap {
        fn fits(&self, at: usize, units: usize) -> bool {
            (at..at + units).all(|u| !self.0.get(u).copied().unwrap_or(false))
        }

        fn set(&mut self, at: usize, units: usize, value: bool) {
            if self.0.len() < at + units {
                self.0.resize(at + units, false);
            }
            self.0[at..at + units].fill(value);
        }

        fn end(&self, first: usize) -> usize {
            self.0.iter().rposition(|&taken| taken).map_or(first, |u| u + 1)
        }
    }

    fn check(extents: &Extents, model: &Bitmap, first: usize) {
        let end = model.end(first);
        let taken = model.0.iter().filter(|&&t| t).count() as u64;
        assert_eq!(extents.end(), end as u64);
        assert_eq!(extents.taken_units(), taken);
        assert_eq!(extents.free_units(), (end - first) as u64 - taken);
        // Holes are maximal runs of free units: they never touch and never reach the end.
        let mut holes = BTreeMap::new();
        let mut at = first;
        while at < end {
            let run = (at..end).take_while(|&u| !model.0[u]).count();
            if run > 0 {
                holes.insert(at as u64, run as u64);
            }
            at += run.max(1);
        }
        assert_eq!(extents.holes, holes);
        let by_len: Vec<(u64, u64)> = extents
            .by_len
            .iter()
            .flat_map(|(len, starts)| starts.iter().map(|s| (*s, *len)))
            .collect();
        assert_eq!(by_len.into_iter().collect::<BTreeMap<_, _>>(), holes);
        assert_eq!(extents.first_hole(), holes.keys().next().copied());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u64),
        Below(u64, u64),
        AtEnd(u64),
        Free(usize),
        Take(u64, u64),
        TakeFreeParts(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..9_u64).prop_map(Step::Allocate),
            1 => (1..5_u64, 0..60_u64).prop_map(|(n, limit)| Step::Below(n, limit)),
            1 => (1..5_u64).prop_map(Step::AtEnd),
            4 => any::<usize>().prop_map(Step::Free),
            1 => (0..90_u64, 1..9_u64).prop_map(|(at, n)| Step::Take(at, n)),
            1 => (0..90_u64, 1..30_u64).prop_map(|(at, n)| Step::TakeFreeParts(at, n)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_allocator_agrees_with_a_bitmap(
            first in 0..4_u64,
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut extents = Extents::new(first);
            let mut model = Bitmap::default();
            let mut owned: Vec<Range<u64>> = Vec::new();
            let base = first as usize;
            for step in steps {
                match step {
                    Step::Allocate(n) => {
                        let lowest = (base..).find(|&u| model.fits(u, n as usize)).unwrap();
                        prop_assert_eq!(extents.allocate(n), lowest as u64);
                        model.set(lowest, n as usize, true);
                        owned.push(lowest as u64..lowest as u64 + n);
                    }
                    Step::Below(n, limit) => {
                        let end = model.end(base).min(limit as usize);
                        let lowest = (base..(end + 1).saturating_sub(n as usize))
                            .find(|&u| model.fits(u, n as usize));
                        prop_assert_eq!(
                            extents.allocate_below(n, limit),
                            lowest.map(|u| u as u64)
                        );
                        if let Some(at) = lowest {
                            model.set(at, n as usize, true);
                            owned.push(at as u64..at as u64 + n);
                        }
                    }
                    Step::AtEnd(n) => {
                        let end = model.end(base);
                        prop_assert_eq!(extents.allocate_at_end(n), end as u64);
                        model.set(end, n as usize, true);
                        owned.push(end as u64..end as u64 + n);
                    }
                    Step::Free(which) => {
                        if !owned.is_empty() {
                            let range = owned.swap_remove(which % owned.len());
                            let units = (range.end - range.start) as usize;
                            model.set(range.start as usize, units, false);
                            extents.free(range);
                        }
                    }
                    Step::Take(at, n) => {
                        let blocked = (at..at + n).find(|&u| {
                            u < first || !model.fits(u as usize, 1)
                        });
                        match extents.take(at..at + n) {
                            Ok(()) => {
                                prop_assert_eq!(blocked, None);
                                model.set(at as usize, n as usize, true);
                                owned.push(at..at + n);
                            }
                            Err(overlap) => prop_assert_eq!(Some(overlap.unit), blocked),
                        }
                    }
                    Step::TakeFreeParts(at, n) => {
                        let free: Vec<u64> = (at.max(first)..at + n)
                            .filter(|&u| model.fits(u as usize, 1))
                            .collect();
                        let parts = extents.take_free_parts(at..at + n);
                        let units: Vec<u64> = parts.iter().cloned().flatten().collect();
                        prop_assert_eq!(units, free);
                        for part in parts {
                            let len = (part.end - part.start) as usize;
                            model.set(part.start as usize, len, true);
                            owned.push(part);
                        }
                    }
                }
                check(&extents, &model, base);
            }
        }
    }

    #[test]
    #[should_panic(expected = "free already")]
    fn freeing_twice_is_refused() {
        let mut extents = Extents::new(0);
        let (a, _) = (extents.allocate(2), extents.allocate(1));
        extents.free(a..a + 2);
        extents.free(a + 1..a + 2);
    }

    #[test]
    #[should_panic(expected = "not below the end")]
    fn freeing_beyond_the_end_is_refused() {
        Extents::new(2).free(2..3);
    }
}
