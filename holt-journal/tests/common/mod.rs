//! What the tests of the log share: numbered records, and sessions that write them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
use holt_journal::disk::{Disk, SimDisk};
use holt_journal::{Ack, Error, Journal, LogOptions, RecoveredLog, create_log, recover_log};

pub(crate) const DB: DbId = DbId(*b"log tests' store");

/// Small files, and no background drain that would make runs differ.
pub(crate) fn options() -> LogOptions {
    LogOptions {
        ring_capacity: 1 << 16,
        segment_bytes: 8192,
        flush_interval: Duration::from_secs(3600),
        ..LogOptions::default()
    }
}

/// The value of record `number`: different bytes and lengths, all of it dependent on the number.
pub(crate) fn value(number: u64) -> Vec<u8> {
    let len = (number * 577 % 1900) as usize;
    (0..len).map(|at| (number as usize * 31 + at * 7) as u8).collect()
}

/// Reserves and publishes record `number`; returns its address and its end.
pub(crate) fn publish<D: Disk>(journal: &Journal<D>, number: u64) -> Result<(u64, u64), Error> {
    let (key, value) = (number.to_be_bytes(), value(number));
    let record = Record::from(Op::Put { tree: 1, key: &key, value: &value });
    let reservation = journal.permit(record.encoded_len()?)?.reserve();
    let place = (reservation.address(), reservation.end());
    reservation.publish(&record);
    Ok(place)
}

/// Publishes record `number` and waits for it.
pub(crate) fn put<D: Disk>(journal: &Journal<D>, number: u64, ack: Ack) -> Result<u64, Error> {
    let (_, end) = publish(journal, number)?;
    journal.wait(end, ack)?;
    Ok(end)
}

/// What a log holds from an address on: numbers by address, every value checked.
pub(crate) fn read<D: Disk>(
    disk: &Arc<D>,
    from: u64,
) -> Result<(BTreeMap<u64, u64>, RecoveredLog), Error> {
    let mut found = BTreeMap::new();
    let recovered = recover_log::<_, Error>(disk, DB, from, &mut |address, record| {
        let Record::Op(Op::Put { tree: 1, key, value: found_value }) = record else {
            panic!("a record that nobody wrote: {record:?}");
        };
        let number = u64::from_be_bytes(key.try_into().expect("keys have eight bytes"));
        assert_eq!(found_value, value(number), "value of record {number}");
        assert!(found.insert(address, number).is_none(), "address {address} twice");
        Ok(())
    })?;
    Ok((found, recovered))
}

/// The numbers that a log holds from an address on, in order.
pub(crate) fn numbers<D: Disk>(disk: &Arc<D>, from: u64) -> Result<Vec<u64>, Error> {
    Ok(read(disk, from)?.0.into_values().collect())
}

pub(crate) fn open_at<D: Disk>(
    disk: &Arc<D>,
    from: u64,
    options: LogOptions,
) -> Result<Journal<D>, Error> {
    let (_, recovered) = read(disk, from)?;
    Journal::start(Arc::clone(disk), DB, recovered, options)
}

pub(crate) fn open<D: Disk>(disk: &Arc<D>) -> Journal<D> {
    open_at(disk, FIRST_ADDRESS, options()).expect("the log opens")
}

/// A disk with a log that has nothing in it.
pub(crate) fn sim(seed: u64) -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new(seed));
    create_log(&disk, DB).expect("nothing is there");
    disk
}

/// The names of all segments, in the order of their addresses.
pub(crate) fn segments(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.starts_with("LOG-"));
    names
}

/// Names and contents of all files.
pub(crate) fn snapshot(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list().unwrap();
    names
        .into_iter()
        .map(|name| {
            let content = disk.contents(&name).unwrap();
            (name, content)
        })
        .collect()
}

/// Puts records of these numbers, one after the other.
pub(crate) fn fill<D: Disk>(journal: &Journal<D>, numbers: std::ops::Range<u64>, ack: Ack) {
    for number in numbers {
        put(journal, number, ack).expect("nothing is in the way of this record");
    }
}
