//! `WORKLOADS.md` and `ENGINES.md`, written from the descriptions in the code.

use std::fmt::Write as _;
use std::path::Path;

use super::versions;
use crate::Failure;
use crate::engine::Mode;
use crate::engines;
use crate::operations::Operation;
use crate::shapes::Shape;
use crate::workloads::Workload;

/// Writes the workloads' page, and the engines' page when every engine was compiled in: a page
/// that leaves some out would say that they are not measured.
pub(crate) fn write(out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("WORKLOADS.md"), workloads())?;
    match engines::complete() {
        true => std::fs::write(out.join("ENGINES.md"), engines_page())?,
        false => eprintln!("bench: ENGINES.md is left as it is: not every engine is built"),
    }
    Ok(())
}

/// The page about workloads.
fn workloads() -> String {
    let mut out = "# What is measured, and why it is fair\n\n\
         Written by `cargo xtask bench --describe` from the descriptions in `peers/src`.\n\n\
         One seeded stream of operations goes to all engines. Before anything is timed, the \
         answers of every engine are hashed over the same stream, and a difference ends the run. \
         Each engine and workload has a process of its own; the rounds are interleaved. Every \
         operation is one transaction: visible to all and as durable as the mode says when it \
         returns.\n\n## Modes\n\n"
        .to_owned();
    for mode in Mode::ALL {
        let _ = writeln!(out, "- **{}**: {}", mode.name(), mode.describe());
    }
    out.push_str("\n## Shapes of keys\n\n");
    for shape in Shape::ALL {
        let _ = writeln!(out, "- **{}**: {}", shape.name(), shape.describe());
    }
    out.push_str("\n## Workloads\n\n");
    for workload in Workload::ALL {
        let _ = writeln!(out, "- **{}**: {}", workload.name(), workload.describe());
    }
    out.push_str("\n## Operations\n\n");
    for operation in Operation::ALL {
        let _ = writeln!(out, "- **{}**: {}", operation.name(), operation.describe());
    }
    out
}

/// The page about engines.
fn engines_page() -> String {
    let mut out = "# The engines and their settings\n\n\
         Written by `cargo xtask bench --describe` from the descriptions in `peers/src/engines`. \
         All are built by the same compiler with the same profile, for the machine's base \
         instruction set, and without compression. A mode asks for an acknowledgement; an engine \
         without one that weak uses its next stronger one.\n\n\
         RocksDB is compiled from source and wants `libclang` and a C++ compiler (`apt-get \
         install g++ libclang-dev`), LMDB and SQLite want a C compiler (`apt-get install gcc`). \
         Where they are missing, the engine is left out and the run says so.\n\n"
        .to_owned();
    for kind in engines::all() {
        let modes: Vec<&str> = kind.modes.iter().map(|mode| mode.name()).collect();
        let _ = writeln!(
            out,
            "## {} {}\n\nModes: {}. {}\n",
            kind.name,
            versions::of(&kind),
            modes.join(", "),
            kind.settings
        );
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_about_workloads_is_the_one_that_the_code_writes() {
        let kept = include_str!("../../../docs/bench/WORKLOADS.md");
        assert!(kept == workloads(), "`cargo xtask bench --describe` writes it anew");
    }

    #[test]
    fn every_engine_that_is_built_stands_on_the_page_as_the_code_describes_it() {
        let kept = include_str!("../../../docs/bench/ENGINES.md");
        for kind in engines::all() {
            let version = versions::of(&kind);
            assert!(kept.contains(&format!("## {} {version}\n", kind.name)), "{}", kind.name);
            assert!(kept.contains(kind.settings), "{}", kind.name);
        }
    }
}
