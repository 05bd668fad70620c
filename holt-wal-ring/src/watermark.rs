//! The watermarks of the published prefix: its end in bytes, and how many records lie in it.
//!
//! # Who may touch what when
//!
//! Publishing a record stores its mark and nothing else. The watermarks are moved over the marks by *whoever asks*: the
//! consumer before it drains, a waiter before it parks, a publisher that sees somebody waiting. They help each other:
//!
//! 1. Load the watermark `from`; walk the marks from there while each names exactly the next address.
//! 2. Compare-and-swap the watermark from `from` to where the walk ended; the one who succeeds adds the records
//!    that he walked over to the count.
//!
//! *Why a walk is never wrong:* a mark that names address `a` exactly was stored by the one publisher of `a`, whichever moment it is
//! read at, so every step is over a published range; addresses are never used twice (but by a reset, which owns
//! the whole ring), so the watermark can only equal `from` if nobody has moved it, and each range is counted
//! by exactly one helper. *Why a walk is never short:* it ends at a mark that does not name its address. If that is because the
//! slot already holds a later lap, then the range was drained, hence the watermark has passed it, and the acquire load of that later mark
//! makes this visible to the reload; so the walk starts over. Otherwise the address was not published when the mark was loaded.
//!
//! # Liveness
//!
//! A helper starts over only if another has moved the watermark: lock-free. A walk ends after one capacity.

use crossbeam_utils::CachePadded;

use crate::mark::{Kind, Marks};
use crate::sync::{AtomicU64, Ordering};

/// The two watermarks.
#[derive(Debug)]
pub(crate) struct Watermark {
    /// End of the published prefix, an address; moved forward by helpers, read by all.
    committed: CachePadded<AtomicU64>,
    /// Records in the published prefix since the ring was made; follows `committed`.
    records: AtomicU64,
}

impl Watermark {
    /// Nothing published yet at `start`.
    pub(crate) fn new(start: u64) -> Watermark {
        Watermark { committed: CachePadded::new(AtomicU64::new(start)), records: AtomicU64::new(0) }
    }

    /// Moves the watermark over all that is published, and returns where it stands.
    pub(crate) fn advance(&self, marks: &Marks, capacity: u64) -> u64 {
        // E2: acquires what earlier helpers acquired from the publishers, see the exchange below.
        let mut from = self.committed.load(Ordering::Acquire);
        loop {
            let mut to = from;
            let mut records = 0;
            // No more than one capacity: further marks can only be found when others have moved the
            // watermark meanwhile, and then this walk is void.
            while to - from < capacity
                && let Some(mark) = marks.at(to)
            {
                to += mark.len;
                records += u64::from(mark.kind == Kind::Record);
            }
            if to == from {
                let now = self.committed.load(Ordering::Acquire);
                if now == from {
                    return from;
                }
                from = now;
                continue;
            }
            // E2: releases what this walk has acquired from the publishers to whoever loads the watermark, and
            // acquires what the helper before released, so that the chain reaches back to the first record.
            match self.committed.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // E7: releases the move above to whoever loads the count (`Watermark::records`): the bytes
                    // never lag behind the records.
                    self.records.fetch_add(records, Ordering::Release);
                    return to;
                }
                Err(now) => from = now,
            }
        }
    }

    /// Where the watermark stands, without moving it.
    pub(crate) fn committed(&self) -> u64 {
        // E2: as in `advance`.
        self.committed.load(Ordering::Acquire)
    }

    /// Records in the prefix. Whoever loads this, then the bytes, sees at least these records' bytes.
    pub(crate) fn records(&self) -> u64 {
        // E7: acquires the moves of the watermark that these records were counted for.
        self.records.load(Ordering::Acquire)
    }

    /// Puts the byte watermark to `address` and keeps the count. The caller owns the whole ring.
    pub(crate) fn reset(&mut self, address: u64) {
        // Nobody else has a reference; whoever gets one next is handed it with synchronisation.
        self.committed.store(address, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_stops_at_a_gap_and_jumps_when_it_closes() {
        let marks = Marks::new(64).unwrap();
        let watermark = Watermark::new(128);
        marks.publish(136, 16, Kind::Record);
        marks.publish(152, 8, Kind::Skip);
        assert_eq!(watermark.advance(&marks, 64), 128);
        assert_eq!(watermark.records(), 0);
        marks.publish(128, 8, Kind::Record);
        assert_eq!(watermark.advance(&marks, 64), 160);
        assert_eq!(watermark.records(), 2);
    }

    #[test]
    fn a_full_lap_is_walked_once() {
        let marks = Marks::new(64).unwrap();
        let watermark = Watermark::new(0);
        for address in (0..64).step_by(8) {
            marks.publish(address, 8, Kind::Record);
        }
        assert_eq!(watermark.advance(&marks, 64), 64);
        assert_eq!(watermark.advance(&marks, 64), 64);
        assert_eq!(watermark.records(), 8);
    }

    #[test]
    fn the_last_addresses_can_be_published() {
        let marks = Marks::new(64).unwrap();
        let end = u64::MAX - 7;
        let watermark = Watermark::new(end - 16);
        marks.publish(end - 16, 16, Kind::Record);
        assert_eq!(watermark.advance(&marks, 64), end);
    }
}
