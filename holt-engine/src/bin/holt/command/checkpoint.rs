//! `holt checkpoint`: everything in the frame file, nothing of it needed from the log.

use std::io::Write;

use holt_engine::Create;
use serde_json::json;

use super::Database;
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// Write a checkpoint, after which opening has no log to replay
///
/// A few segments of the log stay on disk, to be used again.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let progress = Progress::waiting("writing a checkpoint");
    let db = arguments.database.write(Create::Never)?;
    let checkpoint = db.checkpoint().map_err(|error| arguments.database.failed(error))?;
    arguments.database.done(db)?;
    drop(progress);
    if arguments.json {
        let object = json!({
            "log_address": checkpoint.log_address,
            "images": checkpoint.images,
            "bytes": checkpoint.bytes,
        });
        return json::line(out, &object);
    }
    writeln!(
        out,
        "checkpoint at log address {}: {} images, {} bytes written",
        checkpoint.log_address, checkpoint.images, checkpoint.bytes
    )?;
    Ok(())
}
