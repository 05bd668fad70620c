//! A tiny log file: four threads append lines through the ring, one thread writes the file, and then the file is read back.
//!
//! It shows what a user of the ring adds: a format in which records tell their length, something readable in the place of a skip,
//! and a writer that takes whole prefixes. `cargo run --example log_file [file]`; without a name, a temporary file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::thread;

use bytes::BufMut;
use holt_wal_ring::{Consumer, Drained, GRANULE, Ring};

/// A record is the length of its text, the text's checksum, the text, and zeroes up to the granule.
const HEADER: usize = 8;

/// Stands in the place of a text's length where there is none: the rest of that field is the length of the skip.
const SKIP: u32 = 1 << 31;

const THREADS: usize = 4;
const LINES: usize = 25_000;

/// Appends one line. Where it will be in the file is known from here on: at the address.
fn append(ring: &Ring, line: &str) -> Result<u64, holt_wal_ring::Error> {
    let mut record = ring.acquire(HEADER + line.len())?.reserve();
    let address = record.address();
    record.put_u32_le(line.len() as u32);
    record.put_u32_le(crc32fast::hash(line.as_bytes()));
    record.put_slice(line.as_bytes());
    record.publish();
    Ok(address)
}

/// Writes what the ring holds to `file` until the ring is closed and empty.
fn write_log(mut consumer: Consumer, mut file: &File) -> io::Result<u64> {
    while consumer.wait_published(None) || !consumer.is_finished() {
        consumer.drain(|piece| match piece {
            Drained::Bytes { bytes, .. } => file.write_all(bytes),
            Drained::Skip { len, .. } => {
                let mut skip = vec![0; len];
                skip[..4].copy_from_slice(&(SKIP | len as u32).to_le_bytes());
                file.write_all(&skip)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        })?;
        // A log that promises durability would sync here, before it tells the writers.
    }
    file.sync_data()?;
    Ok(consumer.drained())
}

/// Reads the file and gives its lines, with their addresses, to `each`.
fn read_log(file: File, mut each: impl FnMut(u64, &str)) -> io::Result<()> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "not a record");
    let mut address = 0;
    let mut reader = BufReader::new(file);
    while !reader.fill_buf()?.is_empty() {
        let mut header = [0; HEADER];
        reader.read_exact(&mut header)?;
        let [len, checksum] = [0, 4].map(|at| {
            u32::from_le_bytes(header[at..at + 4].try_into().expect("four of eight bytes"))
        });
        let is_skip = len & SKIP != 0;
        let whole = if is_skip { len & !SKIP } else { len + HEADER as u32 } as usize;
        let body = whole.next_multiple_of(GRANULE).checked_sub(HEADER).ok_or_else(damaged)?;
        // However long the header says it is, no more is allocated than the file holds.
        let mut text = Vec::new();
        reader.by_ref().take(body as u64).read_to_end(&mut text)?;
        if text.len() < body {
            return Err(damaged());
        }
        if !is_skip {
            text.truncate(len as usize);
            if crc32fast::hash(&text) != checksum {
                return Err(damaged());
            }
            each(address, std::str::from_utf8(&text).map_err(|_| damaged())?);
        }
        address += (HEADER + body) as u64;
    }
    Ok(())
}

/// Writes the log and reads it back.
fn run(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let file = File::create(path)?;
    let (ring, consumer) = Ring::new(64 << 10, 0)?;
    let written = thread::scope(|scope| -> Result<u64, Box<dyn std::error::Error>> {
        let writer = scope.spawn(|| write_log(consumer, &file));
        let appending: Vec<_> = (0..THREADS)
            .map(|thread| {
                let ring = &ring;
                scope.spawn(move || {
                    (0..LINES).try_for_each(|line| {
                        append(ring, &format!("thread {thread} says line {line}")).map(drop)
                    })
                })
            })
            .collect();
        for thread in appending {
            thread.join().expect("an appending thread panicked")?;
        }
        // One that begins a record and gives up: the log goes on behind it.
        drop(ring.acquire(100)?.reserve());
        append(&ring, "the last line")?;
        ring.close();
        Ok(writer.join().expect("the writing thread panicked")?)
    })?;

    let (mut lines, mut last) = (0, String::new());
    read_log(File::open(path)?, |address, line| {
        lines += 1;
        last = format!("{line:?} at {address}");
    })?;
    assert_eq!(lines, THREADS * LINES + 1);
    println!("{written} bytes, {lines} lines, the last is {last}");
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args_os().nth(1) {
        Some(path) => run(path.as_ref()),
        None => run(tempfile::NamedTempFile::new()?.path()),
    }
}
