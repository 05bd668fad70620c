//! What checkpoints cost: `cargo run --release -p holt-engine --example checkpoints -- <keys>`.
//!
//! Loads a database in a directory of its own, then dirties half of it and makes a checkpoint beside
//! a writer, several times; prints the pauses, the writer's latencies with and without checkpoints, the bytes
//! on disk, and how long opening takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holt_engine::{Db, Error, Options};

const ROUNDS: u64 = 8;

fn key(number: u64) -> Vec<u8> {
    // Multiplied by an odd constant: every number once, in no order.
    format!("bucket/{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

/// Overwrites keys until told to stop; the times, sorted, and the elapsed time.
fn write(db: &Db, keys: u64, from: u64, stop: &AtomicBool) -> Result<(Vec<Duration>, f64), Error> {
    let tree = db.default_tree();
    let (mut times, begun, mut number) = (Vec::new(), Instant::now(), from);
    while !stop.load(Ordering::Relaxed) {
        let key = key(number % keys);
        let at = Instant::now();
        tree.put(&key, &number.to_be_bytes())?;
        times.push(at.elapsed());
        number += 1;
    }
    times.sort_unstable();
    Ok((times, begun.elapsed().as_secs_f64()))
}

fn show(what: &str, (times, seconds): &(Vec<Duration>, f64)) {
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{what:24} {:>9.0} puts/s  p50 {:?}  p99 {:?}  p99.9 {:?}  max {:?}",
        times.len() as f64 / seconds,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys: u64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let directory = std::env::temp_dir().join(format!("holt-checkpoints-{}", std::process::id()));
    let mut options = Options::new();
    options.checkpoint_bytes(0);
    let db = options.open(&directory)?;
    let tree = db.default_tree();
    for number in 0..keys {
        tree.put(&key(number), &number.to_be_bytes())?;
    }
    println!("first checkpoint: {:?}", db.checkpoint()?);
    let mut pauses = Vec::new();
    let (mut alone, mut beside) = ((Vec::new(), 0.0), (Vec::new(), 0.0));
    for round in 0..ROUNDS {
        // Keys in hash order: one in a hundred dirties about every frame.
        for number in (0..keys).step_by(100) {
            tree.put(&key(number), b"dirty...")?;
        }
        for (checkpoint, sum) in [(false, &mut alone), (true, &mut beside)] {
            let stop = AtomicBool::new(false);
            let outcome = std::thread::scope(|scope| {
                let writer = scope.spawn(|| write(&db, keys, round * 7919, &stop));
                if checkpoint {
                    db.checkpoint()?;
                } else {
                    std::thread::sleep(Duration::from_millis(300));
                }
                stop.store(true, Ordering::Relaxed);
                writer.join().expect("the writer does not panic")
            })?;
            sum.0.extend(outcome.0);
            sum.1 += outcome.1;
        }
        pauses.push(db.stats()?.checkpoints.last_pause);
    }
    alone.0.sort_unstable();
    beside.0.sort_unstable();
    show("without a checkpoint", &alone);
    show("beside a checkpoint", &beside);
    pauses.sort_unstable();
    println!("pauses of the cut: {pauses:?}");
    let stats = db.stats()?;
    println!("memory {} MB, frames {}", stats.memory_bytes >> 20, stats.frames);
    println!(
        "written {} MB by {} checkpoints",
        stats.checkpoints.bytes >> 20,
        stats.checkpoints.made
    );
    db.checkpoint()?;
    let stats = db.stats()?;
    println!(
        "store {:.1} B/key, live {:.1} B/key, log {} MB",
        stats.store_bytes as f64 / keys as f64,
        stats.live_bytes as f64 / keys as f64,
        stats.log_bytes >> 20
    );
    drop(tree);
    db.close()?;
    for _ in 0..3 {
        let begun = Instant::now();
        let db = options.open(&directory)?;
        println!("opened in {:?}", begun.elapsed());
        db.close()?;
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}
