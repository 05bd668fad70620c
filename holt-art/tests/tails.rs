//! Values of less than a page that move together beside their readers.

#[path = "support/random.rs"]
mod random;

use std::sync::atomic::{AtomicBool, Ordering};

use holt_art::{Condition, Pool, PoolOptions, Version};
use random::Random;

const KEYS: u64 = 2_000;
const ROUNDS: u64 = 30;

fn key(n: u64) -> Vec<u8> {
    format!("d{:02}/f{n:06}", n % 32).into_bytes()
}

/// Bytes that say which key they belong to, and which value of it they are.
fn value(n: u64, round: u64, length: usize) -> Vec<u8> {
    let word = (n << 32 | round << 20 | length as u64).to_le_bytes();
    word.iter().copied().cycle().take(length).collect()
}

fn assert_whole(n: u64, found: &[u8]) {
    let word = u64::from_le_bytes(*found.first_chunk().unwrap());
    assert_eq!((word >> 32, (word & 0xF_FFFF) as usize), (n, found.len()));
    assert!(found == value(n, word >> 20 & 0xFFF, found.len()), "a value is torn");
}

#[test]
fn readers_have_whole_values_while_tails_move() {
    let pool = Pool::new(PoolOptions::with_bytes(64 << 20, 64 << 20)).unwrap();
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let version = || Version::new(1).unwrap();
    let put = |n, round, length| {
        let value = value(n, round, length);
        tree.put(&pool.enter(), &key(n), &value, Condition::Always, version).unwrap();
    };
    (0..KEYS).for_each(|n| put(n, 0, 3_300));
    let snapshot = pool.snapshot(&pool.close_gate());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..=2 {
            let (tree, over, snapshot) = (&tree, &over, &snapshot);
            scope.spawn(move || {
                let (mut random, mut found) = (Random::new(seed), 0_u64);
                let past = snapshot.tree(tree.root()).unwrap();
                while !over.load(Ordering::Relaxed) || found < 1_000 {
                    let n = random.below(KEYS);
                    found += u64::from(
                        tree.get(&key(n), |value, _| assert_whole(n, value)).unwrap().is_some(),
                    );
                    let then = past.get(&key(n), |value, _| value.to_vec()).unwrap();
                    assert!(then == Some(value(n, 0, 3_300)), "the past has changed");
                }
            });
        }
        // Most values go, and come back with lengths that do not fit where they were.
        let mut random = Random::new(3);
        for round in 1..=ROUNDS {
            for n in (0..KEYS).filter(|n| (n + round) % 4 > 0) {
                tree.remove(&pool.enter(), &key(n), Condition::Always, version).unwrap();
            }
            for n in (0..KEYS).filter(|n| (n + round) % 4 > 0) {
                put(n, round, 2_950 + random.below(1_300) as usize);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    drop(snapshot);
    assert_eq!(pool.verify(&pool.close_gate(), &[tree.root()]), []);
}
