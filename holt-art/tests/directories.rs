//! Directories that move about below one another until frames hold many subtrees of many
//! parents, against a `BTreeMap`, every invariant checked after each step.
//!
//! `HOLT_TEST_SEED` chooses another seed.

#[path = "support/model.rs"]
mod model;
#[path = "support/random.rs"]
mod random;

use holt_art::{Art, Existing, PoolOptions, Put, Renamed, Scan};
use model::{Model, below, rename};
use random::Random;

/// A map and what must be in it.
struct Both {
    map: Art,
    model: Model,
}

impl Both {
    fn new() -> Self {
        // Small, so that a memory checker has the address space.
        let options = PoolOptions::with_bytes(256 << 20, 16 << 20);
        Self { map: Art::with_options(options).unwrap(), model: Model::new() }
    }

    fn put(&mut self, key: String, value: Vec<u8>) {
        match self.map.put(key.as_bytes(), &value).unwrap() {
            Put::Inserted(version) | Put::Replaced(version) => {
                self.model.insert(key.into_bytes(), (value, version));
            }
            other => panic!("nothing was asked for that could be refused: {other:?}"),
        }
    }

    fn fill(&mut self, directory: &str, files: u64) {
        for n in 0..files {
            self.put(format!("{directory}{n:05}"), vec![n as u8; 40]);
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let expected = rename(&mut self.model, from.as_bytes(), to.as_bytes(), Existing::Refuse);
        let renamed = self.map.rename_prefix(from.as_bytes(), to.as_bytes(), Existing::Refuse);
        match expected {
            Ok(true) => assert!(matches!(renamed, Ok(Renamed::Renamed(_))), "{from} to {to}"),
            Ok(false) => assert_eq!(renamed, Ok(Renamed::Unchanged), "{from} to {to}"),
            Err(error) => assert_eq!(renamed, Err(error), "{from} to {to}"),
        }
        assert_eq!(self.map.verify(), [], "after {from} to {to}");
    }

    fn remove(&mut self, prefix: &str) {
        let there = below(&self.model, prefix.as_bytes());
        assert_eq!(self.map.remove_prefix(prefix.as_bytes()), Ok(!there.is_empty()));
        there.iter().for_each(|key| drop(self.model.remove(key)));
        assert_eq!(self.map.verify(), [], "after the removal of {prefix}");
    }

    fn compare(&self) {
        assert_eq!(self.map.len(), self.model.len() as u64);
        let mut expected = self.model.iter();
        for entry in self.map.scan(Scan::all()) {
            let entry = entry.unwrap();
            let (name, record) = expected.next().expect("the map has no more than the model");
            assert_eq!(entry.name(), name);
            assert_eq!((entry.value(), entry.version()), (Some(&record.0[..]), Some(record.1)));
        }
        assert!(expected.next().is_none());
        for key in self.model.keys().step_by(37) {
            let found = self.map.get(key).unwrap();
            assert_eq!(found.as_ref(), Some(&self.model[key].0));
        }
    }

    /// Everything goes, and all memory comes back but two roots.
    fn empty(mut self) {
        self.remove("");
        while self.map.reclaim(5).unwrap() {
            assert_eq!(self.map.verify(), []);
        }
        assert_eq!(self.map.tree().pool().stats().frames, 2);
    }
}

fn seed(default: u64) -> u64 {
    let given = std::env::var("HOLT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(default);
    println!("HOLT_TEST_SEED={seed}");
    seed
}

/// Names of directories as they are now, each ending in a slash.
fn directories(model: &Model) -> Vec<String> {
    let mut names = std::collections::BTreeSet::new();
    for key in model.keys() {
        let key = String::from_utf8(key.clone()).unwrap();
        names.extend(key.match_indices('/').map(|(at, _)| key[..=at].to_owned()));
    }
    names.into_iter().collect()
}

/// Directories of all sizes are hung below others, renamed, filled, emptied and removed.
#[test]
fn directories_move_below_one_another() {
    let seed = seed(5_000);
    let mut random = Random::new(seed);
    let mut both = Both::new();
    for directory in 0..40u64 {
        let files = [3, 20, 90, 250, 700][(directory % 5) as usize];
        both.fill(&format!("d{directory:02}/s{}/", directory % 3), files);
    }
    for step in 0..400u64 {
        let names = directories(&both.model);
        let mut some = || names[random.below(names.len() as u64) as usize].clone();
        let (from, below) = (some(), some());
        match random.below(12) {
            0..=4 => both.rename(&from, &format!("{below}m{step}/")),
            // In the same directory, and in the middle of a name.
            5..=6 => both.rename(&from, &format!("{}x/", &from[..from.len() - 1])),
            7 => both.rename(&from[..from.len() - 1], &format!("{below}half")),
            // Upwards.
            8 => both.rename(&from, &format!("m{step}/")),
            9 => both.fill(&format!("{below}more{step}/"), 20 + random.below(300)),
            10 => {
                let keys = self::below(&both.model, from.as_bytes());
                for key in keys.iter().filter(|key| key.len() % 3 != 1).take(500) {
                    both.map.remove(key).unwrap();
                    both.model.remove(key);
                }
                assert_eq!(both.map.verify(), []);
            }
            _ if both.model.len() > 6_000 => {
                both.remove(&from);
                both.map.reclaim(random.below(4) as usize).unwrap();
                assert_eq!(both.map.verify(), []);
            }
            _ => both.rename(&from, &format!("{below}m{step}/")),
        }
        if step % 20 == 0 {
            both.compare();
        }
    }
    both.compare();
    both.empty();
}

/// One full frame of many directories: each is hung elsewhere, so that the frame has as many
/// parents, is hung back, and then all of it goes.
#[test]
fn the_directories_of_one_frame_come_to_have_parents_of_their_own() {
    let mut both = Both::new();
    for n in 0..60 {
        both.fill(&format!("source/{n:02}/"), 130);
        both.fill(&format!("target/{n:02}/own/"), 400);
    }
    for (round, (from, to)) in [
        ("source/%/", "target/%/sub/"),
        ("target/%/sub/", "target/%/own/0deeper/still/"),
        ("target/%/own/0deeper/", "source/%/"),
    ]
    .into_iter()
    .enumerate()
    {
        for n in 0..60 {
            let name = |pattern: &str| pattern.replace('%', &format!("{n:02}"));
            both.rename(&name(from), &name(to));
            // The frame splits and merges while its entries belong to many.
            if n % 4 == round {
                both.fill(&format!("{}new/", name(to)), 100);
            }
            if n % 7 == round {
                let keys = below(&both.model, name(to).as_bytes());
                for key in keys.iter().step_by(2) {
                    both.map.remove(key).unwrap();
                    both.model.remove(key);
                }
                assert_eq!(both.map.verify(), []);
            }
        }
        both.compare();
    }
    for n in 0..60 {
        both.remove(&format!("source/{n:02}/"));
        both.map.reclaim(1).unwrap();
        assert_eq!(both.map.verify(), []);
    }
    both.compare();
    both.empty();
}

/// Frames that have been shared by moves stay full enough.
#[test]
fn moves_leave_frames_that_are_well_filled() {
    let seed = seed(6_000);
    let mut random = Random::new(seed);
    let mut both = Both::new();
    for directory in 0..300u64 {
        both.fill(&format!("d{directory:03}/"), 30 + directory % 200);
    }
    let before = both.map.tree().pool().stats().fill();
    let mut names: Vec<String> = (0..300).map(|directory| format!("d{directory:03}/")).collect();
    for turn in 0..2_000u64 {
        let which = random.below(300) as usize;
        let to = format!("g{:02}/{turn:04}/", random.below(20));
        let from = std::mem::replace(&mut names[which], to.clone());
        let renamed = both.map.rename_prefix(from.as_bytes(), to.as_bytes(), Existing::Refuse);
        assert!(matches!(renamed, Ok(Renamed::Renamed(_))), "seed {seed}: {from} to {to}");
    }
    assert_eq!(both.map.verify(), []);
    let after = both.map.tree().pool().stats();
    println!("fill {before:.3} before, {:.3} after", after.fill());
    assert!(after.fill() > 0.80, "seed {seed}: {before} before, {after:?} after");
}
