//! The accounts of blobs: each unit is one's or free, and all counts are right.

use std::collections::{BTreeMap, BTreeSet};

use super::Blobs;
use crate::pool::place::parts;
use crate::pool::presence::{ABSENT, KEPT, STORED};
use crate::sync::lock;

impl Blobs {
    /// What does not add up.
    pub(crate) fn check(&self) -> Result<(), String> {
        let books = lock(&self.books);
        let (mut runs, mut tails) = (Vec::new(), Vec::new());
        let (mut blobs, mut absent, mut changed, mut kept) = (0, 0, 0, 0);
        let (mut unstored, mut tailed) = (BTreeSet::new(), BTreeMap::new());
        let there = books.ring.iter().filter(|&&(n, of)| self.presence(n).observe().same_life(of));
        let ring: BTreeSet<u32> = there.map(|&(number, _)| number).collect();
        for number in (1..books.next_number).filter(|n| !books.free_numbers.contains(n)) {
            let place = self.place(number);
            let known = self.presence(number).observe();
            let length = self.length(number).unwrap_or(0);
            let right = parts(length) == (place.pages, place.units) && place.bytes() >= length;
            if right == known.is(ABSENT) {
                return Err(format!("blob {number} of {length} bytes is {known:?} in {place:?}"));
            }
            blobs += 1;
            absent += usize::from(!right);
            if place.pages > 0 {
                runs.push((place.first, place.pages));
            }
            if place.units > 0 {
                tailed.insert(place.tail, number);
                tails.push((self.mirrored(place.tail, place.units) as u32, place.units));
            }
            if !known.is(STORED) {
                unstored.insert(number);
                let held = if known.is(KEPT) { &mut kept } else { &mut changed };
                *held += self.counted(&books, number);
            } else if right && self.budget.is_bounded() && !ring.contains(&number) {
                return Err(format!("blob {number} can never be given up"));
            }
        }
        let found = (blobs, absent, changed, kept);
        let counted = (books.blobs, books.absent, books.changed, books.kept);
        if found != counted || unstored != books.unstored {
            return Err(format!("blobs, absent, changed and kept pages: {found:?}, {counted:?}"));
        }
        if tailed != books.tailed {
            return Err(format!("tails: {tailed:?}, and the books say {:?}", books.tailed));
        }
        books.tails.check(tails.into_iter())?;
        books.pages.check(runs)
    }
}
