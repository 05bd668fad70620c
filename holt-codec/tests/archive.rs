//! Archives: what goes in comes out, and nothing else passes for one.

use std::io::{self, Read, Write};

use holt_codec::{
    ARCHIVE_HEADER_LEN, ARCHIVE_VERSION, ArchiveError, ArchiveHeader, ArchiveReader, ArchiveWriter,
    BatchBuf, DbId, Error, MAX_BLOCK, MAX_KEY, MAX_VALUE, Op, Record,
};

const HEADER: ArchiveHeader =
    ArchiveHeader { db: DbId(*b"database of test"), after: 0, up_to: 9000 };

fn batch() -> BatchBuf {
    let mut batch = BatchBuf::new();
    batch.push(&Op::Delete { tree: 1, key: b"gone" }).unwrap();
    batch.push(&Op::RenamePrefix { tree: 2, from: b"a/", to: b"b/", replace: true }).unwrap();
    batch
}

/// Records of every kind that an archive has, with an address each.
fn samples(batch: &BatchBuf) -> Vec<(u64, Record<'_>)> {
    vec![
        (4096, Record::CreateTree { tree: 1, name: b"default" }),
        (4096, Op::Put { tree: 1, key: b"", value: b"the empty key" }.into()),
        (5000, Op::Put { tree: 1, key: b"usr/bin/env", value: b"" }.into()),
        (1 << 50, Op::Rename { tree: 1, from: b"a", to: b"b" }.into()),
        (5024, Op::DeletePrefix { tree: 1, prefix: b"tmp/" }.into()),
        (5048, batch.as_batch().unwrap().into()),
        (5120, Record::RenameTree { tree: 2, name: b"other" }),
        (5152, Record::DropTree { tree: 2 }),
    ]
}

fn archive(header: ArchiveHeader, records: &[(u64, Record<'_>)]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new(), header).unwrap();
    for (address, record) in records {
        writer.push(*address, record).unwrap();
    }
    assert_eq!(writer.records(), records.len() as u64);
    writer.finish().unwrap()
}

/// Reads all of an archive; says how many records it had.
fn count(stream: impl Read) -> Result<u64, ArchiveError> {
    let mut reader = ArchiveReader::new(stream)?;
    while reader.next_record()?.is_some() {}
    assert!(reader.next_record().unwrap().is_none());
    Ok(reader.records())
}

#[test]
fn what_was_pushed_comes_out_in_order() {
    let batch = batch();
    let samples = samples(&batch);
    let bytes = archive(HEADER, &samples);
    let mut reader = ArchiveReader::new(&bytes[..]).unwrap();
    assert_eq!(reader.header(), HEADER);
    for (address, record) in &samples {
        let found = reader.next_record().unwrap().unwrap();
        assert_eq!((found.address, found.record), (*address, *record));
    }
    assert!(reader.next_record().unwrap().is_none());
    assert_eq!(reader.bytes(), bytes.len() as u64);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let batch = batch();
    let good = archive(HEADER, &samples(&batch));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(count(&bad[..]), Err(ArchiveError::Damaged { .. })), "bit {bit}");
    }
    for len in 0..good.len() {
        assert!(matches!(count(&good[..len]), Err(ArchiveError::Damaged { .. })), "{len} bytes");
    }
    for more in [&b"\0"[..], &good] {
        let long = [&good[..], more].concat();
        assert!(matches!(count(&long[..]), Err(ArchiveError::Damaged { offset, .. })
            if offset == good.len() as u64));
    }
}

/// The blocks of an archive, after its header.
fn blocks(mut bytes: &[u8]) -> Vec<&[u8]> {
    bytes = &bytes[ARCHIVE_HEADER_LEN..];
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let (block, rest) = bytes.split_at(16 + len);
        blocks.push(block);
        bytes = rest;
    }
    blocks
}

#[test]
fn blocks_that_are_missing_swapped_or_of_another_archive_are_noticed() {
    let value = [7; 1000];
    let records = |from: u64| -> Vec<u8> {
        let records: Vec<_> =
            (from..from + 300).map(|number| (number * 8, number.to_be_bytes())).collect();
        let records: Vec<_> = records
            .iter()
            .map(|(at, key)| (*at, Record::from(Op::Put { tree: 1, key, value: &value })))
            .collect();
        archive(ArchiveHeader { up_to: 5000 + from, ..HEADER }, &records)
    };
    let (one, other) = (records(600), records(601));
    let (parts, foreign) = (blocks(&one), blocks(&other));
    assert!(parts.len() > 4 && parts.len() == foreign.len());
    let head = &one[..ARCHIVE_HEADER_LEN];
    let put_together = |blocks: &[&[u8]]| count(&[head, &blocks.concat()].concat()[..]);
    assert_eq!(put_together(&parts).unwrap(), 300);
    for at in 0..parts.len() {
        let mut less = parts.clone();
        less.remove(at);
        assert!(put_together(&less).is_err(), "without block {at}");
        let mut mixed = parts.clone();
        mixed[at] = foreign[at];
        assert!(put_together(&mixed).is_err(), "block {at} of another archive");
        let mut twice = parts.clone();
        twice.insert(at, parts[at]);
        assert!(put_together(&twice).is_err(), "block {at} twice");
        if at > 0 {
            let mut swapped = parts.clone();
            swapped.swap(at - 1, at);
            assert!(put_together(&swapped).is_err(), "block {at} before its turn");
        }
    }
}

/// A stream that gives out a length that it does not have, and counts what is asked of it.
struct Hungry<'a> {
    bytes: &'a [u8],
    largest: usize,
}

impl Read for Hungry<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.largest = self.largest.max(buf.len());
        let len = buf.len().min(100);
        self.bytes.read(&mut buf[..len])
    }
}

#[test]
fn a_length_sizes_no_more_than_there_are_bytes() {
    let value = vec![3; MAX_VALUE];
    let key = vec![4; MAX_KEY];
    let record = Record::from(Op::Put { tree: 1, key: &key, value: &value });
    let bytes = archive(HEADER, &[(8000, record)]);
    assert!(record.encoded_len().unwrap() < MAX_BLOCK);
    assert_eq!(count(&bytes[..]).unwrap(), 1);
    let mut cut = Hungry { bytes: &bytes[..ARCHIVE_HEADER_LEN + 5000], largest: 0 };
    assert!(matches!(count(&mut cut), Err(ArchiveError::Damaged { .. })));
    assert!(cut.largest < 64 << 10, "{}", cut.largest);
}

#[test]
fn a_failing_stream_is_an_error_of_the_stream() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(buf.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let batch = batch();
    let samples = samples(&batch);
    let whole = archive(HEADER, &samples).len();
    for space in 0..=whole {
        let mut writer = match ArchiveWriter::new(Full(space), HEADER) {
            Ok(writer) => writer,
            Err(_) => continue,
        };
        samples.iter().for_each(|(address, record)| writer.push(*address, record).unwrap());
        assert_eq!(writer.finish().is_ok(), space == whole, "{space}");
    }
    let long = vec![0; MAX_KEY + 1];
    let mut writer = ArchiveWriter::new(Vec::new(), HEADER).unwrap();
    let refused = writer.push(8, &Op::Delete { tree: 1, key: &long }.into());
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_header_that_cannot_be_is_refused_despite_a_good_checksum() {
    let bad = ArchiveHeader { after: 9001, ..HEADER };
    assert!(matches!(ArchiveHeader::decode(&bad.encode()), Err(Error::Malformed { .. })));
    let mut newer = HEADER.encode();
    newer[8] = 9;
    let (found, supported) = (9, ARCHIVE_VERSION);
    let expected = Error::Version { what: "archive", found, supported };
    assert_eq!(ArchiveHeader::decode(&newer), Err(expected));
    assert!(!HEADER.is_of_changes());
    assert!(ArchiveHeader { after: 1, ..HEADER }.is_of_changes());
}

/// Written by `HOLT_WRITE_GOLDEN=1 cargo test -p holt-codec --test archive`.
#[test]
fn the_golden_archive_of_version_1_still_reads_and_still_comes_out_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/archive-v1.bin");
    let batch = batch();
    let samples = samples(&batch);
    let now = archive(HEADER, &samples);
    if std::env::var_os("HOLT_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert_eq!(count(&golden[..]).unwrap(), samples.len() as u64);
    assert_eq!(golden, now);
}
