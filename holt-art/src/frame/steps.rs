//! The children of an inner node one after the other, from any place, in either direction.
//!
//! References stand in byte order in every kind of node, so a list keeps the rank and
//! counts; the byte comes from the keys, or from the next bit of a bitmap.

use super::node::Node;
use super::{Kind, Ref, View};

/// A place between two children of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    /// Children in front of the place.
    pub(crate) rank: u16,
    /// Their bytes are below this one, those of the children behind the place are not.
    /// From 0 to 256.
    pub(crate) byte: u16,
}

impl Place {
    /// In front of all children.
    pub(crate) const FIRST: Self = Self { rank: 0, byte: 0 };

    /// Behind all children of the node.
    #[inline]
    pub(crate) fn last(node: &Node<'_>) -> Self {
        Self { rank: node.count() as u16, byte: 256 }
    }
}

/// Steps over the children of a node, backward if `BACK`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps<'a, const BACK: bool> {
    view: View<'a>,
    node: Node<'a>,
    /// First word of the references.
    refs: usize,
    /// Children in front of the place.
    rank: usize,
    /// Number of children; not used for bitmaps.
    count: usize,
    /// Their bytes; not used for bitmaps.
    keys: [u64; 2],
    /// Children of the current bitmap word that are still to come.
    bits: u64,
    /// The current bitmap word, 0…3.
    word: usize,
}

impl<'a, const BACK: bool> Steps<'a, BACK> {
    #[inline]
    pub(crate) fn new(view: View<'a>, node: Node<'a>, place: Place) -> Self {
        let rank = usize::from(place.rank);
        let mut steps = Self {
            view,
            node,
            refs: node.children_at(),
            rank,
            count: 0,
            keys: [0; 2],
            bits: 0,
            word: 0,
        };
        if node.kind() == Kind::Bitmap {
            let byte = usize::from(place.byte);
            let at = if BACK { byte.saturating_sub(1) } else { byte.min(255) };
            steps.word = at >> 6;
            let all = view.word(node.at() + 1 + steps.word);
            steps.bits = match (BACK, byte) {
                (true, 0) | (false, 256..) => 0,
                (true, _) => all & (u64::MAX >> (63 - (at & 63))),
                (false, _) => all & (u64::MAX << (at & 63)),
            };
        } else {
            steps.count = node.count();
            steps.keys = node.keys();
        }
        steps
    }

    /// The place that was reached with the child of `byte`, the last one stepped to.
    #[inline]
    pub(crate) fn place(&self, byte: u8) -> Place {
        Place { rank: self.rank as u16, byte: u16::from(byte) + u16::from(!BACK) }
    }

    /// The place before the child of `byte`, the last one stepped to.
    #[inline]
    pub(crate) fn place_before(&self, byte: u8) -> Place {
        let rank = if BACK { self.rank as u16 + 1 } else { (self.rank as u16).saturating_sub(1) };
        Place { rank, byte: u16::from(byte) + u16::from(BACK) }
    }

    #[inline]
    fn reference(&self, rank: usize) -> Ref {
        Ref((self.view.word(self.refs + rank / 4) >> (16 * (rank & 3))) as u16)
    }

    /// Asks for what the next children are, at most `most`; of a bitmap perhaps for something else.
    #[inline]
    pub(crate) fn prefetch(&self, most: usize) {
        let left = match (self.is_bitmap(), BACK) {
            (true, _) => most,
            (false, true) => self.rank,
            (false, false) => self.count.saturating_sub(self.rank),
        };
        for n in 0..left.min(most) {
            self.prefetch_at(n);
        }
    }

    /// Asks for what the child `n` children behind the next one is; for something else in the
    /// frame if there is none.
    #[inline(always)]
    pub(crate) fn prefetch_at(&self, n: usize) {
        let rank = if BACK { self.rank.wrapping_sub(n + 1) & 0xFF } else { self.rank + n };
        let at = self.reference(rank).at();
        self.view.prefetch(at);
        // What begins at the end of a line goes on in the next.
        self.view.prefetch(at + 7);
    }

    /// Asks once in four steps for what four children are: the last of the `n` behind the next
    /// one, where those before them have been asked for.
    #[inline(always)]
    pub(crate) fn prefetch_four(&self, n: usize) {
        if !self.rank.is_multiple_of(4) {
            return;
        }
        let word = self.rank / 4;
        let word = if BACK { word.wrapping_sub(n / 4) & 0x3F } else { word + n / 4 - 1 };
        self.view.prefetch_four(self.refs + word);
    }

    /// Whether the node is one with a bitmap.
    #[inline]
    pub(crate) fn is_bitmap(&self) -> bool {
        self.node.kind() == Kind::Bitmap
    }

    /// The next child, its byte and what hangs there.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Option<(u8, Ref)> {
        if self.is_bitmap() { self.step_bitmap() } else { self.step_small() }
    }

    /// As [`step`](Self::step), for a node without a bitmap.
    #[inline(always)]
    pub(crate) fn step_small(&mut self) -> Option<(u8, Ref)> {
        let rank = self.rank;
        if BACK {
            self.rank = rank.checked_sub(1)?;
        } else if rank >= self.count {
            return None;
        } else {
            self.rank = rank + 1;
        }
        let rank = if BACK { self.rank } else { rank };
        let [low, high] = self.keys;
        let keys = if rank < 8 { low } else { high };
        Some(((keys >> (8 * (rank & 7))) as u8, self.reference(rank)))
    }

    /// As [`step`](Self::step), for a node with a bitmap.
    #[inline(always)]
    pub(crate) fn step_bitmap(&mut self) -> Option<(u8, Ref)> {
        while self.bits == 0 {
            if self.word == if BACK { 0 } else { 3 } {
                return None;
            }
            self.word = if BACK { self.word - 1 } else { self.word + 1 };
            self.bits = self.view.word(self.node.at() + 1 + self.word);
        }
        let base = (self.word << 6) as u8;
        if BACK {
            let bit = 63 - self.bits.leading_zeros();
            self.bits ^= 1 << bit;
            // A rank that garbage made too small is masked into the frame like any other.
            self.rank = self.rank.wrapping_sub(1) & 0xFF;
            Some((base | bit as u8, self.reference(self.rank)))
        } else {
            let bit = self.bits.trailing_zeros();
            self.bits &= self.bits - 1;
            let child = (base | bit as u8, self.reference(self.rank));
            self.rank += 1;
            Some(child)
        }
    }
}
