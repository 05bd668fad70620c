//! The reader's verdicts: clean end, torn tail, damage.

use holt_codec::{
    Damage, DbId, Error, FIRST_ADDRESS, LOG_VERSION, LogEnd, LogMark, LogReader, Op, ReadError,
    Record, SEGMENT_HEADER_LEN, SegmentBytes, SegmentFiles, SegmentHeader,
};

const DB: DbId = DbId(*b"database of test");
const WINDOW: u64 = 4096;

/// A log in memory, written as a journal would: records straddle segments of one run.
#[derive(Clone)]
struct Log {
    headers: Vec<SegmentHeader>,
    files: Vec<Vec<u8>>,
    tail: u64,
    synced: u64,
}

impl Log {
    fn new() -> Log {
        let mut log = Log {
            headers: Vec::new(),
            files: Vec::new(),
            tail: FIRST_ADDRESS,
            synced: FIRST_ADDRESS,
        };
        log.segment(FIRST_ADDRESS);
        log
    }

    fn end(&self) -> u64 {
        self.headers.last().map_or(FIRST_ADDRESS, SegmentHeader::end)
    }

    /// Adds a segment behind the last, saying that the log before it ends at `predecessor_end`.
    fn segment(&mut self, predecessor_end: u64) {
        let start = self.end();
        let salt = 0x1000 + self.headers.len() as u64;
        let header = SegmentHeader { db: DB, salt, start, window: WINDOW, predecessor_end };
        let mut file = header.encode().to_vec();
        file.resize(header.file_len() as usize, 0);
        self.headers.push(header);
        self.files.push(file);
    }

    /// Starts a new run: what a journal does at its first append after opening.
    fn reopen(&mut self, valid_end: u64) {
        self.segment(valid_end);
        self.tail = self.headers.last().unwrap().start;
        self.synced = self.tail;
    }

    fn append(&mut self, record: &Record<'_>) -> u64 {
        let address = self.tail;
        let len = record.encoded_len().unwrap() as u64;
        while address + len + 24 > self.end() {
            self.segment(self.end());
        }
        let at = self.headers.iter().rposition(|header| header.start <= address).unwrap();
        let mut bytes = Vec::new();
        record.encode(self.headers[at].seed(), address, self.synced, &mut bytes);
        self.write(address, &bytes);
        self.tail += len;
        address
    }

    fn put(&mut self, number: u64, len: usize) -> u64 {
        let value = vec![number as u8; len];
        self.append(&Op::Put { tree: 1, key: &number.to_be_bytes(), value: &value }.into())
    }

    fn fill(&mut self, numbers: std::ops::Range<u64>, len: usize) {
        for number in numbers {
            self.put(number, len);
        }
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            *self.byte(address + index as u64) = *byte;
        }
    }

    fn byte(&mut self, address: u64) -> &mut u8 {
        let at = self.headers.iter().rposition(|header| header.start <= address).unwrap();
        let offset = self.headers[at].file_offset(address) as usize;
        &mut self.files[at][offset]
    }

    /// The log's mark as it was when the last segment was made.
    fn mark(&self) -> LogMark {
        self.headers.iter().fold(LogMark::new(DB), |mark, segment| mark.of(segment))
    }

    fn sync(&mut self) {
        self.synced = self.tail;
    }

    fn wipe(&mut self, from: u64, to: u64) {
        (from..to).for_each(|address| *self.byte(address) = 0);
    }

    /// Reads everything: the addresses of the records, and the verdict.
    fn read_from(&self, from: u64) -> (Vec<u64>, Result<LogEnd, Error>) {
        let source = SegmentBytes::new(self.files.iter().map(Vec::as_slice));
        let mut reader = match LogReader::new(source, DB, self.headers.clone(), from) {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let mut addresses = Vec::new();
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) => {
                    entry.record().unwrap();
                    addresses.push(entry.address());
                }
                Ok(None) => return (addresses, Ok(reader.end().unwrap())),
                Err(ReadError::Log(error)) => return (addresses, Err(error)),
                Err(ReadError::Source(never)) => match never {},
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn read(&self) -> (Vec<u64>, Result<LogEnd, Error>) {
        self.read_from(FIRST_ADDRESS)
    }
}

fn damage(result: Result<LogEnd, Error>) -> (u64, Damage) {
    match result {
        Err(Error::Damaged { address, damage, .. }) => (address, damage),
        other => panic!("not damage: {other:?}"),
    }
}

#[test]
fn a_log_without_records_ends_where_it_begins() {
    let (records, end) = Log::new().read();
    assert!(records.is_empty());
    assert_eq!(
        end.unwrap(),
        LogEnd { address: FIRST_ADDRESS, clean: false, synced: FIRST_ADDRESS }
    );
}

#[test]
fn records_that_straddle_segments_are_read_whole() {
    let mut log = Log::new();
    let written: Vec<u64> =
        (0..200).map(|number| log.put(number, (number * 37 % 900) as usize)).collect();
    assert!(log.headers.len() > 10);
    let straddling = written.windows(2).any(|pair| {
        log.headers.iter().any(|header| pair[0] < header.start && header.start < pair[1])
    });
    assert!(straddling);
    let (records, end) = log.read();
    assert_eq!(records, written);
    assert_eq!(end.unwrap().address, log.tail);
    // From any record on, too, without the segments before it.
    for (index, &from) in written.iter().enumerate() {
        let (records, end) = log.read_from(from);
        assert_eq!((records.as_slice(), end.unwrap().address), (&written[index..], log.tail));
    }
}

#[test]
fn a_record_longer_than_the_readers_window_is_read_whole() {
    let mut log = Log::new();
    let written = [log.put(1, 10), log.put(2, 700 << 10), log.put(3, 10)];
    assert_eq!(log.read().0, written);
    // And torn inside, it ends the log.
    let middle = written[1] + (350 << 10);
    *log.byte(middle) ^= 1;
    let (records, end) = log.read();
    assert_eq!((records.as_slice(), end.unwrap().address), (&written[..1], written[1]));
}

#[test]
fn a_closed_log_ends_cleanly_and_goes_on_in_the_next_run() {
    let mut log = Log::new();
    let first = log.put(1, 10);
    log.sync();
    log.append(&Record::CleanEnd);
    let end = log.read().1.unwrap();
    assert_eq!((end.address, end.clean, end.synced), (log.tail, true, log.tail - 16));
    log.reopen(log.tail);
    let second = log.put(2, 10);
    let (records, end) = log.read();
    assert_eq!((records[0], *records.last().unwrap()), (first, second));
    assert!(!end.unwrap().clean);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_there() {
    let mut log = Log::new();
    let written: Vec<u64> = (0..4).map(|number| log.put(number, 40)).collect();
    for cut in written[2]..log.tail {
        let mut torn = log.clone();
        torn.wipe(cut, log.tail);
        // A record is whole when only zeros of its own padding were cut.
        let whole = written.iter().take_while(|&&address| {
            let end = written.iter().find(|&&later| later > address).copied().unwrap_or(log.tail);
            (address..end).all(|at| torn.byte(at) == log.byte(at))
        });
        let whole = whole.count();
        let (records, end) = torn.read();
        assert_eq!(records, &written[..whole], "cut at {cut}");
        let end = end.unwrap();
        assert_eq!(end.address, written.get(whole).copied().unwrap_or(log.tail));
        assert!(!end.clean);
    }
}

#[test]
fn a_gap_with_later_records_is_the_end_when_nothing_was_synced() {
    let mut log = Log::new();
    let written: Vec<u64> = (0..40).map(|number| log.put(number, 500)).collect();
    // Whole pages lost, later ones kept: what a power cut may do to writes that were never synced.
    log.wipe(written[5], written[7]);
    let (records, end) = log.read();
    assert_eq!(records, &written[..5]);
    assert_eq!(end.unwrap().address, written[5]);
}

#[test]
fn a_gap_below_a_later_synced_mark_is_damage_in_whatever_segment_the_witness_lies() {
    for more in [1, 40] {
        let mut log = Log::new();
        let written: Vec<u64> = (0..10).map(|number| log.put(number, 500)).collect();
        log.sync();
        log.fill(0..more, 500);
        for &at in &written {
            let mut bad = log.clone();
            *bad.byte(at + 30) ^= 0x10;
            let (address, damage) = damage(bad.read().1);
            assert_eq!(address, at);
            assert!(
                matches!(damage, Damage::Proven { synced, .. } if synced == log.synced),
                "{damage:?}"
            );
        }
    }
}

#[test]
fn a_gap_at_or_above_every_synced_mark_is_the_end() {
    let mut log = Log::new();
    log.fill(0..10, 50);
    log.sync();
    let unsynced = log.put(10, 50);
    log.put(11, 50);
    *log.byte(unsynced + 20) ^= 1;
    let (records, end) = log.read();
    assert_eq!(records.len(), 10);
    assert_eq!(end.unwrap(), LogEnd { address: unsynced, clean: false, synced: FIRST_ADDRESS });
}

#[test]
fn what_lies_behind_a_declared_end_is_not_read_though_it_is_valid() {
    let mut log = Log::new();
    let kept = log.put(1, 10);
    let lost = log.put(2, 10);
    // A recovery that saw the log end before the second record said so in the next segment.
    log.reopen(lost);
    let next = log.put(3, 10);
    let (records, end) = log.read();
    assert_eq!(records, [kept, next]);
    assert_eq!(end.unwrap().address, log.tail);
}

#[test]
fn a_gap_below_a_declared_end_is_damage() {
    let mut log = Log::new();
    let first = log.put(1, 10);
    log.put(2, 10);
    log.reopen(log.tail);
    *log.byte(first + 17) ^= 1;
    assert_eq!(
        damage(log.read().1),
        (first, Damage::Declared { end: log.headers[1].predecessor_end })
    );
}

#[test]
fn a_clean_end_below_a_declared_end_is_damage() {
    let mut log = Log::new();
    log.append(&Record::CleanEnd);
    let end = log.put(1, 10);
    log.reopen(log.tail);
    let declared = log.headers[1].predecessor_end;
    assert_eq!(damage(log.read().1), (end, Damage::Declared { end: declared }));
}

#[test]
fn a_missing_last_segment_is_told_by_the_mark_when_a_record_goes_on_in_it() {
    let mut log = Log::new();
    while log.headers.len() == 1 {
        log.put(1, 300);
    }
    let mark = log.mark();
    log.headers.pop();
    log.files.pop();
    let (lost, from) = (mark.check(&log.headers, FIRST_ADDRESS), log.headers[0].end());
    assert!(
        matches!(lost, Err(Error::Damaged { segment, damage: Damage::LostSegment, .. }) if segment == from),
        "{lost:?}"
    );
}

#[test]
fn a_torn_record_that_seems_to_reach_beyond_the_segments_is_the_end() {
    let mut log = Log::new();
    log.fill(0..3, 100);
    let last = log.put(3, 100);
    for byte in 4..7 {
        for value in 0..=255 {
            let mut torn = log.clone();
            if *torn.byte(last + byte) == value {
                continue;
            }
            *torn.byte(last + byte) = value;
            assert!(log.mark().check(&torn.headers, FIRST_ADDRESS).is_ok());
            let (records, end) = torn.read();
            assert_eq!((records.len(), end.unwrap().address), (3, last), "byte {byte}: {value}");
        }
    }
}

#[test]
fn a_missing_last_segment_is_damage_when_the_one_before_is_full() {
    let mut log = Log::new();
    // 16 of header, 1 of tree, 1 and 2 of lengths, 8 of key: 4096 in all.
    log.put(1, 4096 - 28);
    assert_eq!((log.tail, log.headers.len()), (log.headers[0].end(), 2));
    assert_eq!(log.read().1.unwrap().address, log.tail);
    log.headers.pop();
    log.files.pop();
    assert_eq!(damage(log.read().1), (log.tail, Damage::MissingSegment));
}

#[test]
fn a_segment_file_cut_anywhere_is_damage() {
    let mut log = Log::new();
    log.fill(0..20, 500);
    for file in 0..log.files.len() {
        for len in [SEGMENT_HEADER_LEN, SEGMENT_HEADER_LEN + 8, log.files[file].len() - 1] {
            let mut cut = log.clone();
            cut.files[file].truncate(len);
            assert_eq!(damage(cut.read().1).1, Damage::ShortFile);
        }
    }
}

#[test]
fn old_records_in_a_recycled_segment_are_neither_read_nor_believed() {
    let mut log = Log::new();
    let first = log.put(1, 100);
    // The file of another life of this log: same places, other salt; claims that would prove damage.
    let mut old = Log::new();
    old.headers[0].salt ^= 1;
    (0..20).for_each(|number| {
        old.put(number, 100);
        old.sync();
    });
    let from = SEGMENT_HEADER_LEN + (log.tail - FIRST_ADDRESS) as usize;
    let stale = old.files[0][from..].to_vec();
    log.files[0][from..].copy_from_slice(&stale);
    let (records, end) = log.read();
    assert_eq!(records, [first]);
    assert_eq!(end.unwrap().address, log.tail);
}

#[test]
fn every_flipped_bit_gives_the_whole_log_a_prefix_or_damage_but_no_other_record() {
    let mut log = Log::new();
    let written: Vec<u64> = (0..6)
        .map(|number| {
            if number == 3 {
                log.sync();
            }
            log.put(number, 60)
        })
        .collect();
    for address in FIRST_ADDRESS..log.tail + 32 {
        for bit in 0..8 {
            let mut bad = log.clone();
            *bad.byte(address) ^= 1 << bit;
            let (records, end) = bad.read();
            assert_eq!(records, &written[..records.len()], "bit {bit} at {address}");
            match end {
                Ok(end) if end.address == log.tail => assert!(address >= log.tail),
                // What was synced before the fourth record was encoded is never cut silently.
                Ok(end) => assert!(end.address >= log.synced, "bit {bit} at {address}"),
                Err(Error::Damaged { .. }) => assert!(address < log.tail),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn headers_wherever_one_fits_do_not_make_the_reader_slow() {
    let window = 16 << 20;
    let header = SegmentHeader {
        db: DB,
        salt: 5,
        start: FIRST_ADDRESS,
        window,
        predecessor_end: FIRST_ADDRESS,
    };
    let mut file = header.encode().to_vec();
    // Right address, a put of 8 MiB, everything before it synced; only the checksum is wrong.
    for address in (FIRST_ADDRESS..header.end()).step_by(16) {
        file.extend_from_slice(&[0; 4]);
        file.extend_from_slice(&((1u32 << 20) | (3 << 24)).to_le_bytes());
        file.extend_from_slice(&((address / 8) as u32).to_le_bytes());
        file.extend_from_slice(&[0; 4]);
    }
    let source = SegmentBytes::new([&file[..]]);
    let mut reader = LogReader::new(source, DB, vec![header], FIRST_ADDRESS).unwrap();
    // Half a million positions times 8 MiB would take an hour: the reader gives up and opens nothing.
    match reader.next_entry() {
        Err(ReadError::Log(Error::Damaged { damage: Damage::Unjudged, .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_is_read_from_anything_that_reads_and_seeks() {
    let mut log = Log::new();
    let written: Vec<u64> = (0..30).map(|number| log.put(number, 500)).collect();
    let files = log.files.iter().map(std::io::Cursor::new);
    let mut reader =
        LogReader::new(SegmentFiles::new(files), DB, log.headers.clone(), FIRST_ADDRESS).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        found.push(entry.address());
    }
    assert_eq!(found, written);
}

/// Written by `HOLT_WRITE_GOLDEN=1 cargo test -p holt-codec --test reader`.
#[test]
fn a_log_of_version_2_still_reads_and_still_comes_out_the_same() {
    let mut log = Log::new();
    log.fill(0..12, 400);
    log.sync();
    log.append(&Record::Skip { len: 64 });
    log.append(&Record::CleanEnd);
    for (index, now) in log.files.iter().enumerate() {
        let path = format!("{}/tests/golden/segment-v2-{index}.bin", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("HOLT_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, now).unwrap();
        }
        assert_eq!(&std::fs::read(&path).unwrap(), now);
    }
    let (records, end) = log.read();
    assert_eq!((records.len(), end.unwrap().clean), (14, true));
}

#[test]
fn a_segment_of_version_1_is_refused_with_both_versions() {
    for index in 0..2 {
        let path = format!("{}/tests/golden/segment-v1-{index}.bin", env!("CARGO_MANIFEST_DIR"));
        let refused = SegmentHeader::decode(&std::fs::read(path).unwrap());
        assert!(
            matches!(refused, Err(Error::Version { found: 1, supported: LOG_VERSION, .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_gap_in_the_longest_window_that_there_can_be_is_judged() {
    // The header is whole and its file is not: nobody who reads a log offline has compared their lengths.
    let start = FIRST_ADDRESS;
    let window = holt_codec::MAX_ADDRESS - start;
    let header = SegmentHeader { db: DB, salt: 1, start, window, predecessor_end: start };
    assert_eq!(SegmentHeader::decode(&header.encode()).unwrap(), header);
    let file = [header.encode().to_vec(), vec![0; 1 << 20]].concat();
    let mut reader = LogReader::new(SegmentBytes::new([file]), DB, vec![header], start).unwrap();
    let verdict = reader.next_entry().map(drop);
    assert!(
        matches!(verdict, Err(ReadError::Log(Error::Damaged { damage: Damage::ShortFile, .. }))),
        "{verdict:?}"
    );
}

/// A reader of the whole log in the state it is in.
fn reader(log: &Log, from: u64) -> LogReader<SegmentBytes<&[u8]>> {
    let source = SegmentBytes::new(log.files.iter().map(Vec::as_slice));
    LogReader::new(source, DB, log.headers.clone(), from).unwrap()
}

/// The addresses that a reader gives below a limit.
fn below(reader: &mut LogReader<SegmentBytes<&[u8]>>, limit: u64) -> Vec<u64> {
    std::iter::from_fn(|| Some(reader.next_below(limit).unwrap()?.address())).collect()
}

#[test]
fn a_follower_gets_each_record_once_its_end_is_below_the_limit() {
    let mut log = Log::new();
    log.fill(0..20, 700);
    let first_end = log.tail;
    log.append(&Record::CleanEnd);
    log.reopen(log.tail);
    log.fill(20..30, 700);
    let (all, _) = log.read();
    let mut follower = reader(&log, FIRST_ADDRESS);
    let mut seen = Vec::new();
    for limit in (FIRST_ADDRESS..=log.tail).step_by(8) {
        seen.extend(below(&mut follower, limit));
        let whole = all.windows(2).filter(|pair| pair[1] <= limit.min(first_end)).count();
        assert!(limit > first_end || seen.len() == whole, "{limit}: {seen:?}");
    }
    assert_eq!(seen, all);
    assert_eq!(follower.address(), log.tail);
}

#[test]
fn a_follower_does_not_look_behind_its_limit_and_calls_every_gap_below_it_damage() {
    let mut log = Log::new();
    log.fill(0..20, 100);
    let (all, _) = log.read();
    let (gap, next) = (all[10], all[11]);
    log.wipe(gap, next);
    let mut follower = reader(&log, FIRST_ADDRESS);
    assert_eq!(below(&mut follower, gap), all[..10]);
    for limit in [next, log.tail] {
        let Err(ReadError::Log(error)) = follower.next_below(limit) else { panic!("{limit}") };
        assert_eq!(damage(Err(error)), (gap, Damage::Promised { end: limit }));
    }
}

#[test]
fn a_reader_from_any_address_finds_the_first_record_that_starts_there_or_behind() {
    let mut log = Log::new();
    log.fill(0..6, 900);
    // A value that holds the bytes of another record, which are those of another address.
    let mut copy = Vec::new();
    let inner = Op::Put { tree: 1, key: b"inner", value: b"not a record of this log" };
    Record::from(inner).encode(log.headers[0].seed(), FIRST_ADDRESS, FIRST_ADDRESS, &mut copy);
    log.append(&Op::Put { tree: 1, key: b"outer", value: &copy }.into());
    let end = log.tail;
    log.append(&Record::CleanEnd);
    log.reopen(log.tail);
    log.fill(6..9, 2000);
    let (all, _) = log.read();
    for from in (FIRST_ADDRESS..end).chain(log.headers.last().unwrap().start..log.tail).step_by(8) {
        let mut follower = reader(&log, from);
        follower.align(log.tail).unwrap();
        let expected: Vec<_> = all.iter().copied().filter(|&address| address >= from).collect();
        assert_eq!(below(&mut follower, log.tail), expected, "{from}");
    }
    // Nothing but what ends below the limit counts.
    let mut follower = reader(&log, all[1]);
    follower.align(all[2] - 8).unwrap();
    assert_eq!(follower.address(), all[2] - 8);
}
