//! Where a frame is that its table word does not lead to.
//!
//! # State word
//!
//! Beside its word in the table, each frame of a pool with a source has a *mark*:
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | absent: the frame is in the source only |
//! | 1 | cooling: the frame is in the slot of bits 32..64, and its table word names none |
//! | 2 | root of an open tree: never cooled |
//! | 3 | held by a move under way: not cooled until the move ends |
//! | 4 | unproven: its image was taken for what it is by its checksum, and it has not changed since |
//! | 32..64 | the slot of a cooling frame |
//!
//! The mark is stored only by the holder of the frame's latch. A frame that is absent or cooling is
//! clean: its image is in the source.
//!
//! # The clock
//!
//! There is no reference bit, as setting one would cost every reader something. The clock takes
//! the slot out of the frame's word instead, and queues the frame: it *cools*. Who wants it then
//! finds no slot, looks here, and puts the word back: that is the second chance, and it
//! costs only whom it concerns. A frame that is still cooling when its turn comes gives its slot up
//! and is absent.
//!
//! # Happens-before
//!
//! 1. *Cooling → reader with the old word*: cooling releases a new version of the word, so a
//!    reader that saw anything of the slot's next content fails validation (`pool::latch`,
//!    edges 2 and 3: whoever fills the slot got it through the mutex of the books, after the
//!    word was released, and passes a release fence before the first store).
//! 2. *Filled slot → reader*: the loader fills the slot and then releases the word
//!    (`pool::latch`, edge 1).
//! 3. *Giving up against a new pin*: the slot is given to the books in one critical section with the
//!    look at the pins. A pin that is added later comes after it by way of that mutex, so its
//!    readers find no slot in the word.
//! 4. *Giving up against readers of the past*, who validate nothing: while there is a pin, the gate
//!    of these readers is closed when the slot is given up. Those who found the slot in the word
//!    have left the gate before, and those who enter later find none (`pool::gate`, edges 2, 3).
//!
//! 5. *Mark → who looks at it without the latch*: `seen` was loaded with acquire, so a mark that is
//!    older than that word is not read any more. A younger one was stored after the release
//!    fence of the latch; the look is followed by the acquire fence of the validation, which then
//!    fails unless the holder left the word as it was, and with that word a frame in no slot goes
//!    from cooling to absent only.
//!
//! # Liveness
//!
//! The clock only tries latches. Who meets a frame without a slot tries, and starts again.
//!
//! Checked by `tests/loom/absences.rs`: `a_frame_that_cools_is_read_whole_or_not_at_all`,
//! `a_frame_that_is_loaded_again_is_the_same`.

use super::latch::{LatchRef, NO_SLOT, Observed};
use crate::sync::{AtomicU64, Ordering};

const ABSENT: u64 = 1;
const COOLING: u64 = 2;
const ROOT: u64 = 4;
const HELD: u64 = 8;
const UNPROVEN: u64 = 16;
const SLOT_SHIFT: u32 = 32;

/// What somebody finds who met a frame without a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// It is in reach, or somebody is at it: try again.
    Again,
    /// It has to be read from the source.
    Absent,
    /// There is no such frame.
    Nowhere,
}

/// What giving a cooling frame up came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// Its slot has been given away.
    Gone,
    /// It is in reach again.
    Stays,
    /// Somebody has its latch.
    Busy,
}

/// A frame's two words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whereabouts<'a> {
    latch: LatchRef<'a>,
    mark: &'a AtomicU64,
}

impl<'a> Whereabouts<'a> {
    pub(crate) fn new(latch: LatchRef<'a>, mark: &'a AtomicU64) -> Self {
        Self { latch, mark }
    }

    fn mark(self) -> u64 {
        // Relaxed: what counts is read under the latch, which orders it; the rest are guesses.
        self.mark.load(Ordering::Relaxed)
    }

    fn set_mark(self, mark: u64) {
        // Relaxed: stored under the latch, whose release publishes it.
        self.mark.store(mark, Ordering::Relaxed);
    }

    /// Lets the frame cool if it is in a slot, nobody holds it, and `clean` says that it may.
    #[must_use]
    pub(crate) fn cool(self, clean: impl FnOnce() -> bool) -> bool {
        let Some(seen) = self.latch.try_observe() else { return false };
        let stays = || self.mark() & !UNPROVEN != 0;
        if seen.slot() == NO_SLOT || stays() || !self.latch.upgrade(seen) {
            return false;
        }
        if stays() || !clean() {
            self.latch.release_unchanged(seen);
            return false;
        }
        self.set_mark(self.mark() | COOLING | u64::from(seen.slot()) << SLOT_SHIFT);
        // Edge 1.
        self.latch.release(seen, NO_SLOT);
        true
    }

    /// Gives the slot of a cooling frame up, if `give` takes it.
    #[must_use]
    pub(crate) fn leave(self, give: impl FnOnce(u32) -> bool) -> Left {
        let Some(seen) = self.latch.try_observe() else { return Left::Busy };
        if !self.latch.upgrade(seen) {
            return Left::Busy;
        }
        let mark = self.mark();
        if mark & COOLING == 0 {
            self.latch.release_unchanged(seen);
            return Left::Stays;
        }
        let slot = (mark >> SLOT_SHIFT) as u32;
        if give(slot) {
            self.set_mark(ABSENT);
            self.latch.release_unchanged(seen);
            return Left::Gone;
        }
        self.set_mark(mark & UNPROVEN);
        self.latch.release(seen, slot);
        Left::Stays
    }

    /// Puts a cooling frame back in reach, and says otherwise where it is. `met` is the word
    /// that was found without a slot, if the frame may have gone since.
    pub(crate) fn reach(self, met: Option<Observed>) -> Found {
        let Some(seen) = self.latch.try_observe() else { return Found::Again };
        if met.is_some_and(|met| met != seen) || seen.slot() != NO_SLOT {
            return Found::Again;
        }
        if !self.latch.upgrade(seen) {
            return Found::Again;
        }
        let mark = self.mark();
        if mark & COOLING != 0 {
            self.set_mark(mark & UNPROVEN);
            self.latch.release(seen, (mark >> SLOT_SHIFT) as u32);
            return Found::Again;
        }
        self.latch.release_unchanged(seen);
        if mark & ABSENT != 0 { Found::Absent } else { Found::Nowhere }
    }

    /// Puts an absent frame into the slot, which has been filled with its image, `proven` to be a
    /// sound frame or not; false when it is not absent. `prepare` is called under the latch.
    #[must_use]
    pub(crate) fn install(self, slot: u32, proven: bool, prepare: impl FnOnce()) -> bool {
        let seen = self.latch.acquire();
        let absent = self.mark() & ABSENT != 0;
        if absent {
            self.set_mark(if proven { 0 } else { UNPROVEN });
            prepare();
            // Edge 2.
            self.latch.release(seen, slot);
        } else {
            self.latch.release_unchanged(seen);
        }
        absent
    }

    /// Makes a frame absent that nobody knows yet.
    pub(crate) fn declare(self) {
        let seen = self.latch.acquire();
        self.set_mark(ABSENT);
        self.latch.release_unchanged(seen);
    }

    /// Whether the frame is absent; true also says that its word, `seen`, is of an absent frame.
    pub(crate) fn is_absent(self, seen: Observed) -> bool {
        // Edge 5: the look at the mark is certain if the word is the same before and after it, as
        // an absent frame changes its word when it is loaded.
        seen.slot() == NO_SLOT && self.mark() & ABSENT != 0 && self.latch.validate(seen)
    }

    /// Keeps the frame from being cooled, as the root of a tree, and says whether it was none
    /// before; `None` if it is in no slot.
    #[must_use]
    pub(crate) fn make_root(self) -> Option<bool> {
        let seen = self.latch.acquire();
        let mark = self.mark();
        let here = seen.slot() != NO_SLOT;
        if here {
            self.set_mark(mark | ROOT);
        }
        self.latch.release_unchanged(seen);
        here.then_some(mark & ROOT == 0)
    }

    /// Keeps the frame from being cooled for a move, if it is as `seen` says. Says whether
    /// that is now [to be undone](Self::let_go).
    #[must_use]
    pub(crate) fn hold(self, seen: Observed) -> Option<bool> {
        if !self.latch.upgrade(seen) {
            return None;
        }
        let held = self.mark() & HELD != 0;
        self.set_mark(self.mark() | HELD);
        self.latch.release_unchanged(seen);
        Some(!held)
    }

    /// Ends the hold of a move.
    pub(crate) fn let_go(self) {
        let seen = self.latch.acquire();
        self.set_mark(self.mark() & !HELD);
        self.latch.release_unchanged(seen);
    }

    /// Whether the frame, whose latch the caller holds, has still to be proven sound before it may
    /// be changed.
    pub(crate) fn is_unproven(self) -> bool {
        self.mark() & UNPROVEN != 0
    }

    /// Notes that the frame, whose latch the caller holds, is sound.
    pub(crate) fn prove(self) {
        self.set_mark(self.mark() & !UNPROVEN);
    }

    /// Forgets the mark of a frame that is freed by the holder of its latch; says whether it was
    /// a root.
    pub(crate) fn forget(self) -> bool {
        let root = self.mark() & ROOT != 0;
        self.set_mark(0);
        root
    }

    /// For the accounts: the slot that the frame has, in reach or cooling, and whether it is
    /// absent.
    pub(crate) fn slot(self) -> (u32, bool) {
        let seen = self.latch.acquire();
        let mark = self.mark();
        let slot = if mark & COOLING != 0 { (mark >> SLOT_SHIFT) as u32 } else { seen.slot() };
        self.latch.release_unchanged(seen);
        (slot, mark & ABSENT != 0)
    }
}
