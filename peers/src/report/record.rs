//! What a run found, as it is kept: medians are computed from the rounds whenever they are asked
//! for, so that a record can be judged again later.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::cell::Outcome;
use crate::engines::OURS;
use crate::machine::Machine;
use crate::operations::Operation;
use crate::options::Cell;

/// Everything that a run found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Where.
    pub(crate) machine: Machine,
    /// The engines and their versions.
    pub(crate) versions: Vec<(String, String)>,
    /// How.
    pub(crate) settings: Settings,
    /// Engines that could not be built, and why.
    pub(crate) left_out: Vec<String>,
    /// The limits of the machine.
    pub(crate) raw: Vec<Row>,
    /// The workloads.
    pub(crate) cells: Vec<CellRecord>,
}

/// How a run was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Rounds.
    pub(crate) rounds: usize,
    /// Time for one measured operation, in milliseconds.
    pub(crate) budget_ms: u64,
    /// Cache of every engine, in MiB.
    pub(crate) cache_mib: u64,
    /// The seed.
    pub(crate) seed: u64,
}

/// One workload over one key space in one mode.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CellRecord {
    /// The workload.
    pub(crate) workload: String,
    /// The shape of the keys.
    pub(crate) shape: String,
    /// How many keys.
    pub(crate) size: usize,
    /// What acknowledged writes survive.
    pub(crate) mode: String,
    /// The operations.
    pub(crate) rows: Vec<Row>,
    /// Engines that are not in the workload's tables, and why.
    pub(crate) failures: Vec<(String, String)>,
    /// Peers that took so many seconds for their first round that it stayed their only one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) once: Vec<(String, u64)>,
    /// Latency distributions of the engines.
    pub(crate) quantiles: Vec<(String, Vec<Quantile>)>,
}

/// A quantile and its nanoseconds in every round.
pub(crate) type Quantile = (f64, Vec<f64>);

/// One operation and the engines' figures for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The operation.
    pub(crate) op: String,
    /// The unit.
    pub(crate) unit: String,
    /// The engines.
    pub(crate) entries: Vec<Entry>,
}

/// An engine's figures of an operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The engine.
    pub(crate) engine: String,
    /// One figure a round; empty when it was not measured.
    pub(crate) rounds: Vec<f64>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) reason: Option<String>,
}

/// Our figure beside the best peer's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ratio {
    /// The best peer.
    pub(crate) peer: String,
    /// Our figure divided by the peer's: below 1 we win. The median over the rounds.
    pub(crate) value: f64,
    /// Half of the distance between the smallest and largest ratio of a round.
    pub(crate) noise: f64,
}

/// The middle of some figures; the mean of the two middle ones when their number is even.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    if figures.is_empty() {
        return None;
    }
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    Some(match sorted.len() % 2 {
        1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    })
}

/// Smallest and largest of some figures.
pub(crate) fn range(figures: &[f64]) -> (f64, f64) {
    figures.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &figure| {
        (low.min(figure), high.max(figure))
    })
}

impl Entry {
    /// The median over the rounds.
    pub(crate) fn median(&self) -> Option<f64> {
        median(&self.rounds)
    }

    /// Half of the range, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        match self.median() {
            Some(median) if median > 0.0 => {
                let (low, high) = range(&self.rounds);
                (high - low) / 2.0 / median
            }
            _ => 0.0,
        }
    }
}

impl Row {
    /// The figures of an engine.
    pub(crate) fn entry(&self, engine: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.engine == engine)
    }

    /// The peer with the smallest median.
    pub(crate) fn best_peer(&self) -> Option<&Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.engine != OURS)
            .filter(|entry| entry.median().is_some())
            .min_by(|left, right| {
                let of = |entry: &Entry| entry.median().unwrap_or(f64::INFINITY);
                of(left).total_cmp(&of(right))
            })
    }

    /// Our figure beside the best peer's, round by round; nothing when either was not measured. A
    /// peer that ran in fewer rounds stands with its median beside each of ours.
    pub(crate) fn ratio(&self) -> Option<Ratio> {
        let (ours, best) = (self.entry(OURS)?, self.best_peer()?);
        let usual = best.median()?;
        let beside: Vec<f64> = match best.rounds.len() == ours.rounds.len() {
            true => best.rounds.clone(),
            false => vec![usual; ours.rounds.len()],
        };
        let rounds: Vec<f64> = ours
            .rounds
            .iter()
            .zip(beside)
            .filter(|&(_, peer)| peer > 0.0)
            .map(|(ours, peer)| ours / peer)
            .collect();
        let (low, high) = range(&rounds);
        Some(Ratio {
            peer: best.engine.clone(),
            value: median(&rounds)?,
            noise: (high - low) / 2.0,
        })
    }

    fn entry_mut(&mut self, engine: &str) -> &mut Entry {
        let place = match self.entries.iter().position(|entry| entry.engine == engine) {
            Some(place) => place,
            None => {
                self.entries.push(Entry {
                    engine: engine.to_owned(),
                    rounds: Vec::new(),
                    reason: None,
                });
                self.entries.len() - 1
            }
        };
        &mut self.entries[place]
    }
}

/// The row of an operation, made if it is new.
fn row<'a>(rows: &'a mut Vec<Row>, op: &str, unit: &str) -> &'a mut Row {
    let place = match rows.iter().position(|row| row.op == op) {
        Some(place) => place,
        None => {
            rows.push(Row { op: op.to_owned(), unit: unit.to_owned(), entries: Vec::new() });
            rows.len() - 1
        }
    };
    &mut rows[place]
}

/// Where an operation stands in a table: single operations and mixes as they are measured, between
/// the two ways of loading; others as they come.
fn order_of(op: &str) -> usize {
    let measured = Operation::CORE.iter().chain(&Operation::YCSB);
    match op {
        "load, random" => 0,
        "load, ordered" => usize::MAX,
        op => measured
            .map(|operation| operation.name())
            .position(|name| name == op)
            .map_or(usize::MAX - 1, |place| place + 1),
    }
}

impl CellRecord {
    /// A cell of which nothing is known yet.
    pub(crate) fn new(cell: &Cell) -> Self {
        Self {
            workload: cell.workload.name().to_owned(),
            shape: cell.shape.name().to_owned(),
            size: cell.size,
            mode: cell.mode.name().to_owned(),
            rows: Vec::new(),
            failures: Vec::new(),
            once: Vec::new(),
            quantiles: Vec::new(),
        }
    }

    /// Takes an engine's outcome of one round.
    pub(crate) fn add(&mut self, engine: &str, outcome: &Outcome) {
        for figure in &outcome.figures {
            let row = row(&mut self.rows, &figure.op, &figure.unit);
            row.unit.clone_from(&figure.unit);
            row.entry_mut(engine).rounds.push(figure.value);
        }
        for refusal in &outcome.refusals {
            let entry = row(&mut self.rows, &refusal.op, "").entry_mut(engine);
            entry.reason.get_or_insert_with(|| refusal.reason.clone());
        }
        // An operation that failed in one round has no figure at all: a median over the rounds
        // that went well would be compared with other rounds than it was measured in.
        for row in &mut self.rows {
            for entry in row.entries.iter_mut().filter(|entry| entry.reason.is_some()) {
                entry.rounds.clear();
            }
        }
        // An engine that refuses an operation tells it later than those that have it.
        self.rows.sort_by_key(|row| order_of(&row.op));
        if !outcome.quantiles.is_empty() {
            let place = match self.quantiles.iter().position(|(name, _)| name == engine) {
                Some(place) => place,
                None => {
                    let empty =
                        outcome.quantiles.iter().map(|&(quantile, _)| (quantile, Vec::new()));
                    self.quantiles.push((engine.to_owned(), empty.collect()));
                    self.quantiles.len() - 1
                }
            };
            for ((_, rounds), (_, value)) in
                self.quantiles[place].1.iter_mut().zip(&outcome.quantiles)
            {
                rounds.push(*value);
            }
        }
    }

    /// Notes that an engine failed. Its figures of earlier rounds go: they would be compared with
    /// other rounds than they were measured in.
    pub(crate) fn fail(&mut self, engine: &str, reason: &str) {
        for row in &mut self.rows {
            row.entries.retain(|entry| entry.engine != engine);
        }
        self.quantiles.retain(|(name, _)| name != engine);
        self.failures.push((engine.to_owned(), reason.to_owned()));
    }

    /// Notes that a peer takes so long that one round of it has to do.
    pub(crate) fn end(&mut self, engine: &str, seconds: u64) {
        self.once.push((engine.to_owned(), seconds));
    }

    /// Whether an engine is not to be run again, because it failed here or takes too long.
    pub(crate) fn is_done_with(&self, engine: &str) -> bool {
        self.failures.iter().any(|(name, _)| name == engine)
            || self.once.iter().any(|(name, _)| name == engine)
    }

    /// Whether this is the same cell as another one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (&self.workload, &self.shape, self.size, &self.mode)
            == (&other.workload, &other.shape, other.size, &other.mode)
    }

    /// In how many rounds it was measured.
    pub(crate) fn rounds(&self) -> usize {
        let entries = self.rows.iter().flat_map(|row| &row.entries);
        entries.map(|entry| entry.rounds.len()).max().unwrap_or(0)
    }

    /// The cell in words.
    pub(crate) fn title(&self) -> String {
        format!("{}, {}, {} keys, {}", self.workload, self.shape, grouped(self.size), self.mode)
    }
}

/// A number with commas.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Record {
    /// Takes the limits of the machine of one round.
    pub(crate) fn add_raw(&mut self, outcome: &Outcome) {
        for figure in &outcome.figures {
            row(&mut self.raw, &figure.op, &figure.unit).entry_mut("raw").rounds.push(figure.value);
        }
    }

    /// Reads a record that was kept.
    ///
    /// # Errors
    ///
    /// Fails when the file is missing or holds no record.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    /// Keeps what an earlier record has beside this one: its cells that this run did not measure
    /// again, and its engines that this run left out, each in the earlier order.
    pub(crate) fn add_to(&mut self, earlier: Self) {
        let newer = std::mem::take(&mut self.cells);
        self.cells = earlier.cells;
        for cell in newer {
            match self.cells.iter_mut().find(|old| old.is(&cell)) {
                Some(old) => *old = cell,
                None => self.cells.push(cell),
            }
        }
        for (engine, version) in earlier.versions {
            if !self.versions.iter().any(|(name, _)| *name == engine) {
                self.versions.push((engine, version));
            }
        }
    }

    /// The record as JSON.
    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The record as comma-separated values, a line an engine and operation.
    pub(crate) fn to_csv(&self) -> String {
        let mut out =
            "workload,shape,keys,mode,operation,unit,engine,median,min,max,rounds\n".to_owned();
        let mut line = |cell: [&str; 4], row: &Row| {
            for entry in &row.entries {
                let Some(median) = entry.median() else { continue };
                let (low, high) = range(&entry.rounds);
                let rounds: Vec<String> =
                    entry.rounds.iter().map(|round| format!("{round:.3}")).collect();
                let _ = writeln!(
                    out,
                    "{},{},{},{},\"{}\",{},{},{median:.3},{low:.3},{high:.3},{}",
                    cell[0],
                    cell[1],
                    cell[2],
                    cell[3],
                    row.op,
                    row.unit,
                    entry.engine,
                    rounds.join(" ")
                );
            }
        };
        for row in &self.raw {
            line(["raw", "", "", ""], row);
        }
        for cell in &self.cells {
            for row in &cell.rows {
                line([&cell.workload, &cell.shape, &cell.size.to_string(), &cell.mode], row);
            }
        }
        out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row with the given figures.
    pub(crate) fn row_of(entries: &[(&str, &[f64])]) -> Row {
        let entries = entries.iter().map(|&(engine, rounds)| Entry {
            engine: engine.to_owned(),
            rounds: rounds.to_vec(),
            reason: None,
        });
        Row { op: "get (hit)".to_owned(), unit: "ns".to_owned(), entries: entries.collect() }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_to_the_best_peer() {
        let row = row_of(&[
            (OURS, &[10.0, 30.0, 11.0]),
            ("slow", &[90.0, 90.0, 90.0]),
            ("fast", &[20.0, 60.0, 20.0]),
        ]);
        let ratio = row.ratio().expect("both were measured");
        assert_eq!(ratio.peer, "fast");
        assert!((ratio.value - 0.5).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.noise - 0.025).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn a_peer_of_one_round_stands_beside_each_of_ours() {
        let row = row_of(&[(OURS, &[10.0, 30.0, 20.0]), ("once", &[20.0])]);
        let ratio = row.ratio().expect("both were measured");
        assert!((ratio.value - 1.0).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.noise - 0.5).abs() < 1e-9, "our own spread is not hidden: {ratio:?}");
    }

    #[test]
    fn an_engine_that_failed_or_takes_too_long_is_not_run_again() {
        let mut cell = CellRecord::new(&Cell {
            workload: crate::workloads::Workload::Core,
            shape: crate::shapes::Shape::Kv,
            size: 1,
            mode: crate::engine::Mode::Memory,
        });
        let mut outcome = Outcome::default();
        outcome.figure("get (hit)", "ns", 1.0);
        cell.add("slow", &outcome);
        cell.end("slow", 61);
        cell.fail("broken", "it panicked");
        assert!(cell.is_done_with("slow") && cell.is_done_with("broken"));
        assert!(!cell.is_done_with("other"));
        assert_eq!(cell.rows[0].entry("slow").map(|entry| entry.rounds.len()), Some(1));
    }

    #[test]
    fn there_is_no_ratio_without_us_or_without_a_peer() {
        assert_eq!(row_of(&[("fast", &[1.0])]).ratio(), None);
        assert_eq!(row_of(&[(OURS, &[1.0])]).ratio(), None);
        assert_eq!(row_of(&[(OURS, &[]), ("fast", &[1.0])]).ratio(), None);
    }

    #[test]
    fn an_earlier_record_keeps_what_was_not_measured_again() {
        let cell = |shape: &str, size, figure: f64| CellRecord {
            workload: "core".to_owned(),
            shape: shape.to_owned(),
            size,
            mode: "memory".to_owned(),
            rows: vec![row_of(&[(OURS, &[figure])])],
            failures: Vec::new(),
            once: Vec::new(),
            quantiles: Vec::new(),
        };
        let record = |cells| Record {
            machine: Machine::default(),
            versions: Vec::new(),
            settings: Settings { rounds: 1, budget_ms: 1, cache_mib: 1, seed: 1 },
            left_out: Vec::new(),
            raw: Vec::new(),
            cells,
        };
        let mut newer = record(vec![cell("fs", 5, 2.0), cell("kv", 7, 3.0)]);
        newer.add_to(record(vec![cell("kv", 5, 1.0), cell("fs", 5, 1.0)]));
        let found: Vec<(String, f64)> = newer
            .cells
            .iter()
            .map(|cell| (cell.title(), cell.rows[0].entries[0].rounds[0]))
            .collect();
        let expected = [("kv, 5", 1.0), ("fs, 5", 2.0), ("kv, 7", 3.0)]
            .map(|(name, figure)| (format!("core, {name} keys, memory"), figure));
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_keep_their_order_when_an_engine_refuses_some() {
        let mut cell = CellRecord::new(&Cell {
            workload: crate::workloads::Workload::Core,
            shape: crate::shapes::Shape::Kv,
            size: 1,
            mode: crate::engine::Mode::Memory,
        });
        let mut outcome = Outcome::default();
        for op in ["load, random", "get (hit)", "put (overwrite)", "load, ordered"] {
            outcome.figure(op, "ns", 1.0);
        }
        outcome.refuse("list 8 groups", "not there");
        cell.add("a", &outcome);
        let ops: Vec<&str> = cell.rows.iter().map(|row| row.op.as_str()).collect();
        let expected =
            ["load, random", "get (hit)", "list 8 groups", "put (overwrite)", "load, ordered"];
        assert_eq!(ops, expected);
    }

    #[test]
    fn medians_and_groups_of_digits() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(grouped(5), "5");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
