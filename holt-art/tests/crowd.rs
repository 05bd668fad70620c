//! Many threads in one frame: each put needs room that the others take away.
//!
//! `HOLT_TEST_SEED` chooses another seed.

#[path = "support/random.rs"]
mod random;

use std::sync::Barrier;
use std::thread;

use holt_art::{Art, Existing, PoolOptions};
use random::Random;

const THREADS: u64 = 12;
const KEYS: u64 = 12;

fn key(thread: u64, n: u64) -> Vec<u8> {
    format!("one/frame/{n:02}-{thread:02}").into_bytes()
}

/// Values of all sizes that are no blobs, so that hardly any block fits where another was.
fn crowd(map: &Art, seed: u64, turns: u64) {
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for own in 0..THREADS {
            let start = &start;
            scope.spawn(move || {
                let mut random = Random::new(seed ^ own << 32);
                start.wait();
                for turn in 0..turns {
                    let n = random.below(KEYS);
                    let length = random.below(3_500) as usize;
                    let done = if random.below(4) == 0 {
                        map.remove(&key(own, n)).map(|_| ())
                    } else {
                        map.put(&key(own, n), &vec![own as u8; length]).map(|_| ())
                    };
                    assert_eq!(done, Ok(()), "seed {seed}, thread {own}, turn {turn}");
                }
                // Known at the end.
                for n in 0..KEYS {
                    map.put(&key(own, n), &[own as u8; 700]).unwrap();
                }
            });
        }
    });
    assert_eq!(map.verify(), [], "seed {seed}");
    assert_eq!(map.len(), THREADS * KEYS, "seed {seed}");
    for own in 0..THREADS {
        for n in 0..KEYS {
            assert_eq!(map.get(&key(own, n)).unwrap().unwrap(), [own as u8; 700]);
        }
    }
}

#[test]
fn no_put_fails_for_want_of_room_that_others_take() {
    let given = std::env::var("HOLT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(12_000);
    println!("HOLT_TEST_SEED={seed}");
    // Small, so that a memory checker has the address space.
    let map = Art::with_options(PoolOptions::with_bytes(64 << 20, 1 << 20)).unwrap();
    crowd(&map, seed, 3_000);
}

/// Moves, which hang directories into crowded frames, beside readers who take latches.
#[test]
fn no_move_fails_because_of_readers_that_latch() {
    let map = Art::with_options(PoolOptions::with_bytes(64 << 20, 1 << 20)).unwrap();
    for n in 0..300 {
        map.put(format!("one/frame/{n:03}").as_bytes(), &[1; 200]).unwrap();
        map.put(format!("moved/{n:03}").as_bytes(), &[2; 9]).unwrap();
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Readers of one hot frame lose races and then take latches.
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for n in (0..300).step_by(7) {
                        let found = map.get(format!("one/frame/{n:03}").as_bytes()).unwrap();
                        assert_eq!(found.unwrap().len(), 200);
                    }
                }
            });
        }
        let names = ["moved/", "one/frame/150/below/"];
        for turn in 0..2_000 {
            let (from, to) = (names[turn % 2], names[1 - turn % 2]);
            let moved = map.rename_prefix(from.as_bytes(), to.as_bytes(), Existing::Refuse);
            assert!(moved.is_ok(), "{turn}: {moved:?}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), 600);
}
