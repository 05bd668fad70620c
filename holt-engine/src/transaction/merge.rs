//! Lists of a transaction: those of its snapshot, with its own writes laid over.
//!
//! - What it has written counts as it is when the list comes to it.
//! - A key that it has written is told from its writes alone. A group is told if one of its keys is
//!   there: one that it has put, or one of the snapshot that it has not removed.

use std::collections::btree_map::Range;
use std::ops::Bound;

use holt_art::{Cursor, Entry, EntryRef, Scan, Version};
use holt_journal::disk::Disk;

use super::notes::{ListNote, Notes};
use super::shared::{Reader, Writes};
use crate::error::Error;
use crate::sync::Arc;

/// See the module's documentation.
pub(crate) struct Merged<D: Disk> {
    // In the order in which they are dropped.
    base: Cursor,
    reader: Reader<D>,
    scan: Scan,
    note: ListNote,
    /// The next entry of the snapshot's list.
    peeked: Option<Entry>,
    /// Whether that list has ended.
    ended: bool,
    /// From where on in the list's direction own writes count; none if no more do.
    near: Option<Bound<Vec<u8>>>,
    /// The entry that is lent.
    lent: Option<Entry>,
}

impl<D: Disk> Merged<D> {
    pub(crate) fn new(reader: Reader<D>, scan: Scan) -> Result<Merged<D>, Error> {
        // How many of its entries are needed is not known.
        let scan = scan.limit(u64::MAX);
        let id = reader.id();
        let note = reader.shared.state()?.notes.list(id, scan.clone());
        let (lower, upper) = scan.bounds();
        let near = if scan.is_reverse() { upper } else { lower }.map(<[u8]>::to_vec);
        let base = reader.tree.frames().cursor(scan.clone());
        let (peeked, lent) = (None, None);
        Ok(Merged { base, reader, scan, note, peeked, ended: false, near: Some(near), lent })
    }

    /// The next entry, lent.
    pub(crate) fn next_ref(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        self.lent = self.advance()?;
        Ok(self.lent.as_ref().map(Entry::as_ref))
    }

    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        let shared = Arc::clone(&self.reader.shared);
        let mut state = shared.state()?;
        let state = &mut *state;
        let none = Writes::new();
        let writes = state.writes.get(&self.reader.id()).unwrap_or(&none);
        let base = loop {
            if self.peeked.is_none() && !self.ended {
                self.peeked = self.base.next().transpose()?;
                self.ended = self.peeked.is_none();
                state.notes.read(self.note, !self.ended);
            }
            match &self.peeked {
                Some(entry) if !self.shows(entry, writes, &mut state.notes)? => self.peeked = None,
                base => break base,
            }
        };
        let own = self.own(writes);
        let first =
            |own: &[u8], base: &[u8]| if self.scan.is_reverse() { own > base } else { own < base };
        let next = match (own, base) {
            (Some(own), Some(base)) if first(own.name(), base.name()) => Some(own),
            (Some(own), None) => Some(own),
            _ => self.peeked.take(),
        };
        if let Some(entry) = &next {
            self.near = behind(entry, self.scan.is_reverse());
        }
        Ok(next)
    }

    /// The next entry that comes of own writes alone.
    fn own(&self, writes: &Writes) -> Option<Entry> {
        let near = self.near.as_ref()?.as_ref().map(Vec::as_slice);
        let (lower, upper) = self.scan.bounds();
        let told = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
            let value = value.as_ref()?;
            let (name, group) = self.scan.name_of(key)?;
            Some(if group {
                Entry::group(name)
            } else {
                let value = if self.scan.is_keys_only() { &[] } else { value.as_slice() };
                Entry::record(name, value, Version::MAX)
            })
        };
        if self.scan.is_reverse() {
            between(writes, lower, near)?.rev().find_map(told)
        } else {
            between(writes, near, upper)?.find_map(told)
        }
    }

    /// Whether an entry of the snapshot is still there beside own writes, and not told by them.
    fn shows(&self, entry: &Entry, writes: &Writes, notes: &mut Notes) -> Result<bool, Error> {
        let name = match entry.as_ref() {
            EntryRef::Key { key, .. } => return Ok(!writes.contains_key(key)),
            EntryRef::Group { name } => name,
        };
        let keys = self.scan.of_group(name).keys_only(true);
        let (lower, upper) = keys.bounds();
        let removes = |mut own: Range<'_, _, Option<_>>| own.any(|(_, value)| value.is_none());
        if !between(writes, lower, upper).is_some_and(removes) {
            return Ok(true);
        }
        let note = notes.list(self.reader.id(), keys.clone());
        for key in self.reader.tree.frames().cursor(keys) {
            notes.read(note, true);
            if !writes.contains_key(key?.name()) {
                return Ok(true);
            }
        }
        notes.read(note, false);
        Ok(false)
    }
}

/// The writes between two bounds; none if there is nothing between them.
fn between<'w>(
    writes: &'w Writes,
    lower: Bound<&[u8]>,
    upper: Bound<&[u8]>,
) -> Option<Range<'w, Vec<u8>, Option<Vec<u8>>>> {
    let empty = match (lower, upper) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (
            Bound::Included(lower) | Bound::Excluded(lower),
            Bound::Included(upper) | Bound::Excluded(upper),
        ) => lower >= upper,
    };
    (!empty).then(|| writes.range::<[u8], _>((lower, upper)))
}

/// Where a list goes on behind an entry.
fn behind(entry: &Entry, reverse: bool) -> Option<Bound<Vec<u8>>> {
    match entry.as_ref() {
        EntryRef::Group { name } if !reverse => match Scan::prefix(name).bounds().1 {
            Bound::Excluded(end) => Some(Bound::Included(end.to_vec())),
            _ => None,
        },
        _ => Some(Bound::Excluded(entry.name().to_vec())),
    }
}
