//! The search behind a gap for a record that proves it to be damage.
//!
//! * A position is looked at in full only when the 32 address bits, the length and the kind of a header are right
//!   there and its claim would prove something: one position in many billions of foreign bytes.
//! * Bytes made to look like headers at every granule cannot make the search quadratic: after a small multiple of
//!   the log's length in failed checksums it gives up, and then the log is not opened.

use super::chain::{Chain, Run};
use super::log_reader::ReadError;
use super::source::LogSource;
use super::window::{CHUNK, Window, read_stream};
use crate::error::Damage;
use crate::record::{RecordSum, SUM_START};
use crate::{GRANULE, HEADER_LEN, MAX_RECORD, RecordHeader};

/// Failed checksums may cover this many times the bytes that are searched, and one record.
const PATIENCE: u64 = 4;

/// Looks through the rest of `run` behind the gap at `gap`; damage, if something there proves it.
pub(super) fn search<S: LogSource>(
    source: &mut S,
    chain: &Chain,
    run: &Run,
    window: &mut Window,
    gap: u64,
) -> Result<Option<Damage>, ReadError<S::Error>> {
    let mut patience = (run.end - gap).saturating_mul(PATIENCE).saturating_add(MAX_RECORD as u64);
    let mut address = gap + GRANULE as u64;
    while address + HEADER_LEN as u64 <= run.end {
        let bytes = window.hold(source, chain, run, address, HEADER_LEN)?;
        let Some((at, header)) = candidate(bytes, address, gap, run.end) else {
            // The last header of this stretch may begin in the next.
            address += (bytes.len() - (HEADER_LEN - GRANULE)) as u64;
            continue;
        };
        if verify(source, chain, run, window, at, &header)? {
            return Ok(header.synced().map(|synced| Damage::Proven { witness: at, synced }));
        }
        match patience.checked_sub(header.len() as u64) {
            Some(left) => patience = left,
            None => return Ok(Some(Damage::Unjudged)),
        }
        address = at + GRANULE as u64;
    }
    Ok(None)
}

/// The first position in `bytes` that might hold a record whose claim proves the gap to be damage.
fn candidate(bytes: &[u8], base: u64, gap: u64, end: u64) -> Option<(u64, RecordHeader)> {
    bytes.windows(HEADER_LEN).step_by(GRANULE).enumerate().find_map(|(index, head)| {
        let address = base + (index * GRANULE) as u64;
        let header = RecordHeader::parse(address, head).ok()?;
        let proves = header.synced().is_some_and(|synced| synced > gap);
        (proves && address + header.len() as u64 <= end).then_some((address, header))
    })
}

/// Whether the record at `address` has the checksum that its header says; holds no more than a chunk of it.
pub(super) fn verify<S: LogSource>(
    source: &mut S,
    chain: &Chain,
    run: &Run,
    window: &mut Window,
    address: u64,
    header: &RecordHeader,
) -> Result<bool, ReadError<S::Error>> {
    let Some(link) = chain.at(address) else { return Ok(false) };
    // At the border of two segments the record starts in the later one, which `at` gives.
    let seed = link.header.seed();
    if header.len() <= CHUNK {
        let bytes = window.hold(source, chain, run, address, header.len())?;
        return Ok(header.verify(seed, address, bytes));
    }
    let mut sum = RecordSum::new(seed, address);
    let mut chunk = vec![0; CHUNK];
    let end = address + header.len() as u64;
    let mut at = address + SUM_START as u64;
    while at < end {
        let len = (end - at).min(CHUNK as u64) as usize;
        read_stream(source, chain, at, &mut chunk[..len])?;
        sum.update(&chunk[..len]);
        at += len as u64;
    }
    Ok(sum.finish() == header.crc())
}
