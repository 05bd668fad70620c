//! Lists that are overtaken by moves: each gives what there was before the first move that
//! came after it, to its end, and keeps nothing beyond that.
//!
//! `HOLT_TEST_SEED` chooses another seed.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use holt_art::{Art, Cursor, EntryRef, Existing, Pool, Scan};
use random::Random;

fn seed(default: u64) -> u64 {
    let seed = std::env::var("HOLT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(default);
    println!("HOLT_TEST_SEED={seed}");
    seed
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(directory: &str, n: u64) -> Vec<u8> {
    format!("{directory}sub-{:02}/file-{n:05}", n % 13).into_bytes()
}

fn value(n: u64) -> Vec<u8> {
    let length = if n.is_multiple_of(101) { 6_000 } else { n as usize % 90 };
    vec![n as u8; length]
}

fn filled(directory: &str, keys: u64) -> (Art, Model) {
    let (map, mut model) = (Art::new().unwrap(), Model::new());
    for n in 0..keys {
        map.put(&key(directory, n), &value(n)).unwrap();
        model.insert(key(directory, n), value(n));
    }
    (map, model)
}

/// Gives every key of the model that begins with `from` a name that begins with `to`.
fn rename(model: &mut Model, from: &str, to: &str) {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let moved: Vec<_> = model.keys().filter(|key| key.starts_with(from)).cloned().collect();
    for old in moved {
        let value = model.remove(&old).unwrap();
        model.insert([to, &old[from.len()..]].concat(), value);
    }
}

fn assert_nothing_kept(map: &Art) {
    let stats = map.tree().pool().stats();
    assert_eq!((stats.pins, stats.kept_bytes, stats.kept_blobs), (0, 0, 0));
    assert_eq!(stats.slot_bytes, stats.frames * Pool::FRAME_BYTES as u64);
    assert_eq!(map.verify(), []);
}

/// A list under way and what it still has to give.
struct List {
    cursor: Cursor,
    expected: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
}

impl List {
    fn begin(map: &Art, model: &Model, reverse: bool) -> Self {
        let mut expected: Vec<_> = model.clone().into_iter().collect();
        if reverse {
            expected.reverse();
        }
        let cursor = map.scan(Scan::all().reverse(reverse));
        let mut list = Self { cursor, expected: expected.into_iter() };
        list.check(1);
        list
    }

    /// Compares the next names; false at the end.
    fn check(&mut self, names: usize) -> bool {
        for _ in 0..names {
            match (self.cursor.next_ref().unwrap(), self.expected.next()) {
                (Some(EntryRef::Key { key, value, .. }), Some((other, expected))) => {
                    assert_eq!(key.escape_ascii().to_string(), other.escape_ascii().to_string());
                    assert!(value == expected, "{}", key.escape_ascii());
                }
                (None, None) => return false,
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
        true
    }
}

#[test]
fn a_list_goes_on_before_the_move_and_lets_go_of_it_at_its_end() {
    let (map, mut model) = filled("a/b/", 9_000);
    let mut list = List::begin(&map, &model, false);
    let mut back = List::begin(&map, &model, true);
    let ended = List::begin(&map, &model, false);
    drop(ended);
    map.rename_prefix(b"a/b/", b"c/", Existing::Refuse).unwrap();
    rename(&mut model, "a/b/", "c/");
    assert_eq!(map.tree().pool().stats().pins, 1, "one epoch for both");
    // What is written after the move is not for them either.
    for n in 0..9_000 {
        map.put(&key("c/", n), b"new").unwrap();
        model.insert(key("c/", n), b"new".to_vec());
    }
    let mut later = List::begin(&map, &model, false);
    assert!(list.check(500) && back.check(4_000));
    assert!(map.remove_prefix(b"c/").unwrap());
    assert_eq!(map.tree().pool().stats().pins, 2);
    while map.reclaim(8).unwrap() {}
    assert!(map.is_empty());
    assert_eq!(map.verify(), []);
    while later.check(100) {}
    assert_eq!(map.tree().pool().stats().pins, 1, "a list that is over needs nothing");
    while list.check(100) {}
    assert!(back.check(100));
    drop(back);
    assert_nothing_kept(&map);
}

#[test]
fn a_list_that_has_ended_or_fits_one_batch_pins_nothing() {
    let (map, _) = filled("a/", 3_000);
    let few = |scan: Scan| {
        let mut cursor = map.scan(scan);
        cursor.next_ref().unwrap().unwrap();
        cursor
    };
    let held = [
        few(Scan::all().limit(3)),
        few(Scan::prefix(b"a/sub-03/file-0000")),
        few(Scan::prefix(b"a/").delimiter(b"/")),
        map.scan(Scan::all()),
    ];
    map.rename_prefix(b"a/", b"b/", Existing::Refuse).unwrap();
    assert_eq!(map.tree().pool().stats().pins, 0);
    // The last one has given out nothing yet, so it begins behind the move.
    let [.., late] = held;
    let names = late.map(|entry| entry.unwrap().into_name());
    assert!(names.eq((0..3_000).map(|n| key("b/", n)).collect::<std::collections::BTreeSet<_>>()));
    assert_nothing_kept(&map);
}

/// Lists of all ages beside moves and writers, one step at a time.
#[test]
fn lists_of_all_ages_are_the_map_as_it_was_before_the_next_move() {
    let mut random = Random::new(seed(21_000));
    let names = ["a/", "a/b/c/", "long/er/name/", "z"];
    let mut at = 0;
    let (map, mut model) = filled(names[at], 4_000);
    // A list shows what is written before its next move, so each is begun right before one.
    let mut lists: Vec<List> = Vec::new();
    for turn in 0..120u64 {
        for _ in 0..random.below(3) {
            lists.push(List::begin(&map, &model, random.below(2) == 0));
        }
        let to = (at + 1 + random.below(3) as usize) % names.len();
        // Under a name that begins with the old one the directory cannot be hung.
        if names[to].starts_with(names[at]) {
            continue;
        }
        map.rename_prefix(names[at].as_bytes(), names[to].as_bytes(), Existing::Refuse).unwrap();
        rename(&mut model, names[at], names[to]);
        at = to;
        for _ in 0..60 {
            let n = random.below(4_200);
            if random.below(4) == 0 {
                map.remove(&key(names[at], n)).unwrap();
                model.remove(&key(names[at], n));
            } else {
                map.put(&key(names[at], n), &value(turn + n)).unwrap();
                model.insert(key(names[at], n), value(turn + n));
            }
        }
        // A move that changes nothing in between separates the next lists from these writes.
        map.remove_prefix(b"none/").unwrap();
        lists.retain_mut(|list| list.check(random.below(900) as usize));
        if !lists.is_empty() && random.below(3) == 0 {
            lists.swap_remove(random.below(lists.len() as u64) as usize);
        }
        if turn % 10 == 0 {
            assert_eq!(map.verify(), []);
        }
    }
    while !lists.is_empty() {
        lists.retain_mut(|list| list.check(700));
    }
    assert_nothing_kept(&map);
}

/// A directory moves to and fro; every list has each of its keys once, under one name.
#[test]
fn no_list_sees_a_directory_twice_or_not_at_all() {
    let seed = seed(22_000);
    let names = ["left/a/", "right/deeper/b/"];
    for (keys, moves) in [(400u64, 1_500u64), (5_000, 400)] {
        let (map, _) = filled(names[0], keys);
        for n in 0..keys {
            map.put(&key("middle/", n), b"beside").unwrap();
        }
        let turn = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                struct Ends<'a>(&'a AtomicU64);
                impl Drop for Ends<'_> {
                    fn drop(&mut self) {
                        self.0.store(u64::MAX, Ordering::Relaxed);
                    }
                }
                let _ends = Ends(&turn);
                let mut random = Random::new(seed);
                for n in 0..moves {
                    let (from, to) = (names[n as usize % 2], names[1 - n as usize % 2]);
                    map.rename_prefix(from.as_bytes(), to.as_bytes(), Existing::Refuse).unwrap();
                    let n = random.below(keys);
                    map.put(&key(to, n), &value(n)).unwrap();
                }
            });
            for reader in 0..2u64 {
                let (map, turn) = (&map, &turn);
                scope.spawn(move || {
                    let mut random = Random::new(seed ^ (reader + 1));
                    let mut lists = 0;
                    while turn.load(Ordering::Relaxed) != u64::MAX || lists == 0 {
                        let reverse = random.below(2) == 0;
                        let mut cursor = map.scan(Scan::all().keys_only(true).reverse(reverse));
                        let mut found = [0, 0, 0];
                        while let Some(EntryRef::Key { key, .. }) = cursor.next_ref().unwrap() {
                            found[usize::from(key[0] == b'm') + 2 * usize::from(key[0] == b'r')] +=
                                1;
                        }
                        let whole = found == [keys, keys, 0] || found == [0, keys, keys];
                        assert!(whole, "seed {seed}: {found:?} of {keys}");
                        lists += 1;
                    }
                });
            }
        });
        assert_nothing_kept(&map);
    }
}

/// Both began on this thread, and between them there was a move: each ends for itself.
#[test]
fn an_overtaken_list_that_ends_leaves_a_younger_one_registered() {
    let (map, _) = filled("a", 2_000);
    let mut older = map.scan(Scan::all());
    older.next().unwrap().unwrap();
    map.rename_prefix(b"a", b"b", Existing::Refuse).unwrap();
    let mut younger = map.scan(Scan::all());
    younger.next().unwrap().unwrap();
    drop(older);
    map.rename_prefix(b"b", b"c", Existing::Refuse).unwrap();
    let names = younger.by_ref().map(|entry| entry.unwrap().into_name());
    assert_eq!(names.filter(|name| name.starts_with(b"b")).count(), 1_999);
    assert_nothing_kept(&map);
}

/// More threads than there are shards, many times over: each of them registers its list in a
/// shard that exists, and the move that overtakes it finds it there.
#[test]
fn lists_of_any_number_of_threads_are_overtaken() {
    let (map, mut model) = filled("a/", 300);
    for turn in 0..300 {
        let (from, to) = [("a/", "b/"), ("b/", "a/")][turn % 2];
        thread::scope(|scope| {
            let lists = scope.spawn(|| List::begin(&map, &model, false));
            let mut list = lists.join().unwrap();
            map.rename_prefix(from.as_bytes(), to.as_bytes(), Existing::Refuse).unwrap();
            while list.check(64) {}
        });
        rename(&mut model, from, to);
    }
    assert_nothing_kept(&map);
}
