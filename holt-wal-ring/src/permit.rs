//! The permit: a right to so many bytes of the ring, not yet to certain ones.

use std::mem;

use crate::reservation::Reservation;
use crate::ring::Ring;
use crate::sync::Ordering;

/// Space that is granted and not yet reserved.
///
/// Getting one is the only step of an append that may park or fail; everything after it is infallible. Dropping it
/// returns the space. (Forgetting it, as with [`mem::forget`], loses the space until the ring is reset; nothing worse.)
///
/// # Examples
///
/// ```
/// use holt_wal_ring::{Permit, Ring};
///
/// let (ring, _consumer) = Ring::new(64, 0)?;
/// let permit: Permit = ring.acquire(12)?;
/// assert_eq!(permit.len(), 16);
/// // Nothing is sure yet: what is to be recorded may still be refused, and the permit dropped.
/// let record = permit.reserve();
/// assert_eq!(record.address(), 0);
/// record.publish();
/// # Ok::<(), holt_wal_ring::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a permit that is dropped returns its space"]
pub struct Permit<'a> {
    ring: &'a Ring,
    /// Bytes granted, a multiple of the granule, not 0.
    len: usize,
}

impl<'a> Permit<'a> {
    /// The permit for `len` bytes that the caller was just granted.
    #[inline]
    pub(crate) fn new(ring: &'a Ring, len: usize) -> Permit<'a> {
        Permit { ring, len }
    }

    /// Bytes granted: the length asked for, rounded up to the granule.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a permit is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Fixes the address: one `fetch_add`, which cannot fail, block or allocate.
    ///
    /// Addresses follow the order of these calls, whatever the order of the permits was.
    #[inline]
    pub fn reserve(self) -> Reservation<'a> {
        let Permit { ring, len } = self;
        // The permit is used up; its drop would return it.
        mem::forget(self);
        // E4: releases the granter's view of `drained` to later reservations, acquires that of earlier ones.
        let address = ring.tail.fetch_add(len as u64, Ordering::AcqRel);
        Reservation::new(ring, address, len)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.ring.return_permit(self.len);
    }
}
