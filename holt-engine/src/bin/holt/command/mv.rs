//! `holt mv`: another name for a key, or for everything below a prefix.

use std::ffi::OsString;

use holt_engine::{Create, Durability, Moved, Renamed};

use super::{Form, Keys};
use crate::failure::Failure;

/// Give the value of FROM to TO and remove FROM, in one step
///
/// With --recursive FROM and TO are prefixes of keys: every key that begins with FROM begins with TO
/// instead, however many they are, as a whole or not at all. End both in a slash to move a
/// directory. When the command returns, the change is on stable storage.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Key, or prefix of keys, that gets another name
    from: OsString,
    /// Its new name
    to: OsString,
    /// Move every key that begins with FROM
    #[arg(short, long)]
    recursive: bool,
    /// Replace what has the new name already
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    keys: Keys,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (from, to) = (arguments.form.bytes(&arguments.from)?, arguments.form.bytes(&arguments.to)?);
    let failed = |error| arguments.keys.failed(error);
    let (db, tree) = arguments.keys.write(Create::Never)?;
    let sync = Durability::Sync;
    let outcome = if arguments.recursive {
        let moved = match arguments.force {
            true => tree.rename_prefix_replacing_with(&from, &to, sync),
            false => tree.rename_prefix_with(&from, &to, sync),
        };
        match moved.map_err(failed)? {
            Moved::Done(_) | Moved::Unchanged => Ok(()),
            Moved::Missing => Err(Failure::NoSuchPrefix { prefix: from }),
            Moved::Occupied => Err(Failure::Occupied { name: to }),
        }
    } else {
        let renamed = match arguments.force {
            true => tree.rename_replacing_with(&from, &to, sync),
            false => tree.rename_with(&from, &to, sync),
        };
        match renamed.map_err(failed)? {
            Renamed::Done(_) => Ok(()),
            Renamed::Missing => Err(Failure::NoSuchKey { key: from }),
            Renamed::Exists(_) => Err(Failure::Occupied { name: to }),
        }
    };
    db.close().map_err(failed)?;
    outcome
}
