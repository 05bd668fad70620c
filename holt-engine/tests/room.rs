//! Writes in a database whose memory is nearly all taken by removed data that waits to be taken apart:
//! they make room instead of failing. (What copies for a checkpoint take is in `hooks.rs`.)

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Model, contents};
use holt_engine::{Db, Durability, Error, Options};

/// Bytes of a frame.
const FRAME: u64 = 64 << 10;

/// A database in memory: what does not fit has nowhere else to be.
fn open(frames: u64) -> Db {
    Options::new().memory_bytes(frames * FRAME).in_memory().unwrap()
}

fn key(directory: &str, number: u32) -> Vec<u8> {
    format!("{directory}/{number:06}").into_bytes()
}

/// Puts records until they take so many frames; returns how many.
fn fill(db: &Db, directory: &str, frames: u64) -> u32 {
    let tree = db.default_tree();
    let mut number = 0_u32;
    while !number.is_multiple_of(100) || number == 0 || db.stats().unwrap().frames < frames {
        tree.put(&key(directory, number), &[7; 400]).unwrap();
        number += 1;
    }
    number
}

fn check(db: &Db, model: &Model) {
    assert!(contents(&db.default_tree()).unwrap() == *model);
    let faults = db.verify().unwrap().faults;
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn what_was_removed_as_a_whole_is_room_for_the_next_write() {
    let db = open(64);
    let tree = db.default_tree();
    let count = fill(&db, "0", 48);
    for round in 1..12 {
        // No moment for a thread in the background between the removal and the writes.
        assert!(tree.delete_prefix(format!("{}/", round - 1).as_bytes()).unwrap());
        for number in 0..count {
            tree.put(&key(&round.to_string(), number), &[round; 400]).unwrap();
        }
    }
    let model = (0..count).map(|number| (key("11", number), vec![11; 400])).collect();
    check(&db, &model);
}

#[test]
fn batches_and_renames_find_the_room_of_what_was_removed() {
    let db = open(64);
    let tree = db.default_tree();
    let count = fill(&db, "old", 48);
    for round in 0..6 {
        assert!(tree.delete_prefix(b"old/").unwrap());
        for first in (0..count).step_by(500) {
            let fill = |batch: &mut holt_engine::Batch| {
                let numbers = first..(first + 500).min(count);
                numbers
                    .into_iter()
                    .try_for_each(|n| batch.put(&tree, &key("new", n), &[round; 400]))
            };
            db.atomic(fill).unwrap();
        }
        let moved = tree.rename_prefix(b"new/", b"old/").unwrap();
        assert!(matches!(moved, holt_engine::Moved::Done(_)), "{moved:?}");
    }
    let model = (0..count).map(|number| (key("old", number), vec![5; 400])).collect();
    check(&db, &model);
}

#[test]
fn a_database_that_is_full_of_records_says_so_and_can_be_emptied() {
    for frames in [64, 256] {
        let db = open(frames);
        let tree = db.default_tree();
        let mut number = 0;
        let directory = |number: u32| ["a", "b", "c"][number as usize % 3];
        let refused = loop {
            let directory = directory(number);
            match tree.put(&key(directory, number), &[1; 2000]) {
                Ok(_) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Tree(holt_art::Error::PoolFull { .. })), "{refused}");
        let mut model = contents(&tree).unwrap();
        assert_eq!(model.len(), number as usize);
        // Nothing waits to be given back, and nobody makes a checkpoint: the same again.
        assert!(tree.put(&key(directory(number), number), &[1; 2000]).is_err());
        assert!(tree.delete_prefix(b"b/").unwrap(), "removing takes no room to speak of");
        model.retain(|key, _| !key.starts_with(b"b/"));
        for again in 0..number / 6 {
            tree.put(&key("d", again), &[2; 2000]).unwrap();
            model.insert(key("d", again), vec![2; 2000]);
        }
        check(&db, &model);
        assert!(tree.delete_prefix(b"").unwrap());
        check(&db, &Model::new());
    }
}

#[test]
fn a_tree_can_be_dropped_out_of_a_full_database_and_its_room_is_there_again() {
    for frames in [64, 256] {
        let db = open(frames);
        let (kept, large) = (db.default_tree(), db.create_tree("large").unwrap());
        let mut number = 0;
        loop {
            let tree = if number % 4 == 0 { &kept } else { &large };
            match tree.put(&key("k", number), &[1; 2000]) {
                Ok(_) => number += 1,
                Err(error) => {
                    let full = matches!(error, Error::Tree(holt_art::Error::PoolFull { .. }));
                    assert!(full, "{error}");
                    break;
                }
            }
        }
        let mut model = contents(&kept).unwrap();
        let lost = contents(&large).unwrap().len();
        assert!(lost as u64 > frames * 5, "{lost} records");
        // Not a frame is free, and the images of those that change are kept for a snapshot.
        let before = db.snapshot().unwrap();
        db.drop_tree("large").unwrap();
        assert!(matches!(large.get(b"k"), Err(Error::TreeDropped)));
        assert_eq!(before.tree("large").unwrap().len().unwrap(), lost as u64);
        assert!(contents(&kept).unwrap() == model, "the other tree is as it was");
        drop(before);
        assert_eq!(db.tree_names().unwrap(), ["default"]);
        for again in 0..number / 2 {
            kept.put(&key("again", again), &[2; 2000]).unwrap();
            model.insert(key("again", again), vec![2; 2000]);
        }
        check(&db, &model);
    }
}

/// One writer makes the log longer all the time; others may only wait for room, not for that.
#[test]
fn a_transaction_that_has_to_make_room_is_not_taken_for_one_that_was_in_the_way() {
    let db = open(64);
    let tree = db.default_tree();
    let beside = db.create_tree("beside").unwrap();
    for number in 0..10 {
        tree.put(&key("list", number), b"").unwrap();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0_u64;
            while !done.load(Ordering::Relaxed) {
                beside.put(b"count", &number.to_be_bytes()).unwrap();
                number += 1;
            }
        });
        for round in 0..60 {
            let count = fill(&db, "old", 40);
            tree.delete_prefix(b"old/").unwrap();
            let outcome = db.transact_with(Durability::Buffered, 1, |tx| {
                let listed = tx.prefix(&tree, "list/").into_iter().count() as u32;
                (0..count).try_for_each(|n| tx.put(&tree, &key("new", n), &[listed as u8; 400]))
            });
            if outcome.is_err() {
                done.store(true, Ordering::Relaxed);
            }
            outcome.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(tree.get(&key("new", 7)).unwrap().unwrap(), [10; 400]);
            tree.delete_prefix(b"new/").unwrap();
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}
