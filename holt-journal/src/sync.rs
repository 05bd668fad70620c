//! The only place of this crate that names the primitives of synchronization.
//!
//! `cfg(loom)` swaps them for loom's, which explore every interleaving of a model.

#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

// --- store and disk ---
/// Shared ownership of what is no part of any protocol, so that loom need not follow it.
pub(crate) use std::sync::Arc as PlainArc;
pub(crate) use std::sync::{PoisonError, TryLockError};
