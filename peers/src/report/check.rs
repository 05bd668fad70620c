//! Comparing a quick run with the recorded one.

use std::path::Path;

use super::record::{Ratio, Record, Row};
use crate::Failure;

/// A ratio that has become worse.
#[derive(Debug, PartialEq)]
struct Regression {
    place: String,
    before: f64,
    /// The ratio of the run, or nothing when it could no longer be measured.
    now: Option<Ratio>,
}

/// Compares the ratios of a run with those recorded in a file; an error names every ratio that has
/// become worse by more than the noise of the run.
pub(crate) fn compare(run: &Record, recorded: &Path) -> Result<(), Failure> {
    let recorded = Record::read(recorded)
        .map_err(|error| format!("{error}; `cargo xtask bench --quick` records one"))?;
    let (compared, regressions) = regressions(run, &recorded);
    if compared == 0 {
        return Err("the run and the record have no ratio in common: nothing was checked".into());
    }
    for regression in &regressions {
        match &regression.now {
            Some(now) => println!(
                "worse: {}: {:.2} of {}, recorded {:.2}, noise {:.2}",
                regression.place, now.value, now.peer, regression.before, now.noise
            ),
            None => println!(
                "lost: {}: not measured any more, recorded {:.2}",
                regression.place, regression.before
            ),
        }
    }
    println!("{compared} ratios compared, {} worse", regressions.len());
    match regressions.len() {
        0 => Ok(()),
        worse => Err(format!("{worse} of {compared} ratios have become worse").into()),
    }
}

/// How many recorded ratios belong to workloads of the run, and which of them have become worse
/// or could not be measured.
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
                    place: format!("{}: {}", cell.title(), row.op),
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
    use super::super::record::tests::row_of;
    use super::super::record::{CellRecord, Settings};
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
        assert_eq!(found[0].place, "core, kv, 5 keys, memory: get (hit)");
    }
}
