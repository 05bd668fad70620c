//! Frames as they were at a pinned epoch.
//!
//! Nothing here is validated and nothing is read twice; see [`pins`](super::pins) for why
//! the slot that a frame had at a pinned epoch is not written while the pin lives. In a pool with
//! a source a clean frame may leave its slot all the same: there the readers of the past go
//! through a gate of their own, which is closed for a moment before such a slot is given up
//! (`pool::absent`, edge 4).

use super::Pool;
use super::gate::Pass;
use super::latch::NO_SLOT;
use super::pins::slot_at;
use crate::error::Error;
use crate::frame::View;
use crate::sync::{AtomicU64, Ordering, lock};

/// Places of a [`Memo`].
const PLACES: usize = 256;

/// Where images of one epoch were found, so that they are not looked up under the books'
/// mutex again. A frame's image at a pinned epoch stays in its slot while the pin lives.
#[derive(Debug)]
pub(crate) struct Memo([AtomicU64; PLACES]);

impl Memo {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn find(&self, number: u32) -> Option<u32> {
        // Acquire: partner of the release in `note`; what is in the slot is visible.
        let word = self.0[number as usize % PLACES].load(Ordering::Acquire);
        (word as u32 == number && word != 0).then_some((word >> 32) as u32)
    }

    fn note(&self, number: u32, slot: u32) {
        let word = u64::from(number) | u64::from(slot) << 32;
        // Release: partner of the acquire in `find`.
        self.0[number as usize % PLACES].store(word, Ordering::Release);
    }
}

/// Read access to the frames of a pool at an epoch that is pinned meanwhile.
#[derive(Debug)]
pub(crate) struct Past<'p> {
    pool: &'p Pool,
    epoch: u64,
    memo: Option<&'p Memo>,
    /// Keeps the slots that are being read from being given up.
    _reading: Option<Pass<'p>>,
}

impl<'p> Past<'p> {
    /// The caller keeps `epoch` pinned as long as this is used, and uses what it gives no longer
    /// than this. It waits for nobody meanwhile: the clock may be waiting for it.
    pub(crate) fn new(pool: &'p Pool, epoch: u64, memo: Option<&'p Memo>) -> Self {
        Self { pool, epoch, memo, _reading: pool.read_past() }
    }

    pub(crate) fn pool(&self) -> &'p Pool {
        self.pool
    }

    /// The slot of frame `number` as it was.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFrame`] when there was no such frame; [`Error::Absent`].
    #[inline]
    pub(crate) fn slot(&self, number: u32) -> Result<u32, Error> {
        let missing = || Error::MissingFrame { frame: number };
        let latch = self.pool.latch(number).ok_or_else(missing)?;
        for _ in 0..2 {
            let slot = match slot_at(latch, self.pool.epoch_of(number), self.epoch) {
                Some(slot) => slot,
                None => self.image(number).ok_or_else(missing)?,
            };
            if slot != NO_SLOT {
                return Ok(slot);
            }
            // It is as it was, and gone from memory, or there was none.
            self.pool.miss(number, None)?;
        }
        // The clock is at it, and may be waiting for this reader: he leaves and comes back.
        Err(Error::Absent { object: u64::from(number) })
    }

    /// Frame `number` as it was.
    ///
    /// # Errors
    ///
    /// As [`slot`](Self::slot).
    #[inline]
    pub(crate) fn frame(&self, number: u32) -> Result<View<'p>, Error> {
        self.slot(number).map(|slot| View::new(self.pool.words(slot)))
    }

    fn image(&self, number: u32) -> Option<u32> {
        if let Some(slot) = self.memo.and_then(|memo| memo.find(number)) {
            return Some(slot);
        }
        let slot = lock(&self.pool.books).kept.image(number, self.epoch)?;
        if let Some(memo) = self.memo {
            memo.note(number, slot);
        }
        Some(slot)
    }
}
