//! One cell of the benchmark: one engine at one workload, run in a process of its own.
//!
//! The process prints one line of JSON, an [`Outcome`], and nothing else on its standard output.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::engine::{Engine, Feature, Kind, Mode, Session, Setup};
use crate::rng::Rng;
use crate::shapes::{KeySpace, Shape};
use crate::workloads::Workload;

/// What a cell is to do.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Order {
    /// The engine's name.
    #[arg(long)]
    pub(crate) engine: String,
    /// The workload.
    #[arg(long)]
    pub(crate) workload: Workload,
    /// The shape of the keys.
    #[arg(long)]
    pub(crate) shape: Shape,
    /// How many keys are loaded.
    #[arg(long)]
    pub(crate) size: usize,
    /// What an acknowledged write survives.
    #[arg(long)]
    pub(crate) mode: Mode,
    /// A directory that the cell may fill.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The directory whose paths the shape `real` takes.
    #[arg(long)]
    pub(crate) real: Option<PathBuf>,
    /// Time for one measured operation, in milliseconds.
    #[arg(long)]
    pub(crate) budget: u64,
    /// The seed of keys and streams.
    #[arg(long)]
    pub(crate) seed: u64,
    /// Cache of every engine, in MiB.
    #[arg(long)]
    pub(crate) cache: u64,
    /// Leave the data behind and die as if killed, when everything is written.
    #[arg(long)]
    pub(crate) die: bool,
}

impl Order {
    /// Time for one measured operation.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_millis(self.budget)
    }

    /// How the engine is opened in `mode`.
    pub(crate) fn setup(&self, mode: Mode) -> Setup {
        Setup { dir: self.dir.clone(), mode, cache: self.cache << 20 }
    }

    /// The keys of the cell: those that are loaded and some more.
    pub(crate) fn space(&self) -> Result<KeySpace, Failure> {
        let spare = (self.size / 10).clamp(1_000, 100_000);
        KeySpace::new(self.shape, self.size, spare, self.seed, self.real.as_deref())
    }

    /// The seed for stream number `number`.
    pub(crate) fn stream_seed(&self, number: u64) -> u64 {
        self.seed.wrapping_mul(1_000_003).wrapping_add(number)
    }
}

/// One measured figure; smaller is better.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) op: String,
    /// The unit of the value.
    pub(crate) unit: String,
    /// The value.
    pub(crate) value: f64,
}

/// The hash of an engine's answers to one stream.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Check {
    /// Which stream.
    pub(crate) op: String,
    /// The hash.
    pub(crate) hash: u64,
}

/// An operation that was not measured, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// What was not measured.
    pub(crate) op: String,
    /// Why.
    pub(crate) reason: String,
}

/// Everything that a cell found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The figures.
    pub(crate) figures: Vec<Figure>,
    /// The hashes of the answers, which all engines must share.
    pub(crate) checks: Vec<Check>,
    /// What was not measured.
    pub(crate) refusals: Vec<Refusal>,
    /// A latency distribution: quantile and nanoseconds.
    pub(crate) quantiles: Vec<(f64, f64)>,
}

impl Outcome {
    /// Notes a figure.
    pub(crate) fn figure(&mut self, op: &str, unit: &str, value: f64) {
        self.figures.push(Figure { op: op.to_owned(), unit: unit.to_owned(), value });
    }

    /// Notes the hash of an engine's answers.
    pub(crate) fn check(&mut self, op: &str, hash: u64) {
        self.checks.push(Check { op: op.to_owned(), hash });
    }

    /// Notes that something was not measured.
    pub(crate) fn refuse(&mut self, op: &str, reason: &str) {
        self.refusals.push(Refusal { op: op.to_owned(), reason: reason.to_owned() });
    }
}

/// Runs the cell and returns what it found.
pub(crate) fn run(order: &Order) -> Result<Outcome, Failure> {
    let kind = crate::engines::all()
        .into_iter()
        .find(|kind| kind.name == order.engine)
        .ok_or_else(|| format!("the engine {} was not compiled in", order.engine))?;
    if !kind.modes.contains(&order.mode) {
        return Err(format!("{} has no mode {}", kind.name, order.mode.name()).into());
    }
    std::fs::create_dir_all(&order.dir)?;
    let outcome = order.workload.run(&kind, order);
    if !order.die {
        std::fs::remove_dir_all(&order.dir)?;
    }
    outcome
}

/// Whether an engine lacks a feature; if so, the outcome says it of `op`.
pub(crate) fn lacking(kind: &Kind, feature: Feature, op: &str, outcome: &mut Outcome) -> bool {
    match (kind.lacks)(feature) {
        Some(reason) => {
            outcome.refuse(op, reason);
            true
        }
        None => false,
    }
}

/// The loaded keys' numbers in random order.
pub(crate) fn random_order(space: &KeySpace, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..space.loaded() as u32).collect();
    Rng::new(seed).shuffle(&mut order);
    order
}

/// The loaded keys' numbers in key order.
pub(crate) fn key_order(space: &KeySpace) -> Vec<u32> {
    let mut order: Vec<u32> = (0..space.loaded() as u32).collect();
    order.sort_unstable_by(|&left, &right| space.key(left as usize).cmp(space.key(right as usize)));
    order
}

/// Loads the keys of `order` in batches, untimed.
pub(crate) fn load(
    session: &mut dyn Session,
    space: &KeySpace,
    order: &[u32],
) -> Result<(), Failure> {
    for batch in order.chunks(1_000) {
        load_batch(session, space, batch)?;
    }
    Ok(())
}

/// Loads one batch of keys with their first values.
pub(crate) fn load_batch(
    session: &mut dyn Session,
    space: &KeySpace,
    batch: &[u32],
) -> Result<(), Failure> {
    let mut values = Vec::new();
    let mut ends = Vec::with_capacity(batch.len());
    for &index in batch {
        space.write_value(index as usize, 0, &mut values);
        ends.push(values.len());
    }
    let mut start = 0;
    let records: Vec<(&[u8], &[u8])> = batch
        .iter()
        .zip(ends)
        .map(|(&index, end)| {
            let value = &values[start..end];
            start = end;
            (space.key(index as usize), value)
        })
        .collect();
    session.load(&records)
}

/// Opens an engine and loads all keys in random order, untimed. In a mode that syncs, the loading
/// is done buffered and the engine is closed and opened again.
pub(crate) fn open_loaded(
    kind: &Kind,
    order: &Order,
    space: &KeySpace,
) -> Result<Box<dyn Engine>, Failure> {
    let numbers = random_order(space, order.seed);
    let loading = match order.mode {
        Mode::Memory | Mode::Buffered => order.mode,
        Mode::Os | Mode::Sync => Mode::Buffered,
    };
    let engine = (kind.open)(&order.setup(loading))?;
    load(engine.session()?.as_mut(), space, &numbers)?;
    if loading == order.mode {
        return Ok(engine);
    }
    engine.checkpoint()?;
    drop(engine);
    (kind.open)(&order.setup(order.mode))
}

/// Bytes that the files below a directory take on their medium.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => total += disk_bytes(&entry.path()),
            Ok(metadata) => total += metadata.blocks() * 512,
            Err(_) => {}
        }
    }
    total
}
