//! Point reads: optimistic descents that write no shared memory.

use super::Tree;
use super::outcome::Version;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::leaf::Leaf;
use crate::frame::reach::{Reached, reach};
use crate::frame::walk::{End, Site, walk};
use crate::frame::{Kind, Loc, View};
use crate::pool::blobs::{BLOB_OBJECT, Copied};
use crate::pool::latch::NO_SLOT;
use crate::pool::{Latched, Moving, Pool, Soon};

/// Optimistic attempts before a reader takes latches, so that it ends under any writers.
pub(super) const ATTEMPTS: usize = 64;

/// Longest value that a get keeps on the stack, in bytes.
const ON_STACK: usize = 256;

/// Longest value that takes the shortest way, in bytes: not much has to be cleared for it.
const SHORT: usize = 120;

/// What one attempt to read came to.
pub(super) enum Attempt<T> {
    /// All that was read belongs to one state.
    Done(T),
    /// A frame changed meanwhile.
    Again,
}

/// What taking a leaf's value came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It was copied.
    Done,
    /// It is in a blob that is not in memory.
    Absent,
    /// The leaf is garbage.
    Garbage,
}

impl Taken {
    /// The outcome of a read of a leaf that is known to be one of frame `number`.
    #[inline]
    pub(super) fn found(self, number: u32, view: View<'_>, leaf: &Leaf) -> Result<Version, Error> {
        match self {
            Self::Done => Ok(Version::of_leaf(leaf.version)),
            Self::Absent => {
                Err(Error::Absent { object: BLOB_OBJECT | u64::from(leaf.blob_number(view)) })
            }
            Self::Garbage => Err(Error::Damaged { frame: number }),
        }
    }
}

/// A copy of a leaf's value that is taken inside the validated read.
pub(super) trait Take {
    /// Copies the value of a plausible leaf.
    fn copy(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken;

    /// Copies the value.
    #[inline]
    fn take(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken {
        if leaf.plausible() { self.copy(pool, view, leaf) } else { Taken::Garbage }
    }
}

/// Appends to a caller's buffer.
pub(super) struct IntoVec<'a>(pub(super) &'a mut Vec<u8>);

impl Take for IntoVec<'_> {
    #[inline]
    fn copy(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken {
        self.0.clear();
        append_value(pool, view, leaf, self.0)
    }
}

/// Appends the value of a plausible leaf to `out`.
#[inline]
pub(super) fn append_value(pool: &Pool, view: View<'_>, leaf: &Leaf, out: &mut Vec<u8>) -> Taken {
    if leaf.blob {
        return match pool.blobs.read(leaf.blob_number(view), leaf.value, out) {
            Copied::Done => Taken::Done,
            Copied::Absent => Taken::Absent,
            Copied::Gone => Taken::Garbage,
        };
    }
    let start = out.len();
    out.resize(start + leaf.value, 0);
    leaf.copy_value(view, &mut out[start..]);
    Taken::Done
}

/// Takes short values on the stack and long ones in a vector.
pub(super) struct Local {
    /// Words as they are in the frame, with the value in them.
    short: [u8; SHORT + 8],
    /// Where in `short` the value begins.
    start: usize,
    length: usize,
    long: Option<Long>,
}

/// Where a value is that is not short.
#[expect(clippy::large_enum_variant, reason = "it is on the stack so that nothing is allocated")]
enum Long {
    Stack([u8; ON_STACK + 8]),
    Heap(Vec<u8>),
}

impl Local {
    #[inline]
    pub(super) fn new() -> Self {
        Self { short: [0; SHORT + 8], start: 0, length: 0, long: None }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        let whole = match &self.long {
            None => &self.short[..],
            Some(Long::Stack(bytes)) => bytes,
            Some(Long::Heap(bytes)) => bytes,
        };
        &whole[self.start..self.start + self.length]
    }

    /// Copies a value that is not short.
    #[cold]
    fn copy_long(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken {
        self.length = leaf.value;
        if leaf.blob || leaf.value > ON_STACK {
            self.start = 0;
            let mut bytes = match self.long.take() {
                Some(Long::Heap(bytes)) => bytes,
                _ => Vec::new(),
            };
            bytes.clear();
            let taken = append_value(pool, view, leaf, &mut bytes);
            self.long = Some(Long::Heap(bytes));
            return taken;
        }
        let mut bytes = [0; ON_STACK + 8];
        self.start = leaf.copy_value_words(view, &mut bytes);
        self.long = Some(Long::Stack(bytes));
        Taken::Done
    }
}

impl Take for Local {
    #[inline]
    fn copy(&mut self, pool: &Pool, view: View<'_>, leaf: &Leaf) -> Taken {
        if leaf.blob || leaf.value > SHORT {
            return self.copy_long(pool, view, leaf);
        }
        self.long = None;
        self.length = leaf.value;
        self.start = leaf.copy_value_words(view, &mut self.short);
        Taken::Done
    }
}

/// Only looks.
pub(super) struct Nothing;

impl Take for Nothing {
    #[inline]
    fn copy(&mut self, _: &Pool, _: View<'_>, _: &Leaf) -> Taken {
        Taken::Done
    }
}

impl Tree {
    /// Reads the value of `key` into a closure, without allocating for values of up to
    /// 256 bytes. The closure gets a private copy and runs after the read is over, so it
    /// may do anything, writing to the tree included.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`]; [`Error::MissingFrame`] when the tree is damaged.
    ///
    /// # Examples
    ///
    /// See [`Tree`].
    #[inline]
    pub fn get<R>(
        &self,
        key: &[u8],
        then: impl FnOnce(&[u8], Version) -> R,
    ) -> Result<Option<R>, Error> {
        let mut local = Local::new();
        let found = self.read(key, &mut local)?;
        Ok(found.map(|version| then(local.bytes(), version)))
    }

    /// As [`Tree::get`], for whoever is inside a move and would wait for himself there: what
    /// has been changed so far is seen.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn get_inside<R>(
        &self,
        _moving: &Moving<'_>,
        key: &[u8],
        then: impl FnOnce(&[u8], Version) -> R,
    ) -> Result<Option<R>, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let key = Key::new(key);
        let mut local = Local::new();
        // Nobody else changes frames; only a latch that a reader holds can be in the way. A value
        // is fetched here, as a move that began anew for each might never see all of them together.
        loop {
            match self.try_read(key, &mut local) {
                Ok(Attempt::Done(found)) => {
                    return Ok(found.map(|version| then(local.bytes(), version)));
                }
                Ok(Attempt::Again) => {}
                Err(Error::Absent { object }) if object >= BLOB_OBJECT => {
                    self.pool.resolve(Error::Absent { object })?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the value of `key` into `out`, replacing what is there, and returns its
    /// version. Without a record `out` has any content.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    #[inline]
    pub fn get_into(&self, key: &[u8], out: &mut Vec<u8>) -> Result<Option<Version>, Error> {
        self.read(key, &mut IntoVec(out))
    }

    /// The version of the record of `key`, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn version(&self, key: &[u8]) -> Result<Option<Version>, Error> {
        self.read(key, &mut Nothing)
    }

    #[inline]
    pub(super) fn read(&self, key: &[u8], take: &mut impl Take) -> Result<Option<Version>, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let key = Key::new(key);
        let moves = &self.pool.moves;
        for _ in 0..ATTEMPTS {
            let seen = moves.begin();
            let read = self.try_read(key, take);
            // A move in between may have hung what was read below another name.
            if !moves.unchanged(seen) {
                continue;
            }
            match read {
                Ok(Attempt::Done(found)) => return Ok(found),
                Ok(Attempt::Again) => {}
                Err(error) => self.pool.resolve(error)?,
            }
        }
        loop {
            let seen = moves.begin();
            let read = self.read_latched(key, take);
            if moves.unchanged(seen) {
                match read {
                    Err(error) => self.pool.resolve(error)?,
                    read => return read,
                }
            }
        }
    }

    /// One optimistic descent.
    #[inline]
    fn try_read(
        &self,
        key: Key<'_>,
        take: &mut impl Take,
    ) -> Result<Attempt<Option<Version>>, Error> {
        let pool = &*self.pool;
        let mut number = self.root;
        let mut row = pool.row(number).ok_or(Error::MissingFrame { frame: number })?;
        let mut seen = row.latch().observe();
        let mut entry = 0;
        let mut from = 0;
        // A crossing need not use up a byte of the key. In a sound tree there are fewer
        // of them than frames; a cycle in a damaged one ends here.
        for _ in 0..key.len() + 65 {
            let words = pool.wide(seen);
            let view = words.view();
            let reached = reach(pool.counting, words, row.root(view, entry), key, from);
            let at = reached.at;
            if at.kind() == Kind::Crossing {
                let target = view.crossing(at.at());
                let child = pool.row(target.frame).map(|child| (child, child.latch().observe()));
                // The parent is validated after the child's word has been read, and
                // that word is used to the end: see PROTOCOLS in ARCHITECTURE.md, P5.1.
                if !row.latch().validate(seen) {
                    return Ok(Attempt::Again);
                }
                number = target.frame;
                match child {
                    Some((child, word)) if word.slot() != NO_SLOT => (row, seen) = (child, word),
                    child => {
                        pool.miss(number, child.map(|(_, seen)| seen))?;
                        return Ok(Attempt::Again);
                    }
                }
                entry = usize::from(target.entry);
                from = reached.from;
                continue;
            }
            let found = if at.is_leaf() {
                view.prefetch(at.at() + 8);
                let leaf = Leaf::read(view, at);
                if leaf.matches(view, key, reached.from) {
                    take.take(pool, view, &leaf).found(number, view, &leaf).map(Some)
                } else {
                    Ok(None)
                }
            } else if at == Reached::NOTHING || (at.is_null() && number == self.root && entry == 0)
            {
                // The root of an empty tree, or no record in one that is not.
                Ok(None)
            } else {
                Err(Error::Damaged { frame: number })
            };
            if !row.latch().validate(seen) {
                return Ok(Attempt::Again);
            }
            return found.map(Attempt::Done);
        }
        Err(Error::Damaged { frame: number })
    }

    /// The descent of a reader that lost every race: latch after latch, parent before
    /// child.
    #[cold]
    fn read_latched(&self, key: Key<'_>, take: &mut impl Take) -> Result<Option<Version>, Error> {
        loop {
            let read = self.descend_latched(key, |frame, site| match site.end {
                End::Found => {
                    let view = frame.view();
                    let leaf = Leaf::read(view, site.at);
                    take.take(&self.pool, view, &leaf).found(frame.number(), view, &leaf).map(Some)
                }
                End::Garbage => Err(Error::Damaged { frame: frame.number() }),
                _ => Ok(None),
            })?;
            if let Some(found) = read {
                return Ok(found);
            }
        }
    }

    /// Descends with latches, handing over from parent to child, and calls `then` with
    /// the frame where the descent ended, still latched. `None` when a child's latch was
    /// not to be had while the parent's was held.
    pub(super) fn descend_latched<R>(
        &self,
        key: Key<'_>,
        then: impl FnOnce(&Latched<'_>, &Site) -> Result<R, Error>,
    ) -> Result<Option<R>, Error> {
        let missing = |frame| Error::MissingFrame { frame };
        let mut frame = self.pool.latch_now(self.root).ok_or(missing(self.root))?;
        let mut loc = Loc::entry(0);
        let mut from = 0;
        for _ in 0..=key.len() + 64 {
            let site = walk::<false>(frame.view(), loc, key, from);
            let End::Crossing(target) = site.end else {
                return then(&frame, &site).map(Some);
            };
            // A frame may hold subtrees that hang below one another.
            if target.frame != frame.number() {
                frame = match self.pool.latch_soon(target.frame) {
                    Soon::Latched(child) => child,
                    Soon::Missing => return self.pool.miss(target.frame, None).map(|()| None),
                    Soon::Busy => return Ok(None),
                };
            }
            loc = Loc::entry(usize::from(target.entry));
            from = site.from;
        }
        Err(Error::Damaged { frame: frame.number() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Art, PoolOptions};

    #[test]
    fn a_latched_read_finds_what_an_optimistic_one_does() {
        // Small, so that a memory checker has the address space.
        let map = Art::with_options(PoolOptions::with_bytes(64 << 20, 64 << 20)).unwrap();
        let key = |n: u32| format!("d{}/sub-{}/{n:05}", n % 7, n % 31).into_bytes();
        for n in 0..6_000 {
            let length = if n % 97 == 0 { 9_000 } else { n as usize % 400 };
            map.put(&key(n), &vec![n as u8; length]).unwrap();
        }
        assert!(map.tree().pool().stats().frames > 4);
        for n in 0..6_010 {
            let mut expected = Vec::new();
            let mut found = Vec::new();
            let version = map.tree().get_into(&key(n), &mut expected).unwrap();
            let key = key(n);
            let latched = map.tree().read_latched(Key::new(&key), &mut IntoVec(&mut found));
            assert_eq!(latched.unwrap(), version);
            assert_eq!(version.is_some(), n < 6_000);
            assert!(found == expected);
        }
        // Every latch has been given back.
        map.remove(&key(0)).unwrap();
        assert_eq!(map.verify(), []);
    }
}
