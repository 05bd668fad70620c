//! Sinking: what has grown inside an upper frame moves down to the frames below it.
//!
//! A new key whose path leaves an upper node begins as a leaf in that node's frame. When
//! the frame is full, its subtrees without crossings go to the frames whose crossings
//! stand beside them in key order, so that upper frames hold upper nodes and little else.

use std::collections::BTreeMap;

use super::Tree;
use super::path::Step;
use crate::error::Error;
use crate::frame::build::item_words;
use crate::frame::copy::{Placed, append, build, entries};
use crate::frame::node::Node;
use crate::frame::{FRAME_WORDS, Kind, Loc, Nature, Ref, Target, View};
use crate::pool::Latched;

/// No frame is filled further than this by sinking.
const LIMIT: usize = FRAME_WORDS * 94 / 100;
/// What fits no frame below gets a fresh one when it has at least this many words.
const WORTH_A_FRAME: usize = FRAME_WORDS * 25 / 100;
/// Spare places in a table that has to be enlarged.
const SPARE_ENTRIES: usize = 16;

/// A subtree without crossings, below a node with some.
#[derive(Clone, Copy, Debug)]
struct Inline {
    loc: Loc,
    root: Ref,
    words: usize,
}

impl Tree {
    /// Moves what it can out of the upper frame of `step` and returns how many words that
    /// freed; zero when the frame has not been touched, `None` when it had changed.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`] when nothing could be moved for want of slots.
    pub(super) fn sink(&self, step: &Step) -> Result<Option<usize>, Error> {
        let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else { return Ok(None) };
        let mut groups: BTreeMap<u32, Vec<Inline>> = BTreeMap::new();
        for (index, _) in entries(frame.view()) {
            assign(frame.view(), index, &mut groups);
        }
        groups.remove(&step.frame);
        let slot = self.pool.take_slot()?;
        let mut freed = 0;
        let mut failure = None;
        for (number, parts) in groups {
            // What has been moved so far stays moved: each group is complete in itself.
            match self.sink_group(&mut frame, number, &parts) {
                Ok(words) => freed += words,
                Err(error) => failure = Some(error),
            }
        }
        if freed == 0 {
            self.pool.give_slot(slot);
            // A failure may have come after the frame was made writable, so the caller could
            // not go on with what it has observed. A split would need more slots still.
            return failure.map_or(Ok(Some(0)), Err);
        }
        let view = frame.view();
        let placed: Vec<Placed> =
            entries(view).map(|(index, e)| Placed { index, root: e.root }).collect();
        build(view, &placed, self.pool.slot_words(slot), view.nature(), 0)
            .expect("a frame that gave something away is not larger");
        frame.leave_slot(slot);
        Ok(Some(freed))
    }

    /// Moves one group to frame `number`, or to a fresh frame; returns the words freed.
    fn sink_group(
        &self,
        frame: &mut Latched<'_>,
        number: u32,
        parts: &[Inline],
    ) -> Result<usize, Error> {
        let words: usize = parts.iter().map(|part| part.words + 1).sum();
        let level = frame.view().nature().level.saturating_sub(1);
        // Only tried: the frame may have another parent.
        let below = self
            .pool
            .latch(number)
            .and_then(|latch| latch.try_observe())
            .filter(|&seen| {
                let view = self.pool.view(seen);
                view.nature().level == level && view.counters().live + words <= LIMIT
            })
            .and_then(|seen| self.pool.latch_at(number, seen));
        let (mut below, parts, new) = match below {
            Some(below) => (below, parts, false),
            None if words >= WORTH_A_FRAME => {
                let parts = &parts[..fitting(parts)];
                (self.pool.new_frame(level)?, parts, true)
            }
            None => return Ok(0),
        };
        let words: usize = parts.iter().map(|part| part.words + 1).sum();
        if let Err(error) = frame.writable().and_then(|()| below.writable()) {
            if new {
                below.discard();
            }
            return Err(error);
        }
        let own: Vec<Placed> =
            entries(below.view()).map(|(index, e)| Placed { index, root: e.root }).collect();
        let mut taken: Vec<bool> = vec![false; FRAME_WORDS];
        own.iter().for_each(|place| taken[place.index] = true);
        let free = (0..FRAME_WORDS).filter(|&index| !taken[index]);
        let placed: Vec<Placed> =
            free.zip(parts).map(|(index, part)| Placed { index, root: part.root }).collect();
        let table = placed.iter().map(|place| place.index + 1).max().unwrap_or(0);
        let counters = below.view().counters();
        let room = FRAME_WORDS - counters.used;
        let fits = "the room was counted";
        if table <= counters.entries && words <= room {
            append(frame.view(), &placed, below.words()).expect(fits);
        } else {
            let slot = match self.pool.take_slot() {
                Ok(slot) => slot,
                Err(error) => {
                    if new {
                        below.discard();
                    }
                    return Err(error);
                }
            };
            let target = self.pool.slot_words(slot);
            let table = table + if new { 0 } else { SPARE_ENTRIES };
            let nature = Nature { level, ..below.view().nature() };
            build(below.view(), &own, target, nature, table).expect(fits);
            append(frame.view(), &placed, target).expect(fits);
            below.leave_slot(slot);
        }
        // The first word of each subtree becomes the crossing to where it is now. The
        // frame's counters are wrong until it is rebuilt.
        let edit = frame.edit(0);
        for (part, place) in parts.iter().zip(&placed) {
            let target = Target { frame: below.number(), entry: place.index as u16 };
            edit.set(part.root.at(), target.pack());
            edit.set_ref(part.loc, Ref::new(Kind::Crossing, part.root.at()));
        }
        Ok(words - parts.len())
    }
}

/// How many of the parts a fresh frame is given. Small parts take an entry each there, so
/// all that a frame held may be too much for another one; a single part always fits.
fn fitting(parts: &[Inline]) -> usize {
    let sums = parts.iter().scan(0, |sum, part| {
        *sum += part.words + 1;
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= LIMIT).count().max(1)
}

/// Collects the subtrees without crossings below `entry`, by the frame that stands beside
/// them in key order. An entry without any crossing is left alone.
fn assign(view: View<'_>, entry: usize, groups: &mut BTreeMap<u32, Vec<Inline>>) {
    let weights = weigh(view, view.reference(Loc::entry(entry)));
    let mut ahead: Vec<Inline> = Vec::new();
    let mut last = None;
    let mut pending = vec![Loc::entry(entry)];
    while let Some(loc) = pending.pop() {
        let item = view.reference(loc);
        if item.kind() == Kind::Crossing {
            let frame = view.crossing(item.at()).frame;
            if !ahead.is_empty() {
                groups.entry(frame).or_default().append(&mut ahead);
            }
            last = Some(frame);
            continue;
        }
        match weights[item.at()] {
            Weight::Mixed => {
                let start = pending.len();
                pending.extend(Node::read(view, item).children().map(|(_, loc)| loc));
                pending[start..].reverse();
            }
            Weight::Inline(words) => {
                let part = Inline { loc, root: item, words: usize::from(words) };
                match last {
                    Some(frame) => groups.entry(frame).or_default().push(part),
                    None => ahead.push(part),
                }
            }
        }
    }
}

/// What hangs at a place in a frame.
#[derive(Clone, Copy, Debug)]
enum Weight {
    /// This many words, and no crossing.
    Inline(u16),
    /// A crossing somewhere.
    Mixed,
}

/// Weighs every node and leaf below `root`, by offset.
fn weigh(view: View<'_>, root: Ref) -> Vec<Weight> {
    let mut weights = vec![Weight::Inline(0); FRAME_WORDS];
    let mut pending = vec![(root, false)];
    while let Some((item, done)) = pending.pop() {
        if item.kind() == Kind::Crossing {
            weights[item.at()] = Weight::Mixed;
            continue;
        }
        let mut weight = Weight::Inline(item_words(view, item) as u16);
        if item.is_inner() {
            let node = Node::read(view, item);
            let value = (!node.value().is_null()).then_some(node.value());
            let below = node.children().map(|(_, loc)| view.reference(loc)).chain(value);
            if !done {
                pending.push((item, true));
                pending.extend(below.map(|item| (item, false)));
                continue;
            }
            for child in below {
                weight = match (weight, weights[child.at()]) {
                    (Weight::Inline(a), Weight::Inline(b)) => Weight::Inline(a + b),
                    _ => Weight::Mixed,
                };
            }
        }
        weights[item.at()] = weight;
    }
    weights
}
