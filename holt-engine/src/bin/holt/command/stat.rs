//! `holt stat`: what a database holds and takes.

use std::io::Write;
use std::ops::ControlFlow;

use serde_json::json;

use super::Database;
use crate::failure::Failure;
use crate::json;

/// Print what the database holds and takes, one figure a line
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print all figures in the text format of Prometheus, labelled with the database's path
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let db = arguments.database.read()?;
    let failed = |error| arguments.database.failed(error);
    if arguments.prometheus {
        let name = arguments.database.path.display().to_string();
        let stats = db.stats().map_err(failed)?;
        return Ok(out.write_all(stats.prometheus(&name).as_bytes())?);
    }
    let mut keys = 0_u64;
    for name in db.tree_names().map_err(failed)? {
        // Read on the way, so that the fill is that of all frames, or of as many as the cache holds.
        let tree = db.open_tree(&name).map_err(failed)?;
        tree.scan()
            .keys_only()
            .visit(|_| {
                keys += 1;
                ControlFlow::<()>::Continue(())
            })
            .map_err(failed)?;
    }
    let stats = db.stats().map_err(failed)?;
    if arguments.json {
        let object = json!({
            "keys": keys,
            "trees": stats.trees,
            "frames": stats.frames,
            "fill": stats.fill,
            "reclaiming": stats.reclaiming,
            "memory_bytes": stats.memory_bytes,
            "store_bytes": stats.store_bytes,
            "live_bytes": stats.live_bytes,
            "log_bytes": stats.log_bytes,
            "log_address": stats.log_address,
            "checkpoint_address": stats.checkpoint_address,
        });
        return json::line(out, &object);
    }
    let checkpoint = match stats.checkpoint_address {
        Some(address) => {
            format!("at log address {address}, {} bytes of log since", stats.log_address - address)
        }
        None => "none".to_owned(),
    };
    let disk = stats.store_bytes + stats.log_bytes;
    writeln!(out, "keys             {keys}")?;
    writeln!(out, "trees            {}", stats.trees)?;
    writeln!(out, "frames           {}", stats.frames)?;
    writeln!(out, "fill             {:.2}", stats.fill)?;
    writeln!(out, "memory           {} bytes", stats.memory_bytes)?;
    writeln!(out, "disk             {disk} bytes, {} of them log", stats.log_bytes)?;
    writeln!(out, "live             {} bytes", stats.live_bytes)?;
    writeln!(out, "log address      {}", stats.log_address)?;
    writeln!(out, "last checkpoint  {checkpoint}")?;
    Ok(())
}
