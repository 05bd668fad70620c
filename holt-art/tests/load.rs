//! Loads in order: the same tree as puts make, fuller, or an error and an empty tree.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;

use holt_art::{Art, Error, MAX_KEY, PoolOptions, Scan};
use proptest::prelude::*;
use random::Random;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn empty() -> Art {
    Art::with_options(PoolOptions::with_bytes(256 << 20, 256 << 20)).unwrap()
}

/// That the map is sound and has exactly what the model has.
fn check(map: &Art, model: &Model) {
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), model.len() as u64);
    for reverse in [false, true] {
        let list = map.scan(Scan::all().reverse(reverse));
        let list: Vec<_> = list.map(|entry| entry.unwrap().into_record().unwrap()).collect();
        let mut expected: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        if reverse {
            expected.reverse();
        }
        assert!(list == expected, "the lists differ, reverse: {reverse}");
    }
    for (key, value) in model {
        assert_eq!(map.get(key).unwrap().as_ref(), Some(value), "{}", key.escape_ascii());
    }
}

/// Changes half of what was loaded, so that frames are split, merged and emptied.
fn change(map: &Art, model: &mut Model, seed: u64) {
    let mut random = Random::new(seed);
    let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
    for key in keys {
        match random.below(6) {
            0 => {
                map.remove(&key).unwrap();
                model.remove(&key);
            }
            1 => {
                let value = vec![9; random.below(200) as usize];
                map.put(&key, &value).unwrap();
                model.insert(key, value);
            }
            2 if key.len() < MAX_KEY => {
                let key = [&key[..], &[random.below(256) as u8]].concat();
                map.put(&key, b"beside").unwrap();
                model.insert(key, b"beside".to_vec());
            }
            _ => {}
        }
    }
}

/// Keys of few letters, zeros and ones among them, with long runs.
fn hostile_key() -> impl Strategy<Value = Vec<u8>> {
    let letter = prop_oneof![Just(0u8), Just(1), Just(b'/'), Just(b'a'), Just(255), any::<u8>()];
    let piece = prop_oneof![
        8 => letter.clone().prop_map(|byte| vec![byte]),
        1 => (letter, 200..1_500usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..80),
        1 => (0..12_000usize).prop_map(|length| vec![length as u8; length]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_load_is_what_puts_make(
        mut model in prop::collection::btree_map(hostile_key(), value(), 0..400),
        seed in any::<u64>(),
    ) {
        let map = empty();
        prop_assert_eq!(map.bulk_load(&model).unwrap(), model.len() as u64);
        check(&map, &model);
        change(&map, &mut model, seed);
        check(&map, &model);
        for key in model.keys() {
            map.remove(key).unwrap();
        }
        check(&map, &Model::new());
        prop_assert_eq!(map.tree().pool().stats().frames, 1);
    }
}

/// Keys of a shape in order.
fn shaped(shape: &str, count: u64) -> Model {
    (0..count)
        .map(|n| {
            let mut random = Random::new(n);
            match shape {
                "objects" => {
                    format!("bucket-{:02}/path/sub/file-{:06}.bin", n % 32, n / 32).into_bytes()
                }
                "files" => {
                    format!("/usr/share/category-{}/file-{:06}", n % 16, n / 16).into_bytes()
                }
                "words" => (n as u32).to_be_bytes().to_vec(),
                _ => (0..4).flat_map(|_| random.next().to_be_bytes()).collect(),
            }
        })
        .map(|key| (key, vec![7; if shape == "files" { 32 } else { 60 }]))
        .collect()
}

#[test]
fn frames_are_filled_and_stay_sound_under_changes() {
    for shape in ["objects", "files", "words", "random"] {
        let mut model = shaped(shape, 60_000);
        let map = empty();
        map.bulk_load(&model).unwrap();
        let stats = map.tree().pool().stats();
        assert!(stats.fill() >= 0.9, "{shape}: {}", stats.fill());
        check(&map, &model);
        change(&map, &mut model, 5);
        check(&map, &model);
    }
}

/// The nodes above the last frame go into it, as long as they fit there.
#[test]
fn small_loads_have_no_frame_for_a_few_upper_nodes() {
    for (shape, least) in [("objects", 8), ("files", 3), ("random", 9)] {
        let mut full = 0;
        for count in (600..9_000).step_by(600) {
            let mut model = shaped(shape, count);
            let map = empty();
            map.bulk_load(&model).unwrap();
            full += usize::from(map.tree().pool().stats().fill() >= 0.85);
            check(&map, &model);
            change(&map, &mut model, count);
            check(&map, &model);
        }
        // One, none and four with a frame for the upper nodes alone.
        assert!(full >= least, "{shape}: {full} of 14 are filled to 0.85");
    }
}

#[test]
fn keys_that_begin_with_one_another_make_a_chain_of_any_depth() {
    let model: Model = (0..6_000).map(|length| (vec![b'a'; length], vec![1; 20])).collect();
    let map = empty();
    map.bulk_load(&model).unwrap();
    check(&map, &model);
    let long: Model =
        (0..3u8).map(|n| ([vec![b'z'; MAX_KEY - 1], vec![n]].concat(), vec![n])).collect();
    let map = empty();
    map.bulk_load(&long).unwrap();
    check(&map, &long);
}

#[test]
fn a_load_that_is_refused_leaves_the_tree_empty_and_nothing_behind() {
    let map = empty();
    let large = vec![3; 9_000];
    for (keys, at) in [(vec!["b", "a"], 1), (vec!["a", "b", "b"], 2), (vec!["ab", "a"], 1)] {
        let records = keys.iter().map(|key| (key, &large));
        assert_eq!(map.bulk_load(records), Err(Error::Unordered { at }));
        check(&map, &Model::new());
    }
    let long = vec![0; MAX_KEY + 1];
    assert_eq!(map.bulk_load([(&long, b"")]), Err(Error::KeyTooLong { length: MAX_KEY + 1 }));
    let none: [(&str, &str); 0] = [];
    assert_eq!(map.bulk_load(none), Ok(0));
    check(&map, &Model::new());
    map.put(b"k", b"v").unwrap();
    assert_eq!(map.bulk_load([("a", "")]), Err(Error::NotEmpty));
    check(&map, &Model::from([(b"k".to_vec(), b"v".to_vec())]));
}

#[test]
fn a_load_without_room_leaves_the_tree_empty_and_nothing_behind() {
    let (mut refused, mut done) = (0, 0);
    for frames in 1..24u64 {
        for blobs in [0u64, 2, 64] {
            let options = PoolOptions::with_bytes(frames << 16, blobs << 12);
            let Ok(map) = Art::with_options(options) else { continue };
            let mut model = shaped("objects", 8_000);
            for n in 0..8 {
                model.insert(format!("large-{n}").into_bytes(), vec![n; 10_000]);
            }
            match map.bulk_load(&model) {
                Ok(_) => done += 1,
                Err(Error::PoolFull { .. }) => {
                    refused += 1;
                    model.clear();
                }
                other => panic!("{frames} frames, {blobs} pages: {other:?}"),
            }
            check(&map, &model);
        }
    }
    assert!(refused > 10 && done > 1, "{refused} refused, {done} done");
}

#[test]
fn a_load_is_in_a_snapshot_as_a_whole_or_not_at_all() {
    let map = empty();
    let snapshot = |map: &Art| {
        let pool = map.tree().pool();
        let closed = pool.close_gate();
        pool.snapshot(&closed)
    };
    let before = snapshot(&map);
    let mut model = shaped("objects", 20_000);
    map.bulk_load(&model).unwrap();
    let after = snapshot(&map);
    let loaded = model.len() as u64;
    change(&map, &mut model, 8);
    assert_eq!(before.tree(map.tree().root()).unwrap().len(), 0);
    assert_eq!(after.tree(map.tree().root()).unwrap().len(), loaded);
    drop((before, after));
    check(&map, &model);
}
