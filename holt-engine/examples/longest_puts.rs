//! What the longest puts beside checkpoints did: `cargo run --release -p holt-engine --example longest_puts -- <keys> <seconds>`.
//!
//! One thread overwrites keys of a small database without waiting for the disk, each put timed, while another makes
//! a checkpoint every 100 ms. Of the ten longest puts it prints when they came, and how the time since the
//! system was last asked, a few hundred puts before, was spent: on a processor, ready and without one, or asleep;
//! and the faults of memory in it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use holt_engine::{Db, Error, Options};

/// Time between the end of one checkpoint and the beginning of the next.
const PAUSE: Duration = Duration::from_millis(100);

/// The system is asked after so many puts, and after each that takes longer than [`SLOW`].
const LOOK: u64 = 512;

/// See [`LOOK`].
const SLOW: Duration = Duration::from_micros(50);

/// Puts that are shown.
const SHOWN: usize = 10;

fn key(number: u64) -> Vec<u8> {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("bucket-{:02}/{:03}/object-{mixed:016x}.bin", number % 16, number / 16 % 256)
        .into_bytes()
}

/// What the system says of this thread.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    running: Duration,
    ready: Duration,
    faults: u64,
}

impl Look {
    fn now() -> Look {
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/thread-self/{name}")).unwrap_or_default()
        };
        let schedstat = read("schedstat");
        let mut nanos = schedstat.split_whitespace().map(|word| word.parse().unwrap_or(0));
        let mut next = || Duration::from_nanos(nanos.next().unwrap_or(0));
        let (running, ready) = (next(), next());
        // Behind the name, which may hold anything, minor faults are the eighth word.
        let stat = read("stat");
        let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let faults = words.skip(7).step_by(2).take(2).map(|word| word.parse().unwrap_or(0)).sum();
        Look { at: Instant::now(), running, ready, faults }
    }
}

/// A put that took long.
struct Long {
    took: Duration,
    since_start: Duration,
    /// Since the checkpoint that was running, or had ended last, had begun.
    since_checkpoint: Duration,
    beside: bool,
    span: Duration,
    running: Duration,
    ready: Duration,
    faults: u64,
}

/// When the last checkpoint began, and whether it runs.
#[derive(Default)]
struct Running {
    begun: AtomicU64,
    on: AtomicBool,
}

fn write(
    db: &Db,
    keys: u64,
    start: Instant,
    time: Duration,
    checkpoint: &Running,
) -> Result<(Vec<Duration>, Vec<Long>), Error> {
    let tree = db.default_tree();
    let names: Vec<Vec<u8>> = (0..keys).map(key).collect();
    let mut times = vec![Duration::ZERO; 8 << 20];
    times.clear();
    let (mut long, mut look, mut number) = (Vec::new(), Look::now(), 0_u64);
    let begun = Instant::now();
    while begun.elapsed() < time && times.len() < times.capacity() {
        let key = &names[(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as usize % names.len()];
        let at = Instant::now();
        tree.put(key, &[number as u8; 48])?;
        let took = at.elapsed();
        times.push(took);
        number += 1;
        if took > SLOW || number.is_multiple_of(LOOK) {
            // Relaxed, both: figures for people.
            let began = Duration::from_nanos(checkpoint.begun.load(Ordering::Relaxed));
            let beside = checkpoint.on.load(Ordering::Relaxed);
            let now = Look::now();
            if took > SLOW {
                long.push(Long {
                    took,
                    since_start: at - begun,
                    since_checkpoint: (at - start).saturating_sub(began),
                    beside,
                    span: now.at - look.at,
                    running: now.running - look.running,
                    ready: now.ready - look.ready,
                    faults: now.faults - look.faults,
                });
            }
            look = now;
        }
    }
    Ok((times, long))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |nth, default| std::env::args().nth(nth).map_or(Ok(default), |text| text.parse());
    let (keys, seconds) = (number(1, 20_000)?, number(2, 3)?);
    let directory = std::env::temp_dir().join(format!("holt-longest-{}", std::process::id()));
    let db = Options::new().open(&directory)?;
    let tree = db.default_tree();
    for number in 0..keys {
        tree.put(&key(number), &[0; 48])?;
    }
    for checkpoints in [false, true] {
        let (done, running) = (AtomicBool::new(false), Running::default());
        let start = Instant::now();
        let (mut times, mut long, took) = std::thread::scope(|scope| {
            let tidying = scope.spawn(|| {
                let mut took = Vec::new();
                while checkpoints && !done.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    running.begun.store((begun - start).as_nanos() as u64, Ordering::Relaxed);
                    running.on.store(true, Ordering::Relaxed);
                    db.checkpoint()?;
                    running.on.store(false, Ordering::Relaxed);
                    took.push(begun.elapsed());
                    std::thread::sleep(PAUSE);
                }
                Ok::<_, Error>(took)
            });
            let wrote = write(&db, keys, start, Duration::from_secs(seconds), &running);
            done.store(true, Ordering::Relaxed);
            let took = tidying.join().expect("the thread does not panic")?;
            let (times, long) = wrote?;
            Ok::<_, Error>((times, long, took))
        })?;
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        println!(
            "{} checkpoints: {} puts, p50 {:?}  p99 {:?}  p99.9 {:?}  p99.99 {:?}  longest {:?}",
            took.len(),
            times.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            at(1.0)
        );
        if let (Some(least), Some(most)) = (took.iter().min(), took.iter().max()) {
            println!("they took {least:?} to {most:?}");
        }
        long.sort_by_key(|put| std::cmp::Reverse(put.took));
        for put in long.iter().take(SHOWN) {
            let asleep = put.span.saturating_sub(put.running + put.ready);
            println!(
                "  {:>9.1?} at {:>7.1?} ({:>6.1?} {}); in {:>7.1?} before: running {:>7.1?}, ready {:>8.1?}, asleep {:>8.1?}, {} faults",
                put.took,
                put.since_start,
                put.since_checkpoint,
                if put.beside { "into a checkpoint" } else { "after one began, none runs" },
                put.span,
                put.running,
                put.ready,
                asleep,
                put.faults
            );
        }
    }
    drop(tree);
    db.close()?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}
