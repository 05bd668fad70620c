//! `holt top`: what a process writes at this moment, looked at from outside.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Database;
use crate::failure::Failure;
use crate::follow::{Counts, Follower, Look};
use crate::json;

/// Print what is written to the database each second, while another process writes it
///
/// Neither opens the database nor waits for anybody: the log is read as the process leaves it, so
/// the rates are those of writes that have reached the operating system. Reads leave no trace
/// there and are not counted. Ends when it is interrupted, or after --count lines.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object a line, with the counts since the beginning
    #[arg(long)]
    json: bool,
    /// Seconds from one look to the next
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// End after so many lines
    #[arg(short, long, value_name = "LINES")]
    count: Option<u64>,
    #[command(flatten)]
    pub(super) database: Database,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The rates that are printed: a heading, and what is counted.
type Column = (&'static str, fn(&Counts) -> u64);

const COLUMNS: [Column; 7] = [
    ("puts/s", |counts| counts.puts),
    ("deletes/s", |counts| counts.deletes),
    ("renames/s", |counts| counts.renames),
    ("prefixes/s", |counts| counts.prefix_operations),
    ("batches/s", |counts| counts.batches),
    ("log B/s", |counts| counts.log_bytes),
    ("checkpoints", |counts| counts.checkpoints),
];

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let unreadable = |error| arguments.database.unreadable(error);
    let mut follower = Follower::new(arguments.database.disk()?);
    let mut last = follower.look().map_err(unreadable)?;
    let began = Instant::now();
    let mut then = began;
    let alone = io::stdout().is_terminal() && !arguments.json;
    if arguments.json {
        json::line(out, &object(&last, 0.0))?;
    } else if !alone {
        headings(out)?;
    }
    out.flush()?;
    let mut lines = 0;
    while arguments.count.is_none_or(|count| lines < count) {
        thread::sleep(arguments.interval);
        let look = follower.look().map_err(unreadable)?;
        let seconds = then.elapsed().as_secs_f64();
        then = Instant::now();
        if arguments.json {
            json::line(out, &object(&look, seconds))?;
        } else if alone {
            // To the upper left corner, and nothing below it.
            write!(out, "\x1b[H\x1b[J")?;
            let (path, since) = (arguments.database.path.display(), began.elapsed().as_secs());
            writeln!(out, "{path}, watched for {since} s; Ctrl-C ends\n")?;
            screen(out, &last, &look, seconds)?;
        } else {
            rates(out, &last, &look, seconds)?;
        }
        out.flush()?;
        last = look;
        lines += 1;
    }
    Ok(())
}

fn object(look: &Look, seconds: f64) -> serde_json::Value {
    let since = &look.since;
    json!({
        "seconds": seconds,
        "puts": since.puts,
        "deletes": since.deletes,
        "renames": since.renames,
        "prefix_operations": since.prefix_operations,
        "batches": since.batches,
        "tree_changes": since.tree_changes,
        "log_bytes": since.log_bytes,
        "missed_bytes": since.missed_bytes,
        "checkpoints": since.checkpoints,
        "log_address": look.log_address,
        "checkpoint_address": look.checkpoint_address,
        "store_bytes": look.store_bytes,
    })
}

fn headings(out: &mut dyn Write) -> io::Result<()> {
    for (heading, _) in COLUMNS {
        write!(out, "{heading:>12}")?;
    }
    writeln!(out, "{:>14}", "log to replay")
}

/// One line: rates since the last look, and the log that opening would replay.
fn rates(out: &mut dyn Write, last: &Look, look: &Look, seconds: f64) -> io::Result<()> {
    for (heading, count) in COLUMNS {
        let more = count(&look.since) - count(&last.since);
        if heading.ends_with("/s") {
            write!(out, "{:>12.0}", rate(more, seconds))?;
        } else {
            write!(out, "{more:>12}")?;
        }
    }
    writeln!(out, "{:>14}", look.log_address.saturating_sub(look.checkpoint_address))
}

/// The same, one below the other.
fn screen(out: &mut dyn Write, last: &Look, look: &Look, seconds: f64) -> io::Result<()> {
    for (heading, count) in COLUMNS {
        let (now, before) = (count(&look.since), count(&last.since));
        if heading.ends_with("/s") {
            writeln!(out, "{heading:<14}{:>14.0}{now:>16} in all", rate(now - before, seconds))?;
        } else {
            writeln!(out, "{heading:<14}{:>14}{now:>16} in all", now - before)?;
        }
    }
    let replay = look.log_address.saturating_sub(look.checkpoint_address);
    writeln!(out, "{:<14}{replay:>14} bytes", "log to replay")?;
    writeln!(out, "{:<14}{:>14} bytes", "frame file", look.store_bytes)?;
    if look.since.missed_bytes > 0 {
        let missed = look.since.missed_bytes;
        writeln!(
            out,
            "operations in {missed} bytes of log were not seen: a checkpoint was faster"
        )?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(1e-9)
}
