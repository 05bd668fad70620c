//! Every byte of every file, changed, one after the other.
//!
//! What comes of it has to be an error of opening, a fault or a residue of the verification, or the
//! very same contents. Which bytes may change unseen is computed here from the files themselves, by
//! the format's description and not by asking the database.

mod common;

use std::ops::Range;
use std::sync::Arc;

use common::{Model, Random, contents, seed};
use holt_codec::{EXTENT_UNIT, FIRST_EXTENT, Manifest, SEGMENT_HEADER_LEN, SegmentHeader};
use holt_engine::disk::{Disk, SimDisk};
use holt_engine::{Create, Db, Durability, Options, verify_on};

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(4 << 10).checkpoint_bytes(0).memory_bytes(4 << 20);
    options
}

fn open(disk: &SimDisk) -> Db<SimDisk> {
    options().open_on(Arc::new(disk.clone())).unwrap()
}

fn put(db: &Db<SimDisk>, numbers: Range<u8>) {
    for number in numbers {
        let key = format!("dir{}/file{number}", number % 3);
        db.default_tree().put_with(key.as_bytes(), &[number; 20], Durability::Sync).unwrap();
    }
}

/// The extents that count, and the address from which the log does.
fn newest_commit(disk: &SimDisk) -> (Vec<Range<u64>>, u64) {
    let names = disk.list().unwrap();
    let newest = names.iter().filter(|name| name.starts_with("MANIFEST-")).max().unwrap();
    let manifest = Manifest::decode(&disk.contents(newest).unwrap()).unwrap();
    let mut mapping = std::collections::BTreeMap::new();
    for commit in &manifest.commits {
        if commit.base {
            mapping.clear();
        }
        mapping.retain(|object, _| !commit.freed.contains(object));
        mapping.extend(commit.changed.iter().map(|one| (one.object, one.offset..one.end())));
    }
    (mapping.into_values().collect(), manifest.commits.last().unwrap().log_address)
}

/// Stretches of a file that may change unseen: free extents, what lies before the log's start and
/// behind its end.
fn irrelevant(disk: &SimDisk, name: &str, log_end: u64) -> Vec<Range<u64>> {
    let bytes = disk.contents(name).unwrap();
    let len = bytes.len() as u64;
    let (live, log_start) = newest_commit(disk);
    if name == "DATA" {
        let units = (FIRST_EXTENT..len).step_by(EXTENT_UNIT as usize);
        let free = units.map(|at| at..at + EXTENT_UNIT);
        return free.filter(|unit| !live.iter().any(|one| one.contains(&unit.start))).collect();
    }
    if !name.starts_with("LOG-") {
        return Vec::new();
    }
    let header = SegmentHeader::decode(&bytes[..SEGMENT_HEADER_LEN]).unwrap();
    // Before the one that holds the start nothing is opened.
    let start_of = |name: &String| u64::from_str_radix(name.strip_prefix("LOG-")?, 16).ok();
    let starts = disk.list().unwrap();
    if starts.iter().filter_map(start_of).any(|start| header.start < start && start <= log_start) {
        return std::iter::once(0..len).collect();
    }
    let body = SEGMENT_HEADER_LEN as u64;
    let before = body..header.file_offset(log_start.clamp(header.start, header.end()));
    let behind = header.file_offset(log_end.clamp(header.start, header.end()))..len;
    vec![before, behind]
}

/// Flips a bit of each byte in turn.
fn flip_everything(
    disk: &SimDisk,
    expected: &Model,
    log_end: u64,
    what: &str,
    random: &mut Random,
) {
    let mut detected = 0_u64;
    for name in disk.list().unwrap() {
        let irrelevant = irrelevant(disk, &name, log_end);
        let len = disk.contents(&name).unwrap().len() as u64;
        let mut at = 0;
        while at < len {
            let bit = random.below(8) as u8;
            disk.flip(&name, at, bit);
            let context = format!("{what}: {name}, byte {at}, bit {bit}");
            let unseen = irrelevant.iter().any(|range| range.contains(&at));
            // Reported by the verification, or of no account at all.
            let report = verify_on(Arc::new(disk.clone())).unwrap();
            let told = !report.faults.is_empty() || !report.residue.is_empty();
            assert!(told || unseen, "{context}: nobody noticed");
            detected += u64::from(told);
            // Whoever opens it all the same gets an error or what was written.
            let mut reading = options();
            reading.read_only(true).create(Create::Never);
            if let Ok(db) = reading.open_on(Arc::new(disk.clone()))
                && let Ok(found) = contents(&db.default_tree())
            {
                assert_eq!(&found, expected, "{context}: a wrong answer");
            }
            disk.flip(&name, at, bit);
            // Of stretches without account one byte in many; they have no structure.
            at += if unseen { 97 } else { 1 };
        }
    }
    assert!(detected > 1000, "{what}: {detected} flips detected; what was there to flip?");
    let report = verify_on(Arc::new(disk.clone())).unwrap();
    assert!(report.faults.is_empty() && report.residue.is_empty(), "{what}: {report:?}");
}

/// Closes the database and flips everything.
fn close_and_flip(db: Db<SimDisk>, disk: &SimDisk, what: &str, random: &mut Random) {
    let expected = contents(&db.default_tree()).unwrap();
    let log_end = db.stats().unwrap().log_address;
    db.close().unwrap();
    // Behind it stands the record of a clean end, which says nothing about the contents.
    flip_everything(disk, &expected, log_end, what, random);
}

#[test]
fn any_flipped_byte_of_a_fresh_database_with_a_log_is_detected_or_irrelevant() {
    let seed = seed(31);
    let disk = SimDisk::new(seed);
    let db = open(&disk);
    put(&db, 0..12);
    close_and_flip(db, &disk, "fresh", &mut Random::new(seed));
}

#[test]
fn any_flipped_byte_after_a_checkpoint_and_a_log_tail_is_detected_or_irrelevant() {
    let seed = seed(32);
    let disk = SimDisk::new(seed);
    let db = open(&disk);
    put(&db, 0..12);
    db.default_tree().put(b"large", &[7; 5000]).unwrap();
    db.checkpoint().unwrap();
    put(&db, 6..9);
    close_and_flip(db, &disk, "checkpoint and tail", &mut Random::new(seed));
}

#[test]
fn any_flipped_byte_after_churn_is_detected_or_irrelevant() {
    let seed = seed(33);
    let disk = SimDisk::new(seed);
    let db = open(&disk);
    for round in 0..5 {
        put(&db, round..round + 10);
        db.default_tree().put(b"large", &vec![round; 4000 + 3000 * usize::from(round)]).unwrap();
        db.default_tree().delete(format!("dir{}/file{round}", round % 3).as_bytes()).unwrap();
        db.checkpoint().unwrap();
    }
    db.default_tree().delete(b"large").unwrap();
    db.checkpoint().unwrap();
    close_and_flip(db, &disk, "churn", &mut Random::new(seed));
}

#[test]
fn an_open_database_finds_what_happens_to_its_log() {
    let disk = SimDisk::new(34);
    let db = open(&disk);
    put(&db, 0..3);
    db.checkpoint().unwrap();
    put(&db, 3..40);
    db.sync().unwrap();
    assert!(db.verify().unwrap().faults.is_empty());
    let end = db.stats().unwrap().log_address;
    let mut flips = 0;
    for name in disk.list().unwrap().iter().filter(|name| name.starts_with("LOG-")) {
        let unseen = irrelevant(&disk, name, end);
        for at in (0..disk.contents(name).unwrap().len() as u64).step_by(41) {
            if unseen.iter().any(|range| range.contains(&at)) {
                continue;
            }
            disk.flip(name, at, 3);
            let report = db.verify().unwrap();
            assert!(!report.faults.is_empty(), "{name}, byte {at}: nobody noticed");
            disk.flip(name, at, 3);
            flips += 1;
        }
    }
    assert!(flips > 50, "{flips}");
    assert!(db.verify().unwrap().faults.is_empty());
    put(&db, 0..3);
    assert!(db.verify().unwrap().faults.is_empty());
}

#[test]
fn a_log_that_is_being_written_verifies() {
    let disk = SimDisk::new(35);
    let db = open(&disk);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..40 {
                put(&db, round..round + 20);
                if round % 8 == 7 {
                    db.checkpoint().unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let report = db.verify().unwrap();
            assert!(report.faults.is_empty(), "{:?}", report.faults);
        }
        writer.join().unwrap();
    });
}
