//! How much has changed since the last committed cut, and how much may.
//!
//! In a pool with a source changed frames and kept images cannot leave memory, and neither can roots
//! of open trees, nor blobs that no committed cut has. They are bounded together, so that a quarter of the
//! budget stays for reading: who would change one more gets [`Error::TooManyChanged`]. The pool says that it is
//! [pressed](Pool::is_pressed) long before, so that a cut can be on its way by then.

use std::collections::BTreeMap;

use super::books::{Books, SLOT_PAGES};
use super::{FrameId, Pass, Pool};
use crate::error::Error;
use crate::sync::{Ordering, lock};

/// One slot of so many is for reading, whatever has changed.
const RESERVE: usize = 4;

/// The pool is pressed when one frame of so many that may change has changed.
const PRESSED: usize = 2;

/// Frames that may change beside a new blob.
pub(super) const BESIDE: usize = 16;

/// How many frames have changed, by the epoch of their last change. Epochs of committed
/// cuts are not here.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    by_epoch: BTreeMap<u64, usize>,
    total: usize,
}

impl Changed {
    pub(crate) fn add(&mut self, epoch: u64) {
        *self.by_epoch.entry(epoch).or_default() += 1;
        self.total += 1;
    }

    pub(crate) fn remove(&mut self, epoch: u64) {
        if let Some(count) = self.by_epoch.get_mut(&epoch) {
            *count -= 1;
            self.total -= 1;
        }
    }

    pub(crate) fn commit(&mut self, epoch: u64) {
        self.by_epoch = self.by_epoch.split_off(&(epoch + 1));
        self.total = self.by_epoch.values().sum();
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The counts, for the accounts.
    pub(crate) fn counts(&self) -> BTreeMap<u64, usize> {
        let counts = self.by_epoch.iter().filter(|&(_, &count)| count > 0);
        counts.map(|(&epoch, &count)| (epoch, count)).collect()
    }
}

impl Pool {
    /// Most frames that cannot leave memory, in a pool with a source.
    fn most_changed(&self) -> usize {
        let slots = self.frames.slots() - 1;
        slots - slots / RESERVE
    }

    /// How many more frames may change, or be kept, before [`Error::TooManyChanged`]; without an
    /// end in a pool without a source.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Pool, PoolOptions};
    /// let pool = Pool::new(PoolOptions::default())?;
    /// assert_eq!((pool.changeable(), pool.changeable_at_most()), (usize::MAX, usize::MAX));
    /// assert!(pool.is_whole() && !pool.is_pressed() && pool.changed() == 0);
    /// let pass = pool.enter();
    /// let tree = pool.create_tree(&pass)?;
    /// pool.discard_tree(&pass, tree.root());
    /// assert_eq!(pool.stats().frames, 0);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn changeable(&self) -> usize {
        self.changeable_by(&lock(&self.books))
    }

    pub(super) fn changeable_by(&self, books: &Books) -> usize {
        let Some(clock) = self.clock.as_deref() else { return usize::MAX };
        let (_, images, _) = books.kept.counts();
        let (changed, kept) = self.blobs.held();
        let blobs = (changed + kept).div_ceil(SLOT_PAGES);
        self.most_changed().saturating_sub(books.changed.total() + images + clock.roots() + blobs)
    }

    /// How many frames have changed since the last committed cut, and blobs in units of a frame; counted
    /// in a pool with a source.
    pub fn changed(&self) -> usize {
        self.changed_by(&lock(&self.books))
    }

    fn changed_by(&self, books: &Books) -> usize {
        let (changed, _) = self.blobs.held();
        books.changed.total() + changed.div_ceil(SLOT_PAGES)
    }

    /// The most that [`changeable`](Self::changeable) can be with the trees that are open: what
    /// needs more can never be done.
    pub fn changeable_at_most(&self) -> usize {
        match self.clock.as_deref() {
            Some(clock) => self.most_changed().saturating_sub(clock.roots()),
            None => usize::MAX,
        }
    }

    /// Whether half of the frames that may change have changed since the last committed cut: time
    /// for another one. Never in a pool without a source.
    #[inline]
    pub fn is_pressed(&self) -> bool {
        // Relaxed: a hint.
        self.pressed.load(Ordering::Relaxed)
    }

    /// Makes sure that so many frames may change that have not changed yet.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyChanged`].
    pub(super) fn admit(&self, frames: usize) -> Result<(), Error> {
        if self.clock.is_none() || self.changeable() >= frames {
            return Ok(());
        }
        Err(self.too_many_changed())
    }

    pub(super) fn too_many_changed(&self) -> Error {
        Error::TooManyChanged { limit: (self.most_changed() * Self::FRAME_BYTES) as u64 }
    }

    /// As [`admit`](Self::admit), for a new blob of so many pages; returns how many of them count. Room for
    /// the frames that lead to it is left. One that is more than may ever change is let in when little
    /// else has, and counts as all the room there is.
    pub(super) fn admit_blob(&self, books: &Books, pages: usize) -> Result<usize, Error> {
        if self.clock.is_none() {
            return Ok(pages);
        }
        let free = self.changeable_by(books);
        let room = free.saturating_sub(BESIDE) * SLOT_PAGES;
        if pages <= room || free * PRESSED >= self.changeable_at_most() {
            return Ok(pages.min(room));
        }
        Err(self.too_many_changed())
    }

    /// Counts a change of a frame: of a new one, of one that had last changed in an earlier epoch,
    /// or the end of one.
    pub(super) fn count_change(&self, before: Option<u64>, after: Option<u64>) {
        if self.clock.is_none() {
            return;
        }
        let mut books = lock(&self.books);
        if let Some(epoch) = before {
            books.changed.remove(epoch);
        }
        if let Some(epoch) = after {
            books.changed.add(epoch);
        }
        self.tell_pressure(&books);
    }

    /// Tells by the books whether the pool is pressed.
    pub(super) fn tell_pressure(&self, books: &Books) {
        if self.clock.is_some() {
            let pressed = self.changed_by(books) * PRESSED > self.changeable_at_most();
            // Relaxed: a hint.
            self.pressed.store(pressed, Ordering::Relaxed);
        }
    }

    /// Frees a tree that was [created](Self::create_tree) in this pass and that nobody has used.
    pub fn discard_tree(&self, _pass: &Pass<'_>, root: FrameId) {
        // What was made in this pass is of this epoch, and is not copied.
        if let Some(mut frame) = self.latch_now(root.get())
            && frame.writable().is_ok()
        {
            frame.discard();
        }
    }
}
