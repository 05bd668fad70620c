//! The log as its users see it: what is acknowledged is there, what is refused changed nothing.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{DB, fill, numbers, open, open_at, options, publish, put, read, sim, snapshot};
use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
use holt_journal::disk::{CrashPattern, Disk, Fault, Operation, RealDisk, Target, Trigger};
use holt_journal::{Ack, Damage, Error, Journal, LogOptions, recover_log, recover_log_with};

#[test]
fn everything_comes_back_in_order_after_a_clean_close_in_any_mode() {
    for ack in [Ack::Buffered, Ack::Os, Ack::Sync] {
        let disk = sim(1);
        let journal = open(&disk);
        for number in 0..100 {
            put(&journal, number, ack).unwrap();
        }
        let tail = journal.tail();
        journal.close().unwrap();
        drop(journal);
        // Not even a power cut after the close loses anything.
        let disk = Arc::new(disk.crash(1, CrashPattern::LoseAll));
        let (found, recovered) = read(&disk, FIRST_ADDRESS).unwrap();
        assert_eq!(found.into_values().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        assert!(recovered.is_clean());
        assert_eq!(recovered.end(), tail + 16);
    }
}

#[test]
fn dropping_the_handle_closes_the_log() {
    let disk = sim(2);
    let journal = open(&disk);
    put(&journal, 0, Ack::Buffered).unwrap();
    drop(journal);
    assert_eq!(disk.open_handles(), 0);
    let disk = Arc::new(disk.crash(2, CrashPattern::LoseAll));
    assert!(read(&disk, FIRST_ADDRESS).unwrap().1.is_clean());
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), [0]);
}

#[test]
fn opening_and_closing_without_a_write_changes_nothing() {
    let disk = sim(3);
    drop(open(&disk));
    assert!(disk.list().unwrap().is_empty());
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let before = snapshot(&disk);
    for _ in 0..3 {
        let journal = open(&disk);
        journal.wait(journal.tail(), Ack::Sync).unwrap();
        journal.close().unwrap();
    }
    assert_eq!(snapshot(&disk), before);
}

#[test]
fn no_address_is_given_twice_over_many_openings_and_kills() {
    let mut disk = sim(4);
    let mut highest = 0;
    for round in 0..30 {
        let journal = open(&disk);
        for number in 0..round % 4 {
            let (address, end) = publish(&journal, number).unwrap();
            assert!(address >= highest, "address {address} in round {round}");
            highest = end;
            journal.wait(end, Ack::Buffered).unwrap();
        }
        // A kill loses what was only buffered; its addresses are gone all the same.
        disk = if round % 2 == 0 {
            Arc::new(disk.kill())
        } else {
            drop(journal);
            disk
        };
    }
}

#[test]
fn marks_before_the_first_append_are_those_of_the_log_that_was_found() {
    let disk = sim(5);
    let journal = open(&disk);
    assert_eq!((journal.tail(), journal.synced()), (FIRST_ADDRESS, FIRST_ADDRESS));
    put(&journal, 0, Ack::Sync).unwrap();
    let tail = journal.tail();
    assert_eq!((journal.written(), journal.synced()), (tail, tail));
    drop(journal);
    let journal = open(&disk);
    assert_eq!(journal.tail(), tail + 16, "behind the clean end");
    journal.wait(journal.tail(), Ack::Sync).unwrap();
    let (address, _) = publish(&journal, 1).unwrap();
    assert!(address > tail + 16, "a new segment beyond all others");
}

#[test]
fn what_recovery_read_from_a_killed_process_is_durable_once_anything_later_is() {
    let disk = sim(6);
    let journal = open(&disk);
    fill(&journal, 0..5, Ack::Os);
    let disk = Arc::new(disk.kill());
    let journal = open(&disk);
    assert!(journal.synced() < journal.tail());
    put(&journal, 5, Ack::Sync).unwrap();
    let disk = Arc::new(disk.crash(6, CrashPattern::LoseAll));
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn an_observer_of_recovered_records_can_wait_until_they_are_durable() {
    let disk = sim(7);
    let journal = open(&disk);
    fill(&journal, 0..5, Ack::Os);
    let disk = Arc::new(disk.kill());
    let journal = open(&disk);
    journal.wait(journal.tail(), Ack::Sync).unwrap();
    assert_eq!(journal.synced(), journal.tail());
    let disk = Arc::new(disk.crash(7, CrashPattern::LoseAll));
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_killed_process_loses_nothing_that_was_handed_over() {
    let disk = sim(8);
    let journal = open(&disk);
    fill(&journal, 0..50, Ack::Os);
    let after = Arc::new(disk.kill());
    assert_eq!(numbers(&after, FIRST_ADDRESS).unwrap(), (0..50).collect::<Vec<_>>());
}

#[test]
fn buffered_records_are_written_out_though_nobody_waits() {
    let disk = sim(9);
    let options = LogOptions { flush_interval: Duration::from_millis(1), ..options() };
    let journal = open_at(&disk, FIRST_ADDRESS, options).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    for number in 0..3 {
        let end = put(&journal, number, Ack::Buffered).unwrap();
        while journal.written() < end {
            assert!(Instant::now() < patience, "record {number} stays in memory");
            std::thread::yield_now();
        }
    }
}

#[test]
fn buffered_records_wake_nobody_before_the_interval_is_over() {
    let disk = sim(10);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    let segment = disk.list().unwrap().remove(0);
    let before = disk.contents(&segment).unwrap();
    fill(&journal, 1..9, Ack::Buffered);
    assert_eq!(disk.contents(&segment).unwrap(), before);
    journal.close().unwrap();
    assert_ne!(disk.contents(&segment).unwrap(), before);
}

#[test]
fn producers_that_outrun_the_ring_are_drained_without_anybody_waiting() {
    let disk = sim(11);
    let options = LogOptions { ring_capacity: 4096, ..options() };
    let journal = open_at(&disk, FIRST_ADDRESS, options).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let journal = &journal;
            scope.spawn(move || {
                fill(journal, thread * 1000..thread * 1000 + 200, Ack::Buffered);
            });
        }
    });
    drop(journal);
    let found = numbers(&disk, FIRST_ADDRESS).unwrap();
    for thread in 0..3 {
        let own: Vec<u64> =
            found.iter().copied().filter(|number| number / 1000 == thread).collect();
        assert_eq!(own, (thread * 1000..thread * 1000 + 200).collect::<Vec<_>>());
    }
}

#[test]
fn many_clients_share_syncs() {
    let disk = sim(12);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..25 {
                    let end = put(journal, thread * 1000 + number, Ack::Sync).unwrap();
                    assert!(journal.synced() >= end);
                }
            });
        }
    });
    let after = Arc::new(disk.crash(12, CrashPattern::LoseAll));
    assert_eq!(numbers(&after, FIRST_ADDRESS).unwrap().len(), 201);
}

#[test]
fn a_record_may_be_longer_than_several_segments() {
    let disk = sim(13);
    let journal = open(&disk);
    let value = vec![0xab; 50_000];
    let record = Record::from(Op::Put { tree: 1, key: b"long", value: &value });
    let reservation = journal.permit(record.encoded_len().unwrap()).unwrap().reserve();
    let end = reservation.end();
    reservation.publish(&record);
    journal.wait(end, Ack::Sync).unwrap();
    let disk = Arc::new(disk.crash(13, CrashPattern::LoseAll));
    let mut seen = 0;
    recover_log::<_, Error>(&disk, DB, FIRST_ADDRESS, &mut |_, found| {
        assert_eq!(found, record);
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn a_record_that_cannot_fit_the_buffer_is_refused_before_anything_changes() {
    let disk = sim(14);
    let journal = open(&disk);
    let refused = journal.permit(1 << 20).unwrap_err();
    assert!(matches!(refused, Error::RecordTooLarge { len, capacity: 65536 } if len == 1 << 20));
    assert_eq!(journal.tail(), FIRST_ADDRESS);
    put(&journal, 0, Ack::Sync).unwrap();
}

#[test]
fn a_full_disk_refuses_permits_and_writing_resumes_when_there_is_space() {
    let disk = sim(15);
    let journal = open(&disk);
    disk.set_capacity(Some(64 << 10));
    let mut written = 0;
    let refused = loop {
        match put(&journal, written, Ack::Sync) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "the disk is never full");
    };
    assert!(
        matches!(&refused, Error::Io { error, .. } if error.raw_os_error() == Some(28)),
        "{refused}"
    );
    let tail = journal.tail();
    assert!(journal.permit(4000).is_err());
    assert_eq!((journal.tail(), journal.failure().is_none()), (tail, true));
    // Space from a checkpoint: everything below the tail is needed no more.
    disk.set_capacity(None);
    fill(&journal, written..written + 20, Ack::Sync);
    journal.close().unwrap();
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), (0..written + 20).collect::<Vec<_>>());
}

#[test]
fn truncation_gives_space_back_and_recycles_and_replay_goes_on_from_there() {
    let disk = sim(16);
    let journal = open(&disk);
    let mut number = 0;
    let mut created = Vec::new();
    for _ in 0..12 {
        for _ in 0..40 {
            put(&journal, number, Ack::Os).unwrap();
            number += 1;
        }
        let (from, first) = (journal.tail(), number);
        journal.wait(from, Ack::Sync).unwrap();
        journal.truncate_below(from).unwrap();
        assert!(disk.list().unwrap().len() <= 8, "{:?}", disk.list().unwrap());
        created.push(disk.count(Target::Only(Operation::Create)));
        put(&journal, number, Ack::Sync).unwrap();
        number += 1;
        let after = Arc::new(disk.kill());
        assert_eq!(numbers(&after, from).unwrap(), (first..number).collect::<Vec<_>>());
    }
    let recycled = disk.count(Target::Named(Operation::Rename, "LOG.tmp"));
    assert!(recycled > 0);
    assert!(created[11] - created[2] < recycled, "files are made anew all the time: {created:?}");
}

#[test]
fn a_checkpoint_before_the_first_append_keeps_the_segment_it_needs() {
    let disk = sim(34);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    drop(journal);
    let journal = open(&disk);
    let from = journal.tail();
    journal.wait(from, Ack::Sync).unwrap();
    journal.truncate_below(from).unwrap();
    assert!(numbers(&Arc::new(disk.kill()), from).unwrap().is_empty());
    fill(&journal, 60..100, Ack::Sync);
    journal.truncate_below(from).unwrap();
    let after = Arc::new(disk.crash(34, CrashPattern::LoseAll));
    assert_eq!(numbers(&after, from).unwrap(), (60..100).collect::<Vec<_>>());
}

#[test]
fn a_pinned_address_stays_readable_over_truncations() {
    let disk = sim(17);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    let pin = journal.pin(FIRST_ADDRESS);
    let all: Vec<u64> = (0..60).collect();
    journal.truncate_below(journal.tail()).unwrap();
    assert_eq!(numbers(&Arc::new(disk.kill()), FIRST_ADDRESS).unwrap(), all);
    drop(pin);
    // More segments than are kept for recycling.
    journal.truncate_below(journal.tail()).unwrap();
    assert!(numbers(&Arc::new(disk.kill()), FIRST_ADDRESS).is_err());
}

#[test]
fn a_reservation_that_is_dropped_closes_the_log_and_keeps_what_came_before() {
    let disk = sim(18);
    let journal = open(&disk);
    let (_, before) = publish(&journal, 0).unwrap();
    let lost = journal.permit(64).unwrap().reserve();
    let (_, behind) = publish(&journal, 1).unwrap();
    let address = lost.address();
    drop(lost);
    assert!(matches!(journal.permit(64), Err(Error::Unpublished { address: at }) if at == address));
    assert!(matches!(journal.wait(behind, Ack::Sync), Err(Error::Unpublished { .. })));
    assert!(matches!(journal.wait(behind, Ack::Os), Err(Error::Unpublished { .. })));
    assert!(matches!(journal.wait(behind, Ack::Buffered), Err(Error::Unpublished { .. })));
    journal.wait(before, Ack::Sync).unwrap();
    assert!(matches!(journal.failure(), Some(Error::Unpublished { .. })));
    assert!(matches!(journal.truncate_below(before), Err(Error::Unpublished { .. })));
    assert!(matches!(journal.close(), Err(Error::Unpublished { .. })));
    drop(journal);
    // What was applied without a record is gone, and so is everything behind it: no hole.
    let (found, recovered) = read(&disk, FIRST_ADDRESS).unwrap();
    assert_eq!((found.into_values().collect::<Vec<_>>(), recovered.is_clean()), (vec![0], false));
}

#[test]
fn a_waiter_for_a_record_behind_a_dropped_reservation_is_woken() {
    let disk = sim(19);
    let journal = open(&disk);
    let lost = journal.permit(64).unwrap().reserve();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = [Ack::Os, Ack::Sync, Ack::Sync]
            .into_iter()
            .zip(1..)
            .map(|(ack, number)| {
                let journal = &journal;
                scope.spawn(move || put(journal, number, ack))
            })
            .collect();
        drop(lost);
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), Err(Error::Unpublished { .. })));
        }
    });
}

#[test]
fn a_panic_between_reserve_and_publish_closes_the_log() {
    let disk = sim(20);
    let journal = open(&disk);
    let panicked = std::thread::scope(|scope| {
        let journal = &journal;
        scope
            .spawn(move || {
                let _reservation = journal.permit(64).unwrap().reserve();
                std::panic::resume_unwind(Box::new("a change half applied"));
            })
            .join()
    });
    assert!(panicked.is_err());
    assert!(matches!(put(&journal, 0, Ack::Buffered), Err(Error::Unpublished { .. })));
}

#[test]
fn a_reservation_given_up_is_a_record_that_means_nothing() {
    let disk = sim(21);
    let journal = open(&disk);
    put(&journal, 0, Ack::Buffered).unwrap();
    for len in [16, 24, 5000] {
        journal.permit(len).unwrap().reserve().skip();
    }
    put(&journal, 1, Ack::Sync).unwrap();
    journal.close().unwrap();
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), [0, 1]);
}

#[test]
fn a_permit_that_is_dropped_has_no_effect() {
    let disk = sim(22);
    let journal = open(&disk);
    drop(journal.permit(5000).unwrap());
    assert_eq!(journal.tail(), FIRST_ADDRESS);
    journal.close().unwrap();
    assert!(numbers(&disk, FIRST_ADDRESS).unwrap().is_empty());
}

#[test]
fn a_failed_write_or_sync_ends_writing_for_everybody_and_for_good() {
    for operation in [Operation::Write, Operation::Sync] {
        let disk = sim(23);
        // One segment holds everything, so no other file is written to meanwhile.
        let options = LogOptions { segment_bytes: 1 << 16, ..options() };
        let journal = open_at(&disk, FIRST_ADDRESS, options).unwrap();
        let end = put(&journal, 0, Ack::Sync).unwrap();
        disk.inject(Trigger::once(Target::Only(operation), 0, Fault::Io));
        std::thread::scope(|scope| {
            let clients: Vec<_> = (1..9)
                .map(|number| {
                    let journal = &journal;
                    scope.spawn(move || put(journal, number, Ack::Sync))
                })
                .collect();
            for client in clients {
                assert!(matches!(client.join().unwrap(), Err(Error::LogFailed(_))));
            }
        });
        // The fault is over; the log stays closed. What was durable before still is.
        assert!(matches!(put(&journal, 9, Ack::Buffered), Err(Error::LogFailed(_))));
        assert!(matches!(journal.failure(), Some(Error::LogFailed(_))));
        assert!(matches!(journal.truncate_below(end), Err(Error::LogFailed(_))));
        journal.wait(end, Ack::Sync).unwrap();
        assert!(matches!(journal.close(), Err(Error::LogFailed(_))));
        drop(journal);
        assert_eq!(disk.open_handles(), 0);
        // Opening again recovers and writes.
        let disk = Arc::new(disk.crash(23, CrashPattern::LoseAll));
        let journal = open(&disk);
        put(&journal, 10, Ack::Sync).unwrap();
        drop(journal);
        assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), [0, 10]);
    }
}

#[test]
fn a_write_of_nothing_ends_writing_and_short_ones_do_not() {
    for (fault, survives) in
        [(Fault::Nothing, false), (Fault::Short, true), (Fault::Interrupted, true)]
    {
        let disk = sim(24);
        let journal = open(&disk);
        put(&journal, 1, Ack::Sync).unwrap();
        disk.inject(Trigger::once(Target::Only(Operation::Write), 0, fault));
        assert_eq!(put(&journal, 2, Ack::Os).is_ok(), survives, "{fault:?}");
    }
}

#[test]
fn a_closed_log_refuses_permits_and_says_so() {
    let disk = sim(25);
    let journal = open(&disk);
    put(&journal, 0, Ack::Buffered).unwrap();
    journal.close().unwrap();
    journal.close().unwrap();
    assert!(matches!(journal.permit(64), Err(Error::LogClosed)));
    assert!(journal.failure().is_none());
    journal.wait(journal.tail(), Ack::Sync).unwrap();
}

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
fn every_missing_or_shortened_segment_is_an_error_that_names_it() {
    let disk = sim(27);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    let last = disk.list().unwrap().into_iter().filter(|name| name.starts_with("LOG-")).count() - 1;
    drop(journal);
    let names = disk.list().unwrap();
    let written = read(&disk, FIRST_ADDRESS).unwrap().1;
    for (at, name) in names.iter().enumerate() {
        let start = u64::from_str_radix(&name["LOG-".len()..], 16).unwrap();
        if start > written.end() {
            // Made ahead, never written to: provably irrelevant.
            assert!(at >= last - 1);
            continue;
        }
        let without = Arc::new(disk.kill());
        without.put(name, None);
        assert!(
            matches!(numbers(&without, FIRST_ADDRESS), Err(Error::Damaged { .. })),
            "without {name}"
        );
        let whole = disk.contents(name).unwrap();
        for len in [0, 100, 4096, whole.len() - 1] {
            let cut = Arc::new(disk.kill());
            cut.put(name, Some(&whole[..len]));
            match numbers(&cut, FIRST_ADDRESS) {
                Err(Error::Damaged { file, .. }) => assert_eq!(&file, name),
                other => panic!("{name} cut to {len}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_log_that_lacks_the_address_it_is_needed_from_is_damaged() {
    let disk = sim(28);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let from = 1 << 30;
    assert!(matches!(
        numbers(&disk, from),
        Err(Error::Damaged { what: Damage::Log(holt_codec::Damage::MissingStart { wanted }), .. })
            if wanted == from
    ));
    assert!(matches!(numbers(&sim(28), 8192), Err(Error::Damaged { .. })));
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

#[test]
fn a_segment_of_a_future_format_is_refused_and_untouched() {
    let disk = sim(30);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let name = disk.list().unwrap().remove(0);
    let mut content = disk.contents(&name).unwrap();
    content[8] = 2;
    disk.put(&name, Some(&content));
    let before = snapshot(&disk);
    assert!(
        matches!(numbers(&disk, FIRST_ADDRESS), Err(Error::Format { file, .. }) if file == name)
    );
    assert_eq!(snapshot(&disk), before);
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
fn a_real_directory_holds_the_log_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(directory.path()).unwrap());
    for round in 0..3 {
        let journal = open_at(&disk, FIRST_ADDRESS, LogOptions::default()).unwrap();
        fill(&journal, round * 20..round * 20 + 20, Ack::Sync);
        journal.close().unwrap();
    }
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_handle_may_go_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<Journal<RealDisk>>();
}
