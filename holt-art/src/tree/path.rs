//! A descent that remembers every frame on its way, for mutations that change several.

use super::Tree;
use crate::error::Error;
use crate::frame::Loc;
use crate::frame::key::Key;
use crate::frame::walk::{End, Site, walk};
use crate::pool::latch::{NO_SLOT, Observed};

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
        let mut latch = pool.latch(frame).ok_or(Error::MissingFrame { frame })?;
        let mut seen = latch.observe();
        let mut entry = 0;
        let mut from = 0;
        for _ in 0..=key.len() + 64 {
            let site = walk::<FORK>(pool.view(seen), Loc::entry(entry), key, from);
            let step = Step { frame, seen, entry, site };
            let target = match site.end {
                End::Crossing(target) => target,
                End::Garbage if latch.validate(seen) => return Err(Error::Damaged { frame }),
                End::Garbage => return Ok(None),
                _ => return Ok(Some(step)),
            };
            let child = pool.latch(target.frame).map(|child| (child, child.observe()));
            // P5.1: the child's word is read before the parent is validated.
            if !latch.validate(seen) {
                return Ok(None);
            }
            passed(&step);
            frame = target.frame;
            match child {
                Some((child, word)) if word.slot() != NO_SLOT => (latch, seen) = (child, word),
                _ => return Err(Error::MissingFrame { frame }),
            }
            entry = usize::from(target.entry);
            from = site.from;
        }
        Err(Error::Damaged { frame })
    }
}
