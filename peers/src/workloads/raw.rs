//! The limits of the machine, measured in every run: no engine can be faster than these.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cell::Outcome;
use crate::rng::Rng;

/// Working sets of the pointer chase, in MiB.
const CHASES: [usize; 4] = [1, 8, 64, 256];

/// Bytes of one synced write: a small log record.
const RECORD: usize = 128;

/// Measures copying, a synced write, dependent loads, and an uncontended lock.
pub(crate) fn limits(dir: &Path, budget: Duration) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    for bytes in [60, 64 << 10] {
        let name = if bytes < 1_024 { "memcpy of 60 B" } else { "memcpy of 64 KiB" };
        outcome.figure(name, "ns", copy(bytes, budget));
    }
    for mib in CHASES {
        outcome.figure(&format!("dependent load in {mib} MiB"), "ns", chase(mib, budget));
    }
    outcome.figure("uncontended read lock", "ns", lock(budget));
    std::fs::create_dir_all(dir)?;
    let path = dir.join("raw");
    let cost = synced_write(&path, budget);
    std::fs::remove_file(&path)?;
    outcome.figure("write of 128 B + fdatasync", "ns", cost?);
    Ok(outcome)
}

/// Repeats `run` until the budget is used up and returns nanoseconds for each of its `units`.
fn repeat(budget: Duration, units: usize, mut run: impl FnMut()) -> f64 {
    run();
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < budget {
        run();
        rounds += units;
    }
    started.elapsed().as_nanos() as f64 / rounds.max(1) as f64
}

fn copy(bytes: usize, budget: Duration) -> f64 {
    let source = vec![1u8; bytes];
    let mut target = vec![0u8; bytes];
    repeat(budget / 4, 64, || {
        for _ in 0..64 {
            std::hint::black_box(&mut target[..]).copy_from_slice(std::hint::black_box(&source));
        }
    })
}

/// One dependent load after the other through a random cycle, a cache line each.
fn chase(mib: usize, budget: Duration) -> f64 {
    const LINE: usize = 8;
    let lines = (mib << 20) / 64;
    let mut order: Vec<usize> = (0..lines).collect();
    Rng::new(mib as u64).shuffle(&mut order);
    let mut memory = vec![0u64; lines * LINE];
    for (here, next) in order.iter().zip(order.iter().cycle().skip(1)) {
        memory[here * LINE] = (next * LINE) as u64;
    }
    let mut place = 0;
    repeat(budget / 2, 1_024, || {
        for _ in 0..1_024 {
            place = memory[place] as usize;
        }
        std::hint::black_box(place);
    })
}

fn lock(budget: Duration) -> f64 {
    let lock = RwLock::new(0u64);
    let lock = std::hint::black_box(&lock);
    repeat(budget / 4, 64, || {
        for _ in 0..64 {
            std::hint::black_box(lock.read().map_or(0, |guard| *guard));
        }
    })
}

fn synced_write(path: &Path, budget: Duration) -> Result<f64, Failure> {
    const SEGMENT: usize = 16 << 20;
    let file = File::options().create(true).truncate(true).write(true).open(path)?;
    // Written once, so that the timed writes neither allocate nor change the file's size.
    file.write_all_at(&vec![0; SEGMENT], 0)?;
    file.sync_all()?;
    let record = [7; RECORD];
    let mut failure = None;
    let mut offset = 0;
    let cost = repeat(budget, 1, || {
        let written = file.write_all_at(&record, offset as u64).and_then(|()| file.sync_data());
        if let Err(error) = written {
            failure = Some(error);
        }
        offset = (offset + RECORD) % SEGMENT;
    });
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(cost),
    }
}
