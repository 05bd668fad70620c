//! Descents towards all keys that begin with a prefix, and taking them off the tree.

use super::Tree;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::copy::entries;
use crate::frame::graft::give_subtree;
use crate::frame::key::Key;
use crate::frame::remove::{give_chain, remove_branch};
use crate::frame::under::{Reach, Spot, content, walk_first, walk_under};
use crate::frame::{Loc, Ref, View};
use crate::pool::Latched;
use crate::pool::latch::{NO_SLOT, Observed};

/// One frame of a descent towards a prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Number of the frame.
    pub(super) frame: u32,
    /// Its word, observed before anything of it was read.
    pub(super) seen: Observed,
    /// The entry through which the descent came in.
    pub(super) entry: usize,
    /// Where the descent left the frame, or ended.
    pub(super) spot: Spot,
}

/// The frames from the root to where a descent towards a prefix ended; never empty.
pub(super) type Path = Vec<Step>;

/// Most crossings that a descent follows without using up a byte; more are a circle.
pub(super) const MAX_STILL: usize = 64;

impl Tree {
    /// Descends to the subtree of all keys that begin with `prefix`. The last step has
    /// reached it, or there is no such key; `None` when a frame changed meanwhile.
    ///
    /// What was read is certain only as long as the frames keep their words.
    pub(super) fn path_under(&self, prefix: Key<'_>) -> Result<Option<Path>, Error> {
        self.path(prefix.len(), |view, entry, from| {
            walk_under(view, Loc::entry(entry), prefix, from)
        })
    }

    /// Descends to the first subtree in key order that has no crossing and is all that its
    /// entry holds, or else to the first record.
    pub(super) fn path_first(&self) -> Result<Option<Path>, Error> {
        self.path(MAX_KEY, |view, entry, _| {
            let loc = Loc::entry(entry);
            let root = view.reference(loc);
            let alone = content(view, root).is_some_and(|found| found.crossings.is_empty());
            if alone {
                let reach = Reach::Under;
                Spot { loc, at: root, from: 0, fork: None, fork_depth: 0, reach }
            } else {
                walk_first(view, loc)
            }
        })
    }

    fn path(
        &self,
        length: usize,
        walk: impl Fn(View<'_>, usize, usize) -> Spot,
    ) -> Result<Option<Path>, Error> {
        let pool = &*self.pool;
        let mut path = Path::new();
        let mut frame = self.root;
        let mut latch = pool.latch(frame).ok_or(Error::MissingFrame { frame })?;
        let mut seen = latch.observe();
        let (mut entry, mut from) = (0, 0);
        for _ in 0..=length + MAX_STILL {
            let spot = walk(pool.view(seen), entry, from);
            path.push(Step { frame, seen, entry, spot });
            let Reach::Crossing(target) = spot.reach else {
                return match (latch.validate(seen), spot.reach) {
                    (false, _) => Ok(None),
                    (true, Reach::Garbage) => Err(Error::Damaged { frame }),
                    (true, _) => Ok(Some(path)),
                };
            };
            let child = pool.latch(target.frame).map(|child| (child, child.observe()));
            // P5.1: the child's word is read before the parent is validated.
            if !latch.validate(seen) {
                return Ok(None);
            }
            frame = target.frame;
            match child {
                Some((child, word)) if word.slot() != NO_SLOT => (latch, seen) = (child, word),
                child => {
                    pool.miss(frame, child.map(|(_, seen)| seen))?;
                    return Ok(None);
                }
            }
            entry = usize::from(target.entry);
            from = spot.from;
        }
        Err(Error::Damaged { frame })
    }

    /// Takes the subtree at the end of `path` off the tree and gives its blocks back, as far
    /// as they are in its frame; what its crossings lead to stays where it is. Emptied nodes
    /// and entries above it go too. The numbers of its blobs go to `blob`.
    ///
    /// False when a frame has changed since, or is latched: nothing has happened.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`] when an open cut or snapshot needs a frame and there is no room
    /// for a copy. Nothing has changed.
    pub(super) fn take_off(&self, path: &[Step], mut blob: impl FnMut(u32)) -> Result<bool, Error> {
        let top = path.iter().rposition(|step| step.spot.fork.is_some()).unwrap_or(0);
        let steps = &path[top..];
        let mut frames: Vec<Latched<'_>> = Vec::with_capacity(steps.len());
        for step in steps {
            // A frame may hold subtrees that hang below one another.
            if frames.iter().any(|frame| frame.number() == step.frame) {
                continue;
            }
            match self.pool.latch_at(step.frame, step.seen) {
                Some(frame) => frames.push(frame),
                None => return Ok(false),
            }
        }
        for frame in &mut frames {
            frame.writable()?;
        }
        for (index, step) in steps.iter().enumerate() {
            let frame = frames
                .iter()
                .find(|frame| frame.number() == step.frame)
                .expect("it was latched above");
            let mut edit = frame.edit(step.entry);
            if index + 1 == steps.len() {
                give_subtree(&mut edit, step.spot.at, &mut blob);
                edit.set_ref(step.spot.loc, Ref::NULL);
            }
            match &step.spot.fork {
                Some(fork) if index == 0 => remove_branch(&mut edit, fork),
                _ => {
                    give_chain(&mut edit, frame.view().entry(step.entry).root);
                    edit.set_ref(Loc::entry(step.entry), Ref::NULL);
                }
            }
            // Without a fork the first frame is the root, which keeps its empty entry.
            if index == 0 { edit.finish() } else { edit.vacate() }
        }
        for frame in frames {
            if entries(frame.view()).next().is_none() {
                frame.free();
            }
        }
        Ok(true)
    }
}
