//! What can be wrong with bytes, or with what somebody asks to have encoded.
//!
//! * A value that cannot be encoded and bytes that cannot be decoded are both errors, never panics.
//! * Texts say what was found, what was expected and what to do where there is something to do.

use thiserror::Error as ThisError;

/// Everything that encoding and decoding can fail with.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Bytes end before the structure in them does.
    #[error("{what} is cut short: {needed} bytes needed, {found} found")]
    CutShort {
        /// The structure that was being decoded.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there were.
        found: u64,
    },
    /// Bytes break a rule of the format, although their checksum may be right.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The structure that was being decoded.
        what: &'static str,
        /// The rule that is broken.
        why: &'static str,
    },
    /// A checksum does not match.
    #[error("checksum of {what} is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// The structure that was being decoded.
        what: &'static str,
        /// Checksum stored in the structure.
        expected: u32,
        /// Checksum of the bytes that are there.
        found: u32,
    },
    /// The first bytes are not those of this structure: another program's file, or a hole.
    #[error("not {what}: it does not begin with the expected magic bytes")]
    Magic {
        /// The structure that was being decoded.
        what: &'static str,
    },
    /// A format version that this build does not know.
    #[error("{what} has format version {found}, this build reads version {supported}")]
    Version {
        /// The structure that was being decoded.
        what: &'static str,
        /// Version found.
        found: u32,
        /// Version that this build reads.
        supported: u32,
    },

    // --- images and manifests ---
    /// The bytes are valid, but not what was looked for: stale, or in the wrong place.
    #[error("{what} is {found}, expected {expected}: these bytes are stale or belong elsewhere")]
    Misplaced {
        /// What differs.
        what: &'static str,
        /// Value that was looked for.
        expected: u64,
        /// Value that is there.
        found: u64,
    },
    /// More than the format holds.
    #[error("{what} of {size} is larger than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Size asked for, in the same unit as `limit`.
        size: u64,
        /// Largest size that the format holds.
        limit: u64,
    },
}
