//! What a transaction and the lists that it has begun have in common.

use std::collections::BTreeMap;

use holt_codec::{BatchBuf, Op, Record};
use holt_journal::disk::Disk;

use super::notes::{Notes, Touched};
use crate::commit::Request;
use crate::core::{Core, Lease};
use crate::error::Error;
use crate::options::Durability;
use crate::snapshot::{Snapshot, SnapshotTree};
use crate::sync::{Arc, Mutex, MutexGuard, lock};
use crate::tree::Tree;

/// What a transaction puts under its keys, or that it removes them.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// See the module's documentation.
pub(crate) struct Shared<D: Disk> {
    lease: Arc<Lease<D>>,
    state: Mutex<State<D>>,
}

pub(super) struct State<D: Disk> {
    trees: Vec<Touched<D>>,
    snapshot: Option<Snapshot<D>>,
    /// By id of the tree.
    pub(super) writes: BTreeMap<u64, Writes>,
    pub(super) notes: Notes,
    /// Whether something was to be read that is younger than the snapshot.
    stale: bool,
    /// Whether the attempt has ended.
    over: bool,
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
            writes: BTreeMap::new(),
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
        let (mut state, index) = self.touch(tree)?;
        let past = self.past(&mut state, index)?;
        drop(state);
        Ok(Reader { tree: past, live: tree.clone(), shared: Arc::clone(self) })
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
        state.writes.entry(tree.named().id).or_default().insert(key.to_vec(), value);
        Ok(())
    }

    /// Ends the attempt. Says whether it saw what it should not have, and returns its state.
    pub(super) fn end(&self) -> (bool, State<D>) {
        let mut state = lock(&self.state);
        let ended = State {
            trees: std::mem::take(&mut state.trees),
            snapshot: state.snapshot.take(),
            writes: std::mem::take(&mut state.writes),
            notes: std::mem::take(&mut state.notes),
            stale: state.stale,
            over: true,
        };
        state.over = true;
        (state.stale, ended)
    }

    /// Applies what an attempt has written, if what it has read is still so; says whether it was.
    pub(super) fn commit(&self, ended: State<D>, durability: Durability) -> Result<bool, Error> {
        let State { mut trees, mut snapshot, writes, notes, .. } = ended;
        if writes.is_empty() {
            return Ok(true);
        }
        let mut batch = BatchBuf::new();
        for (&tree, writes) in &writes {
            for (key, value) in writes {
                let op = match value {
                    Some(value) => Op::Put { tree, key, value },
                    None => Op::Delete { tree, key },
                };
                batch.push(&op).map_err(|error| match error {
                    holt_codec::Error::RecordTooLong { len } => Error::BatchTooLong { bytes: len },
                    error => error.into(),
                })?;
            }
        }
        let named: Vec<_> = trees.iter().map(|touched| Arc::clone(&touched.named)).collect();
        let record = Some(Record::from(batch.as_batch()?));
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
        let done = core.commit_if(&request, durability, || {
            // Without a write since then there is nothing to compare.
            let hold =
                since.is_none_or(|since| since == core.log_address()) || notes.hold(&trees)?;
            let_go(&mut trees);
            Ok(hold)
        })?;
        Ok(done.is_some())
    }
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
