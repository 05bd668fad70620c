//! Making room: compaction, the growth of the root, and splits.
//!
//! A full frame is first compacted, when that gains enough. Otherwise its parent frame
//! takes part: the heaviest subtrees among the frame's entries give their root nodes to
//! the parent (*pulling up*), which makes more and lighter entries; then a run of
//! entries, in key order, goes to a neighbouring frame that has room, or to a fresh
//! one. Only a spine, a subtree without fan-out, is cut in the middle and pushed down.
//!
//! Of the frame's entries only those are touched that the latched parent owns, so it does
//! not matter that other parents may own the rest.

use super::Tree;
use super::path::Step;
use crate::error::Error;
use crate::frame::build::{Loose, item_words};
use crate::frame::copy::{Placed, append, build, copy_subtree, entries, measure};
use crate::frame::edit::Edit;
use crate::frame::key::Key;
use crate::frame::node::Node;
use crate::frame::{ENTRIES, Entry, FRAME_WORDS, Kind, Loc, Nature, Ref, Target, View};
use crate::pool::{Latched, Pool};

/// A frame with at most this share of live words gains enough by compaction.
const COMPACT_BELOW: usize = FRAME_WORDS * 90 / 100;
/// An entry heavier than this gives its root node to the parent.
const PULL_ABOVE: usize = FRAME_WORDS * 30 / 100;
/// A neighbour takes entries while it is at most this full.
const NEIGHBOUR_BELOW: usize = FRAME_WORDS * 82 / 100;
/// No frame is filled further than this by moving entries into it.
const MOVE_LIMIT: usize = FRAME_WORDS * 94 / 100;
/// A subtree that needs room goes to a neighbour only where that is then lighter by this
/// than the frame was.
const LIGHTER: usize = FRAME_WORDS / 64;
/// With a child heavier than this a frame can only be cut beside it, so pulling its node
/// up must leave the frame with room for its longer table.
const SPINE_ABOVE: usize = FRAME_WORDS * 85 / 100;
/// Sinking that frees less than this does not spare the split.
const WORTH_SINKING: usize = FRAME_WORDS / 16;
/// What stays in a frame of ascending insertions fills it up to this.
const FULL: usize = FRAME_WORDS * 97 / 100;
/// Entries that a frame may have after pulling up.
const MAX_ENTRIES: usize = 1024;
/// Score from which insertions count as ascending.
const ASCENDING: usize = 8;

/// An entry of the frame being split, owned by a crossing of the latched parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The entry of the parent in which that crossing is.
    pub(super) owner: usize,
    /// Offset of the crossing's cell in the parent.
    pub(super) cell: usize,
    /// Where the reference to the cell is stored in the parent.
    pub(super) loc: Loc,
    pub(super) root: Ref,
    words: usize,
    /// How many bytes of the key lead to the root, if the key that needs room goes there.
    wanted: Option<usize>,
}

/// The entries of the frame, as the latched parent sees them.
pub(super) struct Run {
    /// Those that the parent owns, in key order, among them the one that needs room.
    parts: Vec<Part>,
    /// All other entries; they keep their places in the table.
    kept: Vec<Placed>,
    kept_words: usize,
    /// The frames that the parent's crossings lead to, in order.
    frames: Vec<u32>,
    /// From the first of these crossings that leads to the frame to behind the last.
    range: std::ops::Range<usize>,
    /// The parent and the frame.
    numbers: [u32; 2],
}

impl Run {
    /// The entries of the frame of `step` that the latched parent owns; `None` when the
    /// parent has no crossing to the one that the descent went through.
    ///
    /// All crossings of the parent count, entry after entry in the order of its table,
    /// which is nearly that of the keys. Crossings to frames of other levels may stand in
    /// between.
    pub(super) fn find(
        parent: View<'_>,
        view: View<'_>,
        above: &Step,
        step: &Step,
    ) -> Option<Self> {
        let mut cells = Vec::new();
        for (owner, _) in entries(parent) {
            crossings(parent, owner, &mut cells);
        }
        let here = Target { frame: step.frame, entry: step.entry as u16 };
        let ours = |cell: &Cell| cell.target.frame == step.frame;
        let (first, last) = (cells.iter().position(ours)?, cells.iter().rposition(ours)?);
        let mut owned = vec![false; view.counters().entries];
        let mut parts = Vec::new();
        for &Cell { owner, loc, at, target } in cells.iter().filter(|cell| ours(cell)) {
            let index = usize::from(target.entry);
            *owned.get_mut(index)? = true;
            let Entry { root, words, .. } = view.entry(index);
            let wanted = (target == here).then_some(above.site.from);
            parts.push(Part { owner, cell: at, loc, root, words, wanted });
        }
        let others = || entries(view).filter(|&(index, _)| !owned[index]);
        let kept = others().map(|(index, e)| Placed { index, root: e.root }).collect();
        let kept_words = others().map(|(_, e)| e.words + 1).sum();
        let frames = cells.iter().map(|cell| cell.target.frame).collect();
        let numbers = [above.frame, step.frame];
        Some(Self { parts, kept, kept_words, frames, range: first..last + 1, numbers })
    }

    /// The frames of `level` whose crossings stand nearest to the run: before and behind
    /// it, or else in its midst. Levels are read without a latch, so they are a guess.
    pub(super) fn peers(&self, pool: &Pool, level: u16) -> [Option<u32>; 2] {
        let mut asked: Option<(u32, bool)> = None;
        let mut peer = |&number: &u32| {
            if self.numbers.contains(&number) {
                return None;
            }
            let known = asked.filter(|&(frame, _)| frame == number).map(|(_, answer)| answer);
            let answer = known.unwrap_or_else(|| {
                let seen = pool.latch(number).and_then(|latch| latch.try_observe());
                seen.is_some_and(|seen| pool.view(seen).nature().level == level)
            });
            asked = Some((number, answer));
            answer.then_some(number)
        };
        let before = self.frames[..self.range.start].iter().rev().find_map(&mut peer);
        let behind = self.frames[self.range.end..].iter().find_map(&mut peer);
        if before.is_none() && behind.is_none() {
            return [None, self.frames[self.range.clone()].iter().find_map(&mut peer)];
        }
        [before, behind]
    }
}

impl Run {
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn kept(&self) -> &[Placed] {
        &self.kept
    }

    /// Whether the parent has no other frame below it.
    pub(super) fn is_alone(&self) -> bool {
        self.parts.len() == self.frames.len()
    }

    /// Words that the parts take in another frame, their entries included.
    pub(super) fn words(&self) -> usize {
        self.parts.iter().map(|part| part.words + 1).sum()
    }
}

/// The end of a run from which parts are given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Its beginning, to the frame before.
    Before,
    /// Its end, to the frame behind.
    Behind,
}

impl Tree {
    /// Makes room in the frame where the descent for `key` ends. May do nothing when
    /// another writer has changed the frames meanwhile; the caller descends again.
    #[cold]
    pub(super) fn make_room(&self, key: Key<'_>) -> Result<(), Error> {
        match self.descend_path(key)? {
            Some(path) => self.make_room_at(&path, path.len() - 1, key, needed_for(key)),
            None => Ok(()),
        }
    }

    fn make_room_at(
        &self,
        path: &[Step],
        level: usize,
        key: Key<'_>,
        needed: usize,
    ) -> Result<(), Error> {
        let step = &path[level];
        let counters = self.pool.view(step.seen).counters();
        // What the counters say is certain once the frame is latched with the word that
        // was observed before they were read.
        let gains = counters.live <= COMPACT_BELOW && counters.live + needed <= MOVE_LIMIT;
        if !gains && self.pool.view(step.seen).nature().level > 0 {
            match self.sink(step)? {
                Some(0) => {}
                Some(freed) if freed < WORTH_SINKING => {
                    // The frame has changed, so the path is read anew.
                    return match self.descend_path(key)? {
                        Some(path) if level < path.len() => self.divide(&path, level, key),
                        _ => Ok(()),
                    };
                }
                _ => return Ok(()),
            }
        }
        if gains {
            let Some(frame) = self.pool.latch_at(step.frame, step.seen) else { return Ok(()) };
            return self.compact(frame);
        }
        self.divide(path, level, key)
    }

    /// Splits the frame at `level` of the path, or lets the root grow.
    pub(super) fn divide(&self, path: &[Step], level: usize, key: Key<'_>) -> Result<(), Error> {
        if level == 0 {
            let step = &path[0];
            let Some(frame) = self.pool.latch_at(step.frame, step.seen) else { return Ok(()) };
            return self.grow_root(frame);
        }
        self.split(path, level, key)
    }

    /// Writes the frame anew without its free blocks.
    fn compact(&self, mut frame: Latched<'_>) -> Result<(), Error> {
        let slot = self.pool.take_slot()?;
        let view = frame.view();
        let placed: Vec<Placed> =
            entries(view).map(|(index, e)| Placed { index, root: e.root }).collect();
        let words = self.pool.slot_words(slot);
        build(view, &placed, words, view.nature(), 0)
            .expect("a frame without its free blocks is not larger");
        frame.leave_slot(slot);
        Ok(())
    }

    /// Hands the root's content to a new frame below it.
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
        let view = root.view();
        let placed = [Placed { index: 0, root: view.entry(0).root }];
        let below_nature = Nature { number: below.number(), ..nature };
        build(view, &placed, below.words(), below_nature, 0)
            .expect("a frame without its free blocks is not larger");
        let words = self.pool.slot_words(slot);
        Edit::format(words, Nature { level: nature.level.saturating_add(1), ..nature }, 0);
        Edit::set_entry(words, 0, Entry { occupied: true, ..Entry::default() });
        let mut edit = Edit::new(words, 0);
        let cell = edit.take_for_good(1).expect("an empty frame has room");
        edit.set(cell, Target { frame: below.number(), entry: 0 }.pack());
        edit.set_ref(Loc::entry(0), Ref::new(Kind::Crossing, cell));
        edit.finish();
        root.leave_slot(slot);
        Ok(())
    }

    /// Splits the frame at `level` of the path, with its parent's help.
    fn split(&self, path: &[Step], level: usize, key: Key<'_>) -> Result<(), Error> {
        let (above, step) = (&path[level - 1], &path[level]);
        if above.frame == step.frame {
            return self.move_out(above, step);
        }
        let Some(mut parent) = self.pool.latch_at(above.frame, above.seen) else { return Ok(()) };
        let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else { return Ok(()) };
        // Everything that can fail comes before the first change of the parent.
        parent.writable()?;
        frame.writable()?;
        let mut spare = Spare::take(&self.pool)?;
        let view = frame.view();
        let Some(mut run) = Run::find(parent.view(), view, above, step) else {
            return Err(Error::Damaged { frame: above.frame });
        };

        if parent.view().nature().level > view.nature().level.saturating_add(1)
            && run.parts.iter().any(|part| is_heavy(view, part))
        {
            return self.wedge(&parent, &run, &frame, &mut spare);
        }
        let pulled = pull_up(view, &parent, &mut run.parts, run.kept_words, key);
        if pulled == Pulled::ParentFull {
            drop((spare, frame, parent));
            // The latches have been given back as after a change, so the path is read anew.
            return match self.descend_path(key)? {
                Some(path) if level < path.len() => {
                    self.make_room_at(&path, level - 1, key, FRAME_WORDS / 8)
                }
                _ => Ok(()),
            };
        }
        if run.parts.len() <= 1 && run.kept.is_empty() {
            match run.parts.first() {
                Some(part) if pulled == Pulled::Nothing => {
                    return self.push_down(&mut frame, part, spare);
                }
                // What was pulled up has made room.
                _ => settle(frame, &run.parts, &run.kept, Some(&parent), spare),
            }
            return Ok(());
        }
        let stays = match self.choose_neighbour(&run, step.frame, view.nature().level) {
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
        Ok(())
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
        let between = run.peers(&self.pool, level).into_iter().flatten().find_map(|number| {
            let seen = self.pool.latch(number)?.try_observe()?;
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
            edit.set(cell, parent.view().word(part.cell));
            edit.set_ref(Loc::entry(place.index), Ref::new(Kind::Crossing, cell));
            edit.finish();
            let here = Target { frame: between.number(), entry: place.index as u16 };
            links.set(part.cell, here.pack());
        }
        between.leave_slot(slot);
        Ok(())
    }

    /// The frame is its own parent: one of its subtrees hangs below another one. The lower
    /// one, with its neighbours, moves to a fresh frame.
    fn move_out(&self, above: &Step, step: &Step) -> Result<(), Error> {
        let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else { return Ok(()) };
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

    /// The neighbour that evens the two frames out best, latched, the end of the run
    /// that it takes, and how many parts.
    fn choose_neighbour(
        &self,
        run: &Run,
        frame: u32,
        level: u16,
    ) -> Option<(Side, usize, Latched<'_>)> {
        let mut best: Option<(usize, Side, usize, Latched<'_>)> = None;
        for (side, number) in
            [Side::Before, Side::Behind].into_iter().zip(run.peers(&self.pool, level))
        {
            let Some(number) = number.filter(|&number| number != frame) else { continue };
            // Only tried: a neighbour may have another parent, whose holder may be
            // waiting for this frame.
            let Some(seen) = self.pool.latch(number).and_then(|latch| latch.try_observe()) else {
                continue;
            };
            let live = self.pool.view(seen).counters().live;
            if self.pool.view(seen).nature().level != level || live > NEIGHBOUR_BELOW {
                continue;
            }
            let Some((uneven, count)) = best_cut(&run.parts, run.kept_words, live, side) else {
                continue;
            };
            if best.as_ref().is_none_or(|&(least, ..)| uneven < least)
                && let Some(mut neighbour) = self.pool.latch_at(number, seen)
                && neighbour.writable().is_ok()
            {
                best = Some((uneven, side, count, neighbour));
            }
        }
        best.map(|(_, side, count, neighbour)| (side, count, neighbour))
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
        let nature = Nature { number: fresh.number(), ..view.nature() };
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

/// Writes what stays of a split frame into its new slot; frees the frame when that is
/// nothing. Without a parent nothing of its run stays.
pub(super) fn settle(
    mut frame: Latched<'_>,
    stays: &[Part],
    kept: &[Placed],
    parent: Option<&Latched<'_>>,
    mut spare: Spare<'_>,
) {
    let view = frame.view();
    let placed = place(stays, kept);
    if placed.is_empty() {
        frame.free();
        return;
    }
    let slot = spare.slots.pop().expect("two slots were taken and one is left");
    let words = spare.pool.slot_words(slot);
    build(view, &placed, words, view.nature(), 0).expect("what stays was counted before");
    if let Some(parent) = parent {
        relink(parent, stays, &placed[kept.len()..], frame.number());
    }
    frame.leave_slot(slot);
}

/// Two slots and a frame taken ahead of a change; what is left goes back when it is
/// dropped.
pub(super) struct Spare<'p> {
    pool: &'p Pool,
    slots: Vec<u32>,
    fresh: Option<Latched<'p>>,
}

impl<'p> Spare<'p> {
    pub(super) fn take(pool: &'p Pool) -> Result<Self, Error> {
        let mut spare = Self { pool, slots: Vec::with_capacity(2), fresh: None };
        for _ in 0..2 {
            spare.slots.push(pool.take_slot()?);
        }
        spare.fresh = Some(pool.new_frame(0)?);
        Ok(spare)
    }

    fn into_slot_and_frame(mut self) -> (u32, Latched<'p>) {
        let slot = self.slots.pop().expect("two slots were taken");
        (slot, self.fresh.take().expect("a frame was taken"))
    }
}

impl Spare<'_> {
    /// Copies parts of `view` into the fresh frame and points the parent there.
    fn move_to_fresh(&mut self, view: View<'_>, moved: &[Part], parent: &Latched<'_>) {
        let fresh = self.fresh.take().expect("a frame was taken");
        let placed = place(moved, &[]);
        let nature = Nature { number: fresh.number(), ..view.nature() };
        // Links first: where the frame is its own parent, the crossing to one part may be
        // in another part, and the copy has to lead to the new place.
        relink(parent, moved, &placed, fresh.number());
        build(view, &placed, fresh.words(), nature, 0).expect("half of a frame fits one");
    }

    /// Copies parts of `view` into a neighbour and points the parent there.
    pub(super) fn move_to_neighbour(
        &mut self,
        view: View<'_>,
        moved: &[Part],
        mut neighbour: Latched<'_>,
        parent: &Latched<'_>,
    ) {
        let fits = "the neighbour's room was counted";
        let own: Vec<Placed> =
            entries(neighbour.view()).map(|(index, e)| Placed { index, root: e.root }).collect();
        let placed = place(moved, &own);
        let new = &placed[own.len()..];
        let table = placed.iter().map(|place| place.index + 1).max().unwrap_or(0);
        let slot = self.slots.pop().expect("two slots were taken");
        let words = self.pool.slot_words(slot);
        build(neighbour.view(), &own, words, neighbour.view().nature(), table).expect(fits);
        append(view, new, words).expect(fits);
        relink(parent, moved, new, neighbour.number());
        neighbour.leave_slot(slot);
    }
}

impl Drop for Spare<'_> {
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            self.pool.give_slot(slot);
        }
        if let Some(fresh) = self.fresh.take() {
            fresh.discard();
        }
    }
}

/// Words that a put of `key` may need in one frame, whatever its value.
fn needed_for(key: Key<'_>) -> usize {
    let rest = key.len().min(crate::frame::put::MAX_REST);
    crate::frame::MAX_ITEM_WORDS + rest / 7 + 128
}

/// A crossing of a frame.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// The entry below which it is.
    owner: usize,
    /// Where the reference to its cell is stored.
    loc: Loc,
    /// Offset of the cell.
    at: usize,
    target: Target,
}

/// Appends all crossings below entry `owner`, in key order.
fn crossings(view: View<'_>, owner: usize, cells: &mut Vec<Cell>) {
    let mut pending = vec![Loc::entry(owner)];
    while let Some(loc) = pending.pop() {
        let item = view.reference(loc);
        if item.kind() == Kind::Crossing {
            cells.push(Cell { owner, loc, at: item.at(), target: view.crossing(item.at()) });
        } else if item.is_inner() {
            let start = pending.len();
            pending.extend(Node::read(view, item).children().map(|(_, loc)| loc));
            pending[start..].reverse();
        }
    }
}

/// What pulling up came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pulled {
    /// No part was heavy enough, or none had fan-out.
    Nothing,
    /// Root nodes have moved to the parent.
    Nodes,
    /// The parent needs room first. Nothing has changed.
    ParentFull,
}

/// Whether a part is to give its root node to the parent.
fn is_heavy(view: View<'_>, part: &Part) -> bool {
    if part.words <= PULL_ABOVE || !part.root.is_inner() {
        return false;
    }
    let node = Node::read(view, part.root);
    node.count() + usize::from(!node.value().is_null()) > 1
}

/// Moves the root nodes of heavy parts into the parent, until no part is heavy or the
/// parent is full.
fn pull_up(
    view: View<'_>,
    parent: &Latched<'_>,
    parts: &mut Vec<Part>,
    kept: usize,
    key: Key<'_>,
) -> Pulled {
    let mut pulled = Pulled::Nothing;
    loop {
        let heaviest = parts.iter().enumerate().max_by_key(|(_, part)| part.words);
        let Some((position, part)) = heaviest.map(|(position, part)| (position, *part)) else {
            return pulled;
        };
        if !is_heavy(view, &part) {
            return pulled;
        }
        let loose = Loose::read(view, part.root);
        let weights: Vec<usize> =
            loose.children().map(|(_, child)| measure(view, child).0).collect();
        // A heavy child is pulled up in turn, unless its frame could not be cut then.
        let heavy_child = weights.iter().any(|&words| words > SPINE_ABOVE);
        let others: usize = parts.iter().map(|part| part.words + 1).sum::<usize>() - part.words;
        let after = ENTRIES + kept + others + weights.iter().map(|words| words + 1).sum::<usize>();
        if parts.len() + loose.count() > MAX_ENTRIES || (heavy_child && after > FRAME_WORDS) {
            return pulled;
        }
        let mut edit = parent.edit(part.owner);
        let value_words = item_words(view, loose.value);
        if loose.words() + loose.count() + value_words > edit.bump_room() {
            return if pulled == Pulled::Nothing { Pulled::ParentFull } else { pulled };
        }
        let new_parts = pull_node(view, &mut edit, &part, loose, &weights, key);
        edit.finish();
        parts.splice(position..=position, new_parts);
        pulled = Pulled::Nodes;
    }
}

/// Moves one root node into the parent, which has the room, and returns the parts that
/// its children have become.
fn pull_node(
    view: View<'_>,
    parent: &mut Edit<'_>,
    part: &Part,
    mut loose: Loose,
    weights: &[usize],
    key: Key<'_>,
) -> Vec<Part> {
    let room = "the parent's room was counted";
    // The child that the key goes to, or would stand behind.
    let wanted = part.wanted.map(|from| {
        let from = from + loose.prefix().len();
        let byte = key.byte(from);
        let rank = loose.children().take_while(|&(other, _)| Some(other) <= byte).count();
        (rank.saturating_sub(1), from + 1)
    });
    let at = parent.take_for_good(loose.words()).expect(room);
    let children: Vec<(u8, Ref)> = loose.children().collect();
    let mut new_parts = Vec::with_capacity(children.len());
    for (rank, &(_, child)) in children.iter().enumerate() {
        let cell = parent.take_for_good(1).expect(room);
        loose.set_child(rank, Ref::new(Kind::Crossing, cell));
        if child.kind() == Kind::Crossing {
            // The crossing itself moves up, and its target has a new owner.
            parent.set(cell, view.word(child.at()));
            continue;
        }
        let wanted = wanted.filter(|&(wanted, _)| wanted == rank).map(|(_, from)| from);
        let words = weights[rank];
        let owner = part.owner;
        new_parts.push((rank, Part { owner, cell, loc: part.loc, root: child, words, wanted }));
    }
    let value = std::mem::replace(&mut loose.value, Ref::NULL);
    let node = loose.write(parent, at);
    let head = Node::read(parent.view(), node);
    if !value.is_null() {
        copy_subtree(view, value, parent, head.value_loc(), &mut Vec::new()).expect(room);
    }
    parent.set_ref(part.loc, node);
    parent.give(part.cell, 1);
    new_parts.into_iter().map(|(rank, new)| Part { loc: head.child_loc(rank), ..new }).collect()
}

/// Gives each part a place in a table in which the places of `kept` are taken. The result
/// begins with `kept`.
fn place(parts: &[Part], kept: &[Placed]) -> Vec<Placed> {
    let mut taken: Vec<usize> = kept.iter().map(|entry| entry.index).collect();
    taken.sort_unstable();
    let mut taken = taken.into_iter().peekable();
    let mut index = 0;
    let mut placed = kept.to_vec();
    for part in parts {
        while taken.next_if_eq(&index).is_some() {
            index += 1;
        }
        placed.push(Placed { index, root: part.root });
        index += 1;
    }
    placed
}

/// Points the parent's crossings to where the parts are now.
fn relink(parent: &Latched<'_>, parts: &[Part], placed: &[Placed], frame: u32) {
    let parent = parent.edit(0);
    for (part, place) in parts.iter().zip(placed) {
        parent.set(part.cell, Target { frame, entry: place.index as u16 }.pack());
    }
}

/// How many parts at the side's end are best given to a neighbour with `live` words, and
/// how uneven the two frames would then be.
fn best_cut(parts: &[Part], kept: usize, live: usize, side: Side) -> Option<(usize, usize)> {
    let total: usize = ENTRIES + kept + parts.iter().map(|part| part.words + 1).sum::<usize>();
    let wanted = parts.iter().position(|part| part.wanted.is_some());
    let mut moved = 0;
    let mut best = None;
    for count in 1..parts.len() + usize::from(kept > 0) {
        let index = if side == Side::Before { count - 1 } else { parts.len() - count };
        moved += parts[index].words + 1;
        let (stays, grows) = (total - moved, live + moved);
        if grows > MOVE_LIMIT {
            break;
        }
        // The part that needs room may come to no frame as full as the one that it leaves:
        // it would go back and forth between the two.
        let goes = wanted.is_some_and(|wanted| match side {
            Side::Before => wanted < count,
            Side::Behind => wanted >= parts.len() - count,
        });
        if stays <= MOVE_LIMIT && !(goes && grows + LIGHTER > total) {
            let imbalance = stays.abs_diff(grows);
            if best.is_none_or(|(least, _)| imbalance < least) {
                best = Some((imbalance, count));
            }
        }
    }
    best
}

/// How many parts stay when the others go to a fresh frame: half of the words, or, when
/// insertions come in ascending order, all up to where they arrive.
fn fresh_cut(parts: &[Part], kept: usize, ascending: usize) -> usize {
    let total: usize = kept + parts.iter().map(|part| part.words + 1).sum::<usize>();
    let least = usize::from(kept == 0);
    if ascending >= ASCENDING
        && let Some(wanted) = parts.iter().position(|part| part.wanted.is_some())
    {
        let right: usize = parts[wanted + 1..].iter().map(|part| part.words + 1).sum();
        let cut = if right * 100 >= total * 8 { wanted + 1 } else { wanted };
        let mut cut = cut.clamp(least, parts.len() - 1);
        // Pulling up has made the table longer: either side must still fit its frame.
        let mut stays: usize =
            ENTRIES + kept + parts[..cut].iter().map(|part| part.words + 1).sum::<usize>();
        while stays > FULL && cut > least {
            cut -= 1;
            stays -= parts[cut].words + 1;
        }
        if 2 * ENTRIES + total - stays <= FULL {
            return cut;
        }
    }
    let mut stays = kept;
    let mut best = (usize::MAX, least);
    for (count, part) in parts.iter().enumerate() {
        if count >= least {
            best = best.min((stays.abs_diff(total - stays), count));
        }
        stays += part.words + 1;
    }
    best.1
}

/// The deepest subtree of a spine that holds about half of its words: where its root is
/// referred to, and the root.
fn lower_half(view: View<'_>, root: Ref) -> Option<(Loc, Ref)> {
    let mut weights = vec![0u16; FRAME_WORDS];
    // Post-order: a node's weight is known once those of its children are.
    let mut pending = vec![(root, false)];
    while let Some((item, done)) = pending.pop() {
        let mut weight = item_words(view, item);
        if item.is_inner() {
            let node = Node::read(view, item);
            let below = node
                .children()
                .map(|(_, loc)| view.reference(loc))
                .chain((!node.value().is_null()).then_some(node.value()));
            if !done {
                pending.push((item, true));
                pending.extend(below.map(|item| (item, false)));
                continue;
            }
            weight += below.map(|item| usize::from(weights[item.at()])).sum::<usize>();
        }
        weights[item.at()] = weight as u16;
    }
    let total = usize::from(weights[root.at()]);
    let mut best = None;
    let mut at = root;
    while at.is_inner() {
        let node = Node::read(view, at);
        let heaviest = node
            .children()
            .map(|(_, loc)| (loc, view.reference(loc)))
            .filter(|(_, child)| child.kind() != Kind::Crossing)
            .max_by_key(|(_, child)| weights[child.at()]);
        let Some((loc, child)) = heaviest else { break };
        // A leaf or node of two words or more has room for the crossing.
        best = Some((loc, child));
        if usize::from(weights[child.at()]) * 2 <= total {
            break;
        }
        at = child;
    }
    best
}

/// The frames that a frame's crossings lead to.
pub(super) fn crossing_targets(view: View<'_>) -> Vec<u32> {
    let mut cells = Vec::new();
    for (owner, _) in entries(view) {
        crossings(view, owner, &mut cells);
    }
    cells.into_iter().map(|cell| cell.target.frame).collect()
}
