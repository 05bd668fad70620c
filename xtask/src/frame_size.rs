//! `cargo xtask frame-size`: the tree with frames of several sizes, side by side, as `docs/frame-size.md`.
//!
//! The size is a constant of `holt-art` and no option: offsets, limits and the format of images
//! follow from it. So each size is built from a copy of the crate in which the constant differs,
//! a workspace of its own below `target/`. All sizes are then measured in turns, round after
//! round; of each figure the best round is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, workspace};

/// The sizes that references can address, in KiB.
const SIZES: [usize; 3] = [16, 32, 64];
const SHAPES: [&str; 3] = ["objstore", "fs", "kv"];
const KEYS: [usize; 3] = [20_000, 500_000, 2_000_000];
const ROUNDS: usize = 3;

/// The line of `holt-art/src/frame/mod.rs` with the constant, up to its value.
const CONSTANT: &str = "pub(crate) const FRAME_WORDS: usize = ";
/// The line that ties the constant to the references.
const TIE: &str = "assert!(FRAME_WORDS == 1 << 13,";

/// Figures of a size for a shape and number of keys: fill, crossings, put, get, copy.
type Figures = [f64; 5];

/// Measures, with the numbers of keys in `arguments` or the usual ones, and writes the page.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let keys: Vec<usize> = match arguments {
        [] => KEYS.to_vec(),
        some => some.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
    };
    let place = workspace::root().join("target/frame-size");
    let binaries: Vec<PathBuf> =
        SIZES.iter().map(|&size| build(&place, size)).collect::<Result<_, _>>()?;
    let mut best: BTreeMap<(usize, usize, usize), Figures> = BTreeMap::new();
    for round in 0..ROUNDS {
        for (shape, name) in SHAPES.iter().enumerate() {
            for &count in &keys {
                for (size, binary) in binaries.iter().enumerate() {
                    let figures = measure(binary, name, count)?;
                    println!(
                        "round {}: {name}, {count}, {} KiB: {figures:?}",
                        round + 1,
                        SIZES[size]
                    );
                    let kept = best.entry((shape, count, size)).or_insert(figures);
                    // Fill and crossings are the same in every round.
                    for (kept, seen) in kept.iter_mut().zip(figures) {
                        *kept = kept.min(seen);
                    }
                }
            }
        }
    }
    let path = workspace::root().join("docs/frame-size.md");
    std::fs::write(&path, page(&best)?)?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Builds the example with frames of `size` KiB and returns the binary.
fn build(place: &Path, size: usize) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let root = workspace::root();
    let source = place.join("source");
    if source.exists() {
        std::fs::remove_dir_all(&source)?;
    }
    copy(&root.join("holt-art/src"), &source.join("holt-art/src"))?;
    copy(&root.join("holt-art/examples"), &source.join("holt-art/examples"))?;
    let frame = source.join("holt-art/src/frame/mod.rs");
    std::fs::write(&frame, with_size(&std::fs::read_to_string(&frame)?, size * 128)?)?;
    let own = std::fs::read_to_string(root.join("holt-art/Cargo.toml"))?;
    let manifest = own.split("\n[dev-dependencies]").next().unwrap_or(&own);
    std::fs::write(source.join("holt-art/Cargo.toml"), manifest)?;
    let all = std::fs::read_to_string(root.join("Cargo.toml"))?;
    std::fs::write(source.join("Cargo.toml"), alone(&all))?;
    std::fs::copy(root.join("Cargo.lock"), source.join("Cargo.lock"))?;
    let status = workspace::cargo()
        .current_dir(&source)
        .args(["build", "--quiet", "--release", "--package", "holt-art", "--example", "figures"])
        .arg("--target-dir")
        .arg(place.join("target"))
        .status()?;
    if !status.success() {
        return Err(format!("frames of {size} KiB did not build ({status})").into());
    }
    let binary = place.join(format!("figures-{size}"));
    std::fs::copy(place.join("target/release/examples/figures"), &binary)?;
    Ok(binary)
}

/// The workspace's manifest with one member.
fn alone(manifest: &str) -> String {
    let mut text = String::new();
    for line in manifest.lines() {
        if line.starts_with("members = ") {
            text.push_str("members = [\"holt-art\"]");
        } else if !line.starts_with("exclude = ") {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// The source with frames of so many words.
fn with_size(source: &str, words: usize) -> Result<String, String> {
    let (mut text, mut changed) = (String::new(), 0);
    for line in source.lines() {
        if line.starts_with(CONSTANT) {
            let _ = writeln!(text, "{CONSTANT}{words};");
            changed += 1;
        } else if line.contains(TIE) {
            let _ = writeln!(text, "{}", line.replace("==", "<="));
            changed += 1;
        } else {
            let _ = writeln!(text, "{line}");
        }
    }
    let complete = changed == 2;
    complete.then_some(text).ok_or_else(|| "the constant is not where it was".to_owned())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn measure(binary: &Path, shape: &str, keys: usize) -> Result<Figures, Box<dyn std::error::Error>> {
    let output = Command::new(binary).args(["frames", &keys.to_string(), shape]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace().skip(3);
    let mut figures = [0.0; 5];
    for figure in &mut figures {
        let word = words.next().ok_or_else(|| format!("no figures of {shape}: {text}"))?;
        *figure = word.parse()?;
    }
    Ok(figures)
}

fn page(best: &BTreeMap<(usize, usize, usize), Figures>) -> Result<String, std::fmt::Error> {
    let mut text = String::from(HEAD);
    let mut copies = [f64::MAX; SIZES.len()];
    for (&(shape, keys, size), figures) in best {
        let [fill, crossings, put, get, copy] = *figures;
        copies[size] = copies[size].min(copy);
        writeln!(
            text,
            "| {} | {keys} | {} KiB | {get:.0} | {put:.0} | {fill:.3} | {crossings:.2} |",
            SHAPES[shape], SIZES[size],
        )?;
    }
    text.push_str("\nCopying a frame that no near cache has, which a writer does under a latch:");
    for (size, copy) in SIZES.iter().zip(copies) {
        write!(text, " {size} KiB in {:.1} µs,", copy / 1_000.0)?;
    }
    text.pop();
    text.push_str(".\n");
    if let Some(load) = load() {
        writeln!(
            text,
            "\nThe load average of the machine was {load} at the end. Where that is more than it has \
             processors,\ntimes of large trees are of little use; fill and crossings always are exact."
        )?;
    }
    text.push_str(TAIL);
    Ok(text)
}

/// The load average over fifteen minutes, where the system tells it.
fn load() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(2).map(str::to_owned)
}

const HEAD: &str = "\
# The size of a frame

`cargo xtask frame-size` measures this page and writes it. Times are nanoseconds a key after a load
in random order, each the median over groups of 2,000 keys and the best of three rounds in which the
sizes take turns; compare them within a row's shape and number of keys. Fill and crossings are exact.

| shape | keys | frame | get | put | fill | crossings a get |
|---|---|---|---|---|---|---|
";

const TAIL: &str = "
## Sizes that are not in the table

A reference has 16 bits, 3 of them for the kind, so 13 bits name a word: 8,192 words of 8 bytes, 64 KiB.
Frames of 128, 256 and 512 KiB cannot be written with it. Blocks of 2, 4 or 8 words instead of one
would make room for them and waste half a block for every leaf and node, of which a record of 100 bytes
has about one and a third, 13 to 15 words: some 5, 14 or 32 of a hundred. References of 32 bits would double
the children of a node. Against that stands what a larger frame can win: fewer crossings, of which there
are two or three a get.

## What was chosen

64 KiB, for the exact figures: a tree of smaller frames has as many crossings or more, and its fill is no
better throughout. A smaller frame is copied faster, which is a matter of 5 µs at most.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_is_found_where_it_is() {
        let path = workspace::root().join("holt-art/src/frame/mod.rs");
        let source = std::fs::read_to_string(path).expect("the crate is there");
        let smaller = with_size(&source, 2048).expect("the constant is there");
        assert!(smaller.contains("const FRAME_WORDS: usize = 2048;"));
        assert!(smaller.contains("FRAME_WORDS <= 1 << 13"));
        assert!(with_size("nothing", 2048).is_err());
    }
}
