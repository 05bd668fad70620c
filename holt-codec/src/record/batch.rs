//! Several operations that count as one.
//!
//! | offset in the body | bytes | field |
//! |---|---|---|
//! | 0 | 8 | number of operations, at least 1 |
//! | 8 | … | the operations |
//!
//! An operation is one byte of kind and then what a record of that kind has for a body, padded with zeros to the
//! granule.
//!
//! * A batch in memory is the bytes that go to the log, so a builder is the only copy of it.
//! * Each operation takes at least one granule, so *record address + index* never leaves the record.

use bytes::BufMut;

use super::layout::{Layout, ZEROS, padded};
use super::op::{Op, padding};
use super::{GRANULE, HEADER_LEN, Kind, MAX_RECORD};
use crate::Error;

const WHAT: &str = "batch";

/// Bytes of the count before the operations.
const COUNT_LEN: usize = 8;

/// Bytes that the operations of a batch may take.
const MAX_OPS: usize = MAX_RECORD - HEADER_LEN - COUNT_LEN;

/// A batch being put together.
///
/// # Examples
///
/// ```
/// use holt_codec::{BatchBuf, Op};
/// let mut batch = BatchBuf::new();
/// batch.push(&Op::Delete { tree: 1, key: b"old" })?;
/// batch.push(&Op::Put { tree: 1, key: b"new", value: b"!" })?;
/// let ops: Vec<_> = batch.as_batch()?.ops().collect::<Result<_, _>>()?;
/// assert_eq!(ops[0], Op::Delete { tree: 1, key: b"old" });
/// # Ok::<(), holt_codec::Error>(())
/// ```
///
/// ```
/// use holt_codec::{Batch, BatchBuf, BatchOps, Op};
///
/// let mut buffer = BatchBuf::new();
/// buffer.push(&Op::Put { tree: 1, key: b"a", value: b"1" })?;
/// buffer.push(&Op::Delete { tree: 1, key: b"b" })?;
/// assert_eq!(buffer.len(), 2);
/// let batch: Batch = buffer.as_batch()?;
/// let ops: BatchOps = batch.ops();
/// assert_eq!(ops.collect::<Result<Vec<_>, _>>()?.len(), 2);
/// buffer.clear();
/// assert!(buffer.is_empty() && buffer.as_batch().is_err());
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchBuf {
    count: u64,
    ops: Vec<u8>,
}

impl BatchBuf {
    /// An empty batch.
    #[must_use]
    pub fn new() -> BatchBuf {
        BatchBuf::default()
    }

    /// Adds an operation behind the others.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`] or [`Error::ValueTooLong`] for the operation, [`Error::RecordTooLong`] when the batch
    /// would exceed [`MAX_RECORD`]. The batch is as it was then.
    pub fn push(&mut self, op: &Op<'_>) -> Result<(), Error> {
        op.validate()?;
        let layout = op.layout();
        let len = padded(1 + layout.len());
        let total = self.ops.len() + len;
        if total > MAX_OPS {
            return Err(Error::RecordTooLong { len: (total + COUNT_LEN + HEADER_LEN) as u64 });
        }
        self.ops.reserve(len);
        self.ops.put_u8(op.kind() as u8);
        layout.each_part(|part| self.ops.put_slice(part));
        self.ops.put_slice(&ZEROS[..len - 1 - layout.len()]);
        self.count += 1;
        Ok(())
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is no operation in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes every operation out and keeps the memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.ops.clear();
    }

    /// The batch, to be logged or looked at.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyBatch`].
    pub fn as_batch(&self) -> Result<Batch<'_>, Error> {
        if self.is_empty() {
            return Err(Error::EmptyBatch);
        }
        Ok(Batch { count: self.count, ops: &self.ops })
    }
}

/// A batch of at least one operation, as the log holds it.
///
/// # Examples
///
/// ```
/// use holt_codec::{BatchBuf, Op};
///
/// let mut buffer = BatchBuf::new();
/// buffer.push(&Op::Delete { tree: 1, key: b"b" })?;
/// let batch = buffer.as_batch()?;
/// assert_eq!(batch.len(), 1);
/// assert_eq!(batch.ops().next(), Some(Ok(Op::Delete { tree: 1, key: b"b" })));
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    count: u64,
    ops: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Number of operations, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// The operations in order. Each is an error when the bytes are not what the format says.
    #[must_use]
    pub fn ops(&self) -> BatchOps<'a> {
        BatchOps { left: self.count, rest: self.ops }
    }

    pub(super) fn layout(&self) -> Layout<'a> {
        Layout::fixed(self.count, self.ops)
    }

    /// Takes a batch apart and checks every operation, so that half a batch is never applied.
    pub(super) fn decode(body: &'a [u8]) -> Result<Batch<'a>, Error> {
        let Some((count, ops)) = body.split_first_chunk::<COUNT_LEN>() else {
            return Err(Error::CutShort {
                what: WHAT,
                needed: COUNT_LEN as u64,
                found: body.len() as u64,
            });
        };
        let count = u64::from_le_bytes(*count);
        if count == 0 {
            return Err(Error::EmptyBatch);
        }
        // Cheap, and it bounds the walk below by the bytes that are really there.
        if count > (ops.len() / GRANULE) as u64 {
            return Err(Error::Malformed { what: WHAT, why: "it is too short for its count" });
        }
        let batch = Batch { count, ops };
        let mut walk = batch.ops();
        for op in walk.by_ref() {
            op?;
        }
        if !walk.rest.is_empty() {
            return Err(Error::Malformed { what: WHAT, why: "bytes follow the last operation" });
        }
        Ok(batch)
    }
}

/// The operations of a [`Batch`], in order.
#[derive(Debug, Clone)]
pub struct BatchOps<'a> {
    left: u64,
    rest: &'a [u8],
}

impl<'a> BatchOps<'a> {
    fn take(&mut self) -> Result<Op<'a>, Error> {
        let whole = self.rest;
        let Some((&kind, mut body)) = whole.split_first() else {
            return Err(Error::CutShort { what: WHAT, needed: GRANULE as u64, found: 0 });
        };
        let kind = Kind::from_byte(kind)
            .ok_or(Error::Malformed { what: WHAT, why: "an operation's kind is unknown" })?;
        let op = Op::take(kind, &mut body)?;
        let used = whole.len() - body.len();
        let (pad, rest) = body.split_at_checked(padded(used) - used).ok_or(Error::CutShort {
            what: WHAT,
            needed: padded(used) as u64,
            found: whole.len() as u64,
        })?;
        padding(pad)?;
        self.rest = rest;
        Ok(op)
    }
}

impl<'a> Iterator for BatchOps<'a> {
    type Item = Result<Op<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let op = self.take();
        // After an error there is nothing that the next bytes could mean.
        self.left = if op.is_ok() { self.left - 1 } else { 0 };
        Some(op)
    }
}
