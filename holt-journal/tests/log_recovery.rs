//! Recovery of damaged, foreign and unreadable logs, and of sound ones by callers that give up.

mod common;

use std::sync::Arc;

use common::{DB, fill, numbers, open, open_at, options, publish, put, segments, sim};
use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
use holt_journal::disk::{CrashPattern, Disk, Fault, Operation, Target, Trigger};
use holt_journal::{Ack, Error, LogOptions, recover_log, recover_log_with, settle_log};

#[test]
fn a_log_of_another_database_is_refused() {
    let disk = sim(26);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let other = DbId([9; 16]);
    let refused = recover_log::<_, Error>(&disk, other, FIRST_ADDRESS, &mut |_, _| Ok(()));
    assert!(
        matches!(refused, Err(Error::Foreign { expected, found: DB, .. }) if expected == other)
    );
}

#[test]
fn every_flipped_bit_of_every_file_gives_a_prefix_or_an_error() {
    let disk = sim(29);
    let journal = open(&disk);
    fill(&journal, 0..8, Ack::Sync);
    drop(journal);
    let all: Vec<u64> = (0..8).collect();
    for name in disk.list().unwrap() {
        let len = disk.contents(&name).unwrap().len() as u64;
        // Every byte would take minutes; a step that is coprime to all that repeats reaches every field.
        for byte in (0..len).step_by(13) {
            let bad = Arc::new(disk.kill());
            bad.flip(&name, byte, (byte % 8) as u8);
            match numbers(&bad, FIRST_ADDRESS) {
                // The log was closed in order: nothing can be missing unnoticed, except the clean end itself.
                Ok(found) => assert_eq!(found, all, "byte {byte} of {name}"),
                Err(Error::Damaged { .. } | Error::Format { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// What became of a log behind its last record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    Killed(Ack),
    /// Another record was written when the last one was durable.
    Proven,
    Closed,
    /// The next process has begun its run.
    Reopened,
}

#[test]
fn every_flipped_byte_of_the_last_record_is_a_torn_tail_until_something_proves_more() {
    let states = [
        After::Killed(Ack::Buffered),
        After::Killed(Ack::Os),
        After::Killed(Ack::Sync),
        After::Proven,
        After::Closed,
        After::Reopened,
    ];
    let mut straddled = 0;
    for (before, state) in [1, 2, 7, 8, 9, 13].into_iter().flat_map(|n| states.map(|s| (n, s))) {
        let disk = sim(40);
        let journal = open(&disk);
        fill(&journal, 0..before, Ack::Sync);
        let (address, end) = publish(&journal, before).unwrap();
        let ack = if let After::Killed(ack) = state { ack } else { Ack::Sync };
        journal.wait(end, ack).unwrap();
        let mut left = disk.kill();
        match state {
            // What was buffered reaches the file without anybody waiting for it.
            After::Killed(Ack::Buffered) => {
                journal.wait(end, Ack::Os).unwrap();
                left = disk.kill();
            }
            After::Killed(_) => {}
            After::Proven => {
                put(&journal, before + 1, Ack::Sync).unwrap();
                left = disk.kill();
            }
            After::Closed => {
                journal.close().unwrap();
                left = disk.kill();
            }
            After::Reopened => {
                let next = Arc::new(left);
                put(&open(&next), before + 1, Ack::Sync).unwrap();
                left = next.kill();
            }
        }
        straddled += u32::from((address - FIRST_ADDRESS) / 8192 < (end - FIRST_ADDRESS) / 8192);
        let whole = numbers(&Arc::new(left.kill()), FIRST_ADDRESS).unwrap();
        assert!(whole.starts_with(&(0..=before).collect::<Vec<_>>()), "{state:?}");
        for at in address..end {
            // The segment that holds the byte, and where.
            let start = segments(&left)
                .iter()
                .map(|name| u64::from_str_radix(&name["LOG-".len()..], 16).unwrap())
                .filter(|&start| start <= at)
                .max()
                .unwrap();
            let bits = if at < address + 16 { 0..8 } else { at % 8..at % 8 + 1 };
            for bit in bits {
                let bad = Arc::new(left.kill());
                bad.flip(&format!("LOG-{start:016x}"), 4096 + at - start, bit as u8);
                let story = format!(
                    "{before} records before, {state:?}, bit {bit} of byte {}",
                    at - address
                );
                match (state, numbers(&bad, FIRST_ADDRESS)) {
                    (After::Killed(_), found) => {
                        let found = found.unwrap_or_else(|error| panic!("{story}: {error}"));
                        assert_eq!(found, (0..before).collect::<Vec<_>>(), "{story}");
                    }
                    (_, Err(Error::Damaged { .. })) => {}
                    (_, found) => panic!("{story}: {found:?}"),
                }
            }
        }
    }
    assert_eq!(straddled, states.len() as u32, "the ninth record goes on in the next segment");
}

#[test]
fn a_failed_read_fails_the_opening_and_not_the_log() {
    let disk = sim(31);
    let journal = open(&disk);
    fill(&journal, 0..10, Ack::Sync);
    drop(journal);
    disk.reset_counts();
    numbers(&disk, FIRST_ADDRESS).unwrap();
    let reads = disk.count(Target::Only(Operation::Read));
    for after in 0..reads {
        disk.inject(Trigger::once(Target::Only(Operation::Read), after, Fault::Io));
        assert!(matches!(numbers(&disk, FIRST_ADDRESS), Err(Error::Io { .. })), "read {after}");
    }
    for fault in [Fault::Short, Fault::Interrupted] {
        disk.inject(Trigger { target: Target::Only(Operation::Read), after: 0, times: 20, fault });
        assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap().len(), 10);
    }
}

#[test]
fn an_error_of_the_caller_ends_the_replay_and_comes_back() {
    let disk = sim(32);
    let journal = open(&disk);
    fill(&journal, 0..10, Ack::Sync);
    drop(journal);
    let mut seen = 0;
    let ended = recover_log::<_, Error>(&disk, DB, FIRST_ADDRESS, &mut |_, _| {
        seen += 1;
        if seen == 4 { Err(Error::NoStore) } else { Ok(()) }
    });
    assert!(matches!(ended, Err(Error::NoStore)));
    assert_eq!(seen, 4);
}

#[test]
fn progress_is_told_and_ends_with_everything() {
    let disk = sim(33);
    let journal =
        open_at(&disk, FIRST_ADDRESS, LogOptions { segment_bytes: 1 << 20, ..options() }).unwrap();
    let record = Record::from(Op::Delete { tree: 1, key: b"gone" });
    let mut end = 0;
    for _ in 0..20_000 {
        let reservation = journal.permit(record.encoded_len().unwrap()).unwrap().reserve();
        end = reservation.end();
        reservation.publish(&record);
    }
    drop(journal);
    let mut told = Vec::new();
    recover_log_with::<_, Error>(
        &disk,
        DB,
        FIRST_ADDRESS,
        &mut |progress| told.push(progress),
        &mut |_, _| Ok(()),
    )
    .unwrap();
    assert_eq!(told.iter().map(|at| at.records).collect::<Vec<_>>(), [8192, 16384, 20_000]);
    let last = told.last().unwrap();
    assert_eq!(last.bytes, end + 16 - FIRST_ADDRESS);
    assert!(last.at_most >= last.bytes);
}

#[test]
fn what_is_settled_while_it_is_recovered_survives_a_power_cut() {
    let disk = sim(31);
    let journal = open(&disk);
    fill(&journal, 0..4, Ack::Sync);
    let ends: Vec<u64> = (4..24).map(|number| put(&journal, number, Ack::Os).unwrap()).collect();
    // The process is killed; the next one has read twelve records when it settles them.
    let (left, middle) = (Arc::new(disk.kill()), ends[7]);
    let lost = Arc::new(left.crash(1, CrashPattern::LoseAll));
    assert_eq!(numbers(&lost, FIRST_ADDRESS).unwrap().len(), 4, "nothing else was synced");
    settle_log(&left, DB, FIRST_ADDRESS, middle).unwrap();
    assert_eq!(numbers(&left, FIRST_ADDRESS).unwrap().len(), 24, "no byte has changed");
    for (seed, pattern) in (0..).zip(CrashPattern::ALL) {
        let crashed = Arc::new(left.crash(seed, pattern));
        let found = numbers(&crashed, FIRST_ADDRESS).unwrap();
        assert!(found.len() >= 12 && found.iter().copied().eq(0..found.len() as u64), "{found:?}");
        // A checkpoint at that address finds its log.
        assert_eq!(numbers(&crashed, middle).unwrap(), found[12..]);
    }
}
