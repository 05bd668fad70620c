//! Several operations as one record: how they are checked, applied and logged together.
//!
//! 1. The permit for the whole record is taken. Nothing has happened yet.
//! 2. The gate is closed: nobody writes. The trees are looked at, the guards are checked, and the
//!    renames are resolved into what they put and remove. Whatever is refused is refused here.
//! 3. A trial begins (see [`holt_art::Trial`]): gets see all of what follows or nothing. The address
//!    is reserved and the operations are applied; operation *i* has the version *address + i*.
//! 4. If one fails, for want of memory, the trial is taken back and the place in the log becomes a
//!    record that means nothing. Otherwise the trial is kept and the record is published.
//!
//! No code of the user's runs while the gate is closed.

use std::borrow::Cow;
use std::collections::HashMap;

use holt_art::{Closed, Condition, Outlook, Version};
use holt_codec::{Op, Record};
use holt_journal::disk::Disk;

use crate::catalog::Named;
use crate::core::Core;
use crate::error::Error;
use crate::guard::{Guard, Guarded};
use crate::options::Durability;
use crate::sync::Arc;

/// What is to be done.
pub(crate) struct Request<'a> {
    /// The trees that guards and operations name.
    pub(crate) trees: &'a [Arc<Named>],
    /// What must hold before the first operation.
    pub(crate) guards: &'a [Guarded],
    /// The operations; none if there are only guards.
    pub(crate) record: Option<Record<'a>>,
    /// Which of the operations are renames that must replace nothing, ascending.
    pub(crate) gentle: &'a [u64],
}

/// What became of it.
pub(crate) enum Commit {
    /// The version of the first operation, if there were any.
    Done(Option<Version>),
    /// A guard failed and nothing has changed.
    Failed(Failure),
}

/// The guard that failed.
pub(crate) struct Failure {
    /// Which of the guards, or for a rename which of the operations.
    pub(crate) number: u64,
    pub(crate) tree: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) guard: Guard,
    pub(crate) found: Option<Version>,
}

/// One change of one key.
struct Step<'a> {
    tree: &'a holt_art::Tree,
    key: &'a [u8],
    /// The new value; none if the key goes.
    value: Option<Cow<'a, [u8]>>,
    /// The operation that it belongs to.
    number: u64,
}

impl<D: Disk> Core<D> {
    /// Does what is asked for, all or nothing.
    pub(crate) fn commit(
        &self,
        request: &Request<'_>,
        durability: Durability,
    ) -> Result<Commit, Error> {
        let log = self.log()?;
        let ops = operations(request.record.as_ref())?;
        let permit = match &request.record {
            Some(record) => Some(log.permit(record.encoded_len()?)?),
            None => None,
        };
        let closed = self.pool.close_gate();
        request.trees.iter().try_for_each(|named| named.check())?;
        let steps = match request.check().and_then(|failed| match failed {
            Some(failure) => Ok(Err(failure)),
            None => request.resolve(&ops),
        })? {
            Ok(steps) => steps,
            Err(failure) => {
                drop((closed, permit));
                self.rest(durability)?;
                return Ok(Commit::Failed(failure));
            }
        };
        let (Some(record), Some(permit)) = (&request.record, permit) else {
            drop(closed);
            self.rest(durability)?;
            return Ok(Commit::Done(None));
        };
        let bytes = steps.iter().flat_map(|step| &step.value).map(|value| value.len() as u64).sum();
        let outlook = Outlook { mutations: steps.len(), bytes, revocable: false };
        let trial = self.pool.trial(&closed, outlook);
        let reservation = permit.reserve();
        let first = reservation.version();
        match steps.iter().try_for_each(|step| step.apply(&closed, first)) {
            Ok(()) => trial.keep(),
            Err(error) => {
                if trial.take_back() {
                    reservation.skip();
                }
                // Else it is damage, and half of the record is applied: the reservation, which is
                // dropped unpublished, closes the log.
                return Err(error);
            }
        }
        drop(closed);
        self.publish(record, reservation, durability)?;
        Ok(Commit::Done(Some(first)))
    }
}

impl<'a> Request<'a> {
    fn tree(&self, id: u64) -> &'a holt_art::Tree {
        let named = self.trees.iter().find(|named| named.id == id);
        &named.expect("a request has the trees that it names").tree
    }

    /// The first guard that does not hold.
    fn check(&self) -> Result<Option<Failure>, Error> {
        for (number, Guarded { tree, key, guard }) in (0..).zip(self.guards) {
            if let Some(found) = guard.fails(self.tree(*tree), key)? {
                let (tree, key, guard) = (*tree, key.clone(), *guard);
                return Ok(Some(Failure { number, tree, key, guard, found }));
            }
        }
        Ok(None)
    }

    /// What the operations come to, key by key, in order.
    fn resolve(&self, ops: &[Op<'a>]) -> Result<Result<Vec<Step<'a>>, Failure>, Error> {
        let mut steps = Vec::with_capacity(ops.len());
        // The last step of each key so far, which only renames ask for.
        let mut last: HashMap<(u64, &[u8]), usize> = HashMap::new();
        let renames = ops.iter().any(|op| matches!(op, Op::Rename { .. }));
        for (number, op) in (0..).zip(ops) {
            let id = op.tree();
            let tree = self.tree(id);
            let mut push = |steps: &mut Vec<Step<'a>>, key, value| {
                if renames {
                    last.insert((id, key), steps.len());
                }
                steps.push(Step { tree, key, value, number });
            };
            match *op {
                Op::Put { key, value, .. } => push(&mut steps, key, Some(Cow::Borrowed(value))),
                Op::Delete { key, .. } => push(&mut steps, key, None),
                Op::Rename { from, to, .. } => {
                    let failed = |key: &[u8], guard, found| {
                        Ok(Err(Failure { number, tree: id, key: key.to_vec(), guard, found }))
                    };
                    let value = match last.get(&(id, from)) {
                        Some(step) => steps[*step].value.clone(),
                        None => tree.get(from, |value, _| Cow::Owned(value.to_vec()))?,
                    };
                    let Some(value) = value else { return failed(from, Guard::RenameSource, None) };
                    if self.gentle.binary_search(&number).is_ok() {
                        let found = match last.get(&(id, to)) {
                            Some(step) => steps[*step].value.is_some().then_some(None),
                            None => tree.version(to)?.map(Some),
                        };
                        if let Some(found) = found {
                            return failed(to, Guard::RenameTarget, found);
                        }
                    }
                    let mut push = |key, value| {
                        last.insert((id, key), steps.len());
                        steps.push(Step { tree, key, value, number });
                    };
                    push(to, Some(value));
                    if from != to {
                        push(from, None);
                    }
                }
                _ => unreachable!("no builder makes another operation"),
            }
        }
        Ok(Ok(steps))
    }
}

impl Step<'_> {
    fn apply(&self, closed: &Closed<'_>, first: Version) -> Result<(), Error> {
        let version = || {
            let number = first.get() + self.number;
            Version::new(number).expect("an operation's version lies within its record")
        };
        let pass = closed.pass();
        match &self.value {
            Some(value) => {
                let _ = self.tree.put(pass, self.key, value, Condition::Always, version)?;
            }
            None => {
                let _ = self.tree.remove(pass, self.key, Condition::Always, version)?;
            }
        }
        Ok(())
    }
}

/// The operations of a record.
fn operations<'a>(record: Option<&Record<'a>>) -> Result<Vec<Op<'a>>, Error> {
    match record {
        None => Ok(Vec::new()),
        Some(Record::Op(op)) => Ok(vec![*op]),
        Some(Record::Batch(batch)) => Ok(batch.ops().collect::<Result<_, _>>()?),
        Some(_) => unreachable!("only operations on keys are committed together"),
    }
}
