//! Where a write gets its place in the order of all writes: the log, or, for a database that lives
//! in memory alone, a counter that stands for one.
//!
//! - Both count addresses in bytes, so a version means the same in both.
//! - Only the permit can be refused or wait. A reservation fixes the address and cannot fail.

use holt_art::Version;
use holt_codec::{FIRST_ADDRESS, GRANULE, Record};
use holt_journal::disk::Disk;
use holt_journal::{Ack, Journal, LogPermit, LogReservation};

use crate::error::Error;
use crate::options::Durability;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Beyond this address of the log no write is begun: versions end a margin of a tebibyte later.
const LAST_ADDRESS: u64 = (1 << 51) - (1 << 40);

/// The order of writes of a database that can be written.
pub(crate) enum Log<D: Disk> {
    /// On disk.
    Journal(Journal<D>),
    /// Of a database in memory.
    Memory(Counter),
}

/// What stands for the log of a database in memory.
pub(crate) struct Counter {
    /// The address that the next write gets. Every writer changes it, once for each write.
    next: Box<Lonely>,
    /// Whether the addresses are used up; a writer looks at this, as a look at the address would
    /// take its line from another writer who is about to change it.
    exhausted: AtomicBool,
}

/// An address with lines of memory that hold nothing else: what is beside it would come and go with it.
#[repr(align(128))]
struct Lonely(AtomicU64);

impl Counter {
    fn new(next: u64) -> Self {
        let exhausted = AtomicBool::new(next > LAST_ADDRESS);
        Self { next: Box::new(Lonely(AtomicU64::new(next))), exhausted }
    }

    #[inline]
    fn take(&self, length: u64) -> u64 {
        // Relaxed: additions to one word have an order, which is all that is asked for; the latches
        // of the tree publish what gets the version.
        let address = self.next.0.fetch_add(length, Ordering::Relaxed);
        if address > LAST_ADDRESS {
            // Relaxed: whoever does not see it yet is within the margin.
            self.exhausted.store(true, Ordering::Relaxed);
        }
        address
    }
}

impl<D: Disk> Log<D> {
    /// The order of a database that nothing is kept of.
    pub(crate) fn in_memory() -> Log<D> {
        Log::Memory(Counter::new(FIRST_ADDRESS))
    }

    /// Address behind the last write.
    pub(crate) fn tail(&self) -> u64 {
        match self {
            Log::Journal(journal) => journal.tail(),
            // Relaxed: a figure. Whoever waits for it in a log finds nothing to wait for here.
            Log::Memory(counter) => counter.next.0.load(Ordering::Relaxed),
        }
    }

    /// The right to one record of `length` bytes, a multiple of the granule.
    ///
    /// # Errors
    ///
    /// Those of the log. Nothing has happened then.
    pub(crate) fn permit(&self, length: usize) -> Result<Permit<'_, D>, Error> {
        // The margin is more than everybody together can reserve between this and his own turn.
        let exhausted = match self {
            Log::Journal(journal) => journal.tail() > LAST_ADDRESS,
            // Relaxed: the margin again.
            Log::Memory(counter) => counter.exhausted.load(Ordering::Relaxed),
        };
        if exhausted {
            return Err(holt_journal::Error::LogExhausted.into());
        }
        Ok(match self {
            Log::Journal(journal) => Permit::Journal(journal.permit(length)?),
            Log::Memory(counter) => Permit::Memory { counter, length: length as u64 },
        })
    }

    /// Waits until everything before `end` is as safe as `durability` says.
    ///
    /// # Errors
    ///
    /// The failure of the log.
    #[inline]
    pub(crate) fn wait(&self, end: u64, durability: Durability) -> Result<(), Error> {
        match self {
            Log::Journal(journal) => Ok(journal.wait(end, ack(durability))?),
            Log::Memory(_) => Ok(()),
        }
    }

    /// Why the log is closed for writing, if a failure closed it.
    pub(crate) fn failure(&self) -> Option<holt_journal::Error> {
        match self {
            Log::Journal(journal) => journal.failure(),
            Log::Memory(_) => None,
        }
    }

    /// Makes everything durable and ends writing.
    ///
    /// # Errors
    ///
    /// The failure of the log.
    pub(crate) fn close(&self) -> Result<(), Error> {
        match self {
            Log::Journal(journal) => Ok(journal.close()?),
            Log::Memory(_) => Ok(()),
        }
    }
}

/// The right to log one record. Dropping it gives it back.
#[must_use = "a permit that is dropped is given back"]
pub(crate) enum Permit<'a, D: Disk> {
    Journal(LogPermit<'a, D>),
    Memory { counter: &'a Counter, length: u64 },
}

impl<'a, D: Disk> Permit<'a, D> {
    /// Fixes the record's address.
    #[inline]
    pub(crate) fn reserve(self) -> Reservation<'a, D> {
        match self {
            Permit::Journal(permit) => Reservation::Journal(permit.reserve()),
            Permit::Memory { counter, length } => {
                Reservation::Memory { address: counter.take(length), length }
            }
        }
    }
}

/// A record's place. One in a journal that is dropped unpublished closes the journal: see
/// [`LogReservation`].
#[must_use = "a reservation that is dropped closes the log"]
pub(crate) enum Reservation<'a, D: Disk> {
    Journal(LogReservation<'a, D>),
    Memory { address: u64, length: u64 },
}

impl<D: Disk> Reservation<'_, D> {
    /// The version that the record's first operation has.
    #[inline]
    pub(crate) fn version(&self) -> Version {
        let address = match self {
            Reservation::Journal(reservation) => reservation.address(),
            Reservation::Memory { address, .. } => *address,
        };
        Version::new(address / GRANULE as u64).expect("addresses were checked to be versions")
    }

    /// Address behind the record.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        match self {
            Reservation::Journal(reservation) => reservation.end(),
            Reservation::Memory { address, length } => address + length,
        }
    }

    /// Writes the record into its place, which has exactly its length.
    #[inline]
    pub(crate) fn publish(self, record: &Record<'_>) {
        match self {
            Reservation::Journal(reservation) => reservation.publish(record),
            Reservation::Memory { length, .. } => {
                debug_assert_eq!(record.encoded_len().ok(), Some(length as usize));
            }
        }
    }

    /// Gives the place up, when nothing was applied under it.
    pub(crate) fn skip(self) {
        match self {
            Reservation::Journal(reservation) => reservation.skip(),
            Reservation::Memory { .. } => {}
        }
    }
}

fn ack(durability: Durability) -> Ack {
    match durability {
        Durability::Buffered => Ack::Buffered,
        Durability::Os => Ack::Os,
        Durability::Sync => Ack::Sync,
    }
}

#[cfg(test)]
mod tests {
    use holt_journal::disk::SimDisk;

    use super::*;

    #[test]
    fn the_last_address_and_its_margin_are_versions() {
        let end = LAST_ADDRESS + (1 << 40);
        assert_eq!(Version::new(end / GRANULE as u64 - 1), Some(Version::MAX));
    }

    #[test]
    fn places_in_memory_lie_behind_each_other_and_end() {
        let log = Log::<SimDisk>::in_memory();
        let first = log.permit(24).unwrap().reserve();
        let second = log.permit(16).unwrap().reserve();
        assert_eq!(second.version().get(), first.version().get() + 3);
        assert_eq!(second.end(), log.tail());
        second.skip();
        let exhausted = |log: &Log<SimDisk>| {
            let refusal = log.permit(16).err();
            matches!(refusal, Some(Error::Journal(holt_journal::Error::LogExhausted)))
        };
        assert!(exhausted(&Log::Memory(Counter::new(LAST_ADDRESS + 8))));
        let last = Log::<SimDisk>::Memory(Counter::new(LAST_ADDRESS));
        last.permit(16).unwrap().reserve().skip();
        // Within the margin, and the one who finds out.
        last.permit(16).unwrap().reserve().skip();
        assert!(exhausted(&last));
    }
}
