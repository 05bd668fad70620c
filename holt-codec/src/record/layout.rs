//! A body before it is bytes: a few integers, then up to two byte strings that stay where they are.
//!
//! Everything that the log holds has this shape, so there is one way to measure a body and one to write it.

use super::GRANULE;
use crate::varint;

/// Integers that a body begins with, at most.
const MAX_INTEGERS: usize = 4;

/// Zeros to pad with.
pub(super) const ZEROS: [u8; GRANULE] = [0; GRANULE];

/// Bytes that the integers of a body take, at most.
pub(super) const MAX_HEAD: usize = MAX_INTEGERS * varint::MAX_LEN;

/// A body in parts.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    /// The integers, of which the first `count` are the body's.
    integers: [u64; MAX_INTEGERS],
    count: usize,
    /// The one integer is 64 bits in the body, not as short as it can be.
    fixed: bool,
    /// Bytes that the integers take.
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
        let mut all = [0; MAX_INTEGERS];
        all[..N].copy_from_slice(&integers);
        let head_len = integers.iter().map(|&integer| varint::len(integer)).sum();
        Layout { integers: all, count: N, fixed: false, head_len, strings: [first, second] }
    }

    /// A body that begins with one fixed 64-bit integer and goes on with one string.
    pub(super) fn fixed(integer: u64, string: &'a [u8]) -> Self {
        let mut layout = Layout::new([integer], string, &[]);
        (layout.fixed, layout.head_len) = (true, size_of::<u64>());
        layout
    }

    /// Bytes without padding.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.head_len + self.strings[0].len() + self.strings[1].len()
    }

    /// Writes the integers to the front of `out`, where there is room for [`MAX_HEAD`] bytes, and returns how many they take.
    #[inline]
    pub(super) fn put_head(&self, out: &mut [u8]) -> usize {
        if self.fixed {
            out[..8].copy_from_slice(&self.integers[0].to_le_bytes());
            return 8;
        }
        let mut at = 0;
        for &integer in &self.integers[..self.count] {
            at += varint::put(&mut out[at..], integer);
        }
        at
    }

    /// The strings, in order, which stand behind the integers.
    #[inline]
    pub(super) fn strings(&self) -> [&'a [u8]; 2] {
        self.strings
    }

    /// Hands the parts to `take` in order, without padding.
    pub(super) fn each_part(&self, mut take: impl FnMut(&[u8])) {
        let mut head = [0; MAX_HEAD];
        let len = self.put_head(&mut head);
        take(&head[..len]);
        self.strings.into_iter().for_each(take);
    }
}

/// `len` rounded up to the granule.
#[inline]
pub(super) const fn padded(len: usize) -> usize {
    len.next_multiple_of(GRANULE)
}
