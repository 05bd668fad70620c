//! `holt mv`: another name for a key, or for everything below a prefix.

use std::ffi::OsString;
use std::io::Write;

use holt_engine::{Create, Durability, Moved, Renamed};
use serde_json::json;

use super::{Form, Keys};
use crate::failure::Failure;
use crate::json;

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
    /// Print one JSON object with both names and the version of the change
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
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
            Moved::Done(version) => Ok(Some(version)),
            Moved::Unchanged => Ok(None),
            Moved::Missing => Err(Failure::NoSuchPrefix { prefix: from.clone() }),
            Moved::Occupied => Err(Failure::Occupied { name: to.clone() }),
        }
    } else {
        let renamed = match arguments.force {
            true => tree.rename_replacing_with(&from, &to, sync),
            false => tree.rename_with(&from, &to, sync),
        };
        match renamed.map_err(failed)? {
            Renamed::Done(version) => Ok(Some(version)),
            Renamed::Missing => Err(Failure::NoSuchKey { key: from.clone() }),
            Renamed::Exists(_) => Err(Failure::Occupied { name: to.clone() }),
        }
    };
    arguments.keys.done(db)?;
    let version = outcome?;
    if arguments.json {
        let version = version.map(holt_engine::Version::get);
        let (from, to) = (json::bytes(&from), json::bytes(&to));
        json::line(out, &json!({ "from": from, "to": to, "version": version }))?;
    }
    Ok(())
}
