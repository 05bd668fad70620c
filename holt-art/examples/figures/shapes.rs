//! Keys of the shapes that the figures are taken with, and the generator behind them.

use holt_art::{Art, PoolOptions};

/// An empty map, with little enough address space to run under valgrind too.
pub(crate) fn empty_map() -> Art {
    Art::with_options(PoolOptions::with_bytes(4 << 30, 64 << 20)).expect("address space")
}

/// A small generator: the same figures on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, (self.next() % (at as u64 + 1)) as usize);
        }
    }
}

/// Keys of a shape and the length of their values.
pub(crate) fn keys(shape: &str, count: usize) -> (Vec<Vec<u8>>, usize) {
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
        "url" => {
            // Most of them under few domains.
            let key = |n: usize| {
                let domain = random.below(60).min(random.below(60)).min(random.below(60));
                let page = random.below(400);
                format!("org.site-{domain:02}.www/docs/{page:03}/item-{n:07}.html").into_bytes()
            };
            ((0..count).map(key).collect(), 80)
        }
        "deep" => {
            // 8 to 12 levels, whose fan-out differs.
            let key = |n: usize| {
                let fan_outs = [2, 5, 1, 7, 3, 1, 4, 9, 2, 6, 3];
                let mut key = Vec::new();
                for (level, &fan_out) in fan_outs[..7 + n % 5].iter().enumerate() {
                    key.extend(format!("level{level}-{}/", random.below(fan_out)).into_bytes());
                }
                key.extend(format!("{n:06}").into_bytes());
                key
            };
            ((0..count).map(key).collect(), 48)
        }
        path => {
            let text = std::fs::read(path).expect("a shape, or a file with one path a line");
            let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            (lines.take(count).map(<[u8]>::to_vec).collect(), 60)
        }
    }
}
