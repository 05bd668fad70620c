//! Group commit, checkpoints and recovery over a small disk trait.
//!
//! **The problem.** A store in memory has to become one that survives a killed process and a lost power supply: each
//! change at the price that its caller wants to pay, all of them in one order, and without a long replay at the next
//! opening.
//!
//! **The mechanism.** Two halves share a directory. The *log* ([`Journal`]) takes records from many threads through a
//! lock-free ring and writes them to segment files; whoever waits first writes and syncs for all who wait. The *store*
//! ([`store::Store`]) keeps the newest image of each object: a checkpoint writes changed images beside the old ones
//! and commits with one record of a manifest. Opening is the store's last commit and what the log holds beyond it
//! ([`recover_log`]). Neither half knows what records and images mean.
//!
//! **Vocabulary.**
//!
//! - An *address* is a place in the log, in bytes. It never restarts.
//! - A [*permit*](LogPermit) is the right to log one record, a [*reservation*](LogReservation) its place. Between the two
//!   the caller applies the change, so the log's order is the order of changes.
//! - An [`Ack`] is what a caller waits for.
//! - An *object* is what the store keeps: an id and bytes.
//! - A [`Disk`](disk::Disk) is a flat directory of files; [`RealDisk`](disk::RealDisk) is the operating system's,
//!   [`SimDisk`](disk::SimDisk) loses power and tears writes for tests.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
//! use holt_journal::disk::SimDisk;
//! use holt_journal::{
//!     Ack, Error, Journal, LogOptions, LogPermit, LogPin, LogReservation, RecoveredLog, Replayed,
//!     create_log, recover_log, recover_log_with,
//! };
//!
//! let (disk, db) = (Arc::new(SimDisk::new(1)), DbId([1; 16]));
//! create_log(&disk, db)?;
//! let nothing: RecoveredLog = recover_log(&disk, db, FIRST_ADDRESS, &mut |_, _| Ok::<(), Error>(()))?;
//! let journal = Journal::start(Arc::clone(&disk), db, nothing, LogOptions::default())?;
//!
//! let record = Record::from(Op::Put { tree: 1, key: b"k", value: b"v" });
//! let permit: LogPermit<'_, _> = journal.permit(record.encoded_len()?)?; // may wait, may be refused
//! let reservation: LogReservation<'_, _> = permit.reserve(); // the change is applied here
//! let (address, end) = (reservation.address(), reservation.end());
//! reservation.publish(&record);
//! journal.wait(end, Ack::Sync)?;
//! assert!(journal.tail() == end && journal.written() >= end && journal.synced() >= end);
//!
//! // A change that is taken back leaves a place without meaning.
//! journal.permit(record.encoded_len()?)?.reserve().skip();
//!
//! // Who reads the log keeps it from being given up below a checkpoint.
//! let pin: LogPin<'_, _> = journal.pin(address);
//! assert!(journal.verify(address)? >= end);
//! drop(pin);
//! journal.truncate_below(end)?;
//! assert!(journal.failure().is_none());
//! journal.close()?;
//!
//! let mut last = Replayed::default();
//! let found = recover_log_with(&disk, db, end, &mut |far| last = far, &mut |_, _| Ok::<(), Error>(()))?;
//! assert!(found.is_clean() && found.end() > end);
//! assert_eq!((found.replayed(), last.records), (last, 0));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Trade-offs
//!
//! - A failed sync is never repeated: the log closes itself for writing, and opening the directory again finds what got there.
//! - A checkpoint takes room for the new images before the room of the old ones is free.
//! - Segments are made whole before they are used, so a small log takes a file's whole length.

#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!(
    "holt-journal needs a Unix: positioned writes, directory syncs and flock have no stand-in elsewhere"
);

// The models explore the group's acknowledgement, the one place where threads meet without a lock around all of it.
// Under `cfg(loom)` nothing else of the crate is built.
mod log;
mod sync;

#[cfg(not(loom))]
mod error;

#[cfg(not(loom))]
pub mod disk;
#[cfg(not(loom))]
pub mod store;

#[cfg(not(loom))]
pub use error::{Damage, Error};
#[cfg(loom)]
pub use log::Group;
#[cfg(not(loom))]
pub use log::{
    Ack, Journal, LogFeed, LogFeeds, LogOptions, LogPermit, LogPin, LogReservation, RecoveredLog,
    Replayed, SegmentStats, create_log, recover_log, recover_log_with, settle_log,
};

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
