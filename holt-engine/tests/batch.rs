//! Batches: several operations on several trees that happen together or not at all.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Model, contents};
use holt_engine::disk::SimDisk;
use holt_engine::{Batch, Db, Error, Guard, MAX_KEY, MAX_VALUE, Options, Tree, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn sim(seed: u64) -> (SimDisk, Db<SimDisk>) {
    let disk = SimDisk::new(seed);
    let db = Options::new().open_on(Arc::new(disk.clone())).unwrap();
    (disk, db)
}

#[test]
fn a_batch_over_two_trees_is_applied_in_order_and_recovered() {
    let (disk, db) = sim(1);
    let (one, two) = (db.create_tree("one").unwrap(), db.create_tree("two").unwrap());
    one.put(b"old", b"1").unwrap();
    let applied = db
        .atomic(|batch| {
            batch.put(&one, b"a", b"first")?;
            batch.put(&two, b"a", b"other tree")?;
            batch.put(&one, b"a", b"second")?;
            batch.rename(&one, b"old", b"new")?;
            batch.put(&one, b"old", b"again")?;
            batch.rename_replacing(&one, b"new", b"a")?;
            batch.delete(&two, b"never there")?;
            batch.put(&two, b"gone", b"")?;
            batch.delete(&two, b"gone")?;
            assert_eq!((batch.len(), batch.is_empty()), (9, false));
            Ok(())
        })
        .unwrap();
    assert_eq!((applied.len(), applied.version(9)), (9, None));
    db.sync().unwrap();
    let left = Options::new().open_on(Arc::new(disk.kill())).unwrap();
    for db in [&db, &left] {
        let (one, two) = (db.open_tree("one").unwrap(), db.open_tree("two").unwrap());
        let version = |number| applied.version(number).unwrap();
        assert_eq!(one.get_with_version(b"a").unwrap(), Some((b"1".to_vec(), version(5))));
        assert_eq!(one.get_with_version(b"old").unwrap(), Some((b"again".to_vec(), version(4))));
        assert_eq!(two.get_with_version(b"a").unwrap(), Some((b"other tree".to_vec(), version(1))));
        assert_eq!((one.len().unwrap(), two.len().unwrap()), (2, 1));
        assert!(db.verify().unwrap().faults.is_empty());
    }
    // The next write comes after all of them.
    assert!(one.put(b"next", b"").unwrap() > applied.version(8).unwrap());
}

#[test]
fn a_failed_guard_says_which_and_nothing_changes() {
    let (_disk, db) = sim(2);
    let (one, two) = (db.create_tree("one").unwrap(), db.create_tree("two").unwrap());
    let here = two.put(b"dir/here", b"").unwrap();
    let other = Version::new(here.get() - 1).unwrap();
    let address = db.stats().unwrap().log_address;
    type Fill<'a> = &'a dyn Fn(&mut Batch<SimDisk>) -> Result<(), Error>;
    type Case<'a> = (Fill<'a>, u64, &'a str, &'a [u8], Guard, Option<Version>);
    let cases: [Case<'_>; 9] = [
        (
            &|batch| {
                batch.require_present(&two, b"dir/here")?;
                batch.require_version(&two, b"dir/here", other)
            },
            1,
            "two",
            b"dir/here",
            Guard::Version(other),
            Some(here),
        ),
        (
            &|batch| batch.require_version(&one, b"dir/here", here),
            0,
            "one",
            b"dir/here",
            Guard::Version(here),
            None,
        ),
        (
            &|batch| batch.require_absent(&two, b"dir/here"),
            0,
            "two",
            b"dir/here",
            Guard::Absent,
            Some(here),
        ),
        // A guard is about the state before, whenever it is added.
        (
            &|batch| {
                batch.put(&one, b"k", b"")?;
                batch.require_absent(&one, b"k")?;
                batch.require_present(&one, b"k")
            },
            1,
            "one",
            b"k",
            Guard::Present,
            None,
        ),
        (
            &|batch| {
                batch.require_empty_prefix(&one, b"dir/")?;
                batch.require_empty_prefix(&two, b"dir/")
            },
            1,
            "two",
            b"dir/",
            Guard::PrefixEmpty,
            Some(here),
        ),
        (&|batch| batch.rename(&one, b"k", b"l"), 1, "one", b"k", Guard::RenameSource, None),
        (
            &|batch| batch.rename(&two, b"dir/here", b"dir/here"),
            1,
            "two",
            b"dir/here",
            Guard::RenameTarget,
            Some(here),
        ),
        // By the time of a rename, what came before it counts.
        (
            &|batch| {
                batch.put(&two, b"new", b"")?;
                batch.rename(&two, b"dir/here", b"new")
            },
            2,
            "two",
            b"new",
            Guard::RenameTarget,
            None,
        ),
        (
            &|batch| {
                batch.delete(&two, b"dir/here")?;
                batch.rename_replacing(&two, b"dir/here", b"new")
            },
            2,
            "two",
            b"dir/here",
            Guard::RenameSource,
            None,
        ),
    ];
    for (number, (fill, at, tree, key, guard, found)) in cases.into_iter().enumerate() {
        let error = db.atomic(|batch| {
            batch.put(&one, b"never", b"seen")?;
            fill(batch)
        });
        let Err(Error::GuardFailed(failed)) = error else { panic!("case {number}: {error:?}") };
        assert_eq!((failed.number, &failed.tree[..]), (at, tree), "case {number}");
        assert_eq!((&failed.key[..], failed.guard), (key, guard), "case {number}");
        assert_eq!(failed.found, found, "case {number}");
        assert!(failed.to_string().contains(&format!("tree {tree:?}")), "{failed}");
    }
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
    assert!(one.is_empty().unwrap());
    assert_eq!(two.len().unwrap(), 1);
    // All of them, and what they allow.
    db.atomic(|batch| {
        batch.require_version(&two, b"dir/here", here)?;
        batch.require_absent(&one, b"dir/here")?;
        batch.require_present(&two, b"dir/here")?;
        batch.require_empty_prefix(&one, b"")?;
        batch.rename(&two, b"dir/here", b"dir/there")
    })
    .unwrap();
    assert!(two.contains(b"dir/there").unwrap());
}

#[test]
fn what_is_wrong_with_an_operation_is_told_when_it_is_added() {
    let (_disk, db) = sim(3);
    let tree = db.default_tree();
    let address = db.stats().unwrap().log_address;
    let (long_key, long_value) = (vec![0; MAX_KEY + 1], vec![0; MAX_VALUE + 1]);
    let stranger = sim(4).1.default_tree();
    db.atomic(|batch| {
        for error in [
            batch.put(&tree, &long_key, b"").unwrap_err(),
            batch.delete(&tree, &long_key).unwrap_err(),
            batch.rename(&tree, &long_key, b"").unwrap_err(),
            batch.rename_replacing(&tree, b"", &long_key).unwrap_err(),
            batch.require_absent(&tree, &long_key).unwrap_err(),
            batch.require_empty_prefix(&tree, &long_key).unwrap_err(),
        ] {
            assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
        }
        let error = batch.put(&tree, b"", &long_value).unwrap_err();
        assert!(matches!(error, Error::ValueTooLong { .. }), "{error}");
        for error in [
            batch.put(&stranger, b"", b"").unwrap_err(),
            batch.require_present(&stranger, b"").unwrap_err(),
        ] {
            assert!(matches!(error, Error::OtherDatabase), "{error}");
        }
        assert!(batch.is_empty(), "the batch is as it was");
        Ok(())
    })
    .unwrap();
    let value = vec![0; MAX_VALUE];
    let error = db.atomic(|batch| {
        batch.put(&tree, b"1", &value)?;
        batch.put(&tree, b"2", &value)
    });
    let limit = Batch::<SimDisk>::MAX_BYTES as u64;
    assert!(matches!(error, Err(Error::BatchTooLong { bytes }) if bytes > limit), "{error:?}");
    let refused = db.atomic(|batch| {
        batch.put(&tree, b"1", b"")?;
        Err(Error::ReversedBounds)
    });
    assert!(matches!(refused, Err(Error::ReversedBounds)));
    assert_eq!(db.stats().unwrap().log_address, address, "nothing was logged");
    assert!(tree.is_empty().unwrap());
}

#[test]
fn a_panic_while_a_batch_is_filled_leaves_everything_usable() {
    let (_disk, db) = sim(5);
    let tree = db.default_tree();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = db.atomic(|batch| {
            batch.put(&tree, b"k", b"v").unwrap();
            panic!("the caller's")
        });
    }));
    assert!(panicked.is_err());
    assert!(tree.is_empty().unwrap());
    db.atomic(|batch| batch.put(&tree, b"k", b"v")).unwrap();
    assert!(tree.contains(b"k").unwrap());
}

#[test]
fn memory_that_runs_out_half_way_leaves_everything_as_it_was() {
    // Three values of such a length do not fit into the cache together.
    for (number, long) in [1_900_000, 2_500_000, 4_000_000].into_iter().enumerate() {
        let disk = SimDisk::new(6);
        let mut options = Options::new();
        options.cache_bytes(8 << 20).checkpoint_bytes(0);
        let db = options.open_on(Arc::new(disk.clone())).unwrap();
        let tree = db.create_tree("t").unwrap();
        let mut model = Model::new();
        let (mut full, mut applied) = (0, 0);
        for round in 0..80_u32 {
            let mut after = model.clone();
            // Every third batch also renames and deletes.
            let outcome = db.atomic(|batch| {
                for n in 0..60_u32 {
                    let key = format!("{:06}", (round * 7919 + n * 104_729) % 400_000);
                    let length = match (n % 20, round % 5) {
                        (7, 0 | 1) => 9000,
                        (7, _) => long,
                        _ => n as usize * 4,
                    };
                    let value = vec![round as u8; length];
                    batch.put(&tree, key.as_bytes(), &value)?;
                    after.insert(key.clone().into_bytes(), value);
                    if round % 3 == 0 && n % 5 == 0 {
                        let to = format!("{key}/renamed");
                        batch.rename_replacing(&tree, key.as_bytes(), to.as_bytes())?;
                        let value = after.remove(key.as_bytes()).unwrap();
                        after.insert(to.into_bytes(), value);
                    }
                }
                if round % 4 == 1 {
                    let found = model.keys().next().map_or(&b"9"[..], |key| &key[..2]);
                    let goes = |key: &[u8]| key.starts_with(found);
                    if model.keys().any(|key| goes(key)) {
                        batch.rename_prefix(&tree, found, b"elsewhere")?;
                        for key in Vec::from_iter(after.keys().filter(|key| goes(key)).cloned()) {
                            let value = after.remove(&key).unwrap();
                            after.insert([b"elsewhere", &key[2..]].concat(), value);
                        }
                        batch.put(&tree, b"much more", &vec![1; 40_000])?;
                        batch.delete_prefix(&tree, b"elsewhere")?;
                        after.retain(|key, _| !key.starts_with(b"elsewhere"));
                        after.insert(b"much more".to_vec(), vec![1; 40_000]);
                    }
                }
                Ok(())
            });
            match outcome {
                Ok(_) => {
                    applied += 1;
                    model = after;
                }
                Err(Error::Tree(_) | Error::CacheTooSmall { .. }) => full += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(contents(&tree).unwrap() == model, "round {round} of {number}");
            assert!(db.verify().unwrap().faults.is_empty(), "round {round} of {number}");
            match round % 16 {
                5 => drop(db.checkpoint()),
                11 => {
                    db.sync().unwrap();
                    let left = options.open_on(Arc::new(disk.kill())).unwrap();
                    assert!(contents(&left.open_tree("t").unwrap()).unwrap() == model);
                    assert!(left.verify().unwrap().faults.is_empty());
                }
                _ => {}
            }
        }
        assert!(full > 20 && applied > 2, "{applied} applied, {full} refused");
        // It is only full, not broken: what is there can go, and room comes back.
        for key in model.into_keys() {
            assert!(tree.delete(&key).unwrap());
        }
        tree.put(b"room", &[1; 5000]).unwrap();
        assert!(matches!(tree.rename(b"room", b"moved"), Ok(holt_engine::Renamed::Done(_))));
        drop(tree);
        db.close().unwrap();
        let db = options.open_on(Arc::new(disk)).unwrap();
        assert_eq!(db.open_tree("t").unwrap().len().unwrap(), 1);
    }
}

#[test]
fn gets_never_see_half_a_batch() {
    for small in [false, true] {
        let disk = SimDisk::new(7);
        let mut options = Options::new();
        if small {
            options.memory_bytes(24 << 20);
        }
        options.checkpoint_bytes(1 << 20);
        let db = options.open_on(Arc::new(disk)).unwrap();
        let (one, two) = (db.default_tree(), db.create_tree("two").unwrap());
        for number in 0..3000_u32 {
            one.put(format!("{number:08}").as_bytes(), &[0; 50]).unwrap();
        }
        let write = |text: &str| {
            db.atomic(|batch| {
                batch.put(&one, b"00000000", text.as_bytes())?;
                batch.put(&two, b"k", text.as_bytes())?;
                batch.put(&one, b"00002999", text.as_bytes())
            })
        };
        write("0").unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
                let places: [(&Tree<_>, &[u8]); 3] =
                    [(&one, b"00000000"), (&two, b"k"), (&one, b"00002999")];
                let done = &done;
                scope.spawn(move || {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        for place in order {
                            let (tree, key) = places[place];
                            let read = tree.get(key).unwrap().unwrap();
                            let read: u32 = String::from_utf8(read).unwrap().parse().unwrap();
                            assert!(read >= last, "{read} after {last}");
                            last = read;
                        }
                    }
                });
            }
            for number in 1..3000_u32 {
                write(&number.to_string()).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(db.verify().unwrap().faults.is_empty());
    }
}

#[test]
fn transfers_between_keys_lose_nothing_whoever_else_writes() {
    let (disk, db) = sim(8);
    let tree = db.default_tree();
    let key = |n: u64| format!("account/{n}").into_bytes();
    for n in 0..8 {
        tree.put(&key(n), &100_u64.to_le_bytes()).unwrap();
    }
    thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (db, tree) = (&db, &tree);
            scope.spawn(move || {
                let mut random = common::Random::new(thread);
                let mut moved = 0;
                while moved < 400 {
                    let (from, to) = (key(random.below(8)), key(random.below(8)));
                    if from == to {
                        continue;
                    }
                    let read = |key: &[u8]| {
                        let (value, version) = tree.get_with_version(key).unwrap().unwrap();
                        (u64::from_le_bytes(value.try_into().unwrap()), version)
                    };
                    let ((has, seen), (gets, also_seen)) = (read(&from), read(&to));
                    if has == 0 {
                        continue;
                    }
                    let applied = db.atomic(|batch| {
                        batch.require_version(tree, &from, seen)?;
                        batch.require_version(tree, &to, also_seen)?;
                        batch.put(tree, &from, &(has - 1).to_le_bytes())?;
                        batch.put(tree, &to, &(gets + 1).to_le_bytes())
                    });
                    match applied {
                        Ok(_) => moved += 1,
                        Err(Error::GuardFailed(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let sum = |tree: &Tree<SimDisk>| -> u64 {
        let values = contents(tree).unwrap().into_values();
        values.map(|value| u64::from_le_bytes(value.try_into().unwrap())).sum()
    };
    assert_eq!(sum(&tree), 800);
    db.sync().unwrap();
    let left = Options::new().open_on(Arc::new(disk.kill())).unwrap();
    assert_eq!(sum(&left.default_tree()), 800);
}

/// One operation or guard of a random batch.
#[derive(Clone, Debug)]
enum Part {
    Put(usize, Vec<u8>, Vec<u8>),
    Delete(usize, Vec<u8>),
    Rename(usize, Vec<u8>, Vec<u8>, bool),
    RenamePrefix(usize, Vec<u8>, Vec<u8>, bool),
    DeletePrefix(usize, Vec<u8>),
    Absent(usize, Vec<u8>),
    Present(usize, Vec<u8>),
    Empty(usize, Vec<u8>),
}

fn part() -> impl Strategy<Value = Part> {
    let key = || vec(select(&[0x00, b'/', b'a', 0xFF][..]), 0..4);
    let value = prop_oneof![
        6 => vec(any::<u8>(), 0..20),
        1 => (0..12_000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ];
    let tree = || 0..2_usize;
    let prefix = || vec(select(&[b'/', b'a'][..]), 1..4);
    prop_oneof![
        8 => (tree(), key(), value).prop_map(|(t, k, v)| Part::Put(t, k, v)),
        4 => (tree(), key()).prop_map(|(t, k)| Part::Delete(t, k)),
        4 => (tree(), key(), key(), any::<bool>()).prop_map(|(t, f, k, g)| Part::Rename(t, f, k, g)),
        1 => (tree(), prefix(), prefix(), any::<bool>())
            .prop_filter("keys cannot move below themselves", |(_, from, to, _)| {
                from == to || !to.starts_with(from)
            })
            .prop_map(|(t, f, k, r)| Part::RenamePrefix(t, f, k, r)),
        1 => (tree(), key()).prop_map(|(t, k)| Part::DeletePrefix(t, k)),
        1 => (tree(), key()).prop_map(|(t, k)| Part::Absent(t, k)),
        1 => (tree(), key()).prop_map(|(t, k)| Part::Present(t, k)),
        1 => (tree(), vec(any::<u8>(), 1..3)).prop_map(|(t, k)| Part::Empty(t, k)),
    ]
}

/// What the parts make of the models; none if a guard or a rename refuses.
fn applied(before: &[Model; 2], parts: &[Part]) -> Option<[Model; 2]> {
    let mut after = before.clone();
    for part in parts {
        match part {
            Part::Put(tree, key, value) => {
                after[*tree].insert(key.clone(), value.clone());
            }
            Part::Delete(tree, key) => {
                after[*tree].remove(key);
            }
            Part::Rename(tree, from, to, gentle) => {
                let value = after[*tree].get(from)?.clone();
                if *gentle && after[*tree].contains_key(to) {
                    return None;
                }
                after[*tree].remove(from);
                after[*tree].insert(to.clone(), value);
            }
            Part::RenamePrefix(tree, from, to, replace) => {
                let mut gone = Model::new();
                let mut moved = Model::new();
                for (key, value) in std::mem::take(&mut after[*tree]) {
                    match () {
                        () if key.starts_with(from) => {
                            moved.insert([to, &key[from.len()..]].concat(), value);
                        }
                        () if key.starts_with(to) => drop(gone.insert(key, value)),
                        () => drop(after[*tree].insert(key, value)),
                    }
                }
                if moved.is_empty() || !(gone.is_empty() || *replace) {
                    return None;
                }
                after[*tree].extend(moved);
            }
            Part::DeletePrefix(tree, prefix) => {
                after[*tree].retain(|key, _| !key.starts_with(prefix));
            }
            Part::Absent(tree, key) if before[*tree].contains_key(key) => return None,
            Part::Present(tree, key) if !before[*tree].contains_key(key) => return None,
            Part::Empty(tree, prefix)
                if before[*tree].keys().any(|key| key.starts_with(prefix)) =>
            {
                return None;
            }
            _ => {}
        }
    }
    Some(after)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn batches_do_what_their_parts_do_to_maps(
        seed: u64,
        batches in vec((vec(part(), 0..12), 0..8_u8), 1..24),
    ) {
        let disk = SimDisk::new(seed);
        let open = |disk: &SimDisk| Options::new().open_on(Arc::new(disk.clone())).unwrap();
        let db = open(&disk);
        let trees = [db.default_tree(), db.create_tree("other").unwrap()];
        let mut models: [Model; 2] = Default::default();
        let mut versions: BTreeMap<u64, ()> = BTreeMap::new();
        for (parts, then) in batches {
            let outcome = db.atomic(|batch| {
                parts.iter().try_for_each(|part| match part {
                    Part::Put(tree, key, value) => batch.put(&trees[*tree], key, value),
                    Part::Delete(tree, key) => batch.delete(&trees[*tree], key),
                    Part::Rename(tree, from, to, true) => batch.rename(&trees[*tree], from, to),
                    Part::Rename(tree, from, to, false) => {
                        batch.rename_replacing(&trees[*tree], from, to)
                    }
                    Part::RenamePrefix(tree, from, to, false) => {
                        batch.rename_prefix(&trees[*tree], from, to)
                    }
                    Part::RenamePrefix(tree, from, to, true) => {
                        batch.rename_prefix_replacing(&trees[*tree], from, to)
                    }
                    Part::DeletePrefix(tree, prefix) => batch.delete_prefix(&trees[*tree], prefix),
                    Part::Absent(tree, key) => batch.require_absent(&trees[*tree], key),
                    Part::Present(tree, key) => batch.require_present(&trees[*tree], key),
                    Part::Empty(tree, prefix) => batch.require_empty_prefix(&trees[*tree], prefix),
                })
            });
            match (outcome, applied(&models, &parts)) {
                (Ok(done), Some(after)) => {
                    models = after;
                    for number in 0..done.len() {
                        let version = done.version(number).unwrap().get();
                        let newest = versions.last_key_value().map_or(0, |(version, ())| *version);
                        prop_assert!(version > newest);
                        versions.insert(version, ());
                    }
                }
                (Err(Error::GuardFailed(_)), None) => {}
                (outcome, expected) => prop_assert!(false, "{outcome:?}, not {expected:?}"),
            }
            for (tree, model) in trees.iter().zip(&models) {
                prop_assert!(contents(tree).unwrap() == *model);
            }
            match then {
                0 => drop(db.checkpoint().unwrap()),
                1 => {
                    db.sync().unwrap();
                    let left = open(&disk.kill());
                    let trees = [left.default_tree(), left.open_tree("other").unwrap()];
                    for (tree, model) in trees.iter().zip(&models) {
                        prop_assert!(contents(tree).unwrap() == *model, "after a kill");
                    }
                }
                _ => {}
            }
        }
        prop_assert!(db.verify().unwrap().faults.is_empty());
    }
}
