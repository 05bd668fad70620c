//! The error of this crate: why a ring was not made, why space was not granted, why a reset was refused.
//!
//! Every error is found before anything changes: an operation that returns one has had no effect.

/// What the ring refuses, and what to do about it.
///
/// # Examples
///
/// ```
/// use holt_wal_ring::{Error, Ring};
///
/// let (ring, _consumer) = Ring::new(64, 0)?;
/// assert_eq!(ring.acquire(65).unwrap_err(), Error::TooLarge { len: 65, capacity: 64 });
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A record of no bytes was asked for: it would have no address of its own.
    #[error("an empty record cannot be appended: ask for at least one byte")]
    Empty,
    /// The record can never fit, however far the ring is drained.
    #[error("a record of {len} bytes does not fit a ring of {capacity} bytes: make a larger ring")]
    TooLarge {
        /// Bytes asked for.
        len: usize,
        /// Bytes the ring holds.
        capacity: usize,
    },
    /// There is no space at this moment, or others queue for it already.
    #[error("the ring is full: drain it, or wait with `acquire`")]
    Full,
    /// The ring was closed; no space is granted any more.
    #[error("the ring is closed: no further record is taken")]
    Closed,
    /// The 64-bit address space ends before the record would.
    #[error("the address space is used up: no address is left for {len} bytes")]
    Exhausted {
        /// Bytes asked for, rounded up to the granule.
        len: usize,
    },
    /// A start address lies between two granules.
    #[error("address {address} is not a multiple of {}", crate::GRANULE)]
    Misaligned {
        /// The address as given.
        address: u64,
    },
    /// The capacity, rounded up to a power of two, is more than the machine can address.
    #[error("a ring of {capacity} bytes is larger than this machine can address")]
    CapacityTooLarge {
        /// Bytes asked for.
        capacity: usize,
    },
    /// The allocator gave no memory for the ring.
    #[error("no memory for {bytes} bytes of the ring: choose a smaller capacity")]
    OutOfMemory {
        /// Bytes of the allocation that failed.
        bytes: usize,
    },
    /// A reset was asked for while other handles to the ring exist.
    #[error("the ring is shared: drop every other handle before resetting it")]
    Shared,
    /// A reset was asked for while the ring still holds records or an unfinished reservation.
    #[error("the ring is not drained: records from {drained} to {tail} are still in it")]
    NotDrained {
        /// Address up to which the consumer has drained.
        drained: u64,
        /// Address up to which space is reserved.
        tail: u64,
    },
}
