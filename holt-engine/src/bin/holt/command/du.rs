//! `holt du`: how much there is below a prefix.

use std::io::Write;

use holt_engine::Usage;
use serde_json::json;

use super::{Below, Form, Keys};
use crate::failure::Failure;
use crate::json;
use crate::walk::SEPARATOR;

/// Print bytes and number of keys for each name one level below PREFIX, and the sum
///
/// Bytes are those of keys and values, and not what they take on disk: keys share what they begin
/// with. PREFIX is a prefix of keys, as in `ls`; the last line has its name.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    below: Below,
    /// Print the sum only
    #[arg(short, long)]
    summarize: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = arguments.form.bytes(&arguments.below.prefix)?;
    let failed = |error| arguments.keys.failed(error);
    let (_db, tree) = arguments.keys.read()?;
    let mut write = |name: &[u8], usage: Usage| {
        if arguments.below.json {
            let name = json::bytes(name);
            return json::line(
                out,
                &json!({ "name": name, "keys": usage.keys, "bytes": usage.bytes }),
            );
        }
        write!(out, "{:>14} {:>10} ", usage.bytes, usage.keys)?;
        arguments.below.write(out, name)
    };
    if arguments.summarize {
        return write(&prefix, tree.usage(&prefix).map_err(failed)?);
    }
    let mut sum = Usage::default();
    for found in tree.prefix(&prefix[..]).delimiter([SEPARATOR]) {
        let found = found.map_err(failed)?;
        let usage = match found.value() {
            None => tree.usage(found.name()).map_err(failed)?,
            Some(value) => {
                let bytes = found.name().len() + value.len();
                let mut usage = Usage::default();
                (usage.keys, usage.bytes) = (1, bytes as u64);
                usage
            }
        };
        sum.keys += usage.keys;
        sum.bytes += usage.bytes;
        write(found.name(), usage)?;
    }
    write(&prefix, sum)
}
