//! Epochs, and which of them are still needed.
//!
//! The epoch is a number that advances under the closed gate, so a mutation sees one
//! epoch from its beginning to its end. A *pin* is an earlier epoch whose state somebody
//! still reads: the open cut, a snapshot, the cursors that a move overtook. The exact set
//! of pins is in [`Kept`](super::kept::Kept), behind the mutex of the books; this file
//! has what a writer needs to know of it without a lock.
//!
//! # State
//!
//! All words are written with the books' mutex held; pins are added under the closed gate
//! as well, and go at any time.
//!
//! * `epoch`: the current epoch. Advances by one with each pin that is added.
//! * `horizon`: one more than the newest pin, 0 without a pin.
//! * `pinned`: one more than the newest pin that is no cut, 0 without one.
//! * `committed`: epoch of the last committed cut.
//!
//! # Which frames a writer has to leave alone
//!
//! A frame (or blob) that was last changed in the epoch `since` looks now as it did at
//! every pin from `since` on. All pins are older than the current epoch, so there is one
//! exactly if the *newest* pin is not older than `since`: one number answers for any set
//! of pins. The cut does not need what an earlier cut has committed, so for it `since` has
//! to be later than `committed` too.
//!
//! # Happens-before
//!
//! 1. *Pin added → writer*: the words are stored under the closed gate, whose opening is
//!    acquired by every later pass (`pool::gate`, edge 3). A writer inside the gate sees
//!    every pin that exists, or one that existed.
//! 2. *Pin gone → writer*: nothing. A writer that does not know it yet makes a copy that
//!    nobody needs; whether the old image is kept is decided by `Kept` under the mutex, so
//!    nothing is kept for a pin that is gone.
//! 3. *Writer → reader of the past*: a writer that changes a frame which a pin needs moves
//!    the live frame to another slot. It enters the old slot into `Kept`, then stores the
//!    frame's epoch word with release, and only then the frame's word. [`slot_at`] loads
//!    the frame's word with acquire, then the epoch word with acquire: when the epoch is
//!    not later than the pin, the word it has names a slot with the state at the pin; when it
//!    is, the image is in `Kept`.
//!
//! 4. *Committed cut → clock*: the images of a cut are in the source before its epoch is stored
//!    as committed with release; who finds with acquire that a frame is clean, and gives it up,
//!    leads to a read of the source that comes after.
//!
//! The slot that a reader of the past gets in either way is not written while the pin
//! lives: not in place, because the frame moves first, and not by another frame, because
//! the slot is not free. So such a reader validates nothing, waits for no latch and never
//! starts again. Where only the cut needs a frame as it is, the frame may stay where it is and
//! change there, while its image is made piece by piece; the cut reads by the rules of
//! `frame::pieces`.
//!
//! Checked by `tests/loom/copies.rs`: `two_pins_each_keep_their_state`,
//! `a_snapshot_is_the_state_under_the_closed_gate`,
//! `a_pin_that_goes_while_a_writer_copies_leaks_nothing`.

use super::latch::{LatchRef, NO_SLOT};
use crate::sync::{AtomicU64, Ordering};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Pins {
    epoch: AtomicU64,
    horizon: AtomicU64,
    pinned: AtomicU64,
    committed: AtomicU64,
}

impl Pins {
    pub(crate) fn new() -> Self {
        Self {
            epoch: AtomicU64::new(1),
            horizon: AtomicU64::new(0),
            pinned: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        }
    }

    /// The current epoch. To be called inside the gate.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        // Relaxed: changes only under the closed gate, whose opening publishes it.
        self.epoch.load(Ordering::Relaxed)
    }

    /// Begins the next epoch and returns the one that ends. To be called under the closed
    /// gate.
    pub(crate) fn advance(&self) -> u64 {
        let epoch = self.epoch();
        // Relaxed: edge 1.
        self.epoch.store(epoch + 1, Ordering::Relaxed);
        epoch
    }

    /// Whether a pin needs what was last changed in the epoch `since`. May say yes for a pin
    /// that has just gone.
    #[inline]
    pub(crate) fn need(&self, since: u64) -> bool {
        // Relaxed: edges 1 and 2.
        since < self.horizon.load(Ordering::Relaxed) && self.need_exactly(since)
    }

    #[cold]
    fn need_exactly(&self, since: u64) -> bool {
        // Relaxed, both: edges 1 and 2. What is older than the horizon and not older than
        // the newest snapshot is for the cut to ask for.
        since < self.pinned.load(Ordering::Relaxed) || since > self.committed()
    }

    /// Whether a pin other than the cut has the frame as it was last changed in the epoch
    /// `since`. Exact with the books' mutex held.
    pub(crate) fn snapshot_needs(&self, since: u64) -> bool {
        // Relaxed: the mutex orders it, or it is a guess.
        since < self.pinned.load(Ordering::Relaxed)
    }

    /// Publishes the newest pin and the newest one that is no cut. To be called with the
    /// books' mutex held.
    pub(crate) fn publish(&self, newest: Option<u64>, snapshot: Option<u64>) {
        // Relaxed, both: edges 1 and 2.
        self.pinned.store(snapshot.map_or(0, |epoch| epoch + 1), Ordering::Relaxed);
        self.horizon.store(newest.map_or(0, |epoch| epoch + 1), Ordering::Relaxed);
    }

    /// The epoch of the last committed cut.
    pub(crate) fn committed(&self) -> u64 {
        // Acquire: edge 4.
        self.committed.load(Ordering::Acquire)
    }

    /// Notes that the cut of `epoch` is committed. To be called with the books' mutex held,
    /// before the cut's pin goes.
    pub(crate) fn commit(&self, epoch: u64) {
        // Release: edge 4.
        self.committed.store(epoch, Ordering::Release);
    }
}

/// Set in a frame's epoch word while an image of it may be in the making (see `frame::pieces`): then it is
/// not the number of any epoch, so that no writer takes the short way.
const IN_PIECES: u64 = 1 << 63;

/// The epoch of a frame's last change, and whether an image of it may be in the making.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Since(u64);

impl Since {
    pub(crate) fn new(epoch: u64, in_pieces: bool) -> Self {
        Self(if in_pieces { epoch | IN_PIECES } else { epoch })
    }

    #[inline]
    pub(crate) fn of(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn epoch(self) -> u64 {
        self.0 & !IN_PIECES
    }

    #[inline]
    pub(crate) fn is_in_pieces(self) -> bool {
        self.0 & IN_PIECES != 0
    }
}

/// The slot in which the frame of this word was at the pinned epoch `at`, if it is still
/// the live one; `NO_SLOT` when there was no such frame. `None` means that the frame has
/// changed since: its image, if it has one, is in `Kept`.
#[inline]
pub(crate) fn slot_at(latch: LatchRef<'_>, epoch: &AtomicU64, at: u64) -> Option<u32> {
    let slot = latch.slot();
    // Acquire: edge 3; after the acquire load of the word.
    let since = Since::of(epoch.load(Ordering::Acquire)).epoch();
    (since <= at).then_some(slot)
}

/// Whether the live slot of this word holds what the frame was at the pinned epoch `at`, and
/// that had changed after the epoch `floor`. False as well for a frame that has changed since.
pub(crate) fn changed_at(latch: LatchRef<'_>, epoch: &AtomicU64, floor: u64, at: u64) -> bool {
    let slot = latch.slot();
    // Acquire: as in `slot_at`. One load for both bounds: between two of them the first change
    // since would make a frame that was clean at `at` look as if it had been changed there.
    let since = Since::of(epoch.load(Ordering::Acquire)).epoch();
    floor < since && since <= at && slot != NO_SLOT
}
