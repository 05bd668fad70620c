//! The one place of this crate that names threads, locks and atomics.
//!
//! The engine adds no lock-free protocol to those of the crates below it, which have models of their
//! own: what is here are mutexes, a condition variable and flags.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, Weak};
pub(crate) use std::thread::{Builder, JoinHandle, sleep, yield_now};

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use std::sync::{RwLockReadGuard, RwLockWriteGuard};

/// A number by chance, another one with each call.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Locks a mutex whose data is sound after every statement of its critical sections, so that a
/// panic of an earlier holder is no reason to refuse it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Waits on a condition variable under the rule of [`lock`].
pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// As [`wait`], for at most so long; also says whether the time is over.
pub(crate) fn wait_for<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> (MutexGuard<'a, T>, bool) {
    let (guard, outcome) =
        condition.wait_timeout(guard, time).unwrap_or_else(|poisoned| poisoned.into_inner());
    (guard, outcome.timed_out())
}

/// Takes the shared side under the rule of [`lock`].
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Takes the exclusive side under the rule of [`lock`].
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}
