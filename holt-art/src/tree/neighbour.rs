//! The neighbour that takes an end of a full frame's run, so that the run needs no fresh frame.
//!
//! The emptiest of those around is best: a frame that has given to it has room for long, and each
//! move costs two frames written anew. The nearest two come first only while they are empty enough for that,
//! as what goes further costs some order.
//!
//! Where parts are large, three of them may leave a quarter of every frame empty, and no neighbour has room for
//! a fourth. Then the part at the end is taken apart, and its pieces fill the neighbour.

use super::Tree;
use super::cut::{ASCENDING, FULL, Side, best_cut};
use super::pull::{Pulled, forks, pull_at};
use super::run::{Part, Run};
use super::split::MOVE_LIMIT;
use crate::frame::key::Key;
use crate::frame::{FRAME_WORDS, Nature, View};
use crate::pool::Latched;

/// The nearest neighbours take entries while they are at most this full, whatever the others are.
const NEAREST_BELOW: usize = FRAME_WORDS * 70 / 100;
/// A neighbour takes entries while it is at most this full.
const NEIGHBOUR_BELOW: usize = FRAME_WORDS * 84 / 100;
/// Frames on either side that are asked to take entries before a fresh one is.
const REACH: usize = 6;
/// A part is taken apart for a neighbour that has room for this much, if it has as much itself.
const WORTH_A_NODE: usize = FRAME_WORDS / 8;

/// A neighbour that is to take some of the run: where it stands, how many parts at that end it takes, and
/// the frame itself.
pub(super) type Chosen<'p> = (Side, usize, Latched<'p>);

impl Tree {
    /// The neighbour that relieves the frame best.
    pub(super) fn choose_neighbour(&self, run: &Run, nature: Nature) -> Option<Chosen<'_>> {
        let peers = run.peers(&self.pool, nature.level);
        let nearest = [Side::Before, Side::Behind].into_iter().zip(peers);
        let nearest = nearest.filter_map(|(side, number)| Some((side, number?)));
        self.most_relief(run, nature, nearest, NEAREST_BELOW).or_else(|| {
            let reach = if nature.ascending >= ASCENDING { 0 } else { REACH };
            let near = self.near(run, nature.level, reach);
            self.most_relief(run, nature, near, NEIGHBOUR_BELOW)
        })
    }

    /// The frames of a level around the run, nearest first.
    fn near(&self, run: &Run, level: u16, reach: usize) -> impl Iterator<Item = (Side, u32)> {
        let near = run.neighbours(&self.pool, &(level..=level), reach).into_iter();
        near.map(|(before, number)| (if before { Side::Before } else { Side::Behind }, number))
    }

    /// Of these frames, none of them fuller than `below`, the one with which the fuller of the two is
    /// the least full.
    fn most_relief(
        &self,
        run: &Run,
        nature: Nature,
        neighbours: impl Iterator<Item = (Side, u32)>,
        below: usize,
    ) -> Option<Chosen<'_>> {
        let ascending = nature.ascending >= ASCENDING;
        let mut best: Option<(usize, Chosen<'_>)> = None;
        for (side, number) in neighbours.filter(|&(_, number)| number != nature.number) {
            // Only tried: a neighbour may have another parent, whose holder may be
            // waiting for this frame.
            let Some(seen) = self.pool.neighbour(number) else { continue };
            let live = self.pool.view(seen).counters().live;
            let limit = if ascending && side == Side::Before { FULL } else { below };
            if self.pool.view(seen).nature().level != nature.level || live > limit {
                continue;
            }
            let cut = best_cut(&run.parts, run.kept_words, live, side, ascending);
            let Some((fuller, count)) = cut else { continue };
            if best.as_ref().is_none_or(|&(least, _)| fuller < least)
                && let Some(mut neighbour) = self.pool.latch_at(number, seen)
                && neighbour.writable().is_ok()
            {
                best = Some((fuller, (side, count, neighbour)));
            }
        }
        best.map(|(_, chosen)| chosen)
    }

    /// The emptiest neighbour that has room for pieces of the part at its end of the run, if that
    /// is a large one.
    pub(super) fn coarse_end(&self, run: &Run, view: View<'_>) -> Option<(Side, u32)> {
        let nature = view.nature();
        let is_coarse = |part: &Part| part.words >= WORTH_A_NODE && forks(view, part);
        let first = run.parts.first().is_some_and(is_coarse);
        let last = run.parts.last().is_some_and(is_coarse);
        if nature.ascending >= ASCENDING || !(first || last) {
            return None;
        }
        let near = self.near(run, nature.level, REACH);
        let near = near.filter(|&(side, _)| if side == Side::Before { first } else { last });
        let live = |&(side, number): &(Side, u32)| {
            let live = self.pool.view(self.pool.neighbour(number)?).counters().live;
            (live + WORTH_A_NODE <= MOVE_LIMIT).then_some((live, (side, number)))
        };
        near.filter_map(|near| live(&near)).min_by_key(|&(live, _)| live).map(|(_, near)| near)
    }

    /// Takes the part at an end of the run apart for the neighbour there, and says what that
    /// takes; `None` when somebody is at the neighbour, or the parent has no room for the node.
    pub(super) fn take_apart_for(
        &self,
        (side, number): (Side, u32),
        run: &mut Run,
        view: View<'_>,
        parent: &Latched<'_>,
        key: Key<'_>,
    ) -> Option<Chosen<'_>> {
        let mut neighbour = self.pool.latch_at(number, self.pool.neighbour(number)?)?;
        neighbour.writable().ok()?;
        let position = if side == Side::Before { 0 } else { run.parts.len() - 1 };
        if pull_at(view, parent, &mut run.parts, run.kept_words, key, position) != Pulled::Nodes {
            return None;
        }
        let live = neighbour.view().counters().live;
        let (_, count) = best_cut(&run.parts, run.kept_words, live, side, false)?;
        Some((side, count, neighbour))
    }
}
