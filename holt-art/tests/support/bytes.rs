//! Bytes read as names, values and conditions. Any bytes mean something.

use std::ops::Bound;

use holt_art::{Condition, Existing, Version};

use crate::list::{Keys, List};
use crate::model::Model;

/// Takes bytes from the front; zeros when there are no more.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// A few pieces, each of one byte, of a repeated byte, or of a name.
    fn pieces(&mut self, count: u8) -> Vec<u8> {
        let mut key = Vec::new();
        for _ in 0..count {
            let (kind, byte) = (self.byte(), self.byte());
            match kind % 16 {
                0..=4 => key.push(byte),
                5 | 6 => key.push([0, b'/', 0x7F, 0x80, 0xFE, 0xFF][usize::from(byte % 6)]),
                7..=9 => key.extend_from_slice(format!("dir-{}/", byte % 6).as_bytes()),
                10 | 11 => key.resize(key.len() + usize::from(byte), b'r'),
                12 | 13 => key.resize(key.len() + usize::from(byte % 8) * 125 + 244, b'R'),
                14 => key.resize(key.len() + usize::from(byte % 4) * 3_000, b'L'),
                _ => key.resize(key.len() + usize::from(byte) * 130, b'X'),
            }
        }
        key
    }

    /// A name: a new one, that of a record, or the beginning of one.
    pub(crate) fn name(&mut self, model: &Model) -> Vec<u8> {
        let kind = self.byte();
        let key = self.pieces(kind / 8 % 4);
        let known = match kind % 8 {
            0..=4 => None,
            _ => model.range(key.clone()..).next().or_else(|| model.iter().next_back()),
        };
        match (known, kind % 8) {
            (None, _) => key,
            (Some((known, _)), 5) => known.clone(),
            (Some((known, _)), 6) => known[..usize::from(self.byte()) % (known.len() + 1)].to_vec(),
            (Some((known, _)), _) => {
                // Up to a slash, as most prefixes are.
                let slashes: Vec<usize> =
                    (0..known.len()).filter(|&at| known[at] == b'/').collect();
                match slashes.len() {
                    0 => known.clone(),
                    count => known[..=slashes[usize::from(self.byte()) % count]].to_vec(),
                }
            }
        }
    }

    pub(crate) fn value(&mut self) -> Vec<u8> {
        let (kind, byte) = (self.byte(), self.byte());
        let length = match kind % 8 {
            0..=4 => usize::from(byte % 24),
            5 => usize::from(byte) + 200,
            6 => usize::from(byte) * 16,
            _ => usize::from(byte) * 130,
        };
        vec![byte ^ kind; length]
    }

    /// Mostly none, or one that holds or does not hold for this key.
    pub(crate) fn condition(&mut self, model: &Model, key: &[u8]) -> Condition {
        let byte = self.byte();
        match byte % 8 {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 => match model.get(key) {
                Some((_, version)) => Condition::Version(*version),
                None => Condition::Version(Version::MAX),
            },
            3 => Condition::Version(Version::new(u64::from(byte)).expect("it is not zero")),
            _ => Condition::Always,
        }
    }

    pub(crate) fn existing(&mut self) -> Existing {
        if self.byte().is_multiple_of(2) { Existing::Refuse } else { Existing::Replace }
    }

    fn bound(&mut self, model: &Model) -> Bound<Vec<u8>> {
        match self.byte() % 3 {
            0 => Bound::Included(self.name(model)),
            1 => Bound::Excluded(self.name(model)),
            _ => Bound::Unbounded,
        }
    }

    pub(crate) fn list(&mut self, model: &Model) -> List {
        let (options, limit) = (self.byte(), self.byte());
        let keys = if options & 1 == 0 {
            Keys::Prefix(self.name(model))
        } else {
            Keys::Range(self.bound(model), self.bound(model))
        };
        let delimiter: &[u8] = match options >> 1 & 3 {
            0 => b"",
            1 => b"/",
            2 => b"r",
            _ => b"r/",
        };
        List {
            keys,
            delimiter: delimiter.to_vec(),
            after: (options & 8 != 0).then(|| self.name(model)),
            reverse: options & 16 != 0,
            keys_only: options & 32 != 0,
            limit: if limit % 4 == 0 { u64::MAX } else { u64::from(limit / 4) },
        }
    }
}
