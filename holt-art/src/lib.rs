//! A concurrent ordered map from byte strings to byte strings, made for path-shaped keys.
//!
//! # The problem
//!
//! File paths, object names and catalog entries share long prefixes, are listed by
//! directory, and move by the directory. A comparison tree stores every path whole and
//! touches every key of a directory to move it.
//!
//! # The mechanism
//!
//! An adaptive radix tree (Leis et al., *The Adaptive Radix Tree*, ICDE 2013) is laid out
//! in *frames* of 64 KiB. Nodes hold the compressed prefix, leaves only the rest of their
//! key, so a subtree does not know where it hangs. Frames refer to each other through
//! *crossings*, over a table of frames, so that a frame can move in memory or to disk.
//! Readers take no lock and write no shared memory: they read a frame's version, read
//! what they want, and check that the version is still the same (optimistic lock
//! coupling, Leis et al., *The ART of Practical Synchronization*, DaMoN 2016).
//!
//! # Vocabulary
//!
//! * **frame**: an array of 8,192 words with several subtrees in it.
//! * **entry**: the root of one of these subtrees. Exactly one crossing leads to it.
//! * **crossing**: a reference to an entry of another frame.
//! * **latch**: the short exclusive lock of a frame; its word carries the **version**
//!   that optimistic readers validate.
//! * **gate**: every mutation is inside it; closing it gives a moment without mutations.
//! * **cut**: the state at such a moment, kept by copy-on-write for a checkpoint.
//! * **snapshot**: the same for whoever wants to read it.
//! * **source**: where frames that are not in memory, the **absent** ones, are read from.
//! * **move**: a change of several places that readers see as one, such as the renaming of a
//!   prefix, whose subtree is hung elsewhere as it is.
//! * **sequencer**: the caller's function that gives a mutation its place in an order,
//!   usually by reserving room in a log. It is called under the latch, so the order of
//!   two mutations of one key is the order in which they were applied.
//!
//! # Example
//!
//! ```
//! use holt_art::Art;
//!
//! let map = Art::new()?;
//! map.put(b"usr/bin/env", b"file")?;
//! map.put(b"usr/lib/", b"directory")?;
//! assert_eq!(map.get(b"usr/bin/env")?.as_deref(), Some(&b"file"[..]));
//!
//! let below: Vec<_> = map.scan(holt_art::Scan::prefix(b"usr/")).collect::<Result<_, _>>()?;
//! assert_eq!(below.len(), 2);
//! # Ok::<(), holt_art::Error>(())
//! ```
//!
//! # Trade-offs
//!
//! Frames suit keys that share prefixes: random binary keys cost more memory here than
//! in a tree that stores keys whole. Values over 3,000 bytes live outside the frames and are
//! rewritten whole.
//!
//! # Unsafe code
//!
//! `arena.rs` maps memory and views it as atomics. `frame/reach.rs` calls one safe function in the form for
//! processors that count bits, after it has asked for these. There is no more.

#[cfg(not(all(unix, target_pointer_width = "64")))]
compile_error!(
    "holt-art needs a 64-bit Unix: it reserves address space far beyond what it uses, with mmap"
);

// The tree needs real memory, which the model checker does not have. Its tests compile
// the files of the protocols by themselves, so that there is nothing here under it.
#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod frame;
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
mod sync;
#[cfg(not(loom))]
mod tree;
#[cfg(not(loom))]
mod versions;

#[cfg(not(loom))]
pub use error::Error;
#[cfg(not(loom))]
pub use map::Art;
#[cfg(not(loom))]
pub use pool::{
    Cut, FrameId, FrameSource, Moving, Outlook, Pool, PoolOptions, PoolStats, Reserve, Snapshot,
    SourceError, Trial, gate::Closed, gate::Pass,
};
#[cfg(not(loom))]
pub use tree::{
    Condition, Tree, Version,
    cursor::Cursor,
    entry::{Entry, EntryRef},
    outcome::{Existing, Put, Removed, Renamed},
    scan::Scan,
    snapshot::SnapshotTree,
    verify::Fault,
};

/// Longest key in bytes.
pub const MAX_KEY: usize = 65_535;
/// Longest value in bytes: 16 MiB.
pub const MAX_VALUE: usize = 16 << 20;

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
