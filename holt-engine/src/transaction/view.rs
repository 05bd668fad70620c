//! A tree as a transaction sees it: the snapshot's, with the transaction's own changes.
//!
//! - A key that was written counts as it was written. For every other one [`Mounts`] says where the
//!   snapshot has it.
//! - The order of a write and an operation on a prefix matters only if the key lies under the prefix. Such
//!   writes are put down before the operation; the others are kept back until the commit, so of a key that
//!   is written again and again one write is left.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;

use super::mounts::Mounts;
use crate::error::Error;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct View {
    writes: BTreeMap<Vec<u8>, Own>,
    mounts: Mounts,
}

/// What a transaction has put under a key, or that it has removed it.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) value: Option<Vec<u8>>,
    /// Whether it is among the operations that have been put down.
    put_down: bool,
}

/// Where a key is to be looked for.
pub(super) enum Found<'v, 'k> {
    /// It was written here.
    Own(Option<&'v [u8]>),
    /// The snapshot has it under this key, if it has it.
    Past(Cow<'k, [u8]>),
    /// It is not there.
    Nowhere,
}

impl View {
    /// Where keys of the snapshot lie.
    pub(super) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    pub(super) fn find<'k>(&self, key: &'k [u8]) -> Found<'_, 'k> {
        if let Some(own) = self.writes.get(key) {
            return Found::Own(own.value.as_deref());
        }
        self.past(key).map_or(Found::Nowhere, Found::Past)
    }

    /// The key that the snapshot has for this one, whatever was written.
    pub(super) fn past<'k>(&self, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        self.mounts.origin_of(key).filter(|key| key.len() <= crate::MAX_KEY)
    }

    pub(super) fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        self.writes.insert(key.to_vec(), Own { value, put_down: false });
    }

    /// Whether a key was written here.
    pub(super) fn has_written(&self, key: &[u8]) -> bool {
        self.writes.contains_key(key)
    }

    /// The writes between two bounds; none if there is nothing between them.
    pub(super) fn between(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Option<Range<'_, Vec<u8>, Own>> {
        let empty = match (lower, upper) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
            (
                Bound::Included(lower) | Bound::Excluded(lower),
                Bound::Included(upper) | Bound::Excluded(upper),
            ) => lower >= upper,
        };
        (!empty).then(|| self.writes.range::<[u8], _>((lower, upper)))
    }

    /// The writes of keys that begin with `prefix`.
    pub(super) fn below<'v>(
        &'v self,
        prefix: &'v [u8],
    ) -> impl Iterator<Item = (&'v Vec<u8>, &'v Own)> {
        let from = self.writes.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Takes away everything under `prefix`.
    pub(super) fn remove_prefix(&mut self, prefix: &[u8]) {
        self.take(prefix);
        self.mounts.remove(prefix);
    }

    /// Puts everything under `from` under `to`, in place of what is there. What was written under both has been
    /// [put down](Self::put_down), but for what is replaced.
    pub(super) fn rename_prefix(&mut self, from: &[u8], to: &[u8]) {
        let moved = self.take(from);
        self.take(to);
        for (mut key, own) in moved {
            key.splice(..from.len(), to.iter().copied());
            self.writes.insert(key, own);
        }
        self.mounts.rename(from, to);
    }

    /// Hands what was written under `prefix`, and has not been put down, to `put`, and counts it as put down.
    ///
    /// # Errors
    ///
    /// That of `put`. What it has taken before counts.
    pub(super) fn put_down(
        &mut self,
        prefix: &[u8],
        mut put: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let from = self.writes.range_mut::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        for (key, own) in from.take_while(|(key, _)| key.starts_with(prefix)) {
            if !own.put_down {
                put(key, own.value.as_deref())?;
                own.put_down = true;
            }
        }
        Ok(())
    }

    /// Takes out the writes of keys that begin with `prefix`.
    fn take(&mut self, prefix: &[u8]) -> BTreeMap<Vec<u8>, Own> {
        let mut taken = self.writes.split_off(prefix);
        let behind = match super::mounts::end_of(prefix) {
            Some(end) => taken.split_off(&end),
            None => BTreeMap::new(),
        };
        self.writes.extend(behind);
        taken
    }
}
