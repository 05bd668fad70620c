//! Whether a blob is in memory: the word that its readers validate.
//!
//! # State word
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | absent: the bytes are in the source only |
//! | 1 | stored: a committed cut has the blob, so its pages may be given up |
//! | 2 | read since the clock last came by |
//! | 3 | kept: no frame refers to it any more, and a pin needs it |
//! | 4 | moving: its tail is on its way to other units |
//! | 8..64 | *life*: how often the pages of this number have been given up or filled, twice for a move |
//!
//! All but bit 2 is stored by the holder of the mutex of the blobs' books. Bit 2 is set by readers.
//!
//! # Happens-before
//!
//! A blob never changes, but its pages may be given up, and filled with another, under a reader: the
//! frame that he came through does not change for that, and readers of the past validate no frame.
//! So a reader compares the life before and after he copies.
//!
//! 1. *Filled pages → reader*: [`begin`](Presence::begin) is a release, [`observe`](Presence::observe) an acquire.
//! 2. *Given up → reader of what comes next*: the new life is stored before the pages go to the books.
//!    Who takes them from there passes a release fence before the first store; the reader who sees
//!    any of that passes the acquire fence in [`holds`](Presence::holds), and then sees the new life.
//!    That the blob has no pages any more is stored behind the new life by a release, for the same reader.
//! 3. *Moving → reader of the life before*: a tail moves under the mutex. That it does is a life of its own,
//!    whose readers copy nothing and wait for the mutex. It begins before a release fence, behind which the tail
//!    is copied and its new place is stored. So who came before and met any of that sees the new life, as by edge 2;
//!    the units that the tail leaves go to the books behind the life in which it has arrived.
//!
//! Checked by `tests/loom/blobs.rs`: `a_blob_that_leaves_is_read_whole_or_not_at_all`,
//! `a_blob_that_comes_back_is_the_same_also_where_another_has_been`,
//! `a_tail_that_moves_is_read_whole_while_another_blob_gets_its_units`.

use crate::sync::{AtomicU64, Ordering, fence};

/// The bytes are in the source only.
pub(crate) const ABSENT: u64 = 1;
/// A committed cut has the blob.
pub(crate) const STORED: u64 = 2;
/// It was read since the clock came by.
const USED: u64 = 4;
/// Only a pin needs it.
pub(crate) const KEPT: u64 = 8;
/// Its tail is being moved.
pub(crate) const MOVING: u64 = 16;
/// The first life.
const LIFE: u64 = 1 << 8;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presence<'a>(&'a AtomicU64);

/// The word as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Known(u64);

impl Known {
    pub(crate) fn is(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// All flags.
    pub(crate) fn flags(self) -> u64 {
        self.0 % LIFE
    }

    /// Whether the other one is of the same life.
    pub(crate) fn same_life(self, other: Known) -> bool {
        self.0 / LIFE == other.0 / LIFE
    }
}

impl<'a> Presence<'a> {
    pub(crate) fn new(word: &'a AtomicU64) -> Self {
        Self(word)
    }

    /// The word now.
    #[must_use]
    pub(crate) fn observe(self) -> Known {
        // Acquire: edge 1, partner of the release in `begin`.
        Known(self.0.load(Ordering::Acquire))
    }

    /// Whether all that was read since `known` is of its life.
    #[must_use]
    pub(crate) fn holds(self, known: Known) -> bool {
        // Acquire fence: edge 2, partner of the release fence of whoever fills the pages.
        fence(Ordering::Acquire);
        // Relaxed: behind the fence.
        Known(self.0.load(Ordering::Relaxed)).same_life(known)
    }

    /// Notes that the blob was read.
    pub(crate) fn touch(self, known: Known) {
        if !known.is(USED) {
            // Relaxed: a hint for the clock. A reader of an earlier life may set it, too.
            self.0.fetch_or(USED, Ordering::Relaxed);
        }
    }

    /// Begins a new life with these flags. By the holder of the mutex.
    pub(crate) fn begin(self, flags: u64) {
        // Relaxed: only this thread changes the life.
        let life = self.0.load(Ordering::Relaxed) / LIFE + 1;
        // Release: edges 1 and 2. An exchange, so that a reader who sets bit 2 meanwhile comes before it
        // or after it; one that is lost here was a hint.
        self.0.swap((life * LIFE) | flags, Ordering::Release);
    }

    /// Sets flags without a new life. By the holder of the mutex.
    pub(crate) fn set(self, flags: u64) {
        // Relaxed: read by holders of the mutex.
        self.0.fetch_or(flags, Ordering::Relaxed);
    }

    /// Whether the blob was read since this was last asked.
    pub(crate) fn was_used(self) -> bool {
        // Relaxed: a hint.
        self.0.fetch_and(!USED, Ordering::Relaxed) & USED != 0
    }
}
