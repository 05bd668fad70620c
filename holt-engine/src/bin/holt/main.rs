//! The `holt` command: index a directory tree into a Holt database, and look inside one.
//!
//! - Results go to standard output, everything else to standard error.
//! - Exit code 0 is success, 1 a failure that one line on standard error explains, 2 wrong usage.
//! - Output whose reader has gone ends the command quietly, with code 0.

#![forbid(unsafe_code)]

mod command;
mod complete;
mod entry;
mod escape;
mod failure;
mod follow;
mod json;
mod pattern;
mod progress;
mod walk;
mod when;
mod words;

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

use command::Command;
use failure::Failure;

/// Index directory trees into a Holt database, and look inside one.
///
/// A database is a directory. Its keys are byte strings in byte order, and a prefix of a key works
/// like a directory: `ls` shows one level below it, `find` everything.
///
/// Keys are printed in a form that loses nothing: printable text as it is, a backslash as \\, tab,
/// newline and carriage return as \t, \n and \r, and every other control character and every byte
/// that is not valid UTF-8 as \xHH. With --escaped, the keys given on the command line are read in
/// that form; without, they are taken byte for byte.
#[derive(Parser)]
#[command(name = "holt", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = arguments.command.run(&mut out);
    // What was written before a failure is part of the answer.
    let flushed = out.flush().map_err(Failure::from);
    match outcome.and(flushed) {
        Ok(()) | Err(Failure::Unheard) => ExitCode::SUCCESS,
        Err(failure) => {
            // If standard error is closed too, the exit code is all that can be said.
            let _ = writeln!(io::stderr(), "holt: {}", line(&failure));
            ExitCode::FAILURE
        }
    }
}

/// A failure and its causes as one line, in which no cause is told twice.
fn line(failure: &Failure) -> String {
    let mut line = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::Output(io::Error::other("first\nsecond"));
        assert_eq!(line(&failure), "cannot write the output: first second");
    }
}
