//! An image of a frame that is made piece by piece while the frame changes in place.
//!
//! The first writer behind a cut would have to copy the whole frame, of which he changes a few words. Instead the
//! frame stays where it is, and a slot is put down as its image, which is empty at first. Before a word of
//! the frame is changed, the piece that it lies in is copied to the image, once. Who reads the image takes the pieces that are
//! there from it, and all others from the frame, where they are still as they were.
//!
//! # State words
//!
//! One row for each frame number.
//!
//! | word | meaning | who changes it |
//! |---|---|---|
//! | 0, bit 0 | held: a writer is using the image | the holder of the frame's latch |
//! | 0, bit 1 | given up while it was held: the holder frees the slot | who gives the image up, with the books' mutex |
//! | 0, from bit 2 on | slot of the image; 0: none | opened by the holder of the latch, with the books' mutex; ended by who gives it up or by the holder |
//! | 1, 2 | one bit for each piece that is in the image | the holder |
//!
//! Only images for a cut are made in this way: a reader of a snapshot takes a slot for what it is and looks no
//! further.
//!
//! # Happens-before
//!
//! 1. *Piece saved → reader*: the bit is stored with release after the piece, and loaded with acquire.
//! 2. *Reader that saw a later word → bit*: the writer stores the bit, then a release fence, then changes
//!    the frame; the reader loads words of the frame, then an acquire fence, then the bit. If a word was a changed
//!    one, the fences synchronize and the bit is set.
//! 3. *Image opened → reader*: the row is written before the frame's epoch is stored with release; a reader looks at
//!    it after he has loaded that epoch with acquire. One who found the frame unchanged looks at the epoch again after
//!    an acquire fence: the release fence of edge 2 comes after the epoch's store, too.
//! 4. *Frame moved → reader*: all pieces are in the image before the frame leaves its slot, so before the word
//!    that says so. Whoever fills the slot anew does it after a release fence.
//! 5. *Image given up → next owner of the slot*: either nobody held it, and nobody will: holding is a compare-and-swap
//!    of the whole word. Or the holder sees the bit when he lets go, with acquire, and frees the slot himself.
//!
//! Checked by `tests/loom/saving.rs`: `a_cut_reads_the_pieces_that_it_was_taken_of`,
//! `an_image_that_is_given_up_while_it_is_held_is_freed_once`,
//! `a_frame_that_moves_leaves_a_complete_image`, `the_next_cut_has_an_image_of_its_own`.

use crate::sync::{AtomicU64, Ordering, fence};

/// Pieces of a frame.
pub(crate) const PIECES: usize = 128;

const HELD: u64 = 1;
const GIVEN_UP: u64 = 2;
const SLOT_SHIFT: u32 = 2;

/// Words of a row.
pub(crate) const ROW: usize = 4;

/// The row of a frame number. See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'a>(&'a [AtomicU64; ROW]);

impl<'a> Pieces<'a> {
    #[inline]
    pub(crate) fn new(row: &'a [AtomicU64; ROW]) -> Self {
        Self(row)
    }

    /// Puts `slot` down as the image, empty and held. To be called by the holder of the frame's latch, with the books'
    /// mutex held.
    pub(crate) fn open(self, slot: u32) {
        for saved in &self.0[1..] {
            // Relaxed: edge 3.
            saved.store(0, Ordering::Relaxed);
        }
        // Relaxed: edge 3; who gives the image up has the mutex.
        self.0[0].store(u64::from(slot) << SLOT_SHIFT | HELD, Ordering::Relaxed);
    }

    /// Holds the image and returns its slot, if there is one. To be called by the holder of the frame's latch.
    pub(crate) fn hold(self) -> Option<u32> {
        // Relaxed: the compare-and-swap decides.
        let state = self.0[0].load(Ordering::Relaxed);
        let held = || {
            // Acquire on success: edge 5, of an image that was opened again; the latch orders the rest.
            self.0[0].compare_exchange(state, state | HELD, Ordering::Acquire, Ordering::Relaxed)
        };
        (state != 0 && held().is_ok()).then_some((state >> SLOT_SHIFT) as u32)
    }

    /// Lets go of the image; returns its slot if that is to be freed now.
    #[must_use]
    pub(crate) fn release(self) -> Option<u32> {
        // AcqRel: edge 5.
        let state = self.0[0].fetch_and(!HELD, Ordering::AcqRel);
        debug_assert!(state & HELD != 0, "an image is released by who holds it");
        if state & GIVEN_UP == 0 {
            return None;
        }
        // Relaxed: nobody else changes a row whose image was given up, until the next is opened under the latch.
        self.0[0].store(0, Ordering::Relaxed);
        Some((state >> SLOT_SHIFT) as u32)
    }

    /// Gives up the image in `slot`, if it is made piece by piece; true if the caller is to free the slot, false if
    /// who holds it will. To be called with the books' mutex held.
    #[must_use]
    pub(crate) fn give_up(self, slot: u32) -> bool {
        loop {
            // Relaxed: the compare-and-swap decides.
            let state = self.0[0].load(Ordering::Relaxed);
            if (state >> SLOT_SHIFT) as u32 != slot {
                return true;
            }
            let held = state & HELD != 0;
            let next = if held { state | GIVEN_UP } else { 0 };
            // AcqRel: edge 5.
            let swapped =
                self.0[0].compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed);
            if swapped.is_ok() {
                return !held;
            }
        }
    }

    /// Whether the image in `slot` is made piece by piece.
    pub(crate) fn is_image(self, slot: u32) -> bool {
        // Relaxed: edge 3, and the image is not given up while somebody may ask.
        (self.0[0].load(Ordering::Relaxed) >> SLOT_SHIFT) as u32 == slot
    }

    /// Whether the piece is in the image.
    #[inline]
    pub(crate) fn has(self, piece: usize) -> bool {
        // Acquire: edge 1.
        self.0[1 + piece / 64].load(Ordering::Acquire) >> (piece % 64) & 1 != 0
    }

    /// Whether the piece, which was read from the frame, was as it had been when the image was opened.
    pub(crate) fn was_untouched(self, piece: usize) -> bool {
        // Acquire: edge 2, partner of the fence in `note`.
        fence(Ordering::Acquire);
        !self.has(piece)
    }

    /// Says that the piece has been copied to the image. The frame's words of it may be changed from now on.
    pub(crate) fn note(self, piece: usize) {
        let saved = &self.0[1 + piece / 64];
        // Relaxed load: only the holder stores. Release: edge 1.
        saved.store(saved.load(Ordering::Relaxed) | 1 << (piece % 64), Ordering::Release);
        // Release: edge 2, partner of the fence in `was_untouched`.
        fence(Ordering::Release);
    }
}

const _: () = assert!(PIECES <= 64 * (ROW - 1));
