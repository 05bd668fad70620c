//! `holt rm`: removal of one key.

use std::ffi::OsString;

use holt_engine::{Create, Durability};

use super::{Database, Form};
use crate::failure::Failure;

/// Remove KEY and its value
///
/// A key that is not there is an error. When the command returns, the removal is on stable
/// storage. Keys below KEY, if it is a directory's, stay.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Key to remove
    key: OsString,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    database: Database,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let key = arguments.form.bytes(&arguments.key)?;
    let failed = |error| arguments.database.failed(error);
    let db = arguments.database.write(Create::Never)?;
    let removed = db.default_tree().delete_with(&key, Durability::Sync).map_err(failed)?;
    db.close().map_err(failed)?;
    if removed { Ok(()) } else { Err(Failure::NoSuchKey { key }) }
}
