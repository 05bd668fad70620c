//! One validated walk over the tree in key order, which fills a batch.
//!
//! A walk seeks its bound, then steps from key to key over a stack of nodes. Frames are
//! read optimistically; at any time only what came from the topmost frame is not yet
//! certain. When a frame turns out to have changed, the batch is cut back to what is
//! certain, and the cursor seeks again behind its last name.
//!
//! Names are compared with the far end of the range only along the *edge*: the nodes with
//! whose name the far end begins. All others lie wholly inside or wholly beyond.

use std::ops::Bound;

use super::batch::Batch;
use super::leaves::{AHEAD, Over, Ran, Run, begins};
use super::scan::{Name, Scan};
use super::spelled::Path;
use super::subtree::{Boughs, Crossed};
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::leaf::Leaf;
use crate::frame::node::Node;
use crate::frame::steps::{Place, Steps};
use crate::frame::{Kind, Loc, Ref, View};
use crate::pool::latch::{NO_SLOT, Observed};
use crate::pool::past::Past;
use crate::pool::{Latched, Pool, Soon};

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
    /// Frames that are read ahead when one is absent.
    pub(super) ahead: usize,
    /// Large values that are read ahead when one is absent.
    pub(super) values: usize,
}

/// Nodes after which an optimistic walk looks whether its frame is still valid, so that
/// garbage cannot keep it busy.
const CHECK_EVERY: u32 = 256;

/// How a walk reads frames.
#[derive(Debug)]
pub(super) enum Way<'p> {
    /// It validates them afterwards.
    Optimistic,
    /// It latches them.
    Latched,
    /// As they were at a pinned epoch.
    Past(Past<'p>),
}

/// A node on the stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) node: Ref,
    /// Forward, the children behind the place are still to come; backward, those in front.
    pub(super) place: Place,
    /// Whether the node's own record is still to come.
    pub(super) value: bool,
    /// Whether the far end of the range begins with the node's name.
    pub(super) edge: bool,
    /// Whether none of the children has been visited.
    pub(super) fresh: bool,
    /// Length of the name up to and including the node's prefix.
    pub(super) name: usize,
    /// So many bytes of the name are known to have no delimiter behind the prefix of the list.
    pub(super) clear: usize,
}

/// What has to be so still for that what was read in a frame counts.
#[derive(Clone, Copy, Debug)]
enum Hold {
    /// The word of the frame table.
    Seen(Observed),
    /// Nothing: the slot is not written while the epoch is pinned.
    Pinned,
    /// Nothing: the frame is latched for as long as it is on the stack.
    Latched,
    /// Nothing: the frame is latched further up. A frame may hold subtrees that hang below
    /// one another.
    Above,
}

/// A frame on the stack.
#[derive(Clone, Copy, Debug)]
struct Frame {
    number: u32,
    /// The slot that is read.
    slot: u32,
    hold: Hold,
    /// Levels below this one belong to frames further up.
    base: usize,
}

/// The memory that the walks of a cursor use one after the other.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    frames: Vec<Frame>,
    levels: Vec<Level>,
    path: Path,
    boughs: Boughs,
}

/// Why a walk stops early. Small, as it is handed through every step; an error stands in the
/// walker meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// A frame changed; the batch is cut back to what is certain.
    Changed,
    /// The batch is full or the bound is reached; what is there has to be validated.
    Full,
    Bound,
    /// See [`Walker::fault`].
    Fault,
}

pub(super) struct Walker<'p, 's> {
    pub(super) pool: &'p Pool,
    pub(super) scan: &'s Scan,
    way: Way<'p>,
    /// The latches held, in the order of the frames.
    latches: Vec<Latched<'p>>,
    pub(super) limits: Limits,
    pub(super) batch: &'s mut Batch,
    /// The words of the topmost frame.
    pub(super) view: View<'p>,
    frames: &'s mut Vec<Frame>,
    pub(super) levels: &'s mut Vec<Level>,
    pub(super) path: &'s mut Path,
    boughs: &'s mut Boughs,
    /// The far end of the range.
    pub(super) far: Option<&'s [u8]>,
    /// Whether keys are rolled up to groups.
    pub(super) rolls: bool,
    /// The delimiter, if it is of one byte.
    pub(super) byte: Option<u8>,
    steps: u32,
    /// What a fault is.
    fault: Option<Error>,
}

impl<'p, 's> Walker<'p, 's> {
    pub(super) fn new(
        pool: &'p Pool,
        scan: &'s Scan,
        way: Way<'p>,
        limits: Limits,
        batch: &'s mut Batch,
        stacks: &'s mut Stacks,
    ) -> Self {
        let Stacks { frames, levels, path, boughs } = stacks;
        frames.clear();
        levels.clear();
        path.set(&[], 0);
        boughs.crossed.clear();
        let far = if scan.reverse { &scan.lower } else { &scan.upper };
        let far = match far {
            Bound::Unbounded => None,
            Bound::Included(key) | Bound::Excluded(key) => Some(Name::as_slice(key)),
        };
        Self {
            pool,
            scan,
            way,
            latches: Vec::new(),
            limits,
            batch,
            // Before the root is entered there is nothing to look at.
            view: View::new(pool.slot_words(NO_SLOT)),
            frames,
            levels,
            path,
            boughs,
            far,
            rolls: !scan.delimiter.is_empty(),
            byte: match scan.delimiter.as_slice() {
                [byte] => Some(*byte),
                _ => None,
            },
            steps: 0,
            fault: None,
        }
    }

    /// Fills the batch with the names from `from` on, in the scan's direction.
    pub(super) fn walk(mut self, root: u32, from: Bound<&[u8]>) -> Result<Walked, Error> {
        let stop = match self.run(root, from) {
            Ok(()) => Stop::Bound,
            Err(stop) => stop,
        };
        let end = match stop {
            Stop::Fault => match self.fault.take() {
                // Names that are certain come first; the frame is fetched when nothing else is left.
                Some(Error::Absent { .. }) if self.batch.certain > 0 => Walked::More,
                Some(error) => {
                    if let Error::Absent { object } = error
                        && let Ok(frame) = u32::try_from(object)
                    {
                        self.announce(frame);
                    }
                    // What looks like damage may be a frame that changed.
                    if self.all_valid() {
                        return Err(error);
                    }
                    Walked::More
                }
                None => Walked::More,
            },
            Stop::Changed => Walked::More,
            // The end of the range is only known if no frame on the way has changed.
            Stop::Bound if self.all_valid() => {
                self.batch.certain = self.batch.count();
                Walked::End
            }
            Stop::Full if self.valid() => {
                self.batch.certain = self.batch.count();
                Walked::More
            }
            Stop::Bound | Stop::Full => Walked::More,
        };
        if self.batch.certain < self.batch.count() {
            self.batch.truncate(self.batch.certain);
        }
        Ok(end)
    }

    fn run(&mut self, root: u32, from: Bound<&[u8]>) -> Result<(), Stop> {
        self.enter(root)?;
        let item = self.view.reference(Loc::entry(0));
        if !item.is_null() {
            match from {
                Bound::Unbounded => self.visit(item, self.far.is_some(), 0)?,
                Bound::Included(key) => self.seek(item, key, true)?,
                Bound::Excluded(key) => self.seek(item, key, false)?,
            }
        }
        while !self.levels.is_empty() {
            self.leave()?;
            self.steps += 1;
            if self.steps.is_multiple_of(CHECK_EVERY) {
                self.settle()?;
            }
            if self.scan.reverse {
                self.children::<true>()?;
            } else {
                self.children::<false>()?;
            }
        }
        Ok(())
    }

    /// Finds the slot of frame `number` and what validates it, or latches the frame. All
    /// that a walk reads it reads through here.
    fn hold(&mut self, number: u32) -> Result<(u32, Hold), Stop> {
        match &self.way {
            Way::Optimistic => {}
            Way::Latched => return self.latch(number),
            Way::Past(past) => {
                self.batch.certain = self.batch.count();
                return match past.slot(number) {
                    Ok(slot) => Ok((slot, Hold::Pinned)),
                    Err(error) => Err(self.stop(error)),
                };
            }
        }
        let seen = self.pool.latch(number).map(|latch| latch.observe());
        // P5.1: the child's word is read before the parent is validated.
        self.settle()?;
        match seen {
            Some(seen) if seen.slot() != NO_SLOT => Ok((seen.slot(), Hold::Seen(seen))),
            seen => Err(self.miss(number, seen)),
        }
    }

    #[cold]
    fn miss(&mut self, number: u32, met: Option<Observed>) -> Stop {
        self.pool.miss(number, met).map_or_else(|error| self.stop(error), |()| Stop::Changed)
    }

    #[cold]
    pub(super) fn stop(&mut self, error: Error) -> Stop {
        self.fault = Some(error);
        Stop::Fault
    }

    fn latch(&mut self, number: u32) -> Result<(u32, Hold), Stop> {
        if let Some(above) = self.latches.iter().find(|held| held.number() == number) {
            return Ok((above.slot(), Hold::Above));
        }
        match self.pool.latch_soon(number) {
            Soon::Latched(frame) => {
                let slot = frame.slot();
                self.latches.push(frame);
                Ok((slot, Hold::Latched))
            }
            Soon::Missing => Err(self.miss(number, None)),
            Soon::Busy => {
                // What was read under the latches held is certain.
                self.settle()?;
                Err(Stop::Changed)
            }
        }
    }

    /// Whether nothing has changed in a frame since [`Self::hold`].
    #[inline]
    fn holds(&self, frame: &Frame) -> bool {
        match frame.hold {
            Hold::Pinned | Hold::Latched | Hold::Above => true,
            Hold::Seen(seen) => {
                self.pool.latch(frame.number).is_some_and(|latch| latch.validate(seen))
            }
        }
    }

    /// Makes frame `number` the topmost.
    fn enter(&mut self, number: u32) -> Result<(), Stop> {
        let (slot, hold) = self.hold(number)?;
        self.frames.push(Frame { number, slot, hold, base: self.levels.len() });
        self.view = View::new(self.pool.slot_words(slot));
        Ok(())
    }

    /// The levels of the topmost frame.
    pub(super) fn own_levels(&self) -> &[Level] {
        let base = self.frames.last().map_or(0, |frame| frame.base);
        &self.levels[base.min(self.levels.len())..]
    }

    fn valid(&self) -> bool {
        self.frames.last().is_none_or(|frame| self.holds(frame))
    }

    fn all_valid(&self) -> bool {
        self.frames.iter().all(|frame| self.holds(frame))
    }

    /// Validates the topmost frame: what came from it is certain then.
    pub(super) fn settle(&mut self) -> Result<(), Stop> {
        if !self.valid() {
            return Err(Stop::Changed);
        }
        self.batch.certain = self.batch.count();
        Ok(())
    }

    /// Leaves the frames whose levels are done.
    #[inline]
    pub(super) fn leave(&mut self) -> Result<(), Stop> {
        while let [.., above, last] = self.frames.as_slice()
            && last.base >= self.levels.len()
        {
            let (slot, latched) = (above.slot, matches!(last.hold, Hold::Latched));
            self.settle()?;
            self.frames.pop();
            if latched {
                self.latches.pop();
            }
            self.view = View::new(self.pool.slot_words(slot));
        }
        Ok(())
    }

    /// Goes on with the children of the topmost level.
    fn children<const BACK: bool>(&mut self) -> Result<(), Stop> {
        let top = self.levels.len() - 1;
        let level = self.levels[top];
        let node = Node::read(self.view, level.node);
        let mut steps = Steps::<BACK>::new(self.view, node, level.place);
        if level.fresh {
            // Each of them has a name at least.
            steps
                .prefetch(AHEAD.min(self.limits.names - self.batch.count().min(self.limits.names)));
            self.levels[top].fresh = false;
        }
        loop {
            let (byte, item) = match self.leaves(&level, &mut steps) {
                Ran::Done => break,
                Ran::Full => {
                    self.take_frames(top);
                    return Err(Stop::Full);
                }
                Ran::Changed => return Err(Stop::Changed),
                Ran::Other(byte, item) => (byte, item),
                Ran::Below => {
                    self.take_over::<BACK>(level.clear);
                    return Ok(());
                }
            };
            self.path.branch(level.name, byte);
            self.levels[top].place = steps.place(byte);
            self.visit(item, level.edge, level.clear)?;
            if self.levels.len() != top + 1 {
                return Ok(());
            }
        }
        self.levels.truncate(top);
        if level.value {
            // Backward the node's own record, the smallest key, comes last.
            self.path.resize(level.name);
            self.emit(node.value(), level.edge, level.clear)?;
        }
        self.leave()
    }

    /// Goes on in the nodes that a run has ended in, and in their frames.
    fn take_over<const BACK: bool>(&mut self, clear: usize) {
        let (top, boughs) = (self.levels.len() - 1, &*self.boughs);
        let name = boughs.name();
        self.path.set(name, name.len());
        let mut view = self.view;
        let mut crossed = boughs.crossed.iter().peekable();
        for (depth, bough) in boughs.all().iter().enumerate() {
            if let Some(frame) = crossed.next_if(|frame| frame.first == depth) {
                view = View::new(self.pool.slot_words(frame.seen.slot()));
            }
            let (length, node) = (usize::from(bough.name), Node::read(view, bough.node));
            let place = match (name.get(length), boughs.next) {
                (Some(&byte), _) => bough.children.place::<BACK>(&node, byte, false),
                (None, Some(byte)) => bough.children.place::<BACK>(&node, byte, true),
                (None, None) => Place::FIRST,
            };
            if depth == 0 {
                self.levels[top].place = place;
                continue;
            }
            let (node, value) = (bough.node, BACK && bough.value);
            let (edge, fresh, name) = (false, false, length);
            self.levels.push(Level { node, place, value, edge, fresh, name, clear });
        }
        self.take_frames(top);
    }

    /// Goes on in the frames that a run has ended in, where `top` is the level of its node.
    fn take_frames(&mut self, top: usize) {
        for Crossed { number, seen, first } in self.boughs.crossed.drain(..) {
            let (slot, hold, base) = (seen.slot(), Hold::Seen(seen), top + first);
            self.frames.push(Frame { number, slot, hold, base });
            self.view = View::new(self.pool.slot_words(slot));
        }
    }

    /// Adds the next children of a level as long as they are ordinary leaves, or groups of their own.
    #[inline(always)]
    fn leaves<const BACK: bool>(&mut self, level: &Level, steps: &mut Steps<'p, BACK>) -> Ran {
        let Some((byte, item)) = steps.step() else { return Ran::Done };
        let clear = level.clear.max(self.scan.prefix);
        // Behind the edge of the list's prefix, each name is looked through for a delimiter.
        let copies = match self.byte {
            _ if level.edge => false,
            None => !self.rolls,
            Some(_) => clear <= level.name + 1,
        };
        // Behind a crossing of a list that is rolled up there is a group, most likely.
        let leaves = copies && begins(self.view, item, !self.rolls);
        let groups = copies && self.rolls && !leaves;
        if !leaves && !groups {
            // It has to be compared with the far end, or looked at as a whole.
            return Ran::Other(byte, item);
        }
        let over = match self.frames.last() {
            Some(&Frame { number, hold: Hold::Seen(seen), .. }) if groups || !self.rolls => {
                self.pool.latch(number).map(|latch| Over { pool: self.pool, parent: (latch, seen) })
            }
            _ => None,
        };
        self.path.resize(level.name);
        let run: Run<'_, 'p> = Run {
            view: self.view,
            path: self.path,
            keys_only: self.scan.keys_only,
            names: self.limits.names,
            bytes: self.limits.bytes,
            delimiter: (self.byte.unwrap_or_default(), clear),
            over,
        };
        if groups {
            let after = self.scan.start_after.as_ref().map(Name::as_slice);
            self.batch.groups::<BACK>(&run, after, steps, (byte, item))
        } else if self.rolls {
            self.batch.leaves::<BACK, true>(&run, steps, (byte, item))
        } else {
            let child = match self.batch.leaves::<BACK, false>(&run, steps, (byte, item)) {
                Ran::Other(byte, item)
                    if matches!(item.kind(), Kind::N4 | Kind::N16 | Kind::Crossing) =>
                {
                    (byte, item)
                }
                ran => return ran,
            };
            self.batch.subtree::<BACK>(&run, self.boughs, level.node, steps, child)
        }
    }

    /// Visits what hangs behind the path, all of which lies in the range on the near side.
    /// `edge` says whether the far end begins with the path up to its last branch, and
    /// `clear` how many bytes of the path are known to have no delimiter.
    pub(super) fn visit(
        &mut self,
        mut item: Ref,
        mut edge: bool,
        mut clear: usize,
    ) -> Result<(), Stop> {
        if edge {
            edge = self.on_edge()?;
        }
        if self.roll(edge, &mut clear)? {
            return Ok(());
        }
        while item.kind() == Kind::Crossing {
            item = self.cross(item)?;
        }
        if item.is_leaf() {
            self.emit(item, edge, clear)?;
            return self.leave();
        }
        let node = self.open(item)?;
        if edge {
            edge = self.on_edge()?;
        }
        if self.roll(edge, &mut clear)? {
            return self.leave();
        }
        let value = !node.value().is_null();
        let (place, later) =
            if self.scan.reverse { (Place::last(&node), value) } else { (Place::FIRST, false) };
        let name = self.path.len();
        let fresh = true;
        self.levels.push(Level { node: item, place, value: later, edge, fresh, name, clear });
        if value && !later { self.emit(node.value(), edge, clear) } else { Ok(()) }
    }

    /// Follows a crossing and returns the entry's root.
    pub(super) fn cross(&mut self, item: Ref) -> Result<Ref, Stop> {
        let target = self.view.crossing(item.at());
        if self.frames.len() > MAX_KEY {
            return Err(self.stop(Error::Damaged { frame: target.frame }));
        }
        self.enter(target.frame)?;
        let root = self.view.reference(Loc::entry(usize::from(target.entry)));
        if root.is_null() { Err(self.garbage()) } else { Ok(root) }
    }

    /// Appends the prefix of the inner node `item` to the path.
    fn open(&mut self, item: Ref) -> Result<Node<'p>, Stop> {
        if !item.is_inner() {
            return Err(self.garbage());
        }
        let node = Node::read(self.view, item);
        let length = node.prefix_len();
        if length != 0 {
            self.path.append(self.view, node.prefix_at(), length);
        }
        if self.path.len() > MAX_KEY { Err(self.garbage()) } else { Ok(node) }
    }

    #[inline]
    pub(super) fn leaf(&mut self, item: Ref) -> Result<Leaf, Stop> {
        let leaf = Leaf::read(self.view, item);
        let sound = item.is_leaf() && leaf.plausible() && self.path.len() + leaf.suffix <= MAX_KEY;
        if sound { Ok(leaf) } else { Err(self.garbage()) }
    }

    /// What to report of something that no writer stores: damage, if the frame is valid.
    #[cold]
    pub(super) fn garbage(&mut self) -> Stop {
        let frame = self.view.number();
        self.stop(Error::Damaged { frame })
    }
}
