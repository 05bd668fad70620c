//! The ring: the shared part, its counters, and the order in which they hand bytes from producer to consumer.
//!
//! # State words
//!
//! | word | unit | written by | read by |
//! |---|---|---|---|
//! | granted | address + 2 flags, see [`crate::space`] | whoever acquires, returns, closes | acquirers |
//! | tail | address | reservations, one `fetch_add` each | reservations |
//! | marks | one a granule, see [`crate::mark`] | publishers | helpers of the watermark, consumer |
//! | committed, records | address, count, see [`crate::watermark`] | helpers | everybody |
//! | drained | address | consumer | acquirers |
//! | limit | address | the ring's owner | acquirers |
//! | awaited | address, or nobody | waiters and wakers, under the lock | publishers |
//! | prepared | address | whoever prepares | the same; a figure, no byte depends on it |
//!
//! Always: *drained ≤ committed ≤ tail ≤ granted ≤ drained + capacity*.
//!
//! # Who may touch which bytes when
//!
//! Let `[a, b)` be a reserved range. From `reserve` to `publish` the reservation alone may touch its bytes; from then until
//! the consumer has stored a `drained` of at least `b`, the consumer alone; then nobody until they are reserved one lap
//! later. Two live reservations never share a byte: `fetch_add` makes their addresses disjoint, and *tail ≤ drained +
//! capacity* makes their places disjoint.
//!
//! # Happens-before
//!
//! | edge | release | acquire | publishes |
//! |---|---|---|---|
//! | E2 | the mark's store in `publish` | the mark's load in a walk, then the watermark's exchange | the record's bytes to the consumer |
//! | E3 | `drained`'s store after a drain | its load when space is granted | the end of the consumer's reads to the granter |
//! | E4 | the tail's `fetch_add` of every earlier reservation | the tail's `fetch_add` of this one | E3 of whoever made room for this range |
//! | E5 | full fences of waiter and waker | — | no lost wake-up, see [`crate::waiting`] |
//! | E6 | a sleeper's signal | the sleeper | the granter's view of `drained` |
//! | E7 | the record count's addition | its load | the byte watermark that covers the count |
//!
//! *Why E4 is enough.* A permit is a right to so many bytes, not to certain ones, so the thread that reserves `[a, b)` need
//! not be the one that saw these bytes drained. Take the reservations up to and including this one, in the order of the tail, and among
//! their permits the one granted last, in the order of the granted word. At that moment the word had counted all of these permits, and no
//! permit of the others is counted negatively, since a return follows its grant; so it stood at `b` or above, and
//! the granter had loaded a `drained ≥ b - capacity` (E3). That load is before the permit's own reservation (directly or over E6),
//! and that reservation's `fetch_add` is this one or an earlier one in a chain of acquire-release read-modify-writes.
//!
//! # Liveness
//!
//! Granting without contention for space is lock-free, reserving and publishing are wait-free; a publication that somebody waits for
//! also moves the watermark and wakes. Everything else parks, never polls.
//!
//! # Checked by
//!
//! `tests/loom.rs`, with byte accesses tracked: E2 `two_producers_…`, `three_producers_…`, `a_walk_…`; E3 and E4 `wrap_…`, `permits_cross_…`; E5 and E6
//! `backpressure_…`, `waiter_…`, `pressure_…`; E7 `record_count_…`.

use std::fmt;

use crossbeam_utils::CachePadded;

use crate::consumer::Consumer;
use crate::error::Error;
use crate::mark::{GRANULE, Kind, Marks};
use crate::permit::Permit;
use crate::queue::{NOBODY, Queues};
use crate::space::Space;
use crate::storage::Storage;
use crate::sync::{Arc, AtomicU64, Ordering, fence};
use crate::waiting::Waiting;
use crate::watermark::Watermark;

/// The smallest capacity, in bytes.
const MIN_CAPACITY: usize = 64;

/// The shared part of a ring: producers work on it by reference.
///
/// See the [crate's page](crate) for the whole path of a record.
pub struct Ring {
    /// The bytes. Who may touch which is told above.
    pub(crate) storage: Storage,
    /// What is published.
    pub(crate) marks: Marks,
    /// What is granted, drained and allowed.
    pub(crate) space: Space,
    /// End of the reserved range, an address. One `fetch_add` a record; on a line of its own, for the producers meet here.
    pub(crate) tail: CachePadded<AtomicU64>,
    /// How far the prefix is published.
    pub(crate) watermark: Watermark,
    /// The lowest address that anybody waits for, or [`NOBODY`]; written under the lock, read at each publication.
    pub(crate) awaited: CachePadded<AtomicU64>,
    /// Address up to which memory was asked for ahead of its first use.
    prepared: AtomicU64,
    /// Address at which the second lap begins, where all memory has been used.
    second_lap: u64,
    /// Skips published since the ring was made: counted before their mark is stored.
    pub(crate) skips: AtomicU64,
    /// Calls of `wake`.
    pub(crate) wakes: AtomicU64,
    /// Who is parked.
    pub(crate) queues: Waiting,
}

impl Ring {
    /// Makes a ring of at least `capacity` bytes whose first record will have the address `start`.
    ///
    /// The capacity is rounded up to a power of two, at least 64. Beside the bytes the ring keeps one 8-byte mark for each granule of 8
    /// bytes, so it takes twice its capacity of address space; memory that was never used costs nothing. Beyond the first 2 MiB of
    /// either the system is asked for huge pages, where it has them.
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`] if `start` is not a multiple of [`GRANULE`]; [`Error::CapacityTooLarge`] and [`Error::OutOfMemory`]
    /// if the memory cannot be had.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_wal_ring::Ring;
    ///
    /// let (ring, consumer) = Ring::new(1000, 4096)?;
    /// assert_eq!(ring.capacity(), 1024);
    /// assert_eq!((ring.tail(), consumer.drained()), (4096, 4096));
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn new(capacity: usize, start: u64) -> Result<(Arc<Ring>, Consumer), Error> {
        aligned(start)?;
        let bytes = capacity
            .max(MIN_CAPACITY)
            .checked_next_power_of_two()
            .ok_or(Error::CapacityTooLarge { capacity })?;
        let ring = Arc::new(Ring {
            storage: Storage::new(bytes)?,
            marks: Marks::new(bytes)?,
            space: Space::new(bytes, start),
            tail: CachePadded::new(AtomicU64::new(start)),
            watermark: Watermark::new(start),
            awaited: CachePadded::new(AtomicU64::new(NOBODY)),
            prepared: AtomicU64::new(start),
            second_lap: start.saturating_add(bytes as u64),
            skips: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            queues: Waiting::new(Queues::default()),
        });
        let consumer = Consumer::new(Arc::clone(&ring), start);
        Ok((ring, consumer))
    }

    /// Bytes that the ring holds.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Address up to which records are reserved: where the next one will begin.
    #[inline]
    pub fn tail(&self) -> u64 {
        // Acquire: whoever sees a tail sees what its reservers did before they reserved.
        self.tail.load(Ordering::Acquire)
    }

    /// Address up to which space is granted: the [tail](Ring::tail) and the bytes of all permits that are not yet used.
    ///
    /// Once the ring is closed this only falls, and when everything below it is published no record will follow.
    pub fn granted(&self) -> u64 {
        self.space.granted().end()
    }

    /// End of the published prefix, an address: every record below it is published.
    ///
    /// The answer is up to date as of the call, which moves the watermark over what was published since the last one.
    pub fn committed(&self) -> u64 {
        self.advance()
    }

    /// Records published in the prefix since the ring was made; skips do not count.
    ///
    /// Never ahead of the bytes: a [`committed`](Ring::committed) taken afterwards covers at least these records.
    pub fn committed_records(&self) -> u64 {
        self.advance();
        self.watermark.records()
    }

    /// Address below which everything was drained.
    pub fn drained(&self) -> u64 {
        self.space.drained()
    }

    /// Address beyond which no space is granted.
    pub fn limit(&self) -> u64 {
        self.space.limit()
    }

    /// Grants no permit that could reserve beyond `address`, until the limit is set anew; it begins at `u64::MAX`.
    ///
    /// A log raises it as it secures room on disk. Raising it wakes the producers that then have space. Lowering it
    /// concerns permits granted later only.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_wal_ring::{Error, Ring};
    ///
    /// let (ring, _consumer) = Ring::new(64, 0)?;
    /// ring.set_limit(16);
    /// let first = ring.try_acquire(16)?;
    /// assert_eq!((ring.limit(), ring.granted()), (16, 16));
    /// assert_eq!(ring.try_acquire(8).unwrap_err(), Error::Full);
    /// ring.set_limit(24);
    /// drop((ring.try_acquire(8)?, first));
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn set_limit(&self, address: u64) {
        self.space.set_limit(address);
        self.notify_space();
    }

    /// Grants space for a record of `len` bytes, rounded up to the granule; parks while there is none.
    ///
    /// Producers that park are served in order of arrival. An unused permit is returned by dropping it.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] and [`Error::TooLarge`] for a record that can never be taken, [`Error::Closed`] once the ring is closed,
    /// also while parked, and [`Error::Exhausted`] at the end of the address space. Nothing was reserved then.
    #[inline]
    pub fn acquire(&self, len: usize) -> Result<Permit<'_>, Error> {
        let len = self.fitting(len)?;
        match self.space.take(len) {
            Ok(()) => {}
            Err(Error::Full) => self.wait_space(len)?,
            Err(hopeless) => return Err(hopeless),
        }
        Ok(Permit::new(self, len))
    }

    /// As [`acquire`](Ring::acquire), but never parks.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is no space now or other producers wait for it already; the others as for `acquire`.
    #[inline]
    pub fn try_acquire(&self, len: usize) -> Result<Permit<'_>, Error> {
        let len = self.fitting(len)?;
        self.space.take(len)?;
        Ok(Permit::new(self, len))
    }

    /// Has the system hand over the memory of the next `len` bytes beyond the [tail](Ring::tail) now, and says whether there is
    /// memory that was never used beyond those.
    ///
    /// Memory is touched for the first time in the ring's first lap, and each first touch costs a producer a fault: half a
    /// microsecond for a page, 0.1 ms for a huge one. A thread that has nothing better to do, such as the consumer's, can take
    /// that upon itself. It concerns no byte's contents; where the system has no such call nothing happens. A ring that was
    /// [reset](Consumer::reset) counts as used.
    ///
    /// # Examples
    ///
    /// ```
    /// let (ring, _consumer) = holt_wal_ring::Ring::new(1 << 20, 0)?;
    /// assert!(ring.prepare(64 << 10));
    /// assert!(!ring.prepare(1 << 20), "the whole ring is ready");
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn prepare(&self, len: usize) -> bool {
        // Relaxed, all three: several who prepare the same do no harm.
        let prepared = self.prepared.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        let (from, to) = (prepared.max(tail), tail.saturating_add(len as u64).min(self.second_lap));
        if from < to {
            #[cfg(not(loom))]
            {
                self.storage.populate(from, (to - from) as usize);
                self.marks.populate(from, (to - from) as usize);
            }
            self.prepared.store(to, Ordering::Relaxed);
        }
        to < self.second_lap
    }

    /// Ends the taking of records, for good.
    ///
    /// Every parked and every later acquire fails with [`Error::Closed`]. Permits and reservations already given may still be
    /// used, and the consumer drains what they publish: nothing more comes when it [is finished](Consumer::is_finished).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_wal_ring::{Error, Ring};
    ///
    /// let (ring, mut consumer) = Ring::new(64, 0)?;
    /// ring.acquire(8)?.reserve().publish();
    /// ring.close();
    /// assert!(ring.is_closed());
    /// assert_eq!(ring.acquire(8).unwrap_err(), Error::Closed);
    /// assert_eq!((ring.committed(), consumer.drained()), (8, 0));
    /// consumer.drain(|_piece| Ok::<(), std::convert::Infallible>(())).unwrap();
    /// assert!(consumer.is_finished());
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn close(&self) {
        self.space.close();
        self.notify_closed();
    }

    /// No permit is granted any more.
    pub fn is_closed(&self) -> bool {
        self.space.granted().is_closed()
    }

    /// `len` in whole granules, if the ring can ever hold it.
    #[inline]
    fn fitting(&self, len: usize) -> Result<usize, Error> {
        let capacity = self.capacity();
        if len == 0 {
            return Err(Error::Empty);
        }
        if len > capacity {
            return Err(Error::TooLarge { len, capacity });
        }
        // Does not overflow: the capacity is a multiple of the granule.
        Ok(len.next_multiple_of(GRANULE))
    }

    /// Moves the watermark over what is published.
    #[inline]
    pub(crate) fn advance(&self) -> u64 {
        self.watermark.advance(&self.marks, self.capacity() as u64)
    }

    /// Publishes a reserved range. Its bytes belong to the consumer from here on.
    #[inline]
    pub(crate) fn publish(&self, address: u64, len: usize, kind: Kind) {
        if kind == Kind::Skip {
            // Relaxed: before the mark's release store, so whoever has walked over the mark sees it counted (E2).
            self.skips.fetch_add(1, Ordering::Relaxed);
        }
        self.marks.publish(address, len, kind);
        // E5: the mark before the word `awaited`; the waiter's fence stands between the word and its look at the marks.
        fence(Ordering::SeqCst);
        if self.awaited.load(Ordering::Relaxed) != NOBODY {
            self.notify_published();
        }
    }

    /// Begins anew at `address`, with the record count kept. The caller owns the whole ring.
    pub(crate) fn restart(&mut self, address: u64) {
        self.marks.clear();
        self.space.reset(address);
        self.second_lap = address;
        // Nobody else has a reference; whoever gets one next is handed it with synchronisation.
        self.tail.store(address, Ordering::Relaxed);
        self.watermark.reset(address);
    }
}

/// `address`, if it can begin a record.
pub(crate) fn aligned(address: u64) -> Result<u64, Error> {
    if address.is_multiple_of(GRANULE as u64) {
        Ok(address)
    } else {
        Err(Error::Misaligned { address })
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("capacity", &self.capacity())
            .field("drained", &self.drained())
            .field("committed", &self.watermark.committed())
            .field("tail", &self.tail())
            .field("granted", &self.granted())
            .field("limit", &self.limit())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_asked_for_once() {
        let (ring, _consumer) = Ring::new(1 << 20, 4096).unwrap();
        let prepared = || ring.prepared.load(Ordering::Relaxed);
        ring.prepare(1 << 16);
        assert_eq!(prepared(), 4096 + (1 << 16));
        ring.prepare(1 << 15);
        assert_eq!(prepared(), 4096 + (1 << 16));
        ring.acquire(1 << 17).unwrap().reserve().publish();
        ring.prepare(1 << 10);
        assert_eq!(prepared(), 4096 + (1 << 17) + (1 << 10));
        ring.prepare(1 << 21);
        assert_eq!(prepared(), 4096 + (1 << 20), "no further than the first lap");
    }
}
