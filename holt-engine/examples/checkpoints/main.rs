//! What checkpoints cost: `cargo run --release -p holt-engine --example checkpoints -- <keys>`.
//!
//! Loads a database in a directory of its own, then dirties half of it and makes a checkpoint beside
//! a writer, several times; prints the pauses, the writer's latencies with and without checkpoints, the bytes
//! on disk, and how long opening takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holt_engine::{Db, Error, Options};

const ROUNDS: u64 = 8;

/// Puts that took longer are looked at more closely.
const SLOW: Duration = Duration::from_micros(50);

fn key(number: u64) -> Vec<u8> {
    // Multiplied by an odd constant: every number once, in no order.
    format!("bucket/{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

/// For how long this thread has been ready to run and had no processor, where the system tells: on a
/// machine that has other things to do, that is not the database's time.
fn waited() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// What a writer saw.
#[derive(Default)]
struct Seen {
    /// How long each put took, but for waiting for a processor.
    times: Vec<Duration>,
    /// All of it together, but for that.
    elapsed: Duration,
}

/// Overwrites keys until told to stop.
fn write(db: &Db, keys: u64, from: u64, stop: &AtomicBool) -> Result<Seen, Error> {
    let tree = db.default_tree();
    let mut times = Vec::with_capacity(1 << 22);
    let (begun, waited_before) = (Instant::now(), waited());
    let (mut number, mut delay) = (from, waited_before);
    while !stop.load(Ordering::Relaxed) {
        let key = key(number % keys);
        let at = Instant::now();
        tree.put(&key, &number.to_be_bytes())?;
        let mut time = at.elapsed();
        // Asking takes longer than a put.
        if time > SLOW {
            let now = waited();
            time = time.saturating_sub(now - delay);
            delay = now;
        }
        times.push(time);
        number += 1;
    }
    Ok(Seen { times, elapsed: begun.elapsed().saturating_sub(waited() - waited_before) })
}

fn show(what: &str, Seen { times, elapsed }: &mut Seen) -> f64 {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let rate = times.len() as f64 / elapsed.as_secs_f64();
    println!(
        "{what:20} {rate:>9.0} puts/s  p50 {:?}  p99 {:?}  p99.9 {:?}  p99.99 {:?}  longest {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(0.9999),
        &times[times.len() - 3..]
    );
    rate
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
    let (mut alone, mut beside) = (Seen::default(), Seen::default());
    let mut took = Vec::new();
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
                    let begun = Instant::now();
                    db.checkpoint()?;
                    took.push(begun.elapsed());
                } else {
                    std::thread::sleep(Duration::from_millis(300));
                }
                stop.store(true, Ordering::Relaxed);
                writer.join().expect("the writer does not panic")
            })?;
            sum.times.extend(outcome.times);
            sum.elapsed += outcome.elapsed;
        }
        pauses.push(db.stats()?.checkpoints.last_pause);
    }
    let rates =
        (show("without a checkpoint", &mut alone), show("beside a checkpoint", &mut beside));
    println!("throughput beside a checkpoint: {:.0} %", 100.0 * rates.1 / rates.0);
    println!("checkpoints took {took:?}");
    pauses.sort_unstable();
    println!("pauses of the cut: {pauses:?}");
    let stats = db.stats()?;
    println!("memory {} MB, frames {}", stats.memory_bytes >> 20, stats.frames);
    println!(
        "written {} MB by {} checkpoints, {:.1} MB of log",
        stats.checkpoints.bytes >> 20,
        stats.checkpoints.made,
        stats.log_address as f64 / 1e6
    );
    let puts = keys + ROUNDS * keys.div_ceil(100) + (alone.times.len() + beside.times.len()) as u64;
    let payload = puts * (key(0).len() + 8) as u64;
    println!(
        "write amplification {:.2}: log {:.2}, frames {:.2}",
        (stats.log_address + stats.checkpoints.bytes) as f64 / payload as f64,
        stats.log_address as f64 / payload as f64,
        stats.checkpoints.bytes as f64 / payload as f64
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
