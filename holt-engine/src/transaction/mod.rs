//! Optimistic transactions: reads of one moment, writes that are kept back, and a commit that happens
//! only if what was read is still so.
//!
//! 1. The first read takes a snapshot, and every read comes from it, with the transaction's own writes
//!    laid over. So what a transaction sees fits together, whether it can be committed or not.
//! 2. Each read is noted: a key with the version found, a list with how far it was read.
//! 3. The commit is a batch. Under the closed gate, before anything is changed, the notes are compared
//!    with the trees as they are now. A list is compared entry by entry with the same list of the
//!    snapshot, so keys that have come or gone in it are found like those that have changed.
//! 4. If something differs nothing is changed, and the transaction is run again on a new snapshot.
//!
//! So a transaction that is committed has seen and done what it would have at the moment of its
//! commit, alone: committed transactions are serializable, in the order of their versions. One
//! that writes nothing is of the moment of its snapshot, and there is nothing to compare.

mod handle;
mod merge;
mod mounts;
mod moved;
mod notes;
mod prefixes;
mod shared;
mod view;

pub use handle::Transaction;
pub(crate) use handle::transact;
pub(crate) use merge::Merged;
pub(crate) use shared::Reader;
