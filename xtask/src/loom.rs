//! `cargo xtask loom`: runs the concurrency models of every crate that has some.
//!
//! A model lives in its crate's `tests/loom.rs`, or in a file of `tests/loom`, is compiled with `--cfg loom` into a target
//! directory of its own (so that neither build throws away the other's work), and ends by
//! printing `loom <name>: <n> iterations`. A crate with such tests that print no such
//! line has stopped checking anything, so that is a failure and not a pass.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use crate::{Outcome, workspace};

/// The crates that synchronize threads, in the order of the layers.
const PACKAGES: [&str; 4] = ["holt-wal-ring", "holt-art", "holt-journal", "holt-engine"];

/// One model that ran to its end.
#[derive(Debug, PartialEq, Eq)]
struct Model {
    name: String,
    iterations: u64,
}

/// Runs the models of `arguments`, or of every crate when there are none.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("usage: cargo xtask loom [package…]\npackages: {}", PACKAGES.join(", "));
        return Ok(());
    }
    if let Some(unknown) = arguments.iter().find(|name| !PACKAGES.contains(&name.as_str())) {
        return Err(format!("no models are kept in `{unknown}`; packages: {PACKAGES:?}").into());
    }
    let mut total = 0;
    let mut failed = Vec::new();
    for package in PACKAGES {
        if !arguments.is_empty() && !arguments.iter().any(|name| name == package) {
            continue;
        }
        let tests = workspace::root().join(package).join("tests");
        if !["loom.rs", "loom/main.rs"].iter().any(|file| tests.join(file).is_file()) {
            if !arguments.is_empty() {
                return Err(format!("{package} has no test `loom`").into());
            }
            println!("{package}: no test `loom`");
            continue;
        }
        match check(package) {
            Ok(models) => total += models,
            Err(error) => failed.push(format!("{package}: {error}")),
        }
    }
    if !failed.is_empty() {
        return Err(failed.join("; ").into());
    }
    if total == 0 {
        return Err("no crate has a model: nothing was checked".into());
    }
    println!("loom: {total} models passed");
    Ok(())
}

/// Runs one crate's models and returns their number.
fn check(package: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let started = Instant::now();
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let mut child = workspace::cargo()
        .args(["test", "--release", "--package", package, "--test", "loom"])
        .args(["--target-dir", "target/loom"])
        .args(["--", "--nocapture", "--test-threads=1"])
        .env("RUSTFLAGS", flags.trim())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    let output = child.stdout.take().expect("the child's output is piped");
    let errors = child.stderr.take().expect("the child's errors are piped");
    let errors = thread::spawn(move || follow(errors));
    let (mut models, mut log) = follow(output);
    let (more, diagnostics) = errors.join().expect("the reader of the child's errors ends quietly");
    models.extend(more);
    log.push_str(&diagnostics);
    let status = child.wait()?;
    if !status.success() {
        eprint!("{log}");
        return Err(format!("its models failed ({status})").into());
    }
    if models.is_empty() {
        eprint!("{log}");
        return Err("its test `loom` ran no model".into());
    }
    if let Some(empty) = models.iter().find(|model| model.iterations == 0) {
        return Err(format!("model {} explored nothing", empty.name).into());
    }
    println!("{package}: {} models, {} s", models.len(), started.elapsed().as_secs());
    Ok(models.len())
}

/// Reads a stream of the child to its end: prints each model's line as it comes and returns the
/// models beside the whole text, which is wanted only when something failed.
fn follow(stream: impl Read) -> (Vec<Model>, String) {
    let mut models = Vec::new();
    let mut log = String::new();
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        if let Some(model) = parse(&text) {
            println!("loom {}: {} iterations", model.name, model.iterations);
            models.push(model);
        }
        log.push_str(&text);
        line.clear();
    }
    (models, log)
}

/// Finds `loom <name>: <n> iterations` in a line. The test harness may have put the name of the
/// test before it on the same line.
fn parse(line: &str) -> Option<Model> {
    let head = line.strip_suffix('\n').unwrap_or(line).strip_suffix(" iterations")?;
    let (head, count) = head.rsplit_once(": ")?;
    let iterations = count.parse().ok()?;
    let name = match head.strip_prefix("loom ") {
        Some(name) => name,
        None => head.rsplit_once(" loom ")?.1,
    };
    Some(Model { name: name.to_owned(), iterations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_line_is_found_alone_and_behind_the_harness_text() {
        let model = |name: &str, iterations| Some(Model { name: name.to_owned(), iterations });
        assert_eq!(parse("loom wrap: 12 iterations\n"), model("wrap", 12));
        assert_eq!(parse("test wrap ... loom wrap: 7 iterations"), model("wrap", 7));
        assert_eq!(parse("test loom ... loom two words: 7 iterations"), model("two words", 7));
    }

    #[test]
    fn other_lines_are_no_models() {
        for line in
            ["", "loom", "loom x: many iterations", "12 iterations", "bloom x: 3 iterations"]
        {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_stream_that_is_not_text_is_followed_to_its_end() {
        let bytes: &[u8] = b"\xff\xfe\nloom late: 3 iterations\n";
        let (models, log) = follow(bytes);
        assert_eq!(models, vec![Model { name: "late".to_owned(), iterations: 3 }]);
        assert!(log.ends_with("loom late: 3 iterations\n"));
    }
}
