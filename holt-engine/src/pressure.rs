//! What a change may lack that was refused, and how it gets that: a frame that is not in memory, room
//! for changed frames, or room of any kind (see `room.rs`).
//!
//! - Frames that have changed cannot leave memory before a checkpoint has written them. The pool is
//!   [pressed](holt_art::Pool::is_pressed) when half of those have changed that may; from there on the
//!   background thread is at a checkpoint. Who finds no room all the same waits for that checkpoint, or
//!   makes one himself. So writers always get on, however small the cache is.
//! - Nobody waits here who is inside the gate or holds a permit of the log: a checkpoint needs both.
//! - What snapshots and lists keep is waited for only a moment: a snapshot may be there for ever. A change
//!   that finds no room beside it, or is too large for the cache at all, is refused.

use std::time::Duration;

use holt_art::Error as TreeError;
use holt_journal::disk::Disk;

use crate::checkpoint;
use crate::core::Core;
use crate::error::Error;
use crate::room::Attempts;
use crate::sync::{lock, sleep};

/// How often one change makes room for itself that others use up.
const ROUNDS: u32 = 1000;

/// Frames that a change of one key may have to change, with some to spare.
const FEW: usize = 8;

/// How often one change waits a moment for lists and snapshots to end.
const WAITS: u32 = 200;

/// That moment.
const MOMENT: Duration = Duration::from_millis(1);

/// How often one change is still going to try.
#[derive(Debug)]
pub(crate) struct Patience {
    rounds: u32,
    waits: u32,
    attempts: Attempts,
}

impl Patience {
    #[inline]
    pub(crate) fn new() -> Patience {
        Patience { rounds: ROUNDS, waits: WAITS, attempts: Attempts::default() }
    }
}

impl<D: Disk> Core<D> {
    /// Provides what a change lacked that failed with this error and has changed nothing.
    ///
    /// # Errors
    ///
    /// The error itself, if it is of another kind; [`holt_art::Error::Source`] or
    /// [`holt_art::Error::Image`] if the frame cannot be read; the failure of a checkpoint;
    /// [`Error::CacheTooSmall`] if there is no room even after one.
    #[cold]
    pub(crate) fn provide(&self, error: Error, patience: &mut Patience) -> Result<(), Error> {
        match error {
            Error::Tree(error @ TreeError::Absent { .. }) => Ok(self.pool.resolve(error)?),
            Error::CacheTooSmall { limit } if patience.rounds > 0 => {
                patience.rounds -= 1;
                self.relieve(limit, patience)
            }
            error => self.make_room(error, &mut patience.attempts),
        }
    }

    /// Sees to it that a checkpoint has been made.
    fn relieve(&self, limit: u64, patience: &mut Patience) -> Result<(), Error> {
        let alone = lock(&self.checkpointing);
        // Whoever held the mutex before may have made one. A change that was refused again asks for more room than
        // that: a move may ask for more than half of all that there can be.
        let again = patience.rounds + 1 < ROUNDS;
        let little = self.pool.changeable() <= self.pool.changeable_at_most() / 2;
        if self.pool.changed() > 0 && (little || again) {
            checkpoint::make_pressed(self, &alone)?;
        }
        // What has changed since can be written. The rest, while no cut is open, is kept for snapshots
        // and for lists that a move has overtaken, which no checkpoint changes. Most lists end soon.
        if self.pool.changeable() + self.pool.changed() >= FEW {
            return Ok(());
        }
        drop(alone);
        if patience.waits == 0 {
            return Err(Error::CacheTooSmall { limit });
        }
        patience.waits -= 1;
        sleep(MOMENT);
        Ok(())
    }
}
