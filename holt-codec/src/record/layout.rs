//! A body before it is bytes: a few integers, then up to two byte strings that stay where they are.
//!
//! Everything that the log holds has this shape, so there is one way to measure a body and one to write it.

use bytes::BufMut;

use super::GRANULE;
use crate::varint;

/// Integers that a body begins with, at most.
const MAX_INTEGERS: usize = 4;

/// Zeros to pad with.
pub(super) const ZEROS: [u8; GRANULE] = [0; GRANULE];

/// A body in parts.
pub(super) struct Layout<'a> {
    head: [u8; MAX_INTEGERS * varint::MAX_LEN],
    head_len: usize,
    strings: [&'a [u8]; 2],
}

impl<'a> Layout<'a> {
    /// A body of these integers, at most [`MAX_INTEGERS`], and these strings.
    #[inline]
    pub(super) fn new<const N: usize>(
        integers: [u64; N],
        first: &'a [u8],
        second: &'a [u8],
    ) -> Self {
        const { assert!(N <= MAX_INTEGERS) };
        let mut head = [0; MAX_INTEGERS * varint::MAX_LEN];
        let mut head_len = 0;
        for integer in integers {
            head_len += varint::put(&mut head[head_len..], integer);
        }
        Layout { head, head_len, strings: [first, second] }
    }

    /// A body that begins with one fixed 64-bit integer and goes on with one string.
    pub(super) fn fixed(integer: u64, string: &'a [u8]) -> Self {
        let mut head = [0; MAX_INTEGERS * varint::MAX_LEN];
        head[..8].copy_from_slice(&integer.to_le_bytes());
        Layout { head, head_len: 8, strings: [string, &[]] }
    }

    /// Bytes without padding.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.head_len + self.strings[0].len() + self.strings[1].len()
    }

    /// The parts in order.
    #[inline]
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [&self.head[..self.head_len], self.strings[0], self.strings[1]]
    }

    /// Writes the parts, without padding.
    #[inline]
    pub(super) fn write(&self, out: &mut impl BufMut) {
        for part in self.parts() {
            out.put_slice(part);
        }
    }
}

/// `len` rounded up to the granule.
#[inline]
pub(super) const fn padded(len: usize) -> usize {
    len.next_multiple_of(GRANULE)
}
