//! `holt verify`: everything that can be checked, checked.

use std::fmt::Display;
use std::io::Write;

use super::Database;
use crate::failure::Failure;

/// Check every checksum, every structural invariant, and that everything is reachable
///
/// Prints one line for each fault and exits with code 1 if there is any. What an interrupted
/// process left behind is told too, and is no fault. Nothing is changed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let database = &arguments.database;
    let report = holt_engine::verify(&database.path).map_err(|error| database.failed(error))?;
    for residue in &report.residue {
        writeln!(out, "left behind: {}", one_line(residue))?;
    }
    for fault in &report.faults {
        writeln!(out, "fault: {}", one_line(fault))?;
    }
    let faults = report.faults.len();
    if faults > 0 {
        return Err(Failure::Faults { database: database.path.clone(), faults });
    }
    writeln!(out, "sound")?;
    Ok(())
}

fn one_line(text: &impl Display) -> String {
    text.to_string().replace('\n', " ")
}
