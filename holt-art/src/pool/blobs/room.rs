//! How blobs get places, and how their pages are given back to the system.
//!
//! A place is taken whole or not at all. What a cold page costs is taken from the budget, with free pages
//! given back for it where that is at its end.

use super::{Blobs, Books};
use crate::error::Error;
use crate::pool::pages::{PAGE_UNITS, SPARE, SPARE_LEAST};
use crate::pool::place::{Place, parts};
use crate::pool::presence::KEPT;
use crate::sync::lock;

impl Books {
    /// Pages in use, whole or in part.
    pub(super) fn used(&self) -> usize {
        self.pages.used() + self.tails.warm() - self.tails.idle()
    }

    /// Pages of blobs that are not stored, those of which one with these flags is.
    pub(super) fn held_by(&mut self, flags: u64) -> &mut usize {
        if flags & KEPT != 0 { &mut self.kept } else { &mut self.changed }
    }

    /// Pages that have memory and are not in use.
    pub(super) fn spare(&self) -> usize {
        self.pages.warm() + self.tails.idle()
    }
}

impl Blobs {
    /// Takes a place for a value of so many bytes, if there is one within the budget.
    pub(crate) fn take(&self, length: usize) -> Option<Place> {
        self.take_place(&mut lock(&self.books), length, false)
    }

    /// Takes a place for a value of so many bytes, whatever the budget.
    pub(crate) fn force(&self, length: usize) -> Result<Place, Error> {
        self.take_place(&mut lock(&self.books), length, true).ok_or_else(|| self.full())
    }

    fn take_place(&self, books: &mut Books, length: usize, force: bool) -> Option<Place> {
        let (pages, units) = parts(length);
        let first = if pages > 0 { self.take_pages(books, pages, force)? } else { 0 };
        let mut place = Place { first, pages, tail: 0, units: 0 };
        if units > 0 {
            let Some(tail) = self.take_tail(books, units, force) else {
                self.release_place(books, place);
                return None;
            };
            place = Place { tail: self.mirrored(u64::from(tail), units), units, ..place };
        }
        Some(place)
    }

    fn take_pages(&self, books: &mut Books, pages: u32, force: bool) -> Option<u32> {
        let warm = books.pages.take_warm(pages);
        let cold = |books: &mut Books| books.pages.take_cold(pages);
        warm.or_else(|| self.take_cold(books, pages as usize, force, cold))
    }

    /// Counted from the end of the arena, as all that [`Tails`](crate::pool::tails::Tails) knows.
    fn take_tail(&self, books: &mut Books, units: u32, force: bool) -> Option<u32> {
        let warm = books.tails.take_warm(units);
        let cold = |books: &mut Books| books.tails.take_cold(units, || books.pages.leave_last());
        warm.or_else(|| self.take_cold(books, 1, force, cold))
    }

    /// Takes so many pages without memory. When there are no addresses for them, what is free beside
    /// them and has memory may be in the way.
    fn take_cold(
        &self,
        books: &mut Books,
        pages: usize,
        force: bool,
        mut take: impl FnMut(&mut Books) -> Option<u32>,
    ) -> Option<u32> {
        loop {
            self.pay(books, pages, force).then_some(())?;
            let taken = take(books);
            if taken.is_some() {
                return taken;
            }
            self.budget.give(pages);
            self.thin(books).then_some(())?;
        }
    }

    /// Has the budget pay for so many pages, with others given back if need be.
    #[must_use]
    fn pay(&self, books: &mut Books, pages: usize, force: bool) -> bool {
        while !self.budget.take(pages) {
            if !self.thin(books) {
                if force {
                    self.budget.force(pages);
                }
                return force;
            }
        }
        true
    }

    /// First unit of a run that is counted from the other end of the arena.
    pub(super) fn mirrored(&self, first: u64, units: u32) -> u64 {
        self.units.slots() as u64 - first - u64::from(units)
    }

    /// Returns a place that nothing was made of.
    pub(crate) fn give(&self, place: Place) {
        self.release_place(&mut lock(&self.books), place);
    }

    /// Gives free pages back to the system, so that so many can be taken for something else; false
    /// if there are not so many.
    pub(crate) fn yield_pages(&self, count: usize) -> bool {
        let mut books = lock(&self.books);
        let before = books.spare();
        if before < count {
            return false;
        }
        while before - books.spare() < count && self.thin(&mut books) {}
        true
    }

    /// Gives the longest free run back to the system, or a page that was shared; false if there is none.
    fn thin(&self, books: &mut Books) -> bool {
        let (first, count) = match books.pages.thin() {
            Some(run) => run,
            None => match books.tails.thin() {
                Some(page) => (self.pages() - 1 - page, 1),
                None => return false,
            },
        };
        self.units.give_back(first as usize * PAGE_UNITS, count as usize * PAGE_UNITS);
        self.budget.give(count as usize);
        if first < self.pages() - books.tails.pages() {
            books.pages.freeze(first, count);
        } else {
            let regained = books.tails.freeze(self.pages() - 1 - first);
            books.pages.regain(regained);
        }
        true
    }

    /// The blobs beside one that was a tail alone, in one of the pages that it was in, which is free
    /// when they are given up, too. None if somebody's tail has to stay in each, or belongs to a
    /// longer blob, which leaves a page of its own when its turn comes.
    ///
    /// Some of them may have been read lately. Were these spared, there might be no page to be had
    /// from a cache of short blobs of which most are read now and then.
    pub(super) fn neighbours(&self, books: &Books, place: Place) -> Vec<u32> {
        let goes = |number: &u32| self.is_stored(*number) && self.place(*number).is_alone();
        let pages = place.shared().map(|page| self.tails_in(books, page));
        let pages = pages.filter(|numbers| numbers.iter().all(goes));
        pages.min_by_key(Vec::len).unwrap_or_default()
    }

    /// Pages of the arena.
    pub(super) fn pages(&self) -> u32 {
        (self.units.slots() / PAGE_UNITS) as u32
    }

    pub(super) fn release_place(&self, books: &mut Books, place: Place) {
        if place.pages > 0 {
            books.pages.give(place.first, place.pages);
        }
        if place.units > 0 {
            books.tailed.remove(&place.tail);
            books.tails.give(self.mirrored(place.tail, place.units) as u32, place.units);
        }
        let lavish = |books: &Books| {
            !self.budget.is_bounded() && books.spare() > books.used() / SPARE + SPARE_LEAST
        };
        while (self.budget.is_over() || lavish(books)) && self.thin(books) {}
    }
}
