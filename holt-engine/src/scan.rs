//! Reading many keys in order: what to read, and the iterator that reads it.
//!
//! The rules of a listing are those of object stores:
//!
//! - Names come in raw byte order, or in its reverse.
//! - The delimiter is looked for behind the prefix alone. Keys in which it occurs there are rolled
//!   up to a group, named up to and including the first delimiter. A group is told once.
//! - A key that ends in the delimiter is a group of its own name. A key equal to the prefix is a key.
//! - Every name told, key or group, is strictly greater than `start_after`: a group that
//!   `start_after` lies in is not told again. Likewise, every name told is strictly less than
//!   `start_before`: a group that `start_before` lies in is told if its own name is less.
//! - A group counts as one entry against the limit.

use std::convert::Infallible;
use std::fmt;
use std::ops::{Bound, ControlFlow};

use holt_journal::disk::{Disk, RealDisk};

use crate::core::check_key;
use crate::entry::{Entry, EntryRef};
use crate::error::Error;
use crate::prefixes::Usage;
use crate::source::{List, Source};

/// What to read: the result of [`Tree::prefix`](crate::Tree::prefix), [`Tree::range`](crate::Tree::range)
/// and [`Tree::scan`](crate::Tree::scan), and of their like for a tree of a snapshot, to be narrowed
/// down and then iterated over. It borrows the handle that it was asked of; the iterator has one of its own.
///
/// # Examples
///
/// Paging by the last name told gives each entry once:
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let tree = holt_engine::Db::open(directory.path())?.default_tree();
/// for key in ["a", "b/1", "b/2", "c"] {
///     tree.put(key.as_bytes(), b"")?;
/// }
/// let mut names: Vec<Vec<u8>> = Vec::new();
/// loop {
///     let mut page = tree.scan().delimiter("/").limit(2);
///     if let Some(last) = names.last() {
///         page = page.start_after(last);
///     }
///     let before = names.len();
///     for entry in page {
///         names.push(entry?.into_name());
///     }
///     if names.len() == before {
///         break;
///     }
/// }
/// assert_eq!(names, [&b"a"[..], b"b/", b"c"]);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read before it is iterated over"]
pub struct Scan<'h, D: Disk = RealDisk> {
    source: Source<'h, D>,
    scan: holt_art::Scan,
    limit: u64,
    /// The first thing that is wrong with the request.
    refused: Option<Error>,
}

impl<'h, D: Disk> Scan<'h, D> {
    /// The keys that begin with `prefix`.
    pub(crate) fn prefix(source: Source<'h, D>, prefix: &[u8]) -> Self {
        Scan::new(source, holt_art::Scan::prefix(prefix)).requires(check_key(prefix))
    }

    /// The keys between two bounds.
    pub(crate) fn range(
        source: Source<'h, D>,
        (lower, upper): (Bound<Vec<u8>>, Bound<Vec<u8>>),
    ) -> Self {
        let key = |bound: &Bound<Vec<u8>>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.clone()),
            Bound::Unbounded => None,
        };
        let (low, high) = (key(&lower), key(&upper));
        let ordered = match (&low, &high) {
            (Some(low), Some(high)) if low > high => Err(Error::ReversedBounds),
            _ => Ok(()),
        };
        Scan::new(source, holt_art::Scan::range((lower, upper)))
            .requires(check_key(&low.unwrap_or_default()))
            .requires(check_key(&high.unwrap_or_default()))
            .requires(ordered)
    }

    fn new(source: Source<'h, D>, scan: holt_art::Scan) -> Self {
        Scan { source, scan, limit: u64::MAX, refused: None }
    }

    #[inline]
    pub(crate) fn requires(mut self, condition: Result<(), Error>) -> Self {
        self.refused = self.refused.or(condition.err());
        self
    }

    /// Tells only names strictly greater than `name`, in whichever direction.
    #[inline]
    pub fn start_after(mut self, name: impl AsRef<[u8]>) -> Self {
        self.scan = self.scan.start_after(name.as_ref());
        self.requires(check_key(name.as_ref()))
    }

    /// Tells only names strictly less than `name`, in whichever direction: what
    /// [`start_after`](Self::start_after) is to a list, this is to one in reverse.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for key in ["a", "b/1", "b/2", "c"] {
    ///     tree.put(key.as_bytes(), b"")?;
    /// }
    /// let mut names = Vec::new();
    /// for entry in tree.scan().delimiter("/").reverse().start_before("c") {
    ///     names.push(entry?.into_name());
    /// }
    /// assert_eq!(names, [&b"b/"[..], b"a"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_before(mut self, name: impl AsRef<[u8]>) -> Self {
        self.scan = self.scan.start_before(name.as_ref());
        self.requires(check_key(name.as_ref()))
    }

    /// Rolls keys up to groups at the first `delimiter` behind the prefix. It may have several
    /// bytes, and has at least one.
    #[inline]
    pub fn delimiter(mut self, delimiter: impl AsRef<[u8]>) -> Self {
        let delimiter = delimiter.as_ref();
        self.scan = self.scan.delimiter(delimiter);
        self.requires(if delimiter.is_empty() { Err(Error::EmptyDelimiter) } else { Ok(()) })
    }

    /// Tells at most so many entries, keys and groups.
    #[inline]
    pub fn limit(mut self, entries: u64) -> Self {
        self.limit = entries;
        self
    }

    /// From the last name to the first.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for key in ["a", "b", "c"] {
    ///     tree.put(key.as_bytes(), b"a long value")?;
    /// }
    /// let newest = tree.scan().reverse().keys_only().limit(1).page()?;
    /// assert_eq!(newest.entries[0].name(), b"c");
    /// assert_eq!(newest.entries[0].value(), Some(&b""[..]));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn reverse(mut self) -> Self {
        self.scan = self.scan.reverse(true);
        self
    }

    /// Leaves the values away, which saves copying them: they are told as empty.
    #[inline]
    pub fn keys_only(mut self) -> Self {
        self.scan = self.scan.keys_only(true);
        self
    }
}

impl<D: Disk> Scan<'_, D> {
    /// Calls `visit` with one entry after the other, until it breaks, the limit is reached or the
    /// list ends; returns what it broke with. Names and values are lent and not copied to the heap
    /// one by one, which makes this the fastest way to read many.
    ///
    /// `visit` runs between the steps of the reading, not inside: it may use the database.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, [`Error::TreeDropped`], [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for (key, value) in [("a", "1"), ("b", "22"), ("c", "333")] {
    ///     tree.put(key.as_bytes(), value.as_bytes())?;
    /// }
    /// let long = tree.scan().visit(|entry| match entry.value() {
    ///     Some(value) if value.len() > 1 => ControlFlow::Break(entry.name().to_vec()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert_eq!(long, Some(b"b".to_vec()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn visit<B>(
        self,
        mut visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let scan = self.scan.limit(self.limit);
        self.source.visit(scan, self.limit, |entry| visit(entry.into()))
    }

    /// Number of entries, and the bytes of their names and values.
    pub(crate) fn usage(self) -> Result<Usage, Error> {
        let mut usage = Usage::default();
        self.visit(|entry| {
            usage.keys += 1;
            usage.bytes += (entry.name().len() + entry.value().map_or(0, <[u8]>::len)) as u64;
            ControlFlow::<Infallible>::Continue(())
        })?;
        Ok(usage)
    }

    /// Reads the entries up to the limit, and says whether there are more and where to go on, as
    /// listings of object stores do. Without a limit it reads them all.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, [`Error::TreeDropped`], [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for key in ["a", "b/1", "b/2", "c"] {
    ///     tree.put(key.as_bytes(), b"")?;
    /// }
    /// let mut names = Vec::new();
    /// let mut next = None;
    /// loop {
    ///     let mut scan = tree.scan().delimiter("/").limit(2);
    ///     if let Some(name) = &next {
    ///         scan = scan.start_after(name);
    ///     }
    ///     let page = scan.page()?;
    ///     names.extend(page.entries.into_iter().map(holt_engine::Entry::into_name));
    ///     next = page.next;
    ///     if next.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(names, [&b"a"[..], b"b/", b"c"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn page(mut self) -> Result<Page, Error> {
        let limit = self.limit;
        if limit == 0 {
            // Nothing is asked for, so nothing is missing. A wrong request is wrong all the same.
            return match self.refused {
                Some(error) => Err(error),
                None => {
                    self.source.core().check_open()?;
                    self.source.check()?;
                    Ok(Page::default())
                }
            };
        }
        // One more tells whether this is the end.
        self.limit = limit.saturating_add(1);
        let mut page = Page::default();
        for entry in self {
            let entry = entry?;
            if page.entries.len() as u64 == limit {
                page.truncated = true;
                break;
            }
            page.entries.push(entry);
        }
        if page.truncated {
            page.next = page.entries.last().map(|entry| entry.name().to_vec());
        }
        Ok(page)
    }
}

/// A part of a listing, from [`Scan::page`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// for key in ["a", "b", "c"] {
///     tree.put(key.as_bytes(), b"")?;
/// }
/// let holt_engine::Page { entries, truncated, next, .. } = tree.scan().limit(2).page()?;
/// assert!(entries.len() == 2 && truncated);
/// assert_eq!(next.as_deref(), Some(&b"b"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The entries, as many as the limit allows.
    pub entries: Vec<Entry>,
    /// Whether there are more. A page that is exactly full, with nothing behind it, is not
    /// truncated, and neither is one of limit 0.
    pub truncated: bool,
    /// If there are more: the last name of this page, which is what to
    /// [start after](Scan::start_after) to get the next one; of a listing in reverse, what to
    /// [start before](Scan::start_before).
    pub next: Option<Vec<u8>>,
}

impl<D: Disk> IntoIterator for Scan<'_, D> {
    type Item = Result<Entry, Error>;
    type IntoIter = Entries<D>;

    /// Begins to read. What is wrong with the request is told as the first item.
    fn into_iter(self) -> Entries<D> {
        let state = match self.refused {
            None => match self.source.list(self.scan.limit(self.limit)) {
                Ok(list) => State::Reading(list),
                Err(error) => State::Refused(error),
            },
            Some(error) => State::Refused(error),
        };
        Entries { state, source: self.source.into_owned(), left: self.limit }
    }
}

impl<D: Disk> fmt::Debug for Scan<'_, D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Scan")
            .field("tree", &self.source.id())
            .field("scan", &self.scan)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The entries that a [`Scan`] asks for, in order.
///
/// It owns what it needs and keeps the database open, and the snapshot, if it is of one. Each entry
/// of a live tree is as it was at some moment since the iteration began; writes that happen
/// meanwhile may be seen or not. After an error it ends.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// tree.put(b"a", b"")?;
/// let mut entries: holt_engine::Entries = tree.scan().into_iter();
/// drop(tree); // the iterator keeps the database open
/// assert_eq!(entries.next().transpose()?.map(|entry| entry.into_name()), Some(b"a".to_vec()));
/// assert!(entries.next().is_none());
/// # Ok(())
/// # }
/// ```
pub struct Entries<D: Disk = RealDisk> {
    state: State<D>,
    source: Source<'static, D>,
    /// How many more entries may be told.
    left: u64,
}

enum State<D: Disk> {
    Reading(List<D>),
    /// The request was wrong, and this is still to be told.
    Refused(Error),
    Done,
}

impl<D: Disk> Entries<D> {
    fn read(&mut self) -> Result<Option<Entry>, Error> {
        match &mut self.state {
            State::Done => Ok(None),
            State::Reading(list) => {
                self.source.core().check_open()?;
                if self.left == 0 {
                    return Ok(None);
                }
                self.left -= 1;
                let next = list.next();
                self.source.check()?;
                Ok(next?.map(Entry::from))
            }
            State::Refused(_) => match std::mem::replace(&mut self.state, State::Done) {
                State::Refused(error) => Err(error),
                _ => Ok(None),
            },
        }
    }
}

impl<D: Disk> Iterator for Entries<D> {
    type Item = Result<Entry, Error>;

    #[inline]
    fn next(&mut self) -> Option<Result<Entry, Error>> {
        // What nearly all calls do, with no more moves of the entry than needed.
        if let State::Reading(List::Plain(cursor)) = &mut self.state
            && self.left > 0
            && self.source.core().check_open().is_ok()
        {
            self.left -= 1;
            let next = cursor.next();
            if self.source.check().is_ok()
                && let Some(Ok(entry)) = next
            {
                return Some(Ok(Entry::from(entry)));
            }
            let next = self.source.check().and(next.transpose().map_err(Error::from));
            return self.told(next.map(|entry| entry.map(Entry::from)).transpose());
        }
        let next = self.read().transpose();
        self.told(next)
    }
}

impl<D: Disk> Entries<D> {
    /// Ends the list if there is nothing more.
    #[inline(never)]
    fn told(&mut self, next: Option<Result<Entry, Error>>) -> Option<Result<Entry, Error>> {
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Done;
            self.source.core().trash.freed();
        }
        next
    }
}

impl<D: Disk> std::iter::FusedIterator for Entries<D> {}

impl<D: Disk> Drop for Entries<D> {
    fn drop(&mut self) {
        if matches!(self.state, State::Refused(_)) {
            return;
        }
        // A list that a move has overtaken has kept something.
        self.state = State::Done;
        self.source.core().trash.freed();
    }
}

impl<D: Disk> fmt::Debug for Entries<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Entries").field("left", &self.left).finish_non_exhaustive()
    }
}
