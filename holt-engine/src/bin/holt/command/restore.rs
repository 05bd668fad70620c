//! `holt restore`: a database of a backup.

use std::io::Write;
use std::path::PathBuf;

use holt_engine::restore;
use serde_json::json;

use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// Make a database of the backup in DIRECTORY
///
/// The database holds what the backup has, as of its last addition, and is a new one: a backup of it
/// needs a directory of its own. If the command fails or is killed, there is no database at PATH.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the backup
    directory: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Directory for the database, which is empty or not there
    #[arg(long = "db", value_name = "PATH")]
    path: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let progress = Progress::waiting("restoring");
    let restored = restore(&arguments.directory, &arguments.path);
    drop(progress);
    let restored =
        restored.map_err(|error| Failure::Database { database: arguments.path.clone(), error })?;
    let (version, archives, records) =
        (restored.version.get(), restored.archives, restored.records);
    if arguments.json {
        let object = json!({ "version": version, "archives": archives, "records": records });
        return json::line(out, &object);
    }
    let files = if archives == 1 { "archive" } else { "archives" };
    let records = super::records(records);
    writeln!(out, "restored up to version {version}: {records} of {archives} {files}")?;
    Ok(())
}
