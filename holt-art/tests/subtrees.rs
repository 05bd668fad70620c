//! Lists go through small nodes below one another in one loop: keys that part every few bytes, with records
//! at inner nodes and with all that ends the loop in every place, against a map.

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
use holt_art::{Art, Entry};
use list::{Keys, List};
use model::Model;
use random::Random;

fn put(map: &Art, model: &mut Model, key: Vec<u8>, value: Vec<u8>) {
    map.put(&key, &value).unwrap();
    let version = map.tree().version(&key).unwrap().expect("it was put");
    model.insert(key, (value, version));
}

fn check(map: &Art, model: &Model, list: &List) {
    let entries: Vec<Entry> = map.scan(list.scan()).collect::<Result<_, _>>().unwrap();
    let expected = list.lines(model);
    let differs = entries.iter().zip(&expected).position(|(is, should)| is != should);
    assert!(entries == expected, "{list:?}: {differs:?}, {} of {}", entries.len(), expected.len());
}

fn list(keys: Keys) -> List {
    let (delimiter, after, reverse, keys_only) = (Vec::new(), None, false, false);
    List { keys, delimiter, after, reverse, keys_only, limit: u64::MAX }
}

fn all() -> Keys {
    Keys::Range(Bound::Unbounded, Bound::Unbounded)
}

/// What a map is made of.
#[derive(Clone, Copy)]
struct Sort {
    /// Parts of a key: one byte to branch each.
    parts: u64,
    /// Different bytes that a part may begin with.
    fan_out: u64,
    /// One in so many keys ends in a record that is out of the ordinary; none if it is zero.
    odd: u64,
}

/// A key of parts, most of which are as long as those of real names: at each of them others branch off.
fn key(random: &mut Random, sort: Sort) -> Vec<u8> {
    let mut key = Vec::new();
    for _ in 0..=random.below(sort.parts) {
        let byte = b'a' + random.below(sort.fan_out) as u8;
        key.push(byte);
        // All keys that come here go on in the same way, so that this is a node's prefix.
        let length = [0, 0, 3, 5, 7, 8, 31, 32, 33, 40][usize::from(byte) * 7 % 10];
        key.resize(key.len() + length, if byte.is_multiple_of(5) { b'/' } else { b'.' });
    }
    key
}

fn value(random: &mut Random, sort: Sort) -> Vec<u8> {
    let odd = sort.odd != 0 && random.below(sort.odd) == 0;
    let length = if odd { [256, 900, 5_000][random.below(3) as usize] } else { random.below(256) };
    vec![random.next() as u8; length as usize]
}

fn filled(random: &mut Random, sort: Sort, records: usize) -> (Art, Model) {
    let (map, mut model) = (Art::new().unwrap(), Model::new());
    while model.len() < records {
        let (key, value) = (key(random, sort), value(random, sort));
        put(&map, &mut model, key, value);
    }
    (map, model)
}

const SORTS: [Sort; 6] = [
    Sort { parts: 5, fan_out: 3, odd: 0 },
    Sort { parts: 7, fan_out: 4, odd: 20 },
    Sort { parts: 60, fan_out: 2, odd: 0 },
    Sort { parts: 60, fan_out: 2, odd: 8 },
    Sort { parts: 4, fan_out: 15, odd: 40 },
    Sort { parts: 3, fan_out: 26, odd: 0 },
];

#[test]
fn nested_nodes_are_listed_as_a_map_lists_them() {
    let seed = 201;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for sort in SORTS {
        let (map, model) = filled(&mut random, sort, 250);
        let keys: Vec<&Vec<u8>> = model.keys().collect();
        let any = |random: &mut Random| keys[random.below(keys.len() as u64) as usize].clone();
        for reverse in [false, true] {
            // Ended at every place by a limit, and begun at every key.
            for limit in 1..=model.len() as u64 {
                let mut list = list(all());
                (list.reverse, list.limit, list.keys_only) = (reverse, limit, limit % 3 == 0);
                check(&map, &model, &list);
            }
            for (n, key) in model.keys().enumerate() {
                let from = if n % 2 == 0 { Bound::Included } else { Bound::Excluded }(key.clone());
                let range =
                    if reverse { (Bound::Unbounded, from) } else { (from, Bound::Unbounded) };
                let mut list = list(Keys::Range(range.0, range.1));
                (list.reverse, list.limit) = (reverse, [u64::MAX, 3, 40][n % 3]);
                check(&map, &model, &list);
            }
            for n in 0..300 {
                let (one, other) = (any(&mut random), any(&mut random));
                let (low, high) = (one.clone().min(other.clone()), one.max(other));
                let part = low[..random.below(low.len() as u64 + 1) as usize].to_vec();
                let keys = match n % 3 {
                    0 => Keys::Range(Bound::Excluded(low), Bound::Included(high)),
                    1 => Keys::Range(Bound::Unbounded, Bound::Excluded(high)),
                    _ => Keys::Prefix(part),
                };
                let mut list = list(keys);
                list.delimiter = [&b""[..], b"/", b".", b"b"][random.below(4) as usize].to_vec();
                list.after = (random.below(3) == 0).then(|| any(&mut random));
                (list.reverse, list.keys_only) = (reverse, n % 5 == 0);
                check(&map, &model, &list);
            }
        }
    }
}

/// Batches grow and fill inside nested nodes, and nested nodes go on in other frames.
#[test]
fn nested_nodes_of_many_frames_are_listed_as_a_map_lists_them() {
    let seed = 202;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for sort in SORTS {
        let sort = Sort { parts: sort.parts + 4, ..sort };
        let (map, model) = filled(&mut random, sort, 6_000);
        assert!(map.tree().pool().stats().frames > 10);
        for reverse in [false, true] {
            for (delimiter, keys_only) in [(&b""[..], false), (b"", true), (b"/", false)] {
                for limit in [1, 31, 511, 513, 3_000, u64::MAX] {
                    let mut list = list(all());
                    list.delimiter = delimiter.to_vec();
                    (list.reverse, list.keys_only, list.limit) = (reverse, keys_only, limit);
                    check(&map, &model, &list);
                }
            }
            for key in model.keys().step_by(29) {
                let from = Bound::Excluded(key.clone());
                let range =
                    if reverse { (Bound::Unbounded, from) } else { (from, Bound::Unbounded) };
                let mut list = list(Keys::Range(range.0, range.1));
                (list.reverse, list.limit) = (reverse, 1 + random.below(200));
                check(&map, &model, &list);
            }
        }
        // As they were at an epoch, where frames are read in another way.
        let (pool, root) = (map.tree().pool(), map.tree().root());
        let before = pool.snapshot(&pool.close_gate()).tree(root).unwrap();
        for key in model.keys().step_by(2) {
            map.remove(key).unwrap();
        }
        for reverse in [false, true] {
            let mut list = list(all());
            list.reverse = reverse;
            let entries: Vec<Entry> = before.cursor(list.scan()).collect::<Result<_, _>>().unwrap();
            assert!(entries == list.lines(&model), "reverse: {reverse}");
        }
        let rest: Model =
            model.iter().skip(1).step_by(2).map(|(k, v)| (k.clone(), v.clone())).collect();
        check(&map, &rest, &list(all()));
    }
}

/// Frames below frames below frames.
#[test]
fn nested_nodes_behind_crossings_behind_crossings_are_listed() {
    let seed = 204;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (map, model) = filled(&mut random, Sort { parts: 14, fan_out: 5, odd: 0 }, 40_000);
    assert!(map.tree().pool().stats().frames > 150);
    for reverse in [false, true] {
        let mut list = list(all());
        list.reverse = reverse;
        check(&map, &model, &list);
        for key in model.keys().step_by(1_999) {
            let from = Bound::Included(key.clone());
            let range = if reverse { (Bound::Unbounded, from) } else { (from, Bound::Unbounded) };
            (list.keys, list.limit) = (Keys::Range(range.0, range.1), 2_500);
            check(&map, &model, &list);
        }
    }
}

/// Frames change while the loop is in them, in others that it has come from, and on its way back.
#[test]
fn nested_nodes_are_listed_right_under_writers() {
    let seed = 203;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let sort = Sort { parts: 9, fan_out: 5, odd: 0 };
    let keys: Vec<Vec<u8>> = (0..8_000).map(|_| key(&mut random, sort)).collect();
    Beside {
        keys: &keys,
        stays: |key| key.iter().map(|&byte| u32::from(byte)).sum::<u32>() % 2 == 0,
        // Of one length, so that it is changed in place, and all of one byte.
        value: |key, random| vec![random as u8; 100 + key.len()],
        is_value: |key, shown| {
            shown.len() == 100 + key.len() && shown.iter().all(|&byte| byte == shown[0])
        },
        // More than a frame has.
        near: 2_000..=2_300,
        lists: (40, 400),
    }
    .run(seed);
}
