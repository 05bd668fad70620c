//! Taking a branch away from the node where it forks off, and mending the node.

use super::build::{Loose, replace_node, take_for};
use super::edit::Edit;
use super::leaf::{Leaf, MAX_SUFFIX, Shape};
use super::node::{MAX_PREFIX, Node};
use super::walk::Fork;
use super::{Kind, Loc, Ref};

/// Removes the branch of `fork` with everything that hangs on it in this frame: a chain
/// of nodes that ends in a leaf or in a crossing.
///
/// The node is contracted or shrunk where that needs no more room than there is; a
/// node that stays larger than it must be is legal and is mended by the next copy.
pub(crate) fn remove_branch(edit: &mut Edit<'_>, fork: &Fork) {
    let view = edit.view();
    let node = Node::read(view, fork.node);
    let branch = match fork.branch {
        None => node.value(),
        Some(byte) => node.find(byte).map_or(Ref::NULL, |loc| view.reference(loc)),
    };
    give_chain(edit, branch);
    match fork.branch {
        None => edit.set_ref(node.value_loc(), Ref::NULL),
        Some(byte) => edit.remove_child(fork.node, byte),
    }
    mend(edit, fork.loc, fork.node);
}

/// Gives back a chain of nodes, each with one branch, and what it ends in.
pub(crate) fn give_chain(edit: &mut Edit<'_>, start: Ref) {
    let mut at = start;
    loop {
        let view = edit.view();
        let next = if at.is_inner() {
            let node = Node::read(view, at);
            node.children().next().map_or(node.value(), |(_, loc)| view.reference(loc))
        } else {
            if at.is_leaf() {
                edit.count_keys(-1);
            } else if at.kind() == Kind::Crossing {
                edit.count_crossings(-1);
            }
            Ref::NULL
        };
        if at.is_null() {
            return;
        }
        edit.give_item(at);
        at = next;
    }
}

/// Contracts a node that has one branch left; writes one that became much too large
/// again in a smaller kind.
fn mend(edit: &mut Edit<'_>, loc: Loc, at: Ref) {
    let view = edit.view();
    let node = Node::read(view, at);
    let (count, value) = (node.count(), node.value());
    if count == 0 {
        join_leaf(edit, loc, at, None, value);
    } else if count == 1 && value.is_null() {
        let (byte, child_loc) = node.next(0).expect("a node with one child has a first one");
        let child = view.reference(child_loc);
        if child.is_leaf() {
            join_leaf(edit, loc, at, Some(byte), child);
        } else if child.is_inner() {
            join_node(edit, loc, at, byte, child);
        }
    } else if too_large(&node, count) {
        let loose = Loose::read(view, at);
        if let Ok(block) = take_for(edit, &loose) {
            replace_node(edit, loc, at, &loose, block);
        }
    }
}

/// Whether a smaller form would leave room for a few children before it grows again.
fn too_large(node: &Node<'_>, count: usize) -> bool {
    match node.kind() {
        Kind::N4 => false,
        Kind::N16 => count <= 3 || node.child_words() * 4 >= count + 6,
        _ => count <= 12 || node.child_words() * 4 >= count + 16,
    }
}

/// Replaces a node by its only leaf, whose suffix takes in the node's prefix.
fn join_leaf(edit: &mut Edit<'_>, loc: Loc, at: Ref, byte: Option<u8>, leaf: Ref) {
    let view = edit.view();
    let mut before = Vec::new();
    Node::read(view, at).append_prefix(&mut before);
    before.extend(byte);
    let old = Leaf::read(view, leaf);
    let suffix = before.len() + old.suffix;
    if suffix > MAX_SUFFIX {
        return;
    }
    let words = Shape { suffix, ..old.shape() }.words();
    // The node's own block is as good as a fresh one once everything has been read,
    // but a fresh one keeps this step simple; without room the node stays.
    if let Ok(block) = edit.take(words) {
        let joined = edit.rewrite_leaf(block, leaf, &before, 0);
        edit.set_ref(loc, joined);
        edit.give_item(leaf);
        edit.give_item(at);
    }
}

/// Replaces a node by its only child, an inner node, whose prefix takes in the node's.
fn join_node(edit: &mut Edit<'_>, loc: Loc, at: Ref, byte: u8, child: Ref) {
    let view = edit.view();
    let mut before = Vec::new();
    Node::read(view, at).append_prefix(&mut before);
    before.push(byte);
    if before.len() + Node::read(view, child).prefix_len() > MAX_PREFIX {
        return;
    }
    let mut loose = Loose::read(view, child);
    loose.prepend(&before);
    if let Ok(block) = take_for(edit, &loose) {
        replace_node(edit, loc, child, &loose, block);
        edit.give_item(at);
    }
}
