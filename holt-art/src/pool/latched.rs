//! A frame whose latch is held: the only way to change it.

use std::cell::Cell;

use super::Pool;
use super::kept::Item;
use super::latch::{NO_SLOT, Observed};
use super::meetings::{is_sampled, this_thread};
use super::pins::Since;
use super::row::Row;
use crate::error::Error;
use crate::frame::edit::Edit;
use crate::frame::saving::Saving;
use crate::frame::{MIN_ENTRIES, Nature, View, Words};
use crate::sync::{Ordering, lock};

/// Exclusive access to one frame. Dropping it gives the latch back; when the frame
/// was made [writable](Self::writable), optimistic readers then start again.
#[derive(Debug)]
pub(crate) struct Latched<'p> {
    pool: &'p Pool,
    number: u32,
    seen: Observed,
    /// Slot that holds the frame now.
    slot: u32,
    changed: bool,
    /// The slot of the image that is made piece by piece and held for that.
    image: Option<u32>,
    /// Which roots may differ from those in the frame's row.
    roots: Cell<Roots>,
}

/// Which entries may have got another root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Roots {
    None,
    One(usize),
    All,
}

impl<'p> Latched<'p> {
    #[inline]
    pub(super) fn new(pool: &'p Pool, number: u32, seen: Observed) -> Self {
        let roots = Cell::new(Roots::None);
        Self { pool, number, seen, slot: seen.slot(), changed: false, image: None, roots }
    }

    /// Makes a frame that nobody refers to yet, empty and latched.
    pub(super) fn create(pool: &'p Pool, level: u16) -> Result<Self, Error> {
        pool.admit(1)?;
        let slot = pool.take_slot()?;
        let Some(number) = lock(&pool.books).take_frame() else {
            lock(&pool.books).give_slot(slot);
            return Err(pool.full());
        };
        let seen = pool.latch(number).expect("the books give numbers of the table").acquire();
        // Release: partner of the acquires in `Cut` and `pins::slot_at`.
        pool.epoch_of(number).store(pool.epoch(), Ordering::Release);
        let nature = Nature { number, level, ascending: 0, longest: 0 };
        Edit::format(pool.words(slot), nature, MIN_ENTRIES);
        pool.note_created(number);
        pool.count_change(None, Some(pool.epoch()));
        let roots = Cell::new(Roots::All);
        Ok(Self { pool, number, seen, slot, changed: true, image: None, roots })
    }

    #[inline]
    fn row(&self) -> Row<'p> {
        self.pool.row(self.number).expect("a latched frame is in the table")
    }

    /// Number of the frame.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Slot that holds the frame now.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// The frame's word when it was latched.
    pub(crate) fn seen(&self) -> Observed {
        self.seen
    }

    /// The frame's words, to change any of them.
    #[inline]
    pub(crate) fn words(&self) -> &'p Words {
        self.roots.set(Roots::All);
        self.pool.words(self.slot)
    }

    #[inline]
    pub(crate) fn view(&self) -> View<'p> {
        View::new(self.pool.words(self.slot))
    }

    /// Begins to change the subtree of `entry`. The frame must be writable.
    #[inline]
    pub(crate) fn edit(&self, entry: usize) -> Edit<'p> {
        debug_assert!(self.changed, "a frame is made writable before it is changed");
        let only = [Roots::None, Roots::One(entry)].contains(&self.roots.get());
        self.roots.set(if only { Roots::One(entry) } else { Roots::All });
        let words = self.pool.words(self.slot);
        let saving = self.image.map(|image| {
            Saving::new(words, self.pool.words(image), self.pool.pieces_of(self.number))
        });
        Edit::saving(words, entry, saving)
    }

    /// The frame's epoch word.
    #[inline]
    fn since_word(&self) -> Since {
        // Acquire: sees what the last writer of the frame stored there.
        Since::of(self.pool.epoch_of(self.number).load(Ordering::Acquire))
    }

    /// Epoch of the frame's last change.
    #[inline]
    fn since(&self) -> u64 {
        self.since_word().epoch()
    }

    /// The image that the frame leaves behind when it changes now.
    fn image(&self) -> Item {
        Item { number: self.number, slot: self.slot, since: self.since(), until: self.pool.epoch() }
    }

    /// Makes sure that the frame may be changed: when a pin needs it as it is, the live frame
    /// moves to a new slot and the old one stays as the preserved image.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`], [`Error::TooManyChanged`], [`Error::Image`]; nothing has changed.
    #[inline]
    pub(crate) fn writable(&mut self) -> Result<(), Error> {
        // No pin is as new as the epoch.
        if self.image.is_none()
            && (self.changed || self.since_word() == Since::new(self.pool.epoch(), false))
        {
            self.changed = true;
            return Ok(());
        }
        self.first_change(false)
    }

    /// As [`writable`](Self::writable), for who changes the frame by [edits](Self::edit) alone: then the frame need
    /// not be copied whole.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    #[inline]
    pub(crate) fn editable(&mut self) -> Result<(), Error> {
        if self.changed || self.since_word() == Since::new(self.pool.epoch(), false) {
            self.changed = true;
            return Ok(());
        }
        self.first_change(true)
    }

    /// Notes that this thread changes the frame. True for one in some changes of frames that the last one to
    /// change was another thread; what follows from it is in [`meetings`](super::meetings).
    #[inline]
    pub(crate) fn meets(&self) -> bool {
        self.row().note_changer(this_thread()) && is_sampled(self.seen.version())
    }

    /// Whether a pin needs the frame as it is: a cut that has read it does not.
    fn is_needed(&self) -> bool {
        lock(&self.pool.books).kept.needs(self.number, self.since())
    }

    /// The first change in an epoch, or one while an image is in the making. `edits` says that the frame will
    /// be changed by edits alone.
    #[cold]
    fn first_change(&mut self, edits: bool) -> Result<(), Error> {
        if self.since() == self.pool.epoch() {
            // Changed before, with an image in the making.
            if edits {
                self.hold_image();
            }
            if !edits || self.image.is_none() {
                self.finish_image();
            }
            self.changed = true;
            return Ok(());
        }
        self.finish_image();
        self.pool.prove(self.number, self.view())?;
        let copy = self.pool.pins.need(self.since()) && self.is_needed();
        if copy || self.since() <= self.pool.pins.committed() {
            self.pool.admit(1)?;
        }
        if copy {
            let slot = self.pool.take_slot()?;
            if edits && self.open_image(slot) {
                return Ok(());
            }
            self.view().copy_to(self.pool.words(slot));
            self.leave_slot(slot);
        } else {
            self.mark_changed();
        }
        Ok(())
    }

    /// Makes `slot` the image of this frame, to be filled piece by piece; false, with nothing done, if somebody else
    /// than the cut needs the frame as it is.
    fn open_image(&mut self, slot: u32) -> bool {
        let mut books = lock(&self.pool.books);
        if self.pool.pins.snapshot_needs(self.since()) {
            return false;
        }
        if !books.kept.keep(Item { slot, ..self.image() }) {
            // The cut has read the frame meanwhile.
            books.give_slot(slot);
            drop(books);
            self.mark_changed();
            return true;
        }
        self.pool.pieces_of(self.number).open(slot);
        self.pool.note_copies(&books);
        drop(books);
        self.image = Some(slot);
        self.mark_changed();
        true
    }

    /// Holds the image in the making, if there still is one.
    fn hold_image(&mut self) {
        if self.image.is_none() && self.since_word().is_in_pieces() {
            self.image = self.pool.pieces_of(self.number).hold();
        }
    }

    /// Completes the image in the making, if there still is one. The frame may then be changed in any way.
    fn finish_image(&mut self) {
        self.hold_image();
        if let Some(image) = self.image {
            let pieces = self.pool.pieces_of(self.number);
            let words = self.pool.words(self.slot);
            Saving::new(words, self.pool.words(image), pieces).save_all();
            self.release_image();
        }
        let since = self.since_word();
        if since.is_in_pieces() {
            // Release: as in `mark_changed`.
            self.pool.epoch_of(self.number).store(since.epoch(), Ordering::Release);
        }
    }

    /// Lets go of the image.
    fn release_image(&mut self) {
        if self.image.take().is_some()
            && let Some(slot) = self.pool.pieces_of(self.number).release()
        {
            self.pool.give_slot(slot);
        }
    }

    fn mark_changed(&mut self) {
        self.changed = true;
        let (since, epoch) = (self.since(), self.pool.epoch());
        if since != epoch {
            self.pool.count_change(Some(since), Some(epoch));
            let since = Since::new(epoch, self.image.is_some());
            // Release: pool::pins, edge 3. Whoever sees this epoch also finds the image.
            self.pool.epoch_of(self.number).store(since.word(), Ordering::Release);
        }
    }

    /// Moves the frame to `slot`, which holds its new content already. The old slot is
    /// kept for a pin, or free.
    pub(crate) fn leave_slot(&mut self, slot: u32) {
        self.finish_image();
        let image = self.image();
        self.slot = slot;
        self.roots.set(Roots::All);
        let mut books = lock(&self.pool.books);
        // Whoever finds the frame changed has to find its image (pool::pins, edge 3), so it is
        // entered before the epoch is stored.
        if !books.kept.keep(image) {
            // Readers may still look at the old slot. The latch is held, so they fail
            // validation whatever they find there.
            books.give_slot(image.slot);
        }
        self.pool.note_copies(&books);
        drop(books);
        self.mark_changed();
    }

    /// Gives back a new frame that nothing has referred to.
    pub(crate) fn discard(mut self) {
        let slot = std::mem::replace(&mut self.slot, NO_SLOT);
        let (pool, number) = (self.pool, self.number);
        pool.count_change(Some(self.since()), None);
        pool.forget_mark(number);
        drop(self);
        pool.note_discarded(number);
        let mut books = lock(&pool.books);
        books.give_slot(slot);
        books.give_frame(number);
    }

    /// Frees the frame: its number and its slot. In a trial that is done at its end.
    pub(crate) fn free(mut self) {
        if self.pool.on_trial() && self.pool.note_freed(self.number) {
            return;
        }
        self.finish_image();
        let image = self.image();
        // Before the epoch is stored and the latch given back, as in `leave_slot`: whoever
        // finds the frame gone has to find its image.
        let mut books = lock(&self.pool.books);
        let kept = books.kept.keep(image);
        self.pool.note_copies(&books);
        drop(books);
        self.slot = NO_SLOT;
        self.mark_changed();
        let pool = self.pool;
        pool.count_change(Some(self.since()), None);
        pool.forget_mark(image.number);
        drop(self);
        let mut books = lock(&pool.books);
        if !kept {
            books.give_slot(image.slot);
        }
        books.note_gone(u64::from(image.number), image.until);
        books.give_frame(image.number);
    }
}

impl Drop for Latched<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.image.is_some() {
            self.release_image();
        }
        let row = self.row();
        if self.changed {
            match self.roots.get() {
                Roots::One(entry) => row.copy_root(self.view(), entry),
                Roots::All if self.slot != NO_SLOT => row.copy_roots(self.view()),
                _ => {}
            }
            row.latch().release(self.seen, self.slot);
        } else {
            row.latch().release_unchanged(self.seen);
        }
    }
}
