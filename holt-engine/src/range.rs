//! Ranges of keys, in the notation of Rust.

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A range of keys: `a..b`, `a..=b`, `a..`, `..b`, `..=b`, `..` or a pair of [`Bound`]s, of anything
/// that is bytes.
///
/// It stands where `RangeBounds` would: with that, the compiler could not tell what the keys of
/// `b"a"..b"b"` are.
///
/// # Examples
///
/// ```
/// use std::ops::Bound;
/// use holt_engine::KeyRange;
///
/// let bounds = (b"a"..=b"b").into_bounds();
/// assert_eq!(bounds, (Bound::Included(b"a".to_vec()), Bound::Included(b"b".to_vec())));
/// ```
pub trait KeyRange {
    /// The lower and the upper bound.
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>);
}

fn included(key: impl AsRef<[u8]>) -> Bound<Vec<u8>> {
    Bound::Included(key.as_ref().to_vec())
}

fn excluded(key: impl AsRef<[u8]>) -> Bound<Vec<u8>> {
    Bound::Excluded(key.as_ref().to_vec())
}

impl<K: AsRef<[u8]>> KeyRange for Range<K> {
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        (included(self.start), excluded(self.end))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeInclusive<K> {
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let (start, end) = self.into_inner();
        (included(start), included(end))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeFrom<K> {
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        (included(self.start), Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeTo<K> {
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        (Bound::Unbounded, excluded(self.end))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeToInclusive<K> {
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        (Bound::Unbounded, included(self.end))
    }
}

impl KeyRange for RangeFull {
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for (Bound<K>, Bound<K>) {
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let owned = |bound: Bound<K>| bound.map(|key| key.as_ref().to_vec());
        (owned(self.0), owned(self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_gives_its_bounds() {
        let (a, b) = (b"a".to_vec(), b"b".to_vec());
        let open = Bound::Unbounded;
        let from = Bound::Included(a.clone());
        assert_eq!(("a".."b").into_bounds(), (from.clone(), Bound::Excluded(b.clone())));
        assert_eq!((&a..=&b).into_bounds(), (from.clone(), Bound::Included(b.clone())));
        assert_eq!((b"a"..).into_bounds(), (from.clone(), open.clone()));
        assert_eq!((..b.clone()).into_bounds(), (open.clone(), Bound::Excluded(b.clone())));
        assert_eq!((..="b").into_bounds(), (open.clone(), Bound::Included(b)));
        assert_eq!((..).into_bounds(), (open.clone(), open.clone()));
        let pair = (Bound::Excluded("a"), Bound::Unbounded);
        assert_eq!(pair.into_bounds(), (Bound::Excluded(a), open));
    }
}
