//! What the clock gives up for the memory that is wanted: the frames and blobs that have been without a
//! reader longest.

use super::Pool;
use super::absent::Left;
use super::blobs::Wanted;
use super::clock::{Clock, Hand, MIN_SLOTS};
use super::pins::Since;
use crate::sync::{Ordering, lock};

/// One frame of so many is cooling: a quarter of them, as a frame of the upper levels has to be wanted while
/// it cools. With an eighth, and 128 slots, one get in a hundred reads an upper frame once more.
const COOL: usize = 4;
/// Frames and blobs that are given up for one slot, which others may take first.
const ATTEMPTS: usize = 1024;

impl Pool {
    /// Gives up a frame or a blob, so that there is memory; false if nothing can be given up.
    pub(super) fn evict(&self, wanted: Wanted) -> bool {
        let Some(clock) = self.clock.as_deref() else { return false };
        let mut hand = lock(&clock.hand);
        let frames = lock(&self.books).slots_used();
        let blobs = self.blobs.evictable();
        // As if one hand went over all of them.
        hand.turn += blobs;
        let blob = hand.turn >= frames + blobs;
        if blob {
            hand.turn -= frames + blobs;
        }
        let given_up = (blob && self.blobs.evict(wanted))
            || self.evict_frame(clock, &mut hand, frames)
            || self.blobs.evict(wanted);
        if given_up {
            // Relaxed: a number to look at.
            clock.evictions.fetch_add(1, Ordering::Relaxed);
        }
        given_up
    }

    /// Gives up one of so many frames that are in memory.
    fn evict_frame(&self, clock: &Clock, hand: &mut Hand, frames: usize) -> bool {
        let limit = lock(&self.books).frame_limit();
        let wanted = frames / COOL + 1;
        let mut steps = 2 * limit as usize + MIN_SLOTS;
        loop {
            while hand.cooling.len() < wanted && steps > 0 {
                steps -= 1;
                hand.at = if hand.at + 1 < limit { hand.at + 1 } else { 1 };
                let number = hand.at;
                if number < limit && self.cool(number) {
                    hand.cooling.push_back(number);
                }
            }
            let Some(number) = hand.cooling.pop_front() else { return false };
            match self.give_up(clock, number) {
                Left::Gone => return true,
                Left::Stays => {}
                Left::Busy if steps == 0 => {
                    hand.cooling.push_back(number);
                    return false;
                }
                Left::Busy => {
                    steps -= 1;
                    hand.cooling.push_back(number);
                }
            }
        }
    }

    fn cool(&self, number: u32) -> bool {
        let Some(frame) = self.whereabouts(number) else { return false };
        frame.cool(|| {
            // Acquire: what the last writer of the frame stored there.
            let since = Since::of(self.epoch_of(number).load(Ordering::Acquire)).epoch();
            since <= self.pins.committed()
        })
    }

    fn give_up(&self, clock: &Clock, number: u32) -> Left {
        let Some(frame) = self.whereabouts(number) else { return Left::Stays };
        frame.leave(|slot| {
            // pool::absent, edge 4. Readers of the past wait for no latch.
            let alone = self.pins.snapshot_needs(0).then(|| clock.past.close());
            // pool::absent, edge 3: one critical section.
            let mut books = lock(&self.books);
            // Acquire: as in `cool`.
            let since = Since::of(self.epoch_of(number).load(Ordering::Acquire)).epoch();
            let free = alone.is_some() || !self.pins.snapshot_needs(since);
            if free {
                books.give_slot(slot);
                clock.absent.fetch_add(1, Ordering::Relaxed);
            }
            free
        })
    }

    /// Takes a free slot, for which a frame or blobs are given up if need be.
    pub(super) fn find_slot(&self) -> Option<u32> {
        for _ in 0..ATTEMPTS {
            let slot = lock(&self.books).take_slot();
            if slot.is_some() {
                return slot;
            }
            if !self.trade_pages_for_slot() && !self.evict(Wanted::Pages) {
                return None;
            }
        }
        None
    }
}
