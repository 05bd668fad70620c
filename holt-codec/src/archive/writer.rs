//! Writing an archive, record by record.

use std::fmt;
use std::io::{self, Write};

use bytes::BufMut;
use crc32fast::Hasher;

use super::block::{self, ADDRESS_LEN, BlockKind, END_LEN, TARGET};
use super::header::ArchiveHeader;
use crate::fields::u32_at;
use crate::{Record, Seed};

/// Writes an archive to a stream. Without [`ArchiveWriter::finish`] what it has written is no archive.
///
/// # Examples
///
/// ```
/// use holt_codec::{ArchiveHeader, ArchiveReader, ArchiveWriter, DbId, Op, Record};
/// let header = ArchiveHeader { db: DbId([7; 16]), after: 0, up_to: 512 };
/// let records = [
///     Record::CreateTree { tree: 1, name: b"default" },
///     Record::from(Op::Put { tree: 1, key: b"k", value: b"v" }),
/// ];
/// let mut writer = ArchiveWriter::new(Vec::new(), header)?;
/// for record in &records {
///     writer.push(4096, record)?;
/// }
/// let archive = writer.finish()?;
///
/// let mut reader = ArchiveReader::new(&archive[..])?;
/// assert_eq!(reader.header(), header);
/// for record in records {
///     let archived = reader.next_record()?.expect("as many as were pushed");
///     assert_eq!((archived.address, archived.record), (4096, record));
/// }
/// assert!(reader.next_record()?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ArchiveWriter<W> {
    out: W,
    archive: u32,
    payload: Vec<u8>,
    blocks: u64,
    records: u64,
    /// Of all bytes so far.
    sum: Hasher,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub fn new(mut out: W, header: ArchiveHeader) -> io::Result<ArchiveWriter<W>> {
        let bytes = header.encode();
        out.write_all(&bytes)?;
        let mut sum = Hasher::new();
        sum.update(&bytes);
        let archive = u32_at(&bytes, 12);
        Ok(ArchiveWriter { out, archive, payload: Vec::new(), blocks: 0, records: 0, sum })
    }

    /// Adds a record behind the others, with the address that it has or had: a multiple of the granule.
    ///
    /// # Errors
    ///
    /// The stream's; [`io::ErrorKind::InvalidInput`] for what no log can hold.
    pub fn push(&mut self, address: u64, record: &Record<'_>) -> io::Result<()> {
        let len = record
            .encoded_len()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.payload.reserve(ADDRESS_LEN + len);
        self.payload.put_u64_le(address);
        // Nothing in an archive claims what was synced.
        record.encode(Seed::new(0), address, u64::MAX, &mut self.payload);
        self.records += 1;
        if self.payload.len() >= TARGET { self.end_block(BlockKind::Records) } else { Ok(()) }
    }

    /// Records so far.
    ///
    /// # Examples
    ///
    /// See [`ArchiveReader`](crate::ArchiveReader).
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Ends the archive, flushes the stream and gives it back.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.payload.is_empty() {
            self.end_block(BlockKind::Records)?;
        }
        let mut end = Vec::with_capacity(END_LEN);
        end.put_u64_le(self.records);
        end.put_u64_le(self.blocks);
        end.put_u32_le(self.sum.clone().finalize());
        self.payload = end;
        self.end_block(BlockKind::End)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn end_block(&mut self, kind: BlockKind) -> io::Result<()> {
        let head = block::encode(self.archive, self.blocks, kind, &self.payload);
        for part in [&head[..], &self.payload] {
            self.out.write_all(part)?;
            self.sum.update(part);
        }
        self.blocks += 1;
        self.payload.clear();
        self.payload.shrink_to(2 * TARGET);
        Ok(())
    }
}

impl<W> fmt::Debug for ArchiveWriter<W> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ArchiveWriter")
            .field("records", &self.records)
            .field("blocks", &self.blocks)
            .finish_non_exhaustive()
    }
}
