//! Sinking: what has grown inside an upper frame moves down to the frames below it.
//!
//! A new key whose path leaves an upper node begins as a leaf in that node's frame. When
//! the frame is full, its subtrees without crossings go to the frames whose crossings
//! stand beside them in key order, so that upper frames hold upper nodes and little else.

use std::collections::{BTreeMap, VecDeque};

use super::Tree;
use super::cut::{ASCENDING, FULL, is_coarse};
use super::split::WORTH_SINKING;
use crate::error::Error;
use crate::frame::build::item_words;
use crate::frame::copy::{Placed, append, build, entries};
use crate::frame::node::Node;
use crate::frame::{ENTRIES, FRAME_WORDS, Kind, Loc, Nature, Ref, Target, View};
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

/// Subtrees that stand beside a crossing in key order.
struct Group {
    /// The frames that the crossings before that one lead to, the nearest first.
    before: Vec<u32>,
    parts: Vec<Inline>,
}

/// What is found out about an upper frame, entry after entry in the order of its table, which is nearly that of the keys.
#[derive(Default)]
struct Survey {
    /// By the frame that they stand beside.
    groups: BTreeMap<u32, Group>,
    /// The frames that the last crossings have led to, the latest last and each once.
    frames: VecDeque<u32>,
}

/// Frames before a full one that are asked for room.
const REACH: usize = 3;

/// A subtree of at most this many words is not worth the crossing and the entry.
const TOO_SMALL: usize = 1;
/// What fits no frame below gets a fresh one when it has at least this many words and
/// nothing else makes room.
const LAST_RESORT: usize = FRAME_WORDS / 8;

impl Tree {
    /// Moves what it can out of an upper frame and returns how many words that freed; zero when
    /// the frame has not been touched.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`] when nothing could be moved for want of slots.
    pub(super) fn sink(&self, frame: &mut Latched<'_>) -> Result<usize, Error> {
        let mut survey = Survey::default();
        // One memory for all entries, of which there may be hundreds: what is read of it has been
        // written for the same entry.
        let mut weights = vec![Weight::Inline(0); FRAME_WORDS];
        for (index, _) in entries(frame.view()) {
            survey.assign(frame.view(), index, &mut weights);
        }
        let mut groups = survey.groups;
        groups.remove(&frame.number());
        let slot = self.pool.take_slot()?;
        let mut freed = 0;
        let mut failure = None;
        let mut largest: &[Inline] = &[];
        let ascending = frame.view().counters().ascending >= ASCENDING;
        for (&beside, Group { before, parts }) in &groups {
            let mut rest = &parts[..];
            let before = if ascending { &before[..] } else { &[] };
            for number in [beside].into_iter().chain(before.iter().copied()) {
                // What has been moved so far stays moved: each move is complete in itself.
                match self.sink_into(frame, number, rest) {
                    Ok(moved) => {
                        freed += words_freed(&rest[..moved]);
                        rest = &rest[moved..];
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if words_freed(rest) < WORTH_A_FRAME {
                if words_freed(rest) > words_freed(largest) {
                    largest = rest;
                }
                continue;
            }
            match self.sink_to_fresh(frame, rest) {
                Ok(moved) => freed += words_freed(&rest[..moved]),
                Err(error) => failure = Some(error),
            }
        }
        if freed < WORTH_SINKING && words_freed(largest) >= LAST_RESORT {
            match self.sink_to_fresh(frame, largest) {
                Ok(moved) => freed += words_freed(&largest[..moved]),
                Err(error) => failure = Some(error),
            }
        }
        if freed == 0 {
            self.pool.give_slot(slot);
            // A failure may have come after the frame was made writable, so the caller could
            // not go on with what it has observed. A split would need more slots still.
            return failure.map_or(Ok(0), Err);
        }
        let view = frame.view();
        let placed: Vec<Placed> =
            entries(view).map(|(index, e)| Placed { index, root: e.root }).collect();
        build(view, &placed, self.pool.slot_words(slot), view.nature(), 0)
            .expect("a frame that gave something away is not larger");
        frame.leave_slot(slot);
        Ok(freed)
    }

    /// Moves as many of the parts as fit, from the first on, to frame `number`, which is
    /// left alone when it is no frame of leaves or of the level below, or somebody else is at
    /// it.
    /// Returns how many moved.
    fn sink_into(
        &self,
        frame: &mut Latched<'_>,
        number: u32,
        parts: &[Inline],
    ) -> Result<usize, Error> {
        let level = frame.view().nature().level.saturating_sub(1);
        // Only tried: the frame may have another parent.
        let Some(seen) = self.pool.neighbour(number) else { return Ok(0) };
        let view = self.pool.view(seen);
        let count = fitting(parts, view.counters().live + SPARE_ENTRIES, limit(frame));
        if ![0, level].contains(&view.nature().level) || count == 0 {
            return Ok(0);
        }
        let Some(mut below) = self.pool.latch_at(number, seen) else { return Ok(0) };
        frame.writable()?;
        below.writable()?;
        let parts = &parts[..count];
        let own: Vec<Placed> =
            entries(below.view()).map(|(index, e)| Placed { index, root: e.root }).collect();
        let mut taken = vec![false; view.counters().entries + parts.len()];
        own.iter().for_each(|place| taken[place.index] = true);
        let free = (0..taken.len()).filter(|&index| !taken[index]);
        let placed: Vec<Placed> =
            free.zip(parts).map(|(index, part)| Placed { index, root: part.root }).collect();
        let table = placed.iter().map(|place| place.index + 1).max().unwrap_or(0);
        let words: usize = parts.iter().map(|part| part.words).sum();
        let counters = below.view().counters();
        let fits = "the room was counted";
        if table <= counters.entries && counters.used + words <= FRAME_WORDS {
            append(frame.view(), &placed, below.words()).expect(fits);
        } else {
            let slot = self.pool.take_slot()?;
            let target = self.pool.slot_words(slot);
            build(below.view(), &own, target, below.view().nature(), table + SPARE_ENTRIES)
                .expect(fits);
            append(frame.view(), &placed, target).expect(fits);
            below.leave_slot(slot);
        }
        link(frame, parts, &placed, number);
        Ok(count)
    }

    /// Moves the parts, or as many of them as fit, from the first on, to a fresh frame.
    /// Returns how many moved.
    fn sink_to_fresh(&self, frame: &mut Latched<'_>, parts: &[Inline]) -> Result<usize, Error> {
        // A single part always fits.
        let count = fitting(parts, ENTRIES, limit(frame)).max(1);
        let parts = &parts[..count];
        frame.writable()?;
        let nature = frame.view().nature();
        // What has no crossings makes a frame of leaves, however high up it has grown. Were it
        // called an upper frame, what is pulled out of it would crowd the frame above.
        let below = self.pool.new_frame(0)?;
        // Insertions that came in order go on to do so below.
        let below_nature = Nature { ascending: nature.ascending, ..below.view().nature() };
        let placed: Vec<Placed> = parts
            .iter()
            .enumerate()
            .map(|(index, part)| Placed { index, root: part.root })
            .collect();
        build(frame.view(), &placed, below.words(), below_nature, 0).expect("the room was counted");
        link(frame, parts, &placed, below.number());
        Ok(count)
    }
}

/// The first word of each part becomes the crossing to where it is now. The frame's
/// counters are wrong until it is rebuilt.
fn link(frame: &Latched<'_>, parts: &[Inline], placed: &[Placed], below: u32) {
    let edit = frame.edit(0);
    for (part, place) in parts.iter().zip(placed) {
        let target = Target { frame: below, entry: place.index as u16 };
        edit.set(part.root.at(), target.pack());
        edit.set_ref(part.loc, Ref::new(Kind::Crossing, part.root.at()));
    }
}

/// Words that the frame has less when the parts have gone: all of theirs but a crossing each.
fn words_freed(parts: &[Inline]) -> usize {
    parts.iter().map(|part| part.words - 1).sum()
}

/// Up to which a frame is filled by what sinks from this one.
fn limit(frame: &Latched<'_>) -> usize {
    if frame.view().counters().ascending >= ASCENDING { FULL } else { LIMIT }
}

/// How many of the parts, from the first on, a frame with `live` words takes before it has
/// more than `limit`. Each takes an entry there.
fn fitting(parts: &[Inline], live: usize, limit: usize) -> usize {
    let sums = parts.iter().scan(live, |sum, part| {
        *sum += part.words + 1;
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= limit).count()
}

impl Survey {
    /// Collects the subtrees without crossings below `entry`, by the frame that stands beside
    /// them in key order. An entry without any crossing is left alone. Where insertions have come
    /// in ascending order, heavy subtrees are collected in pieces.
    fn assign(&mut self, view: View<'_>, entry: usize, weights: &mut [Weight]) {
        weigh(view, view.reference(Loc::entry(entry)), weights);
        let ascending = view.counters().ascending >= ASCENDING;
        let mut ahead: Vec<Inline> = Vec::new();
        let mut last = None;
        let mut pending = vec![Loc::entry(entry)];
        while let Some(loc) = pending.pop() {
            let item = view.reference(loc);
            if item.kind() == Kind::Crossing {
                let frame = view.crossing(item.at()).frame;
                self.note(frame);
                if !ahead.is_empty() {
                    self.collect(frame, &mut ahead);
                }
                last = Some(frame);
                continue;
            }
            match weight(view, item, weights) {
                Weight::Inline(words) if ascending && is_coarse(view, item, usize::from(words)) => {
                    pend_children(view, item, &mut pending);
                }
                Weight::Mixed => pend_children(view, item, &mut pending),
                Weight::Inline(words) if usize::from(words) <= TOO_SMALL => {}
                Weight::Inline(words) => {
                    let part = Inline { loc, root: item, words: usize::from(words) };
                    match last {
                        Some(frame) => self.collect(frame, &mut vec![part]),
                        None => ahead.push(part),
                    }
                }
            }
        }
    }

    fn note(&mut self, frame: u32) {
        if self.frames.back() == Some(&frame) {
            return;
        }
        self.frames.retain(|&other| other != frame);
        self.frames.push_back(frame);
        if self.frames.len() > REACH + 1 {
            self.frames.pop_front();
        }
    }

    /// Adds parts that stand beside a crossing to `frame`, the last one noted.
    fn collect(&mut self, frame: u32, parts: &mut Vec<Inline>) {
        let before = || self.frames.iter().rev().skip(1).copied().collect();
        let group = self.groups.entry(frame);
        let group = group.or_insert_with(|| Group { before: before(), parts: Vec::new() });
        group.parts.append(parts);
    }
}

/// Puts the children of a node on the stack, the first on top.
fn pend_children(view: View<'_>, item: Ref, pending: &mut Vec<Loc>) {
    let start = pending.len();
    pending.extend(Node::read(view, item).places());
    pending[start..].reverse();
}

/// What hangs at a place in a frame.
#[derive(Clone, Copy, Debug)]
enum Weight {
    /// This many words, and no crossing.
    Inline(u16),
    /// A crossing somewhere.
    Mixed,
}

/// What `item` weighs; of an inner node it is known already, by offset.
#[inline]
fn weight(view: View<'_>, item: Ref, weights: &[Weight]) -> Weight {
    match item.kind() {
        Kind::Crossing => Weight::Mixed,
        Kind::N4 | Kind::N16 | Kind::Bitmap => weights[item.at()],
        _ => Weight::Inline(item_words(view, item) as u16),
    }
}

/// Weighs every inner node below `root`.
fn weigh(view: View<'_>, root: Ref, weights: &mut [Weight]) {
    if !root.is_inner() {
        return;
    }
    let mut pending = vec![(root, false)];
    while let Some((item, done)) = pending.pop() {
        let node = Node::read(view, item);
        let below = node.places().map(|loc| view.reference(loc));
        if !done {
            pending.push((item, true));
            pending.extend(below.filter(|child| child.is_inner()).map(|child| (child, false)));
            continue;
        }
        let value = (!node.value().is_null()).then_some(node.value());
        let mut words = node.words();
        let mixed = below.chain(value).any(|child| match weight(view, child, weights) {
            Weight::Inline(more) => {
                words += usize::from(more);
                false
            }
            Weight::Mixed => true,
        });
        weights[item.at()] = if mixed { Weight::Mixed } else { Weight::Inline(words as u16) };
    }
}
