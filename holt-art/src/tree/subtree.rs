//! Subtrees, added to a batch in one loop: small nodes below one another, with what hangs at them.
//!
//! Names of real files part every few bytes: there is an inner node for every second record, with a prefix of five bytes, and
//! three to five of them below one another. Here a node costs two words kept, its name spelled out behind that of the node
//! above it, and no look at anything that only the walk needs: the far end of the range, groups, latches.
//!
//! Nodes may have records of their own and hang behind crossings, which are followed as the walk follows them (P5.1). What
//! is not ordinary (long leaves, the end of a frame, names of 1 KiB, a frame that is absent) ends the loop; it
//! leaves behind which nodes and frames it is in, and the walk takes them over and goes on there.
//!
//! Garbage keeps nobody busy: a node that is gone down to has a child, so each of them leads to an entry or to the end, and
//! entries are counted.

use super::batch::Batch;
use super::leaves::{Over, Ran, Run};
use super::sheet::{LONGEST, NEED, Name, Sheet};
use crate::frame::fours::Fours;
use crate::frame::node::Node;
use crate::frame::steps::Steps;
use crate::frame::{Kind, Ref, View};
use crate::pool::latch::Observed;

/// Most nodes below one another, that of the run included. A power of two.
const DEPTH: usize = 16;

/// A node that the loop is in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bough {
    /// The children that are still to come.
    pub(super) children: Fours,
    pub(super) node: Ref,
    /// Length of its name.
    pub(super) name: u16,
    /// Backward, whether its own record is still to come; forward it means nothing.
    pub(super) value: bool,
}

/// A frame that the loop has gone over to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossed {
    pub(super) number: u32,
    pub(super) seen: Observed,
    /// Which of the nodes is the first one in it.
    pub(super) first: usize,
}

/// Where the loop has ended, and the memory for it.
#[derive(Debug, Default)]
pub(super) struct Boughs {
    all: [Bough; DEPTH],
    count: usize,
    /// The name of the last one.
    name: Name,
    /// The child of the last one that has not been added; none if only its own record is to come.
    pub(super) next: Option<u8>,
    /// The frames that the loop is in, without that in which it began.
    pub(super) crossed: Vec<Crossed>,
}

impl Boughs {
    /// The nodes that the loop is in, from that of the run on.
    pub(super) fn all(&self) -> &[Bough] {
        &self.all[..self.count.min(DEPTH)]
    }

    /// The name of the last one.
    pub(super) fn name(&self) -> &[u8] {
        self.name.first(self.all().last().map_or(0, |bough| usize::from(bough.name)))
    }
}

impl Batch {
    /// Adds what hangs at the children of the node `base` from `child` on, which `steps` has come to; see the module's
    /// documentation. What has come over a crossing is certain, and what came before it from the crossing's frame.
    #[inline(never)]
    pub(super) fn subtree<'v, const BACK: bool>(
        &mut self,
        run: &Run<'_, 'v>,
        boughs: &mut Boughs,
        base: Ref,
        steps: &mut Steps<'v, BACK>,
        (byte, item): (u8, Ref),
    ) -> Ran {
        let Boughs { all, count, name, next, crossed } = boughs;
        crossed.clear();
        if !name.set(run.path.bytes()) {
            return Ran::Other(byte, item);
        }
        let node = Node::read(run.view, base);
        let mut children = Fours::new::<BACK>(&node, steps.place_before(byte));
        let mut climb = Climb {
            run,
            all,
            path: name,
            crossed,
            view: run.view,
            over: run.over,
            node: base,
            name: run.path.len(),
            value: false,
            up: 0,
            first: 0,
            certain: None,
            ran: Ran::Done,
        };
        loop {
            if self.count >= run.names || self.end >= run.bytes {
                return Ran::Full;
            }
            self.reserve(NEED, 1, run.names);
            // The last entry may begin where the batch is not yet full.
            let room = self.bytes.len().min(run.bytes - 1 + NEED);
            let until = run.names.min(self.items.len());
            let mut sheet = Sheet {
                bytes: &mut self.bytes[self.end..room],
                at: self.end,
                items: &mut self.items[self.count..until],
                mask: if run.keys_only { 0 } else { 0xFF },
            };
            let ended = climb.copy::<BACK>(&mut children, &mut sheet);
            self.end = sheet.at;
            self.count = until - sheet.items.len();
            if let Some(left) = climb.certain.take() {
                self.certain = until - left;
            }
            if ended {
                break;
            }
        }
        if climb.ran == Ran::Changed {
            return Ran::Changed;
        }
        if self.count >= run.names || self.end >= run.bytes {
            return Ran::Full;
        }
        let other = if let Ran::Other(byte, _) = climb.ran { Some(byte) } else { None };
        if climb.up != 0 {
            let (node, value) = (climb.node, climb.value);
            climb.all[climb.up & (DEPTH - 1)] =
                Bough { children, node, name: climb.name as u16, value };
            (*count, *next) = (climb.up + 1, other);
            return Ran::Below;
        }
        if let Some(byte) = other {
            *steps = Steps::new(run.view, node, children.place::<BACK>(&node, byte, false));
        }
        climb.ran
    }
}

/// Where the loop is. All in it is in registers, as its methods are parts of one function; only what is lent is not.
struct Climb<'r, 'v> {
    run: &'r Run<'r, 'v>,
    /// The nodes above the current one.
    all: &'r mut [Bough; DEPTH],
    /// The name of the current node.
    path: &'r mut Name,
    crossed: &'r mut Vec<Crossed>,
    /// The current frame, and how crossings out of it are followed.
    view: View<'v>,
    over: Option<Over<'v>>,
    /// The current node, the length of its name, and whether, backward, its own record is to come.
    node: Ref,
    name: usize,
    value: bool,
    /// How many nodes are above it.
    up: usize,
    /// Which node is the first one of the current frame.
    first: usize,
    /// How many items were left when all that had been added became certain.
    certain: Option<usize>,
    /// Why the loop has ended.
    ran: Ran,
}

impl<'v> Climb<'_, 'v> {
    /// Adds entries; true when the loop has ended, false when there has to be room for more first.
    #[inline(always)]
    fn copy<const BACK: bool>(&mut self, kept: &mut Fours, sheet: &mut Sheet<'_>) -> bool {
        let mut children = *kept;
        let ended = loop {
            if !sheet.has_room() {
                break false;
            }
            if children.is_over() {
                children = self.up::<BACK>(children, sheet);
                if children.is_over() {
                    break true;
                }
                continue;
            }
            let (byte, item) = children.step();
            let next = if item.kind() == Kind::Leaf {
                let leaf = (self.view, item);
                self.leaf(byte, leaf, sheet).map(|()| children)
            } else if item.kind() == Kind::Crossing {
                self.across::<BACK>(children, byte, item, sheet)
            } else {
                self.down::<BACK>(children, byte, (self.view, item), sheet)
            };
            match next {
                Some(next) => children = next,
                None => {
                    if self.ran != Ran::Changed {
                        self.ran = Ran::Other(byte, item);
                    }
                    break true;
                }
            }
        };
        *kept = children;
        ended
    }

    /// Adds a leaf of the short kind.
    #[inline(always)]
    fn leaf(&self, byte: u8, leaf: (View<'_>, Ref), sheet: &mut Sheet<'_>) -> Option<()> {
        let name = self.name & (LONGEST - 1);
        sheet.add(self.path, name, Some(byte), leaf)
    }

    /// Adds the own record of a node whose name has `length` bytes.
    #[inline(always)]
    fn own(&self, length: usize, leaf: (View<'_>, Ref), sheet: &mut Sheet<'_>) -> Option<()> {
        if leaf.1.kind() != Kind::Leaf {
            return None;
        }
        sheet.add(self.path, length, None, leaf)
    }

    /// Goes down to a node, behind `byte`, and says with which children the loop goes on; none, and nothing is added, if
    /// it is out of the ordinary.
    #[inline(always)]
    fn down<const BACK: bool>(
        &mut self,
        children: Fours,
        byte: u8,
        (view, item): (View<'v>, Ref),
        sheet: &mut Sheet<'_>,
    ) -> Option<Fours> {
        // Looked up in bits: a jump to one of many places is seldom foreseen.
        const INNER: u32 = 1 << Kind::N4 as u32 | 1 << Kind::N16 as u32 | 1 << Kind::Bitmap as u32;
        if INNER >> (item.kind() as u32) & 1 == 0 {
            return None;
        }
        // Children of large nodes are leaves, most likely; the loop for those is quicker.
        let bitmap = item.kind() == Kind::Bitmap;
        if bitmap && self.up == 0 {
            return None;
        }
        let below = Node::read_as(view, item, item.kind());
        let name = self.name & (LONGEST - 1);
        let longer = name + 1 + below.prefix_len();
        if longer >= LONGEST || self.up >= DEPTH - 1 {
            return None;
        }
        self.path.go_on(name, byte, &below)?;
        let own = below.value();
        let mut added = 0;
        if item.kind() == Kind::N16 && own.is_null() {
            added = sheet.add_all::<BACK>(self.path, longer, below);
            if added != 0 && added == below.small_count() {
                return Some(children);
            }
        }
        let all = match item.kind() {
            Kind::Bitmap => Fours::of_bitmap::<BACK>(&below),
            _ if added != 0 => Fours::behind::<BACK>(&below, added),
            _ => Fours::of_small::<BACK>(&below),
        };
        // Every node is to lead to an entry, or to the end.
        if all.is_over() {
            return None;
        }
        if !BACK && !own.is_null() {
            self.own(longer, (view, own), sheet)?;
        }
        let bough = &mut self.all[self.up & (DEPTH - 1)];
        (bough.children, bough.node, bough.name) = (children, self.node, name as u16);
        if BACK {
            bough.value = self.value;
            self.value = !own.is_null();
        }
        (self.node, self.name) = (item, longer);
        self.up += 1;
        Some(all)
    }

    /// Follows a crossing, as [`down`](Self::down) goes down.
    #[inline(always)]
    fn across<const BACK: bool>(
        &mut self,
        children: Fours,
        byte: u8,
        item: Ref,
        sheet: &mut Sheet<'_>,
    ) -> Option<Fours> {
        let behind = self.over?.cross(self.view, item)?;
        // What has been added came from the crossing's frame, or was certain before.
        self.certain = Some(sheet.items.len());
        let root = (behind.view, behind.root);
        let (up, children) = (
            self.up,
            if root.1.kind() == Kind::Leaf {
                self.leaf(byte, root, sheet)?;
                children
            } else {
                self.down::<BACK>(children, byte, root, sheet)?
            },
        );
        if self.up == up {
            // All that is there has been added.
            return self.certain(behind.over, sheet).then_some(children);
        }
        let (number, seen) = (behind.number, behind.over.parent.1);
        self.crossed.push(Crossed { number, seen, first: self.up });
        (self.view, self.over, self.first) = (behind.view, Some(behind.over), self.up);
        Some(children)
    }

    /// Whether what came from a frame is certain. If not, the loop has ended.
    #[inline(always)]
    fn certain(&mut self, over: Over<'_>, sheet: &Sheet<'_>) -> bool {
        if !over.holds() {
            self.ran = Ran::Changed;
            return false;
        }
        self.certain = Some(sheet.items.len());
        true
    }

    /// Goes on behind the four children that have come: in the same node, or in one further up. None
    /// are left when the loop has ended.
    #[inline(always)]
    fn up<const BACK: bool>(&mut self, mut children: Fours, sheet: &mut Sheet<'_>) -> Fours {
        loop {
            let node = Node::read(self.view, self.node);
            if children.refill::<BACK>(&node) {
                return children;
            }
            if BACK && self.value {
                if self.own(self.name & (LONGEST - 1), (self.view, node.value()), sheet).is_none() {
                    self.ran = Ran::Below;
                    return Fours::default();
                }
                self.value = false;
            }
            if self.up == self.first && !self.leave(sheet) {
                return Fours::default();
            }
            self.up -= 1;
            let bough = &self.all[self.up & (DEPTH - 1)];
            (children, self.node, self.name) = (bough.children, bough.node, bough.name.into());
            if BACK {
                self.value = bough.value;
            }
            if !children.is_over() {
                return children;
            }
        }
    }

    /// Leaves a frame; not that in which the loop has begun, and not if it has changed.
    #[inline(always)]
    fn leave(&mut self, sheet: &Sheet<'_>) -> bool {
        let (Some(_), Some(over)) = (self.crossed.pop(), self.over) else {
            self.ran = Ran::Done;
            return false;
        };
        if !self.certain(over, sheet) {
            return false;
        }
        (self.view, self.over, self.first) = (self.run.view, self.run.over, 0);
        if let Some(&Crossed { number, seen, first }) = self.crossed.last() {
            let Some(latch) = over.pool.latch(number) else {
                self.ran = Ran::Changed;
                return false;
            };
            self.view = View::new(over.pool.slot_words(seen.slot()));
            self.over = Some(Over { pool: over.pool, parent: (latch, seen) });
            self.first = first;
        }
        true
    }
}
