//! Databases that are ten times larger than their cache.

mod common;
#[path = "common/large.rs"]
mod large;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Model, Random, contents, seed};
use holt_engine::disk::{CrashPattern, SimDisk};
use holt_engine::{Durability, Error, Moved, Options};
use large::{CACHE, FRAME, KEYS, Large, key, options, value};

#[test]
fn a_database_of_ten_times_its_cache_is_what_a_map_is() {
    let seed = seed(1);
    let mut random = Random::new(seed);
    let mut large = Large::new(seed);
    for round in 0..4_000_u64 {
        let n = random.below(u64::from(KEYS) + 2_000) as u32;
        match random.below(1000) {
            0..450 => large.get(&key(n)),
            450..650 => large.put(&key(n), &value(n, round)),
            650..800 => large.delete(&key(n)),
            800..900 => large.list(&key(n)[..8], n.is_multiple_of(2)),
            900..920 => {
                let mut puts = Model::new();
                for other in 0..5 {
                    let n = (n + other * 9_973) % KEYS;
                    puts.insert(key(n), value(n, round));
                }
                let tree = large.tree();
                let gone = key(n / 2);
                let applied = large.db().atomic(|batch| {
                    puts.iter().try_for_each(|(key, value)| batch.put(&tree, key, value))?;
                    batch.delete(&tree, &gone)
                });
                applied.unwrap();
                large.model.extend(puts);
                large.model.remove(&gone);
            }
            920..930 => {
                let (from, to) = (key(n)[..8].to_vec(), format!("moved/{round}/").into_bytes());
                let there = large.model.keys().any(|key| key.starts_with(&from));
                let moved = large.tree().rename_prefix(&from, &to).unwrap();
                assert_eq!(matches!(moved, Moved::Done(_)), there);
                large.move_model(&from, &to);
            }
            930..935 => {
                let prefix = key(n)[..8].to_vec();
                let there = large.model.keys().any(|key| key.starts_with(&prefix));
                assert_eq!(large.tree().delete_prefix(&prefix).unwrap(), there);
                large.take_model(&prefix);
            }
            935..940 => {
                let prefix = &key(n)[..4];
                let below = large.model.keys().filter(|key| key.starts_with(prefix)).count();
                assert_eq!(large.tree().count(prefix).unwrap(), below as u64);
            }
            940..944 => drop(large.db().checkpoint().unwrap()),
            944 => drop(large.db().compact().unwrap()),
            945 => large.reopen(),
            946 => {
                large.tree().put_with(b"mark", b"", Durability::Sync).unwrap();
                large.model.insert(b"mark".to_vec(), Vec::new());
                let left = match n % 2 {
                    0 => large.disk.kill(),
                    _ => large
                        .disk
                        .crash(round, CrashPattern::ALL[n as usize / 2 % CrashPattern::ALL.len()]),
                };
                large.open(left);
            }
            _ => {
                // Neighbours, as in life: most of these are hits.
                let n = n / 50 * 50 + random.below(50) as u32;
                large.get(&key(n));
            }
        }
        if round % 64 == 0 {
            large.check_memory();
        }
    }
    large.check();
    let stats = large.db().stats().unwrap();
    assert!(stats.cache.absent > stats.frames / 2 && stats.keys.is_none(), "{stats:?}");
    large.reopen();
    large.check();
}

#[test]
fn a_database_is_opened_without_reading_its_frames() {
    let mut large = Large::new(seed(2));
    large.reopen();
    let stats = large.db().stats().unwrap();
    // The roots of the catalogue, the trash and the one tree.
    assert!(stats.cache.reads <= 3 && stats.cache.absent >= stats.frames - 3, "{stats:?}");
    large.get(&key(17));
    large.check();
}

#[test]
fn a_get_reads_one_frame_beyond_those_of_the_upper_levels() {
    let large = Large::new(seed(3));
    let mut random = Random::new(3);
    // Upper levels come in with the first gets.
    for _ in 0..200 {
        large.get(&key(random.below(u64::from(KEYS)) as u32));
    }
    let gets = 4_000;
    let reads = large.reads(|| {
        for _ in 0..gets {
            large.get(&key(random.below(u64::from(KEYS)) as u32));
        }
    });
    assert!(reads <= gets, "{reads} frames were read for {gets} gets");
}

#[test]
fn whole_prefixes_move_and_go_without_being_read() {
    let mut large = Large::new(seed(4));
    let tree = large.tree();
    let frames = large.db().stats().unwrap().frames;
    let own = |large: &Large, prefix: &[u8]| {
        let part = large.model.keys().filter(|key| key.starts_with(prefix)).count() as u64;
        frames * part / u64::from(KEYS)
    };
    let reads = large.reads(|| {
        assert!(matches!(tree.rename_prefix(b"d03/", b"other/"), Ok(Moved::Done(_))));
        assert!(tree.contains(b"other/s000/f012000").unwrap());
    });
    assert!(reads < 20, "{reads} of {frames} frames were read");
    // What is replaced has to be read to be freed, in the background; what moves has not.
    let replaced = own(&large, b"d05/");
    let reads = large.reads(|| {
        assert!(matches!(tree.rename_prefix_replacing(b"d04/", b"d05/"), Ok(Moved::Done(_))));
        assert!(tree.contains(b"d05/s000/f016000").unwrap());
        large.reclaimed();
    });
    assert!(reads < 40 + replaced, "{reads} of {frames} were read, {replaced} are replaced");
    large.move_model(b"d03/", b"other/");
    large.take_model(b"d05/");
    large.move_model(b"d04/", b"d05/");
    // What is removed has to be read as well, and that is all.
    let share = own(&large, b"d06/");
    let reads = large.reads(|| {
        assert!(tree.delete_prefix(b"d06/").unwrap());
        large.reclaimed();
    });
    assert!(reads < 40 + 2 * share, "{reads} of {frames} frames were read, {share} are its own");
    large.take_model(b"d06/");
    large.check();
    // What is gone is gone from the store, too.
    large.db().checkpoint().unwrap();
    large.reopen();
    large.check();
}

#[test]
fn a_long_list_reads_each_frame_about_once_and_says_so_ahead() {
    let large = Large::new(seed(5));
    let frames = large.db().stats().unwrap().frames;
    let reads = large.reads(|| large.list(b"", false));
    assert!(reads < frames * 5 / 4, "{reads} frames were read, there are {frames}");
    let reads = large.reads(|| large.list(b"d07/", true));
    assert!(reads < frames / 8, "{reads} frames were read, there are {frames}");
}

#[test]
fn writers_readers_and_lists_beside_checkpoints_in_a_tiny_cache() {
    let seed = seed(6);
    for automatic in [true, false] {
        let mut large = Large::new(seed);
        if !automatic {
            // Then the writers make the checkpoints that they need.
            let mut options = options();
            options.checkpoint_bytes(0);
            large.db.take().unwrap().close().unwrap();
            large.db = Some(options.open_on(Arc::new(large.disk.clone())).unwrap());
        }
        let done = AtomicBool::new(false);
        let written = thread::scope(|scope| {
            let writers: Vec<_> = (0..3_u64)
                .map(|id| {
                    let tree = large.tree();
                    let db = large.db();
                    scope.spawn(move || {
                        let mut random = Random::new(seed + id);
                        let mut written = BTreeMap::new();
                        for round in 0..500 {
                            let n = (random.below(u64::from(KEYS) / 3) * 3 + id) as u32;
                            let (key, value) = (key(n), value(n, round));
                            if round % 50 == 7 {
                                db.atomic(|batch| {
                                    batch.put(&tree, &key, &value)?;
                                    batch.put(&tree, &[&key[..], b"+"].concat(), b"")
                                })
                                .unwrap();
                                written.insert([&key[..], b"+"].concat(), Vec::new());
                            } else {
                                tree.put(&key, &value).unwrap();
                            }
                            // Nobody else writes this key.
                            assert_eq!(tree.get(&key).unwrap().as_ref(), Some(&value));
                            written.insert(key, value);
                        }
                        written
                    })
                })
                .collect();
            let (large, done) = (&large, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed + 9);
                while !done.load(Ordering::Relaxed) {
                    let n = random.below(u64::from(KEYS)) as u32 / 100 * 100;
                    let mut last = Vec::new();
                    let mut seen = 0;
                    let list = large.tree().prefix(&key(n)[..9]).keys_only().visit(|entry| {
                        assert!(entry.name() > last.as_slice());
                        last = entry.name().to_vec();
                        seen += u32::from(!last.ends_with(b"+"));
                        ControlFlow::<()>::Continue(())
                    });
                    list.unwrap();
                    assert_eq!(seen, 100);
                }
            });
            scope.spawn(move || {
                while automatic && !done.load(Ordering::Relaxed) {
                    large.db().checkpoint().unwrap();
                    large.db().compact().unwrap();
                }
            });
            let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            done.store(true, Ordering::Relaxed);
            written
        });
        for written in written {
            large.model.extend(written.unwrap());
        }
        let checkpoints = large.db().stats().unwrap().checkpoints;
        assert!(checkpoints.made > 5 && checkpoints.failures == 0, "{checkpoints:?}");
        large.check();
        large.reopen();
        large.check();
    }
}

#[test]
fn a_batch_that_is_too_large_for_the_cache_is_refused_and_smaller_ones_are_not() {
    let mut large = Large::new(seed(7));
    let tree = large.tree();
    let batch = |count: u32| {
        large.db().atomic(|batch| {
            for n in 0..count {
                batch.put(&tree, &key(n * (KEYS / count)), b"together")?;
            }
            Ok(())
        })
    };
    // It changes a frame for nearly every key, and the cache has 128.
    let error = batch(400).unwrap_err();
    assert!(matches!(error, Error::CacheTooSmall { limit } if limit < CACHE), "{error}");
    large.check();
    batch(12).unwrap();
    for n in 0..12 {
        large.model.insert(key(n * (KEYS / 12)), b"together".to_vec());
    }
    large.check();
    // With more cache there is room for it, and whoever recovers it takes what it needs.
    let mut more = options();
    more.cache_bytes(128 << 20).checkpoint_bytes(0);
    large.db.take().unwrap().close().unwrap();
    let db = more.open_on(Arc::new(large.disk.clone())).unwrap();
    let tree = db.default_tree();
    db.atomic(|batch| {
        for n in 0..400 {
            batch.put(&tree, &key(n * 120), b"all")?;
        }
        Ok(())
    })
    .unwrap();
    for n in 0..400 {
        large.model.insert(key(n * 120), b"all".to_vec());
    }
    db.sync().unwrap();
    let left = large.disk.kill();
    drop((tree, db));
    let db = options().open_on(Arc::new(left)).unwrap();
    assert!(contents(&db.default_tree()).unwrap() == large.model);
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn a_batch_that_has_room_after_a_checkpoint_gets_that_checkpoint() {
    let mut large = Large::new(seed(8));
    let tree = large.tree();
    let batch = |count: u32| {
        large.db().atomic(|batch| {
            (0..count).try_for_each(|n| batch.put(&tree, &key(n * (KEYS / count)), b"together"))
        })
    };
    let fresh = |count: u32| {
        large.db().checkpoint().unwrap();
        batch(count).is_ok()
    };
    let most = (10..400).step_by(5).take_while(|&count| fresh(count)).last();
    // By one step, as not every batch of so many changes as many frames.
    let count = most.expect("ten keys have room") - 5;
    assert!(count >= 30, "{count} keys are all that has room, and too few to tell anything");
    for changed in (1..count).step_by(3) {
        large.db().checkpoint().unwrap();
        for n in 0..changed {
            tree.put(&key(n * (KEYS / count) + KEYS / count / 2), b"alone").unwrap();
        }
        batch(count).unwrap_or_else(|error| panic!("{count} keys beside {changed}: {error}"));
    }
    large.model = contents(&tree).unwrap();
    large.reopen();
    large.check();
}

#[test]
fn a_move_that_has_room_after_a_checkpoint_gets_that_checkpoint() {
    let mut large = Large::new(seed(9));
    let tree = large.tree();
    // With an end so deep it makes sure of more than half of all that may change before it changes
    // anything, so nothing but its refusal tells that a checkpoint is wanted.
    for (from, to) in [(&b"d04/"[..], &b"d05/s000/a/"[..]), (b"d05/", b"d06/s000/a/")] {
        assert!(matches!(tree.rename_prefix(from, to), Ok(Moved::Done(_))));
    }
    for (round, changed) in (30..60).enumerate() {
        large.db().checkpoint().unwrap();
        for n in 0..changed {
            tree.put(&key(28_000 + 300 * n), b"alone").unwrap();
        }
        let names = [&b"d06/s000/a/s000/a/s007/"[..], b"d02/s009/below/"];
        let moved = tree.rename_prefix(names[round % 2], names[1 - round % 2]);
        assert!(matches!(moved, Ok(Moved::Done(_))), "beside {changed}: {moved:?}");
    }
    large.model = contents(&tree).unwrap();
    large.reopen();
    large.check();
}

#[test]
fn more_trees_than_the_cache_has_room_for_can_be_opened() {
    let disk = SimDisk::new(seed(8));
    let mut options = Options::new();
    options.segment_bytes(1 << 20);
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    for n in 0..200_u32 {
        let tree = db.create_tree(&format!("tree {n}")).unwrap();
        tree.put(b"number", &n.to_be_bytes()).unwrap();
    }
    db.close().unwrap();
    options.cache_bytes(CACHE);
    let db = options.open_on(Arc::new(disk)).unwrap();
    for n in 0..200_u32 {
        let tree = db.open_tree(&format!("tree {n}")).unwrap();
        assert_eq!(tree.get(b"number").unwrap(), Some(n.to_be_bytes().to_vec()));
        tree.put(b"number", b"another").unwrap();
    }
    let stats = db.stats().unwrap();
    assert!(stats.memory_bytes >= 200 * FRAME, "every root is in memory");
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn what_a_held_list_keeps_is_room_that_writers_lack_until_it_ends() {
    let seed = seed(9);
    let mut random = Random::new(seed);
    let mut large = Large::new(seed);
    let tree = large.tree();
    let before = large.model.clone();
    let mut list = tree.scan().into_iter();
    let mut told = 0;
    let mut expected = before.iter();
    let mut tell = |list: &mut holt_engine::Entries<SimDisk>, count: usize| {
        for entry in list.take(count) {
            let (key, value) = entry.unwrap().into_record().unwrap();
            assert_eq!(Some((&key, &value)), expected.next());
            told += 1;
        }
    };
    tell(&mut list, 500);
    // A move overtakes the list: from here on it keeps what it has still to tell.
    assert!(matches!(tree.rename_prefix(b"d11/", b"moved/"), Ok(Moved::Done(_))));
    large.move_model(b"d11/", b"moved/");
    let refused = (0..10_000_u64).find_map(|round| {
        let n = random.below(u64::from(KEYS) * 11 / 12) as u32;
        match tree.put(&key(n), &value(n, round)) {
            Ok(_) => {
                large.model.insert(key(n), value(n, round));
                None
            }
            Err(error) => Some(error),
        }
    });
    assert!(matches!(refused, Some(Error::CacheTooSmall { .. })), "{refused:?}");
    // Reading goes on, in the list and beside it.
    tell(&mut list, 2_000);
    large.get(&key(5));
    drop(list);
    assert_eq!(told, 2_500);
    for n in (0..KEYS * 11 / 12).step_by(97) {
        large.put(&key(n), b"there is room again");
    }
    large.check();
}
