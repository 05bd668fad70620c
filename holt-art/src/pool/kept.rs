//! What is kept only because a pin needs it: images of frames, and blobs.
//!
//! Every thing kept has a span of epochs: it looked like this from `since` until before
//! `until`, when the live frame left it behind or the blob was freed. A pin needs what its
//! epoch lies in. Each thing stands on the list of one pin, the *newest* that needs it. A
//! pin that is added later cannot need it, as its epoch is not before `until`. When the pin goes,
//! its list is gone through: what an older pin needs goes to that one's list, the rest is
//! free. So a pin that goes costs what its list is long, whatever else is kept, and one
//! that is added costs nothing.
//!
//! - Spans of one frame number do not overlap, so a number and an epoch name at most one
//!   image, also when the number was freed and used again.
//! - A blob's number is not used again while the blob is kept.
//! - A cut that has [read](Kept::done) a thing needs it no longer: nothing is kept for that cut of
//!   what it has read, so its copies are fewer the further it is.

use std::collections::{BTreeMap, BTreeSet};

/// An image of a frame, or a blob, that a pin needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    /// Number of the frame or blob.
    pub(crate) number: u32,
    /// Slot that holds the image; 0 for a blob.
    pub(crate) slot: u32,
    /// Epoch in which it was last changed, or the blob was born.
    pub(crate) since: u64,
    /// Epoch in which the live frame left it behind, or the blob was freed.
    pub(crate) until: u64,
}

/// A frame or a blob by its number; true for a blob.
type Name = (bool, u32);

impl Item {
    fn name(&self) -> Name {
        (self.slot == 0, self.number)
    }
}

/// An epoch that is needed.
#[derive(Debug)]
struct Pin {
    /// What was last changed in this epoch or before is not needed: a cut leaves out what
    /// is committed.
    floor: Option<u64>,
    /// What is not needed either, because it has been read.
    done: BTreeSet<Name>,
    /// What no newer pin needs, by name and the span's end.
    items: BTreeMap<(Name, u64), Item>,
    /// How many of these are images.
    images: usize,
}

impl Pin {
    fn needs(&self, name: Name, since: u64) -> bool {
        self.floor.is_none_or(|floor| since > floor) && !self.done.contains(&name)
    }
}

/// See the module's documentation. Guarded by the mutex of the pool's books.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pins: BTreeMap<u64, Pin>,
    /// Span's beginning and slot of each image, by frame number and the span's end.
    images: BTreeMap<(u32, u64), (u64, u32)>,
    /// Spans of the blobs, by number.
    blobs: BTreeMap<u32, (u64, u64)>,
    /// Things whose pin has gone and that have not been looked at yet.
    leaving: usize,
}

impl Kept {
    /// Adds a pin at `epoch`, which is newer than all there are. `floor` is for a cut: what
    /// was last changed in that epoch or before is of no interest to it.
    pub(crate) fn add(&mut self, epoch: u64, floor: Option<u64>) {
        debug_assert!(self.pins.last_key_value().is_none_or(|(&newest, _)| newest < epoch));
        let pin = Pin { floor, done: BTreeSet::new(), items: BTreeMap::new(), images: 0 };
        self.pins.insert(epoch, pin);
    }

    /// Takes the pin at `epoch` away and returns its list, all of which has to be given to
    /// [`leave`](Self::leave), piece by piece if it is long.
    #[must_use]
    pub(crate) fn remove(&mut self, epoch: u64) -> Vec<Item> {
        let pin = self.pins.remove(&epoch);
        let items: Vec<Item> = pin.into_iter().flat_map(|pin| pin.items.into_values()).collect();
        self.leaving += items.len();
        items
    }

    /// The pin at `epoch` does not need the frame any more, or the blob. Returns what nobody needs
    /// now.
    #[must_use]
    pub(crate) fn done(&mut self, blob: bool, number: u32, epoch: u64) -> Option<Item> {
        let name = (blob, number);
        let pin = self.pins.get_mut(&epoch)?;
        pin.done.insert(name);
        // The one span that the epoch lies in, if it has ended.
        let ended = pin.items.range((name, epoch + 1)..=(name, u64::MAX)).next();
        let (&key, &item) = ended.filter(|(_, item)| item.since <= epoch)?;
        pin.items.remove(&key);
        pin.images -= usize::from(item.slot != 0);
        self.leaving += 1;
        self.leave(&[item]).pop()
    }

    /// Whether a pin needs the frame as it was last changed in the epoch `since`.
    pub(crate) fn needs(&self, number: u32, since: u64) -> bool {
        self.pins.range(since..).any(|(_, pin)| pin.needs((false, number), since))
    }

    /// Images that are kept for the cut, as nothing newer needs them.
    pub(crate) fn for_cuts(&self) -> usize {
        self.pins.values().filter(|pin| pin.floor.is_some()).map(|pin| pin.images).sum()
    }

    /// Finds another pin for what was kept for a pin that has gone; returns what none needs.
    #[must_use]
    pub(crate) fn leave(&mut self, items: &[Item]) -> Vec<Item> {
        self.leaving -= items.len();
        let mut free = Vec::new();
        for &item in items {
            if self.list(item) {
                continue;
            }
            if item.slot == 0 {
                self.blobs.remove(&item.number);
            } else {
                self.images.remove(&(item.number, item.until));
            }
            free.push(item);
        }
        free
    }

    /// Keeps the image or blob if a pin needs it; says whether one does.
    #[must_use]
    pub(crate) fn keep(&mut self, item: Item) -> bool {
        let needed = self.list(item);
        if needed && item.slot == 0 {
            self.blobs.insert(item.number, (item.since, item.until));
        } else if needed {
            self.images.insert((item.number, item.until), (item.since, item.slot));
        }
        needed
    }

    /// Puts the item on the list of the newest pin that needs it, if one does.
    fn list(&mut self, item: Item) -> bool {
        let pins = self.pins.range_mut(item.since..item.until.max(item.since)).rev();
        for (_, pin) in pins {
            if pin.needs(item.name(), item.since) {
                pin.items.insert((item.name(), item.until), item);
                pin.images += usize::from(item.slot != 0);
                return true;
            }
        }
        false
    }

    /// The slot of the image of frame `number` at `epoch`.
    pub(crate) fn image(&self, number: u32, epoch: u64) -> Option<u32> {
        let (_, &(since, slot)) =
            self.images.range((number, epoch + 1)..=(number, u64::MAX)).next()?;
        (since <= epoch).then_some(slot)
    }

    /// Numbers and first epochs of the frames that have an image at `epoch`, in order.
    pub(crate) fn images_at(&self, epoch: u64) -> impl Iterator<Item = (u32, u64)> {
        let at = move |&(&(_, until), &(since, _)): &(&(u32, u64), &(u64, u32))| {
            since <= epoch && epoch < until
        };
        self.images.iter().filter(at).map(|(&(number, _), &(since, _))| (number, since))
    }

    /// Blobs that are kept, with the epochs in which they were freed.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (u32, u64)> {
        self.blobs.iter().map(|(&number, &(_, until))| (number, until))
    }

    /// Slots of all images, with the frames' numbers.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, u32)> {
        self.images.iter().map(|(&(number, _), &(_, slot))| (slot, number))
    }

    /// The newest pin, and the newest one that is no cut.
    pub(crate) fn newest(&self) -> (Option<u64>, Option<u64>) {
        let mut pins = self.pins.iter().rev();
        let newest = pins.clone().next().map(|(&epoch, _)| epoch);
        (newest, pins.find(|(_, pin)| pin.floor.is_none()).map(|(&epoch, _)| epoch))
    }

    /// Pins, images and blobs.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.pins.len(), self.images.len(), self.blobs.len())
    }

    /// What is wrong with the lists: every thing has to be on exactly one, that of the
    /// newest pin that needs it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut listed = 0;
        for (&epoch, pin) in &self.pins {
            for item in pin.items.values() {
                let known = match item.slot {
                    0 => self.blobs.get(&item.number) == Some(&(item.since, item.until)),
                    slot => {
                        let image = self.images.get(&(item.number, item.until));
                        image == Some(&(item.since, slot))
                    }
                };
                let newest = self.pins.range(item.since..item.until).rev();
                let needs = |pin: &Pin| pin.needs(item.name(), item.since);
                let newest = newest.filter(|(_, pin)| needs(pin)).map(|(&at, _)| at).next();
                if !known || newest != Some(epoch) {
                    return Err(format!("{item:?} is kept for epoch {epoch} and should not be"));
                }
            }
            if pin.images != pin.items.values().filter(|item| item.slot != 0).count() {
                return Err(format!("{} images are counted for epoch {epoch}", pin.images));
            }
            listed += pin.items.len();
        }
        let kept = self.images.len() + self.blobs.len();
        if listed + self.leaving != kept {
            return Err(format!("{kept} things are kept, and {listed} of them for somebody"));
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn image(number: u32, since: u64, until: u64, slot: u32) -> Item {
        Item { number, slot, since, until }
    }

    #[test]
    fn an_image_goes_with_the_last_pin_that_needs_it() {
        let mut kept = Kept::default();
        kept.add(3, None);
        kept.add(5, None);
        kept.add(8, None);
        assert!(kept.keep(image(1, 2, 9, 11)));
        assert!(kept.keep(image(2, 4, 6, 12)));
        assert!(!kept.keep(image(3, 6, 8, 13)), "no pin lies in the span");
        assert!(!kept.keep(image(4, 9, 9, 14)));
        for gone in [8, 3] {
            let items = kept.remove(gone);
            assert_eq!(kept.leave(&items), []);
            kept.check().unwrap();
        }
        let items = kept.remove(5);
        assert_eq!(kept.leave(&items), [image(1, 2, 9, 11), image(2, 4, 6, 12)]);
        kept.check().unwrap();
        assert_eq!(kept.counts(), (0, 0, 0));
    }

    #[test]
    fn a_number_that_was_used_again_has_the_image_of_each_epoch() {
        let mut kept = Kept::default();
        for epoch in [1, 3, 5] {
            kept.add(epoch, None);
        }
        // Freed in 2, made anew in 3, changed in 4 and 6.
        assert!(kept.keep(image(7, 1, 2, 21)));
        assert!(kept.keep(image(7, 3, 4, 22)));
        assert!(kept.keep(image(7, 4, 6, 23)));
        let slots: Vec<_> = (0..8).map(|epoch| kept.image(7, epoch)).collect();
        assert_eq!(slots, [None, Some(21), None, Some(22), Some(23), Some(23), None, None]);
        assert_eq!(kept.image(6, 1), None);
        assert_eq!(kept.image(8, 1), None);
    }

    #[test]
    fn a_cut_does_not_need_what_is_committed() {
        let mut kept = Kept::default();
        kept.add(4, None);
        kept.add(6, Some(5));
        assert_eq!(kept.newest(), (Some(6), Some(4)));
        assert!(kept.keep(image(1, 3, 7, 11)), "the snapshot needs it");
        assert!(!kept.keep(image(2, 5, 7, 12)));
        assert!(kept.keep(Item { number: 9, slot: 0, since: 6, until: 7 }));
        let items = kept.remove(6);
        assert_eq!(kept.leave(&items), [Item { number: 9, slot: 0, since: 6, until: 7 }]);
        kept.check().unwrap();
        assert_eq!(kept.counts(), (1, 1, 0));
    }

    #[test]
    fn what_a_cut_has_read_is_kept_for_others_alone() {
        let mut kept = Kept::default();
        kept.add(3, None);
        kept.add(6, Some(1));
        // Read before and after the writer came; a blob with a frame's number is another thing.
        assert_eq!(kept.done(false, 1, 6), None);
        assert!(!kept.needs(1, 5) && kept.needs(2, 5) && kept.needs(1, 2));
        assert!(!kept.keep(image(1, 5, 7, 11)));
        assert!(kept.keep(Item { number: 1, slot: 0, since: 5, until: 7 }));
        assert!(kept.keep(image(2, 4, 7, 12)));
        assert_eq!(kept.for_cuts(), 1);
        assert_eq!(kept.done(false, 2, 6), Some(image(2, 4, 7, 12)));
        assert_eq!(kept.image(2, 6), None);
        // The snapshot goes on needing what both had.
        assert!(kept.keep(image(3, 2, 7, 13)));
        assert_eq!(kept.done(false, 3, 6), None);
        assert_eq!((kept.image(3, 3), kept.for_cuts()), (Some(13), 0));
        kept.check().unwrap();
        assert_eq!(kept.done(true, 1, 6), Some(Item { number: 1, slot: 0, since: 5, until: 7 }));
        for epoch in [6, 3] {
            let items = kept.remove(epoch);
            assert_eq!(kept.leave(&items).len(), usize::from(epoch == 3));
        }
        kept.check().unwrap();
        assert_eq!(kept.counts(), (0, 0, 0));
    }
}
