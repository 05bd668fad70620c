//! Reading and applying at once: one thread reads and verifies, the other decodes and applies.
//!
//! Blocks of verified records go through a channel of fixed depth and come back to be filled again, so memory is
//! bounded by a few blocks, each at most a block's size and one record.

use std::io;

use holt_codec::{LogReader, LogSource, ReadError, Record, RecordHeader};

use crate::sync::{Builder, mpsc, scope};

/// Bytes of records that are handed over at once.
const BLOCK: usize = 256 << 10;

/// Blocks on their way.
const DEPTH: usize = 3;

/// Verified records, one behind the other.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    records: Vec<(u64, RecordHeader)>,
}

/// How a run ended before the log did.
pub(super) enum Ended<S, E> {
    /// The reader failed.
    Reading(ReadError<S>),
    /// A record with a right checksum could not be decoded.
    Decoding(u64, holt_codec::Error),
    /// No thread could be started to read.
    Thread(io::Error),
    /// The other side does not want more.
    Applying(E),
}

/// Runs every record of `reader` through `apply`, in order, on this thread.
pub(super) fn run<S, E>(
    reader: &mut LogReader<S>,
    apply: &mut dyn FnMut(u64, u64, Record<'_>) -> Result<(), E>,
) -> Result<(), Ended<S::Error, E>>
where
    S: LogSource + Send,
    S::Error: Send,
{
    let (full, to_apply) = mpsc::sync_channel::<Block>(DEPTH);
    let (empty, to_fill) = mpsc::sync_channel::<Block>(DEPTH + 1);
    scope(|scope| {
        let reading = move || -> Result<(), ReadError<S::Error>> {
            let mut block = Block::default();
            let failed = loop {
                let entry = match reader.next_entry() {
                    Ok(Some(entry)) => entry,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                };
                block.bytes.extend_from_slice(entry.bytes());
                block.records.push((entry.address(), *entry.header()));
                if block.bytes.len() >= BLOCK {
                    if full.send(block).is_err() {
                        // The applying side has given up, and says why.
                        return Ok(());
                    }
                    block = to_fill.try_recv().unwrap_or_default();
                }
            };
            // As above. What was read before an error is applied, too: a verification asks how far that is.
            let _ = full.send(block);
            failed.map_or(Ok(()), Err)
        };
        let reading = Builder::new().spawn_scoped(scope, reading).map_err(Ended::Thread)?;
        let mut applied = Ok(());
        // Ends when the reader's side of the channel goes, for whatever reason.
        for mut block in &to_apply {
            applied = apply_block(&block, apply);
            if applied.is_err() {
                break;
            }
            block.bytes.clear();
            block.bytes.shrink_to(2 * BLOCK);
            block.records.clear();
            let _ = empty.try_send(block);
        }
        drop(to_apply);
        let read = match reading.join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        applied?;
        read.map_err(Ended::Reading)
    })
}

fn apply_block<S, E>(
    block: &Block,
    apply: &mut dyn FnMut(u64, u64, Record<'_>) -> Result<(), E>,
) -> Result<(), Ended<S, E>> {
    let mut rest = &block.bytes[..];
    for (address, header) in &block.records {
        let (bytes, later) = rest.split_at(header.len());
        rest = later;
        let record = Record::decode_verified(header, bytes)
            .map_err(|error| Ended::Decoding(*address, error))?;
        apply(*address, header.len() as u64, record).map_err(Ended::Applying)?;
    }
    Ok(())
}
