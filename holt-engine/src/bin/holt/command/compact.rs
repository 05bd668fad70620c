//! `holt compact`: a frame file without holes.

use std::io::Write;
use std::thread;
use std::time::Duration;

use holt_engine::{Create, Db, Error};
use serde_json::json;

use super::Database;
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// The pause between two looks at what is still to be freed.
const PAUSE: Duration = Duration::from_millis(10);
/// Looks without any change after which nothing is waited for.
const PATIENCE: u32 = 1000;

/// Make the frame file as short as it can be, and give up the log before its checkpoint
///
/// For after many keys were removed. A checkpoint is written first; then what lies at the file's end
/// is moved into its holes, and the end is given back.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let progress = Progress::waiting("compacting");
    let db = arguments.database.write(Create::Never)?;
    let compaction =
        freed(&db).and_then(|()| db.compact()).map_err(|error| arguments.database.failed(error))?;
    arguments.database.done(db)?;
    drop(progress);
    let (before, after) = (compaction.bytes_before, compaction.bytes_after);
    if arguments.json {
        let object =
            json!({ "moved": compaction.moved, "bytes_before": before, "bytes_after": after });
        return json::line(out, &object);
    }
    writeln!(out, "frame file {before} -> {after} bytes, {} images moved", compaction.moved)?;
    Ok(())
}

/// Waits until the frames of removed prefixes are free, since what is not yet free cannot be given
/// back.
fn freed(db: &Db) -> Result<(), Error> {
    let (mut frames, mut looks) = (u64::MAX, 0);
    while looks < PATIENCE {
        let stats = db.stats()?;
        if !stats.reclaiming {
            break;
        }
        looks = if stats.frames == frames { looks + 1 } else { 0 };
        frames = stats.frames;
        thread::sleep(PAUSE);
    }
    Ok(())
}
