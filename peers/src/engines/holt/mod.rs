//! Holt itself: the tree alone, in memory.

mod tree;

use crate::engine::{Feature, Kind, Mode};

/// The entry of the list of engines.
pub(crate) const KIND: Kind = Kind {
    name: super::OURS,
    package: "holt-art",
    modes: &[Mode::Memory],
    settings: "The tree of `holt-art` alone, which has no log to turn off; values and entries are \
               seen through its own closures, which get a validated copy.",
    lacks: |feature| match feature {
        Feature::Threads => None,
        Feature::Reopen => Some("an index in memory has nothing to reopen"),
        Feature::Rename => Some("Holt has no rename yet"),
        Feature::RenamePrefix => Some("Holt has no rename of prefixes yet"),
        Feature::DeletePrefix => Some("Holt has no deletion of prefixes yet"),
        Feature::BeyondMemory => Some("Holt holds everything in memory yet"),
    },
    open: |_| tree::open(),
};

/// The answer to an operation that [`KIND`] says is lacking, if it is asked for all the same.
fn lacking<T>() -> Result<T, crate::Failure> {
    Err("the harness asked Holt for an operation that it does not have".into())
}
