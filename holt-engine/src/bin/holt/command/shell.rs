//! `holt shell`: many commands on one open database, with history and completion.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser};
use holt_engine::{Create, Db};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::{Command, Keys};
use crate::complete::{Completion, Known};
use crate::failure::Failure;
use crate::words::Words;

/// Lines of history that are kept.
const LINES: usize = 10_000;

/// Read commands line by line and run them on one open database
///
/// The commands are those of holt, without `holt` and without --db: `ls usr/`, `get -r key`. `use TREE`
/// works on another tree from then on, `exit` or the end of the input leaves, `help` lists what
/// there is. Words are parted by blanks and may stand in quotes; a line that begins with # is left
/// out. On a terminal the tabulator completes commands, options, trees and keys, and the arrows
/// find earlier lines again. From a file or a pipe, the first command that fails ends it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Open the database for reading only, beside other readers
    #[arg(long)]
    read_only: bool,
    /// File that keeps the lines typed; by default holt/history in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let keys = &arguments.keys;
    if keys.database.session.is_some() {
        return Err(Failure::Nested);
    }
    let db = match arguments.read_only {
        true => keys.database.read()?,
        false => keys.database.write(Create::Never)?,
    };
    let mut session =
        Session { db: db.clone(), path: keys.database.path.clone(), tree: String::new() };
    session.work_on(keys.tree.clone()).map_err(|error| keys.failed(error))?;
    let outcome = if io::stdin().is_terminal() {
        session.converse(arguments.history.clone().or_else(history), out)
    } else {
        session.read(&mut io::stdin().lock(), out)
    };
    let done = keys.done(db);
    outcome.and(done)
}

/// Where the lines typed are kept if nobody says it.
fn history() -> Option<PathBuf> {
    let state = match std::env::var_os("XDG_STATE_HOME") {
        Some(path) if Path::new(&path).is_absolute() => PathBuf::from(path),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".local/state"),
    };
    Some(state.join("holt/history"))
}

/// A line of the shell.
#[derive(Parser)]
#[command(name = "", no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Work on another tree from now on
    Use {
        /// The tree, which must exist
        tree: String,
    },
    /// Leave the shell
    #[command(visible_alias = "quit")]
    Exit,
    #[command(flatten)]
    Command(Box<Command>),
}

/// What is in force from one line to the next.
struct Session {
    db: Db,
    path: PathBuf,
    tree: String,
}

impl Session {
    fn work_on(&mut self, tree: String) -> Result<(), holt_engine::Error> {
        self.db.open_tree(&tree)?;
        self.tree = tree;
        Ok(())
    }

    /// Reads all lines of a file or a pipe.
    fn read(&mut self, lines: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
        let input = || PathBuf::from("standard input");
        for line in lines.lines() {
            let line = line.map_err(|error| Failure::Input { file: input(), error })?;
            if !self.execute(&line, out)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads lines from the terminal, and tells failures there.
    fn converse(&mut self, history: Option<PathBuf>, out: &mut dyn Write) -> Result<(), Failure> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(LINES)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(Failure::Terminal)?
            .build();
        let mut editor: Editor<Completion, FileHistory> =
            Editor::with_config(config).map_err(Failure::Terminal)?;
        if let Some(history) = &history {
            // Without a history of earlier sessions this one works as well, here and below.
            let _ = editor.load_history(history);
        }
        let commands = known(&grammar());
        let tree = self.tree.clone();
        editor.set_helper(Some(Completion { db: self.db.clone(), tree, commands }));
        let outcome = loop {
            if let Some(completion) = editor.helper_mut() {
                completion.tree.clone_from(&self.tree);
            }
            let line = match editor.readline(&format!("holt:{}> ", self.tree)) {
                Ok(line) => line,
                // The line is given up, and another one begins.
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break Ok(()),
                Err(error) => break Err(Failure::Terminal(error)),
            };
            if !line.trim().is_empty() {
                let _ = editor.add_history_entry(&line);
            }
            match self.execute(&line, out) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(Failure::Unheard) => break Err(Failure::Unheard),
                Err(failure) => {
                    out.flush()?;
                    let _ = writeln!(io::stderr(), "holt: {}", crate::line(&failure));
                }
            }
        };
        if let Some(history) = &history {
            let _ = history.parent().map(std::fs::create_dir_all);
            let _ = editor.append_history(history);
        }
        outcome
    }

    /// Runs one line; says whether another one is wanted.
    fn execute(&mut self, line: &str, out: &mut dyn Write) -> Result<bool, Failure> {
        if line.trim_start().starts_with('#') {
            return Ok(true);
        }
        let words = Words::split(line)?;
        if words.is_empty() {
            return Ok(true);
        }
        let mut grammar = grammar();
        let words = self.addressed(&grammar, words);
        let parsed = grammar
            .try_get_matches_from_mut(words)
            .and_then(|matches| Line::from_arg_matches(&matches));
        let what = match parsed {
            Ok(line) => line.what,
            Err(error) if !error.use_stderr() => {
                write!(out, "{error}")?;
                out.flush()?;
                return Ok(true);
            }
            Err(error) => return Err(Failure::Usage(usage(&error.to_string()))),
        };
        match what {
            What::Exit => return Ok(false),
            What::Use { tree } => self
                .work_on(tree)
                .map_err(|error| Failure::Database { database: self.path.clone(), error })?,
            What::Command(mut command) => {
                if let Some(database) = command.database() {
                    database.session = Some(self.db.clone());
                }
                command.run(out)?;
            }
        }
        out.flush()?;
        Ok(true)
    }

    /// The words with the database and the tree of the session put behind the command's name, where
    /// the command takes them. What the line says itself comes later and counts.
    fn addressed(&self, grammar: &clap::Command, words: Vec<String>) -> Vec<std::ffi::OsString> {
        let command = grammar.find_subcommand(&words[0]);
        let takes = |option: &str| {
            command.is_some_and(|command| {
                command.get_arguments().any(|argument| argument.get_long() == Some(option))
            })
        };
        let (with_db, with_tree) = (takes("db"), takes("tree"));
        let mut words = words.into_iter().map(Into::into);
        let mut addressed: Vec<std::ffi::OsString> = words.by_ref().take(1).collect();
        if with_db {
            addressed.extend(["--db".into(), self.path.clone().into()]);
        }
        if with_tree {
            addressed.extend(["--tree".into(), self.tree.clone().into()]);
        }
        addressed.extend(words);
        addressed
    }
}

/// The commands of a line: no database is asked for.
fn grammar() -> clap::Command {
    let mut grammar = Line::command();
    let names: Vec<_> =
        grammar.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        grammar = grammar.mut_subcommand(name, |command| {
            command.args_override_self(true).mut_args(|argument| match argument.get_long() {
                Some("db") => argument.required(false).hide(true),
                _ => argument,
            })
        });
    }
    grammar
}

/// What completion has to know of the commands.
fn known(grammar: &clap::Command) -> Vec<Known> {
    let options = |command: &clap::Command| {
        let visible = command.get_arguments().filter(|argument| !argument.is_hide_set());
        visible.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
    };
    let commands = grammar.get_subcommands();
    commands
        .map(|command| Known { name: command.get_name().to_owned(), options: options(command) })
        .chain([Known { name: "help".to_owned(), options: Vec::new() }])
        .collect()
}

/// The line of a complaint about usage that says what is wrong.
fn usage(complaint: &str) -> String {
    let line = complaint.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_a_line_are_well_formed() {
        grammar().debug_assert();
    }

    #[test]
    fn completion_knows_every_command_and_its_options() {
        let known = known(&grammar());
        let ls = known.iter().find(|command| command.name == "ls").unwrap();
        assert!(ls.options.contains(&"--long".to_owned()), "{:?}", ls.options);
        assert!(!ls.options.contains(&"--db".to_owned()));
        for name in ["use", "exit", "help", "put", "stat"] {
            assert!(known.iter().any(|command| command.name == name), "{name}");
        }
    }
}
