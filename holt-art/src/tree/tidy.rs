//! Writing frames anew without their free blocks: one by one, where a split wants the room, or all
//! of them, so that their images are as short as they can be.

use crate::error::Error;
use crate::frame::copy::{Placed, build, entries};
use crate::pool::gate::Pass;
use crate::pool::{FrameId, Latched, Pool};

impl Pool {
    /// Writes a frame anew without its free blocks if that makes its image shorter by `gain` bytes
    /// or more, and says whether it did. No key and no value changes. A frame that is not in
    /// memory is left as it is: it was tidy, or small enough, when it left.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`], [`Error::TooManyChanged`]; nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, FrameId};
    ///
    /// let map = Art::new()?;
    /// for number in 0..500_u32 {
    ///     map.put(&number.to_be_bytes(), b"some value")?;
    /// }
    /// for number in 0..400_u32 {
    ///     map.remove(&number.to_be_bytes())?;
    /// }
    /// let pool = map.tree().pool();
    /// assert!(pool.tidy(&pool.enter(), map.tree().root(), 4096)?);
    /// assert!(!pool.tidy(&pool.enter(), map.tree().root(), 4096)?, "there is nothing left to gain");
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn tidy(&self, _pass: &Pass<'_>, frame: FrameId, gain: usize) -> Result<bool, Error> {
        let Some(frame) = self.latch_now(frame.get()) else { return Ok(false) };
        let counters = frame.view().counters();
        if counters.used.saturating_sub(counters.live) * 8 < gain.max(8) {
            return Ok(false);
        }
        self.prove(frame.number(), frame.view())?;
        self.require(1)?;
        self.rewrite(frame, 0)?;
        Ok(true)
    }

    /// Writes the frame anew without its free blocks, with a table of at least `table` entries, for which
    /// there is room.
    pub(super) fn rewrite(&self, mut frame: Latched<'_>, table: usize) -> Result<(), Error> {
        let slot = self.take_slot()?;
        let view = frame.view();
        let placed: Vec<Placed> =
            entries(view).map(|(index, e)| Placed { index, root: e.root }).collect();
        build(view, &placed, self.slot_words(slot), view.nature(), table)
            .expect("a frame without its free blocks is not larger");
        frame.leave_slot(slot);
        Ok(())
    }
}
