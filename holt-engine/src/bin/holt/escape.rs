//! Keys as text: a lossless, printable form of any byte string, and the way back.
//!
//! - What is printable Unicode stands as it is.
//! - A backslash is written `\\`; tab, newline and carriage return are `\t`, `\n` and `\r`.
//! - Every other control character, and every byte that is no part of valid UTF-8, is written as
//!   `\xHH`, one byte at a time.
//! - Reading is the exact inverse, and accepts `\xHH` for any byte.

use std::fmt::{self, Write as _};

/// Displays bytes in their escaped form.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => out.write_str("\\\\")?,
                    '\t' => out.write_str("\\t")?,
                    '\n' => out.write_str("\\n")?,
                    '\r' => out.write_str("\\r")?,
                    other if other.is_control() => {
                        let mut bytes = [0; 4];
                        hexadecimal(out, other.encode_utf8(&mut bytes).as_bytes())?;
                    }
                    other => out.write_char(other)?,
                }
            }
            hexadecimal(out, chunk.invalid())?;
        }
        Ok(())
    }
}

fn hexadecimal(out: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "\\x{byte:02X}"))
}

/// Why a text is not an escaped key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "bad escape at byte {at}: after a backslash there must be \\, t, n, r, or x and two hexadecimal digits"
)]
pub(crate) struct BadEscape {
    /// Offset of the backslash that begins no escape.
    at: usize,
}

/// Turns the escaped form back into the bytes it stands for.
pub(crate) fn unescape(text: &[u8]) -> Result<Vec<u8>, BadEscape> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let at = text.len() - rest.len() - 1;
        let (byte, used) = match rest {
            [b'\\', ..] => (b'\\', 1),
            [b't', ..] => (b'\t', 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b'x', high, low, ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => return Err(BadEscape { at }),
            },
            _ => return Err(BadEscape { at }),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    Ok(bytes)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn printable_text_stands_as_it_is_and_the_rest_is_escaped() {
        for (bytes, text) in [
            (&b"usr/bin/ls"[..], "usr/bin/ls"),
            ("p\u{e4}th/\u{65e5}".as_bytes(), "p\u{e4}th/\u{65e5}"),
            (b"", ""),
            (b"a\\b", "a\\\\b"),
            (b"tab\there\r\n", "tab\\there\\r\\n"),
            (b"\0\x1b[0m\x7f", "\\x00\\x1B[0m\\x7F"),
            (b"\xff\xfe", "\\xFF\\xFE"),
            (b"cut \xe6\x97", "cut \\xE6\\x97"),
            ("\u{85}".as_bytes(), "\\xC2\\x85"),
        ] {
            assert_eq!(Escaped(bytes).to_string(), text);
            assert_eq!(unescape(text.as_bytes()).as_deref(), Ok(bytes));
        }
    }

    #[test]
    fn a_broken_escape_is_named_by_its_place() {
        for (text, at) in [("\\", 0), ("ab\\", 2), ("a\\q", 1), ("\\x1", 0), ("\\xg0", 0)] {
            assert_eq!(unescape(text.as_bytes()), Err(BadEscape { at }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_string_survives_the_round_trip(bytes: Vec<u8>) {
            let text = Escaped(&bytes).to_string();
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unescape(text.as_bytes()), Ok(bytes));
        }
    }
}
