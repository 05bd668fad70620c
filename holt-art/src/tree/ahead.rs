//! Which frames and large values a walk comes to next, so that they are read ahead.

use super::walker::Walker;
use crate::frame::leaf::Leaf;
use crate::frame::node::Node;
use crate::frame::steps::{Place, Steps};
use crate::frame::{Kind, Ref};

/// Nodes that are looked through for crossings.
const NODES: usize = 512;

impl Walker<'_, '_> {
    /// Tells the source which frames the walk, which has met the absent frame `number`, will want: that
    /// one, and those behind it. The frame that leads to them is looked at as it is, which is a guess.
    #[cold]
    pub(super) fn announce(&self, number: u32) {
        let most = self.limits.ahead;
        if most == 0 {
            return;
        }
        let mut frames = vec![number];
        if self.scan.reverse {
            self.follow::<true>(most, &mut frames);
        } else {
            self.follow::<false>(most, &mut frames);
        }
        self.pool.will_need(&frames);
    }

    /// Tells the source which large values the walk will want from its place on, as far as they hang in
    /// this frame.
    pub(super) fn announce_values(&self) {
        let most = self.limits.values;
        if most == 0 {
            return;
        }
        let mut blobs = Vec::with_capacity(most);
        if self.scan.reverse {
            self.follow_values::<true>(most, &mut blobs);
        } else {
            self.follow_values::<false>(most, &mut blobs);
        }
        self.pool.will_need_blobs(&blobs);
    }

    /// Collects up to `most` blobs of the leaves behind the walk's place.
    fn follow_values<const BACK: bool>(&self, most: usize, blobs: &mut Vec<u32>) {
        self.behind::<BACK>(|child| {
            if child.is_leaf() {
                let leaf = Leaf::read(self.view, child);
                if leaf.blob {
                    blobs.push(leaf.blob_number(self.view));
                }
            }
            blobs.len() < most
        });
    }

    /// Collects up to `most` frames that the crossings behind the walk's place lead to.
    fn follow<const BACK: bool>(&self, most: usize, frames: &mut Vec<u32>) {
        self.behind::<BACK>(|child| {
            if child.kind() == Kind::Crossing {
                let frame = self.view.crossing(child.at()).frame;
                if !frames.contains(&frame) {
                    frames.push(frame);
                }
            }
            frames.len() <= most
        });
    }

    /// Shows what hangs in this frame behind the walk's place, in the order of the walk and but for inner
    /// nodes, until `see` has enough or a bounded number of nodes has been looked at.
    fn behind<const BACK: bool>(&self, mut see: impl FnMut(Ref) -> bool) {
        let mut stack: Vec<(Ref, Place)> =
            self.own_levels().iter().map(|level| (level.node, level.place)).collect();
        for _ in 0..NODES {
            let Some((item, place)) = stack.pop() else { return };
            let mut steps = Steps::<BACK>::new(self.view, Node::read(self.view, item), place);
            while let Some((byte, child)) = steps.step() {
                if child.is_inner() {
                    stack.push((item, steps.place(byte)));
                    let node = Node::read(self.view, child);
                    stack.push((child, if BACK { Place::last(&node) } else { Place::FIRST }));
                    break;
                }
                if !see(child) {
                    return;
                }
            }
        }
    }
}
