//! Permits and reservations: what is refused has changed nothing, what is lost closes the log.

mod common;

use std::sync::Arc;

use common::{fill, numbers, open, open_at, options, publish, put, read, sim};
use holt_codec::FIRST_ADDRESS;
use holt_journal::disk::{CrashPattern, Fault, Operation, Target, Trigger};
use holt_journal::{Ack, Error, LogOptions};

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
    full_disk(true);
}

#[test]
fn a_full_disk_that_cannot_reserve_refuses_permits_too_before_anything_changes() {
    full_disk(false);
}

fn full_disk(reserving: bool) {
    let disk = sim(15);
    disk.set_reserving(reserving);
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
