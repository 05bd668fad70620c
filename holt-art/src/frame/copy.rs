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
        let copy = copy_item(from, item, to)?;
        to.set_ref(loc, copy);
        match item.kind() {
            Kind::Crossing => to.count_crossings(1),
            Kind::N4 | Kind::N16 | Kind::Bitmap => copy_leaves(from, item, to, copy, pending)?,
            _ => to.count_keys(1),
        }
    }
    Ok(())
}

/// Copies the leaves of the inner node `item`, whose own copy is `copy`; what else is below it becomes
/// pending, the first on top.
#[inline]
fn copy_leaves(
    from: View<'_>,
    item: Ref,
    to: &mut Edit<'_>,
    copy: Ref,
    pending: &mut Pending,
) -> Result<(), NoRoom> {
    let node = Node::read(from, item);
    let mut keys = 0;
    if !node.value().is_null() {
        let value = copy_item(from, node.value(), to)?;
        to.set_ref(Loc::new(copy.at(), 0), value);
        keys += 1;
    }
    let (children, count) = (node.children_at(), node.count());
    let copied = copy.at() + (children - node.at());
    let first = pending.len();
    // Four references at a time, stored once when those of them that are leaves' have changed.
    for word in 0..count.div_ceil(4) {
        let refs = from.word(children + word);
        let mut changed = refs;
        for lane in 0..(count - 4 * word).min(4) {
            let child = Ref((refs >> (16 * lane)) as u16);
            if child.is_leaf() {
                let leaf = copy_item(from, child, to)?;
                changed ^= u64::from(child.0 ^ leaf.0) << (16 * lane);
                keys += 1;
            } else {
                pending.push((child, Loc::nth(copied, 4 * word + lane)));
            }
        }
        to.set(copied + word, changed);
    }
    pending[first..].reverse();
    to.count_keys(keys);
    Ok(())
}

/// Copies one block, which the caller counts, and returns the reference to the copy.
#[inline]
fn copy_item(from: View<'_>, item: Ref, to: &mut Edit<'_>) -> Result<Ref, NoRoom> {
    let words = item_words(from, item);
    let at = to.take_in_order(words)?;
    to.copy_words(from, item.at(), at, words);
    Ok(Ref::new(item.kind(), at))
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
    let Some(first) = placed.first() else { return Ok(()) };
    let mut pending = Pending::new();
    // One edit for all of them: most of many entries are small.
    let mut edit = Edit::new(to, first.index);
    for &Placed { index, root } in placed {
        edit.begin(index);
        if !root.is_null() {
            copy_subtree(from, root, &mut edit, Loc::entry(index), &mut pending)?;
        }
        edit.end();
    }
    edit.finish();
    Ok(())
}
