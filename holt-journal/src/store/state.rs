//! A state of the store: what the commits up to one of them add up to.

use std::collections::BTreeMap;
use std::ops::Range;

use holt_codec::{Commit, EXTENT_UNIT, IMAGE_HEADER_LEN, Mapping};

use super::ObjectId;
use crate::error::Damage;

/// The outcome of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Sequence of the commit.
    pub(crate) sequence: u64,
    /// Generation of the commit.
    pub(crate) generation: u64,
    /// Where the replay of the log starts.
    pub(crate) log_address: u64,
    /// Bytes of the layer above.
    pub(crate) meta: Vec<u8>,
    /// Where the image of each object lies.
    pub(crate) mapping: BTreeMap<u64, Mapping>,
    /// Bytes of all images with their headers.
    pub(crate) image_bytes: u64,
}

impl State {
    /// Goes on to the next commit.
    ///
    /// # Errors
    ///
    /// [`Damage::FreedTwice`]; the state is of no use then.
    pub(crate) fn apply(&mut self, commit: &Commit) -> Result<(), Damage> {
        if commit.base {
            self.mapping.clear();
            self.image_bytes = 0;
        }
        self.sequence = commit.sequence;
        self.generation = commit.generation;
        self.log_address = commit.log_address;
        self.meta.clone_from(&commit.meta);
        for object in &commit.freed {
            let freed = self.mapping.remove(object);
            let freed = freed.ok_or(Damage::FreedTwice { object: ObjectId(*object) })?;
            self.image_bytes -= bytes_of(&freed);
        }
        for mapping in &commit.changed {
            self.image_bytes += bytes_of(mapping);
            if let Some(superseded) = self.mapping.insert(mapping.object, *mapping) {
                self.image_bytes -= bytes_of(&superseded);
            }
        }
        Ok(())
    }

    /// The commit that says all of this at once.
    pub(crate) fn to_base(&self) -> Commit {
        Commit {
            base: true,
            sequence: self.sequence,
            generation: self.generation,
            log_address: self.log_address,
            meta: self.meta.clone(),
            changed: self.mapping.values().copied().collect(),
            freed: Vec::new(),
        }
    }
}

/// The units of the data file that a mapping's extent takes.
pub(crate) fn units_of(mapping: &Mapping) -> Range<u64> {
    mapping.offset / EXTENT_UNIT..mapping.end() / EXTENT_UNIT
}

/// Bytes of an image with its header.
fn bytes_of(mapping: &Mapping) -> u64 {
    IMAGE_HEADER_LEN as u64 + u64::from(mapping.len)
}
