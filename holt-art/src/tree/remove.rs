//! Removing records, and freeing whole trees.

use std::collections::{BTreeMap, BTreeSet};

use super::Tree;
use super::merge::calls_for_merge;
use super::outcome::{Condition, Removed, Version};
use super::path::{LatchedPath, PATIENCE, Step};
use super::run::entry_targets;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::check::check;
use crate::frame::copy::entries;
use crate::frame::graft::give_subtree;
use crate::frame::key::Key;
use crate::frame::leaf::Leaf;
use crate::frame::remove::{give_chain, remove_branch};
use crate::frame::walk::End;
use crate::frame::{Entry, Loc, Ref, Target};
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
        pass: &Pass<'_>,
        key: &[u8],
        condition: Condition,
        sequence: impl FnOnce() -> Version,
    ) -> Result<Removed, Error> {
        self.remove_sequenced(pass, key, condition, |_| sequence())
    }

    /// As [`Tree::remove`], with a sequence that is told the version that is removed.
    pub(crate) fn remove_sequenced(
        &self,
        _pass: &Pass<'_>,
        key: &[u8],
        condition: Condition,
        sequence: impl FnOnce(Option<Version>) -> Version,
    ) -> Result<Removed, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let key = Key::new(key);
        let mut sequence = Some(sequence);
        for lost in 0u32.. {
            if lost >= PATIENCE {
                // Entry or not: with the whole path latched, both are removed in one way.
                match self.remove_entry(key, condition, &mut sequence, true)? {
                    Some(removed) => return Ok(removed),
                    None => continue,
                }
            }
            let Some(step) = self.descend::<true>(key)? else { continue };
            if step.site.end != End::Found {
                let latch = self.pool.latch(step.frame);
                if latch.is_some_and(|latch| latch.validate(step.seen)) {
                    return Ok(Removed::Missing);
                }
                continue;
            }
            let is_tree = step.frame == self.root && step.entry == 0;
            if step.site.fork.is_none() && !is_tree {
                match self.remove_entry(key, condition, &mut sequence, false)? {
                    Some(removed) => return Ok(removed),
                    None => continue,
                }
            }
            let Some(mut frame) = self.latch_step(&step) else { continue };
            let leaf = Leaf::read(frame.view(), step.site.at);
            let found = Version::of_leaf(leaf.version);
            if !condition.holds(Some(found)) {
                return Ok(Removed::Refused(found));
            }
            frame.editable()?;
            let meets = frame.meets();
            let blob = leaf.blob.then(|| leaf.blob_number(frame.view()));
            let mut edit = frame.edit(step.entry);
            let before = edit.counters().live;
            let version = sequence.take().expect("the version is asked for once")(Some(found));
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
            if meets {
                self.meet(key, &step);
            }
            return Ok(Removed::Removed(version));
        }
        unreachable!("a removal ends long before 2^32 lost races")
    }

    /// Removes a record that is all that its entry holds, with the entry: the crossing
    /// goes from the parent, and so on upwards to where something else remains.
    ///
    /// With `latched` the descent takes latches, and the key may be missing. Returns `None`
    /// when another writer was faster.
    #[cold]
    fn remove_entry(
        &self,
        key: Key<'_>,
        condition: Condition,
        sequence: &mut Option<impl FnOnce(Option<Version>) -> Version>,
        latched: bool,
    ) -> Result<Option<Removed>, Error> {
        let held = if latched { self.latch_path(key)? } else { self.observe_and_latch(key)? };
        let Some((path, mut frames)) = held else { return Ok(None) };
        let Some(last) = path.last() else { return Ok(None) };
        if last.site.end != End::Found {
            return Ok(Some(Removed::Missing));
        }
        let top = path.iter().rposition(|step| step.site.fork.is_some()).unwrap_or(0);
        let steps: &[Step] = &path[top..];
        frames.retain(|frame| steps.iter().any(|step| step.frame == frame.number()));
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
        let before: Vec<usize> = frames.iter().map(|frame| frame.view().counters().live).collect();
        let version = sequence.take().expect("the version is asked for once")(Some(found));
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
        let after = |frame: &Latched<'_>| frame.view().counters().live;
        let sparse = frames
            .iter()
            .zip(&before)
            .any(|(frame, &before)| calls_for_merge(before, after(frame)));
        for frame in frames {
            if entries(frame.view()).next().is_none() {
                frame.free();
            }
        }
        if let Some(number) = blob {
            self.pool.free_blob(number);
        }
        if sparse {
            self.merge_along(&path);
        }
        Ok(Some(Removed::Removed(version)))
    }

    /// Descends along `key` and latches the frames from which a branch or an entry goes; `None`
    /// when one of them has changed, or the key has no record.
    fn observe_and_latch(&self, key: Key<'_>) -> Result<Option<LatchedPath<'_>>, Error> {
        let Some(path) = self.descend_path(key)? else { return Ok(None) };
        if path.last().is_none_or(|step| step.site.end != End::Found) {
            return Ok(None);
        }
        let top = path.iter().rposition(|step| step.site.fork.is_some()).unwrap_or(0);
        let mut frames: Vec<Latched<'_>> = Vec::with_capacity(path.len() - top);
        for step in &path[top..] {
            // A frame may hold subtrees that hang below one another.
            if frames.iter().any(|frame| frame.number() == step.frame) {
                continue;
            }
            match self.latch_step(step) {
                Some(frame) => frames.push(frame),
                None => return Ok(None),
            }
        }
        Ok(Some((path, frames)))
    }

    /// Removes a record as after too many lost races.
    #[cfg(test)]
    pub(super) fn remove_under_latches(
        &self,
        _pass: &Pass<'_>,
        key: &[u8],
        sequence: &mut Option<impl FnOnce(Option<Version>) -> Version>,
    ) -> Result<Option<Removed>, Error> {
        self.remove_entry(Key::new(key), Condition::Always, sequence, true)
    }

    /// Frees all entries and blobs of the tree, and every frame in which nothing else is: after
    /// an operation on a prefix a frame may also hold what is in the trash.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`] when a pin needs such a frame and there is no room for a copy;
    /// nothing has changed. [`Error::Damaged`]; what was found is freed.
    pub(crate) fn free(&self, _closed: &Closed<'_>) -> Result<(), Error> {
        let mut owned: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        let mut pending = vec![Target { frame: self.root, entry: 0 }];
        let mut result = Ok(());
        while let Some(Target { frame: number, entry }) = pending.pop() {
            let entry = usize::from(entry);
            if !owned.entry(number).or_default().insert(entry) {
                continue;
            }
            let Some(frame) = self.pool.latch_fetched(number)? else {
                result = Err(Error::MissingFrame { frame: number });
                continue;
            };
            let sound = check(frame.view(), number).is_ok();
            if sound && frame.view().entry(entry).occupied {
                pending.extend(entry_targets(frame.view(), entry));
            } else {
                result = Err(Error::Damaged { frame: number });
            }
        }
        let others = |frame: &Latched<'_>| {
            entries(frame.view()).any(|(index, _)| !owned[&frame.number()].contains(&index))
        };
        for &number in owned.keys() {
            if let Some(mut frame) = self.pool.latch_fetched(number)?.filter(others) {
                frame.writable()?;
            }
        }
        for (&number, own) in &owned {
            let Some(mut frame) = self.pool.latch_fetched(number)? else { continue };
            let mut blobs = Vec::new();
            if !others(&frame) {
                blobs.extend(check(frame.view(), number).into_iter().flat_map(|found| found.blobs));
                frame.free();
            } else if check(frame.view(), number).is_ok() {
                frame.writable()?;
                for &entry in own {
                    let Entry { root, occupied, .. } = frame.view().entry(entry);
                    if !occupied {
                        continue;
                    }
                    let mut edit = frame.edit(entry);
                    if !root.is_null() {
                        give_subtree(&mut edit, root, &mut |blob| blobs.push((blob, 0)));
                    }
                    edit.set_ref(Loc::entry(entry), Ref::NULL);
                    edit.vacate();
                }
            }
            blobs.into_iter().for_each(|(blob, _)| self.pool.free_blob(blob));
        }
        result
    }
}
