//! What depends on the size of a frame, in one line for `cargo xtask frame-size`.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use holt_art::Pool;

use crate::shapes::{Random, empty_map, keys};

/// Operations that are timed together; the median of many such times is told.
const CHUNK: usize = 2_000;
/// Gets that are timed at least.
const GETS: usize = 400_000;
/// Copies of a frame that are timed.
const COPIES: usize = 301;
/// Bytes among which the frames that are copied lie.
const ARENA: usize = 128 << 20;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median time of `each` over chunks of the keys, in nanoseconds a key.
fn over(keys: &[Vec<u8>], mut each: impl FnMut(&[u8])) -> Vec<f64> {
    let chunks = keys.chunks_exact(CHUNK.min(keys.len()));
    chunks
        .map(|chunk| {
            let start = Instant::now();
            for key in chunk {
                each(black_box(key));
            }
            start.elapsed().as_nanos() as f64 / chunk.len() as f64
        })
        .collect()
}

/// The time of copying a frame that is in no near cache, word by word as the pool does it.
fn copy() -> f64 {
    let words = Pool::FRAME_BYTES / 8;
    let arena: Vec<AtomicU64> = (0..ARENA / 8).map(|n| AtomicU64::new(n as u64)).collect();
    let frames: Vec<&[AtomicU64]> = arena.chunks_exact(words).collect();
    let mut random = Random(11);
    let times = (0..COPIES).map(|_| {
        let (from, to) = (random.below(frames.len()), random.below(frames.len()));
        let start = Instant::now();
        for (to, from) in frames[to].iter().zip(frames[from]) {
            // Relaxed: there is one thread.
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        start.elapsed().as_nanos() as f64
    });
    median(times.collect())
}

/// Prints shape, keys, fill, crossings a get, put, get and copy of a frame in nanoseconds.
pub(crate) fn run(shape: &str, count: usize) {
    let (mut set, length) = keys(shape, count);
    Random(42).shuffle(&mut set);
    let map = empty_map();
    let value = vec![0x5A; length];
    let puts = over(&set, |key| {
        black_box(map.put(key, &value).expect("memory"));
    });
    assert_eq!(map.len(), set.len() as u64);
    Random(43).shuffle(&mut set);
    let mut gets = Vec::new();
    for _ in 0..GETS.div_ceil(set.len()) {
        gets.extend(over(&set, |key| {
            let found = map.tree().get(key, |value, _| value[0]);
            assert!(black_box(found).is_ok_and(|found| found.is_some()));
        }));
    }
    println!(
        "frames {shape} {} {:.4} {:.4} {:.1} {:.1} {:.0}",
        set.len(),
        map.tree().pool().stats().fill(),
        map.tree().mean_crossings(),
        median(puts),
        median(gets),
        copy(),
    );
}
