//! The bytes of blobs: how they get into a place, and how readers copy them out of it.

use super::{Blobs, Copied, TABLE_WORDS};
use crate::pool::pages::{PAGE_UNITS, UNIT_BYTES};
use crate::pool::place::{Place, length_of};
use crate::pool::presence::{ABSENT, Known, MOVING, Presence};
use crate::sync::{AtomicU64, Ordering, fence, lock};

impl Blobs {
    /// Stores a value into a place that was taken for it.
    pub(crate) fn fill(&self, place: Place, value: &[u8]) {
        // Release fence: a reader that sees what is stored from here on also sees that the blob
        // that was here has left (pool::presence, edge 2).
        fence(Ordering::Release);
        let (body, tail) = value.split_at(value.len().min(place.body()));
        self.store_units(place.first as usize * PAGE_UNITS, body);
        self.store_units(place.tail as usize, tail);
    }

    fn store_units(&self, first: usize, value: &[u8]) {
        for (unit, chunk) in (first..).zip(value.chunks(UNIT_BYTES)) {
            let words = self.units.slot(unit);
            // Whole words first, whose number is known where they are many.
            let (whole, rest) = chunk.as_chunks();
            for (word, bytes) in words.iter().zip(whole) {
                // Relaxed: published by the blob's presence.
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
            if !rest.is_empty() {
                let mut full = [0; 8];
                full[..rest.len()].copy_from_slice(rest);
                // Relaxed: as above.
                words[whole.len()].store(u64::from_le_bytes(full), Ordering::Relaxed);
            }
        }
    }

    /// Copies the blob's bytes to the end of `out`.
    #[must_use]
    pub(crate) fn read(&self, number: u32, length: usize, out: &mut Vec<u8>) -> Copied {
        let Some(entry) = self.entry(number) else { return Copied::Gone };
        let presence = Presence::new(&entry[3]);
        let start = out.len();
        // A turn that does not count saw the pages being given up or filled, or the tail moved.
        loop {
            let known = presence.observe();
            if known.is(MOVING) {
                // Until it is in its new place.
                drop(lock(&self.books));
                continue;
            }
            let copied = self.copy(entry, known, length, out);
            if presence.holds(known) {
                if copied == Copied::Done {
                    presence.touch(known);
                }
                return copied;
            }
            out.truncate(start);
        }
    }

    /// One attempt, valid if the presence still holds.
    fn copy(
        &self,
        entry: &[AtomicU64; TABLE_WORDS],
        known: Known,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Copied {
        // Relaxed, all of it: validated by the presence.
        let third = entry[2].load(Ordering::Relaxed);
        if length_of(third) != length {
            return Copied::Gone;
        }
        if known.is(ABSENT) {
            return Copied::Absent;
        }
        let place = Place::of(entry[0].load(Ordering::Relaxed), third);
        let inside = length <= place.bytes() && place.end() <= self.units.slots() as u64;
        if place.is_nowhere() || !inside {
            return Copied::Gone;
        }
        let start = out.len();
        out.resize(start + length, 0);
        let (body, tail) = out[start..].split_at_mut(length.min(place.body()));
        self.load_units(place.first as usize * PAGE_UNITS, body);
        self.load_units(place.tail as usize, tail);
        Copied::Done
    }

    fn load_units(&self, first: usize, out: &mut [u8]) {
        for (unit, chunk) in (first..).zip(out.chunks_mut(UNIT_BYTES)) {
            let words = self.units.slot(unit);
            let (whole, rest) = chunk.as_chunks_mut();
            for (word, bytes) in words.iter().zip(&mut *whole) {
                *bytes = word.load(Ordering::Relaxed).to_le_bytes();
            }
            if !rest.is_empty() {
                let last = words[whole.len()].load(Ordering::Relaxed).to_le_bytes();
                rest.copy_from_slice(&last[..rest.len()]);
            }
        }
    }
}
