//! What a list asks for.

use std::ops::{Bound, RangeBounds};

use super::short::Short;

/// A name that a list asks for.
pub(crate) type Name = Short<38>;

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
    pub(crate) lower: Bound<Name>,
    pub(crate) upper: Bound<Name>,
    /// Where the search for the delimiter begins.
    pub(crate) prefix: usize,
    pub(crate) delimiter: Short<22>,
    pub(crate) start_after: Option<Name>,
    pub(crate) start_before: Option<Vec<u8>>,
    pub(crate) reverse: bool,
    pub(crate) keys_only: bool,
    pub(crate) limit: u64,
}

impl Scan {
    /// Everything.
    #[inline]
    pub fn all() -> Self {
        Self {
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
            prefix: 0,
            delimiter: Short::default(),
            start_after: None,
            start_before: None,
            reverse: false,
            keys_only: false,
            limit: u64::MAX,
        }
    }

    /// All keys that begin with `prefix`.
    #[inline]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            lower: Bound::Included(Name::new(prefix)),
            upper: successor(prefix).map_or(Bound::Unbounded, Bound::Excluded),
            prefix: prefix.len(),
            ..Self::all()
        }
    }

    /// All keys of a range. A reversed range is empty.
    pub fn range<K: AsRef<[u8]>>(range: impl RangeBounds<K>) -> Self {
        let owned = |bound: Bound<&K>| bound.map(|key| Name::new(key.as_ref()));
        Self { lower: owned(range.start_bound()), upper: owned(range.end_bound()), ..Self::all() }
    }

    /// Only names, keys and groups, that are greater than `name`.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Scan};
    ///
    /// let map = Art::new()?;
    /// for key in [b"a", b"b", b"c"] {
    ///     map.put(key, b"a long value")?;
    /// }
    /// let scan = Scan::range(&b"a"[..]..&b"c"[..]).start_after(b"a").reverse(true).keys_only(true);
    /// let names: Vec<_> = map.scan(scan).map(|entry| entry.map(|entry| entry.into_name())).collect::<Result<_, _>>()?;
    /// assert_eq!(names, [b"b"]);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn start_after(mut self, name: &[u8]) -> Self {
        let beyond = match &self.lower {
            Bound::Unbounded => true,
            Bound::Included(key) | Bound::Excluded(key) => name >= key.as_slice(),
        };
        if beyond {
            self.lower = Bound::Excluded(Name::new(name));
        }
        self.start_after = Some(Name::new(name));
        self
    }

    /// Only names, keys and groups, that are less than `name`.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Entry, Scan};
    ///
    /// let map = Art::new()?;
    /// for key in ["a", "b/1", "b/2", "c"] {
    ///     map.put(key.as_bytes(), b"")?;
    /// }
    /// let scan = Scan::all().delimiter(b"/").reverse(true);
    /// let before = |name: &[u8]| map.scan(scan.clone().start_before(name)).next().unwrap();
    /// // The group is less than its keys.
    /// assert_eq!(before(b"b/1")?, Entry::group(b"b/"));
    /// assert_eq!(before(b"b/")?.name(), b"a");
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    #[must_use]
    pub fn start_before(mut self, name: &[u8]) -> Self {
        self.start_before = Some(name.to_vec());
        self
    }

    /// Rolls keys up at `delimiter`, of one byte or several; an empty one is none.
    #[must_use]
    #[inline]
    pub fn delimiter(mut self, delimiter: &[u8]) -> Self {
        self.delimiter = Short::new(delimiter);
        self
    }

    /// From the last name to the first.
    #[must_use]
    #[inline]
    pub fn reverse(mut self, reverse: bool) -> Self {
        self.reverse = reverse;
        self
    }

    /// Leaves values out.
    #[must_use]
    #[inline]
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
    #[inline]
    pub fn limit(mut self, entries: u64) -> Self {
        self.limit = entries;
        self
    }

    /// The name under which a list tells of a record of `key`, and whether that is a group's;
    /// `None` when it does not tell of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Scan;
    ///
    /// let scan = Scan::prefix(b"a/").delimiter(b"/");
    /// assert_eq!(scan.name_of(b"a/1"), Some((&b"a/1"[..], false)));
    /// assert_eq!(scan.name_of(b"a/b/2"), Some((&b"a/b/"[..], true)));
    /// assert_eq!(scan.name_of(b"c"), None);
    /// ```
    pub fn name_of<'k>(&self, key: &'k [u8]) -> Option<(&'k [u8], bool)> {
        if !self.bounds().contains(key) {
            return None;
        }
        let end = if self.delimiter.is_empty() { None } else { self.group_end(key) };
        let name = &key[..end.unwrap_or(key.len())];
        let behind = self.start_after.as_ref().is_none_or(|after| name > after.as_slice());
        let before = self.start_before.as_ref().is_none_or(|before| name < before.as_slice());
        (behind && before).then_some((name, end.is_some()))
    }

    /// All keys for which the list tells of the group `name`.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, Scan};
    ///
    /// let map = Art::new()?;
    /// for key in ["b/1", "b/2", "b/3", "c"] {
    ///     map.put(key.as_bytes(), b"")?;
    /// }
    /// let scan = Scan::range(&b"b/2"[..]..).delimiter(b"/");
    /// assert_eq!(map.scan(scan.of_group(b"b/")).count(), 2);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    #[must_use]
    pub fn of_group(&self, name: &[u8]) -> Self {
        let mut scan = Self { lower: self.lower.clone(), ..Self::prefix(name) };
        let below = match &scan.lower {
            Bound::Unbounded => true,
            Bound::Included(key) | Bound::Excluded(key) => key.as_slice() < name,
        };
        if below {
            scan.lower = Bound::Included(Name::new(name));
        }
        match (&self.upper, &scan.upper) {
            (Bound::Unbounded, _) => {}
            (Bound::Excluded(key), _) => scan.end_before(key),
            (Bound::Included(key), Bound::Excluded(end)) if key.as_slice() >= end.as_slice() => {}
            (Bound::Included(key), _) => scan.upper = Bound::Included(key.clone()),
        }
        scan
    }

    /// The range of keys that is listed, apart from what
    /// [`start_before`](Self::start_before) leaves out.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::Bound;
    /// use holt_art::Scan;
    ///
    /// let scan = Scan::prefix(b"a").reverse(true);
    /// assert_eq!(scan.bounds(), (Bound::Included(&b"a"[..]), Bound::Excluded(&b"b"[..])));
    /// assert!(scan.is_reverse() && !scan.is_keys_only());
    /// ```
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.lower.as_ref().map(Name::as_slice), self.upper.as_ref().map(Name::as_slice))
    }

    /// Whether the list goes from the last name to the first.
    ///
    /// # Examples
    ///
    /// ```
    /// let scan = holt_art::Scan::all().reverse(true).keys_only(true);
    /// assert!(scan.is_reverse() && scan.is_keys_only());
    /// ```
    pub fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// Whether the list leaves values out.
    pub fn is_keys_only(&self) -> bool {
        self.keys_only
    }

    /// Where the group that `key` belongs to ends: behind the first delimiter after the
    /// prefix.
    pub(super) fn group_end(&self, key: &[u8]) -> Option<usize> {
        self.group_end_behind(key, self.prefix)
    }

    /// As [`group_end`](Self::group_end), for a key without a delimiter that begins before `from`.
    pub(super) fn group_end_behind(&self, key: &[u8], from: usize) -> Option<usize> {
        let tail = key.get(from..)?;
        let at = match self.delimiter.as_slice() {
            [byte] => tail.iter().position(|other| other == byte),
            delimiter => tail.windows(delimiter.len()).position(|window| window == delimiter),
        };
        at.map(|at| from + at + self.delimiter.len())
    }

    /// Says by the range alone what [`start_before`](Self::start_before) asks for.
    pub(super) fn settle(&mut self) {
        let Some(name) = self.start_before.take() else { return };
        // Of a group whose name is less, all keys count, those too that are not.
        let group = if self.delimiter.is_empty() { None } else { self.group_end(&name) };
        match group {
            Some(end) if end < name.len() => {
                if let Some(behind) = successor(&name[..end]) {
                    self.end_before(&behind);
                }
            }
            _ => self.end_before(&name),
        }
    }

    /// Leaves out the keys from `key` on.
    fn end_before(&mut self, key: &[u8]) {
        let beyond = match &self.upper {
            Bound::Unbounded => true,
            Bound::Included(upper) => upper.as_slice() >= key,
            Bound::Excluded(upper) => upper.as_slice() > key,
        };
        if beyond {
            self.upper = Bound::Excluded(Name::new(key));
        }
    }
}

/// The smallest key that is greater than every key with this prefix; `None` when there is
/// none.
fn successor(prefix: &[u8]) -> Option<Name> {
    let mut prefix = prefix;
    while let [before @ .., 0xFF] = prefix {
        prefix = before;
    }
    let mut key = Name::new(prefix);
    *key.as_mut_slice().last_mut()? += 1;
    Some(key)
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
