//! Times of single gets and puts, by one thread and by two.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_utils::CachePadded;
use holt_art::{Art, Condition, Pool, Version};

use crate::shapes::{Random, empty_map, keys};
use crate::times::pointer_chase;

/// Operations of a round.
const STEPS: usize = 400_000;
/// Rounds of each kind, one after the other in turns; the best and the median are told.
const ROUNDS: usize = 7;

/// Keys at random, one behind the other in memory, so that getting at the next one costs nothing.
struct Stream {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Stream {
    fn new(set: &[Vec<u8>], seed: u64, count: usize) -> Self {
        let mut random = Random(seed);
        let mut stream = Self { bytes: Vec::new(), ends: Vec::with_capacity(count) };
        for _ in 0..count {
            stream.bytes.extend_from_slice(&set[random.below(set.len())]);
            stream.ends.push(stream.bytes.len());
        }
        stream
    }

    fn each(&self, mut each: impl FnMut(&[u8])) {
        let mut start = 0;
        for &end in &self.ends {
            each(black_box(&self.bytes[start..end]));
            start = end;
        }
    }

    /// The time of `each` over all keys, in nanoseconds a key.
    fn time(&self, each: impl FnMut(&[u8])) -> f64 {
        let start = Instant::now();
        self.each(each);
        start.elapsed().as_nanos() as f64 / self.ends.len() as f64
    }
}

fn get(map: &Art, key: &[u8]) {
    let found = map.tree().get(key, |value, _| value.first().copied());
    assert!(black_box(found).is_ok_and(|found| found.is_some()));
}

fn best_and_median(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

fn load(shape: &str, count: usize) -> (Art, Vec<Vec<u8>>, Vec<u8>) {
    let (mut set, length) = keys(shape, count);
    Random(42).shuffle(&mut set);
    let map = empty_map();
    let value = vec![0x5A; length];
    for key in &set {
        map.put(key, &value).expect("memory");
    }
    (map, set, value)
}

/// Prints the times of single operations by one thread.
pub(crate) fn run(shape: &str, count: usize) {
    let (map, set, value) = load(shape, count);
    let stream = Stream::new(&set, 43, STEPS);
    let fresh: Vec<Vec<u8>> = set
        .iter()
        .take(STEPS)
        .map(|key| {
            let mut key = key.clone();
            *key.last_mut().expect("keys have bytes") ^= 0x80;
            key
        })
        .collect();
    let created = Stream::new(&fresh, 44, STEPS / 4);
    let mut times: [Vec<f64>; 4] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        times[0].push(stream.time(|key| get(&map, key)));
        times[1].push(stream.time(|key| {
            black_box(map.put(key, &value).expect("memory"));
        }));
        times[2].push(created.time(|key| {
            black_box(map.put(key, &value).expect("memory"));
            black_box(map.remove(key).expect("memory"));
        }));
        let frames = map.tree().pool().stats().frames as usize;
        times[3].push(pointer_chase(frames * Pool::FRAME_BYTES));
    }
    let [get, put, create, chase] = times.each_mut().map(|times| best_and_median(times));
    println!(
        "{shape}, {} keys, best and median in ns: get {:.1} {:.1}, put (same size) {:.1} {:.1}, \
         create and delete {:.1} {:.1}, raw pointer chase {:.1} {:.1}",
        set.len(),
        get.0,
        get.1,
        put.0,
        put.1,
        create.0,
        create.1,
        chase.0,
        chase.1,
    );
}

/// The time of `STEPS` operations by each of the threads, from the first one's start to the last
/// one's end, in nanoseconds an operation of any of them.
fn beside(streams: &[Stream], each: impl Fn(&[u8]) + Sync) -> f64 {
    let barrier = Barrier::new(streams.len());
    let run = |stream: &Stream| {
        barrier.wait();
        let start = Instant::now();
        stream.each(&each);
        (start, Instant::now())
    };
    let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let threads: Vec<_> = streams.iter().map(|stream| scope.spawn(|| run(stream))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no operation fails")).collect()
    });
    let start = spans.iter().map(|span| span.0).min().expect("a thread");
    let end = spans.iter().map(|span| span.1).max().expect("a thread");
    (end - start).as_nanos() as f64 / (streams.len() * STEPS) as f64
}

/// Prints the times of gets, and of puts to different directories, by one thread and by two: of
/// a map's puts, and puts that get their versions from one counter and from one that each thread has for itself.
pub(crate) fn threads(shape: &str, count: usize) {
    let (map, mut set, value) = load(shape, count);
    set.sort();
    let halves = set.split_at(set.len() / 2);
    let streams = [Stream::new(halves.0, 43, STEPS), Stream::new(halves.1, 44, STEPS)];
    let mut times: [Vec<f64>; 8] = [const { Vec::new() }; 8];
    let put = |key: &[u8]| {
        black_box(map.put(key, &value).expect("memory"));
    };
    let counter = CachePadded::new(AtomicU64::new(1));
    let put_one = |key: &[u8]| {
        let next = || Version::new(counter.fetch_add(1, Ordering::Relaxed)).expect("far below");
        let pass = map.tree().pool().enter();
        let put = map.tree().put(&pass, key, &value, Condition::Always, next);
        black_box(put.expect("memory"));
    };
    thread_local!(static VERSIONS: Cell<u64> = const { Cell::new(1) });
    let next = || {
        VERSIONS.set(VERSIONS.get() + 1);
        Version::new(VERSIONS.get()).expect("far below the largest")
    };
    let put_own = |key: &[u8]| {
        let pass = map.tree().pool().enter();
        let put = map.tree().put(&pass, key, &value, Condition::Always, next);
        black_box(put.expect("memory"));
    };
    for round in 0..2 * ROUNDS {
        let one = &streams[round % 2..][..1];
        for (threads, times) in [one, &streams].into_iter().zip(times.chunks_exact_mut(4)) {
            times[0].push(beside(threads, |key| get(&map, key)));
            times[1].push(beside(threads, put));
            times[2].push(beside(threads, put_one));
            times[3].push(beside(threads, put_own));
        }
    }
    let best = times.each_mut().map(|times| best_and_median(times));
    let (one, two) = best.split_at(4);
    println!("{shape}, {} keys, best and median in ns an operation", set.len());
    let what = ["gets", "puts", "puts, versions of one counter", "puts, versions of each thread"];
    for (what, (one, two)) in what.into_iter().zip(one.iter().zip(two)) {
        println!(
            "  {what:<32} one thread {:6.1} {:6.1}, two {:6.1} {:6.1}: {:.2} times as fast",
            one.0,
            one.1,
            two.0,
            two.1,
            one.0 / two.0,
        );
    }
}
