//! Where a checkpoint lies: one data file of images, and a manifest that says which count.
//!
//! The store keeps *objects*, named by an [`ObjectId`] that means nothing to it, each with one
//! *image*. A checkpoint writes the new images into free space, syncs them, then appends one
//! record to the manifest and syncs that: before the record is durable the old images count,
//! after it the new ones. There is nothing to undo and nothing to redo.
//!
//! # Files
//!
//! | name | holds |
//! |---|---|
//! | `DATA` | two marks, then extents of 4-KiB units, each one image |
//! | `MANIFEST-<number, 16 hex digits>` | the mapping from objects to extents, commit by commit |
//! | `MANIFEST.tmp` | a manifest that was never given its name; of no account |
//!
//! # What keeps it right
//!
//! - **Nothing live is written over.** An extent is free only when no state that could still
//!   be the newest durable one names it: not the state in memory, not the one before a commit
//!   that is not known to be durable, not the one that such a commit would make. Nor is one free
//!   whose image is gone for all of them and still read: what a snapshot needs is kept in the file,
//!   and nothing is written down about it.
//! - **A failed sync is never repeated as proof.** Images it covered lie where nothing is
//!   written again until the store is reopened; the next checkpoint writes them elsewhere.
//!   A second failure in a row closes the store for checkpoints.
//! - **A manifest file is appended to only while every record in it is known to be durable.**
//!   After a failure, and after an opening that cannot know, the next commit writes a new file.
//! - **There are two ways to the newest commit**: the highest number among the manifests'
//!   names, and the marks in the data file, which name a commit that was durable. They have to
//!   agree.
//! - **Opening changes nothing.** What a crash left over goes with the next commit.

mod around;
mod checkpoint;
mod compact;
mod data_file;
mod extents;
mod handle;
mod manifest_file;
mod open;
mod recovery;
mod state;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use checkpoint::{CheckpointReport, ImageSource, SourceError};
pub use compact::CompactReport;
pub use handle::{Store, StoreStats};
pub use open::LOCK_FILE;
pub use verify::Fault;

/// The name of an object: opaque to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

/// Turns a disk's error into the crate's.
fn io(doing: &'static str, file: &str) -> impl FnOnce(std::io::Error) -> crate::Error {
    let file = file.to_owned();
    move |error| crate::Error::Io { doing, file, error: crate::sync::Arc::new(error) }
}
