//! Reading a tree as it was when a snapshot was taken.

use super::count::Tally;
use super::cursor::Cursor;
use super::entry::Entry;
use super::get::{IntoVec, Local, Nothing, Take};
use super::outcome::Version;
use super::scan::Scan;
use super::source::Source;
use super::under::MAX_STILL;
use crate::MAX_KEY;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::leaf::Leaf;
use crate::frame::under::{Reach, Spot, walk_under};
use crate::frame::walk::{End, walk};
use crate::frame::{Loc, Target, View};
use crate::pool::{FrameId, Snapshot};

/// One tree of a [`Snapshot`], which it holds open. Cheap to clone.
///
/// It answers what a [`Tree`](super::Tree) does. Readers of it take no latch, wait for no
/// writer and never start again.
///
/// # Examples
///
/// ```
/// use holt_art::{Condition, Pool, PoolOptions, Scan, SnapshotTree, Version};
///
/// let pool = Pool::new(PoolOptions::default())?;
/// let tree = pool.create_tree(&pool.enter())?;
/// let version = || Version::new(1).unwrap();
/// for key in [b"a/1", b"a/2", b"b/1"] {
///     tree.put(&pool.enter(), key, b"value", Condition::Always, version)?;
/// }
/// let before: SnapshotTree = pool.snapshot(&pool.close_gate()).tree(tree.root())?;
/// tree.remove(&pool.enter(), b"a/1", Condition::Always, version)?;
/// assert_eq!((before.len(), tree.len()), (3, 2));
/// assert_eq!(before.count(b"a/")?, 2);
/// assert_eq!(before.version(b"a/1")?, Some(version()));
/// assert_eq!(before.get_into(b"a/1", &mut Vec::new())?, Some(version()));
/// assert_eq!(before.first(b"a/")?.unwrap().name(), b"a/1");
/// assert_eq!(before.last(b"a/")?.unwrap().name(), b"a/2");
/// assert_eq!(before.longest_prefix(b"a/1/x")?.unwrap().name(), b"a/1");
/// assert_eq!(before.cursor(Scan::all()).count(), 3);
/// assert!(!before.is_empty() && before.is_prefix_empty(b"c/")?);
/// assert_eq!(before.root(), tree.root());
/// assert_eq!(before.snapshot().pool().stats().frames, 1);
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SnapshotTree {
    snapshot: Snapshot,
    root: u32,
}

impl Snapshot {
    /// The tree whose root is the frame `root`, as it was. It need not exist any more.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFrame`] when there was no such frame; as [`Pool::fetch`](crate::Pool::fetch).
    pub fn tree(&self, root: FrameId) -> Result<SnapshotTree, Error> {
        self.pool().fetching(|| self.past().frame(root.0).map(drop))?;
        Ok(SnapshotTree { snapshot: self.clone(), root: root.0 })
    }
}

impl SnapshotTree {
    /// The snapshot that this tree is of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The root frame, as in [`Tree::root`](super::Tree::root).
    pub fn root(&self) -> FrameId {
        FrameId(self.root)
    }

    /// As [`Tree::get`](super::Tree::get).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get<R>(
        &self,
        key: &[u8],
        then: impl FnOnce(&[u8], Version) -> R,
    ) -> Result<Option<R>, Error> {
        let mut local = Local::new();
        let found = self.read(key, &mut local)?;
        Ok(found.map(|version| then(local.bytes(), version)))
    }

    /// As [`Tree::get_into`](super::Tree::get_into).
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn get_into(&self, key: &[u8], out: &mut Vec<u8>) -> Result<Option<Version>, Error> {
        self.read(key, &mut IntoVec(out))
    }

    /// The version of the record of `key`, if there was one.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn version(&self, key: &[u8]) -> Result<Option<Version>, Error> {
        self.read(key, &mut Nothing)
    }

    /// As [`Tree::get_many`](super::Tree::get_many), one key after the other and in order: what a
    /// descent of the past looks up is not to be had in advance.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Art;
    ///
    /// let map = Art::new()?;
    /// map.put(b"a", b"1")?;
    /// let pool = map.tree().pool();
    /// let before = pool.snapshot(&pool.close_gate()).tree(map.tree().root())?;
    /// map.put(b"b", b"2")?;
    /// let mut there = Vec::new();
    /// before.get_many(&["a", "b"], |at, record| there.push((at, record.is_some())))?;
    /// assert_eq!(there, [(0, true), (1, false)]);
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
        let mut local = Local::new();
        for (index, key) in keys.iter().enumerate() {
            let found = self.read(key.as_ref(), &mut local)?;
            then(index, found.map(|version| (local.bytes(), version)));
        }
        Ok(())
    }

    fn read(&self, key: &[u8], take: &mut impl Take) -> Result<Option<Version>, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        let key = Key::new(key);
        self.snapshot.pool().fetching(|| self.read_once(key, take))
    }

    fn read_once(&self, key: Key<'_>, take: &mut impl Take) -> Result<Option<Version>, Error> {
        let past = self.snapshot.past();
        let mut number = self.root;
        let mut loc = Loc::entry(0);
        let mut from = 0;
        // In a sound tree there are fewer crossings than frames; a cycle in a damaged one
        // ends here.
        for _ in 0..=key.len() + MAX_STILL {
            let view = past.frame(number)?;
            let site = walk::<false>(view, loc, key, from);
            match site.end {
                End::Crossing(target) => {
                    number = target.frame;
                    loc = Loc::entry(usize::from(target.entry));
                    from = site.from;
                }
                End::Found => {
                    let leaf = Leaf::read(view, site.at);
                    let taken = take.take(past.pool(), view, &leaf);
                    return taken.found(number, view, &leaf).map(Some);
                }
                End::Garbage => return Err(Error::Damaged { frame: number }),
                _ => return Ok(None),
            }
        }
        Err(Error::Damaged { frame: number })
    }

    /// Lists what `scan` asks for. The cursor holds the snapshot open.
    pub fn cursor(&self, scan: Scan) -> Cursor {
        Cursor::new(Source::snapshot(&self.snapshot, self.root), scan)
    }

    /// The first record whose key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn first(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        self.cursor(Scan::prefix(prefix).limit(1)).next().transpose()
    }

    /// The last record whose key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        self.cursor(Scan::prefix(prefix).reverse(true).limit(1)).next().transpose()
    }

    /// Number of records whose keys begin with `prefix`. The cost is by frames, not by records:
    /// frames keep count of what they hold.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn count(&self, prefix: &[u8]) -> Result<u64, Error> {
        let pool = self.snapshot.pool();
        // The past does not change, so each frame is looked at by itself: all of them need
        // not be in memory together.
        let look = |frame, look: &dyn Fn(View<'_>) -> Option<Tally>| {
            pool.fetching(|| {
                let past = self.snapshot.past();
                look(past.frame(frame)?).ok_or(Error::Damaged { frame })
            })
        };
        let Some((frame, entry, spot)) = pool.fetching(|| self.under(prefix))? else {
            return Ok(0);
        };
        let top = look(frame, &|view| Tally::of_end(view, entry, spot.loc, spot.at))?;
        let mut count = top.keys;
        let mut pending = top.crossings;
        while let Some(&Target { frame, .. }) = pending.last() {
            let first = pending.iter().rposition(|at| at.frame != frame).map_or(0, |at| at + 1);
            let entries: Vec<u16> = pending.drain(first..).map(|target| target.entry).collect();
            let found = look(frame, &|view| Tally::of_entries(view, entries.iter().copied()))?;
            count += found.keys;
            pending.extend(found.crossings);
        }
        Ok(count)
    }

    /// Number of records. As [`count`](Self::count) for the empty prefix, and zero for a
    /// damaged tree.
    pub fn len(&self) -> u64 {
        self.count(b"").unwrap_or(0)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.is_prefix_empty(b"").unwrap_or(false)
    }

    /// Whether no key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`](super::Tree::get).
    pub fn is_prefix_empty(&self, prefix: &[u8]) -> Result<bool, Error> {
        Ok(self.snapshot.pool().fetching(|| self.under(prefix))?.is_none())
    }

    /// Where the subtree of all keys that begin with `prefix` is: the frame, the entry through
    /// which the descent came in, and where it ended.
    fn under(&self, prefix: &[u8]) -> Result<Option<(u32, usize, Spot)>, Error> {
        if prefix.len() > MAX_KEY {
            return Ok(None);
        }
        let past = self.snapshot.past();
        let prefix = Key::new(prefix);
        let mut frame = self.root;
        let mut entry = 0;
        let mut from = 0;
        for _ in 0..=prefix.len() + MAX_STILL {
            let view = past.frame(frame)?;
            let spot = walk_under(view, Loc::entry(entry), prefix, from);
            match spot.reach {
                Reach::Under => return Ok(Some((frame, entry, spot))),
                Reach::Nothing => return Ok(None),
                Reach::Garbage => break,
                Reach::Crossing(target) => {
                    frame = target.frame;
                    entry = usize::from(target.entry);
                    from = spot.from;
                }
            }
        }
        Err(Error::Damaged { frame })
    }
}
