//! Loading an empty tree from records in the order of their keys.
//!
//! The nodes on the way to the last key are open; a key that leaves some of them closes these
//! for good, so each frame is written once, from the bottom up (see [`super::images`]). All
//! of that is private. Then, inside the gate, the images become frames that nothing leads to,
//! and the last one becomes the root frame: for readers, cuts and snapshots all records come
//! at once.

use super::Tree;
use super::images::{Branch, Held, Images, Item};
use super::outcome::Version;
use super::split::hand_down;
use crate::error::Error;
use crate::frame::copy::entries;
use crate::frame::edit::Edit;
use crate::frame::leaf::MAX_SUFFIX;
use crate::frame::node::MAX_PREFIX;
use crate::frame::{Loc, Nature, Target};
use crate::pool::{Latched, Pool};
use crate::{MAX_KEY, MAX_VALUE};

/// Bytes that a node of a chain takes of a long key.
const NODE_BYTES: usize = MAX_PREFIX + 1;

/// A node on the way to the last key.
#[derive(Debug)]
struct Open {
    /// Bytes of the key that lead to the node, its prefix included.
    depth: usize,
    value: Option<Held>,
    children: Vec<(u8, Item)>,
}

/// The load of a tree, as far as it has come.
struct Loader {
    images: Images,
    /// The open nodes, each below the one before it.
    open: Vec<Open>,
    /// The last record, which is not in an image yet: the next key tells where it hangs.
    key: Vec<u8>,
    value: Vec<u8>,
    version: Option<Version>,
    count: u64,
    longest: usize,
}

impl Tree {
    /// Fills the empty tree with records that come in the order of their keys, and returns
    /// how many there were. Frames are filled to 0.9 and more, but for the last of each level.
    ///
    /// The records are read outside the gate, into memory of about the size of the tree to
    /// come. All of them become visible at once, inside the gate, which is held for the
    /// copying of the frames, some 10 µs for each of 64 KiB. The caller must not have a pass.
    ///
    /// `sequence` is called once for each record as it is read; what it gave for a load that
    /// fails is lost.
    ///
    /// # Errors
    ///
    /// Nothing has changed when one is returned.
    ///
    /// * [`Error::Unordered`] when a key is not greater than the one before it;
    ///   [`Error::KeyTooLong`]; [`Error::ValueTooLong`].
    /// * [`Error::NotEmpty`] when the tree has records, at the beginning or at the end.
    /// * [`Error::PoolFull`] and [`Error::TooManyChanged`].
    ///
    /// # Examples
    ///
    /// See [`Art::bulk_load`](crate::Art::bulk_load).
    pub fn bulk_load<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        records: impl IntoIterator<Item = (K, V)>,
        mut sequence: impl FnMut() -> Version,
    ) -> Result<u64, Error> {
        if !self.is_prefix_empty(b"")? {
            return Err(Error::NotEmpty);
        }
        let mut loader = Loader::new();
        for (key, value) in records {
            loader.add(key.as_ref(), value.as_ref(), &mut sequence)?;
        }
        if loader.count > 0 {
            loader.finish();
            self.adopt(&loader)?;
        }
        Ok(loader.count)
    }

    /// Makes the images frames of this tree.
    fn adopt(&self, loader: &Loader) -> Result<(), Error> {
        let _pass = self.pool.enter();
        let mut made = Made { pool: &self.pool, frames: Vec::new(), blobs: Vec::new() };
        let (last, below) = loader.images.all.split_last().expect("there is a root");
        for value in &loader.images.large {
            made.blobs.push(self.pool.write_blob(value)?);
        }
        for image in below {
            made.frames.push(self.pool.new_frame(image.level)?);
        }
        let numbers: Vec<u32> = made.frames.iter().map(Latched::number).collect();
        let number_of = |image: u32| numbers[image as usize];
        for (image, frame) in below.iter().zip(&made.frames) {
            let nature = Nature { level: image.level, ..frame.view().nature() };
            image.write(frame.words(), nature, number_of, &made.blobs);
        }
        let missing = Error::MissingFrame { frame: self.root };
        let mut root = self.pool.latch_now(self.root).ok_or(missing)?;
        if !root.view().entry(0).root.is_null() {
            return Err(Error::NotEmpty);
        }
        // What has moved away from an emptied tree may still be in its root frame.
        let shared = entries(root.view()).any(|(index, _)| index != 0);
        let own = if shared {
            made.frames.push(self.pool.new_frame(last.level)?);
            made.frames.push(self.pool.new_frame(0)?);
            Some(made.frames[made.frames.len() - 2].number())
        } else {
            None
        };
        root.writable()?;
        let slot = self.pool.take_slot()?;
        let words = self.pool.slot_words(slot);
        let nature = root.view().nature();
        let longest = nature.longest.max(loader.longest as u16);
        let nature = Nature { level: last.level, longest, ..nature };
        match (own, &made.frames[..]) {
            (Some(own), [.., frame, below]) => {
                last.write(frame.words(), nature.below(own), number_of, &made.blobs);
                hand_down(root.view(), below, words);
                Edit::set_nature(words, Nature { level: last.level.saturating_add(1), ..nature });
                let mut edit = Edit::new(words, 0);
                let cell = edit.take_for_good(1).expect("a frame has room for one crossing more");
                let crossing = edit.write_crossing(cell, Target { frame: own, entry: 0 });
                edit.set_ref(Loc::entry(0), crossing);
                edit.finish();
            }
            _ => last.write(words, nature, number_of, &made.blobs),
        }
        for &blob in &made.blobs {
            self.pool.blob_born(blob);
        }
        root.leave_slot(slot);
        made.keep();
        Ok(())
    }
}

/// What was taken from the pool for a load, given back unless it is kept.
struct Made<'p> {
    pool: &'p Pool,
    frames: Vec<Latched<'p>>,
    blobs: Vec<u32>,
}

impl Made<'_> {
    fn keep(mut self) {
        self.frames.clear();
        self.blobs.clear();
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.frames.drain(..).for_each(Latched::discard);
        for &blob in &self.blobs {
            self.pool.free_blob(blob);
        }
    }
}

impl Loader {
    fn new() -> Self {
        Self {
            images: Images::new(),
            open: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
            version: None,
            count: 0,
            longest: 0,
        }
    }

    /// Adds a record, whose key has to be greater than the one before.
    fn add(
        &mut self,
        key: &[u8],
        value: &[u8],
        sequence: impl FnOnce() -> Version,
    ) -> Result<(), Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        if value.len() > MAX_VALUE {
            return Err(Error::ValueTooLong { length: value.len() });
        }
        if self.count > 0 {
            let shared = common(&self.key, key);
            let greater = match (self.key.get(shared), key.get(shared)) {
                (Some(old), Some(new)) => old < new,
                (old, _) => old.is_none() && key.len() > shared,
            };
            if !greater {
                return Err(Error::Unordered { at: self.count });
            }
            self.place(shared);
        }
        self.key.clear();
        self.key.extend_from_slice(key);
        self.value.clear();
        self.value.extend_from_slice(value);
        self.version = Some(sequence());
        self.longest = self.longest.max(key.len());
        self.count += 1;
        Ok(())
    }

    /// Hangs up the last record, of whose key the next one shares `shared` bytes, and closes
    /// the nodes that the next one does not lead to.
    fn place(&mut self, shared: usize) {
        if self.depth().is_none_or(|depth| depth < shared) {
            self.open(shared);
        }
        self.hang();
        while let Some(open) = self.open.pop_if(|open| open.depth > shared) {
            if self.depth().is_none_or(|depth| depth < shared) {
                self.open(shared);
            }
            let above = self.depth().expect("a node was opened");
            let key = std::mem::take(&mut self.key);
            let item = self.close(open, &key[above + 1..]);
            let parent = self.open.last_mut().expect("a node was opened");
            parent.children.push((key[above], item));
            self.key = key;
        }
    }

    /// Hangs the last record into the deepest open node.
    fn hang(&mut self) {
        let depth = self.depth().expect("a node is open");
        let (key, value) = (std::mem::take(&mut self.key), std::mem::take(&mut self.value));
        let version = self.version.expect("a record was added");
        if key.len() == depth {
            let held = Held { value: value.clone(), version };
            self.open.last_mut().expect("a node is open").value = Some(held);
        } else {
            let item = self.rest(&key[depth + 1..], &value, version);
            let parent = self.open.last_mut().expect("a node is open");
            parent.children.push((key[depth], item));
        }
        (self.key, self.value) = (key, value);
    }

    /// Hangs up the last record of all and closes every node.
    fn finish(&mut self) {
        let key = self.key.clone();
        let root = if self.open.is_empty() {
            let value = std::mem::take(&mut self.value);
            self.rest(&key, &value, self.version.expect("a record was added"))
        } else {
            self.hang();
            loop {
                let open = self.open.pop().expect("the loop ends with the first node");
                let Some(above) = self.depth() else { break self.close(open, &key) };
                let item = self.close(open, &key[above + 1..]);
                let parent = self.open.last_mut().expect("there is one above");
                parent.children.push((key[above], item));
            }
        };
        self.images.finish(root);
    }

    fn depth(&self) -> Option<usize> {
        self.open.last().map(|open| open.depth)
    }

    fn open(&mut self, depth: usize) {
        let children = self.images.spare.pop().unwrap_or_default();
        self.open.push(Open { depth, value: None, children });
    }

    /// Writes a record whose key goes on with `rest`.
    fn rest(&mut self, rest: &[u8], value: &[u8], version: Version) -> Item {
        let nodes = rest.len().saturating_sub(MAX_SUFFIX).div_ceil(NODE_BYTES);
        let (chain, suffix) = rest.split_at(nodes * NODE_BYTES);
        let leaf = self.images.leaf(suffix, value, version);
        self.chain(chain, leaf)
    }

    /// Writes a node whose name goes on, from the node above, with what `rest` begins with.
    fn close(&mut self, open: Open, rest: &[u8]) -> Item {
        // `rest` is of a key that leads through the node, and so many bytes are above it.
        let above = self.depth().map_or(0, |depth| depth + 1);
        let rest = &rest[..open.depth - above];
        let nodes = rest.len().saturating_sub(MAX_PREFIX).div_ceil(NODE_BYTES);
        let (chain, prefix) = rest.split_at(nodes * NODE_BYTES);
        let Open { value, children, .. } = open;
        let node = self.images.node(Branch { prefix: prefix.to_vec(), value, children });
        self.chain(chain, node)
    }

    /// Puts a chain of nodes with one child above `item`.
    fn chain(&mut self, chain: &[u8], item: Item) -> Item {
        chain.chunks(NODE_BYTES).rev().fold(item, |item, bytes| {
            let (&byte, prefix) = bytes.split_last().expect("a chunk has bytes");
            let children = vec![(byte, item)];
            self.images.node(Branch { prefix: prefix.to_vec(), value: None, children })
        })
    }
}

/// How many bytes two keys begin with alike.
fn common(one: &[u8], other: &[u8]) -> usize {
    let mut at = 0;
    while let (Some(a), Some(b)) = (
        one.get(at..).and_then(|rest| rest.first_chunk::<8>()),
        other.get(at..).and_then(|rest| rest.first_chunk::<8>()),
    ) {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return at + (differing.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + one[at..].iter().zip(&other[at..]).take_while(|(a, b)| a == b).count()
}
