//! Power cuts, failures and kills at every I/O of a workload, and what is there afterwards.
//!
//! After each: what is recovered is the log up to one point, everything acknowledged is in it, nothing else is, and
//! the log accepts more writes, which survive the next accident.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::{options, publish, put, read, sim};
use holt_codec::FIRST_ADDRESS;
use holt_journal::disk::{CrashPattern, Fault, Operation, SimDisk, Target, Trigger};
use holt_journal::{Ack, Error, Journal, recover_log};

/// What one process has done to the log, as somebody outside of it wrote it down.
#[derive(Debug, Clone)]
struct Witness {
    /// Numbers by address, of all records that were published.
    published: BTreeMap<u64, u64>,
    /// Address below which everything was acknowledged as synced.
    synced: u64,
    /// Address below which everything was acknowledged as written.
    written: u64,
    /// The newest durable manifest's log address.
    manifest: u64,
    next: u64,
}

impl Witness {
    fn new() -> Witness {
        Witness {
            published: BTreeMap::new(),
            synced: FIRST_ADDRESS,
            written: FIRST_ADDRESS,
            manifest: FIRST_ADDRESS,
            next: 0,
        }
    }

    /// Writes until something fails or `count` records are written; now and then a checkpoint.
    fn work(&mut self, journal: &Journal<SimDisk>, count: u64) -> Result<(), Error> {
        for _ in 0..count {
            let number = self.next;
            let (address, end) = publish(journal, number)?;
            self.next += 1;
            self.published.insert(address, number);
            match number % 5 {
                0 => {
                    journal.wait(end, Ack::Sync)?;
                    self.synced = end;
                }
                2 => {
                    journal.wait(end, Ack::Os)?;
                    self.written = end;
                }
                _ => journal.wait(end, Ack::Buffered)?,
            }
            if number % 13 == 12 {
                let tail = journal.tail();
                journal.wait(tail, Ack::Sync)?;
                self.synced = tail;
                // The manifest lies in another file, which is none of the log's business.
                self.manifest = tail;
                journal.truncate_below(tail)?;
            }
        }
        Ok(())
    }

    /// Checks what the next process finds: a prefix with everything below `promised`. Forgets what was lost.
    fn check(&mut self, disk: &Arc<SimDisk>, promised: u64, story: &str) {
        let (found, _) =
            read(disk, self.manifest).unwrap_or_else(|error| panic!("{story}: {error}"));
        let needed: BTreeMap<u64, u64> =
            self.published.range(self.manifest..).map(|(&a, &n)| (a, n)).collect();
        let prefix: BTreeMap<u64, u64> =
            needed.iter().take(found.len()).map(|(&a, &n)| (a, n)).collect();
        assert_eq!(found, prefix, "{story}: not a prefix");
        let acknowledged = needed.range(..promised).count();
        assert!(
            found.len() >= acknowledged,
            "{story}: {} of {acknowledged} acknowledged",
            found.len()
        );
        // Recovery changes nothing: a second one finds the same.
        assert_eq!(read(disk, self.manifest).unwrap().0, found, "{story}: second recovery");
        self.published = found;
        self.next = self.published.values().last().map_or(self.next, |last| last + 1);
        let end = self.published.keys().last().copied();
        self.synced = self.synced.min(end.map_or(self.synced, |end| end + 1));
        self.written = self.synced;
    }

    fn open(&self, disk: &Arc<SimDisk>) -> Journal<SimDisk> {
        let (_, recovered) = read(disk, self.manifest).unwrap();
        Journal::start(Arc::clone(disk), common::DB, recovered, options()).unwrap()
    }
}

/// Everything that was recovered is durable once a later record is; so it is promised from then on.
fn second_life(mut witness: Witness, disk: SimDisk, seed: u64, story: &str) {
    let disk = Arc::new(disk);
    let journal = witness.open(&disk);
    disk.inject(Trigger::once(Target::Changes, seed % 40, Fault::PowerCut));
    let before = witness.synced;
    let _ = witness.work(&journal, 12);
    drop(journal);
    let promised = witness.synced.max(before);
    let pattern = CrashPattern::ALL[(seed % 11) as usize];
    let disk = Arc::new(disk.crash(seed, pattern));
    witness.check(&disk, promised, &format!("{story}, then cut again, {pattern:?}"));
    // And at last an orderly life.
    let journal = witness.open(&disk);
    witness.work(&journal, 6).unwrap();
    journal.close().unwrap();
    drop(journal);
    assert_eq!(disk.open_handles(), 0, "{story}");
    let promised = u64::MAX;
    let disk = Arc::new(disk.crash(seed, CrashPattern::LoseAll));
    witness.check(&disk, promised, &format!("{story}, then closed"));
}

const RECORDS: u64 = 70;

#[test]
fn a_power_cut_at_any_io_leaves_a_prefix_with_everything_acknowledged() {
    for cut in 0.. {
        let disk = sim(cut);
        let mut witness = Witness::new();
        let journal = witness.open(&disk);
        disk.inject(Trigger::once(Target::Changes, cut, Fault::PowerCut));
        let _ = witness.work(&journal, RECORDS).and_then(|()| journal.close());
        drop(journal);
        assert_eq!(disk.open_handles(), 0);
        for (index, pattern) in CrashPattern::ALL.into_iter().enumerate() {
            let mut after = witness.clone();
            let story = format!("seed {cut}: cut at change {cut}, {pattern:?}");
            let crashed = disk.crash(cut, pattern);
            after.check(&Arc::new(crashed.clone()), after.synced, &story);
            if (cut + index as u64).is_multiple_of(3) {
                second_life(after, crashed.kill(), cut * 11 + index as u64, &story);
            }
        }
        if !disk.is_off() {
            assert!(cut > 100, "the workload makes {cut} changes: too few to prove anything");
            return;
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_handed_over() {
    for records in 0..RECORDS {
        let disk = sim(records);
        let mut witness = Witness::new();
        let journal = witness.open(&disk);
        witness.work(&journal, records).unwrap();
        let after = disk.kill();
        let story = format!("killed after {records} records");
        let promised = witness.written.max(witness.synced);
        witness.check(&Arc::new(after.clone()), promised, &story);
        // What was recovered from the operating system's memory has to survive a power cut after the next sync.
        witness.synced = witness.published.keys().last().map_or(witness.synced, |last| last + 1);
        let second = Arc::new(after.kill());
        let journal = witness.open(&second);
        let mut later = witness.clone();
        put(&journal, later.next, Ack::Sync).unwrap();
        let crashed = Arc::new(second.crash(records, CrashPattern::LoseAll));
        let (found, _) = read(&crashed, later.manifest).unwrap();
        let numbers: Vec<u64> = found.into_values().collect();
        let expected: Vec<u64> =
            later.published.range(later.manifest..).map(|(_, &n)| n).chain([later.next]).collect();
        later.next += 1;
        assert_eq!(numbers, expected, "{story}");
    }
}

#[test]
fn an_error_at_any_io_and_a_crash_together_lose_nothing_acknowledged() {
    for fault in [Fault::Io, Fault::NoSpace, Fault::Interrupted, Fault::Short, Fault::Nothing] {
        for at in 0.. {
            let disk = sim(at);
            let mut witness = Witness::new();
            let journal = witness.open(&disk);
            disk.reset_counts();
            disk.inject(Trigger::once(Target::Changes, at, fault));
            let story = format!("{fault:?} at change {at}");
            let mut failed = witness.work(&journal, RECORDS).err();
            if let Some(error) = journal.failure() {
                // Sticky: nothing is acknowledged any more.
                for ack in [Ack::Buffered, Ack::Os, Ack::Sync] {
                    let refused = put(&journal, 1, ack).expect_err("acknowledged after a failure");
                    assert_eq!(refused.to_string(), error.to_string(), "{story}");
                }
            } else if failed.is_some() {
                // A refusal before anything changed: the same work goes on.
                failed = witness.work(&journal, RECORDS).err();
                assert!(failed.is_none(), "{story}: {failed:?}");
            }
            let changes = disk.count(Target::Changes);
            let pattern = CrashPattern::ALL[(at % 11) as usize];
            let crashed = Arc::new(disk.crash(at, pattern));
            let promised = witness.synced;
            witness.clone().check(&crashed, promised, &format!("{story}, then {pattern:?}"));
            let closed = journal.close();
            // (A segment in the making may fail after everything is safe.)
            assert!(closed.is_ok() || journal.failure().is_some(), "{story}: {closed:?}");
            drop(journal);
            if closed.is_ok() {
                let crashed = Arc::new(disk.crash(at, CrashPattern::LoseAll));
                witness.clone().check(&crashed, u64::MAX, &format!("{story}, then closed"));
            }
            second_life(
                {
                    let mut after = witness.clone();
                    after.check(&Arc::new(disk.crash(at, pattern)), promised, &story);
                    after
                },
                disk.crash(at, pattern),
                at,
                &story,
            );
            if at >= changes {
                break;
            }
        }
    }
}

#[test]
fn clients_that_race_a_power_cut_find_a_prefix_with_everything_acknowledged() {
    for round in 0..60u64 {
        let disk = sim(round);
        let journal = Witness::new().open(&disk);
        disk.inject(Trigger::once(Target::Changes, 20 + round * 3, Fault::PowerCut));
        let published = Mutex::new(BTreeMap::new());
        let acknowledged = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (journal, published, acknowledged) = (&journal, &published, &acknowledged);
                scope.spawn(move || {
                    for number in (client * 1000..).take(60) {
                        let Ok((address, end)) = publish(journal, number) else { return };
                        published.lock().unwrap().insert(address, number);
                        if journal.wait(end, Ack::Sync).is_err() {
                            return;
                        }
                        acknowledged.lock().unwrap().push(address);
                    }
                });
            }
        });
        drop(journal);
        let published = published.into_inner().unwrap();
        for pattern in CrashPattern::ALL {
            let story = format!("round {round}, {pattern:?}");
            let (found, _) = read(&Arc::new(disk.crash(round, pattern)), FIRST_ADDRESS)
                .unwrap_or_else(|error| panic!("{story}: {error}"));
            assert!(found.iter().eq(published.iter().take(found.len())), "{story}: not a prefix");
            for address in &*acknowledged.lock().unwrap() {
                assert!(found.contains_key(address), "{story}: {address} was acknowledged");
            }
        }
    }
}

#[test]
fn damage_below_what_was_synced_is_never_cut_as_a_torn_tail() {
    let disk = sim(77);
    let mut witness = Witness::new();
    let journal = witness.open(&disk);
    // Two syncs: the second batch of records says that the first was durable.
    for number in 0..6 {
        let (address, end) = publish(&journal, number).unwrap();
        witness.published.insert(address, number);
        if number % 3 == 2 {
            journal.wait(end, Ack::Sync).unwrap();
        }
    }
    let crashed = disk.crash(77, CrashPattern::LoseAll);
    drop(journal);
    let addresses: Vec<u64> = witness.published.keys().copied().collect();
    let names: Vec<String> = holt_journal::disk::Disk::list(&crashed).unwrap();
    for (index, &address) in addresses.iter().enumerate() {
        let bad = Arc::new(crashed.kill());
        let start = FIRST_ADDRESS;
        bad.flip(&names[0], 4096 + (address - start) + 20, 3);
        let outcome = recover_log::<_, Error>(&bad, common::DB, start, &mut |_, _| Ok(()));
        match outcome {
            Err(Error::Damaged { file, offset, .. }) => {
                assert!(index < 3, "record {index} is not proven");
                assert_eq!((file, offset), (names[0].clone(), 4096 + address - start));
            }
            Ok(recovered) => {
                assert!(index >= 3, "record {index} was proven durable and is cut");
                assert_eq!(recovered.end(), address);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_is_durable_once_the_next_process_syncs_anything() {
    let mut ended = 0;
    for seed in 0..40u64 {
        // A write or name that a failed sync has lost still reads back until the power goes.
        for target in [Operation::Sync, Operation::SyncDir] {
            let disk = sim(seed);
            let mut witness = Witness::new();
            let journal = witness.open(&disk);
            let after = seed % 8;
            disk.inject(Trigger::once(Target::Only(target), after, Fault::Io));
            let story = format!("seed {seed}: {target:?} {after} fails");
            let failed = witness.work(&journal, RECORDS).is_err();
            drop(journal);
            let second = Arc::new(disk.kill());
            let promised = witness.synced;
            witness.check(&second, promised, &format!("{story}, then killed"));
            let journal = witness.open(&second);
            let number = witness.next;
            let (address, end) = publish(&journal, number).unwrap();
            journal.wait(end, Ack::Sync).unwrap();
            witness.published.insert(address, number);
            ended += u32::from(failed);
            for pattern in CrashPattern::ALL {
                let crashed = Arc::new(second.crash(seed, pattern));
                let story = format!("{story}, killed, written on, then {pattern:?}");
                witness.clone().check(&crashed, end, &story);
            }
        }
    }
    // The other failures met a segment that was made ahead of need.
    assert!(ended > 20, "only {ended} failures ended writing: too few to prove anything");
}
