//! `holt checkpoint`: everything in the frame file, nothing of it needed from the log.

use std::io::Write;

use holt_engine::Create;

use super::Database;
use crate::failure::Failure;

/// Write a checkpoint, after which opening has no log to replay
///
/// A few segments of the log stay on disk, to be used again.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error| arguments.database.failed(error);
    let db = arguments.database.write(Create::Never)?;
    let checkpoint = db.checkpoint().map_err(failed)?;
    db.close().map_err(failed)?;
    writeln!(
        out,
        "checkpoint at log address {}: {} images, {} bytes written",
        checkpoint.log_address, checkpoint.images, checkpoint.bytes
    )?;
    Ok(())
}
