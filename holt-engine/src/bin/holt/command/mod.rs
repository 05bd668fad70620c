//! The commands, one file each, and the arguments that several of them share.

mod checkpoint;
mod find;
mod get;
mod index;
mod ls;
mod put;
mod rm;
mod stat;
mod verify;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use holt_engine::{Create, Db, Error, Options};

use crate::escape::{BadEscape, Escaped, unescape};
use crate::failure::Failure;

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Index(index::Arguments),
    Ls(ls::Arguments),
    Find(find::Arguments),
    Get(get::Arguments),
    Put(put::Arguments),
    Rm(rm::Arguments),
    Stat(stat::Arguments),
    Verify(verify::Arguments),
    Checkpoint(checkpoint::Arguments),
}

impl Command {
    /// Runs the command and writes its results to `out`.
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Command::Index(arguments) => index::run(arguments, out),
            Command::Ls(arguments) => ls::run(arguments, out),
            Command::Find(arguments) => find::run(arguments, out),
            Command::Get(arguments) => get::run(arguments, out),
            Command::Put(arguments) => put::run(arguments),
            Command::Rm(arguments) => rm::run(arguments),
            Command::Stat(arguments) => stat::run(arguments, out),
            Command::Verify(arguments) => verify::run(arguments, out),
            Command::Checkpoint(arguments) => checkpoint::run(arguments, out),
        }
    }
}

/// The database that a command works on.
#[derive(clap::Args)]
pub(crate) struct Database {
    /// Directory that holds the database
    #[arg(long = "db", value_name = "PATH")]
    path: PathBuf,
}

impl Database {
    /// Opens the database, which must exist, for reading; other readers may share it.
    fn read(&self) -> Result<Db, Failure> {
        self.open(Options::new().read_only(true).create(Create::Never))
    }

    /// Opens the database for writing, alone.
    fn write(&self, create: Create) -> Result<Db, Failure> {
        self.open(Options::new().create(create))
    }

    fn open(&self, options: &Options) -> Result<Db, Failure> {
        options.open(&self.path).map_err(|error| self.failed(error))
    }

    /// An error of this database.
    fn failed(&self, error: Error) -> Failure {
        Failure::Database { database: self.path.clone(), error }
    }
}

/// How keys are written on the command line.
#[derive(clap::Args)]
pub(crate) struct Form {
    /// Read keys on the command line in the escaped form that holt prints
    #[arg(short, long)]
    escaped: bool,
}

impl Form {
    /// The bytes that an argument stands for.
    fn bytes(&self, argument: &OsStr) -> Result<Vec<u8>, BadEscape> {
        let argument = argument.as_bytes();
        if self.escaped { unescape(argument) } else { Ok(argument.to_vec()) }
    }
}

/// A prefix to list and how to print what is below it.
#[derive(clap::Args)]
pub(crate) struct Below {
    /// What the keys begin with; everything if it is left out
    #[arg(default_value = "", hide_default_value = true)]
    prefix: OsString,
    /// End each name with a zero byte instead of a newline, and do not escape it
    #[arg(short = '0', long = "null")]
    null: bool,
}

impl Below {
    /// Writes one name and what ends it.
    fn write(&self, out: &mut dyn Write, name: &[u8]) -> Result<(), Failure> {
        if self.null {
            out.write_all(name)?;
            out.write_all(&[0])?;
        } else {
            writeln!(out, "{}", Escaped(name))?;
        }
        Ok(())
    }
}
