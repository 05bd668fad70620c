//! Reading an archive, record by record.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use crc32fast::Hasher;

use super::block::{ADDRESS_LEN, BLOCK_HEADER_LEN, BlockHeader, BlockKind, TARGET};
use super::header::{ARCHIVE_HEADER_LEN, ArchiveHeader};
use super::{ArchiveError, WHAT};
use crate::fields::{u32_at, u64_at};
use crate::{Error, Record, RecordHeader, Seed};

/// One record of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived<'a> {
    /// The address that it has or had.
    pub address: u64,
    /// The record.
    pub record: Record<'a>,
}

/// Reads an archive from a stream and checks all of it. See [`ArchiveWriter`](crate::ArchiveWriter) for an example.
///
/// Only when [`ArchiveReader::next_record`] has said that there is no record more is it known that the archive is whole.
///
/// # Examples
///
/// ```
/// use holt_codec::{ArchiveError, ArchiveHeader, ArchiveReader, ArchiveWriter, Archived, DbId, Op, Record};
///
/// let header = ArchiveHeader { db: DbId([7; 16]), after: 0, up_to: 512 };
/// assert!(!header.is_of_changes());
/// let mut writer = ArchiveWriter::new(Vec::new(), header)?;
/// writer.push(4096, &Record::from(Op::Put { tree: 1, key: b"k", value: b"v" }))?;
/// assert_eq!(writer.records(), 1);
/// let mut archive = writer.finish()?;
///
/// let mut reader = ArchiveReader::new(&archive[..])?;
/// assert_eq!(reader.header().up_to, 512);
/// while let Some(Archived { address, record }) = reader.next_record()? {
///     println!("{address}: {record:?}");
/// }
/// assert_eq!((reader.records(), reader.bytes()), (1, archive.len() as u64));
///
/// archive.truncate(archive.len() - 1);
/// let mut reader = ArchiveReader::new(&archive[..])?;
/// let end = loop {
///     match reader.next_record() {
///         Ok(Some(_)) => {}
///         end => break end,
///     }
/// };
/// assert!(matches!(end, Err(ArchiveError::Damaged { .. })), "it is not whole");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ArchiveReader<R> {
    stream: R,
    header: ArchiveHeader,
    archive: u32,
    payload: Vec<u8>,
    /// Where the next record begins in it.
    at: usize,
    blocks: u64,
    records: u64,
    /// Offset in the stream of the block in hand, and of the one behind it.
    offset: u64,
    next_offset: u64,
    /// Of all bytes before the block in hand.
    sum: Hasher,
    /// The end block was read.
    ended: bool,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`], and [`ArchiveError::Damaged`] for what is no header of this version.
    pub fn new(mut stream: R) -> Result<ArchiveReader<R>, ArchiveError> {
        let mut bytes = [0; ARCHIVE_HEADER_LEN];
        let len = fill(&mut stream, &mut bytes)?;
        let header = ArchiveHeader::decode(&bytes[..len])
            .map_err(|error| ArchiveError::Damaged { offset: 0, error })?;
        let mut sum = Hasher::new();
        sum.update(&bytes);
        Ok(ArchiveReader {
            stream,
            header,
            archive: u32_at(&bytes, 12),
            payload: Vec::new(),
            at: 0,
            blocks: 0,
            records: 0,
            offset: 0,
            next_offset: ARCHIVE_HEADER_LEN as u64,
            sum,
            ended: false,
        })
    }

    /// What the archive is of.
    pub fn header(&self) -> ArchiveHeader {
        self.header
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of the stream that were read so far.
    pub fn bytes(&self) -> u64 {
        self.next_offset
    }

    /// The next record; none when the archive has ended, and all of it was whole.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`], and [`ArchiveError::Damaged`] for an archive that is cut short or otherwise not what was
    /// written.
    pub fn next_record(&mut self) -> Result<Option<Archived<'_>>, ArchiveError> {
        while self.at == self.payload.len() {
            if self.ended || !self.next_block()? {
                return Ok(None);
            }
        }
        let offset = self.offset;
        let damaged = |error| ArchiveError::Damaged { offset, error };
        let rest = &self.payload[self.at..];
        let cut_short = Error::Malformed { what: WHAT, why: "a record leaves its block" };
        let Some((address, record)) = rest.split_first_chunk::<ADDRESS_LEN>() else {
            return Err(damaged(cut_short));
        };
        let address = u64::from_le_bytes(*address);
        let head = RecordHeader::parse(address, record).map_err(damaged)?;
        let Some(bytes) = record.get(..head.len()) else { return Err(damaged(cut_short)) };
        let record = Record::decode(Seed::new(0), address, bytes).map_err(damaged)?;
        self.at += ADDRESS_LEN + head.len();
        self.records += 1;
        Ok(Some(Archived { address, record }))
    }

    /// Reads and checks the next block; false for the end block.
    fn next_block(&mut self) -> Result<bool, ArchiveError> {
        self.offset = self.next_offset;
        let offset = self.offset;
        let damaged = |error| ArchiveError::Damaged { offset, error };
        let short = |needed: usize, found: usize| {
            damaged(Error::CutShort { what: WHAT, needed: needed as u64, found: found as u64 })
        };
        let mut head = [0; BLOCK_HEADER_LEN];
        let found = fill(&mut self.stream, &mut head)?;
        if found < BLOCK_HEADER_LEN {
            return Err(short(BLOCK_HEADER_LEN, found));
        }
        let header = BlockHeader::decode(self.archive, self.blocks, &head).map_err(damaged)?;
        let (kind, len) = (header.kind, header.len);
        self.payload.clear();
        self.payload.shrink_to(2 * TARGET);
        self.at = 0;
        // Grows with what there is, whatever the length says.
        (&mut self.stream).take(len as u64).read_to_end(&mut self.payload)?;
        let found = self.payload.len();
        if found < len {
            self.payload.clear();
            return Err(short(len, found));
        }
        if let Err(error) = header.verify(&self.payload) {
            self.payload.clear();
            return Err(damaged(error));
        }
        self.next_offset += (BLOCK_HEADER_LEN + len) as u64;
        if kind == BlockKind::End {
            let end = std::mem::take(&mut self.payload);
            self.check_end(&end).map_err(damaged)?;
            self.ended = true;
            if fill(&mut self.stream, &mut [0])? > 0 {
                let error = Error::Malformed { what: WHAT, why: "bytes follow its end" };
                return Err(ArchiveError::Damaged { offset: self.next_offset, error });
            }
            return Ok(false);
        }
        self.sum.update(&head);
        self.sum.update(&self.payload);
        self.blocks += 1;
        Ok(true)
    }

    fn check_end(&self, end: &[u8]) -> Result<(), Error> {
        let (expected, found) = (u32_at(end, 16), self.sum.clone().finalize());
        if expected != found {
            return Err(Error::Checksum { what: WHAT, expected, found });
        }
        if (u64_at(end, 0), u64_at(end, 8)) != (self.records, self.blocks) {
            return Err(Error::Malformed { what: WHAT, why: "its end counts other records" });
        }
        Ok(())
    }
}

/// Reads until `buf` is full or the stream ends; says how many bytes there were.
fn fill(stream: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match stream.read(&mut buf[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

impl<R> fmt::Debug for ArchiveReader<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ArchiveReader")
            .field("header", &self.header)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}
