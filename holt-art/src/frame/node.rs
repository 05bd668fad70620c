//! Inner nodes: reading them.
//!
//! ```text
//! N4      word 0: value ref (16) | prefix length (8) | children (8) | keys, ascending (4 × 8)
//!         word 1: child refs (4 × 16)
//!         then:   prefix
//! N16     word 0: value ref (16) | prefix length (8) | children (8) | words of child refs (8) | 0
//!         words 1–2: keys, ascending (16 × 8)
//!         then:   2–4 words of child refs, prefix
//! Bitmap  word 0: value ref (16) | prefix length (8) | words of child refs (8) | children below
//!                 64, 128 and 192 (3 × 8) | 0
//!         words 1–4: bitmap of the children's bytes
//!         then:   up to 64 words of child refs in byte order, prefix
//! ```
//!
//! An inner node stands for the key that leads to it, its prefix included; the value
//! slot holds that key's record. At least one of children and value is there.

use std::hint::select_unpredictable;

use super::{Kind, Loc, Ref, View, low_bytes, words_for};

/// Longest prefix of an inner node in bytes; longer ones are chains of nodes.
pub(crate) const MAX_PREFIX: usize = 248;

// What `Node::wide` reads off the kind.
const _: () = assert!(Kind::N4 as usize >> 2 & 1 == 0 && Kind::N16 as usize >> 2 & 1 == 1);

/// A decoded node head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    view: View<'a>,
    /// Offset of word 0.
    at: usize,
    kind: Kind,
    head: u64,
}

impl<'a> Node<'a> {
    /// Decodes the head of the inner node `node`.
    #[inline]
    pub(crate) fn read(view: View<'a>, node: Ref) -> Self {
        debug_assert!(node.is_inner());
        Self::read_as(view, node, node.kind())
    }

    /// As [`Node::read`], for whoever has looked at the kind already.
    #[inline(always)]
    pub(crate) fn read_as(view: View<'a>, node: Ref, kind: Kind) -> Self {
        Self { view, at: node.at(), kind, head: view.word(node.at()) }
    }

    #[inline]
    pub(crate) fn view(&self) -> View<'a> {
        self.view
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Offset of the node's first word.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The record of the key that ends here.
    #[inline]
    pub(crate) fn value(&self) -> Ref {
        Ref(self.head as u16)
    }

    /// Where the value reference is stored.
    #[inline]
    pub(crate) fn value_loc(&self) -> Loc {
        Loc::new(self.at, 0)
    }

    #[inline]
    pub(crate) fn prefix_len(&self) -> usize {
        (self.head >> 16 & 0xFF) as usize
    }

    /// Words of child references that the node has room for.
    #[inline]
    pub(crate) fn child_words(&self) -> usize {
        match self.kind {
            Kind::N4 => 1,
            Kind::N16 => (self.head >> 32 & 0x7) as usize,
            _ => (self.head >> 24 & 0x7F) as usize,
        }
    }

    /// First word of child references.
    #[inline]
    pub(crate) fn children_at(&self) -> usize {
        match self.kind {
            Kind::N4 => self.at + 1,
            Kind::N16 => self.at + 3,
            _ => self.at + 5,
        }
    }

    /// First word of the prefix.
    #[inline]
    pub(crate) fn prefix_at(&self) -> usize {
        self.children_at() + self.child_words()
    }

    /// Words of the whole node.
    #[inline]
    pub(crate) fn words(&self) -> usize {
        self.prefix_at() - self.at + words_for(self.prefix_len())
    }

    /// Number of children.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        match self.kind {
            Kind::N4 => (self.head >> 24 & 0xFF).min(4) as usize,
            Kind::N16 => (self.head >> 24 & 0xFF).min(16) as usize,
            _ => {
                (self.head >> 48 & 0xFF) as usize
                    + self.view.word(self.at + 4).count_ones() as usize
            }
        }
    }

    /// Where the child of rank `rank` is stored.
    #[inline]
    pub(crate) fn child_loc(&self, rank: usize) -> Loc {
        Loc::nth(self.children_at(), rank)
    }

    /// The child for `byte`, if there is one: where it is stored, and the reference, which in a small node
    /// does not wait for that.
    #[inline(always)]
    pub(crate) fn child(&self, byte: u8) -> Option<(Loc, Ref)> {
        match self.kind {
            Kind::N4 => {
                let refs = self.view.word(self.at + 1);
                let mark = mark4((self.head >> 32) as u32, byte);
                (mark < 8 * self.count() as u32).then(|| {
                    let loc = self.child_loc((mark / 8) as usize);
                    (loc, Ref((refs >> ((2 * mark + 50) & 63)) as u16))
                })
            }
            Kind::N16 => {
                let keys = [self.view.word(self.at + 1), self.view.word(self.at + 2)];
                let mark = mark16(keys, byte);
                let refs = self.view.word(self.at + 3 + (mark / 32) as usize);
                (mark < 8 * self.count() as u32).then(|| {
                    let loc = self.child_loc((mark / 8) as usize);
                    (loc, Ref((refs >> ((2 * mark + 50) & 63)) as u16))
                })
            }
            _ => {
                let bits = self.view.word(self.at + 1 + usize::from(byte >> 6));
                let bit = 1u64 << (byte & 63);
                (bits & bit != 0).then(|| {
                    let loc = self.child_loc(self.bitmap_rank(byte, bits));
                    (loc, self.view.reference(loc))
                })
            }
        }
    }

    /// Where the child for `byte` is stored, if there is one.
    #[inline(always)]
    pub(crate) fn find(&self, byte: u8) -> Option<Loc> {
        self.child(byte).map(|(loc, _)| loc)
    }

    /// Children of a bitmap node with smaller bytes; `bits` is the byte's bitmap word.
    #[inline]
    fn bitmap_rank(&self, byte: u8, bits: u64) -> usize {
        rank_in_bitmap(self.head, bits, byte)
    }

    /// Number of children whose byte is smaller than `byte`.
    #[inline]
    pub(crate) fn rank(&self, byte: u8) -> usize {
        match self.kind {
            Kind::Bitmap => {
                self.bitmap_rank(byte, self.view.word(self.at + 1 + usize::from(byte >> 6)))
            }
            _ => (0..self.count()).take_while(|&rank| self.key(rank) < byte).count(),
        }
    }

    /// Number of children whose byte is smaller than `byte`, and whether `byte` has one.
    #[inline]
    pub(crate) fn search(&self, byte: u8) -> (usize, bool) {
        match self.kind {
            Kind::Bitmap => {
                let bits = self.view.word(self.at + 1 + usize::from(byte >> 6));
                (self.bitmap_rank(byte, bits), bits >> (byte & 63) & 1 == 1)
            }
            _ => {
                let rank = self.rank(byte);
                (rank, rank < self.count() && self.key(rank) == byte)
            }
        }
    }

    /// Byte of the child of rank `rank` in an N4 or N16.
    #[inline]
    pub(crate) fn key(&self, rank: usize) -> u8 {
        if self.kind == Kind::N4 {
            (self.head >> (32 + 8 * rank)) as u8
        } else {
            (self.view.word(self.at + 1 + rank / 8) >> (8 * (rank % 8))) as u8
        }
    }

    /// Whether the children of an N4 or N16, of which there are some, are leaves of the short kind.
    #[inline]
    pub(crate) fn has_only_leaves(&self) -> bool {
        const ONES: u64 = 0x0001_0001_0001_0001;
        let leaf = u64::from(Ref::new(Kind::Leaf, 1).0) & 7;
        let are_leaves = |word: usize, count: usize| {
            let kinds = (self.view.word(self.children_at() + word) ^ (leaf * ONES)) & (7 * ONES);
            kinds & low_bytes(2 * count) == 0
        };
        let count = self.count();
        match self.kind {
            Kind::N4 => count != 0 && are_leaves(0, count),
            _ => count != 0 && (0..count.div_ceil(4)).all(|n| are_leaves(n, count - 4 * n)),
        }
    }

    /// The bytes of the children of an N4 or N16, eight in a word.
    #[inline]
    pub(crate) fn keys(&self) -> [u64; 2] {
        if self.kind == Kind::N4 {
            [self.head >> 32, 0]
        } else {
            [self.view.word(self.at + 1), self.view.word(self.at + 2)]
        }
    }

    /// 0 for an N4, 1 for an N16: counted with, as nobody can foresee which it is.
    #[inline(always)]
    pub(crate) fn wide(&self) -> usize {
        self.kind as usize >> 2 & 1
    }

    /// Number of children of an N4 or N16.
    #[inline(always)]
    pub(crate) fn small_count(&self) -> usize {
        ((self.head >> 24 & 0xFF) as usize).min(4 << (2 * self.wide()))
    }

    /// Bytes and references of four children of an N4 or N16, those from rank `4 * n` on.
    #[inline(always)]
    pub(crate) fn four(&self, n: usize) -> (u32, u64) {
        let wide = self.wide();
        let word = select_unpredictable(wide == 0, self.head, self.view.word(self.at + 1 + n / 2));
        let shift = if n.is_multiple_of(2) { 32 * (1 - wide) } else { 32 };
        ((word >> shift) as u32, self.view.word(self.at + 1 + 2 * wide + n))
    }

    /// First word of the prefix of an N4 or N16.
    #[inline(always)]
    pub(crate) fn small_prefix_at(&self) -> usize {
        let words = 3 + (self.head >> 32 & 0x7) as usize;
        self.at + select_unpredictable(self.wide() == 0, 2, words)
    }

    /// The first child whose byte is at least `from`; `from` may be 256.
    #[inline]
    pub(crate) fn next(&self, from: usize) -> Option<(u8, Loc)> {
        match self.kind {
            Kind::Bitmap => {
                let byte = self.set_from(from)?;
                let all = self.view.word(self.at + 1 + usize::from(byte >> 6));
                Some((byte, self.child_loc(self.bitmap_rank(byte, all))))
            }
            _ => (0..self.count())
                .map(|rank| (self.key(rank), self.child_loc(rank)))
                .find(|&(byte, _)| usize::from(byte) >= from),
        }
    }

    /// The first byte from `from` on that a bitmap node has a child for.
    #[inline]
    pub(crate) fn set_from(&self, from: usize) -> Option<u8> {
        let mut word = from >> 6;
        let mut mask = u64::MAX << (from & 63);
        while word < 4 {
            let bits = self.view.word(self.at + 1 + word) & mask;
            if bits != 0 {
                return Some((word << 6) as u8 | bits.trailing_zeros() as u8);
            }
            word += 1;
            mask = u64::MAX;
        }
        None
    }

    /// The last byte before `to` that a bitmap node has a child for.
    #[inline]
    pub(crate) fn set_below(&self, to: usize) -> Option<u8> {
        let last = to.min(256).checked_sub(1)?;
        let mut mask = u64::MAX >> (63 - (last & 63));
        for word in (0..=last >> 6).rev() {
            let bits = self.view.word(self.at + 1 + word) & mask;
            if bits != 0 {
                return Some((word << 6) as u8 | (63 - bits.leading_zeros()) as u8);
            }
            mask = u64::MAX;
        }
        None
    }

    /// Where the children are stored, in byte order: as [`Node::children`], without the bytes
    /// and therefore cheaper.
    #[inline]
    pub(crate) fn places(self) -> impl DoubleEndedIterator<Item = Loc> + 'a {
        let first = self.children_at();
        (0..self.count()).map(move |rank| Loc::nth(first, rank))
    }

    /// All children in byte order.
    pub(crate) fn children(self) -> impl Iterator<Item = (u8, Loc)> + 'a {
        let (mut rank, mut from) = (0, 0);
        std::iter::from_fn(move || {
            let byte = match self.kind {
                Kind::N4 | Kind::N16 if rank < self.count() => self.key(rank),
                Kind::N4 | Kind::N16 => return None,
                _ => self.set_from(from)?,
            };
            let loc = self.child_loc(rank);
            (rank, from) = (rank + 1, usize::from(byte) + 1);
            Some((byte, loc))
        })
    }

    /// Appends the prefix to `out`.
    pub(crate) fn append_prefix(&self, out: &mut Vec<u8>) {
        let length = self.prefix_len();
        if length > 0 {
            let start = out.len();
            out.resize(start + length, 0);
            super::leaf::copy_bytes(self.view, self.prefix_at(), 0, &mut out[start..]);
        }
    }
}

/// The bit that marks `byte` among the four keys of an N4: the highest one of the first key that is equal, 7, 15, 23
/// or 31; 32 for none.
#[inline(always)]
pub(super) fn mark4(keys: u32, byte: u8) -> u32 {
    const ONES: u32 = 0x0101_0101;
    let differing = keys ^ (u32::from(byte) * ONES);
    // The lowest zero byte of `differing` is marked exactly; higher marks may be wrong, and the lowest is
    // the only one used.
    (differing.wrapping_sub(ONES) & !differing & (ONES << 7)).trailing_zeros()
}

/// As [`mark4`] for the sixteen keys of an N16: 7, 15 … 127; 128 for none.
#[inline(always)]
pub(super) fn mark16([low, high]: [u64; 2], byte: u8) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let marks = |keys: u64| {
        let differing = keys ^ (u64::from(byte) * ONES);
        differing.wrapping_sub(ONES) & !differing & (ONES << 7)
    };
    let (low, high) = (marks(low), marks(high));
    // No branch: which half it is in nobody can foresee.
    select_unpredictable(low != 0, low.trailing_zeros(), 64 + high.trailing_zeros())
}

/// Children of a bitmap node with smaller bytes than `byte`, whose word of the bitmap is `bits`.
#[inline(always)]
pub(super) fn rank_in_bitmap(head: u64, bits: u64, byte: u8) -> usize {
    let word = u32::from(byte >> 6);
    let before = if word == 0 { 0 } else { (head >> (24 + 8 * word) & 0xFF) as usize };
    before + (bits & ((1u64 << (byte & 63)) - 1)).count_ones() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_that_of_the_first_of_equal_bytes() {
        let keys: [u8; 16] = [0, 1, 2, 0x7F, 0x80, 0x81, 9, 8, 0xFE, 0xFF, 20, 21, 22, 23, 24, 2];
        let word =
            |half: usize| u64::from_le_bytes(keys[half * 8..half * 8 + 8].try_into().unwrap());
        for byte in 0..=255u8 {
            let place = |keys: &[u8]| keys.iter().position(|&key| key == byte);
            let expected = place(&keys).map_or(128, |rank| 8 * rank + 7);
            assert_eq!(mark16([word(0), word(1)], byte) as usize, expected, "{byte}");
            for four in keys.windows(4) {
                let four: [u8; 4] = four.try_into().unwrap();
                let expected = place(&four).map_or(32, |rank| 8 * rank + 7);
                assert_eq!(
                    mark4(u32::from_le_bytes(four), byte) as usize,
                    expected,
                    "{four:?} {byte}"
                );
            }
        }
    }
}
