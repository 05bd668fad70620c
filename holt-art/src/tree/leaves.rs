//! Runs of leaves: the children of a node that are leaves, copied to a batch in one loop.
//!
//! All names of a run share the path to the node. A child that is itself a small node of leaves
//! alone, as there are many where keys are random or end in numbers, is a part of the run: its
//! names have one piece more between the path and the suffix. Such a node, or a leaf, may also hang
//! in another frame: upper nodes of many random keys have hundreds of crossings to a few records
//! each. What is not ordinary (long leaves, large values, nodes with a record or with children that
//! are no leaves, the end of the frame) ends the run, and is left to the walk.

use super::batch::{Batch, SLACK};
use super::entry::Item;
use super::spelled::{Path, find_byte};
use crate::MAX_KEY;
use crate::frame::node::Node;
use crate::frame::steps::Steps;
use crate::frame::{Kind, Ref, View};
use crate::pool::Pool;
use crate::pool::latch::{LatchRef, NO_SLOT, Observed};
use crate::sync::{AtomicU64, Ordering};

/// Most bytes behind the path of a leaf of the short kind: suffix and value.
pub(super) const SHORT: usize = 512;
/// Children whose lines are asked for before it is their turn.
pub(super) const AHEAD: usize = 16;
/// Bytes that are copied at a time.
pub(super) const PIECE: usize = 32;
/// Most children of a small node.
const MOST: usize = 16;
/// Most bytes behind the path: a byte to branch, the prefix of a small node and its byte, a leaf.
pub(super) const BEHIND: usize = 1 + PIECE + 1 + SHORT + SLACK;

/// What ended a run of leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ran {
    /// The node has no more children.
    Done,
    /// The child with this byte, which is not in the batch, is something else.
    Other(u8, Ref),
    /// The batch has all that it may have.
    Full,
    /// A frame has changed.
    Changed,
    /// It has gone down to a node below, where the walk has to go on.
    Below,
}

/// What the leaves of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'r, 'v> {
    pub(super) view: View<'v>,
    /// The name of their node.
    pub(super) path: &'r Path,
    pub(super) keys_only: bool,
    /// Names that the batch may have.
    pub(super) names: usize,
    /// Bytes after which it takes no more; not zero.
    pub(super) bytes: usize,
    /// If lists are rolled up, the delimiter, and where in a name it is looked for.
    pub(super) delimiter: (u8, usize),
    /// If crossings are followed, how.
    pub(super) over: Option<Over<'v>>,
}

/// How crossings out of a frame that is validated are followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over<'v> {
    pub(super) pool: &'v Pool,
    /// The frame's latch, and its word.
    pub(super) parent: (LatchRef<'v>, Observed),
}

/// What is behind a crossing.
pub(super) struct Across<'v> {
    /// The number of the frame.
    pub(super) number: u32,
    /// How crossings out of it are followed.
    pub(super) over: Over<'v>,
    pub(super) view: View<'v>,
    pub(super) root: Ref,
}

impl<'v> Over<'v> {
    /// Follows a crossing of the frame. What came from the frame is certain then.
    #[inline(always)]
    pub(super) fn cross(self, view: View<'v>, item: Ref) -> Option<Across<'v>> {
        let Over { pool, parent: (latch, word) } = self;
        let target = view.crossing(item.at());
        let row = pool.row(target.frame)?;
        let seen = row.latch().observe();
        // P5.1: the child's word is read before the parent is validated.
        if seen.slot() == NO_SLOT || !latch.validate(word) {
            return None;
        }
        let view = View::new(pool.slot_words(seen.slot()));
        let root = row.root(view, usize::from(target.entry));
        let over = Over { pool, parent: (row.latch(), seen) };
        Some(Across { number: target.frame, over, view, root })
    }

    /// Whether nothing has changed in the frame.
    #[inline(always)]
    pub(super) fn holds(&self) -> bool {
        let (latch, seen) = self.parent;
        latch.validate(seen)
    }
}

impl Batch {
    /// Adds the records of `child` and of one child after the other behind it, as long as they
    /// are leaves of the short kind or small nodes of such, and no groups if `ROLLS`.
    #[inline]
    pub(super) fn leaves<const BACK: bool, const ROLLS: bool>(
        &mut self,
        run: &Run<'_, '_>,
        steps: &mut Steps<'_, BACK>,
        child: (u8, Ref),
    ) -> Ran {
        if steps.is_bitmap() {
            self.copy_leaves::<BACK, ROLLS, true>(run, steps, child)
        } else {
            self.copy_leaves::<BACK, ROLLS, false>(run, steps, child)
        }
    }

    /// A function of its own, so that all that its loop needs is in registers.
    #[inline(never)]
    fn copy_leaves<const BACK: bool, const ROLLS: bool, const BITMAP: bool>(
        &mut self,
        run: &Run<'_, '_>,
        steps_kept: &mut Steps<'_, BACK>,
        child: (u8, Ref),
    ) -> Ran {
        let view = run.view;
        let front = Front::new(run.path);
        if front.length > MAX_KEY - SHORT {
            // The name may become too long.
            return Ran::Other(child.0, child.1);
        }
        let mask = if run.keys_only { 0 } else { 0xFF };
        let need = front.length + BEHIND;
        let mut steps = *steps_kept;
        let (mut byte, mut item) = child;
        let ran = loop {
            if self.count >= run.names || self.end >= run.bytes {
                break Ran::Full;
            }
            // A small node has room for all of its leaves, or is refused because of a limit.
            let most = MOST.min(run.names - self.count);
            self.reserve(need, most, run.names);
            let until = run.names.min(self.items.len());
            // The last entry may begin where the batch is not yet full.
            let room = self.bytes.len().min(run.bytes - 1 + need);
            let least = if until < run.names { most } else { 0 };
            let spare = if room < run.bytes - 1 + need { most * need } else { 0 };
            let bytes = &mut self.bytes[..room];
            let items = &mut self.items[..until];
            let (mut at, mut count) = (self.end, self.count);
            let ran = loop {
                if item.kind() == Kind::Leaf {
                    let Some(to) = bytes.get_mut(at..at + need) else { break None };
                    let Some(slot) = items.get_mut(count) else { break None };
                    if BITMAP {
                        steps.prefetch_four(AHEAD);
                    }
                    front.copy(to);
                    to[front.length] = byte;
                    let name = front.length + 1;
                    let Some(read) = copy_leaf(view, item, mask, &mut to[name..]) else {
                        break Some(Ran::Other(byte, item));
                    };
                    if ROLLS && run.has_delimiter(to, name + read.suffix()) {
                        break Some(Ran::Other(byte, item));
                    }
                    *slot = read.item(at, name, mask);
                    at = slot.end as usize;
                    count += 1;
                } else {
                    if items.len() - count < least || bytes.len() - at < spare {
                        break None;
                    }
                    if BITMAP {
                        steps.prefetch_four(AHEAD);
                    }
                    let slots = &mut items[count..];
                    let crosses = item.kind() == Kind::Crossing;
                    let copy = if crosses {
                        copy_crossed::<BACK, ROLLS>
                    } else {
                        copy_small::<BACK, ROLLS>
                    };
                    let (end, more) = copy(run, (byte, item), bytes, at, slots);
                    if more == 0 {
                        break Some(Ran::Other(byte, item));
                    }
                    at = end;
                    count += more;
                    if crosses {
                        self.certain = count;
                    }
                }
                let step = if BITMAP { steps.step_bitmap() } else { steps.step_small() };
                let Some(next) = step else { break Some(Ran::Done) };
                (byte, item) = next;
            };
            self.end = at;
            self.count = count;
            if let Some(ran) = ran {
                break ran;
            }
        };
        *steps_kept = steps;
        if self.count >= run.names || self.end >= run.bytes { Ran::Full } else { ran }
    }
}

/// Copies the leaves of the child `item`, if that is a small node and all of its children are
/// leaves; says where the last one ends, and how many there are: none, if not all of them could
/// be copied.
#[inline(never)]
fn copy_small<const BACK: bool, const ROLLS: bool>(
    run: &Run<'_, '_>,
    (byte, item): (u8, Ref),
    bytes: &mut [u8],
    at: usize,
    slots: &mut [Item],
) -> (usize, usize) {
    let copied = small(run.view, item)
        .and_then(|node| copy_node::<BACK, ROLLS>(run, byte, node, bytes, at, slots));
    copied.unwrap_or_default()
}

/// As [`copy_small`], for a crossing to a small node or to a leaf. What has been copied is certain,
/// and all that came from the crossing's frame before it.
#[inline(never)]
fn copy_crossed<const BACK: bool, const ROLLS: bool>(
    run: &Run<'_, '_>,
    (byte, item): (u8, Ref),
    bytes: &mut [u8],
    at: usize,
    slots: &mut [Item],
) -> (usize, usize) {
    let mut crossed = || {
        let Across { over, view, root, .. } = run.cross(item)?;
        let copied = if root.kind() == Kind::Leaf {
            copy_alone::<ROLLS>(run, byte, (view, root), bytes, at, slots)
        } else {
            copy_node::<BACK, ROLLS>(run, byte, small(view, root)?, bytes, at, slots)
        };
        if over.holds() { copied } else { None }
    };
    crossed().unwrap_or_default()
}

#[inline(always)]
fn copy_alone<const ROLLS: bool>(
    run: &Run<'_, '_>,
    byte: u8,
    (view, leaf): (View<'_>, Ref),
    bytes: &mut [u8],
    at: usize,
    slots: &mut [Item],
) -> Option<(usize, usize)> {
    let front = Front::new(run.path);
    let mask = if run.keys_only { 0 } else { 0xFF };
    let slot = slots.first_mut()?;
    let to = bytes.get_mut(at..at + front.length + BEHIND)?;
    front.copy(to);
    to[front.length] = byte;
    let name = front.length + 1;
    let read = copy_leaf(view, leaf, mask, &mut to[name..])?;
    if ROLLS && run.has_delimiter(to, name + read.suffix()) {
        return None;
    }
    *slot = read.item(at, name, mask);
    Some((slot.end as usize, 1))
}

#[inline(always)]
fn copy_node<const BACK: bool, const ROLLS: bool>(
    run: &Run<'_, '_>,
    byte: u8,
    node: Node<'_>,
    bytes: &mut [u8],
    mut at: usize,
    slots: &mut [Item],
) -> Option<(usize, usize)> {
    let view = node.view();
    let front = Front::new(run.path);
    let mask = if run.keys_only { 0 } else { 0xFF };
    let need = front.length + BEHIND;
    let prefix = node.prefix_len();
    let name = front.length + 1 + prefix + 1;
    let count = node.count();
    let (keys, children) = (node.keys(), node.children_at());
    for (n, slot) in slots.get_mut(..count)?.iter_mut().enumerate() {
        let rank = if BACK { count - 1 - n } else { n };
        let to = bytes.get_mut(at..at + need)?;
        front.copy(to);
        to[front.length] = byte;
        if prefix != 0 {
            let to = to[front.length + 1..].first_chunk_mut()?;
            copy_piece(view.run(node.prefix_at(), PIECE / 8)?.first_chunk()?, to);
        }
        to[name - 1] = (keys[rank / 8] >> (8 * (rank % 8))) as u8;
        let leaf = Ref((view.word(children + rank / 4) >> (16 * (rank % 4))) as u16);
        let read = copy_leaf(view, leaf, mask, &mut to[name..])?;
        if ROLLS && run.has_delimiter(to, name + read.suffix()) {
            return None;
        }
        *slot = read.item(at, name, mask);
        at = slot.end as usize;
    }
    Some((at, count))
}

/// The node `item`, if it may be a part of a run: it is small and has no record, and all of its
/// children are leaves of the short kind.
#[inline(always)]
fn small(view: View<'_>, item: Ref) -> Option<Node<'_>> {
    if !matches!(item.kind(), Kind::N4 | Kind::N16) {
        return None;
    }
    let node = Node::read(view, item);
    if !node.value().is_null() || node.prefix_len() > PIECE {
        return None;
    }
    node.has_only_leaves().then_some(node)
}

/// Whether a run may begin with the child `item`; `crosses` says whether crossings are followed.
#[inline]
pub(super) fn begins(view: View<'_>, item: Ref, crosses: bool) -> bool {
    match item.kind() {
        Kind::Leaf => true,
        Kind::Crossing => crosses,
        Kind::N4 | Kind::N16 => {
            if crosses {
                return true;
            }
            let node = Node::read(view, item);
            view.reference(node.child_loc(0)).kind() == Kind::Leaf
        }
        _ => false,
    }
}

impl<'v> Run<'_, 'v> {
    /// Follows a crossing out of the frame of the run, if crossings are followed.
    #[inline(always)]
    pub(super) fn cross(&self, item: Ref) -> Option<Across<'v>> {
        self.over?.cross(self.view, item)
    }

    /// Whether a name of `length` bytes is of a group.
    #[inline(always)]
    fn has_delimiter(&self, name: &[u8], length: usize) -> bool {
        let (delimiter, from) = self.delimiter;
        find_byte(name, from, length, delimiter).is_some()
    }
}

/// The path that all names of a run begin with.
#[derive(Clone, Copy)]
pub(super) struct Front<'r> {
    first: &'r [u8; PIECE],
    second: &'r [u8; PIECE],
    /// What is behind those.
    more: &'r [u8],
    pub(super) length: usize,
}

impl<'r> Front<'r> {
    #[inline(always)]
    pub(super) fn new(path: &'r Path) -> Self {
        let spelled = path.spelled();
        let second = spelled.get(PIECE..).and_then(<[u8]>::first_chunk);
        Self {
            first: spelled.first_chunk().unwrap_or(&[0; PIECE]),
            second: second.unwrap_or(&[0; PIECE]),
            more: path.bytes().get(2 * PIECE..).unwrap_or_default(),
            length: path.len(),
        }
    }

    /// Copies the path.
    #[inline(always)]
    pub(super) fn copy(&self, to: &mut [u8]) {
        let Some((to, more)) = to.split_first_chunk_mut::<PIECE>() else { return };
        *to = *self.first;
        if self.length > PIECE {
            let Some((to, more)) = more.split_first_chunk_mut::<PIECE>() else { return };
            *to = *self.second;
            if self.length > 2 * PIECE {
                more[..self.more.len()].copy_from_slice(self.more);
            }
        }
    }
}

/// The head of a leaf that has been copied.
#[derive(Clone, Copy)]
pub(super) struct Head(u64);

impl Head {
    #[inline(always)]
    pub(super) fn suffix(self) -> usize {
        (self.0 & 0xFF) as usize
    }

    #[inline(always)]
    fn value(self, mask: usize) -> usize {
        (self.0 >> 8) as usize & mask
    }

    /// The entry that begins at `at` and has `name` bytes before the leaf's suffix.
    #[inline(always)]
    pub(super) fn item(self, at: usize, name: usize, mask: usize) -> Item {
        let name_end = at + name + self.suffix();
        let end = name_end + self.value(mask);
        let (start, name_end, end) = (at as u32, name_end as u32, end as u32);
        Item { start, name_end, end, group: false, version: self.0 >> 16 }
    }
}

/// Copies the suffix of a leaf, and its value unless `mask` is zero, in whole pieces; not if the
/// frame ends before them.
#[inline(always)]
pub(super) fn copy_leaf(view: View<'_>, item: Ref, mask: usize, to: &mut [u8]) -> Option<Head> {
    let head = Head(view.word(item.at()));
    let pieces = (head.suffix() + head.value(mask)).div_ceil(PIECE);
    let words = view.run(item.at() + 1, pieces * 4)?.as_chunks::<4>().0;
    let to: &mut [[u8; PIECE]; SHORT / PIECE] = to.as_chunks_mut().0.first_chunk_mut()?;
    // Most leaves have up to three pieces: those without a loop, which would be unrolled by two.
    let ([one, two, three, to @ ..], mut words) = (to, words);
    for to in [one, two, three] {
        let Some((piece, more)) = words.split_first() else { return Some(head) };
        copy_piece(piece, to);
        words = more;
    }
    if words.is_empty() {
        return Some(head);
    }
    for (to, piece) in to.iter_mut().zip(words) {
        copy_piece(piece, to);
    }
    Some(head)
}

#[inline(always)]
pub(super) fn copy_piece(words: &[AtomicU64; PIECE / 8], to: &mut [u8; PIECE]) {
    for (to, word) in to.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        // Relaxed: ordered against writers by the latch word (pool::latch, edge 2).
        *to = word.load(Ordering::Relaxed).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::steps::Place;
    use crate::frame::{FRAME_WORDS, Words};

    /// A frame with a node of four leaves, each of `words` words behind its head, of which the last
    /// ends with the frame. Nothing has to be read behind it, and what is written too far of
    /// one is overwritten by the next.
    #[test]
    fn a_leaf_that_ends_with_its_frame_is_left_to_the_exact_copy() {
        for words in 2..9usize {
            let frame: Box<Words> = Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
            // Relaxed: one thread.
            let set = |at: usize, word: u64| frame[at].store(word, Ordering::Relaxed);
            let leaf = |n: usize| FRAME_WORDS - (4 - n) * (words + 1);
            set(100, 4 << 24 | u64::from(u32::from_le_bytes(*b"abcd")) << 32);
            let mut refs = 0;
            for n in 0..4 {
                refs |= u64::from(Ref::new(Kind::Leaf, leaf(n)).0) << (16 * n);
                set(leaf(n), 3 | (words as u64 * 8 - 3) << 8 | (n as u64 + 7) << 16);
                (1..=words).for_each(|word| set(leaf(n) + word, 0x2A2B_2C2D_2E2F_3031 + n as u64));
            }
            set(101, refs);
            let view = View::new(&frame);
            let node = Node::read(view, Ref::new(Kind::N4, 100));
            let mut steps = Steps::<false>::new(view, node, Place::FIRST);
            let child = steps.step().expect("the first");
            let mut path = Path::default();
            path.set(b"name", 4);
            let run = Run {
                view,
                path: &path,
                keys_only: false,
                names: 10,
                bytes: 1 << 10,
                delimiter: (0, 0),
                over: None,
            };
            let mut batch = Batch::default();
            let ran = batch.leaves::<false, false>(&run, &mut steps, child);
            // A run of four words at a time fits the frame only if the length is one.
            let exact = words % 4 == 0;
            let last = (b'd', Ref::new(Kind::Leaf, leaf(3)));
            assert_eq!(ran, if exact { Ran::Done } else { Ran::Other(last.0, last.1) });
            assert_eq!(batch.count(), if exact { 4 } else { 3 });
            for (n, item) in batch.items().iter().enumerate() {
                let all: Vec<u8> = std::iter::repeat_n(0x2A2B_2C2D_2E2F_3031 + n as u64, words)
                    .flat_map(u64::to_le_bytes)
                    .collect();
                let name = [b"name", &[b"abcd"[n]][..], &all[..3]].concat();
                assert_eq!(item.name(batch.bytes()), name);
                assert_eq!(item.entry(batch.bytes()).value(), Some(&all[3..]));
                assert_eq!(item.version, n as u64 + 7);
            }
        }
    }
}
