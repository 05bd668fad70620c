//! Many threads on a tiny ring: what was published comes out once, whole, in order, whatever else happens.
//!
//! Producers append checksummed records of random lengths, return permits, give reservations up and panic while filling; the
//! sink fails now and then. The test reads the drained log as a log reader would. Seeds are fixed and named in every failure.
#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use bytes::BufMut;
use holt_wal_ring::{Consumer, Drained, Ring, Waited};

/// Checksum, length, producer, number: four `u32`.
const HEADER: usize = 16;
/// In the length field: the range is a skip. A skip may have 8 bytes only, so it has the first two fields.
const SKIP: u32 = 1 << 31;

/// A small generator of numbers (a 64-bit linear congruence, its high bits folded).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 ^ self.0 >> 29).wrapping_mul(0x9e6c_63d0_876a_9a99) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One record, as it is to be found in the log.
fn record(producer: u32, number: u32, len: usize, random: &mut Random) -> Vec<u8> {
    let mut record = Vec::with_capacity(len);
    record.put_u32_le(0);
    record.put_u32_le(len as u32);
    record.put_u32_le(producer);
    record.put_u32_le(number);
    record.resize_with(len, || random.next() as u8);
    let checksum = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// Appends `count` records and does everything else that a producer may do in between.
fn produce(ring: &Ring, producer: u32, count: u32, seed: u64) {
    let mut random = Random(seed ^ u64::from(producer) << 32);
    let longest = ring.capacity().min(400);
    let mut number = 0;
    while number < count {
        let len = HEADER + random.below((longest - HEADER) as u64 + 1) as usize;
        let permit = ring.acquire(len).unwrap();
        match random.below(32) {
            0 => drop(permit),
            1 => drop(permit.reserve()),
            2 => {
                let fill = AssertUnwindSafe(|| {
                    let mut reservation = permit.reserve();
                    reservation.put_bytes(0xee, len / 2);
                    resume_unwind(Box::new("a producer's panic"))
                });
                let _: Box<_> = catch_unwind::<_, ()>(fill).unwrap_err();
            }
            choice => {
                let record = record(producer, number, len, &mut random);
                let mut reservation = permit.reserve();
                let end = reservation.end();
                for part in record.chunks(1 + random.below(64) as usize) {
                    reservation.put_slice(part);
                }
                reservation.publish();
                number += 1;
                if choice < 6 {
                    // Another thread drains meanwhile; publication does not depend on that.
                    assert_eq!(ring.wait_committed(end, None, || false), Waited::Committed);
                    assert!(ring.committed() >= end);
                }
            }
        }
    }
}

/// Drains until the ring is closed and empty, with a sink that fails now and then.
fn consume(mut consumer: Consumer, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut log = Vec::new();
    while consumer.wait_published(None) || !consumer.is_finished() {
        let good = log.len();
        let start = consumer.drained() - good as u64;
        let failing = random.below(8) == 0;
        let outcome = consumer.drain(|piece| {
            let here = start + log.len() as u64;
            match piece {
                Drained::Bytes { address, bytes } => {
                    assert_eq!(address, here, "seed {seed}");
                    log.extend_from_slice(bytes);
                }
                Drained::Skip { address, len } => {
                    assert_eq!(address, here, "seed {seed}");
                    log.put_u32_le(0);
                    log.put_u32_le(len as u32 | SKIP);
                    log.put_bytes(0, len - 8);
                }
                other => panic!("unknown piece {other:?}"),
            }
            if failing && random.below(2) == 0 { Err(()) } else { Ok(()) }
        });
        if outcome.is_err() {
            log.truncate(good);
        }
    }
    log
}

/// Reads the log back: every record intact, every producer's numbers in order, none missing.
fn verify(log: &[u8], producers: u32, count: u32, seed: u64) {
    let mut next = vec![0; producers as usize];
    let mut rest = log;
    while !rest.is_empty() {
        let field = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let stored = field(4);
        let len = (stored & !SKIP) as usize;
        if stored & SKIP == 0 {
            let at = log.len() - rest.len();
            assert_eq!(field(0), crc32fast::hash(&rest[4..len]), "seed {seed}, at {at}");
            let (producer, number) = (field(8) as usize, field(12));
            assert_eq!(number, next[producer], "seed {seed}, producer {producer}, at {at}");
            next[producer] += 1;
        }
        let padded = len.next_multiple_of(8);
        assert!(rest[len..padded].iter().all(|&byte| byte == 0), "seed {seed}: old bytes");
        rest = &rest[padded..];
    }
    assert_eq!(next, vec![count; producers as usize], "seed {seed}");
}

fn stress(capacity: usize, producers: u32, count: u32, seed: u64) {
    let start = 8 * (seed % 1000);
    let (ring, consumer) = Ring::new(capacity, start).unwrap();
    let log = thread::scope(|scope| {
        let drainer = scope.spawn(move || consume(consumer, seed));
        let appending: Vec<_> = (0..producers)
            .map(|producer| {
                let ring = &ring;
                scope.spawn(move || produce(ring, producer, count, seed))
            })
            .collect();
        let outcomes: Vec<_> = appending.into_iter().map(|thread| thread.join()).collect();
        ring.close();
        let log = drainer.join().unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "seed {seed}");
        log
    });
    assert_eq!(ring.tail(), start + log.len() as u64, "seed {seed}");
    assert_eq!((ring.committed(), ring.drained()), (ring.tail(), ring.tail()), "seed {seed}");
    assert_eq!(ring.granted(), ring.tail(), "seed {seed}: permits leaked");
    assert_eq!(ring.committed_records(), u64::from(producers * count), "seed {seed}");
    verify(&log, producers, count, seed);
}

#[test]
fn everything_published_comes_out_of_the_smallest_ring() {
    for seed in 1..=4 {
        stress(64, 4, 2_000, seed);
    }
}

#[test]
fn everything_published_comes_out_of_a_ring_of_256_bytes() {
    for seed in 11..=14 {
        stress(256, 3, 3_000, seed);
    }
}

#[test]
fn everything_published_comes_out_of_a_ring_of_4_kib() {
    for seed in 21..=24 {
        stress(4096, 6, 3_000, seed);
    }
}

#[test]
fn the_watermarks_never_go_back_nor_does_the_count_run_ahead_of_the_bytes() {
    const COUNT: u64 = 20_000;
    let (ring, mut consumer) = Ring::new(256, 0).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..COUNT / 2 {
                    ring.acquire(16).unwrap().reserve().publish();
                }
            });
        }
        scope.spawn(|| {
            let mut before = (0, 0);
            while before.0 < COUNT {
                let records = ring.committed_records();
                let bytes = ring.committed();
                assert!(bytes >= 16 * records, "{bytes} bytes for {records} records");
                assert!(records >= before.0 && bytes >= before.1);
                before = (records, bytes);
            }
            ring.close();
        });
        while consumer.wait_published(None) || !consumer.is_finished() {
            consumer.drain(|_| Ok::<(), std::convert::Infallible>(())).unwrap();
        }
    });
    assert_eq!((ring.committed_records(), ring.drained()), (COUNT, 16 * COUNT));
}
