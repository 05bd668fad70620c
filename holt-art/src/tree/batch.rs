//! What a list has read ahead: private copies of names and values, in one run of bytes.
//!
//! A leaf keeps its suffix and its value side by side, so an entry is written as the path
//! and one copy of words behind it. Words are stored whole; what is written too far is
//! overwritten by the next entry. Nothing is allocated per entry.

use super::get::append_value;
use super::outcome::Version;
use super::scan::EntryRef;
use crate::frame::leaf::Leaf;
use crate::frame::{View, words_for};
use crate::pool::Pool;
use crate::sync::Ordering;

/// Bytes that may be written behind the end of something.
const SLACK: usize = 32;
/// Bytes that a batch makes room for at a time, unless an entry is larger.
const ROOM: usize = 16 << 10;

/// The name that a walk has spelled out so far.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// At least `length + SLACK` long, as soon as there is anything.
    bytes: Vec<u8>,
    length: usize,
}

impl Path {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Makes room for `more` bytes behind the end.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.bytes.len() < self.length + more + SLACK {
            self.bytes.resize((self.length + more + SLACK).next_power_of_two().max(256), 0);
        }
    }

    /// Spells out `name` and sets the length to `length`, at most that of the name.
    pub(super) fn set(&mut self, name: &[u8], length: usize) {
        self.length = 0;
        self.reserve(name.len());
        self.bytes[..name.len()].copy_from_slice(name);
        self.length = length.min(name.len());
    }

    /// Changes the length; a greater one shows again what was spelled out before.
    #[inline]
    pub(super) fn resize(&mut self, length: usize) {
        debug_assert!(length <= self.bytes.len());
        self.length = length;
    }

    /// Cuts the path to `length` and appends a byte.
    #[inline]
    pub(super) fn branch(&mut self, length: usize, byte: u8) {
        self.length = length;
        if let Some(last) = self.bytes.get_mut(length) {
            *last = byte;
        } else {
            self.reserve(1);
            self.bytes[length] = byte;
        }
        self.length = length + 1;
        debug_assert!(self.length <= self.bytes.len());
    }

    /// Appends `length` bytes packed from word `at`.
    #[inline]
    pub(super) fn append(&mut self, view: View<'_>, at: usize, length: usize) {
        self.reserve(length);
        let start = self.length;
        let rounded = words_for(length) * 8;
        for (n, chunk) in self.bytes[start..start + rounded].chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&view.word(at + n).to_le_bytes());
        }
        self.length = start + length;
    }
}

/// One name of a batch: where it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) start: u32,
    pub(super) name_end: u32,
    pub(super) end: u32,
    /// The record's version; none for a group.
    pub(super) version: Option<Version>,
}

/// Names and values of one walk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// End of the last entry.
    end: usize,
    pub(super) items: Vec<Item>,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.end = 0;
        self.items.clear();
    }

    /// Bytes of all names and values.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.end
    }

    #[inline]
    pub(super) fn name(&self, item: &Item) -> &[u8] {
        &self.bytes[item.start as usize..item.name_end as usize]
    }

    /// The entry of `item`.
    #[inline]
    pub(super) fn entry(&self, item: &Item) -> EntryRef<'_> {
        let bytes = &self.bytes[item.start as usize..item.end as usize];
        let (name, value) = bytes.split_at((item.name_end - item.start) as usize);
        match item.version {
            Some(version) => EntryRef::Key { key: name, value, version },
            None => EntryRef::Group { name },
        }
    }

    /// Keeps the first `count` entries.
    pub(super) fn truncate(&mut self, count: usize) {
        self.items.truncate(count);
        self.end = self.items.last().map_or(0, |item| item.end as usize);
    }

    /// Makes room for an entry of `need` bytes; `entries` are expected.
    #[cold]
    fn grow(&mut self, need: usize, entries: usize) {
        // The vector doubles its memory by itself; this is what is filled with zeros.
        let more = need.saturating_mul(entries).clamp(need, need.max(ROOM));
        let length = self.end + more;
        self.bytes.resize(length, 0);
    }

    /// Adds the record of `leaf` below `path`. The leaf must be plausible; false when it is
    /// garbage all the same.
    #[inline]
    pub(super) fn push(
        &mut self,
        pool: &Pool,
        view: View<'_>,
        path: &Path,
        leaf: &Leaf,
        keys_only: bool,
        expected: usize,
    ) -> bool {
        let start = self.end;
        let name_end = start + path.length + leaf.suffix;
        let inline = if keys_only || leaf.blob { 0 } else { leaf.value };
        let count = words_for(leaf.suffix + inline);
        let need = path.length + count * 8 + SLACK;
        if self.bytes.len() - start < need {
            self.grow(need, expected);
        }
        let Some(words) = view.run(leaf.data, count) else { return false };
        let (to, rest) = self.bytes[start..].split_at_mut(path.length);
        to.copy_from_slice(&path.bytes[..path.length]);
        for (chunk, word) in rest.chunks_exact_mut(8).zip(words) {
            // Relaxed: ordered against writers by the latch word (pool::latch, edge 2).
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        self.end = name_end + inline;
        if leaf.blob && !keys_only {
            self.bytes.truncate(name_end);
            if !append_value(pool, view, leaf, &mut self.bytes) {
                self.end = start;
                return false;
            }
            self.end = self.bytes.len();
        }
        self.items.push(Item {
            start: start as u32,
            name_end: name_end as u32,
            end: self.end as u32,
            version: Some(Version::of_leaf(leaf.version)),
        });
        true
    }

    /// Adds a group.
    pub(super) fn push_group(&mut self, name: &[u8], expected: usize) {
        let start = self.end;
        if self.bytes.len() - start < name.len() {
            self.grow(name.len() + SLACK, expected);
        }
        self.end = start + name.len();
        self.bytes[start..self.end].copy_from_slice(name);
        let (start, end) = (start as u32, self.end as u32);
        self.items.push(Item { start, name_end: end, end, version: None });
    }
}
