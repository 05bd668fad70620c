//! Byte strings that take no memory of their own as long as they are short.
//!
//! What a list asks for is a handful of names. Asking for memory for each of them, and giving it
//! back, would take a good part of the time of a short list.

use std::fmt;
use std::ops::Deref;

/// A byte string; up to `N` bytes are kept in place.
#[derive(Clone)]
pub(crate) enum Short<const N: usize> {
    /// So many bytes.
    Here(u8, [u8; N]),
    /// More than `N` bytes.
    There(Box<[u8]>),
}

impl<const N: usize> Short<N> {
    const CHECKED: () = assert!(N <= u8::MAX as usize, "lengths up to N fit a byte");

    #[inline]
    pub(crate) fn new(from: &[u8]) -> Self {
        let () = Self::CHECKED;
        if from.len() > N {
            return Self::There(from.into());
        }
        let mut bytes = [0; N];
        copy(from, &mut bytes);
        Self::Here(from.len() as u8, bytes)
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Here(length, bytes) => &bytes[..usize::from(*length)],
            Self::There(bytes) => bytes,
        }
    }
}

impl<const N: usize> Short<N> {
    /// The bytes, to be changed.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Self::Here(length, bytes) => &mut bytes[..usize::from(*length)],
            Self::There(bytes) => bytes,
        }
    }
}

/// Copies a few bytes to the beginning of more, without a call of `memcpy`: pieces of sixteen or
/// eight, the last of which may overlap the one before.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    let to = &mut to[..from.len()];
    if let (Some(last), Some(to_last)) = (from.last_chunk::<16>(), to.last_chunk_mut::<16>()) {
        *to_last = *last;
        for (to, from) in to.as_chunks_mut::<16>().0.iter_mut().zip(from.as_chunks::<16>().0) {
            *to = *from;
        }
    } else if let (Some(last), Some(to_last)) = (from.last_chunk::<8>(), to.last_chunk_mut::<8>()) {
        *to_last = *last;
        if let (Some(first), Some(to)) = (from.first_chunk::<8>(), to.first_chunk_mut::<8>()) {
            *to = *first;
        }
    } else {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

impl<const N: usize> Default for Short<N> {
    #[inline]
    fn default() -> Self {
        Self::Here(0, [0; N])
    }
}

impl<const N: usize> Deref for Short<N> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_keeps_its_bytes() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).collect();
            let longer = Short::<60>::new(&bytes);
            assert_eq!((longer.as_slice(), longer.len()), (&bytes[..], bytes.len()));
            let short = Short::<22>::new(&bytes);
            assert_eq!(matches!(short, Short::Here(..)), length <= 22);
            assert_eq!(short.as_slice(), bytes);
            assert_eq!((&*short.clone(), format!("{short:?}")), (&bytes[..], format!("{bytes:?}")));
        }
        assert_eq!(Short::<6>::default().as_slice(), b"");
    }
}
