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
               256 MiB of log; `cache_bytes` is the common cache size, of which 8 MiB are the \
               least. Values and entries are seen through closures, which get a validated copy. \
               What a deletion of a prefix leaves behind is freed in the background; the tree \
               alone frees it before the deletion returns.",
    lacks: |feature| match feature {
        Feature::Threads
        | Feature::Reopen
        | Feature::Rename
        | Feature::RenamePrefix
        | Feature::DeletePrefix
        | Feature::BeyondMemory => None,
    },
    open: |setup| match setup.mode {
        Mode::Memory => tree::open(),
        Mode::Buffered | Mode::Os | Mode::Sync => db::open(setup),
    },
};
