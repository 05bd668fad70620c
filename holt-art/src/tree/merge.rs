//! Giving frames back: what is left of a sparse frame moves to its neighbours under the same
//! parent, or into the parent itself.
//!
//! A frame goes as soon as its nearest neighbours and the parent together have room for all of it,
//! so that under lasting removal the frames that stay are filled by those that go. In a small set the
//! parent is one of few frames and has to be filled like the others. With frames filled to 0.95 at most, a set
//! that does not fit *n* - 1 of them may fill *n* to 0.95 (*n* - 1) / *n* only: 0.48 of two, 0.63 of three,
//! and 0.70 from four on, where parts of any size are taken apart to make them fit. Merging is never
//! needed for an answer to be right. It only tries latches, and gives up where something is
//! in the way; a later removal tries again.

use std::ops::{Range, RangeInclusive};

use super::Tree;
use super::path::Step;
use super::pull::{forks, take_apart};
use super::run::{Part, Run, few_below, fitting, nearest_below};
use super::spare::{Spare, settle};
use crate::error::Error;
use crate::frame::copy::{copy_subtree, entries};
use crate::frame::key::Key;
use crate::frame::{Counters, FRAME_WORDS, View};
use crate::pool::Latched;
use crate::pool::latch::Observed;

/// A frame with at most this many live words looks for room elsewhere.
const SPARSE: usize = FRAME_WORDS * 70 / 100;
/// Merging fills no frame further than this.
const TOGETHER: usize = FRAME_WORDS * 90 / 100;
/// A parent that has many other frames below it is filled no further by what comes home to it.
const HOME: usize = FRAME_WORDS * 60 / 100;
/// With at most this many frames below it, a parent that holds little but crossings shows in the
/// fill: it takes as much as any other frame.
const FEW: usize = 12;
/// A parent with more crossings than this has more than a few frames below it, most likely.
const FEW_CROSSINGS: usize = 2048;
/// So many crossings are walked over without a thought.
const SHORT_WALK: usize = 256;
/// With at most this many frames below it, no merge could keep the fill with [`TOGETHER`]:
const VERY_FEW: usize = 4;
/// so their frames are filled up to this.
const TIGHT: usize = FRAME_WORDS * 95 / 100;
/// Where frames are few, parts heavier than this are taken apart when only pieces of them have room.
const PIECE: usize = FRAME_WORDS / 32;
/// Few frames that are filled less than this on average are one too many, if the others have room.
const SPARSE_TOGETHER: usize = FRAME_WORDS * 74 / 100;
/// When this much or less is left of a frame by one of its parents, the others are looked for.
const REMAINDER: usize = FRAME_WORDS / 2;
/// Most frames that are asked whether they are the parents.
const PARENTS: usize = 8;
/// A merge is tried again so often when the parent had to be written anew first.
const TRIES: usize = 3;
/// On either side this many neighbours take part.
const REACH: usize = 5;

/// Whether a frame that had `before` live words and has `after` now may be to be merged: by itself
/// if it is sparse, or as one of few that are.
#[inline]
pub(super) fn calls_for_merge(before: usize, after: usize) -> bool {
    after < before && after <= TOGETHER && step(before) > step(after)
}

/// A sparse frame tries each time it comes to a lower step. The steps are closer the less is
/// left: an eighth of the power of two below.
#[inline]
fn step(live: usize) -> usize {
    let power = live.max(8).ilog2() as usize;
    power << 3 | (live >> (power - 3) & 7)
}

/// Up to which a merge fills frames of which the parent has so many.
fn together_below(frames: usize) -> usize {
    if frames <= VERY_FEW { TIGHT } else { TOGETHER }
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

/// A frame that is to take a stretch of a run.
struct Taker {
    frame: u32,
    seen: Observed,
    parts: Range<usize>,
}

/// Where the parts of a run are to go.
struct Plan {
    takers: Vec<Taker>,
    /// Those that come home to the parent.
    rest: Range<usize>,
    /// Words of these for which the parent has no room.
    lacking: usize,
    /// Words for which the takers still have room.
    slack: usize,
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
        for _ in 0..TRIES {
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
        for _ in 0..TRIES {
            // Which of the frames still leads to which is looked at when both are latched.
            let now = |step: &Step| Some(Step { seen: self.pool.neighbour(step.frame)?, ..*step });
            let path: Vec<Step> = path.iter().map_while(now).collect();
            if !matches!(self.merge_lowest(&path), Some(Ok(Merged::Compacted))) {
                return;
            }
        }
    }

    /// Merges the lowest sparse frame of the path for whose content there is room, or else one of
    /// few frames at its end that are sparse together; `None` when there is none.
    fn merge_lowest(&self, path: &[Step]) -> Option<Result<Merged, Error>> {
        let sparse = |step: &Step| self.pool.view(step.seen).counters().live <= SPARSE;
        let mut sparse = (1..path.len()).rev().filter(|&level| sparse(&path[level]));
        let merged = sparse.find_map(|level| match self.merge(&path[level - 1], &path[level]) {
            Ok(Merged::NoPlace) => None,
            Ok(Merged::Done) => {
                self.merge_rest(&path[..=level]);
                Some(Ok(Merged::Done))
            }
            merged => Some(merged),
        });
        let mut parents = path.iter().rev();
        merged.or_else(|| parents.find_map(|parent| self.merge_few(parent, path.last())))
    }

    /// Merges the emptiest of the frames below the parent when they are few, and sparse together
    /// with it; `None` when they are not. What goes from a parent, or from a frame that is not sparse
    /// itself, shows only so.
    fn merge_few(&self, parent: &Step, last: Option<&Step>) -> Option<Result<Merged, Error>> {
        let seen = self.pool.neighbour(parent.frame)?;
        let view = self.pool.view(seen);
        if view.nature().level == 0 && parent.frame != self.root || view.counters().live > SPARSE {
            return None;
        }
        let crossings: usize = entries(view).map(|(_, entry)| entry.crossings).sum();
        let last = last.filter(|last| last.frame != parent.frame);
        let entries_of = |step: &Step| self.pool.view(step.seen).counters().entries;
        // A long walk over the crossings is spared where that many would not lead to few frames,
        // had each as many entries as the one at hand.
        let many = last.is_some_and(|last| crossings > 2 * FEW * entries_of(last));
        if crossings == 0 || crossings > FEW_CROSSINGS || (many && crossings > SHORT_WALK) {
            return None;
        }
        let latched = self.pool.latch_at(parent.frame, seen)?;
        let below = few_below(latched.view(), FEW);
        drop(latched);
        let below = below.filter(|below| !below.contains(&parent.frame))?;
        let mut together = view.counters().live;
        let mut emptiest: Option<(usize, Step)> = None;
        for &frame in &below {
            let seen = self.pool.neighbour(frame)?;
            let live = self.pool.view(seen).counters().live;
            together += live;
            if emptiest.as_ref().is_none_or(|&(least, _)| live < least) {
                emptiest = Some((live, Step { frame, seen, ..*parent }));
            }
        }
        if together > (below.len() + 1) * SPARSE_TOGETHER
            || together > below.len() * together_below(below.len())
        {
            return None;
        }
        let (_, step) = emptiest?;
        Some(self.merge(&Step { seen: self.pool.neighbour(parent.frame)?, ..*parent }, &step))
            .filter(|merged| !matches!(merged, Ok(Merged::NoPlace)))
    }

    /// Merges what other parents own in the last frame of the way when the one before it has taken
    /// its own from there: nobody might come by there any more. They are looked for above, beside and
    /// below that one.
    fn merge_rest(&self, way: &[Step]) {
        let (Some((step, above)), Some(parent)) = (way.split_last(), way.iter().nth_back(1)) else {
            return;
        };
        let again = |frame| {
            let seen = self.pool.neighbour(frame)?;
            Some((seen, self.pool.view(seen)))
        };
        let rest = || again(step.frame).filter(|(_, view)| view.counters().live <= REMAINDER);
        if rest().is_none() {
            return;
        }
        // Above there may be any number of them: the nearest in key order are the likeliest.
        let mut parents = Vec::new();
        if let [.., above, parent] = above
            && let Some((seen, _)) = again(above.frame)
            && let Some(latched) = self.pool.latch_at(above.frame, seen)
        {
            parents.push(above.frame);
            parents.extend(nearest_below(latched.view(), parent.frame));
        }
        if let Some((seen, view)) = again(parent.frame)
            && view.nature().level > 1
            && let Some(latched) = self.pool.latch_at(parent.frame, seen)
        {
            parents.extend(nearest_below(latched.view(), step.frame));
        }
        let upper = |&other: &u32| again(other).is_some_and(|(_, view)| view.nature().level > 0);
        let mut asked = vec![parent.frame, step.frame];
        for other in parents.into_iter().filter(upper) {
            if asked.contains(&other) {
                continue;
            }
            let (Some((seen, _)), Some((seen_above, _))) = (rest(), again(other)) else { return };
            let above = Step { frame: other, seen: seen_above, ..*parent };
            // As elsewhere: what is in the way is left to a later removal.
            let _ = self.merge(&above, &Step { seen, ..*step });
            asked.push(other);
            if asked.len() == 2 + PARENTS {
                return;
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
        let Some(mut run) = Run::find(parent.view(), frame.view(), above, step) else {
            return Ok(Merged::NoPlace);
        };
        let few = run.frames_below(FEW);
        let limits = [few.map_or(TOGETHER, together_below), few.map_or(HOME, together_below)];
        // Frames of upper levels are few themselves, and of little else than crossings: where all
        // are few they are filled like the others.
        let level = frame.view().nature().level;
        let levels = level..=few.map_or(level, |_| u16::MAX);
        let neighbours = run.neighbours(&self.pool, &levels, REACH);
        let mut plan = self.plan(&run, &levels, &neighbours, &parent, limits);
        let mut spare = None;
        if plan.lacking > 0 {
            let left = &run.parts[plan.rest.clone()];
            if few.is_none() || plan.lacking > plan.slack || !is_divisible(frame.view(), left) {
                return Ok(Merged::NoPlace);
            }
            // There is room, but not for parts of this size.
            let Counters { live, used, .. } = parent.view().counters();
            let wanted = PIECE + words_of(left).min(limits[1].saturating_sub(live));
            if FRAME_WORDS - used < wanted && used - live >= PIECE {
                self.compact(parent)?;
                return Ok(Merged::Compacted);
            }
            parent.writable()?;
            frame.writable()?;
            spare = Some(Spare::slots(&self.pool, 1)?);
            let mut pieces = left.to_vec();
            let others = run.kept_words + run.words() - words_of(left);
            take_apart(frame.view(), &parent, &mut pieces, others, PIECE);
            run.parts.splice(plan.rest, pieces);
            plan = self.plan(&run, &levels, &neighbours, &parent, limits);
        }
        let merged = if plan.lacking > 0 {
            Ok(Merged::NoPlace)
        } else {
            self.hand_out(&run, plan, &mut parent, &mut frame, &mut spare)
        };
        match (&merged, spare) {
            (Ok(Merged::Done), Some(spare)) => settle(frame, &[], &run.kept, None, spare),
            // What has been taken apart is linked as it is.
            (_, Some(spare)) => settle(frame, &run.parts, &run.kept, Some(&parent), spare),
            (_, None) => {}
        }
        if matches!(merged, Ok(Merged::Compacted)) {
            self.compact(parent)?;
        }
        merged
    }

    /// Moves all parts of the run to where the plan says, and leaves a slot for what else is in the frame. The
    /// parent may need room first: then nothing has been moved.
    fn hand_out<'p>(
        &'p self,
        run: &Run,
        Plan { takers, rest, .. }: Plan,
        parent: &mut Latched<'p>,
        frame: &mut Latched<'p>,
        spare: &mut Option<Spare<'p>>,
    ) -> Result<Merged, Error> {
        let rest = &run.parts[rest];
        if FRAME_WORDS - parent.view().counters().used < words_of(rest) {
            return Ok(Merged::Compacted);
        }
        let latch =
            |taker: Taker| Some((self.pool.latch_at(taker.frame, taker.seen)?, taker.parts));
        let Some(mut takers) = takers.into_iter().map(latch).collect::<Option<Vec<_>>>() else {
            return Ok(Merged::NoPlace);
        };
        parent.writable()?;
        frame.writable()?;
        for (taker, _) in &mut takers {
            taker.writable()?;
        }
        let mut slots = Spare::slots(&self.pool, takers.len() + usize::from(spare.is_none()))?;
        for (taker, parts) in takers {
            slots.move_to_neighbour(frame.view(), &run.parts[parts], taker, parent);
        }
        spare.get_or_insert(slots);
        let mut pending = Vec::new();
        for part in rest {
            let mut edit = parent.edit(part.owner);
            copy_subtree(frame.view(), part.root, &mut edit, part.loc, &mut pending)
                .expect("the parent's room was counted");
            edit.give_crossing(part.cell);
            edit.finish();
        }
        Ok(Merged::Done)
    }

    /// Where the parts of the run can go, when its neighbours and the parent are filled up to these
    /// limits. Nothing but the parent is latched for it.
    fn plan(
        &self,
        run: &Run,
        levels: &RangeInclusive<u16>,
        neighbours: &[(bool, u32)],
        parent: &Latched<'_>,
        [limit, home]: [usize; 2],
    ) -> Plan {
        let mut takers = Vec::new();
        // What is still without a place: the nearest before takes from its beginning, the
        // nearest behind from its end, and so on outwards.
        let mut rest = 0..run.parts.len();
        let mut slack = 0;
        for &(before, number) in neighbours {
            if rest.is_empty() {
                break;
            }
            let Some(seen) = self.pool.neighbour(number) else { continue };
            let view = self.pool.view(seen);
            if !levels.contains(&view.nature().level) {
                continue;
            }
            let room = limit.saturating_sub(view.counters().live);
            let left = run.parts[rest.clone()].iter();
            let (count, words) =
                if before { fitting(left, room) } else { fitting(left.rev(), room) };
            slack += room - words;
            if count == 0 {
                continue;
            }
            let parts =
                if before { rest.start..rest.start + count } else { rest.end - count..rest.end };
            rest = if before { parts.end..rest.end } else { rest.start..parts.start };
            takers.push(Taker { frame: number, seen, parts });
        }
        let live = parent.view().counters().live;
        let lacking = match words_of(&run.parts[rest.clone()]) {
            0 => 0,
            words => (live + words).saturating_sub(home),
        };
        Plan { takers, rest, lacking, slack }
    }
}

/// Whether one of the parts is heavy enough to be taken apart.
fn is_divisible(view: View<'_>, parts: &[Part]) -> bool {
    parts.iter().any(|part| part.words > PIECE && forks(view, part))
}

/// Words of the parts, without their entries.
fn words_of(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.words).sum()
}
