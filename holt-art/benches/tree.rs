//! What gets, puts, removals and lists cost by the shape of the keys and by the kind of
//! node, next to a dependent load, a copy of memory and a `BTreeMap`.
//!
//! Times are per key, record or group. All of it runs on one thread with 100,000 keys, so
//! the tree is larger than the nearest caches; `examples/figures.rs` has larger trees.
//!
//! `cargo bench -p holt-art`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::{Bound, ControlFlow};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use criterion::{BenchmarkId, measurement::WallTime};
use holt_art::{Art, Scan};

/// Keys of a shape.
const KEYS: usize = 100_000;
/// Records of a list.
const LIST: u64 = 100;
/// Keys of a multi-get.
const MANY: usize = 100;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, (self.next() % (at as u64 + 1)) as usize);
        }
    }
}

/// The keys of a shape in random order, and the length of their values.
fn keys(shape: &str) -> (Vec<Vec<u8>>, usize) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut keys: Vec<Vec<u8>> = (0..KEYS)
        .map(|n| {
            let (directory, file) = (n / 128, n % 128);
            match shape {
                "objstore" => {
                    format!("bucket-{:02}/path/sub-{directory}/file-{file:04}.bin", directory % 32)
                        .into_bytes()
                }
                "fs" => {
                    format!("/usr/local/share/category-{directory}/file-{file:04}").into_bytes()
                }
                _ => (0..4).flat_map(|_| random.next().to_le_bytes()).collect(),
            }
        })
        .collect();
    random.shuffle(&mut keys);
    (keys, if shape == "fs" { 32 } else { 60 })
}

fn loaded(keys: &[Vec<u8>], length: usize) -> Art {
    let map = Art::new().expect("address space");
    for key in keys {
        map.put(key, &vec![7; length]).expect("memory");
    }
    map
}

/// The time of `count` calls of `run` with one key after the other.
fn over(keys: &[Vec<u8>], count: u64, mut run: impl FnMut(&[u8])) -> Duration {
    let start = Instant::now();
    for key in keys.iter().cycle().take(count as usize) {
        run(black_box(key));
    }
    start.elapsed()
}

/// The directory that a key is in; everything from the key on where there are none.
fn listing(key: &[u8]) -> Scan {
    match key.iter().rposition(|&byte| byte == b'/') {
        Some(at) => Scan::prefix(&key[..=at]),
        None => Scan::all().start_after(key),
    }
}

/// Visits the list and returns how many entries it had.
fn visit(map: &Art, scan: Scan) -> u64 {
    let mut count = 0;
    let _ = map
        .scan(scan)
        .visit::<()>(|entry| {
            black_box(entry);
            count += 1;
            ControlFlow::Continue(())
        })
        .expect("sound");
    count
}

/// A list's time by entry: `run` lists and says how many entries there were.
fn by_entry(keys: &[Vec<u8>], count: u64, mut run: impl FnMut(&[u8]) -> u64) -> Duration {
    let (mut entries, mut at) = (0, 0);
    let start = Instant::now();
    while entries < count {
        entries += run(black_box(&keys[at % keys.len()])).max(1);
        at += 1;
    }
    start.elapsed().mul_f64(count as f64 / entries.max(1) as f64)
}

fn shapes(criterion: &mut Criterion) {
    for shape in ["objstore", "fs", "kv"] {
        let (keys, length) = keys(shape);
        let map = loaded(&keys, length);
        let mut group = criterion.benchmark_group(shape);
        settings(&mut group);
        points(&mut group, &keys, &map, length);
        lists(&mut group, &keys, &map);
        tree_map(&mut group, &keys, length);
    }
}

fn points(group: &mut BenchmarkGroup<'_, WallTime>, keys: &[Vec<u8>], map: &Art, length: usize) {
    group.bench_function("get, hit", |bencher| {
        bencher.iter_custom(|count| {
            over(keys, count, |key| drop(black_box(map.tree().get(key, |value, _| value[0]))))
        });
    });
    let absent: Vec<Vec<u8>> = keys.iter().map(|key| [key, &b"~"[..]].concat()).collect();
    group.bench_function("get, miss", |bencher| {
        bencher.iter_custom(|count| {
            over(&absent, count, |key| drop(black_box(map.tree().get(key, |value, _| value[0]))))
        });
    });
    group.bench_function("get of 100 at once", |bencher| {
        bencher.iter_custom(|count| {
            let rounds = count.div_ceil(MANY as u64);
            let start = Instant::now();
            for chunk in keys.chunks_exact(MANY).cycle().take(rounds as usize) {
                let found = map.get_many(chunk, |_, found| {
                    black_box(found);
                });
                found.expect("sound");
            }
            start.elapsed().mul_f64(count as f64 / (rounds * MANY as u64) as f64)
        });
    });
    let value = vec![8; length];
    group.bench_function("put, overwrite", |bencher| {
        bencher.iter_custom(|count| {
            over(keys, count, |key| {
                black_box(map.put(key, &value).expect("memory"));
            })
        });
    });
    group.bench_function("put, new, and remove", |bencher| {
        bencher.iter_custom(|count| {
            over(&absent, count, |key| {
                map.put(key, &value).expect("memory");
                map.remove(key).expect("memory");
            })
        });
    });
}

fn lists(group: &mut BenchmarkGroup<'_, WallTime>, keys: &[Vec<u8>], map: &Art) {
    let directions = [("list of 100, in place", false), ("list of 100, backward", true)];
    for (name, reverse) in directions {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let scan = |key: &[u8]| listing(key).reverse(reverse).limit(LIST);
                by_entry(keys, count, |key| visit(map, scan(key)))
            });
        });
    }
    group.bench_function("list of 100, owned", |bencher| {
        bencher.iter_custom(|count| {
            by_entry(keys, count, |key| {
                let list = map.scan(listing(key).limit(LIST));
                list.map(|entry| drop(black_box(entry.expect("sound")))).count() as u64
            })
        });
    });
    group.bench_function("list of 100 keys", |bencher| {
        bencher.iter_custom(|count| {
            by_entry(keys, count, |key| visit(map, listing(key).keys_only(true).limit(LIST)))
        });
    });
    group.bench_function("list of 8 groups", |bencher| {
        bencher.iter_custom(|count| {
            let roll = |from: &[u8]| Scan::range(from..).delimiter(b"/").keys_only(true).limit(8);
            by_entry(keys, count, |key| visit(map, roll(key)))
        });
    });
}

fn tree_map(group: &mut BenchmarkGroup<'_, WallTime>, keys: &[Vec<u8>], length: usize) {
    let map: BTreeMap<Vec<u8>, Vec<u8>> =
        keys.iter().map(|key| (key.clone(), vec![7; length])).collect();
    group.bench_function("BTreeMap: get, hit", |bencher| {
        bencher.iter_custom(|count| {
            over(keys, count, |key| {
                black_box(map.get(key));
            })
        });
    });
    group.bench_function("BTreeMap: list of 100, in place", |bencher| {
        bencher.iter_custom(|count| {
            by_entry(keys, count, |key| {
                let list = map
                    .range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
                    .take(LIST as usize);
                list.map(black_box).count() as u64
            })
        });
    });
}

/// Trees whose bottom nodes are all of one kind: nodes of `fan` children, below enough
/// names for a tree of many frames.
fn kinds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kind");
    settings(&mut group);
    let fans = [("N4", 4), ("N16", 16), ("bitmap of 17", 17), ("bitmap of 256", 256)];
    for (name, fan) in fans {
        let mut keys: Vec<Vec<u8>> = (0..KEYS / fan)
            .flat_map(|parent| {
                (0..fan).map(move |child| {
                    [format!("{parent:06}/").as_bytes(), &[(child * 251 % 256) as u8]].concat()
                })
            })
            .collect();
        Random(3).shuffle(&mut keys);
        kind(&mut group, name, &keys, 32);
    }
    let mut chains: Vec<Vec<u8>> =
        (0..2_000).map(|n| [&[b'c'; 600], format!("{n:05}").as_bytes()].concat()).collect();
    Random(3).shuffle(&mut chains);
    kind(&mut group, "chain", &chains, 32);
    let mut blobs: Vec<Vec<u8>> = (0..2_000).map(|n| format!("{n:05}").into_bytes()).collect();
    Random(3).shuffle(&mut blobs);
    kind(&mut group, "blob of 8 KiB", &blobs, 8 << 10);
}

fn kind(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, keys: &[Vec<u8>], length: usize) {
    let map = loaded(keys, length);
    group.bench_function(BenchmarkId::new("get", name), |bencher| {
        bencher.iter_custom(|count| {
            over(keys, count, |key| drop(black_box(map.tree().get(key, |value, _| value[0]))))
        });
    });
    group.bench_function(BenchmarkId::new("list of 100", name), |bencher| {
        bencher.iter_custom(|count| {
            by_entry(keys, count, |key| visit(&map, Scan::range(key..).limit(LIST)))
        });
    });
}

/// What the machine can do at all.
fn machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    settings(&mut group);
    // As much as 100,000 records take.
    let count = (16 << 20) / 64;
    let mut order: Vec<u32> = (0..count as u32).collect();
    Random(7).shuffle(&mut order);
    let mut lines = vec![[0u32; 16]; count];
    for pair in order.windows(2) {
        lines[pair[0] as usize][0] = pair[1];
    }
    lines[order[count - 1] as usize][0] = order[0];
    let mut at = 0;
    group.bench_function("dependent load in 16 MiB", |bencher| {
        bencher.iter(|| {
            at = lines[black_box(at) as usize][0];
            at
        });
    });
    let from = vec![1u8; 100];
    let mut to = vec![0u8; 100];
    group.bench_function("memcpy of 100 bytes", |bencher| {
        bencher.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    });
}

fn settings(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    group.sample_size(20);
}

criterion_group!(benches, machine, shapes, kinds);
criterion_main!(benches);
