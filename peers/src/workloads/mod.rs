//! The workloads: what one process measures of one engine.

mod cold;
mod core;
mod footprint;
mod latency;
mod prefix;
mod raw;
mod reopen;
mod threads;

use crate::Failure;
use crate::cell::{Order, Outcome};
use crate::engine::{Kind, Mode};

pub(crate) use raw::limits;

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Workload {
    /// Loading, and every single operation.
    Core,
    /// The mixes of YCSB.
    Ycsb,
    /// Moving and deleting everything below a prefix.
    Prefix,
    /// Opening what a killed process left.
    Reopen,
    /// Synced puts from 1 to 32 threads.
    Synced,
    /// One and two threads.
    Threads,
    /// Gets from data ten times larger than the cache.
    Cold,
    /// Memory and disk a key, after loading and after churn.
    Footprint,
    /// The distribution of put latencies while checkpoints run.
    Latency,
}

impl Workload {
    /// Every workload, in the order of the tables.
    pub(crate) const ALL: [Self; 9] = [
        Self::Core,
        Self::Ycsb,
        Self::Prefix,
        Self::Reopen,
        Self::Synced,
        Self::Threads,
        Self::Cold,
        Self::Footprint,
        Self::Latency,
    ];

    /// The name on the command line and in the record.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Ycsb => "ycsb",
            Self::Prefix => "prefix",
            Self::Reopen => "reopen",
            Self::Synced => "synced",
            Self::Threads => "threads",
            Self::Cold => "cold",
            Self::Footprint => "footprint",
            Self::Latency => "latency",
        }
    }

    /// What it models and why it is fair.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Core => {
                "Loads all keys in random order by single puts, then runs each operation alone \
                 for the same time; last, it loads them in key order into a fresh database. Above \
                 200,000 keys every tenth hundred is put singly and timed and the others go in as \
                 batches, for all engines alike."
            }
            Self::Ycsb => {
                "The six public mixes, one after the other over the same loaded keys, in the \
                 order A, B, C, D, F, E that their authors recommend."
            }
            Self::Prefix => {
                "Moves a directory with everything below it, and deletes it, beside 20,000 other \
                 keys. Peers do what they can: a range tombstone or a ranged statement where they \
                 have one, otherwise they read, and store and remove in one batch. The size is \
                 the number of keys below the directory."
            }
            Self::Reopen => {
                "Loads all keys with acknowledgement `os`, kills the process, and times opening \
                 until the first get is answered. Every engine must then show every key, so none \
                 gains by having lost some."
            }
            Self::Synced => {
                "Overwrites of random keys, each on stable storage before it is acknowledged, by \
                 1, 2, 8 and 32 threads at once: commit latency, and what grouping makes of it. \
                 Wall time divided by all acknowledged puts."
            }
            Self::Threads => {
                "The same stream of gets, overwrites and their mix by one thread and by two, each at \
                 keys of its own choice among all; and overwrites by threads that share the directories \
                 out among themselves. Wall time divided by all operations, so perfect scaling halves \
                 the figure. Indexes that need a lock are measured with it."
            }
            Self::Cold => {
                "Cache limited to a tenth of the data, the kernel's pages of all files dropped, \
                 then random gets: time and bytes read from the device for each. LMDB has no cache \
                 of its own to limit; it starts as cold as the others. Nothing limits the kernel's \
                 cache afterwards, so reading around and reading the same page again gain by memory \
                 that a larger set of data would not find."
            }
            Self::Footprint => {
                "Resident memory and bytes on disk for each key, after loading in random order \
                 and after deleting and storing again a random half of the keys four times, and \
                 what was written to the device by then for each byte of the keys and values \
                 that were put. \
                 Memory is anonymous memory of the process, plus files on the memory file system \
                 in mode `memory`. Pages that the kernel caches for LMDB are on its disk figure \
                 only."
            }
            Self::Latency => {
                "Overwrites by one thread, each timed, while another asks for a checkpoint every \
                 100 ms: what a user feels when the engine tidies up. Each engine's own idea of a \
                 checkpoint or flush counts."
            }
        }
    }

    /// The modes that it is run in when nobody says otherwise.
    pub(crate) fn modes(self) -> &'static [Mode] {
        match self {
            Self::Core | Self::Threads => &[Mode::Memory, Mode::Buffered, Mode::Os],
            Self::Ycsb | Self::Footprint => &[Mode::Memory, Mode::Buffered],
            Self::Prefix | Self::Cold | Self::Latency => &[Mode::Buffered],
            Self::Reopen => &[Mode::Os],
            Self::Synced => &[Mode::Sync],
        }
    }

    /// Runs it on an engine.
    pub(crate) fn run(self, kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
        match self {
            Self::Core => core::single(kind, order),
            Self::Ycsb => core::ycsb(kind, order),
            Self::Prefix => prefix::run(kind, order),
            Self::Reopen => reopen::run(kind, order),
            Self::Synced => threads::synced(kind, order),
            Self::Threads => threads::scaling(kind, order),
            Self::Cold => cold::run(kind, order),
            Self::Footprint => footprint::run(kind, order),
            Self::Latency => latency::run(kind, order),
        }
    }
}
