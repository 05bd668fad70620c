//! How the pages that blobs share stay dense: what is left in one that is in part free moves to free units of
//! others.
//!
//! A tail that goes leaves units to the next that fits them. When values of other lengths follow, or such
//! as lie in frames, nothing may fit for long, and a page of which one unit is in use has all its memory. So
//! where more than one unit of [`HOLES`] is free, of all that blobs have, each value that goes has a few pages looked at.
//! A page whose tails all find units elsewhere is free then.
//!
//! A blob that moves begins a new life twice: with the first its readers wait for the mutex, with the second
//! it is in its new place (see [`presence`](crate::pool::presence), edge 3).

use super::{Blobs, Books};
use crate::pool::pages::PAGE_UNITS;
use crate::pool::place::{Place, length_of};
use crate::pool::presence::{MOVING, STORED};
use crate::sync::{Ordering, fence};

/// One unit of so many may be free in pages that are in use.
const HOLES: usize = 8;
/// Pages that are looked at for a value that goes.
const AT_A_TIME: usize = 4;
/// Most units in use in a page that is worth it.
const SPARSE: u64 = PAGE_UNITS as u64 * 3 / 4;

impl Blobs {
    /// The blobs with a tail in a page.
    pub(super) fn tails_in(&self, books: &Books, page: u64) -> Vec<u32> {
        let units = PAGE_UNITS as u64;
        // No tail is longer than a page.
        let near = books.tailed.range((page * units).saturating_sub(units)..(page + 1) * units);
        let inside = |number: &u32| {
            let place = self.place(*number);
            place.tail + u64::from(place.units) > page * units
        };
        near.map(|(_, &number)| number).filter(inside).collect()
    }

    /// Moves tails together, if too much is free between them.
    pub(super) fn gather(&self, books: &mut Books) {
        for _ in 0..AT_A_TIME {
            let pages = books.tails.pages();
            if pages == 0 || books.tails.holes() * HOLES <= books.used() * PAGE_UNITS {
                return;
            }
            books.look = (books.look + 1) % pages;
            self.empty(books, u64::from(self.pages() - 1 - books.look));
        }
    }

    /// Moves all tails out of a page, or none.
    fn empty(&self, books: &mut Books, page: u64) {
        let numbers = self.tails_in(books, page);
        let start = page * PAGE_UNITS as u64;
        let used = |&number: &u32| {
            let Place { tail, units, .. } = self.place(number);
            (tail + u64::from(units)).min(start + PAGE_UNITS as u64) - tail.max(start)
        };
        if numbers.is_empty() || numbers.iter().map(used).sum::<u64>() > SPARSE {
            return;
        }
        let mut moves = Vec::with_capacity(numbers.len());
        for number in numbers {
            match self.elsewhere(books, number, page) {
                Some(to) => moves.push((number, to)),
                None => {
                    moves.into_iter().for_each(|(_, to)| self.release_place(books, to));
                    return;
                }
            }
        }
        for (number, to) in moves {
            self.move_tail(books, number, to);
        }
    }

    /// Takes free units for a blob's tail in other pages that are in use.
    fn elsewhere(&self, books: &mut Books, number: u32, page: u64) -> Option<Place> {
        let old = self.place(number);
        let idle = books.tails.idle();
        let first = books.tails.take_warm(old.units)?;
        let to =
            Place { first: 0, pages: 0, tail: self.mirrored(u64::from(first), old.units), ..old };
        // What counts against a bound is not to become more behind its back.
        let more = to.touched() > Place { first: 0, pages: 0, ..old }.touched();
        let counts = self.budget.is_bounded() && !self.is_stored(number);
        if books.tails.idle() < idle || to.shared().contains(&page) || (more && counts) {
            self.release_place(books, to);
            return None;
        }
        Some(to)
    }

    /// Moves a blob's tail into units that were taken for it.
    fn move_tail(&self, books: &mut Books, number: u32, to: Place) {
        let (presence, old) = (self.presence(number), self.place(number));
        let before = self.counted(books, number);
        let flags = presence.observe().flags();
        // Before anything is stored: pool::presence, edge 3.
        presence.begin(flags | MOVING);
        // Release fence: edges 2 and 3. Who sees what is stored from here on sees that life, too.
        fence(Ordering::Release);
        for unit in 0..old.units as usize {
            let from = self.units.slot(old.tail as usize + unit);
            let into = self.units.slot(to.tail as usize + unit);
            for (from, into) in from.iter().zip(into) {
                // Relaxed: only the holder of the mutex stores in either; published by the presence.
                into.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        // Relaxed: stored with the mutex held.
        let length = length_of(self.table.slot(number as usize)[2].load(Ordering::Relaxed));
        self.settle(books, number, Place { tail: to.tail, ..old }, length, flags);
        self.release_place(books, Place { first: 0, pages: 0, ..old });
        if flags & STORED != 0 {
            return self.join_ring(books, number);
        }
        let after = self.counted(books, number);
        let held = books.held_by(flags);
        *held = *held - before + after;
    }
}
