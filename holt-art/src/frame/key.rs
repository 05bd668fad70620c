//! A key as the search sees it: bytes, and eight of them at a time.

/// A borrowed key that can be read eight bytes at a time from any position, with
/// zeros beyond its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    bytes: &'a [u8],
    /// The last eight bytes; those of a shorter key stand at the top.
    last: u64,
}

impl<'a> Key<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let last = match bytes.last_chunk::<8>() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => {
                let mut last = [0; 8];
                last[8 - bytes.len()..].copy_from_slice(bytes);
                u64::from_le_bytes(last)
            }
        };
        Self { bytes, last }
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes from `from` on.
    #[inline]
    pub(crate) fn rest(self, from: usize) -> &'a [u8] {
        &self.bytes[from..]
    }

    /// The byte at `at`, if the key is that long.
    #[inline]
    pub(crate) fn byte(self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The last `count` bytes, at most seven, little endian, with zeros behind them. The key has
    /// as many.
    #[inline]
    pub(crate) fn end(self, count: usize) -> u64 {
        // In two steps, as nothing is left of a word that is shifted by all of its bits.
        self.last >> 1 >> (63 - 8 * count)
    }

    /// The eight bytes from `from`, little endian, zeros beyond the end.
    #[inline]
    pub(crate) fn load(self, from: usize) -> u64 {
        if let Some(chunk) = self.bytes.get(from..).and_then(|rest| rest.first_chunk::<8>()) {
            u64::from_le_bytes(*chunk)
        } else if from < self.bytes.len() {
            self.last >> (8 * (from + 8 - self.bytes.len()))
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_reads_any_position_with_zeros_behind_the_end() {
        let bytes: Vec<u8> = (1..=30).collect();
        for length in 0..=bytes.len() {
            let key = Key::new(&bytes[..length]);
            for from in 0..length + 3 {
                let mut expected = [0; 8];
                for (at, byte) in expected.iter_mut().enumerate() {
                    *byte = key.byte(from + at).unwrap_or(0);
                }
                assert_eq!(key.load(from), u64::from_le_bytes(expected), "{length} {from}");
                if from <= length && length - from < 8 {
                    assert_eq!(key.end(length - from), u64::from_le_bytes(expected));
                }
            }
        }
    }
}
