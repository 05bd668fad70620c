//! A whole record: header and body, to bytes and back.
//!
//! | kind | body |
//! |---|---|
//! | skip | zeros |
//! | clean end | nothing |
//! | create tree, rename tree | tree, name length, name |
//! | drop tree | tree |
//! | batch | see [`Batch`] |
//! | the others | see [`Op`] |
//!
//! * The length is known before anything is encoded, from the lengths of the parts alone.
//! * The checksum comes from the parts where they lie, so the output is written once, front to back, and may be
//!   memory that other threads can see.

use bytes::BufMut;

use super::header::{CRC_LEN, RecordSum};
use super::layout::{Layout, ZEROS, padded};
use super::op::{key_len, padding, string};
use super::{Batch, GRANULE, HEADER_LEN, Kind, MAX_RECORD, Op, RecordHeader, Seed};
use crate::{Error, varint};

const WHAT: &str = "log record";

/// Records up to this size are put together on the stack, so that checksum and copy are one pass each.
///
/// The stage is zeroed for each, so a larger one costs the short records, which are the many.
const STAGE: usize = 192;

/// Bytes of the address that the checksum sees before the record.
const ADDRESS_LEN: usize = 8;

/// Anything that the log holds. Borrows what it was decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// One mutation of keys.
    Op(Op<'a>),
    /// Several that count as one.
    Batch(Batch<'a>),
    /// A tree is created; its id was never used before.
    CreateTree {
        /// Id of the new tree.
        tree: u64,
        /// Its name.
        name: &'a [u8],
    },
    /// A tree goes with all that it holds; its id is never used again.
    DropTree {
        /// Tree id.
        tree: u64,
    },
    /// A tree gets another name.
    RenameTree {
        /// Tree id.
        tree: u64,
        /// Its new name.
        name: &'a [u8],
    },
    /// A range that was reserved and never filled. Means nothing.
    Skip {
        /// Length of the whole record in bytes.
        len: usize,
    },
    /// The log was closed in order; nothing follows in this run of segments.
    CleanEnd,
}

impl<'a> From<Op<'a>> for Record<'a> {
    fn from(op: Op<'a>) -> Self {
        Record::Op(op)
    }
}

impl<'a> From<Batch<'a>> for Record<'a> {
    fn from(batch: Batch<'a>) -> Self {
        Record::Batch(batch)
    }
}

impl<'a> Record<'a> {
    /// What the header will say.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Record::Op(op) => op.kind(),
            Record::Batch(_) => Kind::Batch,
            Record::CreateTree { .. } => Kind::CreateTree,
            Record::DropTree { .. } => Kind::DropTree,
            Record::RenameTree { .. } => Kind::RenameTree,
            Record::Skip { .. } => Kind::Skip,
            Record::CleanEnd => Kind::CleanEnd,
        }
    }

    /// Length of the encoded record in bytes, a multiple of the granule, after a check against every limit.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::ValueTooLong`] or [`Error::RecordTooLong`]; [`Error::Malformed`] for a skip
    /// of no legal length.
    #[inline]
    pub fn encoded_len(&self) -> Result<usize, Error> {
        match self {
            Record::Op(op) => op.validate()?,
            Record::CreateTree { name, .. } | Record::RenameTree { name, .. } => {
                key_len(name.len() as u64)?;
            }
            Record::Skip { len } => {
                if *len < HEADER_LEN || !len.is_multiple_of(GRANULE) {
                    return Err(Error::Malformed { what: WHAT, why: "a skip of no legal length" });
                }
            }
            Record::Batch(_) | Record::DropTree { .. } | Record::CleanEnd => {}
        }
        let len = self.len();
        if len > MAX_RECORD {
            return Err(Error::RecordTooLong { len: len as u64 });
        }
        Ok(len)
    }

    /// Appends the record to `out`: exactly as many bytes as [`Record::encoded_len`] says.
    ///
    /// `address` is where its first byte lies in the log, `synced` the address below which the log is known to be on
    /// stable storage; `seed` is that of the segment in which `address` lies.
    ///
    /// # Panics
    ///
    /// When `out` is too short, or [`Record::encoded_len`] would have been an error: ask it first.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_codec::{Op, Record, Seed};
    /// let (seed, address) = (Seed::new(42), 4096);
    /// let record = Record::from(Op::Delete { tree: 1, key: b"tmp" });
    /// let mut log = Vec::new();
    /// record.encode(seed, address, address, &mut log);
    /// assert_eq!(log.len(), record.encoded_len()?);
    /// assert_eq!(Record::decode(seed, address, &log)?, record);
    /// assert!(Record::decode(seed, address + 8, &log).is_err(), "an address is part of its record");
    /// # Ok::<(), holt_codec::Error>(())
    /// ```
    #[inline]
    pub fn encode(&self, seed: Seed, address: u64, synced: u64, out: &mut impl BufMut) {
        if let Record::Skip { len } = *self {
            return encode_skip(len, seed, address, synced, out);
        }
        let layout = self.layout();
        let len = padded(HEADER_LEN + layout.len());
        assert!(len <= MAX_RECORD, "a record of {len} bytes is over the limit");
        let tail = RecordHeader::tail(self.kind(), len, address, synced);
        if len <= STAGE {
            encode_staged(&layout, len, &tail, seed, address, out);
        } else {
            encode_direct(&layout, len, &tail, seed, address, out);
        }
    }

    /// Decodes the record at the start of `bytes`, which lies at `address`, after checking its checksum.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Malformed`] or [`Error::Checksum`], and the errors of a length over a limit.
    pub fn decode(seed: Seed, address: u64, bytes: &'a [u8]) -> Result<Record<'a>, Error> {
        let header = RecordHeader::parse(address, bytes)?;
        header.check(seed, address, bytes)?;
        Record::decode_verified(&header, bytes)
    }

    /// Decodes a record whose checksum was verified already; `bytes` begin with its header.
    ///
    /// # Errors
    ///
    /// As [`Record::decode`], without [`Error::Checksum`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_codec::{FIRST_ADDRESS, Op, Record, RecordHeader, Seed};
    ///
    /// let (seed, record) = (Seed::new(1), Record::from(Op::Delete { tree: 1, key: b"k" }));
    /// let mut bytes = Vec::new();
    /// record.encode(seed, FIRST_ADDRESS, FIRST_ADDRESS, &mut bytes);
    /// let header = RecordHeader::parse(FIRST_ADDRESS, &bytes)?;
    /// assert!(header.verify(seed, FIRST_ADDRESS, &bytes));
    /// let found = Record::decode_verified(&header, &bytes)?;
    /// assert_eq!((found, found.kind()), (record, header.kind()));
    /// # Ok::<(), holt_codec::Error>(())
    /// ```
    #[inline]
    pub fn decode_verified(header: &RecordHeader, bytes: &'a [u8]) -> Result<Record<'a>, Error> {
        let mut body = bytes.get(HEADER_LEN..header.len()).ok_or(Error::CutShort {
            what: WHAT,
            needed: header.len() as u64,
            found: bytes.len() as u64,
        })?;
        let record = match header.kind() {
            Kind::Skip => {
                if body.iter().any(|&byte| byte != 0) {
                    return Err(Error::Malformed { what: WHAT, why: "a skip is not zero" });
                }
                return Ok(Record::Skip { len: header.len() });
            }
            Kind::CleanEnd => Record::CleanEnd,
            Kind::Batch => return Ok(Record::Batch(Batch::decode(body)?)),
            Kind::CreateTree => {
                let (tree, name) = tree_and_name(&mut body)?;
                Record::CreateTree { tree, name }
            }
            Kind::DropTree => Record::DropTree { tree: varint::take(&mut body, WHAT)? },
            Kind::RenameTree => {
                let (tree, name) = tree_and_name(&mut body)?;
                Record::RenameTree { tree, name }
            }
            kind => Record::Op(Op::take(kind, &mut body)?),
        };
        padding(body)?;
        Ok(record)
    }

    #[inline]
    fn layout(&self) -> Layout<'a> {
        match *self {
            Record::Op(op) => op.layout(),
            Record::Batch(batch) => batch.layout(),
            Record::CreateTree { tree, name } | Record::RenameTree { tree, name } => {
                Layout::new([tree, name.len() as u64], name, &[])
            }
            Record::DropTree { tree } => Layout::new([tree], &[], &[]),
            Record::Skip { .. } | Record::CleanEnd => Layout::new([], &[], &[]),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match *self {
            Record::Skip { len } => len,
            _ => padded(HEADER_LEN + self.layout().len()),
        }
    }
}

fn tree_and_name<'a>(body: &mut &'a [u8]) -> Result<(u64, &'a [u8]), Error> {
    let tree = varint::take(body, WHAT)?;
    let len = key_len(varint::take(body, WHAT)?)?;
    Ok((tree, string(body, len)?))
}

/// Puts a short record together on the stack.
///
/// The stage is laid out as the checksum sees the record: address, rest of the header, body. The checksum then takes
/// the place of the address's last four bytes, and from there on the stage is the record.
#[inline]
fn encode_staged(
    layout: &Layout<'_>,
    len: usize,
    tail: &[u8; HEADER_LEN - CRC_LEN],
    seed: Seed,
    address: u64,
    out: &mut impl BufMut,
) {
    const START: usize = ADDRESS_LEN - CRC_LEN;
    let mut stage = [0; START + STAGE];
    stage[..ADDRESS_LEN].copy_from_slice(&address.to_le_bytes());
    stage[ADDRESS_LEN..START + HEADER_LEN].copy_from_slice(tail);
    let mut at = START + HEADER_LEN;
    at += layout.put_head(&mut stage[at..]);
    for string in layout.strings() {
        copy_short(&mut stage[at..at + string.len()], string);
        at += string.len();
    }
    let end = START + len;
    let mut hasher = seed.hasher();
    // In two parts: the first is there before the strings are copied, and the second is a multiple of the granule, without an odd end
    // that the processor would wait for.
    hasher.update(&stage[..START]);
    hasher.update(&stage[START..end]);
    stage[START..ADDRESS_LEN].copy_from_slice(&hasher.finalize().to_le_bytes());
    out.put_slice(&stage[START..end]);
}

/// Copies a string that is short, as those of most records are, without a call.
#[inline]
fn copy_short(to: &mut [u8], from: &[u8]) {
    const BLOCK: usize = 16;
    for (to, from) in to.as_chunks_mut::<BLOCK>().0.iter_mut().zip(from.as_chunks::<BLOCK>().0) {
        *to = *from;
    }
    // What is left over, with as much before it as makes a block.
    match (to.last_chunk_mut::<BLOCK>(), from.last_chunk::<BLOCK>()) {
        (Some(to), Some(from)) => *to = *from,
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}

/// Writes a long record from where its parts lie, after one pass over them for the checksum.
fn encode_direct(
    layout: &Layout<'_>,
    len: usize,
    tail: &[u8; HEADER_LEN - CRC_LEN],
    seed: Seed,
    address: u64,
    out: &mut impl BufMut,
) {
    let pad = &ZEROS[..len - HEADER_LEN - layout.len()];
    let mut sum = RecordSum::new(seed, address);
    sum.update(tail);
    layout.each_part(|part| sum.update(part));
    sum.update(pad);
    out.put_u32_le(sum.finish());
    out.put_slice(tail);
    layout.each_part(|part| out.put_slice(part));
    out.put_slice(pad);
}

fn encode_skip(len: usize, seed: Seed, address: u64, synced: u64, out: &mut impl BufMut) {
    const ZERO_RUN: [u8; 4096] = [0; 4096];
    assert!(
        (HEADER_LEN..=MAX_RECORD).contains(&len) && len.is_multiple_of(GRANULE),
        "a skip of {len} bytes is no record"
    );
    let tail = RecordHeader::tail(Kind::Skip, len, address, synced);
    let zeros = |mut left: usize| {
        std::iter::from_fn(move || {
            let run = left.min(ZERO_RUN.len());
            left -= run;
            (run > 0).then(|| &ZERO_RUN[..run])
        })
    };
    let mut sum = RecordSum::new(seed, address);
    sum.update(&tail);
    zeros(len - HEADER_LEN).for_each(|run| sum.update(run));
    out.put_u32_le(sum.finish());
    out.put_slice(&tail);
    zeros(len - HEADER_LEN).for_each(|run| out.put_slice(run));
}
