//! What a small map takes from the system. Alone in its process, so that nothing else is counted.

#![cfg(target_os = "linux")]

use holt_art::Art;

/// Bytes of anonymous memory that the process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() << 10
}

/// Each arena would take 2 MiB for its first word, were it in huge pages from the beginning.
#[test]
fn a_small_map_takes_little_more_than_its_frames() {
    let before = resident();
    let map = Art::new().unwrap();
    for n in 0..20_000u32 {
        // In an order that is not that of the keys.
        let n = n * 7_919 % 20_000;
        let key = format!("bucket-{:02}/path/sub/file-{:06}.bin", n % 32, n / 32);
        map.put(key.as_bytes(), &[7; 60]).unwrap();
    }
    // Among them a value that has an arena of its own.
    map.put(b"large", &[7; 10_000]).unwrap();
    let (taken, stats) = (resident() - before, map.tree().pool().stats());
    assert!(taken >= stats.live_bytes, "{taken} bytes for {stats:?}");
    assert!(taken <= stats.slot_bytes + (1 << 20), "{taken} bytes for {stats:?}");
}
