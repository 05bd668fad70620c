//! Files that somebody removed: missed, or provably of no account.

mod common;

use std::sync::Arc;

use common::{DB, fill, numbers, open, open_at, options, publish, put, read, segments, sim};
use holt_codec::FIRST_ADDRESS;
use holt_journal::disk::{CrashPattern, Fault, Operation, SimDisk, Target, Trigger};
use holt_journal::{Ack, Error, Journal, create_log};

const MARK: &str = "LOG.mark";

/// Without `names` the log is refused by an error that names one of them, or one of their neighbours for a hole
/// between them, or it holds all of `needed`.
fn check_without(disk: &SimDisk, from: u64, needed: &[u64], names: &[String], story: &str) -> bool {
    let without = Arc::new(disk.kill());
    for name in names {
        without.put(name, None);
    }
    match numbers(&without, from) {
        Err(Error::Missing { file, .. }) => {
            assert!(names.contains(&file), "{story}: {file} is there");
            true
        }
        Err(Error::Damaged { file, .. }) => {
            assert_ne!(file, MARK, "{story}");
            true
        }
        Err(other) => panic!("{story}, without {names:?}: {other}"),
        Ok(found) => {
            assert!(found.starts_with(needed), "{story}: without {names:?} only {found:?}");
            false
        }
    }
}

/// Removes every file alone, all segments, and all of each run. `runs` are the addresses at which runs begin.
fn check_every(disk: &SimDisk, from: u64, needed: &[u64], runs: &[u64], story: &str) {
    let all = segments(disk);
    for name in &all {
        check_without(disk, from, needed, std::slice::from_ref(name), story);
    }
    let missed = check_without(disk, from, needed, &all, story);
    assert!(missed || all.is_empty() || needed.is_empty(), "{story}: no segment is missed");
    for (index, &start) in runs.iter().enumerate() {
        let end = runs.get(index + 1).copied().unwrap_or(u64::MAX);
        let run: Vec<String> = all
            .iter()
            .filter(|name| {
                let at = u64::from_str_radix(&name["LOG-".len()..], 16).unwrap();
                (start..end).contains(&at)
            })
            .cloned()
            .collect();
        check_without(disk, from, needed, &run, &format!("{story}, run {index}"));
    }
    assert!(check_without(disk, from, needed, &[MARK.to_owned()], story), "{story}");
}

#[test]
fn every_file_that_goes_missing_at_any_stage_is_missed_or_of_no_account() {
    let disk = sim(1);
    let mut runs = Vec::new();
    check_every(&disk, FIRST_ADDRESS, &[], &runs, "created");
    drop(open(&disk));
    check_every(&disk, FIRST_ADDRESS, &[], &runs, "opened");
    let mut next = 0;
    for run in 0..4 {
        let journal = open(&disk);
        let (start, end) = publish(&journal, next).unwrap();
        journal.wait(end, Ack::Os).unwrap();
        next += 1;
        runs.push(start);
        let all = |next| (0..next).collect::<Vec<_>>();
        check_every(&disk, FIRST_ADDRESS, &all(next), &runs, &format!("run {run}, one record"));
        for _ in 0..3 {
            fill(&journal, next..next + 9, Ack::Sync);
            next += 9;
            let story = format!("run {run}, {next} records");
            check_every(&disk, FIRST_ADDRESS, &all(next), &runs, &story);
        }
        journal.close().unwrap();
        drop(journal);
        check_every(&disk, FIRST_ADDRESS, &all(next), &runs, &format!("run {run}, closed"));
    }
}

#[test]
fn the_newest_run_is_missed_by_the_name_of_its_last_segment() {
    let disk = sim(2);
    for run in 0..2 {
        let journal = open(&disk);
        fill(&journal, run * 3..run * 3 + 3, Ack::Sync);
    }
    let names = segments(&disk);
    let newest = names.last().unwrap();
    disk.put(newest, None);
    let refused = numbers(&disk, FIRST_ADDRESS);
    assert!(matches!(&refused, Err(Error::Missing { file, .. }) if file == newest), "{refused:?}");
}

#[test]
fn what_a_manifest_needs_no_more_may_go() {
    let disk = sim(3);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    let from = journal.tail();
    fill(&journal, 60..64, Ack::Sync);
    let needed: Vec<u64> = (60..64).collect();
    for name in segments(&disk) {
        let start = u64::from_str_radix(&name["LOG-".len()..], 16).unwrap();
        let missed = check_without(&disk, from, &needed, std::slice::from_ref(&name), &name);
        let whole_below = start + 8192 <= from;
        assert!(!(missed && whole_below), "{name} is needed no more");
    }
    journal.truncate_below(from).unwrap();
    check_every(&disk, from, &needed, &[FIRST_ADDRESS], "truncated");
    // A checkpoint before the first append of the next process.
    drop(journal);
    let journal = open_at(&disk, from, options()).unwrap();
    let tail = journal.tail();
    journal.wait(tail, Ack::Sync).unwrap();
    journal.truncate_below(tail).unwrap();
    check_every(&disk, tail, &[], &[], "a checkpoint at the recovered end");
    put(&journal, 64, Ack::Sync).unwrap();
    check_every(&disk, tail, &[64], &[], "and a record");
}

#[test]
fn a_segment_of_another_life_in_the_place_of_the_newest_is_refused() {
    let disk = sim(4);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let other = sim(5);
    let journal = open(&other);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let name = segments(&disk).remove(0);
    disk.put(&name, Some(&other.contents(&name).unwrap()));
    let refused = numbers(&disk, FIRST_ADDRESS);
    assert!(matches!(&refused, Err(Error::Damaged { file, .. }) if *file == name), "{refused:?}");
}

#[test]
fn a_log_is_created_once_and_survives_a_power_cut_after() {
    let disk = Arc::new(SimDisk::new(6));
    assert!(matches!(numbers(&disk, FIRST_ADDRESS), Err(Error::Missing { .. })));
    create_log(&disk, DB).unwrap();
    assert!(matches!(create_log(&disk, DB), Err(Error::Occupied { file }) if file == MARK));
    for pattern in CrashPattern::ALL {
        let crashed = Arc::new(disk.crash(6, pattern));
        assert!(numbers(&crashed, FIRST_ADDRESS).unwrap().is_empty());
    }
}

#[test]
fn every_flipped_byte_of_the_mark_is_detected_or_of_no_account() {
    let disk = sim(7);
    let journal = open(&disk);
    fill(&journal, 0..20, Ack::Sync);
    let all: Vec<u64> = (0..20).collect();
    let len = disk.contents(MARK).unwrap().len() as u64;
    for byte in 0..len {
        let bad = Arc::new(disk.kill());
        bad.flip(MARK, byte, (byte % 8) as u8);
        // One mark is left.
        assert_eq!(numbers(&bad, FIRST_ADDRESS).unwrap(), all, "byte {byte}");
        bad.flip(MARK, (byte + 4096) % len, 3);
        let refused = numbers(&bad, FIRST_ADDRESS);
        let named = match &refused {
            Err(Error::Damaged { file, .. } | Error::Format { file, .. }) => file == MARK,
            _ => false,
        };
        assert!(named, "byte {byte} of both: {refused:?}");
    }
    for cut in [0, 63, 4095, 4096, 8191] {
        let bad = Arc::new(disk.kill());
        bad.put(MARK, Some(&disk.contents(MARK).unwrap()[..cut]));
        match numbers(&bad, FIRST_ADDRESS) {
            Ok(found) => assert!(cut >= 4096 && found == all, "cut to {cut}"),
            Err(Error::Damaged { file, .. }) => assert_eq!(file, MARK, "cut to {cut}"),
            Err(other) => panic!("cut to {cut}: {other}"),
        }
    }
}

#[test]
fn the_marks_of_another_database_or_format_are_refused() {
    let disk = sim(8);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let good = disk.contents(MARK).unwrap();
    let other = Arc::new(SimDisk::new(8));
    create_log(&other, holt_codec::DbId([9; 16])).unwrap();
    disk.put(MARK, Some(&other.contents(MARK).unwrap()));
    assert!(matches!(numbers(&disk, FIRST_ADDRESS), Err(Error::Foreign { expected: DB, .. })));
    let mut newer = good;
    (newer[8], newer[4096 + 8]) = (9, 9);
    disk.put(MARK, Some(&newer));
    assert!(
        matches!(numbers(&disk, FIRST_ADDRESS), Err(Error::Format { file, .. }) if file == MARK)
    );
}

/// A process that opens the log, writes with every acknowledgement and now and then truncates, until the disk fails it.
/// Returns what was acknowledged as durable, from which address on it is needed, and what may be there beside.
fn life(disk: &Arc<SimDisk>, records: std::ops::Range<u64>, from: &mut u64) -> (Vec<u64>, u64) {
    let (mut waiting, mut durable, mut written) = (Vec::new(), Vec::new(), records.start);
    let Ok((_, recovered)) = read(disk, *from) else { return (durable, written) };
    let journal = Journal::start(Arc::clone(disk), DB, recovered, options()).unwrap();
    for number in records {
        let Ok((_, end)) = publish(&journal, number) else { break };
        written = number + 1;
        waiting.push(number);
        let ack = if number % 3 == 0 { Ack::Sync } else { Ack::Buffered };
        if journal.wait(end, ack).is_err() {
            break;
        }
        if ack == Ack::Sync {
            durable.append(&mut waiting);
        }
        if number % 15 == 12 {
            *from = end;
            durable.clear();
            if journal.truncate_below(end).is_err() {
                break;
            }
        }
    }
    (durable, written)
}

#[test]
fn a_power_cut_at_any_io_around_the_mark_refuses_no_sound_log_and_hides_no_missing_file() {
    let mut missed = 0;
    for cut in 0.. {
        let disk = sim(cut);
        let mut from = FIRST_ADDRESS;
        disk.inject(Trigger::once(Target::Changes, cut, Fault::PowerCut));
        let (durable, _) = life(&disk, 0..30, &mut from);
        for pattern in CrashPattern::ALL {
            let story = format!("seed {cut}: cut at change {cut}, {pattern:?}");
            let crashed = disk.crash(cut, pattern);
            let found = numbers(&Arc::new(crashed.clone()), from)
                .unwrap_or_else(|error| panic!("{story}: {error}"));
            assert!(found.starts_with(&durable), "{story}");
            for name in segments(&crashed) {
                let alone = std::slice::from_ref(&name);
                missed += u32::from(check_without(&crashed, from, &durable, alone, &story));
            }
            let all = segments(&crashed);
            let all_missed = check_without(&crashed, from, &durable, &all, &story);
            assert!(all_missed || durable.is_empty(), "{story}: nothing is missed");
        }
        if !disk.is_off() {
            assert!(cut > 60 && missed > 1000, "{cut} changes, {missed} missed: too few");
            return;
        }
    }
}

#[test]
fn a_power_cut_while_the_next_process_marks_forgets_nothing_of_the_one_before() {
    let disk = sim(10);
    let mut from = FIRST_ADDRESS;
    let (durable, written) = life(&disk, 0..10, &mut from);
    assert_eq!((durable.len(), written), (10, 10));
    // Killed, so that the next process does not know what of the mark was synced.
    let killed = disk.kill();
    for cut in 0.. {
        let next = Arc::new(killed.kill());
        next.inject(Trigger::once(Target::Changes, cut, Fault::PowerCut));
        let (more, _) = life(&next, 20..23, &mut from);
        let needed: Vec<u64> = durable.iter().copied().chain(more).collect();
        for pattern in CrashPattern::ALL {
            let story = format!("cut at change {cut}, {pattern:?}");
            let crashed = next.crash(cut, pattern);
            let found = numbers(&Arc::new(crashed.clone()), from)
                .unwrap_or_else(|error| panic!("{story}: {error}"));
            assert!(found.starts_with(&needed), "{story}: {found:?}");
            let all = segments(&crashed);
            assert!(check_without(&crashed, from, &needed, &all, &story), "{story}");
            // The segment that holds the newest record of the process that was killed.
            let held = all.iter().filter(|name| killed.contents(name).is_some()).max();
            let held = std::slice::from_ref(held.unwrap());
            check_without(&crashed, from, &needed, held, &story);
        }
        if !next.is_off() {
            assert!(cut > 10, "{cut} changes: too few");
            return;
        }
    }
}

#[test]
fn a_mark_that_cannot_be_written_refuses_the_record_and_one_that_cannot_be_synced_ends_writing() {
    for (operation, ends) in
        [(Operation::Open, false), (Operation::Write, false), (Operation::Sync, true)]
    {
        let disk = sim(9);
        let journal = open(&disk);
        disk.inject(Trigger::once(Target::Named(operation, MARK), 0, Fault::Io));
        let refused = put(&journal, 0, Ack::Sync);
        assert!(refused.is_err(), "{operation:?}");
        assert_eq!(journal.failure().is_some(), ends, "{operation:?}: {refused:?}");
        assert_eq!(journal.tail(), FIRST_ADDRESS, "{operation:?}: an address was granted");
        if !ends {
            // The segment that was made is marked now; no second one is made in its place.
            fill(&journal, 0..3, Ack::Sync);
            assert_eq!(disk.count(Target::Named(Operation::Rename, "LOG.tmp")), 1, "{operation:?}");
        }
        drop(journal);
        let disk = Arc::new(disk.crash(9, CrashPattern::LoseAll));
        let expected: &[u64] = if ends { &[] } else { &[0, 1, 2] };
        assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), expected);
        let journal = open(&disk);
        put(&journal, 9, Ack::Sync).unwrap();
    }
}
