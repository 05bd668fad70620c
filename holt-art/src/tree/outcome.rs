//! Conditions of a mutation and what became of it.

/// What tells a mutation from all others, as its sequencer gave it. Later mutations of a record have larger
/// versions; whether those of different records say which came first is for the sequencer to promise.
///
/// A version is never zero and fits 48 bits. Holt's engine counts log addresses in units
/// of eight bytes, so 48 bits are two pebibytes of log, and versions are the order of all mutations.
/// Those of an [`Art`](crate::Art) are not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(u64);

impl Version {
    /// The largest version.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The version with this number; `None` for zero and for more than [`Version::MAX`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Version;
    /// assert_eq!(Version::new(7).map(Version::get), Some(7));
    /// assert_eq!(Version::new(0), None);
    /// assert_eq!(Version::new(1 << 48), None);
    /// ```
    #[inline]
    pub fn new(number: u64) -> Option<Self> {
        (number != 0 && number <= Self::MAX.0).then_some(Self(number))
    }

    /// The number.
    #[inline]
    pub fn get(self) -> u64 {
        self.0
    }

    /// A version that was read from a leaf.
    #[inline]
    pub(crate) fn of_leaf(number: u64) -> Self {
        Self(number)
    }
}

/// What must hold for a mutation to be applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The key has no record.
    Absent,
    /// The key has a record, whatever its version.
    Present,
    /// The key has a record of this version.
    Version(Version),
}

impl Condition {
    /// Whether the condition holds for a key whose record has this version, if it has one.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Condition, Version};
    ///
    /// let version = Version::new(7);
    /// assert!(Condition::Absent.holds(None) && !Condition::Absent.holds(version));
    /// assert!(Condition::Version(version.unwrap()).holds(version));
    /// ```
    #[inline]
    pub fn holds(self, found: Option<Version>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Version(version) => found == Some(version),
        }
    }
}

/// What a put did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// The key was not there; the record has this version.
    Inserted(Version),
    /// The key's value was replaced; the record has this version now.
    Replaced(Version),
    /// The condition did not hold; the key's record, if it has one, has this version.
    Refused(Option<Version>),
}

/// What a removal did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removed {
    /// The record was there and is gone; the removal has this version.
    Removed(Version),
    /// There was no record.
    Missing,
    /// The condition did not hold for the record of this version.
    Refused(Version),
}

/// What a rename does with keys that are in its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Existing {
    /// The rename is refused.
    #[default]
    Refuse,
    /// They are removed by the rename.
    Replace,
}

/// What a rename did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renamed {
    /// The keys have their new names; the rename has this version.
    Renamed(Version),
    /// The old and the new name are the same.
    Unchanged,
}
