//! Figures of a database that is larger than its cache: memory, frames read, and the time of a get, with
//! the system's cache of the files warm or given up.
//!
//! `cargo run --release -p holt-engine --example cold -- [keys] [percent of the frames in the cache] [gets]`
//!
//! Rounds of so many gets each; before the first, the system has given up what it had of the files.

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use holt_engine::{Db, Options};
use rustix::fs::Advice;

/// Anonymous memory of the process that is resident, in MiB, where the system tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

fn key(n: u64) -> [u8; 16] {
    let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mixed.to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let keys = arguments.next().transpose()?.unwrap_or(500_000);
    let percent = arguments.next().transpose()?.unwrap_or(10);
    let gets = u32::try_from(arguments.next().transpose()?.unwrap_or(20_000))?;
    // Where the system keeps temporary files there may be no device.
    let directory = tempfile::tempdir_in(".")?;
    let db = Db::open(directory.path())?;
    for n in 0..keys {
        db.default_tree().put(&key(n), &[n as u8; 100])?;
    }
    db.checkpoint()?;
    let frames = db.stats()?.frames;
    db.close()?;

    let cache = frames * 65_536 * percent / 100;
    for entry in std::fs::read_dir(directory.path())? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    let begun = Instant::now();
    let db = Options::new().cache_bytes(cache).open(directory.path())?;
    let opened = begun.elapsed();
    println!(
        "{keys} keys in {frames} frames, a cache of {} MiB, opened in {opened:?}",
        cache >> 20
    );
    let tree = db.default_tree();
    let mut random = 1_u64;
    for round in 0..3 {
        let before = db.stats()?.cache;
        let begun = Instant::now();
        for _ in 0..gets {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let found = tree.contains(&key((random >> 33) % keys))?;
            assert!(found, "every key was put");
        }
        let each = begun.elapsed() / gets;
        let after = db.stats()?.cache;
        let reads = (after.reads - before.reads) as f64 / f64::from(gets);
        println!("round {round}: {each:?} a get, {reads:.2} frames read for each");
    }
    let before = db.stats()?.cache.reads;
    let begun = Instant::now();
    let listed = tree.scan().keys_only().into_iter().count();
    let took = begun.elapsed();
    let reads = db.stats()?.cache.reads - before;
    println!("list of all {listed}: {took:?}, {reads} frames read");
    println!("resident {} MiB, of them frames {} MiB", resident(), db.stats()?.memory_bytes >> 20);
    Ok(())
}
