//! Who owns which slot and which frame number: the slow-path bookkeeping of the pool.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::changed::Changed;
use super::kept::Kept;
use super::pages::{Budget, SPARE, SPARE_LEAST};
use super::trial::TrialBooks;

/// Slots that only those may take who are about to give frames back.
const RESERVED: u32 = 4;

/// Smaller pools have no slots to spare.
const MIN_SLOTS_FOR_RESERVE: u32 = 48;

/// Pages of a slot.
pub(crate) const SLOT_PAGES: usize = super::Pool::FRAME_BYTES / super::pages::PAGE_BYTES;

/// See the module's documentation. Guarded by the pool's mutex.
#[derive(Debug)]
pub(crate) struct Books {
    /// Slots that are free and have memory, or may have.
    free_slots: Vec<u32>,
    /// Slots that are free and whose memory was given back.
    cold_slots: Vec<u32>,
    budget: Arc<Budget>,
    /// Smallest slot that has never been used; slot 0 is not given out.
    next_slot: u32,
    slots: u32,
    /// Slots that are free and not given to everybody.
    reserved: u32,
    /// How many there are at the moment to whom they are given.
    privileged: u32,
    /// One more than the largest frame number there can be.
    frames: u32,
    free_frames: BTreeSet<u32>,
    /// Smallest frame number that has never been used; 0 is not given out.
    next_frame: u32,
    /// What lives on for pins only.
    pub(crate) kept: Kept,
    /// Objects freed and the epoch in which that happened, until a cut that knows is committed.
    pub(crate) gone: Vec<(u64, u64)>,
    /// Whether an object may be part of a committed cut or become that: one was loaded, or a
    /// cut has been taken. Until then nobody asks for what is gone.
    pub(crate) stored: bool,
    /// The epoch of the cut that is open, if one is.
    pub(crate) cut: Option<u64>,
    /// The trial that is open, if one is that can be taken back.
    pub(crate) trial: Option<TrialBooks>,
    /// Frames that have changed since the last committed cut; counted with a source only.
    pub(crate) changed: Changed,
}

impl Books {
    pub(crate) fn new(slots: u32, frames: u32, budget: Arc<Budget>) -> Self {
        Self {
            free_slots: Vec::new(),
            cold_slots: Vec::new(),
            budget,
            next_slot: 1,
            slots,
            reserved: if slots > MIN_SLOTS_FOR_RESERVE { RESERVED } else { 0 },
            privileged: 0,
            frames,
            free_frames: BTreeSet::new(),
            next_frame: 1,
            kept: Kept::default(),
            gone: Vec::new(),
            stored: false,
            cut: None,
            trial: None,
            changed: Changed::default(),
        }
    }

    /// Takes a slot; `None` when all are in use, but for those that are reserved, or when the
    /// budget has no memory for one.
    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        if self.free_slots.len() <= RESERVED as usize && self.free_places() == 0 {
            return None;
        }
        self.free_slots.pop().or_else(|| self.take_untouched())
    }

    /// Takes a slot without memory, which the budget pays for.
    fn take_untouched(&mut self) -> Option<u32> {
        let left = !self.cold_slots.is_empty() || self.next_slot < self.slots;
        if !left || !self.budget.take(SLOT_PAGES) {
            return None;
        }
        self.cold_slots.pop().or_else(|| {
            self.next_slot += 1;
            Some(self.next_slot - 1)
        })
    }

    /// Takes a free slot whose memory is to be given back, if there are more than those that are
    /// reserved. It is [frozen](Self::freeze_slot) then.
    pub(crate) fn thin_slot(&mut self) -> Option<u32> {
        if self.free_slots.len() <= RESERVED as usize { None } else { self.free_slots.pop() }
    }

    /// Whether more slots are free and have memory than ought to be when large values want some, where the
    /// budget has no end.
    pub(crate) fn is_lavish(&self) -> bool {
        let enough = self.slots_used() / SPARE + SPARE_LEAST / SLOT_PAGES;
        !self.budget.is_bounded() && self.free_slots.len() > enough
    }

    /// Takes back a slot without memory.
    pub(crate) fn freeze_slot(&mut self, slot: u32) {
        self.cold_slots.push(slot);
        self.budget.give(SLOT_PAGES);
    }

    /// Takes a slot that has no memory, unless so many that have are free.
    pub(crate) fn take_fresh(&mut self, enough: usize) -> Option<u32> {
        if self.free_slots.len() >= enough { None } else { self.take_untouched() }
    }

    pub(crate) fn give_slot(&mut self, slot: u32) {
        debug_assert!(slot != 0 && slot < self.next_slot && !self.free_slots.contains(&slot));
        self.free_slots.push(slot);
    }

    /// Notes an object that is freed in `epoch`.
    pub(crate) fn note_gone(&mut self, object: u64, epoch: u64) {
        if self.stored {
            self.gone.push((object, epoch));
        }
    }

    /// Takes the lowest free frame number; `None` when the table is full.
    pub(crate) fn take_frame(&mut self) -> Option<u32> {
        self.free_frames.pop_first().or_else(|| {
            (self.next_frame < self.frames).then(|| {
                self.next_frame += 1;
                self.next_frame - 1
            })
        })
    }

    pub(crate) fn give_frame(&mut self, frame: u32) {
        let new = self.free_frames.insert(frame);
        debug_assert!(new && frame < self.next_frame);
    }

    /// Takes a frame number of the caller's choice; false when it is not free.
    pub(crate) fn claim_frame(&mut self, frame: u32) -> bool {
        if frame == 0 || frame >= self.frames {
            return false;
        }
        if frame < self.next_frame {
            return self.free_frames.remove(&frame);
        }
        self.free_frames.extend(self.next_frame..frame);
        self.next_frame = frame + 1;
        true
    }

    /// One more than the largest frame number that has ever been used.
    pub(crate) fn frame_limit(&self) -> u32 {
        self.next_frame
    }

    /// Slots in use, preserved images included.
    pub(crate) fn slots_used(&self) -> usize {
        self.next_slot as usize - 1 - self.free_slots.len() - self.cold_slots.len()
    }

    /// Slots that can still be taken.
    fn free_places(&self) -> usize {
        let untouched = self.cold_slots.len() + (self.slots - self.next_slot) as usize;
        let slots = self.free_slots.len() + untouched;
        let reserved = if self.privileged > 0 { 0 } else { self.reserved };
        slots.saturating_sub(reserved as usize)
    }

    /// Gives the reserved slots to whoever asks, or no longer.
    pub(crate) fn privilege(&mut self, given: bool) {
        self.privileged = if given { self.privileged + 1 } else { self.privileged - 1 };
    }

    /// How many frames can still be made, each with a slot.
    pub(crate) fn free(&self) -> usize {
        let slots = self.free_places();
        let frames = self.free_frames.len() + (self.frames - self.next_frame) as usize;
        slots.min(frames)
    }

    /// Frame numbers in use.
    pub(crate) fn frames_used(&self) -> usize {
        self.next_frame as usize - 1 - self.free_frames.len()
    }

    /// Slots that are free, of those that have been used.
    pub(crate) fn free_slots(&self) -> impl Iterator<Item = u32> {
        self.free_slots.iter().chain(&self.cold_slots).copied()
    }

    /// Pages of all slots that have memory.
    pub(crate) fn warm_pages(&self) -> usize {
        (self.next_slot as usize - 1 - self.cold_slots.len()) * SLOT_PAGES
    }

    /// Whether no frame has this number.
    pub(crate) fn is_free(&self, frame: u32) -> bool {
        self.free_frames.contains(&frame)
    }

    /// One more than the largest slot that has ever been used.
    pub(crate) fn slot_limit(&self) -> u32 {
        self.next_slot
    }
}
