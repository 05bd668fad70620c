//! Copying subtrees between frames: the one mechanism behind split, merge, compaction
//! and the growth of the root.
//!
//! A copy puts the leaves and crossings of a node directly behind it, in key order, so that a get
//! finds node and leaf close together and a list walks forward in memory. A few subtrees that
//! come to a frame which has no words left behind its blocks may go to its free ones, and
//! the frame need not be written anew for them.

use super::build::item_words;
use super::edit::{Edit, NoRoom, Places};
use super::node::Node;
use super::{Entry, FREE_SIZES, Kind, Loc, Nature, Ref, View, Words};

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
        let at = self.to.take_for_copy(words)?;
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
    let at = to.take_for_copy(words)?;
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
    append(from, placed, to, Places::Behind)
}

/// Where the blocks of these subtrees, of so many words together, have room in the frame `to` as it is; `None` when
/// it has to be written anew for them.
pub(crate) fn places_in(
    to: View<'_>,
    from: View<'_>,
    placed: &[Placed],
    words: usize,
) -> Option<Places> {
    let behind = to.counters().room_behind();
    if words <= behind {
        return Some(Places::Behind);
    }
    // How many blocks of each size are wanted.
    let mut wanted = [0_usize; FREE_SIZES + 1];
    let mut pending: Vec<Ref> = placed.iter().map(|place| place.root).collect();
    while let Some(item) = pending.pop() {
        *wanted.get_mut(item_words(from, item))? += 1;
        if item.is_inner() {
            let node = Node::read(from, item);
            pending.extend(node.places().map(|loc| from.reference(loc)));
            pending.extend(Some(node.value()).filter(|value| !value.is_null()));
        }
    }
    let sizes = wanted.iter().enumerate();
    let lacking: usize = sizes.map(|(words, &count)| words * (count - to.free(words, count))).sum();
    (lacking <= behind).then_some(Places::Free)
}

/// Adds subtrees of the frame `from` to the frame `to`, whose entry table has the places, and
/// which has room for them [there](places_in).
///
/// # Errors
///
/// [`NoRoom`] as in [`copy_subtree`].
pub(crate) fn append(
    from: View<'_>,
    placed: &[Placed],
    to: &Words,
    places: Places,
) -> Result<(), NoRoom> {
    let Some(first) = placed.first() else { return Ok(()) };
    let mut pending = Pending::new();
    // One edit for all of them: most of many entries are small.
    let mut edit = Edit::new(to, first.index).copying_to(places);
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

#[cfg(test)]
mod tests {
    use super::super::FRAME_WORDS;
    use super::super::check::check;
    use super::super::key::Key;
    use super::super::leaf::Leaf;
    use super::super::remove::give_subtree;
    use super::super::walk::{End, walk};
    use super::*;
    use crate::sync::AtomicU64;
    use crate::{Art, PoolOptions};

    const FRAME: u32 = 7;
    /// Directories of the frame that is copied from.
    const DIRECTORIES: u8 = 12;

    /// The records of a directory: the rest of the name behind the directory's first byte, and the value.
    type Records = Vec<(Vec<u8>, Vec<u8>)>;

    /// Directories whose records differ in length.
    fn records(longest: usize) -> Vec<Records> {
        let directory = |directory: u8| {
            let file = |file: u8| {
                let length = 40 + usize::from(directory % 4) * 8 + usize::from(file) * longest;
                (vec![b'/', b'0' + file], vec![directory; length])
            };
            let own = (vec![b'/'], b"of a node".to_vec());
            (0..5 + directory % 3).map(file).chain([own]).collect()
        };
        (0..DIRECTORIES).map(directory).collect()
    }

    /// Shows `then` a frame with the directories, and their subtrees.
    fn with(records: &[Records], then: impl FnOnce(View<'_>, &[Ref])) {
        let map = Art::with_options(PoolOptions::with_bytes(16 << 20, 16 << 20)).unwrap();
        for (directory, records) in records.iter().enumerate() {
            for (rest, value) in records {
                map.put(&[&[directory as u8], &rest[..]].concat(), value).unwrap();
            }
        }
        let pool = map.tree().pool();
        assert_eq!(pool.stats().frames, 1);
        let frame = pool.latch_now(map.tree().root().0).unwrap();
        let view = frame.view();
        let root = Node::read(view, view.entry(0).root);
        let roots: Vec<Ref> = root.places().map(|loc| view.reference(loc)).collect();
        assert_eq!(roots.len(), records.len());
        then(view, &roots);
    }

    /// A frame that directories have been appended to until the next one had no room behind them; as
    /// many entries as are in use, and the directory in each.
    fn full(from: View<'_>, roots: &[Ref]) -> (Box<Words>, Vec<usize>) {
        let words: Box<Words> = Box::new([const { AtomicU64::new(0) }; FRAME_WORDS]);
        let nature = Nature { number: FRAME, level: 0, ascending: 0, longest: 0 };
        Edit::format(&words, nature, 400);
        let mut have = Vec::new();
        loop {
            let directory = have.len() % roots.len();
            let root = roots[directory];
            if View::new(&words).counters().room_behind() < measure(from, root) {
                return (words, have);
            }
            let placed = [Placed { index: have.len(), root }];
            append(from, &placed, &words, Places::Behind).unwrap();
            have.push(directory);
        }
    }

    fn vacate(words: &Words, index: usize) {
        let mut edit = Edit::new(words, index);
        let root = edit.view().entry(index).root;
        give_subtree(&mut edit, root);
        edit.vacate();
    }

    /// Whether entry `index` has these records and no others.
    fn has(words: &Words, index: usize, records: &Records) -> bool {
        let view = View::new(words);
        let found = |(rest, value): &(Vec<u8>, Vec<u8>)| {
            let site = walk::<false>(view, Loc::entry(index), Key::new(rest), 0);
            let leaf = Leaf::read(view, site.at);
            let mut copy = vec![0; value.len()];
            site.end == End::Found && leaf.value == value.len() && {
                leaf.copy_value(view, &mut copy);
                copy == *value
            }
        };
        view.entry(index).keys == records.len() && records.iter().all(found)
    }

    #[test]
    fn subtrees_go_to_the_free_blocks_of_those_that_have_gone() {
        let records = records(0);
        with(&records, |from, roots| {
            let (words, have) = full(from, roots);
            let view = View::new(&words);
            let gone = [3, 4, 20, 31];
            gone.iter().for_each(|&index| vacate(&words, index));
            check(view, FRAME).unwrap();
            // The same directories find the same blocks, others in another order too.
            for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
                let placed =
                    order.map(|at| Placed { index: gone[at], root: roots[have[gone[at]]] });
                let needed = placed.iter().map(|place| measure(from, place.root)).sum();
                assert!(view.counters().room_behind() < needed);
                let places = places_in(view, from, &placed, needed);
                assert_eq!(places, Some(Places::Free));
                append(from, &placed, &words, Places::Free).unwrap();
                check(view, FRAME).unwrap();
                for (index, &directory) in have.iter().enumerate() {
                    assert!(has(&words, index, &records[directory]), "entry {index}");
                }
                gone.iter().for_each(|&index| vacate(&words, index));
                check(view, FRAME).unwrap();
            }
        });
    }

    #[test]
    fn subtrees_that_find_no_blocks_of_their_sizes_have_no_room() {
        with(&records(0), |from, roots| {
            let (words, have) = full(from, roots);
            let view = View::new(&words);
            let fits = |root: Ref| {
                let placed = [Placed { index: 399, root }];
                places_in(view, from, &placed, measure(from, root))
            };
            assert!(roots.iter().filter(|&&root| fits(root).is_none()).count() > 6);
            // One with shorter records gives no blocks for one with longer ones.
            let shorter = have.iter().position(|&directory| directory == 4).unwrap();
            vacate(&words, shorter);
            assert_eq!(fits(roots[3]), None);
            assert!(fits(roots[4]).is_some());
        });
        // Larger blocks than the free lists keep have none of their size.
        with(&records(120), |from, roots| {
            let (words, have) = full(from, roots);
            vacate(&words, 0);
            let placed = [Placed { index: 0, root: roots[have[0]] }];
            let needed = measure(from, placed[0].root);
            assert_eq!(places_in(View::new(&words), from, &placed, needed), None);
        });
    }
}
