//! Counting records by what the entries of frames say about themselves.
//!
//! Each entry counts its own records and crossings ([`Entry`](crate::frame::Entry)), so of a
//! frame that lies below the prefix as a whole only the table is read, and of an upper frame
//! the nodes above its crossings. No leaf is looked at, but for those beside the end of the
//! prefix in its own frame. Entries of one frame are read together, so a frame that is not in
//! memory is read from the source once for each frame that leads to it.
//!
//! Where a frame has changed since it was found, only what hangs on it is counted again: the
//! frame above is asked for it as long as that is as it was.

use std::convert::Infallible;
use std::ops::ControlFlow;

use super::Tree;
use super::scan::Scan;
use super::under::MAX_STILL;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::node::Node;
use crate::frame::under::Reach;
use crate::frame::{FRAME_WORDS, Kind, Loc, Ref, Target, View};
use crate::pool::latch::{NO_SLOT, Observed};

/// Attempts at a count from the beginning.
const ATTEMPTS: usize = 16;
/// Frames that may have changed under one of them.
const LOSSES: usize = 1024;

/// What a part of the tree holds inside a frame, and where it goes on.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) keys: u64,
    /// The crossings, those to one frame together.
    pub(super) crossings: Vec<Target>,
}

impl Tally {
    /// Counts where a descent has ended that came in at `entry` and stopped at `root`, which is
    /// stored at `loc`; `None` when the frame is garbage.
    pub(super) fn of_end(view: View<'_>, entry: usize, loc: Loc, root: Ref) -> Option<Self> {
        if loc == Loc::entry(entry) {
            return Self::of_entries(view, [entry as u16]);
        }
        let mut tally = Self::default();
        tally.walk(view, root, true, usize::MAX)?;
        Some(tally.sorted())
    }

    /// Reads the counters of these entries; `None` when the frame is garbage.
    pub(super) fn of_entries(
        view: View<'_>,
        entries: impl IntoIterator<Item = u16>,
    ) -> Option<Self> {
        let mut tally = Self::default();
        for entry in entries {
            let entry = view.entry(usize::from(entry));
            tally.keys += entry.keys as u64;
            if entry.crossings > 0 {
                let wanted = tally.crossings.len() + entry.crossings;
                tally.walk(view, entry.root, false, wanted)?;
            }
        }
        Some(tally.sorted())
    }

    fn sorted(mut self) -> Self {
        self.crossings.sort_unstable_by_key(|target| (target.frame, target.entry));
        self
    }

    /// Collects crossings below `root` until there are as many as wanted, and counts the records
    /// if it is to.
    fn walk(&mut self, view: View<'_>, root: Ref, keys: bool, wanted: usize) -> Option<()> {
        let mut pending = vec![root];
        let mut nodes = 0;
        while let Some(item) = pending.pop() {
            if item.is_leaf() {
                self.keys += u64::from(keys);
            } else if item.is_inner() {
                nodes += 1;
                if nodes > FRAME_WORDS {
                    return None;
                }
                let node = Node::read(view, item);
                self.keys += u64::from(keys && !node.value().is_null());
                for rank in 0..node.count() {
                    let child = view.reference(node.child_loc(rank));
                    if child.is_leaf() {
                        self.keys += u64::from(keys);
                    } else {
                        pending.push(child);
                    }
                }
            } else if item.kind() == Kind::Crossing {
                self.crossings.push(view.crossing(item.at()));
                if self.crossings.len() == wanted {
                    break;
                }
            } else {
                return None;
            }
        }
        Some(())
    }
}

/// A frame on the way down, with what is below it so far.
struct Level {
    frame: u32,
    seen: Observed,
    keys: u64,
    /// Where it goes on, by frames, and from which on that has not been counted yet.
    below: Vec<Target>,
    at: usize,
    /// Where the entries of the frame that is being counted end.
    end: usize,
}

impl Level {
    fn new(frame: u32, seen: Observed, tally: Tally) -> Self {
        Self { frame, seen, keys: tally.keys, below: tally.crossings, at: 0, end: 0 }
    }

    /// Sets `end`, and returns the frame whose turn it is.
    fn turn(&mut self) -> Option<u32> {
        let rest = &self.below[self.at..];
        let frame = rest.first()?.frame;
        self.end = self.at + rest.partition_point(|target| target.frame == frame);
        Some(frame)
    }

    /// Counts what that frame has.
    fn add(&mut self, keys: u64) {
        self.keys += keys;
        self.at = self.end;
    }
}

impl Tree {
    /// Number of records whose keys begin with `prefix`. The cost is by frames, not by records:
    /// frames keep count of what they hold.
    ///
    /// Beside writers the number is that of no one moment: a record that is written or
    /// removed meanwhile may be counted or not.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Art;
    /// let map = Art::new()?;
    /// map.put(b"a/1", b"")?;
    /// map.put(b"a/2", b"")?;
    /// map.put(b"b/1", b"")?;
    /// assert_eq!(map.tree().count(b"a/")?, 2);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn count(&self, prefix: &[u8]) -> Result<u64, Error> {
        if prefix.len() > MAX_KEY {
            return Ok(0);
        }
        let key = Key::new(prefix);
        for _ in 0..ATTEMPTS {
            let seen = self.pool.moves.begin();
            let counted = self.count_once(key);
            if self.pool.moves.unchanged(seen) {
                match counted {
                    Ok(Some(count)) => return Ok(count),
                    Ok(None) => {}
                    Err(error) => self.pool.resolve(error)?,
                }
            }
        }
        // Writers, or frames that come and go, are too many for a count in one go; a list goes on from where it was.
        let mut count = 0;
        let all = Scan::prefix(prefix).keys_only(true);
        let ControlFlow::Continue(()) = self.visit(all, |_| {
            count += 1;
            ControlFlow::<Infallible>::Continue(())
        })?;
        Ok(count)
    }

    /// Number of records. As [`Tree::count`] for the empty prefix, and zero for a damaged
    /// tree.
    pub fn len(&self) -> u64 {
        self.count(b"").unwrap_or(0)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.is_prefix_empty(b"").unwrap_or(false)
    }

    /// `None` when too many frames changed while they were looked at.
    fn count_once(&self, prefix: Key<'_>) -> Result<Option<u64>, Error> {
        let Some(path) = self.path_under(prefix)? else { return Ok(None) };
        let last = path.last().expect("a path is not empty");
        let spot = &last.spot;
        if spot.reach != Reach::Under {
            return Ok(Some(0));
        }
        let look = |view: View<'_>| Tally::of_end(view, last.entry, spot.loc, spot.at);
        let top = self.tally(last.frame, last.seen, look)?;
        let Some(top) = top else { return Ok(None) };
        let mut levels = vec![Level::new(last.frame, last.seen, top)];
        let mut losses = 0;
        while let Some(level) = levels.last_mut() {
            let Some(frame) = level.turn() else {
                let keys = level.keys;
                levels.pop();
                match levels.last_mut() {
                    Some(above) => above.add(keys),
                    None => return Ok(Some(keys)),
                }
                continue;
            };
            let (above, seen_above) = (level.frame, level.seen);
            let seen = self.in_reach(frame);
            // P5.1: the word of the frame below was read before this validation.
            if !self.pool.latch(above).is_some_and(|latch| latch.validate(seen_above)) {
                // What it said has to be asked for again, by the frame above it.
                levels.pop();
                losses += 1;
                if levels.is_empty() || losses > LOSSES {
                    return Ok(None);
                }
                continue;
            }
            let seen = seen?;
            let entries = level.below[level.at..level.end].iter().map(|target| target.entry);
            match self.tally(frame, seen, |view| Tally::of_entries(view, entries))? {
                None => {
                    losses += 1;
                    if losses > LOSSES {
                        return Ok(None);
                    }
                }
                Some(tally) if tally.crossings.is_empty() => level.add(tally.keys),
                Some(tally) => {
                    levels.push(Level::new(frame, seen, tally));
                    if levels.len() > MAX_KEY + MAX_STILL {
                        return Err(Error::Damaged { frame });
                    }
                }
            }
        }
        Ok(None)
    }

    /// The word of a frame, which is put back in reach if it is about to leave memory.
    fn in_reach(&self, frame: u32) -> Result<Observed, Error> {
        let latch = self.pool.latch(frame).ok_or(Error::MissingFrame { frame })?;
        loop {
            let seen = latch.observe();
            if seen.slot() != NO_SLOT {
                return Ok(seen);
            }
            match self.pool.miss(frame, Some(seen)) {
                Ok(()) => {}
                Err(Error::Absent { .. }) => return Ok(seen),
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at a frame as it was when its word was `seen`; `None` when it has changed since.
    fn tally(
        &self,
        frame: u32,
        seen: Observed,
        look: impl FnOnce(View<'_>) -> Option<Tally>,
    ) -> Result<Option<Tally>, Error> {
        let latch = self.pool.latch(frame).ok_or(Error::MissingFrame { frame })?;
        // What is not in memory is looked at and not kept.
        let found = if seen.slot() == NO_SLOT {
            let Some(words) = self.pool.glimpse(frame, seen)? else { return Ok(None) };
            look(View::new(&words))
        } else {
            look(self.pool.view(seen))
        };
        if !latch.validate(seen) {
            return Ok(None);
        }
        found.ok_or(Error::Damaged { frame }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::frame::Entry;
    use crate::frame::copy::entries;
    use crate::frame::edit::Edit;
    use crate::{Art, PoolOptions};

    fn map_of(keys: u32) -> Art {
        let map = Art::with_options(PoolOptions::with_bytes(64 << 20, 1 << 20)).unwrap();
        for n in 0..keys {
            map.put(format!("d{:02}/{n:06}", n % 100).as_bytes(), &[7; 40]).unwrap();
        }
        map
    }

    /// Counters that lie would show a count that reads them, and do.
    #[test]
    fn a_count_believes_the_entries_below_the_prefix() {
        let map = map_of(20_000);
        let tree = map.tree();
        let pool = tree.pool();
        let mut lies = 0;
        for number in 0..u32::try_from(pool.stats().frames).unwrap() * 2 {
            let Some(frame) = pool.latch_now(number) else { continue };
            let leaves: Vec<(usize, Entry)> =
                entries(frame.view()).filter(|(_, entry)| entry.crossings == 0).collect();
            for (index, entry) in leaves {
                Edit::set_entry(frame.words(), index, Entry { keys: entry.keys + 1, ..entry });
                lies += 1;
            }
        }
        assert!((20..5_000).contains(&lies), "{lies} entries of leaves");
        assert_eq!(tree.count(b"").unwrap(), 20_000 + lies);
        let snapshot = pool.snapshot(&pool.close_gate());
        assert_eq!(snapshot.tree(tree.root()).unwrap().count(b"").unwrap(), 20_000 + lies);
    }

    #[test]
    fn every_prefix_of_a_key_is_counted_as_the_keys_are() {
        let map = map_of(20_000);
        let tree = map.tree();
        for (prefix, count) in [
            (&b""[..], 20_000),
            (b"d", 20_000),
            (b"d0", 2_000),
            (b"d07", 200),
            (b"d07/", 200),
            (b"d07/01", 100),
            (b"d07/010007", 1),
            (b"d07/010007x", 0),
            (b"e", 0),
        ] {
            assert_eq!(tree.count(prefix).unwrap(), count, "{}", prefix.escape_ascii());
        }
    }
}
