//! `cargo xtask soak`: kills a process that writes, over and over, and judges what it leaves.
//!
//! The work is done by the example `soak` of `holt-engine`, which is built with optimization: a writer that is slow
//! is killed between two writes every time.

use crate::{Outcome, workspace};

/// Builds the soak and runs it with `arguments`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("usage: cargo xtask soak [--minutes N] [--seconds N] [--seed S]");
        return Ok(());
    }
    let status = workspace::cargo()
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "holt-engine",
            "--example",
            "soak",
            "--",
        ])
        .args(arguments)
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the soak failed ({status})").into()) }
}
