//! `cargo xtask`: the tasks of the workspace that cargo has no command for.
//!
//! This file only chooses; each command is one file of this crate.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod bench;
mod examples;
mod frame_size;
mod loom;
mod soak;
mod workspace;

/// What every command returns: nothing, or one text that says what to do about it.
type Outcome = Result<(), Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo xtask <command> [options]

commands:
  loom [package…]    run the concurrency models of every crate (or of those named)
  bench [options]    measure Holt beside its peers; `cargo xtask bench --help` lists the options
  examples [package…]  look whether every public item of every crate (or of those named) has an example
  frame-size [keys…] measure the tree with frames of several sizes and write docs/frame-size.md
  soak [options]     kill a process that writes, over and over, and judge what it leaves";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_deref() {
        Some("loom") => loom::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("examples") => examples::run(&rest),
        Some("frame-size") => frame_size::run(&rest),
        Some("soak") => soak::run(&rest),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("xtask: there is no command `{other}`\n{USAGE}");
            return ExitCode::from(2);
        }
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
