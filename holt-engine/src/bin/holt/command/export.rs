//! `holt export`: records as JSON lines.

use std::io::{IsTerminal, Write};

use serde_json::json;

use super::{Form, Keys, archive};
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// Print every record whose key begins with PREFIX as one JSON object a line
///
/// An object has a `key` and a `value`: a string if the bytes are UTF-8, and `{"hex": "00ff"}` if they
/// are not. `holt import` reads the same form. With --archive the records are written as an archive
/// instead, which is compact and checked, and `holt import --archive` reads.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What the keys begin with; everything if it is left out
    #[arg(default_value = "", hide_default_value = true)]
    prefix: std::ffi::OsString,
    /// Write an archive
    #[arg(long)]
    archive: bool,
    /// Write all trees
    #[arg(long, requires = "archive", conflicts_with_all = ["prefix", "tree"])]
    all: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = arguments.form.bytes(&arguments.prefix)?;
    if arguments.archive {
        return archive::write(&arguments.keys, (!arguments.all).then_some(&prefix[..]), out);
    }
    let (_db, tree) = arguments.keys.read()?;
    // Where the records go to a terminal, they show themselves how far it is.
    let mut progress = if std::io::stdout().is_terminal() {
        None
    } else {
        let keys = tree.count(&prefix).map_err(|error| arguments.keys.failed(error))?;
        Some(Progress::new(keys))
    };
    for found in tree.prefix(prefix) {
        let found = found.map_err(|error| arguments.keys.failed(error))?;
        let Some((key, value)) = found.into_record() else { continue };
        progress.iter_mut().for_each(Progress::step);
        json::line(out, &json!({ "key": json::bytes(&key), "value": json::bytes(&value) }))?;
    }
    Ok(())
}
