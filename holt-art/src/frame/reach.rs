//! The descent of a point read inside one frame.
//!
//! A get that finds all it needs in the processor's caches is as long as the chain from one reference
//! to the next: node, byte, reference. So this is [`walk`](super::walk) once more, without all that a
//! writer wants to know of the way, and with the chain kept short:
//!
//! - Words are read through a [`Wide`] view, which spares each of them being masked into the frame.
//! - A node's references do not wait for the place of the byte, where they are in one word.
//! - The byte to look for does not wait for the node, where that has no prefix.
//! - Bits are counted by one instruction, on processors that have it: see [`Counting`].

use super::key::Key;
use super::leaf::equal;
use super::node::{mark4, mark16, rank_in_bitmap};
use super::walk::{BEHIND_N4, BEHIND_N16};
use super::{FRAME_WORDS, Ref, View, low_bytes};
use crate::arena::prefetch;
use crate::sync::{AtomicU64, Ordering};

/// Words behind a frame that may be read with it.
///
/// What is read furthest behind a node's first word is its prefix: 132 words, if garbage stands where a bitmap node
/// has how many words of references there are. What is asked for behind a node is nearer.
const MARGIN: usize = 160;

/// The words of a [`Wide`] view.
pub(crate) type WideWords = [AtomicU64; FRAME_WORDS + MARGIN];

/// Read access to a frame's words and to a few behind them, so that something near a word of the frame
/// can be read without a look at whether it is still inside. For readers who validate the frame: what is
/// behind it belongs to others, and nothing that a writer stores leads there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide<'a>(&'a WideWords);

impl<'a> Wide<'a> {
    #[inline(always)]
    pub(crate) fn new(words: &'a WideWords) -> Self {
        Self(words)
    }

    /// The frame alone.
    #[inline(always)]
    pub(crate) fn view(self) -> View<'a> {
        let (frame, _) = self.0.split_first_chunk().expect("it is longer than a frame");
        View::new(frame)
    }

    /// The word `behind` words behind the first one of what `item` names; at most [`MARGIN`].
    #[inline(always)]
    fn word(self, item: Ref, behind: usize) -> u64 {
        // Relaxed: ordered against writers by the latch word (pool::latch, edge 2).
        self.0[item.at() + behind].load(Ordering::Relaxed)
    }

    /// Asks for that many lines of memory, the first of which has the word `behind` words behind the
    /// first one of `item`.
    #[inline(always)]
    fn prefetch(self, item: Ref, behind: usize, lines: usize) {
        for line in 0..lines {
            prefetch(&self.0[item.at() + behind + 8 * line]);
        }
    }
}

/// Where a read gets to inside a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// A leaf or a crossing; [`Reached::NOTHING`] when the key has no record; anything else when the frame has what no
    /// writer can have stored. That may be a null reference, as only the root of an empty tree is one.
    pub(crate) at: Ref,
    /// How many bytes of the key lead there.
    pub(crate) from: usize,
}

impl Reached {
    /// A null reference with an offset, which no frame has.
    pub(crate) const NOTHING: Ref = Ref(1 << 3);
}

/// Whether the processor counts the bits of a word in one instruction, and has the shorter shifts that came
/// with it. The base set of x86-64 has neither, and without them a get takes 4 (file paths) to 10 % longer (random keys).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counting(bool);

impl Counting {
    /// Asks the processor.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected;
            Self(
                is_x86_feature_detected!("popcnt")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2"),
            )
        }
        // Whoever else has such an instruction has it in the base set, or not for this kind of word.
        #[cfg(not(target_arch = "x86_64"))]
        Self(false)
    }
}

/// Goes from the reference `at` along `key`, of which `from` bytes are used up, to the next crossing or
/// to a leaf, which is not compared with the key.
#[inline(always)]
pub(crate) fn reach(
    counting: Counting,
    words: Wide<'_>,
    at: Ref,
    key: Key<'_>,
    from: usize,
) -> Reached {
    #[cfg(target_arch = "x86_64")]
    if counting.0 {
        // SAFETY: the function wants a processor with these three sets of instructions and nothing
        // else; a `Counting` of `true` is made by `detect` alone, which has asked for all three.
        return unsafe { reach_counting(words, at, key, from) };
    }
    let _ = counting;
    reach_anywhere(words, at, key, from)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,bmi1,bmi2")]
#[inline(never)]
fn reach_counting(words: Wide<'_>, at: Ref, key: Key<'_>, from: usize) -> Reached {
    descend(words, at, key, from)
}

#[inline(never)]
fn reach_anywhere(words: Wide<'_>, at: Ref, key: Key<'_>, from: usize) -> Reached {
    descend(words, at, key, from)
}

/// Inlined into functions by themselves, with few things to keep in registers, and a piece of code
/// for each kind of node.
#[inline(always)]
fn descend(words: Wide<'_>, mut at: Ref, key: Key<'_>, mut from: usize) -> Reached {
    loop {
        // A tag and not a kind, and nothing said of all the others: of three cases the compiler makes
        // branches, which processors foresee better than the jump through a table that more would be.
        let child = match at.tag() {
            Ref::N4 => {
                words.prefetch(at, 8, BEHIND_N4);
                step::<N4>(words, at, key, &mut from)
            }
            Ref::N16 => {
                // The references, often in the next line.
                words.prefetch(at, 5, 1 + BEHIND_N16);
                step::<N16>(words, at, key, &mut from)
            }
            Ref::BITMAP => {
                // Where the references of the first sixty children are.
                words.prefetch(at, 8, 2);
                step::<Bitmap>(words, at, key, &mut from)
            }
            _ => return Reached { at, from },
        };
        match child {
            Ok(child) => at = child,
            Err(end) => return Reached { at: end, from },
        }
    }
}

/// A kind of inner node, as far as its layout (`node.rs`) matters here.
trait Layout {
    /// First word of the prefix, from the node's first word on.
    fn prefix(head: u64) -> usize;

    /// The reference to the child for `byte`.
    fn child(words: Wide<'_>, node: Ref, head: u64, byte: u8) -> Option<Ref>;
}

/// The reference that a mark (`node.rs`) stands for, in the word that has it.
#[inline(always)]
fn marked(refs: u64, mark: u32) -> Ref {
    Ref((refs >> ((u64::from(mark) * 2 + 50) & 63)) as u16)
}

struct N4;

impl Layout for N4 {
    #[inline(always)]
    fn prefix(_: u64) -> usize {
        2
    }

    #[inline(always)]
    fn child(words: Wide<'_>, node: Ref, head: u64, byte: u8) -> Option<Ref> {
        let refs = words.word(node, 1);
        let mark = mark4((head >> 32) as u32, byte);
        let count = (head >> 24 & 0xFF).min(4) as u32;
        (mark < 8 * count).then_some(marked(refs, mark))
    }
}

struct N16;

impl Layout for N16 {
    #[inline(always)]
    fn prefix(head: u64) -> usize {
        3 + (head >> 32 & 0x7) as usize
    }

    #[inline(always)]
    fn child(words: Wide<'_>, node: Ref, head: u64, byte: u8) -> Option<Ref> {
        let mark = mark16([words.word(node, 1), words.word(node, 2)], byte);
        let refs = words.word(node, 3 + (mark / 32) as usize);
        let count = (head >> 24 & 0xFF).min(16) as u32;
        (mark < 8 * count).then_some(marked(refs, mark))
    }
}

struct Bitmap;

impl Layout for Bitmap {
    #[inline(always)]
    fn prefix(head: u64) -> usize {
        5 + (head >> 24 & 0x7F) as usize
    }

    #[inline(always)]
    fn child(words: Wide<'_>, node: Ref, head: u64, byte: u8) -> Option<Ref> {
        let bits = words.word(node, 1 + usize::from(byte >> 6));
        let rank = rank_in_bitmap(head, bits, byte);
        let refs = words.word(node, 5 + rank / 4);
        (bits >> (byte & 63) & 1 == 1).then_some(Ref((refs >> (16 * (rank % 4))) as u16))
    }
}

/// The reference to what follows for the key below a node that it reaches with `from` bytes used
/// up; as an error that with which the read ends.
#[inline(always)]
fn step<L: Layout>(words: Wide<'_>, node: Ref, key: Key<'_>, from: &mut usize) -> Result<Ref, Ref> {
    let head = words.word(node, 0);
    let child = |byte| L::child(words, node, head, byte).ok_or(Reached::NOTHING);
    let prefix = (head >> 16 & 0xFF) as usize;
    if prefix == 0 {
        // By itself, so that the byte to look for does not wait for the node.
        return match key.byte(*from) {
            Some(byte) => {
                *from += 1;
                child(byte)
            }
            None => Err(value(head)),
        };
    }
    let end = *from + prefix;
    if end > key.len() {
        return Err(Reached::NOTHING);
    }
    let at = L::prefix(head);
    let equals = if prefix <= 8 {
        (words.word(node, at) ^ key.load(*from)) & low_bytes(prefix) == 0
    } else {
        equal(words.view(), node.at() + at, prefix, key, *from)
    };
    if !equals {
        return Err(Reached::NOTHING);
    }
    match key.byte(end) {
        Some(byte) => {
            *from = end + 1;
            child(byte)
        }
        None => {
            *from = end;
            Err(value(head))
        }
    }
}

/// The reference to the record of the key that ends at a node; unknown if it is none of a leaf.
#[inline(always)]
fn value(head: u64) -> Ref {
    let value = Ref(head as u16);
    match value {
        Ref::NULL => Reached::NOTHING,
        value if value.is_leaf() => value,
        _ => Ref::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::walk::{End, walk};
    use crate::frame::{Kind, Loc};
    use crate::{Art, PoolOptions};

    /// Where a read ends, in the words of [`reach`].
    type Way = fn(Wide<'_>, Ref, Key<'_>, usize) -> Reached;

    /// Follows `key` from frame to frame with `way` and with [`walk`] beside it, and says whether there is a record.
    fn follow(map: &Art, key: &[u8], way: Way) -> bool {
        let key = Key::new(key);
        let pool = map.tree().pool();
        let (mut frame, mut entry, mut from) = (map.tree().root().0, 0, 0);
        loop {
            let row = pool.row(frame).unwrap();
            let words = pool.wide(row.latch().observe());
            let view = words.view();
            let site = walk::<false>(view, Loc::entry(entry), key, from);
            let reached = way(words, row.root(view, entry), key, from);
            match site.end {
                End::Crossing(target) => {
                    assert_eq!((reached.at, reached.from), (site.at, site.from));
                    assert_eq!(reached.at.kind(), Kind::Crossing);
                    (frame, entry) = (target.frame, usize::from(target.entry));
                    from = site.from;
                }
                End::Found | End::Differs => {
                    assert_eq!((reached.at, reached.from), (site.at, site.from));
                    return site.end == End::Found;
                }
                End::Prefix | End::NoValue | End::NoChild(_) => {
                    assert_eq!(reached.at, Reached::NOTHING);
                    return false;
                }
                End::Vacant | End::Garbage => panic!("{site:?}"),
            }
        }
    }

    #[test]
    fn a_read_gets_to_where_a_walk_does() {
        let map = Art::with_options(PoolOptions::with_bytes(64 << 20, 64 << 20)).unwrap();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = move |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        // Nodes of every size, with and without prefixes of all lengths, records on the way included.
        let mut keys = Vec::new();
        for _ in 0..20_000 {
            let mut key = Vec::new();
            for _ in 0..1 + next(4) {
                key.extend(std::iter::repeat_n(b'p', next(20) as usize * next(2) as usize));
                let choices = [2, 4, 5, 9, 16, 17, 70, 256][next(8) as usize];
                key.push(next(choices) as u8);
            }
            keys.push(key);
        }
        for key in &keys[..15_000] {
            map.put(key, b"value").unwrap();
        }
        assert!(map.tree().pool().stats().frames > 4);
        let counting = map.tree().pool().counting;
        let ways: [Way; 2] = [reach_anywhere, |words, at, key, from| {
            reach(Counting::detect(), words, at, key, from)
        }];
        assert_eq!(counting, Counting::detect());
        let mut missing = 0;
        for key in &keys {
            let expected = map.get(key).unwrap().is_some();
            missing += usize::from(!expected);
            for way in ways {
                assert_eq!(follow(&map, key, way), expected, "{key:?}");
            }
        }
        assert!(missing > 100);
    }

    #[test]
    fn a_null_child_is_no_record_and_no_child() {
        // An N4 with one child, for the byte 7, whose reference is null, and a value that is no leaf.
        let words: Box<WideWords> = Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let node = Ref::new(Kind::N4, 100);
        // Relaxed: there is one thread.
        words[100].store(u64::from(node.0) | 1 << 24 | 7 << 32, Ordering::Relaxed);
        for counting in [Counting(false), Counting::detect()] {
            let end = |key: &[u8]| reach(counting, Wide::new(&words), node, Key::new(key), 0).at;
            assert_eq!(end(&[7]), Ref::NULL);
            assert_eq!(end(&[]), Ref::UNKNOWN);
            assert_eq!(end(&[8]), Reached::NOTHING);
        }
    }
}
