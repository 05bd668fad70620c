//! Nodes at every size and with every length of prefix.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;

use holt_art::{Condition, EntryRef, Pool, PoolOptions, Put, Removed, Scan, Tree, Version};
use random::Random;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Version)>;

/// A tree and the map that it should be.
struct Pair {
    tree: Tree,
    model: Model,
    version: u64,
}

impl Pair {
    fn new() -> Self {
        let pool = Pool::new(PoolOptions::with_bytes(256 << 20, 256 << 20)).unwrap();
        let tree = pool.create_tree(&pool.enter()).unwrap();
        Self { tree, model: Model::new(), version: 0 }
    }

    fn next(&mut self) -> Version {
        self.version += 1;
        Version::new(self.version).unwrap()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let version = self.next();
        let pass = self.tree.pool().enter();
        let put = self.tree.put(&pass, key, value, Condition::Always, || version).unwrap();
        let known = self.model.insert(key.to_vec(), (value.to_vec(), version)).is_some();
        assert_eq!(put, if known { Put::Replaced(version) } else { Put::Inserted(version) });
    }

    fn remove(&mut self, key: &[u8]) {
        let version = self.next();
        let pass = self.tree.pool().enter();
        let removed = self.tree.remove(&pass, key, Condition::Always, || version).unwrap();
        let known = self.model.remove(key).is_some();
        assert_eq!(removed, if known { Removed::Removed(version) } else { Removed::Missing });
    }

    fn get(&self, key: &[u8]) {
        let found = self.tree.get(key, |value, version| (value.to_vec(), version)).unwrap();
        assert_eq!(found.as_ref(), self.model.get(key));
    }

    fn check(&self) {
        check(&self.tree, &self.model);
    }
}

/// That the tree is sound and has exactly what the map has.
fn check(tree: &Tree, model: &Model) {
    let closed = tree.pool().close_gate();
    assert_eq!(tree.pool().verify(&closed, &[tree.root()]), []);
    drop(closed);
    assert_eq!(tree.len(), model.len() as u64);
    for reverse in [false, true] {
        let list = tree.cursor(Scan::all().reverse(reverse));
        let list: Model = list
            .map(|entry| match entry.unwrap().as_ref() {
                EntryRef::Key { key, value, version } => (key.to_vec(), (value.to_vec(), version)),
                EntryRef::Group { .. } => panic!("no groups were asked for"),
            })
            .collect();
        assert!(&list == model, "the list differs, reverse: {reverse}");
    }
}

/// The bytes that can follow the prefix, shuffled.
fn shuffled(random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).collect();
    for at in (1..bytes.len()).rev() {
        bytes.swap(at, random.below(at as u64 + 1) as usize);
    }
    bytes
}

/// One node grows child by child to its full size and shrinks again to nothing, both in
/// random order. At every size all that it has is found, and nothing else.
fn grow_and_shrink(seed: u64, prefix: usize, with_value: bool, tail: &[u8]) {
    let mut random = Random::new(seed ^ prefix as u64);
    let mut pair = Pair::new();
    // Another key, so that the prefix is one of a node below the root.
    pair.put(b"!", b"");
    let stem = vec![b'p'; prefix];
    if with_value {
        pair.put(&stem, b"the prefix's own record");
    }
    let key = |byte: u8| [&stem, &[byte][..], tail].concat();
    for (size, byte) in shuffled(&mut random).into_iter().enumerate() {
        pair.put(&key(byte), &[byte; 3]);
        for byte in 0..=255 {
            pair.get(&key(byte));
        }
        pair.get(&stem);
        if size < 20 || size % 16 == 0 || size > 250 {
            pair.check();
        }
    }
    for (size, byte) in shuffled(&mut random).into_iter().enumerate() {
        pair.remove(&key(byte));
        for byte in 0..=255 {
            pair.get(&key(byte));
        }
        pair.get(&stem);
        if size % 16 == 0 || size > 230 {
            pair.check();
        }
        // Some come back at once, so that sizes are crossed in both directions.
        if size % 5 == 0 {
            pair.put(&key(byte), &[byte; 20]);
            pair.check();
            pair.remove(&key(byte));
        }
    }
    pair.get(&stem);
    pair.check();
}

#[test]
fn a_node_is_exact_at_every_size_and_prefix() {
    let seed = 9_000;
    println!("seed {seed}");
    for prefix in [0, 1, 7, 8, 9, 247, 248, 249, 250, 600] {
        for with_value in [false, true] {
            // Children that are leaves without a suffix, and with one.
            let tail: &[u8] = if with_value == (prefix % 2 == 0) { b"" } else { b"/tail" };
            grow_and_shrink(seed, prefix, with_value, tail);
        }
    }
}

/// Keys that part at each byte of a long common beginning, in random order, so that every
/// length of prefix and suffix is cut and joined at every place.
#[test]
fn prefixes_part_and_join_at_every_byte() {
    let seed = 9_500;
    println!("seed {seed}");
    for length in [8, 9, 248, 249, 250, 505, 600] {
        let mut random = Random::new(seed + length);
        let mut pair = Pair::new();
        let whole: Vec<u8> = (0..length as usize).map(|at| at as u8 | 1).collect();
        let keys: Vec<Vec<u8>> = (0..=length as usize)
            .flat_map(|at| {
                let part = &whole[..at];
                [part.to_vec(), [part, &[0][..]].concat(), [part, &[0xFE, 1][..]].concat()]
            })
            .collect();
        for round in 0..3 * keys.len() {
            let key = &keys[random.below(keys.len() as u64) as usize];
            pair.put(key, &vec![1; random.below(30) as usize]);
            if round % 64 == 0 {
                pair.check();
            }
        }
        pair.check();
        while !pair.model.is_empty() {
            let at = random.below(pair.model.len() as u64) as usize;
            let key = pair.model.keys().nth(at).unwrap().clone();
            pair.remove(&key);
            if pair.model.len().is_multiple_of(64) {
                pair.check();
            }
        }
        pair.check();
        assert_eq!(pair.tree.pool().stats().frames, 1);
    }
}
