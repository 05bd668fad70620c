//! Variable-length integers: seven bits a byte, least significant first, high bit set on all but the last.
//!
//! * Every value has exactly one encoding: a decoder refuses needless trailing zero groups, so equal records
//!   are equal bytes.
//! * At most [`MAX_LEN`] bytes are looked at, whatever the input.

use crate::Error;

/// Bytes that the largest value takes.
pub(crate) const MAX_LEN: usize = 10;

/// Bytes that `value` takes.
#[inline]
pub(crate) const fn len(value: u64) -> usize {
    // 1 | value: zero takes one byte like one does.
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Writes `value` at the start of `out` and returns the bytes it took.
///
/// # Panics
///
/// When `out` is too short; [`MAX_LEN`] bytes are always enough.
#[inline]
pub(crate) fn put(out: &mut [u8], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        out[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Takes one value off the front of `bytes`.
///
/// # Errors
///
/// [`Error::CutShort`] when the bytes end inside it, [`Error::Malformed`] when it is longer than it needs to be
/// or does not fit in 64 bits.
#[inline]
pub(crate) fn take(bytes: &mut &[u8], what: &'static str) -> Result<u64, Error> {
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        *bytes = rest;
        return Ok(u64::from(first));
    }
    take_long(bytes, what)
}

fn take_long(bytes: &mut &[u8], what: &'static str) -> Result<u64, Error> {
    let mut value = 0u64;
    for (at, &byte) in bytes.iter().take(MAX_LEN).enumerate() {
        if at == MAX_LEN - 1 && byte > 1 {
            return Err(Error::Malformed { what, why: "an integer does not fit in 64 bits" });
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            if byte == 0 && at > 0 {
                return Err(Error::Malformed { what, why: "an integer is padded with zeros" });
            }
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    Err(Error::CutShort { what, needed: bytes.len() as u64 + 1, found: bytes.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boundary_value_comes_back_at_its_stated_length() {
        for bits in 0..64 {
            for value in [(1u64 << bits) - 1, 1u64 << bits, (1u64 << bits) + 1, u64::MAX] {
                let mut out = [0xaa; MAX_LEN];
                let used = put(&mut out, value);
                assert_eq!(used, len(value), "length of {value}");
                let mut rest = &out[..used];
                assert_eq!(take(&mut rest, "test").unwrap(), value);
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn a_second_encoding_of_a_value_is_refused() {
        let mut rest: &[u8] = &[0x81, 0x00];
        assert!(matches!(take(&mut rest, "test"), Err(Error::Malformed { .. })));
    }

    #[test]
    fn more_than_sixty_four_bits_are_refused() {
        let mut rest: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(matches!(take(&mut rest, "test"), Err(Error::Malformed { .. })));
    }

    #[test]
    fn an_integer_that_never_ends_is_cut_short_and_leaves_the_input_alone() {
        for held in 0..MAX_LEN {
            let bytes = vec![0x80; held];
            let mut rest = &bytes[..];
            assert!(matches!(take(&mut rest, "test"), Err(Error::CutShort { .. })));
            assert_eq!(rest.len(), held);
        }
    }
}
