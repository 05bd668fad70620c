//! What a record costs: encoding, its checksum alone, decoding, and a whole log through the reader.
//!
//! `cargo bench -p holt-codec --bench records`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use holt_codec::{
    DbId, FIRST_ADDRESS, LogReader, Op, Record, RecordHeader, Seed, SegmentBytes, SegmentHeader,
};

const KEY: &[u8] = b"tenants/0042/objects";

fn records(criterion: &mut Criterion) {
    let seed = Seed::new(7);
    let mut group = criterion.benchmark_group("record");
    for value_len in [16, 60, 100, 1000, 10_000] {
        let value = vec![0x5a; value_len];
        let record = Record::from(Op::Put { tree: 1, key: KEY, value: &value });
        let mut bytes = Vec::new();
        record.encode(seed, FIRST_ADDRESS, FIRST_ADDRESS, &mut bytes);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode {} B", bytes.len()), |bencher| {
            let mut out = Vec::with_capacity(bytes.len());
            bencher.iter(|| {
                out.clear();
                black_box(&record).encode(seed, FIRST_ADDRESS, FIRST_ADDRESS, &mut out);
                out.len()
            });
        });
        group.bench_function(format!("checksum {} B", bytes.len()), |bencher| {
            let header = RecordHeader::parse(FIRST_ADDRESS, &bytes).expect("a record");
            bencher.iter(|| header.verify(seed, FIRST_ADDRESS, black_box(&bytes)));
        });
        group.bench_function(format!("decode {} B", bytes.len()), |bencher| {
            bencher.iter(|| Record::decode(seed, FIRST_ADDRESS, black_box(&bytes)).is_ok());
        });
    }
    group.finish();
}

fn reader(criterion: &mut Criterion) {
    const RECORDS: u64 = 100_000;
    let header = SegmentHeader {
        db: DbId([1; 16]),
        salt: 1,
        start: FIRST_ADDRESS,
        window: 32 << 20,
        predecessor_end: FIRST_ADDRESS,
    };
    let mut file = header.encode().to_vec();
    let mut address = FIRST_ADDRESS;
    for _ in 0..RECORDS {
        let record = Record::from(Op::Put { tree: 1, key: KEY, value: &[1; 60] });
        record.encode(header.seed(), address, FIRST_ADDRESS, &mut file);
        address = FIRST_ADDRESS + file.len() as u64 - 4096;
    }
    file.resize(header.file_len() as usize, 0);
    let mut group = criterion.benchmark_group("reader");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("100 B records in memory", |bencher| {
        bencher.iter(|| {
            let source = SegmentBytes::new([&file[..]]);
            let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS)
                .expect("a whole log");
            let mut records = 0;
            while let Some(entry) = reader.next_entry().expect("a whole log") {
                black_box(entry.record().expect("a whole record"));
                records += 1;
            }
            assert_eq!(records, RECORDS);
        });
    });
    group.finish();
}

criterion_group!(benches, records, reader);
criterion_main!(benches);
