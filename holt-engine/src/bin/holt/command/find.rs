//! `holt find`: every key below a prefix.

use std::io::Write;

use super::{Below, Form, Keys};
use crate::failure::Failure;

/// Print every key that begins with PREFIX, in byte order
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    below: Below,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = arguments.form.bytes(&arguments.below.prefix)?;
    let (_db, tree) = arguments.keys.read()?;
    for found in tree.prefix(prefix).keys_only() {
        let found = found.map_err(|error| arguments.keys.failed(error))?;
        arguments.below.write(out, found.name())?;
    }
    Ok(())
}
