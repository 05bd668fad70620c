//! Values too large for a frame: how they come into memory, leave it, and are freed.
//!
//! - What a committed cut has may be given up: the clock takes frames and blobs in proportion to how many
//!   of each are in memory. What it has not is [bounded](super::changed) with the frames that have changed.
//! - Nothing of a blob is read to free it, in memory or not. One that a pin still needs goes from the
//!   trees all the same; the cut that says so asks for its image to be [kept](Cut::still_read) by the source.
//! - A blob that does not fit into the budget when all has been given up that can be is taken in beyond it:
//!   one that is read, and one that is written when little else has changed. So memory may be over the budget
//!   by one value for each of these.
//!
//! [`Cut::still_read`]: crate::Cut::still_read

use super::Pool;
use super::blobs::{BLOB_OBJECT, UNBORN, Wanted};
use super::books::SLOT_PAGES;
use super::kept::Item;
use super::place::{Place, pages_for, parts};
use crate::MAX_VALUE;
use crate::error::Error;
use crate::sync::lock;

/// Pages that are given up in vain, for one blob, before it is taken in beyond the budget: others may
/// take what is made free.
const PATIENCE: usize = 1024;

impl Pool {
    /// Writes a new blob, which no frame refers to yet, and returns its number.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyChanged`]; [`Error::PoolFull`].
    pub(crate) fn write_blob(&self, value: &[u8]) -> Result<u32, Error> {
        self.admit_blob(&lock(&self.books), pages_for(value.len()).0)?;
        let place = self.take_place(value.len())?;
        // Once more, as others may have come before, and the place may be in one page more; here they are
        // counted one after the other.
        let books = lock(&self.books);
        let admitted = self.admit_blob(&books, place.touched());
        let number = admitted.and_then(|counted| self.blobs.count_new(place, counted));
        let lavish = books.is_lavish();
        match number {
            Ok(number) => {
                self.tell_pressure(&books);
                drop(books);
                self.blobs.write(number, value, place);
            }
            Err(_) => {
                drop(books);
                self.blobs.give(place);
            }
        }
        // When values grow out of frames they use what these have left.
        if lavish {
            self.give_slot_back();
        }
        number
    }

    /// Restores a blob from its image, the value itself.
    pub(super) fn load_blob(&self, number: u32, image: &[u8]) -> Result<(), Error> {
        let place = self.take_place(image.len())?;
        let loaded = self.blobs.claim(number, image.len(), Some((image, place)));
        if loaded.is_err() {
            self.blobs.give(place);
        }
        lock(&self.books).stored |= loaded.is_ok();
        loaded
    }

    /// Declares a blob that the source has.
    pub(super) fn declare_blob(&self, number: u32, length: u64) -> Result<(), Error> {
        let length = usize::try_from(length).ok().filter(|&length| length <= MAX_VALUE);
        let length = length.ok_or_else(|| Error::Image {
            object: BLOB_OBJECT | u64::from(number),
            what: "it is longer than any value".into(),
        })?;
        self.blobs.claim(number, length, None)?;
        lock(&self.books).stored = true;
        Ok(())
    }

    /// Brings an absent blob into memory, as [`Pool::fetch`] does with frames.
    pub(super) fn fetch_blob(&self, number: u32) -> Result<(), Error> {
        let object = BLOB_OBJECT | u64::from(number);
        let Some(clock) = self.clock.as_deref() else { return Ok(()) };
        let Some(_loading) = clock.begin(object) else { return Ok(()) };
        let Some((known, length)) = self.blobs.absent(number) else { return Ok(()) };
        let mut image = Vec::with_capacity(length);
        let read = clock.read_image(object, &mut image).and_then(|()| {
            let what = || format!("it has {} bytes, and the value has {length}", image.len());
            (image.len() == length)
                .then_some(())
                .ok_or_else(|| Error::Image { object, what: what() })
        });
        if let Err(error) = read {
            // What comes of a blob that is gone counts for nothing.
            return if self.blobs.is_still(number, known) { Err(error) } else { Ok(()) };
        }
        let place = self.take_place(length)?;
        self.blobs.fill(place, &image);
        if !self.blobs.install(number, known, place) {
            self.blobs.give(place);
        }
        Ok(())
    }

    /// Takes a place for a value, for which others are given up if need be.
    fn take_place(&self, length: usize) -> Result<Place, Error> {
        let wanted = if parts(length).0 > 0 { Wanted::Pages } else { Wanted::Units };
        let mut given_up = 0;
        while given_up < 4 * pages_for(length).1 + PATIENCE {
            if let Some(place) = self.blobs.take(length) {
                return Ok(place);
            }
            match self.budget.is_bounded() && (self.give_slot_back() || self.evict(wanted)) {
                true => given_up += 1,
                false => break,
            }
        }
        if self.budget.is_bounded() { self.blobs.force(length) } else { Err(self.blobs.full()) }
    }

    /// Gives the memory of a free slot back to the system; false if there is none to spare.
    fn give_slot_back(&self) -> bool {
        let Some(slot) = lock(&self.books).thin_slot() else { return false };
        self.frames.give_back(slot as usize, 1);
        lock(&self.books).freeze_slot(slot);
        true
    }

    /// Makes the budget pay for a slot, if free pages of blobs can; false if they cannot.
    pub(super) fn trade_pages_for_slot(&self) -> bool {
        self.budget.is_bounded() && self.blobs.yield_pages(SLOT_PAGES)
    }

    /// Frees a blob that no frame refers to any more; when a pin needs it, as soon as the
    /// last one that does is gone. To be called inside the gate. In a trial that is done at
    /// its end.
    pub(crate) fn free_blob(&self, number: u32) {
        let since = self.blobs.birth(number);
        if since == UNBORN {
            return self.blobs.release(number);
        }
        if self.on_trial() && self.note_dead(number) {
            return;
        }
        let until = self.epoch();
        let mut books = lock(&self.books);
        books.note_gone(BLOB_OBJECT | u64::from(number), until);
        if books.kept.keep(Item { number, slot: 0, since, until }) {
            self.blobs.keep(number);
        } else {
            self.blobs.release(number);
        }
        self.tell_pressure(&books);
    }
}
