//! The memory of the whole process, for a database ten times larger than its cache. A test alone in its
//! process, as others would be in the figure.
#![cfg(target_os = "linux")]

use holt_engine::Options;

/// Bytes of the cache.
const CACHE: u64 = 8 << 20;

/// What the options say that there is besides for so many frames and large values: twice the ring, 150 bytes for
/// each of them, a checkpoint's buffers; and 6 MiB for what the allocator keeps, stacks and half-used huge
/// pages.
fn beside(objects: u64) -> u64 {
    2 * (32 << 20) + objects * 150 + (2 << 20) + (6 << 20)
}

/// Anonymous memory of the process that is resident, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
    kib << 10
}

#[test]
fn the_process_keeps_to_the_cache_while_it_loads_reads_and_overwrites() {
    let before = resident();
    with_small_values(before);
    with_large_values(before);
}

fn with_small_values(before: u64) {
    let directory = tempfile::tempdir().unwrap();
    let open = || Options::new().cache_bytes(CACHE).open(directory.path()).unwrap();
    let db = open();
    let tree = db.default_tree();
    let key = |n: u32| format!("{:08x}", n.wrapping_mul(0x9E37_79B1)).into_bytes();
    let keys = 96_000_u32;
    let mut most = 0;
    for n in 0..keys {
        tree.put(&key(n), &[n as u8; 900]).unwrap();
        if n.is_multiple_of(1_000) {
            most = most.max(resident() - before);
        }
    }
    let stats = db.stats().unwrap();
    assert!(stats.frames * 65_536 > 10 * CACHE, "{stats:?}");
    drop(tree);
    db.close().unwrap();
    let db = open();
    let tree = db.default_tree();
    for n in 0..20_000 {
        let n = n * 7919 % keys;
        let found = tree.get(&key(n)).unwrap();
        assert_eq!(found, Some(vec![n as u8; 900]));
        if n.is_multiple_of(10) {
            tree.put(&key(n), &[n as u8; 900]).unwrap();
        }
        if n.is_multiple_of(100) {
            most = most.max(resident() - before);
        }
    }
    assert!(tree.scan().keys_only().into_iter().count() == keys as usize);
    most = most.max(resident() - before);
    let stats = db.stats().unwrap();
    assert!(stats.memory_bytes <= CACHE, "{stats:?}");
    // With all frames in memory it would be more.
    let bound = CACHE + beside(stats.frames);
    assert!(most <= bound && bound < stats.frames * 65_536, "{most} bytes for a cache of {CACHE}");
}

/// As above, with 2,500 values of 4 to 128 KiB.
fn with_large_values(before: u64) {
    let directory = tempfile::tempdir().unwrap();
    let open = || Options::new().cache_bytes(CACHE).open(directory.path()).unwrap();
    let db = open();
    let tree = db.default_tree();
    let key = |n: u32| format!("{:08x}", n.wrapping_mul(0x9E37_79B1)).into_bytes();
    let value = |n: u32| vec![n as u8; (4 << 10) + n as usize * 7919 % (124 << 10)];
    let keys = 2_500_u32;
    let (mut most, mut total) = (0, 0);
    for n in 0..keys {
        tree.put(&key(n), &value(n)).unwrap();
        total += value(n).len() as u64;
        if n.is_multiple_of(100) {
            most = most.max(resident() - before);
        }
    }
    assert!(total > 10 * CACHE);
    drop(tree);
    db.close().unwrap();
    let db = open();
    let tree = db.default_tree();
    let mut found = Vec::new();
    for n in 0..4_000 {
        let n = n * 7919 % keys;
        assert!(tree.get_into(&key(n), &mut found).unwrap().is_some() && found == value(n));
        if n.is_multiple_of(10) {
            tree.put(&key(n), &value(n)).unwrap();
        }
        if n.is_multiple_of(100) {
            most = most.max(resident() - before);
        }
    }
    let stats = db.stats().unwrap();
    assert!(stats.memory_bytes <= CACHE, "{stats:?}");
    // With all values in memory it would be more.
    let bound = CACHE + beside(u64::from(keys) + stats.frames);
    assert!(most <= bound && bound < total, "{most} bytes for a cache of {CACHE} and {total}");
}
