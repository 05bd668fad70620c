//! What a log's write costs until it is durable, by each way that the operating system offers, taken in turn.
//!
//! `cargo run --release --manifest-path peers/log-io/Cargo.toml [rounds [directory]]`. The directory has to be on the device
//! that is to be measured, not in memory. Every file is allocated, zero-filled and synced before, as segments of
//! Holt's log are. A *group* is what a leader writes for 32 clients at once: 32 records in one write. Printed are the least,
//! the tenth and the median microseconds of each way, and the median of its time over that of the first way in the
//! same round, which is what a busy machine leaves comparable.
//!
//! | way | calls for one write |
//! |---|---|
//! | `fdatasync` | `pwrite`, `fdatasync` |
//! | `dsync` | `pwrite` on `O_DSYNC` |
//! | `direct` | the record is copied behind what its block holds already; `pwrite` of whole blocks on `O_DIRECT`, `O_DSYNC` |
//! | `uring` | one `io_uring_enter` with a write and, linked to it, a data sync |
//! | `uring direct` | one `io_uring_enter` with the write of `direct` |

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, squeue, types};
use rustix::fs::OFlags;

/// Bytes of a file; each way goes round in its own.
const FILE: u64 = 64 << 20;

/// The unit of direct writes.
const BLOCK: u64 = 4096;

/// Records that a leader writes for its group.
const CLIENTS: usize = 32;

/// Lengths of a record in bytes.
const RECORDS: [usize; 6] = [128, 512, 1 << 10, 4 << 10, 16 << 10, 64 << 10];

type Failure = Box<dyn Error>;

/// One way to make bytes durable behind those before.
trait Way {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure>;
}

/// Memory in whole blocks, aligned to one.
struct Aligned {
    memory: Vec<u8>,
    from: usize,
}

impl Aligned {
    fn new(len: usize) -> Aligned {
        let memory = vec![0; len + 2 * BLOCK as usize];
        let from = memory.as_ptr().align_offset(BLOCK as usize);
        Aligned { memory, from }
    }

    fn blocks(&mut self, len: usize) -> &mut [u8] {
        &mut self.memory[self.from..self.from + len]
    }
}

/// Where the next bytes go.
struct Position(u64);

impl Position {
    /// The place of `len` bytes, at the front again when they do not fit.
    fn take(&mut self, len: usize) -> u64 {
        if self.0 + len as u64 > FILE {
            self.0 = 0;
        }
        let at = self.0;
        self.0 += len as u64;
        at
    }
}

struct Plain {
    file: File,
    position: Position,
    sync: bool,
}

impl Way for Plain {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all_at(bytes, self.position.take(bytes.len()))?;
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// The blocks around the bytes that were appended last.
struct Bounce {
    position: Position,
    memory: Aligned,
}

impl Bounce {
    fn new(most: usize) -> Bounce {
        Bounce { position: Position(0), memory: Aligned::new(most + BLOCK as usize) }
    }

    /// Copies the bytes behind those in the last block: the blocks to write, and where.
    fn add(&mut self, bytes: &[u8]) -> (&[u8], u64) {
        let before = self.position.0;
        let at = self.position.take(bytes.len());
        let (first, inside) = (at / BLOCK * BLOCK, (at % BLOCK) as usize);
        let len = (inside + bytes.len()).next_multiple_of(BLOCK as usize);
        if at != before {
            self.memory.blocks(BLOCK as usize).fill(0);
        }
        let blocks = self.memory.blocks(len);
        blocks[inside..inside + bytes.len()].copy_from_slice(bytes);
        blocks[inside + bytes.len()..].fill(0);
        (&self.memory.blocks(len)[..], first)
    }

    /// Keeps the last block, which is not full, for the next bytes.
    fn keep(&mut self, written: usize) {
        let rest = self.position.0 % BLOCK;
        if written > BLOCK as usize && rest > 0 {
            self.memory.blocks(written).copy_within(written - BLOCK as usize.., 0);
        }
    }
}

struct Direct {
    file: File,
    bounce: Bounce,
}

impl Way for Direct {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let (blocks, at) = self.bounce.add(bytes);
        let written = blocks.len();
        self.file.write_all_at(blocks, at)?;
        self.bounce.keep(written);
        Ok(())
    }
}

struct Uring {
    ring: IoUring,
    file: File,
    position: Position,
    /// The blocks of direct writes.
    direct: Option<Bounce>,
}

impl Uring {
    fn new(file: File, direct: Option<Bounce>) -> Result<Uring, Failure> {
        Ok(Uring { ring: IoUring::new(8)?, file, position: Position(0), direct })
    }
}

impl Way for Uring {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let (data, at) = match &mut self.direct {
            Some(bounce) => bounce.add(bytes),
            None => (bytes, self.position.take(bytes.len())),
        };
        let written = data.len();
        let file = types::Fd(self.file.as_raw_fd());
        let write = opcode::Write::new(file, data.as_ptr(), data.len() as u32).offset(at).build();
        let mut entries = vec![write];
        if self.direct.is_none() {
            entries[0] = entries[0].clone().flags(squeue::Flags::IO_LINK);
            entries.push(opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC).build());
        }
        // SAFETY: the file stays open and the bytes are borrowed until all completions are in, which the next line waits
        // for before anything else happens.
        unsafe { self.ring.submission().push_multiple(&entries)? };
        self.ring.submit_and_wait(entries.len())?;
        let mut results = self.ring.completion().map(|done| done.result());
        let whole = results.next() == Some(written as i32) && results.all(|result| result == 0);
        if !whole {
            return Err("a write through io_uring failed or was short".into());
        }
        if let Some(bounce) = &mut self.direct {
            bounce.keep(written);
        }
        Ok(())
    }
}

fn open(directory: &Path, name: &str, flags: OFlags) -> Result<File, Failure> {
    let path = directory.join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..FILE).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let opened =
        OpenOptions::new().read(true).write(true).custom_flags(flags.bits() as i32).open(&path)?;
    // The descriptor keeps it; nothing is left behind.
    std::fs::remove_file(path)?;
    Ok(opened)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(400), |text| text.parse())?;
    let directory = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    println!("{rounds} rounds in {}\n", directory.display());
    println!("| record | clients | way | least | 10 % | half | of the first |");
    println!("|---|---|---|---|---|---|---|");
    let most = RECORDS[RECORDS.len() - 1] * CLIENTS;
    let direct = OFlags::DIRECT | OFlags::DSYNC;
    let mut ways: Vec<(&str, Box<dyn Way>)> = Vec::new();
    for (name, sync, flags) in
        [("fdatasync", true, OFlags::empty()), ("dsync", false, OFlags::DSYNC)]
    {
        let file = open(&directory, "log-io", flags)?;
        ways.push((name, Box::new(Plain { file, position: Position(0), sync })));
    }
    let file = open(&directory, "log-io", direct)?;
    ways.push(("direct", Box::new(Direct { file, bounce: Bounce::new(most) })));
    let file = open(&directory, "log-io", OFlags::empty())?;
    ways.push(("uring", Box::new(Uring::new(file, None)?)));
    let file = open(&directory, "log-io", direct)?;
    ways.push(("uring direct", Box::new(Uring::new(file, Some(Bounce::new(most)))?)));
    for record in RECORDS {
        for clients in [1, CLIENTS] {
            measure(record, clients, rounds, &mut ways)?;
        }
    }
    Ok(())
}

/// Takes the ways in turn, each round from another one on, and prints a line for each.
fn measure(
    record: usize,
    clients: usize,
    rounds: usize,
    ways: &mut [(&str, Box<dyn Way>)],
) -> Result<(), Failure> {
    let bytes: Vec<u8> = (0..record * clients).map(|at| at as u8 | 1).collect();
    let mut times = vec![Vec::with_capacity(rounds); ways.len()];
    for round in 0..rounds {
        for turn in 0..ways.len() {
            let index = (round + turn) % ways.len();
            let begun = Instant::now();
            ways[index].1.append(&bytes)?;
            times[index].push(begun.elapsed());
        }
    }
    let first = times[0].clone();
    for ((name, _), times) in ways.iter().zip(&mut times) {
        let mut ratios: Vec<f64> =
            times.iter().zip(&first).map(|(own, first)| own.div_duration_f64(*first)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        times.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "| {record} | {clients} | {name} | {:.0} | {:.0} | {:.0} | {:.2} |",
            micros(times[0]),
            micros(times[rounds / 10]),
            micros(times[rounds / 2]),
            ratios[rounds / 2],
        );
    }
    Ok(())
}
