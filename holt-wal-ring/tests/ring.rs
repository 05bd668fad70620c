//! What one ring promises, one promise a test.
#![cfg(not(loom))]

mod common;

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use bytes::BufMut;
use common::{append, drain};
use holt_wal_ring::{Consumer, Drained, Error, GRANULE, Permit, Reservation, Ring, Waited};
#[test]
fn capacity_is_a_power_of_two_of_at_least_64() {
    for (asked, given) in [(0, 64), (1, 64), (64, 64), (65, 128), (1000, 1024), (4096, 4096)] {
        assert_eq!(Ring::new(asked, 0).unwrap().0.capacity(), given);
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    assert_eq!(Ring::new(64, 4).unwrap_err(), Error::Misaligned { address: 4 });
    let capacity = usize::MAX;
    assert_eq!(Ring::new(capacity, 0).unwrap_err(), Error::CapacityTooLarge { capacity });
    assert!(matches!(Ring::new(1 << 62, 0), Err(Error::OutOfMemory { .. })));
}

#[test]
fn empty_and_oversize_records_are_refused_before_anything_is_reserved() {
    let (ring, _consumer) = Ring::new(64, 8).unwrap();
    for acquire in [Ring::acquire, Ring::try_acquire] {
        assert_eq!(acquire(&ring, 0).unwrap_err(), Error::Empty);
        let refused = Error::TooLarge { len: 65, capacity: 64 };
        assert_eq!(acquire(&ring, 65).unwrap_err(), refused);
        let len = usize::MAX;
        assert_eq!(acquire(&ring, len).unwrap_err(), Error::TooLarge { len, capacity: 64 });
    }
    assert_eq!((ring.tail(), ring.granted()), (8, 8));
    assert_eq!(ring.acquire(64).unwrap().len(), 64);
}

#[test]
fn addresses_tile_the_stream() {
    let (ring, mut consumer) = Ring::new(64, 4096).unwrap();
    let mut next = 4096;
    for len in (1..=64).cycle().take(1000) {
        let reservation = ring.acquire(len).unwrap().reserve();
        assert_eq!(reservation.address(), next);
        assert_eq!(reservation.len(), len.next_multiple_of(GRANULE));
        next = reservation.end();
        reservation.publish();
        assert_eq!((ring.tail(), ring.committed()), (next, next));
        drain(&mut consumer);
        assert_eq!(ring.drained(), next);
    }
    assert_eq!(ring.committed_records(), 1000);
}

#[test]
fn a_record_that_wraps_reads_back_as_if_laid_out_straight() {
    let record: Vec<u8> = (1..=64).collect();
    for shift in (0..64).step_by(GRANULE) {
        for len in 1..=64 {
            let (ring, mut consumer) = Ring::new(64, 0).unwrap();
            if shift != 0 {
                append(&ring, &record[..shift]);
                drain(&mut consumer);
            }
            append(&ring, &record[..len]);
            let log = drain(&mut consumer);
            assert_eq!(&log[..len], &record[..len], "{len} bytes at place {shift}");
            assert!(log[len..].iter().all(|&byte| byte == 0));
        }
    }
}

#[test]
fn a_wrapping_record_is_two_pieces_and_a_straight_run_of_records_one() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    for _ in 0..5 {
        append(&ring, b"8 bytes!");
    }
    drain(&mut consumer);
    append(&ring, &[1; 40]);
    append(&ring, &[2; 8]);
    let mut pieces = Vec::new();
    consumer
        .drain(|piece| {
            let Drained::Bytes { address, bytes } = piece else { panic!("{piece:?}") };
            pieces.push((address, bytes.to_vec()));
            Ok::<(), Infallible>(())
        })
        .unwrap();
    assert_eq!(pieces, [(40, vec![1; 24]), (64, [[1; 8], [1; 8], [2; 8]].concat())]);
}

#[test]
fn publication_out_of_order_waits_for_the_gap_and_releases_all_at_once() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let [first, second, third] = [(); 3].map(|()| ring.acquire(16).unwrap().reserve());
    third.publish();
    assert_eq!((ring.committed(), ring.committed_records()), (0, 0));
    second.publish();
    assert_eq!((ring.committed(), ring.committed_records()), (0, 0));
    assert!(drain(&mut consumer).is_empty());
    first.publish();
    assert_eq!((ring.committed(), ring.committed_records()), (48, 3));
    assert_eq!(drain(&mut consumer).len(), 48);
}

#[test]
fn the_order_of_permits_is_not_the_order_of_addresses() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let early = ring.acquire(8).unwrap();
    let mut late = ring.acquire(16).unwrap().reserve();
    let mut early = early.reserve();
    assert_eq!((late.address(), early.address()), (0, 16));
    early.put_slice(b"3");
    early.publish();
    late.put_slice(b"12");
    late.publish();
    assert_eq!(&drain(&mut consumer)[..17], b"12\0\0\0\0\0\0\0\0\0\0\0\0\0\x003");
}

#[test]
fn a_partial_fill_publishes_zeroes_and_no_old_bytes() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, &[0xff; 64]);
    drain(&mut consumer);
    ring.acquire(24).unwrap().reserve().publish();
    append(&ring, b"x");
    let mut wrapping = ring.acquire(32).unwrap().reserve();
    wrapping.put_slice(b"y");
    wrapping.publish();
    let mut expected = [0; 64];
    expected[24] = b'x';
    expected[32] = b'y';
    assert_eq!(drain(&mut consumer), expected);
}

#[test]
fn the_writer_gives_every_byte_once_through_every_door() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, &[0; 40]);
    drain(&mut consumer);
    let mut record = ring.acquire(48).unwrap().reserve();
    assert_eq!(record.remaining_mut(), 48);
    record.put_u8(1);
    record.put_u64_le(0x0908_0706_0504_0302);
    record.put_bytes(10, 5);
    record.put(&[11; 20][..]);
    assert_eq!((record.written(), record.remaining_mut()), (34, 14));
    assert_eq!(record.chunk_mut().len(), 14);
    record.put_bytes(12, 14);
    assert_eq!((record.remaining_mut(), record.chunk_mut().len()), (0, 0));
    record.publish();
    let expected = [&[1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[10; 5], &[11; 20], &[12; 14]].concat();
    assert_eq!(drain(&mut consumer), expected);
}

#[test]
fn writing_beyond_the_reservation_panics_and_leaves_a_skip() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut record = ring.acquire(16).unwrap().reserve();
        record.put_slice(b"0123456789");
        record.put_slice(b"abcdefg");
    }));
    assert!(outcome.is_err());
    append(&ring, b"the next");
    assert_eq!(drain(&mut consumer), b"................the next");
}

#[test]
fn a_dropped_reservation_is_a_skip_and_not_a_gap() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, b"8 before");
    drop(ring.acquire(9).unwrap().reserve());
    drop(ring.acquire(8).unwrap().reserve());
    append(&ring, b"8 behind");
    assert_eq!((ring.committed(), ring.committed_records()), (40, 2));
    assert_eq!(drain(&mut consumer), b"8 before........................8 behind");
    append(&ring, b"8 later!");
    drop(ring.acquire(1).unwrap().reserve());
    assert_eq!(drain(&mut consumer), b"8 later!........");
}

#[test]
fn a_panicking_producer_leaves_a_skip_and_not_a_stuck_ring() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let outcome = thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let mut record = ring.acquire(24).unwrap().reserve();
            record.put_slice(b"half of it");
            resume_unwind(Box::new(()));
        });
        panicking.join()
    });
    assert!(outcome.is_err());
    append(&ring, b"goes on!");
    assert_eq!(drain(&mut consumer), b"........................goes on!");
}

#[test]
fn a_failing_sink_drains_nothing_and_sees_everything_again() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, b"record 1");
    drop(ring.acquire(8).unwrap().reserve());
    append(&ring, b"record 2");
    for fail_at in 0..3 {
        let mut piece = 0;
        let outcome = consumer.drain(|_| {
            piece += 1;
            if piece > fail_at { Err("full") } else { Ok(()) }
        });
        assert_eq!(outcome, Err("full"));
        assert_eq!((consumer.drained(), ring.drained()), (0, 0));
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        consumer.drain(|_| -> Result<(), Infallible> { resume_unwind(Box::new(())) })
    }));
    assert!(panicked.is_err());
    assert_eq!(drain(&mut consumer), b"record 1........record 2");
    assert_eq!(consumer.drain(|_| Err("never called")), Ok(0));
}

#[test]
fn a_full_ring_refuses_until_it_is_drained() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    append(&ring, &[1; 40]);
    let reserved = ring.acquire(16).unwrap().reserve();
    assert_eq!(ring.try_acquire(9).unwrap_err(), Error::Full);
    let last = ring.try_acquire(8).unwrap();
    assert_eq!(ring.try_acquire(1).unwrap_err(), Error::Full);
    drain(&mut consumer);
    assert_eq!(ring.try_acquire(41).unwrap_err(), Error::Full);
    assert_eq!(ring.try_acquire(40).unwrap().len(), 40);
    reserved.publish();
    drop(last);
    assert_eq!(drain(&mut consumer).len(), 16);
    assert_eq!(ring.try_acquire(64).unwrap().len(), 64);
}

#[test]
fn a_returned_permit_frees_what_it_held_and_nothing_else() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    let unused = ring.acquire(32).unwrap();
    let used = ring.acquire(32).unwrap();
    assert_eq!((ring.tail(), ring.granted()), (0, 64));
    let mut record = used.reserve();
    drop(unused);
    assert_eq!((ring.tail(), ring.granted()), (32, 32));
    record.put_slice(&[1; 32]);
    append(&ring, &[2; 32]);
    assert_eq!(ring.try_acquire(1).unwrap_err(), Error::Full);
    record.publish();
    assert_eq!(drain(&mut consumer), [[1; 32], [2; 32]].concat());
}

#[test]
fn nothing_is_granted_beyond_the_limit() {
    let (ring, _consumer) = Ring::new(64, 0).unwrap();
    assert_eq!(ring.limit(), u64::MAX);
    ring.set_limit(20);
    assert_eq!(ring.limit(), 20);
    let first = ring.try_acquire(16).unwrap();
    assert_eq!(ring.try_acquire(1).unwrap_err(), Error::Full);
    drop(first);
    assert_eq!(ring.try_acquire(17).unwrap_err(), Error::Full);
    ring.set_limit(24);
    assert_eq!(ring.try_acquire(17).unwrap().len(), 24);
}

#[test]
fn the_address_space_ends_with_an_error() {
    let start = u64::MAX - 31;
    let (ring, mut consumer) = Ring::new(64, start).unwrap();
    assert_eq!(append(&ring, b"the last sixteen"), start);
    assert_eq!(ring.acquire(9).unwrap_err(), Error::Exhausted { len: 16 });
    assert_eq!(append(&ring, b"8 bytes!"), u64::MAX - 15);
    assert_eq!(ring.acquire(1).unwrap_err(), Error::Exhausted { len: 8 });
    assert_eq!(drain(&mut consumer), b"the last sixteen8 bytes!");
    assert!(!consumer.wait_published(Some(Duration::ZERO)));
    assert_eq!(ring.wait_committed(u64::MAX, Some(Duration::ZERO), || false), Waited::TimedOut);
}

#[test]
fn preparing_says_whether_memory_is_left_that_was_never_used_and_changes_no_byte() {
    const HALF: usize = 1 << 19;
    let (ring, mut consumer) = Ring::new(2 * HALF, 4096).unwrap();
    assert!(ring.prepare(0) && ring.prepare(2 * HALF - 8));
    assert!(!ring.prepare(2 * HALF));
    for byte in [1, 2] {
        let mut record = ring.acquire(HALF).unwrap().reserve();
        record.put_bytes(byte, HALF / 2);
        assert_eq!(ring.prepare(HALF - 8), byte == 1, "no memory is new behind the second record");
        record.put_bytes(byte, HALF / 2);
        record.publish();
    }
    assert!(!ring.prepare(8), "the second lap has begun");
    let log = drain(&mut consumer);
    assert!(log[..HALF].iter().all(|&byte| byte == 1) && log[HALF..].iter().all(|&byte| byte == 2));
    assert_eq!(log.len(), 2 * HALF);
    drop(ring);
    consumer.reset(0).unwrap();
    assert!(!consumer.ring().prepare(8), "a ring that was reset has used its memory");
}

#[test]
fn reset_begins_anew_and_keeps_the_record_count() {
    let (ring, mut consumer) = Ring::new(64, 4096).unwrap();
    for lap in 1..=3 {
        append(&ring, &[lap; 24]);
        append(&ring, &[lap; 8]);
        drain(&mut consumer);
    }
    drop(ring);
    // The addresses come again, and the marks of their first use must not.
    consumer.reset(4096).unwrap();
    let ring = consumer.ring().clone();
    let counters = (ring.drained(), ring.committed(), ring.tail(), ring.granted());
    assert_eq!(counters, (4096, 4096, 4096, 4096));
    assert_eq!(ring.committed_records(), 6);
    let gap = ring.acquire(24).unwrap().reserve();
    append(&ring, &[9; 8]);
    assert_eq!(ring.committed(), 4096);
    gap.publish();
    assert_eq!((ring.committed(), ring.committed_records()), (4128, 8));
    assert_eq!(drain(&mut consumer).len(), 32);
}

#[test]
fn reset_is_refused_while_the_ring_is_shared_or_holds_anything() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    assert_eq!(consumer.reset(8), Err(Error::Shared));
    append(&ring, &[1; 8]);
    drop(ring);
    assert_eq!(consumer.reset(8), Err(Error::NotDrained { drained: 0, tail: 8 }));
    assert_eq!(drain(&mut consumer), [1; 8]);
    assert_eq!(consumer.reset(12), Err(Error::Misaligned { address: 12 }));
    std::mem::forget(consumer.ring().acquire(8).unwrap());
    assert_eq!(consumer.reset(0), Ok(()));
    assert_eq!(consumer.ring().granted(), 0);
    std::mem::forget(consumer.ring().acquire(8).unwrap().reserve());
    assert_eq!(consumer.reset(0), Err(Error::NotDrained { drained: 0, tail: 8 }));
}

#[test]
fn a_closed_ring_stays_closed_over_a_reset() {
    let (ring, mut consumer) = Ring::new(64, 0).unwrap();
    ring.close();
    drop(ring);
    consumer.reset(64).unwrap();
    assert_eq!(consumer.ring().acquire(8).unwrap_err(), Error::Closed);
    assert!(consumer.is_finished());
}

#[test]
fn handles_go_where_they_are_needed() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Ring>();
    sync::<Ring>();
    send::<Consumer>();
    send::<Permit<'_>>();
    send::<Reservation<'_>>();
}
