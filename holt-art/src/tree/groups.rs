//! Runs of groups: the children of a node of which each is a group of its own, added to a batch in one loop.
//!
//! Directories beside each other hang at one node, each behind a crossing where it is large, and the prefix of the
//! child's node says where its name ends: nothing else of a directory is read for its name. What is not so (a record, a delimiter
//! further down, a long prefix, a group that comes before those to be shown) ends the run, and is left to the walk.

use super::batch::Batch;
use super::entry::Item;
use super::leaves::{Across, BEHIND, Front, PIECE, Ran, Run, copy_piece};
use super::spelled::find_byte;
use crate::MAX_KEY;
use crate::frame::node::Node;
use crate::frame::steps::Steps;
use crate::frame::{Kind, Ref, View};

impl Batch {
    /// Adds the group of `child`, and of one child after the other behind it, as long as each is one; none of them
    /// unless its name is greater than `after`. What has come over a crossing is certain, and all that came from the crossing's
    /// frame before it.
    ///
    /// A function of its own, as that for leaves is.
    #[inline(never)]
    pub(super) fn groups<const BACK: bool>(
        &mut self,
        run: &Run<'_, '_>,
        after: Option<&[u8]>,
        steps: &mut Steps<'_, BACK>,
        child: (u8, Ref),
    ) -> Ran {
        let front = Front::new(run.path);
        let (mut byte, mut item) = child;
        let (delimiter, from) = run.delimiter;
        let begun = || find_byte(run.path.spelled(), from, front.length, delimiter).is_some();
        if front.length > MAX_KEY - BEHIND || begun() {
            // The name may become too long, or the node itself is in a group, as one that the list began in may be.
            return Ran::Other(byte, item);
        }
        let need = front.length + BEHIND;
        loop {
            self.reserve(need, 1, run.names);
            let to = &mut self.bytes[self.end..self.end + need];
            front.copy(to);
            to[front.length] = byte;
            let Some((length, crossed)) = group(run, item, front.length + 1, to) else {
                return Ran::Other(byte, item);
            };
            if after.is_some_and(|after| &to[..length] <= after) {
                return Ran::Other(byte, item);
            }
            let (start, end) = (self.end as u32, (self.end + length) as u32);
            self.items[self.count] = Item { start, name_end: end, end, group: true, version: 0 };
            self.end += length;
            self.count += 1;
            if crossed {
                self.certain = self.count;
            }
            if self.count >= run.names || self.end >= run.bytes {
                return Ran::Full;
            }
            let Some(next) = steps.step() else { return Ran::Done };
            (byte, item) = next;
        }
    }
}

/// How long the name of the group is that all keys behind the child `item` belong to, if it ends with the first `length` bytes of
/// `name`, which lead there, or in the prefix of the child's node, which is spelled out behind them; and
/// whether the node is in another frame.
#[inline(always)]
fn group(run: &Run<'_, '_>, item: Ref, length: usize, name: &mut [u8]) -> Option<(usize, bool)> {
    let (delimiter, from) = run.delimiter;
    if from < length && name[length - 1] == delimiter {
        return Some((length, false));
    }
    if item.kind() != Kind::Crossing {
        return spell(run.view, item, length, name, run.delimiter).map(|length| (length, false));
    }
    let Across { over, view, root, .. } = run.cross(item)?;
    let length = spell(view, root, length, name, run.delimiter)?;
    over.holds().then_some((length, true))
}

/// Spells out the prefix of the node `item` behind the first `length` bytes of `name` and returns where the
/// delimiter ends in it.
#[inline(always)]
fn spell(
    view: View<'_>,
    item: Ref,
    length: usize,
    name: &mut [u8],
    (delimiter, from): (u8, usize),
) -> Option<usize> {
    if !item.is_inner() {
        return None;
    }
    let node = Node::read(view, item);
    let prefix = node.prefix_len();
    if prefix == 0 || prefix > PIECE {
        return None;
    }
    let words = view.run(node.prefix_at(), PIECE / 8)?.first_chunk()?;
    copy_piece(words, name[length..].first_chunk_mut()?);
    find_byte(name, from.max(length), length + prefix, delimiter).map(|at| at + 1)
}
