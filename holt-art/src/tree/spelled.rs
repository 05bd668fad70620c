//! The name that a walk has spelled out so far.

use super::batch::SLACK;
use crate::frame::{View, words_for};

/// Bytes that are made room for at first.
const LEAST: usize = 256;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// At least `length + SLACK` long, as soon as there is anything.
    bytes: Vec<u8>,
    length: usize,
}

impl Path {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The name and what stands behind it, which has no meaning but is there: [`SLACK`] bytes.
    #[inline]
    pub(super) fn spelled(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes room for `more` bytes behind the end.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.bytes.len() < self.length + more + SLACK {
            self.grow(more);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) {
        self.bytes.resize((self.length + more + SLACK).next_power_of_two().max(LEAST), 0);
    }

    /// Spells out `name` and sets the length to `length`, at most that of the name.
    pub(super) fn set(&mut self, name: &[u8], length: usize) {
        self.length = 0;
        self.reserve(name.len());
        self.bytes[..name.len()].copy_from_slice(name);
        self.length = length.min(name.len());
    }

    /// Changes the length; a greater one shows again what was spelled out before.
    #[inline]
    pub(super) fn resize(&mut self, length: usize) {
        debug_assert!(length + SLACK <= self.bytes.len());
        self.length = length;
    }

    /// Cuts the path to `length` and appends a byte.
    #[inline]
    pub(super) fn branch(&mut self, length: usize, byte: u8) {
        self.length = length;
        self.reserve(1);
        self.bytes[length] = byte;
        self.length = length + 1;
    }

    /// Appends `length` bytes packed from word `at`.
    #[inline]
    pub(super) fn append(&mut self, view: View<'_>, at: usize, length: usize) {
        self.reserve(length);
        let start = self.length;
        let rounded = words_for(length) * 8;
        for (n, chunk) in self.bytes[start..start + rounded].chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&view.word(at + n).to_le_bytes());
        }
        self.length = start + length;
    }

    /// Where the delimiter, which is of one byte, is at or behind `from`.
    #[inline]
    pub(super) fn find(&self, from: usize, delimiter: u8) -> Option<usize> {
        // A single byte was written just now, alone: a load of more would wait for it.
        if from + 1 == self.length {
            return (self.bytes[from] == delimiter).then_some(from);
        }
        find_byte(&self.bytes, from, self.length, delimiter)
    }
}

/// Where `byte` is first in `bytes[from..to]`, behind which there are seven bytes more.
#[inline(always)]
pub(super) fn find_byte(bytes: &[u8], from: usize, to: usize, byte: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = from;
    while at < to {
        let word = bytes.get(at..)?.first_chunk::<8>()?;
        let differing = u64::from_le_bytes(*word) ^ u64::from(byte).wrapping_mul(ONES);
        // The lowest mark is exact, and the only one used.
        let zero = differing.wrapping_sub(ONES) & !differing & (ONES << 7);
        if zero != 0 {
            let found = at + (zero.trailing_zeros() / 8) as usize;
            return (found < to).then_some(found);
        }
        at += 8;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_where_it_is_first_and_not_behind_the_end() {
        let mut bytes: Vec<u8> = (0..40).map(|n| [b'.', b'0', 0xFF, 0, 0x80][n % 5]).collect();
        for byte in [b'/', b'.', 0, 0x80, 0xFF] {
            for place in 0..32 {
                let before = std::mem::replace(&mut bytes[place], byte);
                for from in 0..32 {
                    for to in 0..33 {
                        let expected = (from..to).find(|&at| bytes[at] == byte);
                        assert_eq!(find_byte(&bytes, from, to, byte), expected, "{from}..{to}");
                    }
                }
                bytes[place] = before;
            }
        }
    }
}
