//! The report of a run: record, table and charts.

use std::fmt::Write as _;
use std::path::Path;

use crate::Failure;

pub(crate) mod chart;
pub(crate) mod check;
pub(crate) mod describe;
pub(crate) mod record;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod versions;

use record::Record;

/// Writes everything that a run leaves: `<stem>.json`, `<stem>.csv`, `<stem>.md` and the charts,
/// and the descriptions beside them.
pub(crate) fn write(record: &Record, out: &Path, stem: &str) -> Result<(), Failure> {
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join(format!("{stem}.json")), record.to_json()?)?;
    std::fs::write(out.join(format!("{stem}.csv")), record.to_csv())?;
    let mut charts = String::new();
    for (name, caption, svg) in chart::all(record) {
        let file = format!("{stem}-{name}.svg");
        std::fs::write(out.join(&file), svg)?;
        writeln!(charts, "![{caption}]({file})\n")?;
    }
    std::fs::write(out.join(format!("{stem}.md")), table::page(record, &charts))?;
    describe::write(out)
}
