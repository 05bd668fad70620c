//! The children of a node are listed in one run as long as they are ordinary leaves: nodes in
//! which they stand between everything else that a child may be, against a map.

#[path = "support/beside.rs"]
mod beside;
#[path = "support/list.rs"]
mod list;
#[path = "support/random.rs"]
mod random;

/// What the lists are worked out from.
mod model {
    use std::collections::BTreeMap;

    use holt_art::Version;

    /// Value and version of every record, by key.
    pub(crate) type Model = BTreeMap<Vec<u8>, (Vec<u8>, Version)>;
}

use std::ops::Bound;

use beside::Beside;
use holt_art::{Art, Entry, MAX_KEY, Scan};
use list::{Keys, List};
use model::Model;
use random::Random;

/// Lengths about those at which a copy takes one piece more, or a leaf is of another kind.
const LENGTHS: [usize; 20] =
    [0, 1, 7, 8, 9, 23, 24, 25, 31, 32, 33, 63, 64, 65, 127, 254, 255, 256, 257, 600];

fn put(map: &Art, model: &mut Model, key: Vec<u8>, value: Vec<u8>) {
    map.put(&key, &value).unwrap();
    let version = map.tree().version(&key).unwrap().expect("it was put");
    model.insert(key, (value, version));
}

fn check(map: &Art, model: &Model, list: &List) {
    let entries: Vec<Entry> = map.scan(list.scan()).collect::<Result<_, _>>().unwrap();
    let expected = list.lines(model);
    let names = |entries: &[Entry]| -> Vec<String> {
        entries.iter().map(|entry| entry.name().escape_ascii().to_string()).collect()
    };
    assert!(entries == expected, "{list:?}: {:?}", (names(&entries), names(&expected)));
    let mut lent = Vec::new();
    let mut cursor = map.scan(list.scan());
    while let Some(entry) = cursor.next_ref().unwrap() {
        lent.push(entry.to_owned());
    }
    assert!(lent == expected, "{list:?}, lent");
}

fn list(keys: Keys) -> List {
    let (delimiter, after, reverse, keys_only) = (Vec::new(), None, false, false);
    List { keys, delimiter, after, reverse, keys_only, limit: u64::MAX }
}

/// A list in both directions, with and without values, with delimiters of several kinds and
/// limits that end it inside a run.
fn check_all_ways(map: &Art, model: &Model, keys: &Keys, after: Option<&[u8]>) {
    for delimiter in [&b""[..], b"/", b"\0", b"\xff", b"s/", b"///"] {
        for reverse in [false, true] {
            for (keys_only, limit) in [(false, u64::MAX), (true, u64::MAX), (false, 7)] {
                let mut list = list(keys.clone());
                list.delimiter = delimiter.to_vec();
                list.after = after.map(<[u8]>::to_vec);
                (list.reverse, list.keys_only, list.limit) = (reverse, keys_only, limit);
                check(map, model, &list);
            }
        }
    }
}

/// What hangs at one child of the node under test.
fn child(random: &mut Random, key: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let below = |tail: &[u8]| [key, tail].concat();
    let length = |random: &mut Random| LENGTHS[random.below(LENGTHS.len() as u64) as usize];
    let value = vec![random.next() as u8; length(random)];
    match random.below(12) {
        // A node, with and without a record of its own.
        0 => vec![(below(b"x/1"), value.clone()), (below(b"x/2"), value)],
        1 => vec![(below(b""), value.clone()), (below(b"s/2"), value)],
        // A long leaf, and one whose value is outside.
        2 => vec![(below(&vec![b's'; 300]), value)],
        3 => vec![(below(b".bin"), vec![b'b'; 5_000])],
        // Leaves in which a delimiter is, and in which none is.
        4 => vec![(below(b"tail/s/t"), value)],
        5 => vec![(below(b"/"), value)],
        _ => vec![(below(&vec![b's'; length(random) % 257]), value)],
    }
}

#[test]
fn leaves_between_other_children_are_listed_as_a_map_lists_them() {
    let seed = 91;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for children in [2, 5, 16, 17, 256] {
        for path in [0, 1, 31, 32, 64, 65, 200] {
            let (map, mut model) = (Art::new().unwrap(), Model::new());
            let mut stem = vec![b'p'; path];
            if let Some(last) = stem.last_mut() {
                *last = [b'/', b'p', 0xFF, 0][path % 4];
            }
            let mut bytes: Vec<u8> = (0..=255).collect();
            for at in (1..bytes.len()).rev() {
                bytes.swap(at, random.below(at as u64 + 1) as usize);
            }
            if children % 2 == 0 {
                put(&map, &mut model, stem.clone(), b"its own".to_vec());
            }
            // A sibling on either side, so that the list begins and ends beside something.
            put(
                &map,
                &mut model,
                [&stem[..path.saturating_sub(1)], b"\xff\xff\xff"].concat(),
                vec![],
            );
            for &byte in &bytes[..children] {
                for (key, value) in child(&mut random, &[&stem[..], &[byte]].concat()) {
                    put(&map, &mut model, key, value);
                }
            }
            check_all_ways(&map, &model, &Keys::Range(Bound::Unbounded, Bound::Unbounded), None);
            check_all_ways(&map, &model, &Keys::Prefix(stem.clone()), None);
            let within = [&stem[..], &[bytes[0]], b"s"].concat();
            check_all_ways(&map, &model, &Keys::Prefix(stem.clone()), Some(&within));
            let (low, high) = (bytes[0].min(bytes[1]), bytes[0].max(bytes[1]));
            let lower = Bound::Included([&stem[..], &[low]].concat());
            let upper = Bound::Excluded([&stem[..], &[high], b"s"].concat());
            check_all_ways(&map, &model, &Keys::Range(lower, upper), None);
        }
    }
}

/// Small nodes of leaves are parts of a run if all is ordinary in them: nodes of every size and
/// with prefixes of all lengths about a piece, with something in some that is not.
#[test]
fn small_nodes_between_leaves_are_listed_as_a_map_lists_them() {
    let seed = 93;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for (children, path) in [(2, 0), (4, 31), (9, 1), (16, 64), (60, 33), (256, 3)] {
        let (map, mut model) = (Art::new().unwrap(), Model::new());
        for byte in 0..children {
            let prefix = [0, 0, 0, 1, 7, 31, 32, 33, 40][random.below(9) as usize];
            let mut node = vec![b'p'; path];
            node.push((byte * (256 / children)) as u8);
            node.resize(node.len() + prefix, b"a/"[usize::from(random.below(8) == 0)]);
            if random.below(8) == 0 {
                put(&map, &mut model, node.clone(), b"its own".to_vec());
            }
            for _ in 0..=random.below(18) {
                let last = random.next() as u8;
                let tails = match random.below(40) {
                    0 => vec![vec![b's'; 300]],
                    1 => vec![b"/s/".to_vec()],
                    2 => vec![b"one".to_vec(), b"two".to_vec()],
                    _ => vec![vec![b's'; random.below(40) as usize]],
                };
                for tail in tails {
                    let value = vec![last; LENGTHS[random.below(20) as usize] % 256];
                    put(&map, &mut model, [&node[..], &[last], &tail].concat(), value);
                }
            }
        }
        let whole = Keys::Range(Bound::Unbounded, Bound::Unbounded);
        check_all_ways(&map, &model, &whole, None);
        for limit in 1..40 {
            for reverse in [false, true] {
                let mut list = list(whole.clone());
                (list.reverse, list.limit) = (reverse, limit);
                check(&map, &model, &list);
            }
        }
        let some = model.keys().nth(model.len() / 3).expect("there are some").clone();
        check_all_ways(&map, &model, &whole, Some(&some));
        check_all_ways(&map, &model, &Keys::Range(Bound::Unbounded, Bound::Excluded(some)), None);
    }
}

/// A random key, of which the first byte is below `first`. A few of many such keys hang at each of very many
/// crossings.
fn scattered(random: &mut Random, first: u64) -> Vec<u8> {
    let mut key = vec![random.below(first) as u8, random.next() as u8];
    key.extend(random.next().to_le_bytes());
    key
}

#[test]
fn crossings_to_a_few_records_are_listed_as_a_map_lists_them() {
    let seed = 94;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (map, mut model) = (Art::new().unwrap(), Model::new());
    for n in 0..30_000u64 {
        let key = scattered(&mut random, 30);
        let value = vec![n as u8; if n % 500 == 0 { 700 } else { 70 }];
        put(&map, &mut model, key, value);
    }
    assert!(map.tree().pool().stats().frames > 40);
    for limit in [5, 100, u64::MAX] {
        for (reverse, delimiter) in [(false, &b""[..]), (true, b""), (false, b"/"), (true, b"/")] {
            for first in [0, 7] {
                let mut list = list(Keys::Range(Bound::Included(vec![first]), Bound::Unbounded));
                (list.reverse, list.limit, list.delimiter) = (reverse, limit, delimiter.to_vec());
                check(&map, &model, &list);
            }
        }
    }
}

/// What is in a run is validated frame by frame while writers change, split and merge them.
#[test]
fn lists_over_many_crossings_are_right_under_writers() {
    let seed = 95;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let keys: Vec<Vec<u8>> = (0..20_000).map(|_| scattered(&mut random, 20)).collect();
    Beside {
        keys: &keys,
        stays: |key| key.last().is_some_and(|last| last % 2 == 0),
        value: |key, random| key.repeat(1 + random as usize % 9),
        is_value: |key, shown| {
            let whole = shown.len() / key.len();
            (1..10).contains(&whole) && shown == key.repeat(whole)
        },
        near: 4_000..=4_060,
        lists: (30, 1_000),
    }
    .run(seed);
}

/// Frames that are filled to their last word, in both orders and with leaves of all sizes.
#[test]
fn leaves_at_the_ends_of_full_frames_are_listed() {
    let seed = 92;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for descending in [false, true] {
        let (map, mut model) = (Art::new().unwrap(), Model::new());
        for n in 0..9_000u32 {
            let n = if descending { 9_000 - n } else { n };
            let value = vec![n as u8; random.below(120) as usize];
            put(&map, &mut model, format!("dir/{n:06}").into_bytes(), value);
        }
        assert!(map.tree().pool().stats().fill() > 0.8);
        for reverse in [false, true] {
            let mut list = list(Keys::Prefix(b"dir/".to_vec()));
            list.reverse = reverse;
            check(&map, &model, &list);
            list.delimiter = b"/".to_vec();
            check(&map, &model, &list);
        }
    }
}

/// A batch takes so many names, or so many bytes: either may come to its end inside a run.
#[test]
fn batches_that_end_inside_a_run_lose_and_repeat_nothing() {
    let (map, mut model) = (Art::new().unwrap(), Model::new());
    // Names of 900 bytes and values of 255: some 230 of them fill a batch.
    let stem = vec![b'n'; 898];
    for n in 0..1_500u32 {
        let [.., high, low] = n.to_be_bytes();
        let value = if n % 40 == 7 { vec![low; 20_000] } else { vec![low; 255] };
        put(&map, &mut model, [&stem[..], &[high, low]].concat(), value);
    }
    let whole = Keys::Range(Bound::Unbounded, Bound::Unbounded);
    for reverse in [false, true] {
        for limit in [1, 99, 229, 512, 1_499, 1_500, u64::MAX] {
            let mut list = list(whole.clone());
            (list.reverse, list.limit) = (reverse, limit);
            check(&map, &model, &list);
        }
    }
}

#[test]
fn names_of_the_greatest_length_are_listed() {
    let (map, mut model) = (Art::new().unwrap(), Model::new());
    for length in [MAX_KEY - 700, MAX_KEY - 512, MAX_KEY - 300, MAX_KEY - 1] {
        for byte in [0, b'/', b'a', 0xFF] {
            let mut key = vec![b'l'; length];
            key.push(byte);
            put(&map, &mut model, key, vec![byte; 40]);
        }
    }
    for reverse in [false, true] {
        for delimiter in [&b""[..], b"/", b"l/"] {
            let mut list = list(Keys::Range(Bound::Unbounded, Bound::Unbounded));
            (list.reverse, list.delimiter) = (reverse, delimiter.to_vec());
            check(&map, &model, &list);
        }
    }
    assert_eq!(map.scan(Scan::all()).count(), model.len());
}
