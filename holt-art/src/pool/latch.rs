//! The word of the frame table: latch, version and slot of one frame.
//!
//! # State word
//!
//! | bits | meaning | who changes it |
//! |---|---|---|
//! | 0 | latched: one writer owns the frame | the writer, by compare-and-swap and by the release store |
//! | 1..24 | slot that holds the frame, 0: none | the holder of the latch |
//! | 24..64 | version, +1 at each release after a change | the holder of the latch |
//!
//! The version goes on over eviction, freeing and reuse of the frame's number, so
//! a word that was read once never comes back with another content (40 bits: at
//! ten million changes a second of one frame it wraps after thirty hours, and a
//! reader would have to sleep through exactly that).
//!
//! # Happens-before
//!
//! 1. *Release of a change → next holder or reader*: [`LatchRef::release`] stores
//!    with release; [`LatchRef::observe`] and [`LatchRef::acquire`] load with acquire.
//! 2. *Reader that saw a later store → failed validation*: the holder takes the
//!    latch, then a release fence, then relaxed stores; the reader does relaxed
//!    loads, then an acquire fence, then loads the word again. If any load of the
//!    reader returned a value stored under the latch, the two fences synchronize,
//!    and the second load of the word sees the latch bit or a later version.
//! 3. *Reuse of a slot*: whoever fills a slot anew does so after a release fence that
//!    follows the change of the old frame's word, so the same argument holds for
//!    readers that still look at the slot under its old frame. The slot may be given away
//!    while the latch is still held: whoever gets it does so through the mutex of the books, so
//!    the latch bit comes before its fence, and that is what such a reader then sees.
//! 4. *Look under the latch → next change*: [`LatchRef::release_unchanged`] stores the old word
//!    with release, and the next holder takes it with acquire, so its stores are not seen by
//!    loads made under the latch before. Readers that came before the look go on after it:
//!    the word is the same, and so is all that they have read.
//!
//! # Liveness
//!
//! A holder never waits for a reader, and nobody who holds a latch waits for another one
//! without an end: writers upgrade to words that they have observed or give up, and readers
//! and mutations that fall back to latches ask for the next one a bounded number of times.
//! (Frames may hang below one another in a circle, so an order of parent before child would
//! not do.)
//! Waiting is a short spin, then yielding.
//!
//! Checked by `tests/loom/latches.rs`: `optimistic_read_is_never_torn`,
//! `reuse_of_a_slot_fails_validation`, `latches_exclude_each_other`,
//! `a_slot_that_is_given_away_under_the_latch_fails_validation`,
//! `a_look_under_the_latch_is_between_two_changes`.

use crate::sync::{AtomicU64, Ordering, fence, yield_now};

const LATCHED: u64 = 1;
const SLOT_SHIFT: u32 = 1;
const SLOT_BITS: u32 = 23;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const VERSION_SHIFT: u32 = SLOT_SHIFT + SLOT_BITS;

/// The slot number that means "in no slot"; slot 0 is never given out.
pub(crate) const NO_SLOT: u32 = 0;

/// One more than the largest slot number that the word can hold.
pub(crate) const SLOT_LIMIT: usize = 1 << SLOT_BITS;

/// A value of the state word of a frame that was not latched when it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Observed(u64);

impl Observed {
    /// The slot that held the frame.
    #[inline]
    pub(crate) fn slot(self) -> u32 {
        ((self.0 >> SLOT_SHIFT) & SLOT_MASK) as u32
    }

    /// How often the frame had been changed.
    #[inline]
    pub(super) fn version(self) -> u64 {
        self.0 >> VERSION_SHIFT
    }
}

/// The shared word of a frame, borrowed from the table. See the module's documentation
/// for its bits and rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatchRef<'a>(&'a AtomicU64);

impl<'a> LatchRef<'a> {
    #[inline]
    pub(crate) fn new(word: &'a AtomicU64) -> Self {
        Self(word)
    }
}

impl LatchRef<'_> {
    /// Waits until the frame is not latched and returns its word.
    #[inline]
    pub(crate) fn observe(self) -> Observed {
        // Acquire: edge 1, what the last holder stored is visible.
        let word = self.0.load(Ordering::Acquire);
        if word & LATCHED == 0 { Observed(word) } else { self.observe_slow() }
    }

    /// The frame's word, unless the frame is latched.
    pub(crate) fn try_observe(self) -> Option<Observed> {
        // Acquire: edge 1.
        let word = self.0.load(Ordering::Acquire);
        (word & LATCHED == 0).then_some(Observed(word))
    }

    /// The slot in which the frame is, or was when whoever holds the latch now took it.
    #[inline]
    pub(crate) fn slot(self) -> u32 {
        // Acquire: edge 1. A compare-and-swap that latched the frame carries the release of
        // the holder before on.
        Observed(self.0.load(Ordering::Acquire)).slot()
    }

    #[cold]
    fn observe_slow(self) -> Observed {
        let mut spins = 0;
        loop {
            // Acquire: edge 1.
            let word = self.0.load(Ordering::Acquire);
            if word & LATCHED == 0 {
                return Observed(word);
            }
            pause(&mut spins);
        }
    }

    /// Whether nothing has changed since `seen` was observed; all loads made in
    /// between are then of one state.
    #[inline]
    #[must_use]
    pub(crate) fn validate(self, seen: Observed) -> bool {
        if cfg!(holt_unvalidated) {
            // Only to measure what validation costs: nothing is right beside writers without it.
            return true;
        }
        // Acquire fence: edge 2, partner of the release fence in `take`.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == seen.0
    }

    /// Latches the frame if it is still as it was when `seen` was observed.
    #[inline]
    #[must_use]
    pub(crate) fn upgrade(self, seen: Observed) -> bool {
        // Acquire on success: edge 1, the previous holder's stores.
        let taken = self
            .0
            .compare_exchange(seen.0, seen.0 | LATCHED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if taken {
            // Release fence: edge 2, orders the latch bit before the stores that follow.
            fence(Ordering::Release);
        }
        taken
    }

    /// Waits for the latch and takes it.
    pub(crate) fn acquire(self) -> Observed {
        loop {
            let seen = self.observe();
            if self.upgrade(seen) {
                return seen;
            }
        }
    }

    /// Gives the latch back after a change: the next version, now in `slot`.
    #[inline]
    pub(crate) fn release(self, seen: Observed, slot: u32) {
        let version = (seen.0 >> VERSION_SHIFT).wrapping_add(1);
        let word = (version << VERSION_SHIFT) | ((u64::from(slot) & SLOT_MASK) << SLOT_SHIFT);
        // Release: edge 1.
        self.0.store(word, Ordering::Release);
    }

    /// Gives the latch back without having changed anything.
    #[inline]
    pub(crate) fn release_unchanged(self, seen: Observed) {
        // Release: edge 4.
        self.0.store(seen.0, Ordering::Release);
    }
}

/// A short wait: spins a little, then lets another thread run.
fn pause(spins: &mut u32) {
    *spins += 1;
    if cfg!(loom) || *spins > 64 {
        yield_now();
    } else {
        std::hint::spin_loop();
    }
}
