//! Trees that are larger than their pool's memory.

#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use holt_art::{Condition, Error, Existing, FrameId, Outlook, Pool, Renamed, Scan};
use random::Random;
use world::{BUDGET, Damage, SEED, World, key, options, value};

#[test]
fn a_tree_of_ten_times_the_budget_is_what_a_map_is() {
    let seed = SEED;
    let mut random = Random::new(seed);
    println!("seed {seed}");
    let mut world = World::large();
    for round in 0..6_000u64 {
        let n = random.below(50_000) as u32;
        match random.below(100) {
            0..40 => world.get(&key(n)),
            40..60 => world.put(&key(n), &value(n, round)),
            60..75 => world.remove(&key(n)),
            75..80 => world.list(&key(n)[..8], n.is_multiple_of(2)),
            80 => {
                let prefix = &key(n)[..4];
                let count = world.model.keys().filter(|key| key.starts_with(prefix)).count();
                assert_eq!(world.tree.count(prefix).unwrap(), count as u64);
            }
            81 => world.commit(),
            _ => {
                // Neighbours, as in life: most of these are hits.
                let n = n / 50 * 50 + random.below(50) as u32;
                world.get(&key(n));
            }
        }
        let stats = world.pool.stats();
        assert!(stats.slot_bytes + stats.blob_bytes <= BUDGET, "{stats:?}");
    }
    world.verify();
    for prefix in [&b"d03/"[..], b""] {
        world.list(prefix, false);
    }
    assert_eq!(world.tree.len(), world.model.len() as u64);
    let stats = world.pool.stats();
    assert!(stats.evictions > 1_000 && stats.absent > stats.frames / 2, "{stats:?}");
    world.commit();
    world.verify();
    assert_eq!(world.pool.stats().changed, 0);
}

#[test]
fn a_pool_is_opened_without_reading_anything() {
    let world = World::large();
    let pool = Pool::with_source(options(), Arc::clone(&world.images) as _).unwrap();
    let before = world.images.reads.load(Ordering::Relaxed);
    let objects: Vec<(u64, Vec<u8>)> =
        world.images.images.lock().unwrap().iter().map(|(&o, i)| (o, i.clone())).collect();
    for (object, image) in objects {
        let declare = |bytes| pool.declare(object, bytes);
        if object >= 1 << 32 {
            assert!(matches!(declare(1 << 40), Err(Error::Image { .. })), "longer than any value");
        }
        declare(image.len() as u64).unwrap();
        assert!(matches!(declare(8), Err(Error::Image { .. })), "declared twice");
    }
    assert_eq!(world.images.reads.load(Ordering::Relaxed), before);
    let tree = pool.open_tree(world.tree.root()).unwrap();
    let trash = pool.open_tree(world.trash.root()).unwrap();
    for n in (0..48_000).step_by(997) {
        let found = tree.get(&key(n), |value, _| value.to_vec()).unwrap();
        assert!(found.as_ref() == world.model.get(&key(n)));
    }
    let faults = pool.verify(&pool.close_gate(), &[tree.root(), trash.root()]);
    assert_eq!(faults, []);
    assert_eq!(
        pool.open_tree(FrameId::new(1 << 22)).unwrap_err(),
        Error::MissingFrame { frame: 1 << 22 }
    );
}

#[test]
fn readers_who_miss_the_same_frame_cause_one_read() {
    let world = World::large();
    for _ in 0..20 {
        let key = world.absent();
        // All but the last frame on the way are in memory then.
        let before = world.images.reads.load(Ordering::Relaxed);
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    world.get(&key);
                });
            }
        });
        let reads = world.images.reads.load(Ordering::Relaxed) - before;
        // A frame of each level at most.
        assert!((1..=3).contains(&reads), "{reads} reads");
    }
}

#[test]
fn a_source_that_fails_gives_an_error_and_nothing_else() {
    let mut world = World::large();
    let hot = key(47_999);
    world.get(&hot);
    let key = world.absent();
    world.images.fails.store(true, Ordering::Relaxed);
    let reason = "the disk is on fire".to_owned();
    let is_source = |error: Error| match error {
        Error::Source { reason: given, .. } => assert_eq!(given, reason),
        error => panic!("{error}"),
    };
    is_source(world.tree.get(&key, |_, _| ()).unwrap_err());
    is_source(world.tree.cursor(Scan::prefix(&key)).next().unwrap().unwrap_err());
    let put = world.pool.mutate(|pass| {
        world.tree.put(pass, &key, b"", Condition::Always, || panic!("it is not there"))
    });
    is_source(put.unwrap_err());
    is_source(world.tree.count(b"").unwrap_err());
    world.get(&hot);
    world.put(&hot, b"still here");
    world.images.fails.store(false, Ordering::Relaxed);
    world.get(&key);
    world.verify();
}

#[test]
fn a_count_reads_absent_frames_and_not_their_entries() {
    let world = World::large();
    let stats = world.pool.stats();
    let before = world.images.reads.load(Ordering::Relaxed);
    assert_eq!(world.tree.count(b"").unwrap(), world.model.len() as u64);
    let reads = world.images.reads.load(Ordering::Relaxed) - before;
    // Once for each frame that leads to it, and hardly any has more than one of these.
    assert!(reads <= stats.absent * 21 / 20, "{reads} reads of {} absent frames", stats.absent);
    assert_eq!(world.pool.stats().absent, stats.absent, "what a count reads it does not keep");
}

#[test]
fn a_damaged_image_is_refused() {
    let world = World::large();
    let damages = [Damage::Nothing, Damage::Half, Damage::Ragged, Damage::Another, Damage::Garbage];
    for damage in damages {
        let key = world.absent();
        *world.images.damage.lock().unwrap() = Some(damage);
        match world.tree.get(&key, |value, _| value.to_vec()) {
            Err(Error::Image { .. }) => {}
            other => panic!("{damage:?}: {other:?}"),
        }
        *world.images.damage.lock().unwrap() = None;
        world.get(&key);
    }
    world.verify();
}

#[test]
fn prefixes_move_and_go_without_being_in_memory() {
    let mut world = World::large();
    let rename = |world: &World, from: &[u8], to: &[u8], existing| {
        world.write(|| {
            world.pool.mutate_alone(|closed| {
                let moving = world.pool.start_move(closed);
                let version = || world.version();
                world.tree.rename_prefix(&moving, from, to, existing, &world.trash, version)
            })
        })
    };
    let reads = world.images.reads.load(Ordering::Relaxed);
    assert!(matches!(
        rename(&world, b"d03/", b"other/", Existing::Refuse),
        Ok(Renamed::Renamed(_))
    ));
    assert!(matches!(rename(&world, b"d04/", b"d05/", Existing::Replace), Ok(Renamed::Renamed(_))));
    let removed = world.write(|| {
        world.pool.mutate_alone(|closed| {
            let moving = world.pool.start_move(closed);
            world.tree.remove_prefix(&moving, b"d06/", &world.trash, || world.version())
        })
    });
    assert!(removed.unwrap().is_some());
    let reads = world.images.reads.load(Ordering::Relaxed) - reads;
    assert!(reads < 40, "{reads} of {} frames were read", world.pool.stats().frames);
    let model = std::mem::take(&mut world.model);
    for (key, value) in model {
        match &key[..4] {
            b"d05/" | b"d06/" => {}
            b"d03/" => drop(world.model.insert([b"other/", &key[4..]].concat(), value)),
            b"d04/" => drop(world.model.insert([b"d05/", &key[4..]].concat(), value)),
            _ => drop(world.model.insert(key, value)),
        }
    }
    world.verify();
    world.list(b"d0", false);
    world.list(b"other/", true);
    while world.write(|| world.pool.mutate(|pass| world.trash.reclaim(pass, 4))).unwrap() {}
    world.commit();
    world.verify();
    world.list(b"", false);
}

#[test]
fn a_snapshot_of_what_is_absent_is_read() {
    let mut world = World::large();
    let snapshot = world.pool.snapshot(&world.pool.close_gate());
    let before = world.model.clone();
    for n in 0..10 {
        world.put(&key(n * 4_000), b"new");
    }
    world.commit();
    let past = snapshot.tree(world.tree.root()).unwrap();
    // Beside readers who want the same slots for other frames.
    thread::scope(|scope| {
        for thread in 0..3 {
            let (past, before, world) = (&past, &before, &world);
            scope.spawn(move || {
                for n in (0..48_000).skip(thread * 19).step_by(61) {
                    let found = past.get(&key(n), |value, _| value.to_vec()).unwrap();
                    assert!(found.as_ref() == before.get(&key(n)));
                    world.get(&key((n * 7) % 48_000));
                }
            });
        }
    });
    assert_eq!(past.count(b"d07/").unwrap(), 4_000);
    assert_eq!(world.pool.stats().pins, 1);
    drop((past, snapshot));
    world.get(&key(0));
    world.verify();
}

#[test]
fn a_trial_that_misses_a_frame_is_taken_back_and_begins_anew() {
    let mut world = World::large();
    let keys: Vec<_> = (0..10).map(|n| key(n * 4_000 + 77)).collect();
    let batch = || {
        world.pool.mutate_alone(|closed| {
            let outlook = Outlook { mutations: 10, bytes: 100, revocable: false };
            let trial = world.pool.trial(closed, outlook);
            for key in &keys {
                let version = || world.version();
                if let Err(error) =
                    world.tree.put(closed.pass(), key, b"together", Condition::Always, version)
                {
                    assert!(trial.take_back());
                    return Err(error);
                }
            }
            trial.keep();
            Ok(())
        })
    };
    world.write(batch).unwrap();
    for key in keys {
        world.model.insert(key, b"together".to_vec());
    }
    world.verify();
    world.list(b"", false);
}

#[test]
fn writers_and_readers_beside_a_clock_that_never_rests() {
    let seed = SEED;
    println!("seed {seed}");
    let world = World::large();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|id| {
                let world = &world;
                scope.spawn(move || {
                    let mut random = Random::new(seed + id);
                    for round in 0..600 {
                        let n = (random.below(24_000) * 2 + id) as u32;
                        let (key, value) = (key(n), value(n, round));
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
                let prefix = &key(random.below(48_000) as u32)[..8];
                assert_eq!(world.tree.cursor(Scan::prefix(prefix)).count(), 100);
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.tree.len(), 48_000);
    world.commit();
    world.verify();
}
