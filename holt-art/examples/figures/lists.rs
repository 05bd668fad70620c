//! Times of lists, by entry: in place, owned, and owned by hand.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use holt_art::{Art, Entry, EntryRef, Scan};

use crate::shapes::{Random, empty_map, keys};

/// Records of a list.
const LIST: u64 = 100;
/// Records of a long list.
const LONG: u64 = 20_000;
/// Lists of a round.
const LISTS: usize = 200;
/// Rounds, the ways of listing one after the other in each.
const ROUNDS: usize = 150;

/// A way of listing: what it is called, and a list that it says the length of.
type Way = (&'static str, fn(&Art, Scan) -> usize);

const WAYS: [Way; 4] = [
    ("in place", in_place),
    ("owned, dropped", |map, scan| {
        map.scan(scan).map(|entry| drop(black_box(entry.expect("sound")))).count()
    }),
    ("owned, kept", |map, scan| {
        let list: Vec<Entry> = map.scan(scan).collect::<Result<_, _>>().expect("sound");
        black_box(list).len()
    }),
    ("two vectors an entry", |map, scan| {
        let mut list = Vec::new();
        visit(map, scan, |entry| {
            list.push((entry.name().to_vec(), entry.value().unwrap_or_default().to_vec()));
        });
        black_box(list).len()
    }),
];

fn visit(map: &Art, scan: Scan, mut see: impl FnMut(EntryRef<'_>)) {
    let _ = map
        .scan(scan)
        .visit::<()>(|entry| {
            see(entry);
            ControlFlow::Continue(())
        })
        .expect("sound");
}

fn in_place(map: &Art, scan: Scan) -> usize {
    let mut count = 0;
    visit(map, scan, |entry| {
        black_box(entry);
        count += 1;
    });
    count
}

/// Prints the time of an entry, the best of many rounds, for short and long lists.
pub(crate) fn run(shape: &str, count: usize) {
    let (mut set, length) = keys(shape, count);
    Random(42).shuffle(&mut set);
    let map = empty_map();
    let value = vec![0x5A; length];
    for key in &set {
        map.put(key, &value).expect("memory");
    }
    let mut short = [f64::MAX; WAYS.len()];
    let mut long = [f64::MAX; WAYS.len()];
    for round in 0..ROUNDS {
        for (way, (short, long)) in short.iter_mut().zip(&mut long).enumerate() {
            let list = WAYS[way].1;
            let mut entries = 0;
            let start = Instant::now();
            for key in set.iter().cycle().skip(round * LISTS).take(LISTS) {
                entries += list(&map, Scan::range(black_box(key.as_slice())..).limit(LIST));
            }
            *short = short.min(start.elapsed().as_nanos() as f64 / entries as f64);
            let start = Instant::now();
            let entries = list(&map, Scan::all().limit(LONG));
            *long = long.min(start.elapsed().as_nanos() as f64 / entries as f64);
        }
    }
    println!("{shape}, {} keys, ns an entry: lists of {LIST}, and of {LONG}", set.len());
    for ((name, _), (short, long)) in WAYS.iter().zip(short.iter().zip(&long)) {
        println!("  {name:<24} {short:8.1} {long:8.1}");
    }
}
