//! Everything that can go wrong in the tree, one enum.

use crate::{MAX_KEY, MAX_VALUE};

/// Why an operation of the tree was refused. Nothing has changed when one is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is longer than [`MAX_KEY`](crate::MAX_KEY) bytes.
    #[error("the key has {length} bytes; a key may have at most {}", MAX_KEY)]
    KeyTooLong {
        /// Length of the refused key in bytes.
        length: usize,
    },
    /// The value is longer than [`MAX_VALUE`](crate::MAX_VALUE) bytes.
    #[error("the value has {length} bytes; a value may have at most {}", MAX_VALUE)]
    ValueTooLong {
        /// Length of the refused value in bytes.
        length: usize,
    },
    /// The pool has no room for another frame or blob. Deleting, or a pool with
    /// more memory, helps; a checkpoint in progress gives copies back when it ends.
    #[error("the pool is full: all {limit} bytes of its {what} are in use")]
    PoolFull {
        /// Which of the pool's two arenas ran out: `frames` or `blobs`.
        what: &'static str,
        /// Size of that arena in bytes.
        limit: u64,
    },
    /// The operating system did not give the address space that the pool asked for.
    #[error("cannot reserve {bytes} bytes of address space for the pool: {reason}")]
    Reserve {
        /// Bytes asked for.
        bytes: u64,
        /// What the operating system said.
        reason: String,
    },
    /// An image handed to [`Pool::load`](crate::Pool::load) is not one that this crate wrote.
    #[error("the image of object {object:#x} is damaged: {what}")]
    Image {
        /// The object that the image was to become.
        object: u64,
        /// The first thing found wrong.
        what: String,
    },
    /// A cut is open already; one at a time can be.
    #[error("an earlier cut is still open; commit or drop it first")]
    CutOpen,
    /// A frame that the tree refers to is not there.
    #[error("frame {frame} is referred to and not in the pool")]
    MissingFrame {
        /// Number of the frame.
        frame: u32,
    },
    /// A frame or blob is not in memory. Nothing has changed; outside the gate,
    /// [`Pool::resolve`](crate::Pool::resolve) brings it, and the operation may begin anew.
    #[error("object {object:#x} is not in memory; fetch it and try again")]
    Absent {
        /// The object: a frame's number, or a blob's number plus 2³².
        object: u64,
    },
    /// The source of a pool did not give an image.
    #[error("the image of object {object:#x} could not be read: {reason}")]
    Source {
        /// The object.
        object: u64,
        /// What the source said.
        reason: String,
    },
    /// So much has changed since the last committed cut, or is kept for cuts and snapshots,
    /// that reading would find no room. Committing a cut, or dropping snapshots, helps.
    #[error("{limit} bytes have changed or are kept; commit a cut to write more")]
    TooManyChanged {
        /// Bytes of frames and blobs that may have changed, or be kept, at a time.
        limit: u64,
    },
    /// A frame contains what no writer stored in it.
    #[error("frame {frame} is damaged; verify tells what is wrong with it")]
    Damaged {
        /// Number of the frame.
        frame: u32,
    },
    /// A rename of a prefix was asked for with an empty one. Every key begins with it, so
    /// there would be no other place.
    #[error("the empty prefix cannot be renamed, and nothing can be renamed to it")]
    EmptyPrefix,
    /// No key begins with the prefix that was to be renamed.
    #[error("no key begins with the prefix that is to be renamed")]
    PrefixMissing,
    /// The new prefix begins with the old one, so that the keys would move below themselves.
    #[error("the new prefix begins with the old one; rename to a name outside it")]
    PrefixInside,
    /// Keys begin with the new prefix already. Remove them first, or ask for them to be
    /// replaced.
    #[error("keys begin with the new prefix already, and replacing them was not asked for")]
    PrefixOccupied,
    /// The keys of a load in order are not: one is not greater than the one before it.
    #[error("key {at} of an ordered load is not greater than the one before it")]
    Unordered {
        /// Which key, counted from 0.
        at: u64,
    },
    /// A load in order was asked of a tree that has records.
    #[error("the tree has records; a load in order wants an empty one")]
    NotEmpty,
    /// A key could not be placed although its frames were reorganised many times.
    /// This is a fault of the tree; please report it with the key's shape.
    #[error("no room could be made for the key after {attempts} attempts")]
    NoProgress {
        /// How often a frame was split or compacted for this one key.
        attempts: u32,
    },
}
