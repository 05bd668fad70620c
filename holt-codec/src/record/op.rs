//! One mutation of keys: what a record says when it is not a batch, and what a batch is made of.
//!
//! | kind | body |
//! |---|---|
//! | put | tree, key length, value length, key, value |
//! | delete | tree, key length, key |
//! | rename | tree, length of *from*, length of *to*, from, to |
//! | rename prefix | tree, 1 when keys at the destination go first or else 0, length of *from*, length of *to*, from, to |
//! | delete prefix | tree, prefix length, prefix |
//!
//! All integers are varints. Zero bytes pad to the granule.

use super::layout::Layout;
use super::{GRANULE, Kind, MAX_KEY, MAX_VALUE};
use crate::{Error, varint};

const WHAT: &str = "operation";

/// One mutation of the keys of one tree. Borrows its keys and values.
///
/// # Examples
///
/// ```
/// use holt_codec::{Op, Record};
/// let record = Record::from(Op::Put { tree: 7, key: b"etc/hosts", value: b"127.0.0.1" });
/// assert_eq!(record.encoded_len()?, 40);
/// # Ok::<(), holt_codec::Error>(())
/// ```
///
/// ```
/// use holt_codec::{Kind, MAX_KEY, Op};
///
/// let op = Op::Put { tree: 7, key: b"key", value: b"value" };
/// assert_eq!((op.tree(), op.kind()), (7, Kind::Put));
/// op.validate()?;
/// assert!(Op::Delete { tree: 7, key: &[0; MAX_KEY + 1] }.validate().is_err());
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op<'a> {
    /// `key` has `value` from now on.
    Put {
        /// Tree id.
        tree: u64,
        /// The key.
        key: &'a [u8],
        /// The whole new value.
        value: &'a [u8],
    },
    /// `key` is gone.
    Delete {
        /// Tree id.
        tree: u64,
        /// The key.
        key: &'a [u8],
    },
    /// The value of `from` is that of `to` from now on, whatever `to` had, and `from` is gone.
    Rename {
        /// Tree id.
        tree: u64,
        /// The key that goes.
        from: &'a [u8],
        /// The key that gets its value.
        to: &'a [u8],
    },
    /// Every key that begins with `from` begins with `to` instead.
    RenamePrefix {
        /// Tree id.
        tree: u64,
        /// Prefix that goes.
        from: &'a [u8],
        /// Prefix that takes its place.
        to: &'a [u8],
        /// Whether keys that began with `to` before are gone.
        replace: bool,
    },
    /// Every key that begins with `prefix` is gone.
    DeletePrefix {
        /// Tree id.
        tree: u64,
        /// The prefix; empty for the whole tree.
        prefix: &'a [u8],
    },
}

impl<'a> Op<'a> {
    /// Which kind of record holds this operation alone.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Op::Put { .. } => Kind::Put,
            Op::Delete { .. } => Kind::Delete,
            Op::Rename { .. } => Kind::Rename,
            Op::RenamePrefix { .. } => Kind::RenamePrefix,
            Op::DeletePrefix { .. } => Kind::DeletePrefix,
        }
    }

    /// The tree whose keys it changes.
    #[must_use]
    pub const fn tree(&self) -> u64 {
        match *self {
            Op::Put { tree, .. }
            | Op::Delete { tree, .. }
            | Op::Rename { tree, .. }
            | Op::RenamePrefix { tree, .. }
            | Op::DeletePrefix { tree, .. } => tree,
        }
    }

    /// Checks the lengths against the limits.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`] or [`Error::ValueTooLong`].
    #[inline]
    pub fn validate(&self) -> Result<(), Error> {
        match *self {
            Op::Put { key, value, .. } => {
                key_len(key.len() as u64)?;
                value_len(value.len() as u64)?;
            }
            Op::Delete { key, .. } => drop(key_len(key.len() as u64)?),
            Op::Rename { from, to, .. } | Op::RenamePrefix { from, to, .. } => {
                key_len(from.len() as u64)?;
                key_len(to.len() as u64)?;
            }
            Op::DeletePrefix { prefix, .. } => drop(key_len(prefix.len() as u64)?),
        }
        Ok(())
    }

    #[inline]
    pub(super) fn layout(&self) -> Layout<'a> {
        match *self {
            Op::Put { tree, key, value } => {
                Layout::new([tree, key.len() as u64, value.len() as u64], key, value)
            }
            Op::Delete { tree, key } => Layout::new([tree, key.len() as u64], key, &[]),
            Op::Rename { tree, from, to } => {
                Layout::new([tree, from.len() as u64, to.len() as u64], from, to)
            }
            Op::RenamePrefix { tree, from, to, replace } => Layout::new(
                [tree, u64::from(replace), from.len() as u64, to.len() as u64],
                from,
                to,
            ),
            Op::DeletePrefix { tree, prefix } => {
                Layout::new([tree, prefix.len() as u64], prefix, &[])
            }
        }
    }

    /// Takes an operation of this kind off the front of `body`, leaving what follows it.
    #[inline]
    pub(super) fn take(kind: Kind, body: &mut &'a [u8]) -> Result<Op<'a>, Error> {
        let tree = varint::take(body, WHAT)?;
        Ok(match kind {
            Kind::Put => {
                let key = key_len(varint::take(body, WHAT)?)?;
                let value = value_len(varint::take(body, WHAT)?)?;
                Op::Put { tree, key: string(body, key)?, value: string(body, value)? }
            }
            Kind::Delete => {
                let key = key_len(varint::take(body, WHAT)?)?;
                Op::Delete { tree, key: string(body, key)? }
            }
            Kind::Rename => {
                let from = key_len(varint::take(body, WHAT)?)?;
                let to = key_len(varint::take(body, WHAT)?)?;
                Op::Rename { tree, from: string(body, from)?, to: string(body, to)? }
            }
            Kind::RenamePrefix => {
                let replace = match varint::take(body, WHAT)? {
                    0 => false,
                    1 => true,
                    _ => return Err(malformed("the replace flag is neither 0 nor 1")),
                };
                let from = key_len(varint::take(body, WHAT)?)?;
                let to = key_len(varint::take(body, WHAT)?)?;
                Op::RenamePrefix { tree, from: string(body, from)?, to: string(body, to)?, replace }
            }
            Kind::DeletePrefix => {
                let prefix = key_len(varint::take(body, WHAT)?)?;
                Op::DeletePrefix { tree, prefix: string(body, prefix)? }
            }
            _ => return Err(malformed("the kind is not that of an operation")),
        })
    }
}

/// A key's length, if it is within the limit.
#[inline]
pub(super) fn key_len(len: u64) -> Result<usize, Error> {
    if len <= MAX_KEY as u64 { Ok(len as usize) } else { Err(Error::KeyTooLong { len }) }
}

#[inline]
fn value_len(len: u64) -> Result<usize, Error> {
    if len <= MAX_VALUE as u64 { Ok(len as usize) } else { Err(Error::ValueTooLong { len }) }
}

/// Takes a string of `len` bytes off the front of `body`.
#[inline]
pub(super) fn string<'a>(body: &mut &'a [u8], len: usize) -> Result<&'a [u8], Error> {
    let Some((string, rest)) = body.split_at_checked(len) else {
        return Err(Error::CutShort { what: WHAT, needed: len as u64, found: body.len() as u64 });
    };
    *body = rest;
    Ok(string)
}

/// Checks that what is left of a body is its padding.
#[inline]
pub(super) fn padding(rest: &[u8]) -> Result<(), Error> {
    if rest.len() >= GRANULE {
        return Err(malformed("bytes follow the last field"));
    }
    if rest.iter().any(|&byte| byte != 0) {
        return Err(malformed("the padding is not zero"));
    }
    Ok(())
}

#[cold]
fn malformed(why: &'static str) -> Error {
    Error::Malformed { what: WHAT, why }
}
