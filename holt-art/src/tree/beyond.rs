//! The rest of a long key in frames of its own.
//!
//! A rest of thousands of bytes would fill the frame where it hangs, so it becomes a chain
//! of nodes in as many new frames as it takes. Nothing leads there until it is linked.

use crate::error::Error;
use crate::frame::edit::Edit;
use crate::frame::leaf::{MAX_SUFFIX, Shape, Value};
use crate::frame::node::MAX_PREFIX;
use crate::frame::{Entry, FRAME_WORDS, Loc, Ref, Target};
use crate::pool::{Latched, Pool};

use super::outcome::Version;

/// Words of a chain that one frame of a long rest takes, what it ends in not counted.
const CHAIN_WORDS: usize = FRAME_WORDS * 73 / 100;
/// Bytes that a node of the chain takes at most.
const NODE_BYTES: usize = MAX_PREFIX + 1;
/// Nodes of the chain in one frame.
const PER_FRAME: usize = CHAIN_WORDS / Edit::n4_words(MAX_PREFIX);

/// The rest of a long key in frames of its own, not linked yet.
pub(super) struct Beyond<'p> {
    frames: Vec<Latched<'p>>,
    /// The record's leaf, in the last frame, whose version is still to come.
    leaf: Option<Ref>,
}

/// What a chain ends in.
enum ChainEnd<'a> {
    Leaf { suffix: &'a [u8], value: Value<'a> },
    Entry(Target),
}

impl<'p> Beyond<'p> {
    /// Builds `rest` as a chain that ends in a record, whose version is stamped later.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`].
    pub(super) fn with_value(pool: &'p Pool, rest: &[u8], value: Value<'_>) -> Result<Self, Error> {
        let nodes = rest.len().saturating_sub(MAX_SUFFIX).div_ceil(NODE_BYTES);
        let (chain, suffix) = rest.split_at(nodes * NODE_BYTES);
        Self::build(pool, chain, &ChainEnd::Leaf { suffix, value })
    }

    /// Builds `rest` as a chain that ends in an entry of another frame.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`].
    pub(super) fn with_entry(pool: &'p Pool, rest: &[u8], entry: Target) -> Result<Self, Error> {
        Self::build(pool, rest, &ChainEnd::Entry(entry))
    }

    fn build(pool: &'p Pool, chain: &[u8], end: &ChainEnd<'_>) -> Result<Self, Error> {
        let nodes: Vec<&[u8]> = chain.chunks(NODE_BYTES).collect();
        let count = nodes.len().div_ceil(PER_FRAME).max(1);
        let mut beyond = Self { frames: Vec::with_capacity(count), leaf: None };
        for _ in 0..count {
            match pool.new_frame(0) {
                Ok(frame) => beyond.frames.push(frame),
                Err(error) => {
                    beyond.discard();
                    return Err(error);
                }
            }
        }
        let room = "a new frame has room for its share of a chain";
        // From the end: each frame's chain ends in what the frame behind it begins with.
        let mut next: Option<Target> = None;
        for (index, frame) in beyond.frames.iter().enumerate().rev() {
            Edit::set_entry(frame.words(), 0, Entry { occupied: true, ..Entry::default() });
            let mut edit = frame.edit(0);
            let crossing = next.or(match end {
                ChainEnd::Entry(target) => Some(*target),
                ChainEnd::Leaf { .. } => None,
            });
            let mut below = match (crossing, end) {
                (None, ChainEnd::Leaf { suffix, value }) => {
                    let shape = Shape::new(suffix.len(), value);
                    let at = edit.take_for_good(shape.words()).expect(room);
                    edit.count_keys(1);
                    *beyond.leaf.insert(edit.write_leaf(at, suffix, value, 0))
                }
                (Some(target), _) => {
                    let at = edit.take_for_good(1).expect(room);
                    edit.write_crossing(at, target)
                }
                (None, ChainEnd::Entry(_)) => unreachable!("such a chain ends in its entry"),
            };
            let share = nodes.iter().skip(index * PER_FRAME).take(PER_FRAME);
            for bytes in share.rev() {
                let (&last, prefix) = bytes.split_last().expect("a node has a byte at least");
                let at = edit.take_for_good(Edit::n4_words(prefix.len())).expect(room);
                below = edit.write_n4(at, prefix, Ref::NULL, &mut [(last, below)]);
            }
            edit.set_ref(Loc::entry(0), below);
            edit.finish();
            next = Some(Target { frame: frame.number(), entry: 0 });
        }
        Ok(beyond)
    }

    /// Where the chain begins.
    pub(super) fn target(&self) -> Target {
        Target { frame: self.frames[0].number(), entry: 0 }
    }

    /// Writes the version into the leaf.
    pub(super) fn stamp(&self, version: Version) {
        if let (Some(leaf), Some(frame)) = (self.leaf, self.frames.last()) {
            frame.edit(0).set_version(leaf, version.get());
        }
    }

    /// Frees the frames, which nothing leads to.
    pub(super) fn discard(self) {
        self.frames.into_iter().for_each(Latched::discard);
    }
}
