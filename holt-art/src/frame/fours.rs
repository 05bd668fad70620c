//! The children of an inner node, four at a time: as many as there are references in a word.
//!
//! As [`Steps`](super::steps::Steps), for loops that go from node to node: what is kept of a node is two words, and
//! a step from one of the four to the next reads nothing of the frame.

use super::node::Node;
use super::steps::Place;
use super::{Kind, Ref};

/// The children of a node that are still to come: four at most, and how many there are behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fours {
    /// What the four are, the first in the lowest lane; zero behind the last.
    refs: u64,
    /// Their bytes, the first in the lowest; behind them the byte of the last (8), which only nodes with a bitmap
    /// have, and how many children come behind it (16).
    keys: u64,
}

impl Fours {
    /// The children of `node` behind `place`, or, if `BACK`, those before it.
    pub(crate) fn new<const BACK: bool>(node: &Node<'_>, place: Place) -> Self {
        let (rank, byte) = (usize::from(place.rank), usize::from(place.byte));
        if node.kind() == Kind::Bitmap {
            Self::bitmap::<BACK>(node, rank, byte)
        } else {
            Self::small::<BACK>(node, rank, node.small_count())
        }
    }

    /// All children of an N4 or N16.
    #[inline(always)]
    pub(crate) fn of_small<const BACK: bool>(node: &Node<'_>) -> Self {
        let count = node.small_count();
        Self::small::<BACK>(node, if BACK { count } else { 0 }, count)
    }

    /// All children of a node with a bitmap.
    #[inline(never)]
    pub(crate) fn of_bitmap<const BACK: bool>(node: &Node<'_>) -> Self {
        Self::new::<BACK>(node, if BACK { Place::last(node) } else { Place::FIRST })
    }

    /// The children of an N4 or N16 that come behind the first `count` of them.
    #[inline(never)]
    pub(crate) fn behind<const BACK: bool>(node: &Node<'_>, count: usize) -> Self {
        let all = node.small_count();
        Self::small::<BACK>(node, if BACK { all.saturating_sub(count) } else { count }, all)
    }

    #[inline(always)]
    fn small<const BACK: bool>(node: &Node<'_>, rank: usize, count: usize) -> Self {
        let part = Part::new::<BACK>(rank, count);
        let (keys, refs) = node.four(part.from / 4);
        let keys = if BACK {
            u64::from(keys.swap_bytes()).unbounded_shr(8 * (4 - part.left as u32))
        } else {
            u64::from(keys) >> (8 * (part.from & 3))
        };
        part.pack::<BACK>(refs, keys, 0)
    }

    fn bitmap<const BACK: bool>(node: &Node<'_>, rank: usize, mut byte: usize) -> Self {
        let part = Part::new::<BACK>(rank, node.count());
        let refs = node.view().word(node.children_at() + part.from / 4);
        let (mut keys, mut last) = (0, 0);
        for n in 0..part.left {
            // There is one, unless what is read is garbage.
            let found = if BACK { node.set_below(byte) } else { node.set_from(byte) };
            last = found.unwrap_or(last);
            byte = usize::from(last) + usize::from(!BACK);
            keys |= u64::from(last) << (8 * n);
        }
        part.pack::<BACK>(refs, keys, last)
    }

    /// When the four are over, goes on to the next four of their node; false if there are none.
    #[inline(always)]
    pub(crate) fn refill<const BACK: bool>(&mut self, node: &Node<'_>) -> bool {
        if self.keys < 1 << 8 {
            return false;
        }
        *self = self.next_four::<BACK>(node);
        self.refs != 0
    }

    #[inline(never)]
    fn next_four<const BACK: bool>(self, node: &Node<'_>) -> Self {
        let (rest, last) = ((self.keys >> 8) as u16, self.keys as u8);
        let rank = if BACK { rest } else { (node.count() as u16).saturating_sub(rest) };
        let byte = u16::from(last) + u16::from(!BACK);
        let next = Self::new::<BACK>(node, Place { rank, byte });
        // Garbage might begin again and again.
        if next.rest() < usize::from(rest) { next } else { Self::default() }
    }

    /// The next child, its byte and what hangs there. The four must not be over.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> (u8, Ref) {
        let next = (self.keys as u8, Ref(self.refs as u16));
        self.keys >>= 8;
        self.refs >>= 16;
        next
    }

    /// Whether none of the four is left.
    #[inline(always)]
    pub(crate) fn is_over(&self) -> bool {
        self.refs == 0
    }

    /// How many of the four are left.
    fn left(self) -> usize {
        (64 - self.refs.leading_zeros()).div_ceil(16) as usize
    }

    /// How many children come behind the four.
    fn rest(self) -> usize {
        (self.keys >> (8 * self.left() + 8)) as usize & 0xFFFF
    }

    /// The place behind the child of `byte`, the last one stepped to, or, if it is to come `again`, that before it.
    pub(crate) fn place<const BACK: bool>(self, node: &Node<'_>, byte: u8, again: bool) -> Place {
        let come = self.rest() + self.left() + usize::from(again);
        let rank = if BACK { come } else { node.count().saturating_sub(come) };
        Place { rank: rank as u16, byte: u16::from(byte) + u16::from(BACK == again) }
    }
}

/// Which children of a node are the next four: those of one word of references.
struct Part {
    /// Rank of the first one of them, in byte order.
    from: usize,
    /// How many there are.
    left: usize,
    /// How many come behind them.
    rest: usize,
}

impl Part {
    /// Those at a place that `rank` of `count` children are before.
    #[inline(always)]
    fn new<const BACK: bool>(rank: usize, count: usize) -> Self {
        let rank = rank.min(count);
        if BACK {
            let from = rank.saturating_sub(1) & !3;
            Self { from, left: rank - from, rest: from }
        } else {
            let left = (count - rank).min(4 - (rank & 3));
            Self { from: rank, left, rest: count - rank - left }
        }
    }

    /// Takes them out of their word of references.
    #[inline(always)]
    fn pack<const BACK: bool>(&self, refs: u64, keys: u64, last: u8) -> Fours {
        let none = 4 - self.left as u32;
        let refs = if BACK {
            let halves = refs.rotate_left(32);
            let reversed =
                (halves & 0xFFFF_0000_FFFF_0000) >> 16 | (halves & 0x0000_FFFF_0000_FFFF) << 16;
            reversed.unbounded_shr(16 * none)
        } else {
            refs >> (16 * (self.from & 3)) & u64::MAX.unbounded_shr(16 * none)
        };
        let (more, shift) = (u64::from(last) | (self.rest as u64) << 8, 8 * self.left);
        Fours { refs, keys: keys & ((1 << shift) - 1) | more << shift }
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::Steps;
    use super::super::{FRAME_WORDS, View, Words};
    use super::*;
    use crate::sync::{AtomicU64, Ordering};

    /// A node of `count` children at words 64 on, every third byte from 1 on.
    fn node(words: &Words, count: usize) -> Node<'_> {
        // Relaxed: one thread.
        let set = |at: usize, word: u64| words[at].store(word, Ordering::Relaxed);
        let view = View::new(words);
        let byte = |rank: usize| rank as u64 * 3 % 256 + 1;
        let keys = |from: usize, to: usize| {
            (from..to.min(count)).fold(0, |keys, rank| keys | byte(rank) << (8 * (rank - from)))
        };
        let (kind, refs) = match count {
            0..=4 => {
                set(64, (count as u64) << 24 | keys(0, 4) << 32);
                (Kind::N4, 65)
            }
            5..=16 => {
                set(64, (count as u64) << 24 | (count.div_ceil(4) as u64) << 32);
                set(65, keys(0, 8));
                set(66, keys(8, 16));
                (Kind::N16, 67)
            }
            _ => {
                let bits = |word: u64| (0..count).filter(move |&rank| byte(rank) / 64 == word);
                let below =
                    |word: u64| (0..word).map(|word| bits(word).count() as u64).sum::<u64>();
                let counts = below(1) << 32 | below(2) << 40 | below(3) << 48;
                set(64, (count.div_ceil(4) as u64) << 24 | counts);
                (0..4).for_each(|word| {
                    set(
                        65 + word as usize,
                        bits(word).fold(0, |all, rank| all | 1 << (byte(rank) % 64)),
                    );
                });
                (Kind::Bitmap, 69)
            }
        };
        for word in 0..count.div_ceil(4) {
            // What is behind the last one is something else.
            let lane = |lane: usize| u64::from(Ref::new(Kind::Leaf, 200 + 4 * word + lane).0);
            set(refs + word, (0..4).fold(0, |all, n| all | lane(n) << (16 * n)));
        }
        Node::read(view, Ref::new(kind, 64))
    }

    /// From every place, and over every place that may be handed over, the same children as [`Steps`].
    fn agree<const BACK: bool>(count: usize) {
        let words: Box<Words> = Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        assert_eq!(words.len(), FRAME_WORDS);
        let node = node(&words, count);
        let view = node.view();
        let mut place = if BACK { Place::last(&node) } else { Place::FIRST };
        let mut left = count;
        loop {
            let mut steps = Steps::<BACK>::new(view, node, place);
            let mut fours = Fours::new::<BACK>(&node, place);
            let first = steps.step();
            let mut expected = first;
            let mut seen = 0;
            loop {
                if fours.is_over() && !fours.refill::<BACK>(&node) {
                    assert_eq!(expected, None, "{count} children, {BACK}, {seen}");
                    break;
                }
                let (byte, item) = fours.step();
                assert_eq!(expected, Some((byte, item)), "{count} children, {BACK}, {seen}");
                let behind = steps.place(byte);
                let handed = fours.place::<BACK>(&node, byte, false);
                assert_eq!(handed, behind, "{count} children, {BACK}, {seen}");
                let again = fours.place::<BACK>(&node, byte, true);
                assert_eq!(Steps::<BACK>::new(view, node, again).step(), Some((byte, item)));
                assert_eq!(steps.place_before(byte), again);
                seen += 1;
                expected = steps.step();
            }
            assert_eq!(seen, left);
            if count <= 16 {
                let behind = Fours::behind::<BACK>(&node, count - left);
                assert_eq!(behind, Fours::new::<BACK>(&node, place));
            }
            let Some((byte, _)) = first else { break };
            let mut once = Steps::<BACK>::new(view, node, place);
            once.step();
            place = once.place(byte);
            left -= 1;
        }
    }

    #[test]
    fn fours_are_the_same_children_as_steps() {
        for count in [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 63, 64, 65, 85] {
            agree::<false>(count);
            agree::<true>(count);
        }
    }

    /// A count that does not go with the children behind it, as a reader beside a writer may see: the
    /// steps come to an end.
    #[test]
    fn garbage_ends() {
        let words: Box<Words> = Box::new(std::array::from_fn(|at| {
            AtomicU64::new((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
        }));
        let view = View::new(&words);
        for at in 1..FRAME_WORDS {
            for kind in [Kind::N4, Kind::N16, Kind::Bitmap] {
                let node = Node::read(view, Ref::new(kind, at));
                let mut fours = Fours::new::<true>(&node, Place { rank: u16::MAX, byte: u16::MAX });
                let mut steps = 0;
                while !fours.is_over() || fours.refill::<true>(&node) {
                    fours.step();
                    steps += 1;
                }
                let mut fours = Fours::new::<false>(&node, Place::FIRST);
                while !fours.is_over() || fours.refill::<false>(&node) {
                    fours.step();
                    steps += 1;
                }
                assert!(steps < 1_000, "{kind:?} at {at}");
            }
        }
    }
}
