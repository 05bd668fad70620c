//! Copying subtrees between frames: the one mechanism behind split, merge, compaction
//! and the growth of the root.
//!
//! A copy puts the leaves and crossings of a node directly behind it, in key order, so that a get
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
        let copy = if item.is_inner() {
            copy_node(from, item, to, pending)?
        } else {
            if item.kind() == Kind::Crossing {
                to.count_crossings(1);
            } else {
                to.count_keys(1);
            }
            copy_item(from, item, to)?
        };
        to.set_ref(loc, copy);
    }
    Ok(())
}

/// Copies the inner node `item` with the leaves and crossings that hang at it and returns the reference to the copy;
/// the nodes below it become pending, the first on top.
#[inline]
fn copy_node(
    from: View<'_>,
    item: Ref,
    to: &mut Edit<'_>,
    pending: &mut Pending,
) -> Result<Ref, NoRoom> {
    let node = Node::read(from, item);
    let (children, count) = (node.children_at(), node.count());
    let mut blocks = Blocks::new(from, to);
    let copy = blocks.copy(item, node.words())?;
    let mut value = node.value();
    let (mut keys, mut crossings) = (0, 0);
    if !value.is_null() {
        value = blocks.copy(value, item_words(from, value))?;
        keys += 1;
    }
    let copied = copy.at() + (children - node.at());
    let first = pending.len();
    // What the copy refers to is stored once the blocks are there, four references at a time.
    let mut refs = [0u64; 64];
    for (word, new) in refs.iter_mut().enumerate().take(count.div_ceil(4)) {
        let old = from.word(children + word);
        *new = old;
        for lane in 0..(count - 4 * word).min(4) {
            let child = Ref((old >> (16 * lane)) as u16);
            if child.is_inner() {
                pending.push((child, Loc::nth(copied, 4 * word + lane)));
                continue;
            }
            let words = if child.is_leaf() {
                keys += 1;
                item_words(from, child)
            } else {
                crossings += 1;
                1
            };
            let moved = blocks.copy(child, words)?;
            *new ^= u64::from(child.0 ^ moved.0) << (16 * lane);
        }
    }
    blocks.end();
    if !value.is_null() {
        to.set_ref(Loc::new(copy.at(), 0), value);
    }
    for (word, &new) in refs.iter().enumerate().take(count.div_ceil(4)) {
        to.set(copied + word, new);
    }
    pending[first..].reverse();
    to.count_keys(keys);
    to.count_crossings(crossings);
    Ok(copy)
}

/// Copies blocks one after the other. Those that follow one another in the frame that they are copied from, as a
/// copy has left them there, are copied at once.
struct Blocks<'v, 'e, 'f> {
    from: View<'v>,
    to: &'e mut Edit<'f>,
    /// Words that have their place and are still to be copied: from here,
    start: usize,
    /// to behind which,
    end: usize,
    /// and where to.
    target: usize,
}

impl<'v, 'e, 'f> Blocks<'v, 'e, 'f> {
    fn new(from: View<'v>, to: &'e mut Edit<'f>) -> Self {
        Self { from, to, start: 0, end: 0, target: 0 }
    }

    /// Copies the block of `item`, of so many words, and returns the reference to the copy.
    #[inline(always)]
    fn copy(&mut self, item: Ref, words: usize) -> Result<Ref, NoRoom> {
        let at = self.to.take_in_order(words)?;
        if item.at() != self.end || at != self.target + (self.end - self.start) {
            self.end();
            (self.start, self.end, self.target) = (item.at(), item.at(), at);
        }
        self.end += words;
        Ok(item.moved_to(at))
    }

    /// Copies what has not been copied yet.
    #[inline]
    fn end(&mut self) {
        self.to.copy_words(self.from, self.start, self.target, self.end - self.start);
    }
}

/// Copies one block, which the caller counts, and returns the reference to the copy.
#[inline]
fn copy_item(from: View<'_>, item: Ref, to: &mut Edit<'_>) -> Result<Ref, NoRoom> {
    let words = item_words(from, item);
    let at = to.take_in_order(words)?;
    to.copy_words(from, item.at(), at, words);
    Ok(item.moved_to(at))
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
