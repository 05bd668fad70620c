//! Round trips, damage at every bit, hostile fields under valid checksums, the golden file.

use proptest::prelude::*;

use super::*;

const HEADER: ManifestHeader =
    ManifestHeader { db: DbId([5; 16]), number: 3, predecessor: 2, salt: [6; 16] };

fn mapping(object: u64, generation: u64, unit: u64, len: u32) -> Mapping {
    let offset = FIRST_EXTENT + unit * EXTENT_UNIT;
    Mapping { object, generation, offset, len, checksum: object as u32 ^ 0x55 }
}

fn commits() -> Vec<Commit> {
    let base = Commit {
        base: true,
        sequence: 9,
        generation: 20,
        log_address: 4096,
        meta: b"root 7".to_vec(),
        changed: vec![mapping(1, 4, 0, 100), mapping(2, 20, 1, 5000), mapping(9, 3, 3, 0)],
        freed: vec![],
    };
    let delta = Commit {
        base: false,
        sequence: 10,
        generation: 22,
        log_address: 8192,
        meta: vec![],
        changed: vec![mapping(2, 22, 7, 70_000)],
        freed: vec![1, 9],
    };
    let address_only = Commit {
        sequence: 11,
        generation: 23,
        log_address: 9000,
        meta: b"8 bytes!".to_vec(),
        changed: vec![],
        freed: vec![],
        ..delta.clone()
    };
    vec![base, delta, address_only]
}

/// A file of these commits, encoded as they are.
fn file(commits: &[Commit]) -> Vec<u8> {
    let mut bytes = HEADER.encode().to_vec();
    let mut previous = 0;
    for commit in commits {
        let site = RecordSite { header: &HEADER, offset: bytes.len() as u64, previous };
        previous = commit.encode(site, &mut bytes).unwrap();
    }
    bytes
}

/// Offsets at which the records of [`file`] begin, and its end.
fn boundaries(commits: &[Commit]) -> Vec<usize> {
    (0..=commits.len()).map(|n| file(&commits[..n]).len()).collect()
}

/// Changes bytes of the record at `at` and makes its checksum right again.
fn forge(bytes: &mut [u8], at: usize, change: impl FnOnce(&mut [u8])) {
    let record = &mut bytes[at..];
    change(record);
    let end = (u32_at(record, LENGTH) as usize).clamp(RECORD_HEADER_LEN, record.len());
    let checksum = record_checksum(&HEADER, at as u64, &record[..end]);
    put(record, CHECKSUM, checksum.to_le_bytes());
}

#[test]
fn a_file_reads_back() {
    let manifest = Manifest::decode(&file(&commits())).unwrap();
    assert_eq!(manifest.header, HEADER);
    assert_eq!(manifest.commits, commits());
    assert_eq!(manifest.end, ManifestEnd::Clean);
    assert_eq!(manifest.end_offset as usize, file(&commits()).len());
}

#[test]
fn an_extent_takes_whole_units_for_header_and_payload() {
    let units = |len| mapping(1, 1, 0, len).units();
    let room = (EXTENT_UNIT as usize - IMAGE_HEADER_LEN) as u32;
    assert_eq!([units(0), units(room), units(room + 1)], [1, 1, 2]);
    assert_eq!(mapping(1, 1, 3, room + 1).end(), FIRST_EXTENT + 5 * EXTENT_UNIT);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = file(&commits());
    let last = boundaries(&commits())[2];
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match Manifest::decode(&flipped) {
            Err(_) => assert!(bit / 8 < last, "bit {bit} is in the last record"),
            Ok(manifest) => {
                assert!(bit / 8 >= last, "bit {bit} has a valid record behind it");
                assert_eq!(manifest.commits, commits()[..2]);
                assert!(matches!(manifest.end, ManifestEnd::Torn { .. }), "bit {bit}");
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_keeps_the_records_before_the_cut() {
    let (bytes, boundaries) = (file(&commits()), boundaries(&commits()));
    for len in 0..bytes.len() {
        // What a growth without content leaves is a hole, not a cut.
        let mut hole = bytes[..len].to_vec();
        hole.resize(bytes.len() + 40, 0);
        for cut in [&bytes[..len], &hole] {
            // Zeros may happen to complete a record: it ends with zeros itself.
            let whole = boundaries.iter().rposition(|&b| cut.get(..b) == Some(&bytes[..b]));
            match (Manifest::decode(cut), whole) {
                (Err(_), None | Some(0)) => {}
                (Ok(manifest), Some(n @ 1..)) => {
                    assert_eq!(manifest.commits, commits()[..n], "{len}");
                    let clean = boundaries.contains(&cut.len());
                    assert_eq!(manifest.end == ManifestEnd::Clean, clean, "{len}");
                }
                (read, _) => panic!("{len} bytes: {read:?}"),
            }
        }
    }
}

#[test]
fn a_valid_record_behind_a_damaged_one_is_damage() {
    let mut bytes = file(&commits());
    let second = boundaries(&commits())[1];
    // Even the length is gone, so the next record is not where the damaged one says.
    bytes[second..second + 16].fill(0xEE);
    let (offset, _) = Manifest::decode(&bytes).unwrap_err();
    assert_eq!(offset as usize, second);
}

#[test]
fn records_of_another_file_or_place_do_not_pass() {
    let (bytes, boundaries) = (file(&commits()), boundaries(&commits()));
    let other = ManifestHeader { salt: [7; 16], ..HEADER };
    let mut moved = other.encode().to_vec();
    moved.extend_from_slice(&bytes[MANIFEST_HEADER_LEN..]);
    assert!(matches!(Manifest::decode(&moved), Err((64, Error::Checksum { .. }))));

    // The base twice: the second copy is in the wrong place.
    let mut twice = bytes[..boundaries[1]].to_vec();
    twice.extend_from_slice(&bytes[boundaries[0]..boundaries[1]]);
    let manifest = Manifest::decode(&twice).unwrap();
    assert_eq!(manifest.commits.len(), 1);
    assert!(matches!(manifest.end, ManifestEnd::Torn { why: Error::Checksum { .. } }));
}

#[test]
fn a_record_that_does_not_follow_the_one_before_is_damage() {
    let mut bytes = file(&commits());
    let second = boundaries(&commits())[1];
    forge(&mut bytes, second, |record| record[PREVIOUS] ^= 1);
    let (offset, error) = Manifest::decode(&bytes).unwrap_err();
    assert_eq!(offset as usize, second);
    assert!(matches!(error, Error::Misplaced { .. }), "{error}");
}

#[test]
fn hostile_fields_with_a_valid_checksum_are_refused() {
    let base = boundaries(&commits())[0];
    let first_mapping = RECORD_HEADER_LEN;
    type Change<'a> = (&'a str, usize, &'a [u8]);
    let changes: &[Change<'_>] = &[
        ("kind", KIND, &[0]),
        ("delta first", KIND, &[KIND_DELTA]),
        ("reserved", KIND + 2, &[1]),
        ("reserved", RESERVED, &[1]),
        ("length over the file", LENGTH, &u32::MAX.to_le_bytes()),
        ("length over the file, aligned", LENGTH, &(u32::MAX - 7).to_le_bytes()),
        ("length of nothing", LENGTH, &[0; 4]),
        ("length not aligned", LENGTH, &57_u32.to_le_bytes()),
        ("length too short for the counts", LENGTH, &56_u32.to_le_bytes()),
        ("mappings", MAPPINGS, &u32::MAX.to_le_bytes()),
        ("freed", FREED, &u32::MAX.to_le_bytes()),
        ("freed in a base", FREED, &[1]),
        ("meta", META_LEN, &u32::MAX.to_le_bytes()),
        ("meta over its padding", META_LEN, &[9]),
        ("padding not zero", META_LEN, &[5]),
        ("sequence 0", SEQUENCE, &[0; 8]),
        ("sequence at the end of its range", SEQUENCE, &u64::MAX.to_le_bytes()),
        ("generation at the end of its range", GENERATION, &u64::MAX.to_le_bytes()),
        ("image newer than the commit", GENERATION, &[3, 0, 0, 0, 0, 0, 0, 0]),
        ("objects out of order", first_mapping, &[2]),
        ("offset not aligned", first_mapping + 16, &[1]),
        ("offset on the marks", first_mapping + 16, &[0; 8]),
        ("offset beyond files", first_mapping + 16, &0x7FFF_FFFF_FFFF_F000_u64.to_le_bytes()),
        ("offset near 2^64", first_mapping + 16, &0xFFFF_FFFF_FFFF_F000_u64.to_le_bytes()),
        ("image length", first_mapping + 24, &u32::MAX.to_le_bytes()),
    ];
    for (what, at, value) in changes {
        let mut bytes = file(&commits()[..1]);
        forge(&mut bytes, base, |record| record[*at..*at + value.len()].copy_from_slice(value));
        let read = Manifest::decode(&bytes);
        assert!(read.is_err(), "{what}: {read:?}");
    }
}

#[test]
fn commits_out_of_line_are_refused() {
    let [base, delta, _] = commits().try_into().unwrap();
    let follow = |change: fn(&mut Commit)| {
        let mut next = delta.clone();
        change(&mut next);
        // Sorted and whole in itself; only its relation to the base is wrong.
        Manifest::decode(&file(&[base.clone(), next]))
    };
    assert!(follow(|_| {}).is_ok());
    assert!(follow(|c| c.sequence += 1).is_err());
    assert!(follow(|c| c.sequence -= 1).is_err());
    assert!(follow(|c| (c.generation, c.changed) = (20, vec![])).is_err());
    assert!(follow(|c| c.log_address = 4095).is_err());
    assert!(follow(|c| (c.base, c.freed) = (true, vec![])).is_err());
}

#[test]
fn what_would_not_read_back_is_not_written() {
    let [base, delta, _] = commits().try_into().unwrap();
    let refused = |commit: Commit| {
        let mut out = b"kept".to_vec();
        let site = RecordSite { header: &HEADER, offset: 64, previous: 0 };
        assert!(commit.encode(site, &mut out).is_err(), "{commit:?}");
        assert_eq!(out, b"kept");
    };
    let mut swapped = base.clone();
    swapped.changed.swap(0, 1);
    refused(swapped);
    refused(Commit { freed: vec![5], ..base.clone() });
    refused(Commit { freed: vec![9, 1], ..delta.clone() });
    refused(Commit { freed: vec![2], ..delta.clone() });
    refused(Commit { freed: vec![1, 1], ..delta.clone() });
    refused(Commit { sequence: 0, ..base });
}

#[test]
fn bytes_made_to_look_like_records_cost_no_more_than_the_file() {
    // Behind a damaged record, every 32 bytes begin a plausible record that reaches to the end.
    let mut bytes = file(&commits()[..1]);
    let start = bytes.len();
    bytes.resize(start + (1 << 20), 0);
    let end = bytes.len();
    for at in (start..end - RECORD_HEADER_LEN).step_by(32) {
        put(&mut bytes, at + LENGTH, ((end - at) as u32 & !7).to_le_bytes());
        bytes[at + KIND] = KIND_DELTA;
    }
    // Without the bound this sums 16 GiB. Giving up means damage, not a torn tail.
    assert!(Manifest::decode(&bytes).is_err());
}

#[test]
fn a_header_names_what_is_wrong() {
    let with = |header: ManifestHeader| ManifestHeader::decode(&header.encode());
    assert_eq!(with(HEADER), Ok(HEADER));
    assert!(matches!(
        with(ManifestHeader { predecessor: 3, ..HEADER }),
        Err(Error::Malformed { .. })
    ));
    assert!(matches!(with(ManifestHeader { number: 0, ..HEADER }), Err(Error::Malformed { .. })));
    let last = ManifestHeader { number: u64::MAX, ..HEADER };
    assert!(matches!(with(last), Err(Error::Malformed { .. })));
    let mut newer = HEADER.encode();
    newer[VERSION] = 2;
    let what = "the manifest";
    assert_eq!(
        ManifestHeader::decode(&newer),
        Err(Error::Version { what, found: 2, supported: 1 })
    );
    assert!(matches!(ManifestHeader::decode(b"HOLTMANI"), Err(Error::CutShort { .. })));
    assert!(matches!(ManifestHeader::decode(&[0; 64]), Err(Error::Magic { .. })));
}

/// Format version 1 as it was first written, by
/// `HOLT_WRITE_GOLDEN=1 cargo test -p holt-codec the_golden_manifest`.
#[test]
fn the_golden_manifest_of_version_1_opens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/manifest-v1.bin");
    if std::env::var_os("HOLT_WRITE_GOLDEN").is_some() {
        std::fs::write(path, file(&commits())).unwrap();
    }
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(Manifest::decode(&bytes).unwrap().commits, commits());
    assert_eq!(bytes, file(&commits()), "version 1 is still written as it was");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Edits with the checksums made right again reach every check behind them.
    #[test]
    fn edited_records_give_an_error_or_a_state_and_never_a_panic(
        edits in proptest::collection::vec((0..3_usize, any::<usize>(), any::<u8>()), 1..6),
        fix in any::<bool>(),
    ) {
        let mut bytes = file(&commits());
        let boundaries = boundaries(&commits());
        for (record, at, value) in edits {
            let (start, end) = (boundaries[record], boundaries[record + 1]);
            let at = CHECKSUM + 4 + at % (end - start - 4);
            forge(&mut bytes, start, |record| record[at] = value);
            if !fix {
                bytes[start] ^= 1;
            }
        }
        if let Ok(manifest) = Manifest::decode(&bytes) {
            // Whatever passes can be written again, and reads as the same.
            prop_assert_eq!(Manifest::decode(&file(&manifest.commits)).unwrap().commits, manifest.commits);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_manifest_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Manifest::decode(&bytes).is_err());
        let site = RecordSite { header: &HEADER, offset: 64, previous: 0 };
        prop_assert!(Commit::decode(&bytes, site).is_err());
        let _ = crate::ImageHeader::decode(&bytes);
        prop_assert!(crate::Mark::decode(&bytes).is_err());
    }
}
