//! What a parent frame owns in one of its children: the entries that a split or a merge may
//! move.

use std::convert::Infallible;
use std::ops::{ControlFlow, RangeInclusive};

use super::path::Step;
use crate::frame::copy::{Placed, entries};
use crate::frame::node::Node;
use crate::frame::{Entry, Kind, Loc, Ref, Target, View};
use crate::pool::Pool;

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
    pub(super) words: usize,
    /// How many bytes of the key lead to the root, if the key that needs room goes there.
    pub(super) wanted: Option<usize>,
}

/// The entries of the frame, as the latched parent sees them.
pub(super) struct Run {
    /// Those that the parent owns, in key order, among them the one that needs room.
    pub(super) parts: Vec<Part>,
    /// All other entries; they keep their places in the table.
    pub(super) kept: Vec<Placed>,
    pub(super) kept_words: usize,
    /// The frames that the parent's crossings lead to, in order; one for all neighbours that lead to the same.
    frames: Vec<u32>,
    /// From the first of these that is the frame to behind the last.
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
        let mut frames: Vec<u32> = Vec::new();
        let mut last = u64::MAX;
        for (owner, _) in entries(parent) {
            let ControlFlow::Continue(()) = each_crossing(parent, owner, |cell| {
                let frame = cell.target.frame;
                if last != u64::from(frame) {
                    frames.push(frame);
                    last = u64::from(frame);
                }
                if frame == step.frame {
                    cells.push(cell);
                }
                ControlFlow::<Infallible>::Continue(())
            });
        }
        let here = Target { frame: step.frame, entry: step.entry as u16 };
        let ours = |&frame: &u32| frame == step.frame;
        let (first, last) = (frames.iter().position(ours)?, frames.iter().rposition(ours)?);
        let mut owned = vec![false; view.counters().entries];
        let mut parts = Vec::with_capacity(cells.len());
        for &Cell { owner, loc, at, target } in &cells {
            let index = usize::from(target.entry);
            *owned.get_mut(index)? = true;
            let Entry { root, words, .. } = view.entry(index);
            let wanted = (target == here).then_some(above.site.from);
            parts.push(Part { owner, cell: at, loc, root, words, wanted });
        }
        let others = || entries(view).filter(|&(index, _)| !owned[index]);
        let kept = others().map(|(index, e)| Placed { index, root: e.root }).collect();
        let kept_words = others().map(|(_, e)| e.words + 1).sum();
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
                let seen = pool.neighbour(number);
                seen.is_some_and(|seen| suits(pool.view(seen), &(level..=level)))
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
    /// The frames whose crossings stand nearest to the run, nearest first, at most `reach`
    /// on either side and each once, with whether it stands before the run. Levels are read
    /// without a latch, so they are a guess.
    pub(super) fn neighbours(
        &self,
        pool: &Pool,
        levels: &RangeInclusive<u16>,
        reach: usize,
    ) -> Vec<(bool, u32)> {
        let mut asked = self.numbers.to_vec();
        let mut side = |frames: &mut dyn Iterator<Item = &u32>| {
            let mut found = Vec::with_capacity(reach);
            for &number in frames {
                if found.len() == reach {
                    break;
                }
                if asked.contains(&number) {
                    continue;
                }
                asked.push(number);
                let seen = pool.neighbour(number);
                if seen.is_some_and(|seen| suits(pool.view(seen), levels)) {
                    found.push(number);
                }
            }
            found
        };
        let before = side(&mut self.frames[..self.range.start].iter().rev());
        let behind = side(&mut self.frames[self.range.start..].iter());
        let (mut before, mut behind) = (before.into_iter(), behind.into_iter());
        let mut found = Vec::with_capacity(2 * reach);
        for _ in 0..reach {
            found.extend(before.next().map(|number| (true, number)));
            found.extend(behind.next().map(|number| (false, number)));
        }
        found
    }

    /// How many frames the parent has below it, with this one; `None` when more than `most`.
    pub(super) fn frames_below(&self, most: usize) -> Option<usize> {
        let mut found = Vec::with_capacity(most);
        let walk = self.frames.iter().try_for_each(|&number| note(&mut found, number, most));
        walk.is_continue().then_some(found.len())
    }

    /// Whether the parent has a crossing to frame `number`.
    pub(super) fn leads_to(&self, number: u32) -> bool {
        self.frames.contains(&number)
    }

    /// Words that the parts take in another frame, their entries included.
    pub(super) fn words(&self) -> usize {
        words_with_entries(&self.parts)
    }
}

/// Words that parts take in another frame, their entries included.
pub(super) fn words_with_entries(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.words + 1).sum()
}

/// How many of the parts, from the first on, fit into `room` words with their entries, and how many
/// words these are.
pub(super) fn fitting<'r>(parts: impl Iterator<Item = &'r Part>, room: usize) -> (usize, usize) {
    let sums = parts.scan(0, |sum, part| {
        *sum += part.words + 1;
        Some(*sum)
    });
    let sums = sums.take_while(|&sum| sum <= room).enumerate();
    sums.last().map_or((0, 0), |(last, sum)| (last + 1, sum))
}

/// Whether entries of frames of the levels may go to this frame. A tree's root frame has some only
/// where they have become that.
fn suits(view: View<'_>, levels: &RangeInclusive<u16>) -> bool {
    let nature = view.nature();
    levels.contains(&nature.level) && nature.longest == 0
}

/// A crossing of a frame.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// The entry below which it is.
    pub(super) owner: usize,
    /// Where the reference to its cell is stored.
    loc: Loc,
    /// Offset of the cell.
    at: usize,
    target: Target,
}

/// Appends all crossings below entry `owner`, in key order.
fn crossings(view: View<'_>, owner: usize, cells: &mut Vec<Cell>) {
    let ControlFlow::Continue(()) = each_crossing(view, owner, |cell| {
        cells.push(cell);
        ControlFlow::<Infallible>::Continue(())
    });
}

/// Shows all crossings below entry `owner`, in key order, until there is an answer.
#[inline(always)]
fn each_crossing<B>(
    view: View<'_>,
    owner: usize,
    mut show: impl FnMut(Cell) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let cell =
        |loc, item: Ref| Cell { owner, loc, at: item.at(), target: view.crossing(item.at()) };
    let (loc, item) = (Loc::entry(owner), view.reference(Loc::entry(owner)));
    if item.kind() == Kind::Crossing {
        return show(cell(loc, item));
    }
    if !item.is_inner() {
        return ControlFlow::Continue(());
    }
    // Nodes above the present one, with the children of theirs that have been seen. Crossings, of which there may be
    // thousands, are shown as they are met.
    let mut above: Vec<(Ref, usize)> = Vec::new();
    let mut within = item;
    let mut seen = 0;
    loop {
        let node = Node::read(view, within);
        let (children, count) = (node.children_at(), node.count());
        // Four references at a time.
        let mut refs = view.word(children + seen / 4) >> (16 * (seen % 4));
        let deeper = loop {
            if seen >= count {
                break None;
            }
            let child = Ref(refs as u16);
            let loc = Loc::nth(children, seen);
            seen += 1;
            refs = if seen.is_multiple_of(4) { view.word(children + seen / 4) } else { refs >> 16 };
            if child.tag() == Ref::CROSSING {
                show(cell(loc, child))?;
            } else if child.is_inner() {
                break Some(child);
            }
        };
        (within, seen) = match deeper {
            Some(child) => {
                above.push((within, seen));
                (child, 0)
            }
            None => match above.pop() {
                Some(back) => back,
                None => return ControlFlow::Continue(()),
            },
        };
    }
}

/// Whether a crossing is below `root`.
pub(super) fn leads_on(view: View<'_>, root: Ref) -> bool {
    let mut pending = vec![root];
    while let Some(item) = pending.pop() {
        if item.kind() == Kind::Crossing {
            return true;
        }
        if item.is_inner() {
            pending.extend(Node::read(view, item).places().map(|loc| view.reference(loc)));
        }
    }
    false
}

/// The frames that a latched frame's crossings lead to, those first whose crossings stand nearest to
/// one to `here`.
pub(super) fn nearest_below(view: View<'_>, here: u32) -> Vec<u32> {
    let mut frames: Vec<u32> = cells(view).map(|cell| cell.target.frame).collect();
    frames.dedup();
    let at = frames.iter().position(|&frame| frame == here).unwrap_or(0);
    let (before, behind) = frames.split_at(at);
    let mut before = before.iter().rev();
    behind.iter().flat_map(|&frame| [Some(frame), before.next().copied()]).flatten().collect()
}

/// The frames that a latched frame's crossings lead to, each once; `None` when more than `most`.
/// The walk ends with the first one too many.
pub(super) fn few_below(view: View<'_>, most: usize) -> Option<Vec<u32>> {
    let mut found = Vec::with_capacity(most);
    let walk = entries(view).try_for_each(|(owner, _)| {
        each_crossing(view, owner, |cell| note(&mut found, cell.target.frame, most))
    });
    walk.is_continue().then_some(found)
}

fn cells(view: View<'_>) -> impl Iterator<Item = Cell> {
    let mut cells = Vec::new();
    for (owner, _) in entries(view) {
        crossings(view, owner, &mut cells);
    }
    cells.into_iter()
}

/// Adds a number that is not there yet, or says that this would be more than `most`.
fn note(found: &mut Vec<u32>, number: u32, most: usize) -> ControlFlow<()> {
    if !found.contains(&number) {
        if found.len() == most {
            return ControlFlow::Break(());
        }
        found.push(number);
    }
    ControlFlow::Continue(())
}

/// Where the crossings below entry `owner` lead to, in key order.
pub(super) fn entry_targets(view: View<'_>, owner: usize) -> Vec<Target> {
    let mut cells = Vec::new();
    crossings(view, owner, &mut cells);
    cells.into_iter().map(|cell| cell.target).collect()
}
