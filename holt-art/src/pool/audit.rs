//! The accounts of a pool: who owns each slot, frame number, blob and page.

use std::collections::{BTreeMap, BTreeSet};

use super::Pool;
use super::blobs::BLOB_OBJECT;
use super::clock::Clock;
use super::gate::Closed;
use super::latch::NO_SLOT;
use super::pins::Since;
use crate::frame::View;
use crate::frame::copy::entries;
use crate::sync::{Ordering, lock};

impl Pool {
    /// Checks that every slot is the live one of a frame, an image kept for a pin, or free;
    /// that every frame's row has the roots of its entries; that every frame number is in use or free; that every page and every unit belongs
    /// to one blob or to a free run; and that all that is kept is needed. Says what is wrong, by object.
    ///
    /// `frames` and `blobs` are what the trees reach: the blobs with the number of leaves
    /// that refer to each.
    pub(crate) fn audit(
        &self,
        _closed: &Closed<'_>,
        frames: &BTreeSet<u32>,
        blobs: &BTreeMap<u32, usize>,
        fault: &mut impl FnMut(u64, String),
    ) {
        // Nothing comes or goes meanwhile.
        let _quiet = self.clock.as_deref().map(Clock::quiet);
        let mut changed: BTreeMap<u64, usize> = BTreeMap::new();
        let books = lock(&self.books);
        let mut owners: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for number in 1..books.frame_limit() {
            // Nobody who mutates holds a latch under the closed gate; a reader may.
            let (slot, absent) = self.place_of(number);
            // Acquire: what the last writer of the frame stored there.
            let since = Since::of(self.epoch_of(number).load(Ordering::Acquire)).epoch();
            if slot != NO_SLOT && since > self.pins.committed() {
                *changed.entry(since).or_default() += 1;
            }
            if (slot == NO_SLOT && !absent) != books.is_free(number) || (slot != NO_SLOT && absent)
            {
                fault(u64::from(number), format!("its number is in slot {slot} and in the books"));
            }
            if absent && !frames.contains(&number) {
                fault(u64::from(number), "it is absent and cannot be reached".into());
            }
            if slot != NO_SLOT {
                owners.entry(slot).or_default().push(format!("frame {number}"));
                if !frames.contains(&number) {
                    fault(u64::from(number), "it cannot be reached".into());
                }
                let row = self.row(number).expect("its number is in the table");
                for (index, entry) in entries(View::new(self.slot_words(slot))) {
                    if row.copied_root(index).is_some_and(|root| root != entry.root) {
                        fault(
                            u64::from(number),
                            format!("entry {index} has another root in its row"),
                        );
                    }
                }
            }
        }
        for (slot, number) in books.kept.slots() {
            owners.entry(slot).or_default().push(format!("an image of frame {number}"));
        }
        for slot in books.free_slots() {
            owners.entry(slot).or_default().push("nobody".into());
        }
        for slot in 1..books.slot_limit() {
            let who = owners.remove(&slot).unwrap_or_default();
            if who.len() != 1 {
                fault(0, format!("slot {slot} has {} owners: {who:?}", who.len()));
            }
        }
        for (slot, who) in owners {
            fault(0, format!("slot {slot} was never given out and belongs to {who:?}"));
        }
        if self.clock.is_some() && books.changed.counts() != changed {
            fault(0, format!("{changed:?} have changed, and {:?} are counted", books.changed));
        }
        if let Err(what) = books.kept.check() {
            fault(0, what);
        }
        let kept: BTreeSet<u32> = books.kept.blobs().map(|(number, _)| number).collect();
        // A pin may go while this runs, and lets its blobs go with the books' mutex held.
        let numbers: BTreeSet<u32> = self.blobs.numbers().into_iter().collect();
        for &number in &numbers {
            let owners = blobs.get(&number).copied().unwrap_or(0);
            if owners != usize::from(!kept.contains(&number)) {
                fault(BLOB_OBJECT | u64::from(number), format!("it has {owners} owners"));
            }
        }
        for &number in blobs.keys().chain(&kept) {
            if !numbers.contains(&number) {
                fault(BLOB_OBJECT | u64::from(number), "it is needed and does not exist".into());
            }
        }
        if let Err(what) = self.blobs.check() {
            fault(BLOB_OBJECT, what);
        }
        let warm = books.warm_pages() + self.blobs.warm();
        if self.budget.used() != warm as u64 {
            fault(0, format!("{warm} pages have memory, and {} are counted", self.budget.used()));
        }
    }
}
