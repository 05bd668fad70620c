//! `holt log`: what the log holds, record by record.

use std::io::{self, Write};
use std::sync::Arc;

use holt_codec::{Op, Record};
use holt_engine::disk::{Access, Disk, RealDisk};
use holt_engine::{Error, Holder};
use holt_journal::recover_log;
use holt_journal::store::{LOCK_FILE, Store};
use serde_json::{Value, json};

use super::Database;
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::json;

/// Print the records of the log since the last checkpoint, which are what opening replays
///
/// One line a record: its address, its kind, the id of the tree, and what it says. The operations of
/// a batch follow it, indented. Nothing is changed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

/// Why the reading ends.
enum Stop {
    Log(holt_journal::Error),
    Output(io::Error),
}

impl From<holt_journal::Error> for Stop {
    fn from(error: holt_journal::Error) -> Stop {
        Stop::Log(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let database = &arguments.database;
    let disk = database.disk()?;
    let _lock = match &database.session {
        // The shell has the lock. What it has written is in the files after this.
        Some(db) => {
            db.sync().map_err(|error| database.failed(error))?;
            None
        }
        None => Some(lock(database, &disk)?),
    };
    let store = Store::open(Arc::clone(&disk), Access::Read);
    let store = store.map_err(|error| database.unreadable(error))?;
    let read = recover_log(&disk, store.db(), store.log_address(), &mut |address, record| {
        if arguments.json {
            return Ok::<(), Stop>(writeln!(out, "{}", object(address, &record)?)?);
        }
        text(out, address, &record)
    });
    match read {
        Ok(_) => Ok(()),
        Err(Stop::Log(error)) => Err(database.failed(error.into())),
        Err(Stop::Output(error)) => Err(error.into()),
    }
}

/// The lock of a reader.
fn lock(database: &Database, disk: &Arc<RealDisk>) -> Result<impl Sized, Failure> {
    match disk.lock(LOCK_FILE, false) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(database.failed(Error::Locked { holder: Holder::Writer })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(database.failed(Error::Missing))
        }
        Err(source) => Err(database.failed(Error::Io { doing: "lock the database", source })),
    }
}

/// The operations of a record, as far as they decode.
fn operations<'a>(record: &Record<'a>) -> Result<Vec<Op<'a>>, holt_journal::Error> {
    Ok(match record {
        Record::Op(op) => vec![*op],
        Record::Batch(batch) => batch.ops().collect::<Result<_, _>>()?,
        _ => Vec::new(),
    })
}

fn text(out: &mut dyn Write, address: u64, record: &Record<'_>) -> Result<(), Stop> {
    write!(out, "{address:>12} ")?;
    match record {
        Record::Batch(batch) => writeln!(out, "batch of {}", batch.len())?,
        Record::CreateTree { tree, name } => {
            writeln!(out, "create-tree {tree} {}", Escaped(name))?;
        }
        Record::RenameTree { tree, name } => {
            writeln!(out, "rename-tree {tree} {}", Escaped(name))?;
        }
        Record::DropTree { tree } => writeln!(out, "drop-tree {tree}")?,
        Record::Skip { len } => writeln!(out, "skip of {len} bytes")?,
        Record::CleanEnd => writeln!(out, "clean-end")?,
        _ => {}
    }
    for op in operations(record)? {
        if let Record::Batch(_) = record {
            out.write_all(b"               ")?;
        }
        let (name, tree) = (name(&op), op.tree());
        write!(out, "{name} {tree} ")?;
        match op {
            Op::Put { key, value, .. } => {
                writeln!(out, "{} ({} bytes)", Escaped(key), value.len())?;
            }
            Op::Delete { key, .. } | Op::DeletePrefix { prefix: key, .. } => {
                writeln!(out, "{}", Escaped(key))?;
            }
            Op::Rename { from, to, .. } | Op::RenamePrefix { from, to, .. } => {
                writeln!(out, "{} -> {}", Escaped(from), Escaped(to))?;
            }
            _ => writeln!(out)?,
        }
    }
    Ok(())
}

fn object(address: u64, record: &Record<'_>) -> Result<Value, Stop> {
    let operation = |op: &Op<'_>| {
        let mut object = json!({ "kind": name(op), "tree": op.tree() });
        let mut set = |field: &str, value: Value| object[field] = value;
        match op {
            Op::Put { key, value, .. } => {
                set("key", json::bytes(key));
                set("bytes", value.len().into());
            }
            Op::Delete { key, .. } => set("key", json::bytes(key)),
            Op::DeletePrefix { prefix, .. } => set("prefix", json::bytes(prefix)),
            Op::Rename { from, to, .. } | Op::RenamePrefix { from, to, .. } => {
                set("from", json::bytes(from));
                set("to", json::bytes(to));
            }
            _ => {}
        }
        object
    };
    let mut object = match record {
        Record::Op(op) => operation(op),
        Record::Batch(_) => {
            let operations: Vec<_> = operations(record)?.iter().map(operation).collect();
            json!({ "kind": "batch", "operations": operations })
        }
        Record::CreateTree { tree, name } => {
            json!({ "kind": "create-tree", "tree": tree, "name": json::bytes(name) })
        }
        Record::RenameTree { tree, name } => {
            json!({ "kind": "rename-tree", "tree": tree, "name": json::bytes(name) })
        }
        Record::DropTree { tree } => json!({ "kind": "drop-tree", "tree": tree }),
        Record::Skip { len } => json!({ "kind": "skip", "bytes": len }),
        _ => json!({ "kind": "clean-end" }),
    };
    object["address"] = address.into();
    Ok(object)
}

fn name(op: &Op<'_>) -> &'static str {
    match op {
        Op::Put { .. } => "put",
        Op::Delete { .. } => "delete",
        Op::Rename { .. } => "rename",
        Op::RenamePrefix { replace: false, .. } => "rename-prefix",
        Op::RenamePrefix { replace: true, .. } => "rename-prefix-replacing",
        Op::DeletePrefix { .. } => "delete-prefix",
        _ => "unknown",
    }
}
