//! Longest prefix match: the nearest record above a key, in one descent.

use super::Tree;
use super::entry::Entry;
use super::get::{ATTEMPTS, Attempt, Taken, append_value};
use super::outcome::Version;
use super::snapshot::SnapshotTree;
use super::under::MAX_STILL;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::leaf::{Leaf, equal};
use crate::frame::node::Node;
use crate::frame::{Kind, Loc, Ref, View};
use crate::pool::Pool;
use crate::pool::blobs::BLOB_OBJECT;
use crate::pool::latch::NO_SLOT;

/// The best match so far: its length and version. Its value is in the caller's buffer.
type Match = Option<(usize, Version)>;

impl Tree {
    /// The record with the longest key that `key` begins with, `key` itself included.
    ///
    /// The answer is that of one moment: all frames on the way are validated at the end. Only
    /// a reader that has lost every race against writers asks for one length after the
    /// other, and then each of these answers is that of a moment of its own.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Entry};
    ///
    /// let map = Art::new()?;
    /// map.put(b"/api/", b"all")?;
    /// map.put(b"/api/v2/users/", b"users")?;
    /// let found = map.tree().longest_prefix(b"/api/v2/groups")?;
    /// assert_eq!(found.map(Entry::into_name), Some(b"/api/".to_vec()));
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn longest_prefix(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let moves = &self.pool.moves;
        let mut value = Vec::new();
        for _ in 0..ATTEMPTS {
            let seen = moves.begin();
            let read = self.try_longest(Key::new(key), &mut value);
            if !moves.unchanged(seen) {
                continue;
            }
            let read = match read {
                Err(error) => {
                    self.pool.resolve(error)?;
                    continue;
                }
                Ok(read) => read,
            };
            if let Attempt::Done(found) = read {
                return Ok(
                    found.map(|(length, version)| Entry::record(&key[..length], &value, version))
                );
            }
        }
        // Lost every race. Gets end under any writers, so the prefixes are asked for one by one.
        for length in (0..=key.len()).rev() {
            if let Some(version) = self.get_into(&key[..length], &mut value)? {
                return Ok(Some(Entry::record(&key[..length], &value, version)));
            }
        }
        Ok(None)
    }

    /// One optimistic descent, which takes every record that it passes.
    fn try_longest(&self, key: Key<'_>, value: &mut Vec<u8>) -> Result<Attempt<Match>, Error> {
        let pool = &*self.pool;
        let mut number = self.root;
        let mut latch = pool.latch(number).ok_or(Error::MissingFrame { frame: number })?;
        let mut seen = latch.observe();
        let mut loc = Loc::entry(0);
        let mut from = 0;
        let mut best: Match = None;
        let mut lacks = None;
        let mut passed = Vec::new();
        for _ in 0..=key.len() + MAX_STILL {
            let view = pool.view(seen);
            let mut walk = Walk { pool, view, key, from, best, lacks, value: &mut *value };
            let crossing = walk.run(loc);
            (from, best, lacks) = (walk.from, walk.best, walk.lacks);
            let target = match crossing {
                Ok(Some(at)) => view.crossing(at),
                other => {
                    passed.push((latch, seen));
                    if !passed.iter().all(|(latch, seen)| latch.validate(*seen)) {
                        return Ok(Attempt::Again);
                    }
                    return match other {
                        Err(Garbage) => Err(Error::Damaged { frame: number }),
                        Ok(_) => whole(best, lacks).map(Attempt::Done),
                    };
                }
            };
            let child = pool.latch(target.frame).map(|child| (child, child.observe()));
            // P5.1: the child's word is read before the parent is validated.
            if !latch.validate(seen) {
                return Ok(Attempt::Again);
            }
            passed.push((latch, seen));
            number = target.frame;
            match child {
                Some((child, word)) if word.slot() != NO_SLOT => (latch, seen) = (child, word),
                child => {
                    pool.miss(number, child.map(|(_, seen)| seen))?;
                    return Ok(Attempt::Again);
                }
            }
            loc = Loc::entry(usize::from(target.entry));
        }
        Err(Error::Damaged { frame: number })
    }
}

impl SnapshotTree {
    /// As [`Tree::longest_prefix`].
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn longest_prefix(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let mut value = Vec::new();
        let pool = self.snapshot().pool();
        let found = pool.fetching(|| self.longest_once(Key::new(key), &mut value))?;
        Ok(found.map(|(length, version)| Entry::record(&key[..length], &value, version)))
    }

    fn longest_once(&self, key: Key<'_>, value: &mut Vec<u8>) -> Result<Match, Error> {
        let past = self.snapshot().past();
        let mut number = self.root().get();
        let mut loc = Loc::entry(0);
        let mut from = 0;
        let mut best: Match = None;
        let mut lacks = None;
        for _ in 0..=key.len() + MAX_STILL {
            let view = past.frame(number)?;
            let pool = past.pool();
            let mut walk = Walk { pool, view, key, from, best, lacks, value: &mut *value };
            let crossing = walk.run(loc).map_err(|Garbage| Error::Damaged { frame: number })?;
            (from, best, lacks) = (walk.from, walk.best, walk.lacks);
            let Some(at) = crossing else { return whole(best, lacks) };
            let target = view.crossing(at);
            number = target.frame;
            loc = Loc::entry(usize::from(target.entry));
        }
        Err(Error::Damaged { frame: number })
    }
}

/// The match, unless it lacks its value.
fn whole(best: Match, lacks: Option<u32>) -> Result<Match, Error> {
    match lacks {
        Some(number) => Err(Error::Absent { object: BLOB_OBJECT | u64::from(number) }),
        None => Ok(best),
    }
}

/// Something that no writer stores.
struct Garbage;

/// The descent inside one frame.
struct Walk<'p, 'a> {
    pool: &'p Pool,
    view: View<'p>,
    key: Key<'a>,
    from: usize,
    best: Match,
    /// The blob with the value of the best match, if it is not in memory. A longer match makes it
    /// needless.
    lacks: Option<u32>,
    value: &'a mut Vec<u8>,
}

impl Walk<'_, '_> {
    /// Goes down from `loc`; returns where the crossing stands at which it has to go on.
    fn run(&mut self, loc: Loc) -> Result<Option<usize>, Garbage> {
        let mut item = self.view.reference(loc);
        if item.is_null() {
            // Only an empty tree has nothing at its root.
            return Ok(None);
        }
        loop {
            match item.kind() {
                Kind::Crossing => return Ok(Some(item.at())),
                Kind::Leaf | Kind::LongLeaf => return self.take(item).map(|()| None),
                Kind::N4 | Kind::N16 | Kind::Bitmap => {
                    let node = Node::read(self.view, item);
                    let prefix = node.prefix_len();
                    if self.from + prefix > self.key.len()
                        || !equal(self.view, node.prefix_at(), prefix, self.key, self.from)
                    {
                        return Ok(None);
                    }
                    self.from += prefix;
                    if !node.value().is_null() {
                        self.take(node.value())?;
                    }
                    let child = self.key.byte(self.from).and_then(|byte| node.find(byte));
                    let Some(loc) = child else { return Ok(None) };
                    self.from += 1;
                    item = self.view.reference(loc);
                }
                Kind::Null | Kind::Unknown => return Err(Garbage),
            }
        }
    }

    /// Takes the record of `item` if the key begins with its key.
    fn take(&mut self, item: Ref) -> Result<(), Garbage> {
        if !item.is_leaf() {
            return Err(Garbage);
        }
        let leaf = Leaf::read(self.view, item);
        if !leaf.plausible() {
            return Err(Garbage);
        }
        let end = self.from + leaf.suffix;
        if end > self.key.len() || !equal(self.view, leaf.data, leaf.suffix, self.key, self.from) {
            return Ok(());
        }
        self.value.clear();
        self.lacks = None;
        match append_value(self.pool, self.view, &leaf, self.value) {
            Taken::Done => {}
            Taken::Absent => self.lacks = Some(leaf.blob_number(self.view)),
            Taken::Garbage => return Err(Garbage),
        }
        self.best = Some((end, Version::of_leaf(leaf.version)));
        Ok(())
    }
}
