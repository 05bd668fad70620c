//! Holt itself: the tree alone in memory, and the database in the other modes.

mod db;
mod tree;

use crate::engine::{Feature, Kind, Mode};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: super::OURS,
    package: "holt-engine",
    modes: &Mode::ALL,
    settings: "*memory*: the tree of `holt-art` alone, which has no log to turn off; values and \
               entries are seen through its own closures, which get a validated copy. *buffered*, \
               *os* and *sync*: a database of `holt-engine` with the durability of that name and \
               the defaults otherwise: a ring of 32 MiB, a window of 10 ms, a checkpoint after \
               256 MiB of log. It keeps everything in memory, so the common cache size is a limit \
               that it does not need. Values are returned as owned vectors.",
    lacks: |feature| match feature {
        Feature::Threads | Feature::Reopen => None,
        Feature::Rename => Some("Holt has no rename yet"),
        Feature::RenamePrefix => Some("Holt has no rename of prefixes yet"),
        Feature::DeletePrefix => Some("Holt has no deletion of prefixes yet"),
        Feature::BeyondMemory => Some("Holt holds everything in memory yet"),
    },
    open: |setup| match setup.mode {
        Mode::Memory => tree::open(),
        Mode::Buffered | Mode::Os | Mode::Sync => db::open(setup),
    },
};

/// The answer to an operation that [`KIND`] says is lacking, if it is asked for all the same.
fn lacking<T>() -> Result<T, crate::Failure> {
    Err("the harness asked Holt for an operation that it does not have".into())
}
