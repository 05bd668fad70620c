//! What a run is asked to measure.

use std::path::PathBuf;

use crate::engine::Mode;
use crate::shapes::Shape;
use crate::workloads::Workload;

/// The options of `cargo xtask bench`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// A small set that ends in under five minutes once the peers are built.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Run the quick set and fail where a ratio to the best peer has become worse than the
    /// recorded one by more than the noise of this run, in three runs of the workloads concerned.
    #[arg(long)]
    pub(crate) check: bool,
    /// Write `WORKLOADS.md` and `ENGINES.md` again and measure nothing.
    #[arg(long)]
    pub(crate) describe: bool,
    /// Write tables and charts again from the records that lie in the report's directory, and
    /// measure nothing.
    #[arg(long)]
    pub(crate) render: bool,
    /// Keys to load; the shape `real` takes at most the files that there are.
    #[arg(long, value_delimiter = ',')]
    pub(crate) sizes: Vec<usize>,
    /// Keys below the directory that is moved and deleted.
    #[arg(long, value_delimiter = ',')]
    pub(crate) prefix_sizes: Vec<usize>,
    /// Shapes of keys.
    #[arg(long, value_delimiter = ',')]
    pub(crate) shapes: Vec<Shape>,
    /// Engines, by the names of the tables.
    #[arg(long, value_delimiter = ',')]
    pub(crate) engines: Vec<String>,
    /// Workloads.
    #[arg(long, value_delimiter = ',')]
    pub(crate) workloads: Vec<Workload>,
    /// What acknowledged writes survive.
    #[arg(long, value_delimiter = ',')]
    pub(crate) modes: Vec<Mode>,
    /// How often each engine runs each workload, interleaved with the others.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Seconds: a peer that takes longer for one workload is not asked for it again, and its figures
    /// are those of one round.
    #[arg(long, default_value_t = 60)]
    pub(crate) patience: u64,
    /// Time for one measured operation, in milliseconds (quick: 20, otherwise 150).
    #[arg(long)]
    pub(crate) budget: Option<u64>,
    /// Cache of every engine, in MiB.
    #[arg(long, default_value_t = 1_024)]
    pub(crate) cache: u64,
    /// The seed of keys and streams.
    #[arg(long, default_value_t = 20_241_123)]
    pub(crate) seed: u64,
    /// The directory whose file paths the shape `real` takes.
    #[arg(long, value_name = "DIR")]
    pub(crate) real: Option<PathBuf>,
    /// Where the engines keep their files; its file system is what synced writes measure.
    #[arg(long, value_name = "DIR", default_value = "peers/target/bench")]
    pub(crate) dir: PathBuf,
    /// Where they keep them in mode `memory`; a memory file system.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub(crate) memory_dir: PathBuf,
    /// Where the report goes (default: docs/bench for a quick or a full run, target/bench when
    /// the set is chosen by other options).
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Add to the report that lies there, in place of what it has of the same workloads, instead
    /// of writing a new one.
    #[arg(long)]
    pub(crate) merge: bool,
    /// Seconds after which a process is given up.
    #[arg(long, default_value_t = 900)]
    pub(crate) timeout: u64,
    /// An engine that was not built, and why; `cargo xtask bench` says it.
    #[arg(long, hide = true)]
    pub(crate) left_out: Vec<String>,
}

/// One workload over one key space in one mode: what every engine runs once a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The workload.
    pub(crate) workload: Workload,
    /// The shape of the keys.
    pub(crate) shape: Shape,
    /// How many keys.
    pub(crate) size: usize,
    /// What acknowledged writes survive.
    pub(crate) mode: Mode,
}

/// Keys of the sets; the last one only for the shapes that say most.
const SIZES: [usize; 3] = [20_000, 200_000, 2_000_000];

/// Keys below the directory that is moved.
const PREFIXES: [usize; 3] = [1_000, 100_000, 1_000_000];

/// The larger directory of the quick set.
const QUICK_PREFIX: usize = 20_000;

impl Options {
    /// Whether this is the small set.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick || self.check
    }

    /// Whether the set was chosen by hand, so that it is no record of the whole.
    pub(crate) fn is_chosen(&self) -> bool {
        !(self.sizes.is_empty()
            && self.prefix_sizes.is_empty()
            && self.shapes.is_empty()
            && self.engines.is_empty()
            && self.workloads.is_empty()
            && self.modes.is_empty())
    }

    /// Time for one measured operation, in milliseconds.
    pub(crate) fn budget_ms(&self) -> u64 {
        self.budget.unwrap_or(if self.is_quick() { 20 } else { 150 })
    }

    /// Where the report goes.
    pub(crate) fn out_dir(&self) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None if self.is_chosen() => "target/bench".into(),
            None => "docs/bench".into(),
        }
    }

    /// Everything to run. A set chosen by hand is the product of the choices; what was not chosen
    /// keeps its default.
    pub(crate) fn plan(&self) -> Vec<Cell> {
        let mut plan = Vec::new();
        for workload in Workload::ALL {
            if !self.workloads.is_empty() && !self.workloads.contains(&workload) {
                continue;
            }
            for shape in self.shapes_of(workload) {
                for size in self.sizes_of(workload, shape) {
                    for mode in self.modes_of(workload, shape, size) {
                        plan.push(Cell { workload, shape, size, mode });
                    }
                }
            }
        }
        plan
    }

    fn shapes_of(&self, workload: Workload) -> Vec<Shape> {
        if !self.shapes.is_empty() {
            return self.shapes.clone();
        }
        let shapes: &[Shape] = match (workload, self.is_quick()) {
            (Workload::Core, true) => &[Shape::Kv, Shape::Objstore, Shape::Fs],
            (Workload::Core, false) => &Shape::ALL,
            (Workload::Footprint, false) => &[Shape::Kv, Shape::Objstore, Shape::Fs, Shape::Real],
            _ => &[Shape::Objstore],
        };
        let real = self.real.is_some();
        shapes.iter().copied().filter(|&shape| shape != Shape::Real || real).collect()
    }

    fn sizes_of(&self, workload: Workload, shape: Shape) -> Vec<usize> {
        if workload == Workload::Prefix {
            return match (&self.prefix_sizes[..], self.is_quick()) {
                ([], true) => vec![PREFIXES[0], QUICK_PREFIX],
                ([], false) => PREFIXES.to_vec(),
                (chosen, _) => chosen.to_vec(),
            };
        }
        if !self.sizes.is_empty() {
            return self.sizes.clone();
        }
        if self.is_quick() || workload == Workload::Synced {
            return vec![SIZES[0]];
        }
        match (workload, shape) {
            (Workload::Core, Shape::Kv | Shape::Objstore) => SIZES.to_vec(),
            (Workload::Core, Shape::Real) => vec![SIZES[1]],
            (Workload::Core, _) => SIZES[..2].to_vec(),
            (Workload::Cold, _) => vec![SIZES[2]],
            _ => vec![SIZES[1]],
        }
    }

    fn modes_of(&self, workload: Workload, shape: Shape, size: usize) -> Vec<Mode> {
        if !self.modes.is_empty() {
            return self.modes.clone();
        }
        let objstore = shape == Shape::Objstore;
        let wanted = |mode: &Mode| match (workload, mode) {
            // Handing each write to the kernel costs the same whatever the keys: one set says it.
            (Workload::Core, Mode::Os) => objstore && size == SIZES[0],
            (Workload::Core, Mode::Buffered) => objstore || !self.is_quick(),
            (Workload::Threads, Mode::Os) => false,
            (Workload::Threads | Workload::Footprint, Mode::Buffered) => !self.is_quick(),
            (Workload::Ycsb | Workload::Cold, _) => !self.is_quick(),
            _ => true,
        };
        workload.modes().iter().copied().filter(wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn plan(arguments: &[&str]) -> Vec<Cell> {
        let line = Line::parse_from([&["bench"], arguments].concat());
        line.options.plan()
    }

    #[test]
    fn the_full_set_has_every_workload_and_the_quick_set_is_part_of_its_kinds() {
        let full = plan(&[]);
        for workload in Workload::ALL {
            assert!(full.iter().any(|cell| cell.workload == workload), "{workload:?}");
        }
        let quick = plan(&["--quick"]);
        assert!(quick.len() < full.len() / 2, "{} of {}", quick.len(), full.len());
        assert_eq!(plan(&["--check"]), quick);
    }

    #[test]
    fn a_chosen_set_is_the_product_of_the_choices() {
        let cells = plan(&[
            "--workloads",
            "core",
            "--shapes",
            "kv,url",
            "--sizes",
            "5,6",
            "--modes",
            "memory",
        ]);
        assert_eq!(cells.len(), 4);
        assert!(cells.iter().all(|cell| cell.workload == Workload::Core));
    }
}
