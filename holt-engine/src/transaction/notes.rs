//! What a transaction has read, and whether it is still so.

use std::collections::HashMap;

use holt_art::{Scan, Version};
use holt_journal::disk::Disk;

use crate::catalog::Named;
use crate::error::Error;
use crate::snapshot::SnapshotTree;
use crate::sync::Arc;

/// The reads of a transaction.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The version found of each key that was asked for, by tree.
    keys: HashMap<u64, HashMap<Vec<u8>, Option<Version>>>,
    lists: Vec<Listed>,
    /// The number found of keys that begin with a prefix, by tree.
    counts: HashMap<u64, HashMap<Vec<u8>, u64>>,
    /// Whether no key was found to begin with a prefix, by tree.
    empty: HashMap<u64, HashMap<Vec<u8>, bool>>,
}

/// A list, as far as it was read.
#[derive(Debug)]
struct Listed {
    tree: u64,
    scan: Scan,
    /// How many entries were read.
    read: u64,
    /// Whether the end was.
    ended: bool,
}

/// A list among the [`Notes`].
#[derive(Clone, Copy, Debug)]
pub(super) struct ListNote(usize);

/// A tree that was read or written, and as it was if it was read.
pub(super) struct Touched<D: Disk> {
    pub(super) named: Arc<Named>,
    pub(super) past: Option<SnapshotTree<D>>,
}

impl Notes {
    /// A key was found to have this version, or none.
    pub(super) fn key(&mut self, tree: u64, key: &[u8], found: Option<Version>) {
        self.keys.entry(tree).or_default().insert(key.to_vec(), found);
    }

    /// So many keys were found to begin with this prefix.
    pub(super) fn count(&mut self, tree: u64, prefix: &[u8], found: u64) {
        self.counts.entry(tree).or_default().insert(prefix.to_vec(), found);
    }

    /// No key was found to begin with this prefix, or some were.
    pub(super) fn empty(&mut self, tree: u64, prefix: &[u8], found: bool) {
        self.empty.entry(tree).or_default().insert(prefix.to_vec(), found);
    }

    /// A list begins.
    pub(super) fn list(&mut self, tree: u64, scan: Scan) -> ListNote {
        self.lists.push(Listed { tree, scan, read: 0, ended: false });
        ListNote(self.lists.len() - 1)
    }

    /// One more entry of a list was read, or its end if there was none.
    pub(super) fn read(&mut self, list: ListNote, found: bool) {
        let list = &mut self.lists[list.0];
        if found {
            list.read += 1;
        } else {
            list.ended = true;
        }
    }

    /// Whether comparing takes the past: versions of keys and counts are compared without.
    pub(super) fn need_past(&self) -> bool {
        !self.lists.is_empty()
    }

    /// Whether everything is as it was read. To be called where nobody writes.
    pub(super) fn hold<D: Disk>(&self, trees: &[Touched<D>]) -> Result<bool, Error> {
        let tree = |id| {
            let touched = trees.iter().find(|touched| touched.named.id == id);
            touched.expect("what was read was touched")
        };
        for (&id, keys) in &self.keys {
            let live = &tree(id).named.tree;
            for (key, version) in keys {
                if live.version(key)? != *version {
                    return Ok(false);
                }
            }
        }
        for (&id, counts) in &self.counts {
            let live = &tree(id).named.tree;
            for (prefix, count) in counts {
                if live.count(prefix)? != *count {
                    return Ok(false);
                }
            }
        }
        for (&id, prefixes) in &self.empty {
            let live = &tree(id).named.tree;
            for (prefix, empty) in prefixes {
                if live.is_prefix_empty(prefix)? != *empty {
                    return Ok(false);
                }
            }
        }
        for list in &self.lists {
            let Touched { named, past } = tree(list.tree);
            let past = past.as_ref().expect("what was listed was read from a snapshot");
            if !list.holds(past.frames(), &named.tree)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Listed {
    fn holds(&self, past: &holt_art::SnapshotTree, now: &holt_art::Tree) -> Result<bool, Error> {
        let limit = if self.ended { u64::MAX } else { self.read };
        // Equal versions mean equal values.
        let scan = self.scan.clone().keys_only(true).limit(limit);
        let (mut past, mut now) = (past.cursor(scan.clone()), now.cursor(scan));
        for _ in 0..self.read {
            if past.next_ref()? != now.next_ref()? {
                return Ok(false);
            }
        }
        Ok(!self.ended || now.next_ref()?.is_none())
    }
}
