//! Parting: the entries of two threads that keep meeting in a frame go to different frames.
//!
//! Which entries those are is a guess (`pool/meetings.rs`); where they may go is not: an entry may be in any frame
//! of its level. They move to frames that were left to their thread before, its homes, as far as the same parent
//! has some with room. When all that both threads have in the frame finds room it is given back; else what
//! one of them has moves, to a fresh frame if it has no home, and the frame is the other one's home from then on. So the
//! homes of each thread fill up one after the other, and there are hardly more frames than before.
//!
//! Parting is never needed for an answer to be right. It only tries latches, as merging does, and where something is in
//! the way it is left to a later meeting.

use super::Tree;
use super::path::Step;
use super::run::{Part, Run, fitting, words_with_entries};
use super::spare::{Spare, settle};
use super::way::Way;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::{FRAME_WORDS, View};
use crate::pool::Latched;
use crate::pool::latch::Observed;
use crate::pool::meetings::{Side, this_thread};
use crate::sync::lock;

/// A home is filled up to this.
const HOME: usize = FRAME_WORDS * 92 / 100;
/// Nobody gets a fresh frame, or is left one, for less than this.
const WORTH_A_FRAME: usize = FRAME_WORDS / 16;

/// Entries that go to a home.
struct Taker {
    frame: u32,
    seen: Observed,
    parts: Vec<Part>,
}

/// Where entries of the two threads go.
enum Parting {
    /// To homes of one thread or of both.
    Home(Vec<Taker>),
    /// To a fresh frame, those of one thread.
    Fresh(usize),
}

impl Tree {
    /// Notes that this thread has changed a frame that another one changed before, and parts the two if that has gone
    /// on for long.
    #[cold]
    pub(super) fn meet(&self, key: Key<'_>, step: &Step) {
        let sides = lock(&self.pool.meetings).note(step.frame, step.entry, this_thread());
        if let Some(sides) = sides {
            // A full pool, say: they are simply not parted.
            let _ = self.part(key, step, &sides);
        }
    }

    /// Moves entries of the sides out of the frame of `step`, if that is where the key still is.
    fn part(&self, key: Key<'_>, step: &Step, sides: &[Side; 2]) -> Result<(), Error> {
        let Some(mut way) = Way::find(self, key, 0)? else { return Ok(()) };
        let [.., above, last] = way.path[..] else { return Ok(()) };
        let level = way.path.len() - 1;
        if last.frame != step.frame || above.frame == last.frame || self.pool.on_trial() {
            return Ok(());
        }
        let Some(mut parent) = way.latch(level - 1) else { return Ok(()) };
        let Some(mut frame) = way.latch(level) else { return Ok(()) };
        let Some(run) = Run::find(parent.view(), frame.view(), &above, &last) else {
            return Err(Error::Damaged { frame: above.frame });
        };
        let parts = sides.each_ref().map(|side| parts_of(&run, parent.view(), &side.entries));
        let Some(plan) = self.plan_parting(&run, &frame, sides, &parts) else { return Ok(()) };
        parent.writable()?;
        frame.writable()?;
        let (stays, spare, left_to) = match plan {
            Parting::Home(takers) => {
                let mut latched = Vec::with_capacity(takers.len());
                for Taker { frame, seen, parts } in takers {
                    let Some(mut taker) = self.pool.latch_at(frame, seen) else { return Ok(()) };
                    taker.writable()?;
                    latched.push((taker, parts));
                }
                let mut spare = Spare::slots(&self.pool, 1 + latched.len())?;
                let mut stays = run.parts.clone();
                for (taker, moved) in latched {
                    stays = without(&stays, &moved);
                    spare.move_to_neighbour(frame.view(), &moved, taker, &parent);
                }
                let left = |parts: &Vec<Part>| parts.iter().any(|part| is_among(&stays, part));
                let left_to = parts.iter().rposition(left).map(|side| (side, frame.number()));
                (stays, spare, Vec::from_iter(left_to))
            }
            Parting::Fresh(side) => {
                let mut spare = Spare::slots(&self.pool, 1)?;
                let fresh = self.pool.new_frame(0)?;
                let left_to = [(side, fresh.number()), (1 - side, frame.number())];
                spare.fresh = Some(fresh);
                spare.move_to_fresh(frame.view(), &parts[side], &parent);
                (without(&run.parts, &parts[side]), spare, left_to.to_vec())
            }
        };
        settle(frame, &stays, &run.kept, Some(&parent), spare);
        drop(parent);
        let mut meetings = lock(&self.pool.meetings);
        for (side, number) in left_to {
            meetings.note_home(sides[side].thread, number);
        }
        Ok(())
    }

    /// Where the entries of the sides are to go: both sides' to homes, if that leaves nothing in the frame; or one side's; or
    /// one side's to a fresh frame.
    fn plan_parting(
        &self,
        run: &Run,
        frame: &Latched<'_>,
        sides: &[Side; 2],
        parts: &[Vec<Part>; 2],
    ) -> Option<Parting> {
        let level = frame.view().nature().level;
        let mut plans = [0, 1].map(|side| self.find_room(run, level, &sides[side], &parts[side]));
        let words = parts.each_ref().map(|parts| words_with_entries(parts));
        let lacking = [0, 1].map(|side| words[side] - taken(&plans[side]));
        let all = run.words() + run.kept_words;
        if lacking == [0, 0] && words[0] + words[1] == all {
            return Some(Parting::Home(plans.into_iter().flatten().collect()));
        }
        // The one of which less is left behind.
        let better = usize::from((lacking[1], words[0]) < (lacking[0], words[1]));
        for side in [better, 1 - better] {
            if taken(&plans[side]) > lacking[side] && words[side] < all {
                return Some(Parting::Home(std::mem::take(&mut plans[side])));
            }
        }
        let worth = |side: &usize| words[*side].min(all - words[*side]) >= WORTH_A_FRAME;
        [0, 1].into_iter().filter(worth).min_by_key(|&side| words[side]).map(Parting::Fresh)
    }

    /// Homes for the parts of a side, or for as many of them as have room, the fullest first.
    fn find_room(&self, run: &Run, level: u16, side: &Side, parts: &[Part]) -> Vec<Taker> {
        let mut homes = Vec::with_capacity(side.homes.len());
        for &frame in side.homes.iter().filter(|&&home| run.leads_to(home)) {
            // Only tried, as a neighbour is by a split.
            let Some(seen) = self.pool.neighbour(frame) else { continue };
            let (nature, live) =
                (self.pool.view(seen).nature(), self.pool.view(seen).counters().live);
            if nature.level == level && nature.longest == 0 {
                homes.push((HOME.saturating_sub(live), frame, seen));
            }
        }
        homes.sort_unstable_by_key(|&(room, frame, _)| (room, frame));
        let mut rest = parts;
        let mut takers = Vec::new();
        for (room, frame, seen) in homes {
            let (taken, left) = rest.split_at(fitting(rest.iter(), room).0);
            if !taken.is_empty() {
                takers.push(Taker { frame, seen, parts: taken.to_vec() });
            }
            rest = left;
        }
        takers
    }
}

/// Words that takers take.
fn taken(takers: &[Taker]) -> usize {
    takers.iter().map(|taker| words_with_entries(&taker.parts)).sum()
}

/// The parts of the run that are these entries of the frame, in key order.
fn parts_of(run: &Run, parent: View<'_>, entries: &[u16]) -> Vec<Part> {
    let ours = |part: &&Part| entries.binary_search(&parent.crossing(part.cell).entry).is_ok();
    run.parts.iter().filter(ours).copied().collect()
}

/// Whether this is one of the parts.
fn is_among(parts: &[Part], part: &Part) -> bool {
    parts.iter().any(|other| other.cell == part.cell)
}

/// The parts that are not among those that move.
fn without(parts: &[Part], moved: &[Part]) -> Vec<Part> {
    parts.iter().filter(|part| !is_among(moved, part)).copied().collect()
}
