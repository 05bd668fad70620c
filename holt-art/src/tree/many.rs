//! Many gets at once: descents side by side, so that they wait for memory together.
//!
//! A get of a large tree waits for one line of memory after the other. Here each of
//! [`LANES`] descents goes one step, asks for the line of its next step, and leaves the
//! turn to the next one. The rules are those of a single get (`get.rs`, P5.1), lane by lane; a
//! lane that meets anything but a sound answer hands its key to a single get.

use super::Tree;
use super::get::{Local, Take, Taken};
use super::outcome::Version;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::leaf::{Leaf, equal};
use crate::frame::node::Node;
use crate::frame::reach::{Reached, reach};
use crate::frame::{Kind, Loc, Ref, Target, View};
use crate::pool::Pool;
use crate::pool::latch::{NO_SLOT, Observed};
use crate::pool::moves::Seen;
use crate::pool::row::Row;

/// Descents at a time: about as many lines as a core can wait for.
const LANES: usize = 12;

/// What a lane does at its next turn. What that needs to read has been asked for.
#[derive(Clone, Copy)]
enum Next {
    /// Read the reference at a place.
    Reference(Loc),
    /// Look at a node, a leaf or a crossing.
    Item(Ref),
    /// Go through the root frame, whose nodes are near anyway. Its turn comes when the key is near, too.
    Root,
}

/// One descent.
struct Lane<'p, 'k> {
    /// Which of the keys it is for.
    index: usize,
    key: Key<'k>,
    /// The count of moves when it began.
    moves: Seen,
    row: Row<'p>,
    seen: Observed,
    view: View<'p>,
    /// Bytes of the key used up.
    from: usize,
    /// Steps left: a sound descent needs a few a byte.
    steps: usize,
    next: Next,
}

/// What a turn came to.
enum Turn {
    On,
    /// There is no record.
    Missing,
    Found(Version),
    /// Something that a single get has to look at: a race, or damage.
    Unclear,
}

impl Tree {
    /// Reads many keys. `then` is called once for each, in any order, with the key's index
    /// and its value and version if it has a record; what it gets is a private copy, and it
    /// may do anything, writing to the tree included.
    ///
    /// Each answer is consistent in itself, as that of [`Tree::get`]; between two answers
    /// writers may have changed anything. Nothing is allocated for values of up to 256 bytes.
    ///
    /// It pays when the tree is larger than what the processor caches: single gets of such a
    /// tree wait for memory. In a small one there is nothing to wait for, and gets one by
    /// one may be faster. `cargo run --release -p holt-art --example figures -- many` compares; 100 keys at
    /// once were 0.8 (`kv`) to 1.4 (`objstore`) times as fast with 20,000 keys and 1.9 to 2.2 times with
    /// 2,000,000.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`]. A key that is too long is found before anything is read; after other
    /// errors some answers may have been given.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Art;
    ///
    /// let map = Art::new()?;
    /// map.put(b"a", b"1")?;
    /// map.put(b"c", b"3")?;
    /// let keys = ["a", "b", "c"];
    /// let mut found = vec![None; keys.len()];
    /// map.tree().get_many(&keys, |at, record| {
    ///     found[at] = record.map(|(value, _version)| value.to_vec());
    /// })?;
    /// assert_eq!(found, [Some(b"1".to_vec()), None, Some(b"3".to_vec())]);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut then: impl FnMut(usize, Option<(&[u8], Version)>),
    ) -> Result<(), Error> {
        if let Some(long) = keys.iter().find(|key| key.as_ref().len() > MAX_KEY) {
            return Err(Error::KeyTooLong { length: long.as_ref().len() });
        }
        let pool = &*self.pool;
        let mut local = Local::new();
        let mut waiting = keys.iter().enumerate();
        let mut start = || {
            let (index, key) = waiting.next()?;
            Some((index, Key::new(key.as_ref())))
        };
        let mut lanes: [Option<Lane<'_, '_>>; LANES] = [const { None }; LANES];
        for lane in &mut lanes {
            *lane = match start() {
                Some((index, key)) => Some(self.lane(index, key)?),
                None => None,
            };
        }
        let mut busy = true;
        while busy {
            busy = false;
            for slot in &mut lanes {
                let Some(lane) = slot else { continue };
                busy = true;
                let mut turn = lane.turn(pool, &mut local);
                if matches!(turn, Turn::On) {
                    continue;
                }
                // A move in between may have hung what was read below another name.
                if !pool.moves.unchanged(lane.moves) {
                    turn = Turn::Unclear;
                }
                let found = match turn {
                    Turn::Found(version) => Some(version),
                    Turn::Unclear => self.read(lane.key.bytes(), &mut local)?,
                    Turn::Missing | Turn::On => None,
                };
                then(lane.index, found.map(|version| (local.bytes(), version)));
                *slot = match start() {
                    Some((index, key)) => Some(self.lane(index, key)?),
                    None => None,
                };
            }
        }
        Ok(())
    }

    /// Begins a descent.
    #[inline]
    fn lane<'k>(&self, index: usize, key: Key<'k>) -> Result<Lane<'_, 'k>, Error> {
        let moves = self.pool.moves.begin();
        let missing = Error::MissingFrame { frame: self.root };
        let row = self.pool.row(self.root).ok_or(missing)?;
        let seen = row.latch().observe();
        let view = self.pool.view(seen);
        let steps = 4 * key.len() + 256;
        Ok(Lane { index, key, moves, row, seen, view, from: 0, steps, next: Next::Root })
    }
}

impl<'p> Lane<'p, '_> {
    /// Goes one step, and asks for the line that the next one reads.
    #[inline]
    fn turn(&mut self, pool: &'p Pool, local: &mut Local) -> Turn {
        self.steps -= 1;
        if self.steps == 0 {
            return Turn::Unclear;
        }
        match self.next {
            Next::Reference(loc) => {
                let item = self.view.reference(loc);
                self.look_at(item);
                Turn::On
            }
            Next::Root => self.begin(pool),
            Next::Item(item) => match item.kind() {
                Kind::Leaf | Kind::LongLeaf => self.finish(pool, item, local),
                Kind::N4 | Kind::N16 | Kind::Bitmap => self.descend(item),
                Kind::Crossing => self.enter(pool, self.view.crossing(item.at())),
                Kind::Null | Kind::Unknown => Turn::Unclear,
            },
        }
    }

    /// Goes through the root frame, to what follows in the next one or to a leaf.
    #[inline]
    fn begin(&mut self, pool: &'p Pool) -> Turn {
        let words = pool.wide(self.seen);
        let root = self.row.root(self.view, 0);
        let Reached { at, from } = reach(pool.counting, words, root, self.key, 0);
        self.from = from;
        if at.kind() == Kind::Crossing {
            return self.enter(pool, self.view.crossing(at.at()));
        }
        if at == Reached::NOTHING {
            return self.missing();
        }
        self.look_at(at);
        Turn::On
    }

    /// Asks for what the next turn reads of `item`.
    #[inline]
    fn look_at(&mut self, item: Ref) {
        let at = item.at();
        self.view.prefetch(at);
        // The suffix or the value of a leaf, the references of a larger node.
        if item.kind() != Kind::N4 && item.kind() != Kind::Crossing {
            self.view.prefetch(at + 8);
        }
        self.next = Next::Item(item);
    }

    fn missing(&self) -> Turn {
        if self.row.latch().validate(self.seen) { Turn::Missing } else { Turn::Unclear }
    }

    /// Follows a crossing. The table of frames is small, so its word is not waited for
    /// by a turn of its own.
    fn enter(&mut self, pool: &'p Pool, target: Target) -> Turn {
        let child = pool.row(target.frame).map(|child| (child, child.latch().observe()));
        // P5.1: the child's word is read before the parent is validated.
        if !self.row.latch().validate(self.seen) {
            return Turn::Unclear;
        }
        let Some((row, seen)) = child.filter(|(_, seen)| seen.slot() != NO_SLOT) else {
            return Turn::Unclear;
        };
        (self.row, self.seen, self.view) = (row, seen, pool.view(seen));
        let entry = usize::from(target.entry);
        match row.copied_root(entry) {
            Some(root) => self.look_at(root),
            None => {
                let loc = Loc::entry(entry);
                self.view.prefetch(loc.word());
                self.next = Next::Reference(loc);
            }
        }
        Turn::On
    }

    fn descend(&mut self, item: Ref) -> Turn {
        let node = Node::read(self.view, item);
        let prefix = node.prefix_len();
        let end = self.from + prefix;
        if prefix != 0
            && (end > self.key.len()
                || !equal(self.view, node.prefix_at(), prefix, self.key, self.from))
        {
            return self.missing();
        }
        let Some(byte) = self.key.byte(end) else {
            let value = node.value();
            if value.is_null() {
                return self.missing();
            }
            self.from = end;
            self.look_at(value);
            return if value.is_leaf() { Turn::On } else { Turn::Unclear };
        };
        let Some(loc) = node.find(byte) else { return self.missing() };
        self.from = end + 1;
        if loc.word() < node.at() + 16 {
            let child = self.view.reference(loc);
            self.look_at(child);
        } else {
            // A large bitmap: the reference is in a line that has not been asked for.
            self.view.prefetch(loc.word());
            self.next = Next::Reference(loc);
        }
        Turn::On
    }

    fn finish(&mut self, pool: &Pool, item: Ref, local: &mut Local) -> Turn {
        let leaf = Leaf::read(self.view, item);
        if !leaf.matches(self.view, self.key, self.from) {
            return self.missing();
        }
        let taken = local.take(pool, self.view, &leaf);
        if taken == Taken::Done && self.row.latch().validate(self.seen) {
            Turn::Found(Version::of_leaf(leaf.version))
        } else {
            Turn::Unclear
        }
    }
}
