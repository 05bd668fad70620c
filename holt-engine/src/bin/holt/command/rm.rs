//! `holt rm`: removal of one key, or of everything below a prefix.

use std::ffi::OsString;
use std::io::Write;

use holt_engine::{Create, Durability};
use serde_json::json;

use super::{Form, Keys};
use crate::failure::Failure;
use crate::json;

/// Remove KEY and its value
///
/// A key that is not there is an error. When the command returns, the removal is on stable
/// storage. Keys below KEY, if it is a directory's, stay, unless --recursive is given. What every key
/// begins with, nothing, is no prefix to remove: --all says that everything is meant.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Key to remove
    #[arg(required_unless_present = "all")]
    key: Option<OsString>,
    /// Remove every key that begins with KEY, as a whole; end it in a slash to remove a directory
    #[arg(short, long)]
    recursive: bool,
    /// Remove every key of the tree, as a whole
    #[arg(long, conflicts_with_all = ["key", "recursive"])]
    all: bool,
    /// Print one JSON object that names what was removed
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let key = arguments.form.bytes(arguments.key.as_deref().unwrap_or_default())?;
    if arguments.recursive && key.is_empty() {
        return Err(Failure::Everything);
    }
    let recursive = arguments.recursive || arguments.all;
    let failed = |error| arguments.keys.failed(error);
    let (db, tree) = arguments.keys.write(Create::Never)?;
    let removed = if recursive {
        tree.delete_prefix_with(&key, Durability::Sync)
    } else {
        tree.delete_with(&key, Durability::Sync)
    };
    let removed = removed.map_err(failed)?;
    arguments.keys.done(db)?;
    match (removed, recursive) {
        (true, _) if arguments.json => {
            let what = if recursive { "prefix" } else { "key" };
            json::line(out, &json!({ what: json::bytes(&key) }))
        }
        (true, _) => Ok(()),
        (false, true) => Err(Failure::NoSuchPrefix { prefix: key }),
        (false, false) => Err(Failure::NoSuchKey { key }),
    }
}
