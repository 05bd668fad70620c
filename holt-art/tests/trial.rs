//! Trials: mutations that count as one, kept or taken back, in pools with and without room, with
//! and without a cut open, and readers beside them.

#[path = "support/random.rs"]
mod random;
#[path = "support/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use holt_art::{
    Condition, Cut, Entry, EntryRef, Error, Outlook, Pool, PoolOptions, PoolStats, Removed, Scan,
    Tree, Version,
};
use random::Random;
use records::{key, token, value};

/// Token and version of every record, by key.
type Model = BTreeMap<Vec<u8>, (u64, u64)>;
type Store = BTreeMap<u64, Vec<u8>>;

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn outlook(mutations: u64, bytes: u64) -> Outlook {
    Outlook { mutations: mutations as usize, bytes, revocable: false }
}

fn contents(tree: &Tree) -> Model {
    let record = |entry: Result<Entry, _>| match entry.unwrap().as_ref() {
        EntryRef::Key { key, value, version } => (key.to_vec(), (token(key, value), version.get())),
        group => panic!("{group:?}"),
    };
    tree.cursor(Scan::all()).map(record).collect()
}

fn check(tree: &Tree, model: &Model, what: &str) {
    let closed = tree.pool().close_gate();
    assert_eq!(tree.pool().verify(&closed, &[tree.root()]), [], "{what}");
    drop(closed);
    assert!(contents(tree) == *model, "{what}: the contents differ");
    for (key, (expected, _)) in model {
        let found = tree.get(key, |value, _| token(key, value)).unwrap();
        assert_eq!(found, Some(*expected), "{what}: {}", key.escape_ascii());
    }
}

fn fold(store: &mut Store, cut: &Cut) {
    for object in cut.dirty() {
        let mut image = Vec::new();
        cut.image(object, &mut image).unwrap();
        store.insert(object, image);
    }
    for object in cut.freed() {
        store.remove(&object);
    }
}

/// Does one random mutation inside a trial; `Err` when the pool is full.
fn mutate(
    tree: &Tree,
    pass: &holt_art::Pass<'_>,
    model: &mut Model,
    random: &mut Random,
    number: u64,
) -> Result<(), Error> {
    let key = key(random.below(3000) as u32);
    if random.below(3) == 0 {
        let removed = tree.remove(pass, &key, Condition::Always, || version(number))?;
        let was = model.remove(&key);
        assert_eq!(matches!(removed, Removed::Removed(_)), was.is_some());
    } else {
        tree.put(pass, &key, &value(&key, number), Condition::Always, || version(number))?;
        model.insert(key, (number, number));
    }
    Ok(())
}

/// Runs trials of up to `most` mutations until `trials` are over; says how many ran out of room.
fn run(options: PoolOptions, seed: u64, trials: u64, most: u64) -> u64 {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let pool = Pool::new(options).unwrap();
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let mut model = Model::new();
    let mut store = Store::new();
    let mut open: Option<(Cut, Model)> = None;
    let (mut number, mut full) = (0, 0);
    for trial_number in 0..trials {
        let what = format!("seed {seed}, trial {trial_number}");
        match (&open, random.below(6)) {
            (None, 0) => open = Some((pool.cut(&pool.close_gate()).unwrap(), model.clone())),
            (Some(_), 0 | 1) => {
                let (cut, expected) = open.take().unwrap();
                fold(&mut store, &cut);
                cut.commit();
                let copy = Pool::new(PoolOptions::default()).unwrap();
                for (&object, image) in &store {
                    copy.load(object, image).unwrap();
                }
                check(&copy.open_tree(tree.root()).unwrap(), &expected, &what);
            }
            (Some(_), 2) => drop(open.take()),
            _ => {}
        }
        let mutations = 1 + random.below(most);
        let closed = pool.close_gate();
        let trial = pool.trial(&closed, outlook(mutations, 41_000 * mutations));
        let mut after = model.clone();
        let mut failed = false;
        for _ in 0..mutations {
            number += 1;
            match mutate(&tree, closed.pass(), &mut after, &mut random, number) {
                Ok(()) => {}
                Err(Error::PoolFull { .. }) => {
                    failed = true;
                    break;
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
        full += u64::from(failed);
        match random.below(4) {
            0 => assert!(trial.take_back(), "{what}"),
            1 => drop(trial),
            _ if failed => assert!(trial.take_back(), "{what}"),
            _ => {
                trial.keep();
                model = after;
            }
        }
        drop(closed);
        if trial_number % 8 == 0 || failed {
            check(&tree, &model, &what);
        }
    }
    drop(open);
    check(&tree, &model, "at the end");
    // Nothing leaks: without its records the pool is as good as new.
    for key in model.into_keys() {
        tree.remove(&pool.enter(), &key, Condition::Always, || version(1)).unwrap();
    }
    pool.cut(&pool.close_gate()).unwrap().commit();
    let PoolStats { frames, blob_bytes, slot_bytes, .. } = pool.stats();
    assert!(frames <= 2, "seed {seed}: {frames} frames are left");
    assert_eq!((blob_bytes, slot_bytes), (0, frames * Pool::FRAME_BYTES as u64));
    full
}

#[test]
fn what_is_taken_back_was_never_there() {
    // Room enough, but not so much that no images are made.
    assert_eq!(run(PoolOptions::with_bytes(48 << 20, 48 << 20), 1, 400, 60), 0);
}

#[test]
fn a_trial_that_runs_out_of_room_can_be_taken_back() {
    let full = run(PoolOptions::with_bytes(640 << 10, 1 << 20), 2, 400, 100);
    assert!(full > 50, "only {full} trials ran out of room");
}

#[test]
fn a_trial_that_runs_out_of_blobs_can_be_taken_back() {
    let full = run(PoolOptions::with_bytes(16 << 20, 32 << 10), 3, 300, 200);
    assert!(full > 20, "only {full} trials ran out of room");
}

#[test]
fn a_pool_with_room_for_anything_makes_no_images() {
    let pool = Pool::new(PoolOptions::default()).unwrap();
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let closed = pool.close_gate();
    let before = pool.stats().slot_bytes;
    let trial = pool.trial(&closed, outlook(1, 1));
    tree.put(closed.pass(), b"k", b"v", Condition::Always, || version(1)).unwrap();
    assert_eq!(pool.stats().slot_bytes, before);
    assert!(!trial.take_back(), "there was nothing to take it back with");
    // Whoever may want to take it back says so.
    let trial = pool.trial(&closed, Outlook { revocable: true, ..outlook(1, 1) });
    tree.remove(closed.pass(), b"k", Condition::Always, || version(2)).unwrap();
    assert!(trial.take_back());
    let trial = pool.trial(&closed, outlook(1, 1));
    trial.keep();
    drop(closed);
    assert_eq!(tree.get(b"k", |value, _| value.to_vec()).unwrap().unwrap(), b"v");
}

#[test]
fn gets_see_all_of_a_trial_or_nothing() {
    for options in [PoolOptions::default(), PoolOptions::with_bytes(16 << 20, 1 << 20)] {
        let pool = Pool::new(options).unwrap();
        let tree = pool.create_tree(&pool.enter()).unwrap();
        // Far apart, so that they lie in different frames.
        let keys: Vec<Vec<u8>> = (0..8000).map(key).collect();
        for key in &keys {
            tree.put(&pool.enter(), key, b"0000", Condition::Always, || version(1)).unwrap();
        }
        assert!(pool.stats().frames > 4);
        let (first, last) = (keys.iter().min().unwrap(), keys.iter().max().unwrap());
        let done = AtomicBool::new(false);
        let read = |key: &[u8]| -> u32 {
            let text = tree.get(key, |value, _| String::from_utf8(value.to_vec()).unwrap());
            text.unwrap().unwrap().parse().unwrap()
        };
        thread::scope(|scope| {
            for flip in [false, true] {
                let (read, done) = (&read, &done);
                let (one, other) = if flip { (first, last) } else { (last, first) };
                scope.spawn(move || {
                    let mut rounds = 0;
                    while !done.load(Ordering::Relaxed) || rounds < 100 {
                        let earlier = read(one);
                        let later = read(other);
                        assert!(later >= earlier, "{later} was read after {earlier}");
                        assert_ne!(earlier % 3, 2, "a trial that was taken back was seen");
                        rounds += 1;
                    }
                });
            }
            let images = pool.stats().slot_bytes < (1 << 30) && options.frame_bytes < 1 << 30;
            for number in 1..3000_u32 {
                // Of three trials one is taken back, where that is possible.
                let back = number % 3 == 2;
                if back && !images {
                    continue;
                }
                let closed = pool.close_gate();
                let trial = pool.trial(&closed, outlook(2, 8));
                for key in [first, last] {
                    let text = format!("{number:04}");
                    let sequence = || version(u64::from(number));
                    tree.put(closed.pass(), key, text.as_bytes(), Condition::Always, sequence)
                        .unwrap();
                }
                if back {
                    assert!(trial.take_back());
                } else {
                    trial.keep();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let closed = pool.close_gate();
        assert_eq!(pool.verify(&closed, &[tree.root()]), []);
    }
}

#[test]
fn a_checkpoint_beside_trials_has_the_state_at_its_cut() {
    let pool = Pool::new(PoolOptions::with_bytes(16 << 20, 16 << 20)).unwrap();
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let trials = scope.spawn(|| {
            let mut random = Random::new(7);
            let mut model = Model::new();
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                let closed = pool.close_gate();
                let trial = pool.trial(&closed, outlook(20, 20 * 41_000));
                let mut after = model.clone();
                // All records of a kept trial have one token, and so many keys.
                number += 1;
                for _ in 0..20 {
                    let key = key(random.below(3000) as u32);
                    let value = value(&key, number);
                    tree.put(closed.pass(), &key, &value, Condition::Always, || version(number))
                        .unwrap();
                    after.insert(key, (number, number));
                }
                let count = after.len() as u64;
                let sequence = || version(number);
                let key = b"count".to_vec();
                let text = [&value(&key, count)[..]].concat();
                tree.put(closed.pass(), &key, &text, Condition::Always, sequence).unwrap();
                if random.below(2) == 0 {
                    assert!(trial.take_back());
                } else {
                    trial.keep();
                    model = after;
                }
            }
        });
        let mut store = Store::new();
        for round in 0..150 {
            let closed = pool.close_gate();
            let cut = pool.cut(&closed).unwrap();
            drop(closed);
            fold(&mut store, &cut);
            cut.commit();
            let copy = Pool::new(PoolOptions::default()).unwrap();
            for (&object, image) in &store {
                copy.load(object, image).unwrap();
            }
            let copy = copy.open_tree(tree.root()).unwrap();
            let closed = copy.pool().close_gate();
            assert_eq!(copy.pool().verify(&closed, &[tree.root()]), [], "round {round}");
            drop(closed);
            let mut found = contents(&copy);
            let count = found.remove(&b"count"[..]).map_or(0, |(count, _)| count);
            assert_eq!(found.len() as u64, count, "round {round}: half of a trial");
        }
        done.store(true, Ordering::Relaxed);
        trials.join().unwrap();
    });
}

/// Room for frames is not room for blobs.
#[test]
fn a_trial_without_room_for_its_blobs_can_be_taken_back() {
    let pool = Pool::new(PoolOptions::with_bytes(512 << 20, 32 << 10)).unwrap();
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let closed = pool.close_gate();
    let trial = pool.trial(&closed, outlook(2, 40_000));
    let put =
        |key: &[u8]| tree.put(closed.pass(), key, &[1; 20_000], Condition::Always, || version(1));
    put(b"a").unwrap();
    assert!(matches!(put(b"b"), Err(Error::PoolFull { .. })));
    assert!(trial.take_back());
    drop(closed);
    assert!(tree.is_empty());
}
