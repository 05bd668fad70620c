//! `holt index`: a directory tree as records, one an entry, brought up to date by every run.
//!
//! - The walk of the disk and the records of the database are both in byte order of the keys, so
//!   one merge of the two streams finds what is new, changed, vanished and the same.
//! - Records are written in the order of the walk: what an interrupted first run leaves behind is
//!   the beginning of that order.
//! - Only a record that this command wrote is ever taken for one of a vanished entry, and none
//!   about which an unreadable directory leaves it in the dark.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use holt_engine::{Durability, Entries, Options, Tree};
use serde_json::{Value, json};

use super::Database;
use crate::entry::Entry;
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::json;
use crate::progress::Progress;
use crate::walk::{Hides, SEPARATOR, Step, Walk};

/// Store one record for each entry of the directory tree DIR
///
/// A key is a path below DIR, byte for byte; a directory's ends in a slash. The value holds kind,
/// size, permissions, owner, group, time of modification and the target of a link. The database
/// is created if there is none, and its own directory is left out if it lies in DIR.
///
/// Running it again updates: entries that changed are stored again, entries that vanished are
/// removed, everything else stays untouched. Entries that cannot be read are named on standard
/// error and counted; they do not stop the run, and their records stay. Keys that `holt index`
/// did not store are left alone unless DIR has an entry of that name.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory to index
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// What each record must survive before the next one is written
    #[arg(long, value_enum, default_value_t = Level::Buffered)]
    durability: Level,
    /// Make a checkpoint in the background after every so many bytes of log; 0 for none
    #[arg(long, value_name = "BYTES")]
    checkpoint_bytes: Option<u64>,
    /// Print each key when its change is acknowledged: + stored, ~ changed, - removed
    #[arg(short, long)]
    verbose: bool,
    /// Print the figures at the end as one JSON object
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
    #[command(flatten)]
    pub(super) database: Database,
}

/// The acknowledgement to wait for, in the words of the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Level {
    /// Nothing: fastest; if the process is killed, the last few records may be missing
    Buffered,
    /// The process being killed
    Os,
    /// Loss of power
    Sync,
}

impl From<Level> for Durability {
    fn from(level: Level) -> Durability {
        match level {
            Level::Buffered => Durability::Buffered,
            Level::Os => Durability::Os,
            Level::Sync => Durability::Sync,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let lost = |error| Failure::Directory { directory: directory.clone(), error };
    let failed = |error| arguments.database.failed(error);
    // Looked at first, so that a mistyped DIR leaves no new database behind.
    if !directory.metadata().map_err(lost)?.is_dir() {
        return Err(lost(io::ErrorKind::NotADirectory.into()));
    }
    let mut options = Options::new();
    if let Some(bytes) = arguments.checkpoint_bytes {
        options.checkpoint_bytes(bytes);
    }
    let db = arguments.database.open(&options)?;
    let tree = db.default_tree();
    let begin = Instant::now();
    // The walk has to see the database's directory to know it when it meets it.
    let walk = Walk::new(directory, &arguments.database.path).map_err(lost)?;
    let mut progress = Progress::new(tree.len().map_err(failed)?);
    let log = arguments.verbose.then_some(&mut *out);
    let stopped = |stop: Stop| match stop {
        Stop::Database(error) => arguments.database.failed(error),
        Stop::Output(error) => error.into(),
    };
    let mut update = Update::new(&tree, arguments.durability.into(), log).map_err(stopped)?;
    for step in walk {
        if let Step::Unreadable { key, error, .. } = &step {
            let path = directory.join(OsStr::from_bytes(key));
            let name = Escaped(path.as_os_str().as_bytes());
            // If standard error is closed, the count at the end still tells.
            let _ =
                progress.suspend(|| writeln!(io::stderr(), "holt: cannot read {name}: {error}"));
        }
        update.take(step).map_err(stopped)?;
        progress.step();
    }
    let tally = update.finish().map_err(stopped)?;
    arguments.database.done(db)?;
    drop(progress);
    let seconds = begin.elapsed().as_secs_f64();
    if arguments.json {
        return json::line(out, &tally.object(seconds));
    }
    Ok(tally.write(out, seconds)?)
}

/// Why an update ends before its time.
#[derive(Debug)]
enum Stop {
    Database(holt_engine::Error),
    Output(io::Error),
}

impl From<holt_engine::Error> for Stop {
    fn from(error: holt_engine::Error) -> Stop {
        Stop::Database(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

/// What a run met and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    entries: u64,
    /// Bytes of the keys and values of all entries.
    bytes: u64,
    added: u64,
    changed: u64,
    unchanged: u64,
    removed: u64,
    unreadable: u64,
}

impl Tally {
    fn write(&self, out: &mut dyn Write, seconds: f64) -> io::Result<()> {
        let Tally { entries, bytes, added, changed, unchanged, removed, unreadable } = self;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let rate = *entries as f64 / seconds.max(1e-9);
        writeln!(out, "{entries} entries, {bytes} bytes, {seconds:.3} s, {rate:.0} records/s")?;
        write!(out, "{added} added, {changed} changed, {removed} removed, {unchanged} unchanged")?;
        writeln!(out, ", {unreadable} unreadable")
    }

    fn object(&self, seconds: f64) -> Value {
        json!({
            "entries": self.entries,
            "bytes": self.bytes,
            "seconds": seconds,
            "added": self.added,
            "changed": self.changed,
            "removed": self.removed,
            "unchanged": self.unchanged,
            "unreadable": self.unreadable,
        })
    }
}

/// The merge of a walk with the records of a tree.
struct Update<'a, 'out> {
    tree: &'a Tree,
    durability: Durability,
    /// The tree's records in byte order; it reads ahead of every change that is made here.
    records: Entries,
    /// The first record that the walk has not passed yet.
    record: Option<(Vec<u8>, Vec<u8>)>,
    /// Ranges of keys of which nobody knows whether their entries still exist.
    hidden: Vec<Range<Vec<u8>>>,
    log: Option<&'a mut (dyn Write + 'out)>,
    tally: Tally,
    /// The encoded entry in hand, kept for its memory.
    value: Vec<u8>,
}

impl<'a, 'out> Update<'a, 'out> {
    fn new(
        tree: &'a Tree,
        durability: Durability,
        log: Option<&'a mut (dyn Write + 'out)>,
    ) -> Result<Update<'a, 'out>, Stop> {
        let records = tree.scan().into_iter();
        let mut update = Update {
            tree,
            durability,
            records,
            record: None,
            hidden: Vec::new(),
            log,
            tally: Tally::default(),
            value: Vec::new(),
        };
        update.advance()?;
        Ok(update)
    }

    /// Brings the tree up to date up to one step of the walk.
    fn take(&mut self, step: Step) -> Result<(), Stop> {
        match step {
            Step::Entry { key, entry } => {
                self.pass(Some(&key))?;
                self.store(&key, &entry)
            }
            Step::Unreadable { key, hides, .. } => {
                self.pass(Some(&key))?;
                self.hide(&key, hides);
                self.tally.unreadable += 1;
                Ok(())
            }
        }
    }

    /// Brings the rest of the tree up to date: the walk is over.
    fn finish(mut self) -> Result<Tally, Stop> {
        self.pass(None)?;
        Ok(self.tally)
    }

    fn advance(&mut self) -> Result<(), Stop> {
        self.record = match self.records.next().transpose()? {
            Some(found) => found.into_record(),
            None => None,
        };
        Ok(())
    }

    /// Leaves behind every record before `key`: what is there was not met by the walk.
    fn pass(&mut self, key: Option<&[u8]>) -> Result<(), Stop> {
        while let Some((old, value)) = &self.record {
            if key.is_some_and(|key| key <= &old[..]) {
                break;
            }
            self.hidden.retain(|range| old < &range.end);
            let hidden = self.hidden.iter().any(|range| range.contains(old));
            if !hidden && Entry::decode(value).is_some() {
                self.tree.delete_with(old, self.durability)?;
                self.tally.removed += 1;
                tell(&mut self.log, '-', old)?;
            }
            self.advance()?;
        }
        Ok(())
    }

    /// Makes the record of `key` that of `entry`.
    fn store(&mut self, key: &[u8], entry: &Entry) -> Result<(), Stop> {
        entry.encode(&mut self.value);
        self.tally.entries += 1;
        self.tally.bytes += (key.len() + self.value.len()) as u64;
        let old = match &self.record {
            Some((old, value)) if old == key => Some(value),
            _ => None,
        };
        let known = old.is_some();
        if old == Some(&self.value) {
            self.tally.unchanged += 1;
        } else {
            self.tree.put_with(key, &self.value, self.durability)?;
            *(if known { &mut self.tally.changed } else { &mut self.tally.added }) += 1;
            tell(&mut self.log, if known { '~' } else { '+' }, key)?;
        }
        if known { self.advance() } else { Ok(()) }
    }

    fn hide(&mut self, key: &[u8], hides: Hides) {
        let exactly = |key: &[u8]| key.to_vec()..[key, &[0]].concat();
        // Everything that begins with the name and its separator ends before the name and the
        // byte after the separator.
        let below = |name: &[u8]| [name, &[SEPARATOR]].concat()..[name, &[SEPARATOR + 1]].concat();
        match hides {
            Hides::Key => self.hidden.push(exactly(key)),
            Hides::Below => self.hidden.push(below(key.strip_suffix(&[SEPARATOR]).unwrap_or(key))),
            Hides::KeyAndBelow => self.hidden.extend([exactly(key), below(key)]),
        }
    }
}

/// Writes one line about a change, at once: whoever reads it may rely on the change.
fn tell(log: &mut Option<&mut (dyn Write + '_)>, sign: char, key: &[u8]) -> io::Result<()> {
    if let Some(log) = log {
        writeln!(log, "{sign} {}", Escaped(key))?;
        log.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use holt_engine::Db;

    use super::*;
    use crate::entry::Kind;

    fn entry() -> Entry {
        Entry {
            kind: Kind::File,
            mode: 0o644,
            uid: 1,
            gid: 2,
            size: 3,
            seconds: 4,
            nanoseconds: 5,
            target: Vec::new(),
        }
    }

    fn met(key: &str) -> Step {
        Step::Entry { key: key.into(), entry: entry() }
    }

    fn unreadable(key: &str, hides: Hides) -> Step {
        let error = io::ErrorKind::PermissionDenied.into();
        Step::Unreadable { key: key.into(), hides, error }
    }

    /// Records of these keys, updated by these steps; returns the changes as they are told.
    fn update(tree: &Tree, keys: &[&str], steps: Vec<Step>) -> (Tally, String) {
        let mut value = Vec::new();
        entry().encode(&mut value);
        for key in keys {
            tree.put(key.as_bytes(), &value).unwrap();
        }
        let mut log = Vec::new();
        let mut update = Update::new(tree, Durability::Buffered, Some(&mut log)).unwrap();
        for step in steps {
            update.take(step).unwrap();
        }
        let tally = update.finish().unwrap();
        (tally, String::from_utf8(log).unwrap().replace('\n', ";"))
    }

    fn tree() -> (tempfile::TempDir, Tree) {
        let directory = tempfile::tempdir().unwrap();
        let tree = Db::open(directory.path()).unwrap().default_tree();
        (directory, tree)
    }

    #[test]
    fn the_merge_adds_changes_removes_and_leaves() {
        let (_directory, tree) = tree();
        let mut changed = entry();
        changed.size = 9;
        let steps =
            vec![met("a"), Step::Entry { key: b"c".to_vec(), entry: changed }, met("d"), met("e")];
        let (tally, log) = update(&tree, &["b", "c", "d", "f"], steps);
        assert_eq!(log, "+ a;- b;~ c;+ e;- f;");
        let Tally { entries, added, changed, unchanged, removed, .. } = tally;
        assert_eq!((entries, added, changed, unchanged, removed), (4, 2, 1, 1, 2));
        assert_eq!(tally.bytes, 4 * (1 + 36));
    }

    #[test]
    fn records_below_an_unreadable_directory_stay() {
        let (_directory, tree) = tree();
        let steps = vec![met("dir-2"), met("dir/"), unreadable("dir/", Hides::Below), met("dir0")];
        let keys = ["a", "dir", "dir-2", "dir-3", "dir/", "dir/x", "dir/x/y", "dir0", "z"];
        let (tally, log) = update(&tree, &keys, steps);
        assert_eq!(log, "- a;- dir;- dir-3;- z;");
        assert_eq!((tally.unreadable, tally.unchanged), (1, 3));
    }

    #[test]
    fn records_of_an_unreadable_entry_stay_whatever_it_is() {
        let keys = ["n", "n-1", "n/", "n/x", "n0"];
        for (hides, key, expected) in [
            (Hides::KeyAndBelow, "n", "- n-1;- n0;"),
            (Hides::Key, "n", "- n-1;- n/;- n/x;- n0;"),
            (Hides::Below, "n/", "- n;- n-1;- n0;"),
        ] {
            let (_directory, tree) = tree();
            let (_, log) = update(&tree, &keys, vec![unreadable(key, hides)]);
            assert_eq!(log, expected, "{hides:?}");
        }
    }

    #[test]
    fn a_value_of_somebody_else_is_never_taken_for_a_vanished_entry() {
        let (_directory, tree) = tree();
        for key in ["a", "c"] {
            tree.put(key.as_bytes(), b"mine").unwrap();
        }
        let (tally, log) = update(&tree, &["b"], vec![met("c")]);
        assert_eq!(log, "- b;~ c;");
        assert_eq!((tally.changed, tally.removed), (1, 1));
        assert_eq!(tree.get(b"a").unwrap().unwrap(), b"mine");
    }
}
