//! A frame whose latch is held: the only way to change it.

use std::cell::Cell;

use super::Pool;
use super::kept::Item;
use super::latch::{NO_SLOT, Observed};
use super::row::Row;
use crate::error::Error;
use crate::frame::edit::Edit;
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
        Self { pool, number, seen, slot: seen.slot(), changed: false, roots }
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
        Ok(Self { pool, number, seen, slot, changed: true, roots: Cell::new(Roots::All) })
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
        Edit::new(self.pool.words(self.slot), entry)
    }

    /// Epoch of the frame's last change.
    #[inline]
    fn since(&self) -> u64 {
        // Acquire: sees what the last writer of the frame stored there.
        self.pool.epoch_of(self.number).load(Ordering::Acquire)
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
        if self.changed || self.since() == self.pool.epoch() {
            self.changed = true;
            return Ok(());
        }
        self.first_change()
    }

    /// Whether a pin needs the frame as it is: a cut that has read it does not.
    fn is_needed(&self) -> bool {
        lock(&self.pool.books).kept.needs(self.number, self.since())
    }

    /// The first change in an epoch.
    #[cold]
    fn first_change(&mut self) -> Result<(), Error> {
        self.pool.prove(self.number, self.view())?;
        let copy = self.pool.pins.need(self.since()) && self.is_needed();
        if copy || self.since() <= self.pool.pins.committed() {
            self.pool.admit(1)?;
        }
        if copy {
            let slot = self.pool.take_slot()?;
            self.view().copy_to(self.pool.words(slot));
            self.leave_slot(slot);
        } else {
            self.mark_changed();
        }
        Ok(())
    }

    fn mark_changed(&mut self) {
        self.changed = true;
        let (since, epoch) = (self.since(), self.pool.epoch());
        if since != epoch {
            self.pool.count_change(Some(since), Some(epoch));
            // Release: pool::pins, edge 3. Whoever sees this epoch also finds the image.
            self.pool.epoch_of(self.number).store(epoch, Ordering::Release);
        }
    }

    /// Moves the frame to `slot`, which holds its new content already. The old slot is
    /// kept for a pin, or free.
    pub(crate) fn leave_slot(&mut self, slot: u32) {
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
