//! Keys that are paths: segments joined by slashes, whatever bytes the segments have.
//!
//! # Escaping
//!
//! Between two segments is a `/`. Inside a segment a `/` is written `%2F`, a `%` is written `%25`, and
//! a segment without a byte is written `%`; every other byte stands for itself. So different
//! segments make different keys, no key begins or ends with a slash or has two in a row, and a
//! prefix that ends in a slash has exactly what is below one path.
//!
//! Keys are in byte order, which is not quite the order of segments: `a!` comes before `a/b`,
//! because `!` is less than `/`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Bound;

use crate::core::check_key;
use crate::error::Error;

/// What is between two segments.
const SEPARATOR: u8 = b'/';
/// What an escaped byte begins with; alone it stands for a segment without a byte.
const ESCAPE: u8 = b'%';

/// A key made of segments.
///
/// Segments are joined by `/`. A `/` inside of a segment is written `%2F`, a `%` is written `%25`, and
/// a segment without a byte is written `%`, so nothing that a segment contains can be taken for
/// the end of it.
///
/// # Examples
///
/// ```
/// use holt_engine::KeyPath;
///
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let tree = holt_engine::Db::in_memory()?.default_tree();
/// let home = KeyPath::new().join("home").join("alice");
/// tree.put(home.clone().join("50% a/b").as_ref(), b"a file with an awkward name")?;
/// tree.put(home.clone().join("docs").join("cv").as_ref(), b"")?;
///
/// let mut level = Vec::new();
/// for entry in tree.prefix(home.below()).delimiter("/") {
///     let path = KeyPath::parse(entry?.name())?;
///     level.push(String::from_utf8_lossy(&path.name().unwrap()).into_owned());
/// }
/// assert_eq!(level, ["50% a/b", "docs"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath {
    key: Vec<u8>,
}

impl KeyPath {
    /// The path without a segment, whose key is empty.
    #[must_use]
    pub fn new() -> KeyPath {
        KeyPath::default()
    }

    /// The path with one segment more.
    #[must_use]
    pub fn join(mut self, segment: impl AsRef<[u8]>) -> KeyPath {
        self.push(segment);
        self
    }

    /// Adds a segment at the end.
    pub fn push(&mut self, segment: impl AsRef<[u8]>) {
        let segment = segment.as_ref();
        if !self.key.is_empty() {
            self.key.push(SEPARATOR);
        }
        if segment.is_empty() {
            self.key.push(ESCAPE);
        }
        for &byte in segment {
            match byte {
                SEPARATOR => self.key.extend_from_slice(b"%2F"),
                ESCAPE => self.key.extend_from_slice(b"%25"),
                _ => self.key.push(byte),
            }
        }
    }

    /// The path that made the key, or the name of a group in a listing, which ends in a slash.
    ///
    /// # Errors
    ///
    /// [`Error::NotAPath`] for a key that no path has: with a segment that has no byte, or a `%` that
    /// is no escape. [`Error::KeyTooLong`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::KeyPath;
    ///
    /// let path = KeyPath::parse(b"a/b%2Fc/")?;
    /// assert_eq!(path.segments().collect::<Vec<_>>(), [&b"a"[..], b"b/c"]);
    /// assert!(KeyPath::parse(b"a//b").is_err());
    /// assert!(KeyPath::parse(b"100%").is_err());
    /// # Ok::<(), holt_engine::Error>(())
    /// ```
    pub fn parse(key: &[u8]) -> Result<KeyPath, Error> {
        check_key(key)?;
        if key.is_empty() {
            return Ok(KeyPath::new());
        }
        let path = key.strip_suffix(&[SEPARATOR]).unwrap_or(key);
        let mut at = 0;
        for segment in path.split(|byte| *byte == SEPARATOR) {
            if let Some(wrong) = first_wrong(segment) {
                return Err(Error::NotAPath { at: at + wrong });
            }
            at += segment.len() + 1;
        }
        Ok(KeyPath { key: path.to_vec() })
    }

    /// The key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.key
    }

    /// The key, without copying it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// let key = holt_engine::KeyPath::new().join("a").join("b/c").into_bytes();
    /// assert_eq!(key, b"a/b%2Fc");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.key
    }

    /// The segments, in order, as they were given.
    #[must_use]
    pub fn segments(&self) -> Segments<'_> {
        Segments { rest: (!self.key.is_empty()).then_some(&self.key[..]) }
    }

    /// The last segment, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'_, [u8]>> {
        let last = self.key.rsplit(|byte| *byte == SEPARATOR).next();
        last.filter(|_| !self.key.is_empty()).map(unescape)
    }

    /// The path without its last segment; none for the path without a segment.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::KeyPath;
    ///
    /// let path = KeyPath::new().join("a").join("b");
    /// assert_eq!(path.parent(), Some(KeyPath::new().join("a")));
    /// assert_eq!(KeyPath::new().parent(), None);
    /// ```
    #[must_use]
    pub fn parent(&self) -> Option<KeyPath> {
        if self.key.is_empty() {
            return None;
        }
        let end = self.key.iter().rposition(|byte| *byte == SEPARATOR).unwrap_or(0);
        Some(KeyPath { key: self.key[..end].to_vec() })
    }

    /// What the keys of all paths below this one begin with, and no other path's.
    ///
    /// # Examples
    ///
    /// See [`KeyPath`].
    #[must_use]
    pub fn below(&self) -> Vec<u8> {
        let mut prefix = self.key.clone();
        if !prefix.is_empty() {
            prefix.push(SEPARATOR);
        }
        prefix
    }

    /// The range of the keys of all paths below this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::KeyPath;
    ///
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// for key in ["a", "a/b", "a/b/c", "a0"] {
    ///     tree.put(key.as_bytes(), b"")?;
    /// }
    /// assert_eq!(tree.range(KeyPath::new().join("a").bounds()).into_iter().count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        if self.key.is_empty() {
            // Everything but the path itself.
            return (Bound::Excluded(Vec::new()), Bound::Unbounded);
        }
        let mut end = self.key.clone();
        end.push(SEPARATOR + 1);
        (Bound::Included(self.below()), Bound::Excluded(end))
    }
}

impl AsRef<[u8]> for KeyPath {
    fn as_ref(&self) -> &[u8] {
        &self.key
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for KeyPath {
    fn from_iter<I: IntoIterator<Item = S>>(segments: I) -> KeyPath {
        segments.into_iter().fold(KeyPath::new(), KeyPath::join)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.key.escape_ascii())
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyPath(\"{self}\")")
    }
}

/// The segments of a [`KeyPath`], in order.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// let path = holt_engine::KeyPath::new().join("a").join("b/c");
/// let segments: Vec<_> = path.segments().collect();
/// assert_eq!(segments, [&b"a"[..], b"b/c"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        let rest = self.rest?;
        let end = rest.iter().position(|byte| *byte == SEPARATOR);
        self.rest = end.map(|end| &rest[end + 1..]);
        Some(unescape(&rest[..end.unwrap_or(rest.len())]))
    }
}

impl std::iter::FusedIterator for Segments<'_> {}

/// Offset of the first thing that no segment is written as.
fn first_wrong(segment: &[u8]) -> Option<usize> {
    match segment {
        [] => Some(0),
        [ESCAPE] => None,
        _ => {
            let mut escapes = (0..segment.len()).filter(|at| segment[*at] == ESCAPE);
            escapes.find(|at| !matches!(segment[at + 1..], [b'2', b'5' | b'F', ..]))
        }
    }
}

/// What a well-formed segment stands for.
fn unescape(segment: &[u8]) -> Cow<'_, [u8]> {
    if !segment.contains(&ESCAPE) {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind) {
            (ESCAPE, [b'2', b'F', behind @ ..]) => {
                bytes.push(SEPARATOR);
                rest = behind;
            }
            (ESCAPE, [b'2', b'5', behind @ ..]) => {
                bytes.push(ESCAPE);
                rest = behind;
            }
            // A segment without a byte.
            (ESCAPE, _) => {}
            _ => bytes.push(byte),
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn segments() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = prop_oneof![4 => select(&b"%/25Fa"[..]), 1 => any::<u8>()];
        vec(vec(byte, 0..6), 0..6)
    }

    proptest! {
        #[test]
        fn segments_come_back_as_they_were_given(segments in segments()) {
            let path: KeyPath = segments.iter().collect();
            let back: Vec<_> = path.segments().map(Cow::into_owned).collect();
            prop_assert_eq!(&back, &segments);
            prop_assert_eq!(&KeyPath::parse(path.as_ref()).unwrap(), &path);
            let parent = path.parent();
            prop_assert_eq!(path.name().map(Cow::into_owned), segments.last().cloned());
            let above = segments.split_last().map(|(_, above)| above.iter().collect::<KeyPath>());
            prop_assert_eq!(parent, above);
        }

        #[test]
        fn different_segments_make_different_keys(one in segments(), other in segments()) {
            let (a, b): (KeyPath, KeyPath) = (one.iter().collect(), other.iter().collect());
            prop_assert_eq!(a == b, one == other);
            // What is below is exactly what begins with the same segments and goes on.
            let below = other.len() > one.len() && other.starts_with(&one);
            prop_assert_eq!(b.as_ref().starts_with(&a.below()) && b != a, below);
            use std::ops::RangeBounds;
            prop_assert_eq!(a.bounds().contains(&b.clone().into_bytes()), below);
        }

        #[test]
        fn any_bytes_parse_to_themselves_or_not_at_all(key in vec(select(&b"%/25Fa"[..]), 0..12)) {
            if let Ok(path) = KeyPath::parse(&key) {
                let again: KeyPath = path.segments().collect();
                prop_assert_eq!(&again, &path);
                prop_assert!(key == path.as_ref() || key == path.below());
            }
        }
    }

    #[test]
    fn what_no_path_writes_is_refused_where_it_is() {
        for (key, wrong) in
            [("/", 0), ("/a", 0), ("a//b", 2), ("a/b//", 4), ("%a", 0), ("a/x%2", 3), ("%%", 0)]
        {
            let error = KeyPath::parse(key.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::NotAPath { at } if at == wrong), "{key}: {error}");
        }
        assert_eq!(KeyPath::parse(b"").unwrap(), KeyPath::new());
        assert_eq!(KeyPath::new().segments().next(), None);
        assert_eq!(KeyPath::new().name(), None);
    }
}
