//! What a logged write costs in the first moments of a database, where the mean is made of bursts: the time of every single
//! operation, not the best of many.
//!
//! `cargo run --release -p holt-engine --example log_bursts [rounds] [memory|buffered|os|sync] [keys] [milliseconds]`
//!
//! Each round opens a fresh database in the directory for temporary files (which has to be on the device that is to be
//! measured), puts the keys at random, runs each operation for so many milliseconds, and puts the keys in order into
//! another fresh database. Printed for each operation and round: the mean, percentiles, the longest, the share of all time that the
//! slowest 0.1 % took, and what the thread's page faults and waits were.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use holt_engine::{Db, Durability, Options, Tree};

type Failure = Box<dyn std::error::Error>;

/// Operations of one round, at most.
const MOST: usize = 1 << 22;

/// Operations that are made up beforehand and gone round in.
const STEPS: usize = 1 << 15;

/// Bytes that the frames may take, and as many that large values may.
const MEMORY: u64 = 1 << 30;

/// Bytes of a plain file that is written a record at a time.
const PLAIN: u64 = 16 << 20;

fn key(number: usize) -> Vec<u8> {
    let (file, sub) = (number % 128, number / 128 % 8);
    let (path, bucket) = (number / 1_024 % 8, number / 8_192);
    format!("bucket-{bucket:02}/path-{path}/sub-{sub}/file-{file:04}.bin").into_bytes()
}

fn value(number: u64) -> Vec<u8> {
    let bits = mixed(number);
    let (size, time) = (bits % 10_000_000, 1_500_000_000 + bits % 200_000_000);
    let etag = mixed(bits);
    format!("{{\"size\":{size:07},\"etag\":\"{etag:016x}\",\"mtime\":{time:010}}}").into_bytes()
}

fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

/// Faults and waits of the calling thread so far: minor faults, waits of its own accord, other switches.
fn counters() -> [u64; 3] {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let (stat, status) = (read("/proc/thread-self/stat"), read("/proc/thread-self/status"));
    // Behind the name, which may hold anything, the seventh field is that of the minor faults.
    let faults = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(7));
    let switches = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    [
        faults.and_then(|text| text.parse().ok()).unwrap_or(0),
        switches("voluntary_ctxt_switches:").unwrap_or(0),
        switches("nonvoluntary_ctxt_switches:").unwrap_or(0),
    ]
}

/// What one operation needs.
struct Step {
    key: Vec<u8>,
    /// A key beside it that is not there.
    fresh: Vec<u8>,
    value: Vec<u8>,
}

impl Step {
    fn new(number: usize, generation: u64) -> Step {
        let key = key(number);
        let fresh = [&key, &b"~"[..]].concat();
        Step { key, fresh, value: value(number as u64 ^ generation << 32) }
    }
}

/// Times single operations and says what they were like.
struct Watch {
    /// Nanoseconds of each, in memory that was touched before.
    times: Vec<u32>,
}

impl Watch {
    fn load(&mut self, name: &str, tree: &Tree, steps: &[Step]) -> Result<(), Failure> {
        self.run(name, None, |number| {
            tree.put(&steps[number].key, &steps[number].value)?;
            Ok(number + 1 < steps.len())
        })
    }

    /// Calls `work` with 0, 1, … until it says that it is done or the time is over.
    fn run(
        &mut self,
        name: &str,
        budget: Option<Duration>,
        mut work: impl FnMut(usize) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        self.times.clear();
        let before = counters();
        let begun = Instant::now();
        let mut last = begun;
        loop {
            let more = work(self.times.len())?;
            let now = Instant::now();
            self.times.push((now - last).as_nanos().try_into().unwrap_or(u32::MAX));
            last = now;
            let over = budget.is_some_and(|budget| now - begun >= budget);
            if over || !more || self.times.len() == MOST {
                break;
            }
        }
        let after = counters();
        self.times.sort_unstable();
        let count = self.times.len();
        let sum: u64 = self.times.iter().map(|&time| u64::from(time)).sum();
        let slow: u64 =
            self.times[count - count.div_ceil(1000)..].iter().map(|&t| u64::from(t)).sum();
        let at = |share: f64| self.times[((count - 1) as f64 * share) as usize];
        let [faults, waits, switches] = [0, 1, 2].map(|which| after[which] - before[which]);
        println!(
            "{name:16} {:7.1} ns  p50 {:5}  p99 {:6}  p99.9 {:7}  most {:9}  slowest 0.1 %: {:4.1} %  \
             n {count:7} faults {faults:5} waits {waits:4} switches {switches:3}",
            sum as f64 / count as f64,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            slow as f64 * 100.0 / sum as f64,
        );
        Ok(())
    }
}

/// Opens a database at the durability, or one in memory if there is none.
fn open(path: &Path, durability: Option<Durability>) -> Result<(Db, Tree), Failure> {
    let mut options = Options::new();
    // Profilers do not like what the default reserves.
    options.memory_bytes(MEMORY);
    let db = match durability {
        Some(durability) => options.durability(durability).open(path)?,
        None => options.in_memory()?,
    };
    let tree = db.default_tree();
    Ok((db, tree))
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let durability = match arguments.next().as_deref() {
        Some("memory") => None,
        None | Some("buffered") => Some(Durability::Buffered),
        Some("os") => Some(Durability::Os),
        Some("sync") => Some(Durability::Sync),
        Some(other) => return Err(format!("no durability is called {other}").into()),
    };
    let count: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let budget = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let budget = Some(Duration::from_millis(budget));

    // Everything lies in memory in the order in which it is used, so that fetching it costs little.
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, mixed(last as u64) as usize % (last + 1));
    }
    let random: Vec<Step> = order.iter().map(|&number| Step::new(number, 0)).collect();
    let mut ordered: Vec<Step> = (0..count).map(|number| Step::new(number, 0)).collect();
    ordered.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let pick = |number: usize| mixed(number as u64 ^ 77) as usize % count;
    let steps: Vec<Step> =
        (0..STEPS).map(|number| Step::new(pick(number), number as u64 + 1)).collect();
    let step = |number: usize| &steps[number % STEPS];
    let mut watch = Watch { times: vec![1; MOST] };
    watch.run("(clock alone)", budget, |number| Ok(!step(number).key.is_empty()))?;
    if durability == Some(Durability::Os) {
        let plain = tempfile::tempfile()?;
        let record = [7; 128];
        // In small pieces: what one write brings, later ones pay for as a whole.
        for at in (0..PLAIN).step_by(64 << 10) {
            plain.write_all_at(&[0; 64 << 10], at)?;
        }
        watch.run("(plain write)", budget, |number| {
            plain.write_all_at(&record, (number * record.len()) as u64 % PLAIN)?;
            Ok(true)
        })?;
    }

    for round in 0..rounds {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("random");
        let (db, tree) = open(&path, durability)?;
        if durability == Some(Durability::Sync) {
            // A load of single synced puts is a measurement of the device.
            for Step { key, value, .. } in &random {
                tree.put_with(key, value, Durability::Buffered)?;
            }
            db.sync()?;
        } else {
            watch.load("load, random", &tree, &random)?;
        }
        // Reads come between the load and the writes, as they do in the benchmark.
        watch.run("get", budget, |number| Ok(tree.get(&step(number).key)?.is_some()))?;
        watch.run("put (overwrite)", budget, |number| {
            let Step { key, value, .. } = step(number);
            tree.put(key, value)?;
            Ok(true)
        })?;
        watch.run("create + delete", budget, |number| {
            let Step { fresh, value, .. } = step(number);
            tree.put(fresh, value)?;
            tree.delete(fresh)?;
            Ok(true)
        })?;
        watch.run("rename", budget, |number| {
            let Step { key, fresh, .. } = step(number / 2);
            let (from, to) = if number % 2 == 0 { (key, fresh) } else { (fresh, key) };
            let _ = tree.rename(from, to)?;
            Ok(true)
        })?;
        let sum = db.stats()?;
        println!(
            "  {:?}, {} MiB of log, {} checkpoints",
            sum.log_segments,
            sum.log_address >> 20,
            sum.checkpoints.made
        );
        drop((db, tree));
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }

        if durability != Some(Durability::Sync) {
            let path = directory.path().join("ordered");
            let (db, tree) = open(&path, durability)?;
            watch.load("load, ordered", &tree, &ordered)?;
            drop((db, tree));
        }
        println!("-- round {} of {rounds}", round + 1);
    }
    Ok(())
}
