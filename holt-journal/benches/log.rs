//! What the log adds to a write, and what a synced write costs beside the bare system calls.
//!
//! `cargo bench -p holt-journal --bench log`. The files are in the directory for temporary files: it has to be on the
//! device that is to be measured, not in memory.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
use holt_journal::disk::RealDisk;
use holt_journal::{Ack, Error, Journal, LogOptions, create_log, recover_log};

const DB: DbId = DbId([1; 16]);
const KEY: &[u8] = b"tenants/0042/objects";
const VALUE: &[u8] = &[0x5a; 60];

fn record() -> Record<'static> {
    Record::from(Op::Put { tree: 1, key: KEY, value: VALUE })
}

fn open(directory: &tempfile::TempDir) -> (Arc<RealDisk>, Journal<RealDisk>) {
    let disk = Arc::new(RealDisk::open(directory.path()).expect("the directory is there"));
    create_log(&disk, DB).expect("nothing is there");
    let recovered = recover_log::<_, Error>(&disk, DB, FIRST_ADDRESS, &mut |_, _| Ok(()))
        .expect("the log is whole");
    let journal = Journal::start(Arc::clone(&disk), DB, recovered, LogOptions::default())
        .expect("the log opens");
    (disk, journal)
}

fn put(journal: &Journal<RealDisk>, ack: Ack) -> u64 {
    let record = black_box(record());
    let len = record.encoded_len().expect("a small record");
    let reservation = journal.permit(len).expect("there is space").reserve();
    let end = reservation.end();
    reservation.publish(&record);
    journal.wait(end, ack).expect("the disk works");
    end
}

/// Truncates now and then, so that segments are recycled as in a database with checkpoints.
fn checkpoint(journal: &Journal<RealDisk>) {
    let tail = journal.tail();
    journal.wait(tail, Ack::Sync).expect("the disk works");
    journal.truncate_below(tail).expect("nothing else has the files");
}

fn append(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let (_disk, journal) = open(&directory);
    let mut group = criterion.benchmark_group("append 100 B");
    for (name, ack) in [("buffered", Ack::Buffered), ("os", Ack::Os)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                // In portions that fit the ring: what is measured is the way of one record, not the device.
                let mut took = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let portion = left.min(100_000);
                    let begun = Instant::now();
                    for _ in 0..portion {
                        put(&journal, ack);
                    }
                    took += begun.elapsed();
                    left -= portion;
                    checkpoint(&journal);
                }
                took
            });
        });
    }
    group.finish();
}

fn sync(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut group = criterion.benchmark_group("synced 100 B");
    group.sample_size(20);
    group.throughput(Throughput::Elements(1));
    group.bench_function("raw write + fdatasync", |bencher| {
        let file = File::create(directory.path().join("raw")).expect("a file");
        file.write_all_at(&vec![0; 64 << 20], 0).expect("space");
        file.sync_all().expect("a disk");
        let bytes = [1; 104];
        let mut at = 0;
        bencher.iter(|| {
            file.write_all_at(&bytes, at % (63 << 20)).expect("space");
            file.sync_data().expect("a disk");
            at += bytes.len() as u64;
        });
    });
    let (_disk, journal) = open(&directory);
    group.bench_function("one client", |bencher| bencher.iter(|| put(&journal, Ack::Sync)));
    group.bench_function("32 clients", |bencher| {
        bencher.iter_custom(|iterations| {
            let each = iterations.div_ceil(32);
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..32 {
                    scope.spawn(|| {
                        for _ in 0..each {
                            put(&journal, Ack::Sync);
                        }
                    });
                }
            });
            // The time of `iterations` puts, of which `each * 32` were made.
            begun.elapsed().mul_f64(iterations as f64 / (each * 32) as f64)
        });
    });
    group.finish();
}

fn recovery(criterion: &mut Criterion) {
    const RECORDS: u64 = 500_000;
    let directory = tempfile::tempdir().expect("a directory");
    let (disk, journal) = open(&directory);
    for _ in 0..RECORDS {
        put(&journal, Ack::Buffered);
    }
    journal.close().expect("the disk works");
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10);
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("500,000 records of 100 B, decoded", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            recover_log::<_, Error>(&disk, DB, FIRST_ADDRESS, &mut |_, record| {
                if let Record::Op(Op::Put { key, value, .. }) = black_box(record) {
                    bytes += key.len() + value.len();
                }
                Ok(())
            })
            .expect("the log is whole");
            bytes
        });
    });
    group.finish();
}

criterion_group!(benches, append, sync, recovery);
criterion_main!(benches);
