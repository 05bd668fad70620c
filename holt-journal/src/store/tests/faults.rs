//! Calls that fail while the machine goes on, and bytes that change under the store.

use super::*;
use crate::disk::{CrashPattern, Disk, Fault as DiskFault, Operation, Target, Trigger};

/// A store with a few objects, and what it holds.
fn loaded(disk: &SimDisk) -> (SimStore, Model) {
    let store = create(disk).unwrap();
    let mut random = Random::new(disk.seed());
    let mut model = Model::new();
    for _ in 0..3 {
        let mut next = random.next_model(&model, 8, 8);
        next.objects.insert(3, random.image());
        next.objects.insert(5, vec![5; 6000]);
        go(&store, &model, &next).unwrap();
        model = next;
    }
    (store, model)
}

/// The next model, with something of everything.
fn after(model: &Model) -> Model {
    let mut next = model.clone();
    next.objects.insert(3, vec![33; 20_000]);
    next.objects.insert(20, vec![20; 100]);
    next.objects.remove(&5);
    next.log_address += 800;
    next.meta = b"after".to_vec();
    next
}

#[test]
fn a_call_that_fails_once_costs_one_checkpoint_and_nothing_else() {
    let count = {
        let disk = SimDisk::new(1);
        let (store, model) = loaded(&disk);
        disk.reset_counts();
        go(&store, &model, &after(&model)).unwrap();
        disk.count(Target::Any)
    };
    let mut failed = 0;
    for fault in [DiskFault::Io, DiskFault::NoSpace, DiskFault::Interrupted] {
        for at in 0..count {
            let context = format!("{fault:?} at call {at} of {count}");
            let disk = SimDisk::new(1);
            let (store, model) = loaded(&disk);
            disk.inject(Trigger::once(Target::Any, at, fault));
            let next = after(&model);
            let result = go(&store, &model, &next);
            if result.is_ok() {
                // A call that could be done again, or one of tidying up.
                assert_eq!(read_all(&store).unwrap(), next, "{context}");
                continue;
            }
            failed += 1;
            let unknown = matches!(result, Err(Error::CommitUnknown(_)));
            assert_eq!(read_all(&store).unwrap(), model, "{context}");
            assert_sound(&store, &context);
            for pattern in CrashPattern::ALL {
                let store = open(&disk.crash(at, pattern)).unwrap();
                let found = read_all(&store).unwrap();
                let legal = found == model || unknown && found == next;
                assert!(legal, "{context}, {pattern:?}: {found:?} after {result:?}");
            }
            // The next checkpoint goes through, from the same cut.
            let report = go(&store, &model, &next).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(report.new_manifest, unknown, "{context}: {result:?}");
            assert_eq!(read_all(&store).unwrap(), next, "{context}");
            assert_sound(&store, &context);
            let found = faults(&store);
            assert!(found.is_empty(), "{context}: {found:?}");
            for pattern in CrashPattern::ALL {
                let store = open(&disk.crash(at, pattern)).unwrap();
                assert_eq!(read_all(&store).unwrap(), next, "{context}, {pattern:?}");
            }
        }
    }
    assert!(failed > 6, "{failed}");
}

#[test]
fn a_failed_creation_can_be_repeated_or_has_happened() {
    let count = {
        let disk = SimDisk::new(1);
        create(&disk).unwrap();
        disk.count(Target::Any)
    };
    for fault in [DiskFault::Io, DiskFault::NoSpace, DiskFault::Interrupted] {
        for at in 0..count {
            let disk = SimDisk::new(1);
            disk.inject(Trigger::once(Target::Any, at, fault));
            if create(&disk).is_ok() {
                continue;
            }
            let store = match open(&disk) {
                Err(Error::NoStore) => create(&disk),
                opened => opened,
            };
            let store = store.unwrap_or_else(|e| panic!("{fault:?} at {at}: {e}"));
            assert_eq!(read_all(&store).unwrap(), Model::new());
            go(&store, &Model::new(), &after(&Model::new())).unwrap();
        }
    }
}

#[test]
fn a_full_disk_changes_nothing_and_space_lets_it_go_on() {
    let disk = SimDisk::new(1);
    let (store, model) = loaded(&disk);
    let mut next = model.clone();
    next.objects.insert(77, vec![7; 300_000]);
    next.log_address += 8;
    let limit = disk.used() + 100_000;
    disk.set_capacity(Some(limit));
    for _ in 0..3 {
        let failed = go(&store, &model, &next);
        let full = matches!(&failed, Err(Error::Io { error, .. })
            if error.kind() == std::io::ErrorKind::StorageFull);
        assert!(full, "{failed:?}");
        assert_eq!(read_all(&store).unwrap(), model);
        assert_eq!(store.stats().held_bytes, 0);
    }
    // A smaller one fits, and the failed ones left nothing in its way.
    let mut small = model.clone();
    small.objects.insert(78, vec![8; 50_000]);
    small.log_address += 8;
    go(&store, &model, &small).unwrap();
    disk.set_capacity(None);
    next.objects.insert(78, vec![8; 50_000]);
    go(&store, &small, &next).unwrap();
    assert_clean(&store, &disk, "with space again");
}

#[test]
fn images_of_a_failed_sync_are_written_elsewhere() {
    let disk = SimDisk::new(1);
    let (store, model) = loaded(&disk);
    let next = after(&model);
    let sync = Target::Named(Operation::Sync, "DATA");
    let before = disk.contents("DATA").unwrap();
    disk.inject(Trigger::once(sync, 0, DiskFault::Io));
    assert!(matches!(go(&store, &model, &next), Err(Error::Io { .. })));
    let suspect = disk.contents("DATA").unwrap();
    assert!(suspect != before);
    let held = store.stats().held_bytes;
    assert_eq!(held, (5 + 1) * EXTENT_UNIT, "the extents of 20 000 and 100 bytes");
    assert_sound(&store, "after the failed sync");
    go(&store, &model, &next).unwrap();
    // The suspect bytes lie as they were: nothing was written over them.
    let now = disk.contents("DATA").unwrap();
    for (at, byte) in suspect.iter().enumerate().skip(FIRST as usize) {
        if before.get(at).unwrap_or(&0) != byte {
            assert_eq!(now.get(at), Some(byte), "byte {at} was written to again");
        }
    }
    assert_eq!(store.stats().held_bytes, held);
    assert_eq!(read_all(&store).unwrap(), next);
    // Reopened, the space is free again.
    store.close().unwrap();
    let store = open(&disk.crash(1, CrashPattern::LoseAll)).unwrap();
    assert_eq!(store.stats().held_bytes, 0);
    assert_eq!(read_all(&store).unwrap(), next);
}

#[test]
fn two_failed_syncs_in_a_row_close_the_store_for_checkpoints_and_not_for_reads() {
    let disk = SimDisk::new(1);
    let (store, model) = loaded(&disk);
    let sync = Target::Named(Operation::Sync, "DATA");
    disk.inject(Trigger { target: sync, after: 0, times: 2, fault: DiskFault::Io });
    let next = after(&model);
    for _ in 0..2 {
        assert!(matches!(go(&store, &model, &next), Err(Error::Io { .. })));
    }
    for result in [go(&store, &model, &next).map(drop), store.compact().map(drop), store.close()] {
        assert!(matches!(result, Err(Error::StoreClosed(_))), "{result:?}");
    }
    assert!(store.stats().failure.is_some());
    assert_eq!(read_all(&store).unwrap(), model);
    let store = open(&disk).unwrap();
    go(&store, &model, &next).unwrap();
    assert_clean(&store, &disk, "reopened");
}

#[test]
fn a_close_that_failed_can_be_repeated_and_then_holds() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (store, model) = loaded(&disk);
        disk.inject(Trigger::once(Target::Named(Operation::Sync, "DATA"), 0, DiskFault::Io));
        assert!(store.close().is_err());
        // What the failed sync dropped is written once more, not taken for durable.
        store.close().unwrap();
        let store = open(&disk.crash(seed, CrashPattern::LoseAll)).unwrap();
        assert_eq!(read_all(&store).unwrap(), model);
        let appends = store.writer().unwrap().manifest.is_some();
        assert!(appends, "seed {seed}: nothing has to be doubted after a clean close");
    }
}

#[test]
fn a_failed_record_is_never_appended_behind() {
    for (operation, fault) in [(Operation::Sync, DiskFault::Io), (Operation::Write, DiskFault::Io)]
    {
        for seed in 0..20 {
            let context = format!("{operation:?}, seed {seed}");
            let disk = SimDisk::new(seed);
            let (store, model) = loaded(&disk);
            let name = disk.list().unwrap().into_iter().find(|n| n.starts_with("MANIFEST"));
            let name = name.unwrap();
            disk.inject(Trigger::once(Target::Named(operation, "MANIFEST"), 0, fault));
            let next = after(&model);
            let unknown = go(&store, &model, &next);
            assert!(matches!(unknown, Err(Error::CommitUnknown(_))), "{context}: {unknown:?}");
            let left = disk.contents(&name).unwrap();
            let mut third = next.clone();
            third.log_address += 8;
            // As long as it is not decided, nothing that either state needs is written over.
            for pattern in CrashPattern::ALL {
                let mut step = Step::between(&model, &third);
                let stop = store
                    .checkpoint(third.log_address, &[], &mut step, &mut || Err(Error::ReadOnly));
                assert!(matches!(stop, Err(Error::ReadOnly)));
                let found = read_all(&open(&disk.crash(seed, pattern)).unwrap()).unwrap();
                assert!(found == model || found == next, "{context}, {pattern:?}");
            }
            // The old file keeps its name until the new one is durable.
            disk.inject(Trigger::once(Target::Only(Operation::Remove), 1, DiskFault::Io));
            let before = store.stats().sequence;
            let report = go(&store, &model, &third).unwrap();
            assert_eq!(report.sequence, before + 2, "{context}: no sequence is given twice");
            assert_eq!(disk.contents(&name).unwrap(), left, "{context}");
            assert_eq!(read_all(&store).unwrap(), third);
            let fourth = Model { log_address: third.log_address + 8, ..third.clone() };
            go(&store, &third, &fourth).unwrap();
            assert!(disk.contents(&name).is_none(), "{context}: the next commit removes it");
            assert_clean(&store, &disk, &context);
        }
    }
}

#[test]
fn an_error_of_reading_is_that_reads_alone() {
    let disk = SimDisk::new(1);
    let (store, model) = loaded(&disk);
    disk.inject(Trigger::once(Target::Only(Operation::Read), 0, DiskFault::Io));
    let mut out = vec![1];
    assert!(matches!(store.read(ObjectId(5), &mut out), Err(Error::Io { .. })));
    assert!(out.is_empty());
    assert_eq!(read_all(&store).unwrap(), model);
}

#[test]
fn short_and_interrupted_calls_go_unseen() {
    let disk = SimDisk::new(1);
    let (store, model) = loaded(&disk);
    disk.inject(Trigger::lasting(Target::Any, 0, DiskFault::Short));
    for operation in [Operation::Write, Operation::Read] {
        let times = 3;
        let target = Target::Only(operation);
        disk.inject(Trigger { target, after: 1, times, fault: DiskFault::Interrupted });
    }
    let next = after(&model);
    go(&store, &model, &next).unwrap();
    assert_eq!(read_all(&store).unwrap(), next);
    assert_eq!(read_all(&open(&disk).unwrap()).unwrap(), next);
}

#[test]
fn every_flipped_byte_is_detected_or_irrelevant() {
    let disk = SimDisk::new(1);
    let (store, model) = loaded(&disk);
    let model = {
        let next = after(&model);
        go(&store, &model, &next).unwrap();
        store.close().unwrap();
        next
    };
    // Free space is all that may change unseen.
    let live: Vec<_> = {
        let current = store.current();
        current.mapping.values().map(|m| m.offset..m.end()).collect()
    };
    drop(store);
    let mut random = Random::new(9);
    for name in own_files(&disk) {
        let len = disk.contents(&name).unwrap().len() as u64;
        let mut at = 0;
        while at < len {
            let bit = random.below(8) as u8;
            disk.flip(&name, at, bit);
            let context = format!("{name}, byte {at}, bit {bit}");
            let free = name == "DATA" && at >= FIRST && !live.iter().any(|e| e.contains(&at));
            match open(&disk) {
                Err(Error::NoStore) => panic!("{context}: taken for an empty directory"),
                Err(error) => assert!(!free, "{context}: {error}"),
                Ok(store) => {
                    let read = read_all(&store);
                    assert_eq!(faults(&store).is_empty(), free, "{context}");
                    if let Ok(read) = read {
                        assert_eq!(read, model, "{context}: a wrong answer");
                    }
                }
            }
            disk.flip(&name, at, bit);
            // Inside images one byte in many: each costs a whole verification.
            at += if name == "DATA" && at % EXTENT_UNIT > 200 { 61 } else { 1 };
        }
    }
    assert_eq!(read_all(&open(&disk).unwrap()).unwrap(), model);
}

#[test]
fn every_cut_file_is_detected() {
    let disk = SimDisk::new(1);
    let (store, model) = loaded(&disk);
    store.close().unwrap();
    let needed = store.current().mapping.values().map(|m| m.end()).max().unwrap();
    drop(store);
    for name in own_files(&disk) {
        let whole = disk.contents(&name).unwrap();
        for len in (0..whole.len()).step_by(if name == "DATA" { 509 } else { 1 }) {
            disk.put(&name, Some(&whole[..len]));
            match open(&disk) {
                Ok(store) => {
                    assert!(name == "DATA" && len as u64 >= needed, "{name} of {len} bytes");
                    assert_eq!(read_all(&store).unwrap(), model);
                }
                Err(Error::NoStore) => panic!("{name} of {len} bytes: taken for nothing"),
                Err(_) => {}
            }
        }
        disk.put(&name, Some(&whole));
    }
    assert_eq!(read_all(&open(&disk).unwrap()).unwrap(), model);
}

#[test]
fn stale_and_foreign_images_are_named() {
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let model = |n: u8| Model {
        objects: [(1, vec![n; 5000]), (2, vec![n; 5000])].into(),
        log_address: LOG_START + u64::from(n),
        ..Model::new()
    };
    let place = |store: &SimStore, id| {
        let current = store.current();
        let mapping = current.mapping[&id];
        mapping.offset as usize..mapping.end() as usize
    };
    go(&store, &Model::new(), &model(1)).unwrap();
    let older = disk.contents("DATA").unwrap();
    let older_at = place(&store, 1);
    go(&store, &model(1), &model(2)).unwrap();
    let (one, two) = (place(&store, 1), place(&store, 2));
    let data = disk.contents("DATA").unwrap();
    let with = |from: &[u8]| {
        let mut bytes = data.clone();
        bytes[one.clone()].copy_from_slice(from);
        disk.put("DATA", Some(&bytes));
        let store = open(&disk).unwrap();
        let mut out = Vec::new();
        match store.read(ObjectId(1), &mut out).unwrap_err() {
            Error::Damaged { file, offset, what } => {
                assert_eq!((file.as_str(), offset), ("DATA", one.start as u64));
                what.to_string()
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        with(&data[two.clone()]),
        "object of the image is 2, expected 1: these bytes are stale or belong elsewhere"
    );
    assert_eq!(
        with(&older[older_at]),
        "generation of the image is 2, expected 3: these bytes are stale or belong elsewhere"
    );
    // An attempt that a kill ended has the same generation as the one that follows it.
    let twin = SimDisk::new(1);
    let store = create(&twin).unwrap();
    go(&store, &Model::new(), &model(1)).unwrap();
    let mut step = Step::between(&model(1), &model(7));
    let stopped = store.checkpoint(9999, &[], &mut step, &mut || Err(Error::ReadOnly)).unwrap_err();
    assert!(matches!(stopped, Error::ReadOnly));
    let lost = twin.contents("DATA").unwrap();
    let twin = twin.kill();
    let store = open(&twin).unwrap();
    go(&store, &model(1), &model(2)).unwrap();
    assert_eq!(place(&store, 1), one);
    let with_lost = with(&lost[one.clone()]);
    assert!(with_lost.starts_with("checksum of the image is"), "{with_lost}");

    let other = SimDisk::new(2);
    let other_store = create(&other).unwrap();
    go(&other_store, &Model::new(), &model(1)).unwrap();
    go(&other_store, &model(1), &model(2)).unwrap();
    let foreign = other.contents("DATA").unwrap()[place(&other_store, 1)].to_vec();
    assert!(with(&foreign).starts_with("checksum of image"));
    disk.put("DATA", Some(&other.contents("DATA").unwrap()));
    assert!(matches!(open(&disk), Err(Error::Foreign { .. })));
}
