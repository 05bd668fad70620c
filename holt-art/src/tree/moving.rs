//! Moving a subtree: hanging what is below one name below another one.
//!
//! What a subtree consists of hangs by references inside frames and by crossings between
//! them, and says nowhere what its name is but in its root. There are three ways:
//!
//! * A small subtree is written again in the frame where the new name ends, so that it is
//!   found there without a crossing.
//! * A larger one stays where it is. In the frame where the new name ends it is hung by its
//!   root. In any other it becomes an entry of its frame, if it is not one already, and a
//!   crossing leads there. No node of it is touched but its root.
//! * Where neither goes, because of a full table of entries or a name of thousands of bytes, it
//!   is written again in a frame of its own.
//!
//! What hangs further down, behind crossings, is never touched. The cost follows the depth
//! of the two names, and is that of copying a frame at most.

use super::Tree;
use super::beyond::Beyond;
use super::put::Rooms;
use super::under::{Path, Step};
use crate::error::Error;
use crate::frame::edit::Edit;
use crate::frame::graft::{give_subtree, graft, growth};
use crate::frame::key::Key;
use crate::frame::node::MAX_PREFIX;
use crate::frame::put::{Link, MAX_REST, Rest, RestEnd, put, rest_length};
use crate::frame::under::{Content, Reach, content, share};
use crate::frame::walk::Site;
use crate::frame::{ENTRIES, Entry, Extent, FRAME_WORDS, Loc, MIN_ENTRIES, Ref, Target, View};
use crate::pool::Latched;
use crate::sync::yield_now;

/// A subtree of at most this many words, or of one record, is written into the frame where
/// its new name ends.
const SMALL: usize = FRAME_WORDS / 32;
/// Words that a new frame has for a subtree.
const CAPACITY: usize = FRAME_WORDS - ENTRIES - MIN_ENTRIES;
/// Room for the nodes above a subtree that is hung into a frame.
const LINK_WORDS: usize = 160;
/// Attempts at writing a small subtree into a crowded frame before it stays where it is.
const CROWDED: u32 = 8;
/// Places that a table of entries gets when there is none left in it.
const MORE_ENTRIES: usize = 16;
/// Entries of a frame beyond which no subtree becomes one for a move.
const MOST_ENTRIES: usize = 1024;

/// What of a subtree stays in its frame when it is taken off its old place, because it
/// hangs at the new one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stays {
    /// Nothing: it has been written again, or is not wanted any more.
    Nothing,
    /// Its nodes, which this entry counts too.
    Nodes { home: Target, extent: Extent },
    /// The entry that holds it and nothing else.
    Entry,
}

/// A subtree where it hangs now.
struct Source<'v> {
    /// The last step of the path to it.
    at: Step,
    /// Whether its entry is that of its tree, which stays even when it is empty.
    of_tree: bool,
    view: View<'v>,
    /// Bytes of the root's own prefix or suffix that belong to the old name.
    skip: usize,
    /// What it consists of, as far as a small one.
    content: Content,
}

impl Source<'_> {
    fn root(&self) -> Ref {
        self.at.spot.at
    }

    fn level(&self) -> u16 {
        self.view.nature().level
    }

    /// Whether its entry holds nothing else.
    fn is_entry(&self) -> bool {
        !self.of_tree && self.at.spot.loc == Loc::entry(self.at.entry)
    }
}

/// Where a subtree is to hang.
struct Place<'a, 'p> {
    frame: &'a Latched<'p>,
    entry: usize,
    site: &'a Site,
    to: Key<'a>,
    /// The part of the new name that ends up below the site.
    before: &'a [u8],
}

impl Place<'_, '_> {
    /// Hangs what `end` says; false when there is no room. What is `adopted` the place's entry
    /// counts from now on.
    fn put(&self, end: RestEnd<'_>, adopted: Extent) -> bool {
        let mut edit = self.frame.edit(self.entry);
        let rest = Rest { key: self.to, end };
        let done = put(&mut edit, self.site, &rest, || 0).is_ok();
        if done {
            edit.adopt(adopted);
        }
        edit.finish();
        done
    }

    fn target(&self) -> Target {
        Target { frame: self.frame.number(), entry: self.entry as u16 }
    }
}

/// What an attempt at hanging a subtree came to.
enum Hung {
    Done(Stays),
    /// The frame where the new name ends needs room.
    NoRoom,
    /// A reader holds a latch, or a table has been enlarged.
    Again,
}

/// A subtree in a frame of its own, not linked yet.
struct Apart<'p> {
    frame: Latched<'p>,
    chain: Option<Beyond<'p>>,
}

impl Apart<'_> {
    fn target(&self) -> Target {
        match &self.chain {
            Some(chain) => chain.target(),
            None => Target { frame: self.frame.number(), entry: 0 },
        }
    }

    fn discard(self) {
        if let Some(chain) = self.chain {
            chain.discard();
        }
        self.frame.discard();
    }
}

impl Tree {
    /// Hangs what is below `from` in `source` below `to` in this tree, where nothing is. Until
    /// the original has been [taken off](Tree::take_off_now) both places lead to the same
    /// entries or nodes, so both belong under one move.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`]: frames may have been split, but no key has changed.
    pub(super) fn hang(&self, to: Key<'_>, source: &Tree, from: Key<'_>) -> Result<Stays, Error> {
        let mut rooms = Rooms::default();
        loop {
            let Some(path) = source.path_under(from)? else { continue };
            let Some(step) = self.descend::<false>(to)? else { continue };
            let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else {
                yield_now();
                continue;
            };
            frame.writable()?;
            let source = source.source(&path, from, &frame)?;
            let rest = rest_length(frame.view(), &step.site, to);
            let before = to.rest(to.len() - rest);
            let (entry, site) = (step.entry, &step.site);
            let place = Place { frame: &frame, entry, site, to, before };
            let words = source.content.words + growth(before.len());
            let crowded = rooms.attempts() >= CROWDED || before.len() > MAX_REST;
            let copied = !source.content.more && !crowded;
            let hung =
                if copied { hang_in(&place, &source, words) } else { self.link(&place, &source)? };
            match hung {
                Hung::Done(stays) => return Ok(stays),
                Hung::Again => yield_now(),
                Hung::NoRoom => {
                    drop(frame);
                    rooms.make(self, to, LINK_WORDS + if copied { words } else { 0 })?;
                }
            }
        }
    }

    /// Takes the subtree of `prefix` off but for what stays, waiting for latches that readers
    /// hold. To be called inside a move, where nobody else changes frames.
    pub(super) fn take_off_now(
        &self,
        prefix: Key<'_>,
        stays: Stays,
        mut blob: impl FnMut(u32),
    ) -> Result<(), Error> {
        loop {
            if let Some(path) = self.path_under(prefix)?
                && self.take_off(&path, prefix.len(), stays, &mut blob)?
            {
                return Ok(());
            }
            yield_now();
        }
    }

    fn source<'v>(
        &'v self,
        path: &Path,
        from: Key<'_>,
        latched: &Latched<'v>,
    ) -> Result<Source<'v>, Error> {
        let at = *path.last().expect("a path is not empty");
        debug_assert_eq!(at.spot.reach, Reach::Under);
        // The frame that was latched may have moved to another slot, with the same content.
        let here = at.frame == latched.number();
        let view = if here { latched.view() } else { self.pool.view(at.seen) };
        let content = small(view, at.spot.at).ok_or(Error::Damaged { frame: at.frame })?;
        let of_tree = at.frame == self.root && at.entry == 0;
        Ok(Source { at, of_tree, view, skip: from.len() - at.spot.from, content })
    }

    /// Hangs the subtree without writing it again, where that goes.
    fn link(&self, place: &Place<'_, '_>, source: &Source<'_>) -> Result<Hung, Error> {
        let Step { frame, entry, seen, .. } = source.at;
        let root = source.root();
        // The root of a subtree that stays is an inner node: a record alone is small.
        if !root.is_inner() || place.before.len() > MAX_REST {
            return self.hang_apart(place, source);
        }
        if frame == place.frame.number() {
            let extent = if entry == place.entry {
                Extent::default()
            } else {
                share(source.view, source.view.entry(entry), root)
            };
            let hung = place.put(RestEnd::Link(Link::Subtree(root)), extent);
            let home = place.target();
            return Ok(if hung { Hung::Done(Stays::Nodes { home, extent }) } else { Hung::NoRoom });
        }
        if source.is_entry() {
            let target = Target { frame, entry: entry as u16 };
            return Ok(hang_entry(place, source, target, Stays::Entry));
        }
        let table = source.view.counters().entries;
        let free = (0..table).find(|&index| !source.view.entry(index).occupied);
        if free.is_none() && !has_room_for_entries(source.view) {
            return self.hang_apart(place, source);
        }
        let Some(mut held) = self.pool.latch_at(frame, seen) else { return Ok(Hung::Again) };
        let Some(index) = free else {
            self.write_anew(held, table + MORE_ENTRIES)?;
            return Ok(Hung::Again);
        };
        held.writable()?;
        let extent = share(held.view(), held.view().entry(entry), root);
        let home = Target { frame, entry: index as u16 };
        let hung = hang_entry(place, source, home, Stays::Nodes { home, extent });
        if let Hung::Done(_) = hung {
            Edit::set_entry(held.words(), index, Entry::new(root, extent));
        }
        Ok(hung)
    }

    /// Hangs a copy of the subtree in a new frame.
    fn hang_apart(&self, place: &Place<'_, '_>, source: &Source<'_>) -> Result<Hung, Error> {
        let apart = self.write_apart(source, place.before)?;
        if !place.put(RestEnd::Entry(apart.target()), Extent::default()) {
            apart.discard();
            return Ok(Hung::NoRoom);
        }
        raise_level(place.frame, source.level() + 1);
        Ok(Hung::Done(Stays::Nothing))
    }

    /// Writes the subtree into a new frame, with `before` in front of it; what of that is too
    /// long for the frame goes into a chain of frames above.
    fn write_apart(&self, source: &Source<'_>, before: &[u8]) -> Result<Apart<'_>, Error> {
        let damaged = Error::Damaged { frame: source.at.frame };
        let words = content(source.view, source.root(), FRAME_WORDS).ok_or(damaged)?.words;
        let here = if words + growth(before.len()) <= CAPACITY && before.len() <= MAX_PREFIX {
            before.len()
        } else {
            0
        };
        let (chain, stem) = before.split_at(before.len() - here);
        let frame = self.pool.new_frame(source.level())?;
        Edit::set_entry(frame.words(), 0, Entry { occupied: true, ..Entry::default() });
        let mut edit = frame.edit(0);
        let root = graft(source.view, source.root(), source.skip, stem, &mut edit)
            .expect("a part of a frame fits a frame");
        edit.set_ref(Loc::entry(0), root);
        edit.finish();
        if chain.is_empty() {
            return Ok(Apart { frame, chain: None });
        }
        let target = Target { frame: frame.number(), entry: 0 };
        match Beyond::with_entry(&self.pool, chain, target) {
            Ok(chain) => Ok(Apart { frame, chain: Some(chain) }),
            Err(error) => {
                frame.discard();
                Err(error)
            }
        }
    }
}

/// What the subtree `root` consists of, as far as it is a small one; `None` when that is garbage.
pub(super) fn small(view: View<'_>, root: Ref) -> Option<Content> {
    content(view, root, if root.is_leaf() { FRAME_WORDS } else { SMALL })
}

/// Whether a frame can be written anew with a longer table of entries.
fn has_room_for_entries(view: View<'_>) -> bool {
    let counters = view.counters();
    counters.entries < MOST_ENTRIES && counters.live + MORE_ENTRIES <= FRAME_WORDS
}

/// Hangs an entry of another frame.
fn hang_entry(place: &Place<'_, '_>, source: &Source<'_>, target: Target, stays: Stays) -> Hung {
    if !place.put(RestEnd::Link(Link::Entry(target)), Extent::default()) {
        return Hung::NoRoom;
    }
    raise_level(place.frame, source.level() + 1);
    Hung::Done(stays)
}

/// Hangs a copy of the subtree, of so many words, in the frame of the place.
fn hang_in(place: &Place<'_, '_>, source: &Source<'_>, words: usize) -> Hung {
    let mut edit = place.frame.edit(place.entry);
    if edit.bump_room() < words {
        return Hung::NoRoom;
    }
    let root = graft(source.view, source.root(), source.skip, place.before, &mut edit)
        .expect("the room was counted");
    let rest = Rest { key: place.to, end: RestEnd::Subtree(root) };
    let done = put(&mut edit, place.site, &rest, || 0);
    if done.is_err() {
        give_subtree(&mut edit, root, &mut |_| {});
    }
    edit.finish();
    if done.is_err() {
        return Hung::NoRoom;
    }
    if !source.content.crossings.is_empty() {
        raise_level(place.frame, source.level());
    }
    Hung::Done(Stays::Nothing)
}

/// A frame above frames of `level - 1` is of that level at least.
fn raise_level(frame: &Latched<'_>, level: u16) {
    let mut nature = frame.view().nature();
    if nature.level < level {
        nature.level = level;
        Edit::set_nature(frame.words(), nature);
    }
}
