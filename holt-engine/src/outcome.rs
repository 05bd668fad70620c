//! What conditional writes answer.

use holt_art::{Put, Removed, Version};

/// What became of a write that had a condition.
///
/// # Examples
///
/// ```
/// use holt_engine::Outcome;
///
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// let mine = tree.put_if_absent(b"lease", b"me")?.done().expect("nobody has it");
/// let late = tree.put_if_absent(b"lease", b"somebody else")?;
/// assert_eq!(late, Outcome::Refused { found: Some(mine) });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the write may have been refused"]
pub enum Outcome {
    /// The condition held, and the write was made. Its version.
    Done(Version),
    /// The condition did not hold, and nothing has changed.
    Refused {
        /// The version of the value that is there instead; none if there is no value.
        found: Option<Version>,
    },
}

impl Outcome {
    /// The version of the write, if it was made.
    #[must_use]
    pub fn done(self) -> Option<Version> {
        match self {
            Outcome::Done(version) => Some(version),
            Outcome::Refused { .. } => None,
        }
    }

    /// Whether the write was made.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// assert!(tree.put_if_absent(b"key", b"first")?.is_done());
    /// assert!(!tree.put_if_absent(b"key", b"second")?.is_done());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_done(self) -> bool {
        self.done().is_some()
    }
}

impl From<Put> for Outcome {
    fn from(put: Put) -> Outcome {
        match put {
            Put::Inserted(version) | Put::Replaced(version) => Outcome::Done(version),
            Put::Refused(found) => Outcome::Refused { found },
        }
    }
}

impl From<Removed> for Outcome {
    fn from(removed: Removed) -> Outcome {
        match removed {
            Removed::Removed(version) => Outcome::Done(version),
            Removed::Missing => Outcome::Refused { found: None },
            Removed::Refused(found) => Outcome::Refused { found: Some(found) },
        }
    }
}

/// What became of a key that was to be renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the key may not have been renamed"]
pub enum Renamed {
    /// It has the new name. The version that its value has there.
    Done(Version),
    /// There is no such key, and nothing has changed.
    Missing,
    /// The new name has a value of this version, which was not to be replaced. Nothing has changed.
    Exists(Version),
}

/// What became of a prefix that was to be renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the prefix may not have been renamed"]
pub enum Moved {
    /// The keys have their new names. The version of the change; the values keep theirs.
    Done(Version),
    /// The old and the new prefix are the same, so nothing has changed.
    Unchanged,
    /// No key begins with the old prefix, and nothing has changed.
    Missing,
    /// Keys begin with the new prefix, which were not to be replaced. Nothing has changed.
    Occupied,
}

/// What became of a value that was to be updated.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use holt_engine::Updated;
///
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// let one = tree.update(b"list", |_| Some(b"one".to_vec()))?;
/// assert!(matches!(one, Updated::Put(_)));
/// assert_eq!(tree.update(b"list", |_| None)?, Updated::Deleted);
/// assert_eq!(tree.update(b"list", |_| None)?, Updated::Unchanged);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Updated {
    /// The key has the new value. Its version.
    Put(Version),
    /// The key is gone.
    Deleted,
    /// The key had no value, and was to have none.
    Unchanged,
}
