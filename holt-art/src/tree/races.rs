//! Tests of mutations that lose race after race. The races are injected: between a descent
//! and the latch that it ends in, another writer changes what the descent has read.

use std::cell::{Cell, RefCell};

use super::path::PATIENCE;
use super::scan::Scan;
use crate::frame::key::Key;
use crate::{Art, Put, Removed};

thread_local! {
    /// What happens between a descent and its latch, on this thread.
    static RIVAL: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
    /// What happens inside a list, on this thread.
    static LISTED: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// Lets the rival run, if there is one. While it runs there is none, so its own mutations win.
pub(super) fn between_descent_and_latch() {
    let rival = RIVAL.with(|rival| rival.borrow_mut().take());
    if let Some(run) = rival {
        run();
        RIVAL.with(|rival| *rival.borrow_mut() = Some(run));
    }
}

/// As [`between_descent_and_latch`], for a list that has come to a leaf and has not read it. Its rival has [`LISTED`] for
/// itself.
pub(super) fn before_a_leaf_is_read() {
    let rival = LISTED.with(|rival| rival.borrow_mut().take());
    if let Some(mut run) = rival {
        run();
        LISTED.with(|rival| *rival.borrow_mut() = Some(run));
    }
}

/// Runs `mutation` against a rival that changes the frames of `victim` and its neighbour
/// before each latch, and returns how many latches the rival was ahead of.
fn against_a_rival<R>(
    map: &std::sync::Arc<Art>,
    victim: Vec<u8>,
    mutation: impl FnOnce() -> R,
) -> (R, u32) {
    let beaten = std::rc::Rc::new(Cell::new(0));
    let (count, rival) = (std::rc::Rc::clone(&beaten), std::sync::Arc::clone(map));
    let overwrite = move || {
        count.set(count.get() + 1);
        let value = vec![count.get() as u8; 20];
        // What is changed: the record itself, so the frame where the descent ended.
        let old = rival.get(&victim).unwrap();
        rival.put(&victim, &value).unwrap();
        match old {
            Some(old) => drop(rival.put(&victim, &old).unwrap()),
            None => drop(rival.remove(&victim).unwrap()),
        }
    };
    RIVAL.with(|rival| *rival.borrow_mut() = Some(Box::new(overwrite)));
    let result = mutation();
    RIVAL.with(|rival| *rival.borrow_mut() = None);
    (result, beaten.get())
}

fn key(n: u32) -> Vec<u8> {
    format!("directory-{:02}/sub/{:05}", n % 23, n / 23).into_bytes()
}

fn loaded() -> std::sync::Arc<Art> {
    // Small, so that a memory checker has the address space.
    let options = crate::PoolOptions::with_bytes(64 << 20, 64 << 20);
    let map = std::sync::Arc::new(Art::with_options(options).unwrap());
    for n in 0..8_000 {
        map.put(&key(n), &[b'v'; 40]).unwrap();
    }
    assert!(map.tree().pool().stats().frames > 4);
    map
}

#[test]
fn a_put_that_loses_every_race_takes_latches() {
    let map = loaded();
    for n in (0..8_000).step_by(997) {
        let (put, beaten) = against_a_rival(&map, key(n), || map.put(&key(n), b"new"));
        assert!(matches!(put, Ok(Put::Replaced(_))), "{n}: {put:?}");
        assert_eq!(beaten, PATIENCE);
        assert_eq!(map.get(&key(n)).unwrap().as_deref(), Some(&b"new"[..]));
    }
    let absent = key(8_001);
    let (put, beaten) = against_a_rival(&map, absent.clone(), || map.put(&absent, b"new"));
    assert!(matches!(put, Ok(Put::Inserted(_))), "{put:?}");
    assert_eq!(beaten, PATIENCE);
    assert_eq!((map.verify(), map.len()), (vec![], 8_001));
}

#[test]
fn a_removal_that_loses_every_race_takes_latches() {
    let map = loaded();
    for n in (0..8_000).step_by(997) {
        let (removed, beaten) = against_a_rival(&map, key(n), || map.remove(&key(n)));
        assert!(matches!(removed, Ok(Removed::Removed(_))), "{n}: {removed:?}");
        assert_eq!(beaten, PATIENCE);
        assert_eq!(map.get(&key(n)).unwrap(), None);
        assert_eq!(map.verify(), []);
    }
    assert_eq!(map.len(), 8_000 - 9);
}

/// The last record of an entry goes with its entry and the crossing to it, which takes the
/// latches of several frames.
#[test]
fn the_removal_of_every_record_under_latches_leaves_one_frame() {
    let map = loaded();
    for n in 0..8_000 {
        let held = map.tree().latch_path(Key::new(&key(n))).unwrap();
        assert!(held.is_some(), "nobody else holds a latch");
        drop(held);
        let pass = map.tree().pool().enter();
        let mut version = Some(|_| crate::Version::new(9).unwrap());
        let key = key(n);
        let removed = map.tree().remove_under_latches(&pass, &key, &mut version);
        assert!(matches!(removed, Ok(Some(Removed::Removed(_)))), "{n}: {removed:?}");
        drop(pass);
        if n % 500 == 0 {
            assert_eq!(map.verify(), []);
        }
    }
    assert_eq!(map.verify(), []);
    assert_eq!(map.tree().pool().stats().frames, 1);
}

/// A map with a directory that fills a frame of leaves, and how many records more fit there
/// before room has to be made.
fn crowded() -> (std::sync::Arc<Art>, u32) {
    let fits = |map: &Art| {
        let before = (map.tree().pool().stats().frames, map.tree().pool().stats().live_bytes);
        (8_000u32..)
            .find(|&n| {
                map.put(&key(n), &[b'v'; 40]).unwrap();
                map.tree().pool().stats().frames != before.0
            })
            .expect("frames fill up")
    };
    let last = fits(&loaded());
    let map = loaded();
    for n in 8_000..last {
        map.put(&key(n), &[b'v'; 40]).unwrap();
    }
    (map, last)
}

/// The room that a put needs is made by a split; before each latch that the split takes,
/// another writer changes the frame.
#[test]
fn room_is_made_under_latches_when_every_race_is_lost() {
    let (map, last) = crowded();
    let frames = map.tree().pool().stats().frames;
    let absent = key(last);
    let neighbour = key(last - 23);
    let (put, beaten) = against_a_rival(&map, neighbour, || {
        // Made directly, so that every race that is lost is one for room.
        let mut attempts = 0;
        while !map.tree().make_room(Key::new(&absent), 0, attempts).unwrap() {
            attempts += 1;
        }
        attempts
    });
    assert_eq!((put, beaten), (PATIENCE, PATIENCE));
    assert!(map.tree().pool().stats().frames > frames, "nothing was split");
    assert!(matches!(map.put(&absent, b"new"), Ok(Put::Inserted(_))));
    assert_eq!((map.verify(), map.len()), (vec![], u64::from(last) + 1));
}

/// The same for a whole put, which loses all races: for the room and for its own frame.
#[test]
fn a_put_that_needs_room_and_loses_every_race_is_done() {
    let (map, last) = crowded();
    let (absent, neighbour) = (key(last), key(last - 23));
    let (put, beaten) = against_a_rival(&map, neighbour, || map.put(&absent, &[b'v'; 40]));
    assert!(matches!(put, Ok(Put::Inserted(_))), "{put:?}");
    // For the frame, then for the room.
    assert_eq!(beaten, 2 * PATIENCE);
    assert_eq!((map.verify(), map.len()), (vec![], u64::from(last) + 1));
}

/// The images of committed cuts, by object.
#[derive(Debug, Default)]
struct Images(std::sync::Mutex<std::collections::BTreeMap<u64, Vec<u8>>>);

impl crate::FrameSource for Images {
    fn read(&self, object: u64, out: &mut Vec<u8>) -> Result<(), crate::SourceError> {
        out.extend_from_slice(self.0.lock().unwrap().get(&object).ok_or("no such image")?);
        Ok(())
    }
}

/// A frame that is not in memory is to be fetched by a descent under latches as by any other;
/// it used to be taken for one that does not exist.
#[test]
fn a_descent_under_latches_asks_for_an_absent_frame() {
    let images = std::sync::Arc::new(Images::default());
    let options = crate::PoolOptions::with_bytes(4 << 20, 1 << 20);
    let pool = crate::Pool::with_source(options, std::sync::Arc::clone(&images) as _).unwrap();
    let tree = pool.create_tree(&pool.enter()).unwrap();
    let version = || crate::Version::new(1).unwrap();
    for n in 0..100_000 {
        if n % 5_000 == 0 {
            let cut = pool.cut(&pool.close_gate()).unwrap();
            for object in cut.dirty() {
                let mut images = images.0.lock().unwrap();
                cut.image(object, images.entry(object).or_default()).unwrap();
            }
            cut.commit();
        }
        let always = crate::Condition::Always;
        pool.mutate(|pass| tree.put(pass, &key(n), &[b'v'; 60], always, version)).unwrap();
    }
    let mut fetched = 0;
    for n in (0..100_000).step_by(997) {
        let (key, pass) = (key(n), pool.enter());
        loop {
            match tree.latch_path(Key::new(&key)) {
                Ok(Some(_)) => break,
                Ok(None) => {}
                Err(error @ crate::Error::Absent { .. }) => {
                    drop(pool.resolve(error));
                    fetched += 1;
                }
                Err(error) => panic!("{}: {error}", key.escape_ascii()),
            }
        }
        drop(pass);
    }
    assert!(fetched > 0, "no frame was absent");
}

/// While a list has come to a leaf, a record makes way for another one of its size, which takes its place in
/// memory. A list that told of what it reads there, without a look at whether the frame is still the same, would tell
/// of the first one with the value of the second.
#[test]
fn a_list_tells_nothing_of_a_frame_that_has_changed() {
    const DIRECTORIES: u32 = 23;
    // Directories, which have 347 records or one more, and numbers in these: near either end of the list.
    const EXCHANGED: [(u32, u32); 2] = [(0, 10), (DIRECTORIES - 1, 336)];
    let key = |directory: u32, n: u32| format!("directory-{directory:02}/sub/{n:05}").into_bytes();
    // Below one node, so that the frames above do not change.
    let pair = move |directory, n| {
        let mut other = key(directory, n);
        *other.last_mut().unwrap() = b'x';
        [key(directory, n), other]
    };
    let options = crate::PoolOptions::with_bytes(64 << 20, 64 << 20);
    let map = std::sync::Arc::new(Art::with_options(options).unwrap());
    // A value is its key.
    for n in 0..8_000 {
        let key = key(n % DIRECTORIES, n / DIRECTORIES);
        map.put(&key, &key).unwrap();
    }
    assert!(map.tree().pool().stats().frames > 4);
    // All of it, and short lists that end at many places within a node.
    let limits = [9_000].into_iter().chain(1..40);
    for (limit, reverse) in limits.flat_map(|limit| [(limit, false), (limit, true)]) {
        for every in [1, 2, 7, 31] {
            let rival = std::sync::Arc::clone(&map);
            let (mut leaves, mut exchanges) = (0, 0);
            let exchange = move || {
                leaves += 1;
                // A list that lost every race would take latches, and the rival would wait for them.
                if leaves % every != 0 || exchanges == 20 {
                    return;
                }
                exchanges += 1;
                for (directory, n) in EXCHANGED {
                    let [one, other] = pair(directory, n);
                    let there = rival.get(&one).unwrap().is_some();
                    let (old, new) = if there { (one, other) } else { (other, one) };
                    rival.remove(&old).unwrap();
                    rival.put(&new, &new).unwrap();
                }
            };
            LISTED.with(|listed| *listed.borrow_mut() = Some(Box::new(exchange)));
            let scan = Scan::all().reverse(reverse).limit(limit);
            let list: Vec<_> =
                map.scan(scan).map(|entry| entry.unwrap().into_record().unwrap()).collect();
            LISTED.with(|listed| *listed.borrow_mut() = None);
            assert!(list.iter().all(|(name, value)| name == value), "{reverse} {limit} {every}");
            let ordered = |pair: &[(Vec<u8>, Vec<u8>)]| (pair[0].0 < pair[1].0) != reverse;
            assert!(list.windows(2).all(ordered), "{reverse} {limit} {every}");
            // All but those that come and go are there throughout.
            if limit == 9_000 {
                let come_and_go: Vec<_> =
                    EXCHANGED.iter().flat_map(|&(at, n)| pair(at, n)).collect();
                let steady = list.iter().filter(|(name, _)| !come_and_go.contains(name)).count();
                assert_eq!(steady, 8_000 - EXCHANGED.len(), "{reverse} {every}");
            } else {
                assert_eq!(list.len() as u64, limit);
            }
        }
    }
    assert_eq!(map.verify(), []);
}
