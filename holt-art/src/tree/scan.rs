//! What a list asks for.

use std::ops::{Bound, RangeBounds};

/// What to list: a range of keys, in either direction, optionally rolled up at a
/// delimiter.
///
/// Order is byte order. A key beyond the prefix that contains the delimiter stands for
/// its *group*, named up to and including the delimiter's first occurrence behind the
/// prefix; a group is given once. A key equal to the prefix is a key.
///
/// # Examples
///
/// ```
/// use holt_art::{Art, Entry, Scan};
///
/// let map = Art::new()?;
/// for key in ["a/1", "a/2", "a/b/3", "c"] {
///     map.put(key.as_bytes(), b"")?;
/// }
/// let names: Vec<_> = map
///     .scan(Scan::prefix(b"a/").delimiter(b"/"))
///     .map(|entry| entry.map(Entry::into_name))
///     .collect::<Result<_, _>>()?;
/// assert_eq!(names, [b"a/1".to_vec(), b"a/2".to_vec(), b"a/b/".to_vec()]);
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scan {
    pub(crate) lower: Bound<Vec<u8>>,
    pub(crate) upper: Bound<Vec<u8>>,
    /// Where the search for the delimiter begins.
    pub(crate) prefix: usize,
    pub(crate) delimiter: Vec<u8>,
    pub(crate) start_after: Option<Vec<u8>>,
    pub(crate) reverse: bool,
    pub(crate) keys_only: bool,
    pub(crate) limit: u64,
}

impl Scan {
    /// Everything.
    pub fn all() -> Self {
        Self {
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
            prefix: 0,
            delimiter: Vec::new(),
            start_after: None,
            reverse: false,
            keys_only: false,
            limit: u64::MAX,
        }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            lower: Bound::Included(prefix.to_vec()),
            upper: successor(prefix).map_or(Bound::Unbounded, Bound::Excluded),
            prefix: prefix.len(),
            ..Self::all()
        }
    }

    /// All keys of a range. A reversed range is empty.
    pub fn range<K: AsRef<[u8]>>(range: impl RangeBounds<K>) -> Self {
        let owned = |bound: Bound<&K>| bound.map(|key| key.as_ref().to_vec());
        Self { lower: owned(range.start_bound()), upper: owned(range.end_bound()), ..Self::all() }
    }

    /// Only names, keys and groups, that are greater than `name`.
    #[must_use]
    pub fn start_after(mut self, name: &[u8]) -> Self {
        let beyond = match &self.lower {
            Bound::Unbounded => true,
            Bound::Included(key) | Bound::Excluded(key) => name >= key.as_slice(),
        };
        if beyond {
            self.lower = Bound::Excluded(name.to_vec());
        }
        self.start_after = Some(name.to_vec());
        self
    }

    /// Rolls keys up at `delimiter`, of one byte or several; an empty one is none.
    #[must_use]
    pub fn delimiter(mut self, delimiter: &[u8]) -> Self {
        self.delimiter = delimiter.to_vec();
        self
    }

    /// From the last name to the first.
    #[must_use]
    pub fn reverse(mut self, reverse: bool) -> Self {
        self.reverse = reverse;
        self
    }

    /// Leaves values out.
    #[must_use]
    pub fn keys_only(mut self, keys_only: bool) -> Self {
        self.keys_only = keys_only;
        self
    }

    /// At most so many entries, keys and groups. Nothing is read beyond them, so a short
    /// list that says how short it is costs less than one that is broken off.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Scan};
    ///
    /// let map = Art::new()?;
    /// for key in ["a", "b", "c"] {
    ///     map.put(key.as_bytes(), b"")?;
    /// }
    /// assert_eq!(map.scan(Scan::all().limit(2)).count(), 2);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    #[must_use]
    pub fn limit(mut self, entries: u64) -> Self {
        self.limit = entries;
        self
    }
}

/// The smallest key that is greater than every key with this prefix; `None` when there is
/// none.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    advance(&mut key).then_some(key)
}

/// Makes a prefix its successor; false when there is none.
pub(super) fn advance(key: &mut Vec<u8>) -> bool {
    while let Some(last) = key.last_mut() {
        if *last != 0xFF {
            *last += 1;
            return true;
        }
        key.pop();
    }
    false
}
