//! Writers with directories of their own, which part, beside readers and lists.
//!
//! * Values say whose they are and are compared byte by byte.
//! * Names that exist throughout are found by every get and stand exactly once in every list.
//! * At the end the tree has exactly what the writers remember, and is sound.
//!
//! That writers part at all is tested where it can be told for certain, in the crate. Here they do in most runs.
//! `HOLT_TEST_SEED` chooses another seed.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use holt_art::{Art, EntryRef, Removed, Scan};
use random::{Random, mix};

const DIRECTORIES: u64 = 12;
const FILES: u64 = 500;
const WRITERS: u64 = 3;
const OPERATIONS: u32 = 400_000;

/// The first half of a directory's files exist throughout.
fn name(directory: u64, file: u64) -> Vec<u8> {
    let kind = if file < FILES / 2 { "kept" } else { "temporary" };
    format!("tenant-{directory:02}/{kind}/{file:04}").into_bytes()
}

fn value(name: &[u8], token: u64) -> Vec<u8> {
    let hash = name.iter().fold(mix(token), |hash, &byte| mix(hash ^ u64::from(byte)));
    let mut value = token.to_le_bytes().to_vec();
    for word in 0..2 + token % 8 {
        value.extend_from_slice(&mix(hash ^ word).to_le_bytes());
    }
    value
}

/// The token of a value that was read for a name.
fn token(name: &[u8], found: &[u8]) -> u64 {
    let token = u64::from_le_bytes(found[..8].try_into().expect("values have a token"));
    assert!(found == value(name, token), "the value of {} is not its own", name.escape_ascii());
    token
}

type Memory = BTreeMap<Vec<u8>, u64>;

/// Overwrites what exists in every third directory, and lets temporary files come and go.
fn write(map: &Art, writer: u64, seed: u64) -> Memory {
    let mut random = Random::new(seed);
    let mut memory = Memory::new();
    for step in 0..u64::from(OPERATIONS) {
        let directory = random.below(DIRECTORIES / WRITERS) * WRITERS + writer;
        let file = random.below(FILES);
        let name = name(directory, file);
        if file >= FILES / 2 && random.below(4) == 0 {
            let removed = matches!(map.remove(&name).unwrap(), Removed::Removed(_));
            assert_eq!(removed, memory.remove(&name).is_some(), "{}", name.escape_ascii());
        } else {
            map.put(&name, &value(&name, step)).unwrap();
            memory.insert(name, step);
        }
    }
    memory
}

fn read(map: &Art, seed: u64, done: &AtomicBool) {
    let mut random = Random::new(seed);
    while !done.load(Ordering::Relaxed) {
        let file = random.below(FILES);
        let name = name(random.below(DIRECTORIES), file);
        let found = map.tree().get(&name, |found, _| token(&name, found)).unwrap();
        assert!(found.is_some() || file >= FILES / 2, "{} is lost", name.escape_ascii());
    }
}

fn list(map: &Art, seed: u64, done: &AtomicBool) {
    let mut random = Random::new(seed);
    while !done.load(Ordering::Relaxed) {
        let first = random.below(DIRECTORIES);
        let from = name(first, 0);
        let mut due = (first..DIRECTORIES).flat_map(|d| (0..FILES / 2).map(move |f| name(d, f)));
        let mut cursor = map.scan(Scan::range(from..));
        while let Some(EntryRef::Key { key, value, .. }) = cursor.next_ref().unwrap() {
            token(key, value);
            if key[10..].starts_with(b"kept") {
                assert_eq!(Some(key), due.next().as_deref());
            }
        }
        assert_eq!(due.next(), None, "a list left out its last names");
    }
}

#[test]
fn writers_that_part_lose_nothing_and_hide_nothing() {
    let seed = std::env::var("HOLT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    println!("HOLT_TEST_SEED={seed}");
    let map = Art::new().unwrap();
    let mut random = Random::new(seed);
    let mut memory = Memory::new();
    for directory in 0..DIRECTORIES {
        for file in 0..FILES / 2 {
            let name = name(directory, file);
            map.put(&name, &value(&name, file)).unwrap();
            memory.insert(name, file);
        }
    }
    let done = AtomicBool::new(false);
    let (map, done) = (&map, &done);
    thread::scope(|scope| {
        let seeds: Vec<u64> = (0..WRITERS + 2).map(|_| random.next()).collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let seed = seeds[writer as usize];
                scope.spawn(move || write(map, writer, seed))
            })
            .collect();
        let [.., reader, lister] = seeds[..] else { unreachable!("there are at least two") };
        scope.spawn(move || read(map, reader, done));
        scope.spawn(move || list(map, lister, done));
        let written: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // Before a panic is passed on, so that nobody runs on for ever.
        done.store(true, Ordering::Relaxed);
        for written in written {
            memory.extend(written.expect("a writer found something wrong"));
        }
    });
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), memory.len() as u64);
    for (name, last) in memory {
        let found = map.tree().get(&name, |found, _| token(&name, found)).unwrap();
        assert_eq!(found, Some(last), "{}", name.escape_ascii());
    }
}
