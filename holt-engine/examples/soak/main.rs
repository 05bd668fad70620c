//! A soak: a process that writes is killed at random moments, and what it leaves is judged, over and over.
//!
//! `cargo xtask soak [--minutes N] [--seconds N] [--seed S]` builds and runs it. It starts itself as the writer; what the
//! writer was told is acknowledged goes through a pipe and is kept here, outside of the process that dies.
//!
//! After each kill:
//!
//! - every write that was acknowledged at level `Os` or `Sync` is there; after an orderly end, every write;
//! - what is there is a prefix of the log: each thread's writes up to one, and no thread's write without all those of the
//!   others with a lower version;
//! - every value is the one that its write had, under the version that the writer was told;
//! - no version is given twice, over all processes;
//! - the database verifies.
//!
//! A kill loses nothing of what the operating system was given, so `Sync` promises no more than `Os` here; power cuts are the
//! business of the simulated disk.

#![forbid(unsafe_code)]

mod judge;
mod story;
mod writer;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use judge::Judge;
use story::{Random, Report};

const USAGE: &str = "usage: cargo xtask soak [--minutes N] [--seconds N] [--seed S]";

/// How long it runs unless told otherwise.
const DEFAULT: Duration = Duration::from_secs(45);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", path, seed, run, limit] => writer::run(path, seed, run, limit),
        _ => parse(&arguments).and_then(|(time, seed)| soak(time, seed)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How long, and from which seed.
fn parse(arguments: &[String]) -> Result<(Duration, u64), String> {
    let (mut time, mut seed) = (DEFAULT, RandomState::new().build_hasher().finish() >> 32);
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let mut number = || -> Result<u64, String> {
            let value = rest.next().ok_or_else(|| format!("{name} wants a number\n{USAGE}"))?;
            value.parse().map_err(|_| format!("{value} is no number\n{USAGE}"))
        };
        match name.as_str() {
            "--minutes" => time = Duration::from_secs(60 * number()?),
            "--seconds" => time = Duration::from_secs(number()?),
            "--seed" => seed = number()?,
            _ => return Err(format!("what is {name}?\n{USAGE}")),
        }
    }
    Ok((time, seed))
}

fn soak(time: Duration, seed: u64) -> Result<(), String> {
    println!("soak: seed {seed}, {} s", time.as_secs());
    let directory = tempfile::tempdir().map_err(|error| format!("no directory: {error}"))?;
    let path = directory.path().join("db");
    let mut random = Random::new(seed);
    let mut judge = Judge::new(seed);
    let begun = Instant::now();
    let mut run = 0;
    while begun.elapsed() < time {
        run += 1;
        let outcome = one(&path, seed, run, &mut random, &mut judge);
        if let Err(error) = outcome {
            let kept = directory.keep();
            return Err(format!(
                "seed {seed}, run {run}: {error}\nthe files are in {}",
                kept.display()
            ));
        }
    }
    println!("soak: seed {seed}: {}", judge.figures());
    if judge.is_empty_handed() {
        return Err("too few writes and kills to prove anything; let it run longer".to_owned());
    }
    Ok(())
}

/// One writer, killed or left to its end, and the verdict on what it left.
fn one(
    path: &std::path::Path,
    seed: u64,
    run: u32,
    random: &mut Random,
    judge: &mut Judge,
) -> Result<(), String> {
    // One in eight ends by itself. Of the others many die early: while they open, recover and make their first segment.
    let limit = if random.below(8) == 0 { 100 + random.below(3000) } else { u64::MAX };
    let patience = Duration::from_micros(match random.below(4) {
        0 => random.below(30_000),
        1 => random.below(200_000),
        _ => random.below(1_500_000),
    });
    let own = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let mut child = Command::new(own)
        .arg("write")
        .arg(path)
        .args([seed.to_string(), run.to_string(), limit.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the writer does not start: {error}"))?;
    let mut pipe = child.stdout.take().expect("it was asked for");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    });
    if limit == u64::MAX {
        std::thread::sleep(patience);
        // SIGKILL: no handler, no destructor, no flush.
        child.kill().map_err(|error| format!("the writer cannot be killed: {error}"))?;
    }
    let status = child.wait().map_err(|error| format!("the writer is lost: {error}"))?;
    let bytes = reader.join().expect("the reader does not panic");
    let bytes = bytes.map_err(|error| format!("the pipe: {error}"))?;
    let killed = limit == u64::MAX;
    if status.code().is_some_and(|code| code != 0) || (!killed && !status.success()) {
        return Err(format!("the writer failed by itself: {status}"));
    }
    // A report that was cut off was never made.
    let reports: Vec<Report> = bytes
        .chunks_exact(Report::LEN)
        .map(|bytes| Report::decode(bytes.try_into().unwrap()))
        .collect();
    judge.judge(path, run, &reports, !killed)
}
