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

/// Makes a directory tree with names that sort awkwardly, and so long that a pipe holds few of them:
/// the process that prints them cannot run far ahead of who reads them.
fn generate(root: &Path, files: usize, random: &mut Random) {
    for directory in 0..40 {
        let name = ["a", "a-", "a.b", "z"][directory % 4];
        let path = root.join(format!("{name}{}", directory / 4)).join("sub");
        fs::create_dir_all(&path).unwrap();
        for file in 0..files / 40 {
            let name =
                format!("{file}{}{:x<150}", ["", ".txt", "-x"][random.below(3) as usize], "");
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
    arguments.extend(["--checkpoint-bytes", "50000"]);
    let mut child = holt(&arguments, path).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = out.by_ref().take(lines).filter(|line| line.as_ref().unwrap().starts_with('+'));
    let mut acknowledged = read.by_ref().count();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died was said after the acknowledgement, too.
    acknowledged +=
        out.filter(|line| line.as_ref().is_ok_and(|line| line.starts_with('+'))).count();
    acknowledged
}

fn killed_runs_leave_a_prefix(durability: &str, files: usize, default_seed: u64) {
    const ROUNDS: usize = 6;
    let mut random = Random::new(seed(default_seed));
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    generate(&source, files, &mut random);
    let whole = directory.path().join("whole");
    success(&["index", source.to_str().unwrap()], &whole);
    let expected: Vec<_> = examine(&whole).into_iter().collect();
    assert!(expected.len() > files, "only {} entries", expected.len());

    let path = directory.path().join("db");
    let (mut before, mut in_the_middle) = (0, 0);
    for round in 0..ROUNDS {
        let lines = random.below((expected.len() / ROUNDS) as u64) as usize;
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
        in_the_middle += usize::from(0 < before && before < expected.len());
    }
    assert!(in_the_middle > 0, "every run was killed too early or too late to tell anything");
    let text = success(&["index", source.to_str().unwrap()], &path);
    assert!(text.contains(&format!("{} added, 0 changed", expected.len() - before)), "{text}");
    assert_eq!(examine(&path).into_iter().collect::<Vec<_>>(), expected);
    assert!(success(&["verify"], &path).ends_with("sound\n"));
}

#[test]
fn what_was_handed_to_the_system_survives_the_kill() {
    killed_runs_leave_a_prefix("os", 6000, 0x1057);
}

#[test]
fn what_was_synced_survives_the_kill() {
    killed_runs_leave_a_prefix("sync", 400, 0x5AFE);
}

#[test]
fn what_was_buffered_is_lost_from_the_end_alone() {
    killed_runs_leave_a_prefix("buffered", 6000, 0xB0FF);
}
