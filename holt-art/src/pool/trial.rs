//! A trial: several mutations that count as one, and can be taken back together.
//!
//! It runs under the closed gate, and is a move (see [`moves`](super::moves)) from its beginning to
//! its end: gets see all of it or nothing, and lists go on with what was before it.
//!
//! # How it is taken back
//!
//! A trial pins the epoch before it, so the first touch of each frame leaves the frame's image
//! behind. Until the trial is kept, no frame and no blob is given up. Taking back copies the images
//! over the live frames, frees what is new, and takes no memory for that: it cannot fail. The
//! frames stay changed in the epoch of the trial, with the content of before; other pins find
//! their images where they are.
//!
//! Copying frames costs more than most mutations. So where the caller cannot want to take the trial
//! back for another reason than a lack of room, and the pool has so much room that it cannot lack,
//! nothing is pinned. What fails all the same is damage, and is not taken back.

use std::sync::Arc;

use super::Pool;
use super::books::SLOT_PAGES;
use super::changed::BESIDE;
use super::gate::Closed;
use super::moves::Moving;
use super::place::{most_pages, pages_for};
use crate::frame::View;
use crate::frame::leaf::MAX_PLACED;
use crate::sync::{Ordering, lock};

/// Free frames that one mutation cannot use up, however deep its key lies.
const AMPLE: usize = 1024;
/// Free frames more for each further mutation.
const AMPLE_EACH: usize = 16;

/// What a trial has to undo or to finish.
#[derive(Debug, Default)]
pub(crate) struct TrialBooks {
    /// The epoch before the trial, which is pinned.
    epoch: u64,
    /// Frames made in the trial.
    created: Vec<u32>,
    /// Frames given up in the trial, which are kept until its end.
    freed: Vec<u32>,
    /// Blobs that frames began to refer to.
    born: Vec<u32>,
    /// Blobs that no frame refers to any more.
    dead: Vec<u32>,
}

/// What a trial is to do, as far as it is known when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// Puts and removals, and operations on prefixes.
    pub mutations: usize,
    /// Bytes of the values that are put.
    pub bytes: u64,
    /// Whether the caller may want to take it back although nothing has run out.
    pub revocable: bool,
}

/// Several mutations under way that count as one, from [`Pool::trial`]. Dropping it takes them
/// back.
///
/// # Examples
///
/// ```
/// use holt_art::{Condition, Outlook, Pool, PoolOptions, Version};
///
/// let pool = Pool::new(PoolOptions::default())?;
/// let tree = pool.create_tree(&pool.enter())?;
/// let version = || Version::new(1).unwrap();
/// let closed = pool.close_gate();
/// let trial = pool.trial(&closed, Outlook { mutations: 2, bytes: 2, revocable: true });
/// tree.put(closed.pass(), b"a", b"1", Condition::Always, version)?;
/// tree.put(closed.pass(), b"b", b"2", Condition::Always, version)?;
/// assert_eq!(trial.slots(), 2, "the one frame, and its image");
/// assert!(trial.take_back());
/// drop(closed);
/// assert!(tree.is_empty());
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a trial that is dropped is taken back"]
pub struct Trial<'a> {
    pool: &'a Pool,
    /// Dropped at the very end.
    moving: Moving<'a>,
    /// Whether it can be taken back.
    images: bool,
    /// Slots that a committed cut would have made free for it when it began.
    beside: usize,
    over: bool,
}

impl Pool {
    /// Begins a trial. One at a time can be open, which the closed gate sees to. Its holder must
    /// not read through a [`Tree`](crate::Tree) or a cursor before it is over: he would wait for
    /// himself.
    ///
    /// # Examples
    ///
    /// See [`Trial`].
    pub fn trial<'a>(self: &'a Arc<Self>, closed: &'a Closed<'_>, outlook: Outlook) -> Trial<'a> {
        let moving = self.start_move(closed);
        let beside = self.changeable_at_most().saturating_sub(self.changeable());
        let images = outlook.revocable || !self.is_ample(outlook);
        if images {
            let epoch = self.pin(closed);
            lock(&self.books).trial = Some(TrialBooks { epoch, ..TrialBooks::default() });
            // Relaxed: read by mutations, which are this thread's until the gate opens.
            self.trial.store(true, Ordering::Relaxed);
        }
        Trial { pool: self, moving, images, beside, over: false }
    }

    /// Whether there is so much room that these mutations cannot run out of it.
    fn is_ample(&self, outlook: Outlook) -> bool {
        let frames = AMPLE_EACH.saturating_mul(outlook.mutations).saturating_add(AMPLE);
        let blobs = most_pages(outlook.mutations, outlook.bytes) as usize / SLOT_PAGES;
        let books = lock(&self.books);
        // With slots to spare nobody gives a frame up, so what is in memory stays there.
        books.free() >= frames
            && self.changeable_by(&books) >= frames.saturating_add(blobs)
            && self.clock.as_deref().is_none_or(|clock| clock.absent() == 0)
            && self.blobs.has_room(outlook.mutations, outlook.bytes)
    }

    /// Whether a trial is open that can be taken back.
    #[inline]
    pub(crate) fn on_trial(&self) -> bool {
        // Relaxed: set and cleared under the closed gate.
        self.trial.load(Ordering::Relaxed)
    }

    /// Notes a frame that was made.
    pub(super) fn note_created(&self, number: u32) {
        if self.on_trial()
            && let Some(trial) = &mut lock(&self.books).trial
        {
            trial.created.push(number);
        }
    }

    /// Notes that a frame that was made has been given back, never referred to.
    pub(super) fn note_discarded(&self, number: u32) {
        if self.on_trial()
            && let Some(trial) = &mut lock(&self.books).trial
        {
            trial.created.retain(|created| *created != number);
        }
    }

    /// Notes a frame that is given up; false if it can go at once.
    pub(super) fn note_freed(&self, number: u32) -> bool {
        match &mut lock(&self.books).trial {
            Some(trial) => {
                trial.freed.push(number);
                true
            }
            None => false,
        }
    }

    /// Notes that a frame refers to a blob now.
    pub(crate) fn blob_born(&self, number: u32) {
        self.blobs.born(number, self.epoch());
        if self.on_trial()
            && let Some(trial) = &mut lock(&self.books).trial
        {
            trial.born.push(number);
        }
    }

    /// Notes a blob that no frame refers to any more; false if it can go at once.
    pub(super) fn note_dead(&self, number: u32) -> bool {
        match &mut lock(&self.books).trial {
            Some(trial) => {
                trial.dead.push(number);
                true
            }
            None => false,
        }
    }
}

impl<'a> Trial<'a> {
    /// The move that the trial is, for operations on prefixes.
    pub fn moving(&self) -> &Moving<'a> {
        &self.moving
    }

    /// Slots that the trial has taken so far: for frames that it made, twice for those that it has
    /// changed, and what new blobs take in this unit; of a trial that cannot be taken back, none.
    pub fn slots(&self) -> usize {
        let books = lock(&self.pool.books);
        let Some(trial) = &books.trial else { return 0 };
        let pages: usize = trial.born.iter().map(|&number| self.pool.blobs.pages_of(number)).sum();
        let images = books.kept.images_at(trial.epoch).count();
        trial.created.len() + 2 * images + pages.div_ceil(SLOT_PAGES)
    }

    /// Whether a trial that was refused for want of room has taken nearly all that there can be, and little
    /// else had, so that a committed cut would not make enough for it. `longest` is the length of the longest
    /// value that is put.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Outlook, Pool, PoolOptions};
    ///
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let closed = pool.close_gate();
    /// let trial = pool.trial(&closed, Outlook { mutations: 1, bytes: 2, revocable: true });
    /// assert!(!trial.is_hopeless(2));
    /// trial.keep();
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn is_hopeless(&self, longest: usize) -> bool {
        let next = if longest > MAX_PLACED {
            pages_for(longest).1.div_ceil(SLOT_PAGES) + BESIDE
        } else {
            0
        };
        let (taken, most) = (self.slots().saturating_add(next), self.pool.changeable_at_most());
        taken >= most || (taken >= most / 8 * 7 && self.beside <= most / 8)
    }

    /// Ends the trial: what was done stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Condition, Outlook, Pool, PoolOptions, Version};
    ///
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let tree = pool.create_tree(&pool.enter())?;
    /// let version = || Version::new(1).unwrap();
    /// let closed = pool.close_gate();
    /// let trial = pool.trial(&closed, Outlook { mutations: 1, bytes: 2, revocable: true });
    /// tree.put(closed.pass(), b"a", b"1", Condition::Always, version)?;
    /// assert!(tree.get_inside(trial.moving(), b"a", |_, _| ())?.is_some());
    /// trial.keep();
    /// drop(closed);
    /// assert_eq!(tree.len(), 1);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn keep(mut self) {
        let Some(trial) = self.end() else { return };
        for number in trial.freed {
            // One that could not be fetched would stay as a frame that nothing leads to.
            if let Ok(Some(frame)) = self.pool.latch_fetched(number) {
                frame.free();
            }
        }
        for number in trial.dead {
            self.pool.free_blob(number);
        }
        self.pool.unpin(trial.epoch);
    }

    /// Ends the trial: all is as it was before. False if the pool had so much room that nothing
    /// was pinned; then nothing was taken back, and what made the caller want it is damage.
    pub fn take_back(mut self) -> bool {
        self.undo();
        self.images
    }

    /// Ends the trial for all mutations, and returns what is left to do.
    fn end(&mut self) -> Option<TrialBooks> {
        self.over = true;
        // Relaxed: as in `Pool::trial`.
        self.pool.trial.store(false, Ordering::Relaxed);
        lock(&self.pool.books).trial.take()
    }

    fn undo(&mut self) {
        let Some(trial) = self.end() else { return };
        let pool = self.pool;
        let own = "a frame of this epoch is not copied";
        for number in trial.created {
            if let Some(mut frame) = pool.latch_now(number) {
                frame.writable().expect(own);
                frame.discard();
            }
        }
        // A latch is never waited for under the books' lock.
        let books = lock(&pool.books);
        let numbers: Vec<u32> =
            books.kept.images_at(trial.epoch).map(|(number, _)| number).collect();
        let slots = numbers.iter().filter_map(|number| books.kept.image(*number, trial.epoch));
        let slots: Vec<u32> = slots.collect();
        drop(books);
        for (number, slot) in numbers.into_iter().zip(slots) {
            let mut frame = pool.latch_now(number).expect("a trial gives no frame up");
            frame.writable().expect(own);
            View::new(pool.slot_words(slot)).copy_to(frame.words());
        }
        for number in trial.born {
            pool.free_blob(number);
        }
        pool.unpin(trial.epoch);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.undo();
        }
    }
}
