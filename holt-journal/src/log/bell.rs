//! Waiting for the log's marks to move, without polling and at no cost for writers whom nobody waits for.
//!
//! * Whoever moves a mark stores it first and rings then. A listener looks at the marks under the bell's lock, so either he
//!   sees the mark, or he waits already when it is rung for.
//! * A ring without listeners is one lock that nobody else wants, beside a write or a sync of a file.

use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex, PoisonError, lock};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Those who wait. Written and read under the lock.
    listeners: Mutex<usize>,
    rung: Condvar,
}

impl Bell {
    /// Wakes everybody who waits to look again.
    pub(super) fn ring(&self) {
        if *lock(&self.listeners) > 0 {
            self.rung.notify_all();
        }
    }

    /// Waits until `done`, for at most `timeout`; says whether it is so. `done` is asked under the bell's lock.
    pub(super) fn wait(&self, timeout: Duration, done: impl Fn() -> bool) -> bool {
        // Beyond what a clock can say is for ever.
        let deadline = Instant::now().checked_add(timeout);
        let mut listeners = lock(&self.listeners);
        *listeners += 1;
        let outcome = loop {
            if done() {
                break true;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            listeners = match left {
                Some(Duration::ZERO) => break false,
                Some(left) => {
                    let waited = self.rung.wait_timeout(listeners, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.rung.wait(listeners).unwrap_or_else(PoisonError::into_inner),
            };
        };
        *listeners -= 1;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, Ordering, scope};

    #[test]
    fn every_step_of_a_mark_reaches_a_listener_who_waits_without_end() {
        const STEPS: u64 = 20_000;
        let (bell, mark, seen) = (Bell::default(), AtomicU64::new(0), AtomicU64::new(0));
        scope(|scope| {
            scope.spawn(|| {
                for step in 1..=STEPS {
                    mark.store(step, Ordering::Release);
                    bell.ring();
                    // The next step only after this one was seen: a lost ring hangs the test.
                    while seen.load(Ordering::Acquire) < step {
                        crate::sync::yield_now();
                    }
                }
            });
            for step in 1..=STEPS {
                assert!(bell.wait(Duration::MAX, || mark.load(Ordering::Acquire) >= step));
                seen.store(step, Ordering::Release);
            }
        });
        assert_eq!(*lock(&bell.listeners), 0);
    }

    #[test]
    fn a_wait_for_what_does_not_come_ends() {
        let bell = Bell::default();
        assert!(!bell.wait(Duration::from_millis(1), || false));
        assert!(!bell.wait(Duration::ZERO, || false));
        assert!(bell.wait(Duration::ZERO, || true));
    }
}
