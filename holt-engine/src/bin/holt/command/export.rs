//! `holt export`: records as JSON lines.

use std::io::{IsTerminal, Write};

use serde_json::json;

use super::{Form, Keys};
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// Print every record whose key begins with PREFIX as one JSON object a line
///
/// An object has a `key` and a `value`: a string if the bytes are UTF-8, and `{"hex": "00ff"}` if they
/// are not. `holt import` reads the same form.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What the keys begin with; everything if it is left out
    #[arg(default_value = "", hide_default_value = true)]
    prefix: std::ffi::OsString,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = arguments.form.bytes(&arguments.prefix)?;
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
