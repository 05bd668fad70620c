//! Writers, readers and lists at the same time, every answer checked.
//!
//! * A value says which key it belongs to and is compared byte by byte.
//! * Keys that exist throughout are found by every get and stand exactly once in every
//!   list, whatever moves around them.
//! * The versions of one key never go backwards for one reader, and equal versions have
//!   equal values.
//! * At the end the tree has exactly what the writers remember, and is sound.
//!
//! `HOLT_TEST_SEED` chooses another seed, `HOLT_TEST_ROUNDS` more rounds with seeds that
//! follow it.

#[path = "support/random.rs"]
mod random;
#[path = "support/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use holt_art::{Art, EntryRef, Put, Removed, Scan, Version};
use random::Random;
use records::{key, token, value};

/// The keys and threads of one storm.
#[derive(Clone, Copy)]
struct Storm {
    /// Keys below this number exist throughout.
    stable: u32,
    /// Keys from `stable` to below this number come and go.
    all: u32,
    /// Writers that overwrite stable keys, each any of them.
    overwriters: u32,
    /// Writers that insert and remove, each its own keys.
    churners: u32,
    readers: u32,
    listers: u32,
    /// Mutations of one writer.
    operations: u32,
    /// How many stable keys the overwriters use; few make them hot.
    hot: u32,
}

/// What a writer remembers: the last version and token that it gave a key.
type Memory = BTreeMap<u32, (Version, u64)>;

/// The latest that one reader has seen of each key.
#[derive(Default)]
struct Witness(BTreeMap<Vec<u8>, (Version, u64)>);

impl Witness {
    fn saw(&mut self, key: &[u8], found: &[u8], version: Version) {
        let token = token(key, found);
        match self.0.get_mut(key) {
            Some(last) => {
                assert!(version >= last.0, "{} went back in time", key.escape_ascii());
                if version == last.0 {
                    assert_eq!(
                        token,
                        last.1,
                        "two values of {} at one version",
                        key.escape_ascii()
                    );
                }
                *last = (version, token);
            }
            None => {
                self.0.insert(key.to_vec(), (version, token));
            }
        }
    }
}

fn put(map: &Art, memory: &mut Memory, n: u32, token: u64) {
    let key = key(n);
    let put = map.put(&key, &value(&key, token)).unwrap();
    let (Put::Inserted(version) | Put::Replaced(version)) = put else {
        panic!("an unconditional put was refused")
    };
    memory.insert(n, (version, token));
}

/// Overwrites stable keys.
fn overwrite(map: &Art, storm: Storm, seed: u64, writer: u32) -> Memory {
    let mut random = Random::new(seed);
    let mut memory = Memory::new();
    for step in 0..storm.operations {
        let n = random.below(u64::from(storm.hot)) as u32;
        put(map, &mut memory, n, u64::from(writer) << 48 | u64::from(step));
    }
    memory
}

/// Inserts and removes its own keys: now most of them come, now most of them go, so that
/// frames split, empty and merge again and again.
fn churn(map: &Art, storm: Storm, seed: u64, writer: u32) -> Memory {
    let mut random = Random::new(seed);
    let mut memory = Memory::new();
    let own = (storm.all - storm.stable) / storm.churners;
    let first = storm.stable + (writer % storm.churners) * own;
    let phase = storm.operations / 6 + 1;
    for step in 0..storm.operations {
        let n = first + random.below(u64::from(own)) as u32;
        let grows = (step / phase).is_multiple_of(2);
        if random.below(10) < if grows { 8 } else { 1 } {
            put(map, &mut memory, n, u64::from(writer) << 48 | u64::from(step));
        } else {
            match map.remove(&key(n)).unwrap() {
                Removed::Removed(version) => {
                    let (last, _) = memory.remove(&n).expect("a key that was there");
                    assert!(version > last, "a removal before the put");
                }
                Removed::Missing => assert!(!memory.contains_key(&n), "a record is lost"),
                Removed::Refused(_) => panic!("an unconditional removal was refused"),
            }
        }
    }
    memory
}

/// Reads single keys: stable ones have to be there.
fn read(map: &Art, storm: Storm, seed: u64) {
    let mut random = Random::new(seed);
    let mut witness = Witness::default();
    let mut out = Vec::new();
    for _ in 0..storm.operations {
        let n = random.below(u64::from(storm.all)) as u32;
        let n = if random.below(2) == 0 { n % storm.hot } else { n };
        let key = key(n);
        if random.below(2) == 0 {
            let found = map.tree().get(&key, |value, version| witness.saw(&key, value, version));
            assert!(
                found.unwrap().is_some() || n >= storm.stable,
                "{} is lost",
                key.escape_ascii()
            );
        } else {
            let found = map.tree().get_into(&key, &mut out).unwrap();
            match found {
                Some(version) => witness.saw(&key, &out, version),
                None => assert!(n >= storm.stable, "{} is lost", key.escape_ascii()),
            }
        }
    }
}

/// Lists everything, or a prefix, in either direction.
fn list(map: &Art, storm: Storm, seed: u64, stable: &[Vec<u8>]) {
    let mut random = Random::new(seed);
    let mut witness = Witness::default();
    let prefixes: [&[u8]; 6] =
        [b"", b"bucket-0", b"bucket-11/path/", b"spine-", b"node", b"long/1"];
    for _ in 0..storm.operations / 800 + 1 {
        let prefix = prefixes[random.below(prefixes.len() as u64) as usize];
        let reverse = random.below(2) == 0;
        let mut previous: Option<Vec<u8>> = None;
        let mut due: Vec<&Vec<u8>> = stable.iter().filter(|key| key.starts_with(prefix)).collect();
        if reverse {
            due.reverse();
        }
        let mut due = due.into_iter();
        let mut cursor = map.scan(Scan::prefix(prefix).reverse(reverse));
        while let Some(EntryRef::Key { key, value, version }) = cursor.next_ref().unwrap() {
            if let Some(previous) = &previous {
                let forward = previous.as_slice() < key;
                assert!(previous != key && forward != reverse, "a list is out of order");
            }
            assert!(key.starts_with(prefix));
            witness.saw(key, value, version);
            if stable.binary_search_by(|other| other.as_slice().cmp(key)).is_ok() {
                let next = due.next().expect("no stable key is given twice");
                assert!(next == key, "a list left out {}", next.escape_ascii());
            }
            previous = Some(key.to_vec());
        }
        assert_eq!(due.next(), None, "a list left out its last keys");
    }
}

fn rage(storm: Storm, seed: u64) {
    println!("HOLT_TEST_SEED={seed}");
    let map = Art::new().unwrap();
    let mut random = Random::new(seed);
    let mut memory = Memory::new();
    for n in 0..storm.stable {
        put(&map, &mut memory, n, u64::from(n) | 1 << 40);
    }
    let mut stable: Vec<Vec<u8>> = (0..storm.stable).map(key).collect();
    stable.sort_unstable();
    let threads = storm.overwriters + storm.churners + storm.readers + storm.listers;
    let start = Barrier::new(threads as usize);
    let (map, start, stable) = (&map, &start, &stable);
    thread::scope(|scope| {
        let mut writers = Vec::new();
        for writer in 0..storm.overwriters + storm.churners {
            let seed = random.next();
            writers.push(scope.spawn(move || {
                start.wait();
                if writer < storm.churners {
                    churn(map, storm, seed, writer)
                } else {
                    overwrite(map, storm, seed, writer)
                }
            }));
        }
        for reader in 0..storm.readers + storm.listers {
            let seed = random.next();
            scope.spawn(move || {
                start.wait();
                if reader < storm.readers {
                    read(map, storm, seed);
                } else {
                    list(map, storm, seed, stable);
                }
            });
        }
        for writer in writers {
            for (n, record) in writer.join().unwrap() {
                let last = memory.entry(n).or_insert(record);
                *last = (*last).max(record);
            }
        }
    });
    check(map, &memory);
    for n in memory.keys() {
        map.remove(&key(*n)).unwrap();
    }
    assert_eq!(map.verify(), []);
    let stats = map.tree().pool().stats();
    assert_eq!((stats.frames, stats.blobs), (1, 0), "an empty tree has its root frame only");
}

/// That the tree has exactly what the writers remember.
fn check(map: &Art, memory: &Memory) {
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), memory.len() as u64);
    let expected: BTreeMap<Vec<u8>, (Version, u64)> =
        memory.iter().map(|(&n, &record)| (key(n), record)).collect();
    let mut cursor = map.scan(Scan::all());
    let mut expected = expected.into_iter();
    while let Some(EntryRef::Key { key, value, version }) = cursor.next_ref().unwrap() {
        let (expected_key, record) = expected.next().expect("no more keys than were put");
        assert!(
            expected_key == key,
            "{} is not {}",
            key.escape_ascii(),
            expected_key.escape_ascii()
        );
        assert_eq!((version, token(key, value)), record, "{}", key.escape_ascii());
    }
    assert_eq!(expected.next(), None);
}

fn rounds(seed: u64, storm: Storm) {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = read("HOLT_TEST_SEED").unwrap_or(seed);
    for round in 0..read("HOLT_TEST_ROUNDS").unwrap_or(1) {
        rage(storm, seed + round);
    }
}

#[test]
fn readers_and_lists_find_every_key_that_stays_while_others_come_and_go() {
    rounds(
        1_000,
        Storm {
            stable: 3_000,
            all: 16_000,
            overwriters: 1,
            churners: 2,
            readers: 1,
            listers: 1,
            operations: 48_000,
            hot: 3_000,
        },
    );
}

#[test]
fn hot_keys_are_never_read_torn() {
    rounds(
        2_000,
        Storm {
            stable: 400,
            all: 900,
            overwriters: 2,
            churners: 1,
            readers: 2,
            listers: 1,
            operations: 32_000,
            hot: 12,
        },
    );
}

#[test]
fn a_tree_that_empties_and_fills_again_loses_nothing() {
    rounds(
        3_000,
        Storm {
            stable: 40,
            all: 6_000,
            overwriters: 0,
            churners: 4,
            readers: 1,
            listers: 1,
            operations: 40_000,
            hot: 40,
        },
    );
}
