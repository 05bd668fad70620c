//! Descents towards all keys that begin with a prefix, and taking them off the tree.

use super::Tree;
use super::moving::Stays;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::copy::entries;
use crate::frame::graft::give_subtree;
use crate::frame::key::Key;
use crate::frame::remove::{give_chain, remove_branch};
use crate::frame::under::{Reach, Spot, content, walk_first, walk_under};
use crate::frame::{FRAME_WORDS, Loc, Ref, View};
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
            let found = content(view, root, FRAME_WORDS);
            let alone = found.is_some_and(|found| found.is_alone());
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

    /// Takes the subtree at the end of `path`, which a prefix of so many bytes leads to, off the
    /// tree. As far as it is in its frame and does not stay there, its blocks are given back;
    /// what its crossings lead to stays where it is. Of what stays, the root loses the bytes
    /// of its own that belong to the prefix. Emptied nodes and entries above it go too. The
    /// numbers of the blobs that nothing refers to any more go to `blob`.
    ///
    /// False when a frame has changed since, or is latched: nothing has happened.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`] when an open cut or snapshot needs a frame and there is no room
    /// for a copy. Nothing has changed.
    pub(super) fn take_off(
        &self,
        path: &[Step],
        prefix: usize,
        stays: Stays,
        mut blob: impl FnMut(u32),
    ) -> Result<bool, Error> {
        let (last, above) = path.split_last().expect("a path is not empty");
        let skip = prefix - last.spot.from;
        // An entry that stays is not changed but for its root: only the way to it goes.
        let way = if let Stays::Entry = stays { above } else { path };
        let top = way.iter().rposition(|step| step.spot.fork.is_some()).unwrap_or(0);
        let steps = &way[top..];
        let root = (skip > 0).then_some(last);
        let mut frames: Vec<Latched<'_>> = Vec::with_capacity(steps.len() + 1);
        for step in steps.iter().chain(root) {
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
        let held = |number: u32| {
            frames.iter().find(|frame| frame.number() == number).expect("it was latched above")
        };
        // Before nodes above are mended, which may join them with what stays.
        let at = last.spot.at;
        let home = match stays {
            Stays::Nothing => {
                let mut edit = held(last.frame).edit(last.entry);
                give_subtree(&mut edit, at, &mut blob);
                edit.set_ref(last.spot.loc, Ref::NULL);
                edit.finish();
                None
            }
            Stays::Nodes { home, extent } => {
                let mut edit = held(last.frame).edit(last.entry);
                edit.disown(extent);
                edit.set_ref(last.spot.loc, Ref::NULL);
                edit.finish();
                Some(usize::from(home.entry))
            }
            Stays::Entry => Some(last.entry),
        };
        if let Some(entry) = home.filter(|_| skip > 0) {
            let mut edit = held(last.frame).edit(entry);
            edit.trim_prefix(at, skip);
            edit.finish();
        }
        for (index, step) in steps.iter().enumerate() {
            let frame = held(step.frame);
            let mut edit = frame.edit(step.entry);
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
