//! The engines, one file each, behind one feature of the package each.

use crate::engine::Kind;

#[cfg(feature = "blart")]
mod art;
mod btree;
#[cfg(feature = "fjall")]
mod fjall;
mod holt;
#[cfg(feature = "holt-peer")]
mod holt_peer;
#[cfg(feature = "heed")]
mod lmdb;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "skiplist")]
mod skiplist;
#[cfg(feature = "sled")]
mod sled;
#[cfg(feature = "rusqlite")]
mod sqlite;

/// The engine that the ratios are of.
pub(crate) const OURS: &str = "holt";

/// Every engine that was compiled in, ours first.
pub(crate) fn all() -> Vec<Kind> {
    vec![
        holt::KIND,
        #[cfg(feature = "holt-peer")]
        holt_peer::KIND,
        #[cfg(feature = "rocksdb")]
        rocksdb::KIND,
        #[cfg(feature = "heed")]
        lmdb::KIND,
        #[cfg(feature = "redb")]
        redb::KIND,
        #[cfg(feature = "fjall")]
        fjall::KIND,
        #[cfg(feature = "sled")]
        sled::KIND,
        #[cfg(feature = "rusqlite")]
        sqlite::KIND,
        btree::KIND,
        #[cfg(feature = "skiplist")]
        skiplist::KIND,
        #[cfg(feature = "blart")]
        art::KIND,
    ]
}

/// Whether every engine was compiled in.
pub(crate) fn complete() -> bool {
    cfg!(all(
        feature = "blart",
        feature = "fjall",
        feature = "heed",
        feature = "holt-peer",
        feature = "redb",
        feature = "rocksdb",
        feature = "rusqlite",
        feature = "skiplist",
        feature = "sled"
    ))
}

/// Why an index that lives in memory alone lacks a feature.
fn index_lacks(feature: crate::engine::Feature) -> Option<&'static str> {
    use crate::engine::Feature;
    match feature {
        Feature::Reopen => Some("an index in memory has nothing to reopen"),
        Feature::BeyondMemory => Some("an index in memory holds everything there"),
        Feature::Threads | Feature::Rename | Feature::RenamePrefix | Feature::DeletePrefix => None,
    }
}
