//! Moving a subtree: hanging what is below one name below another one.
//!
//! The subtree's root, and what else of it is in the same frame, is written again: into
//! the frame where the new name ends, when it is small, or into a frame of its own. What
//! hangs further down, behind crossings, is not touched. The cost follows the depth of the
//! two names, plus one copy of at most a frame.

use super::Tree;
use super::beyond::Beyond;
use super::put::MAX_ROOMS;
use super::under::Path;
use crate::error::Error;
use crate::frame::edit::Edit;
use crate::frame::graft::{give_subtree, graft, growth};
use crate::frame::key::Key;
use crate::frame::node::MAX_PREFIX;
use crate::frame::put::{MAX_REST, Rest, RestEnd, put, rest_length};
use crate::frame::under::{Content, Reach, content};
use crate::frame::walk::Site;
use crate::frame::{ENTRIES, Entry, FRAME_WORDS, Loc, MIN_ENTRIES, Ref, Target, View};
use crate::pool::Latched;
use crate::sync::yield_now;

/// A subtree of at most this many words is written into the frame where its new name ends.
const SMALL: usize = FRAME_WORDS / 8;
/// Words that a new frame has for a subtree.
const CAPACITY: usize = FRAME_WORDS - ENTRIES - MIN_ENTRIES;
/// Room for the nodes above a subtree that is hung into a frame.
const LINK_WORDS: usize = 160;
/// Attempts at writing a small subtree into a crowded frame before it gets its own.
const CROWDED: u32 = 8;

/// A subtree where it hangs now.
struct Source<'v> {
    view: View<'v>,
    root: Ref,
    /// Bytes of the root's own prefix or suffix that belong to the old name.
    skip: usize,
    level: u16,
    content: Content,
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
    /// Hangs what is below `from` in `source` below `to` in this tree, where nothing is,
    /// as a copy as far as it is in one frame. Until the original has been [taken
    /// off](Tree::take_off_now) the crossings of both lead to the same entries, so both
    /// belong under one move.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`]: frames may have been split, but no key has changed.
    pub(super) fn hang(&self, to: Key<'_>, source: &Tree, from: Key<'_>) -> Result<(), Error> {
        for attempt in 0..MAX_ROOMS {
            let Some(path) = source.path_under(from)? else { continue };
            let Some(step) = self.descend::<false>(to)? else { continue };
            let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else {
                yield_now();
                continue;
            };
            frame.writable()?;
            let source = self.source(&path, from, &frame)?;
            let rest = rest_length(frame.view(), &step.site, to);
            let before = to.rest(to.len() - rest);
            let words = source.content.words + growth(before.len());
            let small = words <= SMALL && before.len() <= MAX_REST && attempt < CROWDED;
            let hung = if small {
                hang_in(&frame, step.entry, &step.site, &source, to, before, words)
            } else {
                self.hang_apart(&frame, step.entry, &step.site, &source, to, before)?
            };
            if hung {
                let level = source.level + u16::from(!small);
                if !small || !source.content.crossings.is_empty() {
                    raise_level(&frame, level);
                }
                return Ok(());
            }
            drop(frame);
            self.make_room_of(to, LINK_WORDS + if small { words } else { 0 })?;
        }
        Err(Error::NoProgress { attempts: MAX_ROOMS })
    }

    /// Takes the subtree of `prefix` off, waiting for latches that readers hold. To be called
    /// inside a move, where nobody else changes frames.
    pub(super) fn take_off_now(
        &self,
        prefix: Key<'_>,
        mut blob: impl FnMut(u32),
    ) -> Result<(), Error> {
        loop {
            if let Some(path) = self.path_under(prefix)?
                && self.take_off(&path, &mut blob)?
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
        let last = path.last().expect("a path is not empty");
        debug_assert_eq!(last.spot.reach, Reach::Under);
        // The frame that was latched may have moved to another slot, with the same content.
        let here = last.frame == latched.number();
        let view = if here { latched.view() } else { self.pool.view(last.seen) };
        let damaged = Error::Damaged { frame: last.frame };
        Ok(Source {
            view,
            root: last.spot.at,
            skip: from.len() - last.spot.from,
            level: view.nature().level,
            content: content(view, last.spot.at).ok_or(damaged)?,
        })
    }

    /// Hangs the subtree in a new frame; false when there is no room for the crossing.
    fn hang_apart(
        &self,
        frame: &Latched<'_>,
        entry: usize,
        site: &Site,
        source: &Source<'_>,
        to: Key<'_>,
        before: &[u8],
    ) -> Result<bool, Error> {
        let apart = self.write_apart(source, before)?;
        let rest = Rest { key: to, end: RestEnd::Entry(apart.target()) };
        let mut edit = frame.edit(entry);
        let done = put(&mut edit, site, &rest, || 0);
        edit.finish();
        if done.is_err() {
            apart.discard();
            return Ok(false);
        }
        Ok(true)
    }

    /// Writes the subtree into a new frame, with `before` in front of it; what of that is too
    /// long for the frame goes into a chain of frames above.
    fn write_apart(&self, source: &Source<'_>, before: &[u8]) -> Result<Apart<'_>, Error> {
        let words = source.content.words;
        let here = if words + growth(before.len()) <= CAPACITY && before.len() <= MAX_PREFIX {
            before.len()
        } else {
            0
        };
        let (chain, stem) = before.split_at(before.len() - here);
        let frame = self.pool.new_frame(source.level)?;
        Edit::set_entry(frame.words(), 0, Entry { occupied: true, ..Entry::default() });
        let mut edit = frame.edit(0);
        let root = graft(source.view, source.root, source.skip, stem, &mut edit)
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

/// Hangs the subtree in the latched frame; false when there is no room.
fn hang_in(
    frame: &Latched<'_>,
    entry: usize,
    site: &Site,
    source: &Source<'_>,
    to: Key<'_>,
    before: &[u8],
    words: usize,
) -> bool {
    let mut edit = frame.edit(entry);
    if edit.bump_room() < words {
        return false;
    }
    let root = graft(source.view, source.root, source.skip, before, &mut edit)
        .expect("the room was counted");
    let rest = Rest { key: to, end: RestEnd::Subtree(root) };
    let done = put(&mut edit, site, &rest, || 0);
    if done.is_err() {
        give_subtree(&mut edit, root, &mut |_| {});
    }
    edit.finish();
    done.is_ok()
}

/// A frame above frames of `level - 1` is of that level at least.
fn raise_level(frame: &Latched<'_>, level: u16) {
    let mut nature = frame.view().nature();
    if nature.level < level {
        nature.level = level;
        Edit::set_nature(frame.words(), nature);
    }
}
