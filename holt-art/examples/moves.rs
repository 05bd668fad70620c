//! Time of renaming, counting and removing a directory, by the number of keys below it.
//!
//! `cargo run --release -p holt-art --example moves`

use std::time::{Duration, Instant};

use holt_art::{Art, Existing};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() -> Result<(), holt_art::Error> {
    println!(
        "{:>9} keys {:>12} {:>12} {:>12} {:>14}",
        "", "rename", "count", "remove", "reclaim a key"
    );
    for keys in [1usize, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let map = Art::new()?;
        for n in 0..keys {
            let key = format!("bucket/dir/{:04}/file-{n:07}", n / 256);
            map.put(key.as_bytes(), &[7; 60])?;
        }
        for n in 0..200_000 {
            map.put(format!("other/{:04}/file-{n:07}", n / 256).as_bytes(), &[7; 60])?;
        }
        let names = ["bucket/dir/", "archive/2026/"];
        let mut renames = Vec::new();
        for turn in 0..101 {
            let start = Instant::now();
            map.rename_prefix(
                names[turn % 2].as_bytes(),
                names[1 - turn % 2].as_bytes(),
                Existing::Refuse,
            )?;
            renames.push(start.elapsed());
        }
        let mut counts = Vec::new();
        for _ in 0..11 {
            let start = Instant::now();
            assert_eq!(map.tree().count(names[1].as_bytes())?, keys as u64);
            counts.push(start.elapsed());
        }
        let start = Instant::now();
        assert!(map.remove_prefix(names[1].as_bytes())?);
        let removed = start.elapsed();
        let start = Instant::now();
        while map.reclaim(64)? {}
        let each = start.elapsed() / keys as u32;
        assert_eq!(map.len(), 200_000);
        let (renamed, counted) = (median(renames), median(counts));
        println!("{keys:>9}      {renamed:>12.1?} {counted:>12.1?} {removed:>12.1?} {each:>14.1?}");
    }
    Ok(())
}
