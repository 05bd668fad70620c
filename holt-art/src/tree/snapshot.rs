//! Reading a tree as it was when a snapshot was taken.

use super::get::{IntoVec, Local, Nothing, Take};
use super::outcome::Version;
use super::run::crossing_targets;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::Loc;
use crate::frame::copy::entries;
use crate::frame::key::Key;
use crate::frame::leaf::Leaf;
use crate::frame::walk::{End, walk};
use crate::pool::{FrameId, Snapshot};

/// One tree of a [`Snapshot`], which it holds open. Cheap to clone.
///
/// It answers what a [`Tree`](super::Tree) does. Readers of it take no latch, wait for no
/// writer and never start again.
#[derive(Clone, Debug)]
pub struct SnapshotTree {
    snapshot: Snapshot,
    root: u32,
}

impl Snapshot {
    /// The tree whose root is the frame `root`, as it was. It need not exist any more.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFrame`] when there was no such frame.
    pub fn tree(&self, root: FrameId) -> Result<SnapshotTree, Error> {
        match self.past().frame(root.0) {
            Some(_) => Ok(SnapshotTree { snapshot: self.clone(), root: root.0 }),
            None => Err(Error::MissingFrame { frame: root.0 }),
        }
    }
}

impl SnapshotTree {
    /// The snapshot that this tree is of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The root frame, as in [`Tree::root`](super::Tree::root).
    pub fn root(&self) -> FrameId {
        FrameId(self.root)
    }

    /// As [`Tree::get`](super::Tree::get).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get<R>(
        &self,
        key: &[u8],
        then: impl FnOnce(&[u8], Version) -> R,
    ) -> Result<Option<R>, Error> {
        let mut local = Local::new();
        let found = self.read(key, &mut local)?;
        Ok(found.map(|version| then(local.bytes(), version)))
    }

    /// As [`Tree::get_into`](super::Tree::get_into).
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn get_into(&self, key: &[u8], out: &mut Vec<u8>) -> Result<Option<Version>, Error> {
        self.read(key, &mut IntoVec(out))
    }

    /// The version of the record of `key`, if there was one.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn version(&self, key: &[u8]) -> Result<Option<Version>, Error> {
        self.read(key, &mut Nothing)
    }

    fn read(&self, key: &[u8], take: &mut impl Take) -> Result<Option<Version>, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let past = self.snapshot.past();
        let key = Key::new(key);
        let mut number = self.root;
        let mut loc = Loc::entry(0);
        let mut from = 0;
        // In a sound tree there are fewer crossings than frames; a cycle in a damaged one
        // ends here.
        for _ in 0..=key.len() + 64 {
            let view = past.frame(number).ok_or(Error::MissingFrame { frame: number })?;
            let site = walk::<false>(view, loc, key, from);
            match site.end {
                End::Crossing(target) => {
                    number = target.frame;
                    loc = Loc::entry(usize::from(target.entry));
                    from = site.from;
                }
                End::Found => {
                    let leaf = Leaf::read(view, site.at);
                    if !(leaf.plausible() && take.take(past.pool(), view, &leaf)) {
                        return Err(Error::Damaged { frame: number });
                    }
                    return Ok(Some(Version::of_leaf(leaf.version)));
                }
                End::Garbage => return Err(Error::Damaged { frame: number }),
                _ => return Ok(None),
            }
        }
        Err(Error::Damaged { frame: number })
    }

    /// Number of records; cost by frames, not by records.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFrame`] when the tree is damaged.
    pub fn len(&self) -> Result<u64, Error> {
        let past = self.snapshot.past();
        let mut seen = std::collections::BTreeSet::new();
        let mut pending = vec![self.root];
        let mut keys = 0;
        while let Some(number) = pending.pop() {
            if !seen.insert(number) {
                continue;
            }
            let view = past.frame(number).ok_or(Error::MissingFrame { frame: number })?;
            keys += entries(view).map(|(_, entry)| entry.keys as u64).sum::<u64>();
            pending.extend(crossing_targets(view));
        }
        Ok(keys)
    }
}
