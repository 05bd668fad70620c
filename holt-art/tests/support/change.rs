//! A mutation, applied to a tree and to the model of it, with all that it returns compared.

use std::cell::Cell;
use std::fmt::Debug;

use holt_art::{
    Closed, Condition, Error, Existing, MAX_KEY, Moving, Pass, Put, Removed, Renamed, Tree, Version,
};

use crate::model::{Model, below, rename};

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(Vec<u8>, Vec<u8>, Condition),
    Remove(Vec<u8>, Condition),
    Rename(Vec<u8>, Vec<u8>, Existing),
    RemovePrefix(Vec<u8>),
}

/// The pool was full, and nothing has changed.
#[derive(Debug)]
pub(crate) struct Full;

/// A tree and the tree of the same pool that its removed prefixes go to.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) tree: Tree,
    pub(crate) trash: Tree,
}

impl Pair {
    /// Applies one change by itself.
    pub(crate) fn apply(
        &self,
        model: &mut Model,
        change: &Change,
        version: Version,
    ) -> Result<(), Full> {
        let pool = self.tree.pool();
        match change {
            Change::Put(..) | Change::Remove(..) => {
                self.apply_to_key(model, change, version, &pool.enter())
            }
            Change::Rename(..) | Change::RemovePrefix(..) => {
                let closed = pool.close_gate();
                self.apply_to_prefix(model, change, version, &pool.start_move(&closed))
            }
        }
    }

    /// Applies one change of several, under a move that is theirs.
    pub(crate) fn apply_inside(
        &self,
        model: &mut Model,
        change: &Change,
        version: Version,
        closed: &Closed<'_>,
        moving: &Moving<'_>,
    ) -> Result<(), Full> {
        match change {
            Change::Put(..) | Change::Remove(..) => {
                self.apply_to_key(model, change, version, closed.pass())
            }
            Change::Rename(..) | Change::RemovePrefix(..) => {
                self.apply_to_prefix(model, change, version, moving)
            }
        }
    }

    fn apply_to_key(
        &self,
        model: &mut Model,
        change: &Change,
        version: Version,
        pass: &Pass<'_>,
    ) -> Result<(), Full> {
        let calls = Cell::new(0);
        let sequence = || {
            calls.set(calls.get() + 1);
            version
        };
        match change {
            Change::Put(key, value, condition) => {
                let found = model.get(key).map(|(_, version)| *version);
                let put = self.tree.put(pass, key, value, *condition, sequence);
                if key.len() > MAX_KEY {
                    return too_long(put, key, &calls);
                }
                let put = room(put, &calls)?;
                let applied = condition.holds(found);
                let expected = match found {
                    _ if !applied => Put::Refused(found),
                    None => Put::Inserted(version),
                    Some(_) => Put::Replaced(version),
                };
                assert_eq!((put, calls.get()), (expected, u32::from(applied)), "{condition:?}");
                if applied {
                    model.insert(key.clone(), (value.clone(), version));
                }
            }
            Change::Remove(key, condition) => {
                let found = model.get(key).map(|(_, version)| *version);
                let removed = self.tree.remove(pass, key, *condition, sequence);
                if key.len() > MAX_KEY {
                    return too_long(removed, key, &calls);
                }
                let removed = room(removed, &calls)?;
                let applied = found.is_some() && condition.holds(found);
                let expected = match found {
                    None => Removed::Missing,
                    Some(found) if !applied => Removed::Refused(found),
                    Some(_) => Removed::Removed(version),
                };
                assert_eq!((removed, calls.get()), (expected, u32::from(applied)), "{condition:?}");
                if applied {
                    model.remove(key);
                }
            }
            Change::Rename(..) | Change::RemovePrefix(..) => unreachable!("not of one key"),
        }
        Ok(())
    }

    fn apply_to_prefix(
        &self,
        model: &mut Model,
        change: &Change,
        version: Version,
        moving: &Moving<'_>,
    ) -> Result<(), Full> {
        let (tree, trash) = (&self.tree, &self.trash);
        let calls = Cell::new(0);
        let sequence = || {
            calls.set(calls.get() + 1);
            version
        };
        match change {
            Change::Rename(from, to, existing) => {
                let renamed = tree.rename_prefix(moving, from, to, *existing, trash, sequence);
                let mut after = model.clone();
                let expected = rename(&mut after, from, to, *existing).map(|moved| match moved {
                    true => Renamed::Renamed(version),
                    false => Renamed::Unchanged,
                });
                // What is refused for itself is refused in a full pool too.
                if let Ok(Renamed::Renamed(_)) = expected {
                    let renamed = room(renamed, &calls)?;
                    assert_eq!((Ok(renamed), calls.get()), (expected, 1));
                    *model = after;
                } else {
                    assert_eq!((renamed, calls.get()), (expected, 0));
                }
            }
            Change::RemovePrefix(prefix) => {
                let gone = below(model, prefix);
                let removed = tree.remove_prefix(moving, prefix, trash, sequence);
                if prefix.len() > MAX_KEY {
                    return too_long(removed, prefix, &calls);
                }
                let removed = room(removed, &calls)?;
                let there = !gone.is_empty();
                assert_eq!((removed, calls.get()), (there.then_some(version), u32::from(there)));
                for key in gone {
                    model.remove(&key);
                }
            }
            Change::Put(..) | Change::Remove(..) => unreachable!("not of a prefix"),
        }
        Ok(())
    }
}

/// That a change was refused for its name.
fn too_long<T: Debug + PartialEq>(
    result: Result<T, Error>,
    name: &[u8],
    calls: &Cell<u32>,
) -> Result<(), Full> {
    assert_eq!((result, calls.get()), (Err(Error::KeyTooLong { length: name.len() }), 0));
    Ok(())
}

/// What came of a change that nothing but a full pool may refuse. A place in the order is
/// not given for nothing.
fn room<T: Debug>(result: Result<T, Error>, calls: &Cell<u32>) -> Result<T, Full> {
    match result {
        Ok(done) => Ok(done),
        Err(Error::PoolFull { .. }) => {
            assert_eq!(calls.get(), 0, "a refused change has a version");
            Err(Full)
        }
        Err(error) => panic!("{error}"),
    }
}
