//! The row that a frame has in the frame table: one line of memory.
//!
//! | words | meaning | who changes them |
//! |---|---|---|
//! | 0 | latch, version and slot: see [`latch`](super::latch) | the holder of the latch |
//! | 1 | the epoch of the frame's last change, and whether an image of it is in the making: see [`pins`](super::pins) | the holder of the latch |
//! | 2..8 | copies of the root references of the first [`ROOTS`] entries, four in a word; in the last lane, who changed the frame last: see [`meetings`](super::meetings) | the holder of the latch |
//!
//! - A copy says what the frame's entry table says whenever the latch is free and the frame in a
//!   slot; of entries that are not in use it says anything. So a descent reads the root of its
//!   entry here, from the line that it needs anyway, and is spared one of the lines of the frame
//!   that it would have to wait for.
//! - A row has a line of its own, so writers of different frames do not write into one line.
//!
//! # Happens-before
//!
//! The copies are guarded by the latch as the frame's words are (`pool::latch`, edges 1 and 2): they
//! are stored between the release fence of taking it and the release of the word, and a reader
//! loads them between observing the word and validating it.
//!
//! Checked by `tests/loom/latches.rs`: `a_root_in_the_row_leads_to_what_the_frame_has`.

use super::latch::LatchRef;
use crate::frame::{Loc, Ref, View};
use crate::sync::{AtomicU64, Ordering};

/// Words of a row.
pub(super) const ROW_WORDS: usize = 8;
/// First word of the roots.
const FIRST: usize = 2;
/// Entries whose root a row has: one lane is left over.
pub(crate) const ROOTS: usize = (ROW_WORDS - FIRST) * 4 - 1;
/// Where in the last word that lane is.
const CHANGER: u32 = 48;

/// A frame's row, borrowed from the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'p>(&'p [AtomicU64; ROW_WORDS]);

impl<'p> Row<'p> {
    #[inline]
    pub(super) fn new(words: &'p [AtomicU64; ROW_WORDS]) -> Self {
        Self(words)
    }

    /// The frame's latch.
    #[inline]
    pub(crate) fn latch(self) -> LatchRef<'p> {
        LatchRef::new(&self.0[0])
    }

    /// The epoch of the frame's last change.
    #[inline]
    pub(super) fn epoch(self) -> &'p AtomicU64 {
        &self.0[1]
    }

    /// The root of an entry, if the row has it.
    #[inline]
    pub(crate) fn copied_root(self, entry: usize) -> Option<Ref> {
        (entry < ROOTS).then(|| {
            // Relaxed: as a word of the frame.
            Ref((self.0[FIRST + entry / 4].load(Ordering::Relaxed) >> (entry % 4 * 16)) as u16)
        })
    }

    /// The root of an entry of the frame, whose words are `view`.
    #[inline]
    pub(crate) fn root(self, view: View<'_>, entry: usize) -> Ref {
        self.copied_root(entry).unwrap_or_else(|| view.reference(Loc::entry(entry)))
    }

    /// Takes the root of one entry over from the frame. For the holder of the latch.
    #[inline]
    pub(super) fn copy_root(self, view: View<'_>, entry: usize) {
        if entry >= ROOTS {
            return;
        }
        let (word, shift) = (&self.0[FIRST + entry / 4], entry % 4 * 16);
        // Relaxed, both: stored under the latch, which the caller holds.
        let old = word.load(Ordering::Relaxed);
        let new = old & !(0xFFFF << shift) | u64::from(view.entry(entry).root.0) << shift;
        if new != old {
            word.store(new, Ordering::Relaxed);
        }
    }

    /// Notes who changes the frame, and says whether the last one was another. For the holder of the latch.
    #[inline]
    pub(super) fn note_changer(self, thread: u16) -> bool {
        let word = &self.0[ROW_WORDS - 1];
        // Relaxed, both: as in `copy_root`.
        let old = word.load(Ordering::Relaxed);
        let other = (old >> CHANGER) as u16 != thread;
        if other {
            word.store(
                old & !(0xFFFF << CHANGER) | u64::from(thread) << CHANGER,
                Ordering::Relaxed,
            );
        }
        other
    }

    /// Takes the roots of all entries over from the frame. For the holder of the latch.
    pub(super) fn copy_roots(self, view: View<'_>) {
        for entry in 0..view.counters().entries.min(ROOTS) {
            self.copy_root(view, entry);
        }
    }
}
