//! The benchmark harness: Holt beside every engine that a user would pick instead.
//!
//! Started by `cargo xtask bench`. The process that a user starts only plans, waits, and writes the
//! report; every measurement runs in a process of its own, which is this same program with the
//! command `cell` or `raw`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cell;
mod drive;
mod engine;
mod engines;
mod histogram;
mod machine;
mod operations;
mod options;
mod report;
mod rng;
mod shapes;
mod stream;
mod workloads;

/// Any failure; the texts are for the person at the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", about = "Holt beside its peers", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures Holt beside its peers and writes the report.
    Bench(Box<options::Options>),
    /// Measures one engine at one workload in this process.
    #[command(hide = true)]
    Cell(Box<cell::Order>),
    /// Measures the limits of the machine.
    #[command(hide = true)]
    Raw(Raw),
}

#[derive(Debug, clap::Args)]
struct Raw {
    /// A directory on the file system to measure.
    #[arg(long)]
    dir: std::path::PathBuf,
    /// Time for one figure, in milliseconds.
    #[arg(long)]
    budget: u64,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Bench(options) => drive::bench(&options),
        Command::Cell(order) => cell::run(&order).and_then(|outcome| print(&outcome)),
        Command::Raw(raw) => {
            workloads::limits(&raw.dir, std::time::Duration::from_millis(raw.budget))
                .and_then(|outcome| print(&outcome))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what a cell found, for the process that started it.
fn print(outcome: &cell::Outcome) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(outcome)?);
    Ok(())
}
