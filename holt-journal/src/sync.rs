//! The only place of this crate that names the primitives of synchronization.
//!
//! `cfg(loom)` swaps those that the models use for loom's, which explore every interleaving; the rest of the crate is not
//! built then.

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        TryLockError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{Builder, JoinHandle, Thread, current, park, scope, yield_now},
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Thread, current, park},
};

/// Locks, also when a holder panicked: whoever can panic under a lock of this crate says so by other means, and a
/// poisoned lock would turn one panic into a panic of everybody.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
