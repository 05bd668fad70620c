//! The stretch of the log that a reader holds in memory.
//!
//! * It moves forward and never holds more than one chunk, or one verified record if that is longer.
//! * A file that ends before its segment does is damage: segments have their full length from the start.

use super::chain::{Chain, Run};
use super::log_reader::ReadError;
use super::source::LogSource;
use crate::error::Damage;

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 256 << 10;

/// Bytes of one run, from `base` on.
#[derive(Debug, Default)]
pub(super) struct Window {
    base: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Bytes of the run from `address` on: at least `len`, or all that there are up to the run's end.
    ///
    /// `len` is at most a chunk, or the length of a record whose checksum was verified.
    pub(super) fn hold<S: LogSource>(
        &mut self,
        source: &mut S,
        chain: &Chain,
        run: &Run,
        address: u64,
        len: usize,
    ) -> Result<&[u8], ReadError<S::Error>> {
        let held_end = self.base + self.bytes.len() as u64;
        let wanted = (len as u64).min(run.end - address);
        if address < self.base || address + wanted > held_end {
            let kept = match address.checked_sub(self.base) {
                Some(skipped) if address <= held_end => {
                    self.bytes.drain(..skipped as usize);
                    self.bytes.len()
                }
                _ => 0,
            };
            self.base = address;
            let goal = (CHUNK.max(len) as u64).min(run.end - address) as usize;
            self.bytes.resize(goal, 0);
            if let Err(error) =
                read_stream(source, chain, address + kept as u64, &mut self.bytes[kept..])
            {
                self.bytes.truncate(kept);
                return Err(error);
            }
        }
        Ok(&self.bytes[(address - self.base) as usize..])
    }

    /// What [`Window::hold`] made sure to hold.
    pub(super) fn held(&self, address: u64, len: usize) -> &[u8] {
        let at = (address - self.base) as usize;
        &self.bytes[at..at + len]
    }
}

/// Fills `buf` with the log's bytes from `address` on, which all lie in one run.
pub(super) fn read_stream<S: LogSource>(
    source: &mut S,
    chain: &Chain,
    mut address: u64,
    mut buf: &mut [u8],
) -> Result<(), ReadError<S::Error>> {
    while !buf.is_empty() {
        let Some(link) = chain.at(address) else {
            return Err(chain.damaged(address, Damage::MissingSegment).into());
        };
        let here = (link.header.end() - address).min(buf.len() as u64) as usize;
        let offset = link.header.file_offset(address);
        match source.read_at(link.source, offset, &mut buf[..here]).map_err(ReadError::Source)? {
            0 => return Err(chain.damaged(address, Damage::ShortFile).into()),
            read => {
                address += read as u64;
                buf = &mut buf[read..];
            }
        }
    }
    Ok(())
}
