//! Lists that are short, nodes of every kind from every place in both directions, many gets
//! at once and the longest prefix, each against a map; and all of them under writers.

#[path = "support/random.rs"]
mod random;
#[path = "support/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use holt_art::{Art, Entry, Scan, Version};
use random::Random;
use records::{key, token, value};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Version)>;

fn put(map: &Art, model: &mut Model, key: &[u8], value: &[u8]) {
    map.put(key, value).unwrap();
    let version = map.tree().version(key).unwrap().expect("it was put");
    model.insert(key.to_vec(), (value.to_vec(), version));
}

fn records_of(model: &Model, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), reverse: bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = model
        .range(range)
        .map(|(key, (value, version))| Entry::record(key, value, *version))
        .collect();
    if reverse {
        entries.reverse();
    }
    entries
}

fn list(map: &Art, scan: Scan) -> Vec<Entry> {
    map.scan(scan).collect::<Result<_, _>>().unwrap()
}

/// A map with keys of all shapes, values in frames and outside them.
fn loaded(count: u32) -> (Art, Model) {
    let (map, mut model) = (Art::new().unwrap(), Model::new());
    for n in 0..count {
        let key = key(n);
        put(&map, &mut model, &key, &value(&key, u64::from(n)));
    }
    (map, model)
}

#[test]
fn a_limited_list_is_the_beginning_of_the_whole_one() {
    let (map, _) = loaded(6_000);
    for scan in [
        Scan::all(),
        Scan::prefix(b"bucket-0"),
        Scan::prefix(b"bucket-0").delimiter(b"/"),
        Scan::all().delimiter(b"/"),
        Scan::prefix(b"bucket-03/path/").delimiter(b"/").start_after(b"bucket-03/path/sub-1/x"),
        Scan::prefix(b"spine-3/").keys_only(true),
    ] {
        for reverse in [false, true] {
            let scan = scan.clone().reverse(reverse);
            let whole = list(&map, scan.clone());
            assert!(!whole.is_empty());
            let all = whole.len();
            for limit in [0, 1, 2, 31, 32, 33, 100, 511, 512, 513, 1_000, all, all + 1] {
                let part = list(&map, scan.clone().limit(limit as u64));
                assert!(part == whole[..limit.min(all)], "{scan:?}, limit {limit}");
            }
        }
    }
}

/// Every kind of node, at each size about which it becomes another, with and without a
/// record of its own, is listed from and to every place.
#[test]
fn every_node_is_listed_from_and_to_every_byte_in_both_directions() {
    let seed = 77;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for size in [1usize, 2, 3, 4, 5, 15, 16, 17, 48, 64, 65, 129, 192, 255, 256] {
        for (prefix, own, tail) in [(0, false, ""), (3, true, ""), (9, true, "/a tail")] {
            let (map, mut model) = (Art::new().unwrap(), Model::new());
            let stem = vec![b'p'; prefix];
            if own {
                put(&map, &mut model, &stem, b"its own");
            }
            let mut bytes: Vec<u8> = (0..=255).collect();
            for at in (1..bytes.len()).rev() {
                bytes.swap(at, random.below(at as u64 + 1) as usize);
            }
            for &byte in &bytes[..size] {
                let key = [&stem, &[byte][..], tail.as_bytes()].concat();
                put(&map, &mut model, &key, &vec![byte; usize::from(byte) % 40]);
            }
            for byte in 0..=255u8 {
                for bound in [
                    [&stem, &[byte][..]].concat(),
                    [&stem, &[byte][..], tail.as_bytes()].concat(),
                    [&stem, &[byte, 0][..]].concat(),
                ] {
                    for edge in [Bound::Included(bound.clone()), Bound::Excluded(bound.clone())] {
                        for reverse in [false, true] {
                            for range in
                                [(edge.clone(), Bound::Unbounded), (Bound::Unbounded, edge.clone())]
                            {
                                let scan = Scan::range::<Vec<u8>>(range.clone()).reverse(reverse);
                                let expected = records_of(&model, range, reverse);
                                let short = expected.len().min(3);
                                let part = list(&map, scan.clone().limit(3));
                                assert!(part == expected[..short], "{size} {bound:?} {reverse}");
                                if byte % 16 == 0 {
                                    assert!(list(&map, scan) == expected, "{size} {bound:?}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn ranges_between_any_two_keys_are_exact() {
    let seed = 78;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (map, model) = loaded(4_000);
    let bound = |random: &mut Random| {
        let mut bound = key(random.below(5_000) as u32);
        match random.below(4) {
            0 => bound.truncate(random.below(bound.len() as u64 + 1) as usize),
            1 => bound.push(random.below(256) as u8),
            _ => {}
        }
        if random.below(2) == 0 { Bound::Included(bound) } else { Bound::Excluded(bound) }
    };
    for _ in 0..1_500 {
        let (lower, upper) = (bound(&mut random), bound(&mut random));
        let reverse = random.below(2) == 0;
        let scan = Scan::range::<Vec<u8>>((lower.clone(), upper.clone())).reverse(reverse);
        let empty = match (&lower, &upper) {
            (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
            (
                Bound::Included(lower) | Bound::Excluded(lower),
                Bound::Included(upper) | Bound::Excluded(upper),
            ) => lower >= upper,
            _ => unreachable!("both ends are bounded"),
        };
        let expected = if empty { Vec::new() } else { records_of(&model, (lower, upper), reverse) };
        assert!(list(&map, scan.clone()) == expected, "{scan:?}");
    }
}

#[test]
fn many_gets_answer_like_single_ones() {
    let seed = 79;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (map, model) = loaded(6_000);
    for count in [0, 1, 2, 11, 12, 13, 100, 3_000] {
        let mut keys: Vec<Vec<u8>> = (0..count).map(|_| key(random.below(8_000) as u32)).collect();
        for key in keys.iter_mut().step_by(5) {
            key.truncate(random.below(key.len() as u64 + 1) as usize);
        }
        let mut answers = vec![None; count];
        map.get_many(&keys, |at, found| {
            assert!(answers[at].is_none(), "key {at} was answered twice");
            answers[at] = Some(found.map(|(value, version)| (value.to_vec(), version)));
        })
        .unwrap();
        for (key, answer) in keys.iter().zip(answers) {
            assert!(answer.expect("each key is answered").as_ref() == model.get(key));
        }
    }
    let mut called = false;
    let long = vec![b'x'; holt_art::MAX_KEY + 1];
    assert!(map.get_many(&[b"a".to_vec(), long], |_, _| called = true).is_err());
    assert!(!called, "nothing is read when a key is too long");
    let empty = Art::new().unwrap();
    empty.get_many(&["", "a"], |_, found| assert!(found.is_none())).unwrap();
}

type Record<'m> = (&'m [u8], &'m (Vec<u8>, Version));

fn longest<'m>(model: &'m Model, key: &[u8]) -> Option<Record<'m>> {
    let at = (0..=key.len()).rev().find_map(|length| model.get_key_value(&key[..length]));
    at.map(|(key, record)| (key.as_slice(), record))
}

#[test]
fn the_longest_prefix_is_that_of_the_map() {
    let seed = 80;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (map, mut model) = loaded(6_000);
    assert!(Art::new().unwrap().longest_prefix(b"a").unwrap().is_none());
    for with_empty in [false, true] {
        if with_empty {
            put(&map, &mut model, b"", b"the root");
        }
        let mut inner = 0;
        for _ in 0..6_000 {
            let mut key = key(random.below(9_000) as u32);
            match random.below(3) {
                0 => key.truncate(random.below(key.len() as u64 + 1) as usize),
                1 => key.extend_from_slice(&vec![b'p'; random.below(40) as usize]),
                _ => {}
            }
            let expected = longest(&model, &key)
                .map(|(key, (value, version))| Entry::record(key, value, *version));
            inner += u32::from(expected.as_ref().is_some_and(|entry| entry.name() != key));
            assert!(map.longest_prefix(&key).unwrap() == expected, "{}", key.escape_ascii());
        }
        assert!(inner > 100, "most matches were the key itself: {inner}");
    }
}

/// Keys below 2,000 stay and are overwritten, those above come and go, so that nodes change
/// their kind and frames split and merge beneath the readers.
#[test]
fn short_lists_many_gets_and_prefixes_are_right_under_writers() {
    let seed = 81;
    println!("seed {seed}");
    const STABLE: u32 = 2_000;
    const ALL: u32 = 6_000;
    let map = Art::new().unwrap();
    for n in 0..STABLE {
        let key = key(n);
        map.put(&key, &value(&key, 0)).unwrap();
    }
    let stable: std::collections::BTreeSet<Vec<u8>> = (0..STABLE).map(key).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (map, stable, done) = (&map, &stable, &done);
        let writers: Vec<_> = (0..2u64)
            .map(|writer| {
                scope.spawn(move || {
                    let mut random = Random::new(seed + writer);
                    for step in 0..30_000u64 {
                        let n = random.below(u64::from(ALL)) as u32;
                        let key = key(n);
                        if n < STABLE || random.below(2) == step / 5_000 % 2 {
                            map.put(&key, &value(&key, step)).unwrap();
                        } else {
                            map.remove(&key).unwrap();
                        }
                    }
                })
            })
            .collect();
        for reader in 0..2u64 {
            scope.spawn(move || {
                let mut random = Random::new(seed + 100 + reader);
                let mut rounds = 0;
                while !done.load(Ordering::Relaxed) || rounds == 0 {
                    rounds += 1;
                    check_list(map, stable, &mut random);
                    check_gets(map, &mut random, ALL, STABLE);
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(map.verify(), []);
}

/// A short list from anywhere: in order, within its limit, and without a gap among the
/// keys that are always there.
fn check_list(map: &Art, stable: &std::collections::BTreeSet<Vec<u8>>, random: &mut Random) {
    let start = key(random.below(2_000) as u32);
    let reverse = random.below(2) == 0;
    let limit = 1 + random.below(150);
    let scan = if reverse {
        Scan::range::<Vec<u8>>((Bound::Unbounded, Bound::Included(start.clone())))
    } else {
        Scan::range(start.clone()..)
    };
    let got = list(map, scan.reverse(reverse).limit(limit));
    assert!(got.len() as u64 <= limit);
    let order = |pair: &[Entry]| (pair[0].name() < pair[1].name()) != reverse;
    assert!(got.windows(2).all(order), "a list out of order");
    for entry in &got {
        token(entry.name(), entry.value().expect("no groups were asked for"));
    }
    let names: Vec<&[u8]> = got.iter().map(Entry::name).collect();
    let last = names.last().expect("the bound itself is always there").to_vec();
    let (low, high) = if reverse { (last, start) } else { (start, last) };
    for key in stable.range(low..=high) {
        assert!(names.contains(&key.as_slice()), "{} was skipped", key.escape_ascii());
    }
}

fn check_gets(map: &Art, random: &mut Random, all: u32, stable: u32) {
    let numbers: Vec<u32> = (0..40).map(|_| random.below(u64::from(all)) as u32).collect();
    let keys: Vec<Vec<u8>> = numbers.iter().map(|&n| key(n)).collect();
    let mut answers = 0;
    map.get_many(&keys, |at, found| {
        answers += 1;
        match found {
            Some((value, _)) => {
                token(&keys[at], value);
            }
            None => assert!(numbers[at] >= stable, "key {} is always there", numbers[at]),
        }
    })
    .unwrap();
    assert_eq!(answers, keys.len());
    for (n, key) in numbers.iter().zip(&keys).take(8) {
        match map.longest_prefix(key).unwrap() {
            Some(entry) => {
                let found = entry.name();
                token(found, entry.value().expect("a match is a record"));
                assert!(key.starts_with(found));
                assert!(*n >= stable || found == key, "key {n} is always there");
            }
            None => assert!(*n >= stable, "key {n} is always there"),
        }
    }
}

/// Batches hold 32 names at first and 512 at most, so the breaks are within them and at their ends.
#[test]
fn a_visit_shows_what_a_cursor_gives_up_to_where_it_breaks() {
    let map = Art::new().unwrap();
    let all = || [Scan::all(), Scan::all().reverse(true), Scan::all().delimiter(b"/")];
    let visited = |scan: Scan, most: usize| {
        let mut names = Vec::new();
        let ended = map.visit(scan, |entry| {
            names.push(entry.name().to_vec());
            if names.len() == most { ControlFlow::Break(most) } else { ControlFlow::Continue(()) }
        });
        (ended.unwrap(), names)
    };
    for scan in all() {
        assert_eq!(visited(scan, 1), (ControlFlow::Continue(()), Vec::new()));
    }
    for n in 0..3_000 {
        map.put(format!("{}/{n:05}", n % 7).as_bytes(), b"value").unwrap();
    }
    for scan in all() {
        let names: Vec<_> =
            map.scan(scan.clone()).map(|entry| entry.unwrap().name().to_vec()).collect();
        for most in [1, 31, 32, 33, 96, 511, 512, 513, names.len(), names.len() + 1] {
            let seen = most.min(names.len());
            let ended =
                if seen == most { ControlFlow::Break(most) } else { ControlFlow::Continue(()) };
            assert_eq!(visited(scan.clone(), most), (ended, names[..seen].to_vec()), "{most}");
        }
        assert_eq!(visited(scan.clone().limit(0), 1).1.len(), 0);
        assert_eq!(visited(scan.limit(5), 99).1, names[..5.min(names.len())]);
    }
}
