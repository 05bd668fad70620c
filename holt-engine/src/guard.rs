//! Guards: what must hold for a batch to be applied.

use std::fmt;

use holt_art::{Scan, Version};

use crate::error::Error;

/// Something that must hold for a batch to be applied: see [`Batch`](crate::Batch).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guard {
    /// The key has the value that this version put there.
    Version(Version),
    /// The key has no value.
    Absent,
    /// The key has a value.
    Present,
    /// No key begins with the prefix.
    PrefixEmpty,
    /// The key that an operation renames has a value by then, or a key begins with the prefix.
    RenameSource,
    /// The name that an operation gives to a key has no value by then, or no key begins with the
    /// prefix.
    RenameTarget,
}

/// A guard and what it looks at.
#[derive(Clone, Debug)]
pub(crate) struct Guarded {
    /// Id of the tree.
    pub(crate) tree: u64,
    /// The key or the prefix.
    pub(crate) key: Vec<u8>,
    pub(crate) guard: Guard,
}

impl Guard {
    /// What was found if the guard does not hold.
    pub(crate) fn fails(
        self,
        tree: &holt_art::Tree,
        key: &[u8],
    ) -> Result<Option<Option<Version>>, Error> {
        let found = match self {
            Guard::PrefixEmpty => {
                let mut below = tree.cursor(Scan::prefix(key).keys_only(true));
                below.next_ref()?.and_then(|entry| entry.version())
            }
            _ => tree.version(key)?,
        };
        let holds = match self {
            Guard::Version(version) => found == Some(version),
            Guard::Absent | Guard::RenameTarget | Guard::PrefixEmpty => found.is_none(),
            Guard::Present | Guard::RenameSource => found.is_some(),
        };
        Ok((!holds).then_some(found))
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Guard::Version(version) => write!(out, "has version {}", version.get()),
            Guard::Absent => out.write_str("has no value"),
            Guard::Present => out.write_str("has a value"),
            Guard::PrefixEmpty => out.write_str("is the beginning of no key"),
            Guard::RenameSource => out.write_str("can be renamed"),
            Guard::RenameTarget => out.write_str("is a free name"),
        }
    }
}

/// The guard that kept a batch from being applied, and what was there instead.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use holt_engine::{Db, Error, Guard};
///
/// # let db = Db::in_memory()?;
/// # let tree = db.default_tree();
/// let there = tree.put(b"key", b"value")?;
/// let refused = db.atomic(|batch| batch.require_absent(&tree, b"key"));
/// let Err(Error::GuardFailed(failed)) = refused else { panic!("the key is there") };
/// assert_eq!((failed.tree.as_str(), &failed.key[..]), ("default", &b"key"[..]));
/// assert_eq!((failed.guard, failed.found), (Guard::Absent, Some(there)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedGuard {
    /// Which one: its place among the guards of the batch, from zero; for
    /// [`Guard::RenameSource`] and [`Guard::RenameTarget`] the rename's place among the operations.
    pub number: u64,
    /// Name of the tree.
    pub tree: String,
    /// The key or the prefix.
    pub key: Vec<u8>,
    /// What had to hold.
    pub guard: Guard,
    /// Version of the value that is there; none if there is none, or if an earlier operation of
    /// the same batch has put it there. For [`Guard::PrefixEmpty`] that of the first key.
    pub found: Option<Version>,
}

impl fmt::Display for FailedGuard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FailedGuard { number, tree, key, guard, found } = self;
        let key = key.escape_ascii();
        write!(out, "guard {number} does not hold: that \"{key}\" in tree {tree:?} {guard}")?;
        match found {
            Some(version) => write!(out, " (found version {})", version.get()),
            None => Ok(()),
        }
    }
}
