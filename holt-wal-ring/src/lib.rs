//! A lock-free ring of bytes for write-ahead logs: many producers, one consumer.
//!
//! **The problem.** A log takes records from many threads and writes them to one file, in one order. A lock around a buffer makes
//! the threads queue up for a copy; a channel allocates and moves every record twice; and a counter beside
//! the buffer gives an order that disagrees with the bytes.
//!
//! **The mechanism.** Records have addresses: positions in a stream of bytes that never ends and never restarts; the ring
//! holds the last stretch of it. A producer *acquires* a permit for space, the only step that may park or fail; *reserves* the next
//! range with one `fetch_add`; *fills* it in place; and *publishes* it with one release store, without a lock, an
//! allocation or a wait for its neighbours. The consumer *drains* the published prefix to a sink, as one or two slices
//! however many records they hold, and frees it.
//!
//! **Words.** An *address* is a position in the stream, in bytes (`u64`), a multiple of the [*granule*](GRANULE) of 8. The *tail* is where the
//! next record will be; *committed* is the end of the published prefix, which stops at the first record still being filled;
//! *drained* is the end of what the consumer has taken. A *skip* is a range that was reserved and given up. The *limit* is an
//! address beyond which nothing is granted, for logs that must secure room on disk first.
//!
//! # Example
//!
//! ```
//! use bytes::BufMut;
//! use holt_wal_ring::{Drained, Ring};
//!
//! let (ring, mut consumer) = Ring::new(4096, 0)?;
//! std::thread::scope(|scope| {
//!     for thread in 0..2u64 {
//!         let ring = &ring;
//!         scope.spawn(move || {
//!             for count in 0..100 {
//!                 let mut record = ring.acquire(16).unwrap().reserve();
//!                 record.put_u64_le(thread);
//!                 record.put_u64_le(count);
//!                 record.publish();
//!             }
//!         });
//!     }
//! });
//! let mut log = Vec::new();
//! consumer.drain(|piece| {
//!     if let Drained::Bytes { bytes, .. } = piece {
//!         log.extend_from_slice(bytes);
//!     }
//!     Ok::<(), std::convert::Infallible>(())
//! }).unwrap();
//! assert_eq!(log.len(), 200 * 16);
//! assert_eq!(ring.committed_records(), 200);
//! # Ok::<(), holt_wal_ring::Error>(())
//! ```
//!
//! # Trade-offs
//!
//! - The address is the only order there is: a slow producer holds the *prefix* at its record, though not the others' work.
//! - One mark of 8 bytes a granule: the ring takes twice its capacity of address space.
//! - The ring knows no format. A sink has to make a skip into something that its reader understands.
//! - Waiting spins for a few microseconds, then parks; an idle ring takes no processor time.
//!
//! # Safety
//!
//! The interface is safe. Inside, `unsafe` code is in three files: `storage.rs` allocates the bytes and shares them, `reservation.rs`
//! lends a producer its range, `consumer.rs` lends the sink the published prefix. The argument why these never overlap is the page
//! of `ring.rs`; loom explores it with every byte access tracked (`RUSTFLAGS="--cfg loom" cargo test -p holt-wal-ring --release
//! --test loom`).

mod consumer;
mod error;
mod mark;
mod permit;
mod queue;
mod reservation;
mod ring;
mod space;
mod storage;
mod sync;
mod waiting;
mod watermark;

pub use crate::consumer::{Consumer, Drained};
pub use crate::error::Error;
pub use crate::mark::GRANULE;
pub use crate::permit::Permit;
pub use crate::reservation::Reservation;
pub use crate::ring::Ring;
pub use crate::waiting::Waited;

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
