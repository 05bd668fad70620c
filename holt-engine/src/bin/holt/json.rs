//! JSON, one value a line: how bytes are written in it, and the way back.
//!
//! Bytes that are UTF-8 are a string; others are `{"hex": "00ff"}`.

use std::io::Write;

use serde_json::{Value, json};

use crate::failure::Failure;

/// Writes one line.
pub(crate) fn line(out: &mut dyn Write, value: &Value) -> Result<(), Failure> {
    writeln!(out, "{value}")?;
    Ok(())
}

/// Bytes as JSON.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

/// The bytes that [`bytes`] made a value of; none if it is no such value.
pub(crate) fn parse(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(fields) if fields.len() == 1 => {
            let hex = fields.get("hex")?.as_str()?.as_bytes();
            let digit = |byte: &u8| Some(char::from(*byte).to_digit(16)? as u8);
            let (pairs, rest) = hex.as_chunks::<2>();
            let byte = |[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
            if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back() {
        for given in [&b""[..], b"text", "gr\u{fc}n\n\0".as_bytes(), b"\xff", b"\0\x9f\xf0"] {
            let value: Value = bytes(given).to_string().parse().unwrap();
            assert_eq!(parse(&value).as_deref(), Some(given));
        }
        assert_eq!(bytes(b"\x00\xff"), json!({ "hex": "00ff" }));
    }

    #[test]
    fn what_is_no_bytes_is_none() {
        for value in [
            json!(1),
            json!(null),
            json!({}),
            json!({ "hex": "0" }),
            json!({ "hex": "zz" }),
            json!({ "hex": 1 }),
            json!({ "hex": "00", "more": 1 }),
        ] {
            assert_eq!(parse(&value), None, "{value}");
        }
    }
}
