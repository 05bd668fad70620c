//! Counts beside writers: what nobody changes is counted exactly, whatever happens to the frames
//! that it shares with others.
//!
//! `HOLT_TEST_SEED` chooses another seed.

#[path = "support/random.rs"]
mod random;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use holt_art::{Art, Existing, PoolOptions};
use random::Random;

/// Stable keys, one of ten of all that are ever there.
const STABLE: u64 = 8_000;

fn map() -> Art {
    let map = Art::with_options(PoolOptions::with_bytes(256 << 20, 1 << 20)).unwrap();
    for n in 0..STABLE {
        map.put(format!("stable/{:03}/{n:05}", n % 251).as_bytes(), &[7; 60]).unwrap();
    }
    map
}

#[test]
fn what_nobody_changes_is_counted_exactly_beside_writers() {
    let seed: u64 = std::env::var("HOLT_TEST_SEED")
        .map_or(20_261_129, |seed| seed.parse().expect("a number as HOLT_TEST_SEED"));
    println!("seed {seed}");
    let map = map();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2u64 {
            let (map, done) = (&map, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed ^ writer);
                for turn in 0..60_000u64 {
                    // Between the stable keys in their order, and so in their frames.
                    let n = random.below(STABLE * 9);
                    let key = format!("stable/{:03}-{writer}/{n:06}", n % 251);
                    if turn / 20_000 % 2 == 0 {
                        map.put(key.as_bytes(), &[1; 90]).unwrap();
                    } else {
                        map.remove(key.as_bytes()).unwrap();
                    }
                    if turn % 4_000 == 0 {
                        let names = [format!("stable/1{writer}"), format!("moved/1{writer}")];
                        for at in [0, 1] {
                            let (from, to) = (names[at].as_bytes(), names[1 - at].as_bytes());
                            // What the other one has put there meanwhile goes.
                            map.rename_prefix(from, to, Existing::Replace).unwrap();
                        }
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        let mut counts = 0u64;
        while !done.load(Ordering::Relaxed) || counts == 0 {
            for n in [3u64, 77, 249] {
                let expected = (0..STABLE).filter(|m| m % 251 == n).count() as u64;
                let prefix = format!("stable/{n:03}/");
                assert_eq!(map.tree().count(prefix.as_bytes()).unwrap(), expected, "{prefix}");
            }
            // All of them are there the whole time, and others come and go.
            let all = map.tree().count(b"").unwrap();
            assert!((STABLE..=STABLE + 120_000).contains(&all), "{all}");
            counts += 1;
        }
    });
    assert_eq!(map.verify(), []);
    let listed = map.tree().cursor(holt_art::Scan::all()).count() as u64;
    assert_eq!(map.len(), listed);
}
