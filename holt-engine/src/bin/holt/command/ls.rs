//! `holt ls`: one level of the names below a prefix.

use std::io::Write;

use super::{Below, Form, Keys};
use crate::entry::{Entry, Kind};
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::walk::SEPARATOR;
use crate::when::Utc;

/// List one level: the keys that begin with PREFIX, rolled up at the next slash
///
/// PREFIX is a prefix of keys and not the name of a directory: `usr/` lists what is in the
/// directory, `usr` every name that begins so. Names are printed from the last slash of PREFIX
/// on, in byte order; a name that ends in a slash stands for all keys below it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    below: Below,
    /// Print permissions, owner, group, size and time of modification (UTC) too
    ///
    /// A value that `holt index` did not write has only a size.
    #[arg(short, long, conflicts_with = "json")]
    long: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = arguments.form.bytes(&arguments.below.prefix)?;
    // Names start behind the last slash of the prefix, as in a listing of that directory.
    let parent = prefix.iter().rposition(|byte| *byte == SEPARATOR).map_or(0, |slash| slash + 1);
    let (_db, tree) = arguments.keys.read()?;
    let failed = |error| arguments.keys.failed(error);
    for found in tree.prefix(&prefix[..]).delimiter([SEPARATOR]) {
        let found = found.map_err(failed)?;
        let name = &found.name()[parent..];
        if name.is_empty() {
            // The directory itself, which is no name in itself.
            continue;
        }
        if arguments.long {
            let value = match found.value() {
                Some(value) => Some(value.to_vec()),
                None => tree.get(found.name()).map_err(failed)?,
            };
            details(out, value.as_deref(), arguments, name)?;
        } else {
            arguments.below.write(out, name)?;
        }
    }
    Ok(())
}

/// Writes one line of the long form; `value` is missing for a group without a key of its name.
fn details(
    out: &mut dyn Write,
    value: Option<&[u8]>,
    arguments: &Arguments,
    name: &[u8],
) -> Result<(), Failure> {
    let Some(entry) = value.and_then(Entry::decode) else {
        let size = value.map_or("-".to_owned(), |value| value.len().to_string());
        write!(out, "?--------- {:>5} {:>5} {size:>12} {:<19} ", "-", "-", "-")?;
        return arguments.below.write(out, name);
    };
    let mode = entry.mode_string();
    let Entry { uid, gid, size, seconds, .. } = entry;
    let time = Utc { seconds }.to_string();
    write!(out, "{mode} {uid:>5} {gid:>5} {size:>12} {time:<19} ")?;
    if entry.kind != Kind::Link {
        return arguments.below.write(out, name);
    }
    if arguments.below.null {
        return arguments.below.write(out, &[name, b" -> ", &entry.target].concat());
    }
    writeln!(out, "{} -> {}", Escaped(name), Escaped(&entry.target))?;
    Ok(())
}
