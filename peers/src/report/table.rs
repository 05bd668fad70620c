//! The report as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::record::{CellRecord, Entry, Ratio, Record, Row};
use crate::engines::OURS;

/// A figure with its unit, three digits.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    let steps: &[(f64, &str)] = match unit {
        "ns" => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
        "B" => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
        _ => &[],
    };
    let (scaled, unit) = steps
        .iter()
        .find(|&&(step, _)| value >= step * 0.9995)
        .map_or((value, steps.last().map_or("", |&(_, unit)| unit)), |&(step, unit)| {
            (value / step, unit)
        });
    let digits = match scaled {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    match unit {
        "" => format!("{scaled:.digits$}"),
        unit => format!("{scaled:.digits$} {unit}"),
    }
}

/// A ratio with its noise.
fn ratio_text(ratio: &Ratio) -> String {
    format!("**{:.2}** ± {:.2} of {}", ratio.value, ratio.noise, ratio.peer)
}

/// What the terminal shows at the end: our figures beside the best peer's.
pub(crate) fn headline(record: &Record) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "| workload | operation | Holt | best peer | | ratio |");
    let _ = writeln!(out, "|---|---|---:|---:|---|---:|");
    let mut rows = 0;
    for cell in &record.cells {
        for row in &cell.rows {
            let (Some(ours), Some(best), Some(ratio)) =
                (row.entry(OURS).and_then(Entry::median), row.best_peer(), row.ratio())
            else {
                continue;
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | **{:.2}** ± {:.2} |",
                cell.title(),
                row.op,
                amount(ours, &row.unit),
                amount(best.median().unwrap_or_default(), &row.unit),
                best.engine,
                ratio.value,
                ratio.noise,
            );
            rows += 1;
        }
    }
    if rows == 0 {
        return "Holt itself was not measured in this run: the tables show its peers alone.\n"
            .to_owned();
    }
    out
}

/// The whole page.
pub(crate) fn page(record: &Record, charts: &str) -> String {
    let mut out = String::new();
    let machine = &record.machine;
    let _ = writeln!(
        out,
        "# Holt beside its peers\n\n\
         Written by `cargo xtask bench`; what is measured and why it is fair stands in \
         [WORKLOADS.md](WORKLOADS.md), the settings of every engine in [ENGINES.md](ENGINES.md).\n\n\
         - Machine: {}, {} threads, {:.0} GiB; {}; data on {}; {}.\n\
         - {} rounds, engines interleaved, a process each; {} ms for each operation; cache \
         {} MiB; seed {}.\n\
         - Figures are medians; ± is half of the range over the rounds. Smaller is better \
         everywhere. The ratio is ours to the best peer's, the median of the rounds: below 1 we \
         win.",
        machine.processor,
        machine.threads,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        machine.compiler,
        record.settings.rounds,
        record.settings.budget_ms,
        record.settings.cache_mib,
        record.settings.seed,
    );
    let versions: Vec<String> =
        record.versions.iter().map(|(engine, version)| format!("{engine} {version}")).collect();
    let _ = writeln!(out, "- Versions: {}.", versions.join(", "));
    for line in &record.left_out {
        let _ = writeln!(out, "- Left out {line}.");
    }
    let _ = writeln!(out, "\n{charts}## Ours and the best peer's\n\n{}", headline(record));
    let _ = writeln!(
        out,
        "## The limits of this machine in the same run\n\n| limit | median | ± |\n|---|---:|---:|"
    );
    for row in &record.raw {
        if let Some(entry) = row.entry("raw") {
            let _ = writeln!(
                out,
                "| {} | {} | {:.0} % |",
                row.op,
                amount(entry.median().unwrap_or_default(), &row.unit),
                entry.spread() * 100.0
            );
        }
    }
    for cell in &record.cells {
        section(cell, record, &mut out);
    }
    out
}

/// One workload: a table and what is missing from it.
fn section(cell: &CellRecord, record: &Record, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n", cell.title());
    if cell.rounds() != record.settings.rounds {
        let _ = writeln!(out, "Rounds: {}.\n", cell.rounds());
    }
    let engines: Vec<&str> = record
        .versions
        .iter()
        .map(|(engine, _)| engine.as_str())
        .filter(|engine| cell.rows.iter().any(|row| row.entry(engine).is_some()))
        .collect();
    let ratios = cell.rows.iter().any(|row| row.ratio().is_some());
    let _ = write!(out, "| operation |");
    for engine in &engines {
        let _ = write!(out, " {engine} |");
    }
    let _ = writeln!(out, "{}", if ratios { " ratio |" } else { "" });
    let _ = writeln!(
        out,
        "|---|{}{}",
        "---:|".repeat(engines.len()),
        if ratios { "---:|" } else { "" }
    );
    for row in &cell.rows {
        let _ = write!(out, "| {} |", row.op);
        for engine in &engines {
            let _ = write!(out, " {} |", figure(row, engine));
        }
        if ratios {
            let ratio = row.ratio().map_or("—".to_owned(), |ratio| ratio_text(&ratio));
            let _ = write!(out, " {ratio} |");
        }
        let _ = writeln!(out);
    }
    missing(cell, out);
}

/// An engine's figure in a row; the best one is bold.
fn figure(row: &Row, engine: &str) -> String {
    let Some(entry) = row.entry(engine) else { return "—".to_owned() };
    let Some(median) = entry.median() else { return "—".to_owned() };
    let best = row.entries.iter().filter_map(Entry::median).fold(f64::INFINITY, f64::min);
    let text = amount(median, &row.unit);
    let text = if median <= best { format!("**{text}**") } else { text };
    format!("{text} ± {:.0} %", entry.spread() * 100.0)
}

/// Why figures are missing, each reason once.
fn missing(cell: &CellRecord, out: &mut String) {
    let mut reasons: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for row in &cell.rows {
        for entry in &row.entries {
            if let Some(reason) = &entry.reason {
                reasons.entry(reason).or_default().entry(&row.op).or_default().push(&entry.engine);
            }
        }
    }
    if !(reasons.is_empty() && cell.failures.is_empty() && cell.once.is_empty()) {
        let _ = writeln!(out);
    }
    for (reason, ops) in reasons {
        let ops: Vec<String> =
            ops.iter().map(|(op, engines)| format!("{op} ({})", engines.join(", "))).collect();
        let _ = writeln!(out, "- —: {reason}: {}.", ops.join("; "));
    }
    for (engine, reason) in &cell.failures {
        let _ = writeln!(out, "- {engine}: {reason}.");
    }
    for (engine, seconds) in &cell.once {
        let _ = writeln!(out, "- {engine}: one round, which took {seconds} s.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_and_a_fitting_unit() {
        for (value, unit, text) in [
            (85.25, "ns", "85.2 ns"),
            (999.7, "ns", "1.00 µs"),
            (1_234.0, "ns", "1.23 µs"),
            (12_345_678.0, "ns", "12.3 ms"),
            (0.5, "ns", "0.50 ns"),
            (512.0, "B", "512 B"),
            (0.25, "", "0.25"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
    }

    #[test]
    fn the_best_figure_is_bold_and_a_missing_one_is_a_dash() {
        let row = super::super::record::tests::row_of(&[("a", &[2.0]), ("b", &[1.0])]);
        assert_eq!(figure(&row, "a"), "2.00 ns ± 0 %");
        assert_eq!(figure(&row, "b"), "**1.00 ns** ± 0 %");
        assert_eq!(figure(&row, "c"), "—");
    }
}
