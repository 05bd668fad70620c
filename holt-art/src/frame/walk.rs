//! The descent inside one frame: from an entry towards a key, as far as it goes.

use super::key::Key;
use super::leaf::{Leaf, equal};
use super::node::Node;
use super::{Kind, Loc, Ref, Target, View};

/// Where a descent ended and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    /// Where the reference `at` is stored.
    pub(crate) loc: Loc,
    /// The last thing reached.
    pub(crate) at: Ref,
    /// How many bytes of the key lead to `at`, its own prefix or suffix excluded.
    pub(crate) from: usize,
    /// The deepest inner node passed that has something beside the branch taken.
    pub(crate) fork: Option<Fork>,
    /// Why the descent ended.
    pub(crate) end: End,
}

/// An inner node from which a branch can be taken away without leaving it empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fork {
    /// Where the reference to the node is stored.
    pub(crate) loc: Loc,
    /// The node.
    pub(crate) node: Ref,
    /// The branch that leads to the key: a child's byte, or the value slot.
    pub(crate) branch: Option<u8>,
}

/// Why a descent ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The entry's root is null: the tree is empty.
    Vacant,
    /// At a leaf with exactly the key.
    Found,
    /// At a leaf with another key.
    Differs,
    /// At an inner node whose prefix the key does not have.
    Prefix,
    /// The key ends at an inner node without a record.
    NoValue,
    /// At an inner node without a child for the next byte.
    NoChild(u8),
    /// At a crossing: the descent goes on in another frame.
    Crossing(Target),
    /// At something that no writer can have stored: the frame changed meanwhile.
    Garbage,
}

/// Lines behind a node of four and of sixteen children that are asked for when it is reached.
///
/// A bottom node's leaves follow it in most frames, so they are on their way while the node itself is, which
/// is one wait for memory less. Of 2 M keys a get and a put of the same size take 0.8 (`fs`, `objstore`) to 1
/// (`kv`) of the time; of 20,000 keys, which are in the processor's caches, a get is a nanosecond slower.
/// Twelve lines instead of eight gain little there and cost 4 ns with 20,000; six are slower.
pub(super) const BEHIND_N4: usize = 4;
pub(super) const BEHIND_N16: usize = 8;

/// Asks for so many lines behind the word at `at`.
#[inline(always)]
fn prefetch_behind(view: View<'_>, at: usize, lines: usize) {
    for line in 1..=lines {
        view.prefetch(at + 8 * line);
    }
}

/// Walks from the reference at `loc` along `key`, of which `from` bytes are used up.
///
/// `FORK` says whether the deepest fork is wanted; looking for it costs a little.
#[inline(always)]
pub(crate) fn walk<const FORK: bool>(view: View<'_>, loc: Loc, key: Key<'_>, from: usize) -> Site {
    walk_from::<FORK>(view, loc, view.reference(loc), key, from)
}

/// As [`walk`], with the reference `at` that is at `loc`.
#[inline(always)]
pub(crate) fn walk_from<const FORK: bool>(
    view: View<'_>,
    mut loc: Loc,
    mut at: Ref,
    key: Key<'_>,
    mut from: usize,
) -> Site {
    let mut fork = None;
    loop {
        match at.kind() {
            Kind::Leaf | Kind::LongLeaf => {
                let leaf = Leaf::read(view, at);
                let found = leaf.matches(view, key, from);
                return Site {
                    loc,
                    at,
                    from,
                    fork,
                    end: if found { End::Found } else { End::Differs },
                };
            }
            Kind::N4 | Kind::N16 | Kind::Bitmap => {
                // As for a read (`reach.rs`).
                match at.kind() {
                    Kind::N4 => prefetch_behind(view, at.at(), BEHIND_N4),
                    Kind::N16 => prefetch_behind(view, at.at(), BEHIND_N16),
                    _ => {}
                }
                let node = Node::read(view, at);
                let prefix = node.prefix_len();
                let mut end = from;
                // A branch by itself, so that without a prefix the byte to look for does not wait
                // for the node.
                if prefix != 0 {
                    end += prefix;
                    if end > key.len() || !equal(view, node.prefix_at(), prefix, key, from) {
                        return Site { loc, at, from, fork, end: End::Prefix };
                    }
                }
                let byte = key.byte(end);
                let (next_loc, next, next_from) = match byte {
                    None => {
                        if node.value().is_null() {
                            return Site { loc, at, from, fork, end: End::NoValue };
                        }
                        (node.value_loc(), node.value(), end)
                    }
                    Some(byte) => match node.child(byte) {
                        None => return Site { loc, at, from, fork, end: End::NoChild(byte) },
                        Some((loc, child)) => (loc, child, end + 1),
                    },
                };
                if FORK && node.count() + usize::from(!node.value().is_null()) > 1 {
                    fork = Some(Fork { loc, node: at, branch: byte });
                }
                // A value slot leads to a leaf and nowhere else, so the walk ends; any
                // other step uses up a byte of the key.
                if next.is_null() || (byte.is_none() && !next.is_leaf()) {
                    return Site { loc, at, from, fork, end: End::Garbage };
                }
                loc = next_loc;
                at = next;
                from = next_from;
            }
            Kind::Crossing => {
                return Site { loc, at, from, fork, end: End::Crossing(view.crossing(at.at())) };
            }
            Kind::Null => return Site { loc, at, from, fork, end: End::Vacant },
            Kind::Unknown => return Site { loc, at, from, fork, end: End::Garbage },
        }
    }
}
