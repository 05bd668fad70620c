//! Room for the copies that a cut costs: taken before it is wanted, and bounded.
//!
//! - Memory that was never touched costs its first writer a call of the system, for a huge page some
//!   hundred microseconds. So slots are touched before a cut begins, by who takes it
//!   ([`Pool::ready_spares`]).
//! - A few slots are for those alone who give frames back, so that a full pool can be emptied.
//! - Copies that are kept for the cut may take a share of the pool, one in [`SHARE`] slots. More
//!   of them makes the pool [crowded](Pool::is_crowded), until the cut has read on.

use super::Pool;
use super::books::Books;
use crate::frame::FRAME_WORDS;
use crate::sync::{Ordering, lock};

/// One slot of so many may hold a copy for the cut.
const SHARE: usize = 4;

/// Words of a page of memory.
const PAGE_WORDS: usize = 512;

impl Pool {
    /// Makes sure that so many slots, but no more than there are frames, are free and have memory
    /// already, as far as there are so many, and returns how many were made ready. For whoever is
    /// about to take a cut: the first writers behind it find their copies' room ready.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = holt_art::Art::new()?;
    /// let pool = map.tree().pool();
    /// assert!(pool.ready_spares(100) <= 100);
    /// assert_eq!(pool.ready_spares(100), 0, "they are ready");
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn ready_spares(&self, slots: usize) -> usize {
        let slots = slots.min(lock(&self.books).frames_used());
        let mut ready = 0;
        while ready < slots {
            // Under the mutex for a moment each: writers want slots, too.
            let Some(slot) = lock(&self.books).take_fresh(slots) else { break };
            for word in self.words(slot).iter().step_by(PAGE_WORDS) {
                // Relaxed: nobody looks at a slot that is not a frame's.
                word.store(0, Ordering::Relaxed);
            }
            self.give_slot(slot);
            ready += 1;
        }
        ready
    }

    /// One more than the largest number that a frame has, or has had.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = holt_art::Art::new()?;
    /// assert!(map.tree().root().get() < map.tree().pool().frame_limit());
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn frame_limit(&self) -> u32 {
        lock(&self.books).frame_limit()
    }

    /// Whether the change of a frame that there is may be refused: because a copy has to be kept, or
    /// because only so many may change. To be called under the closed gate.
    pub(crate) fn may_refuse_changes(&self) -> bool {
        self.clock.is_some() || lock(&self.books).kept.counts().0 > 0
    }

    /// Lets the caller, and whoever else writes meanwhile, take the slots that are reserved for
    /// giving frames back, until what this returns is dropped. For whoever is about to do so.
    ///
    /// # Examples
    ///
    /// ```
    /// # let map = holt_art::Art::new()?;
    /// let pool = map.tree().pool();
    /// let closed = pool.close_gate();
    /// let reserve: holt_art::Reserve<'_> = pool.use_reserve();
    /// let scratch = pool.create_tree(closed.pass())?;
    /// pool.free_tree(&closed, scratch.root())?;
    /// drop(reserve);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn use_reserve(&self) -> Reserve<'_> {
        lock(&self.books).privilege(true);
        Reserve { pool: self }
    }

    /// Whether the copies that are kept for an open cut take more than their share of the pool: a
    /// quarter. Whoever is about to enter the gate for a mutation does well to wait until the cut has
    /// [read on](crate::Cut::done) or is over. Costs one load.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = holt_art::Art::new()?;
    /// assert!(!map.tree().pool().is_crowded(), "no cut is open");
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    #[inline]
    pub fn is_crowded(&self) -> bool {
        // Relaxed: a hint.
        self.crowded.load(Ordering::Relaxed)
    }

    /// Tells what became of the copies for the cut. To be called with the books' mutex held,
    /// whenever there are more or fewer.
    pub(super) fn note_copies(&self, books: &Books) {
        let crowded = books.kept.for_cuts() * SHARE > self.frames.slots();
        // Relaxed, both: only stored with the mutex held.
        if self.crowded.load(Ordering::Relaxed) != crowded {
            self.crowded.store(crowded, Ordering::Relaxed);
        }
    }
}

/// See [`Pool::use_reserve`].
#[derive(Debug)]
#[must_use = "the reserve is closed again when this is dropped"]
pub struct Reserve<'p> {
    pool: &'p Pool,
}

impl Drop for Reserve<'_> {
    fn drop(&mut self) {
        lock(&self.pool.books).privilege(false);
    }
}

const _: () = assert!(FRAME_WORDS.is_multiple_of(PAGE_WORDS));

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Art, Condition, PoolOptions, Version};

    #[test]
    fn spares_are_made_ready_once_and_stay_free() {
        let pool = Pool::new(PoolOptions::with_bytes(20 << 16, 1 << 20)).unwrap();
        assert_eq!(pool.ready_spares(8), 0, "there is no frame to be copied");
        let trees: Vec<_> = (0..12).map(|_| pool.create_tree(&pool.enter()).unwrap()).collect();
        assert_eq!(pool.ready_spares(3), 3);
        assert_eq!(pool.ready_spares(3), 0);
        assert_eq!(pool.ready_spares(100), 5, "there are no more");
        assert_eq!(pool.stats().slot_bytes, (trees.len() as u64) << 16);
        assert_eq!(lock(&pool.books).free(), 8);
    }

    #[test]
    fn a_pool_is_crowded_by_copies_for_the_cut_until_they_are_read() {
        let map = Art::with_options(PoolOptions::with_bytes(64 << 16, 1 << 20)).unwrap();
        for number in 0..40_000_u32 {
            map.put(&number.to_be_bytes(), &[1; 20]).unwrap();
        }
        let pool = map.tree().pool();
        let frames = pool.stats().frames as usize;
        assert!((20..32).contains(&frames), "{frames} frames");
        let change = || {
            for number in (0..40_000_u32).step_by(50) {
                let version = || Version::new(7).unwrap();
                let key = number.to_be_bytes();
                let put = map.tree().put(&pool.enter(), &key, &[2; 20], Condition::Always, version);
                put.unwrap();
            }
        };
        // A snapshot's copies are not the cut's.
        let snapshot = pool.snapshot(&pool.close_gate());
        change();
        assert!(!pool.is_crowded() && pool.stats().kept_bytes >= 20 << 16);
        drop(snapshot);
        let cut = pool.cut(&pool.close_gate()).unwrap();
        change();
        assert!(pool.is_crowded());
        for object in cut.dirty() {
            cut.done(object);
        }
        assert!(!pool.is_crowded());
        assert_eq!(pool.stats().kept_bytes, 0);
        // Nothing is copied for what has been read.
        let before = pool.stats().slot_bytes;
        drop(cut);
        let cut = pool.cut(&pool.close_gate()).unwrap();
        cut.dirty().into_iter().for_each(|object| cut.done(object));
        change();
        assert_eq!((pool.stats().slot_bytes, pool.stats().kept_bytes), (before, 0));
    }
}
