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

/// What a key's directory is called; keys without one are taken apart by their first byte.
fn directory(key: &[u8]) -> &[u8] {
    let end = key.iter().rposition(|&byte| byte == b'/').unwrap_or(1);
    &key[..end.min(key.len())]
}

/// The keys of every other of `count` pieces of the set in order, and those of the ones in between. No piece ends
/// within a directory.
fn apart(set: &[Vec<u8>], pieces: usize) -> [Vec<Vec<u8>>; 2] {
    let directories: Vec<&[Vec<u8>]> =
        set.chunk_by(|one, other| directory(one) == directory(other)).collect();
    let mut keys = [Vec::new(), Vec::new()];
    for (at, directory) in directories.iter().enumerate() {
        keys[at * pieces / directories.len() % 2].extend_from_slice(directory);
    }
    keys
}

/// Prints the times of gets and puts by one thread and by two, of which each has directories of its own: half of
/// them in order, or every other one.
pub(crate) fn threads(shape: &str, count: usize) {
    let (map, mut set, value) = load(shape, count);
    set.sort();
    let directories = set.chunk_by(|one, other| directory(one) == directory(other)).count();
    for (how, pieces) in [("half of them in order", 2), ("every other one", directories)] {
        println!(
            "{shape}, {} keys in {directories} directories, {how}, best and median in ns",
            set.len()
        );
        let keys = apart(&set, pieces);
        let streams = [Stream::new(&keys[0], 43, STEPS), Stream::new(&keys[1], 44, STEPS)];
        two_threads(&map, &streams, &value);
    }
}

/// Lets two threads, each with its stream, do each of the kinds in `ROUNDS` rounds: one thread alone, then the other, then
/// both at once. Returns the times of one thread and of both for each kind and round, in nanoseconds an operation of any.
fn beside(
    streams: &[Stream; 2],
    kinds: &[&(dyn Fn(&Stream) + Sync); 4],
) -> ([Vec<f64>; 4], [Vec<f64>; 4]) {
    let barrier = Barrier::new(2);
    // The threads live through all of it, as those of a service do.
    let run = |me: usize| {
        let mut spans = Vec::new();
        for _ in 0..ROUNDS {
            for kind in kinds {
                for at_work in [&[0][..], &[1], &[0, 1]] {
                    barrier.wait();
                    let start = Instant::now();
                    if at_work.contains(&me) {
                        kind(&streams[me]);
                    }
                    spans.push((start, Instant::now()));
                }
            }
        }
        spans
    };
    let spans: [Vec<(Instant, Instant)>; 2] = std::thread::scope(|scope| {
        let threads = [0, 1].map(|me| {
            scope.spawn({
                let run = &run;
                move || run(me)
            })
        });
        threads.map(|thread| thread.join().expect("no operation fails"))
    });
    let mut times = ([const { Vec::new() }; 4], [const { Vec::new() }; 4]);
    let steps = spans[0].chunks_exact(3).zip(spans[1].chunks_exact(3));
    for (step, (first, second)) in steps.enumerate() {
        let alone = (first[0].1 - first[0].0) + (second[1].1 - second[1].0);
        let both = first[2].1.max(second[2].1) - first[2].0.min(second[2].0);
        // What one thread has to do is what both have to: the keys of one may be dearer than the other's.
        for (times, time) in [(&mut times.0, alone), (&mut times.1, both)] {
            times[step % 4].push(time.as_nanos() as f64 / (2 * STEPS) as f64);
        }
    }
    times
}

fn two_threads(map: &Art, streams: &[Stream; 2], value: &[u8]) {
    let put = |key: &[u8]| {
        black_box(map.put(key, value).expect("memory"));
    };
    let counter = CachePadded::new(AtomicU64::new(1));
    let put_one = |key: &[u8]| {
        let next = || Version::new(counter.fetch_add(1, Ordering::Relaxed)).expect("far below");
        let pass = map.tree().pool().enter();
        let put = map.tree().put(&pass, key, value, Condition::Always, next);
        black_box(put.expect("memory"));
    };
    thread_local!(static VERSIONS: Cell<u64> = const { Cell::new(1) });
    let next = || {
        VERSIONS.set(VERSIONS.get() + 1);
        Version::new(VERSIONS.get()).expect("far below the largest")
    };
    let put_own = |key: &[u8]| {
        let pass = map.tree().pool().enter();
        let put = map.tree().put(&pass, key, value, Condition::Always, next);
        black_box(put.expect("memory"));
    };
    let kinds: [&(dyn Fn(&Stream) + Sync); 4] = [
        &|stream| stream.each(|key| get(map, key)),
        &|stream| stream.each(put),
        &|stream| stream.each(put_one),
        &|stream| stream.each(put_own),
    ];
    let (mut one, mut two) = beside(streams, &kinds);
    let what = ["gets", "puts", "puts, versions of one counter", "puts, versions of each thread"];
    for (what, (one, two)) in what.into_iter().zip(one.iter_mut().zip(&mut two)) {
        let (one, two) = (best_and_median(one), best_and_median(two));
        println!(
            "  {what:<32} one thread {:6.1} {:6.1}, two {:6.1} {:6.1}: {:.2} and {:.2} times as fast",
            one.0,
            one.1,
            two.0,
            two.1,
            one.0 / two.0,
            one.1 / two.1,
        );
    }
}
