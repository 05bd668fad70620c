//! `holt backup`: a copy of the database in a directory of its own.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::{Database, records};
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// Write a backup of the database to DIRECTORY, which is made if there is none
///
/// The backup is one file with everything in it. With --changes, what has changed since the backup
/// that is there is added to it, which takes a log that goes back so far. `holt restore` makes a
/// database of it again. When the command returns, the backup is on stable storage; if it fails or is
/// killed, the one that was there before counts.
///
/// Another process may have the database open and write it meanwhile: the backup has everything that
/// it had handed to the operating system before. If it writes so fast that it cannot be followed,
/// the command says so; the program itself can then make the backup, with Db::backup.
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
    let (database, to) = (&arguments.database, &arguments.directory);
    let progress = Progress::waiting("writing the backup");
    let made = match (&database.session, arguments.changes) {
        (Some(db), true) => db.backup_changes(to),
        (Some(db), false) => db.backup(to),
        (None, true) => holt_engine::backup_changes_beside(&database.path, to),
        (None, false) => holt_engine::backup_beside(&database.path, to),
    };
    drop(progress);
    let made = made.map_err(|error| database.failed(error))?;
    let version = made.version.get();
    if arguments.json {
        let object = json!({ "version": version, "records": made.records, "bytes": made.bytes });
        return json::line(out, &object);
    }
    let (records, bytes) = (records(made.records), made.bytes);
    writeln!(out, "backup up to version {version}: {records}, {bytes} bytes written")?;
    Ok(())
}
