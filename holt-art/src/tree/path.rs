//! Descents of mutations: to the frame that changes, or with every frame on the way, and
//! with latches once the optimistic way has been lost too often.

use super::Tree;
use crate::error::Error;
use crate::frame::Loc;
use crate::frame::key::Key;
use crate::frame::walk::{End, Site, walk, walk_from};
use crate::pool::latch::{NO_SLOT, Observed};
use crate::pool::{Latched, Soon};

/// Lost races after which a mutation takes latches on its way down. Each one has let
/// another writer through.
pub(super) const PATIENCE: u32 = 64;

/// A descent under latches: its frames, and each of them once, latched.
pub(super) type LatchedPath<'p> = (Vec<Step>, Vec<Latched<'p>>);

/// One frame of a descent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Number of the frame.
    pub(super) frame: u32,
    /// Its word, observed before anything of it was read.
    pub(super) seen: Observed,
    /// The entry through which the descent came in.
    pub(super) entry: usize,
    /// Where the descent left the frame: at a crossing, or at its end.
    pub(super) site: Site,
}

impl Tree {
    /// Descends along `key` and returns the frame where the descent ended; `None` when a
    /// frame changed meanwhile.
    ///
    /// What was read is certain only when the frame is then latched with the observed
    /// word.
    #[inline]
    pub(super) fn descend<const FORK: bool>(&self, key: Key<'_>) -> Result<Option<Step>, Error> {
        self.descend_with::<FORK>(key, |_| {})
    }

    /// As [`Tree::descend`], with all frames passed, the last one included.
    pub(super) fn descend_path(&self, key: Key<'_>) -> Result<Option<Vec<Step>>, Error> {
        let mut path = Vec::with_capacity(8);
        let last = self.descend_with::<true>(key, |step| path.push(*step))?;
        Ok(last.map(|last| {
            path.push(last);
            path
        }))
    }

    #[inline(always)]
    fn descend_with<const FORK: bool>(
        &self,
        key: Key<'_>,
        mut passed: impl FnMut(&Step),
    ) -> Result<Option<Step>, Error> {
        let pool = &*self.pool;
        let mut frame = self.root;
        let mut row = pool.row(frame).ok_or(Error::MissingFrame { frame })?;
        let mut seen = row.latch().observe();
        let mut entry = 0;
        let mut from = 0;
        for _ in 0..=key.len() + 64 {
            let view = pool.view(seen);
            let root = row.root(view, entry);
            let site = walk_from::<FORK>(view, Loc::entry(entry), root, key, from);
            let step = Step { frame, seen, entry, site };
            let target = match site.end {
                End::Crossing(target) => target,
                End::Garbage if row.latch().validate(seen) => return Err(Error::Damaged { frame }),
                End::Garbage => return Ok(None),
                _ => return Ok(Some(step)),
            };
            let child = pool.row(target.frame).map(|child| (child, child.latch().observe()));
            // P5.1: the child's word is read before the parent is validated.
            if !row.latch().validate(seen) {
                return Ok(None);
            }
            passed(&step);
            frame = target.frame;
            match child {
                Some((child, word)) if word.slot() != NO_SLOT => (row, seen) = (child, word),
                child => {
                    pool.miss(frame, child.map(|(_, seen)| seen))?;
                    return Ok(None);
                }
            }
            entry = usize::from(target.entry);
            from = site.from;
        }
        Err(Error::Damaged { frame })
    }

    /// Latches the frame where an optimistic descent ended, if it has not changed since.
    #[inline]
    pub(super) fn latch_step(&self, step: &Step) -> Option<Latched<'_>> {
        #[cfg(test)]
        super::races::between_descent_and_latch();
        self.pool.latch_at(step.frame, step.seen)
    }

    /// Descends along `key` for a mutation that has lost `lost` races, and latches the frame
    /// where the descent ended; `None` when another writer was faster.
    #[inline]
    pub(super) fn descend_to_latch<const FORK: bool>(
        &self,
        key: Key<'_>,
        lost: u32,
    ) -> Result<Option<(Step, Latched<'_>)>, Error> {
        if lost >= PATIENCE {
            let Some((mut path, mut frames)) = self.latch_path(key)? else { return Ok(None) };
            let Some(last) = path.pop() else { return Ok(None) };
            let held = frames.iter().position(|frame| frame.number() == last.frame);
            return Ok(held.map(|held| (last, frames.swap_remove(held))));
        }
        let Some(step) = self.descend::<FORK>(key)? else { return Ok(None) };
        Ok(self.latch_step(&step).map(|frame| (step, frame)))
    }

    /// Descends along `key` and keeps every frame on the way latched; `None` when one was not
    /// to be had soon. Nobody can come in between, so this does not lose to other writers
    /// that keep changing the frames.
    #[cold]
    pub(super) fn latch_path(&self, key: Key<'_>) -> Result<Option<LatchedPath<'_>>, Error> {
        let mut path = Vec::with_capacity(8);
        let mut frames: Vec<Latched<'_>> = Vec::with_capacity(8);
        let (mut number, mut entry, mut from) = (self.root, 0, 0);
        for _ in 0..=key.len() + 64 {
            // A frame may hold subtrees that hang below one another.
            let held = frames.iter().position(|frame| frame.number() == number);
            let held = match held {
                Some(held) => held,
                None => {
                    // Only the first latch is waited for without an end: nothing is held yet.
                    let latched = if frames.is_empty() {
                        self.pool.latch_now(number).map_or(Soon::Missing, Soon::Latched)
                    } else {
                        self.pool.latch_soon(number)
                    };
                    match latched {
                        Soon::Latched(frame) => frames.push(frame),
                        Soon::Missing => {
                            // Not in memory, perhaps.
                            drop(frames);
                            self.pool.miss(number, None)?;
                            return Ok(None);
                        }
                        Soon::Busy => return Ok(None),
                    }
                    frames.len() - 1
                }
            };
            let frame = &frames[held];
            let site = walk::<true>(frame.view(), Loc::entry(entry), key, from);
            path.push(Step { frame: number, seen: frame.seen(), entry, site });
            match site.end {
                End::Crossing(target) => {
                    (number, entry, from) = (target.frame, usize::from(target.entry), site.from);
                }
                End::Garbage => return Err(Error::Damaged { frame: number }),
                _ => return Ok(Some((path, frames))),
            }
        }
        Err(Error::Damaged { frame: number })
    }
}
