//! Fixed fields at fixed offsets of a fixed array: what the small headers are made of.
//!
//! Offsets and widths are constants, so a field that leaves its array does not compile into
//! anything but a failing test.

/// Puts a field's bytes at an offset.
pub(crate) fn put<const N: usize>(to: &mut [u8], at: usize, bytes: [u8; N]) {
    to[at..at + N].copy_from_slice(&bytes);
}

/// The `N` bytes at an offset; the caller has checked that they are there.
pub(crate) fn take<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&from[at..at + N]);
    bytes
}

/// The little-endian `u32` at an offset.
pub(crate) fn u32_at(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(from, at))
}

/// The little-endian `u64` at an offset.
pub(crate) fn u64_at(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(from, at))
}
