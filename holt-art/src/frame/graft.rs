//! Writing a subtree again under another name.
//!
//! Leaves hold suffixes and nodes hold the prefixes below their parents, so a subtree that
//! moves stays as it is but for its root, which takes other bytes in front.

use super::build::{Loose, item_words};
use super::copy::{Pending, copy_subtree};
use super::edit::{Edit, NoRoom};
use super::leaf::{Leaf, MAX_SUFFIX, Shape, Value};
use super::node::{MAX_PREFIX, Node};
use super::{Kind, Ref, View};

/// Most words by which a subtree grows when `before` bytes come in front of its root.
pub(crate) fn growth(before: usize) -> usize {
    // A chain of full nodes, and a root (or leaf with a longer head) that takes the rest.
    (before.div_ceil(MAX_PREFIX + 1) + 1) * Edit::n4_words(MAX_PREFIX) + 4
}

/// Copies the subtree `root` of the frame `from` into the frame of `to`, with its root's
/// first `skip` bytes replaced by `before`. The copy hangs nowhere yet.
///
/// # Errors
///
/// [`NoRoom`] when a block could not be had. Blocks taken before it are lost to the frame
/// until it is written anew, so callers make sure of the room: the words of the subtree
/// and [`growth`], at the end of the frame.
pub(crate) fn graft(
    from: View<'_>,
    root: Ref,
    skip: usize,
    before: &[u8],
    to: &mut Edit<'_>,
) -> Result<Ref, NoRoom> {
    let mut stem = before.to_vec();
    let longest = if root.is_leaf() {
        Leaf::read(from, root).append_suffix(from, skip, &mut stem);
        MAX_SUFFIX
    } else {
        let mut own = Vec::new();
        Node::read(from, root).append_prefix(&mut own);
        stem.extend_from_slice(&own[skip..]);
        MAX_PREFIX
    };
    let chained = stem.len().saturating_sub(longest).div_ceil(MAX_PREFIX + 1);
    let (chain, rest) = stem.split_at(chained * (MAX_PREFIX + 1));
    let mut below =
        if root.is_leaf() { leaf(from, root, rest, to)? } else { node(from, root, rest, to)? };
    for bytes in chain.chunks(MAX_PREFIX + 1).rev() {
        let at = to.take_for_good(Edit::n4_words(MAX_PREFIX))?;
        below = to.write_n4(at, &bytes[..MAX_PREFIX], Ref::NULL, &mut [(bytes[MAX_PREFIX], below)]);
    }
    Ok(below)
}

fn leaf(from: View<'_>, root: Ref, suffix: &[u8], to: &mut Edit<'_>) -> Result<Ref, NoRoom> {
    let old = Leaf::read(from, root);
    let mut bytes = Vec::new();
    let value = if old.blob {
        Value::Blob { number: old.blob_number(from), length: old.value }
    } else {
        bytes.resize(old.value, 0);
        old.copy_value(from, &mut bytes);
        Value::Inline(&bytes)
    };
    let at = to.take_for_good(Shape::new(suffix.len(), &value).words())?;
    to.count_keys(1);
    Ok(to.write_leaf(at, suffix, &value, old.version))
}

fn node(from: View<'_>, root: Ref, prefix: &[u8], to: &mut Edit<'_>) -> Result<Ref, NoRoom> {
    let old = Node::read(from, root);
    let mut loose = Loose::read(from, root);
    loose.set_prefix(prefix);
    loose.value = Ref::NULL;
    for rank in 0..loose.count() {
        loose.set_child(rank, Ref::NULL);
    }
    let at = to.take_for_good(loose.words())?;
    let new = loose.write(to, at);
    let target = Node::read(to.view(), new);
    let mut pending = Pending::new();
    if !old.value().is_null() {
        copy_subtree(from, old.value(), to, target.value_loc(), &mut pending)?;
    }
    // Leaves first: they belong directly behind their node (frame::copy).
    for leaves in [true, false] {
        for rank in 0..old.count() {
            let child = from.reference(old.child_loc(rank));
            if child.is_leaf() == leaves {
                copy_subtree(from, child, to, target.child_loc(rank), &mut pending)?;
            }
        }
    }
    Ok(new)
}

/// Gives back all blocks of the subtree `root`, whose reference the caller clears. The
/// numbers of its blobs go to `blob`.
pub(crate) fn give_subtree(edit: &mut Edit<'_>, root: Ref, blob: &mut impl FnMut(u32)) {
    let mut pending = vec![root];
    while let Some(item) = pending.pop() {
        let view = edit.view();
        if item.is_leaf() {
            let leaf = Leaf::read(view, item);
            if leaf.blob {
                blob(leaf.blob_number(view));
            }
            edit.count_keys(-1);
        } else if item.kind() == Kind::Crossing {
            edit.count_crossings(-1);
        } else if item.is_inner() {
            let node = Node::read(view, item);
            if !node.value().is_null() {
                pending.push(node.value());
            }
            pending.extend((0..node.count()).map(|rank| view.reference(node.child_loc(rank))));
        }
        let words = item_words(view, item);
        edit.give(item.at(), words);
    }
}
