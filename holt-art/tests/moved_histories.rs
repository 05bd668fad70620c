//! Linearizability of moves and snapshots: small histories of a few threads on two
//! directories that take each other's names, recorded and explained like those of single keys.
//! A snapshot is taken at one moment of the call that takes it, whenever it is read.

#[path = "support/order.rs"]
mod order;
#[path = "support/random.rs"]
mod random;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use holt_art::{Art, Error, Existing, PoolOptions, Put, Removed, Renamed};
use order::{Recorded, is_explained};
use random::Random;

const THREADS: usize = 3;
const OPERATIONS: usize = 5;
const DIRECTORIES: [&str; 2] = ["left/", "right/deeper/"];
const FILES: [&str; 2] = ["a", "b/c"];

/// First bytes of the values, by directory and file.
type State = [[Option<u8>; 2]; 2];

#[derive(Clone, Debug, PartialEq)]
enum Call {
    Put {
        directory: usize,
        file: usize,
        value: u8,
        was_there: bool,
    },
    Remove {
        directory: usize,
        file: usize,
        was_there: bool,
    },
    Get {
        directory: usize,
        file: usize,
        answer: Option<u8>,
    },
    /// From this directory to the other one.
    Rename {
        directory: usize,
        existing: Existing,
        answer: Result<(), Error>,
    },
    RemoveAll {
        directory: usize,
        was_there: bool,
    },
    Snapshot {
        answer: State,
    },
}

#[derive(Clone, Debug)]
struct Event {
    from: u32,
    to: u32,
    call: Call,
}

impl Recorded for Event {
    type State = State;

    fn from(&self) -> u32 {
        self.from
    }

    fn to(&self) -> u32 {
        self.to
    }

    fn step(&self, mut state: State) -> Option<State> {
        let fits = match self.call {
            Call::Put { directory, file, value, was_there } => {
                state[directory][file].replace(value).is_some() == was_there
            }
            Call::Remove { directory, file, was_there } => {
                state[directory][file].take().is_some() == was_there
            }
            Call::Get { directory, file, answer } => state[directory][file] == answer,
            Call::Rename { directory, existing, ref answer } => {
                let any = |directory: usize| state[directory].iter().any(Option::is_some);
                let expected = if !any(directory) {
                    Err(Error::PrefixMissing)
                } else if any(1 - directory) && existing == Existing::Refuse {
                    Err(Error::PrefixOccupied)
                } else {
                    state[1 - directory] = std::mem::take(&mut state[directory]);
                    Ok(())
                };
                *answer == expected
            }
            Call::RemoveAll { directory, was_there } => {
                let gone = std::mem::take(&mut state[directory]);
                gone.iter().any(Option::is_some) == was_there
            }
            Call::Snapshot { answer } => answer == state,
        };
        fits.then_some(state)
    }
}

fn key(directory: usize, file: usize) -> Vec<u8> {
    [DIRECTORIES[directory], FILES[file]].concat().into_bytes()
}

/// A value of a length that its byte decides: short, long, or a blob.
fn value(byte: u8) -> Vec<u8> {
    vec![byte; [1, 900, 2_900, 3_400, 6_000][usize::from(byte % 5)]]
}

fn first(found: &[u8]) -> u8 {
    assert!(found == value(found[0]), "a value is torn");
    found[0]
}

fn act(map: &Art, clock: &AtomicU32, seed: u64, own: usize) -> Vec<Event> {
    let mut random = Random::new(seed);
    let mut events = Vec::new();
    for index in 0..OPERATIONS {
        let (directory, file) = (random.below(2) as usize, random.below(2) as usize);
        let key = key(directory, file);
        let byte = (own * 64 + index * 4) as u8 + random.below(4) as u8;
        let existing = [Existing::Refuse, Existing::Replace][random.below(2) as usize];
        let choice = random.below(12);
        // SeqCst: ticks of all threads are in one order with the operations' own stores.
        let from = clock.fetch_add(1, Ordering::SeqCst);
        if random.below(2) == 0 {
            thread::yield_now();
        }
        let (to, call) = if choice == 0 {
            let pool = map.tree().pool();
            let taken = pool.snapshot(&pool.close_gate());
            let to = clock.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            let snapshot = taken.tree(map.tree().root()).unwrap();
            let read = |directory, file| {
                snapshot.get(&self::key(directory, file), |value, _| first(value)).unwrap()
            };
            let answer = [0, 1].map(|directory| [0, 1].map(|file| read(directory, file)));
            (to, Call::Snapshot { answer })
        } else {
            let call = match choice {
                1..=4 => {
                    let put = map.put(&key, &value(byte)).unwrap();
                    let was_there = matches!(put, Put::Replaced(_));
                    Call::Put { directory, file, value: byte, was_there }
                }
                5 => {
                    let removed = map.remove(&key).unwrap();
                    let was_there = matches!(removed, Removed::Removed(_));
                    Call::Remove { directory, file, was_there }
                }
                6..=7 => {
                    let answer = map.get(&key).unwrap().map(|value| first(&value));
                    Call::Get { directory, file, answer }
                }
                8 => {
                    let was_there = map.remove_prefix(DIRECTORIES[directory].as_bytes()).unwrap();
                    Call::RemoveAll { directory, was_there }
                }
                _ => {
                    let [from, to] = [directory, 1 - directory].map(|at| DIRECTORIES[at]);
                    let renamed = map.rename_prefix(from.as_bytes(), to.as_bytes(), existing);
                    assert!(!matches!(renamed, Ok(Renamed::Unchanged)));
                    Call::Rename { directory, existing, answer: renamed.map(|_| ()) }
                }
            };
            (clock.fetch_add(1, Ordering::SeqCst), call)
        };
        events.push(Event { from, to, call });
    }
    events
}

#[test]
fn histories_with_moves_and_snapshots_have_an_order_that_explains_them() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = read("HOLT_TEST_SEED").unwrap_or(8_000);
    let clock = AtomicU32::new(0);
    let mut overlapping = 0;
    for seed in first..first + read("HOLT_TEST_ROUNDS").unwrap_or(800) {
        // Small, so that a memory checker has the address space.
        let map = Art::with_options(PoolOptions::with_bytes(64 << 20, 16 << 20)).unwrap();
        // Neighbours, so that directories are entries of frames and not only leaves.
        for n in 0..seed % 5 * 20 {
            map.put(format!("middle/neighbour-{n:03}").as_bytes(), &[1; 1_500]).unwrap();
            map.put(format!("right/neighbour-{n:03}").as_bytes(), &[1; 1_500]).unwrap();
        }
        let start = Barrier::new(THREADS);
        let events: Vec<Event> = thread::scope(|scope| {
            let (map, clock, start) = (&map, &clock, &start);
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || {
                        start.wait();
                        act(map, clock, seed * 8 + thread as u64, thread)
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let overlap = |a: &Event| events.iter().filter(|b| a.from < b.to && b.from < a.to).count();
        overlapping += usize::from(events.iter().any(|event| overlap(event) > 1));
        assert!(
            is_explained(&events, State::default()),
            "HOLT_TEST_SEED={seed}: no order explains {events:#?}"
        );
        assert_eq!(map.verify(), [], "HOLT_TEST_SEED={seed}");
    }
    println!("{overlapping} histories had operations that overlapped");
    assert!(overlapping > 0, "nothing was tested");
}

/// The search must be able to fail: half of a move.
#[test]
fn a_snapshot_of_half_a_move_is_not_explained() {
    let put = |file, from| Event {
        from,
        to: from + 1,
        call: Call::Put { directory: 0, file, value: 4, was_there: false },
    };
    let (existing, answer) = (Existing::Refuse, Ok(()));
    let rename = Event { from: 4, to: 9, call: Call::Rename { directory: 0, existing, answer } };
    let seen = |answer| Event { from: 5, to: 6, call: Call::Snapshot { answer } };
    let history = |answer| [put(0, 0), put(1, 2), rename.clone(), seen(answer)];
    assert!(is_explained(&history([[Some(4); 2], [None; 2]]), State::default()));
    assert!(is_explained(&history([[None; 2], [Some(4); 2]]), State::default()));
    assert!(!is_explained(&history([[Some(4), None], [None, Some(4)]]), State::default()));
    assert!(!is_explained(&history([[None; 2]; 2]), State::default()));
}
