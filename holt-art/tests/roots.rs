//! Subtrees that move away from the root frame of their tree, and stay in that frame as entries of
//! their own: the frame then belongs to several trees, and every invariant is checked as these
//! grow, shrink, are loaded and go.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holt_art::{Art, Condition, Existing, Pool, PoolOptions, Scan, Tree, Version};
use random::Random;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn options() -> PoolOptions {
    PoolOptions::with_bytes(256 << 20, 16 << 20)
}

/// Directories of files: the nodes above them are in the root frame.
fn key(directory: &str, n: u32) -> Vec<u8> {
    format!("{directory}{:03}/file-{n:06}", n % 211).into_bytes()
}

struct Both {
    map: Art,
    model: Model,
}

impl Both {
    fn new() -> Self {
        Self { map: Art::with_options(options()).unwrap(), model: Model::new() }
    }

    fn fill(&mut self, directory: &str, files: std::ops::Range<u32>) {
        for n in files {
            let (key, value) = (key(directory, n), vec![n as u8; 60]);
            self.map.put(&key, &value).unwrap();
            self.model.insert(key, value);
        }
        assert_eq!(self.map.verify(), []);
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.map.rename_prefix(from.as_bytes(), to.as_bytes(), Existing::Refuse).unwrap();
        let all = std::mem::take(&mut self.model);
        self.model.extend(all.into_iter().map(|(key, value)| {
            let rest = key.strip_prefix(from.as_bytes());
            (rest.map(|rest| [to.as_bytes(), rest].concat()).unwrap_or(key), value)
        }));
        assert_eq!(self.map.verify(), [], "{from} to {to}");
    }

    fn remove(&mut self, prefix: &str) {
        assert!(self.map.remove_prefix(prefix.as_bytes()).unwrap());
        self.model.retain(|key, _| !key.starts_with(prefix.as_bytes()));
        assert_eq!(self.map.verify(), [], "{prefix} removed");
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.map.len(), self.model.len() as u64);
        let list = self.map.scan(Scan::all());
        let list: Vec<_> = list.map(|entry| entry.unwrap().into_record().unwrap()).collect();
        assert!(list.iter().map(|(key, value)| (key, value)).eq(self.model.iter()));
    }

    fn reclaim(&self, parts: usize) -> bool {
        let left = self.map.reclaim(parts).unwrap();
        assert_eq!(self.map.verify(), []);
        left
    }

    /// Until one frame is left, and that of the trash if it has one.
    fn empty(mut self) {
        self.check();
        let mut keys: Vec<Vec<u8>> = std::mem::take(&mut self.model).into_keys().collect();
        let mut random = Random::new(7);
        while !keys.is_empty() {
            let key = keys.swap_remove(random.below(keys.len() as u64) as usize);
            self.map.remove(&key).unwrap();
            if keys.len().is_multiple_of(10_000) {
                assert_eq!(self.map.verify(), []);
            }
        }
        while self.map.reclaim(1_000).unwrap() {}
        assert_eq!(self.map.verify(), []);
        assert!(self.map.is_empty() && self.map.tree().pool().stats().frames <= 2);
    }
}

#[test]
fn a_tree_fills_again_beside_what_was_removed_from_it() {
    let mut both = Both::new();
    for round in 0..3 {
        both.fill("", 0..40_000);
        both.remove("");
        // Some of it is taken apart while the tree grows beside it.
        for part in 0..4 {
            both.fill(["a/", "b/"][part as usize % 2], part * 9_000..(part + 1) * 9_000);
            if round > 0 {
                both.reclaim(20);
            }
        }
        both.check();
        both.remove("a/");
    }
    both.empty();
}

#[test]
fn a_directory_that_left_the_root_frame_grows_where_it_is() {
    let mut both = Both::new();
    both.fill("a/", 0..30_000);
    both.fill("b/", 0..30_000);
    both.fill("c/", 0..300);
    // Ends in a frame of files, far from the root.
    both.rename("a/", "b/017/moved/");
    both.rename("c/", "b/018/c/");
    for round in 0..6 {
        both.fill("b/017/moved/", 30_000 + round * 10_000..40_000 + round * 10_000);
        both.fill("d/", round * 8_000..(round + 1) * 8_000);
        both.check();
    }
    both.rename("b/017/moved/", "e/");
    both.rename("b/", "e/000/b/");
    both.fill("", 0..20_000);
    both.check();
    both.empty();
}

#[test]
fn a_load_in_order_leaves_what_moved_away_from_the_tree_alone() {
    for kept in [10_000, 60_000] {
        let mut both = Both::new();
        both.fill("", 0..kept);
        both.remove("");
        both.fill("x/", 0..20_000);
        both.remove("");
        let records: Model = (0..50_000).map(|n| (key("", n), vec![1; 40])).collect();
        both.map.bulk_load(records.iter()).unwrap();
        both.model = records;
        assert_eq!(both.map.verify(), []);
        both.check();
        both.reclaim(100);
        both.fill("", 50_000..60_000);
        both.empty();
    }
}

#[test]
fn a_tree_is_freed_while_its_root_frame_holds_what_is_in_the_trash() {
    let pool: Arc<Pool> = Pool::new(options()).unwrap();
    let new = || pool.create_tree(&pool.enter()).unwrap();
    let (tree, other, trash): (Tree, Tree, Tree) = (new(), new(), new());
    let next = AtomicU64::new(1);
    let version = || Version::new(next.fetch_add(1, Ordering::Relaxed)).unwrap();
    for n in 0..40_000 {
        for (tree, value) in [(&tree, 50), (&other, 20)] {
            let put =
                tree.put(&pool.enter(), &key("", n), &vec![1; value], Condition::Always, version);
            put.unwrap();
        }
    }
    let remove = |tree: &Tree| {
        let closed = pool.close_gate();
        let moving = pool.start_move(&closed);
        assert!(tree.remove_prefix(&moving, b"", &trash, version).unwrap().is_some());
    };
    remove(&tree);
    for n in 0..20_000 {
        tree.put(&pool.enter(), &key("z/", n), &[2; 50], Condition::Always, version).unwrap();
    }
    pool.free_tree(&pool.close_gate(), tree.root()).unwrap();
    let roots = [other.root(), trash.root()];
    assert_eq!(pool.verify(&pool.close_gate(), &roots), []);
    assert_eq!((other.len(), trash.len()), (40_000, 40_000));
    while trash.reclaim(&pool.enter(), 50).unwrap() {
        assert_eq!(pool.verify(&pool.close_gate(), &roots), []);
    }
    assert_eq!(other.len(), 40_000);
    remove(&other);
    while trash.reclaim(&pool.enter(), 1_000).unwrap() {}
    assert_eq!(pool.verify(&pool.close_gate(), &roots), []);
    assert_eq!(pool.stats().frames, 2);
}
