//! What one ring promises to those who wait, one promise a test.
#![cfg(not(loom))]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{append, drain};
use holt_wal_ring::{Error, Ring, Waited};

/// Returns when a producer is queued for more space than the 8 bytes that the ring has left.
fn until_a_producer_is_queued(ring: &Ring) {
    while ring.try_acquire(8).is_ok() {
        thread::yield_now();
    }
}

#[test]
fn draining_wakes_a_parked_producer() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, &[1; 56]);
    thread::scope(|scope| {
        let parked = scope.spawn(|| append(&ring, &[2; 16]));
        until_a_producer_is_queued(&ring);
        assert_eq!(drain(&mut consumer).len(), 56);
        assert_eq!(parked.join().unwrap(), 56);
    });
    assert_eq!(drain(&mut consumer), [2; 16]);
}

#[test]
fn a_returned_permit_wakes_a_parked_producer() {
    let (ring, _consumer) = Ring::new(64, 0).unwrap();
    let unused = ring.acquire(56).unwrap();
    thread::scope(|scope| {
        let parked = scope.spawn(|| append(&ring, &[2; 16]));
        until_a_producer_is_queued(&ring);
        drop(unused);
        assert_eq!(parked.join().unwrap(), 0);
    });
}

#[test]
fn a_raised_limit_wakes_a_parked_producer() {
    let (ring, _consumer) = Ring::new(64, 0).unwrap();
    ring.set_limit(8);
    thread::scope(|scope| {
        let parked = scope.spawn(|| append(&ring, &[2; 16]));
        until_a_producer_is_queued(&ring);
        ring.set_limit(16);
        assert_eq!(parked.join().unwrap(), 0);
    });
}

#[test]
fn nobody_overtakes_a_parked_producer() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, &[1; 8]);
    append(&ring, &[1; 48]);
    thread::scope(|scope| {
        let parked = scope.spawn(|| append(&ring, &[2; 64]));
        until_a_producer_is_queued(&ring);
        assert_eq!(ring.try_acquire(8).unwrap_err(), Error::Full);
        drain(&mut consumer);
        assert_eq!(parked.join().unwrap(), 56);
    });
    assert_eq!(drain(&mut consumer), [2; 64]);
    assert_eq!(ring.try_acquire(8).unwrap().len(), 8);
}

#[test]
fn closing_fails_parked_and_later_producers_and_lets_reservations_finish() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let permit = ring.acquire(16).unwrap();
    let reservation = ring.acquire(40).unwrap().reserve();
    thread::scope(|scope| {
        let parked = scope.spawn(|| ring.acquire(16).map(|permit| permit.len()));
        until_a_producer_is_queued(&ring);
        ring.close();
        assert_eq!(parked.join().unwrap(), Err(Error::Closed));
    });
    assert!(ring.is_closed());
    assert_eq!(ring.acquire(8).unwrap_err(), Error::Closed);
    assert_eq!(ring.try_acquire(8).unwrap_err(), Error::Closed);
    reservation.publish();
    assert!(consumer.wait_published(None));
    assert_eq!(drain(&mut consumer).len(), 40);
    assert!(!consumer.is_finished());
    permit.reserve().publish();
    assert!(consumer.wait_published(None));
    assert!(!consumer.is_finished());
    assert_eq!(drain(&mut consumer).len(), 16);
    assert!(!consumer.wait_published(None));
    assert!(consumer.is_finished());
}

#[test]
fn a_permit_returned_after_closing_finishes_the_consumer() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let permit = ring.acquire(16).unwrap();
    ring.close();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let published = consumer.wait_published(None);
            (published, consumer.is_finished())
        });
        drop(permit);
        assert_eq!(waiting.join().unwrap(), (false, true));
    });
}

#[test]
fn dropping_the_consumer_closes_the_ring() {
    let (ring, consumer) = Ring::new(64, 0).unwrap();
    append(&ring, &[1; 64]);
    thread::scope(|scope| {
        let parked = scope.spawn(|| ring.acquire(8).map(|permit| permit.len()));
        drop(consumer);
        assert_eq!(parked.join().unwrap(), Err(Error::Closed));
    });
}

#[test]
fn a_waiter_returns_when_its_address_is_published_and_not_before() {
    let (ring, _consumer) = Ring::new(64, 0).unwrap();
    let [first, second] = [(); 2].map(|()| ring.acquire(16).unwrap().reserve());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let waited = ring.wait_committed(32, None, || false);
            (waited, ring.committed())
        });
        second.publish();
        assert_eq!(ring.wait_committed(16, Some(Duration::ZERO), || false), Waited::TimedOut);
        first.publish();
        assert_eq!(waiter.join().unwrap(), (Waited::Committed, 32));
    });
    assert_eq!(ring.wait_committed(32, Some(Duration::ZERO), || false), Waited::Committed);
}

#[test]
fn a_waiter_for_what_nobody_can_publish_any_more_learns_of_the_closing() {
    let (ring, _consumer) = Ring::new(64, 0).unwrap();
    let permit = ring.acquire(8).unwrap();
    thread::scope(|scope| {
        let beyond = scope.spawn(|| ring.wait_committed(9, None, || false));
        ring.close();
        assert_eq!(beyond.join().unwrap(), Waited::Closed);
        // The permit may still be used, and then exactly that address is published.
        let not_yet = ring.wait_committed(8, Some(Duration::ZERO), || false);
        assert_eq!(not_yet, Waited::TimedOut);
        let within = scope.spawn(|| ring.wait_committed(8, None, || false));
        drop(permit);
        assert_eq!(within.join().unwrap(), Waited::Closed);
    });
}

#[test]
fn the_callers_reason_to_stop_ends_a_wait() {
    let (ring, _consumer) = Ring::new(64, 0).unwrap();
    assert_eq!(ring.wait_committed(8, None, || true), Waited::Woken);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| ring.wait_committed(8, None, || stop.load(Ordering::Acquire)));
        stop.store(true, Ordering::Release);
        ring.wake();
        assert_eq!(waiter.join().unwrap(), Waited::Woken);
    });
}

#[test]
fn the_consumer_is_woken_also_before_it_waits() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    ring.wake();
    assert!(!consumer.wait_published(None));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.wait_published(None));
        ring.wake();
        assert!(!waiting.join().unwrap());
    });
    assert!(!consumer.wait_published(Some(Duration::ZERO)));
    append(&ring, b"8 bytes!");
    assert!(consumer.wait_published(Some(Duration::ZERO)));
}

#[test]
fn a_timeout_beyond_the_clock_is_no_bound() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.wait_published(Some(Duration::MAX)));
        append(&ring, b"8 bytes!");
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn a_drainer_that_lets_records_gather_is_called_when_space_runs_out() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, &[1; 56]);
    thread::scope(|scope| {
        let drainer = scope.spawn(|| {
            let waited = ring.wait_drainable(u64::MAX, None, || false);
            (waited, drain(&mut consumer).len())
        });
        let producer = scope.spawn(|| append(&ring, &[2; 16]));
        assert_eq!(drainer.join().unwrap(), (Waited::Pressure, 56));
        assert_eq!(producer.join().unwrap(), 56);
    });
    // No pressure, no reason.
    let waited = ring.wait_drainable(u64::MAX, Some(Duration::ZERO), || false);
    assert_eq!(waited, Waited::TimedOut);
    assert_eq!(ring.wait_drainable(72, None, || false), Waited::Committed);
}

#[test]
fn pressure_counts_only_when_something_can_be_drained() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let unpublished = ring.acquire(56).unwrap().reserve();
    thread::scope(|scope| {
        let producer = scope.spawn(|| append(&ring, &[2; 16]));
        until_a_producer_is_queued(&ring);
        let waited = ring.wait_drainable(u64::MAX, Some(Duration::ZERO), || false);
        assert_eq!(waited, Waited::TimedOut);
        let drainer = scope.spawn(|| ring.wait_drainable(u64::MAX, None, || false));
        unpublished.publish();
        assert_eq!(drainer.join().unwrap(), Waited::Pressure);
        // That is the drainer's business alone.
        let other = ring.wait_committed(72, Some(Duration::ZERO), || false);
        assert_eq!(other, Waited::TimedOut);
        drain(&mut consumer);
        assert_eq!(producer.join().unwrap(), 56);
    });
}
