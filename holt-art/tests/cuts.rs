//! Cuts taken while writers run, and pools without room.
//!
//! A checkpoint in small: the images of each committed cut are folded into a map of
//! objects, as a store on disk would do it, and that map is loaded into a fresh pool. It
//! must be the tree as it was when the gate was closed, with nothing besides.

#[path = "support/random.rs"]
mod random;
#[path = "support/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use holt_art::{
    Condition, Cut, EntryRef, Error, FrameId, Pool, PoolOptions, Put, Removed, Scan, Tree, Version,
};
use random::Random;
use records::{key, token, value};

/// What the tree has to contain: version and token by key number.
type Model = BTreeMap<u32, (Version, u64)>;

/// What a store on disk would hold: images by object.
type Store = BTreeMap<u64, Vec<u8>>;

/// Makes the store what the cut says.
fn fold(store: &mut Store, cut: &Cut) {
    let dirty = cut.dirty();
    assert!(dirty.is_sorted_by(|a, b| a < b), "dirty objects come in order and once");
    for &object in &dirty {
        let mut image = Vec::new();
        cut.image(object, &mut image).unwrap();
        store.insert(object, image);
    }
    for object in cut.freed() {
        assert!(dirty.binary_search(&object).is_err(), "an object is dirty and freed");
        store.remove(&object);
    }
}

/// Loads the store into a fresh pool and compares it with the model.
fn check_store(store: &Store, root: FrameId, model: &Model) {
    let pool = Pool::new(PoolOptions::with_bytes(1 << 30, 1 << 30)).unwrap();
    for (&object, image) in store {
        pool.load(object, image).unwrap();
    }
    check_tree(&pool.open_tree(root).unwrap(), model);
}

/// That the tree has exactly what the model says, and its pool nothing else.
fn check_tree(tree: &Tree, model: &Model) {
    let closed = tree.pool().close_gate();
    assert_eq!(tree.pool().verify(&closed, &[tree.root()]), []);
    assert_eq!(tree.len(), model.len() as u64);
    let expected: BTreeMap<Vec<u8>, (Version, u64)> =
        model.iter().map(|(&n, &record)| (key(n), record)).collect();
    let mut expected = expected.into_iter();
    let mut cursor = tree.cursor(Scan::all());
    while let Some(EntryRef::Key { key, value, version }) = cursor.next_ref().unwrap() {
        let (expected_key, record) = expected.next().expect("no more keys than were put");
        assert!(
            expected_key == key,
            "{} is not {}",
            key.escape_ascii(),
            expected_key.escape_ascii()
        );
        assert_eq!((version, token(key, value)), record, "{}", key.escape_ascii());
    }
    assert_eq!(expected.next(), None);
}

/// A tree, the versions of its mutations, and what each writer has put into it. A writer
/// changes its model inside the same pass as the tree, so under the closed gate all fit.
struct World {
    tree: Tree,
    versions: AtomicU64,
    models: Vec<Mutex<Model>>,
}

impl World {
    fn new(options: PoolOptions, writers: usize) -> Self {
        let pool = Pool::new(options).unwrap();
        let tree = pool.create_tree(&pool.enter()).unwrap();
        let models = (0..writers).map(|_| Mutex::default()).collect();
        Self { tree, versions: AtomicU64::new(0), models }
    }

    fn pool(&self) -> &Arc<Pool> {
        self.tree.pool()
    }

    fn model(&self) -> Model {
        self.models.iter().flat_map(|model| model.lock().unwrap().clone()).collect()
    }

    fn sequence(&self) -> Version {
        Version::new(self.versions.fetch_add(1, Ordering::Relaxed) + 1).unwrap()
    }

    fn put(&self, writer: usize, n: u32, token: u64) -> Result<(), Error> {
        let key = key(n);
        let pass = self.pool().enter();
        let mut model = self.models[writer].lock().unwrap();
        let mut given = None;
        let put = self.tree.put(&pass, &key, &value(&key, token), Condition::Always, || {
            assert_eq!(given, None, "the sequencer was called twice");
            *given.insert(self.sequence())
        });
        let known = model.get(&n).copied();
        match put {
            Ok(Put::Inserted(version)) => {
                assert_eq!((known, Some(version)), (None, given));
                model.insert(n, (version, token));
                Ok(())
            }
            Ok(Put::Replaced(version)) => {
                assert!(known.is_some());
                assert_eq!(Some(version), given);
                model.insert(n, (version, token));
                Ok(())
            }
            Ok(Put::Refused(_)) => panic!("an unconditional put was refused"),
            Err(error) => {
                assert_eq!(given, None, "the sequencer was called for a put that failed");
                Err(error)
            }
        }
    }

    fn remove(&self, writer: usize, n: u32) -> Result<(), Error> {
        let pass = self.pool().enter();
        let mut model = self.models[writer].lock().unwrap();
        let mut given = None;
        let removed = self.tree.remove(&pass, &key(n), Condition::Always, || {
            assert_eq!(given, None, "the sequencer was called twice");
            *given.insert(self.sequence())
        });
        match removed {
            Ok(Removed::Removed(version)) => {
                assert_eq!(Some(version), given);
                assert!(model.remove(&n).is_some());
                Ok(())
            }
            Ok(Removed::Missing) => {
                assert_eq!((model.get(&n), given), (None, None));
                Ok(())
            }
            Ok(Removed::Refused(_)) => panic!("an unconditional removal was refused"),
            Err(error) => {
                assert_eq!(given, None, "the sequencer was called for a removal that failed");
                Err(error)
            }
        }
    }

    fn cut(&self) -> (Cut, Model) {
        let closed = self.pool().close_gate();
        let cut = self.pool().cut(&closed).unwrap();
        assert_eq!(self.pool().cut(&closed).unwrap_err(), Error::CutOpen);
        (cut, self.model())
    }
}

fn seed(default: u64) -> u64 {
    let seed = std::env::var("HOLT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(default);
    println!("HOLT_TEST_SEED={seed}");
    seed
}

fn rounds() -> u64 {
    std::env::var("HOLT_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// One writer's operations: phases in which its keys mostly come or mostly go.
fn write(world: &World, writer: usize, seed: u64, keys: u32, operations: u32) {
    let mut random = Random::new(seed);
    let writers = world.models.len() as u32;
    for step in 0..operations {
        let n = random.below(u64::from(keys)) as u32 * writers + writer as u32;
        let grows = (step / (operations / 5 + 1)).is_multiple_of(2);
        if random.below(10) < if grows { 8 } else { 2 } {
            world.put(writer, n, (writer as u64) << 48 | u64::from(step)).unwrap();
        } else {
            world.remove(writer, n).unwrap();
        }
    }
}

/// Takes cuts while two writers run. Some cuts are given up, with a part of their images
/// read or all.
fn cuts_under_writers(seed: u64, keys: u32, operations: u32) {
    let world = World::new(PoolOptions::with_bytes(1 << 30, 1 << 30), 2);
    let running = AtomicU32::new(2);
    let mut store = Store::new();
    let mut random = Random::new(seed);
    let (mut committed, mut given_up) = (0, 0);
    thread::scope(|scope| {
        for writer in 0..2 {
            let seed = random.next();
            let (world, running) = (&world, &running);
            scope.spawn(move || {
                // Also when the writer panics, or the cuts would go on for ever.
                struct Ends<'a>(&'a AtomicU32);
                impl Drop for Ends<'_> {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, Ordering::Release);
                    }
                }
                let _ends = Ends(running);
                write(world, writer, seed, keys, operations);
            });
        }
        loop {
            let last = running.load(Ordering::Acquire) == 0;
            let (cut, model) = world.cut();
            if random.below(3) == 0 && !last {
                let mut image = Vec::new();
                let share = random.below(4);
                for object in cut.dirty() {
                    if random.below(3) < share {
                        cut.image(object, &mut image).unwrap();
                    }
                }
                drop(cut);
                given_up += 1;
                continue;
            }
            fold(&mut store, &cut);
            if committed % 4 == 0 || last {
                check_store(&store, world.tree.root(), &model);
            }
            cut.commit();
            committed += 1;
            if last {
                break;
            }
        }
    });
    println!("{committed} cuts committed, {given_up} given up");
    check_tree(&world.tree, &world.model());
    // The last cut found all that there was, so another one finds nothing.
    let (cut, _) = world.cut();
    assert_eq!((cut.dirty(), cut.freed()), (vec![], vec![]));
}

#[test]
fn a_cut_is_the_tree_at_the_moment_when_the_gate_was_closed() {
    let seed = seed(4_000);
    for round in 0..rounds() {
        cuts_under_writers(seed + round, 4_000, 12_000);
    }
}

#[test]
fn cuts_of_a_small_tree_under_heavy_change_are_exact() {
    let seed = seed(5_000);
    for round in 0..rounds() {
        cuts_under_writers(seed + round, 60, 6_000);
    }
}

#[test]
fn a_cut_that_is_given_up_gives_everything_back() {
    let world = World::new(PoolOptions::with_bytes(64 << 20, 64 << 20), 1);
    for n in 0..3_000 {
        world.put(0, n, 1).unwrap();
    }
    let (cut, model) = world.cut();
    let dirty = cut.dirty();
    for n in 0..3_000 {
        if n % 3 == 0 { world.remove(0, n).unwrap() } else { world.put(0, n, 2).unwrap() }
    }
    // The cut does not see what came after it.
    assert_eq!(cut.dirty(), dirty);
    let mut store = Store::new();
    fold(&mut store, &cut);
    check_store(&store, world.tree.root(), &model);
    let kept = world.pool().stats();
    drop(cut);
    let now = world.pool().stats();
    assert_eq!(now.slot_bytes, now.frames * Pool::FRAME_BYTES as u64, "copies were kept");
    assert!(now.slot_bytes < kept.slot_bytes && now.blobs < kept.blobs);
    check_tree(&world.tree, &world.model());

    let (cut, model) = world.cut();
    let mut store = Store::new();
    fold(&mut store, &cut);
    check_store(&store, world.tree.root(), &model);
}

#[test]
fn an_image_is_only_given_of_what_the_cut_has() {
    let world = World::new(PoolOptions::with_bytes(4 << 20, 4 << 20), 1);
    world.put(0, 1, 1).unwrap();
    let (cut, _) = world.cut();
    let mut image = Vec::new();
    for object in [0, 77, u64::from(u32::MAX), 1 << 32, (1 << 32) + 5, u64::MAX] {
        let error = cut.image(object, &mut image).unwrap_err();
        assert!(matches!(error, Error::Image { object: other, .. } if other == object));
    }
}

/// A blob that is being written has no place in a cut, also when its number belonged to
/// another blob before the cut.
#[test]
fn a_blob_under_way_is_no_part_of_a_cut() {
    let pool = Pool::new(PoolOptions::with_bytes(4 << 20, 64 << 20)).unwrap();
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let put = |length: usize, version| {
        let sequence = || Version::new(version).unwrap();
        tree.put(&pool.enter(), b"k", &vec![1; length], Condition::Always, sequence).unwrap();
    };
    put(5_000, 1);
    // What was never part of a committed cut need not be told to be gone.
    pool.cut(&pool.close_gate()).unwrap().commit();
    put(5, 2);
    let closed = pool.close_gate();
    let cut = pool.cut(&closed).unwrap();
    drop(closed);
    let frames = cut.dirty();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for version in 3..8 {
                put(holt_art::MAX_VALUE, version);
            }
        });
        while !writer.is_finished() {
            assert_eq!(cut.dirty(), frames);
            assert_eq!(cut.freed().len(), 1, "the first blob is gone");
        }
    });
}

/// What a cut has is the same at any time, while writers free all that is in it.
#[test]
fn a_cut_keeps_what_is_freed_under_its_eyes() {
    let seed = seed(8_000);
    for round in 0..rounds() * 4 {
        let world = World::new(PoolOptions::with_bytes(256 << 20, 256 << 20), 2);
        for n in 0..12_000 {
            world.put(n % 2, n as u32, seed + round).unwrap();
        }
        let (cut, _) = world.cut();
        let dirty = cut.dirty();
        thread::scope(|scope| {
            let world = &world;
            let remove = |writer: usize| {
                (writer..12_000).step_by(2).for_each(|n| world.remove(writer, n as u32).unwrap());
            };
            let writers = [scope.spawn(move || remove(0)), scope.spawn(move || remove(1))];
            let mut image = Vec::new();
            while !writers.iter().all(|writer| writer.is_finished()) {
                assert!(cut.dirty() == dirty, "an object is missing or new");
                for &object in dirty.iter().rev().step_by(7) {
                    cut.image(object, &mut image).unwrap();
                }
            }
        });
        drop(cut);
        check_tree(&world.tree, &Model::new());
    }
}

/// The images of a cut are those of its moment, whatever happens to the frames before they are read: edits in place,
/// splits and merges, frames that come free, snapshots that want the frames of a later moment.
#[test]
fn an_image_is_the_same_before_and_after_every_kind_of_change() {
    let seed = seed(9_000);
    for round in 0..rounds() {
        let mut random = Random::new(seed + round);
        let world = World::new(PoolOptions::with_bytes(256 << 20, 256 << 20), 1);
        for n in 0..4_000 {
            world.put(0, n, 1).unwrap();
        }
        for step in 0..24 {
            let (cut, _) = world.cut();
            let mut images = Store::new();
            for object in cut.dirty() {
                let mut image = Vec::new();
                cut.image(object, &mut image).unwrap();
                images.insert(object, image);
            }
            let mut snapshots = Vec::new();
            for part in 0..8 {
                for _ in 0..random.below(400) {
                    let n = random.below(5_000) as u32;
                    let puts = if step % 3 == 0 { 1 } else { 8 };
                    if random.below(10) < puts {
                        world.put(0, n, step << 32 | part).unwrap();
                    } else {
                        world.remove(0, n).unwrap();
                    }
                }
                match random.below(6) {
                    0 => snapshots.push(world.pool().snapshot(&world.pool().close_gate())),
                    1 => snapshots.clear(),
                    _ => {}
                }
                images.retain(|&object, _| {
                    let read = random.below(8) == 0;
                    if read {
                        cut.done(object);
                    }
                    !read
                });
                let mut image = Vec::new();
                for (&object, expected) in &images {
                    cut.image(object, &mut image).unwrap();
                    assert!(image == *expected, "object {object} has changed, seed {seed}");
                }
            }
            if random.below(3) == 0 {
                drop(cut);
            } else {
                cut.commit();
            }
            drop(snapshots);
            check_tree(&world.tree, &world.model());
        }
    }
}

/// As above, with a writer at it all the time: who only overwrites moves no frame.
#[test]
fn an_image_is_the_same_while_a_writer_edits_the_frame() {
    let seed = seed(10_000);
    for round in 0..rounds() {
        let world = World::new(PoolOptions::with_bytes(256 << 20, 256 << 20), 1);
        for n in 0..300 {
            world.put(0, n, 1).unwrap();
        }
        for _ in 0..20 {
            let (cut, model) = world.cut();
            let mut store = Store::new();
            let (running, stop) = (AtomicU32::new(0), AtomicU32::new(0));
            thread::scope(|scope| {
                // Also when this thread panics, or the writer would go on for ever.
                struct Stops<'a>(&'a AtomicU32);
                impl Drop for Stops<'_> {
                    fn drop(&mut self) {
                        self.0.store(1, Ordering::Relaxed);
                    }
                }
                let _stops = Stops(&stop);
                scope.spawn(|| {
                    let mut random = Random::new(seed + round);
                    while stop.load(Ordering::Relaxed) == 0 {
                        let n = random.below(300) as u32;
                        world.put(0, n, random.next() >> 16).unwrap();
                        running.store(1, Ordering::Relaxed);
                    }
                });
                while running.load(Ordering::Relaxed) == 0 {
                    std::hint::spin_loop();
                }
                fold(&mut store, &cut);
                let mut image = Vec::new();
                for _ in 0..50 {
                    for (&object, expected) in &store {
                        cut.image(object, &mut image).unwrap();
                        assert!(image == *expected, "object {object} has changed");
                    }
                }
                store.keys().for_each(|&object| cut.done(object));
            });
            check_store(&store, world.tree.root(), &model);
            drop(cut);
        }
        check_tree(&world.tree, &world.model());
    }
}

/// Puts and removes in a pool of `frames` frames and `pages` pages of blobs, whatever is
/// refused, with cuts open or not.
fn squeeze(seed: u64, frames: u64, pages: u64, with_cuts: bool) {
    let options = PoolOptions::with_bytes(frames * Pool::FRAME_BYTES as u64, pages * 4096);
    let world = World::new(options, 1);
    let mut random = Random::new(seed ^ frames << 32 ^ pages);
    let mut store = Store::new();
    let mut open: Option<(Cut, Model)> = None;
    let (mut refused, mut done) = (0, 0);
    for step in 0..6_000u64 {
        let n = random.below(frames * 500 + 50) as u32;
        let result = if random.below(10) < if step / 1_500 % 2 == 0 { 8 } else { 3 } {
            world.put(0, n, step)
        } else {
            world.remove(0, n)
        };
        match result {
            Ok(()) => done += 1,
            Err(error) => {
                assert!(matches!(error, Error::PoolFull { .. }), "{error}");
                refused += 1;
                // Nothing has changed for the key that was refused.
                let model = world.models[0].lock().unwrap();
                let mut out = Vec::new();
                let key = key(n);
                let version = world.tree.get_into(&key, &mut out).unwrap();
                let found = version.map(|version| (version, token(&key, &out)));
                assert_eq!(found, model.get(&n).copied());
                drop(model);
                if refused < 20 || refused % 64 == 0 {
                    let closed = world.pool().close_gate();
                    assert_eq!(world.pool().verify(&closed, &[world.tree.root()]), []);
                }
            }
        }
        if with_cuts && step % 400 == 0 {
            if let Some((cut, model)) = open.take() {
                if random.below(4) == 0 {
                    drop(cut);
                } else {
                    fold(&mut store, &cut);
                    check_store(&store, world.tree.root(), &model);
                    cut.commit();
                }
            } else {
                open = Some(world.cut());
            }
        }
    }
    drop(open);
    assert!(done > 0);
    check_tree(&world.tree, &world.model());
    // Without a cut removals need no room, so the tree can always be emptied.
    for n in world.model().into_keys() {
        world.remove(0, n).unwrap();
    }
    check_tree(&world.tree, &Model::new());
    let stats = world.pool().stats();
    assert_eq!((stats.frames, stats.blobs), (1, 0));
    assert_eq!(stats.slot_bytes, Pool::FRAME_BYTES as u64);
    println!("{frames} frames, {pages} pages, cuts {with_cuts}: {done} done, {refused} refused");
}

#[test]
fn a_pool_without_room_refuses_and_changes_nothing() {
    let seed = seed(6_000);
    for round in 0..rounds() {
        for frames in (2..=9).chain([12, 16, 24]) {
            for with_cuts in [false, true] {
                squeeze(seed + round, frames, frames * 2, with_cuts);
            }
        }
    }
}
