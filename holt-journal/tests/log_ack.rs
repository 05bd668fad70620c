//! What is acknowledged is there afterwards, in whatever way the log ended.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    DB, fill, numbers, open, open_at, options, publish, put, read, segments, sim, snapshot,
};
use holt_codec::FIRST_ADDRESS;
use holt_journal::disk::{CrashPattern, RealDisk};
use holt_journal::{Ack, Error, Journal, LogOptions, create_log};

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
    let before = snapshot(&disk);
    drop(open(&disk));
    assert_eq!(snapshot(&disk), before);
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
    let segment = segments(&disk).remove(0);
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
fn a_real_directory_holds_the_log_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(directory.path()).unwrap());
    create_log(&disk, DB).unwrap();
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
