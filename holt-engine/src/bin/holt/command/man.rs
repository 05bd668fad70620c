//! `holt man`: this command's manual pages.

use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::failure::Failure;

/// Print a manual page, or write all of them into a directory
///
/// `holt man | man -l -` shows the page of holt itself, `holt man ls | man -l -` that of `holt ls`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Command whose page to print; the page of holt itself if it is left out
    command: Option<String>,
    /// Write holt.1 and a page for each command into DIR, which must exist
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let mut holt = crate::Arguments::command();
    // Gives each command its whole name, `holt-ls`.
    holt.build();
    if let Some(directory) = &arguments.out {
        return clap_mangen::generate_to(holt, directory)
            .map_err(|error| Failure::Pages { directory: directory.clone(), error });
    }
    let page = match &arguments.command {
        None => holt,
        Some(name) => match holt.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(Failure::NoSuchCommand { name: name.clone() }),
        },
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text)?;
    out.write_all(&text)?;
    Ok(())
}
