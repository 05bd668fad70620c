//! Nodes at every size and with every length of prefix, and random bytes as a program of
//! operations on a tree, cuts among them.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;

use holt_art::{Condition, Cut, Entry, Pool, PoolOptions, Put, Removed, Scan, Tree, Version};
use proptest::prelude::*;
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
            .map(|entry| match entry.unwrap() {
                Entry::Key { key, value, version } => (key, (value, version)),
                Entry::Group { .. } => panic!("no groups were asked for"),
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

/// Takes bytes from the front of a program; zeros when it is over.
struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// A key: a few pieces, each of one byte, of a repeated byte, or of a name.
    fn key(&mut self) -> Vec<u8> {
        let mut key = Vec::new();
        for _ in 0..self.byte() % 4 {
            let (kind, byte) = (self.byte(), self.byte());
            match kind % 8 {
                0..=3 => key.push(byte),
                4 => key.extend_from_slice(format!("dir-{}/", byte % 6).as_bytes()),
                5 => key.resize(key.len() + usize::from(byte), b'r'),
                6 => key.resize(key.len() + usize::from(byte % 8) * 125 + 244, b'R'),
                _ => key.resize(key.len() + usize::from(byte % 4) * 3_000, b'L'),
            }
        }
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let (kind, byte) = (self.byte(), self.byte());
        let length = match kind % 8 {
            0..=4 => usize::from(byte % 24),
            5 => usize::from(byte) + 200,
            6 => usize::from(byte) * 16,
            _ => usize::from(byte) * 130,
        };
        vec![byte; length]
    }
}

/// Runs a program. What a store would hold of the committed cuts is folded on the way and
/// has to be the tree of the last one.
fn interpret(program: &[u8]) {
    let mut program = Program(program);
    let mut pair = Pair::new();
    let mut store: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut open: Option<(Cut, Model)> = None;
    while !program.0.is_empty() {
        match program.byte() % 16 {
            0..=6 => {
                let (key, value) = (program.key(), program.value());
                pair.put(&key, &value);
            }
            7..=9 => {
                let key = program.key();
                pair.remove(&key);
            }
            10 => {
                let key = program.key();
                pair.get(&key);
            }
            11 => {
                // Removes what comes first at or after a key, so that removals hit.
                let key = program.key();
                let first = pair.model.range(key..).next().map(|(key, _)| key.clone());
                if let Some(key) = first {
                    pair.remove(&key);
                }
            }
            12 => {
                // A directory full of neighbours.
                let (key, count, length) = (program.key(), program.byte(), program.byte());
                for n in 0..u32::from(count) * 2 {
                    let key = [&key[..], &n.wrapping_mul(0x9E37_79B1).to_be_bytes()].concat();
                    pair.put(&key, &vec![7; usize::from(length)]);
                }
            }
            13 => {
                // A prefix with everything below it.
                let key = program.key();
                let below: Vec<Vec<u8>> = pair
                    .model
                    .range(key.clone()..)
                    .map(|(key, _)| key.clone())
                    .take_while(|other| other.starts_with(&key))
                    .collect();
                below.iter().for_each(|key| pair.remove(key));
            }
            14 => {
                if open.is_none() {
                    let closed = pair.tree.pool().close_gate();
                    let cut = pair.tree.pool().cut(&closed).unwrap();
                    drop(closed);
                    open = Some((cut, pair.model.clone()));
                }
            }
            _ => {
                if let Some((cut, model)) = open.take()
                    && program.byte() % 4 != 0
                {
                    for object in cut.dirty() {
                        let mut image = Vec::new();
                        cut.image(object, &mut image).unwrap();
                        store.insert(object, image);
                    }
                    for object in cut.freed() {
                        store.remove(&object);
                    }
                    cut.commit();
                    let pool = Pool::new(PoolOptions::with_bytes(256 << 20, 256 << 20)).unwrap();
                    for (&object, image) in &store {
                        pool.load(object, image).unwrap();
                    }
                    check(&pool.open_tree(pair.tree.root()).unwrap(), &model);
                }
            }
        }
    }
    pair.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_program_that_the_tree_runs_like_a_map(
        program in prop::collection::vec(any::<u8>(), 0..1_500)
    ) {
        interpret(&program);
    }
}
