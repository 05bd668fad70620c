//! Lists of a transaction: those of its snapshot, with its own changes laid over.
//!
//! - What it has changed counts as it is when the list comes to it.
//! - A key that it has written is told from its writes alone. A group is told if one of its keys is
//!   there: one that it has put, or one of the snapshot that it has not removed.
//! - As long as it has done nothing to whole prefixes of the tree, the snapshot's list is rolled up as it is read.
//!   From then on its keys are read one by one, from where they lie, and rolled up here.

use std::ops::Bound;

use holt_art::{Cursor, Entry, EntryRef, Scan, Version};
use holt_journal::disk::Disk;

use super::mounts::end_of;
use super::moved::MovedKeys;
use super::notes::{ListNote, Notes};
use super::shared::{Reader, State};
use super::view::View;
use crate::error::Error;
use crate::sync::Arc;

/// See the module's documentation.
pub(crate) struct Merged<D: Disk> {
    // In the order in which they are dropped.
    rolled: Rolled,
    moved: MovedKeys,
    reader: Reader<D>,
    scan: Scan,
    /// From where on in the list's direction entries are told; none if no more are.
    near: Option<Bound<Vec<u8>>>,
    /// The entry that is lent.
    lent: Option<Entry>,
}

/// The list of the snapshot as it is, and its next entry.
struct Rolled {
    cursor: Cursor,
    note: ListNote,
    peeked: Option<Entry>,
    ended: bool,
}

impl<D: Disk> Merged<D> {
    pub(crate) fn new(reader: Reader<D>, scan: Scan) -> Result<Merged<D>, Error> {
        let shared = Arc::clone(&reader.shared);
        let mut state = shared.state()?;
        Ok(Merged::begin(reader, scan, &mut state))
    }

    pub(super) fn begin(reader: Reader<D>, scan: Scan, state: &mut State<D>) -> Merged<D> {
        // How many of its entries are needed is not known.
        let scan = scan.limit(u64::MAX);
        let note = state.notes.list(reader.id(), scan.clone());
        let (lower, upper) = scan.bounds();
        let near = if scan.is_reverse() { upper } else { lower }.map(<[u8]>::to_vec);
        let cursor = reader.tree.frames().cursor(scan.clone());
        let rolled = Rolled { cursor, note, peeked: None, ended: false };
        let moved = MovedKeys::default();
        Merged { rolled, moved, reader, scan, near: Some(near), lent: None }
    }

    /// The next entry, lent.
    pub(crate) fn next_ref(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        let shared = Arc::clone(&self.reader.shared);
        self.lent = self.advance(&mut *shared.state()?)?;
        Ok(self.lent.as_ref().map(Entry::as_ref))
    }

    /// The next entry.
    pub(super) fn advance(&mut self, state: &mut State<D>) -> Result<Option<Entry>, Error> {
        let State { views, notes, .. } = state;
        let none = View::default();
        let view = views.get(&self.reader.id()).unwrap_or(&none);
        let Merged { rolled, moved, reader, scan, near, .. } = self;
        let Some(from) = near else { return Ok(None) };
        let is_moved = !view.mounts().is_empty();
        let mut base = if is_moved {
            next_moved(moved, (reader, scan), (view, notes), from)?
        } else {
            rolled.next((reader, scan), (view, notes))?
        };
        let mut own = next_own(view, scan, from);
        let first = |own: &Entry, base: &Entry| match scan.is_reverse() {
            true => own.name() > base.name(),
            false => own.name() < base.name(),
        };
        let next = match (&own, &base) {
            (Some(one), Some(other)) if first(one, other) => own.take(),
            (Some(_), None) => own.take(),
            _ => {
                // Of a group more is passed by with its name.
                match (is_moved, base.as_ref().map(Entry::as_ref)) {
                    (true, Some(EntryRef::Key { .. })) => moved.skip(),
                    (true, _) => {}
                    (false, _) => rolled.peeked = None,
                }
                base.take()
            }
        };
        if let Some(entry) = &next {
            *near = behind(entry, scan.is_reverse());
        }
        Ok(next)
    }
}

impl Rolled {
    /// The next entry that is still there.
    fn next<D: Disk>(
        &mut self,
        (reader, scan): (&Reader<D>, &Scan),
        (view, notes): (&View, &mut Notes),
    ) -> Result<Option<Entry>, Error> {
        loop {
            if self.peeked.is_none() && !self.ended {
                self.peeked = self.cursor.next().transpose()?;
                self.ended = self.peeked.is_none();
                notes.read(self.note, !self.ended);
            }
            match &self.peeked {
                Some(entry) if !shows(entry, (reader, scan), (view, notes))? => self.peeked = None,
                peeked => return Ok(peeked.clone()),
            }
        }
    }
}

/// The next entry of the snapshot's keys as they lie now.
fn next_moved<D: Disk>(
    moved: &mut MovedKeys,
    (reader, scan): (&Reader<D>, &Scan),
    (view, notes): (&View, &mut Notes),
    near: &Bound<Vec<u8>>,
) -> Result<Option<Entry>, Error> {
    while let Some(record) = moved.peek((reader, scan), (view.mounts(), notes), near)? {
        if !view.has_written(record.name())
            && let Some((name, group)) = scan.name_of(record.name())
        {
            return Ok(Some(if group { Entry::group(name) } else { record.clone() }));
        }
        moved.skip();
    }
    Ok(None)
}

/// The next entry that comes of own writes alone.
fn next_own(view: &View, scan: &Scan, near: &Bound<Vec<u8>>) -> Option<Entry> {
    let near = near.as_ref().map(Vec::as_slice);
    let (lower, upper) = scan.bounds();
    let told = |(key, own): (&Vec<u8>, &super::view::Own)| {
        let value = own.value.as_ref()?;
        let (name, group) = scan.name_of(key)?;
        Some(if group {
            Entry::group(name)
        } else {
            let value = if scan.is_keys_only() { &[] } else { value.as_slice() };
            Entry::record(name, value, Version::MAX)
        })
    };
    if scan.is_reverse() {
        view.between(lower, near)?.rev().find_map(told)
    } else {
        view.between(near, upper)?.find_map(told)
    }
}

/// Whether an entry of the snapshot is still there beside own writes, and not told by them.
fn shows<D: Disk>(
    entry: &Entry,
    (reader, scan): (&Reader<D>, &Scan),
    (view, notes): (&View, &mut Notes),
) -> Result<bool, Error> {
    let name = match entry.as_ref() {
        EntryRef::Key { key, .. } => return Ok(!view.has_written(key)),
        EntryRef::Group { name } => name,
    };
    let keys = scan.of_group(name).keys_only(true);
    let (lower, upper) = keys.bounds();
    if !view.between(lower, upper).is_some_and(|mut own| own.any(|(_, own)| own.value.is_none())) {
        return Ok(true);
    }
    let note = notes.list(reader.id(), keys.clone());
    for key in reader.tree.frames().cursor(keys) {
        notes.read(note, true);
        if !view.has_written(key?.name()) {
            return Ok(true);
        }
    }
    notes.read(note, false);
    Ok(false)
}

/// Where a list goes on behind an entry.
fn behind(entry: &Entry, reverse: bool) -> Option<Bound<Vec<u8>>> {
    match entry.as_ref() {
        EntryRef::Group { name } if !reverse => end_of(name).map(Bound::Included),
        _ => Some(Bound::Excluded(entry.name().to_vec())),
    }
}
