//! Walks that take latches, against those that validate.

use std::ops::Bound;

use super::batch::Batch;
use super::scan::Scan;
use super::walker::{Limits, Stacks, Walked, Walker, Way};
use crate::{Art, Condition, PoolOptions, Removed, Version};

/// A tree of many frames, with values in frames and outside them.
fn large() -> Art {
    let map = Art::with_options(PoolOptions::with_bytes(64 << 20, 64 << 20)).unwrap();
    for n in 0..6_000u32 {
        let key = format!("d{}/sub-{}/{:05}", n % 7, n % 31, n.wrapping_mul(7_919) % 6_000);
        let length = if n % 97 == 0 { 9_000 } else { n as usize % 150 };
        map.put(key.as_bytes(), &vec![n as u8; length]).unwrap();
    }
    assert!(map.tree().pool().stats().frames > 4);
    map
}

/// The walk of a cursor that lost every race, batch by batch.
fn latched(map: &Art, scan: &Scan) -> Vec<(Vec<u8>, Option<Version>)> {
    let mut names = Vec::new();
    let near = if scan.reverse { &scan.upper } else { &scan.lower };
    let mut from = near.as_ref().map(|name| name.to_vec());
    loop {
        let mut batch = Batch::default();
        let limits = Limits { names: 100, bytes: 20_000, ahead: 0, values: 0 };
        let pool = map.tree().pool();
        let mut stacks = Stacks::default();
        let walker = Walker::new(pool, scan, Way::Latched, limits, &mut batch, &mut stacks);
        let from_ref = from.as_ref().map(Vec::as_slice);
        let walked = walker.walk(map.tree().root().get(), from_ref).unwrap();
        names.extend(batch.items().iter().map(|item| match item.entry(batch.bytes()) {
            crate::EntryRef::Key { key, version, .. } => (key.to_vec(), Some(version)),
            crate::EntryRef::Group { name } => (name.to_vec(), None),
        }));
        let last = batch.items().last().map(|item| item.name(batch.bytes()).to_vec());
        match (walked, last) {
            (Walked::End, _) => return names,
            (Walked::More, Some(last)) => from = Bound::Excluded(last),
            (Walked::More, None) => panic!("a latched walk got nowhere"),
        }
    }
}

#[test]
fn a_latched_walk_lists_what_an_optimistic_one_does() {
    let map = large();
    for scan in [Scan::all(), Scan::prefix(b"d3/"), Scan::range(&b"d1"[..]..&b"d5/sub-2"[..])] {
        for reverse in [false, true] {
            let scan = scan.clone().reverse(reverse);
            let expected: Vec<_> = map
                .scan(scan.clone())
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.name().to_vec(), entry.version()))
                .collect();
            assert!(!expected.is_empty());
            assert!(latched(&map, &scan) == expected);
        }
    }
    // Every latch has been given back.
    let removed = map.remove_if(b"d0/sub-0/00000", Condition::Always).unwrap();
    assert!(matches!(removed, Removed::Removed(_)));
    assert_eq!(map.verify(), []);
}
