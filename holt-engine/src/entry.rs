//! What a listing tells, one by one.

use std::fmt;

use holt_art::Version;

/// One entry of a listing, owned: name and value in one piece of memory.
///
/// # Examples
///
/// ```
/// use holt_engine::EntryRef;
///
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// tree.put(b"a", b"1")?;
/// tree.put(b"b/c", b"2")?;
/// for entry in tree.scan().delimiter("/") {
///     match entry?.as_ref() {
///         EntryRef::Record { key, value, .. } => assert_eq!((key, value), (&b"a"[..], &b"1"[..])),
///         EntryRef::Group { name } => assert_eq!(name, b"b/"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// for (key, value) in [("a/1", "one"), ("b", "two")] {
///     tree.put(key.as_bytes(), value.as_bytes())?;
/// }
/// let page = tree.scan().delimiter("/").page()?;
/// let [group, record] = <[_; 2]>::try_from(page.entries).expect("two entries");
/// assert_eq!((group.name(), group.value()), (&b"a/"[..], None));
/// assert_eq!((record.name(), record.value()), (&b"b"[..], Some(&b"two"[..])));
/// assert!(group.version().is_none() && record.version().is_some());
/// assert_eq!(group.into_name(), b"a/");
/// assert_eq!(record.into_record(), Some((b"b".to_vec(), b"two".to_vec())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Entry(holt_art::Entry);

impl Entry {
    /// The entry, to be looked at or matched.
    #[must_use]
    pub fn as_ref(&self) -> EntryRef<'_> {
        self.0.as_ref().into()
    }

    /// The key, or the name of the group.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.name()
    }

    /// The value, empty if keys alone were asked for; none for a group.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.value()
    }

    /// The version of the write that put the value there; none for a group.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.0.version()
    }

    /// The key, or the name of the group, without copying it.
    #[must_use]
    pub fn into_name(self) -> Vec<u8> {
        self.0.into_name()
    }

    /// Key and value, of which only the value is copied; none for a group.
    #[must_use]
    pub fn into_record(self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.0.into_record()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(out)
    }
}

impl From<holt_art::Entry> for Entry {
    fn from(entry: holt_art::Entry) -> Entry {
        Entry(entry)
    }
}

/// One entry of a listing, lent to a visitor: see [`Scan::visit`](crate::Scan::visit).
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use std::ops::ControlFlow;
///
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// tree.put(b"a", b"one")?;
/// tree.put(b"b", b"three")?;
/// let mut longest = None;
/// let stopped: Option<()> = tree.scan().visit(|entry| {
///     if entry.value().is_some_and(|value| value.len() > 3) && entry.name() > &b"a"[..] {
///         longest = Some(entry.to_entry());
///     }
///     ControlFlow::Continue(())
/// })?;
/// assert!(stopped.is_none());
/// assert_eq!(longest.and_then(|entry| entry.value().map(<[u8]>::len)), Some(5));
/// # Ok(())
/// # }
/// ```
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
        Entry(match *self {
            EntryRef::Record { key, value, version } => {
                holt_art::Entry::record(key, value, version)
            }
            EntryRef::Group { name } => holt_art::Entry::group(name),
        })
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
