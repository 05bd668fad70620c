//! Making room: compaction, the growth of the root, and splits.
//!
//! A full frame is first compacted, when that gains enough. Otherwise its parent frame
//! takes part: the heaviest subtrees among the frame's entries give their root nodes to
//! the parent (*pulling up*), which makes more and lighter entries; then a run of
//! entries, in key order, goes to a neighbouring frame that has room (`neighbour.rs`), or to a fresh
//! one. Only a spine, a subtree without fan-out, is cut in the middle and pushed down.
//!
//! Of the frame's entries only those are touched that the latched parent owns, so it does
//! not matter that other parents may own the rest.

use super::Tree;
use super::cut::{ASCENDING, Side, fresh_cut, lower_half};
use super::path::Step;
use super::pull::{Pulled, is_heavy, pull_up};
use super::run::{Part, Run};
use super::spare::{Spare, place, settle};
use super::way::Way;
use crate::error::Error;
use crate::frame::copy::{Placed, build, entries};
use crate::frame::edit::Edit;
use crate::frame::key::Key;
use crate::frame::{ENTRIES, Entry, FRAME_WORDS, Kind, Loc, Nature, Ref, Target, View, Words};
use crate::pool::Latched;

/// A frame with at most this share of live words gains enough by compaction.
const COMPACT_BELOW: usize = FRAME_WORDS * 90 / 100;
/// Frames of the level in between on either side that are asked to take crossings before a fresh one is.
const REACH: usize = 3;
/// No frame is filled further than this by moving entries into it.
pub(super) const MOVE_LIMIT: usize = FRAME_WORDS * 94 / 100;
/// Sinking that frees less than this does not spare the split.
pub(super) const WORTH_SINKING: usize = FRAME_WORDS / 16;

impl Tree {
    /// Makes room in the frame where the descent for `key` ends, for at least `words` words.
    /// False when nothing was done, because another writer was faster: the caller descends
    /// again, and says how many attempts there have been.
    #[cold]
    pub(super) fn make_room(&self, key: Key<'_>, words: usize, lost: u32) -> Result<bool, Error> {
        match Way::find(self, key, lost)? {
            Some(way) => {
                let level = way.path.len() - 1;
                self.make_room_at(way, level, key, words.max(needed_for(key)))
            }
            None => Ok(false),
        }
    }

    fn make_room_at(
        &self,
        mut way: Way<'_>,
        level: usize,
        key: Key<'_>,
        needed: usize,
    ) -> Result<bool, Error> {
        let Some(mut frame) = way.latch(level) else { return Ok(false) };
        let counters = frame.view().counters();
        if counters.live <= COMPACT_BELOW && counters.live + needed <= MOVE_LIMIT {
            return self.compact(frame).map(|()| true);
        }
        if frame.view().nature().level > 0 {
            let freed = self.sink(&mut frame)?;
            if freed >= WORTH_SINKING {
                return Ok(true);
            }
            if freed > 0 {
                // The frame has changed, so the way is read anew.
                drop(frame);
                return match way.again(key)? {
                    Some(way) if level < way.path.len() => self.divide(way, level, key),
                    _ => Ok(true),
                };
            }
        }
        way.give(frame);
        self.divide(way, level, key)
    }

    /// Splits the frame at `level` of the way, or lets the root grow.
    pub(super) fn divide(
        &self,
        mut way: Way<'_>,
        level: usize,
        key: Key<'_>,
    ) -> Result<bool, Error> {
        if level == 0 {
            let Some(frame) = way.latch(0) else { return Ok(false) };
            return self.grow_root(frame).map(|()| true);
        }
        self.split(way, level, key)
    }

    /// Writes the frame anew without its free blocks.
    pub(super) fn compact(&self, frame: Latched<'_>) -> Result<(), Error> {
        self.write_anew(frame, 0)
    }

    /// As [`Tree::compact`], with a table of at least `table` entries, for which there is room.
    pub(super) fn write_anew(&self, frame: Latched<'_>, table: usize) -> Result<(), Error> {
        self.pool.rewrite(frame, table)
    }

    /// Hands the root's content to a new frame below it. Beside the tree's own entry the frame may
    /// have others, for subtrees that have moved away: all of them are handed down, and keep their
    /// places in either table.
    fn grow_root(&self, mut root: Latched<'_>) -> Result<(), Error> {
        let nature = root.view().nature();
        let below = self.pool.new_frame(nature.level)?;
        let slot = match self.pool.take_slot() {
            Ok(slot) => slot,
            Err(error) => {
                below.discard();
                return Err(error);
            }
        };
        hand_down(root.view(), &below, self.pool.slot_words(slot));
        root.leave_slot(slot);
        Ok(())
    }

    /// Splits the frame at `level` of the way, with its parent's help.
    fn split(&self, mut way: Way<'_>, level: usize, key: Key<'_>) -> Result<bool, Error> {
        let (above, step) = (way.path[level - 1], way.path[level]);
        if above.frame == step.frame {
            let Some(frame) = way.latch(level) else { return Ok(false) };
            return self.move_out(frame, &above, &step).map(|()| true);
        }
        let Some(mut parent) = way.latch(level - 1) else { return Ok(false) };
        let Some(mut frame) = way.latch(level) else { return Ok(false) };
        // Everything that can fail comes before the first change of the parent.
        parent.writable()?;
        frame.writable()?;
        let mut spare = Spare::take(&self.pool)?;
        let view = frame.view();
        let Some(mut run) = Run::find(parent.view(), view, &above, &step) else {
            return Err(Error::Damaged { frame: above.frame });
        };

        if is_far_above(parent.view(), view) && run.parts.iter().any(|part| is_heavy(view, part)) {
            return self.wedge(&parent, &run, &frame, &mut spare).map(|()| true);
        }
        let pulled = pull_up(view, &parent, &mut run.parts, run.kept_words, key);
        if pulled == Pulled::ParentFull {
            drop((spare, frame, parent));
            // The latches have been given back as after a change, so the way is read anew.
            return match way.again(key)? {
                Some(way) if level < way.path.len() => {
                    self.make_room_at(way, level - 1, key, FRAME_WORDS / 8)
                }
                _ => Ok(false),
            };
        }
        if run.parts.len() <= 1 && run.kept.is_empty() {
            match run.parts.first() {
                Some(part) if pulled == Pulled::Nothing => {
                    return self.push_down(&mut frame, part, spare).map(|()| true);
                }
                // What was pulled up has made room.
                _ => settle(frame, &run.parts, &run.kept, Some(&parent), spare),
            }
            return Ok(true);
        }
        if pulled == Pulled::Nodes
            && view.counters().ascending >= ASCENDING
            && run.parts.iter().all(|part| part.wanted.is_none())
            && run.words() + run.kept_words + ENTRIES <= FRAME_WORDS
        {
            // The place of the key is in the parent now; what is left may stay.
            settle(frame, &run.parts, &run.kept, Some(&parent), spare);
            return Ok(true);
        }
        let mut chosen = self.choose_neighbour(&run, view.nature());
        if chosen.is_none()
            && let Some(end) = self.coarse_end(&run, view)
        {
            if !is_far_above(parent.view(), view) {
                chosen = self.take_apart_for(end, &mut run, view, &parent, key);
            } else if pulled == Pulled::Nothing {
                return self.wedge(&parent, &run, &frame, &mut spare).map(|()| true);
            }
        }
        let stays = match chosen {
            Some((side, count, neighbour)) => {
                let cut = if side == Side::Before { count } else { run.parts.len() - count };
                let (low, high) = run.parts.split_at(cut);
                let (moved, stays) = if side == Side::Before { (low, high) } else { (high, low) };
                spare.move_to_neighbour(view, moved, neighbour, &parent);
                stays
            }
            None => {
                let cut = fresh_cut(&run.parts, run.kept_words, view.counters().ascending);
                let (stays, moved) = run.parts.split_at(cut);
                spare.move_to_fresh(view, moved, &parent);
                stays
            }
        };
        settle(frame, stays, &run.kept, Some(&parent), spare);
        Ok(true)
    }

    /// Puts a frame of the level in between, when the parent is more than one level up: the
    /// parent's crossings lead to it, and its crossings to the frame. The split then finds
    /// a parent that is there for what is pulled up.
    fn wedge(
        &self,
        parent: &Latched<'_>,
        run: &Run,
        frame: &Latched<'_>,
        spare: &mut Spare<'_>,
    ) -> Result<(), Error> {
        let level = frame.view().nature().level + 1;
        let words = 2 * run.parts.len();
        let near = run.neighbours(&self.pool, &(level..=level), REACH).into_iter();
        let between = near.map(|(_, number)| number).find_map(|number| {
            let seen = self.pool.neighbour(number)?;
            let view = self.pool.view(seen);
            let fits = view.nature().level == level && view.counters().live + words <= MOVE_LIMIT;
            fits.then(|| self.pool.latch_at(number, seen)).flatten()
        });
        let (mut between, own) = match between {
            Some(mut between) => {
                between.writable()?;
                let own = entries(between.view())
                    .map(|(index, e)| Placed { index, root: e.root })
                    .collect();
                (between, own)
            }
            None => (spare.fresh.take().expect("a frame was taken"), Vec::new()),
        };
        let placed = place(&run.parts, &own);
        let table = placed.iter().map(|place| place.index + 1).max().unwrap_or(0);
        let slot = spare.slots.pop().expect("two slots were taken");
        let target = self.pool.slot_words(slot);
        let nature = Nature { level, ..between.view().nature() };
        build(between.view(), &own, target, nature, table).expect("the room was counted");
        let links = parent.edit(0);
        for (part, place) in run.parts.iter().zip(&placed[own.len()..]) {
            Edit::set_entry(target, place.index, Entry { occupied: true, ..Entry::default() });
            let mut edit = Edit::new(target, place.index);
            let cell = edit.take_for_good(1).expect("the room was counted");
            let crossing = edit.write_crossing(cell, parent.view().crossing(part.cell));
            edit.set_ref(Loc::entry(place.index), crossing);
            edit.finish();
            let here = Target { frame: between.number(), entry: place.index as u16 };
            links.set(part.cell, here.pack());
        }
        between.leave_slot(slot);
        Ok(())
    }

    /// The frame is its own parent: one of its subtrees hangs below another one. The lower
    /// one, with its neighbours, moves to a fresh frame.
    fn move_out(&self, mut frame: Latched<'_>, above: &Step, step: &Step) -> Result<(), Error> {
        frame.writable()?;
        let mut spare = Spare::take(&self.pool)?;
        let view = frame.view();
        let Some(run) = Run::find(view, view, above, step) else {
            return Err(Error::Damaged { frame: above.frame });
        };
        spare.move_to_fresh(view, &run.parts, &frame);
        settle(frame, &[], &run.kept, None, spare);
        Ok(())
    }

    /// Cuts a spine: its lower part goes to a fresh frame.
    fn push_down(
        &self,
        frame: &mut Latched<'_>,
        part: &Part,
        spare: Spare<'_>,
    ) -> Result<(), Error> {
        let view = frame.view();
        let Some((loc, root)) = lower_half(view, part.root) else {
            return Err(Error::Damaged { frame: frame.number() });
        };
        let (slot, fresh) = spare.into_slot_and_frame();
        let nature = view.nature().below(fresh.number());
        build(view, &[Placed { index: 0, root }], fresh.words(), nature, 0)
            .expect("a part of a frame fits a frame");
        // The first word of what moved becomes the crossing. The counters are wrong then
        // until the rebuild below counts anew.
        let edit = frame.edit(0);
        edit.set(root.at(), Target { frame: fresh.number(), entry: 0 }.pack());
        edit.set_ref(loc, Ref::new(Kind::Crossing, root.at()));
        let placed: Vec<Placed> =
            entries(view).map(|(index, e)| Placed { index, root: e.root }).collect();
        build(view, &placed, self.pool.slot_words(slot), view.nature(), 0)
            .expect("a frame without a part is not larger");
        frame.leave_slot(slot);
        Ok(())
    }
}

/// Copies all subtrees of a root frame to the frame `below`, and writes into `words` what the root
/// frame is then: a crossing in each entry, but for the tree's own if that is empty.
pub(super) fn hand_down(view: View<'_>, below: &Latched<'_>, words: &Words) {
    let nature = view.nature();
    let occupied = entries(view).filter(|(_, entry)| !entry.root.is_null());
    let placed: Vec<Placed> =
        occupied.map(|(index, entry)| Placed { index, root: entry.root }).collect();
    build(view, &placed, below.words(), nature.below(below.number()), 0)
        .expect("a frame without its free blocks is not larger");
    let level = nature.level.saturating_add(1);
    Edit::format(words, Nature { level, ..nature }, view.counters().entries);
    Edit::set_entry(words, 0, Entry { occupied: true, ..Entry::default() });
    for Placed { index, .. } in placed {
        Edit::set_entry(words, index, Entry { occupied: true, ..Entry::default() });
        let mut edit = Edit::new(words, index);
        let cell = edit.take_for_good(1).expect("a frame has room for the crossings of a table");
        let target = Target { frame: below.number(), entry: index as u16 };
        let crossing = edit.write_crossing(cell, target);
        edit.set_ref(Loc::entry(index), crossing);
        edit.finish();
    }
}

/// Whether a level between the two frames is missing.
fn is_far_above(parent: View<'_>, view: View<'_>) -> bool {
    parent.nature().level > view.nature().level.saturating_add(1)
}

/// Words that a put of `key` may need in one frame, whatever its value.
fn needed_for(key: Key<'_>) -> usize {
    let rest = key.len().min(crate::frame::put::MAX_REST);
    crate::frame::MAX_ITEM_WORDS + rest / 7 + 128
}
