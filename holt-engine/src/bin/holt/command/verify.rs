//! `holt verify`: everything that can be checked, checked.

use std::fmt::Display;
use std::io::Write;

use serde_json::json;

use super::Database;
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// Check every checksum, every structural invariant, and that everything is reachable
///
/// Prints one line for each fault and exits with code 1 if there is any. What an interrupted
/// process left behind is told too, and is no fault. Nothing is changed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object a finding, and one at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let database = &arguments.database;
    let progress = Progress::waiting("checking");
    let report = match &database.session {
        Some(db) => db.verify(),
        None => holt_engine::verify(&database.path),
    };
    drop(progress);
    let report = report.map_err(|error| database.failed(error))?;
    let residue = report.residue.iter().map(|found| ("left behind", one_line(found)));
    let faults = report.faults.iter().map(|found| ("fault", one_line(found)));
    for (kind, text) in residue.chain(faults) {
        if arguments.json {
            json::line(out, &json!({ kind.replace(' ', "_"): text }))?;
        } else {
            writeln!(out, "{kind}: {text}")?;
        }
    }
    let faults = report.faults.len();
    if arguments.json {
        json::line(out, &json!({ "sound": faults == 0, "faults": faults }))?;
    }
    if faults > 0 {
        return Err(Failure::Faults { database: database.path.clone(), faults });
    }
    if !arguments.json {
        writeln!(out, "sound")?;
    }
    Ok(())
}

fn one_line(text: &impl Display) -> String {
    text.to_string().replace('\n', " ")
}
