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

/// Walks from the reference at `loc` along `key`, of which `from` bytes are used up.
///
/// `FORK` says whether the deepest fork is wanted; looking for it costs a little.
#[inline(always)]
pub(crate) fn walk<const FORK: bool>(
    view: View<'_>,
    mut loc: Loc,
    key: Key<'_>,
    mut from: usize,
) -> Site {
    let mut fork = None;
    let mut at = view.reference(loc);
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
                let node = Node::read(view, at);
                let prefix = node.prefix_len();
                if prefix != 0
                    && (from + prefix > key.len()
                        || !equal(view, node.prefix_at(), prefix, key, from))
                {
                    return Site { loc, at, from, fork, end: End::Prefix };
                }
                let end = from + prefix;
                let byte = key.byte(end);
                let (next_loc, next_from) = match byte {
                    None => {
                        if node.value().is_null() {
                            return Site { loc, at, from, fork, end: End::NoValue };
                        }
                        (node.value_loc(), end)
                    }
                    Some(byte) => match node.find(byte) {
                        None => return Site { loc, at, from, fork, end: End::NoChild(byte) },
                        Some(child) => (child, end + 1),
                    },
                };
                if FORK && node.count() + usize::from(!node.value().is_null()) > 1 {
                    fork = Some(Fork { loc, node: at, branch: byte });
                }
                let next = view.reference(next_loc);
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
