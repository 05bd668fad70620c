//! Counting records without visiting them.

use std::convert::Infallible;
use std::ops::ControlFlow;

use super::Tree;
use super::scan::Scan;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::node::Node;
use crate::frame::under::Reach;
use crate::frame::{FRAME_WORDS, Ref, Target, View};
use crate::pool::latch::NO_SLOT;

/// Attempts at a count in one go.
const ATTEMPTS: usize = 16;

/// What a subtree holds inside its frame.
pub(super) struct Tally {
    pub(super) keys: u64,
    pub(super) crossings: Vec<Target>,
}

/// Counts the records of the subtree `root` and collects its crossings, without reading a
/// leaf; `None` when the frame is garbage.
pub(super) fn tally(view: View<'_>, root: Ref) -> Option<Tally> {
    let mut tally = Tally { keys: 0, crossings: Vec::new() };
    let mut pending = vec![root];
    let mut nodes = 0;
    while let Some(item) = pending.pop() {
        if item.is_leaf() {
            tally.keys += 1;
        } else if item.is_inner() {
            nodes += 1;
            if nodes > FRAME_WORDS {
                return None;
            }
            let node = Node::read(view, item);
            tally.keys += u64::from(!node.value().is_null());
            for rank in 0..node.count() {
                let child = view.reference(node.child_loc(rank));
                if child.is_leaf() {
                    tally.keys += 1;
                } else {
                    pending.push(child);
                }
            }
        } else if item.kind() == crate::frame::Kind::Crossing {
            tally.crossings.push(view.crossing(item.at()));
        } else {
            return None;
        }
    }
    Some(tally)
}

impl Tree {
    /// Number of records whose keys begin with `prefix`. Nodes are visited, records are not.
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
        let ControlFlow::Continue(()) = self.cursor(all).visit(|_| {
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

    /// `None` when a frame changed while it was looked through.
    fn count_once(&self, prefix: Key<'_>) -> Result<Option<u64>, Error> {
        let Some(path) = self.path_under(prefix)? else { return Ok(None) };
        let last = path.last().expect("a path is not empty");
        if last.spot.reach != Reach::Under {
            return Ok(Some(0));
        }
        let mut count = 0;
        let mut pending = vec![(last.frame, last.seen, Some(last.spot.at), 0)];
        while let Some((frame, seen, root, entry)) = pending.pop() {
            let latch = self.pool.latch(frame).ok_or(Error::MissingFrame { frame })?;
            // What is not in memory is looked at and not kept.
            let copy;
            let view = if seen.slot() == NO_SLOT {
                let Some(words) = self.pool.glimpse(frame, seen)? else { return Ok(None) };
                copy = words;
                View::new(&copy)
            } else {
                self.pool.view(seen)
            };
            let root = root.unwrap_or_else(|| view.entry(entry).root);
            let found = tally(view, root);
            let mut below = Vec::new();
            for target in found.iter().flat_map(|found| &found.crossings) {
                let Some(child) = self.pool.latch(target.frame) else { continue };
                let mut seen = child.observe();
                while seen.slot() == NO_SLOT {
                    match self.pool.miss(target.frame, Some(seen)) {
                        Ok(()) => seen = child.observe(),
                        Err(_) => break,
                    }
                }
                below.push((*target, seen));
            }
            // P5.1: the words of the frames below were read before this validation.
            if !latch.validate(seen) {
                return Ok(None);
            }
            let found = found.ok_or(Error::Damaged { frame })?;
            if below.len() != found.crossings.len() {
                return Err(Error::Damaged { frame });
            }
            count += found.keys;
            for (target, seen) in below {
                pending.push((target.frame, seen, None, usize::from(target.entry)));
            }
        }
        Ok(Some(count))
    }
}
