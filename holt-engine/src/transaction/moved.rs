//! The keys of the snapshot in the order in which a transaction sees them that has moved prefixes.

use std::ops::Bound;

use holt_art::{Cursor, Entry, Scan};
use holt_journal::disk::Disk;

use super::mounts::{Mounts, Region};
use super::notes::{ListNote, Notes};
use super::shared::Reader;
use crate::error::Error;

/// The keys that a list comes to, one region after the other. What was written is not among them, and keys are
/// not rolled up.
#[derive(Default)]
pub(super) struct MovedKeys {
    /// The [changes](Mounts::changes) that it knows of.
    changes: u64,
    /// What is still to be listed behind the cursor's region: from a key up to another or the end.
    rest: Option<(Vec<u8>, Option<Vec<u8>>)>,
    reading: Option<Reading>,
    peeked: Option<Entry>,
}

/// A list of one region.
struct Reading {
    cursor: Cursor,
    region: Region,
    note: ListNote,
}

impl MovedKeys {
    /// The next record that lies between `near`, in the direction of the list, and the list's other bound.
    pub(super) fn peek<D: Disk>(
        &mut self,
        (reader, scan): (&Reader<D>, &Scan),
        (mounts, notes): (&Mounts, &mut Notes),
        near: &Bound<Vec<u8>>,
    ) -> Result<Option<&Entry>, Error> {
        let near = near.as_ref().map(Vec::as_slice);
        loop {
            let passed = |entry: &Entry| match near {
                Bound::Unbounded => false,
                Bound::Included(near) if scan.is_reverse() => entry.name() > near,
                Bound::Excluded(near) if scan.is_reverse() => entry.name() >= near,
                Bound::Included(near) => entry.name() < near,
                Bound::Excluded(near) => entry.name() <= near,
            };
            if self.changes != mounts.changes() || self.peeked.as_ref().is_some_and(passed) {
                let (lower, upper) = scan.bounds();
                let rest = if scan.is_reverse() { (lower, near) } else { (near, upper) };
                let rest = interval(rest.0, rest.1);
                *self = MovedKeys { changes: mounts.changes(), rest, ..MovedKeys::default() };
            }
            if self.peeked.is_some() {
                return Ok(self.peeked.as_ref());
            }
            let Some(reading) = &mut self.reading else {
                if !self.open(reader, scan, mounts, notes) {
                    return Ok(None);
                }
                continue;
            };
            let next = reading.cursor.next().transpose()?;
            notes.read(reading.note, next.is_some());
            match next {
                Some(entry) => {
                    let key = reading.region.key(entry.name());
                    let version = entry.version().expect("a key is no group");
                    let value = entry.value().unwrap_or_default();
                    self.peeked = Some(Entry::record(&key, value, version));
                }
                None => self.reading = None,
            }
        }
    }

    /// Passes by the record that was peeked at.
    pub(super) fn skip(&mut self) {
        self.peeked = None;
    }

    /// Begins with the next region in which there may be something; false if there is none.
    fn open<D: Disk>(
        &mut self,
        reader: &Reader<D>,
        scan: &Scan,
        mounts: &Mounts,
        notes: &mut Notes,
    ) -> bool {
        while let Some((lower, upper)) = self.rest.take() {
            let end = |region: &Region| match (&region.upper, &upper) {
                (Some(one), Some(other)) => Some(one.min(other).clone()),
                (one, other) => one.as_ref().or(other.as_ref()).cloned(),
            };
            let (region, part) = if scan.is_reverse() {
                let region = mounts.region_before(upper.as_deref());
                let from = (&region.lower).max(&lower).clone();
                if region.lower > lower {
                    self.rest = Some((lower, Some(region.lower.clone())));
                }
                (region, (from, upper))
            } else {
                let region = mounts.region(&lower);
                let end = end(&region);
                if let Some(end) = &end
                    && upper.as_ref().is_none_or(|upper| end < upper)
                {
                    self.rest = Some((end.clone(), upper));
                }
                (region, (lower, end))
            };
            if let Some(asked) = region.scan(&part.0, part.1.as_deref()) {
                let asked = asked.reverse(scan.is_reverse()).keys_only(scan.is_keys_only());
                let note = notes.list(reader.id(), asked.clone());
                let cursor = reader.tree.frames().cursor(asked);
                self.reading = Some(Reading { cursor, region, note });
                return true;
            }
        }
        false
    }
}

/// The keys between two bounds, as the first of them and the first behind; none if there are none.
fn interval(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let behind = |key: &[u8]| [key, &[0]].concat();
    let lower = match lower {
        Bound::Unbounded => Vec::new(),
        Bound::Included(key) => key.to_vec(),
        Bound::Excluded(key) => behind(key),
    };
    let upper = match upper {
        Bound::Unbounded => None,
        Bound::Included(key) => Some(behind(key)),
        Bound::Excluded(key) => Some(key.to_vec()),
    };
    if upper.as_ref().is_some_and(|upper| *upper <= lower) { None } else { Some((lower, upper)) }
}
