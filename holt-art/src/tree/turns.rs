//! Tests of writers that take turns at frames, and part. One thread plays all of them, so what happens is the same in every
//! run.

use std::collections::{BTreeMap, BTreeSet};

use crate::frame::key::Key;
use crate::pool::meetings::PLAYED;
use crate::{Art, PoolOptions};

const DIRECTORIES: u32 = 24;
const FILES: u32 = 400;

fn key(directory: u32, file: u32) -> Vec<u8> {
    format!("bucket-{directory:02}/path/file-{file:05}").into_bytes()
}

fn value(directory: u32, file: u32, round: u32) -> Vec<u8> {
    format!("{directory:>10}{file:>20}{round:>20}").into_bytes()
}

/// A small generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as u32 % bound
    }
}

/// A map in which the directories lie in their order, with few of them in a frame.
fn loaded(frame_bytes: u64) -> Art {
    let map = Art::with_options(PoolOptions::with_bytes(frame_bytes, 1 << 20)).unwrap();
    let mut order: Vec<(u32, u32)> =
        (0..DIRECTORIES).flat_map(|d| (0..FILES).map(move |file| (d, file))).collect();
    let mut random = Random(42);
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u32 + 1) as usize);
    }
    for (directory, file) in order {
        map.put(&key(directory, file), &value(directory, file, 0)).unwrap();
    }
    assert!(map.tree().pool().stats().frames > 6);
    map
}

/// Lets `threads` take turns at what `change` does for a thread, round after round.
fn in_turns(threads: u16, rounds: u32, mut change: impl FnMut(u16, u32, &mut Random)) {
    let mut random = Random(43);
    for round in 1..=rounds {
        for thread in 0..threads {
            PLAYED.set(Some(thread));
            change(thread, round, &mut random);
        }
    }
    PLAYED.set(None);
}

/// The share of the keys that are in frames of several owners, when `owner` has the directories.
fn shared(map: &Art, owner: impl Fn(u32) -> u16) -> f64 {
    let mut owners: BTreeMap<u32, (u32, BTreeSet<u16>)> = BTreeMap::new();
    for directory in 0..DIRECTORIES {
        for file in 0..FILES {
            let step = map.tree().descend::<false>(Key::new(&key(directory, file)));
            let (count, of) = owners.entry(step.unwrap().unwrap().frame).or_default();
            *count += 1;
            of.insert(owner(directory));
        }
    }
    let several = owners.values().filter(|(_, of)| of.len() > 1);
    f64::from(several.map(|(count, _)| count).sum::<u32>()) / f64::from(DIRECTORIES * FILES)
}

fn overwrite(map: &Art, directory: u32, round: u32, random: &mut Random) {
    let file = random.below(FILES);
    map.put(&key(directory, file), &value(directory, file, round)).unwrap();
}

/// Every record is there, with a value that is its own.
fn assert_whole(map: &Art) {
    assert_eq!(map.verify(), []);
    assert_eq!(map.len(), u64::from(DIRECTORIES * FILES));
    for directory in 0..DIRECTORIES {
        for file in 0..FILES {
            let found =
                map.get(&key(directory, file)).unwrap().expect("nothing was removed for good");
            assert_eq!(found[..30], value(directory, file, 0)[..30]);
        }
    }
}

#[test]
fn writers_of_different_directories_part_and_frames_stay_full() {
    for threads in [2, 3] {
        let map = loaded(64 << 20);
        let owner = |directory: u32| (directory % u32::from(threads)) as u16;
        let before = map.tree().pool().stats();
        assert!(shared(&map, owner) > 0.5);
        in_turns(threads, 200_000, |thread, round, random| {
            let directory = random.below(DIRECTORIES / u32::from(threads)) * u32::from(threads);
            overwrite(&map, directory + u32::from(thread), round, random);
        });
        assert!(shared(&map, owner) < 0.1, "{}", shared(&map, owner));
        let after = map.tree().pool().stats();
        assert!(after.frames <= before.frames + 2 * u64::from(threads), "{after:?} {before:?}");
        assert_whole(&map);
    }
}

#[test]
fn those_who_create_and_remove_part_too() {
    let map = loaded(64 << 20);
    let owner = |directory: u32| (directory % 2) as u16;
    in_turns(2, 300_000, |thread, round, random| {
        let directory = random.below(DIRECTORIES / 2) * 2 + u32::from(thread);
        let file = random.below(FILES);
        map.remove(&key(directory, file)).unwrap();
        map.put(&key(directory, file), &value(directory, file, round)).unwrap();
    });
    assert!(shared(&map, owner) < 0.1, "{}", shared(&map, owner));
    assert_whole(&map);
}

#[test]
fn writers_of_the_same_directories_stay() {
    let map = loaded(64 << 20);
    let frames = map.tree().pool().stats().frames;
    in_turns(2, 200_000, |_, round, random| {
        overwrite(&map, random.below(DIRECTORIES), round, random);
    });
    assert_eq!(map.tree().pool().stats().frames, frames);
    assert_whole(&map);
}

/// Whose directory is whose changes again and again.
#[test]
fn writers_that_change_places_part_anew_in_as_many_frames() {
    let map = loaded(64 << 20);
    let frames = map.tree().pool().stats().frames;
    for era in 0..12 {
        let owner = |directory: u32| (directory >> (era % 3) & 1) as u16;
        let of = |thread: u16| -> Vec<u32> {
            (0..DIRECTORIES).filter(|&directory| owner(directory) == thread).collect()
        };
        let of = [of(0), of(1)];
        // The frames are full, so there is little room to part into, and it takes some tries.
        in_turns(2, 240_000, |thread, round, random| {
            let own = &of[usize::from(thread)];
            overwrite(&map, own[random.below(own.len() as u32) as usize], round, random);
        });
        assert!(shared(&map, owner) < 0.2, "era {era}: {}", shared(&map, owner));
        let now = map.tree().pool().stats();
        assert!(now.frames <= frames + 6, "era {era}: {now:?}");
    }
    assert_whole(&map);
}

#[test]
fn a_full_pool_lets_nobody_part_and_no_put_fail() {
    let room = loaded(64 << 20).tree().pool().stats().frames * crate::Pool::FRAME_BYTES as u64;
    let map = loaded(room + 4 * crate::Pool::FRAME_BYTES as u64);
    // A snapshot keeps each frame that changes, so there is no slot left soon.
    let pool = std::sync::Arc::clone(map.tree().pool());
    let mut full = 0;
    let snapshot = pool.snapshot(&pool.close_gate());
    in_turns(2, 100_000, |thread, round, random| {
        let directory = random.below(DIRECTORIES / 2) * 2 + u32::from(thread);
        let file = random.below(FILES);
        match map.put(&key(directory, file), &value(directory, file, round)) {
            Ok(_) => {}
            // Of a frame that the snapshot needs.
            Err(crate::Error::PoolFull { .. }) => full += 1,
            Err(error) => panic!("{error}"),
        }
    });
    assert!(full > 0);
    assert_whole(&map);
    drop(snapshot);
    assert_whole(&map);
}
