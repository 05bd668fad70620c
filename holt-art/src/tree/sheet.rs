//! Where a loop writes entries: bytes and items of a batch with room for them, and no bounds but one an entry.

use super::entry::Item;
use super::leaves::{PIECE, SHORT, copy_leaf, copy_piece};
use crate::frame::node::Node;
use crate::frame::{Kind, Ref, View};
use crate::tree::batch::SLACK;

/// Bytes that the names of nodes are shorter than. A power of two.
pub(super) const LONGEST: usize = 1 << 10;
/// Most bytes of an entry, and what may be written behind it.
pub(super) const NEED: usize = LONGEST + SHORT + SLACK;
/// Bytes of a name that are copied at a time.
const PART: usize = 2 * PIECE;
/// Most bytes of a node's prefix, in whole pieces.
const PREFIX: usize = 8 * PIECE;

/// The name of a node, and what may be written behind it.
#[derive(Debug)]
pub(super) struct Name([u8; LONGEST + PREFIX]);

impl Default for Name {
    fn default() -> Self {
        Self([0; LONGEST + PREFIX])
    }
}

impl Name {
    /// Sets the name; false if it is too long.
    pub(super) fn set(&mut self, name: &[u8]) -> bool {
        let short = name.len() < LONGEST;
        if short {
            self.0[..name.len()].copy_from_slice(name);
        }
        short
    }

    /// The first `length` bytes.
    pub(super) fn first(&self, length: usize) -> &[u8] {
        &self.0[..length.min(LONGEST)]
    }

    /// Spells out what leads from a node to one below it behind its name, which has `length` bytes: a byte and the
    /// prefix. None if the frame ends before the pieces that the prefix is in.
    #[inline(always)]
    pub(super) fn go_on(&mut self, length: usize, byte: u8, node: &Node<'_>) -> Option<()> {
        self.0[length] = byte;
        let (prefix, view) = (node.prefix_len(), node.view());
        if prefix == 0 {
            return Some(());
        }
        let bitmap = node.kind() == Kind::Bitmap;
        let at = if bitmap { node.prefix_at() } else { node.small_prefix_at() };
        let to = &mut self.0[length + 1..];
        copy_piece(view.run(at, PIECE / 8)?.first_chunk()?, to.first_chunk_mut()?);
        if prefix > PIECE {
            let words = view.run(at, prefix.div_ceil(PIECE) * (PIECE / 8))?;
            for (to, piece) in to.as_chunks_mut().0.iter_mut().zip(words.as_chunks().0) {
                copy_piece(piece, to);
            }
        }
        Some(())
    }

    /// Copies the first `length` bytes in whole parts.
    #[inline(always)]
    fn copy(&self, length: usize, to: &mut [u8; NEED]) {
        let from = self.0.as_chunks::<PART>().0;
        let to = to.as_chunks_mut::<PART>().0;
        to[0] = from[0];
        if length > PART {
            to[1] = from[1];
            if length > 2 * PART {
                copy_long(from, length, to);
            }
        }
    }
}

/// Copies what is behind two parts. Apart, so that nothing of it is kept at hand.
#[cold]
#[inline(never)]
fn copy_long(from: &[[u8; PART]], length: usize, to: &mut [[u8; PART]]) {
    let parts = 2..length.min(LONGEST).div_ceil(PART);
    to[parts.clone()].copy_from_slice(&from[parts]);
}

/// See the module's documentation.
pub(super) struct Sheet<'b> {
    /// The bytes behind the last entry.
    pub(super) bytes: &'b mut [u8],
    /// How many there are before.
    pub(super) at: usize,
    /// The items behind the last one.
    pub(super) items: &'b mut [Item],
    /// 0 where values are left out, 0xFF elsewhere.
    pub(super) mask: usize,
}

impl Sheet<'_> {
    /// Whether there is room for an entry.
    #[inline(always)]
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() >= NEED && !self.items.is_empty()
    }

    /// Adds the leaf `item`, which is of the short kind, behind the first `length` bytes of `name` and `byte`. Nothing if
    /// there is no room, or the frame ends before the pieces that the leaf is in.
    #[inline(always)]
    pub(super) fn add(
        &mut self,
        name: &Name,
        mut length: usize,
        byte: Option<u8>,
        (view, item): (View<'_>, Ref),
    ) -> Option<()> {
        #[cfg(test)]
        super::races::before_a_leaf_is_read();
        let to = self.bytes.first_chunk_mut::<NEED>()?;
        name.copy(length, to);
        if let Some(byte) = byte {
            to[length] = byte;
            length += 1;
        }
        let read = copy_leaf(view, item, self.mask, &mut to[length..])?;
        let slot = self.items.first_mut()?;
        *slot = read.item(self.at, length, self.mask);
        let end = slot.end as usize;
        self.skip(end, 1);
        Some(())
    }

    /// Goes on behind `count` entries of which the last ends at `end`.
    #[inline(always)]
    fn skip(&mut self, end: usize, count: usize) {
        self.bytes = std::mem::take(&mut self.bytes).get_mut(end - self.at..).unwrap_or_default();
        self.items = std::mem::take(&mut self.items).get_mut(count..).unwrap_or_default();
        self.at = end;
    }

    /// Adds the leaves of an N16 behind the first `length` bytes of `name`, if it has nothing else, as far as there is room,
    /// and says how many have been added.
    #[inline(always)]
    pub(super) fn add_all<const BACK: bool>(
        &mut self,
        name: &Name,
        length: usize,
        node: Node<'_>,
    ) -> usize {
        // What is not in this function's registers is not lent to the other one, so that it may stay in them.
        let Self { bytes, at, items, mask } = self;
        let part = Sheet { bytes, at: *at, items, mask: *mask };
        let (end, count) = part.leaves::<BACK>(name, length, node);
        self.skip(end, count);
        count
    }

    /// As [`add_all`](Self::add_all); also says where the last one ends. A function of its own: the leaves of a large node pay
    /// for the call, and the loop around it needs its registers.
    #[inline(never)]
    fn leaves<const BACK: bool>(
        self,
        name: &Name,
        length: usize,
        node: Node<'_>,
    ) -> (usize, usize) {
        // Taken apart, so that it is in registers here too.
        let Self { bytes, at, items, mask } = self;
        let mut sheet = Sheet { bytes, at, items, mask };
        let view = node.view();
        if !node.has_only_leaves() {
            return (at, 0);
        }
        let (count, keys, refs) = (node.small_count(), node.keys(), node.children_at());
        for n in 0..count {
            let rank = if BACK { count - 1 - n } else { n };
            let byte = (keys[(rank / 8) & 1] >> (8 * (rank % 8))) as u8;
            let leaf = Ref((view.word(refs + rank / 4) >> (16 * (rank % 4))) as u16);
            if sheet.add(name, length, Some(byte), (view, leaf)).is_none() {
                return (sheet.at, n);
            }
        }
        (sheet.at, count)
    }
}
