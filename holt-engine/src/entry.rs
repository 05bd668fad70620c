//! What a listing tells, one by one.

use holt_art::Version;

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A key and what it has.
    Record {
        /// The key.
        key: Vec<u8>,
        /// Its value; empty if keys alone were asked for.
        value: Vec<u8>,
        /// The version of the write that put the value there.
        version: Version,
    },
    /// Every key that begins with a name, which ends in the delimiter.
    Group {
        /// The name.
        name: Vec<u8>,
    },
}

impl Entry {
    /// The key, or the name of the group.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Entry::Record { key, .. } => key,
            Entry::Group { name } => name,
        }
    }

    /// The value; none for a group.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Entry::Record { value, .. } => Some(value),
            Entry::Group { .. } => None,
        }
    }

    /// The key, or the name of the group, without copying it.
    #[must_use]
    pub fn into_name(self) -> Vec<u8> {
        match self {
            Entry::Record { key, .. } => key,
            Entry::Group { name } => name,
        }
    }

    /// Key and value, without copying them; none for a group.
    #[must_use]
    pub fn into_record(self) -> Option<(Vec<u8>, Vec<u8>)> {
        match self {
            Entry::Record { key, value, .. } => Some((key, value)),
            Entry::Group { .. } => None,
        }
    }
}

impl From<holt_art::Entry> for Entry {
    fn from(entry: holt_art::Entry) -> Entry {
        match entry {
            holt_art::Entry::Key { key, value, version } => Entry::Record { key, value, version },
            holt_art::Entry::Group { name } => Entry::Group { name },
        }
    }
}

/// One entry of a listing, lent to a visitor: see [`Scan::visit`](crate::Scan::visit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryRef<'a> {
    /// A key and what it has.
    Record {
        /// The key.
        key: &'a [u8],
        /// Its value; empty if keys alone were asked for.
        value: &'a [u8],
        /// The version of the write that put the value there.
        version: Version,
    },
    /// Every key that begins with a name, which ends in the delimiter.
    Group {
        /// The name.
        name: &'a [u8],
    },
}

impl<'a> EntryRef<'a> {
    /// The key, or the name of the group.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        match self {
            EntryRef::Record { key, .. } => key,
            EntryRef::Group { name } => name,
        }
    }

    /// The value; none for a group.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        match self {
            EntryRef::Record { value, .. } => Some(value),
            EntryRef::Group { .. } => None,
        }
    }

    /// A copy that owns what it has.
    #[must_use]
    pub fn to_entry(&self) -> Entry {
        match *self {
            EntryRef::Record { key, value, version } => {
                Entry::Record { key: key.to_vec(), value: value.to_vec(), version }
            }
            EntryRef::Group { name } => Entry::Group { name: name.to_vec() },
        }
    }
}

impl<'a> From<holt_art::EntryRef<'a>> for EntryRef<'a> {
    fn from(entry: holt_art::EntryRef<'a>) -> EntryRef<'a> {
        match entry {
            holt_art::EntryRef::Key { key, value, version } => {
                EntryRef::Record { key, value, version }
            }
            holt_art::EntryRef::Group { name } => EntryRef::Group { name },
        }
    }
}
