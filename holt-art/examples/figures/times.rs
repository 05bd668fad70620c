//! Times of puts, gets and lists, and the fill after a load.

use std::hint::black_box;
use std::time::Instant;

use holt_art::{EntryRef, Pool, Scan};

use crate::shapes::{Random, empty_map, keys};

fn time(label: &str, operations: usize, mut run: impl FnMut()) {
    let start = Instant::now();
    run();
    let each = start.elapsed().as_nanos() as f64 / operations as f64;
    println!("  {label:<24} {each:8.1} ns");
}

/// Dependent loads over as much memory as the tree takes: the floor of any descent.
pub(crate) fn pointer_chase(bytes: usize) -> f64 {
    let count = (bytes / 64).max(16);
    let mut order: Vec<u32> = (0..count as u32).collect();
    Random(7).shuffle(&mut order);
    let mut lines = vec![[0u32; 16]; count];
    for pair in order.windows(2) {
        lines[pair[0] as usize][0] = pair[1];
    }
    lines[order[count - 1] as usize][0] = order[0];
    let steps = 2_000_000;
    let mut at = 0u32;
    let start = Instant::now();
    for _ in 0..steps {
        at = lines[at as usize][0];
    }
    black_box(at);
    start.elapsed().as_nanos() as f64 / steps as f64
}

/// Prints times and the fill after a random and after an ordered load of a shape.
pub(crate) fn run(shape: &str, count: usize) {
    for ordered in [false, true] {
        let (mut set, length) = load(shape, count, ordered);
        let payload: usize = set.iter().map(|key| key.len() + length).sum();
        println!("{shape}, {} keys, {} load", set.len(), order(ordered));
        let map = empty_map();
        let value = vec![0x5A; length];
        time("put (new)", set.len(), || {
            for key in &set {
                black_box(map.put(key, &value).expect("memory"));
            }
        });
        Random(43).shuffle(&mut set);
        let rounds = (1_000_000 / set.len()).max(1);
        let mut out = Vec::new();
        for _ in 0..2 {
            time("get into a buffer", set.len() * rounds, || {
                for _ in 0..rounds {
                    for key in &set {
                        let found = map.tree().get_into(black_box(key), &mut out);
                        assert!(black_box(found).is_ok_and(|found| found.is_some()));
                    }
                }
            });
        }
        time("get by closure", set.len() * rounds, || {
            for _ in 0..rounds {
                for key in &set {
                    let found = map.tree().get(black_box(key), |value, _| value[0]);
                    assert!(black_box(found).is_ok_and(|found| found.is_some()));
                }
            }
        });
        time("put (overwrite)", set.len(), || {
            for key in &set {
                black_box(map.put(key, &value).expect("memory"));
            }
        });
        let mut visited = 0usize;
        time("list, in place", set.len(), || {
            let mut cursor = map.scan(Scan::all());
            let _ = cursor.visit::<()>(|entry| {
                if let EntryRef::Key { key, value, .. } = entry {
                    visited += key.len() + value.len();
                }
                std::ops::ControlFlow::Continue(())
            });
        });
        assert_eq!(visited, payload);
        time("list, owned", set.len(), || {
            for entry in map.scan(Scan::all()) {
                black_box(entry.expect("sound"));
            }
        });
        let stats = map.tree().pool().stats();
        println!(
            "  fill {:.3}, {} frames, memory/payload {:.3}, raw pointer chase {:.1} ns",
            stats.fill(),
            stats.frames,
            (stats.frames * Pool::FRAME_BYTES as u64) as f64 / payload as f64,
            pointer_chase((stats.frames * Pool::FRAME_BYTES as u64) as usize),
        );
    }
}

/// Keys of a shape in the order in which they are to be put.
fn load(shape: &str, count: usize, ordered: bool) -> (Vec<Vec<u8>>, usize) {
    let (mut set, length) = keys(shape, count);
    if ordered {
        set.sort();
    } else {
        Random(42).shuffle(&mut set);
    }
    (set, length)
}

fn order(ordered: bool) -> &'static str {
    if ordered { "ordered" } else { "random" }
}

/// Prints only what is exact: the fill after a random and after an ordered load.
pub(crate) fn fill(shape: &str, count: usize) {
    for ordered in [false, true] {
        let (set, length) = load(shape, count, ordered);
        let payload: usize = set.iter().map(|key| key.len() + length).sum();
        let map = empty_map();
        let value = vec![0x5A; length];
        for key in &set {
            map.put(key, &value).expect("memory");
        }
        let stats = map.tree().pool().stats();
        println!(
            "{shape}, {} keys, {:<7} load: fill {:.3}, {} frames, memory/payload {:.3}, \
             {:.2} crossings a get",
            set.len(),
            order(ordered),
            stats.fill(),
            stats.frames,
            (stats.frames * Pool::FRAME_BYTES as u64) as f64 / payload as f64,
            map.tree().mean_crossings(),
        );
    }
}

/// Loads are repeated until this many keys have been put.
const PUTS: usize = 1_000_000;

/// Prints the time of a put, each the best of many loads of a fresh tree.
pub(crate) fn puts(shape: &str, count: usize) {
    for ordered in [false, true] {
        let (set, length) = load(shape, count, ordered);
        let mut shuffled = set.clone();
        Random(43).shuffle(&mut shuffled);
        let (value, longer) = (vec![0x5A; length], vec![0x5A; length + 16]);
        let mut best = [f64::MAX; 3];
        for _ in 0..(PUTS / set.len()).max(3) {
            let map = empty_map();
            let passes = [(&set, &value), (&shuffled, &value), (&shuffled, &longer)];
            for (best, (keys, value)) in best.iter_mut().zip(passes) {
                let start = Instant::now();
                for key in keys {
                    black_box(map.put(key, value).expect("memory"));
                }
                let each = start.elapsed().as_nanos() as f64 / keys.len() as f64;
                *best = best.min(each);
            }
        }
        let [new, same, longer] = best;
        println!(
            "{shape}, {} keys, {:<7} load: put (new) {new:.1} ns, put (same size) {same:.1} ns, \
             put (16 bytes longer) {longer:.1} ns",
            set.len(),
            order(ordered),
        );
    }
}

/// Gets at a time in [`many`].
const AT_ONCE: usize = 100;
/// Gets of each kind that [`many`] times.
const GETS: usize = 400_000;

/// Prints what many gets at once take beside gets one by one, both the best of rounds that
/// take turns.
pub(crate) fn many(shape: &str, count: usize) {
    let (mut set, length) = load(shape, count, false);
    let map = empty_map();
    let value = vec![0x5A; length];
    for key in &set {
        map.put(key, &value).expect("memory");
    }
    Random(43).shuffle(&mut set);
    let gets = GETS.min(set.len()) / AT_ONCE * AT_ONCE;
    let mut best = [f64::MAX; 2];
    for round in 0..12 {
        let begin = round * gets % (set.len() - gets + 1);
        let keys = &set[begin..begin + gets];
        let repeats = GETS / gets;
        let start = Instant::now();
        for _ in 0..repeats {
            for key in keys {
                let found = map.tree().get(black_box(key), |value, _| value[0]);
                assert!(black_box(found).is_ok_and(|found| found.is_some()));
            }
        }
        let single = start.elapsed();
        let start = Instant::now();
        for _ in 0..repeats {
            for keys in keys.chunks(AT_ONCE) {
                let mut found = 0;
                let take = |_, record: Option<(&[u8], _)>| {
                    found += usize::from(record.is_some_and(|(value, _)| value[0] == 0x5A));
                };
                map.tree().get_many(black_box(keys), take).expect("sound");
                assert_eq!(found, keys.len());
            }
        }
        for (best, time) in best.iter_mut().zip([single, start.elapsed()]) {
            *best = best.min(time.as_nanos() as f64 / (repeats * gets) as f64);
        }
    }
    let [single, many] = best;
    println!(
        "{shape}, {} keys, {} frames: one by one {single:.1} ns, {AT_ONCE} at once {many:.1} ns \
         each, {:.2} times as fast",
        set.len(),
        map.tree().pool().stats().frames,
        single / many,
    );
}

/// Prints the time of an ordered load by puts and at once, and the fill after each.
pub(crate) fn loads(shape: &str, count: usize) {
    let (set, length) = load(shape, count, true);
    let value = vec![0x5A; length];
    let (mut best, mut fill) = ([f64::MAX; 2], [0.0; 2]);
    for round in 0..2 * (PUTS / set.len()).max(3) {
        let map = empty_map();
        let start = Instant::now();
        if round % 2 == 0 {
            for key in &set {
                black_box(map.put(key, &value).expect("memory"));
            }
        } else {
            map.bulk_load(set.iter().map(|key| (key, &value))).expect("memory");
        }
        let each = start.elapsed().as_nanos() as f64 / set.len() as f64;
        best[round % 2] = best[round % 2].min(each);
        fill[round % 2] = map.tree().pool().stats().fill();
    }
    println!(
        "{shape}, {} keys in order: puts {:.1} ns, fill {:.3}; at once {:.1} ns, fill {:.3}",
        set.len(),
        best[0],
        fill[0],
        best[1],
        fill[1],
    );
}
