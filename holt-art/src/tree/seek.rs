//! The beginning of a walk: down to a bound, as a get goes down to a key.
//!
//! The path followed is the bound itself, so it is compared in place and nothing is spelled
//! out on the way.

use std::cmp::Ordering;

use super::walker::{Level, Stop, Walker};
use crate::frame::key::Key;
use crate::frame::leaf::{Leaf, common};
use crate::frame::node::Node;
use crate::frame::steps::Place;
use crate::frame::{Kind, Ref, View};

impl Walker<'_, '_> {
    /// Seeks the first name at or behind `bound`, in the scan's direction, and leaves the
    /// stack so that the walk goes on from there.
    pub(super) fn seek(
        &mut self,
        mut item: Ref,
        bound: &[u8],
        inclusive: bool,
    ) -> Result<(), Stop> {
        let reverse = self.scan.reverse;
        let key = Key::new(bound);
        // As long as the path is no longer than what the two ends share, it is on the edge.
        let shared = self.far.map(|far| far.iter().zip(bound).take_while(|(a, b)| a == b).count());
        let edge = |length: usize| shared.is_some_and(|shared| length <= shared);
        self.path.set(bound, 0);
        let mut from = 0;
        loop {
            while item.kind() == Kind::Crossing {
                item = self.cross(item)?;
            }
            self.path.resize(from);
            if item.is_leaf() {
                let leaf = self.leaf(item)?;
                let wanted = match order(self.view, &leaf, key, from) {
                    Ordering::Equal => inclusive,
                    Ordering::Greater => !reverse,
                    Ordering::Less => reverse,
                };
                if wanted {
                    self.emit(item, edge(from), 0)?;
                }
                return self.leave();
            }
            if !item.is_inner() {
                return Err(self.garbage());
            }
            let node = Node::read(self.view, item);
            let prefix = node.prefix_len();
            let same = common(self.view, node.prefix_at(), prefix, key, from);
            if same < prefix {
                // All that hangs here is on one side of the bound.
                let other = self.view.word(node.prefix_at() + same / 8) >> (8 * (same % 8));
                let greater = key.byte(from + same).is_none_or(|byte| other as u8 > byte);
                if greater != reverse {
                    return self.visit(item, edge(from), 0);
                }
                return self.leave();
            }
            from += prefix;
            let value = !node.value().is_null();
            let Some(byte) = key.byte(from) else {
                // The node is the bound itself: its record is in the range if the bound is,
                // and its children are greater: all wanted forward, none backward.
                self.path.resize(from);
                if !reverse {
                    let edge = edge(from);
                    let place = Place::FIRST;
                    let (value, fresh, name, clear) = (false, true, from, 0);
                    self.levels.push(Level { node: item, place, value, edge, fresh, name, clear });
                }
                if inclusive && value {
                    self.emit(node.value(), edge(from), 0)?;
                }
                return self.leave();
            };
            let (rank, found) = node.search(byte);
            let behind = !reverse && found;
            let place = Place {
                rank: (rank + usize::from(behind)) as u16,
                byte: u16::from(byte) + u16::from(!reverse),
            };
            let value = reverse && value;
            let (edge, fresh, name, clear) = (edge(from), false, from, 0);
            self.levels.push(Level { node: item, place, value, edge, fresh, name, clear });
            if !found {
                return Ok(());
            }
            item = self.view.reference(node.child_loc(rank));
            from += 1;
        }
    }
}

/// How the leaf's key, whose first `from` bytes are those of `key`, compares with it.
fn order(view: View<'_>, leaf: &Leaf, key: Key<'_>, from: usize) -> Ordering {
    let same = common(view, leaf.data, leaf.suffix, key, from);
    match (same == leaf.suffix, key.byte(from + same)) {
        (true, None) => Ordering::Equal,
        (true, Some(_)) => Ordering::Less,
        (false, None) => Ordering::Greater,
        (false, Some(byte)) => {
            let own = view.word(leaf.data + same / 8) >> (8 * (same % 8));
            (own as u8).cmp(&byte)
        }
    }
}
