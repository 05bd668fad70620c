//! What a transaction and the lists that it has begun have in common.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use holt_art::{Scan, Version};
use holt_codec::{BatchBuf, Op, Record};
use holt_journal::disk::Disk;

use super::merge::Merged;
use super::notes::{Notes, Touched};
use super::view::{Found, View};
use crate::commit::{Commit, Request};
use crate::core::{Core, Lease};
use crate::error::Error;
use crate::options::Durability;
use crate::outcome::Moved;
use crate::snapshot::{Snapshot, SnapshotTree};
use crate::sync::{Arc, Mutex, MutexGuard, lock};
use crate::tree::Tree;

/// See the module's documentation.
pub(crate) struct Shared<D: Disk> {
    lease: Arc<Lease<D>>,
    state: Mutex<State<D>>,
}

pub(super) struct State<D: Disk> {
    trees: Vec<Touched<D>>,
    snapshot: Option<Snapshot<D>>,
    /// The trees that were written, by id.
    pub(super) views: BTreeMap<u64, View>,
    /// What was put down of it, in order.
    ops: BatchBuf,
    pub(super) notes: Notes,
    /// Whether something was to be read that is younger than the snapshot.
    stale: bool,
    /// Whether the attempt has ended.
    over: bool,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is done.
    Done,
    /// Something that was read has changed.
    Changed,
    /// Others have written while room was made, and whether that has changed what was read can no longer be
    /// told.
    Overtaken,
}

/// One tree of a transaction, for lists.
pub(crate) struct Reader<D: Disk> {
    pub(super) tree: SnapshotTree<D>,
    live: Tree<D>,
    pub(super) shared: Arc<Shared<D>>,
}

impl<D: Disk> Shared<D> {
    pub(super) fn new(lease: &Arc<Lease<D>>) -> Arc<Shared<D>> {
        let state = State {
            trees: Vec::new(),
            snapshot: None,
            views: BTreeMap::new(),
            ops: BatchBuf::new(),
            notes: Notes::default(),
            stale: false,
            over: false,
        };
        Arc::new(Shared { lease: Arc::clone(lease), state: Mutex::new(state) })
    }

    fn core(&self) -> &Core<D> {
        self.lease.core()
    }

    /// The state, while the attempt lasts.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionOver`].
    pub(super) fn state(&self) -> Result<MutexGuard<'_, State<D>>, Error> {
        let state = lock(&self.state);
        if state.over { Err(Error::TransactionOver) } else { Ok(state) }
    }

    /// The state and, of a tree of this database that is there, its place among the trees.
    pub(super) fn touch(&self, tree: &Tree<D>) -> Result<(MutexGuard<'_, State<D>>, usize), Error> {
        if !std::ptr::eq(tree.core(), self.core()) {
            return Err(Error::OtherDatabase);
        }
        let named = tree.named();
        named.check()?;
        let mut state = self.state()?;
        let known = state.trees.iter().position(|touched| touched.named.id == named.id);
        let index = known.unwrap_or_else(|| {
            state.trees.push(Touched { named: Arc::clone(named), past: None });
            state.trees.len() - 1
        });
        Ok((state, index))
    }

    /// The tree as it was when the transaction began to read.
    pub(super) fn past(
        &self,
        state: &mut State<D>,
        index: usize,
    ) -> Result<SnapshotTree<D>, Error> {
        if let Some(past) = &state.trees[index].past {
            return Ok(past.clone());
        }
        let snapshot = match &state.snapshot {
            Some(snapshot) => snapshot,
            None => state.snapshot.insert(Snapshot::take(&self.lease)?),
        };
        match snapshot.tree_of(&state.trees[index].named)? {
            Some(past) => {
                state.trees[index].past = Some(past.clone());
                Ok(past)
            }
            None => {
                state.stale = true;
                Err(Error::Conflict { attempts: 1 })
            }
        }
    }

    /// For lists of a tree.
    pub(super) fn reader(self: &Arc<Self>, tree: &Tree<D>) -> Result<Reader<D>, Error> {
        Ok(self.reading(tree)?.1)
    }

    /// The state, and what reads a tree.
    fn reading(
        self: &Arc<Self>,
        tree: &Tree<D>,
    ) -> Result<(MutexGuard<'_, State<D>>, Reader<D>), Error> {
        let (mut state, index) = self.touch(tree)?;
        let past = self.past(&mut state, index)?;
        let reader = Reader { tree: past, live: tree.clone(), shared: Arc::clone(self) };
        Ok((state, reader))
    }

    /// Reads a key: hands what was written to `own`, and the key that the snapshot has for it to `past`, which
    /// also returns the version that it finds.
    pub(super) fn read<R>(
        &self,
        tree: &Tree<D>,
        key: &[u8],
        own: impl FnOnce(Option<&[u8]>) -> R,
        past: impl FnOnce(&SnapshotTree<D>, &[u8]) -> Result<(R, Option<Version>), Error>,
    ) -> Result<R, Error> {
        let (mut state, index) = self.touch(tree)?;
        let id = tree.named().id;
        let key = match state.views.get(&id).map(|view| view.find(key)) {
            Some(Found::Own(value)) => return Ok(own(value)),
            Some(Found::Nowhere) => return Ok(own(None)),
            Some(Found::Past(key)) => key,
            None => Cow::Borrowed(key),
        };
        let (found, version) = past(&self.past(&mut state, index)?, &key)?;
        state.notes.key(id, &key, version);
        Ok(found)
    }

    /// Keeps a write back until the commit.
    pub(super) fn write(
        &self,
        tree: &Tree<D>,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        self.core().log()?;
        let (mut state, _) = self.touch(tree)?;
        state.views.entry(tree.named().id).or_default().write(key, value);
        Ok(())
    }

    /// Keeps the removal of a prefix back until the commit.
    pub(super) fn remove_prefix(&self, tree: &Tree<D>, prefix: &[u8]) -> Result<(), Error> {
        self.core().log()?;
        let (mut state, _) = self.touch(tree)?;
        let tree = tree.named().id;
        push(&mut state.ops, &Op::DeletePrefix { tree, prefix })?;
        state.views.entry(tree).or_default().remove_prefix(prefix);
        Ok(())
    }

    /// Looks whether a prefix may be renamed, and keeps that back until the commit.
    pub(super) fn rename_prefix(
        self: &Arc<Self>,
        tree: &Tree<D>,
        (from, to): (&[u8], &[u8]),
        replace: bool,
    ) -> Result<Moved, Error> {
        self.core().log()?;
        let (mut state, reader) = self.reading(tree)?;
        let state = &mut *state;
        if state.is_empty(&reader, from)? {
            return Ok(Moved::Missing);
        }
        if from == to {
            return Ok(Moved::Unchanged);
        }
        if !replace && state.is_occupied(&reader, from, to)? {
            return Ok(Moved::Occupied);
        }
        let tree = tree.named().id;
        let view = state.views.entry(tree).or_default();
        // What is replaced need not be put there before.
        let moved: &[&[u8]] = if replace { &[from] } else { &[from, to] };
        for prefix in moved {
            view.put_down(prefix, |key, value| push(&mut state.ops, &write(tree, key, value)))?;
        }
        push(&mut state.ops, &Op::RenamePrefix { tree, from, to, replace })?;
        view.rename_prefix(from, to);
        // The version that lists tell of what the transaction has written.
        Ok(Moved::Done(Version::MAX))
    }

    /// Whether no key begins with `prefix`.
    pub(super) fn is_prefix_empty(
        self: &Arc<Self>,
        tree: &Tree<D>,
        prefix: &[u8],
    ) -> Result<bool, Error> {
        let (mut state, reader) = self.reading(tree)?;
        state.is_empty(&reader, prefix)
    }

    /// Number of keys that begin with `prefix`.
    pub(super) fn count(self: &Arc<Self>, tree: &Tree<D>, prefix: &[u8]) -> Result<u64, Error> {
        self.core().check_open()?;
        let (mut state, reader) = self.reading(tree)?;
        let State { views, notes, .. } = &mut *state;
        let (id, frames) = (reader.id(), reader.tree.frames());
        let none = View::default();
        let view = views.get(&id).unwrap_or(&none);
        let mut count = 0_u64;
        for (past, there) in view.mounts().counted(prefix) {
            let found = frames.count(&past)?;
            notes.count(id, &past, found);
            // Which of them are subtracted first is left open, so on the way it may be below zero.
            count = if there { count.wrapping_add(found) } else { count.wrapping_sub(found) };
        }
        for (key, own) in view.below(prefix) {
            let mut was = false;
            if let Some(past) = view.past(key) {
                let version = frames.version(&past)?;
                notes.key(id, &past, version);
                was = version.is_some();
            }
            let change = u64::from(own.value.is_some()).wrapping_sub(u64::from(was));
            count = count.wrapping_add(change);
        }
        Ok(count)
    }

    /// Ends the attempt. Says whether it saw what it should not have, and returns its state.
    pub(super) fn end(&self) -> (bool, State<D>) {
        let mut state = lock(&self.state);
        let ended = State {
            trees: std::mem::take(&mut state.trees),
            snapshot: state.snapshot.take(),
            views: std::mem::take(&mut state.views),
            ops: std::mem::take(&mut state.ops),
            notes: std::mem::take(&mut state.notes),
            stale: state.stale,
            over: true,
        };
        state.over = true;
        (state.stale, ended)
    }

    /// Applies what an attempt has written, if what it has read is still so. If it is to `persist`, it keeps
    /// what it needs to look again if room has to be made, at the price of copies of frames that it changes.
    pub(super) fn commit(
        &self,
        ended: State<D>,
        durability: Durability,
        persist: bool,
    ) -> Result<End, Error> {
        let State { mut trees, mut snapshot, mut views, mut ops, notes, .. } = ended;
        for (&tree, view) in &mut views {
            view.put_down(b"", |key, value| push(&mut ops, &write(tree, key, value)))?;
        }
        if ops.is_empty() {
            return Ok(End::Done);
        }
        let named: Vec<_> = trees.iter().map(|touched| Arc::clone(&touched.named)).collect();
        let record = Some(Record::from(ops.as_batch()?));
        let request = Request { trees: &named, guards: &[], record, gentle: &[] };
        let since = snapshot.as_ref().map(Snapshot::log_address);
        let mut let_go = |trees: &mut Vec<Touched<D>>| {
            trees.iter_mut().for_each(|touched| touched.past = None);
            snapshot = None;
        };
        // Frames need not be kept for what is not looked at any more.
        if !notes.need_past() {
            let_go(&mut trees);
        }
        let core = self.core();
        // Where the log ended when what was read was known to be so.
        let mut held = since;
        let (mut compared, mut overtaken) = (false, false);
        let done = core.commit_if(&request, durability, |taken_back| {
            let now = core.log_address();
            // Without a write by others since then there is nothing to compare.
            let unchanged = held.is_none_or(|held| held == now) || taken_back == Some(now);
            overtaken = !unchanged && compared && !persist && notes.need_past();
            let holds = unchanged || (!overtaken && notes.hold(&trees)?);
            held = since.and(Some(now));
            compared = true;
            if !persist {
                let_go(&mut trees);
            }
            Ok(holds)
        })?;
        Ok(match done {
            Some(Commit::Done(_)) => End::Done,
            // What was looked at under the same gate is as it was: somebody else has used the transaction
            // while it did so, and the operations are not in the order in which they were judged.
            Some(Commit::Failed(_)) => End::Changed,
            None if overtaken => End::Overtaken,
            None => End::Changed,
        })
    }
}

impl<D: Disk> State<D> {
    /// Whether no key begins with `prefix`.
    fn is_empty(&mut self, reader: &Reader<D>, prefix: &[u8]) -> Result<bool, Error> {
        let id = reader.id();
        let none = View::default();
        let view = self.views.get(&id).unwrap_or(&none);
        if view.below(prefix).any(|(_, own)| own.value.is_some()) {
            return Ok(false);
        }
        if view.below(prefix).next().is_some() || view.mounts().divide(prefix) {
            return Ok(!self.any(reader, Scan::prefix(prefix))?);
        }
        // All of it lies in one place, so it is asked for as one.
        let Some(past) = view.mounts().origin_of(prefix) else { return Ok(true) };
        let empty = reader.tree.frames().is_prefix_empty(&past)?;
        self.notes.empty(id, &past, empty);
        Ok(empty)
    }

    /// Whether there is a key that `scan` asks for.
    fn any(&mut self, reader: &Reader<D>, scan: Scan) -> Result<bool, Error> {
        let scan = scan.keys_only(true);
        Ok(Merged::begin(reader.clone(), scan, self).advance(self)?.is_some())
    }

    /// Whether another key than those that begin with `from` begins with `to`.
    fn is_occupied(&mut self, reader: &Reader<D>, from: &[u8], to: &[u8]) -> Result<bool, Error> {
        if !from.starts_with(to) {
            return Ok(!self.is_empty(reader, to)?);
        }
        let (within, below) = (Scan::prefix(to), Scan::prefix(from));
        let (lower, upper) = (within.bounds().0, within.bounds().1);
        let (first, end) = below.bounds();
        let turned = |bound: Bound<&[u8]>| match bound {
            Bound::Included(key) => Some(Bound::Excluded(key.to_vec())),
            Bound::Excluded(key) => Some(Bound::Included(key.to_vec())),
            Bound::Unbounded => None,
        };
        let owned = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
        for (lower, upper) in
            [(Some(owned(lower)), turned(first)), (turned(end), Some(owned(upper)))]
        {
            if let (Some(lower), Some(upper)) = (lower, upper)
                && self.any(reader, Scan::range((lower, upper)))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The operation that a write is.
fn write<'a>(tree: u64, key: &'a [u8], value: Option<&'a [u8]>) -> Op<'a> {
    match value {
        Some(value) => Op::Put { tree, key, value },
        None => Op::Delete { tree, key },
    }
}

/// # Errors
///
/// [`Error::BatchTooLong`].
fn push(ops: &mut BatchBuf, op: &Op<'_>) -> Result<(), Error> {
    ops.push(op).map_err(|error| match error {
        holt_codec::Error::RecordTooLong { len } => Error::BatchTooLong { bytes: len },
        error => error.into(),
    })
}

impl<D: Disk> Reader<D> {
    pub(crate) fn core(&self) -> &Core<D> {
        self.live.core()
    }

    pub(crate) fn id(&self) -> u64 {
        self.live.named().id
    }

    /// # Errors
    ///
    /// [`Error::TreeDropped`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.live.named().check()
    }
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Reader<D> {
        let (tree, live) = (self.tree.clone(), self.live.clone());
        Reader { tree, live, shared: Arc::clone(&self.shared) }
    }
}
