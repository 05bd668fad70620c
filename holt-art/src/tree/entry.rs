//! What a list gives: its lines, lent by the cursor or owned.
//!
//! An owned line is one piece of memory, name and value as they stand side by side in the
//! cursor's batch. Sharing the memory of a batch between its lines was slower: counting one
//! user more and one less of it takes longer than an allocation.

use std::fmt;

use super::outcome::Version;

/// One line of a list, borrowed from the cursor or from an [`Entry`].
///
/// # Examples
///
/// ```
/// use holt_art::{Art, Scan};
///
/// let map = Art::new()?;
/// map.put(b"a", b"one")?;
/// let mut cursor = map.scan(Scan::all());
/// let line = cursor.next_ref()?.expect("there is one");
/// assert_eq!((line.name(), line.value()), (&b"a"[..], Some(&b"one"[..])));
/// assert!(line.version().is_some());
/// assert_eq!(line.to_owned().name(), b"a");
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryRef<'a> {
    /// A record.
    Key {
        /// The whole key.
        key: &'a [u8],
        /// The value; empty when only keys were asked for.
        value: &'a [u8],
        /// The record's version.
        version: Version,
    },
    /// Keys rolled up at the delimiter.
    Group {
        /// Their common beginning, the delimiter included.
        name: &'a [u8],
    },
}

impl<'a> EntryRef<'a> {
    /// The key, or the group's name.
    #[inline]
    pub fn name(&self) -> &'a [u8] {
        match *self {
            Self::Key { key, .. } => key,
            Self::Group { name } => name,
        }
    }

    /// The record's value; none for a group.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Key { value, .. } => Some(value),
            Self::Group { .. } => None,
        }
    }

    /// The record's version; none for a group.
    #[inline]
    pub fn version(&self) -> Option<Version> {
        match *self {
            Self::Key { version, .. } => Some(version),
            Self::Group { .. } => None,
        }
    }

    /// An owned copy.
    pub fn to_owned(&self) -> Entry {
        let bytes = [self.name(), self.value().unwrap_or_default()].concat();
        let (name, version) = (self.name().len(), self.version());
        Entry { bytes: bytes.into(), name, version }
    }
}

/// Where a line stands in the bytes of its batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item {
    pub(super) start: u32,
    pub(super) name_end: u32,
    pub(super) end: u32,
    /// Whether it is a group, which has no version.
    pub(super) group: bool,
    pub(super) version: u64,
}

impl Item {
    /// An owned copy of the line.
    #[inline]
    pub(super) fn own(&self, bytes: &[u8]) -> Entry {
        Entry {
            bytes: bytes[self.start as usize..self.end as usize].into(),
            name: (self.name_end - self.start) as usize,
            version: (!self.group).then(|| Version::of_leaf(self.version)),
        }
    }

    #[inline]
    pub(super) fn name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.start as usize..self.name_end as usize]
    }

    /// The line itself.
    #[inline]
    pub(super) fn entry<'b>(&self, bytes: &'b [u8]) -> EntryRef<'b> {
        let bytes = &bytes[self.start as usize..self.end as usize];
        let (name, value) = bytes.split_at((self.name_end - self.start) as usize);
        if self.group {
            EntryRef::Group { name }
        } else {
            EntryRef::Key { key: name, value, version: Version::of_leaf(self.version) }
        }
    }
}

/// One line of a list, owned: name and value in one piece of memory.
///
/// # Examples
///
/// ```
/// use holt_art::{Art, Entry, EntryRef, Scan};
///
/// let map = Art::new()?;
/// map.put(b"a/1", b"one")?;
/// map.put(b"b/2", b"two")?;
/// let lines: Vec<Entry> = map.scan(Scan::all()).collect::<Result<_, _>>()?;
/// assert_eq!(lines[1].name(), b"b/2");
/// match lines[0].as_ref() {
///     EntryRef::Key { key, value, .. } => assert_eq!((key, value), (&b"a/1"[..], &b"one"[..])),
///     EntryRef::Group { .. } => unreachable!("no delimiter was given"),
/// }
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name and value.
    bytes: Box<[u8]>,
    name: usize,
    /// None for a group.
    version: Option<Version>,
}

impl Entry {
    /// A record.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Entry, Version};
    ///
    /// let version = Version::new(7).unwrap();
    /// let (record, group) = (Entry::record(b"k", b"value", version), Entry::group(b"a/"));
    /// assert_eq!((record.value(), record.version()), (Some(&b"value"[..]), Some(version)));
    /// assert_eq!((group.value(), group.version()), (None, None));
    /// assert_eq!(record.clone().into_name(), b"k");
    /// assert_eq!(record.into_record(), Some((b"k".to_vec(), b"value".to_vec())));
    /// ```
    pub fn record(key: &[u8], value: &[u8], version: Version) -> Self {
        EntryRef::Key { key, value, version }.to_owned()
    }

    /// A group.
    pub fn group(name: &[u8]) -> Self {
        EntryRef::Group { name }.to_owned()
    }

    /// The line, to be looked at or matched.
    #[inline]
    pub fn as_ref(&self) -> EntryRef<'_> {
        let (name, value) = self.bytes.split_at(self.name);
        match self.version {
            Some(version) => EntryRef::Key { key: name, value, version },
            None => EntryRef::Group { name },
        }
    }

    /// The key, or the group's name.
    #[inline]
    pub fn name(&self) -> &[u8] {
        &self.bytes[..self.name]
    }

    /// The record's value, empty when only keys were asked for; none for a group.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        self.as_ref().value()
    }

    /// The record's version; none for a group.
    #[inline]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The key, or the group's name, without copying it.
    pub fn into_name(self) -> Vec<u8> {
        let mut bytes = Vec::from(self.bytes);
        bytes.truncate(self.name);
        bytes
    }

    /// Key and value, of which only the value is copied; none for a group.
    pub fn into_record(self) -> Option<(Vec<u8>, Vec<u8>)> {
        let value = self.value()?.to_vec();
        Some((self.into_name(), value))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_line_is_what_was_lent_and_comes_apart_into_it() {
        let version = Version::new(7).unwrap();
        for (key, value) in [(&b""[..], &b""[..]), (b"k", b""), (b"", b"v"), (b"key", b"value")] {
            let lent = EntryRef::Key { key, value, version };
            let owned = lent.to_owned();
            assert_eq!((owned.as_ref(), owned.name()), (lent, key));
            assert_eq!((owned.value(), owned.version()), (Some(value), Some(version)));
            assert_eq!(owned.clone().into_name(), key);
            assert_eq!(owned.into_record(), Some((key.to_vec(), value.to_vec())));
        }
        let group = Entry::group(b"g/");
        assert_eq!((group.value(), group.version()), (None, None));
        assert_ne!(group, Entry::record(b"g/", b"", version));
        assert_ne!(Entry::record(b"a", b"b", version), Entry::record(b"ab", b"", version));
        assert_eq!(group.clone().into_record(), None);
        assert_eq!(group.into_name(), b"g/");
    }
}
