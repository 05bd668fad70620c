//! Writing leaves and inner nodes into blocks that an [`Edit`] has taken.

use super::edit::{Edit, NoRoom};
use super::leaf::{Leaf, Shape, Value};
use super::node::Node;
use super::{Kind, Loc, Ref, Target, View, words_for};

/// Most children that a node of each kind holds.
const N4_CHILDREN: usize = 4;
const N16_CHILDREN: usize = 16;

/// Packs bytes into consecutive words of a frame.
pub(crate) struct Packer<'e, 'f> {
    edit: &'e Edit<'f>,
    at: usize,
    pending: u64,
    bytes: usize,
}

impl<'e, 'f> Packer<'e, 'f> {
    pub(crate) fn new(edit: &'e Edit<'f>, at: usize) -> Self {
        Self { edit, at, pending: 0, bytes: 0 }
    }

    /// Appends the low `count` bytes of `word`, whose other bytes are zero.
    #[inline]
    fn push_word(&mut self, word: u64, count: usize) {
        let shift = 8 * self.bytes as u32;
        self.pending |= word << shift;
        self.bytes += count;
        if self.bytes >= 8 {
            self.edit.set(self.at, self.pending);
            self.at += 1;
            self.bytes -= 8;
            // What did not fit; nothing when the word began at a word boundary.
            self.pending = if shift == 0 { 0 } else { word >> (64 - shift) };
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.push_word(u64::from_le_bytes(word), 8);
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.push_word(u64::from_le_bytes(word), rest.len());
        }
    }

    /// Appends `length` bytes that are packed from byte `skip` behind word `at`.
    pub(crate) fn push_packed(&mut self, at: usize, skip: usize, length: usize) {
        let mut done = 0;
        while done < length {
            let count = (length - done).min(8);
            let mut word = [0; 8];
            super::leaf::copy_bytes(self.edit.view(), at, skip + done, &mut word[..count]);
            self.push_word(u64::from_le_bytes(word), count);
            done += count;
        }
    }

    /// Writes the last, partly filled word.
    #[inline]
    pub(crate) fn finish(self) {
        if self.bytes > 0 {
            self.edit.set(self.at, self.pending);
        }
    }
}

impl Edit<'_> {
    /// Writes the head of a leaf into the block at `at`.
    #[inline]
    fn write_leaf_head(&self, at: usize, shape: Shape, version: u64) -> Ref {
        let kind = shape.kind();
        if kind == Kind::Leaf {
            self.set(at, shape.suffix as u64 | (shape.value as u64) << 8 | version << 16);
        } else {
            self.set(at, version);
            self.set(
                at + 1,
                shape.suffix as u64 | (shape.value as u64) << 16 | u64::from(shape.blob) << 48,
            );
        }
        Ref::new(kind, at)
    }

    /// Writes a leaf into the block at `at`.
    #[inline]
    pub(crate) fn write_leaf(
        &self,
        at: usize,
        suffix: &[u8],
        value: &Value<'_>,
        version: u64,
    ) -> Ref {
        let shape = Shape::new(suffix.len(), value);
        let leaf = self.write_leaf_head(at, shape, version);
        let data = at + shape.head();
        let mut packer = Packer::new(self, data);
        packer.push(suffix);
        match value {
            Value::Inline(bytes) => {
                packer.push(bytes);
                packer.finish();
            }
            Value::Blob { number, .. } => {
                packer.finish();
                self.set(data + words_for(suffix.len()), u64::from(*number));
            }
        }
        leaf
    }

    /// Stamps a leaf with its version.
    pub(crate) fn set_version(&self, leaf: Ref, version: u64) {
        if leaf.kind() == Kind::Leaf {
            let lengths = self.view().word(leaf.at()) & 0xFFFF;
            self.set(leaf.at(), lengths | version << 16);
        } else {
            self.set(leaf.at(), version);
        }
    }

    /// Writes the leaf `old` again into the block at `at`, with `before` and the bytes
    /// from `skip` of its suffix as the new suffix.
    pub(crate) fn rewrite_leaf(&self, at: usize, old: Ref, before: &[u8], skip: usize) -> Ref {
        let view = self.view();
        let leaf = Leaf::read(view, old);
        let kept = leaf.suffix - skip;
        let shape = Shape { suffix: before.len() + kept, ..leaf.shape() };
        let new = self.write_leaf_head(at, shape, leaf.version);
        let data = at + shape.head();
        let mut packer = Packer::new(self, data);
        packer.push(before);
        if leaf.blob {
            packer.push_packed(leaf.data, skip, kept);
            packer.finish();
            self.set(data + words_for(shape.suffix), u64::from(leaf.blob_number(view)));
        } else {
            packer.push_packed(leaf.data, skip, kept + leaf.value);
            packer.finish();
        }
        new
    }

    /// Gives back the block of a leaf or node.
    pub(crate) fn give_item(&mut self, item: Ref) {
        let words = item_words(self.view(), item);
        self.give(item.at(), words);
    }

    /// Makes the block of one word at `at` a crossing of the entry.
    pub(crate) fn write_crossing(&mut self, at: usize, target: Target) -> Ref {
        self.set(at, target.pack());
        self.count_crossings(1);
        Ref::new(Kind::Crossing, at)
    }

    /// Gives back the block of a crossing of the entry.
    pub(crate) fn give_crossing(&mut self, at: usize) {
        self.count_crossings(-1);
        self.give(at, 1);
    }

    /// Words of an N4 with a prefix of `prefix` bytes.
    pub(crate) const fn n4_words(prefix: usize) -> usize {
        2 + words_for(prefix)
    }

    /// Writes an N4 with at most two children into the block at `at`.
    pub(crate) fn write_n4(
        &self,
        at: usize,
        prefix: &[u8],
        value: Ref,
        children: &mut [(u8, Ref)],
    ) -> Ref {
        children.sort_unstable_by_key(|&(byte, _)| byte);
        let mut head =
            u64::from(value.0) | (prefix.len() as u64) << 16 | (children.len() as u64) << 24;
        let mut lanes = 0;
        for (rank, &(byte, child)) in children.iter().enumerate() {
            head |= u64::from(byte) << (32 + 8 * rank);
            lanes |= u64::from(child.0) << (16 * rank);
        }
        self.set(at, head);
        self.set(at + 1, lanes);
        let mut packer = Packer::new(self, at + 2);
        packer.push(prefix);
        packer.finish();
        Ref::new(Kind::N4, at)
    }

    /// Cuts the first `cut` bytes off a node's prefix, in place.
    pub(crate) fn trim_prefix(&mut self, node: Ref, cut: usize) {
        let view = self.view();
        let old = Node::read(view, node);
        let (at, length) = (old.prefix_at(), old.prefix_len());
        let kept = length - cut;
        let mut bytes = [0; 256];
        super::leaf::copy_bytes(view, at, cut, &mut bytes[..kept]);
        let mut packer = Packer::new(self, at);
        packer.push(&bytes[..kept]);
        packer.finish();
        let head = view.word(node.at()) & !(0xFF << 16) | (kept as u64) << 16;
        self.set(node.at(), head);
        let (before, after) = (words_for(length), words_for(kept));
        if after < before {
            self.give(at + after, before - after);
        }
    }

    /// Whether the node has room for one more child.
    pub(crate) fn has_room(&self, node: &Node<'_>) -> bool {
        node.count() < node.child_words() * 4
    }

    /// Inserts a child into a node that has room for it.
    pub(crate) fn insert_child(&self, node: Ref, byte: u8, child: Ref) {
        let view = self.view();
        let old = Node::read(view, node);
        let at = node.at();
        let rank = old.rank(byte);
        let head = view.word(at);
        match node.kind() {
            Kind::N4 => {
                let keys = insert_lane(head >> 32, 8, rank, u64::from(byte)) & 0xFFFF_FFFF;
                self.set(at, ((head & 0xFFFF_FFFF) + (1 << 24)) | keys << 32);
            }
            Kind::N16 => {
                let (low, high) = (view.word(at + 1), view.word(at + 2));
                if rank < 8 {
                    self.set(at + 1, insert_lane(low, 8, rank, u64::from(byte)));
                    self.set(at + 2, high << 8 | low >> 56);
                } else {
                    self.set(at + 2, insert_lane(high, 8, rank - 8, u64::from(byte)));
                }
                self.set(at, head + (1 << 24));
            }
            _ => {
                let word = usize::from(byte >> 6);
                self.set(at + 1 + word, view.word(at + 1 + word) | 1 << (byte & 63));
                self.set(at, add_ranks(head, word, 1));
            }
        }
        let (first, words) = (old.children_at(), old.child_words());
        for index in (rank / 4..words).rev() {
            let current = view.word(first + index);
            let word = if index == rank / 4 {
                insert_lane(current, 16, rank % 4, u64::from(child.0))
            } else {
                current << 16 | view.word(first + index - 1) >> 48
            };
            self.set(first + index, word);
        }
    }

    /// Removes the child for `byte`, which the node has.
    pub(crate) fn remove_child(&self, node: Ref, byte: u8) {
        let view = self.view();
        let old = Node::read(view, node);
        let at = node.at();
        let rank = old.rank(byte);
        let head = view.word(at);
        let (first, words) = (old.children_at(), old.child_words());
        match node.kind() {
            Kind::N4 => {
                let keys = remove_lane(head >> 32, 8, rank);
                self.set(at, ((head & 0xFFFF_FFFF) - (1 << 24)) | keys << 32);
            }
            Kind::N16 => {
                let (low, high) = (view.word(at + 1), view.word(at + 2));
                if rank < 8 {
                    self.set(at + 1, remove_lane(low, 8, rank) | high << 56);
                    self.set(at + 2, high >> 8);
                } else {
                    self.set(at + 2, remove_lane(high, 8, rank - 8));
                }
                self.set(at, head - (1 << 24));
            }
            _ => {
                let word = usize::from(byte >> 6);
                self.set(at + 1 + word, view.word(at + 1 + word) & !(1 << (byte & 63)));
                self.set(at, add_ranks(head, word, -1));
            }
        }
        for index in rank / 4..words {
            let current = view.word(first + index);
            let next = if index + 1 < words { view.word(first + index + 1) } else { 0 };
            let word =
                if index == rank / 4 { remove_lane(current, 16, rank % 4) } else { current >> 16 };
            self.set(first + index, word | next << 48);
        }
    }
}

/// Inserts a lane of `bits` bits at `rank`, pushing the lanes from there upwards.
#[inline]
fn insert_lane(word: u64, bits: u32, rank: usize, lane: u64) -> u64 {
    let below = (1u64 << (bits * rank as u32)) - 1;
    (word & below) | lane << (bits * rank as u32) | (word & !below) << bits
}

/// Removes the lane at `rank`, pulling the lanes above it down.
#[inline]
fn remove_lane(word: u64, bits: u32, rank: usize) -> u64 {
    let below = (1u64 << (bits * rank as u32)) - 1;
    (word & below) | (word >> bits & !below)
}

/// Adds `change` to the ranks behind bitmap word `word` in a bitmap node's head.
fn add_ranks(head: u64, word: usize, change: i64) -> u64 {
    let mut head = head;
    for behind in word..3 {
        let shift = 32 + 8 * behind;
        let rank = (head >> shift & 0xFF) as i64 + change;
        head = head & !(0xFF << shift) | (rank as u64) << shift;
    }
    head
}

/// Words of the leaf, node or crossing cell `item`.
#[inline]
pub(crate) fn item_words(view: View<'_>, item: Ref) -> usize {
    match item.kind() {
        Kind::Null | Kind::Unknown => 0,
        // What its kind says needs not be found out from the lengths again.
        Kind::Leaf => {
            let leaf = Leaf::read(view, item);
            1 + words_for(leaf.suffix + leaf.value)
        }
        Kind::LongLeaf => Leaf::read(view, item).shape().words(),
        Kind::Crossing => 1,
        Kind::N4 | Kind::N16 | Kind::Bitmap => Node::read(view, item).words(),
    }
}

/// A node taken apart, to be written again in another kind or with another prefix.
pub(crate) struct Loose {
    pub(crate) value: Ref,
    prefix: [u8; 256],
    prefix_len: usize,
    bytes: [u8; 257],
    refs: [Ref; 257],
    count: usize,
}

impl Loose {
    /// Takes the inner node `node` apart.
    pub(crate) fn read(view: View<'_>, node: Ref) -> Self {
        let node = Node::read(view, node);
        let mut loose = Self {
            value: node.value(),
            prefix: [0; 256],
            prefix_len: node.prefix_len(),
            bytes: [0; 257],
            refs: [Ref::NULL; 257],
            count: 0,
        };
        let length = loose.prefix_len;
        super::leaf::copy_bytes(view, node.prefix_at(), 0, &mut loose.prefix[..length]);
        for (byte, loc) in node.children() {
            loose.bytes[loose.count] = byte;
            loose.refs[loose.count] = view.reference(loc);
            loose.count += 1;
        }
        loose
    }

    /// A node of nothing, to be set.
    pub(crate) fn blank() -> Self {
        Self {
            value: Ref::NULL,
            prefix: [0; 256],
            prefix_len: 0,
            bytes: [0; 257],
            refs: [Ref::NULL; 257],
            count: 0,
        }
    }

    /// Makes this a node with that prefix, a legal one, and without children.
    pub(crate) fn set(&mut self, value: Ref, prefix: &[u8]) {
        self.value = value;
        self.set_prefix(prefix);
        self.count = 0;
    }

    /// Adds a child whose byte is greater than all others.
    pub(crate) fn push(&mut self, byte: u8, child: Ref) {
        (self.bytes[self.count], self.refs[self.count]) = (byte, child);
        self.count += 1;
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix[..self.prefix_len]
    }

    /// Makes `prefix` the prefix; it must be a legal one.
    pub(crate) fn set_prefix(&mut self, prefix: &[u8]) {
        self.prefix[..prefix.len()].copy_from_slice(prefix);
        self.prefix_len = prefix.len();
    }

    /// Puts `before` in front of the prefix; the whole must be a legal prefix.
    pub(crate) fn prepend(&mut self, before: &[u8]) {
        let length = self.prefix_len;
        self.prefix.copy_within(..length, before.len());
        self.prefix[..before.len()].copy_from_slice(before);
        self.prefix_len += before.len();
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = (u8, Ref)> + '_ {
        self.bytes[..self.count].iter().copied().zip(self.refs[..self.count].iter().copied())
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn set_child(&mut self, rank: usize, child: Ref) {
        self.refs[rank] = child;
    }

    /// Inserts a child in its place.
    pub(crate) fn insert(&mut self, byte: u8, child: Ref) {
        let rank = self.bytes[..self.count].partition_point(|&other| other < byte);
        self.bytes.copy_within(rank..self.count, rank + 1);
        self.refs.copy_within(rank..self.count, rank + 1);
        self.bytes[rank] = byte;
        self.refs[rank] = child;
        self.count += 1;
    }

    fn kind(&self) -> Kind {
        Self::kind_of(self.count)
    }

    fn kind_of(count: usize) -> Kind {
        if count <= N4_CHILDREN {
            Kind::N4
        } else if count <= N16_CHILDREN {
            Kind::N16
        } else {
            Kind::Bitmap
        }
    }

    /// Words of child references: as many as are needed, in the steps in which a
    /// node of the kind grows.
    fn child_words(count: usize) -> usize {
        match Self::kind_of(count) {
            Kind::N4 => 1,
            Kind::N16 => count.div_ceil(4),
            _ => (count.div_ceil(8) * 2).min(64),
        }
    }

    /// Words that the node takes when it is written.
    pub(crate) fn words(&self) -> usize {
        Self::words_of(self.count, self.prefix_len)
    }

    /// Words of a node with so many children and a prefix of so many bytes.
    pub(crate) fn words_of(count: usize, prefix: usize) -> usize {
        let head = match Self::kind_of(count) {
            Kind::N4 => 1,
            Kind::N16 => 3,
            _ => 5,
        };
        head + Self::child_words(count) + words_for(prefix)
    }

    /// Writes the node into the block at `at`, in the smallest kind that holds it.
    pub(crate) fn write(&self, edit: &Edit<'_>, at: usize) -> Ref {
        let kind = self.kind();
        let words = Self::child_words(self.count);
        let mut head = u64::from(self.value.0) | (self.prefix_len as u64) << 16;
        let children_at = match kind {
            Kind::N4 => {
                head |= (self.count as u64) << 24;
                for (rank, &byte) in self.bytes[..self.count].iter().enumerate() {
                    head |= u64::from(byte) << (32 + 8 * rank);
                }
                at + 1
            }
            Kind::N16 => {
                head |= (self.count as u64) << 24 | (words as u64) << 32;
                let mut keys = [0u64; 2];
                for (rank, &byte) in self.bytes[..self.count].iter().enumerate() {
                    keys[rank / 8] |= u64::from(byte) << (8 * (rank % 8));
                }
                edit.set(at + 1, keys[0]);
                edit.set(at + 2, keys[1]);
                at + 3
            }
            _ => {
                head |= (words as u64) << 24;
                let mut bits = [0u64; 4];
                for &byte in &self.bytes[..self.count] {
                    bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
                }
                let mut below = 0;
                for (index, word) in bits.iter().enumerate() {
                    edit.set(at + 1 + index, *word);
                    below += u64::from(word.count_ones());
                    if index < 3 {
                        head |= below << (32 + 8 * index);
                    }
                }
                at + 5
            }
        };
        edit.set(at, head);
        for index in 0..words {
            let mut lanes = 0;
            for lane in 0..4 {
                let rank = index * 4 + lane;
                if rank < self.count {
                    lanes |= u64::from(self.refs[rank].0) << (16 * lane);
                }
            }
            edit.set(children_at + index, lanes);
        }
        let mut packer = Packer::new(edit, children_at + words);
        packer.push(self.prefix());
        packer.finish();
        Ref::new(kind, at)
    }
}

/// Takes a block for `loose` and gives back what it replaces.
pub(crate) fn replace_node(edit: &mut Edit<'_>, loc: Loc, old: Ref, loose: &Loose, at: usize) {
    let new = loose.write(edit, at);
    edit.set_ref(loc, new);
    edit.give_item(old);
}

/// Takes a block of the size of `loose`.
pub(crate) fn take_for(edit: &mut Edit<'_>, loose: &Loose) -> Result<usize, NoRoom> {
    edit.take(loose.words())
}
