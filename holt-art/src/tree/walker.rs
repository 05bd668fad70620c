//! One validated walk over the tree in key order, which fills a batch.
//!
//! A walk seeks its bound, then steps from key to key over a stack of nodes. Frames are
//! read optimistically; at any time only what came from the topmost frame is not yet
//! certain. When a frame turns out to have changed, the batch is cut back to what is
//! certain, and the cursor seeks again behind its last name.

use std::ops::Bound;

use super::get::append_value;
use super::outcome::Version;
use super::scan::Scan;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::leaf::Leaf;
use crate::frame::node::Node;
use crate::frame::{Kind, Loc, Ref, View};
use crate::pool::latch::{LatchRef, NO_SLOT, Observed};
use crate::pool::{Latched, Pool, Soon};

/// Names and values of one walk, packed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
}

/// One name of a batch: where it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) start: usize,
    pub(super) name_end: usize,
    pub(super) end: usize,
    /// The record's version; none for a group.
    pub(super) version: Option<Version>,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    pub(super) fn name(&self, item: &Item) -> &[u8] {
        &self.bytes[item.start..item.name_end]
    }

    fn truncate(&mut self, count: usize) {
        self.items.truncate(count);
        self.bytes.truncate(self.items.last().map_or(0, |item| item.end));
    }
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Walked {
    /// There is nothing beyond the batch.
    End,
    /// The batch is full, or a frame changed.
    More,
}

/// Most names in a batch, and bytes after which it takes no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) names: usize,
    pub(super) bytes: usize,
}

/// Steps after which an optimistic walk looks whether its frame is still valid, so that
/// garbage cannot keep it busy.
const CHECK_EVERY: u32 = 1024;

/// Access to a frame on the stack.
enum Access<'p> {
    Optimistic(LatchRef<'p>, Observed),
    Latched(Latched<'p>),
    /// The walk has the frame's latch already, further up: a frame may hold subtrees that
    /// hang below one another.
    Held,
}

struct Level {
    node: Ref,
    /// Forward: smallest byte not visited. Backward: one more than the largest.
    next: u16,
    /// Whether the node's own record is still to come.
    value: bool,
    /// Length of the key up to and including the node's prefix.
    key: usize,
}

struct Frame<'p> {
    access: Access<'p>,
    view: View<'p>,
    /// Levels below this one belong to frames further up.
    base: usize,
}

/// Why a walk stops early.
enum Stop {
    /// A frame changed; the batch is cut back to what is certain.
    Changed,
    /// The batch is full or the bound is reached; what is there has to be validated.
    Full,
    Bound,
    Fault(Error),
}

pub(super) struct Walker<'p, 's> {
    pool: &'p Pool,
    scan: &'s Scan,
    /// Latch frames instead of reading them optimistically.
    latched: bool,
    limits: Limits,
    batch: &'s mut Batch,
    /// Names of the batch that are certain.
    certain: usize,
    frames: Vec<Frame<'p>>,
    levels: Vec<Level>,
    key: Vec<u8>,
    steps: u32,
}

impl<'p, 's> Walker<'p, 's> {
    pub(super) fn new(
        pool: &'p Pool,
        scan: &'s Scan,
        latched: bool,
        limits: Limits,
        batch: &'s mut Batch,
    ) -> Self {
        Self {
            pool,
            scan,
            latched,
            limits,
            batch,
            certain: 0,
            frames: Vec::with_capacity(8),
            levels: Vec::with_capacity(32),
            key: Vec::with_capacity(256),
            steps: 0,
        }
    }

    /// Fills the batch with the names from `from` on, in the scan's direction.
    pub(super) fn walk(mut self, root: u32, from: &Bound<Vec<u8>>) -> Result<Walked, Error> {
        let walked = self.run(root, from);
        let stop = match walked {
            Ok(()) => Stop::Bound,
            Err(stop) => stop,
        };
        let end = match stop {
            Stop::Fault(error) => {
                // What looks like damage may be a frame that changed.
                if self.frames.iter().all(Frame::valid) {
                    return Err(error);
                }
                Walked::More
            }
            Stop::Changed => Walked::More,
            // The end of the range is only known if no frame on the way has changed.
            Stop::Bound if self.frames.iter().all(Frame::valid) => {
                self.certain = self.batch.items.len();
                Walked::End
            }
            Stop::Full if self.frames.last().is_some_and(Frame::valid) => {
                self.certain = self.batch.items.len();
                Walked::More
            }
            Stop::Bound | Stop::Full => Walked::More,
        };
        self.batch.truncate(self.certain);
        Ok(end)
    }

    fn run(&mut self, root: u32, from: &Bound<Vec<u8>>) -> Result<(), Stop> {
        self.enter(root)?;
        let item = self.view().reference(Loc::entry(0));
        if !item.is_null() {
            let (bound, inclusive) = match from {
                Bound::Unbounded => (None, true),
                Bound::Included(key) => (Some(key.as_slice()), true),
                Bound::Excluded(key) => (Some(key.as_slice()), false),
            };
            match bound {
                None => self.visit(item)?,
                Some(bound) => self.seek(item, bound, inclusive)?,
            }
        }
        while !self.levels.is_empty() {
            self.step()?;
        }
        Ok(())
    }

    fn view(&self) -> View<'p> {
        self.frames.last().expect("the walk is inside a frame").view
    }

    /// Reads the word of frame `number`, or latches it, and makes it the topmost.
    fn enter(&mut self, number: u32) -> Result<(), Stop> {
        let missing = || Stop::Fault(Error::MissingFrame { frame: number });
        let base = self.levels.len();
        let frame = if self.latched {
            let held = self.frames.iter().find(|frame| frame.holds(number));
            match held.map(|frame| frame.view) {
                Some(view) => Frame { view, access: Access::Held, base },
                None => match self.pool.latch_soon(number) {
                    Soon::Latched(frame) => {
                        Frame { view: frame.view(), access: Access::Latched(frame), base }
                    }
                    Soon::Missing => return Err(missing()),
                    Soon::Busy => {
                        // What was read under the latches held is certain.
                        self.settle()?;
                        return Err(Stop::Changed);
                    }
                },
            }
        } else {
            let latch = self.pool.latch(number);
            let seen = latch.map(|latch| (latch, latch.observe()));
            // P5.1: the child's word is read before the parent is validated.
            self.settle()?;
            let (latch, seen) =
                seen.filter(|(_, seen)| seen.slot() != NO_SLOT).ok_or_else(missing)?;
            Frame { view: self.pool.view(seen), access: Access::Optimistic(latch, seen), base }
        };
        self.frames.push(frame);
        Ok(())
    }

    /// Validates the topmost frame: what came from it is certain then.
    fn settle(&mut self) -> Result<(), Stop> {
        if self.frames.last().is_some_and(|frame| !frame.valid()) {
            return Err(Stop::Changed);
        }
        self.certain = self.batch.items.len();
        Ok(())
    }

    /// Leaves the frames whose levels are done.
    fn leave(&mut self) -> Result<(), Stop> {
        while self.frames.len() > 1
            && self.frames.last().is_some_and(|frame| frame.base >= self.levels.len())
        {
            self.settle()?;
            self.frames.pop();
        }
        Ok(())
    }

    /// Goes on from the topmost level.
    fn step(&mut self) -> Result<(), Stop> {
        self.leave()?;
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_EVERY) {
            self.settle()?;
        }
        let view = self.view();
        let reverse = self.scan.reverse;
        let level = self.levels.last_mut().expect("the loop checks that there is one");
        let node = Node::read(view, level.node);
        self.key.truncate(level.key);
        if level.value && !reverse {
            level.value = false;
            if !node.value().is_null() {
                return self.emit(node.value());
            }
        }
        let next = usize::from(level.next);
        let child = if reverse { node.previous(next) } else { node.next(next) };
        match child {
            Some((byte, loc)) => {
                level.next = u16::from(byte) + u16::from(!reverse);
                self.key.push(byte);
                self.visit(view.reference(loc))
            }
            None if level.value => {
                // Backward the node's own record, the smallest key, comes last.
                level.value = false;
                if node.value().is_null() { Ok(()) } else { self.emit(node.value()) }
            }
            None => {
                self.levels.pop();
                self.leave()
            }
        }
    }

    /// Visits what hangs behind the key, all of which lies in the range on the near side.
    fn visit(&mut self, mut item: Ref) -> Result<(), Stop> {
        while item.kind() == Kind::Crossing {
            item = self.cross(item)?;
        }
        if item.is_leaf() {
            return self.emit(item);
        }
        let node = self.open(item)?;
        if !self.scan.delimiter.is_empty()
            && let Some(end) = self.group_end()
            && !self.leads_to_bound()
        {
            if self.beyond_far_bound(&self.key) {
                return Err(Stop::Bound);
            }
            self.push_group(end)?;
            return self.leave();
        }
        let next = if self.scan.reverse { 256 } else { 0 };
        self.levels.push(Level {
            node: item,
            next,
            value: !node.value().is_null(),
            key: self.key.len(),
        });
        Ok(())
    }

    /// Seeks the first name at or behind `bound`, in the scan's direction.
    fn seek(&mut self, mut item: Ref, bound: &[u8], inclusive: bool) -> Result<(), Stop> {
        let reverse = self.scan.reverse;
        loop {
            while item.kind() == Kind::Crossing {
                item = self.cross(item)?;
            }
            if item.is_leaf() {
                let leaf = self.leaf(item)?;
                let length = self.key.len();
                leaf.append_suffix(self.view(), 0, &mut self.key);
                let order = self.key.as_slice().cmp(bound);
                let wanted = match order {
                    std::cmp::Ordering::Equal => inclusive,
                    std::cmp::Ordering::Greater => !reverse,
                    std::cmp::Ordering::Less => reverse,
                };
                self.key.truncate(length);
                return if wanted { self.emit(item) } else { self.leave() };
            }
            let before = self.key.len();
            let node = self.open(item)?;
            let key = self.key.as_slice();
            if key == bound {
                // The node is the bound itself: its record is in the range if the bound is,
                // and its children are greater: all wanted forward, none backward.
                let value = inclusive && !node.value().is_null();
                self.levels.push(Level { node: item, next: 0, value, key: self.key.len() });
                return Ok(());
            }
            if !bound.starts_with(key) {
                // All that hangs here is on the same side of the bound.
                if (key > bound) != reverse {
                    self.key.truncate(before);
                    return self.visit(item);
                }
                return self.leave();
            }
            // The bound goes on below this node.
            let byte = bound[key.len()];
            let value = reverse && !node.value().is_null();
            let next = if reverse { u16::from(byte) } else { u16::from(byte) + 1 };
            let child = node.find(byte);
            self.levels.push(Level { node: item, next, value, key: self.key.len() });
            let Some(loc) = child else { return Ok(()) };
            item = self.view().reference(loc);
            self.key.push(byte);
        }
    }

    /// Follows a crossing and returns the entry's root.
    fn cross(&mut self, item: Ref) -> Result<Ref, Stop> {
        let target = self.view().crossing(item.at());
        if self.frames.len() > MAX_KEY {
            return Err(Stop::Fault(Error::Damaged { frame: target.frame }));
        }
        self.enter(target.frame)?;
        let root = self.view().reference(Loc::entry(usize::from(target.entry)));
        if root.is_null() { Err(self.garbage()) } else { Ok(root) }
    }

    /// Appends the prefix of the inner node `item` to the key.
    fn open(&mut self, item: Ref) -> Result<Node<'p>, Stop> {
        if !item.is_inner() {
            return Err(self.garbage());
        }
        let node = Node::read(self.view(), item);
        node.append_prefix(&mut self.key);
        if self.key.len() > MAX_KEY { Err(self.garbage()) } else { Ok(node) }
    }

    fn leaf(&self, item: Ref) -> Result<Leaf, Stop> {
        let leaf = Leaf::read(self.view(), item);
        let sound = item.is_leaf() && leaf.plausible() && self.key.len() + leaf.suffix <= MAX_KEY;
        if sound { Ok(leaf) } else { Err(self.garbage()) }
    }

    /// What to report of something that no writer stores: damage, if the frame is valid.
    fn garbage(&self) -> Stop {
        let frame = self.view().number();
        Stop::Fault(Error::Damaged { frame })
    }

    /// Whether the far bound goes on below the key, so that it is not certain that what
    /// hangs here is in the range.
    fn leads_to_bound(&self) -> bool {
        let goes_on = |bound: &Bound<Vec<u8>>| match bound {
            Bound::Unbounded => false,
            Bound::Included(bound) | Bound::Excluded(bound) => {
                bound.len() >= self.key.len() && bound.starts_with(&self.key)
            }
        };
        goes_on(&self.scan.lower) || goes_on(&self.scan.upper)
    }

    /// Where the group that the key belongs to ends: behind the first delimiter after the
    /// prefix.
    fn group_end(&self) -> Option<usize> {
        let delimiter = self.scan.delimiter.as_slice();
        let from = self.scan.prefix;
        let tail = self.key.get(from..)?;
        let at = match delimiter {
            [byte] => tail.iter().position(|other| other == byte),
            _ => tail.windows(delimiter.len()).position(|window| window == delimiter),
        };
        at.map(|at| from + at + delimiter.len())
    }

    /// Whether the name lies behind the far end of the range.
    fn beyond_far_bound(&self, name: &[u8]) -> bool {
        if self.scan.reverse {
            match &self.scan.lower {
                Bound::Unbounded => false,
                Bound::Included(lower) => name < lower.as_slice(),
                Bound::Excluded(lower) => name <= lower.as_slice(),
            }
        } else {
            match &self.scan.upper {
                Bound::Unbounded => false,
                Bound::Included(upper) => name > upper.as_slice(),
                Bound::Excluded(upper) => name >= upper.as_slice(),
            }
        }
    }

    /// Adds a record, or the group that it belongs to, to the batch.
    fn emit(&mut self, item: Ref) -> Result<(), Stop> {
        let leaf = self.leaf(item)?;
        let view = self.view();
        let length = self.key.len();
        leaf.append_suffix(view, 0, &mut self.key);
        if self.beyond_far_bound(&self.key) {
            return Err(Stop::Bound);
        }
        if !self.scan.delimiter.is_empty()
            && let Some(end) = self.group_end()
        {
            self.push_group(end)?;
            // All of the group's nodes are done.
            while self.levels.last().is_some_and(|level| level.key >= end) {
                self.levels.pop();
                self.leave()?;
            }
            return self.leave();
        }
        if self.batch.items.len() >= self.limits.names
            || self.batch.bytes.len() >= self.limits.bytes
        {
            return Err(Stop::Full);
        }
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(&self.key);
        let name_end = self.batch.bytes.len();
        if !self.scan.keys_only && !append_value(self.pool, view, &leaf, &mut self.batch.bytes) {
            self.batch.bytes.truncate(start);
            return Err(self.garbage());
        }
        let end = self.batch.bytes.len();
        let version = Some(Version::of_leaf(leaf.version));
        self.batch.items.push(Item { start, name_end, end, version });
        self.key.truncate(length);
        self.leave()
    }

    /// Adds the group whose name is the first `end` bytes of the key, if it is one to be
    /// shown.
    fn push_group(&mut self, end: usize) -> Result<(), Stop> {
        let name = &self.key[..end];
        if self.scan.start_after.as_ref().is_some_and(|after| name <= after.as_slice()) {
            return Ok(());
        }
        if self.batch.items.len() >= self.limits.names {
            return Err(Stop::Full);
        }
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(name);
        let end = self.batch.bytes.len();
        self.batch.items.push(Item { start, name_end: end, end, version: None });
        Ok(())
    }
}

impl Frame<'_> {
    fn valid(&self) -> bool {
        match &self.access {
            Access::Optimistic(latch, seen) => latch.validate(*seen),
            Access::Latched(_) | Access::Held => true,
        }
    }

    /// Whether this is the walk's latch of frame `number`.
    fn holds(&self, number: u32) -> bool {
        matches!(&self.access, Access::Latched(frame) if frame.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Art, Condition, Removed, Version};

    /// A tree of many frames, with values in frames and outside them.
    fn large() -> Art {
        let map = Art::new().unwrap();
        for n in 0..6_000u32 {
            let key = format!("d{}/sub-{}/{:05}", n % 7, n % 31, n.wrapping_mul(7_919) % 6_000);
            let length = if n % 97 == 0 { 9_000 } else { n as usize % 150 };
            map.put(key.as_bytes(), &vec![n as u8; length]).unwrap();
        }
        assert!(map.tree().pool().stats().frames > 4);
        map
    }

    /// The walk of a cursor that lost every race, batch by batch.
    fn latched(map: &Art, scan: &Scan) -> Vec<(Vec<u8>, Option<Version>)> {
        let mut names = Vec::new();
        let mut from = if scan.reverse { scan.upper.clone() } else { scan.lower.clone() };
        loop {
            let mut batch = Batch::default();
            let limits = Limits { names: 100, bytes: 20_000 };
            let pool = map.tree().pool();
            let walker = Walker::new(pool, scan, true, limits, &mut batch);
            let walked = walker.walk(map.tree().root().get(), &from).unwrap();
            names.extend(batch.items.iter().map(|i| (batch.name(i).to_vec(), i.version)));
            let last = batch.items.last().map(|item| batch.name(item).to_vec());
            match (walked, last) {
                (Walked::End, _) => return names,
                (Walked::More, Some(last)) => from = Bound::Excluded(last),
                (Walked::More, None) => panic!("a latched walk got nowhere"),
            }
        }
    }

    #[test]
    fn a_latched_walk_lists_what_an_optimistic_one_does() {
        let map = large();
        for scan in [Scan::all(), Scan::prefix(b"d3/"), Scan::range(&b"d1"[..]..&b"d5/sub-2"[..])] {
            for reverse in [false, true] {
                let scan = scan.clone().reverse(reverse);
                let expected: Vec<_> = map
                    .scan(scan.clone())
                    .map(|entry| match entry.unwrap() {
                        crate::Entry::Key { key, version, .. } => (key, Some(version)),
                        crate::Entry::Group { name } => (name, None),
                    })
                    .collect();
                assert!(!expected.is_empty());
                assert!(latched(&map, &scan) == expected);
            }
        }
        // Every latch has been given back.
        let removed = map.remove_if(b"d0/sub-0/00000", Condition::Always).unwrap();
        assert!(matches!(removed, Removed::Removed(_)));
        assert_eq!(map.verify(), []);
    }
}
