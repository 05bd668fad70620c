//! What a write does that finds no room in memory: it makes some, or waits for whom will.
//!
//! | what takes the room | what the write does |
//! |---|---|
//! | removed prefixes and trees that wait to be taken apart | takes some apart itself |
//! | copies that a running checkpoint needs | waits until the checkpoint has read on, or has ended |
//! | anything else: records, snapshots | fails, with nothing changed |
//!
//! - Nobody waits inside the gate, with a latch, or with a permit of the log: the write has left all
//!   that and begins anew.
//! - Copies for a checkpoint may take a share of the memory, see [`holt_art::Pool::is_crowded`]. Writes
//!   wait for the checkpoint beyond that, before they enter the gate.
//! - A snapshot is never waited for: it may be there for ever.

use holt_journal::disk::Disk;

use crate::background::Progress;
use crate::core::Core;
use crate::error::Error;

/// Checkpoints whose end a write waits for before it gives up. The second was begun after the write
/// had failed, so what the write needs is not taken by a copy for it from before.
const CHECKPOINTS: u64 = 2;

/// What a write knows of its earlier attempts.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Checkpoints that had ended when the write first found no room.
    ended: Option<u64>,
    /// The trash was empty after the last attempt.
    emptied: bool,
}

impl<D: Disk> Core<D> {
    /// Waits while copies for a checkpoint take more than their share. To be called outside the
    /// gate. Costs one load as a rule.
    #[inline]
    pub(crate) fn wait_for_copies(&self) {
        if self.pool.is_crowded() {
            self.wait_while_crowded();
        }
    }

    #[cold]
    fn wait_while_crowded(&self) {
        while self.pool.is_crowded() {
            let Progress::Made(_) = self.due.wait_for_progress() else { return };
        }
    }

    /// Makes room for a write that failed with this error and has changed nothing, or waits for
    /// room. To be called outside the gate; then the write begins anew.
    ///
    /// # Errors
    ///
    /// The error itself if there is nothing to expect, or if it is about something else.
    #[cold]
    pub(crate) fn make_room(&self, error: Error, attempts: &mut Attempts) -> Result<(), Error> {
        if !matches!(error, Error::Tree(holt_art::Error::PoolFull { .. })) {
            return Err(error);
        }
        match self.trash.take_apart(&self.catalog, &self.pool) {
            Ok(true) => {
                attempts.emptied = false;
                return Ok(());
            }
            Err(Error::Tree(absent @ holt_art::Error::Absent { .. })) => {
                return Ok(self.pool.resolve(absent)?);
            }
            _ => {}
        }
        // Somebody else may have emptied it since the write failed.
        if !std::mem::replace(&mut attempts.emptied, true) {
            return Ok(());
        }
        // It is empty, or copies keep it from being emptied.
        let Progress::Made(ended) = self.due.wait_for_progress() else { return Err(error) };
        if ended - *attempts.ended.get_or_insert(ended) >= CHECKPOINTS {
            return Err(error);
        }
        Ok(())
    }
}
