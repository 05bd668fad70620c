//! Giving frames back: what is left of a sparse frame moves to its neighbours under the same
//! parent, or into the parent itself.
//!
//! A frame goes as soon as its nearest neighbours together have room for all of it, so that
//! under lasting removal the frames that stay are filled by those that go. Merging is never
//! needed for an answer to be right. It only tries latches, and gives up where something is
//! in the way; a later removal tries again.

use super::Tree;
use super::path::Step;
use super::run::{Part, Run, frames_below};
use super::spare::{Spare, settle};
use crate::error::Error;
use crate::frame::copy::copy_subtree;
use crate::frame::key::Key;
use crate::frame::{Counters, FRAME_WORDS};
use crate::pool::Latched;

/// A frame with at most this many live words looks for room elsewhere.
const SPARSE: usize = FRAME_WORDS * 70 / 100;
/// Merging fills no frame further than this.
const TOGETHER: usize = FRAME_WORDS * 90 / 100;
/// A parent that has other frames below it is filled no further by what comes home to it.
const HOME: usize = FRAME_WORDS * 60 / 100;
/// When this much or less is left of a frame by one of its parents, the others are looked for.
const REMAINDER: usize = FRAME_WORDS / 2;
/// Most frames that are asked whether they are the parents.
const PARENTS: usize = 16;
/// On either side this many neighbours take part.
const REACH: usize = 5;

/// Whether a frame that had `before` live words and has `after` now is to be merged.
#[inline]
pub(super) fn calls_for_merge(before: usize, after: usize) -> bool {
    after <= SPARSE && step(before) > step(after)
}

/// A sparse frame tries each time it comes to a lower step. The steps are closer the less is
/// left: an eighth of the power of two below.
#[inline]
fn step(live: usize) -> usize {
    let power = live.max(8).ilog2() as usize;
    power << 3 | (live >> (power - 3) & 7)
}

/// What trying to merge a frame came to.
enum Merged {
    /// Its content has moved.
    Done,
    /// There is no room for its content.
    NoPlace,
    /// The parent has been written anew without its free blocks, and will have room.
    Compacted,
    /// A frame has changed meanwhile.
    Lost,
}

/// A latched frame that takes a stretch of a run.
struct Taker<'p> {
    frame: Latched<'p>,
    parts: std::ops::Range<usize>,
}

impl Tree {
    /// Merges the frame that `key` was removed from, when it has become sparse and enough
    /// has gone since the last try.
    #[inline]
    pub(super) fn merge_after(&self, key: Key<'_>, before: usize, after: usize) {
        if calls_for_merge(before, after) {
            self.merge_below(key);
        }
    }

    /// Merges the lowest sparse frame on the path to `key` for whose content there is room.
    #[cold]
    pub(super) fn merge_below(&self, key: Key<'_>) {
        for _ in 0..2 {
            // A frame that changed meanwhile, a full pool: the merge is simply not done.
            let Ok(Some(path)) = self.descend_path(key) else { return };
            if !matches!(self.merge_lowest(&path), Some(Ok(Merged::Compacted))) {
                return;
            }
        }
    }

    /// As [`Tree::merge_below`], for the path that led to an entry which is gone: a descent would
    /// end above the frame that it was in.
    #[cold]
    pub(super) fn merge_along(&self, path: &[Step]) {
        for _ in 0..2 {
            // Which of the frames still leads to which is looked at when both are latched.
            let now = |step: &Step| Some(Step { seen: self.pool.neighbour(step.frame)?, ..*step });
            let path: Vec<Step> = path.iter().map_while(now).collect();
            if !matches!(self.merge_lowest(&path), Some(Ok(Merged::Compacted))) {
                return;
            }
        }
    }

    /// Merges the lowest sparse frame of the path for whose content there is room; `None` when
    /// there is none.
    fn merge_lowest(&self, path: &[Step]) -> Option<Result<Merged, Error>> {
        let sparse = |step: &Step| self.pool.view(step.seen).counters().live <= SPARSE;
        let mut sparse = (1..path.len()).rev().filter(|&level| sparse(&path[level]));
        sparse.find_map(|level| match self.merge(&path[level - 1], &path[level]) {
            Ok(Merged::NoPlace) => None,
            Ok(Merged::Done) => {
                if level > 1 {
                    self.merge_rest(&path[level - 2..=level]);
                }
                Some(Ok(Merged::Done))
            }
            merged => Some(merged),
        })
    }

    /// Merges what other parents own in a frame that one of them has taken its own from: nobody
    /// might come by there any more. They are looked for beside that one. The three steps are those
    /// to the frame above the parent, to the parent and to the frame.
    fn merge_rest(&self, steps: &[Step]) {
        let [above, parent, step] = steps else { return };
        let again = |frame| {
            let seen = self.pool.neighbour(frame)?;
            Some((seen, self.pool.view(seen)))
        };
        let rest = || again(step.frame).filter(|(_, view)| view.counters().live <= REMAINDER);
        if rest().is_none() {
            return;
        }
        let Some((seen, _)) = again(above.frame) else { return };
        let Some(latched) = self.pool.latch_at(above.frame, seen) else { return };
        let parents = frames_below(latched.view());
        drop(latched);
        let others =
            parents.into_iter().filter(|other| ![parent.frame, step.frame].contains(other));
        for other in others.take(PARENTS) {
            let (Some((seen, _)), Some((seen_above, view))) = (rest(), again(other)) else {
                continue;
            };
            if view.nature().level > 0 {
                let above = Step { frame: other, seen: seen_above, ..*parent };
                // As elsewhere: what is in the way is left to a later removal.
                let _ = self.merge(&above, &Step { seen, ..*step });
            }
        }
    }

    /// Moves the entries that `above` owns in the frame of `step` elsewhere.
    fn merge(&self, above: &Step, step: &Step) -> Result<Merged, Error> {
        if above.frame == step.frame {
            return Ok(Merged::NoPlace);
        }
        let Some(mut parent) = self.pool.latch_at(above.frame, above.seen) else {
            return Ok(Merged::Lost);
        };
        let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else {
            return Ok(Merged::Lost);
        };
        // None when the last entry that the parent had there is gone.
        let Some(run) = Run::find(parent.view(), frame.view(), above, step) else {
            return Ok(Merged::NoPlace);
        };
        if let Some(takers) = self.takers(&run, &frame) {
            return self.share_out(&run, &mut parent, frame, takers);
        }
        let Counters { live, used, .. } = parent.view().counters();
        if live + run.words() > if run.is_alone() { TOGETHER } else { HOME } {
            return Ok(Merged::NoPlace);
        }
        if FRAME_WORDS - used < run.words() {
            self.compact(parent)?;
            return Ok(Merged::Compacted);
        }
        parent.writable()?;
        frame.writable()?;
        let spare = Spare::slots(&self.pool, 1)?;
        let mut pending = Vec::new();
        for part in run.parts() {
            let mut edit = parent.edit(part.owner);
            copy_subtree(frame.view(), part.root, &mut edit, part.loc, &mut pending)
                .expect("the parent's room was counted");
            edit.give_crossing(part.cell);
            edit.finish();
        }
        settle(frame, &[], run.kept(), None, spare);
        Ok(Merged::Done)
    }

    /// Gives each of the neighbours its share of the run.
    fn share_out(
        &self,
        run: &Run,
        parent: &mut Latched<'_>,
        mut frame: Latched<'_>,
        mut takers: Vec<Taker<'_>>,
    ) -> Result<Merged, Error> {
        parent.writable()?;
        frame.writable()?;
        for taker in &mut takers {
            taker.frame.writable()?;
        }
        let mut spare = Spare::slots(&self.pool, takers.len() + 1)?;
        for Taker { frame: neighbour, parts } in takers {
            spare.move_to_neighbour(frame.view(), &run.parts()[parts], neighbour, parent);
        }
        settle(frame, &[], run.kept(), None, spare);
        Ok(Merged::Done)
    }

    /// The neighbours that together have room for the run, each with its share; `None` when
    /// there is not enough room, or somebody is at one of them.
    fn takers(&self, run: &Run, frame: &Latched<'_>) -> Option<Vec<Taker<'_>>> {
        let level = frame.view().nature().level;
        let mut takers: Vec<Taker<'_>> = Vec::new();
        // What is still without a place: the nearest before takes from its beginning, the
        // nearest behind from its end, and so on outwards.
        let mut rest = 0..run.parts().len();
        for (before, number) in run.neighbours(&self.pool, level, REACH) {
            if rest.is_empty() {
                break;
            }
            let Some(seen) = self.pool.neighbour(number) else { continue };
            let view = self.pool.view(seen);
            if view.nature().level != level {
                continue;
            }
            let room = TOGETHER.saturating_sub(view.counters().live);
            let count = if before {
                fitting(run.parts()[rest.clone()].iter(), room)
            } else {
                fitting(run.parts()[rest.clone()].iter().rev(), room)
            };
            if count == 0 {
                continue;
            }
            let Some(latched) = self.pool.latch_at(number, seen) else { continue };
            let parts =
                if before { rest.start..rest.start + count } else { rest.end - count..rest.end };
            rest = if before { parts.end..rest.end } else { rest.start..parts.start };
            takers.push(Taker { frame: latched, parts });
        }
        rest.is_empty().then_some(takers)
    }
}

/// How many of the parts, from the first on, fit into `room` words with their entries.
fn fitting<'r>(parts: impl Iterator<Item = &'r Part>, room: usize) -> usize {
    let sums = parts.scan(0, |sum, part| {
        *sum += part.words + 1;
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= room).count()
}
