//! Removing records, and freeing whole trees.

use super::Tree;
use super::outcome::{Condition, Removed, Version};
use super::path::Step;
use super::put::MAX_ATTEMPTS;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::check::check;
use crate::frame::copy::entries;
use crate::frame::key::Key;
use crate::frame::leaf::Leaf;
use crate::frame::remove::{give_chain, remove_branch};
use crate::frame::walk::End;
use crate::frame::{Loc, Ref};
use crate::pool::Latched;
use crate::pool::gate::{Closed, Pass};

impl Tree {
    /// Removes the record of `key`, if the condition holds for it.
    ///
    /// `sequence` is called as in [`Tree::put`]; it gives the removal its version.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`]; [`Error::PoolFull`] when an open cut needs the frame and
    /// there is no room for a copy. Nothing has changed.
    pub fn remove(
        &self,
        _pass: &Pass<'_>,
        key: &[u8],
        condition: Condition,
        sequence: impl FnOnce() -> Version,
    ) -> Result<Removed, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let key = Key::new(key);
        let mut sequence = Some(sequence);
        for _ in 0..MAX_ATTEMPTS {
            let Some(step) = self.descend::<true>(key)? else { continue };
            if step.site.end != End::Found {
                let latch = self.pool.latch(step.frame);
                if latch.is_some_and(|latch| latch.validate(step.seen)) {
                    return Ok(Removed::Missing);
                }
                continue;
            }
            let is_tree = step.frame == self.root;
            if step.site.fork.is_none() && !is_tree {
                match self.remove_entry(key, condition, &mut sequence)? {
                    Some(removed) => return Ok(removed),
                    None => continue,
                }
            }
            let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else { continue };
            let leaf = Leaf::read(frame.view(), step.site.at);
            let found = Version::of_leaf(leaf.version);
            if !condition.holds(Some(found)) {
                return Ok(Removed::Refused(found));
            }
            frame.writable()?;
            let blob = leaf.blob.then(|| leaf.blob_number(frame.view()));
            let mut edit = frame.edit(step.entry);
            let before = edit.counters().live;
            let version = sequence.take().expect("the version is asked for once")();
            match &step.site.fork {
                Some(fork) => remove_branch(&mut edit, fork),
                None => {
                    give_chain(&mut edit, frame.view().entry(0).root);
                    edit.set_ref(Loc::entry(0), Ref::NULL);
                }
            }
            let after = edit.counters().live;
            edit.finish();
            drop(frame);
            if let Some(number) = blob {
                self.pool.free_blob(number);
            }
            self.merge_after(key, before, after);
            return Ok(Removed::Removed(version));
        }
        Err(Error::NoProgress { attempts: MAX_ATTEMPTS })
    }

    /// Removes a record that is all that its entry holds, with the entry: the crossing
    /// goes from the parent, and so on upwards to where something else remains.
    ///
    /// Returns `None` when another writer was faster.
    #[cold]
    fn remove_entry(
        &self,
        key: Key<'_>,
        condition: Condition,
        sequence: &mut Option<impl FnOnce() -> Version>,
    ) -> Result<Option<Removed>, Error> {
        let Some(path) = self.descend_path(key)? else { return Ok(None) };
        let Some(last) = path.last().filter(|step| step.site.end == End::Found) else {
            return Ok(None);
        };
        let top = path.iter().rposition(|step| step.site.fork.is_some()).unwrap_or(0);
        let steps: &[Step] = &path[top..];
        let mut frames: Vec<Latched<'_>> = Vec::with_capacity(steps.len());
        for step in steps {
            // A frame may hold subtrees that hang below one another.
            if frames.iter().any(|frame| frame.number() == step.frame) {
                continue;
            }
            match self.pool.latch_at(step.frame, step.seen) {
                Some(frame) => frames.push(frame),
                None => return Ok(None),
            }
        }
        let at = |frames: &[Latched<'_>], number| {
            frames.iter().position(|frame| frame.number() == number).expect("it was latched above")
        };
        let bottom = frames[at(&frames, last.frame)].view();
        let leaf = Leaf::read(bottom, last.site.at);
        let found = Version::of_leaf(leaf.version);
        if !condition.holds(Some(found)) {
            return Ok(Some(Removed::Refused(found)));
        }
        for frame in &mut frames {
            frame.writable()?;
        }
        let blob = leaf.blob.then(|| leaf.blob_number(frames[at(&frames, last.frame)].view()));
        let version = sequence.take().expect("the version is asked for once")();
        for (index, step) in steps.iter().enumerate() {
            let frame = &frames[at(&frames, step.frame)];
            let mut edit = frame.edit(step.entry);
            match &step.site.fork {
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
        if let Some(number) = blob {
            self.pool.free_blob(number);
        }
        self.merge_below(key);
        Ok(Some(Removed::Removed(version)))
    }

    /// Frees all frames and blobs of the tree.
    pub(crate) fn free(&self, _closed: &Closed<'_>) -> Result<(), Error> {
        let mut pending = vec![self.root];
        let mut result = Ok(());
        while let Some(number) = pending.pop() {
            let Some(frame) = self.pool.latch_now(number) else {
                // A frame with several entries is met several times.
                continue;
            };
            match check(frame.view(), number) {
                Ok(outside) => {
                    pending.extend(outside.crossings.iter().map(|target| target.frame));
                    for (blob, _) in outside.blobs {
                        self.pool.free_blob(blob);
                    }
                }
                Err(_) => result = Err(Error::Damaged { frame: number }),
            }
            frame.free();
        }
        result
    }
}
