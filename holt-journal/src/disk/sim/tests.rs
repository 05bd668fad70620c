//! Each way in which the simulated disk misbehaves, shown to happen and to happen only so.

use std::collections::BTreeSet;

use super::*;
use crate::disk::DiskFile;

const SEEDS: std::ops::Range<u64> = 0..64;

/// A disk with the durable file `f` of these bytes.
fn with_file(content: &[u8]) -> (SimDisk, SimFile) {
    let disk = SimDisk::new(1);
    let file = disk.create("f").unwrap();
    file.write_bytes_at(content, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir().unwrap();
    (disk, file)
}

/// What `f` holds after each of many crashes by one pattern.
fn outcomes(disk: &SimDisk, pattern: CrashPattern) -> BTreeSet<Option<Vec<u8>>> {
    SEEDS.map(|seed| disk.crash(seed, pattern).contents("f")).collect()
}

fn only(content: impl Into<Vec<u8>>) -> BTreeSet<Option<Vec<u8>>> {
    BTreeSet::from([Some(content.into())])
}

#[test]
fn a_sync_makes_content_durable_under_every_pattern() {
    let (disk, file) = with_file(b"old");
    file.write_bytes_at(b"new and longer", 0).unwrap();
    file.sync_data().unwrap();
    for pattern in CrashPattern::ALL {
        assert_eq!(outcomes(&disk, pattern), only(*b"new and longer"), "{pattern:?}");
    }
    assert_eq!(disk.durable_contents("f").unwrap(), b"new and longer");
}

#[test]
fn an_unsynced_write_may_be_kept_or_lost() {
    let (disk, file) = with_file(b"old");
    file.write_bytes_at(b"new", 0).unwrap();
    assert_eq!(outcomes(&disk, CrashPattern::KeepAll), only(*b"new"));
    assert_eq!(outcomes(&disk, CrashPattern::LoseAll), only(*b"old"));
    let either = BTreeSet::from([Some(b"new".to_vec()), Some(b"old".to_vec())]);
    assert_eq!(outcomes(&disk, CrashPattern::Subset), either);
    assert_eq!(disk.contents("f").unwrap(), b"new", "the disk itself is left alone");
    assert_eq!(disk.durable_contents("f").unwrap(), b"old");
}

#[test]
fn a_killed_process_leaves_all_that_it_handed_over() {
    let (disk, file) = with_file(b"old");
    file.write_bytes_at(b"newer", 0).unwrap();
    disk.create("g").unwrap();
    disk.rename("g", "h").unwrap();
    let held = disk.lock("LOCK", true).unwrap();
    assert!(held.is_some());
    let next = disk.kill();
    assert_eq!(next.list().unwrap(), ["LOCK", "f", "h"]);
    assert_eq!(next.contents("f").unwrap(), b"newer");
    assert!(next.lock("LOCK", true).unwrap().is_some(), "a dead process holds no lock");
    // What was handed over is still at risk, and the dead process's handles reach nothing.
    file.write_bytes_at(b"ghost", 0).unwrap();
    assert_eq!(next.contents("f").unwrap(), b"newer");
    assert_eq!(next.crash(0, CrashPattern::LoseAll).contents("f").unwrap(), b"old");
    assert_eq!(next.crash(0, CrashPattern::LoseAll).list().unwrap(), ["f"]);
}

#[test]
fn writes_tear_at_sectors_blocks_and_bytes() {
    for (pattern, unit) in [
        (CrashPattern::TornSectors, 512),
        (CrashPattern::TornBlocks, 4096),
        (CrashPattern::TornBytes, 1),
    ] {
        let (disk, file) = with_file(&[1; 16384]);
        // Begins inside a unit: tearing goes by the medium's units, not by the write's.
        file.write_bytes_at(&[2; 9000], 100).unwrap();
        let outcomes = outcomes(&disk, pattern);
        assert!(outcomes.len() > 4, "{pattern:?} tears in {} ways", outcomes.len());
        let mut torn_inside = false;
        for content in outcomes.into_iter().flatten() {
            assert_eq!(content.len(), 16384);
            assert!(content[..100].iter().chain(&content[9100..]).all(|&b| b == 1));
            for at in 101..9100 {
                if content[at] != content[at - 1] {
                    torn_inside = true;
                    assert_eq!(at % unit, 0, "{pattern:?} tears at {at}");
                }
            }
        }
        assert!(torn_inside, "{pattern:?}");
    }
}

#[test]
fn writes_arrive_in_any_order() {
    let (disk, file) = with_file(b"--");
    file.write_bytes_at(b"a", 0).unwrap();
    file.write_bytes_at(b"b", 1).unwrap();
    let seen = outcomes(&disk, CrashPattern::KeepLast);
    assert!(seen.contains(&Some(b"-b".to_vec())), "the later write alone: {seen:?}");
    assert!(!seen.contains(&Some(b"a-".to_vec())), "{seen:?}");
    let seen = outcomes(&disk, CrashPattern::KeepFirst);
    assert!(seen.contains(&Some(b"a-".to_vec())), "the earlier write alone: {seen:?}");
    assert!(!seen.contains(&Some(b"-b".to_vec())), "{seen:?}");
    assert_eq!(outcomes(&disk, CrashPattern::Subset).len(), 4);
    assert_eq!(outcomes(&disk, CrashPattern::Mixed).len(), 4);
}

#[test]
fn growth_and_content_go_separate_ways() {
    let (disk, file) = with_file(b"old");
    file.write_bytes_at(b"newer", 0).unwrap();
    assert_eq!(outcomes(&disk, CrashPattern::GrowthWithoutContent), only(*b"old\0\0"));
    assert_eq!(outcomes(&disk, CrashPattern::ContentWithoutGrowth), only(*b"new"));
    file.sync_data().unwrap();
    file.allocate(0, 8).unwrap();
    assert_eq!(outcomes(&disk, CrashPattern::GrowthWithoutContent), only(*b"newer\0\0\0"));
    assert_eq!(outcomes(&disk, CrashPattern::ContentWithoutGrowth), only(*b"newer"));
}

#[test]
fn a_cut_may_lose_the_bytes_and_keep_the_length() {
    let (disk, file) = with_file(b"abcdef");
    file.set_len(2).unwrap();
    assert_eq!(outcomes(&disk, CrashPattern::LoseAll), only(*b"abcdef"));
    assert_eq!(outcomes(&disk, CrashPattern::KeepAll), only(*b"ab"));
    assert_eq!(outcomes(&disk, CrashPattern::ContentWithoutGrowth), only(*b"ab\0\0\0\0"));
    file.sync_all().unwrap();
    assert_eq!(outcomes(&disk, CrashPattern::LoseAll), only(*b"ab"));
}

#[test]
fn names_are_durable_only_after_the_directory_was_synced() {
    let disk = SimDisk::new(3);
    let file = disk.create("new").unwrap();
    file.write_bytes_at(b"x", 0).unwrap();
    file.sync_all().unwrap();
    assert_eq!(disk.crash(0, CrashPattern::LoseAll).list().unwrap(), [""; 0], "the name is lost");
    assert_eq!(disk.crash(0, CrashPattern::KeepAll).contents("new").unwrap(), b"x");
    disk.sync_dir().unwrap();
    disk.rename("new", "renamed").unwrap();
    assert_eq!(disk.crash(0, CrashPattern::LoseAll).list().unwrap(), ["new"]);
    disk.sync_dir().unwrap();
    disk.remove("renamed").unwrap();
    let after = disk.crash(0, CrashPattern::LoseAll);
    assert_eq!(after.contents("renamed").unwrap(), b"x", "the removed file is back");
    disk.sync_dir().unwrap();
    assert!(disk.crash(0, CrashPattern::LoseAll).list().unwrap().is_empty());
}

#[test]
fn a_rename_over_a_file_leaves_the_old_one_or_the_new_one() {
    let (disk, _) = with_file(b"old");
    let file = disk.create("g").unwrap();
    file.write_bytes_at(b"new", 0).unwrap();
    file.sync_data().unwrap();
    disk.rename("g", "f").unwrap();
    for pattern in CrashPattern::ALL {
        for seed in SEEDS {
            let content = disk.crash(seed, pattern).contents("f");
            let content = content.unwrap_or_else(|| panic!("{pattern:?} {seed}: neither"));
            assert!(content == b"old" || content == b"new", "{pattern:?} {seed}: {content:?}");
        }
    }
    assert_eq!(outcomes(&disk, CrashPattern::Subset).len(), 2);
}

#[test]
fn a_failed_sync_loses_for_good_what_it_did_not_write() {
    let mut lost = 0;
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.create("f").unwrap();
        disk.sync_dir().unwrap();
        file.write_bytes_at(b"first", 0).unwrap();
        disk.inject(Trigger::once(Target::Only(Operation::Sync), 0, Fault::Io));
        assert!(file.sync_data().is_err());
        // Reading back and syncing again both look as if all were well.
        let mut bytes = [0; 5];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"first");
        file.write_bytes_at(b"second", 100).unwrap();
        file.sync_data().unwrap();
        let content = disk.crash(seed, CrashPattern::KeepAll).contents("f").unwrap();
        assert_eq!(&content[100..], b"second", "seed {seed}");
        lost += u32::from(&content[..5] != b"first");
    }
    assert!((1..64).contains(&lost), "lost {lost} times");
}

#[test]
fn a_failed_directory_sync_loses_names_for_good() {
    let mut lost = 0;
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        disk.create("f").unwrap();
        disk.inject(Trigger::once(Target::Only(Operation::SyncDir), 0, Fault::Io));
        assert!(disk.sync_dir().is_err());
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["f"]);
        lost += u32::from(disk.crash(seed, CrashPattern::KeepAll).list().unwrap().is_empty());
    }
    assert!((1..64).contains(&lost), "lost {lost} times");
}

#[test]
fn every_kind_of_call_fails_when_it_is_told_to() {
    type Call = fn(&SimDisk, &SimFile) -> io::Result<()>;
    let calls: [(Operation, Call); 14] = [
        (Operation::Create, |d, _| d.create("g").map(drop)),
        (Operation::Open, |d, _| d.open("f", Access::Read).map(drop)),
        (Operation::List, |d, _| d.list().map(drop)),
        (Operation::Rename, |d, _| d.rename("f", "g")),
        (Operation::Remove, |d, _| d.remove("f")),
        (Operation::SyncDir, |d, _| d.sync_dir()),
        (Operation::Lock, |d, _| d.lock("f", false).map(drop)),
        (Operation::Entropy, |d, _| d.entropy().map(drop)),
        (Operation::Len, |_, f| f.len().map(drop)),
        (Operation::SetLen, |_, f| f.set_len(1)),
        (Operation::Allocate, |_, f| f.allocate(0, 10).map(drop)),
        (Operation::Read, |_, f| f.read_at(&mut [0; 2], 0).map(drop)),
        (Operation::Write, |_, f| f.write_at(&[io::IoSlice::new(b"z")], 0).map(drop)),
        (Operation::Sync, |_, f| f.sync_data()),
    ];
    assert_eq!(calls.map(|(operation, _)| operation), Operation::ALL);
    for (operation, call) in calls {
        for fault in [Fault::Io, Fault::NoSpace, Fault::Interrupted, Fault::PowerCut] {
            let (disk, file) = with_file(b"content");
            disk.inject(Trigger::once(Target::Only(operation), 1, fault));
            let twin = disk.kill();
            let twin_file = twin.open("f", Access::ReadWrite).unwrap();
            call(&twin, &twin_file).unwrap_or_else(|e| panic!("a twin has no faults: {e}"));

            // The first call is let through, the second fails, the third is the next trigger's.
            if !matches!(operation, Operation::Create | Operation::Rename | Operation::Remove) {
                call(&disk, &file).unwrap();
            } else {
                disk.clear_faults();
                disk.inject(Trigger::once(Target::Only(operation), 0, fault));
            }
            let before = disk.contents("f");
            let error = call(&disk, &file).expect_err("struck");
            assert_eq!(error.raw_os_error(), fault.error().raw_os_error(), "{operation:?}");
            assert_eq!(disk.is_off(), fault == Fault::PowerCut);
            if fault == Fault::PowerCut {
                assert!(file.len().is_err(), "power that is off stays off");
            } else if operation != Operation::Write {
                assert_eq!(disk.contents("f"), before, "{operation:?} {fault:?} changed a thing");
                call(&disk, &file).unwrap_or_else(|e| panic!("{operation:?} struck twice: {e}"));
            }
        }
    }
}

#[test]
fn a_call_cut_by_the_power_may_have_happened() {
    let (disk, file) = with_file(b"old");
    disk.inject(Trigger::once(Target::Changes, 0, Fault::PowerCut));
    assert!(file.write_bytes_at(b"new", 0).is_err());
    assert_eq!(outcomes(&disk, CrashPattern::Subset).len(), 2);

    let (disk, _) = with_file(b"old");
    disk.inject(Trigger::once(Target::Only(Operation::Remove), 0, Fault::PowerCut));
    assert!(disk.remove("f").is_err());
    assert_eq!(
        outcomes(&disk, CrashPattern::Subset),
        BTreeSet::from([None, Some(b"old".to_vec())])
    );

    let (disk, file) = with_file(b"old");
    file.write_bytes_at(b"new", 0).unwrap();
    disk.inject(Trigger::once(Target::Only(Operation::Sync), 0, Fault::PowerCut));
    assert!(file.sync_data().is_err());
    assert_eq!(outcomes(&disk, CrashPattern::Subset).len(), 2);
}

#[test]
fn short_transfers_move_at_least_one_byte_and_a_write_may_take_nothing() {
    let (disk, file) = with_file(b"");
    disk.inject(Trigger::lasting(Target::Any, 0, Fault::Short));
    assert_eq!(file.write_at(&[io::IoSlice::new(b"abcde")], 0).unwrap(), 3);
    assert_eq!(file.write_at(&[io::IoSlice::new(b"d")], 3).unwrap(), 1);
    assert_eq!(file.read_at(&mut [0; 4], 0).unwrap(), 2);
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"abcd");
    file.write_bytes_at(&[7; 1000], 0).unwrap();
    assert_eq!(disk.contents("f").unwrap(), [7; 1000]);
    disk.clear_faults();
    disk.inject(Trigger::once(Target::Any, 0, Fault::Nothing));
    assert_eq!(file.write_bytes_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::WriteZero);
}

#[test]
fn a_failed_write_leaves_a_first_part() {
    let lengths: BTreeSet<usize> = SEEDS
        .map(|seed| {
            let disk = SimDisk::new(seed);
            let file = disk.create("f").unwrap();
            disk.inject(Trigger::once(Target::Only(Operation::Write), 0, Fault::Io));
            assert!(file.write_bytes_at(b"abcdefgh", 0).is_err());
            let content = disk.contents("f").unwrap();
            assert!(b"abcdefgh".starts_with(&content), "seed {seed}: {content:?}");
            content.len()
        })
        .collect();
    assert!(lengths.len() > 3, "{lengths:?}");
}

#[test]
fn a_trigger_strikes_its_file_and_stays_as_long_as_it_says() {
    let (disk, file) = with_file(b"x");
    let other = disk.create("other").unwrap();
    let target = Target::Named(Operation::Write, "oth");
    disk.inject(Trigger { target, after: 1, times: 2, fault: Fault::NoSpace });
    for struck in [false, true, true, false] {
        file.write_bytes_at(b"y", 0).unwrap();
        assert_eq!(other.write_bytes_at(b"y", 0).is_err(), struck);
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_then_refuses() {
    let disk = SimDisk::new(1);
    disk.set_capacity(Some(3 * 4096));
    let file = disk.create("f").unwrap();
    file.set_len(1 << 30).unwrap();
    assert_eq!(disk.used(), 0, "a hole takes no space");
    assert_eq!(file.write_at(&[io::IoSlice::new(&[1; 20_000])], 100).unwrap(), 3 * 4096 - 100);
    let full = file.write_at(&[io::IoSlice::new(b"x")], 3 * 4096).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    file.write_bytes_at(&[2; 500], 0).unwrap();
    assert_eq!(file.allocate(0, 5 * 4096).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.set_len(4096).unwrap();
    assert_eq!(disk.used(), 4096);
    assert!(file.allocate(0, 3 * 4096).unwrap());
    let other = disk.create("g").unwrap();
    assert!(other.write_bytes_at(b"x", 0).is_err());
    file.write_bytes_at(&[3; 8192], 4096).unwrap();
    disk.remove("f").unwrap();
    assert_eq!(disk.used(), 3 * 4096, "an open file without a name takes space");
    drop(file);
    assert_eq!(disk.used(), 0);
    other.write_bytes_at(b"x", 0).unwrap();
}

#[test]
fn a_flipped_bit_is_durable() {
    let (disk, file) = with_file(b"abc");
    disk.flip("f", 1, 0);
    assert_eq!(outcomes(&disk, CrashPattern::LoseAll), only(*b"acc"));
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1).unwrap();
    assert_eq!(&byte, b"c");
    disk.put("f", Some(b"other"));
    disk.put("g", Some(b"more"));
    assert_eq!(outcomes(&disk, CrashPattern::LoseAll), only(*b"other"));
    disk.put("f", None);
    assert_eq!(disk.crash(0, CrashPattern::LoseAll).list().unwrap(), ["g"]);
}

#[test]
fn calls_are_counted_by_kind() {
    let (disk, file) = with_file(b"abc");
    // create, write, sync, sync_dir
    assert_eq!((disk.count(Target::Any), disk.count(Target::Changes)), (4, 4));
    disk.reset_counts();
    file.read_at(&mut [0; 1], 0).unwrap();
    file.len().unwrap();
    file.write_bytes_at(b"x", 0).unwrap();
    assert_eq!((disk.count(Target::Any), disk.count(Target::Changes)), (3, 1));
    assert_eq!(disk.count(Target::Only(Operation::Read)), 1);
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        disk.inject(Trigger::once(Target::Only(Operation::Sync), 1, Fault::Io));
        for name in ["f", "g", "h"] {
            let file = disk.create(name).unwrap();
            for i in 0..20_u64 {
                file.write_bytes_at(&[i as u8 + 1; 700], i * 600).unwrap();
            }
            let _ = file.sync_data();
        }
        let salt = disk.entropy().unwrap();
        let after = disk.crash(seed, CrashPattern::Mixed);
        let files = ["f", "g", "h"].map(|name| after.contents(name));
        (salt, files, after.entropy().unwrap())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
    assert_ne!(run(5).0, run(5).2, "entropy is not drawn twice");
}

#[test]
fn locks_exclude_as_they_should() {
    let (disk, _file) = with_file(b"");
    assert_eq!(disk.lock("LOCK", false).unwrap_err().kind(), io::ErrorKind::NotFound);
    let held = disk.lock("LOCK", true).unwrap();
    assert!(held.is_some());
    assert!(disk.clone().lock("LOCK", true).unwrap().is_none());
    assert!(disk.lock("LOCK", false).unwrap().is_none());
    drop(held);
    let two = [disk.lock("LOCK", false).unwrap(), disk.lock("LOCK", false).unwrap()];
    assert!(two.iter().all(Option::is_some) && disk.lock("LOCK", true).unwrap().is_none());
    drop(two);
    assert!(disk.lock("LOCK", true).unwrap().is_some());
}

#[test]
fn handles_outlive_names_and_are_counted() {
    let (disk, file) = with_file(b"abc");
    disk.remove("f").unwrap();
    file.write_bytes_at(b"d", 3).unwrap();
    assert_eq!(file.len().unwrap(), 4);
    assert_eq!(disk.open_handles(), 1);
    drop(file);
    assert_eq!(disk.open_handles(), 0);
    let (disk, _file) = with_file(b"abc");
    let reader = disk.open("f", Access::Read).unwrap();
    assert!(reader.write_bytes_at(b"x", 0).is_err());
    assert!(reader.set_len(0).is_err() && reader.allocate(0, 9).is_err());
    assert!(disk.create("f").is_err() && disk.open("../f", Access::Read).is_err());
}
