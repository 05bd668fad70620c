//! The table of recovery: every combination of evidence, decided and then built on a disk.

use holt_codec::{Commit, DbId, ManifestHeader, Mark, RecordSite};

use super::super::recovery::{
    DataEvidence, Decision, Evidence, ManifestEvidence, MarkEvidence, ROWS, decide,
};
use super::*;

const MANIFESTS: [ManifestEvidence; 5] = [
    ManifestEvidence::Absent,
    ManifestEvidence::Newer,
    ManifestEvidence::Damaged,
    ManifestEvidence::Torn,
    ManifestEvidence::Clean,
];
const DATA: [DataEvidence; 5] = [
    DataEvidence::Absent,
    DataEvidence::Newer,
    DataEvidence::Bare,
    DataEvidence::Unmarked,
    DataEvidence::Marked,
];
const MARKS: [MarkEvidence; 6] = [
    MarkEvidence::None,
    MarkEvidence::Foreign,
    MarkEvidence::Behind,
    MarkEvidence::Same,
    MarkEvidence::Other,
    MarkEvidence::Ahead,
];

/// Every combination, also those that no directory can show.
fn combinations() -> impl Iterator<Item = Evidence> {
    let with_marks = MANIFESTS.iter().flat_map(|&manifest| {
        DATA.iter().flat_map(move |&data| MARKS.iter().map(move |&mark| (manifest, data, mark)))
    });
    with_marks.flat_map(|(manifest, data, mark)| {
        [(false, false), (false, true), (true, false), (true, true)]
            .map(|(reaches, others)| Evidence { manifest, data, mark, reaches, others })
    })
}

#[test]
fn every_combination_is_decided_and_every_row_decides_some() {
    let mut unused: BTreeSet<&str> = ROWS.iter().map(|row| row.label).collect();
    for evidence in combinations() {
        let row = decide(&evidence);
        unused.remove(row.label);
        let e = evidence;
        // What must hold of any table, said without it.
        let readable = matches!(e.manifest, ManifestEvidence::Clean | ManifestEvidence::Torn);
        let compatible = matches!(e.mark, MarkEvidence::Behind | MarkEvidence::Same);
        let has_data = !matches!(e.data, DataEvidence::Absent | DataEvidence::Newer);
        let opens = matches!(row.decision, Decision::Open { .. });
        assert_eq!(
            opens,
            readable && compatible && has_data && e.reaches,
            "{evidence:?}: {} ({})",
            row.label,
            row.cause
        );
        if let Decision::Open { proven } = row.decision {
            assert_eq!(proven, e.mark == MarkEvidence::Same, "{evidence:?}: {}", row.label);
        }
        let fresh = e.manifest == ManifestEvidence::Absent
            && matches!(e.data, DataEvidence::Absent | DataEvidence::Bare)
            && !e.others;
        assert_eq!(row.decision == Decision::NoStore, fresh, "{evidence:?}: {}", row.label);
    }
    assert!(unused.is_empty(), "rows that never decide: {unused:?}");
}

/// Whether files can be made that show this.
fn possible(e: &Evidence) -> bool {
    let readable = matches!(e.manifest, ManifestEvidence::Clean | ManifestEvidence::Torn);
    let comparable = readable && matches!(e.data, DataEvidence::Bare | DataEvidence::Marked);
    let mark = match e.mark {
        // A bare file without a mark, or with nothing to compare it to.
        MarkEvidence::None => !(readable && e.data == DataEvidence::Marked),
        // A bare file's marks name no commit, so they are behind any.
        MarkEvidence::Behind => comparable,
        MarkEvidence::Foreign => comparable,
        MarkEvidence::Same | MarkEvidence::Other | MarkEvidence::Ahead => {
            comparable && e.data == DataEvidence::Marked
        }
    };
    // Only a state with extents can be longer than a file; a missing file has no length.
    let reaches = e.reaches || readable && e.data != DataEvidence::Absent;
    mark && reaches
}

const DB: DbId = DbId([1; 16]);
const NUMBER: u64 = 4;

/// The manifest that the evidence describes. Its state has one extent, of three units in the
/// data file or reaching beyond it.
fn manifest(e: &Evidence) -> (Vec<u8>, u32) {
    let header = ManifestHeader { db: DB, number: NUMBER, predecessor: 3, salt: [2; 16] };
    let mapping =
        |len| holt_codec::Mapping { object: 6, generation: 5, offset: FIRST, len, checksum: 0 };
    let changed = match (e.data, e.reaches) {
        (DataEvidence::Bare, true) => vec![],
        (_, true) => vec![mapping(9000)],
        (_, false) => vec![mapping(90_000)],
    };
    let base = Commit {
        base: true,
        sequence: 10,
        generation: 20,
        log_address: LOG_START,
        meta: vec![],
        changed,
        freed: vec![],
    };
    let delta =
        Commit { base: false, sequence: 11, generation: 21, changed: vec![], ..base.clone() };
    let mut bytes = header.encode().to_vec();
    let site = RecordSite { header: &header, offset: 64, previous: 0 };
    let first = base.encode(site, &mut bytes).unwrap();
    let second_at = bytes.len();
    let site = RecordSite { header: &header, offset: second_at as u64, previous: first };
    let second = delta.encode(site, &mut bytes).unwrap();
    match e.manifest {
        ManifestEvidence::Torn => bytes.extend_from_slice(&[0xEE; 100]),
        ManifestEvidence::Damaged => bytes[second_at - 1] ^= 1,
        ManifestEvidence::Newer => bytes[8] = 2,
        ManifestEvidence::Absent | ManifestEvidence::Clean => {}
    }
    (bytes, second)
}

/// The data file that the evidence describes.
fn data(e: &Evidence, record_checksum: u32) -> Option<Vec<u8>> {
    let same = Mark { db: DB, sequence: 11, manifest: NUMBER, record_checksum, generation: 21 };
    let empty = Mark { sequence: 0, manifest: 0, record_checksum: 0, generation: 0, ..same };
    let mark = match (e.data, e.mark) {
        (DataEvidence::Absent, _) => return None,
        (_, MarkEvidence::Foreign) if e.data == DataEvidence::Bare => {
            Mark { db: DbId([9; 16]), ..empty }
        }
        (_, MarkEvidence::Foreign) => Mark { db: DbId([9; 16]), ..same },
        (DataEvidence::Bare, _) | (_, MarkEvidence::Behind) => empty,
        (_, MarkEvidence::Other) => Mark { record_checksum: !record_checksum, ..same },
        (_, MarkEvidence::Ahead) => Mark { sequence: 12, ..same },
        (_, MarkEvidence::None | MarkEvidence::Same) => same,
    };
    let mut bytes = vec![0; FIRST as usize];
    let unmarked = e.data == DataEvidence::Unmarked
        || e.data == DataEvidence::Bare && e.mark == MarkEvidence::None;
    // One slot is torn, as it may be at any time.
    let slots: &[usize] = match (e.data, unmarked) {
        (_, true) => &[],
        (DataEvidence::Newer, _) => &[0, 1],
        _ => &[1],
    };
    for slot in slots {
        let at = slot * EXTENT_UNIT as usize;
        bytes[at..at + 64].copy_from_slice(&mark.encode());
        if e.data == DataEvidence::Newer {
            bytes[at + 8] = 7;
        }
    }
    if e.data != DataEvidence::Bare {
        bytes.resize(FIRST as usize + 3 * EXTENT_UNIT as usize, 0);
    }
    Some(bytes)
}

#[test]
fn every_possible_combination_is_recognised_on_a_disk_and_treated_by_the_table() {
    let mut seen = 0;
    for evidence in combinations().filter(possible) {
        seen += 1;
        let e = &evidence;
        let disk = SimDisk::new(1);
        let (bytes, checksum) = manifest(e);
        if e.manifest != ManifestEvidence::Absent {
            disk.put(&super::super::manifest_file::manifest_name(NUMBER), Some(&bytes));
        }
        disk.put("DATA", data(e, checksum).as_deref());
        if e.others {
            disk.put("0000000000001000.log", Some(b"a log"));
        }
        let row = decide(e);
        let context = format!("{e:?}: {} ({})", row.label, row.cause);
        let opened = open(&disk);
        let as_decided = match (row.decision, &opened) {
            (Decision::Open { proven }, Ok(store)) => {
                let writer = store.writer().unwrap();
                let appends = proven && e.manifest == ManifestEvidence::Clean;
                store.log_address() == LOG_START && writer.manifest.is_some() == appends
            }
            (Decision::NoStore, Err(Error::NoStore)) => true,
            (Decision::NewerManifest, Err(Error::Format { file, .. })) => file != "DATA",
            (Decision::NewerData, Err(Error::Format { file, .. })) => file == "DATA",
            (Decision::ManifestMissing, Err(Error::Missing { file, .. })) => file != "DATA",
            (Decision::DataMissing, Err(Error::Missing { file, .. })) => file == "DATA",
            (Decision::ForeignData, Err(Error::Foreign { found, .. })) => found.0 == [9; 16],
            (decision, Err(Error::Damaged { file, what, .. })) => match decision {
                Decision::ManifestDamaged => file != "DATA",
                Decision::NoMark => matches!(what, crate::Damage::NoMark(_)),
                Decision::LostCommit => {
                    *what == crate::Damage::LostCommit { found: 11, durable: 12 }
                }
                Decision::OtherCommit => *what == crate::Damage::OtherCommit { sequence: 11 },
                Decision::DataCutShort => matches!(what, crate::Damage::CutShort { .. }),
                _ => false,
            },
            _ => false,
        };
        assert!(as_decided, "{context}: {opened:?}");
        // A refusal changes nothing, and neither does a creation where something is.
        if !matches!(row.decision, Decision::NoStore) {
            disk.reset_counts();
            assert!(matches!(create(&disk), Err(Error::Occupied { .. })), "{context}");
            assert_eq!(disk.count(crate::disk::Target::Changes), 0, "{context}");
        }
    }
    assert!(seen > 60, "{seen} combinations");
}

#[test]
fn manifests_that_do_not_add_up_are_damage_despite_valid_checksums() {
    let header = ManifestHeader { db: DB, number: NUMBER, predecessor: 3, salt: [2; 16] };
    let mapping = |object, unit: u64, len| holt_codec::Mapping {
        object,
        generation: 1,
        offset: FIRST + unit * EXTENT_UNIT,
        len,
        checksum: 0,
    };
    let base = |changed| Commit {
        base: true,
        sequence: 1,
        generation: 1,
        log_address: LOG_START,
        meta: vec![],
        changed,
        freed: vec![],
    };
    let delta = |freed| Commit { base: false, sequence: 2, generation: 2, freed, ..base(vec![]) };
    let cases = [
        (vec![base(vec![mapping(1, 0, 9000), mapping(2, 2, 10)])], "overlap"),
        (vec![base(vec![mapping(1, 5, 10), mapping(2, 5, 10)])], "the same place"),
        (vec![base(vec![mapping(1, 0, 10)]), delta(vec![2])], "freed and never there"),
    ];
    for (commits, what) in cases {
        let mut bytes = header.encode().to_vec();
        let mut previous = 0;
        for commit in &commits {
            let site = RecordSite { header: &header, offset: bytes.len() as u64, previous };
            previous = commit.encode(site, &mut bytes).unwrap();
        }
        let disk = SimDisk::new(1);
        disk.put(&super::super::manifest_file::manifest_name(NUMBER), Some(&bytes));
        let mark = Mark { db: DB, sequence: 0, manifest: 0, record_checksum: 0, generation: 0 };
        let mut data = vec![0; 100_000];
        data[..64].copy_from_slice(&mark.encode());
        disk.put("DATA", Some(&data));
        let opened = open(&disk);
        assert!(matches!(opened, Err(Error::Damaged { .. })), "{what}: {opened:?}");
        // Under another number it is not the file that it says it is.
        disk.put(&super::super::manifest_file::manifest_name(NUMBER), None);
        disk.put(&super::super::manifest_file::manifest_name(NUMBER + 1), Some(&bytes));
        assert!(matches!(open(&disk), Err(Error::Damaged { .. })), "{what}");
    }
}
