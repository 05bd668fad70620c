//! What a list has read ahead: private copies of names and values, in one run of bytes.
//!
//! A leaf keeps its suffix and its value side by side, so an entry is written as the path
//! and one copy of words behind it. Words are stored whole; what is written too far is
//! overwritten by the next entry. Nothing is allocated per entry, and the children of one
//! node, which share all of the path but its last byte, are copied in one loop ([`leaves`]).
//!
//! [`leaves`]: Batch::leaves

use super::entry::Item;
use super::get::{Taken, append_value};
use super::spelled::{Path, find_byte};
use crate::MAX_KEY;
use crate::frame::leaf::Leaf;
use crate::frame::steps::Steps;
use crate::frame::{Kind, Ref, View, words_for};
use crate::pool::Pool;
use crate::sync::Ordering;

/// Bytes that may be written behind the end of something.
pub(super) const SLACK: usize = 64;
/// Bytes that a batch makes room for at a time, unless an entry is larger.
const ROOM: usize = 16 << 10;
/// Most bytes behind the path of a leaf of the short kind: suffix and value.
const SHORT: usize = 512;
/// Children whose lines are asked for before it is their turn.
pub(super) const AHEAD: usize = 16;
/// Bytes that are copied at a time.
const PIECE: usize = 32;

/// What ended a run of leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ran {
    /// The node has no more children.
    Done,
    /// The child with this byte, which is not in the batch, is something else.
    Other(u8, Ref),
    /// The batch has all that it may have.
    Full,
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
}

/// Names and values of one walk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// End of the last entry.
    end: usize,
    /// The entries, and room for more.
    items: Vec<Item>,
    /// How many entries there are.
    count: usize,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.end = 0;
        self.count = 0;
    }

    /// Bytes that there is room for.
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes of all names and values.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.end
    }

    /// The bytes of all entries.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// The entries.
    #[inline]
    pub(super) fn items(&self) -> &[Item] {
        &self.items[..self.count]
    }

    /// How many entries there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Keeps the first `count` entries.
    pub(super) fn truncate(&mut self, count: usize) {
        self.count = count.min(self.count);
        self.end = self.items().last().map_or(0, |item| item.end as usize);
    }

    /// Makes room for an entry of `need` bytes; the batch may have `names` names.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, need: usize, names: usize) {
        let expected = names.saturating_sub(self.count).clamp(1, ROOM / 64);
        if self.items.len() < self.count + expected {
            self.items.resize(self.count + expected, Item::default());
        }
        if self.bytes.len() - self.end < need {
            // The vector doubles its memory by itself; this is what is filled with zeros.
            let more = need.saturating_mul(expected).clamp(need, need.max(ROOM));
            self.bytes.resize(self.end + more, 0);
        }
    }

    /// Makes sure that there is room for an entry of `need` bytes.
    #[inline]
    fn reserve(&mut self, need: usize, names: usize) {
        if self.bytes.len() - self.end < need || self.items.len() == self.count {
            self.grow(need, names);
        }
    }

    #[inline]
    fn push_item(&mut self, item: Item) {
        self.items[self.count] = item;
        self.count += 1;
    }

    /// Adds the records of `child` and of one child after the other behind it, as long as they
    /// are leaves of the short kind, and no groups if `ROLLS`.
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
        let name = run.path.len();
        if name > MAX_KEY - SHORT {
            // The name may become too long.
            return Ran::Other(child.0, child.1);
        }
        let spelled = run.path.spelled();
        // The path stays in registers.
        let first: [u8; PIECE] = *spelled.first_chunk().unwrap_or(&[0; PIECE]);
        let second: [u8; PIECE] =
            *spelled.get(PIECE..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; PIECE]);
        let mask = if run.keys_only { 0 } else { 0xFF };
        let need = name + 1 + SHORT + SLACK;
        let mut steps = *steps_kept;
        let (mut byte, mut item) = child;
        let ran = loop {
            if self.count >= run.names || self.end >= run.bytes {
                break Ran::Full;
            }
            self.reserve(need, run.names);
            let until = run.names.min(self.items.len());
            let mut slots = self.items[self.count..until].iter_mut();
            let mut at = self.end;
            // The last entry may begin where the batch is not yet full.
            let room = self.bytes.len().min(run.bytes - 1 + need);
            let bytes = &mut self.bytes[..room];
            let ran = loop {
                if item.kind() != Kind::Leaf {
                    break Some(Ran::Other(byte, item));
                }
                let Some(to) = bytes.get_mut(at..at + need) else { break None };
                let head = view.word(item.at());
                let suffix = (head & 0xFF) as usize;
                let value = (head >> 8 & mask) as usize;
                // Whole pieces of four words, unless the frame ends before.
                let pieces = (suffix + value).div_ceil(PIECE);
                let Some(words) = view.run(item.at() + 1, pieces * 4) else {
                    break Some(Ran::Other(byte, item));
                };
                if BITMAP {
                    steps.prefetch_at(AHEAD);
                }
                copy_front(to, &first, &second, spelled, name);
                to[name] = byte;
                let rest = to[name + 1..].as_chunks_mut::<PIECE>().0;
                for (to, words) in rest.iter_mut().zip(words.as_chunks::<4>().0) {
                    for (to, word) in to.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                        // Relaxed: ordered against writers by the latch word (pool::latch, edge 2).
                        *to = word.load(Ordering::Relaxed).to_le_bytes();
                    }
                }
                let length = name + 1 + suffix;
                if ROLLS {
                    let (delimiter, from) = run.delimiter;
                    if find_byte(to, from, length, delimiter).is_some() {
                        break Some(Ran::Other(byte, item));
                    }
                }
                let Some(slot) = slots.next() else { break None };
                let (start, name_end) = (at as u32, (at + length) as u32);
                at += length + value;
                let (end, version) = (at as u32, head >> 16);
                *slot = Item { start, name_end, end, group: false, version };
                let step = if BITMAP { steps.step_bitmap() } else { steps.step_small() };
                let Some(next) = step else { break Some(Ran::Done) };
                (byte, item) = next;
            };
            self.end = at;
            self.count = until - slots.len();
            if let Some(ran) = ran {
                break ran;
            }
        };
        *steps_kept = steps;
        if self.count >= run.names || self.end >= run.bytes { Ran::Full } else { ran }
    }

    /// Adds the record of `leaf` below `path`, without its value if `keys_only`, or says why
    /// not. The leaf must be plausible. `names` is how many names the batch may have.
    pub(super) fn push(
        &mut self,
        pool: &Pool,
        view: View<'_>,
        path: &Path,
        leaf: &Leaf,
        keys_only: bool,
        names: usize,
    ) -> Taken {
        let start = self.end;
        let inline = if keys_only || leaf.blob { 0 } else { leaf.value };
        let count = words_for(leaf.suffix + inline);
        self.reserve(path.len() + count * 8 + SLACK, names);
        let Some(words) = view.run(leaf.data, count) else { return Taken::Garbage };
        let name_end = start + path.len() + leaf.suffix;
        copy_path(path, path.len(), &mut self.bytes[start..]);
        let rest = &mut self.bytes[start + path.len()..];
        for (chunk, word) in rest.chunks_exact_mut(8).zip(words) {
            // Relaxed: ordered against writers by the latch word (pool::latch, edge 2).
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        self.end = name_end + inline;
        if leaf.blob && !keys_only {
            let taken = self.push_blob(pool, view, leaf);
            if taken != Taken::Done {
                self.end = start;
                return taken;
            }
        }
        let (start, name_end, end) = (start as u32, name_end as u32, self.end as u32);
        self.push_item(Item { start, name_end, end, group: false, version: leaf.version });
        Taken::Done
    }

    #[cold]
    fn push_blob(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken {
        self.bytes.truncate(self.end);
        let read = append_value(pool, view, leaf, &mut self.bytes);
        self.end = self.bytes.len();
        read
    }

    /// Adds the group whose name is the first `length` bytes of the path.
    #[inline]
    pub(super) fn push_group(&mut self, path: &Path, length: usize, names: usize) {
        let start = self.end;
        self.reserve(length + SLACK, names);
        copy_path(path, length, &mut self.bytes[start..]);
        self.end = start + length;
        let (start, end) = (start as u32, self.end as u32);
        self.push_item(Item { start, name_end: end, end, group: true, version: 0 });
    }
}

/// Copies a path of `length` bytes, of which the first two pieces are at hand.
#[inline(always)]
fn copy_front(
    to: &mut [u8],
    first: &[u8; PIECE],
    second: &[u8; PIECE],
    path: &[u8],
    length: usize,
) {
    let Some((to, more)) = to.split_first_chunk_mut::<PIECE>() else { return };
    *to = *first;
    if length > PIECE {
        let Some((to, more)) = more.split_first_chunk_mut::<PIECE>() else { return };
        *to = *second;
        if length > 2 * PIECE {
            more[..length - 2 * PIECE].copy_from_slice(&path[2 * PIECE..length]);
        }
    }
}

/// Copies the first `length` bytes of a path, with [`SLACK`] behind them on both sides. For
/// names, which are short, that costs less than a call of `memcpy`.
#[inline(always)]
fn copy_path(path: &Path, length: usize, to: &mut [u8]) {
    let pieces = length.div_ceil(PIECE);
    let from = path.spelled().as_chunks::<PIECE>().0;
    let to = to.as_chunks_mut::<PIECE>().0;
    match (from, &mut *to) {
        ([first, ..], [to, ..]) if pieces <= 1 => *to = *first,
        ([first, second, ..], [to, next, ..]) if pieces == 2 => {
            *to = *first;
            *next = *second;
        }
        _ => to[..pieces].copy_from_slice(&from[..pieces]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::node::Node;
    use crate::frame::steps::Place;
    use crate::frame::{FRAME_WORDS, Words};
    use crate::sync::AtomicU64;

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
