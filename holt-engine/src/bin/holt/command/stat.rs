//! `holt stat`: what a database holds and takes.

use std::io::Write;

use super::Database;
use crate::failure::Failure;

/// Print what the database holds and takes, one figure a line
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let db = arguments.database.read()?;
    let stats = db.stats().map_err(|error| arguments.database.failed(error))?;
    let checkpoint = match stats.checkpoint_address {
        Some(address) => {
            format!("at log address {address}, {} bytes of log since", stats.log_address - address)
        }
        None => "none".to_owned(),
    };
    let disk = stats.store_bytes + stats.log_bytes;
    writeln!(out, "keys             {}", stats.keys)?;
    writeln!(out, "trees            {}", stats.trees)?;
    writeln!(out, "frames           {}", stats.frames)?;
    writeln!(out, "fill             {:.2}", stats.fill)?;
    writeln!(out, "memory           {} bytes", stats.memory_bytes)?;
    writeln!(out, "disk             {disk} bytes, {} of them log", stats.log_bytes)?;
    writeln!(out, "log address      {}", stats.log_address)?;
    writeln!(out, "last checkpoint  {checkpoint}")?;
    Ok(())
}
