//! The only place of this crate that names the primitives of synchronization.
//!
//! `cfg(loom)` swaps them for loom's, which explore every interleaving of a model. What only the parts outside the
//! models use is there in an ordinary build alone.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
#[cfg(not(loom))]
pub(crate) use std::thread::{Thread, current, park};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
#[cfg(loom)]
pub(crate) use loom::thread::{Thread, current, park};

// --- log, outside its models ---
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Weak, mpsc};
#[cfg(not(loom))]
pub(crate) use std::thread::{Builder, JoinHandle, scope, yield_now};

/// Locks, also when a holder panicked: whoever can panic under a lock of this crate says so by other means, and a
/// poisoned lock would turn one panic into a panic of everybody.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
