//! The tree against `BTreeMap`, with keys chosen to hurt, every invariant checked along
//! the way.

use std::collections::BTreeMap;
use std::ops::Bound;

use holt_art::{Art, Condition, Entry, Put, Removed, Scan, Version};
use proptest::prelude::*;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Version)>;

#[derive(Clone, Debug)]
enum Op {
    Put(Vec<u8>, Vec<u8>),
    PutIf(Vec<u8>, Vec<u8>, bool),
    Remove(Vec<u8>),
    Get(Vec<u8>),
    List { lower: Vec<u8>, upper: Vec<u8>, reverse: bool },
    Roll { prefix: Vec<u8>, after: Option<Vec<u8>>, delimiter: Vec<u8>, reverse: bool },
}

/// Bytes that sit at the edges of nodes and of the order.
fn hostile_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(0),
        Just(0xFF),
        Just(b'/'),
        Just(b'a'),
        Just(b'b'),
        Just(0x7F),
        Just(0x80),
        any::<u8>()
    ]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(hostile_byte(), 0..6),
        4 => prop::collection::vec(prop_oneof![Just(b'a'), Just(b'/'), Just(b'b')], 0..12),
        2 => (0u16..2000).prop_map(|n| format!("dir-{:02}/sub/file-{n:04}", n % 7).into_bytes()),
        1 => (0u8..4, 0usize..1200, hostile_byte()).prop_map(|(head, length, tail)| {
            let mut key = vec![head];
            key.resize(length + 1, b'x');
            key.push(tail);
            key
        }),
        1 => (0u8..3, 0usize..66_000, hostile_byte()).prop_map(|(head, length, tail)| {
            let mut key = vec![head; length.min(65_534)];
            key.push(tail);
            key
        }),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..40),
        2 => (any::<u8>(), 200usize..600).prop_map(|(byte, length)| vec![byte; length]),
        1 => (any::<u8>(), 3000usize..5000).prop_map(|(byte, length)| vec![byte; length]),
        1 => (any::<u8>(), 5000usize..40_000).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (key(), value()).prop_map(|(k, v)| Op::Put(k, v)),
        2 => (key(), value(), any::<bool>()).prop_map(|(k, v, b)| Op::PutIf(k, v, b)),
        5 => key().prop_map(Op::Remove),
        2 => key().prop_map(Op::Get),
        1 => (key(), key(), any::<bool>())
            .prop_map(|(lower, upper, reverse)| Op::List { lower, upper, reverse }),
        1 => (key(), prop::option::of(key()), prop_oneof![Just(b"/".to_vec()), Just(b"a/".to_vec())], any::<bool>())
            .prop_map(|(mut prefix, after, delimiter, reverse)| {
                prefix.truncate(2);
                Op::Roll { prefix, after, delimiter, reverse }
            }),
    ]
}

fn lines(model: &Model, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), reverse: bool) -> Vec<Entry> {
    let empty = match (&range.0, &range.1) {
        (Bound::Included(l), Bound::Included(u)) => l > u,
        (Bound::Included(l) | Bound::Excluded(l), Bound::Included(u) | Bound::Excluded(u)) => {
            l >= u
        }
        _ => false,
    };
    if empty {
        return Vec::new();
    }
    let line = |(key, (value, version)): (&Vec<u8>, &(Vec<u8>, Version))| {
        Entry::record(key, value, *version)
    };
    if reverse {
        model.range(range).rev().map(line).collect()
    } else {
        model.range(range).map(line).collect()
    }
}

/// The rules of a rolled-up list, written down the slow way.
fn rolled(
    model: &Model,
    prefix: &[u8],
    after: Option<&[u8]>,
    delimiter: &[u8],
    reverse: bool,
) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    for (key, (value, version)) in model.iter().filter(|(key, _)| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let at = rest.windows(delimiter.len()).position(|window| window == delimiter);
        let entry = match at {
            Some(at) => Entry::group(&key[..prefix.len() + at + delimiter.len()]),
            None => Entry::record(key, value, *version),
        };
        if after.is_some_and(|after| entry.name() <= after) || out.last() == Some(&entry) {
            continue;
        }
        out.push(entry);
    }
    if reverse {
        out.reverse();
    }
    out
}

fn apply(map: &Art, model: &mut Model, op: &Op) {
    match op {
        Op::Put(key, value) => {
            let version = match map.put(key, value).unwrap() {
                Put::Inserted(version) => {
                    assert!(!model.contains_key(key), "an overwrite was taken for an insertion");
                    version
                }
                Put::Replaced(version) => {
                    assert!(model.contains_key(key), "an insertion was taken for an overwrite");
                    version
                }
                Put::Refused(_) => panic!("an unconditional put was refused"),
            };
            model.insert(key.clone(), (value.clone(), version));
        }
        Op::PutIf(key, value, absent) => {
            let found = model.get(key).map(|(_, version)| *version);
            let condition = match (absent, found) {
                (true, _) | (_, None) => Condition::Absent,
                (false, Some(version)) => Condition::Version(version),
            };
            match map.put_if(key, value, condition).unwrap() {
                Put::Refused(seen) => {
                    assert_eq!(seen, found);
                    assert!(!condition.holds(found));
                }
                Put::Inserted(version) | Put::Replaced(version) => {
                    assert!(condition.holds(found));
                    model.insert(key.clone(), (value.clone(), version));
                }
            }
        }
        Op::Remove(key) => match map.remove(key).unwrap() {
            Removed::Removed(_) => assert!(model.remove(key).is_some()),
            Removed::Missing => assert!(!model.contains_key(key)),
            Removed::Refused(_) => panic!("an unconditional removal was refused"),
        },
        Op::Get(key) => {
            let got = map.tree().get(key, |value, version| (value.to_vec(), version)).unwrap();
            assert_eq!(got.as_ref(), model.get(key));
        }
        Op::List { lower, upper, reverse } => {
            let bounds = (Bound::Included(lower.clone()), Bound::Excluded(upper.clone()));
            let scan = Scan::range::<Vec<u8>>(bounds.clone()).reverse(*reverse);
            let got: Vec<Entry> = map.scan(scan).collect::<Result<_, _>>().unwrap();
            assert_eq!(got, lines(model, bounds, *reverse));
        }
        Op::Roll { prefix, after, delimiter, reverse } => {
            let mut scan = Scan::prefix(prefix).delimiter(delimiter).reverse(*reverse);
            if let Some(after) = after {
                scan = scan.start_after(after);
            }
            let got: Vec<Entry> = map.scan(scan).collect::<Result<_, _>>().unwrap();
            assert_eq!(got, rolled(model, prefix, after.as_deref(), delimiter, *reverse));
        }
    }
}

fn check_all(map: &Art, model: &Model) {
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), model.len() as u64);
    let all = (Bound::Unbounded, Bound::Unbounded);
    for reverse in [false, true] {
        let got: Vec<Entry> =
            map.scan(Scan::all().reverse(reverse)).collect::<Result<_, _>>().unwrap();
        assert!(
            got == lines(model, all.clone(), reverse),
            "the whole list differs, reverse: {reverse}"
        );
    }
    for (key, record) in model {
        let got = map.tree().get(key, |value, version| (value.to_vec(), version)).unwrap();
        assert_eq!(got.as_ref(), Some(record));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_answers_like_a_sorted_map(ops in prop::collection::vec(op(), 1..400)) {
        let map = Art::new().unwrap();
        let mut model = Model::new();
        for (index, op) in ops.iter().enumerate() {
            apply(&map, &mut model, op);
            if index % 16 == 0 {
                assert_eq!(map.verify(), []);
            }
        }
        check_all(&map, &model);
        let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
        for key in keys {
            apply(&map, &mut model, &Op::Remove(key));
        }
        check_all(&map, &model);
        assert_eq!(map.tree().pool().stats().frames, 1, "an empty tree has its root frame only");
    }
}

/// A small generator, so that large loads need no list of operations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn load_and_churn(seed: u64, make_key: impl Fn(&mut Random) -> Vec<u8>) {
    println!("seed {seed}");
    let mut random = Random(seed);
    let map = Art::new().unwrap();
    let mut model = Model::new();
    for step in 0..60_000u32 {
        let key = make_key(&mut random);
        let grow = step < 30_000;
        let op = match random.below(10) {
            0..=1 if grow => Op::Remove(key),
            0..=6 if !grow => Op::Remove(key),
            _ => {
                let length = random.below(90) as usize;
                Op::Put(key, vec![step as u8; length])
            }
        };
        apply(&map, &mut model, &op);
        if step % 6000 == 0 {
            assert_eq!(map.verify(), [], "after step {step}");
        }
    }
    check_all(&map, &model);
    while let Some(key) = model
        .keys()
        .nth(random.below(model.len().max(1) as u64) as usize % 64)
        .cloned()
        .or_else(|| model.keys().next().cloned())
    {
        apply(&map, &mut model, &Op::Remove(key));
        if model.is_empty() {
            break;
        }
    }
    check_all(&map, &model);
    assert_eq!(map.tree().pool().stats().frames, 1);
}

#[test]
fn a_load_of_paths_survives_churn() {
    load_and_churn(0x5EED_0001, |random| {
        let n = random.below(20_000);
        format!("bucket-{:02}/path/sub/file-{:06}.bin", n % 32, n / 32).into_bytes()
    });
}

#[test]
fn a_load_of_random_keys_survives_churn() {
    load_and_churn(0x5EED_0002, |random| {
        let n = random.below(20_000).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        n.to_be_bytes().repeat(3)
    });
}

#[test]
fn a_load_of_nested_prefixes_survives_churn() {
    // Every key is a prefix of the next: a spine of nodes with a record each.
    load_and_churn(0x5EED_0003, |random| vec![b'p'; random.below(9_000) as usize]);
}

#[test]
fn a_load_of_uneven_depth_survives_churn() {
    load_and_churn(0x5EED_0004, |random| {
        let depth = 1 + random.below(10);
        let mut key = Vec::new();
        for level in 0..depth {
            key.extend_from_slice(format!("d{}/", random.below(2 + level)).as_bytes());
        }
        key.extend_from_slice(&random.below(50).to_string().into_bytes());
        key
    });
}
