//! Lists with every option, and what a tree must answer, worked out the slow way.

use std::ops::Bound;

use holt_art::{Entry, Scan};

use crate::model::Model;

/// Which keys a list is of.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    Prefix(Vec<u8>),
    Range(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

/// A list with every option that there is.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) keys: Keys,
    pub(crate) delimiter: Vec<u8>,
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) reverse: bool,
    pub(crate) keys_only: bool,
    pub(crate) limit: u64,
}

impl List {
    /// The question to the tree.
    pub(crate) fn scan(&self) -> Scan {
        let mut scan = match &self.keys {
            Keys::Prefix(prefix) => Scan::prefix(prefix),
            Keys::Range(lower, upper) => Scan::range::<Vec<u8>>((lower.clone(), upper.clone())),
        };
        if let Some(after) = &self.after {
            scan = scan.start_after(after);
        }
        scan.delimiter(&self.delimiter)
            .reverse(self.reverse)
            .keys_only(self.keys_only)
            .limit(self.limit)
    }

    /// Length of the prefix behind which the delimiter counts, if the key is of this list.
    fn head(&self, key: &[u8]) -> Option<usize> {
        match &self.keys {
            Keys::Prefix(prefix) => key.starts_with(prefix).then_some(prefix.len()),
            Keys::Range(lower, upper) => {
                let above = match lower {
                    Bound::Included(bound) => key >= bound.as_slice(),
                    Bound::Excluded(bound) => key > bound.as_slice(),
                    Bound::Unbounded => true,
                };
                let under = match upper {
                    Bound::Included(bound) => key <= bound.as_slice(),
                    Bound::Excluded(bound) => key < bound.as_slice(),
                    Bound::Unbounded => true,
                };
                (above && under).then_some(0)
            }
        }
    }

    /// What the tree must answer when it has these records.
    pub(crate) fn lines(&self, model: &Model) -> Vec<Entry> {
        let mut lines: Vec<Entry> = Vec::new();
        for (key, (value, version)) in model {
            let Some(head) = self.head(key) else { continue };
            let length = self.delimiter.len();
            let mut places = head..(key.len() + 1).saturating_sub(length);
            let found = places.find(|&at| length > 0 && key[at..].starts_with(&self.delimiter));
            let line = match found {
                Some(at) => Entry::group(&key[..at + length]),
                None if self.keys_only => Entry::record(key, b"", *version),
                None => Entry::record(key, value, *version),
            };
            let early = self.after.as_ref().is_some_and(|after| line.name() <= after.as_slice());
            if !early && lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        if self.reverse {
            lines.reverse();
        }
        lines.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        lines
    }
}
