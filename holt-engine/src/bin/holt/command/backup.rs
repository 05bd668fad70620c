//! `holt backup`: a copy of the database in a directory of its own.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::Database;
use crate::failure::Failure;
use crate::json;

/// Write a backup of the database to DIRECTORY, which is made if there is none
///
/// The backup is one file with everything in it. With --changes, what has changed since the backup
/// that is there is added to it, which takes a log that goes back so far. `holt restore` makes a
/// database of it again. When the command returns, the backup is on stable storage; if it fails or is
/// killed, the one that was there before counts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory of this database's backup
    directory: PathBuf,
    /// Add what has changed since
    #[arg(long)]
    changes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error| arguments.database.failed(error);
    let db = arguments.database.read()?;
    let made = match arguments.changes {
        true => db.backup_changes(&arguments.directory),
        false => db.backup(&arguments.directory),
    };
    let made = made.map_err(failed)?;
    let version = made.version.get();
    if arguments.json {
        let object = json!({ "version": version, "records": made.records, "bytes": made.bytes });
        return json::line(out, &object);
    }
    let (records, bytes) = (made.records, made.bytes);
    writeln!(out, "backup up to version {version}: {records} records, {bytes} bytes written")?;
    Ok(())
}
