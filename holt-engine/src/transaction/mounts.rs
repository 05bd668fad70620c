//! Where the keys of a transaction's snapshot lie after its operations on prefixes.
//!
//! - Each mount says of a prefix, as the transaction sees it, under which prefix the snapshot has what is
//!   there, or that it has nothing. What is under no mount lies where it always did.
//! - For a key the longest prefix counts that it begins with, so an operation on a prefix replaces what was
//!   said of everything below.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use holt_art::Scan;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// By prefix, as the transaction sees it: the snapshot's prefix; none if nothing is there.
    of: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// How often this has changed.
    changes: u64,
}

/// Neighbouring keys that lie under one mount, but under none below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// The mount's prefix.
    prefix: Vec<u8>,
    /// The snapshot's; none if nothing is there.
    origin: Option<Vec<u8>>,
    /// The first key.
    pub(super) lower: Vec<u8>,
    /// The first key behind; none if there is none.
    pub(super) upper: Option<Vec<u8>>,
}

impl Mounts {
    /// Whether everything lies where it always did.
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// A number that is another one after each change.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The key that `key` has in the snapshot; none if there is nothing.
    pub(super) fn origin_of<'k>(&self, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        match self.longest(key) {
            None => Some(Cow::Borrowed(key)),
            Some((prefix, origin)) => {
                let origin = origin.as_ref()?;
                Some(Cow::Owned([origin, &key[prefix.len()..]].concat()))
            }
        }
    }

    /// Takes away what is under `prefix`.
    pub(super) fn remove(&mut self, prefix: &[u8]) {
        self.take(prefix);
        self.of.insert(prefix.to_vec(), None);
        self.changes += 1;
    }

    /// Puts what is under `from` under `to`, in place of what is there.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) {
        let origin = self.origin_of(from).map(Cow::into_owned);
        let below = self.take(from);
        self.of.insert(from.to_vec(), None);
        self.take(to);
        for (mut prefix, origin) in below {
            prefix.splice(..from.len(), to.iter().copied());
            self.of.insert(prefix, origin);
        }
        self.of.insert(to.to_vec(), origin);
        self.changes += 1;
    }

    /// Whether not all that is under `prefix` lies in one place.
    pub(super) fn divide(&self, prefix: &[u8]) -> bool {
        self.below(prefix).next().is_some()
    }

    /// The keys around `key` that lie as it does.
    pub(super) fn region(&self, key: &[u8]) -> Region {
        let edges = self.edges();
        let (prefix, origin) = match self.longest(key) {
            Some((prefix, origin)) => (prefix.clone(), origin.clone()),
            None => (Vec::new(), Some(Vec::new())),
        };
        let lower = edges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        let upper = edges.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded)).next();
        Region { prefix, origin, lower: lower.cloned().unwrap_or_default(), upper: upper.cloned() }
    }

    /// The keys right before `end`, or the last ones, that lie as one.
    pub(super) fn region_before(&self, end: Option<&[u8]>) -> Region {
        let before = end.map_or(Bound::Unbounded, Bound::Excluded);
        let edges = self.edges();
        let edge = edges.range::<[u8], _>((Bound::Unbounded, before)).next_back();
        self.region(edge.map_or(&[], Vec::as_slice))
    }

    /// How many keys are under `prefix`: the sum of what the snapshot has under these prefixes, those that
    /// are told with true, less those told with false.
    pub(super) fn counted(&self, prefix: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let mut counted = Vec::new();
        if let Some(origin) = self.origin_of(prefix) {
            counted.push((origin.into_owned(), true));
        }
        for (mount, origin) in self.below(prefix) {
            // What was there before lies under the next mount above, if that is one below `prefix`, or else
            // where `prefix` itself lies.
            let above = (prefix.len()..mount.len()).rev().map(|end| &mount[..end]);
            let hidden =
                match above.map(|above| (above, self.of.get(above))).find(|it| it.1.is_some()) {
                    Some((above, Some(origin))) => {
                        origin.as_ref().map(|origin| [origin, &mount[above.len()..]].concat())
                    }
                    _ => self.origin_of(prefix).map(|of| [&of, &mount[prefix.len()..]].concat()),
                };
            counted.extend(hidden.map(|hidden| (hidden, false)));
            counted.extend(origin.clone().map(|origin| (origin, true)));
        }
        counted
    }

    /// The mount with the longest prefix that `key` begins with.
    fn longest(&self, key: &[u8]) -> Option<(&Vec<u8>, &Option<Vec<u8>>)> {
        // Of prefixes of one key the longer one is the greater one.
        let up_to = self.of.range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        up_to.rev().find(|(prefix, _)| key.starts_with(prefix))
    }

    /// The mounts whose prefixes begin with `prefix` and go on.
    fn below<'m>(
        &'m self,
        prefix: &'m [u8],
    ) -> impl Iterator<Item = (&'m Vec<u8>, &'m Option<Vec<u8>>)> {
        let behind = self.of.range::<[u8], _>((Bound::Excluded(prefix), Bound::Unbounded));
        behind.take_while(move |(mount, _)| mount.starts_with(prefix))
    }

    /// Takes the mounts out whose prefixes begin with `prefix`.
    fn take(&mut self, prefix: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let of = std::mem::take(&mut self.of);
        let (taken, left) = of.into_iter().partition(|(mount, _)| mount.starts_with(prefix));
        self.of = left;
        let taken: BTreeMap<_, _> = taken;
        taken.into_iter().collect()
    }

    /// Where regions begin and end.
    fn edges(&self) -> BTreeSet<Vec<u8>> {
        let ends = self.of.keys().filter_map(|prefix| end_of(prefix));
        self.of.keys().cloned().chain(ends).collect()
    }
}

impl Region {
    /// What a list of the snapshot has to ask for to get the keys from `lower` up to `upper`, which are of this
    /// region; none if there is nothing.
    pub(super) fn scan(&self, lower: &[u8], upper: Option<&[u8]>) -> Option<Scan> {
        let origin = self.origin.as_ref()?;
        let moved = |key: &[u8]| {
            let rest = key.strip_prefix(self.prefix.as_slice())?;
            Some([origin, rest].concat())
        };
        // What does not begin with the prefix is behind all that does.
        let lower = moved(lower)?;
        let upper = upper.and_then(moved).or_else(|| end_of(origin));
        let range = (
            bound(lower, Bound::Included, Bound::Excluded),
            match upper {
                Some(upper) => bound(upper, Bound::Excluded, Bound::Included),
                None => Bound::Unbounded,
            },
        );
        Some(Scan::range::<Vec<u8>>(range))
    }

    /// The key that one of the snapshot has here.
    pub(super) fn key(&self, of: &[u8]) -> Vec<u8> {
        let origin = self.origin.as_ref().map_or(0, Vec::len);
        [&self.prefix, &of[origin..]].concat()
    }
}

/// A bound at `key`, or one that means the same if no key is so long.
fn bound(
    mut key: Vec<u8>,
    at: fn(Vec<u8>) -> Bound<Vec<u8>>,
    beyond: fn(Vec<u8>) -> Bound<Vec<u8>>,
) -> Bound<Vec<u8>> {
    if key.len() <= crate::MAX_KEY {
        return at(key);
    }
    key.truncate(crate::MAX_KEY);
    beyond(key)
}

/// The first key behind those that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    match Scan::prefix(prefix).bounds().1 {
        Bound::Excluded(end) => Some(end.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(mounts: &Mounts, key: &str) -> Option<String> {
        let origin = mounts.origin_of(key.as_bytes())?;
        Some(String::from_utf8(origin.into_owned()).unwrap())
    }

    #[test]
    fn what_moves_takes_along_what_was_moved_into_it() {
        let mut mounts = Mounts::default();
        assert!(mounts.is_empty());
        mounts.rename(b"a/", b"b/x/");
        mounts.remove(b"b/x/gone/");
        mounts.rename(b"b/", b"c/");
        assert_eq!(origin(&mounts, "c/1").as_deref(), Some("b/1"));
        assert_eq!(origin(&mounts, "c/x/1").as_deref(), Some("a/1"));
        assert_eq!(origin(&mounts, "c/x/gone/1"), None);
        assert_eq!(origin(&mounts, "b/x/1"), None);
        assert_eq!(origin(&mounts, "a/1"), None);
        assert_eq!(origin(&mounts, "d").as_deref(), Some("d"));
        // Out of itself, which leaves nothing else there.
        mounts.rename(b"c/x/", b"c/");
        assert_eq!(origin(&mounts, "c/1").as_deref(), Some("a/1"));
        assert_eq!(origin(&mounts, "c/x/1").as_deref(), Some("a/x/1"));
        mounts.remove(b"");
        assert_eq!(origin(&mounts, "d"), None);
    }

    #[test]
    fn regions_follow_each_other_without_a_gap_in_both_directions() {
        let mut mounts = Mounts::default();
        mounts.rename(b"m/", b"c/");
        mounts.rename(b"n\xff", b"c/\xff");
        mounts.remove(b"\xff\xff");
        mounts.rename(b"x", b"c/5/");
        let mut forward = vec![mounts.region(b"")];
        while let Some(upper) = &forward.last().unwrap().upper {
            let next = mounts.region(upper);
            assert_eq!(next.lower, *upper);
            forward.push(next);
        }
        let mut backward = vec![mounts.region_before(None)];
        while !backward.last().unwrap().lower.is_empty() {
            let next = mounts.region_before(Some(&backward.last().unwrap().lower));
            assert_eq!(next.upper.as_ref(), Some(&backward.last().unwrap().lower));
            backward.push(next);
        }
        backward.reverse();
        assert_eq!(forward, backward);
        assert!(forward.len() > 8, "{forward:?}");
    }
}
