//! Time and memory of the tree for the key shapes that it is made for.
//!
//! `cargo run --release -p holt-art --example figures -- [keys] [shape …]`
//!
//! Absolute times drift from run to run on shared machines: compare lines of one run.

use std::hint::black_box;
use std::time::Instant;

use holt_art::{Art, EntryRef, Pool, Scan};

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

/// Keys of a shape and the length of their values.
fn keys(shape: &str, count: usize) -> (Vec<Vec<u8>>, usize) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let numbered =
        |make: &dyn Fn(usize) -> String| (0..count).map(|n| make(n).into_bytes()).collect();
    match shape {
        "objstore" => {
            (numbered(&|n| format!("bucket-{:02}/path/sub/file-{:06}.bin", n % 32, n / 32)), 60)
        }
        "fs" => {
            (numbered(&|n| format!("/usr/local/share/category-{}/file-{:06}", n % 16, n / 16)), 32)
        }
        "kv" => {
            let key = |_| (0..4).flat_map(|_| random.next().to_le_bytes()).collect();
            ((0..count).map(key).collect(), 64)
        }
        path => {
            let text = std::fs::read(path).expect("a shape, or a file with one path a line");
            let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            (lines.take(count).map(<[u8]>::to_vec).collect(), 60)
        }
    }
}

fn time(label: &str, operations: usize, mut run: impl FnMut()) {
    let start = Instant::now();
    run();
    let each = start.elapsed().as_nanos() as f64 / operations as f64;
    println!("  {label:<24} {each:8.1} ns");
}

/// Dependent loads over as much memory as the tree takes: the floor of any descent.
fn pointer_chase(bytes: usize) -> f64 {
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

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(500_000, |text| text.parse().expect("a number"));
    let mut shapes: Vec<String> = arguments.collect();
    if shapes.is_empty() {
        shapes = ["objstore", "fs", "kv"].map(String::from).to_vec();
    }
    for shape in shapes {
        for ordered in [false, true] {
            let (mut set, length) = keys(&shape, count);
            let payload: usize = set.iter().map(|key| key.len() + length).sum();
            if ordered {
                set.sort();
            } else {
                Random(42).shuffle(&mut set);
            }
            println!(
                "{shape}, {} keys, {} load",
                set.len(),
                if ordered { "ordered" } else { "random" }
            );
            let map = Art::new().expect("address space");
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
}
