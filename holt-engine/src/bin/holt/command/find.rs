//! `holt find`: every key below a prefix.

use std::ffi::OsString;
use std::io::Write;

use super::{Below, Form, Keys};
use crate::failure::Failure;
use crate::pattern::matches;
use crate::walk::SEPARATOR;

/// Print every key that begins with PREFIX, in byte order
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    below: Below,
    /// Print only keys whose last segment matches: * stands for any bytes, ? for any byte
    #[arg(short, long, value_name = "PATTERN")]
    name: Option<OsString>,
    /// Print only keys that come after KEY
    #[arg(long, value_name = "KEY")]
    after: Option<OsString>,
    /// Print so many keys at most
    #[arg(long, value_name = "KEYS", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// Print in reverse order
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = arguments.form.bytes(&arguments.below.prefix)?;
    let pattern = arguments.name.as_ref().map(|name| arguments.form.bytes(name)).transpose()?;
    let after = arguments.after.as_ref().map(|key| arguments.form.bytes(key)).transpose()?;
    let (_db, tree) = arguments.keys.read()?;
    let mut scan = tree.prefix(prefix).keys_only();
    if let Some(after) = after {
        scan = scan.start_after(after);
    }
    if arguments.reverse {
        scan = scan.reverse();
    }
    let mut left = arguments.limit;
    for found in scan {
        if left == 0 {
            break;
        }
        let found = found.map_err(|error| arguments.keys.failed(error))?;
        if pattern.as_ref().is_none_or(|pattern| matches(pattern, segment(found.name()))) {
            arguments.below.write(out, found.name())?;
            left -= 1;
        }
    }
    Ok(())
}

/// The last segment of a key, without the slash of a directory.
fn segment(key: &[u8]) -> &[u8] {
    let key = key.strip_suffix(&[SEPARATOR]).unwrap_or(key);
    key.rsplit(|byte| *byte == SEPARATOR).next().unwrap_or(key)
}
