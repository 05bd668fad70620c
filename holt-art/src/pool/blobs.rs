//! Values too large for a frame: each an immutable run of pages and a tail in pages that they share, in
//! an arena of their own (see [`place`](super::place)).
//!
//! A blob is written before the frame that will refer to it is latched, and never
//! changed. Freed pages are reused at once; a reader that raced with that fails the
//! validation of the blob's [presence](super::presence), or of the frame that it found the blob
//! through, because the frame changed before the blob was freed.
//!
//! In a pool with a source a blob that a committed cut has, a *stored* one, may leave its pages and be
//! read from the source again. What that takes is in [`values`](super::values).

mod bytes;
mod check;
mod dense;
mod room;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::pages::{Budget, PAGE_BYTES, PAGE_UNITS, Pages, UNIT_BYTES, UNIT_WORDS};
use super::place::{Place, length_of};
use super::presence::{ABSENT, KEPT, Known, Presence, STORED};
use super::tails::Tails;
use crate::arena::Arena;
use crate::error::Error;
use crate::frame::leaf::MAX_PLACED;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// Birth of a blob that no frame refers to yet.
pub(crate) const UNBORN: u64 = u64::MAX;
/// Words of a blob's entry in the table.
const TABLE_WORDS: usize = 4;

/// Object numbers of blobs begin here; those of frames are below.
pub(crate) const BLOB_OBJECT: u64 = 1 << 32;

/// Units of the shortest values that are not put into frames.
const SHORTEST: usize = (MAX_PLACED + 1).div_ceil(UNIT_BYTES);

/// Most blobs of a pool with a source, in memory or not.
const MOST_BLOBS: usize = 1 << 28;

/// What a blob is given up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// Whole pages.
    Pages,
    /// A tail alone, for which the place of another may do.
    Units,
}

/// What copying a blob came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Copied {
    /// It was copied whole.
    Done,
    /// It has to be read from the source.
    Absent,
    /// There is no blob of that number and length, which an optimistic reader may meet.
    Gone,
}

#[derive(Debug)]
struct Books {
    pages: Pages,
    tails: Tails,
    free_numbers: BTreeSet<u32>,
    /// Smallest blob number that has never been used; 0 is not given out.
    next_number: u32,
    /// Blobs in use, those kept for a pin included.
    blobs: usize,
    /// Those that are absent.
    absent: usize,
    /// Those that no committed cut has.
    unstored: BTreeSet<u32>,
    /// How many pages count of those that count less than they have.
    short: BTreeMap<u32, usize>,
    /// Pages of those that are neither stored nor kept.
    changed: usize,
    /// Pages of those that are kept and not stored.
    kept: usize,
    /// Stored blobs in memory, with their presence when they came; the next to go first. Some have gone since.
    ring: VecDeque<(u32, Known)>,
    /// Those in memory that have a tail, by its first unit.
    tailed: BTreeMap<u64, u32>,
    /// The shared page that was [looked at](dense) last.
    look: u32,
}

/// The arena of blobs.
#[derive(Debug)]
pub(crate) struct Blobs {
    units: Arena<UNIT_WORDS>,
    /// A blob's four words: pages; epoch of birth; length and tail; presence.
    /// Written before the blob's number gets into a frame, and with the books' mutex held, but for
    /// the birth.
    table: Arena<TABLE_WORDS>,
    budget: Arc<Budget>,
    books: Mutex<Books>,
}

impl Blobs {
    pub(crate) fn new(bytes: u64, budget: Arc<Budget>) -> Result<Self, Error> {
        let pages = usize::try_from(bytes / PAGE_BYTES as u64).unwrap_or(usize::MAX);
        let pages = pages.clamp(1, u32::MAX as usize);
        // What is not in memory has a number, too; and a huge page would be more than was asked for.
        let most = (pages * PAGE_UNITS / SHORTEST + 1).min(u32::MAX as usize);
        let numbers = if budget.is_bounded() { MOST_BLOBS } else { most };
        let units = Arena::new(pages * PAGE_UNITS, !budget.is_bounded())?;
        if !budget.is_bounded() {
            units.end_small();
        }
        Ok(Self {
            units,
            table: Arena::new(numbers, false)?,
            books: Mutex::new(Books {
                pages: Pages::new(pages),
                tails: Tails::default(),
                free_numbers: BTreeSet::new(),
                next_number: 1,
                blobs: 0,
                absent: 0,
                unstored: BTreeSet::new(),
                short: BTreeMap::new(),
                changed: 0,
                kept: 0,
                ring: VecDeque::new(),
                tailed: BTreeMap::new(),
                look: 0,
            }),
            budget,
        })
    }

    fn entry(&self, number: u32) -> Option<&[AtomicU64; TABLE_WORDS]> {
        self.table.get(number as usize)
    }

    fn presence(&self, number: u32) -> Presence<'_> {
        Presence::new(&self.table.slot(number as usize)[3])
    }

    /// Where the blob is; nowhere if it is not in memory.
    fn place(&self, number: u32) -> Place {
        let entry = self.table.slot(number as usize);
        // Relaxed: by the holder of the mutex, or of an object that nobody else changes.
        Place::of(entry[0].load(Ordering::Relaxed), entry[2].load(Ordering::Relaxed))
    }

    /// Pages that a blob is in.
    pub(crate) fn pages_of(&self, number: u32) -> usize {
        self.place(number).touched()
    }

    /// Pages of a blob that is not stored, as far as they count.
    fn counted(&self, books: &Books, number: u32) -> usize {
        books.short.get(&number).map_or_else(|| self.pages_of(number), |counted| *counted)
    }

    /// Makes a new blob in this place, `counted` pages of which count as changed, and returns its number; it
    /// is to be [written](Self::write) then.
    pub(crate) fn count_new(&self, place: Place, counted: usize) -> Result<u32, Error> {
        let mut books = lock(&self.books);
        let number = match books.free_numbers.pop_first() {
            Some(number) => number,
            None if (books.next_number as usize) < self.table.slots() => {
                books.next_number += 1;
                books.next_number - 1
            }
            None => return Err(self.full()),
        };
        // Relaxed: published with the reference to the blob.
        self.table.slot(number as usize)[1].store(UNBORN, Ordering::Relaxed);
        books.unstored.insert(number);
        books.blobs += 1;
        books.changed += counted;
        if counted != place.touched() {
            books.short.insert(number, counted);
        }
        Ok(number)
    }

    /// Writes a blob that was counted into the place that was taken for it. It
    /// belongs to no epoch yet: that is for [`Blobs::born`], called when the blob gets into a frame, so
    /// that a cut in between does not take it for a part of the tree.
    pub(crate) fn write(&self, number: u32, value: &[u8], place: Place) {
        self.fill(place, value);
        self.settle(&mut lock(&self.books), number, place, value.len(), 0);
    }

    /// Stamps the blob with the epoch in which a frame began to refer to it.
    pub(crate) fn born(&self, number: u32, epoch: u64) {
        // Relaxed: a cut reads it after the gate has been closed and opened in between.
        self.table.slot(number as usize)[1].store(epoch, Ordering::Relaxed);
    }

    /// Makes a stored blob of this number, which is the caller's choice: absent, or of the value in
    /// a place that was taken for it.
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when the number is taken or out of range.
    pub(crate) fn claim(
        &self,
        number: u32,
        length: usize,
        value: Option<(&[u8], Place)>,
    ) -> Result<(), Error> {
        let mut books = lock(&self.books);
        let claimed = if number == 0 || number as usize >= self.table.slots() {
            false
        } else if number < books.next_number {
            books.free_numbers.remove(&number)
        } else {
            let gap = books.next_number..number;
            books.free_numbers.extend(gap);
            books.next_number = number + 1;
            true
        };
        if !claimed {
            return Err(Error::Image {
                object: BLOB_OBJECT | u64::from(number),
                what: "its number is taken or out of range".into(),
            });
        }
        books.blobs += 1;
        let entry = self.table.slot(number as usize);
        // Relaxed: published with the reference to the blob.
        entry[1].store(0, Ordering::Relaxed);
        match value {
            Some((value, place)) => {
                self.fill(place, value);
                self.settle(&mut books, number, place, length, STORED);
                self.join_ring(&mut books, number);
            }
            None => {
                entry[0].store(0, Ordering::Relaxed);
                entry[2].store(length as u64, Ordering::Relaxed);
                self.presence(number).begin(STORED | ABSENT);
                books.absent += 1;
            }
        }
        Ok(())
    }

    /// The blob is in this place from now on.
    fn settle(&self, books: &mut Books, number: u32, place: Place, length: usize, flags: u64) {
        if place.units > 0 {
            books.tailed.insert(place.tail, number);
        }
        let (first, third) = place.words(length);
        let entry = self.table.slot(number as usize);
        // Relaxed: published by the presence, and with the reference to the blob.
        entry[0].store(first, Ordering::Relaxed);
        entry[2].store(third, Ordering::Relaxed);
        self.presence(number).begin(flags);
    }

    fn join_ring(&self, books: &mut Books, number: u32) {
        if self.budget.is_bounded() {
            books.ring.push_back((number, self.presence(number).observe()));
        }
    }

    /// Length of the blob in bytes.
    pub(crate) fn length(&self, number: u32) -> Option<usize> {
        self.entry(number).map(|entry| length_of(entry[2].load(Ordering::Relaxed)))
    }

    /// Epoch in which the blob was written.
    pub(crate) fn birth(&self, number: u32) -> u64 {
        self.entry(number).map_or(0, |entry| entry[1].load(Ordering::Relaxed))
    }

    /// The presence and the length of an absent blob; none if it is in memory or nowhere.
    pub(crate) fn absent(&self, number: u32) -> Option<(Known, usize)> {
        let entry = self.entry(number)?;
        let _books = lock(&self.books);
        let known = Presence::new(&entry[3]).observe();
        // Relaxed: stored with the mutex held.
        known.is(ABSENT).then(|| (known, length_of(entry[2].load(Ordering::Relaxed))))
    }

    /// Whether the blob is as it was when it was `known`.
    pub(crate) fn is_still(&self, number: u32, known: Known) -> bool {
        let _books = lock(&self.books);
        self.presence(number).observe().same_life(known)
    }

    /// Puts an absent blob into a place that was filled with it; false if it is another one by now, or
    /// is gone.
    #[must_use]
    pub(crate) fn install(&self, number: u32, known: Known, place: Place) -> bool {
        let mut books = lock(&self.books);
        let now = self.presence(number).observe();
        if !now.same_life(known) {
            return false;
        }
        let length = self.length(number).expect("its number is in the table");
        let kept = if now.is(KEPT) { KEPT } else { 0 };
        self.settle(&mut books, number, place, length, STORED | kept);
        books.absent -= 1;
        self.join_ring(&mut books, number);
        true
    }

    /// Gives up the place of the blob that has been without a reader longest, among those that are
    /// stored; where pages are wanted, with its neighbours if there is no page without them. False if
    /// there is no such blob.
    pub(crate) fn evict(&self, wanted: Wanted) -> bool {
        let mut books = lock(&self.books);
        // Once to see which are not read again, and once to find one.
        for _ in 0..=2 * books.ring.len() {
            let Some((number, known)) = books.ring.pop_front() else { return false };
            let presence = self.presence(number);
            if !presence.observe().same_life(known) {
                continue;
            }
            if presence.was_used() {
                books.ring.push_back((number, known));
                continue;
            }
            let place = self.place(number);
            self.give_up(&mut books, number);
            if place.is_alone() && wanted == Wanted::Pages {
                for number in self.neighbours(&books, place) {
                    self.give_up(&mut books, number);
                }
            }
            return true;
        }
        false
    }

    /// Gives up the place of a stored blob that is in memory.
    fn give_up(&self, books: &mut Books, number: u32) {
        let (presence, place) = (self.presence(number), self.place(number));
        let kept = if presence.observe().is(KEPT) { KEPT } else { 0 };
        // Before the pages go: pool::presence, edge 2.
        presence.begin(STORED | ABSENT | kept);
        // Release: edge 2, too. The blob is still one: who finds it without pages is to see that
        // they are another life's.
        self.table.slot(number as usize)[0].store(0, Ordering::Release);
        books.absent += 1;
        self.release_place(books, place);
    }

    /// Notes that no frame refers to the blob any more and a pin needs it.
    pub(crate) fn keep(&self, number: u32) {
        let mut books = lock(&self.books);
        let presence = self.presence(number);
        presence.set(KEPT);
        if !presence.observe().is(STORED) {
            let count = self.counted(&books, number);
            books.changed -= count;
            books.kept += count;
        }
    }

    /// Notes that a cut was committed that was taken in `epoch` and has all blobs of then, but for the
    /// `dead` ones.
    pub(crate) fn store(&self, epoch: u64, dead: &BTreeSet<u32>) {
        let mut books = lock(&self.books);
        // What follows one that was freed since is later, or unborn.
        let is_of_cut = |number: &u32| self.birth(*number) <= epoch && !dead.contains(number);
        let (stored, unstored): (BTreeSet<u32>, _) =
            books.unstored.iter().copied().partition(is_of_cut);
        books.unstored = unstored;
        for number in stored {
            let presence = self.presence(number);
            let count = self.counted(&books, number);
            *books.held_by(presence.observe().flags()) -= count;
            books.short.remove(&number);
            presence.set(STORED);
            self.join_ring(&mut books, number);
        }
    }

    /// Whether a committed cut has the blob.
    pub(crate) fn is_stored(&self, number: u32) -> bool {
        self.presence(number).observe().is(STORED)
    }

    /// Frees a blob that nobody needs any more.
    pub(crate) fn release(&self, number: u32) {
        let mut books = lock(&self.books);
        let books = &mut *books;
        let entry = self.table.slot(number as usize);
        let presence = self.presence(number);
        let was = presence.observe();
        let place = self.place(number);
        let counted = self.counted(books, number);
        // No place: no blob. An optimistic reader then starts again. Before the new life, so that
        // nobody takes the pages for its own.
        entry[0].store(0, Ordering::Relaxed);
        // Whoever writes the next blob of this number has it listed before it is complete;
        // it must not look as old as this one until then.
        entry[1].store(UNBORN, Ordering::Relaxed);
        entry[2].store(0, Ordering::Relaxed);
        // Before the pages go: pool::presence, edge 2.
        presence.begin(0);
        books.blobs -= 1;
        books.absent -= usize::from(was.is(ABSENT));
        if !was.is(STORED) {
            books.unstored.remove(&number);
            books.short.remove(&number);
            *books.held_by(was.flags()) -= counted;
        }
        self.release_place(books, place);
        self.gather(books);
        books.free_numbers.insert(number);
        // Those that have gone are not to outnumber those that are there.
        if books.ring.len() > 2 * (books.blobs - books.absent) + RING {
            books.ring.retain(|&(number, known)| self.presence(number).observe().same_life(known));
        }
    }

    /// Blobs that no committed cut has.
    pub(crate) fn unstored(&self) -> Vec<u32> {
        lock(&self.books).unstored.iter().copied().collect()
    }

    /// All blobs that exist, those kept for a pin included.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let books = lock(&self.books);
        (1..books.next_number).filter(|number| !books.free_numbers.contains(number)).collect()
    }

    /// Whether so many more blobs, of so many bytes together, are sure to find a place.
    pub(crate) fn has_room(&self, blobs: usize, bytes: u64) -> bool {
        // Each takes what its length has of whole pages, and one for the rest.
        let pages = (bytes / PAGE_BYTES as u64).saturating_add(blobs as u64);
        pages <= lock(&self.books).pages.unused() as u64
    }

    /// Pages that cannot be given up: those that the next cut has, and those that are kept.
    pub(crate) fn held(&self) -> (usize, usize) {
        let books = lock(&self.books);
        (books.changed, books.kept)
    }

    /// Pages in use, whole or in part; blobs in use, and those of them that are absent.
    pub(crate) fn used(&self) -> (usize, usize, usize) {
        let books = lock(&self.books);
        (books.used(), books.blobs, books.absent)
    }

    /// Stored blobs in memory.
    pub(crate) fn evictable(&self) -> usize {
        let books = lock(&self.books);
        books.blobs - books.absent - books.unstored.len()
    }

    /// Pages that have memory, in use or not.
    pub(crate) fn warm(&self) -> usize {
        let books = lock(&self.books);
        books.used() + books.spare()
    }

    pub(crate) fn full(&self) -> Error {
        Error::PoolFull { what: "blobs", limit: (self.units.slots() * UNIT_BYTES) as u64 }
    }
}

/// Entries of the ring that may be of blobs that have gone.
const RING: usize = 1024;

#[cfg(all(test, not(loom)))]
mod tests;
