//! `holt import`: records from JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use holt_engine::{Create, Durability};
use serde_json::{Value, json};

use super::{Keys, archive};
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;

/// Records that are stored together.
const TOGETHER: usize = 512;
/// Bytes of records after which no more are stored together.
const BYTES: usize = 4 << 20;

/// Store the records of a file of JSON lines, as `holt export` writes it
///
/// Each line is an object with a `key` and a `value`, of which a string stands for its UTF-8 bytes and
/// `{"hex": "00ff"}` for any. Values that are there are replaced. The database and the tree are
/// created if there are none. A line that is no record ends the command; the lines before it are
/// stored. When the command returns, everything is on stable storage.
///
/// With --archive the file is an archive, as `holt export --archive` writes it, and goes into the trees
/// that it names, all of it or nothing: into new ones, or with --merge into those that there are.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// File to read; standard input if it is left out
    file: Option<PathBuf>,
    /// Read an archive
    #[arg(long, conflicts_with = "tree")]
    archive: bool,
    /// Put records into trees that are there, too
    #[arg(long, requires = "archive")]
    merge: bool,
    /// Print one JSON object with the number of records
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let name = arguments.file.clone().unwrap_or_else(|| PathBuf::from("standard input"));
    let unreadable = |error| Failure::Input { file: name.clone(), error };
    let mut input: Box<dyn BufRead> = match &arguments.file {
        Some(file) => Box::new(BufReader::new(File::open(file).map_err(unreadable)?)),
        None => Box::new(BufReader::new(io::stdin().lock())),
    };
    if arguments.archive {
        return archive::read(&arguments.keys, arguments.merge, arguments.json, &mut input, out);
    }
    let failed = |error| arguments.keys.failed(error);
    let (db, tree) = arguments.keys.write(Create::IfMissing)?;
    let mut progress = Progress::new(0);
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(TOGETHER);
    let (mut bytes, mut stored) = (0, 0_u64);
    let store = |records: &mut Vec<(Vec<u8>, Vec<u8>)>| {
        let batch = db.atomic_with(Durability::Buffered, |batch| {
            records.iter().try_for_each(|(key, value)| batch.put(&tree, key, value))
        });
        records.clear();
        batch.map(|batch| batch.len())
    };
    let mut outcome = Ok(());
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        let Some((key, value)) = record(&line) else {
            outcome = Err(Failure::NoRecord { file: name.clone(), line: number });
            break;
        };
        bytes += key.len() + value.len();
        records.push((key, value));
        progress.step();
        if records.len() == TOGETHER || bytes >= BYTES {
            stored += store(&mut records).map_err(failed)?;
            bytes = 0;
        }
    }
    stored += store(&mut records).map_err(failed)?;
    drop(progress);
    arguments.keys.done(db)?;
    if arguments.json {
        json::line(out, &json!({ "records": stored }))?;
    } else {
        writeln!(out, "{stored} records stored")?;
    }
    outcome
}

fn record(line: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let value: Value = line.parse().ok()?;
    Some((json::parse(value.get("key")?)?, json::parse(value.get("value")?)?))
}
