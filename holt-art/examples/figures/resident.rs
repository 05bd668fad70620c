//! Memory that a map of a shape takes from the system, beside what its frames need.

use holt_art::{Art, Pool};

use crate::shapes::{Random, keys};

/// Bytes of anonymous memory that the process has, where the system tells.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Prints what a key takes after a load at random, and what of that are frames.
pub(crate) fn run(shape: &str, count: usize) {
    let (mut all, length) = keys(shape, count);
    Random(42).shuffle(&mut all);
    let payload: usize = all.iter().map(|key| key.len() + length).sum();
    let value = vec![0x5A; length];
    let before = resident();
    let map = Art::new().expect("memory");
    let empty = resident() - before;
    for key in &all {
        map.put(key, &value).expect("memory");
    }
    let loaded = resident() - before;
    let stats = map.tree().pool().stats();
    let each = |bytes: u64| bytes as f64 / all.len() as f64;
    println!(
        "{shape}, {} keys: payload {:.0} B a key, resident {:.0} B a key ({:.0} KiB of them before \
         the first), frames {:.0} B a key with a fill of {:.3}",
        all.len(),
        each(payload as u64),
        each(loaded),
        empty as f64 / 1024.0,
        each(stats.frames * Pool::FRAME_BYTES as u64),
        stats.fill(),
    );
    if std::env::var_os("HOLT_SMAPS").is_some() {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        print!("{maps}");
    }
}
