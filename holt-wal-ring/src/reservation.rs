//! The reservation: a range of addresses with its bytes, the writer over them, and the end of it.
//!
//! One of the three files with `unsafe` code: it turns the range into a `&mut [u8]`.

use std::mem;

use bytes::BufMut;
use bytes::buf::UninitSlice;

use crate::mark::Kind;
use crate::ring::Ring;
use crate::sync::Claim;

/// A reserved range of the log, to be filled in place and published.
///
/// It is written front to back through [`BufMut`]; where the range wraps around the physical end of the ring, the writer does.
/// What is not written when it is [published](Reservation::publish) is zero, so old bytes of the ring can never pass for new ones.
///
/// Dropping a reservation, also in a panic, publishes its range as a *skip*: the consumer is told its length and no bytes, and
/// the records behind it are not held up. (A reservation that is forgotten, as with [`mem::forget`], holds them up for ever.)
///
/// # Examples
///
/// ```
/// use bytes::BufMut;
/// use holt_wal_ring::Ring;
///
/// let (ring, _consumer) = Ring::new(64, 0)?;
/// let mut record = ring.acquire(11)?.reserve();
/// assert_eq!((record.address(), record.len()), (0, 16));
/// record.put_u32_le(7);
/// record.put_slice(b"payload");
/// record.publish();
/// assert_eq!(ring.committed(), 16);
/// # Ok::<(), holt_wal_ring::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a reservation that is dropped becomes a skip"]
pub struct Reservation<'a> {
    ring: &'a Ring,
    /// Where the range begins, a multiple of the granule.
    address: u64,
    /// Bytes of the range, a multiple of the granule, not 0.
    len: usize,
    /// Bytes written so far, at most `len`.
    written: usize,
    /// For the model checker: the bytes are ours.
    claim: Claim,
}

impl<'a> Reservation<'a> {
    /// The range of `len` bytes at `address`, which the caller has just taken off the tail.
    #[inline]
    pub(crate) fn new(ring: &'a Ring, address: u64, len: usize) -> Reservation<'a> {
        let claim = ring.storage.claim_write(address, len);
        Reservation { ring, address, len, written: 0, claim }
    }

    /// Address of the range's first byte.
    #[inline]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Address behind the range's last byte.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BufMut;
    ///
    /// let (ring, _consumer) = holt_wal_ring::Ring::new(64, 0)?;
    /// let mut record = ring.acquire(12)?.reserve();
    /// record.put_slice(b"bytes");
    /// assert_eq!((record.address(), record.written(), record.end()), (0, 5, 16));
    /// record.publish();
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    #[inline]
    pub fn end(&self) -> u64 {
        self.address + self.len as u64
    }

    /// Bytes of the range: the length asked for, rounded up to the granule.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a reservation is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes written so far.
    #[inline]
    pub fn written(&self) -> usize {
        self.written
    }

    /// Publishes the record: zeroes what was not written and stores one mark.
    ///
    /// Takes no lock and allocates nothing, unless somebody waits for this very publication.
    #[inline]
    pub fn publish(mut self) {
        while self.written < self.len {
            let rest = self.straight();
            rest.fill(0);
            self.written += rest.len();
        }
        self.finish(Kind::Record);
        // Finished; the drop would publish a second time.
        mem::forget(self);
    }

    #[inline]
    fn finish(&mut self, kind: Kind) {
        self.claim.release();
        self.ring.publish(self.address, self.len, kind);
    }

    /// The unwritten bytes up to the end of the range or of the ring, whichever comes first.
    #[inline]
    fn straight(&mut self) -> &mut [u8] {
        let at = self.address + self.written as u64;
        let piece = self.ring.storage.piece(at, self.len - self.written);
        // SAFETY: the pointer is valid for its length, aligned (bytes) and initialised, as `piece` promises, for as long
        // as the ring, which `self` borrows. Nobody else touches these bytes meanwhile: the range is ours from `reserve` to
        // `finish`, which ends `self`; other reservations have disjoint places, and the consumer's reads of the lap before are
        // ordered before us by E3 and E4 (`crate::ring`). And this reservation lends the bytes once at a time, for it is
        // borrowed mutably as long as the slice lives.
        unsafe { &mut *piece }
    }
}

// SAFETY: `remaining_mut` falls by exactly what `advance_mut` and the overridden `put_slice` add to `written`; `chunk_mut` is empty
// only when nothing remains, since a straight piece of a non-empty range is non-empty; successive chunks are the successive
// bytes of the range.
unsafe impl BufMut for Reservation<'_> {
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.len - self.written
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= self.remaining_mut(), "advanced beyond the reservation");
        self.written += count;
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::new(self.straight())
    }

    #[inline]
    fn put_slice(&mut self, mut source: &[u8]) {
        let (len, room) = (source.len(), self.remaining_mut());
        assert!(len <= room, "{len} bytes do not fit the {room} left of the reservation");
        while !source.is_empty() {
            let piece = self.straight();
            let (now, later) = source.split_at(piece.len().min(source.len()));
            piece[..now.len()].copy_from_slice(now);
            self.written += now.len();
            source = later;
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.finish(Kind::Skip);
    }
}
