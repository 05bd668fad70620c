//! `holt trees`: the trees of a database.

use std::io::Write;

use serde_json::json;

use super::Database;
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::json;

/// Print the number of keys and the name of every tree, one a line
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error| arguments.database.failed(error);
    let db = arguments.database.read()?;
    for name in db.tree_names().map_err(failed)? {
        let keys = db.open_tree(&name).and_then(|tree| tree.len()).map_err(failed)?;
        if arguments.json {
            json::line(out, &json!({ "name": name, "keys": keys }))?;
        } else {
            writeln!(out, "{keys:>10} {}", Escaped(name.as_bytes()))?;
        }
    }
    Ok(())
}
