//! Snapshots: all trees of a database as they were at one moment, for reading.

mod handle;
mod taken;
mod tree;

pub use handle::Snapshot;
pub(crate) use taken::{Snapshots, TreeAt};
pub use tree::SnapshotTree;
