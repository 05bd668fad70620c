//! The ring under the model checker: small stories, every interleaving, every byte access tracked.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p holt-wal-ring --release --test loom --target-dir target/loom -- --nocapture`.
//! Each model ends in a conservation law, what went in came out once, and prints how many executions were explored. Models
//! without a stated bound are explored in full; a bound is the number of times that a thread may be interrupted
//! at a point where it could have gone on.
#![cfg(loom)]

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bytes::BufMut;
use holt_wal_ring::{Consumer, Drained, Error, Ring, Waited};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

/// Explores `model` and reports how often it ran.
///
/// The count is kept in an atomic of `std` on purpose: loom must not see it.
fn explore(name: &str, bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    // The test runner may have begun a line of its own.
    println!("\nloom {name}: {} iterations", count.load(std::sync::atomic::Ordering::Relaxed));
}

/// Appends a record of `len` bytes, all of them `byte`.
fn append(ring: &Ring, byte: u8, len: usize) -> u64 {
    let mut record = ring.acquire(len).unwrap().reserve();
    record.put_bytes(byte, len);
    let address = record.address();
    record.publish();
    address
}

/// Drains once; a skip is read as bytes of `b'.'`.
fn drain(consumer: &mut Consumer, log: &mut Vec<u8>) {
    consumer
        .drain(|piece| {
            match piece {
                Drained::Bytes { bytes, .. } => log.extend_from_slice(bytes),
                Drained::Skip { len, .. } => log.resize(log.len() + len, b'.'),
                _ => unreachable!(),
            }
            Ok::<(), Infallible>(())
        })
        .unwrap();
}

/// Waits and drains until `len` bytes have come.
fn drain_all(consumer: &mut Consumer, len: usize) -> Vec<u8> {
    let mut log = Vec::new();
    while log.len() < len {
        assert!(consumer.wait_published(None));
        drain(consumer, &mut log);
    }
    log
}

/// The law: `log` consists of exactly these records, in some order, each whole; and the ring has counted it so.
fn assert_conserved(ring: &Ring, log: &[u8], records: &[(u8, usize)]) {
    let mut missing = records.to_vec();
    let mut rest = log;
    while let Some(&byte) = rest.first() {
        let found = missing.iter().position(|&(wanted, len)| {
            wanted == byte && rest.len() >= len && rest[..len].iter().all(|&other| other == byte)
        });
        let (_, len) = missing.swap_remove(found.expect("a record torn, lost or doubled"));
        rest = &rest[len..];
    }
    assert!(missing.is_empty(), "lost: {missing:?}");
    let published = records.iter().filter(|&&(byte, _)| byte != b'.').count();
    assert_eq!(ring.committed_records(), published as u64);
    assert_eq!((ring.committed(), ring.granted()), (ring.tail(), ring.tail()));
}

/// Runs `body` on a thread with the ring.
fn spawn<T: 'static>(
    ring: &Arc<Ring>,
    body: impl FnOnce(&Ring) -> T + 'static,
) -> thread::JoinHandle<T> {
    let ring = ring.clone();
    thread::spawn(move || body(&ring))
}

#[test]
fn two_producers_and_the_consumer() {
    explore("two_producers_and_the_consumer", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let first = spawn(&ring, |ring| append(ring, 1, 16));
        let second = spawn(&ring, |ring| append(ring, 2, 24));
        let log = drain_all(&mut consumer, 40);
        first.join().unwrap();
        second.join().unwrap();
        assert_conserved(&ring, &log, &[(1, 16), (2, 24)]);
        assert_eq!(consumer.drained(), 40);
    });
}

#[test]
fn two_producers_and_a_consumer_that_only_looks() {
    explore("two_producers_and_a_consumer_that_only_looks", None, || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let first = spawn(&ring, |ring| append(ring, 1, 16));
        let second = spawn(&ring, |ring| append(ring, 2, 24));
        let mut log = Vec::new();
        drain(&mut consumer, &mut log);
        first.join().unwrap();
        second.join().unwrap();
        drain(&mut consumer, &mut log);
        assert_conserved(&ring, &log, &[(1, 16), (2, 24)]);
    });
}

#[test]
fn three_producers_and_the_consumer() {
    explore("three_producers_and_the_consumer", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let producers = [(1, 8), (2, 16), (3, 24)]
            .map(|(byte, len)| spawn(&ring, move |ring| append(ring, byte, len)));
        let mut log = Vec::new();
        drain(&mut consumer, &mut log);
        for producer in producers {
            producer.join().unwrap();
        }
        drain(&mut consumer, &mut log);
        assert_conserved(&ring, &log, &[(1, 8), (2, 16), (3, 24)]);
    });
}

#[test]
fn wrap_and_reuse_of_the_same_bytes() {
    explore("wrap_and_reuse_of_the_same_bytes", Some(3), || {
        let (ring, mut consumer) = Ring::new(64, 40).unwrap();
        let producer = spawn(&ring, |ring| {
            // Both lie across the end, and the second lies where the first was, in part.
            append(ring, 1, 48);
            append(ring, 2, 48);
        });
        let log = drain_all(&mut consumer, 96);
        producer.join().unwrap();
        assert_conserved(&ring, &log, &[(1, 48), (2, 48)]);
    });
}

#[test]
fn permits_cross_and_bytes_are_reused_by_who_did_not_see_them_drained() {
    explore("permits_cross", Some(3), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        append(&ring, 1, 32);
        // One of the two is granted space at once and the other only after the drain; yet the first of them may be the one
        // that reserves last, and then writes to the bytes of record 1.
        let producers = [2, 3].map(|byte| spawn(&ring, move |ring| append(ring, byte, 32)));
        let mut log = Vec::new();
        drain(&mut consumer, &mut log);
        for producer in producers {
            producer.join().unwrap();
        }
        drain(&mut consumer, &mut log);
        assert_conserved(&ring, &log, &[(1, 32), (2, 32), (3, 32)]);
    });
}

#[test]
fn a_dropped_reservation_between_records() {
    explore("a_dropped_reservation_between_records", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let dropping = spawn(&ring, |ring| {
            let mut record = ring.acquire(16).unwrap().reserve();
            record.put_u8(9);
        });
        let appending = spawn(&ring, |ring| append(ring, 1, 24));
        let log = drain_all(&mut consumer, 40);
        dropping.join().unwrap();
        appending.join().unwrap();
        assert_conserved(&ring, &log, &[(b'.', 16), (1, 24)]);
    });
}

#[test]
fn a_panicking_producer_does_not_hold_up_the_other() {
    explore("a_panicking_producer", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let panicking = spawn(&ring, |ring| {
            let mut record = ring.acquire(16).unwrap().reserve();
            // The panic is caught around the filling alone: loom switches threads in the reservation's drop, and a switch in
            // the middle of an unwinding would make every other thread believe that it panics. The drop during
            // the unwinding itself is in the tests without loom.
            let fill = AssertUnwindSafe(|| {
                record.put_u8(9);
                resume_unwind(Box::new("a producer's panic"))
            });
            let _: Box<_> = catch_unwind::<_, ()>(fill).unwrap_err();
        });
        let appending = spawn(&ring, |ring| append(ring, 1, 24));
        let log = drain_all(&mut consumer, 40);
        panicking.join().unwrap();
        appending.join().unwrap();
        assert_conserved(&ring, &log, &[(b'.', 16), (1, 24)]);
    });
}

#[test]
fn backpressure_parks_and_wakes_every_producer() {
    explore("backpressure_parks_and_wakes_every_producer", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        // Only one of them fits at a time.
        let producers = [1, 2].map(|byte| spawn(&ring, move |ring| append(ring, byte, 40)));
        let log = drain_all(&mut consumer, 80);
        let addresses = producers.map(|producer| producer.join().unwrap());
        assert!(addresses == [0, 40] || addresses == [40, 0]);
        assert_conserved(&ring, &log, &[(1, 40), (2, 40)]);
    });
}

#[test]
fn backpressure_ends_when_a_permit_is_returned() {
    explore("backpressure_ends_when_a_permit_is_returned", None, || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let unused = ring.acquire(40).unwrap();
        let producer = spawn(&ring, |ring| append(ring, 1, 40));
        drop(unused);
        assert_eq!(producer.join().unwrap(), 0);
        let log = drain_all(&mut consumer, 40);
        assert_conserved(&ring, &log, &[(1, 40)]);
    });
}

#[test]
fn backpressure_ends_when_the_ring_is_drained() {
    explore("backpressure_ends_when_the_ring_is_drained", None, || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        append(&ring, 1, 40);
        let producer = spawn(&ring, |ring| append(ring, 2, 40));
        let mut log = Vec::new();
        drain(&mut consumer, &mut log);
        assert_eq!(producer.join().unwrap(), 40);
        drain(&mut consumer, &mut log);
        assert_conserved(&ring, &log, &[(1, 40), (2, 40)]);
    });
}

#[test]
fn backpressure_ends_when_the_limit_is_raised() {
    explore("backpressure_ends_when_the_limit_is_raised", None, || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        ring.set_limit(8);
        let producer = spawn(&ring, |ring| append(ring, 1, 16));
        ring.set_limit(16);
        assert_eq!(producer.join().unwrap(), 0);
        let log = drain_all(&mut consumer, 16);
        assert_conserved(&ring, &log, &[(1, 16)]);
    });
}

#[test]
fn pressure_calls_a_drainer_that_lets_records_gather() {
    explore("pressure_calls_a_drainer", Some(4), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let producer = spawn(&ring, |ring| {
            append(ring, 1, 40);
            append(ring, 2, 40);
        });
        let mut log = Vec::new();
        assert_eq!(ring.wait_drainable(u64::MAX, None, || false), Waited::Pressure);
        drain(&mut consumer, &mut log);
        assert_eq!(log, [1; 40]);
        producer.join().unwrap();
        drain(&mut consumer, &mut log);
        assert_conserved(&ring, &log, &[(1, 40), (2, 40)]);
    });
}

#[test]
fn pressure_before_publication_calls_the_drainer_too() {
    explore("pressure_before_publication", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let permit = ring.acquire(40).unwrap();
        let waiting = spawn(&ring, |ring| append(ring, 2, 40));
        let gathering = spawn(&ring, |ring| ring.wait_drainable(u64::MAX, None, || false));
        let mut record = permit.reserve();
        record.put_bytes(1, 40);
        record.publish();
        assert_eq!(gathering.join().unwrap(), Waited::Pressure);
        let log = drain_all(&mut consumer, 80);
        waiting.join().unwrap();
        assert_conserved(&ring, &log, &[(1, 40), (2, 40)]);
    });
}

#[test]
fn waiter_learns_of_a_publication_whoever_closes_the_gap() {
    explore("waiter_learns_of_a_publication", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let first = spawn(&ring, |ring| append(ring, 1, 16));
        let second = spawn(&ring, |ring| append(ring, 2, 16));
        assert_eq!(ring.wait_committed(32, None, || false), Waited::Committed);
        assert_eq!(ring.committed(), 32);
        let mut log = Vec::new();
        drain(&mut consumer, &mut log);
        first.join().unwrap();
        second.join().unwrap();
        assert_conserved(&ring, &log, &[(1, 16), (2, 16)]);
    });
}

#[test]
fn waiter_parks_while_another_thread_drains() {
    explore("waiter_parks_while_another_thread_drains", Some(3), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let producer = spawn(&ring, |ring| append(ring, 1, 16));
        let waiter = spawn(&ring, |ring| {
            assert_eq!(ring.wait_committed(16, None, || false), Waited::Committed);
            ring.committed()
        });
        let log = drain_all(&mut consumer, 16);
        producer.join().unwrap();
        assert_eq!(waiter.join().unwrap(), 16);
        assert_conserved(&ring, &log, &[(1, 16)]);
    });
}

#[test]
fn waiter_is_woken_for_its_own_reason() {
    explore("waiter_is_woken_for_its_own_reason", None, || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let failed = Arc::new(AtomicBool::new(false));
        let seen = failed.clone();
        let waiter =
            spawn(&ring, move |ring| ring.wait_committed(8, None, || seen.load(Ordering::Acquire)));
        failed.store(true, Ordering::Release);
        ring.wake();
        assert_eq!(waiter.join().unwrap(), Waited::Woken);
        // The consumer did not wait yet, and is not missed.
        assert!(!consumer.wait_published(None));
    });
}

#[test]
fn closing_wakes_all() {
    explore("closing_wakes_all", Some(3), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        append(&ring, 1, 40);
        let producer = spawn(&ring, |ring| ring.acquire(40).map(|permit| permit.len()));
        let waiter = spawn(&ring, |ring| ring.wait_committed(48, None, || false));
        ring.close();
        assert_eq!(producer.join().unwrap(), Err(Error::Closed));
        assert_eq!(waiter.join().unwrap(), Waited::Closed);
        let log = drain_all(&mut consumer, 40);
        assert!(!consumer.wait_published(None));
        assert!(consumer.is_finished());
        assert_conserved(&ring, &log, &[(1, 40)]);
    });
}

#[test]
fn closing_lets_the_consumer_finish_with_what_is_in_flight() {
    explore("closing_lets_the_consumer_finish", Some(3), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let unused = spawn(&ring, |ring| drop(ring.acquire(8)));
        let appending = spawn(&ring, |ring| match ring.acquire(16) {
            Err(refused) => {
                assert_eq!(refused, Error::Closed);
                0
            }
            Ok(permit) => {
                permit.reserve().publish();
                1
            }
        });
        ring.close();
        let mut log = Vec::new();
        while consumer.wait_published(None) || !consumer.is_finished() {
            drain(&mut consumer, &mut log);
        }
        // Finished is final: whoever was granted space before the closing has used or returned it.
        assert_eq!(ring.granted(), log.len() as u64);
        unused.join().unwrap();
        let records = appending.join().unwrap();
        assert_conserved(&ring, &log, &vec![(0, 16); records]);
    });
}

#[test]
fn reset_after_drain_begins_anew() {
    explore("reset_after_drain_begins_anew", Some(4), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let producer = spawn(&ring, |ring| append(ring, 1, 16));
        drop(ring);
        let log = drain_all(&mut consumer, 16);
        assert_eq!(log, [1; 16]);
        // The producer may still be on its way out of the ring.
        match consumer.reset(0) {
            Ok(()) => {}
            Err(refused) => {
                assert_eq!(refused, Error::Shared);
                producer.join().unwrap();
                consumer.reset(0).unwrap();
            }
        }
        let ring = consumer.ring().clone();
        let again = spawn(&ring, |ring| append(ring, 2, 24));
        let log = drain_all(&mut consumer, 24);
        assert_eq!((again.join().unwrap(), log), (0, vec![2; 24]));
        assert_eq!((ring.committed_records(), ring.tail()), (2, 24));
    });
}

#[test]
fn a_walk_is_not_misled_by_a_later_lap() {
    explore("a_walk_is_not_misled_by_a_later_lap", Some(4), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let producer = spawn(&ring, |ring| {
            let address = append(ring, 1, 32);
            // While this looks, its record may be drained and its mark be overwritten by one of the next lap.
            let committed = ring.committed();
            assert!(
                address != 0 || committed >= 32,
                "the first record is published, and was not found"
            );
        });
        let mut log = Vec::new();
        append(&ring, 2, 32);
        drain(&mut consumer, &mut log);
        let mut records = vec![(1, 32), (2, 32)];
        if let Ok(permit) = ring.try_acquire(32) {
            let mut record = permit.reserve();
            record.put_bytes(3, 32);
            record.publish();
            records.push((3, 32));
        }
        producer.join().unwrap();
        drain(&mut consumer, &mut log);
        assert_conserved(&ring, &log, &records);
    });
}

#[test]
fn record_count_is_never_ahead_of_the_bytes() {
    explore("record_count_is_never_ahead_of_the_bytes", Some(2), || {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        let producers = [1, 2].map(|byte| spawn(&ring, move |ring| append(ring, byte, 16)));
        let helper = spawn(&ring, |ring| ring.committed());
        let records = ring.committed_records();
        let bytes = ring.committed();
        assert!(bytes >= 16 * records);
        for producer in producers {
            producer.join().unwrap();
        }
        helper.join().unwrap();
        let mut log = Vec::new();
        drain(&mut consumer, &mut log);
        assert_conserved(&ring, &log, &[(1, 16), (2, 16)]);
    });
}
