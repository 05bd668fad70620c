//! Comparing a quick run with the recorded one.

use std::path::Path;

use super::record::{CellRecord, Ratio, Record, Row};
use crate::Failure;

/// A ratio that has become worse.
#[derive(Debug, PartialEq)]
struct Regression {
    /// Which workload.
    cell: String,
    op: String,
    before: f64,
    /// The ratio of the run, or nothing when it could no longer be measured.
    now: Option<Ratio>,
}

/// What became worse, as far as the runs up to now say.
#[derive(Debug)]
pub(crate) struct Findings {
    compared: usize,
    worse: Vec<Regression>,
}

/// Reads the record to compare with.
pub(crate) fn recorded(path: &Path) -> Result<Record, Failure> {
    Record::read(path)
        .map_err(|error| format!("{error}; `cargo xtask bench --quick` records one").into())
}

impl Findings {
    /// Compares the ratios of a run with the recorded ones.
    pub(crate) fn of(run: &Record, recorded: &Record) -> Result<Self, Failure> {
        let (compared, worse) = regressions(run, recorded);
        if compared == 0 {
            return Err(
                "the run and the record have no ratio in common: nothing was checked".into()
            );
        }
        Ok(Self { compared, worse })
    }

    /// Whether any ratio of a cell is among those that became worse.
    pub(crate) fn name(&self, cell: &CellRecord) -> bool {
        let title = cell.title();
        self.worse.iter().any(|regression| regression.cell == title)
    }

    /// Keeps what another run of the cells finds worse too.
    pub(crate) fn confirm(&mut self, run: &Record, recorded: &Record) {
        let (_, again) = regressions(run, recorded);
        self.worse = again
            .into_iter()
            .filter(|new| self.worse.iter().any(|old| old.cell == new.cell && old.op == new.op))
            .collect();
    }

    /// Prints what became worse; an error when anything did.
    pub(crate) fn judge(&self) -> Result<(), Failure> {
        for Regression { cell, op, before, now } in &self.worse {
            match now {
                Some(Ratio { value, noise, peer }) => println!(
                    "worse: {cell}: {op}: {value:.2} of {peer}, recorded {before:.2}, noise {noise:.2}"
                ),
                None => println!("lost: {cell}: {op}: not measured any more, recorded {before:.2}"),
            }
        }
        println!("{self}");
        if self.worse.is_empty() { Ok(()) } else { Err(self.to_string().into()) }
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ratios compared, {} worse", self.compared, self.worse.len())
    }
}

/// How many recorded ratios belong to workloads of the run, and which of them have become worse by
/// more than the noise of the run or could not be measured.
fn regressions(run: &Record, recorded: &Record) -> (usize, Vec<Regression>) {
    let mut compared = 0;
    let mut found = Vec::new();
    for cell in &run.cells {
        let Some(before) = recorded.cells.iter().find(|other| cell.is(other)) else { continue };
        for row in &before.rows {
            let Some(then) = row.ratio() else { continue };
            let matching = cell.rows.iter().find(|other| other.op == row.op);
            let now = matching.and_then(Row::ratio);
            compared += 1;
            if now.as_ref().is_none_or(|now| now.value > then.value + now.noise) {
                found.push(Regression {
                    cell: cell.title(),
                    op: row.op.clone(),
                    before: then.value,
                    now,
                });
            }
        }
    }
    (compared, found)
}

#[cfg(test)]
mod tests {
    use super::super::record::Settings;
    use super::super::record::tests::row_of;
    use super::*;
    use crate::engines::OURS;
    use crate::machine::Machine;

    fn record(ours: &[f64]) -> Record {
        Record {
            machine: Machine::default(),
            versions: Vec::new(),
            settings: Settings { rounds: ours.len(), budget_ms: 1, cache_mib: 1, seed: 1 },
            left_out: Vec::new(),
            raw: Vec::new(),
            cells: vec![CellRecord {
                workload: "core".to_owned(),
                shape: "kv".to_owned(),
                size: 5,
                mode: "memory".to_owned(),
                rows: vec![row_of(&[(OURS, ours), ("peer", &vec![100.0; ours.len()])])],
                failures: Vec::new(),
                once: Vec::new(),
                quantiles: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_ratio_that_is_worse_by_more_than_the_noise_is_found() {
        let recorded = record(&[50.0, 50.0, 50.0]);
        let found = |ours: &[f64]| regressions(&record(ours), &recorded).1.len();
        assert_eq!(found(&[50.0, 51.0, 49.0]), 0);
        assert_eq!(found(&[45.0, 53.0, 57.0]), 0, "within the noise of the run");
        assert_eq!(found(&[60.0, 61.0, 59.0]), 1);
        assert_eq!(found(&[30.0, 31.0, 29.0]), 0, "better is no regression");
    }

    #[test]
    fn a_figure_that_can_no_longer_be_measured_is_a_regression() {
        let mut run = record(&[50.0]);
        run.cells[0].fail(OURS, "it panicked");
        let (compared, found) = regressions(&run, &record(&[50.0]));
        assert_eq!(compared, 1);
        assert_eq!(found[0].now, None);
    }

    #[test]
    fn the_workload_that_became_worse_is_named() {
        let (compared, found) = regressions(&record(&[90.0]), &record(&[50.0]));
        assert_eq!(compared, 1);
        assert_eq!(found[0].cell, "core, kv, 5 keys, memory");
        assert_eq!(found[0].op, "get (hit)");
    }

    #[test]
    fn only_what_every_run_finds_worse_is_a_regression() -> Result<(), Failure> {
        let recorded = record(&[50.0, 50.0, 50.0]);
        let worse = record(&[60.0, 61.0, 59.0]);
        let as_before = record(&[50.0, 51.0, 49.0]);

        let mut findings = Findings::of(&worse, &recorded)?;
        assert!(findings.name(&worse.cells[0]));
        findings.confirm(&worse, &recorded);
        assert!(findings.judge().is_err(), "worse in both runs");
        findings.confirm(&as_before, &recorded);
        assert!(!findings.name(&worse.cells[0]));
        findings.judge()
    }

    #[test]
    fn a_run_without_a_recorded_ratio_checks_nothing() {
        let mut other = record(&[50.0]);
        other.cells[0].size = 6;
        assert!(Findings::of(&other, &record(&[50.0])).is_err());
    }
}
