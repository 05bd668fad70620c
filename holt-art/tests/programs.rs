//! Random bytes as programs of operations on a tree, run beside a `BTreeMap`, as the fuzz target
//! `fuzz/fuzz_targets/tree.rs` runs them, and what such programs found.

#[path = "support/bytes.rs"]
mod bytes;
#[path = "support/change.rs"]
mod change;
#[path = "support/list.rs"]
mod list;
#[path = "support/model.rs"]
mod model;
#[path = "support/program.rs"]
mod program;
#[path = "support/random.rs"]
mod random;

use std::ops::Bound;

use holt_art::{Art, Entry, PoolOptions, Put, Scan};
use list::{Keys, List};
use model::Model;
use proptest::prelude::*;
use random::Random;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_program_that_the_tree_runs_like_a_map(
        program in prop::collection::vec(any::<u8>(), 0..1_500)
    ) {
        program::run(&program);
    }
}

/// The node of a group lies on the edge of the range, and only a child of it is certain to be
/// inside; the group was given for this child and again for the next one.
#[test]
fn a_group_at_the_end_of_a_range_is_given_once() {
    let map = Art::with_options(PoolOptions::with_bytes(1 << 20, 1 << 20)).unwrap();
    for key in ["//", "/ba"] {
        map.put(key.as_bytes(), b"").unwrap();
    }
    let scan = Scan::range(..b"/bb".as_slice()).delimiter(b"/");
    let list: Vec<Entry> = map.scan(scan).map(Result::unwrap).collect();
    assert_eq!(list, [Entry::group(b"/")]);
}

/// The last name of a batch is a group that reaches beyond the end of the range. What comes
/// behind the group is not in the range; the next batch began there and gave it all the same.
#[test]
fn a_list_ends_with_a_group_that_fills_a_batch() {
    let map = Art::with_options(PoolOptions::with_bytes(1 << 20, 1 << 20)).unwrap();
    for key in ["g/1", "g/2", "g0", "g0x", "h"] {
        map.put(key.as_bytes(), b"").unwrap();
    }
    for before in 0..400 {
        for upper in [Bound::Included(b"g/1".to_vec()), Bound::Excluded(b"g0".to_vec())] {
            let scan = Scan::range((Bound::Unbounded, upper)).delimiter(b"/");
            let list: Vec<Entry> = map.scan(scan).map(Result::unwrap).collect();
            assert_eq!(list.len(), before + 1, "{:?}", list.last());
            assert_eq!(list[before], Entry::group(b"g/"));
        }
        map.put(format!("a{before:04}").as_bytes(), b"").unwrap();
    }
}

/// A key of up to four bytes, three different ones.
fn short(random: &mut Random) -> Vec<u8> {
    (0..random.below(5)).map(|_| b"a/b"[random.below(3) as usize]).collect()
}

fn bound(random: &mut Random) -> Bound<Vec<u8>> {
    match random.below(3) {
        0 => Bound::Included(short(random)),
        1 => Bound::Excluded(short(random)),
        _ => Bound::Unbounded,
    }
}

/// Few short keys, so that bounds, groups and names to start after meet in every way.
#[test]
fn lists_of_few_short_keys_are_those_of_the_map() {
    let seed = 4_100;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut groups = 0;
    for _ in 0..600 {
        let map = Art::with_options(PoolOptions::with_bytes(1 << 20, 1 << 20)).unwrap();
        let mut model = Model::new();
        for _ in 0..=random.below(12) {
            let (key, value) = (short(&mut random), short(&mut random));
            let Ok(Put::Inserted(version) | Put::Replaced(version)) = map.put(&key, &value) else {
                panic!("there is room for it");
            };
            model.insert(key, (value, version));
        }
        for _ in 0..60 {
            let list = List {
                keys: match random.below(3) {
                    0 => Keys::Prefix(short(&mut random)),
                    _ => Keys::Range(bound(&mut random), bound(&mut random)),
                },
                delimiter: [&b""[..], b"/", b"b", b"/a"][random.below(4) as usize].to_vec(),
                after: (random.below(2) == 0).then(|| short(&mut random)),
                reverse: random.below(2) == 0,
                keys_only: random.below(2) == 0,
                limit: if random.below(4) == 0 { random.below(5) } else { u64::MAX },
            };
            let got: Vec<Entry> = map.scan(list.scan()).map(Result::unwrap).collect();
            groups += got.iter().filter(|line| line.value().is_none()).count();
            assert_eq!(got, list.lines(&model), "{list:?} of {:?}", model.keys());
        }
    }
    assert!(groups > 1_000, "only {groups} groups");
}

/// A list may begin inside a group that it does not tell of: the keys there make no groups of their own.
#[test]
fn a_list_that_begins_inside_a_group_skips_all_of_it() {
    let map = Art::with_options(PoolOptions::with_bytes(8 << 20, 1 << 20)).unwrap();
    for key in ["a/", "a//1", "a/b/1", "a/b/2", "a/c/1", "b/1", "c"] {
        map.put(key.as_bytes(), b"").unwrap();
    }
    for n in 0..2_000 {
        map.put(format!("a/{:02}/{n}", n % 40).as_bytes(), &[7; 60]).unwrap();
    }
    for reverse in [false, true] {
        for after in ["a/", "a/!", "a/07/", "a/b/1"] {
            let scan = Scan::all().delimiter(b"/").start_after(after.as_bytes()).reverse(reverse);
            let mut list: Vec<Entry> = map.scan(scan).map(Result::unwrap).collect();
            if reverse {
                list.reverse();
            }
            assert_eq!(list.len(), 2, "{list:?}");
            assert_eq!((&list[0], list[1].name()), (&Entry::group(b"b/"), &b"c"[..]));
        }
    }
}
