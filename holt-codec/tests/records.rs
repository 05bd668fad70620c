//! Records survive the way to bytes and back, and nothing else passes for one.

use holt_codec::{
    Batch, BatchBuf, Error, GRANULE, HEADER_LEN, Kind, MAX_KEY, MAX_RECORD, MAX_VALUE, Op, Record,
    RecordHeader, Seed,
};
use proptest::prelude::*;

const SEED_SALT: u64 = 0x5eed_5eed_5eed_5eed;
const ADDRESS: u64 = (5 << 35) + 4096;

fn encode(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(Seed::new(SEED_SALT), ADDRESS, ADDRESS - 64, &mut out);
    out
}

fn decode(bytes: &[u8]) -> Result<Record<'_>, Error> {
    Record::decode(Seed::new(SEED_SALT), ADDRESS, bytes)
}

/// An operation with strings of its own.
#[derive(Debug, Clone)]
enum Owned {
    Put(u64, Vec<u8>, Vec<u8>),
    Delete(u64, Vec<u8>),
    Rename(u64, Vec<u8>, Vec<u8>),
    RenamePrefix(u64, Vec<u8>, Vec<u8>, bool),
    DeletePrefix(u64, Vec<u8>),
}

impl Owned {
    fn op(&self) -> Op<'_> {
        match self {
            Owned::Put(tree, key, value) => Op::Put { tree: *tree, key, value },
            Owned::Delete(tree, key) => Op::Delete { tree: *tree, key },
            Owned::Rename(tree, from, to) => Op::Rename { tree: *tree, from, to },
            Owned::RenamePrefix(tree, from, to, replace) => {
                Op::RenamePrefix { tree: *tree, from, to, replace: *replace }
            }
            Owned::DeletePrefix(tree, prefix) => Op::DeletePrefix { tree: *tree, prefix },
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let tree = prop_oneof![0..3u64, any::<u64>()];
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let long =
        prop_oneof![9 => bytes().boxed(), 1 => prop::collection::vec(any::<u8>(), 0..5000).boxed()];
    (0..5u8, tree, bytes(), long, any::<bool>()).prop_map(|(kind, tree, a, b, flag)| match kind {
        0 => Owned::Put(tree, a, b),
        1 => Owned::Delete(tree, a),
        2 => Owned::Rename(tree, a, b),
        3 => Owned::RenamePrefix(tree, a, b, flag),
        _ => Owned::DeletePrefix(tree, a),
    })
}

fn check_round_trip(record: &Record<'_>) {
    let bytes = encode(record);
    assert_eq!(bytes.len(), record.encoded_len().unwrap());
    assert!(bytes.len().is_multiple_of(GRANULE));
    assert_eq!(&decode(&bytes).unwrap(), record);
    let header = RecordHeader::parse(ADDRESS, &bytes).unwrap();
    assert_eq!(
        (header.kind(), header.len(), header.synced()),
        (record.kind(), bytes.len(), Some(ADDRESS - 64))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_operation_comes_back_as_it_was(op in owned()) {
        check_round_trip(&Record::Op(op.op()));
    }

    #[test]
    fn every_batch_comes_back_whole_and_in_order(ops in prop::collection::vec(owned(), 1..40)) {
        let mut batch = BatchBuf::new();
        for op in &ops {
            batch.push(&op.op()).unwrap();
        }
        let record = Record::Batch(batch.as_batch().unwrap());
        check_round_trip(&record);
        let bytes = encode(&record);
        let Record::Batch(found) = decode(&bytes).unwrap() else { panic!("not a batch") };
        let found: Vec<Op<'_>> = found.ops().collect::<Result<_, _>>().unwrap();
        let expected: Vec<Op<'_>> = ops.iter().map(Owned::op).collect();
        prop_assert_eq!(&found, &expected);
        // The version of an operation is the record's granule plus its index: never the next record's.
        prop_assert!(bytes.len() / GRANULE > found.len());
    }

    #[test]
    fn arbitrary_bytes_are_an_error_and_nothing_worse(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        shape in any::<[u8; 4]>(),
    ) {
        let _ = decode(&bytes);
        // With a right checksum as well, so that the body's decoder is reached.
        if bytes.len() >= 24 {
            let len = bytes.len() / GRANULE * GRANULE;
            bytes.truncate(len);
            seal(&mut bytes, shape[0] % 14);
            let _ = decode(&bytes);
            if let Ok(record) = decode(&bytes) {
                prop_assert_eq!(encode_as(&record, &bytes), bytes, "two encodings of one record");
            }
        }
    }
}

/// Gives arbitrary bytes a right header.
fn seal(bytes: &mut [u8], kind: u8) {
    let granules = (bytes.len() / GRANULE) as u32;
    bytes[4..8].copy_from_slice(&granules.to_le_bytes());
    bytes[7] = kind;
    bytes[8..12].copy_from_slice(&((ADDRESS / 8) as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&8u32.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&SEED_SALT.to_le_bytes());
    sum.update(&ADDRESS.to_le_bytes());
    sum.update(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.finalize().to_le_bytes());
}

fn encode_as(record: &Record<'_>, like: &[u8]) -> Vec<u8> {
    let bytes = encode(record);
    assert_eq!(bytes.len(), like.len());
    bytes
}

#[test]
fn the_other_records_come_back_as_they_were() {
    for record in [
        Record::CreateTree { tree: 1, name: b"" },
        Record::CreateTree { tree: u64::MAX, name: &[0xff; MAX_KEY] },
        Record::DropTree { tree: 127 },
        Record::DropTree { tree: 128 },
        Record::RenameTree { tree: 3, name: b"tenants" },
        Record::CleanEnd,
    ] {
        check_round_trip(&record);
    }
    for len in [16, 24, 4096, 4112, 4120, 1 << 20] {
        check_round_trip(&Record::Skip { len });
    }
}

#[test]
fn the_largest_put_fits_and_one_byte_more_is_refused() {
    let (key, value) = (vec![7; MAX_KEY + 1], vec![8; MAX_VALUE + 1]);
    check_round_trip(&Op::Put { tree: u64::MAX, key: &key[1..], value: &value[1..] }.into());
    let long_key = Record::from(Op::Put { tree: 0, key: &key, value: b"" });
    assert_eq!(long_key.encoded_len(), Err(Error::KeyTooLong { len: MAX_KEY as u64 + 1 }));
    let long_value = Record::from(Op::Put { tree: 0, key: b"", value: &value });
    assert_eq!(long_value.encoded_len(), Err(Error::ValueTooLong { len: MAX_VALUE as u64 + 1 }));
}

#[test]
fn a_batch_stops_at_the_limit_and_stays_usable() {
    let value = vec![1; MAX_VALUE - 4096];
    let mut batch = BatchBuf::new();
    batch.push(&Op::Put { tree: 1, key: b"a", value: &value }).unwrap();
    batch.push(&Op::Put { tree: 1, key: b"b", value: &value }).unwrap();
    let before = batch.clone();
    let refused = batch.push(&Op::Put { tree: 1, key: b"c", value: &value });
    assert!(matches!(refused, Err(Error::RecordTooLong { .. })));
    assert_eq!(batch, before);
    batch.push(&Op::Delete { tree: 1, key: b"c" }).unwrap();
    let record = Record::Batch(batch.as_batch().unwrap());
    assert!(record.encoded_len().unwrap() <= MAX_RECORD);
    batch.clear();
    assert_eq!(batch.as_batch(), Err(Error::EmptyBatch));
}

#[test]
fn a_record_costs_at_most_thirty_two_bytes_beside_its_payload() {
    for (key_len, value_len) in
        [(0, 0), (1, 0), (20, 100), (127, 128), (300, 20_000), (MAX_KEY, 5000)]
    {
        for tree in [0, 127, 128, 1 << 13] {
            let (key, value) = (vec![1; key_len], vec![2; value_len]);
            let len =
                Record::from(Op::Put { tree, key: &key, value: &value }).encoded_len().unwrap();
            assert!(len <= key_len + value_len + 32, "{len} for {key_len} + {value_len}");
        }
    }
}

/// One record of every kind, small, and one that is longer than the stage on the stack.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let long = [0x5a; 700];
    let mut batch = BatchBuf::new();
    batch.push(&Op::Put { tree: 300, key: b"a", value: b"1" }).unwrap();
    batch.push(&Op::RenamePrefix { tree: 1, from: b"x/", to: b"y/", replace: true }).unwrap();
    batch.push(&Op::Delete { tree: 1, key: b"gone" }).unwrap();
    let batch: Batch<'_> = batch.as_batch().unwrap();
    let records = [
        ("put", Record::from(Op::Put { tree: 1, key: b"dir/file", value: b"value" })),
        ("long put", Record::from(Op::Put { tree: 1, key: b"k", value: &long })),
        ("delete", Record::from(Op::Delete { tree: 2, key: b"dir/file" })),
        ("rename", Record::from(Op::Rename { tree: 3, from: b"from", to: b"to" })),
        (
            "rename prefix",
            Record::from(Op::RenamePrefix { tree: 4, from: b"a/", to: b"b/", replace: false }),
        ),
        ("delete prefix", Record::from(Op::DeletePrefix { tree: 5, prefix: b"tmp/" })),
        ("batch", Record::Batch(batch)),
        ("create tree", Record::CreateTree { tree: 6, name: b"objects" }),
        ("drop tree", Record::DropTree { tree: 7 }),
        ("rename tree", Record::RenameTree { tree: 8, name: b"blobs" }),
        ("skip", Record::Skip { len: 48 }),
        ("clean end", Record::CleanEnd),
    ];
    records.iter().map(|(name, record)| (*name, encode(record))).collect()
}

#[test]
fn every_flipped_bit_of_every_kind_of_record_is_noticed() {
    for (name, good) in samples() {
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "{name}: bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn a_record_cut_anywhere_is_an_error() {
    for (name, good) in samples() {
        for len in 0..good.len() {
            assert!(decode(&good[..len]).is_err(), "{name} cut to {len}");
        }
    }
}

#[test]
fn a_record_is_nothing_at_another_address_or_under_another_salt() {
    for (name, good) in samples() {
        for address in [ADDRESS + 8, ADDRESS - 4096, ADDRESS + (1 << 35), ADDRESS - (1 << 35)] {
            assert!(Record::decode(Seed::new(SEED_SALT), address, &good).is_err(), "{name}");
        }
        assert!(Record::decode(Seed::new(SEED_SALT + 1), ADDRESS, &good).is_err(), "{name}");
    }
}

#[test]
fn bodies_that_break_the_format_are_refused_despite_a_good_checksum() {
    let mut cases: Vec<(&str, u8, Vec<u8>)> = vec![
        ("a skip with something in it", Kind::Skip as u8, vec![0, 0, 0, 1, 0, 0, 0, 0]),
        ("a clean end with a body", Kind::CleanEnd as u8, vec![0; 8]),
        ("padding that is not zero", Kind::Delete as u8, vec![1, 1, b'k', 0, 0, 0, 0, 9]),
        ("a granule too much", Kind::Delete as u8, vec![1; 1].into_iter().chain([0; 15]).collect()),
        ("a key beyond the body", Kind::Delete as u8, vec![1, 7, b'k', 0, 0, 0, 0, 0]),
        ("a replace flag of 2", Kind::RenamePrefix as u8, vec![1, 2, 1, 1, b'a', b'b', 0, 0]),
        ("a batch of nothing", Kind::Batch as u8, vec![0; 8]),
        (
            "a batch of too many",
            Kind::Batch as u8,
            vec![9, 0, 0, 0, 0, 0, 0, 0, 4, 1, 1, b'k', 0, 0, 0, 0],
        ),
        (
            "a batch of a batch",
            Kind::Batch as u8,
            vec![1, 0, 0, 0, 0, 0, 0, 0, 8, 1, 1, b'k', 0, 0, 0, 0],
        ),
        (
            "a batch of a clean end",
            Kind::Batch as u8,
            vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            "a batch with a rest",
            Kind::Batch as u8,
            vec![1, 0, 0, 0, 0, 0, 0, 0, 4, 1, 1, b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("no such kind", 200, vec![0; 8]),
        ("kind zero", 0, vec![0; 8]),
    ];
    let mut huge = vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    huge.resize(16, 0);
    cases.push(("a key of 2^64 bytes", Kind::Delete as u8, huge));
    for (name, kind, body) in cases {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend_from_slice(&body);
        seal(&mut bytes, kind);
        assert!(decode(&bytes).is_err(), "{name}");
    }
}

/// The golden file holds every sample behind the other, at the address of the samples. Written by
/// `HOLT_WRITE_GOLDEN=1 cargo test -p holt-codec --test records`.
#[test]
fn records_of_version_2_still_read_and_still_come_out_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/records-v2.bin");
    let now: Vec<u8> = samples().into_iter().flat_map(|(_, bytes)| bytes).collect();
    if std::env::var_os("HOLT_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    assert_eq!(std::fs::read(path).unwrap(), now);
}
