//! Transactions that run beside each other: those which are committed are as if they had run one after
//! the other.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Model, Random, contents, listing, names, seed};
use holt_engine::disk::SimDisk;
use holt_engine::{Db, Durability, Moved, Options, Version};

fn number(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()))
}

const THREADS: u64 = 4;

/// Runs `run` in several threads, with the number of each.
fn together(run: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let run = &run;
            scope.spawn(move || run(thread));
        }
    });
}

#[test]
fn no_update_is_lost() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    together(|_| {
        for _ in 0..200 {
            db.transact_with(Durability::Buffered, u32::MAX, |tx| {
                let count = number(tx.get(&tree, b"count")?);
                tx.put(&tree, b"count", &(count + 1).to_le_bytes())
            })
            .unwrap();
        }
    });
    assert_eq!(number(tree.get(b"count").unwrap()), THREADS * 200);
}

#[test]
fn two_that_read_both_keys_and_write_one_each_do_not_pass_each_other() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for _ in 0..100 {
        // Whoever is on call may go if another one stays.
        for doctor in 0..THREADS {
            tree.put(&doctor.to_le_bytes(), b"on call").unwrap();
        }
        together(|doctor| {
            db.transact_with(Durability::Buffered, u32::MAX, |tx| {
                let mut on_call = 0;
                for doctor in 0..THREADS {
                    on_call += u32::from(tx.contains(&tree, &doctor.to_le_bytes())?);
                }
                if on_call > 1 { tx.delete(&tree, &doctor.to_le_bytes()) } else { Ok(()) }
            })
            .unwrap();
        });
        assert_eq!(tree.len().unwrap(), 1);
    }
}

#[test]
fn two_that_count_a_directory_and_add_to_it_do_not_count_the_same() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    together(|thread| {
        for round in 0..60 {
            db.transact_with(Durability::Buffered, u32::MAX, |tx| {
                let count = tx.prefix(&tree, "d/").into_iter().count() as u64;
                // In no order, so that what comes lies anywhere in the list.
                let name = format!(
                    "d/{:x}",
                    (thread * 1000 + round).wrapping_mul(0x9E37_79B9) & 0xFFFF_FFFF
                );
                tx.put(&tree, name.as_bytes(), &count.to_le_bytes())
            })
            .unwrap();
        }
    });
    let mut counts: Vec<u64> = tree
        .scan()
        .into_iter()
        .map(|entry| number(entry.unwrap().value().map(<[u8]>::to_vec)))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, (0..THREADS * 60).collect::<Vec<_>>());
}

/// A prefix that was to be renamed.
struct Rename {
    from: Vec<u8>,
    to: Vec<u8>,
    replace: bool,
    became: Moved,
    /// Of how many keys the new one was said to be then.
    count: u64,
}

/// What a committed transaction found.
struct Found {
    keys: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    prefix: Vec<u8>,
    list: Vec<(Vec<u8>, Vec<u8>)>,
    level: Vec<Vec<u8>>,
    moved: Option<Rename>,
    /// A prefix that it removed.
    removed: Option<Vec<u8>>,
    wrote: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// How many keys began with a prefix at the end.
    count: (Vec<u8>, u64),
}

impl Found {
    /// What somebody has written who has read nothing.
    fn plain(key: Vec<u8>, value: Option<Vec<u8>>) -> Found {
        let (keys, list, level) = (Vec::new(), Vec::new(), Vec::new());
        let (prefix, wrote, count) = (Vec::new(), vec![(key, value)], (b"none".to_vec(), 0));
        Found { keys, prefix, list, level, moved: None, removed: None, wrote, count }
    }
}

/// Random transactions beside plain writes and moves. Run again one after the other, in the order of
/// their versions, each has to find what it has found.
#[test]
fn committed_transactions_are_as_if_they_had_run_one_after_the_other() {
    const ROUNDS: u64 = 150;
    let seed = seed(0x5E71);
    let disk = SimDisk::new(seed);
    let db = Options::new().checkpoint_bytes(64 << 10).open_on(Arc::new(disk)).unwrap();
    let (data, done) = (db.tree("data").unwrap(), db.tree("done").unwrap());
    fn key(random: &mut Random) -> Vec<u8> {
        format!("{}/{}", random.below(3), random.below(8)).into_bytes()
    }
    let all = Mutex::new(BTreeMap::new());
    together(|thread| {
        let mut random = Random::new(seed ^ (thread << 32));
        for round in 0..ROUNDS {
            let id = format!("{thread} {round}").into_bytes();
            let choices = random.next();
            let found = db.transact_with(Durability::Buffered, u32::MAX, |tx| {
                // The same choices in each attempt.
                let mut random = Random::new(choices);
                let mut keys = Vec::new();
                for _ in 0..random.below(3) {
                    let key = key(&mut random);
                    let value = tx.get(&data, &key)?;
                    keys.push((key, value));
                }
                let prefix = format!("{}/", random.below(3)).into_bytes();
                let mut list = Vec::new();
                let mut level = Vec::new();
                if random.below(2) == 0 {
                    for entry in tx.prefix(&data, &prefix) {
                        list.extend(entry?.into_record());
                    }
                    level = names(tx.scan(&data).delimiter("/"))?;
                }
                let directory = |random: &mut Random| format!("{}/", random.below(3)).into_bytes();
                let (mut moved, mut removed) = (None, None);
                match random.below(8) {
                    0 | 1 => {
                        let (from, to) = (directory(&mut random), directory(&mut random));
                        let replace = random.below(2) == 0;
                        let became = match replace {
                            true => tx.rename_prefix_replacing(&data, &from, &to)?,
                            false => tx.rename_prefix(&data, &from, &to)?,
                        };
                        let count = tx.count(&data, &to)?;
                        moved = Some(Rename { from, to, replace, became, count });
                    }
                    2 => {
                        let prefix = directory(&mut random);
                        tx.delete_prefix(&data, &prefix)?;
                        removed = Some(prefix);
                    }
                    _ => {}
                }
                let mut wrote = Vec::new();
                for _ in 0..1 + random.below(2) {
                    let key = key(&mut random);
                    let value = (random.below(3) > 0).then(|| id.clone());
                    match &value {
                        Some(value) => tx.put(&data, &key, value)?,
                        None => tx.delete(&data, &key)?,
                    }
                    wrote.push((key, value));
                }
                let counted = directory(&mut random);
                let count = (counted.clone(), tx.count(&data, &counted)?);
                tx.put(&done, &id, b"")?;
                Ok(Found { keys, prefix, list, level, moved, removed, wrote, count })
            });
            let version = done.version(&id).unwrap().unwrap();
            all.lock().unwrap().insert(version, found.unwrap());
            if random.below(4) == 0 {
                // One who writes without a transaction.
                let key = key(&mut random);
                let version = data.put(&key, &id).unwrap();
                all.lock().unwrap().insert(version, Found::plain(key, Some(id)));
            }
        }
    });
    let mut model = Model::new();
    let all = all.into_inner().unwrap();
    assert!(all.len() as u64 > THREADS * ROUNDS);
    let below = |model: &Model, prefix: &[u8]| -> u64 {
        model.keys().filter(|key| key.starts_with(prefix)).count() as u64
    };
    for (version, found) in all {
        let Found { keys, prefix, list, level, moved, removed, wrote, count } = found;
        for (key, value) in keys {
            assert_eq!(value.as_ref(), model.get(&key), "{version:?}");
        }
        if !level.is_empty() || !list.is_empty() {
            let within = model.iter().filter(|(key, _)| key.starts_with(&prefix));
            let within: Vec<_> = within.map(|(key, value)| (key.clone(), value.clone())).collect();
            assert_eq!(list, within, "{version:?}");
            assert_eq!(level, listing(&model, b"", Some(b"/"), None), "{version:?}");
        }
        if let Some(Rename { from, to, replace, became, count }) = moved {
            let expected = match (below(&model, &from), below(&model, &to)) {
                (0, _) => Moved::Missing,
                _ if from == to => Moved::Unchanged,
                (_, 1..) if !replace => Moved::Occupied,
                _ => {
                    model.retain(|key, _| !key.starts_with(&to));
                    let all = std::mem::take(&mut model).into_iter();
                    let renamed =
                        |(key, value): (Vec<u8>, Vec<u8>)| match key.strip_prefix(&from[..]) {
                            Some(rest) => ([&to, rest].concat(), value),
                            None => (key, value),
                        };
                    model = all.map(renamed).collect();
                    Moved::Done(Version::MAX)
                }
            };
            assert_eq!((became, count), (expected, below(&model, &to)), "{version:?}");
        }
        if let Some(prefix) = removed {
            model.retain(|key, _| !key.starts_with(&prefix));
        }
        for (key, value) in wrote {
            match value {
                Some(value) => drop(model.insert(key, value)),
                None => drop(model.remove(&key)),
            }
        }
        assert_eq!(count.1, below(&model, &count.0), "{version:?}");
    }
    assert!(contents(&data).unwrap() == model);
    assert_eq!(db.stats().unwrap().snapshots.open, 0);
    assert!(db.verify().unwrap().faults.is_empty());
}
