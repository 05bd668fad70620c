//! What a list has read ahead: private copies of names and values, in one run of bytes.
//!
//! A leaf keeps its suffix and its value side by side, so an entry is written as the path
//! and one copy of words behind it. Words are stored whole; what is written too far is
//! overwritten by the next entry. Nothing is allocated per entry, and neighbouring leaves are
//! copied in one loop (`tree/leaves.rs`).

use super::entry::Item;
use super::get::{Taken, append_value};
use super::spelled::Path;
use crate::frame::leaf::Leaf;
use crate::frame::{View, words_for};
use crate::pool::Pool;
use crate::sync::Ordering;

/// Bytes that may be written behind the end of something.
pub(super) const SLACK: usize = 64;
/// Bytes that a batch makes room for at a time, unless an entry is larger.
const ROOM: usize = 16 << 10;
/// Bytes that are copied at a time.
const PIECE: usize = 32;

/// Names and values of one walk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// As far as there is room.
    pub(super) bytes: Vec<u8>,
    /// End of the last entry.
    pub(super) end: usize,
    /// The entries, and room for more.
    pub(super) items: Vec<Item>,
    /// How many entries there are.
    pub(super) count: usize,
    /// How many of them are certain: what they came from has been validated.
    pub(super) certain: usize,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        (self.end, self.count, self.certain) = (0, 0, 0);
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

    /// The entries.
    #[inline]
    pub(super) fn items(&self) -> &[Item] {
        &self.items[..self.count]
    }

    /// How many entries there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Keeps the first `count` entries.
    pub(super) fn truncate(&mut self, count: usize) {
        self.count = count.min(self.count);
        self.end = self.items().last().map_or(0, |item| item.end as usize);
    }

    /// Makes room for `entries` entries of `need` bytes; the batch may have `names` names.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, need: usize, entries: usize, names: usize) {
        let least = need * entries;
        let expected = names.saturating_sub(self.count).clamp(entries, ROOM / 64);
        if self.items.len() < self.count + entries {
            self.items.resize(self.count + expected, Item::default());
        }
        if self.bytes.len() - self.end < least {
            // The vector doubles its memory by itself; this is what is filled with zeros.
            let more = need.saturating_mul(expected).clamp(least, least.max(ROOM));
            self.bytes.resize(self.end + more, 0);
        }
    }

    /// Makes sure that there is room for `entries` entries of `need` bytes.
    #[inline]
    pub(super) fn reserve(&mut self, need: usize, entries: usize, names: usize) {
        let short = self.bytes.len() - self.end < need * entries;
        if short || self.items.len() < self.count + entries {
            self.grow(need, entries, names);
        }
    }

    #[inline]
    fn push_item(&mut self, item: Item) {
        self.items[self.count] = item;
        self.count += 1;
    }

    /// Adds the record of `leaf` below `path`, without its value if `keys_only`, or says why
    /// not. The leaf must be plausible. `names` is how many names the batch may have.
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
        self.reserve(path.len() + count * 8 + SLACK, 1, names);
        let Some(words) = view.run(leaf.data, count) else { return Taken::Garbage };
        let name_end = start + path.len() + leaf.suffix;
        copy_path(path, path.len(), &mut self.bytes[start..]);
        let rest = &mut self.bytes[start + path.len()..];
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
        self.push_item(Item { start, name_end, end, group: false, version: leaf.version });
        Taken::Done
    }

    #[cold]
    fn push_blob(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken {
        self.bytes.truncate(self.end);
        let read = append_value(pool, view, leaf, &mut self.bytes);
        self.end = self.bytes.len();
        read
    }

    /// Adds the group whose name is the first `length` bytes of the path.
    #[inline]
    pub(super) fn push_group(&mut self, path: &Path, length: usize, names: usize) {
        let start = self.end;
        self.reserve(length + SLACK, 1, names);
        copy_path(path, length, &mut self.bytes[start..]);
        self.end = start + length;
        let (start, end) = (start as u32, self.end as u32);
        self.push_item(Item { start, name_end: end, end, group: true, version: 0 });
    }
}

/// Copies the first `length` bytes of a path, with [`SLACK`] behind them on both sides. For
/// names, which are short, that costs less than a call of `memcpy`.
#[inline(always)]
fn copy_path(path: &Path, length: usize, to: &mut [u8]) {
    let pieces = length.div_ceil(PIECE);
    let from = path.spelled().as_chunks::<PIECE>().0;
    let to = to.as_chunks_mut::<PIECE>().0;
    match (from, &mut *to) {
        ([first, ..], [to, ..]) if pieces <= 1 => *to = *first,
        ([first, second, ..], [to, next, ..]) if pieces == 2 => {
            *to = *first;
            *next = *second;
        }
        _ => to[..pieces].copy_from_slice(&from[..pieces]),
    }
}
