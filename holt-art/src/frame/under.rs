//! The descent inside one frame towards all keys that begin with a prefix.

use super::build::item_words;
use super::key::Key;
use super::leaf::{Leaf, equal};
use super::node::Node;
use super::walk::Fork;
use super::{Entry, Extent, FRAME_WORDS, Kind, Loc, Ref, Target, View};

/// Where a descent towards a prefix ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    /// Where the reference `at` is stored.
    pub(crate) loc: Loc,
    /// The last thing reached.
    pub(crate) at: Ref,
    /// How many bytes of the prefix lead to `at`, its own prefix or suffix excluded.
    pub(crate) from: usize,
    /// The deepest inner node passed that has something beside the branch taken.
    pub(crate) fork: Option<Fork>,
    /// How many bytes lead to that node, its own prefix included.
    pub(crate) fork_depth: usize,
    /// What was reached.
    pub(crate) reach: Reach,
}

/// What a descent towards a prefix reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// A subtree that holds exactly the keys that begin with the prefix.
    Under,
    /// Nothing: no key begins with the prefix.
    Nothing,
    /// A crossing: the descent goes on in another frame.
    Crossing(Target),
    /// Something that no writer can have stored: the frame changed meanwhile.
    Garbage,
}

/// Walks from the reference at `loc` along `prefix`, of which `from` bytes are used up.
pub(crate) fn walk_under(view: View<'_>, loc: Loc, prefix: Key<'_>, from: usize) -> Spot {
    let mut spot = Spot {
        loc,
        at: view.reference(loc),
        from,
        fork: None,
        fork_depth: 0,
        reach: Reach::Garbage,
    };
    loop {
        let rest = prefix.len() - spot.from;
        spot.reach = match spot.at.kind() {
            Kind::Null => Reach::Nothing,
            Kind::Unknown => Reach::Garbage,
            Kind::Crossing => Reach::Crossing(view.crossing(spot.at.at())),
            Kind::Leaf | Kind::LongLeaf => {
                let leaf = Leaf::read(view, spot.at);
                let begins = rest <= leaf.suffix && equal(view, leaf.data, rest, prefix, spot.from);
                if begins { Reach::Under } else { Reach::Nothing }
            }
            Kind::N4 | Kind::N16 | Kind::Bitmap => {
                let node = Node::read(view, spot.at);
                let own = node.prefix_len();
                if !equal(view, node.prefix_at(), own.min(rest), prefix, spot.from) {
                    Reach::Nothing
                } else if rest <= own {
                    Reach::Under
                } else {
                    let end = spot.from + own;
                    let byte = prefix.byte(end).expect("the prefix goes on");
                    if let Some(child) = node.find(byte) {
                        note_fork(&mut spot, &node, Some(byte), end);
                        spot.loc = child;
                        spot.at = view.reference(child);
                        spot.from = end + 1;
                        // A child that is null is garbage, like one of no kind.
                        if !spot.at.is_null() {
                            continue;
                        }
                        Reach::Garbage
                    } else {
                        Reach::Nothing
                    }
                }
            }
        };
        return spot;
    }
}

/// Walks from the reference at `loc` along first branches, to the leaf with the smallest
/// key or to the crossing that leads to it. No key is involved, so `from` and the depth of
/// the fork stay zero.
pub(crate) fn walk_first(view: View<'_>, loc: Loc) -> Spot {
    let mut spot = Spot {
        loc,
        at: view.reference(loc),
        from: 0,
        fork: None,
        fork_depth: 0,
        reach: Reach::Garbage,
    };
    // Each step leads to another block, so in a sound frame there are fewer than words.
    for _ in 0..FRAME_WORDS {
        match spot.at.kind() {
            Kind::Null => {
                spot.reach = Reach::Nothing;
                break;
            }
            Kind::Unknown => break,
            Kind::Crossing => {
                spot.reach = Reach::Crossing(view.crossing(spot.at.at()));
                break;
            }
            Kind::Leaf | Kind::LongLeaf => {
                spot.reach = Reach::Under;
                break;
            }
            Kind::N4 | Kind::N16 | Kind::Bitmap => {
                let node = Node::read(view, spot.at);
                let (byte, next) = if node.value().is_null() {
                    let Some((byte, next)) = node.next(0) else { break };
                    (Some(byte), next)
                } else {
                    (None, node.value_loc())
                };
                note_fork(&mut spot, &node, byte, 0);
                spot.loc = next;
                spot.at = view.reference(next);
                if spot.at.is_null() {
                    break;
                }
            }
        }
    }
    spot
}

fn note_fork(spot: &mut Spot, node: &Node<'_>, branch: Option<u8>, depth: usize) {
    if node.count() + usize::from(!node.value().is_null()) > 1 {
        spot.fork = Some(Fork { loc: spot.loc, node: spot.at, branch });
        spot.fork_depth = depth;
    }
}

/// What a subtree consists of inside its frame.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Words of its blocks.
    pub(crate) words: usize,
    /// Records.
    pub(crate) keys: usize,
    /// Where its crossings lead, and how many bytes lead to each from the subtree's root,
    /// the root's own prefix included.
    pub(crate) crossings: Vec<(Target, usize)>,
    /// Longest rest of a key, from the root on, among its records.
    pub(crate) longest: usize,
    /// Whether there is more: the search ended when it had found as much as it was to find.
    pub(crate) more: bool,
}

impl Content {
    /// Whether all of it was found and nothing hangs further down.
    pub(crate) fn is_alone(&self) -> bool {
        !self.more && self.crossings.is_empty()
    }
}

/// Looks through the subtree `root` inside its frame until `most` words have been found;
/// `None` when that is garbage.
pub(crate) fn content(view: View<'_>, root: Ref, most: usize) -> Option<Content> {
    let mut content = Content::default();
    let mut pending = vec![(root, 0)];
    let mut blocks = 0;
    while let Some((item, depth)) = pending.pop() {
        blocks += 1;
        if blocks > FRAME_WORDS {
            return None;
        }
        content.words += item_words(view, item);
        if content.words > most {
            content.more = true;
            break;
        }
        match item.kind() {
            Kind::Null | Kind::Unknown => return None,
            Kind::Crossing => content.crossings.push((view.crossing(item.at()), depth)),
            Kind::Leaf | Kind::LongLeaf => {
                content.keys += 1;
                content.longest = content.longest.max(depth + Leaf::read(view, item).suffix);
            }
            Kind::N4 | Kind::N16 | Kind::Bitmap => {
                let node = Node::read(view, item);
                let depth = depth + node.prefix_len();
                if !node.value().is_null() {
                    pending.push((node.value(), depth));
                }
                let children = (0..node.count()).map(|rank| view.reference(node.child_loc(rank)));
                pending.extend(children.map(|child| (child, depth + 1)));
            }
        }
    }
    Some(content)
}

/// A count under way.
struct Tally {
    pending: Vec<Ref>,
    /// This subtree is left out.
    except: Ref,
    extent: Extent,
}

impl Tally {
    fn new(root: Ref, except: Ref) -> Self {
        Self { pending: vec![root], except, extent: Extent::default() }
    }

    /// Counts one block and the crossings right below it; false when there is none left.
    fn step(&mut self, view: View<'_>) -> bool {
        let Some(item) = self.pending.pop() else { return false };
        if item == self.except {
            return true;
        }
        self.extent.words += item_words(view, item);
        self.extent.keys += usize::from(item.is_leaf());
        self.extent.crossings += usize::from(item.kind() == Kind::Crossing);
        if item.is_inner() {
            let node = Node::read(view, item);
            if !node.value().is_null() {
                self.pending.push(node.value());
            }
            for child in node.places().map(|loc| view.reference(loc)) {
                // Upper nodes have little else below them, and these need not be looked at.
                if child.kind() == Kind::Crossing {
                    self.extent.words += 1;
                    self.extent.crossings += 1;
                } else {
                    self.pending.push(child);
                }
            }
        }
        true
    }
}

/// What the subtree `root` consists of, one of a frame that nobody changes, below an entry with
/// these counters. It is counted itself, or what the entry has beside it, whichever is less.
pub(crate) fn share(view: View<'_>, entry: Entry, root: Ref) -> Extent {
    let (mut own, mut others) = (Tally::new(root, Ref::NULL), Tally::new(entry.root, root));
    loop {
        if !own.step(view) {
            return own.extent;
        }
        if !others.step(view) {
            return entry.extent().without(others.extent);
        }
    }
}
