//! What an append of 100 bytes costs, in the ring and in what one would write instead.
//!
//! Alone: one thread, nobody else; the time of acquire, reserve, fill and publish, with a drain whenever the
//! ring is full. Its neighbours are a plain copy, a vector behind a mutex and two bounded channels of boxed records. Together: several threads
//! append while one more drains; the time is that of all appends divided by their number, so with more threads than processors it
//! shows the cost of the waiting too.
//!
//! `cargo bench -p holt-wal-ring`

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BufMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use holt_wal_ring::{Consumer, Ring};

/// Bytes of a record.
const RECORD: usize = 100;
/// Bytes that each contestant may hold before somebody has to take them out.
const CAPACITY: usize = 1 << 20;
/// The same for channels, in records.
const SLOTS: usize = CAPACITY / RECORD;

#[inline]
fn append(ring: &Ring, record: &[u8; RECORD]) {
    let permit = ring.acquire(RECORD).expect("the ring is open");
    let mut reservation = permit.reserve();
    reservation.put_slice(record);
    reservation.publish();
}

/// Takes everything out, looking at a byte of each piece.
fn drain(consumer: &mut Consumer) {
    consumer
        .drain(|piece| {
            black_box(piece);
            Ok::<(), Infallible>(())
        })
        .expect("the sink does not fail");
}

/// The time that `count` calls of `append` take; `drain` is called before each `CAPACITY` bytes of them, outside the time.
fn appends(count: u64, append: impl Fn(), mut drain: impl FnMut()) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        drain();
        // A record takes 104 bytes of the ring.
        let now = left.min((CAPACITY / RECORD.next_multiple_of(8)) as u64);
        let start = Instant::now();
        for _ in 0..now {
            append();
        }
        spent += start.elapsed();
        left -= now;
    }
    spent
}

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 100 B alone");
    group.throughput(Throughput::Bytes(RECORD as u64));
    let record = black_box([7; RECORD]);

    group.bench_function("ring", |bencher| {
        let (ring, mut consumer) = Ring::new(CAPACITY, 0).expect("memory");
        bencher.iter_custom(|count| {
            appends(count, || append(&ring, &record), || drain(&mut consumer))
        });
    });
    group.bench_function("ring, drained within the time", |bencher| {
        let (ring, mut consumer) = Ring::new(CAPACITY, 0).expect("memory");
        bencher.iter_custom(|count| {
            let start = Instant::now();
            appends(count, || append(&ring, &record), || drain(&mut consumer));
            start.elapsed()
        });
    });
    group.bench_function("memcpy", |bencher| {
        let mut buffer = vec![1; CAPACITY];
        let mut at = 0;
        bencher.iter(|| {
            if at + RECORD > buffer.len() {
                at = 0;
            }
            buffer[at..at + RECORD].copy_from_slice(black_box(&record));
            at += RECORD.next_multiple_of(8);
            black_box(buffer.as_ptr());
        });
    });
    group.bench_function("mutex and vector", |bencher| {
        let buffer = Mutex::new(Vec::<u8>::with_capacity(CAPACITY));
        let append = || buffer.lock().expect("no panic").extend_from_slice(black_box(&record));
        bencher.iter_custom(|count| {
            appends(count, append, || buffer.lock().expect("no panic").clear())
        });
    });
    group.bench_function("crossbeam channel", |bencher| {
        let (sender, receiver) = crossbeam_channel::bounded::<Box<[u8]>>(SLOTS);
        let append = || sender.send(Box::from(&black_box(record)[..])).expect("the receiver lives");
        bencher.iter_custom(|count| {
            appends(count, append, || {
                receiver.try_iter().for_each(|record| drop(black_box(record)))
            })
        });
    });
    group.bench_function("sync channel", |bencher| {
        let (sender, receiver) = sync_channel::<Box<[u8]>>(SLOTS);
        let append = || sender.send(Box::from(&black_box(record)[..])).expect("the receiver lives");
        bencher.iter_custom(|count| {
            appends(count, append, || {
                receiver.try_iter().for_each(|record| drop(black_box(record)))
            })
        });
    });
    group.finish();
}

/// The time that `threads` threads take for `count` calls of `append` altogether, `take` running beside them until
/// `stop` has been called.
fn crowd(
    threads: u64,
    count: u64,
    append: impl Fn() + Sync,
    take: impl FnOnce() + Send,
    stop: impl FnOnce(),
) -> Duration {
    let ready = Barrier::new(threads as usize + 1);
    thread::scope(|scope| {
        scope.spawn(take);
        let appending: Vec<_> = (0..threads)
            .map(|thread| {
                let (ready, append) = (&ready, &append);
                scope.spawn(move || {
                    ready.wait();
                    for _ in 0..count / threads + u64::from(thread < count % threads) {
                        append();
                    }
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        for thread in appending {
            thread.join().expect("no panic");
        }
        let spent = start.elapsed();
        stop();
        spent
    })
}

fn together(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 100 B together");
    group.throughput(Throughput::Bytes(RECORD as u64));
    let record = black_box([7; RECORD]);

    for threads in [1, 2, 4, 8] {
        group.bench_with_input(BenchmarkId::new("ring", threads), &threads, |bencher, &threads| {
            bencher.iter_custom(|count| {
                let (ring, mut consumer) = Ring::new(CAPACITY, 0).expect("memory");
                let take = || {
                    while consumer.wait_published(None) || !consumer.is_finished() {
                        drain(&mut consumer);
                    }
                };
                crowd(threads, count, || append(&ring, &record), take, || ring.close())
            });
        });
        let id = BenchmarkId::new("mutex and vector", threads);
        group.bench_with_input(id, &threads, |bencher, &threads| {
            bencher.iter_custom(|count| {
                // Two vectors, exchanged by the one that drains; it never limits the others, which favours it.
                let buffer = Mutex::new(Vec::<u8>::with_capacity(CAPACITY));
                let append = || buffer.lock().expect("no panic").extend_from_slice(&record);
                let stop = AtomicBool::new(false);
                let take = || {
                    let mut other = Vec::with_capacity(CAPACITY);
                    while !stop.load(Ordering::Relaxed) {
                        std::mem::swap(&mut *buffer.lock().expect("no panic"), &mut other);
                        black_box(&other);
                        other.clear();
                        thread::yield_now();
                    }
                };
                crowd(threads, count, append, take, || stop.store(true, Ordering::Relaxed))
            });
        });
        let id = BenchmarkId::new("crossbeam channel", threads);
        group.bench_with_input(id, &threads, |bencher, &threads| {
            bencher.iter_custom(|count| {
                let (sender, receiver) = crossbeam_channel::bounded::<Box<[u8]>>(SLOTS);
                let append = || sender.send(Box::from(&record[..])).expect("the receiver lives");
                let take = || {
                    receiver.iter().take(count as usize).for_each(|record| drop(black_box(record)))
                };
                crowd(threads, count, append, take, || {})
            });
        });
        let id = BenchmarkId::new("sync channel", threads);
        group.bench_with_input(id, &threads, |bencher, &threads| {
            bencher.iter_custom(|count| {
                let (sender, receiver) = sync_channel::<Box<[u8]>>(SLOTS);
                let append = || sender.send(Box::from(&record[..])).expect("the receiver lives");
                let take = move || {
                    receiver.iter().take(count as usize).for_each(|record| drop(black_box(record)))
                };
                crowd(threads, count, append, take, || {})
            });
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group! { name = benches; config = short(); targets = alone, together }
criterion_main!(benches);
