//! `holt get`: the value of one key.

use std::ffi::OsString;
use std::io::Write;

use serde_json::json;

use super::{Form, Keys};
use crate::entry::{Entry, Kind};
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::json;
use crate::when::Utc;

/// Print the value of KEY
///
/// A value that `holt index` wrote is printed as text, one field a line; every other value byte
/// for byte as it is stored. A key that is not there is an error.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Key to look up
    key: OsString,
    /// Print one JSON object with the key, the value and its version
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the bytes of the value, whoever wrote it
    #[arg(short, long)]
    raw: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let key = arguments.form.bytes(&arguments.key)?;
    let (_db, tree) = arguments.keys.read()?;
    let value = tree.get_with_version(&key).map_err(|error| arguments.keys.failed(error))?;
    let Some((value, version)) = value else { return Err(Failure::NoSuchKey { key }) };
    if arguments.json {
        let (key, value) = (json::bytes(&key), json::bytes(&value));
        let object = json!({ "key": key, "value": value, "version": version.get() });
        return json::line(out, &object);
    }
    match Entry::decode(&value) {
        Some(entry) if !arguments.raw => describe(out, &entry),
        _ => Ok(out.write_all(&value)?),
    }
}

fn describe(out: &mut dyn Write, entry: &Entry) -> Result<(), Failure> {
    writeln!(out, "kind      {}", entry.kind)?;
    writeln!(out, "mode      {:04o} {}", entry.mode, entry.mode_string())?;
    writeln!(out, "owner     {}", entry.uid)?;
    writeln!(out, "group     {}", entry.gid)?;
    writeln!(out, "size      {}", entry.size)?;
    let time = Utc { seconds: entry.seconds };
    writeln!(out, "modified  {time}.{:09} UTC", entry.nanoseconds)?;
    if entry.kind == Kind::Link {
        writeln!(out, "target    {}", Escaped(&entry.target))?;
    }
    Ok(())
}
