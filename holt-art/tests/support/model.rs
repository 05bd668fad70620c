//! What becomes of a tree's records, worked out the slow way over a `BTreeMap`.

use std::collections::BTreeMap;

use holt_art::{Error, Existing, MAX_KEY, Version};

/// Value and version of every record, by key.
pub(crate) type Model = BTreeMap<Vec<u8>, (Vec<u8>, Version)>;

/// The keys that begin with `prefix`.
pub(crate) fn below(model: &Model, prefix: &[u8]) -> Vec<Vec<u8>> {
    let from = model.range(prefix.to_vec()..);
    from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
}

/// What a rename must come to, applied to the model; false when the names are the same.
pub(crate) fn rename(
    model: &mut Model,
    from: &[u8],
    to: &[u8],
    existing: Existing,
) -> Result<bool, Error> {
    if from.is_empty() || to.is_empty() {
        return Err(Error::EmptyPrefix);
    }
    if let Some(long) = [from, to].into_iter().find(|prefix| prefix.len() > MAX_KEY) {
        return Err(Error::KeyTooLong { length: long.len() });
    }
    let moved = below(model, from);
    if moved.is_empty() {
        return Err(Error::PrefixMissing);
    }
    if from == to {
        return Ok(false);
    }
    if to.starts_with(from) {
        return Err(Error::PrefixInside);
    }
    let longest = moved.iter().map(Vec::len).max().expect("there is one") - from.len() + to.len();
    if longest > MAX_KEY {
        return Err(Error::KeyTooLong { length: longest });
    }
    let in_the_way: Vec<_> =
        below(model, to).into_iter().filter(|key| !key.starts_with(from)).collect();
    if !in_the_way.is_empty() && existing == Existing::Refuse {
        return Err(Error::PrefixOccupied);
    }
    let records: Vec<_> =
        moved.iter().map(|key| (key.clone(), model.remove(key).expect("it is there"))).collect();
    for key in in_the_way {
        model.remove(&key);
    }
    for (key, record) in records {
        model.insert([to, &key[from.len()..]].concat(), record);
    }
    Ok(true)
}
