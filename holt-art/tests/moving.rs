//! A directory that moves to and fro while others read it.
//!
//! * A value says under which of the two names it was written. Before the directory moves on,
//!   such values are made neutral again, so under one name nobody may ever read a value
//!   that was written under the other.
//! * While the directory stands still, a key is found under its name and not under the
//!   other.
//!
//! `HOLT_TEST_SEED` chooses another seed.

#[path = "support/random.rs"]
mod random;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use holt_art::{Art, Existing};
use random::Random;

const NAMES: [&str; 2] = ["left/a/", "right/deeper/b/"];
const NEUTRAL: u8 = 2;

/// One directory and what is done with it.
#[derive(Clone, Copy)]
struct Directory {
    keys: u64,
    /// Bytes by which each key is longer than it must be. Keys of tens of thousands of bytes
    /// are chains of frames, of which a move touches only the first.
    padding: usize,
    moves: u64,
}

impl Directory {
    fn key(self, name: usize, n: u64) -> Vec<u8> {
        let mut key = format!("{}sub-{:02}/file-{n:05}", NAMES[name], n % 13).into_bytes();
        key.resize(key.len() + self.padding, b'p');
        key
    }
}

/// A map with the directory under the first name and others beside it.
fn map(directory: Directory) -> Art {
    let map = Art::new().unwrap();
    for n in 0..directory.keys {
        map.put(&directory.key(0, n), &[NEUTRAL; 40]).unwrap();
        map.put(format!("right/other-{n:05}").as_bytes(), b"beside").unwrap();
    }
    map
}

fn run(directory: Directory, seed: u64) {
    let Directory { keys, moves, .. } = directory;
    let map = map(directory);
    // Even while the directory stands still; the directory is at the name `state / 2 % 2`.
    let state = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(seed);
            for turn in 0..moves {
                let (from, to) = ((turn % 2) as usize, (1 - turn % 2) as usize);
                state.fetch_add(1, Ordering::SeqCst);
                map.rename_prefix(NAMES[from].as_bytes(), NAMES[to].as_bytes(), Existing::Refuse)
                    .unwrap();
                state.fetch_add(1, Ordering::SeqCst);
                let some: Vec<u64> = (0..keys.min(40)).map(|_| random.below(keys)).collect();
                for &n in &some {
                    map.put(&directory.key(to, n), &[to as u8; 40]).unwrap();
                }
                for &n in &some {
                    map.put(&directory.key(to, n), &[NEUTRAL; 40]).unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        for reader in 0..2 {
            let (map, state, done) = (&map, &state, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed ^ (reader + 1));
                let mut value = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    let (name, n) = (random.below(2) as usize, random.below(keys));
                    let before = state.load(Ordering::SeqCst);
                    let found = map.tree().get_into(&directory.key(name, n), &mut value).unwrap();
                    let after = state.load(Ordering::SeqCst);
                    if found.is_some() {
                        let sound = value.iter().all(|&byte| byte == value[0])
                            && value.len() == 40
                            && value[0] != 1 - name as u8;
                        assert!(sound, "seed {seed}: under {name} of {n}: {value:?}");
                    }
                    if before == after && before % 2 == 0 {
                        let here = (before / 2 % 2) as usize == name;
                        assert_eq!(found.is_some(), here, "seed {seed}: {n} under {name}");
                    }
                }
            });
        }
    });
    assert_eq!(map.verify(), [], "seed {seed}");
    assert_eq!(map.len(), 2 * keys, "seed {seed}");
}

#[test]
fn nobody_reads_a_value_under_the_wrong_name() {
    let given = std::env::var("HOLT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(11_000);
    println!("HOLT_TEST_SEED={seed}");
    // In one frame, in a few, in many, and in chains of frames.
    for (keys, padding, moves) in
        [(30, 0, 3_000), (400, 0, 2_000), (20_000, 0, 1_000), (3, 60_000, 1_500)]
    {
        run(Directory { keys, padding, moves }, seed);
    }
}
