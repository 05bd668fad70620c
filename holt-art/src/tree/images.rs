//! Frames that are written from the bottom up, in private memory, before the pool knows them.
//!
//! Nodes come when all below them has come. What is not yet below a node of its image is a
//! *root* of the image; the roots that are left when the image is full are its entries, so
//! where something is is known before it is known which frames there will be. A node whose
//! children are not all in the last image is kept back for frames of the next level, in which
//! a child of a level below is a crossing. When all that is left of the tree fits the last image
//! of a level, it goes there.

use super::outcome::Version;
use crate::frame::build::Loose;
use crate::frame::copy::{Placed, build};
use crate::frame::edit::Edit;
use crate::frame::leaf::{MAX_PLACED, Shape, Value};
use crate::frame::{
    Entry, FRAME_WORDS, Kind, MIN_ENTRIES, Nature, Ref, Target, View, Words, words_for,
};
use crate::sync::AtomicU64;

/// Words up to which an image is filled: a little is left for the first changes.
const CAPACITY: usize = FRAME_WORDS * 95 / 100;

/// A child of a node to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Item {
    /// The root of an image: the image's index in place of a frame's number, and the entry.
    Root(Target),
    /// The node that was kept back as the one with this index.
    Kept(usize),
}

/// A value on its way into a leaf.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Vec<u8>,
    pub(super) version: Version,
}

/// A node to come.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) prefix: Vec<u8>,
    /// The record of the node's own name.
    pub(super) value: Option<Held>,
    /// In byte order.
    pub(super) children: Vec<(u8, Item)>,
}

/// A frame to come.
#[derive(Debug)]
pub(super) struct Image {
    words: Box<Words>,
    pub(super) level: u16,
    /// What became of each root; null for those below a node of the image, which are no roots any more.
    roots: Vec<Ref>,
    /// Cells of crossings, which have a target and no frame yet.
    cells: Vec<(usize, Target)>,
    /// Words that are to have the number of a blob: that of the value with this index.
    blobs: Vec<(usize, usize)>,
}

impl Image {
    fn new(level: u16) -> Self {
        let words: Vec<AtomicU64> = (0..FRAME_WORDS).map(|_| AtomicU64::new(0)).collect();
        let words: Box<Words> = words.into_boxed_slice().try_into().expect("the length is right");
        let nature = Nature { number: 0, level, ascending: 0, longest: 0 };
        Edit::format(&words, nature, MIN_ENTRIES);
        Edit::set_entry(&words, 0, Entry { occupied: true, ..Entry::default() });
        Self { words, level, roots: Vec::new(), cells: Vec::new(), blobs: Vec::new() }
    }

    /// Whether so many more words, and an entry, fit.
    fn fits(&self, words: usize) -> bool {
        View::new(&self.words).counters().used + self.roots.len() + 1 + words <= CAPACITY
    }

    /// Takes a block of `words`, which fit.
    fn take(&self, words: usize) -> usize {
        let mut edit = Edit::new(&self.words, 0);
        let at = edit.take_in_order(words).expect("the room was looked at");
        edit.finish();
        at
    }

    fn edit(&self) -> Edit<'_> {
        Edit::new(&self.words, 0)
    }

    /// Writes the image as a frame into `words`; `number_of` tells the frames of the images,
    /// `blobs` the blobs of the values.
    pub(super) fn write(
        &self,
        words: &Words,
        nature: Nature,
        number_of: impl Fn(u32) -> u32,
        blobs: &[u32],
    ) {
        let edit = self.edit();
        for &(at, target) in &self.cells {
            edit.set(at, Target { frame: number_of(target.frame), ..target }.pack());
        }
        for &(at, value) in &self.blobs {
            edit.set(at, u64::from(blobs[value]));
        }
        let roots = self.roots.iter().enumerate().filter(|(_, root)| !root.is_null());
        let placed: Vec<Placed> = roots.map(|(index, &root)| Placed { index, root }).collect();
        build(View::new(&self.words), &placed, words, nature, 0)
            .expect("an image is filled so far that it fits a frame");
    }
}

/// The images of a tree, the values that are to be blobs, and the nodes that are kept back.
pub(super) struct Images {
    pub(super) all: Vec<Image>,
    pub(super) large: Vec<Vec<u8>>,
    kept: Vec<Branch>,
    /// Index of the first image of the level that is written.
    first: usize,
    /// The node that is written.
    loose: Box<Loose>,
    /// Memory for the children of nodes.
    pub(super) spare: Vec<Vec<(u8, Item)>>,
}

impl Images {
    pub(super) fn new() -> Self {
        Self {
            all: vec![Image::new(0)],
            large: Vec::new(),
            kept: Vec::new(),
            first: 0,
            loose: Box::new(Loose::blank()),
            spare: Vec::new(),
        }
    }

    fn last(&mut self) -> &mut Image {
        self.all.last_mut().expect("there is an image from the beginning")
    }

    /// Begins an image of the level.
    fn turn(&mut self) {
        let level = self.last().level;
        self.all.push(Image::new(level));
    }

    /// Makes `item` a root of the last image.
    fn root(&mut self, item: Ref) -> Item {
        let frame = (self.all.len() - 1) as u32;
        let roots = &mut self.last().roots;
        roots.push(item);
        Item::Root(Target { frame, entry: (roots.len() - 1) as u16 })
    }

    /// Words of a leaf for a value of this length.
    fn leaf_words(suffix: usize, value: &[u8]) -> usize {
        Shape { suffix, value: value.len(), blob: value.len() > MAX_PLACED }.words()
    }

    /// Writes a leaf, for which there is room, into the last image.
    fn write_leaf(&mut self, suffix: &[u8], value: &[u8], version: Version) -> Ref {
        let index = self.large.len();
        let large = value.len() > MAX_PLACED;
        let image = self.last();
        let at = image.take(Self::leaf_words(suffix.len(), value));
        let length = value.len();
        let what = if large { Value::Blob { number: 0, length } } else { Value::Inline(value) };
        let leaf = image.edit().write_leaf(at, suffix, &what, version.get());
        if large {
            let head = Shape::new(suffix.len(), &what).head();
            image.blobs.push((at + head + words_for(suffix.len()), index));
            self.large.push(value.to_vec());
        }
        leaf
    }

    /// Adds a record's leaf.
    pub(super) fn leaf(&mut self, suffix: &[u8], value: &[u8], version: Version) -> Item {
        if !self.last().fits(Self::leaf_words(suffix.len(), value)) {
            self.turn();
        }
        let leaf = self.write_leaf(suffix, value, version);
        self.root(leaf)
    }

    /// Adds a node, or keeps it back.
    pub(super) fn node(&mut self, branch: Branch) -> Item {
        let current = (self.all.len() - 1) as u32;
        let first = self.first as u32;
        let (mut inside, mut below) = (0, 0);
        for (_, child) in &branch.children {
            match child {
                Item::Root(target) if target.frame == current => inside += 1,
                Item::Root(target) if target.frame < first => below += 1,
                _ => return self.keep(branch),
            }
        }
        let value_words = branch.value.as_ref().map_or(0, |held| Self::leaf_words(0, &held.value));
        let node_words = Loose::words_of(branch.children.len(), branch.prefix.len());
        if !self.last().fits(node_words + value_words + below) {
            if inside > 0 {
                return self.keep(branch);
            }
            self.turn();
        }
        let value = match &branch.value {
            Some(held) => self.write_leaf(b"", &held.value, held.version),
            None => Ref::NULL,
        };
        let Self { all, loose, .. } = self;
        let image = all.last_mut().expect("there is an image from the beginning");
        loose.set(value, &branch.prefix);
        for &(byte, child) in &branch.children {
            let Item::Root(target) = child else { unreachable!("nodes kept back have been met") };
            let child = if target.frame == current && inside > 0 {
                std::mem::take(&mut image.roots[usize::from(target.entry)])
            } else {
                let at = image.take(1);
                image.cells.push((at, target));
                Ref::new(Kind::Crossing, at)
            };
            loose.push(byte, child);
        }
        // What is below a node has come just before it, as a rule.
        while image.roots.pop_if(|root| root.is_null()).is_some() {}
        let at = image.take(node_words);
        let node = loose.write(&image.edit(), at);
        let mut children = branch.children;
        children.clear();
        self.spare.push(children);
        self.root(node)
    }

    fn keep(&mut self, branch: Branch) -> Item {
        self.kept.push(branch);
        Item::Kept(self.kept.len() - 1)
    }

    /// Writes the nodes that were kept back, level after level, until the whole tree is below
    /// `root`, which becomes the only root of the last image.
    pub(super) fn finish(&mut self, mut root: Item) {
        while let Item::Kept(_) = root {
            let words = self.words_kept();
            let last = self.last();
            let level = last.level + 1;
            if last.fits(words) {
                last.level = level;
            } else {
                self.all.push(Image::new(level));
            }
            self.first = self.all.len() - 1;
            // Children come before their parents.
            let branches = std::mem::take(&mut self.kept);
            let mut became: Vec<Item> = Vec::with_capacity(branches.len());
            for mut branch in branches {
                for (_, child) in &mut branch.children {
                    if let Item::Kept(index) = *child {
                        *child = became[index];
                    }
                }
                became.push(self.node(branch));
            }
            root = *became.last().expect("the root was kept back");
        }
        let roots = &mut self.last().roots;
        roots.retain(|root| !root.is_null());
        debug_assert_eq!(roots.len(), 1);
    }

    /// Words that the nodes kept back take at most in one image, their places among its roots included.
    fn words_kept(&self) -> usize {
        let words = |branch: &Branch| {
            let value = branch.value.as_ref().map_or(0, |held| Self::leaf_words(0, &held.value));
            let (children, prefix) = (branch.children.len(), branch.prefix.len());
            Loose::words_of(children, prefix) + value + children + 1
        };
        self.kept.iter().map(words).sum()
    }
}
