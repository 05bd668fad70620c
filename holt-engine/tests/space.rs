//! What files take: after most of a database went and was compacted, and under churn that nobody
//! compacts.

mod common;

use std::sync::Arc;

use common::{Random, contents, seed};
use holt_engine::disk::SimDisk;
use holt_engine::{Db, Options};

type Shape = (&'static str, usize, fn(u32) -> Vec<u8>);

/// Names, most bytes of the values, and how key *n* is made.
const SHAPES: [Shape; 5] = [
    ("objects", 60, |n| {
        format!("bucket-{:02}/path/sub/file-{:06}.bin", n % 32, n / 32).into_bytes()
    }),
    ("files", 32, |n| {
        format!("/usr/local/share/category-{}/file-{:06}", n % 16, n / 16).into_bytes()
    }),
    ("random", 64, |n| {
        let mut random = Random::new(u64::from(n));
        (0..4).flat_map(|_| random.next().to_be_bytes()).collect()
    }),
    ("large records", 3000, |n| format!("{:04}/{n:07}", n % 997).into_bytes()),
    ("large values", 20_000, |n| format!("blob-{n:06}").into_bytes()),
];

fn open(disk: &SimDisk) -> Db<SimDisk> {
    let mut options = Options::new();
    options.segment_bytes(1 << 20).checkpoint_bytes(0);
    options.open_on(Arc::new(disk.clone())).unwrap()
}

/// How many keys of a shape make some megabytes.
fn count(length: usize) -> u32 {
    if length > 10_000 { 600 } else { (24 << 20) / (length as u32 * 2 + 120) }
}

fn value(random: &mut Random, length: usize) -> Vec<u8> {
    vec![b'v'; random.below(length as u64 + 1) as usize]
}

fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at as u64 + 1) as usize);
    }
}

/// Loads nine tenths more than stays, checkpoints in between, removes these, compacts; what that takes
/// over what a fresh load of the rest takes.
fn shrunk(seed: u64, (name, length, key): Shape, in_runs: bool) -> f64 {
    let mut random = Random::new(seed);
    let disk = SimDisk::new(seed);
    let db = open(&disk);
    let tree = db.default_tree();
    let mut numbers: Vec<u32> = (0..count(length)).collect();
    shuffle(&mut random, &mut numbers);
    for (at, &number) in numbers.iter().enumerate() {
        tree.put(&key(number), &value(&mut random, length)).unwrap();
        if at % (numbers.len() / 4) == 0 {
            db.checkpoint().unwrap();
        }
    }
    db.checkpoint().unwrap();
    let before = db.stats().unwrap();
    if in_runs {
        numbers.sort_unstable();
    }
    let stays = numbers.len() / 10;
    for &number in &numbers[stays..] {
        assert!(tree.delete(&key(number)).unwrap());
    }
    let rest = contents(&tree).unwrap();
    assert_eq!(rest.len(), stays);
    db.compact().unwrap();
    let after = db.stats().unwrap();
    assert!(after.store_bytes < before.store_bytes / 4, "{name}: {after:?}");
    assert!(db.verify().unwrap().faults.is_empty());
    assert!(contents(&tree).unwrap() == rest, "{name}");

    let fresh = open(&SimDisk::new(seed));
    let mut keys: Vec<_> = rest.iter().collect();
    shuffle(&mut random, &mut keys);
    for (key, value) in keys {
        fresh.default_tree().put(key, value).unwrap();
    }
    fresh.checkpoint().unwrap();
    let fresh = fresh.stats().unwrap();
    let ratio = after.store_bytes as f64 / fresh.store_bytes as f64;
    println!(
        "{name}, in runs: {in_runs}: {} KiB before, {} after, {} fresh: {ratio:.3}",
        before.store_bytes >> 10,
        after.store_bytes >> 10,
        fresh.store_bytes >> 10
    );
    ratio
}

#[test]
fn a_tenth_that_is_left_and_compacted_takes_little_more_than_a_fresh_load() {
    let seed = seed(0x5ACE);
    for shape in SHAPES {
        for in_runs in [false, true] {
            let ratio = shrunk(seed, shape, in_runs);
            assert!(ratio <= 1.3, "{}, in runs: {in_runs}: {ratio:.3}", shape.0);
        }
    }
}

/// What was removed by the prefix is freed by a thread of its own, which may not have come to it yet.
#[test]
fn a_compaction_gives_back_what_was_removed_by_the_prefix_just_before() {
    let seed = seed(0x5EED_0C0C);
    let disk = SimDisk::new(seed);
    let db = open(&disk);
    let tree = db.default_tree();
    for round in 0..30 {
        for n in 0..4_000_u32 {
            tree.put(format!("tmp/{}/{n:05}", n % 7).as_bytes(), &[b'v'; 100]).unwrap();
        }
        tree.put(b"kept", b"value").unwrap();
        db.checkpoint().unwrap();
        let full = db.stats().unwrap();
        assert!(full.live_bytes > 400_000, "round {round}: {full:?}");
        tree.delete_prefix(b"tmp/").unwrap();
        db.compact().unwrap();
        let left = db.stats().unwrap();
        assert!(!left.reclaiming && left.frames < 6, "round {round}: {left:?}");
        assert!(left.store_bytes <= left.live_bytes + (80 << 10), "round {round}: {left:?}");
    }
}

/// A checkpoint keeps on disk what a snapshot reads there. When the snapshot has gone nothing is logged, and so no checkpoint made.
#[test]
fn a_compaction_gives_back_what_was_kept_for_a_snapshot_that_has_gone() {
    let seed = seed(0x5EED_0C0D);
    let disk = SimDisk::new(seed);
    let db = open(&disk);
    let tree = db.default_tree();
    for n in 0..50_u32 {
        tree.put(format!("large/{n}").as_bytes(), &[b'v'; 20_000]).unwrap();
    }
    db.checkpoint().unwrap();
    let snapshot = db.snapshot().unwrap();
    assert!(tree.delete_prefix(b"large/").unwrap());
    db.compact().unwrap();
    let kept = db.stats().unwrap();
    assert!(kept.store_bytes > 1_000_000, "{kept:?}");
    let read = snapshot.default_tree().unwrap().get(b"large/7").unwrap();
    assert_eq!(read.as_deref(), Some(&[b'v'; 20_000][..]));
    drop(snapshot);
    db.compact().unwrap();
    let left = db.stats().unwrap();
    assert!(left.store_bytes <= left.live_bytes + (80 << 10), "{left:?}");
}

#[test]
fn churn_at_constant_size_keeps_the_data_file_within_twice_its_contents() {
    let seed = seed(0xC4_0B11);
    for (name, length, key) in SHAPES {
        let mut random = Random::new(seed);
        let db = open(&SimDisk::new(seed));
        let tree = db.default_tree();
        let count = count(length) / 4;
        for number in 0..count {
            tree.put(&key(number), &value(&mut random, length)).unwrap();
        }
        let mut worst = 0.0_f64;
        for round in 0..24 {
            // A share of the keys goes and comes back with values of other lengths, so the size stays.
            let share = [50, 3, 10][round % 3];
            let gone: Vec<u32> = (0..count).filter(|_| random.below(share) == 0).collect();
            for &number in &gone {
                tree.delete(&key(number)).unwrap();
            }
            if round % 2 == 0 {
                db.checkpoint().unwrap();
            }
            for &number in &gone {
                tree.put(&key(number), &value(&mut random, length)).unwrap();
            }
            db.checkpoint().unwrap();
            let stats = db.stats().unwrap();
            // The marks and a manifest with its history come on top.
            let bound = 2 * stats.live_bytes + (256 << 10);
            assert!(stats.store_bytes <= bound, "{name}, round {round}: {stats:?}");
            worst = worst.max(stats.store_bytes as f64 / stats.live_bytes as f64);
        }
        println!("{name}: at most {worst:.2} times what counts");
        assert!(db.verify().unwrap().faults.is_empty());
    }
}
