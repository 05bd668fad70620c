//! The charts: bars against the peers, curves over the size, latency distributions.

use std::collections::BTreeMap;

use super::record::{CellRecord, Entry, Record, Row, grouped, median};
use super::svg::{Anchor, Scale, Svg};
use super::table::amount;
use crate::engines::OURS;

/// Colours of the engines; ours is the one that nobody else comes near.
const COLOURS: [(&str, &str); 11] = [
    (OURS, "#e8590c"),
    ("holt-0.9.2", "#b08968"),
    ("rocksdb", "#4c6ef5"),
    ("lmdb", "#0ca678"),
    ("redb", "#c2255c"),
    ("fjall", "#15aabf"),
    ("sled", "#7950f2"),
    ("sqlite", "#fab005"),
    ("btreemap", "#868e96"),
    ("skiplist", "#adb5bd"),
    ("blart", "#82c91e"),
];

fn colour(engine: &str) -> &'static str {
    COLOURS.iter().find(|(name, _)| *name == engine).map_or("#868e96", |(_, colour)| colour)
}

/// All charts of a record that it has data for: name, caption, picture.
pub(crate) fn all(record: &Record) -> Vec<(&'static str, String, String)> {
    let mut charts = Vec::new();
    for mode in ["memory", "buffered"] {
        if let Some(cell) = headline_cell(record, mode) {
            let name = if mode == "memory" { "memory" } else { "logged" };
            charts.push((name, format!("Bars: {}", cell.title()), bars(cell)));
        }
    }
    if let Some((caption, svg)) = curves(record) {
        charts.push(("sizes", caption, svg));
    }
    if let Some((caption, svg)) = latencies(record) {
        charts.push(("latency", caption, svg));
    }
    charts
}

/// The core workload over the object store's keys that has most keys, at most 200,000: the sizes
/// above are on the curves.
fn headline_cell<'a>(record: &'a Record, mode: &str) -> Option<&'a CellRecord> {
    record
        .cells
        .iter()
        .filter(|cell| cell.workload == "core" && cell.mode == mode && !cell.rows.is_empty())
        .filter(|cell| cell.shape == "objstore" || record.cells.len() == 1)
        .filter(|cell| cell.size <= 200_000)
        .max_by_key(|cell| cell.size)
}

/// A panel of bars for each operation, the fastest engine first.
fn bars(cell: &CellRecord) -> String {
    const COLUMNS: usize = 3;
    const PANEL: f64 = 330.0;
    const LINE: f64 = 19.0;
    const NAME: f64 = 78.0;
    const BAR: f64 = 130.0;
    // A bar longer than so many times the shortest is cut off; its label still tells the truth.
    const LONGEST: f64 = 12.0;

    let rows: Vec<&Row> = cell
        .rows
        .iter()
        .filter(|row| row.entries.iter().any(|entry| entry.median().is_some()))
        .collect();
    let lines = rows.iter().map(|row| row.entries.len()).max().unwrap_or(0) as f64;
    let panel_height = 34.0 + lines * LINE;
    let height = 58.0 + panel_height * rows.len().div_ceil(COLUMNS) as f64;
    let mut svg = Svg::new(PANEL * COLUMNS as f64 + 24.0, height + 8.0);
    svg.text(20.0, 30.0, Anchor::Start, "title", &cell.title());
    svg.text(
        PANEL * COLUMNS as f64 + 8.0,
        30.0,
        Anchor::End,
        "faint",
        "time for one operation, shorter is better; × the fastest",
    );
    for (number, row) in rows.iter().enumerate() {
        let left = 20.0 + PANEL * (number % COLUMNS) as f64;
        let top = 58.0 + panel_height * (number / COLUMNS) as f64;
        svg.text(left, top + 10.0, Anchor::Start, "strong", &row.op);
        let mut entries: Vec<(&Entry, f64)> =
            row.entries.iter().filter_map(|entry| Some((entry, entry.median()?))).collect();
        entries.sort_by(|left, right| left.1.total_cmp(&right.1));
        let fastest = entries.first().map_or(1.0, |&(_, value)| value.max(f64::MIN_POSITIVE));
        for (place, (entry, value)) in entries.iter().enumerate() {
            let y = top + 18.0 + place as f64 * LINE;
            let class = if entry.engine == OURS { "strong" } else { "label" };
            svg.text(left + NAME - 6.0, y + 12.0, Anchor::End, class, &entry.engine);
            let times = value / fastest;
            let width = (times.min(LONGEST) / LONGEST * BAR).max(2.0);
            svg.bar(left + NAME, y + 2.0, width, LINE - 6.0, colour(&entry.engine));
            let label = match place {
                0 => amount(*value, &row.unit),
                _ => format!("{} · {times:.1}×", amount(*value, &row.unit)),
            };
            let cut = if times > LONGEST { "… " } else { "" };
            svg.text(
                left + NAME + width + 5.0,
                y + 12.0,
                Anchor::Start,
                class,
                &format!("{cut}{label}"),
            );
        }
    }
    svg.finish(&format!("Bars of {}", cell.title()))
}

/// Figures of one operation over growing sizes, an engine each.
type Series<'a> = BTreeMap<&'a str, Vec<(f64, f64)>>;

/// A panel for each operation, a curve for each engine over the number of keys.
fn curves(record: &Record) -> Option<(String, String)> {
    const OPS: [&str; 6] = [
        "get (hit)",
        "put (overwrite)",
        "load, random",
        "list 100 records",
        "list 8 groups",
        "metadata mix",
    ];
    let cells: Vec<&CellRecord> = record
        .cells
        .iter()
        .filter(|cell| cell.workload == "core" && cell.mode == "memory" && cell.shape == "objstore")
        .collect();
    if cells.len() < 2 {
        return None;
    }
    let panels: Vec<(&str, Series<'_>)> = OPS
        .iter()
        .map(|&op| {
            let mut series: Series<'_> = BTreeMap::new();
            for cell in &cells {
                let row = cell.rows.iter().find(|row| row.op == op);
                for entry in row.into_iter().flat_map(|row| &row.entries) {
                    if let Some(value) = entry.median() {
                        series.entry(&entry.engine).or_default().push((cell.size as f64, value));
                    }
                }
            }
            (op, series)
        })
        .filter(|(_, series)| !series.is_empty())
        .collect();
    let title = "Time for one operation over the number of keys: objstore, memory";
    Some((title.to_owned(), plots(title, &panels, &|size| grouped(size as usize))))
}

/// A curve for each engine over the quantiles of its put latencies.
fn latencies(record: &Record) -> Option<(String, String)> {
    let cell = record.cells.iter().find(|cell| !cell.quantiles.is_empty())?;
    let mut series: Series<'_> = BTreeMap::new();
    for (engine, quantiles) in &cell.quantiles {
        let points = quantiles
            .iter()
            .filter(|(quantile, _)| (0.5..=0.9999).contains(quantile))
            .filter_map(|(quantile, rounds)| Some((1.0 / (1.0 - quantile), median(rounds)?)));
        series.insert(engine, points.collect());
    }
    let title = format!("Put latency while checkpoints run: {}", cell.title());
    let quantile = |tail: f64| format!("p{}", 100.0 - 100.0 / tail.round());
    let svg = plots(&title, &[("one put", series)], &quantile);
    Some((title, svg))
}

/// Panels with curves on logarithmic scales, and a legend below.
fn plots(title: &str, panels: &[(&str, Series<'_>)], name: &dyn Fn(f64) -> String) -> String {
    let columns = panels.len().clamp(1, 3);
    let (width, height) = if panels.len() == 1 { (960.0, 400.0) } else { (330.0, 250.0) };
    let total = width * columns as f64 + 24.0;
    let bottom = 50.0 + height * panels.len().div_ceil(columns) as f64;
    let mut svg = Svg::new(total, bottom + 34.0);
    svg.text(20.0, 30.0, Anchor::Start, "title", title);
    let mut engines: Vec<&str> = Vec::new();
    for (number, (op, series)) in panels.iter().enumerate() {
        let left = 74.0 + width * (number % columns) as f64;
        let right = left + width - 84.0;
        let top = 78.0 + height * (number / columns) as f64;
        let base = top + height - 66.0;
        let points = || series.values().flatten();
        let span = |pick: fn(&(f64, f64)) -> f64| {
            points().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (x_low, x_high) = span(|point| point.0);
        let (y_low, y_high) = span(|point| point.1);
        let decades = (y_low.log10().floor() as i32, y_high.log10().ceil() as i32);
        let x_scale = Scale::new(x_low, x_high, left, right);
        let y_scale = Scale::new(10f64.powi(decades.0), 10f64.powi(decades.1), base, top);
        svg.text(left - 50.0, top - 12.0, Anchor::Start, "strong", op);
        for decade in decades.0..=decades.1 {
            let value = 10f64.powi(decade);
            let y = y_scale.at(value);
            svg.rule((left, y), (right, y));
            svg.text(left - 7.0, y + 4.0, Anchor::End, "faint", &short(value));
        }
        let mut ticks: Vec<f64> = points().map(|point| point.0).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let mut last = f64::NEG_INFINITY;
        for tick in ticks {
            // Labels that would touch the one before are left out.
            if x_scale.at(tick) - last > 44.0 {
                last = x_scale.at(tick);
                svg.text(last, base + 17.0, Anchor::Middle, "faint", &name(tick));
            }
        }
        // Ours last, so that it lies on top.
        let mut order: Vec<(&&str, &Vec<(f64, f64)>)> = series.iter().collect();
        order.sort_by_key(|(engine, _)| **engine == OURS);
        for (engine, points) in order {
            let points: Vec<(f64, f64)> =
                points.iter().map(|&(x, y)| (x_scale.at(x), y_scale.at(y))).collect();
            let weight = if *engine == OURS { 3.2 } else { 1.8 };
            svg.curve(&points, colour(engine), weight);
            if !engines.contains(engine) {
                engines.push(engine);
            }
        }
    }
    engines.sort_by_key(|engine| COLOURS.iter().position(|(name, _)| name == engine));
    for (place, engine) in engines.iter().enumerate() {
        let x = 24.0 + place as f64 * (total - 40.0) / engines.len().max(8) as f64;
        svg.bar(x, bottom + 8.0, 12.0, 12.0, colour(engine));
        svg.text(x + 17.0, bottom + 18.0, Anchor::Start, "label", engine);
    }
    svg.finish(title)
}

/// A power of ten of nanoseconds as the scale shows it.
fn short(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        1e9.. => (nanoseconds / 1e9, "s"),
        1e6.. => (nanoseconds / 1e6, "ms"),
        1e3.. => (nanoseconds / 1e3, "µs"),
        _ => (nanoseconds, "ns"),
    };
    format!("{value:.0} {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::row_of;
    use super::*;

    #[test]
    fn every_engine_has_a_colour_of_its_own() {
        for kind in crate::engines::all() {
            assert!(COLOURS.iter().any(|(name, _)| *name == kind.name), "{}", kind.name);
        }
        let mut colours: Vec<&str> = COLOURS.iter().map(|&(_, colour)| colour).collect();
        colours.sort_unstable();
        colours.dedup();
        assert_eq!(colours.len(), COLOURS.len());
    }

    #[test]
    fn bars_show_the_fastest_first_and_how_far_the_others_are() {
        let cell = CellRecord {
            workload: "core".to_owned(),
            shape: "objstore".to_owned(),
            size: 1_000,
            mode: "memory".to_owned(),
            rows: vec![row_of(&[("lmdb", &[300.0]), (OURS, &[100.0])])],
            failures: Vec::new(),
            once: Vec::new(),
            quantiles: Vec::new(),
        };
        let svg = bars(&cell);
        let ours = svg.find(">holt<").expect("ours is shown");
        let lmdb = svg.find(">lmdb<").expect("the peer is shown");
        assert!(ours < lmdb);
        assert!(svg.contains("300 ns · 3.0×"), "{svg}");
    }
}
