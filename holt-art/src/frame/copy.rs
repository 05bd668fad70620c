//! Copying subtrees between frames: the one mechanism behind split, merge, compaction
//! and the growth of the root.
//!
//! A copy puts the leaves of a node directly behind it, in key order, so that a get
//! finds node and leaf close together and a list walks forward in memory.

use super::build::item_words;
use super::edit::{Edit, NoRoom};
use super::node::Node;
use super::{Entry, Kind, Loc, Nature, Ref, View, Words};

/// A reusable list of what is still to be copied, so that depth costs no stack.
pub(crate) type Pending = Vec<(Ref, Loc)>;

/// Copies the subtree `root` of the frame `from` into the frame of `to` and stores the
/// reference to it at `loc`. Crossings are copied as they are.
///
/// # Errors
///
/// [`NoRoom`] when the target is too small. Callers make sure that it is not; a
/// partial copy is not reachable and has to be thrown away with its frame.
pub(crate) fn copy_subtree(
    from: View<'_>,
    root: Ref,
    to: &mut Edit<'_>,
    loc: Loc,
    pending: &mut Pending,
) -> Result<(), NoRoom> {
    debug_assert!(pending.is_empty());
    pending.push((root, loc));
    while let Some((item, loc)) = pending.pop() {
        let at = copy_item(from, item, to, loc)?;
        if !item.is_inner() {
            if item.kind() == Kind::Crossing {
                to.count_crossings(1);
            } else {
                to.count_keys(1);
            }
            continue;
        }
        let node = Node::read(from, item);
        let children_at = at + (node.children_at() - node.at());
        if !node.value().is_null() {
            copy_item(from, node.value(), to, Loc::new(at, 0))?;
            to.count_keys(1);
        }
        for rank in 0..node.count() {
            let child = from.reference(node.child_loc(rank));
            if child.is_leaf() {
                copy_item(from, child, to, Loc::nth(children_at, rank))?;
                to.count_keys(1);
            }
        }
        for rank in (0..node.count()).rev() {
            let child = from.reference(node.child_loc(rank));
            if !child.is_leaf() {
                pending.push((child, Loc::nth(children_at, rank)));
            }
        }
    }
    Ok(())
}

/// Copies one block, which the caller counts, and stores the reference to it.
fn copy_item(from: View<'_>, item: Ref, to: &mut Edit<'_>, loc: Loc) -> Result<usize, NoRoom> {
    let words = item_words(from, item);
    let at = to.take_in_order(words)?;
    to.copy_words(from, item.at(), at, words);
    to.set_ref(loc, Ref::new(item.kind(), at));
    Ok(at)
}

/// Words of the subtree `root` inside its frame.
pub(crate) fn measure(view: View<'_>, root: Ref) -> usize {
    let mut words = 0;
    let mut pending = vec![root];
    while let Some(item) = pending.pop() {
        words += item_words(view, item);
        if item.is_inner() {
            let node = Node::read(view, item);
            if !node.value().is_null() {
                pending.push(node.value());
            }
            pending.extend(node.places().map(|loc| view.reference(loc)));
        }
    }
    words
}

/// A subtree that is to become entry `index` of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) index: usize,
    pub(crate) root: Ref,
}

/// The entries of a frame that are in use.
pub(crate) fn entries(view: View<'_>) -> impl Iterator<Item = (usize, Entry)> + '_ {
    (0..view.counters().entries)
        .map(move |index| (index, view.entry(index)))
        .filter(|(_, e)| e.occupied)
}

/// Writes a frame anew into `to`: subtrees of the frame `from`, each as the entry that
/// it is placed at, in an entry table of at least `table` entries.
///
/// # Errors
///
/// [`NoRoom`] as in [`copy_subtree`].
pub(crate) fn build(
    from: View<'_>,
    placed: &[Placed],
    to: &Words,
    nature: Nature,
    table: usize,
) -> Result<(), NoRoom> {
    let table = placed.iter().map(|entry| entry.index + 1).max().unwrap_or(0).max(table);
    Edit::format(to, nature, table);
    append(from, placed, to)
}

/// Adds subtrees of the frame `from` to the frame `to`, whose entry table has the places.
///
/// # Errors
///
/// [`NoRoom`] as in [`copy_subtree`].
pub(crate) fn append(from: View<'_>, placed: &[Placed], to: &Words) -> Result<(), NoRoom> {
    let mut pending = Pending::new();
    for &Placed { index, root } in placed {
        Edit::set_entry(to, index, Entry { occupied: true, ..Entry::default() });
        let mut edit = Edit::new(to, index);
        if !root.is_null() {
            copy_subtree(from, root, &mut edit, Loc::entry(index), &mut pending)?;
        }
        edit.finish();
    }
    Ok(())
}
