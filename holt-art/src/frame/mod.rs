//! What is inside a frame: words, references, nodes, leaves.
//!
//! A frame is an array of [`FRAME_WORDS`] 64-bit words. Everything in it is named by
//! a [`Ref`]: 13 bits of word offset and 3 bits of kind in a `u16`, so the branch on
//! the kind resolves before the line that it names has arrived. References sit in
//! *lanes*, quarters of a word, named by a [`Loc`].
//!
//! ```text
//! word 0        used (first word never handed out) | live words | entries in the table | ascending-insert score
//! word 1        frame number (32) | format of the frame (8) | level (8) | longest key (16)
//! words 2..10   heads of the free lists of 1…32 words, one lane each
//! words 10..    entry table, one word an entry: root ref (16) | live words (16) | keys (16) |
//!               crossings (15) | 1 when in use
//! then          nodes and leaves, handed out upwards from `used`
//! ```
//!
//! Nothing here knows of latches. A [`View`] may be read while a writer changes the
//! frame: every offset is masked into the frame and every loop is bounded by
//! something the reader owns, so garbage is harmless until validation rejects it.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod edit;
pub(crate) mod fours;
pub(crate) mod graft;
pub(crate) mod key;
pub(crate) mod leaf;
pub(crate) mod node;
pub(crate) mod pieces;
pub(crate) mod put;
pub(crate) mod reach;
pub(crate) mod remove;
pub(crate) mod saving;
pub(crate) mod steps;
pub(crate) mod under;
pub(crate) mod walk;

use crate::arena::prefetch;
use crate::sync::{AtomicU64, Ordering};

/// Words in a frame: 64 KiB, the largest size whose offsets fit 13 bits and whose
/// copy (7 µs) a writer can afford under a latch.
pub(crate) const FRAME_WORDS: usize = 8192;

const _: () = assert!(FRAME_WORDS == 1 << 13, "a reference has 13 bits of word offset");

/// The words of one frame.
pub(crate) type Words = [AtomicU64; FRAME_WORDS];

/// Index of the header word with the allocation counters.
pub(crate) const COUNTERS: usize = 0;
/// Index of the header word with the frame's number.
pub(crate) const IDENTITY: usize = 1;
/// First word of the free-list heads.
pub(crate) const FREE_HEADS: usize = 2;
/// Largest block that a free list keeps, in words.
pub(crate) const FREE_SIZES: usize = 32;
/// First word of the entry table.
pub(crate) const ENTRIES: usize = FREE_HEADS + FREE_SIZES / 4;
/// Format of the words in a frame, kept in every image.
pub(crate) const FRAME_FORMAT: u64 = 3;
/// Entries that a new frame has room for.
pub(crate) const MIN_ENTRIES: usize = 4;
/// Nothing larger than this many words is put into a frame; larger values are blobs.
pub(crate) const MAX_ITEM_WORDS: usize = FRAME_WORDS / 16;

/// What a reference refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Nothing: the null reference.
    Null,
    /// A leaf whose lengths fit a byte each.
    Leaf,
    /// A leaf with long lengths, or one whose value is a blob.
    LongLeaf,
    /// An inner node with up to 4 children.
    N4,
    /// An inner node with up to 16 children.
    N16,
    /// An inner node with a bitmap and up to 256 children.
    Bitmap,
    /// A cell that names an entry of another frame.
    Crossing,
    /// No kind of this format; only garbage read optimistically looks like this.
    Unknown,
}

/// A reference to something in the same frame; zero is null.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ref(pub(crate) u16);

impl Ref {
    pub(crate) const NULL: Self = Self(0);
    /// A reference of no kind, which no frame has.
    pub(crate) const UNKNOWN: Self = Self(7);

    /// The tags of inner nodes and crossings, for whoever does not want all kinds apart: see [`Ref::tag`].
    pub(crate) const N4: u16 = 3;
    pub(crate) const N16: u16 = 4;
    pub(crate) const BITMAP: u16 = 5;
    pub(crate) const CROSSING: u16 = 6;

    #[inline]
    pub(crate) fn new(kind: Kind, at: usize) -> Self {
        debug_assert!(at > 0 && at < FRAME_WORDS);
        let tag = match kind {
            Kind::Null | Kind::Unknown => return Self::NULL,
            Kind::Leaf => 1,
            Kind::LongLeaf => 2,
            Kind::N4 => Self::N4,
            Kind::N16 => Self::N16,
            Kind::Bitmap => Self::BITMAP,
            Kind::Crossing => Self::CROSSING,
        };
        Self((at as u16) << 3 | tag)
    }

    /// Offset of the first word.
    #[inline]
    pub(crate) fn at(self) -> usize {
        usize::from(self.0 >> 3)
    }

    /// The reference to something of the same kind at `at`.
    #[inline]
    pub(crate) fn moved_to(self, at: usize) -> Self {
        Self((at as u16) << 3 | self.tag())
    }

    /// The three bits that say the kind.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        self.0 & 7
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.tag() {
            0 => Kind::Null,
            1 => Kind::Leaf,
            2 => Kind::LongLeaf,
            Self::N4 => Kind::N4,
            Self::N16 => Kind::N16,
            Self::BITMAP => Kind::Bitmap,
            Self::CROSSING => Kind::Crossing,
            _ => Kind::Unknown,
        }
    }

    #[inline]
    pub(crate) fn is_null(self) -> bool {
        self.tag() == 0
    }

    #[inline]
    pub(crate) fn is_leaf(self) -> bool {
        matches!(self.kind(), Kind::Leaf | Kind::LongLeaf)
    }

    #[inline]
    pub(crate) fn is_inner(self) -> bool {
        matches!(self.kind(), Kind::N4 | Kind::N16 | Kind::Bitmap)
    }
}

/// Where a reference is stored: a word and one of its four lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Loc(u16);

impl Loc {
    #[inline]
    pub(crate) fn new(word: usize, lane: usize) -> Self {
        Self(((word & (FRAME_WORDS - 1)) << 2 | (lane & 3)) as u16)
    }

    /// The lane `index` lanes after the first lane of `word`.
    #[inline]
    pub(crate) fn nth(word: usize, index: usize) -> Self {
        Self(((word << 2).wrapping_add(index) & ((FRAME_WORDS << 2) - 1)) as u16)
    }

    /// The root reference of entry `entry`.
    #[inline]
    pub(crate) fn entry(entry: usize) -> Self {
        Self::new(ENTRIES + entry, 0)
    }

    #[inline]
    pub(crate) fn word(self) -> usize {
        usize::from(self.0 >> 2)
    }

    #[inline]
    pub(crate) fn shift(self) -> u32 {
        u32::from(self.0 & 3) * 16
    }
}

/// A place in the tree: an entry of a frame. What a crossing cell holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// Number of the frame.
    pub(crate) frame: u32,
    /// Index into that frame's entry table.
    pub(crate) entry: u16,
}

impl Target {
    #[inline]
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.frame) | u64::from(self.entry) << 32
    }

    #[inline]
    pub(crate) fn unpack(word: u64) -> Self {
        Self { frame: word as u32, entry: (word >> 32) as u16 }
    }
}

/// What a frame is, apart from its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nature {
    /// The frame's number.
    pub(crate) number: u32,
    /// How many kinds of frames are below it, roughly: 0 for frames of leaves. Only a
    /// guide for where things are put; nothing depends on it being exact.
    pub(crate) level: u16,
    /// See [`Counters::ascending`].
    pub(crate) ascending: usize,
    /// In a root frame: no key of the tree is longer, in bytes. It only ever grows.
    pub(crate) longest: u16,
}

impl Nature {
    /// What a frame with this number is that takes over from this one, further below.
    pub(crate) fn below(self, number: u32) -> Self {
        Self { number, longest: 0, ..self }
    }

    /// The header word, without what is in the counters.
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.number)
            | FRAME_FORMAT << 32
            | u64::from(self.level.min(0xFF)) << 40
            | u64::from(self.longest) << 48
    }
}

/// The counters of a frame, word 0 unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counters {
    /// First word that has never been handed out.
    pub(crate) used: usize,
    /// Words in use, header and entry table included.
    pub(crate) live: usize,
    /// Length of the entry table.
    pub(crate) entries: usize,
    /// How strongly insertions come in ascending order, 0…64.
    pub(crate) ascending: usize,
}

impl Counters {
    pub(crate) fn pack(self) -> u64 {
        self.used as u64
            | (self.live as u64) << 16
            | (self.entries as u64) << 32
            | (self.ascending as u64) << 48
    }

    #[inline]
    pub(crate) fn unpack(word: u64) -> Self {
        let lane = |n: u32| (word >> (16 * n)) as usize & 0xFFFF;
        Self { used: lane(0), live: lane(1), entries: lane(2), ascending: lane(3) }
    }
}

/// What a subtree consists of inside its frame, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Extent {
    /// Words of its blocks.
    pub(crate) words: usize,
    /// Records.
    pub(crate) keys: usize,
    /// Crossings to other frames.
    pub(crate) crossings: usize,
}

impl Extent {
    /// What is left without a part of it.
    pub(crate) fn without(self, part: Self) -> Self {
        Self {
            words: self.words - part.words,
            keys: self.keys - part.keys,
            crossings: self.crossings - part.crossings,
        }
    }
}

/// An entry of a frame: the root of a subtree that exactly one crossing owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Entry {
    /// The subtree's root; null only in the root frame of an empty tree.
    pub(crate) root: Ref,
    /// Words of the subtree inside this frame.
    pub(crate) words: usize,
    /// Keys of the subtree inside this frame.
    pub(crate) keys: usize,
    /// Crossings of the subtree inside this frame: where it goes on in others.
    pub(crate) crossings: usize,
    /// Whether the entry is in use.
    pub(crate) occupied: bool,
}

impl Entry {
    /// An entry in use.
    pub(crate) fn new(root: Ref, extent: Extent) -> Self {
        let Extent { words, keys, crossings } = extent;
        Self { root, words, keys, crossings, occupied: true }
    }

    /// What its subtree consists of.
    pub(crate) fn extent(self) -> Extent {
        Extent { words: self.words, keys: self.keys, crossings: self.crossings }
    }

    pub(crate) fn pack(self) -> u64 {
        u64::from(self.root.0)
            | (self.words as u64) << 16
            | (self.keys as u64) << 32
            | (self.crossings as u64) << 48
            | u64::from(self.occupied) << 63
    }

    #[inline]
    pub(crate) fn unpack(word: u64) -> Self {
        Self {
            root: Ref(word as u16),
            words: (word >> 16) as usize & 0xFFFF,
            keys: (word >> 32) as usize & 0xFFFF,
            crossings: (word >> 48) as usize & 0x7FFF,
            occupied: word >> 63 == 1,
        }
    }
}

/// Read access to a frame's words, masked into the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a>(&'a Words);

impl<'a> View<'a> {
    #[inline]
    pub(crate) fn new(words: &'a Words) -> Self {
        Self(words)
    }

    /// The word at `at`, which is taken modulo the size of the frame.
    #[inline]
    pub(crate) fn word(self, at: usize) -> u64 {
        // Relaxed: ordered against writers by the latch word (pool::latch, edge 2).
        self.0[at & (FRAME_WORDS - 1)].load(Ordering::Relaxed)
    }

    /// Asks for the line with the word at `at`.
    #[inline(always)]
    pub(crate) fn prefetch(self, at: usize) {
        prefetch(&self.0[at & (FRAME_WORDS - 1)]);
    }

    /// Asks for what the four references in word `at` name.
    #[inline(always)]
    pub(crate) fn prefetch_four(self, at: usize) {
        let refs = self.word(at);
        for lane in 0..4 {
            let at = Ref((refs >> (16 * lane)) as u16).at();
            self.prefetch(at);
            // What begins at the end of a line goes on in the next.
            self.prefetch(at + 7);
        }
    }

    /// `count` words from `at` on; none when they are not all in the frame.
    #[inline]
    pub(crate) fn run(self, at: usize, count: usize) -> Option<&'a [AtomicU64]> {
        self.0.get(at..at + count)
    }

    /// The reference stored at `loc`.
    #[inline]
    pub(crate) fn reference(self, loc: Loc) -> Ref {
        Ref((self.word(loc.word()) >> loc.shift()) as u16)
    }

    #[inline]
    pub(crate) fn counters(self) -> Counters {
        Counters::unpack(self.word(COUNTERS))
    }

    /// The number of the frame, as written in it.
    pub(crate) fn number(self) -> u32 {
        self.word(IDENTITY) as u32
    }

    /// What the frame is.
    pub(crate) fn nature(self) -> Nature {
        Nature {
            number: self.number(),
            level: (self.word(IDENTITY) >> 40) as u16 & 0xFF,
            ascending: self.counters().ascending,
            longest: self.longest(),
        }
    }

    /// In a root frame, the bound on the length of the tree's keys in bytes.
    #[inline]
    pub(crate) fn longest(self) -> u16 {
        (self.word(IDENTITY) >> 48) as u16
    }

    /// Entry `entry`; one that is not in use when the table is shorter.
    #[inline]
    pub(crate) fn entry(self, entry: usize) -> Entry {
        Entry::unpack(self.word(ENTRIES + entry))
    }

    /// The place that the crossing cell at `at` names.
    #[inline]
    pub(crate) fn crossing(self, at: usize) -> Target {
        Target::unpack(self.word(at))
    }

    /// Copies the words of this frame into `slot`, as far as they are in use.
    pub(crate) fn copy_to(self, slot: &Words) {
        let used = self.counters().used.min(FRAME_WORDS);
        for (to, from) in slot[..used].iter().zip(&self.0[..used]) {
            // Relaxed: the source is latched, the target is not reachable yet or latched.
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Words that `bytes` bytes take.
#[inline]
pub(crate) const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

/// The low `bytes` bytes of a word; all of it from eight on.
#[inline]
pub(crate) fn low_bytes(bytes: usize) -> u64 {
    if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 }
}
