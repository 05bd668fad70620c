//! Operations on all keys that begin with a prefix: renaming, removing, and giving the
//! room of what was removed back.

use super::Tree;
use super::moving::{Stays, small};
use super::outcome::{Existing, Renamed, Version};
use super::run::leads_on;
use super::under::{Path, Step};
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::edit::Edit;
use crate::frame::key::Key;
use crate::frame::under::{Content, Reach, content};
use crate::frame::{FRAME_WORDS, Loc, Nature, Ref};
use crate::pool::Moving;
use crate::pool::clock::Holding;
use crate::pool::gate::Pass;

/// Frames and slots that a move may take: for each level of the paths it touches, what
/// making room there takes, and a copy for an open cut.
const PER_LEVEL: usize = 8;
/// Those that it may take besides: for the subtree and a chain above it.
const BESIDES: usize = 16;

impl Tree {
    /// Gives every key that begins with `from` a name that begins with `to` instead; what
    /// follows stays, and so do values and versions. Whatever their number, the cost is that
    /// of two descents and at most two copies of a frame.
    ///
    /// Prefixes are byte strings: `a/b` is also a prefix of `a/bc`, and `a/b/` of neither
    /// `a/b` nor `a/bc`. The `trash` tree is in the same pool; what is replaced goes there,
    /// to be [reclaimed](Tree::reclaim).
    ///
    /// `sequence` is called once, after everything that can fail, unless nothing changes.
    /// Gets and lists beside it find the old names or the new ones.
    ///
    /// # Errors
    ///
    /// * [`Error::EmptyPrefix`] when one of the prefixes is empty.
    /// * [`Error::KeyTooLong`] when a prefix, or a key that would result, is too long.
    /// * [`Error::PrefixMissing`] when no key begins with `from`.
    /// * [`Error::PrefixInside`] when `to` begins with `from` and goes on.
    /// * [`Error::PrefixOccupied`] when another key begins with `to`, unless `existing` says
    ///   that those are to be replaced.
    /// * [`Error::PoolFull`].
    ///
    /// No key has changed when one is returned.
    ///
    /// # Examples
    ///
    /// See [`Art::rename_prefix`](crate::Art::rename_prefix).
    pub fn rename_prefix(
        &self,
        _moving: &Moving<'_>,
        from: &[u8],
        to: &[u8],
        existing: Existing,
        trash: &Tree,
        sequence: impl FnOnce() -> Version,
    ) -> Result<Renamed, Error> {
        if from.is_empty() || to.is_empty() {
            return Err(Error::EmptyPrefix);
        }
        for prefix in [from, to] {
            if prefix.len() > MAX_KEY {
                return Err(Error::KeyTooLong { length: prefix.len() });
            }
        }
        let (old, new) = (Key::new(from), Key::new(to));
        let holding = Holding::new(&self.pool);
        let Some(source) = self.find_under(old, &holding)? else {
            return Err(Error::PrefixMissing);
        };
        if from == to {
            return Ok(Renamed::Unchanged);
        }
        if to.starts_with(from) {
            return Err(Error::PrefixInside);
        }
        let last = source.last().expect("a path is not empty");
        let found = small(self.pool.view(last.seen), last.spot.at)
            .ok_or(Error::Damaged { frame: last.frame })?;
        let longest = self.longest_after(last, &found, from.len(), to.len())?;
        // Sparse frames matter where the records are, and there are few frames above those.
        let alone = found.is_alone();
        let within = from.starts_with(to);
        let target = self.find_under(new, &holding)?;
        let occupied = if within { forks_below(&source, to.len()) } else { target.is_some() };
        if occupied && existing == Existing::Refuse {
            return Err(Error::PrefixOccupied);
        }
        // One shift alone that can only fail before it has changed anything needs no more room than it
        // finds. All others can be undone with room alone.
        if occupied || within || self.pool.may_refuse_changes() {
            let levels = source.len() + target.map_or(0, |path| path.len());
            self.require(levels, from.len().max(to.len()))?;
        }
        self.allow_length(longest)?;

        if occupied || within {
            self.shift_by_way_of(trash, old, new, occupied, &holding)?;
        } else {
            self.shift(old, self, new)?;
        }
        let version = sequence();
        if alone {
            self.merge_below(old);
            self.merge_below(new);
        }
        Ok(Renamed::Renamed(version))
    }

    /// Removes every key that begins with `prefix`, all of them for the empty one. Whatever
    /// their number, the cost is that of a descent and at most one copy of a frame: what is in
    /// one frame is freed at once, and else they go into the `trash` tree of the same pool, to
    /// be [reclaimed](Tree::reclaim).
    ///
    /// `sequence` is called once, after everything that can fail, unless there is no such
    /// key; then `None` is returned.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`] when the prefix is; [`Error::PoolFull`]. No key has changed then.
    ///
    /// # Examples
    ///
    /// See [`Art::remove_prefix`](crate::Art::remove_prefix).
    pub fn remove_prefix(
        &self,
        _moving: &Moving<'_>,
        prefix: &[u8],
        trash: &Tree,
        sequence: impl FnOnce() -> Version,
    ) -> Result<Option<Version>, Error> {
        if prefix.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: prefix.len() });
        }
        let old = Key::new(prefix);
        let holding = Holding::new(&self.pool);
        let Some(path) = self.find_under(old, &holding)? else { return Ok(None) };
        let last = path.last().expect("a path is not empty");
        // So that a full pool can be emptied.
        let reserve = self.pool.use_reserve();
        // Otherwise only a place in the trash takes room, and where that is missing nothing has changed.
        if self.pool.may_refuse_changes() {
            self.require(path.len(), prefix.len())?;
        }
        if !leads_on(self.pool.view(last.seen), last.spot.at) {
            let mut blobs = Vec::new();
            self.take_off_now(old, Stays::Nothing, |number| blobs.push(number))?;
            blobs.into_iter().for_each(|number| self.pool.free_blob(number));
        } else {
            let gone = trash.unused_name(&holding)?;
            self.shift(old, trash, Key::new(&gone))?;
        }
        drop(reserve);
        let version = sequence();
        self.merge_below(old);
        Ok(Some(version))
    }

    /// Frees a part of what is in this tree, a trash tree: up to `parts` subtrees of at most
    /// a frame each. Returns whether something is left.
    ///
    /// This is an ordinary mutation of the pool, which may run beside others, but at one
    /// place at a time for one trash tree. No key of any other tree changes.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`] when an open cut or snapshot needs a frame and there is no room
    /// for a copy; what was freed before stays free.
    pub fn reclaim(&self, _pass: &Pass<'_>, parts: usize) -> Result<bool, Error> {
        let _reserve = self.pool.use_reserve();
        let mut blobs = Vec::new();
        for _ in 0..parts {
            let Some(path) = self.path_first()? else { continue };
            let last = path.last().expect("a path is not empty");
            if last.spot.reach != Reach::Under || last.spot.at.is_null() {
                return Ok(false);
            }
            let length = last.spot.from;
            let taken = self.take_off(&path, length, Stays::Nothing, |number| blobs.push(number));
            blobs.drain(..).for_each(|number| self.pool.free_blob(number));
            taken?;
        }
        Ok(!self.is_empty())
    }

    /// Whether no key begins with `prefix`; every key begins with the empty one. The cost
    /// follows the depth.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn is_prefix_empty(&self, prefix: &[u8]) -> Result<bool, Error> {
        if prefix.len() > MAX_KEY {
            return Ok(true);
        }
        let prefix = Key::new(prefix);
        loop {
            let seen = self.pool.moves.begin();
            let path = self.path_under(prefix);
            // A move in between may have hung what was read below another name.
            if !self.pool.moves.unchanged(seen) {
                continue;
            }
            let path = match path {
                Err(error) => {
                    self.pool.resolve(error)?;
                    continue;
                }
                Ok(path) => path,
            };
            if let Some(path) = path {
                return Ok(path.last().is_none_or(|step| step.spot.reach != Reach::Under));
            }
        }
    }

    /// Hangs what is below `from` below `to` in another tree (or this one) instead, or leaves
    /// it where it is.
    fn shift(&self, from: Key<'_>, other: &Tree, to: Key<'_>) -> Result<(), Error> {
        let stays = other.hang(to, self, from)?;
        if let Err(error) = self.take_off_now(from, stays, |_| {}) {
            // The frames of the new place have been made writable in this epoch, so this
            // needs no room.
            other.take_off_now(to, stays, |_| {})?;
            return Err(error);
        }
        Ok(())
    }

    /// Hangs what is below `old` below `new`, where a part of the old place or keys to be
    /// replaced are still in the way: it waits in the trash tree until they are gone.
    fn shift_by_way_of(
        &self,
        trash: &Tree,
        old: Key<'_>,
        new: Key<'_>,
        occupied: bool,
        holding: &Holding<'_>,
    ) -> Result<(), Error> {
        let (aside, gone) = (trash.unused_name(holding)?, trash.unused_name(holding)?);
        let (aside, gone) = (Key::new(&aside), Key::new(&gone));
        self.shift(old, trash, aside)?;
        if occupied && let Err(error) = self.shift(new, trash, gone) {
            trash.shift(aside, self, old)?;
            return Err(error);
        }
        if let Err(error) = trash.shift(aside, self, new) {
            if occupied {
                trash.shift(gone, self, new)?;
            }
            trash.shift(aside, self, old)?;
            return Err(error);
        }
        Ok(())
    }

    /// The path to what is below `prefix`, if there is anything. For moves, beside which
    /// nobody changes a frame: only a latch that a reader holds can be in the way. The frames of
    /// the path are held, so that a move which has changed something meets no absent ones: what
    /// it changes stays in memory anyway.
    fn find_under(&self, prefix: Key<'_>, holding: &Holding<'_>) -> Result<Option<Path>, Error> {
        loop {
            if let Some(path) = self.path_under(prefix)?
                && path.iter().all(|step| holding.hold(step.frame, step.seen))
            {
                let found = path.last().is_some_and(|step| step.spot.reach == Reach::Under);
                return Ok(found.then_some(path));
            }
        }
    }

    /// A name below which there is nothing in this trash tree.
    fn unused_name(&self, holding: &Holding<'_>) -> Result<[u8; 8], Error> {
        loop {
            let name = self.pool.next_name().to_be_bytes();
            if self.find_under(Key::new(&name), holding)?.is_none() {
                return Ok(name);
            }
        }
    }

    /// Makes sure that a move over so many levels finds the frames and slots that it takes.
    fn require(&self, levels: usize, longest: usize) -> Result<(), Error> {
        let chains = longest / crate::frame::put::MAX_REST * 2;
        self.pool.require(levels * PER_LEVEL + BESIDES + chains)
    }

    /// A bound on the length of keys that holds before and after what a path ended in, with
    /// the content `found` in its last frame, gets a prefix of `new` bytes instead of `old`.
    fn longest_after(
        &self,
        last: &Step,
        found: &Content,
        old: usize,
        new: usize,
    ) -> Result<usize, Error> {
        let bound = usize::from(self.longest());
        if new <= old {
            return Ok(bound);
        }
        let grown = |length: usize| match length - old + new {
            length if length > MAX_KEY => Err(Error::KeyTooLong { length }),
            length => Ok(length),
        };
        if found.is_alone() {
            return Ok(bound.max(grown(last.spot.from + found.longest)?));
        }
        if let Ok(length) = grown(bound) {
            return Ok(bound.max(length));
        }
        // The bound is that of all keys, and each move to a longer name has raised it: look at
        // the keys, all of them, so that it is a long time until the next look.
        let length = grown(self.longest_below(last.frame, last.spot.at, last.spot.from)?)?;
        let root = Loc::entry(0);
        let latch = self.pool.latch(self.root).ok_or(Error::MissingFrame { frame: self.root })?;
        let all =
            self.longest_below(self.root, self.pool.view(latch.observe()).reference(root), 0)?;
        let bound = length.max(all);
        self.change_longest(|_| bound)?;
        Ok(bound)
    }

    /// Length of the longest key below `root` in `frame`, to which `depth` bytes lead. Cost
    /// by keys.
    fn longest_below(&self, frame: u32, root: Ref, depth: usize) -> Result<usize, Error> {
        let mut longest = 0;
        let mut pending = vec![(frame, At::Root(root), depth)];
        while let Some((frame, root, depth)) = pending.pop() {
            // Nobody changes frames meanwhile, but they may leave memory and come back.
            let found = self.pool.with_frame(frame, |view| {
                let root = match root {
                    At::Root(root) => root,
                    At::Entry(entry) => view.entry(entry).root,
                };
                content(view, root, FRAME_WORDS)
            })?;
            let found = found.ok_or(Error::Damaged { frame })?;
            if found.keys > 0 {
                longest = longest.max(depth + found.longest);
            }
            for (target, further) in found.crossings {
                pending.push((target.frame, At::Entry(usize::from(target.entry)), depth + further));
            }
        }
        Ok(longest)
    }

    /// No key of the tree is longer, in bytes.
    fn longest(&self) -> u16 {
        let latch = self.pool.latch(self.root).expect("a tree's root is in the table");
        loop {
            let seen = latch.observe();
            let longest = self.pool.view(seen).longest();
            if latch.validate(seen) {
                return longest;
            }
        }
    }

    /// Raises the bound on the length of keys.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`] when an open cut or snapshot needs the root frame and there is no
    /// room for a copy.
    #[inline]
    pub(super) fn allow_length(&self, length: usize) -> Result<(), Error> {
        let missing = Error::MissingFrame { frame: self.root };
        let Some(latch) = self.pool.latch(self.root) else { return Err(missing) };
        let seen = latch.observe();
        let enough = usize::from(self.pool.view(seen).longest()) >= length;
        if enough && latch.validate(seen) { Ok(()) } else { self.raise_longest(length) }
    }

    #[cold]
    fn raise_longest(&self, length: usize) -> Result<(), Error> {
        self.change_longest(|longest| longest.max(length))
    }

    fn change_longest(&self, change: impl FnOnce(usize) -> usize) -> Result<(), Error> {
        let missing = Error::MissingFrame { frame: self.root };
        let mut root = self.pool.latch_now(self.root).ok_or(missing)?;
        let nature = root.view().nature();
        let longest = change(usize::from(nature.longest));
        let longest = u16::try_from(longest).expect("no key is longer than MAX_KEY");
        if longest != nature.longest {
            root.writable()?;
            Edit::set_nature(root.words(), Nature { longest, ..nature });
        }
        Ok(())
    }
}

/// A subtree of a frame.
enum At {
    Root(Ref),
    /// The one of this entry.
    Entry(usize),
}

/// Whether something hangs beside the path's end, below its first `length` bytes.
fn forks_below(path: &Path, length: usize) -> bool {
    path.iter().any(|step| step.spot.fork.is_some() && step.spot.fork_depth >= length)
}
