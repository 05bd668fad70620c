//! The name of a database: sixteen random bytes that every one of its files carries.

use std::fmt;

/// Identity of one database, drawn at its creation and never shared with another.
///
/// # Examples
///
/// ```
/// let id = holt_codec::DbId([0xab; 16]);
/// assert_eq!(id.to_string(), "abababababababababababababababab");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DbId(pub [u8; 16]);

impl fmt::Display for DbId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for DbId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DbId({self})")
    }
}
