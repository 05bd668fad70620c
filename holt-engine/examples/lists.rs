//! Times of lists: the engine's beside those of the tree below it, which hold the same records.
//!
//! `cargo run --release -p holt-engine --example lists -- [keys] [shape …]`
//!
//! A shape is `objstore`, `fs` or `kv`. The lists are those that `cargo xtask bench` asks for: up to 100
//! records of a directory (of `kv`, behind a key), its names alone, and up to 8 groups of a level. Each figure is
//! the best of many rounds, in which the ways of listing take turns; an entry of a list of groups is a whole list.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use holt_art::{Art, EntryRef};
use holt_engine::{Db, Error, Tree};

/// Entries of a list.
const LIST: u64 = 100;
/// Groups of a list.
const GROUPS: u64 = 8;
/// Lists of a round.
const LISTS: usize = 200;
/// Rounds.
const ROUNDS: usize = 60;

/// What a list asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Records,
    Reverse,
    Keys,
    Groups,
    Owned,
}

const WHATS: [(What, &str); 5] = [
    (What::Records, "records, in place"),
    (What::Reverse, "records, in reverse"),
    (What::Keys, "keys, in place"),
    (What::Owned, "records, owned"),
    (What::Groups, "8 groups, a list"),
];

/// A prefix, and the key after which the list starts.
type Query = (Vec<u8>, Option<Vec<u8>>);

struct Maps {
    art: Art,
    tree: Tree,
}

impl Maps {
    /// A list of the tree alone; how long it is.
    fn art(&self, what: What, (prefix, after): &Query, see: &mut dyn FnMut(&[u8], &[u8])) -> u64 {
        let limit = if what == What::Groups { GROUPS } else { LIST };
        let mut scan = holt_art::Scan::prefix(prefix)
            .keys_only(matches!(what, What::Keys | What::Groups))
            .limit(limit);
        if let Some(after) = after {
            scan = scan.start_after(after);
        }
        if what == What::Groups {
            scan = scan.delimiter(b"/");
        }
        let mut cursor = self.art.scan(scan.reverse(what == What::Reverse));
        let mut count = 0;
        if what == What::Owned {
            return cursor.map(|entry| drop(black_box(entry.expect("sound")))).count() as u64;
        }
        while count < limit
            && let Some(entry) = cursor.next_ref().expect("sound")
        {
            match entry {
                EntryRef::Key { key, value, .. } => see(key, value),
                EntryRef::Group { name } => see(name, b""),
            }
            count += 1;
        }
        count
    }

    /// The same of the engine.
    fn tree(&self, what: What, (prefix, after): &Query, see: &mut dyn FnMut(&[u8], &[u8])) -> u64 {
        let limit = if what == What::Groups { GROUPS } else { LIST };
        let scan = self.tree.prefix(prefix).limit(limit);
        let scan = if matches!(what, What::Keys | What::Groups) { scan.keys_only() } else { scan };
        let scan = match after {
            Some(after) => scan.start_after(after),
            None => scan,
        };
        let scan = if what == What::Groups { scan.delimiter(b"/") } else { scan };
        let scan = if what == What::Reverse { scan.reverse() } else { scan };
        let mut count = 0;
        if what == What::Owned {
            return scan.into_iter().map(|entry| drop(black_box(entry.expect("sound")))).count()
                as u64;
        }
        let ended = scan.visit(|entry| {
            see(entry.name(), entry.value().unwrap_or_default());
            count += 1;
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(ended.expect("sound"), None);
        count
    }
}

/// The best time of an entry (of a list, for groups), in nanoseconds.
fn time(best: &mut f64, what: What, queries: &[Query], mut list: impl FnMut(&Query) -> u64) {
    let start = Instant::now();
    let entries: u64 = queries.iter().map(|query| list(black_box(query))).sum();
    let of = if what == What::Groups { queries.len() as u64 } else { entries };
    *best = best.min(start.elapsed().as_nanos() as f64 / of.max(1) as f64);
}

/// A key of a shape.
fn key(shape: &str, n: usize) -> Vec<u8> {
    match shape {
        "objstore" => {
            let (file, sub, path, bucket) = (n % 128, n / 128 % 8, n / 1024 % 8, n / 8192);
            format!("bucket-{bucket:02}/path-{path}/sub-{sub}/file-{file:04}.bin").into_bytes()
        }
        "fs" => format!("/usr/local/share/category-{}/file-{:04}", n / 128, n % 128).into_bytes(),
        "kv" => {
            let words = (0..4).scan(n as u64 + 1, |state, _| {
                *state = mix(*state);
                Some(*state)
            });
            words.flat_map(u64::to_le_bytes).collect()
        }
        other => panic!("no shape {other}"),
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}

/// A path up to and with its last delimiter.
fn parent(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    path[..end].to_vec()
}

/// Where the list that begins at a key looks.
fn query(shape: &str, what: What, key: &[u8]) -> Query {
    let directory = parent(key);
    let above = parent(&directory[..directory.len().saturating_sub(1)]);
    match (shape, what) {
        ("kv", _) => (Vec::new(), Some(key.to_vec())),
        ("fs", What::Groups) => (above, Some([&directory[..], b"\xff"].concat())),
        (_, What::Groups) => (above, None),
        _ => (directory, None),
    }
}

fn run(shape: &str, count: usize) -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let db = Db::open(directory.path())?;
    let maps = Maps { art: Art::new().expect("memory"), tree: db.default_tree() };
    let value = vec![0x5A; if shape == "fs" { 32 } else { 64 }];
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&n| mix(n as u64 ^ 0x5EED));
    for &n in &order {
        maps.art.put(&key(shape, n), &value).expect("memory");
        maps.tree.put(&key(shape, n), &value)?;
    }
    let mut best = [[f64::MAX; 2]; WHATS.len()];
    for round in 0..ROUNDS {
        for ((what, _), best) in WHATS.into_iter().zip(&mut best) {
            if shape == "kv" && what == What::Groups {
                continue;
            }
            let keys = order.iter().cycle().skip(round * LISTS).take(LISTS);
            let queries: Vec<Query> = keys.map(|&n| query(shape, what, &key(shape, n))).collect();
            let mut sum = 0;
            let mut see = |key: &[u8], value: &[u8]| {
                for bytes in [key, value] {
                    if let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) {
                        sum += u64::from(first) + u64::from(last) + bytes.len() as u64;
                    }
                }
            };
            time(&mut best[0], what, &queries, |query| maps.art(what, query, &mut see));
            time(&mut best[1], what, &queries, |query| maps.tree(what, query, &mut see));
            black_box(sum);
        }
    }
    println!("{shape}, {count} keys: ns an entry in the tree, and in the engine");
    for ((what, name), [art, tree]) in WHATS.into_iter().zip(best) {
        if shape != "kv" || what != What::Groups {
            println!("  {name:<24} {art:8.1} {tree:8.1}");
        }
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(20_000, |text| text.parse().expect("a number of keys"));
    let mut shapes: Vec<String> = arguments.collect();
    if shapes.is_empty() {
        shapes = ["objstore", "fs", "kv"].map(String::from).to_vec();
    }
    shapes.iter().try_for_each(|shape| run(shape, count))
}
