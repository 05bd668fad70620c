//! Several operations as one record: how they are checked, applied and logged together.
//!
//! 1. The permit for the whole record is taken. Nothing has happened yet.
//! 2. The gate is closed: nobody writes. The trees are looked at, the guards are checked, and the
//!    renames are resolved into what they put and remove, unless that depends on an operation on a
//!    prefix before them. What can be refused by now is refused here.
//! 3. A trial begins (see [`holt_art::Trial`]): gets see all of what follows or nothing. The address
//!    is reserved and the operations are applied; operation *i* has the version *address + i*.
//!    Frames that are wanted and not in memory are fetched before the gate is closed; if one is missing
//!    all the same, all is taken back, and begins anew.
//! 4. If one fails, for want of memory, or is refused, the trial is taken back and the place in the
//!    log becomes a record that means nothing. Otherwise the trial is kept and the record is published.
//!
//! No code of the user's runs while the gate is closed.

use std::borrow::Cow;
use std::collections::HashMap;

use holt_art::{Closed, Condition, Existing, Outlook, Put, Trial, Version};
use holt_codec::{Op, Record};
use holt_journal::disk::Disk;

use crate::catalog::Named;
use crate::core::Core;
use crate::error::Error;
use crate::guard::{Guard, Guarded};
use crate::options::Durability;
use crate::pressure::Patience;
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

/// Why an attempt failed, which has changed nothing.
enum Refused {
    /// Something may be done about it.
    Now(Error),
    /// Nothing may.
    ForGood(Error),
}

impl<E: Into<Error>> From<E> for Refused {
    fn from(error: E) -> Refused {
        Refused::Now(error.into())
    }
}

/// One change, of one key or of what begins with it.
struct Step<'a> {
    tree: &'a Named,
    key: &'a [u8],
    change: Change<'a>,
    /// The operation that it belongs to.
    number: u64,
}

enum Change<'a> {
    Put(Cow<'a, [u8]>),
    Remove,
    /// A rename whose value is known only when its turn comes.
    Rename {
        to: &'a [u8],
        gentle: bool,
    },
    RenamePrefix {
        to: &'a [u8],
        existing: Existing,
    },
    RemovePrefix,
}

impl<D: Disk> Core<D> {
    /// Does what is asked for, all or nothing.
    pub(crate) fn commit(
        &self,
        request: &Request<'_>,
        durability: Durability,
    ) -> Result<Commit, Error> {
        let done = self.commit_if(request, durability, |_| Ok(true))?;
        Ok(done.expect("there is no further condition"))
    }

    /// As [`commit`](Self::commit), if `valid` says so, which is asked when nobody else writes, and again
    /// if all begins anew; else none. If an attempt before has had a place in the log, it is told the address
    /// behind that.
    pub(crate) fn commit_if(
        &self,
        request: &Request<'_>,
        durability: Durability,
        mut valid: impl FnMut(Option<u64>) -> Result<bool, Error>,
    ) -> Result<Option<Commit>, Error> {
        let mut patience = Patience::new();
        let mut taken_back = None;
        if !self.pool.is_whole() {
            request.fetch()?;
        }
        loop {
            self.wait_for_copies();
            match self.try_commit(request, durability, &mut valid, &mut taken_back) {
                Err(Refused::Now(error)) => self.provide(error, &mut patience)?,
                Err(Refused::ForGood(error)) => return Err(error),
                Ok(done) => return Ok(done),
            }
        }
    }

    fn try_commit(
        &self,
        request: &Request<'_>,
        durability: Durability,
        valid: &mut impl FnMut(Option<u64>) -> Result<bool, Error>,
        taken_back: &mut Option<u64>,
    ) -> Result<Option<Commit>, Refused> {
        let log = self.log()?;
        let ops = operations(request.record.as_ref())?;
        let permit = match &request.record {
            Some(record) => Some(log.permit(record.encoded_len()?)?),
            None => None,
        };
        let closed = self.pool.close_gate();
        request.trees.iter().try_for_each(|named| named.check())?;
        if !valid(*taken_back)? {
            return Ok(None);
        }
        let steps = match request.check().and_then(|failed| match failed {
            Some(failure) => Ok(Err(failure)),
            None => request.resolve(&ops),
        })? {
            Ok(steps) => steps,
            Err(failure) => {
                drop((closed, permit));
                self.rest(durability)?;
                return Ok(Some(Commit::Failed(failure)));
            }
        };
        let (Some(record), Some(permit)) = (&request.record, permit) else {
            drop(closed);
            self.rest(durability)?;
            return Ok(Some(Commit::Done(None)));
        };
        let bytes = steps.iter().map(|step| step.bytes()).sum();
        // What is only known when its turn comes may be refused then.
        let revocable = steps.iter().any(Step::is_late);
        let outlook = Outlook { mutations: steps.len(), bytes, revocable };
        let trial = self.pool.trial(&closed, outlook);
        let reservation = permit.reserve();
        let first = reservation.version();
        let mut outcome = Ok(None);
        for step in &steps {
            outcome = step.apply(&closed, &trial, self.catalog.trash(), first);
            if !matches!(outcome, Ok(None)) {
                break;
            }
        }
        if let Ok(None) = outcome {
            trial.keep();
            drop(closed);
            if revocable {
                self.trash.filled();
            }
            self.publish(record, reservation, durability)?;
            return Ok(Some(Commit::Done(Some(first))));
        }
        // A checkpoint would not make enough room.
        let longest = steps.iter().map(|step| step.bytes() as usize).max();
        let hopeless = trial.is_hopeless(longest.unwrap_or(0));
        if trial.take_back() {
            reservation.skip();
            *taken_back = Some(self.log_address());
        }
        // Else it is damage, and half of the record is applied: the reservation, which is dropped
        // unpublished, closes the log.
        drop(closed);
        match outcome {
            Ok(Some(failure)) => {
                self.rest(durability)?;
                Ok(Some(Commit::Failed(failure)))
            }
            Ok(None) => unreachable!("what is kept has been returned"),
            Err(error @ Error::CacheTooSmall { .. }) if hopeless => Err(Refused::ForGood(error)),
            Err(error) => Err(Refused::Now(error)),
        }
    }
}

impl<'a> Request<'a> {
    fn tree(&self, id: u64) -> &'a Named {
        let named = self.trees.iter().find(|named| named.id == id);
        named.expect("a request has the trees that it names")
    }

    /// Brings the frames into memory that the guards and operations will want, so that it need not
    /// be done one at a time, nor behind the closed gate.
    fn fetch(&self) -> Result<(), Error> {
        for Guarded { tree, key, .. } in self.guards {
            self.fetch_key(*tree, key);
        }
        for op in operations(self.record.as_ref())? {
            match op {
                Op::Put { key, .. } | Op::Delete { key, .. } => self.fetch_key(op.tree(), key),
                Op::Rename { from, to, .. } => {
                    // Its value is written again.
                    let _ = self.tree(op.tree()).tree.get(from, |_, _| ());
                    self.fetch_key(op.tree(), to);
                }
                Op::RenamePrefix { from, to, .. } => {
                    self.fetch_key(op.tree(), from);
                    self.fetch_key(op.tree(), to);
                }
                Op::DeletePrefix { prefix, .. } => self.fetch_key(op.tree(), prefix),
                _ => {}
            }
        }
        Ok(())
    }

    fn fetch_key(&self, tree: u64, key: &[u8]) {
        // Whatever is wrong is met again behind the gate, where it counts.
        let _ = self.tree(tree).tree.version(key);
    }

    /// The first guard that does not hold.
    fn check(&self) -> Result<Option<Failure>, Error> {
        for (number, Guarded { tree, key, guard }) in (0..).zip(self.guards) {
            if let Some(found) = guard.fails(&self.tree(*tree).tree, key)? {
                return Ok(Some(Failure::new(number, *tree, key, *guard, found)));
            }
        }
        Ok(None)
    }

    /// What the operations come to, in order.
    fn resolve(&self, ops: &[Op<'a>]) -> Result<Result<Vec<Step<'a>>, Failure>, Error> {
        let mut steps = Vec::with_capacity(ops.len());
        // The last step of each key so far, which only renames ask for.
        let mut last: HashMap<(u64, &[u8]), usize> = HashMap::new();
        let renames = ops.iter().any(|op| matches!(op, Op::Rename { .. }));
        // Behind an operation on a prefix nobody knows what a key has before it is done.
        let prefixes =
            |op: &Op<'_>| matches!(op, Op::RenamePrefix { .. } | Op::DeletePrefix { .. });
        let late = ops.iter().any(prefixes);
        for (number, op) in (0..).zip(ops) {
            let id = op.tree();
            let tree = self.tree(id);
            let gentle = self.gentle.binary_search(&number).is_ok();
            let mut push = |steps: &mut Vec<Step<'a>>, key, change| {
                if renames && !late {
                    last.insert((id, key), steps.len());
                }
                steps.push(Step { tree, key, change, number });
            };
            match *op {
                Op::Put { key, value, .. } => {
                    push(&mut steps, key, Change::Put(Cow::Borrowed(value)));
                }
                Op::Delete { key, .. } => push(&mut steps, key, Change::Remove),
                Op::Rename { from, to, .. } if late => {
                    push(&mut steps, from, Change::Rename { to, gentle });
                }
                Op::Rename { from, to, .. } => {
                    let failed =
                        |key, guard, found| Ok(Err(Failure::new(number, id, key, guard, found)));
                    let value = match last.get(&(id, from)).map(|step| &steps[*step].change) {
                        Some(Change::Put(value)) => Some(value.clone()),
                        Some(_) => None,
                        None => tree.tree.get(from, |value, _| Cow::Owned(value.to_vec()))?,
                    };
                    let Some(value) = value else { return failed(from, Guard::RenameSource, None) };
                    if gentle {
                        let found = match last.get(&(id, to)).map(|step| &steps[*step].change) {
                            Some(Change::Put(_)) => Some(None),
                            Some(_) => None,
                            None => tree.tree.version(to)?.map(Some),
                        };
                        if let Some(found) = found {
                            return failed(to, Guard::RenameTarget, found);
                        }
                    }
                    let mut push = |key, change| {
                        last.insert((id, key), steps.len());
                        steps.push(Step { tree, key, change, number });
                    };
                    push(to, Change::Put(value));
                    if from != to {
                        push(from, Change::Remove);
                    }
                }
                Op::RenamePrefix { from, to, replace, .. } => {
                    let existing = if replace { Existing::Replace } else { Existing::Refuse };
                    push(&mut steps, from, Change::RenamePrefix { to, existing });
                }
                Op::DeletePrefix { prefix, .. } => push(&mut steps, prefix, Change::RemovePrefix),
                _ => unreachable!("no builder makes another operation"),
            }
        }
        Ok(Ok(steps))
    }
}

impl Failure {
    fn new(number: u64, tree: u64, key: &[u8], guard: Guard, found: Option<Version>) -> Failure {
        Failure { number, tree, key: key.to_vec(), guard, found }
    }
}

impl Step<'_> {
    /// Bytes of the value that is put, as far as they are known.
    fn bytes(&self) -> u64 {
        match &self.change {
            Change::Put(value) => value.len() as u64,
            _ => 0,
        }
    }

    /// Whether it can be refused when its turn comes.
    fn is_late(&self) -> bool {
        !matches!(self.change, Change::Put(_) | Change::Remove)
    }

    /// Makes the change, or says why it is refused.
    fn apply(
        &self,
        closed: &Closed<'_>,
        trial: &Trial<'_>,
        trash: &holt_art::Tree,
        first: Version,
    ) -> Result<Option<Failure>, Error> {
        let version = || {
            let number = first.get() + self.number;
            Version::new(number).expect("an operation's version lies within its record")
        };
        let (pass, moving, tree, key) = (closed.pass(), trial.moving(), &self.tree.tree, self.key);
        let always = Condition::Always;
        let failed = |key, guard, found| {
            Ok(Some(Failure::new(self.number, self.tree.id, key, guard, found)))
        };
        match &self.change {
            Change::Put(value) => drop(tree.put(pass, key, value, always, version)?),
            Change::Remove => drop(tree.remove(pass, key, always, version)?),
            Change::Rename { to, gentle } => {
                let value = tree.get_inside(moving, key, |value, _| value.to_vec())?;
                let Some(value) = value else { return failed(key, Guard::RenameSource, None) };
                let condition = if *gentle { Condition::Absent } else { always };
                if let Put::Refused(found) = tree.put(pass, to, &value, condition, version)? {
                    return failed(to, Guard::RenameTarget, found);
                }
                if key != *to {
                    tree.remove(pass, key, always, version)?;
                }
            }
            Change::RenamePrefix { to, existing } => {
                match tree.rename_prefix(moving, key, to, *existing, trash, version) {
                    Ok(_) => {}
                    Err(holt_art::Error::PrefixMissing) => {
                        return failed(key, Guard::RenameSource, None);
                    }
                    Err(holt_art::Error::PrefixOccupied) => {
                        return failed(to, Guard::RenameTarget, None);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Change::RemovePrefix => drop(tree.remove_prefix(moving, key, trash, version)?),
        }
        Ok(None)
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
