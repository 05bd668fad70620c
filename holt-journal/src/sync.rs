//! The only place of this crate that names the primitives of synchronization.
//!
//! `cfg(loom)` swaps them for loom's, which explore every interleaving of a model.

#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};
