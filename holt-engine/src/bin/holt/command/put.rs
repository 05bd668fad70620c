//! `holt put`: one key and its value.

use std::ffi::OsString;
use std::io::Write;

use holt_engine::{Create, Durability};
use serde_json::json;

use super::{Form, Keys};
use crate::failure::Failure;
use crate::json;

/// Store VALUE under KEY, in place of the value that it may have
///
/// The database is created if there is none. When the command returns, the value is on stable
/// storage.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Key to store under
    key: OsString,
    /// Value to store; with --escaped it is read in that form, too
    value: OsString,
    /// Print one JSON object with the key and the new version
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let key = arguments.form.bytes(&arguments.key)?;
    let value = arguments.form.bytes(&arguments.value)?;
    let (db, tree) = arguments.keys.write(Create::IfMissing)?;
    let version = tree.put_with(&key, &value, Durability::Sync);
    let version = version.map_err(|error| arguments.keys.failed(error))?;
    arguments.keys.done(db)?;
    if arguments.json {
        json::line(out, &json!({ "key": json::bytes(&key), "version": version.get() }))?;
    }
    Ok(())
}
