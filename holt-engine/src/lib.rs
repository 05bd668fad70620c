//! Holt: an embedded, crash-safe store for path-shaped metadata.
//!
//! **The problem.** File paths, object names, catalogue entries and tenants' namespaces are keys that
//! share long prefixes, are listed one level at a time, and come in great numbers with small values.
//! A program that keeps them wants what a file system gives, order, listing and safety from crashes,
//! without a server and at the speed of memory.
//!
//! **The mechanism.** Keys live in an adaptive radix tree whose cost follows the length of the path
//! and not the number of keys ([`holt_art`]). Every write gets its place in a log at the moment at
//! which it is applied; a lock-free ring and group commit bring the log to disk
//! ([`holt_journal`]). Checkpoints write changed frames beside the old ones and commit with one
//! record, while reading and writing go on. Opening is the newest checkpoint and what the log holds
//! beyond it.
//!
//! **Vocabulary.**
//!
//! - A [`Db`] is a directory on disk, open in this process. It holds any number of trees over one log.
//! - A [`Tree`] is an ordered map from keys to values, both strings of bytes.
//! - A [`Version`] names the write that a value comes from: unique and increasing for the life of the
//!   database.
//! - The [`Durability`] of a write says what the write has survived when it returns.
//! - A [`Batch`] is several operations that happen together or not at all; its guards say what has to
//!   hold for that.
//! - A [`Transaction`] reads, decides and writes as if it were alone, and is tried again if it was not.
//! - A [`Scan`] reads many keys in order; rolled up at a delimiter it lists like a directory.
//! - A [`Snapshot`] is all trees as they were at one moment, for reading.
//! - A [`Feed`] tells of every [`Change`] after a version, and follows those to come.
//! - A [`Checkpoint`] makes opening fast and gives log space back; it changes nothing else.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), holt_engine::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("files.holt");
//! let db = holt_engine::Db::open(&path)?;
//! let files = db.default_tree();
//! files.put(b"usr/bin/env", b"48 KiB")?;
//! files.put(b"usr/lib/libc.so.6", b"2 MiB")?;
//! files.put(b"usr/motd", b"1 KiB")?;
//!
//! assert_eq!(files.get(b"usr/motd")?.as_deref(), Some(&b"1 KiB"[..]));
//! for entry in files.prefix("usr/").delimiter("/") {
//!     println!("{}", String::from_utf8_lossy(entry?.name())); // usr/bin/, usr/lib/, usr/motd
//! }
//! db.close()?; // everything is on stable storage
//! # Ok(())
//! # }
//! ```
//!
//! # Trade-offs
//!
//! - What is in memory is bounded by [`Options::cache_bytes`], and what is read from there costs no call of
//!   the system. A read of what is not there fetches a whole frame of 64 KiB.
//! - One process at a time writes to a database.
//! - Reads of a key take no lock and see each write and each batch whole or not at all; they wait for a
//!   batch or a move of a prefix that is just being applied, and for nothing else. A scan sees each
//!   batch and each move whole or not at all, too; of the single writes beside it, it may see some. A
//!   [`Snapshot`] is of one moment altogether, and costs memory for what changes while it is held.
//! - Batches, renames and prefix operations are alone while they are applied: other writers wait.
//!
//! # Features
//!
//! - `cli`: builds the `holt` command. Off by default, so that the library stays small.
//! - `prometheus`: [`Stats`] as text that Prometheus reads. Off by default; `cli` turns it on.
//! - `tracing`: checkpoints and their failures are told to the `tracing` crate, the span being called
//!   `checkpoint`. Off by default.

#![forbid(unsafe_code)]

mod archive;
mod background;
mod backup;
mod batch;
mod catalog;
mod change;
mod checkpoint;
mod commit;
mod core;
mod db;
mod entry;
mod error;
mod feed;
mod frames;
mod guard;
mod log;
mod meta;
mod open;
mod options;
mod outcome;
mod path;
mod prefixes;
mod pressure;
#[cfg(feature = "prometheus")]
mod prometheus;
mod range;
mod reclaim;
mod records;
mod replay;
mod room;
mod scan;
mod snapshot;
mod source;
mod stats;
mod sync;
mod trace;
mod transaction;
mod tree;
mod trees;
mod verify;

pub use archive::{Export, Exported, ImportOptions, Imported};
pub use backup::{
    Backup, Restored, backup_beside, backup_beside_on, backup_changes_beside,
    backup_changes_beside_on, restore, restore_on,
};
pub use batch::{Applied, Batch};
pub use catalog::MAX_TREE_NAME;
pub use change::{Change, Effect, Operation};
pub use checkpoint::{Checkpoint, Compaction};
pub use db::Db;
pub use entry::{Entry, EntryRef};
pub use error::{Error, Holder};
pub use feed::{Changes, Feed};
pub use guard::{FailedGuard, Guard};
pub use holt_art::{MAX_KEY, MAX_VALUE, Version};
pub use holt_journal::{SegmentStats, disk};
pub use options::{Create, Durability, Options};
pub use outcome::{Moved, Outcome, Renamed, Updated};
pub use path::{KeyPath, Segments};
pub use prefixes::Usage;
pub use range::KeyRange;
pub use scan::{Entries, Page, Scan};
pub use snapshot::{Snapshot, SnapshotTree};
pub use stats::{CacheStats, CheckpointStats, FeedStats, SnapshotStats, Stats};
pub use transaction::Transaction;
pub use tree::Tree;
pub use verify::{Fault, Report, verify, verify_on};

// The tree, the log and the engine agree on what a key and a value are.
const _: () = assert!(holt_codec::MAX_KEY == MAX_KEY && holt_codec::MAX_VALUE == MAX_VALUE);

/// The README's examples and those of the guide are compiled and run with the tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../README.md")]
    struct Crate;
    #[doc = include_str!("../../docs/guide/modelling.md")]
    struct Modelling;
    #[doc = include_str!("../../docs/guide/snapshots.md")]
    struct Snapshots;
    #[doc = include_str!("../../docs/guide/durability.md")]
    struct Durability;
    #[doc = include_str!("../../docs/guide/tuning.md")]
    struct Tuning;
    #[doc = include_str!("../../docs/guide/limits.md")]
    struct Limits;
    #[doc = include_str!("../../docs/guide/changes.md")]
    struct Changes;
    #[doc = include_str!("../../docs/guide/operations.md")]
    struct Operations;
}
