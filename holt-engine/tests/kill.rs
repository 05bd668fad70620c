//! `holt index`, killed at random moments and run again.

#[path = "common/binary.rs"]
mod binary;
mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use binary::{holt, success};
use common::{Model, Random, contents, seed};
use holt_engine::{Create, Options};

/// Makes a directory tree of some thousand entries with names that sort awkwardly.
fn generate(root: &Path, random: &mut Random) {
    for directory in 0..40 {
        let name = ["a", "a-", "a.b", "z"][directory % 4];
        let path = root.join(format!("{name}{}", directory / 4)).join("sub");
        fs::create_dir_all(&path).unwrap();
        for file in 0..60 {
            let name = format!("{file}{}", ["", ".txt", "-x"][random.below(3) as usize]);
            let parent = if random.below(2) == 0 { &path } else { path.parent().unwrap() };
            fs::write(parent.join(name), vec![0; random.below(50) as usize]).unwrap();
        }
    }
}

/// What the database holds; it has to open and to be sound.
fn examine(path: &Path) -> Model {
    let db = Options::new().create(Create::Never).open(path).unwrap();
    let report = db.verify().unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    let found = contents(&db.default_tree()).unwrap();
    db.close().unwrap();
    found
}

/// Runs `holt index` and kills it after `lines` lines of acknowledgements, unless it is faster.
/// Returns how many acknowledgements were read.
fn index_and_kill(source: &Path, path: &Path, durability: &str, lines: usize) -> usize {
    let source = source.to_str().unwrap();
    let mut arguments = vec!["index", source, "--verbose", "--durability", durability];
    // Checkpoints so often that the kill meets them in every phase.
    arguments.extend(["--checkpoint-bytes", "20000"]);
    let mut child = holt(&arguments, path).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = out.by_ref().take(lines).filter(|line| line.as_ref().unwrap().starts_with('+'));
    let mut acknowledged = read.by_ref().count();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died was said after the acknowledgement, too.
    acknowledged += out.filter(|line| line.as_ref().is_ok_and(|line| line.starts_with('+'))).count();
    acknowledged
}

fn killed_runs_leave_a_prefix(durability: &str, default_seed: u64, rounds: usize) {
    let mut random = Random::new(seed(default_seed));
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    generate(&source, &mut random);
    let whole = directory.path().join("whole");
    success(&["index", source.to_str().unwrap()], &whole);
    let expected: Vec<_> = examine(&whole).into_iter().collect();
    assert!(expected.len() > 2000, "only {} entries", expected.len());

    let path = directory.path().join("db");
    let mut before = 0;
    for round in 0..rounds {
        let lines = random.below(2 * expected.len() as u64 / rounds as u64) as usize;
        let acknowledged = index_and_kill(&source, &path, durability, lines);
        // A process that is killed early enough has not created the database yet.
        let found: Vec<_> = match fs::read_dir(&path).map(|files| files.count()) {
            Ok(files) if files > 0 => {
                drop(Options::new().open(&path).unwrap());
                examine(&path).into_iter().collect()
            }
            _ => Vec::new(),
        };
        let what = format!("round {round}, killed after {lines} lines");
        assert!(found.len() <= expected.len(), "{what}");
        assert_eq!(found, expected[..found.len()], "{what}: not the beginning of what was written");
        assert!(found.len() >= before, "{what}: {} records, {before} before", found.len());
        if durability != "buffered" {
            assert!(
                found.len() >= before + acknowledged,
                "{what}: {} records of {before} + {acknowledged} acknowledged",
                found.len()
            );
        }
        before = found.len();
    }
    let text = success(&["index", source.to_str().unwrap()], &path);
    assert!(text.contains(&format!("{} added, 0 changed", expected.len() - before)), "{text}");
    assert_eq!(examine(&path).into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(success(&["verify"], &path), success(&["verify"], &whole));
}

#[test]
fn what_was_handed_to_the_system_survives_the_kill() {
    killed_runs_leave_a_prefix("os", 0x1057, 8);
}

#[test]
fn what_was_synced_survives_the_kill() {
    killed_runs_leave_a_prefix("sync", 0x5AFE, 6);
}

#[test]
fn what_was_buffered_is_lost_from_the_end_alone() {
    killed_runs_leave_a_prefix("buffered", 0xB0FF, 8);
}
