//! Models of the group's acknowledgement. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p holt-journal --release --test loom`.
//!
//! The device of a model is a pair of marks: what is written and what is durable. A flush makes durable what was
//! written before it began, and the models say at their end that nothing was acknowledged that is not durable, and
//! that everybody got an answer.

#![cfg(loom)]

use std::sync::atomic::{AtomicU64 as Count, Ordering::Relaxed};

use holt_journal::Group;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Error {
    Device,
    Panicked,
    Hopeless,
}

/// Explores a model and prints how many interleavings that took.
fn explore(name: &str, model: impl Fn() + Sync + Send + 'static) {
    let iterations = std::sync::Arc::new(Count::new(0));
    let counted = std::sync::Arc::clone(&iterations);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("loom {name}: {} iterations", iterations.load(Relaxed));
}

/// A log of which writes are a counter and syncs copy it.
struct Device {
    group: Group<Error>,
    written: AtomicU64,
    durable: AtomicU64,
    syncing: AtomicBool,
}

impl Device {
    fn new() -> Arc<Device> {
        Arc::new(Device {
            group: Group::new(0, || Error::Panicked),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            syncing: AtomicBool::new(false),
        })
    }

    /// Appends one record and returns its end.
    fn append(&self) -> u64 {
        self.written.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn flush(&self) -> u64 {
        assert!(!self.syncing.swap(true, Ordering::AcqRel), "two syncs at once");
        let mark = self.written.load(Ordering::Acquire);
        self.durable.store(mark, Ordering::Release);
        self.syncing.store(false, Ordering::Release);
        mark
    }

    /// Appends, waits, and says what came of it; checks that success means durable.
    fn put(&self) -> Result<u64, Error> {
        let end = self.append();
        self.group.wait(end, || None, |_| Ok(self.flush()))?;
        assert!(self.durable.load(Ordering::Relaxed) >= end, "acknowledged and not durable");
        assert!(self.group.synced() >= end);
        Ok(end)
    }
}

#[test]
fn three_clients_are_all_acknowledged_and_all_durable() {
    explore("group of three", || {
        let device = Device::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let device = Arc::clone(&device);
                thread::spawn(move || device.put().unwrap())
            })
            .collect();
        let mut ends = vec![device.put().unwrap()];
        ends.extend(others.into_iter().map(|other| other.join().unwrap()));
        ends.sort_unstable();
        // Each record was acknowledged exactly once, and the mark covers exactly what was written.
        assert_eq!(ends, [1, 2, 3]);
        assert_eq!(device.group.synced(), 3);
        assert_eq!(device.group.members(), 0);
    });
}

#[test]
fn a_client_that_comes_twice_meets_the_leader_of_its_first_round() {
    explore("two rounds", || {
        let device = Device::new();
        let other = Arc::clone(&device);
        let other = thread::spawn(move || (other.put().unwrap(), other.put().unwrap()));
        let mine = device.put().unwrap();
        let (first, second) = other.join().unwrap();
        let mut ends = [mine, first, second];
        ends.sort_unstable();
        assert_eq!(ends, [1, 2, 3]);
        assert_eq!(device.group.members(), 0);
    });
}

#[test]
fn a_failed_flush_is_told_to_everybody_who_is_not_durable() {
    explore("failed flush", || {
        let device = Device::new();
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let device = Arc::clone(&device);
                thread::spawn(move || {
                    let end = device.append();
                    device.group.wait(end, || None, |_| Err(Error::Device))
                })
            })
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), Err(Error::Device));
        }
        // And to whoever comes later.
        assert_eq!(device.group.wait(1, || None, |_| Ok(1)), Err(Error::Device));
        assert_eq!(device.group.synced(), 0);
    });
}

#[test]
fn a_failure_from_outside_wakes_followers_and_spares_what_is_durable() {
    explore("failure from outside", || {
        let device = Device::new();
        let client = Arc::clone(&device);
        let client = thread::spawn(move || client.put());
        let breaker = Arc::clone(&device);
        let breaker = thread::spawn(move || breaker.group.fail(Error::Device));
        match client.join().unwrap() {
            Ok(end) => assert!(device.durable.load(Ordering::Relaxed) >= end),
            Err(error) => assert_eq!(error, Error::Device),
        }
        breaker.join().unwrap();
        assert_eq!(device.group.failure(), Some(Error::Device));
        // What is durable is acknowledged still, by the mark alone.
        let synced = device.group.synced();
        assert_eq!(device.group.wait(synced, || None, |_| Ok(0)), Ok(()));
        assert_eq!(device.group.wait(synced + 1, || None, |_| Ok(9)), Err(Error::Device));
    });
}

#[test]
fn a_leader_that_panics_takes_nobody_with_it() {
    explore("panicking leader", || {
        let device = Device::new();
        let follower = Arc::clone(&device);
        let follower = thread::spawn(move || follower.put());
        let end = device.append();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            device.group.wait(end, || None, |_| std::panic::resume_unwind(Box::new("flush")))
        }));
        match follower.join().unwrap() {
            Ok(end) => assert!(device.durable.load(Ordering::Relaxed) >= end),
            Err(error) => assert_eq!(error, Error::Panicked),
        }
        if panicked.is_err() {
            assert_eq!(device.group.failure(), Some(Error::Panicked));
        } else {
            assert!(device.group.synced() >= end, "the other one led for us");
        }
        assert_eq!(device.group.members(), 0);
    });
}

#[test]
fn a_wait_that_becomes_hopeless_ends() {
    explore("hopeless wait", || {
        let device = Device::new();
        let lost = Arc::new(AtomicBool::new(false));
        let client = {
            let (device, lost) = (Arc::clone(&device), Arc::clone(&lost));
            thread::spawn(move || {
                // The record at 2 will never be written; a leader makes durable what there is, and joins again.
                let hopeless = || lost.load(Ordering::Acquire).then_some(Error::Hopeless);
                device.group.wait(2, hopeless, |_| {
                    while !lost.load(Ordering::Acquire) {
                        thread::yield_now();
                    }
                    Ok(device.flush())
                })
            })
        };
        device.append();
        lost.store(true, Ordering::Release);
        device.group.nudge();
        assert_eq!(client.join().unwrap(), Err(Error::Hopeless));
        assert_eq!(device.group.failure(), None);
    });
}

#[test]
fn an_advance_from_outside_wakes_those_it_covers() {
    explore("advance from outside", || {
        let device = Device::new();
        let end = device.append();
        let client = Arc::clone(&device);
        let client = thread::spawn(move || client.group.wait(end, || None, |_| Ok(client.flush())));
        device.durable.store(end, Ordering::Release);
        device.group.advance(end);
        assert_eq!(client.join().unwrap(), Ok(()));
        assert_eq!(device.group.synced(), end);
        assert_eq!(device.group.members(), 0);
    });
}
