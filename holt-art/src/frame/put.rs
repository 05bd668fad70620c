//! Putting a record where a descent ended.
//!
//! Every case takes its blocks first, then asks for the version, then writes and links;
//! so nothing can fail once the version has been given.

use super::build::{Loose, take_for};
use super::edit::{Edit, NoRoom};
use super::key::Key;
use super::leaf::{Leaf, MAX_SUFFIX, Shape, Value, common};
use super::node::{MAX_PREFIX, Node};
use super::walk::{End, Site};
use super::{FRAME_WORDS, Ref, Target};

/// Most bytes of a key's rest that are put into the frame where the descent ended;
/// a longer rest gets frames of its own, linked by a crossing.
pub(crate) const MAX_REST: usize = FRAME_WORDS / 2;

/// Most nodes of a chain inside one frame.
const MAX_CHAIN: usize = MAX_REST.div_ceil(MAX_PREFIX + 1);

/// What a put did to the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// The key was not there.
    Inserted,
    /// The key was there; its value was in this blob, if in any.
    Replaced(Option<u32>),
}

/// The rest of a key and what it leads to, about to be hung below a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest<'a> {
    /// The key.
    pub(crate) key: Key<'a>,
    /// What its rest leads to.
    pub(crate) end: RestEnd<'a>,
}

/// What the rest of a key leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RestEnd<'a> {
    /// A record with this value.
    Value(Value<'a>),
    /// An entry of another frame, which holds the rest of the key already.
    Entry(Target),
    /// A subtree of this frame, which holds the rest of the key already.
    Subtree(Ref),
    /// Something that holds nothing of the key: nodes in front of it take the rest.
    Link(Link),
}

/// What is hung as it is below nodes of another name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    /// An entry of another frame.
    Entry(Target),
    /// A subtree of this frame.
    Subtree(Ref),
}

/// Blocks taken for a rest.
struct Hanging {
    chain: [u16; MAX_CHAIN],
    chain_len: usize,
    /// Block of the leaf or of the crossing cell.
    end: usize,
}

impl Hanging {
    /// Takes a node with a prefix of so many bytes.
    fn take_node(&mut self, edit: &mut Edit<'_>, prefix: usize) -> Result<(), NoRoom> {
        self.chain[self.chain_len] = edit.take(Edit::n4_words(prefix))? as u16;
        self.chain_len += 1;
        Ok(())
    }
}

impl Rest<'_> {
    /// Takes the blocks for the rest from `from` on.
    fn take(&self, edit: &mut Edit<'_>, from: usize) -> Result<Hanging, NoRoom> {
        let mut hanging = Hanging { chain: [0; MAX_CHAIN], chain_len: 0, end: 0 };
        let value = match &self.end {
            RestEnd::Value(value) => value,
            RestEnd::Entry(_) => {
                hanging.end = edit.take(1)?;
                return Ok(hanging);
            }
            RestEnd::Subtree(_) => return Ok(hanging),
            RestEnd::Link(link) => {
                for bytes in self.key.rest(from).chunks(MAX_PREFIX + 1) {
                    hanging.take_node(edit, bytes.len() - 1)?;
                }
                if let Link::Entry(_) = link {
                    hanging.end = edit.take(1)?;
                }
                return Ok(hanging);
            }
        };
        let mut rest = self.key.len() - from;
        while rest > MAX_SUFFIX {
            hanging.take_node(edit, MAX_PREFIX)?;
            rest -= MAX_PREFIX + 1;
        }
        hanging.end = edit.take(Shape::new(rest, value).words())?;
        Ok(hanging)
    }

    /// Writes the rest from `from` on into its blocks.
    fn write(&self, edit: &mut Edit<'_>, hanging: &Hanging, from: usize, version: u64) -> Ref {
        let value = match &self.end {
            RestEnd::Value(value) => value,
            RestEnd::Entry(target) => return edit.write_crossing(hanging.end, *target),
            RestEnd::Subtree(root) => return *root,
            RestEnd::Link(link) => {
                let mut below = match link {
                    Link::Entry(target) => edit.write_crossing(hanging.end, *target),
                    Link::Subtree(root) => *root,
                };
                let nodes = self.key.rest(from).chunks(MAX_PREFIX + 1);
                for (bytes, &at) in nodes.zip(&hanging.chain).rev() {
                    let (&last, prefix) = bytes.split_last().expect("a chunk has a byte");
                    below = edit.write_n4(at.into(), prefix, Ref::NULL, &mut [(last, below)]);
                }
                return below;
            }
        };
        edit.count_keys(1);
        let chained = hanging.chain_len * (MAX_PREFIX + 1);
        let suffix = self.key.rest(from + chained);
        let mut below = edit.write_leaf(hanging.end, suffix, value, version);
        for index in (0..hanging.chain_len).rev() {
            let start = from + index * (MAX_PREFIX + 1);
            let stem = self.key.rest(start);
            let at = usize::from(hanging.chain[index]);
            let mut child = [(stem[MAX_PREFIX], below)];
            below = edit.write_n4(at, &stem[..MAX_PREFIX], Ref::NULL, &mut child);
        }
        below
    }
}

/// Blocks taken for the common part of two keys and the node where they part.
struct Stem {
    chain: [u16; 3],
    chain_len: usize,
    node: usize,
}

impl Stem {
    fn take(edit: &mut Edit<'_>, mut shared: usize) -> Result<Self, NoRoom> {
        let mut stem = Self { chain: [0; 3], chain_len: 0, node: 0 };
        while shared > MAX_PREFIX {
            stem.chain[stem.chain_len] = edit.take(Edit::n4_words(MAX_PREFIX))? as u16;
            stem.chain_len += 1;
            shared -= MAX_PREFIX + 1;
        }
        stem.node = edit.take(Edit::n4_words(shared))?;
        Ok(stem)
    }

    fn write(&self, edit: &Edit<'_>, shared: &[u8], value: Ref, children: &mut [(u8, Ref)]) -> Ref {
        let chained = self.chain_len * (MAX_PREFIX + 1);
        let mut below = edit.write_n4(self.node, &shared[chained..], value, children);
        for index in (0..self.chain_len).rev() {
            let part = &shared[index * (MAX_PREFIX + 1)..];
            let at = usize::from(self.chain[index]);
            let mut child = [(part[MAX_PREFIX], below)];
            below = edit.write_n4(at, &part[..MAX_PREFIX], Ref::NULL, &mut child);
        }
        below
    }
}

/// How many bytes from `site.from` on are certain to end up below the place where the
/// descent ended; what decides whether the rest is too long for the frame.
pub(crate) fn rest_length(edit_view: super::View<'_>, site: &Site, key: Key<'_>) -> usize {
    let shared = match site.end {
        End::Differs => {
            let leaf = Leaf::read(edit_view, site.at);
            common(edit_view, leaf.data, leaf.suffix, key, site.from) + 1
        }
        End::Prefix => {
            let node = Node::read(edit_view, site.at);
            common(edit_view, node.prefix_at(), node.prefix_len(), key, site.from) + 1
        }
        End::NoChild(_) => Node::read(edit_view, site.at).prefix_len() + 1,
        _ => 0,
    };
    (key.len() - site.from).saturating_sub(shared)
}

/// Puts what `rest` leads to at `site`, where a descent for its key ended in this frame.
///
/// # Errors
///
/// [`NoRoom`] when a block could not be had; the frame then means what it meant, and
/// `sequence` has not been called.
///
/// # Panics
///
/// When `site` ended at a crossing or at garbage, or at a record although `rest` leads to
/// a subtree, or `sequence` gives zero for a record.
pub(crate) fn put(
    edit: &mut Edit<'_>,
    site: &Site,
    rest: &Rest<'_>,
    sequence: impl FnOnce() -> u64,
) -> Result<Done, NoRoom> {
    match site.end {
        End::Vacant => {
            let hanging = rest.take(edit, site.from)?;
            let version = sequence();
            let new = rest.write(edit, &hanging, site.from, version);
            edit.set_ref(site.loc, new);
            Ok(Done::Inserted)
        }
        End::Found => match &rest.end {
            RestEnd::Value(value) => overwrite(edit, site, rest.key, value, sequence),
            _ => panic!("a subtree can be hung only where there is nothing"),
        },
        End::Differs => part_leaf(edit, site, rest, sequence),
        End::Prefix => part_prefix(edit, site, rest, sequence),
        End::NoValue => {
            let hanging = rest.take(edit, rest.key.len())?;
            let version = sequence();
            let leaf = rest.write(edit, &hanging, rest.key.len(), version);
            edit.set_ref(Node::read(edit.view(), site.at).value_loc(), leaf);
            edit.note_insertion(false);
            Ok(Done::Inserted)
        }
        End::NoChild(byte) => add_child(edit, site, rest, byte, sequence),
        End::Crossing(_) | End::Garbage => panic!("no record can be put at {:?}", site.end),
    }
}

fn overwrite(
    edit: &mut Edit<'_>,
    site: &Site,
    key: Key<'_>,
    value: &Value<'_>,
    sequence: impl FnOnce() -> u64,
) -> Result<Done, NoRoom> {
    let view = edit.view();
    let old = Leaf::read(view, site.at);
    let blob = old.blob.then(|| old.blob_number(view));
    let shape = Shape::new(old.suffix, value);
    let words = shape.words();
    let suffix = key.rest(site.from);
    if words == old.shape().words() {
        let version = sequence();
        let leaf = edit.write_leaf(site.at.at(), suffix, value, version);
        if leaf != site.at {
            edit.set_ref(site.loc, leaf);
        }
    } else {
        let at = edit.take(words)?;
        let version = sequence();
        // The old block goes first: its lengths are read from it.
        edit.give_item(site.at);
        let leaf = edit.write_leaf(at, suffix, value, version);
        edit.set_ref(site.loc, leaf);
    }
    Ok(Done::Replaced(blob))
}

/// A leaf with another key is in the way: the two part below a new node.
fn part_leaf(
    edit: &mut Edit<'_>,
    site: &Site,
    rest: &Rest<'_>,
    sequence: impl FnOnce() -> u64,
) -> Result<Done, NoRoom> {
    let view = edit.view();
    let old = Leaf::read(view, site.at);
    let shared = common(view, old.data, old.suffix, rest.key, site.from);
    let fork = site.from + shared;
    let mut old_suffix = Vec::new();
    old.append_suffix(view, shared, &mut old_suffix);
    // One byte of each goes into the node, unless the key ends here.
    let old_byte = old_suffix.first().copied();
    let new_byte = rest.key.byte(fork);
    let old_skip = shared + usize::from(old_byte.is_some());
    let new_from = fork + usize::from(new_byte.is_some());

    let stem = Stem::take(edit, shared)?;
    let old_shape = Shape { suffix: old.suffix - old_skip, ..old.shape() };
    let old_at = edit.take(old_shape.words())?;
    let hanging = rest.take(edit, new_from)?;
    let version = sequence();

    let moved = edit.rewrite_leaf(old_at, site.at, &[], old_skip);
    edit.give_item(site.at);
    let new = rest.write(edit, &hanging, new_from, version);
    let value = match (old_byte, new_byte) {
        (None, _) => moved,
        (_, None) => new,
        _ => Ref::NULL,
    };
    let mut children = [(0, Ref::NULL); 2];
    let mut count = 0;
    for (byte, child) in [(old_byte, moved), (new_byte, new)] {
        if let Some(byte) = byte {
            children[count] = (byte, child);
            count += 1;
        }
    }
    let stem_bytes = &rest.key.bytes()[site.from..fork];
    let node = stem.write(edit, stem_bytes, value, &mut children[..count]);
    edit.set_ref(site.loc, node);
    edit.note_insertion(new_byte > old_byte);
    Ok(Done::Inserted)
}

/// The key leaves a node's prefix: a new node above it takes the common part.
fn part_prefix(
    edit: &mut Edit<'_>,
    site: &Site,
    rest: &Rest<'_>,
    sequence: impl FnOnce() -> u64,
) -> Result<Done, NoRoom> {
    let view = edit.view();
    let old = Node::read(view, site.at);
    let shared = common(view, old.prefix_at(), old.prefix_len(), rest.key, site.from);
    let fork = site.from + shared;
    let mut prefix = Vec::with_capacity(old.prefix_len());
    old.append_prefix(&mut prefix);
    let old_byte = prefix[shared];
    let new_byte = rest.key.byte(fork);
    let new_from = fork + usize::from(new_byte.is_some());

    let at = edit.take(Edit::n4_words(shared))?;
    let hanging = rest.take(edit, new_from)?;
    let version = sequence();

    edit.trim_prefix(site.at, shared + 1);
    let new = rest.write(edit, &hanging, new_from, version);
    let node = match new_byte {
        None => edit.write_n4(at, &prefix[..shared], new, &mut [(old_byte, site.at)]),
        Some(byte) => {
            edit.write_n4(at, &prefix[..shared], Ref::NULL, &mut [(old_byte, site.at), (byte, new)])
        }
    };
    edit.set_ref(site.loc, node);
    edit.note_insertion(new_byte > Some(old_byte));
    Ok(Done::Inserted)
}

fn add_child(
    edit: &mut Edit<'_>,
    site: &Site,
    rest: &Rest<'_>,
    byte: u8,
    sequence: impl FnOnce() -> u64,
) -> Result<Done, NoRoom> {
    let view = edit.view();
    let node = Node::read(view, site.at);
    let from = site.from + node.prefix_len() + 1;
    let last = node.next(usize::from(byte)).is_none();
    if edit.has_room(&node) {
        let hanging = rest.take(edit, from)?;
        let version = sequence();
        let child = rest.write(edit, &hanging, from, version);
        edit.insert_child(site.at, byte, child);
    } else {
        let mut loose = Loose::read(view, site.at);
        loose.insert(byte, Ref::NULL);
        let at = take_for(edit, &loose)?;
        let hanging = rest.take(edit, from)?;
        let version = sequence();
        let child = rest.write(edit, &hanging, from, version);
        let rank = node.rank(byte);
        loose.set_child(rank, child);
        super::build::replace_node(edit, site.loc, site.at, &loose, at);
    }
    edit.note_insertion(last);
    Ok(Done::Inserted)
}
