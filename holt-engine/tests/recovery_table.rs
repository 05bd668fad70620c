//! The table of recovery, over all files together: manifest, data file, log and the log's mark, each as it
//! should be, gone, of an earlier moment, torn, damaged or another database's. Every combination is put on a disk
//! and opened, and what comes of it has to be what the first row that holds says.
//!
//! `docs/format/recovery.md` is this table in words.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Model, contents};
use holt_art::Error as TreeError;
use holt_engine::disk::{Disk, SimDisk};
use holt_engine::{Create, Db, Durability, Error, Options};

/// What became of a file, or of all of its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    /// As the last process left it.
    Current,
    Gone,
    /// As an earlier process left it.
    Older,
    /// Something behind its end, or a part of its end lost; of the log's mark, the older half.
    Torn,
    /// A byte changed where it counts; of the log's mark, in both halves.
    Damaged,
    /// Of another database.
    Foreign,
}

const ALL: [Is; 6] = [Is::Current, Is::Gone, Is::Older, Is::Torn, Is::Damaged, Is::Foreign];

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Case {
    manifest: Is,
    data: Is,
    log: Is,
    mark: Is,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decision {
    /// Everything that was acknowledged is there.
    Whole,
    /// All but the last record, whose own place was torn.
    AllButLast,
    /// What the earlier process left.
    Earlier,
    /// What the other database holds.
    Other,
    /// There is none, so a new one is made.
    New,
    /// An error; nothing has been changed.
    Refused,
}

struct Row {
    label: &'static str,
    holds: fn(&Case) -> bool,
    decision: Decision,
}

fn all(case: &Case, is: Is) -> bool {
    [case.manifest, case.data, case.log, case.mark].iter().all(|&file| file == is)
}

fn any(case: &Case, is: Is) -> bool {
    [case.manifest, case.data, case.log, case.mark].contains(&is)
}

const ROWS: [Row; 15] = [
    Row {
        // A mark that was never synced may be torn, in both halves.
        label: "nothing, or what an interrupted creation leaves",
        holds: |case| {
            [case.manifest, case.data, case.log] == [Is::Gone; 3]
                && matches!(case.mark, Is::Gone | Is::Damaged)
        },
        decision: Decision::New,
    },
    Row {
        label: "another database, whole",
        holds: |case| all(case, Is::Foreign),
        decision: Decision::Other,
    },
    Row {
        label: "files of two databases",
        holds: |case| any(case, Is::Foreign),
        decision: Decision::Refused,
    },
    Row {
        label: "a file that a database always has is gone",
        holds: |case| any(case, Is::Gone),
        decision: Decision::Refused,
    },
    Row {
        label: "the whole database of an earlier moment",
        holds: |case| all(case, Is::Older),
        decision: Decision::Earlier,
    },
    Row {
        label: "the manifest is damaged",
        holds: |case| case.manifest == Is::Damaged,
        decision: Decision::Refused,
    },
    Row {
        label: "both halves of the log's mark are damaged",
        holds: |case| case.mark == Is::Damaged,
        decision: Decision::Refused,
    },
    Row {
        label: "the data file is damaged",
        holds: |case| case.data == Is::Damaged,
        decision: Decision::Refused,
    },
    Row {
        label: "images of an earlier moment",
        holds: |case| case.data == Is::Older && case.manifest != Is::Older,
        decision: Decision::Refused,
    },
    Row {
        label: "a manifest that has lost what the data file's marks name",
        holds: |case| case.manifest == Is::Older && case.data != Is::Older,
        decision: Decision::Refused,
    },
    Row {
        label: "an earlier checkpoint, and not its log",
        holds: |case| case.manifest == Is::Older && case.log != Is::Older,
        decision: Decision::Refused,
    },
    Row {
        label: "a log of an earlier moment",
        holds: |case| case.log == Is::Older,
        decision: Decision::Refused,
    },
    Row {
        label: "a log that is damaged before records that prove more",
        holds: |case| case.log == Is::Damaged,
        decision: Decision::Refused,
    },
    Row {
        label: "the log's end is torn",
        holds: |case| case.log == Is::Torn,
        decision: Decision::AllButLast,
    },
    Row { label: "a kill, or a crash", holds: |_| true, decision: Decision::Whole },
];

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(64 << 10).checkpoint_bytes(0).create(Create::IfMissing);
    options
}

fn open(disk: &SimDisk) -> Result<Db<SimDisk>, Error> {
    options().open_on(Arc::new(disk.clone()))
}

fn put(db: &Db<SimDisk>, name: &str) {
    for number in 0..10 {
        let key = format!("{name}{number}");
        db.default_tree().put_with(key.as_bytes(), &[number; 500], Durability::Sync).unwrap();
    }
}

/// An earlier moment of a database, and its last.
struct Story {
    older: SimDisk,
    current: SimDisk,
}

fn story(seed: u64, name: &str) -> Story {
    let disk = SimDisk::new(seed);
    let db = open(&disk).unwrap();
    put(&db, &format!("{name}a"));
    db.checkpoint().unwrap();
    put(&db, &format!("{name}b"));
    db.close().unwrap();
    let older = disk.kill();
    let db = open(&disk).unwrap();
    put(&db, &format!("{name}c"));
    // A checkpoint that keeps no segment of the log to be used again, either.
    db.compact().unwrap();
    put(&db, &format!("{name}d"));
    Story { older, current: disk.kill() }
}

fn model(disk: &SimDisk) -> Model {
    contents(&open(&disk.kill()).unwrap().default_tree()).unwrap()
}

/// Whether a file is of the kind that begins so. The mark is no segment.
fn is_of(name: &str, kind: &str) -> bool {
    name.starts_with(kind)
}

fn copy(from: &SimDisk, to: &SimDisk, kind: &str) {
    for name in from.list().unwrap().iter().filter(|name| is_of(name, kind)) {
        to.put(name, from.contents(name).as_deref());
    }
}

/// Changes the newest file of a kind.
fn change(disk: &SimDisk, kind: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let names = disk.list().unwrap();
    let newest = names.iter().rfind(|name| is_of(name, kind)).expect("there is one");
    let mut bytes = disk.contents(newest).unwrap();
    change(&mut bytes);
    disk.put(newest, Some(&bytes));
}

/// Offset behind the last byte that is not zero.
fn end_of(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1)
}

/// Puts the files of one kind on the disk as the case has them.
fn place(disk: &SimDisk, kind: &str, is: Is, [story, other]: [&Story; 2]) {
    match is {
        Is::Gone => {}
        Is::Older => copy(&story.older, disk, kind),
        Is::Foreign => copy(&other.current, disk, kind),
        Is::Current | Is::Torn | Is::Damaged => copy(&story.current, disk, kind),
    }
    match (is, kind) {
        // A record that was never whole, and one whose end is lost.
        (Is::Torn, "MANIFEST") => change(disk, kind, |bytes| bytes.extend_from_slice(&[0xEE; 100])),
        (Is::Torn, "LOG-") => change(disk, kind, |bytes| {
            let end = end_of(bytes);
            bytes[end - 100..end].fill(0);
        }),
        (Is::Torn, "LOG.mark") => change(disk, kind, |bytes| {
            let half = bytes.len() / 2;
            // The sequence stands at this offset; the larger one is the newer.
            let sequence =
                |at: usize| bytes[at + 32..at + 40].iter().rev().copied().collect::<Vec<_>>();
            let older = if sequence(0) > sequence(half) { half } else { 0 };
            bytes[older..older + half].fill(0xEE);
        }),
        // What a checkpoint that did not come to its end wrote, beyond all extents that count.
        (Is::Torn, "DATA") => change(disk, kind, |bytes| bytes.extend_from_slice(&[0xEE; 5000])),
        (Is::Damaged, "DATA") => change(disk, kind, |bytes| {
            let end = end_of(bytes);
            bytes[end - 2000] ^= 0x40;
        }),
        (Is::Damaged, "LOG-") => change(disk, kind, |bytes| {
            // In the fourth of the last ten records.
            let end = end_of(bytes);
            bytes[end - 6 * 550] ^= 0x40;
        }),
        (Is::Damaged, "LOG.mark") => change(disk, kind, |bytes| {
            let half = bytes.len() / 2;
            bytes[20] ^= 0x40;
            bytes[half + 20] ^= 0x40;
        }),
        (Is::Damaged, _) => change(disk, kind, |bytes| bytes[100] ^= 0x40),
        _ => {}
    }
}

const KINDS: [&str; 4] = ["MANIFEST", "DATA", "LOG-", "LOG.mark"];

fn cases() -> impl Iterator<Item = Case> {
    let files = ALL.iter().flat_map(|&manifest| ALL.iter().map(move |&data| (manifest, data)));
    files.flat_map(|(manifest, data)| {
        ALL.iter()
            .flat_map(move |&log| ALL.iter().map(move |&mark| Case { manifest, data, log, mark }))
    })
}

/// Opens what is there and reads all of it; an error is a refusal, and so is what a verification finds.
fn look(disk: &SimDisk) -> Result<Model, String> {
    let db = open(disk).map_err(|error| {
        // The last one is of a frame that the log's records change.
        let typed = matches!(
            error,
            Error::Damaged { .. }
                | Error::Journal(_)
                | Error::Foreign { .. }
                | Error::Tree(TreeError::Source { .. })
        );
        assert!(typed, "{error:?}");
        error.to_string()
    })?;
    let found = contents(&db.default_tree()).map_err(|error| error.to_string())?;
    let faults = db.verify().unwrap().faults;
    if faults.is_empty() { Ok(found) } else { Err(format!("{faults:?}")) }
}

#[test]
fn every_combination_of_files_is_decided_as_the_table_says() {
    let (this, other) = (story(1, "this/"), story(2, "other/"));
    let whole = model(&this.current);
    let mut but_last = whole.clone();
    but_last.remove(&b"this/d9"[..]).expect("the last record");
    let (earlier, foreign) = (model(&this.older), model(&other.current));
    assert_eq!([whole.len(), earlier.len(), foreign.len()], [40, 20, 40]);
    let mut unused: BTreeSet<&str> = ROWS.iter().map(|row| row.label).collect();
    for case in cases() {
        let disk = SimDisk::new(3);
        copy(&this.current, &disk, "LOCK");
        let kinds = KINDS.into_iter().zip([case.manifest, case.data, case.log, case.mark]);
        kinds.for_each(|(kind, is)| place(&disk, kind, is, [&this, &other]));
        let row = ROWS.iter().find(|row| (row.holds)(&case)).expect("the last row always holds");
        unused.remove(row.label);
        let before = files(&disk);
        let found = look(&disk);
        let expected = match row.decision {
            Decision::Whole => Some(&whole),
            Decision::AllButLast => Some(&but_last),
            Decision::Earlier => Some(&earlier),
            Decision::Other => Some(&foreign),
            Decision::New => Some(const { &Model::new() }),
            Decision::Refused => None,
        };
        let names = found.as_ref().map(|found| found.len());
        assert!(found.as_ref().ok() == expected, "{case:?}, {}: {names:?}", row.label);
        if expected.is_none() {
            assert!(files(&disk) == before, "{case:?}: the refusal has changed something");
        }
    }
    assert!(unused.is_empty(), "rows that never decide: {unused:?}");
}

fn files(disk: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    disk.list().unwrap().into_iter().map(|name| (name.clone(), disk.contents(&name))).collect()
}
