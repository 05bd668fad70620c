//! The commands, one file each, and the arguments that several of them share.

mod archive;
mod backup;
mod checkpoint;
mod compact;
mod completions;
mod du;
mod export;
mod find;
mod get;
mod import;
mod index;
mod log;
mod ls;
mod man;
mod mv;
mod put;
mod restore;
mod rm;
mod shell;
mod stat;
mod top;
mod tree;
mod trees;
mod verify;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use holt_engine::disk::RealDisk;
use holt_engine::{Create, Db, Error, Options, Tree};
use serde_json::json;

use crate::escape::{BadEscape, Escaped, unescape};
use crate::failure::Failure;
use crate::json;

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Index(index::Arguments),
    Ls(ls::Arguments),
    Find(find::Arguments),
    Get(get::Arguments),
    Put(put::Arguments),
    Mv(mv::Arguments),
    Rm(rm::Arguments),
    Tree(tree::Arguments),
    Du(du::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    Trees(trees::Arguments),
    Stat(stat::Arguments),
    Verify(verify::Arguments),
    Checkpoint(checkpoint::Arguments),
    Compact(compact::Arguments),
    Log(log::Arguments),
    Top(top::Arguments),
    Shell(shell::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Command {
    /// Runs the command and writes its results to `out`.
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Command::Index(arguments) => index::run(arguments, out),
            Command::Ls(arguments) => ls::run(arguments, out),
            Command::Find(arguments) => find::run(arguments, out),
            Command::Get(arguments) => get::run(arguments, out),
            Command::Put(arguments) => put::run(arguments, out),
            Command::Mv(arguments) => mv::run(arguments, out),
            Command::Rm(arguments) => rm::run(arguments, out),
            Command::Tree(arguments) => tree::run(arguments, out),
            Command::Du(arguments) => du::run(arguments, out),
            Command::Import(arguments) => import::run(arguments, out),
            Command::Export(arguments) => export::run(arguments, out),
            Command::Backup(arguments) => backup::run(arguments, out),
            Command::Restore(arguments) => restore::run(arguments, out),
            Command::Trees(arguments) => trees::run(arguments, out),
            Command::Log(arguments) => log::run(arguments, out),
            Command::Completions(arguments) => completions::run(arguments, out),
            Command::Stat(arguments) => stat::run(arguments, out),
            Command::Verify(arguments) => verify::run(arguments, out),
            Command::Checkpoint(arguments) => checkpoint::run(arguments, out),
            Command::Compact(arguments) => compact::run(arguments, out),
            Command::Top(arguments) => top::run(arguments, out),
            Command::Shell(arguments) => shell::run(arguments, out),
            Command::Man(arguments) => man::run(arguments, out),
        }
    }

    /// The database that the command works on, if it works on one.
    fn database(&mut self) -> Option<&mut Database> {
        Some(match self {
            Command::Index(arguments) => &mut arguments.database,
            Command::Ls(arguments) => &mut arguments.keys.database,
            Command::Find(arguments) => &mut arguments.keys.database,
            Command::Get(arguments) => &mut arguments.keys.database,
            Command::Put(arguments) => &mut arguments.keys.database,
            Command::Mv(arguments) => &mut arguments.keys.database,
            Command::Rm(arguments) => &mut arguments.keys.database,
            Command::Tree(arguments) => &mut arguments.keys.database,
            Command::Du(arguments) => &mut arguments.keys.database,
            Command::Import(arguments) => &mut arguments.keys.database,
            Command::Export(arguments) => &mut arguments.keys.database,
            Command::Trees(arguments) => &mut arguments.database,
            Command::Backup(arguments) => &mut arguments.database,
            Command::Log(arguments) => &mut arguments.database,
            Command::Stat(arguments) => &mut arguments.database,
            Command::Verify(arguments) => &mut arguments.database,
            Command::Checkpoint(arguments) => &mut arguments.database,
            Command::Compact(arguments) => &mut arguments.database,
            Command::Top(arguments) => &mut arguments.database,
            Command::Shell(arguments) => &mut arguments.keys.database,
            Command::Restore(_) | Command::Completions(_) | Command::Man(_) => return None,
        })
    }
}

/// The database that a command works on.
#[derive(clap::Args)]
pub(crate) struct Database {
    /// Directory that holds the database
    #[arg(long = "db", value_name = "PATH")]
    path: PathBuf,
    /// The database as the shell has it open, which the command is then given.
    #[arg(skip)]
    session: Option<Db>,
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
        match &self.session {
            Some(db) => Ok(db.clone()),
            None => options.open(&self.path).map_err(|error| self.failed(error)),
        }
    }

    /// Ends the work of a command that has written: everything is on stable storage.
    fn done(&self, db: Db) -> Result<(), Failure> {
        let done = if self.session.is_some() { db.sync() } else { db.close() };
        done.map_err(|error| self.failed(error))
    }

    /// The directory, for somebody who reads the files without opening the database.
    fn disk(&self) -> Result<Arc<RealDisk>, Failure> {
        let disk = RealDisk::open(&self.path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => self.failed(Error::Missing),
            _ => self.failed(Error::Io { doing: "open the directory", source }),
        });
        Ok(Arc::new(disk?))
    }

    /// An error of the files of this database.
    fn unreadable(&self, error: holt_journal::Error) -> Failure {
        self.failed(match error {
            holt_journal::Error::NoStore => Error::Missing,
            error => error.into(),
        })
    }

    /// An error of this database.
    fn failed(&self, error: Error) -> Failure {
        Failure::Database { database: self.path.clone(), error }
    }
}

/// The tree whose keys a command works on.
#[derive(clap::Args)]
pub(crate) struct Keys {
    #[command(flatten)]
    database: Database,
    /// Tree to work on
    #[arg(long = "tree", value_name = "NAME", default_value = "default")]
    tree: String,
}

impl Keys {
    /// The tree, which must exist, for reading.
    fn read(&self) -> Result<(Db, Tree), Failure> {
        let db = self.database.read()?;
        let tree = db.open_tree(&self.tree).map_err(|error| self.failed(error))?;
        Ok((db, tree))
    }

    /// The tree for writing; what `create` allows is made.
    fn write(&self, create: Create) -> Result<(Db, Tree), Failure> {
        let db = self.database.write(create)?;
        let tree = match create {
            Create::Never => db.open_tree(&self.tree),
            _ => db.tree(&self.tree),
        };
        Ok((db, tree.map_err(|error| self.failed(error))?))
    }

    /// See [`Database::done`].
    fn done(&self, db: Db) -> Result<(), Failure> {
        self.database.done(db)
    }

    /// An error of this database.
    fn failed(&self, error: Error) -> Failure {
        self.database.failed(error)
    }
}

/// A number of records, in words.
fn records(count: u64) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
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
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "null")]
    json: bool,
}

impl Below {
    /// Writes one name and what ends it.
    fn write(&self, out: &mut dyn Write, name: &[u8]) -> Result<(), Failure> {
        if self.json {
            json::line(out, &json!({ "name": json::bytes(name) }))?;
        } else if self.null {
            out.write_all(name)?;
            out.write_all(&[0])?;
        } else {
            writeln!(out, "{}", Escaped(name))?;
        }
        Ok(())
    }
}
