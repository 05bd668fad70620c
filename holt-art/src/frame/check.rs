//! The structural invariants of one frame, each checked on its own.
//!
//! The walk trusts nothing: it is also what stands between an image from disk and the
//! rest of the tree.

use super::build::item_words;
use super::copy::entries;
use super::leaf::Leaf;
use super::node::{MAX_PREFIX, Node};
use super::{
    ENTRIES, Extent, FRAME_FORMAT, FRAME_WORDS, FREE_HEADS, FREE_SIZES, IDENTITY, Kind, Loc, Ref,
    Target, View,
};
use crate::tree::Version;

/// What a frame refers to outside itself.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// Where its crossings lead.
    pub(crate) crossings: Vec<Target>,
    /// The blobs that its leaves own, with the lengths that the leaves name.
    pub(crate) blobs: Vec<(u32, usize)>,
}

/// Which words of a frame have an owner.
struct Marks {
    owned: Vec<bool>,
    words: usize,
}

impl Marks {
    fn mark(&mut self, at: usize, words: usize, limit: usize) -> Result<(), String> {
        if words == 0 || at + words > limit {
            return Err(format!("a block of {words} words at {at} leaves the used {limit} words"));
        }
        for (index, owned) in self.owned[at..at + words].iter_mut().enumerate() {
            if std::mem::replace(owned, true) {
                return Err(format!("word {} belongs to two blocks", at + index));
            }
        }
        self.words += words;
        Ok(())
    }
}

/// Whether a frame is of this format: what its counters say is another thing in others.
///
/// # Errors
///
/// Both formats, in words.
pub(crate) fn check_format(view: View<'_>) -> Result<(), String> {
    let format = view.word(IDENTITY) >> 32 & 0xFF;
    if format == FRAME_FORMAT {
        return Ok(());
    }
    Err(format!("format {format} is not {FRAME_FORMAT}"))
}

/// Checks the frame `number` and collects what it refers to.
///
/// # Errors
///
/// The first invariant found broken, in words.
pub(crate) fn check(view: View<'_>, number: u32) -> Result<Outside, String> {
    let counters = view.counters();
    if view.number() != number {
        return Err(format!("it says that it is frame {}", view.number()));
    }
    check_format(view)?;
    let first = ENTRIES + counters.entries;
    if counters.used > FRAME_WORDS || first > counters.used {
        return Err(format!("its counters are impossible: {counters:?}"));
    }
    let mut marks = Marks { owned: vec![false; FRAME_WORDS], words: 0 };
    marks.mark(0, first, counters.used)?;
    let mut outside = Outside::default();
    for (index, entry) in entries(view) {
        let found = check_entry(view, index, &mut marks, &mut outside)?;
        if found != entry.extent() {
            return Err(format!("entry {index} has {found:?}, not {:?}", entry.extent()));
        }
    }
    let live = marks.words;
    if live != counters.live {
        return Err(format!("{live} words are live, not {}", counters.live));
    }
    for size in 1..=FREE_SIZES {
        let mut at = view.reference(Loc::nth(FREE_HEADS, size - 1)).0;
        while at != 0 {
            // A cycle ends here too: the second visit finds its words owned.
            marks
                .mark(usize::from(at), size, counters.used)
                .map_err(|what| format!("free list: {what}"))?;
            at = view.word(usize::from(at)) as u16;
        }
    }
    if marks.words != counters.used {
        return Err(format!("{} of {} used words have an owner", marks.words, counters.used));
    }
    Ok(outside)
}

fn check_entry(
    view: View<'_>,
    index: usize,
    marks: &mut Marks,
    outside: &mut Outside,
) -> Result<Extent, String> {
    let root = view.reference(Loc::entry(index));
    let mut extent = Extent::default();
    let mut pending: Vec<Ref> = Vec::new();
    if !root.is_null() {
        pending.push(root);
    }
    while let Some(item) = pending.pop() {
        if matches!(item.kind(), Kind::Null | Kind::Unknown) {
            return Err(format!("entry {index} has a reference of no kind below it"));
        }
        let length = item_words(view, item);
        marks.mark(item.at(), length, view.counters().used)?;
        extent.words += length;
        match item.kind() {
            Kind::Leaf | Kind::LongLeaf => {
                extent.keys += 1;
                let leaf = Leaf::read(view, item);
                if !leaf.plausible() {
                    return Err(format!("leaf at {} has impossible lengths", item.at()));
                }
                if leaf.shape().kind() != item.kind() {
                    return Err(format!("leaf at {} is of the kind for other lengths", item.at()));
                }
                if Version::new(leaf.version).is_none() {
                    return Err(format!("leaf at {} has version {:#x}", item.at(), leaf.version));
                }
                if leaf.blob {
                    outside.blobs.push((leaf.blob_number(view), leaf.value));
                }
            }
            Kind::Crossing => {
                extent.crossings += 1;
                outside.crossings.push(view.crossing(item.at()));
            }
            _ => check_node(view, item, &mut pending)?,
        }
    }
    Ok(extent)
}

fn check_node(view: View<'_>, item: Ref, pending: &mut Vec<Ref>) -> Result<(), String> {
    let node = Node::read(view, item);
    let at = item.at();
    let (count, value) = (node.count(), node.value());
    if node.prefix_len() > MAX_PREFIX {
        return Err(format!("node at {at} has a prefix of {} bytes", node.prefix_len()));
    }
    if count > node.child_words() * 4 || node.child_words() > 64 {
        return Err(format!("node at {at} has {count} children in {} words", node.child_words()));
    }
    if count + usize::from(!value.is_null()) == 0 {
        return Err(format!("node at {at} is empty"));
    }
    if !value.is_null() {
        if !value.is_leaf() {
            return Err(format!("node at {at} has a value that is no leaf"));
        }
        if Leaf::read(view, value).suffix != 0 {
            return Err(format!("node at {at} has a value with a suffix"));
        }
        pending.push(value);
    }
    let mut previous = None;
    let mut seen = 0;
    for (byte, loc) in node.children() {
        if previous >= Some(byte) {
            return Err(format!("node at {at} has its children out of order"));
        }
        if node.find(byte) != Some(loc) {
            return Err(format!("node at {at} does not find its child {byte:#04x}"));
        }
        previous = Some(byte);
        seen += 1;
        pending.push(view.reference(loc));
    }
    if seen != count {
        return Err(format!("node at {at} counts {count} children and has {seen}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::edit::Edit;
    use super::super::{Entry, Nature, Words};
    use super::*;

    fn frame_with(root: impl FnOnce(&mut Edit<'_>) -> Ref) -> Result<Outside, String> {
        let words: Box<Words> = Box::new([const { crate::sync::AtomicU64::new(0) }; FRAME_WORDS]);
        Edit::format(&words, Nature { number: 1, level: 0, ascending: 0, longest: 0 }, 1);
        Edit::set_entry(&words, 0, Entry { occupied: true, ..Entry::default() });
        let mut edit = Edit::new(&words, 0);
        let root = root(&mut edit);
        edit.set_ref(Loc::entry(0), root);
        edit.count_keys(1);
        edit.finish();
        check(View::new(&words), 1)
    }

    /// The block of such a leaf would be counted with one word of head, and its data read
    /// behind two.
    #[test]
    fn a_long_leaf_whose_lengths_are_short_is_a_fault() {
        let found = frame_with(|edit| {
            let at = edit.take_for_good(1).unwrap();
            edit.set(at, 7);
            Ref::new(Kind::LongLeaf, at)
        });
        assert!(found.is_err());
    }

    /// A count that believes it would leave a part of the tree out.
    #[test]
    fn an_entry_that_miscounts_its_crossings_is_a_fault() {
        for counted in [0, 1, 2] {
            let found = frame_with(|edit| {
                let at = edit.take_for_good(1).unwrap();
                let crossing = edit.write_crossing(at, Target { frame: 2, entry: 0 });
                edit.count_crossings(counted - 1);
                edit.count_keys(-1);
                crossing
            });
            assert_eq!(found.is_ok(), counted == 1, "{counted} counted");
        }
    }

    /// A later rewrite as a short leaf would cut it off.
    #[test]
    fn a_version_of_more_than_48_bits_is_a_fault() {
        for (version, sound) in [(crate::Version::MAX.get(), true), (1 << 48, false)] {
            let found = frame_with(|edit| {
                let suffix = [b's'; 300];
                let value = super::super::leaf::Value::Inline(b"");
                let shape = super::super::leaf::Shape::new(suffix.len(), &value);
                let at = edit.take_for_good(shape.words()).unwrap();
                edit.write_leaf(at, &suffix, &value, version)
            });
            assert_eq!(found.is_ok(), sound, "{version:#x}");
        }
    }
}
