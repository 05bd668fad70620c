//! `holt completions`: what a shell needs to complete the command line.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Failure;

/// Print a script that completes this command's arguments in a shell
///
/// For bash: `holt completions bash > ~/.local/share/bash-completion/completions/holt`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Shell to print for
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = crate::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "holt", &mut script);
    out.write_all(&script)?;
    Ok(())
}
