//! Large values of ten times their pool's memory.

#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use holt_art::{Condition, Error, Existing, MAX_VALUE, Outlook, Pool, Renamed, Scan};
use random::Random;
use world::{BUDGET, Damage, SEED, VALUES, World, key, large, options};

fn check_memory(world: &World) {
    let stats = world.pool.stats();
    assert!(stats.slot_bytes + stats.blob_bytes <= BUDGET, "{stats:?}");
}

/// A key whose value is absent.
fn cold(world: &World) -> Vec<u8> {
    let keys = world.model.keys().filter(|key| world.model[*key].len() > 4_096);
    let cold = keys.clone().find(|key| {
        world.tree.version(key).unwrap();
        world.reads(|| world.get(key)) > 0
    });
    let cold = cold.expect("nine of ten values are absent").clone();
    // That read has brought it: others have to come in between.
    for key in keys.filter(|key| **key != cold) {
        world.get(key);
    }
    world.tree.version(&cold).unwrap();
    cold
}

#[test]
fn values_of_ten_times_the_budget_are_what_a_map_has() {
    let seed = SEED;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut world = World::of_values();
    for round in 0..3_000_u64 {
        let n = random.below(u64::from(VALUES) + 100) as u32;
        match random.below(100) {
            0..40 => world.get(&key(n)),
            40..55 => world.put(&key(n), &large(n, round)),
            55..58 => world.put(&key(n), b"short"),
            58..68 => world.remove(&key(n)),
            68..72 => world.list(&key(n)[..9], n.is_multiple_of(2)),
            72 => world.commit(),
            73 => {
                let longest = world.tree.longest_prefix(&[&key(n)[..], b"/more"].concat()).unwrap();
                let value = longest.and_then(|entry| entry.value().map(<[u8]>::to_vec));
                assert!(value.as_ref() == world.model.get(&key(n)));
            }
            74 => {
                let keys: Vec<_> = (n..n + 20).map(key).collect();
                let mut found = vec![None; keys.len()];
                let told = |at: usize, record: Option<(&[u8], _)>| {
                    found[at] = record.map(|(value, _)| value.to_vec());
                };
                world.tree.get_many(&keys, told).unwrap();
                let expected = keys.iter().map(|key| world.model.get(key));
                assert!(found.iter().map(Option::as_ref).eq(expected));
            }
            _ => world.get(&key(n / 40 * 40 + random.below(8) as u32)),
        }
        check_memory(&world);
    }
    world.verify();
    world.list(b"", false);
    world.list(b"", true);
    world.commit();
    world.verify();
    let stats = world.pool.stats();
    assert!(stats.evictions > 1_000 && stats.absent_blobs > stats.blobs / 2, "{stats:?}");
    assert!(world.images.freed.lock().unwrap().is_empty(), "nobody reads what is gone");
}

#[test]
fn a_pool_is_opened_without_reading_its_values() {
    let world = World::of_values();
    let pool = Pool::with_source(options(), Arc::clone(&world.images) as _).unwrap();
    let objects: Vec<(u64, u64)> =
        world.images.images.lock().unwrap().iter().map(|(&o, i)| (o, i.len() as u64)).collect();
    let reads = world.reads(|| objects.iter().for_each(|&(o, len)| pool.declare(o, len).unwrap()));
    assert_eq!((reads, pool.stats().blob_bytes), (0, 0));
    let tree = pool.open_tree(world.tree.root()).unwrap();
    let trash = pool.open_tree(world.trash.root()).unwrap();
    assert_eq!(pool.verify(&pool.close_gate(), &[tree.root(), trash.root()]), []);
    for entry in tree.cursor(Scan::prefix(b"d00/s00")) {
        let (key, value) = entry.unwrap().into_record().unwrap();
        assert!(world.model.get(&key) == Some(&value));
    }
    assert_eq!(pool.verify(&pool.close_gate(), &[tree.root(), trash.root()]), []);
}

#[test]
fn a_value_is_replaced_and_removed_without_being_read() {
    let mut world = World::of_values();
    // All frames are in memory: they are few.
    assert_eq!(world.tree.len(), u64::from(VALUES));
    let reads = world.images.reads.load(Ordering::Relaxed);
    for n in (0..VALUES).step_by(5) {
        match n % 3 {
            0 => world.remove(&key(n)),
            1 => world.put(&key(n), b"short"),
            _ => world.put(&key(n), &large(n, 1)),
        }
    }
    world.commit();
    let frames = world.images.reads.load(Ordering::Relaxed) - reads;
    assert!(frames < u64::from(VALUES) / 40, "{frames} reads for {} changes", VALUES / 5);
    world.verify();
    world.list(b"", false);
}

#[test]
fn readers_who_miss_the_same_value_cause_one_read() {
    let world = World::of_values();
    for _ in 0..4 {
        let key = cold(&world);
        let barrier = Barrier::new(8);
        let reads = world.reads(|| {
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        barrier.wait();
                        world.get(&key);
                    });
                }
            });
        });
        assert_eq!(reads, 1);
    }
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_of_those_who_want_it() {
    let mut world = World::of_values();
    let cold_key = cold(&world);
    let hot = world.model.keys().next_back().unwrap().clone();
    world.get(&hot);
    world.images.fails.store(true, Ordering::Relaxed);
    let is_source = |error: Error| {
        assert!(matches!(error, Error::Source { object, .. } if object > 1 << 32), "{error}");
    };
    is_source(world.tree.get(&cold_key, |_, _| ()).unwrap_err());
    is_source(world.tree.cursor(Scan::prefix(&cold_key)).next().unwrap().unwrap_err());
    assert!(world.tree.version(&cold_key).unwrap().is_some(), "nothing but the value is missing");
    assert_eq!(world.tree.cursor(Scan::prefix(&cold_key).keys_only(true)).count(), 1);
    world.get(&hot);
    world.put(&cold_key, b"what was here need not be read");
    world.images.fails.store(false, Ordering::Relaxed);
    world.get(&cold_key);
    for damage in [Damage::Nothing, Damage::Half, Damage::Ragged] {
        let cold = cold(&world);
        *world.images.damage.lock().unwrap() = Some(damage);
        let error = world.tree.get(&cold, |_, _| ()).unwrap_err();
        assert!(matches!(error, Error::Image { object, .. } if object > 1 << 32), "{error}");
        *world.images.damage.lock().unwrap() = None;
        world.get(&cold);
    }
    world.verify();
}

#[test]
fn a_snapshot_reads_values_that_are_gone_from_the_trees_and_keeps_no_memory_for_them() {
    let mut world = World::of_values();
    let before = world.model.clone();
    let snapshot = world.pool.snapshot(&world.pool.close_gate());
    for n in 0..VALUES {
        match n % 3 {
            0 => world.remove(&key(n)),
            _ => world.put(&key(n), &large(n, 7)),
        }
        check_memory(&world);
    }
    world.commit();
    world.verify();
    assert!(!world.images.freed.lock().unwrap().is_empty());
    let past = snapshot.tree(world.tree.root()).unwrap();
    thread::scope(|scope| {
        for thread in 0..3 {
            let (past, before, world) = (&past, &before, &world);
            scope.spawn(move || {
                for n in (thread..VALUES).step_by(7) {
                    let found = past.get(&key(n), |value, _| value.to_vec()).unwrap();
                    assert!(found.as_ref() == before.get(&key(n)));
                    world.get(&key(n));
                }
            });
        }
    });
    let listed = past.cursor(Scan::all()).map(|entry| entry.unwrap().into_record().unwrap());
    assert!(listed.eq(before));
    check_memory(&world);
    world.commit();
    assert!(!world.images.freed.lock().unwrap().is_empty(), "still read");
    drop((past, snapshot));
    world.put(b"one more", b"");
    world.commit();
    assert!(world.images.freed.lock().unwrap().is_empty());
    world.verify();
    world.list(b"", false);
}

#[test]
fn values_that_no_cut_has_are_bounded_and_the_largest_can_be_written_and_read() {
    let mut world = World::new();
    let (mut refused, mut n) = (None, 0);
    while refused.is_none() {
        let value = large(n, 0);
        let put = world.pool.mutate(|pass| {
            world.tree.put(pass, &key(n), &value, Condition::Always, || world.version())
        });
        match put {
            Ok(_) => drop(world.model.insert(key(n), value)),
            Err(error) => refused = Some(error),
        }
        n += 1;
    }
    assert!(matches!(refused, Some(Error::TooManyChanged { limit }) if limit < BUDGET));
    assert!(world.pool.is_pressed() && world.pool.stats().blob_bytes > BUDGET / 2);
    check_memory(&world);
    world.commit();
    assert!(!world.pool.is_pressed());
    // Twice what the pool has memory for.
    let huge: Vec<u8> = (0..MAX_VALUE).map(|at| (at / 7) as u8).collect();
    world.put(b"huge/1", &huge);
    world.put(b"huge/2", &huge);
    world.commit();
    for _ in 0..2 {
        for key in [&b"huge/1"[..], b"huge/2"] {
            world.get(key);
            let stats = world.pool.stats();
            assert!(stats.slot_bytes + stats.blob_bytes <= BUDGET + MAX_VALUE as u64, "{stats:?}");
        }
    }
    world.remove(b"huge/1");
    world.commit();
    world.list(b"", false);
    world.put(&key(0), b"");
    world.verify();
    // What is beyond the budget goes first when there is something else to read.
    world.get(&key(1));
    check_memory(&world);
}

#[test]
fn values_move_with_their_prefixes_and_in_trials() {
    let mut world = World::of_values();
    let reads = world.reads(|| {
        let renamed = world.pool.mutate_alone(|closed| {
            let moving = world.pool.start_move(closed);
            let (from, to) = (&b"d00/s00"[..], &b"moved/"[..]);
            let version = || world.version();
            world.tree.rename_prefix(&moving, from, to, Existing::Refuse, &world.trash, version)
        });
        assert!(matches!(renamed, Ok(Renamed::Renamed(_))));
    });
    assert!(reads < 20, "{reads} reads");
    for (key, value) in std::mem::take(&mut world.model) {
        let key = match key.strip_prefix(b"d00/s00") {
            Some(rest) => [b"moved/", rest].concat(),
            None => key,
        };
        world.model.insert(key, value);
    }
    world.list(b"moved/", true);
    // What a batch reads it finds, and when it is taken back everything is as it was.
    for keep in [false, true] {
        let cold = cold(&world);
        let batch = world.pool.mutate_alone(|closed| {
            let outlook = Outlook { mutations: 2, bytes: 200_000, revocable: true };
            let trial = world.pool.trial(closed, outlook);
            let put = |key: &[u8], value: &[u8]| {
                let version = || world.version();
                world.tree.put(closed.pass(), key, value, Condition::Always, version)
            };
            let done = (|| {
                let value =
                    world.tree.get_inside(trial.moving(), &cold, |value, _| value.to_vec())?;
                put(b"another", &value.expect("it is there"))?;
                world.tree.remove(closed.pass(), &cold, Condition::Always, || world.version())
            })();
            match (&done, keep) {
                (Ok(_), true) => trial.keep(),
                _ => assert!(trial.take_back()),
            }
            done
        });
        batch.unwrap();
        if keep {
            let value = world.model.remove(&cold).unwrap();
            world.model.insert(b"another".to_vec(), value);
        }
        world.commit();
        world.verify();
        world.list(b"", false);
    }
}

#[test]
fn writers_readers_and_snapshots_beside_a_clock_that_never_rests() {
    let seed = SEED;
    println!("seed {seed}");
    let world = World::of_values();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u64)
            .map(|id| {
                let world = &world;
                scope.spawn(move || {
                    let mut random = Random::new(seed + id);
                    for round in 0..300 {
                        let n = (random.below(u64::from(VALUES) / 2) * 2 + id) as u32;
                        let (key, value) = (key(n), large(n, round));
                        loop {
                            let put = world.pool.mutate(|pass| {
                                let version = || world.version();
                                world.tree.put(pass, &key, &value, Condition::Always, version)
                            });
                            match put {
                                Ok(_) => break,
                                Err(Error::TooManyChanged { .. }) => thread::yield_now(),
                                Err(error) => panic!("{error}"),
                            }
                        }
                        // Nobody else writes this key.
                        let found = world.tree.get(&key, |value, _| value.to_vec()).unwrap();
                        assert!(found.is_some_and(|found| found == value), "seed {seed}");
                    }
                })
            })
            .collect();
        let (world, done) = (&world, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                world.commit();
            }
        });
        scope.spawn(move || {
            let mut random = Random::new(seed + 9);
            while !done.load(Ordering::Relaxed) {
                let snapshot = world.pool.snapshot(&world.pool.close_gate());
                let past = snapshot.tree(world.tree.root()).unwrap();
                let prefix = &key(random.below(u64::from(VALUES)) as u32)[..8];
                let list = || past.cursor(Scan::prefix(prefix)).map(Result::unwrap);
                let first: Vec<_> = list().collect();
                assert!(first.len() == 100 && list().eq(first), "a snapshot does not change");
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.tree.len(), u64::from(VALUES));
    world.commit();
    world.verify();
    check_memory(&world);
}
