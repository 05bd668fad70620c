//! Linearizability: small histories of a few threads on a few keys, recorded and then
//! explained by some order of the operations that respects what was over before what
//! began.

#[path = "support/order.rs"]
mod order;
#[path = "support/random.rs"]
mod random;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use holt_art::{Art, Condition, Put, Removed, Version};
use order::{Recorded, is_explained};
use random::Random;

const THREADS: usize = 3;
const OPERATIONS: usize = 5;

/// What was asked and answered.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Call {
    Put { value: u8, condition: Condition, answer: Put },
    Remove { condition: Condition, answer: Removed },
    Get { answer: Option<(Version, u8)> },
}

/// One operation: on which key, and between which ticks of the common clock.
#[derive(Clone, Copy, Debug)]
struct Event {
    key: usize,
    from: u32,
    to: u32,
    call: Call,
}

/// The record of each key, as a sequential map has it.
type State = [Option<(Version, u8)>; 3];

impl Recorded for Event {
    type State = State;

    fn from(&self) -> u32 {
        self.from
    }

    fn to(&self) -> u32 {
        self.to
    }

    fn step(&self, mut state: State) -> Option<State> {
        let event = self;
        let found = state[event.key];
        let version = found.map(|(version, _)| version);
        let fits = match event.call {
            Call::Get { answer } => answer == found,
            Call::Put { value, condition, answer } => match answer {
                Put::Refused(seen) => !condition.holds(version) && seen == version,
                Put::Inserted(new) => {
                    state[event.key] = Some((new, value));
                    condition.holds(version) && version.is_none()
                }
                Put::Replaced(new) => {
                    state[event.key] = Some((new, value));
                    condition.holds(version) && version.is_some_and(|old| old < new)
                }
            },
            Call::Remove { condition, answer } => match answer {
                Removed::Missing => version.is_none(),
                Removed::Refused(seen) => !condition.holds(version) && version == Some(seen),
                Removed::Removed(new) => {
                    state[event.key] = None;
                    condition.holds(version) && version.is_some_and(|old| old < new)
                }
            },
        };
        fits.then_some(state)
    }
}

/// The keys of a history: neighbours in one directory, or one a prefix of the other.
fn keys(seed: u64) -> [Vec<u8>; 3] {
    match seed % 3 {
        0 => [b"dir/a".to_vec(), b"dir/b".to_vec(), b"dir/c".to_vec()],
        1 => [b"dir".to_vec(), b"dir/".to_vec(), b"dir/sub/file".to_vec()],
        _ => [b"dir/0".to_vec(), vec![b'd'; 700], b"z".to_vec()],
    }
}

/// A value of a length that its first byte decides: short, long, or a blob.
fn value(byte: u8) -> Vec<u8> {
    let length = [1, 40, 2_900, 3_400, 6_000][usize::from(byte % 5)];
    vec![byte; length]
}

fn value_byte(found: &[u8]) -> u8 {
    assert!(found == value(found[0]), "a value is torn");
    found[0]
}

/// One thread's part. Conditions use the versions that the thread has seen.
///
/// The sequencer, which runs under the latch, now and then lets another thread run, so
/// that operations overlap in the middle of each other's changes even on one core.
fn act(map: &Art, clock: &AtomicU32, keys: &[Vec<u8>; 3], seed: u64, own: usize) -> Vec<Event> {
    let mut random = Random::new(seed);
    let tree = map.tree();
    let mut seen: [Option<Version>; 3] = [None; 3];
    let mut events = Vec::new();
    for index in 0..OPERATIONS {
        let number = random.below(2 + seed % 2) as usize;
        let key = &keys[number];
        let condition = match (random.below(5), seen[number]) {
            (0, _) => Condition::Absent,
            (1, _) => Condition::Present,
            (2, Some(version)) => Condition::Version(version),
            _ => Condition::Always,
        };
        let byte = (own * 64 + index * 4) as u8 + random.below(4) as u8;
        let choice = random.below(10);
        let yields = random.below(8);
        let bytes = value(byte);
        // SeqCst: ticks of all threads are in one order with the operations' own stores.
        let from = clock.fetch_add(1, Ordering::SeqCst);
        if yields & 1 == 0 {
            thread::yield_now();
        }
        let sequence = || {
            if yields & 6 == 0 {
                thread::yield_now();
            }
            // Any tick will do for a version that grows with each change of a key.
            Version::new(u64::from(clock.fetch_add(1, Ordering::SeqCst)) + 1).unwrap()
        };
        let call = match choice {
            0..=3 => {
                let pass = tree.pool().enter();
                let answer = tree.put(&pass, key, &bytes, condition, sequence).unwrap();
                Call::Put { value: byte, condition, answer }
            }
            4..=6 => {
                let pass = tree.pool().enter();
                let answer = tree.remove(&pass, key, condition, sequence).unwrap();
                Call::Remove { condition, answer }
            }
            _ => {
                let get = |value: &[u8], version| (version, value_byte(value));
                Call::Get { answer: tree.get(key, get).unwrap() }
            }
        };
        let to = clock.fetch_add(1, Ordering::SeqCst);
        match call {
            Call::Put { answer: Put::Inserted(version) | Put::Replaced(version), .. }
            | Call::Get { answer: Some((version, _)) } => seen[number] = Some(version),
            _ => {}
        }
        events.push(Event { key: number, from, to, call });
    }
    events
}

/// Fills frames so that the history's own mutations split and merge them.
fn surroundings(map: &Art, seed: u64) {
    for n in 0..seed % 5 * 12 {
        map.put(format!("dir/neighbour-{n:03}").as_bytes(), &[1; 1_500]).unwrap();
    }
}

#[test]
fn every_history_has_an_order_that_explains_it() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = read("HOLT_TEST_SEED").unwrap_or(7_000);
    let clock = AtomicU32::new(0);
    let mut overlapping = 0;
    for seed in first..first + read("HOLT_TEST_ROUNDS").unwrap_or(500) {
        let map = Art::new().unwrap();
        surroundings(&map, seed);
        let keys = keys(seed);
        let start = Barrier::new(THREADS);
        let events: Vec<Event> = thread::scope(|scope| {
            let (map, clock, keys, start) = (&map, &clock, &keys, &start);
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || {
                        start.wait();
                        act(map, clock, keys, seed * 8 + thread as u64, thread)
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let overlap = |a: &Event| events.iter().filter(|b| a.from < b.to && b.from < a.to).count();
        overlapping += usize::from(events.iter().any(|event| overlap(event) > 1));
        assert!(
            is_explained(&events, [None; 3]),
            "HOLT_TEST_SEED={seed}: no order explains {events:#?}"
        );
        assert_eq!(map.verify(), [], "HOLT_TEST_SEED={seed}");
    }
    println!("{overlapping} histories had operations that overlapped");
    assert!(overlapping > 0, "nothing was tested");
}

/// The search must be able to fail: an answer that no order explains.
#[test]
fn a_lost_update_is_not_explained() {
    let version = |number| Version::new(number).unwrap();
    let put = |value, answer| Call::Put { value, condition: Condition::Always, answer };
    let events = [
        Event { key: 0, from: 0, to: 1, call: put(1, Put::Inserted(version(1))) },
        Event { key: 0, from: 2, to: 5, call: put(2, Put::Replaced(version(2))) },
        Event { key: 0, from: 6, to: 7, call: Call::Get { answer: Some((version(1), 1)) } },
    ];
    assert!(!is_explained(&events, [None; 3]));
    // While the second put is still under way, the get may come before it.
    let mut events = events;
    events[1].to = 8;
    assert!(is_explained(&events, [None; 3]));
}
