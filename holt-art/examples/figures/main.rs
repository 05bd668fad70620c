//! Time and memory of the tree for the key shapes that it is made for.
//!
//! `cargo run --release -p holt-art --example figures -- [what] [keys] [shape …]`
//!
//! *what* is `times` (as without it), or, for figures that are the same in every run,
//! `fill` (after a load), `churn` (under lasting change) or `shrink` (while keys go, at random and in order); `puts`, `loads` and `lists` time these alone, each the best of
//! many rounds; `many` compares many gets at once with gets one by one; `points` times single gets and puts, `threads`
//! those of two threads beside those of one; `resident` tells what a map takes from the system. `values` tells what large
//! values take: its number is one of MiB, and its shapes are lengths, `5000` or `1024-65536`. Else a shape is `objstore`, `fs`, `kv`,
//! `url`, `deep` or a file with a path a line.
//!
//! Absolute times drift from run to run on shared machines: compare lines of one run.

mod churn;
mod frames;
mod lists;
mod points;
mod resident;
mod shapes;
mod shrink;
mod times;
mod values;

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let run = match arguments.first().map(String::as_str) {
        Some("fill") => times::fill,
        Some("churn") => churn::run,
        Some("shrink") => shrink::run,
        Some("puts") => times::puts,
        Some("many") => times::many,
        Some("loads") => times::loads,
        Some("lists") => lists::run,
        Some("frames") => frames::run,
        Some("resident") => resident::run,
        Some("points") => points::run,
        Some("threads") => points::threads,
        Some("values") => values::run,
        _ => times::run,
    };
    const WHAT: [&str; 13] = [
        "times", "fill", "churn", "shrink", "puts", "loads", "lists", "many", "frames", "resident",
        "points", "threads", "values",
    ];
    let values = arguments.first().is_some_and(|first| first == "values");
    let (usual, all) = match values {
        true => (64, &values::LENGTHS[..]),
        false => (500_000, &["objstore", "fs", "kv"][..]),
    };
    if arguments.first().is_some_and(|first| WHAT.contains(&first.as_str())) {
        arguments.remove(0);
    }
    let mut arguments = arguments.into_iter();
    let count = arguments.next().map_or(usual, |text| text.parse().expect("a number"));
    let mut shapes: Vec<String> = arguments.collect();
    if shapes.is_empty() {
        shapes = all.iter().copied().map(String::from).collect();
    }
    for shape in shapes {
        run(&shape, count);
    }
}
