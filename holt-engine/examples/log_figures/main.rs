//! The figures of the log beside what they are to be compared with, taken in turn in one run.
//!
//! `cargo run --release -p holt-engine --example log_figures [rounds]`. The files are in the directory for temporary files: it has
//! to be on the device that is to be measured. Every ratio is the median of the ratios of neighbouring measurements, so
//! that other work on the machine weighs on both sides.

mod floor;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BufMut;
use holt_art::Art;
use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
use holt_engine::{Db, Durability, Options};
use holt_journal::disk::RealDisk;
use holt_journal::{Error, create_log, recover_log};

use floor::Floor;

/// Keys that the puts go round in.
const KEYS: u64 = 50_000;

/// Bytes of a value; with its key and header a record of 128 bytes.
const VALUE: usize = 80;

/// Clients that share syncs.
const CLIENTS: u64 = 32;

type Failure = Box<dyn std::error::Error>;

fn key(number: u64) -> [u8; 28] {
    let mut key = *b"tenants/0000/objects/0000000";
    let digits = |mut number: u64, to: &mut [u8]| {
        for digit in to.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    // A step that is coprime to the number of keys visits all of them, in no order.
    let number = number * 7919 % KEYS;
    digits(number % 50, &mut key[8..12]);
    digits(number, &mut key[21..]);
    key
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

fn main() -> Result<(), Failure> {
    let rounds = std::env::args().nth(1).map_or(Ok(60), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    ring(rounds)?;
    puts(&directory.path().join("puts"), rounds)?;
    syncs(&directory.path().join("syncs"), rounds)?;
    replay(&directory.path().join("replay"), rounds.div_ceil(10))?;
    Ok(())
}

fn open(path: &Path) -> Result<Db, Failure> {
    Ok(Options::new().checkpoint_bytes(0).open(path)?)
}

/// An append of 100 bytes to the ring by one thread, beside a plain copy and a vector behind a mutex.
fn ring(rounds: usize) -> Result<(), Failure> {
    const PORTION: usize = 2000;
    const RECORD: usize = 100;
    let (ring, mut consumer) = holt_wal_ring::Ring::new(PORTION * RECORD.next_multiple_of(8), 0)?;
    let mut plain = vec![1; PORTION * RECORD];
    let vector = Mutex::new(Vec::with_capacity(PORTION * RECORD));
    let record = [7; RECORD];
    let (mut least, mut ratios) = ([f64::MAX; 3], Vec::new());
    for round in 0..rounds * 20 {
        let mut sides = [0.0; 3];
        for turn in 0..3 {
            let side = (round + turn) % 3;
            let took = match side {
                0 => timed(|| {
                    for place in plain.chunks_exact_mut(RECORD) {
                        place.copy_from_slice(black_box(&record));
                    }
                    Ok(())
                })?,
                1 => timed(|| {
                    for _ in 0..PORTION {
                        let mut place = ring.acquire(RECORD)?.reserve();
                        place.put_slice(black_box(&record));
                        place.publish();
                    }
                    Ok(())
                })?,
                _ => timed(|| {
                    for _ in 0..PORTION {
                        let mut vector = vector.lock().map_err(|_| "a thread panicked")?;
                        vector.extend_from_slice(black_box(&record));
                    }
                    Ok(())
                })?,
            };
            sides[side] = took.as_nanos() as f64 / PORTION as f64;
            least[side] = least[side].min(sides[side]);
        }
        ratios.push(sides[1] / sides[2]);
        consumer.drain(|_| Ok::<(), Failure>(()))?;
        vector.lock().map_err(|_| "a thread panicked")?.clear();
    }
    println!("copy of {RECORD} B: {:.1} ns at least", least[0]);
    println!("the same onto a vector behind a mutex: {:.1} ns at least", least[2]);
    let ratio = median(ratios);
    println!("ring append of {RECORD} B: {:.1} ns at least, {ratio:.2} of the vector", least[1]);
    Ok(())
}

/// A put that is logged and not waited for, beside the same one to a database in memory and to the tree alone.
fn puts(path: &Path, rounds: usize) -> Result<(), Failure> {
    const PORTION: u64 = 5000;
    let (db, memory, art) = (open(path)?, Options::new().in_memory()?, Art::new()?);
    let (logged, unlogged, value) = (db.default_tree(), memory.default_tree(), [7; VALUE]);
    for number in 0..KEYS {
        logged.put_with(&key(number), &value, Durability::Buffered)?;
        unlogged.put(&key(number), &value)?;
        art.put(&key(number), &value)?;
    }
    let (mut to_memory, mut to_tree, mut least) = (Vec::new(), Vec::new(), [f64::MAX; 3]);
    for round in 0..rounds as u64 * 4 {
        let numbers = || (round * PORTION..(round + 1) * PORTION).map(key);
        let mut sides = [0.0; 3];
        // Each goes first every third time.
        for turn in 0..3 {
            let side = ((round + turn) % 3) as usize;
            let took = timed(|| {
                for key in numbers() {
                    match side {
                        0 => drop(art.put(&key, &value)?),
                        1 => drop(unlogged.put(&key, &value)?),
                        _ => drop(logged.put_with(&key, &value, Durability::Buffered)?),
                    }
                }
                Ok(())
            })?;
            sides[side] = took.as_nanos() as f64 / PORTION as f64;
            least[side] = least[side].min(sides[side]);
        }
        to_tree.push(sides[2] / sides[0]);
        to_memory.push(sides[2] / sides[1]);
        // What is in the ring is written out between the measurements: it is the put's way that is measured, and the
        // device takes its own time.
        db.sync()?;
    }
    println!("put to the tree alone: {:.0} ns at least", least[0]);
    println!("put to a database in memory: {:.0} ns at least", least[1]);
    println!(
        "logged put, buffered: {:.0} ns at least, {:.2} of the one in memory, {:.2} of the tree's",
        least[2],
        median(to_memory),
        median(to_tree)
    );
    db.close()?;
    Ok(())
}

/// Calls `put` so many times in each of the clients' threads, with the client's number and the call's.
fn crowd(each: u64, put: impl Fn(u64, u64) + Sync) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let put = &put;
            scope.spawn(move || (0..each).for_each(|number| put(client, number)));
        }
    });
}

/// One client's synced put beside a plain write of as many bytes and `fdatasync`; 32 clients beside one, and beside 32 threads
/// that share plain writes.
fn syncs(path: &Path, rounds: usize) -> Result<(), Failure> {
    const EACH: u64 = 20;
    // So many that starting the threads is little beside it.
    const EACH_OF_MANY: u64 = 200;
    /// Bytes of the plain file that are gone round in.
    const ROOM: u64 = 15 << 20;
    let db = open(path)?;
    let (tree, value) = (db.default_tree(), [7; VALUE]);
    tree.put_with(&key(0), &value, Durability::Sync)?;
    let record = Record::from(Op::Put { tree: 1, key: &key(0), value: &value }).encoded_len()?;
    let raw = File::create(path.with_extension("raw"))?;
    // In small pieces: what one write brings into the system's memory, later ones pay for as a whole.
    for at in (0..16 << 20).step_by(64 << 10) {
        raw.write_all_at(&[0; 64 << 10], at)?;
    }
    raw.sync_all()?;
    let bytes = vec![7; record];
    let floor = Floor::new(&raw, ROOM, record);
    let (mut to_raw, mut to_one, mut floors, mut to_floor) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut least = [f64::MAX; 4];
    let mut at = 0;
    for round in 0..rounds as u64 {
        let mut sides = [0.0; 4];
        for turn in 0..4 {
            let side = ((round + turn) % 4) as usize;
            let took = match side {
                0 => timed(|| {
                    for _ in 0..EACH {
                        raw.write_all_at(&bytes, at % ROOM)?;
                        raw.sync_data()?;
                        at += bytes.len() as u64;
                    }
                    Ok(())
                })?,
                1 => timed(|| {
                    for number in 0..EACH {
                        tree.put_with(&key(number), &value, Durability::Sync)?;
                    }
                    Ok(())
                })?,
                2 => timed(|| {
                    crowd(EACH_OF_MANY, |client, number| {
                        tree.put_with(&key(client * 1000 + number), &value, Durability::Sync)
                            .expect("the disk works");
                    });
                    Ok(())
                })?,
                _ => timed(|| {
                    crowd(EACH_OF_MANY, |_, _| floor.put().expect("the disk works"));
                    Ok(())
                })?,
            };
            let count = if side < 2 { EACH } else { EACH_OF_MANY * CLIENTS };
            sides[side] = took.as_nanos() as f64 / 1e3 / count as f64;
            least[side] = least[side].min(sides[side]);
        }
        to_raw.push(sides[1] / sides[0]);
        to_one.push(sides[1] / sides[2]);
        floors.push(sides[0] / sides[3]);
        to_floor.push(sides[2] / sides[3]);
    }
    println!("raw write of {record} B and fdatasync: {:.0} µs at least", least[0]);
    println!("synced put, one client: {:.0} µs at least, {:.2} of it", least[1], median(to_raw));
    let many = median(to_one);
    println!(
        "synced put, {CLIENTS} clients: {:.1} µs at least, {many:.1} times one client's rate",
        least[2]
    );
    println!(
        "{CLIENTS} threads that share raw writes and fdatasync: {:.1} µs at least, {:.1} times one's rate; \
         the put takes {:.2} of it",
        least[3],
        median(floors),
        median(to_floor)
    );
    db.close()?;
    Ok(())
}

/// Reading the log back, decoded alone and applied to the trees; and what a record takes in it.
fn replay(path: &Path, rounds: usize) -> Result<(), Failure> {
    const RECORDS: u64 = 500_000;
    let db = open(path)?;
    let tree = db.default_tree();
    for number in 0..RECORDS {
        tree.put_with(&key(number), &[7; VALUE], Durability::Buffered)?;
    }
    drop(tree);
    db.close()?;
    let opened = |round: usize| -> Result<f64, Failure> {
        let begun = Instant::now();
        let db = Options::new().read_only(true).open(path)?;
        let took = begun.elapsed();
        if round == 0 {
            println!("{} keys after the replay", db.default_tree().len()?);
        }
        Ok(RECORDS as f64 / took.as_secs_f64() / 1e6)
    };
    let applied = (0..rounds.max(3)).map(opened).collect::<Result<Vec<_>, _>>()?;
    println!("replay, applied: {:.2} million records a second", median(applied));

    // The log alone, in a directory of its own.
    let own = path.with_extension("log");
    std::fs::create_dir(&own)?;
    let (disk, id) = (Arc::new(RealDisk::open(&own)?), DbId([1; 16]));
    create_log(&disk, id)?;
    let nothing = recover_log::<_, Error>(&disk, id, FIRST_ADDRESS, &mut |_, _| Ok(()))?;
    let journal = holt_journal::Journal::start(
        Arc::clone(&disk),
        id,
        nothing,
        holt_journal::LogOptions::default(),
    )?;
    for number in 0..RECORDS {
        let key = key(number);
        let record = Record::from(Op::Put { tree: 1, key: &key, value: &[7; VALUE] });
        journal.permit(record.encoded_len()?)?.reserve().publish(&record);
    }
    let bytes = (journal.tail() - FIRST_ADDRESS) as f64 / RECORDS as f64;
    journal.close()?;
    let payload = key(0).len() + VALUE;
    println!("a record: {bytes:.0} bytes of log for {payload} of key and value");
    let mut rates = Vec::new();
    for _ in 0..rounds.max(3) {
        let begun = Instant::now();
        let mut sum = 0;
        recover_log::<_, Error>(&disk, id, FIRST_ADDRESS, &mut |_, record| {
            if let Record::Op(Op::Put { key, value, .. }) = black_box(record) {
                sum += key.len() + value.len();
            }
            Ok(())
        })?;
        assert_eq!(sum as u64, RECORDS * payload as u64);
        rates.push(RECORDS as f64 / begun.elapsed().as_secs_f64() / 1e6);
    }
    println!("replay, decoded: {:.2} million records a second", median(rates));
    Ok(())
}
