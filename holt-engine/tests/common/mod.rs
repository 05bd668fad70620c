//! What several tests share: seeded randomness, and a model to compare a tree with.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::collections::BTreeMap;

use holt_engine::disk::Disk;
use holt_engine::{Entry, Error, Tree};

/// The contents of a tree.
pub(crate) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A seed for one test run: from the environment variable `HOLT_SEED`, so that a failure can be
/// repeated, or else the one given. It is printed, which a failing test shows.
pub(crate) fn seed(default: u64) -> u64 {
    let seed = std::env::var("HOLT_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(default);
    println!("HOLT_SEED={seed}");
    seed
}

/// A small generator of random numbers whose whole state is its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number of 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        // Steps by an odd constant, so every state comes up once; then mixes the high bits down.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 32)
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Everything that a tree holds, read in order.
pub(crate) fn contents<D: Disk>(tree: &Tree<D>) -> Result<Model, Error> {
    let mut model = Model::new();
    let mut last: Option<Vec<u8>> = None;
    for entry in tree.scan() {
        let (key, value) = entry?.into_record().expect("without a delimiter there are no groups");
        assert!(last.as_ref().is_none_or(|last| last < &key), "keys come in strict order");
        last = Some(key.clone());
        model.insert(key, value);
    }
    Ok(model)
}

/// What a listing of `model` must tell, by the rules in the words of the documentation.
pub(crate) fn listing(
    model: &Model,
    prefix: &[u8],
    delimiter: Option<&[u8]>,
    start_after: Option<&[u8]>,
) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for key in model.keys().filter(|key| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let group = delimiter.and_then(|delimiter| {
            let at = rest.windows(delimiter.len()).position(|window| window == delimiter)?;
            Some(prefix.len() + at + delimiter.len())
        });
        let name = &key[..group.unwrap_or(key.len())];
        let behind = start_after.is_none_or(|after| name > after);
        if behind && names.last().is_none_or(|last| last != name) {
            names.push(name.to_vec());
        }
    }
    names
}

/// The names of entries.
pub(crate) fn names(
    entries: impl IntoIterator<Item = Result<Entry, Error>>,
) -> Result<Vec<Vec<u8>>, Error> {
    entries.into_iter().map(|entry| Ok(entry?.into_name())).collect()
}
