//! `holt put`: one key and its value.

use std::ffi::OsString;

use holt_engine::{Create, Durability};

use super::{Form, Keys};
use crate::failure::Failure;

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
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    keys: Keys,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let key = arguments.form.bytes(&arguments.key)?;
    let value = arguments.form.bytes(&arguments.value)?;
    let (db, tree) = arguments.keys.write(Create::IfMissing)?;
    tree.put_with(&key, &value, Durability::Sync)
        .and_then(|_| db.close())
        .map_err(|error| arguments.keys.failed(error))
}
