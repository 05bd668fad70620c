//! The consumer: the one handle that takes published bytes out of the ring.
//!
//! One of the three files with `unsafe` code: it turns the published prefix into `&[u8]`.

use std::time::Duration;

use crate::error::Error;
use crate::mark::{GRANULE, Kind};
use crate::ring::{Ring, aligned};
use crate::sync::{Arc, Ordering};

/// A piece of the drained stream. Pieces follow each other without a gap, in the order of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drained<'a> {
    /// Published records, as many as lie straight.
    Bytes {
        /// Address of the first byte.
        address: u64,
        /// The bytes; a multiple of the granule, never none.
        bytes: &'a [u8],
    },
    /// A range that was reserved and given up. Its place in the log has to be filled by whoever writes the log.
    Skip {
        /// Address of the range.
        address: u64,
        /// Bytes of the range; a multiple of the granule, never 0.
        len: usize,
    },
}

/// Takes the records out, in order. There is one for each ring.
///
/// Dropping it closes the ring, for nobody could make space any more.
#[derive(Debug)]
pub struct Consumer {
    ring: Arc<Ring>,
    /// What is drained: the same as in the ring, where only this consumer writes it.
    drained: u64,
    /// Skips handed to a sink so far.
    skips: u64,
    /// Calls of `Ring::wake` that were answered.
    wakes: u64,
}

impl Consumer {
    /// The consumer of a new ring; the caller makes one.
    pub(crate) fn new(ring: Arc<Ring>, start: u64) -> Consumer {
        Consumer { ring, drained: start, skips: 0, wakes: 0 }
    }

    /// The shared part.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Address below which everything was drained.
    ///
    /// # Examples
    ///
    /// ```
    /// let (ring, mut consumer) = holt_wal_ring::Ring::new(64, 0)?;
    /// ring.acquire(8)?.reserve().publish();
    /// assert_eq!(consumer.drained(), 0);
    /// consumer.drain(|_piece| Ok::<(), std::convert::Infallible>(())).unwrap();
    /// assert_eq!(consumer.drained(), 8);
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn drained(&self) -> u64 {
        self.drained
    }

    /// The ring is closed, everything in it was drained, and no permit or reservation is left: nothing more will come.
    pub fn is_finished(&self) -> bool {
        let granted = self.ring.space.granted();
        granted.is_closed() && granted.end() == self.drained
    }

    /// Hands the published prefix, as it stands at the call, to `sink`, frees it, and returns its length in bytes.
    ///
    /// The pieces come in address order; neither where the ring wraps nor where a piece ends says anything about records.
    /// Producers go on meanwhile, only not in these bytes.
    ///
    /// # Errors
    ///
    /// The sink's, and then *nothing* was drained: the next call begins again at the same address, with at least the same
    /// bytes. The same holds when the sink panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BufMut;
    /// use holt_wal_ring::{Drained, Ring};
    ///
    /// let (ring, mut consumer) = Ring::new(64, 0)?;
    /// let mut record = ring.acquire(8)?.reserve();
    /// record.put_slice(b"a record");
    /// record.publish();
    /// drop(ring.acquire(24)?.reserve());
    ///
    /// let mut log = Vec::new();
    /// let drained = consumer.drain(|piece| {
    ///     match piece {
    ///         Drained::Bytes { bytes, .. } => log.extend_from_slice(bytes),
    ///         Drained::Skip { len, .. } => log.resize(log.len() + len, b'.'),
    ///         _ => unreachable!(),
    ///     }
    ///     Ok::<(), std::convert::Infallible>(())
    /// });
    /// assert_eq!(drained, Ok(32));
    /// assert_eq!(log, b"a record........................");
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn drain<E>(
        &mut self,
        mut sink: impl FnMut(Drained<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let end = self.ring.advance();
        let len = end - self.drained;
        if len == 0 {
            return Ok(0);
        }
        // Relaxed: counted before the mark of the skip, which the watermark at `end` has acquired (E2). It may count skips beyond.
        let skips = if self.ring.skips.load(Ordering::Relaxed) == self.skips {
            self.hand(self.drained, end, &mut sink)?;
            0
        } else {
            self.hand_with_skips(end, &mut sink)?
        };
        self.skips += skips;
        self.drained = end;
        self.ring.space.free(end);
        self.ring.notify_space();
        Ok(len)
    }

    /// Hands on the records of the published range `from..to`, without a skip in it.
    fn hand<E>(
        &self,
        mut from: u64,
        to: u64,
        sink: &mut impl FnMut(Drained<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while from < to {
            let piece = self.ring.storage.piece(from, (to - from) as usize);
            let mut claim = self.ring.storage.claim_read(from, piece.len());
            // SAFETY: the pointer is valid for its length, aligned (bytes) and initialised, as `piece` promises, for as long as
            // the ring, which `self` keeps. Nobody writes these bytes meanwhile: they are published and not drained, the producers'
            // writes are ordered before us by E2, and no reservation reaches them until `drain` stores a higher `drained`,
            // after this slice is gone: the sink cannot keep it, and `self` is borrowed.
            let bytes = unsafe { &*piece };
            sink(Drained::Bytes { address: from, bytes })?;
            claim.release();
            from += piece.len() as u64;
        }
        Ok(())
    }

    /// Hands on the published range up to `end`, which may have skips in it, and counts them.
    fn hand_with_skips<E>(
        &self,
        end: u64,
        sink: &mut impl FnMut(Drained<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut skips = 0;
        // Records of `run..at` are not handed on yet.
        let mut run = self.drained;
        let mut at = run;
        while at < end {
            let mark = self.ring.marks.at(at).expect("marks stay until their range is drained");
            if mark.kind == Kind::Skip {
                self.hand(run, at, sink)?;
                sink(Drained::Skip { address: at, len: mark.len as usize })?;
                skips += 1;
                run = at + mark.len;
            }
            at += mark.len;
        }
        self.hand(run, end, sink)?;
        Ok(skips)
    }

    /// Parks until something beyond [`drained`](Consumer::drained) is published, and says whether it is.
    ///
    /// `false` means that the consumer was [woken](Ring::wake), that the time is over, or that it
    /// [is finished](Consumer::is_finished). A wake-up that came since the last wait counts. Without a `timeout` the
    /// wait is unbounded.
    ///
    /// # Examples
    ///
    /// The life of a consumer:
    ///
    /// ```
    /// use holt_wal_ring::Ring;
    ///
    /// let (ring, mut consumer) = Ring::new(1024, 0)?;
    /// let drainer = std::thread::spawn(move || {
    ///     let mut bytes = 0;
    ///     while consumer.wait_published(None) || !consumer.is_finished() {
    ///         bytes += consumer.drain(|_piece| Ok::<(), std::convert::Infallible>(())).unwrap();
    ///     }
    ///     bytes
    /// });
    /// for _ in 0..1000 {
    ///     ring.acquire(16)?.reserve().publish();
    /// }
    /// ring.close();
    /// assert_eq!(drainer.join().unwrap(), 16_000);
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn wait_published(&mut self, timeout: Option<Duration>) -> bool {
        let ring = &*self.ring;
        let answered = self.wakes;
        let beyond = self.drained.saturating_add(GRANULE as u64);
        match ring.wait(beyond, false, timeout, &|| ring.wakes() != answered) {
            crate::Waited::Committed => true,
            crate::Waited::Woken => {
                self.wakes = ring.wakes();
                false
            }
            _ => false,
        }
    }

    /// Puts the ring's addresses to `address`, forgetting the old ones and keeping the record count.
    ///
    /// Needs the whole ring: everything drained, and every other handle to it dropped. New handles are
    /// cloned from [`ring`](Consumer::ring). A closed ring stays closed; the limit stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`] if `address` is not a multiple of [`GRANULE`], [`Error::Shared`] while other handles exist,
    /// [`Error::NotDrained`] while the ring holds anything. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_wal_ring::Ring;
    ///
    /// let (ring, mut consumer) = Ring::new(64, 0)?;
    /// ring.acquire(8)?.reserve().publish();
    /// consumer.drain(|_piece| Ok::<(), std::convert::Infallible>(())).unwrap();
    /// drop(ring);
    /// consumer.reset(4096)?;
    /// assert_eq!((consumer.ring().tail(), consumer.ring().committed_records()), (4096, 1));
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn reset(&mut self, address: u64) -> Result<(), Error> {
        aligned(address)?;
        let drained = self.drained;
        let ring = Arc::get_mut(&mut self.ring).ok_or(Error::Shared)?;
        let tail = ring.tail();
        if tail != drained {
            return Err(Error::NotDrained { drained, tail });
        }
        ring.restart(address);
        self.drained = address;
        Ok(())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.ring.close();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_skip_that_was_handed_on_is_looked_for_no_more() {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        drop(ring.acquire(8).unwrap().reserve());
        ring.acquire(8).unwrap().reserve().publish();
        drop(ring.acquire(8).unwrap().reserve());
        let mut pieces = 0;
        let mut drain = |consumer: &mut Consumer| {
            consumer.drain(|_piece| {
                pieces += 1;
                Ok::<(), std::convert::Infallible>(())
            })
        };
        assert_eq!(drain(&mut consumer), Ok(24));
        assert_eq!((consumer.skips, ring.skips.load(Ordering::Relaxed)), (2, 2));
        ring.acquire(8).unwrap().reserve().publish();
        assert_eq!((drain(&mut consumer), pieces), (Ok(8), 4));
    }
}
