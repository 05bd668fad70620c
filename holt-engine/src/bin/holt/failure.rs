//! Why a command stops: what becomes a line on standard error and an exit code.

use std::io;
use std::path::PathBuf;

use crate::escape::{BadEscape, Escaped};

/// The end of a command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The reader of our output has gone; nobody is left to tell, and nothing is wrong.
    #[error("the reader of the output has gone")]
    Unheard,
    /// Output could not be written for another reason.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// The database refused or failed.
    #[error("{}: {error}", database.display())]
    Database { database: PathBuf, error: holt_engine::Error },
    /// The directory to index cannot be walked at all.
    #[error("cannot index {}: {error}", directory.display())]
    Directory { directory: PathBuf, error: io::Error },
    /// The key asked for is not in the database.
    #[error("no such key: {}", Escaped(key))]
    NoSuchKey { key: Vec<u8> },
    /// No key begins with the prefix asked for.
    #[error("no key begins with: {}", Escaped(prefix))]
    NoSuchPrefix { prefix: Vec<u8> },
    /// Everything would be removed by the way of a prefix, by mistake most likely.
    #[error("every key begins with the empty prefix; rm --all removes them all")]
    Everything,
    /// What was to get a name finds it taken.
    #[error("there is something of that name already: {} (--force replaces it)", Escaped(name))]
    Occupied { name: Vec<u8> },
    /// A file to read from cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Input { file: PathBuf, error: io::Error },
    /// A line to be imported is no record.
    #[error("{}: line {line} is no JSON object with a key and a value", file.display())]
    NoRecord { file: PathBuf, line: u64 },
    /// There is no command of this name.
    #[error("no such command: {name}")]
    NoSuchCommand { name: String },
    /// The manual pages cannot be written.
    #[error("cannot write the pages to {}: {error}", directory.display())]
    Pages { directory: PathBuf, error: io::Error },
    /// A line of the shell has a quote or a backslash without its end.
    #[error("the line ends inside a quote or behind a backslash")]
    Quote,
    /// A line of the shell is none that it understands.
    #[error("{0}")]
    Usage(String),
    /// A shell was asked for in a shell.
    #[error("this is a shell already")]
    Nested,
    /// The terminal cannot be read from.
    #[error("cannot read from the terminal: {0}")]
    Terminal(rustyline::error::ReadlineError),
    /// A key given in escaped form does not follow its rules.
    #[error("{0}")]
    Escape(#[from] BadEscape),
    /// Verification found faults and has already printed them.
    #[error("{}: {faults} fault{} found", database.display(), if *faults == 1 { "" } else { "s" })]
    Faults { database: PathBuf, faults: usize },
}

impl From<io::Error> for Failure {
    /// An error of writing to standard output, the only plain input and output of the commands.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unheard,
            _ => Failure::Output(error),
        }
    }
}
