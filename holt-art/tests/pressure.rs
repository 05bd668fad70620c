//! Pools with a source: what is announced, declared and discarded, and how much may change.

#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use holt_art::{Condition, Error, Outlook, Pool, PoolOptions, Scan};
use world::{Damage, World, key, options};

#[test]
fn a_long_list_announces_what_it_reads_and_a_short_one_nothing() {
    let world = World::large();
    let images = &world.images;
    for reverse in [false, true] {
        images.announced.lock().unwrap().clear();
        let before =
            (images.reads.load(Ordering::Relaxed), images.expected.load(Ordering::Relaxed));
        world.list(b"", reverse);
        let reads = images.reads.load(Ordering::Relaxed) - before.0;
        let expected = images.expected.load(Ordering::Relaxed) - before.1;
        assert!(reads > 500 && expected * 10 > reads * 8, "{expected} of {reads} were announced");
        // What is announced is nearly always read.
        let idle = images.announced.lock().unwrap().len();
        assert!(idle < 40, "{idle} frames were announced for nothing");
    }
    images.announced.lock().unwrap().clear();
    let begun = world.absent();
    assert_eq!(world.tree.cursor(Scan::prefix(&begun[..4]).limit(100)).count(), 100);
    assert!(images.announced.lock().unwrap().is_empty());
}

#[test]
fn what_was_declared_is_gone_for_the_first_cut_that_lacks_it() {
    let world = World::large();
    let pool = Pool::with_source(options(), Arc::clone(&world.images) as _).unwrap();
    let objects: Vec<(u64, Vec<u8>)> =
        world.images.images.lock().unwrap().iter().map(|(&o, i)| (o, i.clone())).collect();
    for (object, image) in &objects {
        pool.declare(*object, image.len() as u64).unwrap();
    }
    let trash = pool.open_tree(world.trash.root()).unwrap();
    // The tree as a whole goes into a cut, frame by frame.
    let before = pool.stats().frames;
    pool.free_tree(&pool.close_gate(), world.tree.root()).unwrap();
    let cut = pool.cut(&pool.close_gate()).unwrap();
    let freed = cut.freed();
    let frames = freed.iter().filter(|object| **object < 1 << 32).count() as u64;
    assert_eq!(frames, before - pool.stats().frames);
    assert_eq!(freed.len() as u64 - frames, 48, "the large values, unread");
    cut.commit();
    assert!(trash.is_empty() && pool.stats().frames == 1);
}

#[test]
fn a_pool_is_pressed_long_before_it_refuses_and_a_cut_relieves_it() {
    let world = World::new();
    let most = world.pool.changeable_at_most();
    assert!(!world.pool.is_pressed() && world.pool.changeable() == most - 2, "two roots are new");
    let mut pressed_at = None;
    for n in 0.. {
        let put = world.pool.mutate(|pass| {
            let version = || world.version();
            world.tree.put(pass, &key(n), &[1; 900], Condition::Always, version)
        });
        if pressed_at.is_none() && world.pool.is_pressed() {
            pressed_at = Some(world.pool.changeable());
        }
        match put {
            Ok(_) => {}
            Err(Error::TooManyChanged { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(pressed_at.is_some_and(|left| left * 3 > most), "{pressed_at:?} of {most}");
    assert!(world.pool.changeable() < 4);
    world.commit();
    assert!(!world.pool.is_pressed() && world.pool.changeable() == most);
}

#[test]
fn a_tree_that_is_discarded_leaves_nothing() {
    let world = World::new();
    let before = (world.pool.stats(), world.pool.changeable(), world.pool.changeable_at_most());
    let pass = world.pool.enter();
    let tree = world.pool.create_tree(&pass).unwrap();
    assert!(world.pool.changeable_at_most() < before.2);
    world.pool.discard_tree(&pass, tree.root());
    drop(pass);
    let after = (world.pool.stats(), world.pool.changeable(), world.pool.changeable_at_most());
    assert_eq!(after, before);
    world.verify();
}

#[test]
fn a_batch_makes_images_only_where_it_may_miss_a_frame() {
    let mut world = World::large();
    let pins = |world: &World, pool: &Arc<Pool>| {
        let closed = pool.close_gate();
        let outlook = Outlook { mutations: 1, bytes: 10, revocable: false };
        let trial = pool.trial(&closed, outlook);
        let pins = pool.stats().pins;
        trial.keep();
        drop(closed);
        assert!(world.images.images.lock().unwrap().len() > 600);
        pins
    };
    assert_eq!(pins(&world, &world.pool.clone()), 1);
    assert!(!world.pool.is_whole());
    // In a pool that has room for all of it, once all of it has been read.
    let roomy = PoolOptions::with_bytes(256 << 20, 64 << 20);
    let pool = Pool::with_source(roomy, Arc::clone(&world.images) as _).unwrap();
    let objects: Vec<(u64, Vec<u8>)> =
        world.images.images.lock().unwrap().iter().map(|(&o, i)| (o, i.clone())).collect();
    for (object, image) in &objects {
        pool.declare(*object, image.len() as u64).unwrap();
    }
    let tree = pool.open_tree(world.tree.root()).unwrap();
    drop(pool.open_tree(world.trash.root()).unwrap());
    assert_eq!(pins(&world, &pool), 1);
    assert_eq!(tree.cursor(Scan::all()).count(), world.model.len());
    assert!(pool.is_whole());
    assert_eq!(pins(&world, &pool), 0);
    world.put(b"later", b"");
}

#[test]
fn a_frame_whose_image_was_taken_for_checked_is_looked_through_before_it_changes() {
    let mut world = World::large();
    world.images.checked.store(true, Ordering::Relaxed);
    for n in (0..48_000).step_by(411) {
        world.get(&key(n));
        world.put(&key(n), b"changed after it came back");
    }
    world.commit();
    world.verify();
    // A source that is wrong about it: whatever is read there ends, and nothing is changed.
    let cold = world.absent();
    *world.images.damage.lock().unwrap() = Some(Damage::Inside);
    let read = world.tree.get(&cold, |value, _| value.to_vec());
    assert!(read.is_err() || read.is_ok_and(|found| found.as_ref() != world.model.get(&cold)));
    assert_eq!(world.tree.cursor(Scan::prefix(&cold)).take(1_000).filter(Result::is_ok).count(), 0);
    let put = world.pool.mutate(|pass| {
        world.tree.put(pass, &cold, b"", Condition::Always, || panic!("it must not be applied"))
    });
    assert!(matches!(put, Err(Error::Image { .. } | Error::Damaged { .. })), "{put:?}");
}
