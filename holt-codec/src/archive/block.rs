//! One block of an archive.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of the archive's header checksum (4 bytes), the block's number (8 bytes), and the block from offset 4 |
//! | 4 | 4 | length of the payload in bytes |
//! | 8 | 4 | kind: 1 records, 2 end |
//! | 12 | 4 | CRC-32 of the archive's header checksum, the block's number, and the bytes 4 to 11 |
//! | 16 | … | payload |
//!
//! | kind | payload |
//! |---|---|
//! | records | for each record: its address (8 bytes), then the record as in a log, under the seed of salt 0 and without a claim |
//! | end | number of records (8 bytes), number of blocks before (8 bytes), CRC-32 of all bytes before the block (4 bytes) |
//!
//! Blocks are numbered from 0. All integers are little endian.

use crc32fast::Hasher;

use super::WHAT;
use crate::fields::{put, take, u32_at};
use crate::{Error, MAX_RECORD};

/// Bytes of a block before its payload.
pub(super) const BLOCK_HEADER_LEN: usize = 16;

/// A block is ended as soon as its payload is that long.
pub(super) const TARGET: usize = 64 << 10;

/// Bytes of a record's address.
pub(super) const ADDRESS_LEN: usize = 8;

/// The longest payload of a block, in bytes: one that was just short of its end, and the longest record.
pub const MAX_BLOCK: usize = TARGET + ADDRESS_LEN + MAX_RECORD;

/// Bytes of the end block's payload.
pub(super) const END_LEN: usize = 20;

/// The kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum BlockKind {
    Records = 1,
    End = 2,
}

/// What a block's header says, and what its checksums begin with.
#[derive(Debug)]
pub(super) struct BlockHeader {
    pub(super) kind: BlockKind,
    pub(super) len: usize,
    crc: u32,
    sum: Hasher,
}

/// A checksum that has seen which block of which archive this is.
fn place(archive: u32, number: u64) -> Hasher {
    let mut sum = Hasher::new();
    sum.update(&archive.to_le_bytes());
    sum.update(&number.to_le_bytes());
    sum
}

/// The header of the block `number` of the archive whose header has the checksum `archive`.
pub(super) fn encode(
    archive: u32,
    number: u64,
    kind: BlockKind,
    payload: &[u8],
) -> [u8; BLOCK_HEADER_LEN] {
    debug_assert!(payload.len() <= MAX_BLOCK);
    let mut bytes = [0; BLOCK_HEADER_LEN];
    put(&mut bytes, 4, (payload.len() as u32).to_le_bytes());
    put(&mut bytes, 8, (kind as u32).to_le_bytes());
    let mut sum = place(archive, number);
    sum.update(&bytes[4..12]);
    put(&mut bytes, 12, sum.finalize().to_le_bytes());
    let mut sum = place(archive, number);
    sum.update(&bytes[4..]);
    sum.update(payload);
    put(&mut bytes, 0, sum.finalize().to_le_bytes());
    bytes
}

impl BlockHeader {
    pub(super) fn decode(
        archive: u32,
        number: u64,
        bytes: &[u8; BLOCK_HEADER_LEN],
    ) -> Result<BlockHeader, Error> {
        let mut sum = place(archive, number);
        sum.update(&bytes[4..12]);
        let (expected, found) = (u32_at(bytes, 12), sum.finalize());
        if expected != found {
            return Err(Error::Checksum { what: "header of a block", expected, found });
        }
        let kind = match u32_at(bytes, 8) {
            1 => BlockKind::Records,
            2 => BlockKind::End,
            _ => {
                return Err(Error::Malformed { what: WHAT, why: "the kind of a block is unknown" });
            }
        };
        let len = u32_at(bytes, 4) as usize;
        if len > MAX_BLOCK || (kind == BlockKind::End && len != END_LEN) {
            return Err(Error::Malformed { what: WHAT, why: "no block has this length" });
        }
        let mut sum = place(archive, number);
        sum.update(&bytes[4..]);
        Ok(BlockHeader { kind, len, crc: u32::from_le_bytes(take(bytes, 0)), sum })
    }

    /// Checks the payload, which has the right length.
    pub(super) fn verify(self, payload: &[u8]) -> Result<(), Error> {
        let mut sum = self.sum;
        sum.update(payload);
        let (expected, found) = (self.crc, sum.finalize());
        if expected == found {
            Ok(())
        } else {
            Err(Error::Checksum { what: "block", expected, found })
        }
    }
}
