//! Giving frames back: what is left of a sparse frame moves to a neighbour under the same
//! parent, or into the parent itself.
//!
//! Merging is never needed for an answer to be right. It only tries latches, and gives
//! up where something is in the way; the next removal tries again.

use super::Tree;
use super::path::Step;
use super::run::Run;
use super::spare::{Spare, settle};
use crate::error::Error;
use crate::frame::FRAME_WORDS;
use crate::frame::copy::copy_subtree;
use crate::frame::key::Key;

/// A frame with at most this many live words looks for a neighbour.
const SPARSE: usize = FRAME_WORDS * 35 / 100;
/// Two frames are merged when they have at most this many live words together.
const TOGETHER: usize = FRAME_WORDS * 75 / 100;
/// A sparse frame tries each time its live words pass a multiple of this.
const STEP: usize = FRAME_WORDS / 32;

impl Tree {
    /// Merges the frame that `key` was removed from, when it has become sparse and enough
    /// has gone since the last try.
    #[inline]
    pub(super) fn merge_after(&self, key: Key<'_>, before: usize, after: usize) {
        if after <= SPARSE && before / STEP != after / STEP {
            self.merge_below(key);
        }
    }

    /// Merges the lowest sparse frame on the path to `key`.
    #[cold]
    pub(super) fn merge_below(&self, key: Key<'_>) {
        // A frame that changed meanwhile, a full pool: the merge is simply not done.
        let Ok(Some(path)) = self.descend_path(key) else { return };
        let sparse = |step: &Step| self.pool.view(step.seen).counters().live <= SPARSE;
        let Some(level) = (1..path.len()).rfind(|&level| sparse(&path[level])) else { return };
        let _ = self.merge(&path[level - 1], &path[level]);
    }

    /// Moves the entries that `above` owns in the frame of `step` elsewhere; false when
    /// there is no place for them.
    fn merge(&self, above: &Step, step: &Step) -> Result<bool, Error> {
        if above.frame == step.frame {
            return Ok(false);
        }
        let Some(mut parent) = self.pool.latch_at(above.frame, above.seen) else {
            return Ok(false);
        };
        let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else { return Ok(false) };
        let Some(run) = Run::find(parent.view(), frame.view(), above, step) else {
            return Err(Error::Damaged { frame: above.frame });
        };
        let words = run.words();
        if run.is_alone() {
            // The parent has no other frame below this entry: its child comes home.
            if parent.view().counters().live + words > TOGETHER {
                return Ok(false);
            }
            parent.writable()?;
            frame.writable()?;
            let spare = Spare::take(&self.pool)?;
            if FRAME_WORDS - parent.view().counters().used < words {
                return Ok(false);
            }
            let mut pending = Vec::new();
            for part in run.parts() {
                let mut edit = parent.edit(part.owner);
                copy_subtree(frame.view(), part.root, &mut edit, part.loc, &mut pending)
                    .expect("the parent's room was counted");
                edit.give(part.cell, 1);
                edit.finish();
            }
            settle(frame, &[], run.kept(), None, spare);
            return Ok(true);
        }
        let level = frame.view().nature().level;
        for number in run.peers(&self.pool, level).into_iter().flatten() {
            let Some(seen) = self.pool.latch(number).and_then(|latch| latch.try_observe()) else {
                continue;
            };
            let theirs = self.pool.view(seen).nature().level;
            if theirs != frame.view().nature().level || number == step.frame {
                continue;
            }
            if self.pool.view(seen).counters().live + words > TOGETHER {
                continue;
            }
            let Some(mut neighbour) = self.pool.latch_at(number, seen) else { continue };
            parent.writable()?;
            frame.writable()?;
            neighbour.writable()?;
            let mut spare = Spare::take(&self.pool)?;
            spare.move_to_neighbour(frame.view(), run.parts(), neighbour, &parent);
            settle(frame, &[], run.kept(), None, spare);
            return Ok(true);
        }
        Ok(false)
    }
}
