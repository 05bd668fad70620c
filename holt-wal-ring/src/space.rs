//! The space of the ring: how far permits have been granted, and how far they may be.
//!
//! # State word
//!
//! ```text
//!  63                           3 2 1 0
//! | granted address, in granules |0|S|C|     C closed, for good    S producers are queued for space
//! ```
//!
//! Addresses are multiples of 8, so the low bits are free. Sharing a word makes two things exact: after `close` has set
//! C no permit is granted any more, and while S stands nobody overtakes the queue; and either costs the ordinary
//! caller nothing, because he compares the word anyway.
//!
//! # Invariants
//!
//! - *granted = tail + bytes of permits outstanding.* A grant adds to both sides, a reservation moves bytes from the permits to
//!   the tail, a returned permit takes them off both sides. Hence *tail ≤ granted*.
//! - *granted ≤ drained + capacity* and, as the limit stood when it was granted, *granted ≤ limit*. A grant is checked
//!   against the `drained` that the granter loaded, which only grows; a return only lowers `granted`.
//! - Together: a reservation ends at or below `drained + capacity`. Which permit a range was granted *for* plays no role,
//!   a permit is a right to that many bytes and not to certain ones; so a returned permit frees exactly the bytes
//!   that no later reservation can reach.
//!
//! # Who may touch what when
//!
//! `granted` is changed by anyone, by read-modify-write only. `drained` is stored by the one consumer. `limit` is stored by the
//! ring's owner. S is changed under the lock of the wait queues only.

use crossbeam_utils::CachePadded;

use crate::error::Error;
use crate::sync::{AtomicU64, Ordering};

const CLOSED: u64 = 1;
const QUEUED: u64 = 2;
const FLAGS: u64 = 7;

/// The counters behind permits.
#[derive(Debug)]
pub(crate) struct Space {
    /// The state word.
    granted: CachePadded<AtomicU64>,
    /// Address below which the bytes may be overwritten; written by the consumer, read by granters.
    drained: CachePadded<AtomicU64>,
    /// Address beyond which nothing is granted; written by the owner, read by granters.
    limit: CachePadded<AtomicU64>,
    /// Bytes of the ring; never changes. Beside the limit, which hardly does.
    capacity: u64,
}

/// A plain snapshot of the state word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted(u64);

impl Granted {
    /// The address up to which permits have been granted.
    #[inline]
    pub(crate) fn end(self) -> u64 {
        self.0 & !FLAGS
    }

    /// No permit is granted any more.
    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Producers are queued for space.
    #[inline]
    pub(crate) fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }
}

impl Space {
    /// An empty ring of `capacity` bytes whose first address is `start`.
    pub(crate) fn new(capacity: usize, start: u64) -> Space {
        debug_assert!(start & FLAGS == 0);
        Space {
            granted: CachePadded::new(AtomicU64::new(start)),
            drained: CachePadded::new(AtomicU64::new(start)),
            limit: CachePadded::new(AtomicU64::new(u64::MAX)),
            capacity: capacity as u64,
        }
    }

    /// Grants `len` bytes, unless somebody is queued before the caller.
    #[inline]
    pub(crate) fn take(&self, len: usize) -> Result<(), Error> {
        self.grant(len, FLAGS)
    }

    /// Grants `len` bytes to the head of the queue.
    pub(crate) fn take_queued(&self, len: usize) -> Result<(), Error> {
        self.grant(len, CLOSED)
    }

    #[inline]
    fn grant(&self, len: usize, stop: u64) -> Result<(), Error> {
        let mut word = self.granted.load(Ordering::Relaxed);
        loop {
            if word & stop != 0 {
                return Err(if word & CLOSED != 0 { Error::Closed } else { Error::Full });
            }
            let end = (word & !FLAGS).checked_add(len as u64).ok_or(Error::Exhausted { len })?;
            if end > self.bound() {
                return Err(Error::Full);
            }
            // Relaxed: what the grant relies on, `drained`, the granter has acquired itself, and hands on through
            // the tail (E4) or, when he grants for another, through that one's sleeper (E6).
            let next = end | word & FLAGS;
            match self.granted.compare_exchange_weak(
                word,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// The address beyond which nothing may be granted now.
    #[inline]
    fn bound(&self) -> u64 {
        // E3: acquires the consumer's last reads of the bytes below (`Space::free`).
        let drained = self.drained.load(Ordering::Acquire);
        // Relaxed: a limit guards no memory of the ring.
        drained.saturating_add(self.capacity).min(self.limit.load(Ordering::Relaxed))
    }

    /// Takes an unused permit of `len` bytes back, and says how the word stands then.
    pub(crate) fn give_back(&self, len: usize) -> Granted {
        // Relaxed: nothing was done with the permit. A later grant's bound is argued from sums, see above.
        Granted(self.granted.fetch_sub(len as u64, Ordering::Relaxed) - len as u64)
    }

    /// The state word.
    #[inline]
    pub(crate) fn granted(&self) -> Granted {
        // Acquire: whoever sees a closed word sees what the closer did before.
        Granted(self.granted.load(Ordering::Acquire))
    }

    /// Grants nothing any more.
    pub(crate) fn close(&self) {
        self.granted.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Says whether producers are queued. The caller holds the queue's lock.
    pub(crate) fn set_queued(&self, queued: bool) {
        // Relaxed: the callers fence (E5) where the order of this bit and a counter matters.
        if queued {
            self.granted.fetch_or(QUEUED, Ordering::Relaxed);
        } else {
            self.granted.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Address below which everything was handed to the sink.
    #[inline]
    pub(crate) fn drained(&self) -> u64 {
        // Acquire: whoever sees an address as drained sees what the sink did with it.
        self.drained.load(Ordering::Acquire)
    }

    /// Frees everything below `address`. The one consumer's.
    pub(crate) fn free(&self, address: u64) {
        // E3: releases the consumer's reads of the bytes below `address` to the next granter (`Space::bound`).
        self.drained.store(address, Ordering::Release);
    }

    /// Address beyond which nothing is granted.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Sets the address beyond which nothing is granted.
    pub(crate) fn set_limit(&self, address: u64) {
        self.limit.store(address, Ordering::Release);
    }

    /// Puts both counters to `address`; the closed bit stays. The caller owns the whole ring.
    pub(crate) fn reset(&mut self, address: u64) {
        debug_assert!(address & FLAGS == 0);
        // Nobody else has a reference; whoever gets one next is handed it with synchronisation.
        let closed = self.granted.load(Ordering::Relaxed) & CLOSED;
        self.granted.store(address | closed, Ordering::Relaxed);
        self.drained.store(address, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_capacity_is_granted() {
        let space = Space::new(64, 4096);
        assert_eq!(space.take(40), Ok(()));
        assert_eq!(space.take(32), Err(Error::Full));
        assert_eq!(space.take(24), Ok(()));
        assert_eq!(space.take(8), Err(Error::Full));
        space.free(4096 + 8);
        assert_eq!(space.take(8), Ok(()));
        assert_eq!(space.granted().end(), 4096 + 72);
    }

    #[test]
    fn a_returned_permit_can_be_granted_again() {
        let space = Space::new(64, 0);
        space.take(64).unwrap();
        assert_eq!(space.give_back(24).end(), 40);
        assert_eq!(space.take(32), Err(Error::Full));
        assert_eq!(space.take(24), Ok(()));
    }

    #[test]
    fn nothing_is_granted_beyond_the_limit() {
        let space = Space::new(1024, 0);
        space.set_limit(100);
        assert_eq!(space.take(104), Err(Error::Full));
        assert_eq!(space.take(96), Ok(()));
        assert_eq!(space.take(8), Err(Error::Full));
        space.set_limit(104);
        assert_eq!(space.take(8), Ok(()));
    }

    #[test]
    fn the_queue_is_not_overtaken() {
        let space = Space::new(64, 0);
        space.set_queued(true);
        assert_eq!(space.take(8), Err(Error::Full));
        assert_eq!(space.take_queued(8), Ok(()));
        assert!(space.granted().is_queued());
        space.set_queued(false);
        assert_eq!(space.take(8), Ok(()));
        assert_eq!(space.granted(), Granted(16));
    }

    #[test]
    fn nothing_is_granted_after_closing() {
        let space = Space::new(64, 0);
        space.take(16).unwrap();
        space.close();
        assert_eq!(space.take(8), Err(Error::Closed));
        assert_eq!(space.take_queued(8), Err(Error::Closed));
        assert_eq!(space.give_back(16), Granted(CLOSED));
        assert!(space.granted().is_closed());
    }

    #[test]
    fn the_end_of_the_address_space_is_an_error() {
        let space = Space::new(64, u64::MAX - 15);
        assert_eq!(space.take(8), Ok(()));
        assert_eq!(space.take(8), Err(Error::Exhausted { len: 8 }));
        assert_eq!(space.granted().end(), u64::MAX - 7);
    }
}
