//! The count of moves: how readers notice an operation over several places of the tree.
//!
//! A get validates the frames on its way one after the other, so the frames that it has
//! left behind may be relinked while it goes on below them. Writers that change one place
//! do no harm by that: they never hang a subtree below another name. A *move* does (a
//! prefix gets another name, several keys change at once), so it counts itself here, and
//! readers look at the count before their first load and after their last.
//!
//! # State
//!
//! One number, odd while a move is under way. Moves run under the closed gate, so there is
//! one at a time and no other mutation beside it.
//!
//! # Happens-before
//!
//! 1. *Move → reader that begins later*: the number becomes even by a release store, and a
//!    reader begins with an acquire load. It sees all that earlier moves did.
//! 2. *Reader that saw a store of a move, or of any mutation after it → failed check*: the
//!    move stores the odd number, then a release fence, then changes frames. The reader
//!    loads from frames, then an acquire fence, then loads the number again. If any of its
//!    loads returned a value stored by the move, the fences synchronize and the number
//!    has changed. A later mutation comes after the move by way of the gate, and its own
//!    release fence (taking a latch or a slot) then stands for that of the move.
//!
//! # Liveness
//!
//! A reader waits while a move is under way: moves are bounded by the depth of the tree or
//! the size of a batch, never by the number of keys that hang below. The thread that
//! moves must not read through this check; it would wait for itself.
//!
//! Checked by `tests/loom/names.rs`: `a_reader_never_sees_half_a_move`.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering, fence, yield_now};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Moves(CachePadded<AtomicU64>);

/// The count of moves as a reader found it when it began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seen(u64);

impl Moves {
    pub(crate) fn new() -> Self {
        Self(CachePadded::new(AtomicU64::new(0)))
    }

    /// Begins a read; waits while a move is under way.
    #[inline]
    pub(crate) fn begin(&self) -> Seen {
        // Acquire: edge 1.
        let seen = self.0.load(Ordering::Acquire);
        if seen & 1 == 0 { Seen(seen) } else { self.begin_slow() }
    }

    #[cold]
    fn begin_slow(&self) -> Seen {
        let mut spins = 0u32;
        loop {
            // Acquire: edge 1.
            let seen = self.0.load(Ordering::Acquire);
            if seen & 1 == 0 {
                return Seen(seen);
            }
            spins += 1;
            if cfg!(loom) || spins > 64 {
                yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Whether no move has begun since `seen`, so that all that was read in between, and
    /// validated by itself, belongs together.
    #[inline]
    #[must_use]
    pub(crate) fn unchanged(&self, seen: Seen) -> bool {
        if cfg!(holt_unvalidated) {
            // As in `LatchRef::validate`.
            return true;
        }
        // Acquire fence: edge 2, partner of the release fence in `start`.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == seen.0
    }

    /// Begins a move. The caller has closed the gate.
    pub(crate) fn start(&self) -> Moving<'_> {
        // Relaxed: only holders of the closed gate change the number, and the gate orders
        // them.
        let number = self.0.load(Ordering::Relaxed);
        self.0.store(number + 1, Ordering::Relaxed);
        // Release fence: edge 2, orders the odd number before the stores that follow.
        fence(Ordering::Release);
        Moving { moves: self, number: number + 2 }
    }
}

/// A move under way; dropping it ends the move.
#[derive(Debug)]
#[must_use = "the move ends when this is dropped"]
pub struct Moving<'a> {
    moves: &'a Moves,
    number: u64,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        // Release: edge 1.
        self.moves.0.store(self.number, Ordering::Release);
    }
}
