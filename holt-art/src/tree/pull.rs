//! Pulling up: heavy entries give their root nodes to the parent frame.

use super::cut::{ASCENDING, is_coarse};
use super::run::Part;
use crate::frame::build::{Loose, item_words};
use crate::frame::copy::{copy_subtree, measure};
use crate::frame::edit::Edit;
use crate::frame::key::Key;
use crate::frame::node::Node;
use crate::frame::{ENTRIES, FRAME_WORDS, Kind, Ref, View};
use crate::pool::Latched;

/// An entry heavier than this gives its root node to the parent.
const PULL_ABOVE: usize = FRAME_WORDS * 35 / 100;

/// With a child heavier than this a frame can only be cut beside it, so pulling its node
/// up must leave the frame with room for its longer table.
const SPINE_ABOVE: usize = FRAME_WORDS * 85 / 100;

/// Entries that a frame may have after pulling up.
const MAX_ENTRIES: usize = 1024;

/// What pulling up came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pulled {
    /// No part was heavy enough, or none had fan-out.
    Nothing,
    /// Root nodes have moved to the parent.
    Nodes,
    /// The parent needs room first. Nothing has changed.
    ParentFull,
}

/// Whether a part is to give its root node to the parent.
pub(super) fn is_heavy(view: View<'_>, part: &Part) -> bool {
    let arriving = part.wanted.is_some() && view.counters().ascending >= ASCENDING;
    (part.words > PULL_ABOVE && forks(view, part))
        || (arriving && is_coarse(view, part.root, part.words))
}

/// Whether a part has a root node with more than one thing below.
pub(super) fn forks(view: View<'_>, part: &Part) -> bool {
    if !part.root.is_inner() {
        return false;
    }
    let node = Node::read(view, part.root);
    node.count() + usize::from(!node.value().is_null()) > 1
}

/// Moves the root nodes of heavy parts into the parent, until no part is heavy or the
/// parent is full.
pub(super) fn pull_up(
    view: View<'_>,
    parent: &Latched<'_>,
    parts: &mut Vec<Part>,
    kept: usize,
    key: Key<'_>,
) -> Pulled {
    pull_where(view, parent, parts, kept, key, |part| is_heavy(view, part))
}

/// Moves the root nodes of parts that are heavier than this into the parent, until none is or the
/// parent is full.
pub(super) fn take_apart(
    view: View<'_>,
    parent: &Latched<'_>,
    parts: &mut Vec<Part>,
    kept: usize,
    above: usize,
) -> Pulled {
    let heavy = |part: &Part| part.words > above && forks(view, part);
    pull_where(view, parent, parts, kept, Key::new(&[]), heavy)
}

fn pull_where(
    view: View<'_>,
    parent: &Latched<'_>,
    parts: &mut Vec<Part>,
    kept: usize,
    key: Key<'_>,
    is_heavy: impl Fn(&Part) -> bool,
) -> Pulled {
    let mut pulled = Pulled::Nothing;
    loop {
        let heavy = parts.iter().enumerate().filter(|(_, part)| is_heavy(part));
        let heaviest = heavy.max_by_key(|(_, part)| part.words);
        let Some((position, _)) = heaviest else { return pulled };
        match pull_at(view, parent, parts, kept, key, position) {
            Pulled::Nodes => pulled = Pulled::Nodes,
            Pulled::ParentFull if pulled == Pulled::Nothing => return Pulled::ParentFull,
            Pulled::ParentFull | Pulled::Nothing => return pulled,
        }
    }
}

/// Moves the root node of the part at a position of the list, which has fan-out, into the parent.
pub(super) fn pull_at(
    view: View<'_>,
    parent: &Latched<'_>,
    parts: &mut Vec<Part>,
    kept: usize,
    key: Key<'_>,
    position: usize,
) -> Pulled {
    let part = parts[position];
    let loose = Loose::read(view, part.root);
    let weights: Vec<usize> = loose.children().map(|(_, child)| measure(view, child)).collect();
    // A heavy child is pulled up in turn, unless its frame could not be cut then.
    let heavy_child = weights.iter().any(|&words| words > SPINE_ABOVE);
    let others: usize = parts.iter().map(|part| part.words + 1).sum::<usize>() - part.words;
    let after = ENTRIES + kept + others + weights.iter().map(|words| words + 1).sum::<usize>();
    if parts.len() + loose.count() > MAX_ENTRIES || (heavy_child && after > FRAME_WORDS) {
        return Pulled::Nothing;
    }
    let mut edit = parent.edit(part.owner);
    let value_words = item_words(view, loose.value);
    if loose.words() + loose.count() + value_words > edit.bump_room() {
        return Pulled::ParentFull;
    }
    let new_parts = pull_node(view, &mut edit, &part, loose, &weights, key);
    edit.finish();
    parts.splice(position..=position, new_parts);
    Pulled::Nodes
}

/// Moves one root node into the parent, which has the room, and returns the parts that
/// its children have become.
fn pull_node(
    view: View<'_>,
    parent: &mut Edit<'_>,
    part: &Part,
    mut loose: Loose,
    weights: &[usize],
    key: Key<'_>,
) -> Vec<Part> {
    let room = "the parent's room was counted";
    // The child that the key goes to. Without one, or where the key leaves the prefix, the
    // place of the key is in the parent from now on.
    let wanted = part.wanted.and_then(|from| {
        let from = from + loose.prefix().len();
        let byte = key.byte(from);
        let rank = loose.children().position(|(other, _)| Some(other) == byte)?;
        Some((rank, from + 1))
    });
    let here = parent.view().crossing(part.cell);
    let at = parent.take_for_good(loose.words()).expect(room);
    let children: Vec<(u8, Ref)> = loose.children().collect();
    let mut new_parts = Vec::with_capacity(children.len());
    for (rank, &(_, child)) in children.iter().enumerate() {
        let cell = parent.take_for_good(1).expect(room);
        let moves_up = child.kind() == Kind::Crossing;
        // A crossing itself moves up, and its target has a new owner. Those to the new parts are
        // set when these have their places.
        let target = if moves_up { view.crossing(child.at()) } else { here };
        let crossing = parent.write_crossing(cell, target);
        loose.set_child(rank, crossing);
        if moves_up {
            continue;
        }
        let wanted = wanted.filter(|&(wanted, _)| wanted == rank).map(|(_, from)| from);
        let words = weights[rank];
        let owner = part.owner;
        new_parts.push((rank, Part { owner, cell, loc: part.loc, root: child, words, wanted }));
    }
    let value = std::mem::replace(&mut loose.value, Ref::NULL);
    let node = loose.write(parent, at);
    let head = Node::read(parent.view(), node);
    if !value.is_null() {
        copy_subtree(view, value, parent, head.value_loc(), &mut Vec::new()).expect(room);
    }
    parent.set_ref(part.loc, node);
    parent.give_crossing(part.cell);
    new_parts.into_iter().map(|(rank, new)| Part { loc: head.child_loc(rank), ..new }).collect()
}
