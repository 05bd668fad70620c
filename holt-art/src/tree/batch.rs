//! What a list has read ahead: private copies of names and values, in one run of bytes.
//!
//! A leaf keeps its suffix and its value side by side, so an entry is written as the path
//! and one copy of words behind it. Words are stored whole; what is written too far is
//! overwritten by the next entry. Nothing is allocated per entry.

use super::entry::Item;
use super::get::{Taken, append_value};
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

    /// Bytes that there is room for.
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes of all names and values.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.end
    }

    /// The bytes of all entries.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Keeps the first `count` entries.
    pub(super) fn truncate(&mut self, count: usize) {
        self.items.truncate(count);
        self.end = self.items.last().map_or(0, |item| item.end as usize);
    }

    /// Makes room for an entry of `need` bytes; so many more `entries` are expected.
    #[cold]
    fn grow(&mut self, need: usize, entries: usize) {
        self.items.reserve(entries);
        // The vector doubles its memory by itself; this is what is filled with zeros.
        let more = need.saturating_mul(entries).clamp(need, need.max(ROOM));
        self.bytes.resize(self.end + more, 0);
    }

    /// Adds the record of `leaf` below `path`, without its value if `keys_only`, or says why
    /// not. The leaf must be plausible. `names` is how many names the batch may have.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        pool: &Pool,
        view: View<'_>,
        path: &Path,
        leaf: &Leaf,
        keys_only: bool,
        names: usize,
    ) -> Taken {
        let start = self.end;
        let inline = if keys_only || leaf.blob { 0 } else { leaf.value };
        let count = words_for(leaf.suffix + inline);
        let need = path.length + count * 8 + SLACK;
        if self.bytes.len() - start < need {
            self.grow(need, names.saturating_sub(self.items.len()).min(ROOM / 64));
        }
        let Some(words) = view.run(leaf.data, count) else { return Taken::Garbage };
        let name_end = start + path.length + leaf.suffix;
        copy_rounded(&path.bytes, &mut self.bytes[start..], path.length);
        let rest = &mut self.bytes[start + path.length..];
        for (chunk, word) in rest.chunks_exact_mut(8).zip(words) {
            // Relaxed: ordered against writers by the latch word (pool::latch, edge 2).
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        self.end = name_end + inline;
        if leaf.blob && !keys_only {
            let taken = self.push_blob(pool, view, leaf);
            if taken != Taken::Done {
                self.end = start;
                return taken;
            }
        }
        let (start, name_end, end) = (start as u32, name_end as u32, self.end as u32);
        self.items.push(Item { start, name_end, end, group: false, version: leaf.version });
        Taken::Done
    }

    #[cold]
    fn push_blob(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken {
        self.bytes.truncate(self.end);
        let read = append_value(pool, view, leaf, &mut self.bytes);
        self.end = self.bytes.len();
        read
    }

    /// Adds a group.
    pub(super) fn push_group(&mut self, name: &[u8], names: usize) {
        let start = self.end;
        if self.bytes.len() - start < name.len() {
            self.grow(name.len() + SLACK, names.saturating_sub(self.items.len()).min(ROOM / 64));
        }
        self.end = start + name.len();
        self.bytes[start..self.end].copy_from_slice(name);
        let (start, end) = (start as u32, self.end as u32);
        self.items.push(Item { start, name_end: end, end, group: true, version: 0 });
    }
}

/// Copies `length` bytes in pieces of sixteen. Both sides have [`SLACK`] behind them. For
/// names, which are short, that costs less than a call of `memcpy`.
#[inline(always)]
fn copy_rounded(from: &[u8], to: &mut [u8], length: usize) {
    let mut at = 0;
    while at < length {
        let (Some(to), Some(from)) = (to.get_mut(at..at + 16), from.get(at..at + 16)) else {
            return;
        };
        to.copy_from_slice(from);
        at += 16;
    }
}
