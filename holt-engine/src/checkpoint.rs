//! A checkpoint: the trees as of one address of the log, in the frame file, by one atomic commit.
//!
//! 1. Under the closed gate, and so between two writes: the cut of the frames, the tail of the log,
//!    and the roots. The pause does not grow with the database.
//! 2. With the gate open again: the images of the cut are written and synced, the log is synced up
//!    to the cut's address, and the manifest record, which is the commit, is written and synced.
//! 3. Only after the commit: the frames count as clean, and the log below the cut is given up.
//!
//! A checkpoint that fails before its commit gives the frames back as dirty and changes nothing.
//!
//! Afterwards the frame file is made shorter if churn has left it over twice as long as what it holds.

use std::time::{Duration, Instant};

use holt_art::{Cut, FrameId, Pool};
use holt_codec::EXTENT_UNIT;
use holt_journal::disk::Disk;
use holt_journal::store::{ImageSource, ObjectId, SourceError, Store};
use holt_journal::{Ack, Journal, settle_log};

use crate::background::Due;
use crate::catalog::Catalog;
use crate::core::{Core, Files};
use crate::error::Error;
use crate::log::Log;
use crate::reclaim;
use crate::sync::{Arc, MutexGuard, lock};
use crate::trace;

/// Frames that are kept ready for the copies of the first writers behind a cut, at most: 128 MiB. There are no
/// more of them than the trees have frames.
const SPARES: usize = 2048;

/// A frame is written anew for less space on disk if it gives a unit of that back.
const GAIN: usize = EXTENT_UNIT as usize;

/// What a checkpoint did.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let db = holt_engine::Db::open(directory.path())?;
/// db.default_tree().put(b"key", b"value")?;
/// let holt_engine::Checkpoint { log_address, images, bytes, .. } = db.checkpoint()?;
/// assert!(images > 0 && bytes > 0);
/// assert_eq!(db.stats()?.checkpoint_address, Some(log_address));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Address of the log up to which everything is in the checkpoint.
    pub log_address: u64,
    /// Frames and values that had changed and were written.
    pub images: u64,
    /// Bytes written to the frame file.
    pub bytes: u64,
}

/// What a compaction did. Sizes are bytes of the frame file.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let db = holt_engine::Db::open(directory.path())?;
/// let holt_engine::Compaction { moved, bytes_before, bytes_after, .. } = db.compact()?;
/// println!("{moved} images moved, {bytes_before} -> {bytes_after} bytes");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Frames and values that were moved, by the compaction alone.
    pub moved: u64,
    /// The file's length before.
    pub bytes_before: u64,
    /// The file's length after.
    pub bytes_after: u64,
}

/// Makes a checkpoint. One that would hold nothing new is not written.
///
/// # Errors
///
/// [`Error::Closed`], [`Error::ReadOnly`], or the failure of the disk; the database is then as it
/// was, and the previous checkpoint counts.
pub(crate) fn make<D: Disk>(core: &Core<D>) -> Result<Checkpoint, Error> {
    let _alone = lock(&core.checkpointing);
    make_alone(core, false)
}

/// [`make`], by somebody who holds the mutex, because too many frames have changed. That may be so
/// although nothing was logged: the trash is emptied without a record.
pub(crate) fn make_pressed<D: Disk>(
    core: &Core<D>,
    _alone: &MutexGuard<'_, ()>,
) -> Result<Checkpoint, Error> {
    make_alone(core, true)
}

/// [`make`], by somebody who holds the mutex; if `pressed`, also if nothing was logged since the last one.
fn make_alone<D: Disk>(core: &Core<D>, pressed: bool) -> Result<Checkpoint, Error> {
    let log = core.log_for_checkpoint()?;
    let (Some(files), Log::Journal(journal)) = (&core.files, log) else {
        // In memory there is nothing to be written.
        return Ok(Checkpoint { log_address: log.tail(), images: 0, bytes: 0 });
    };
    // A closed journal is behind what memory holds: a checkpoint would make that durable.
    if let Some(failure) = journal.failure() {
        return Err(failure.into());
    }
    let _span = trace::checkpoint();
    let _running = core.due.begins();
    match attempt(core, files, journal, pressed) {
        Ok((made, pause)) => {
            core.due.made(&made, pause);
            trace::made(&made, pause);
            Ok(made)
        }
        Err(error) => {
            note_failure(core, error.to_string());
            Err(error)
        }
    }
}

/// Tells whoever asks, and the writers if it lasts, that a checkpoint failed.
pub(crate) fn note_failure<D: Disk>(core: &Core<D>, why: String) {
    let Some(files) = &core.files else { return };
    trace::failed(&why);
    let store = files.store.stats();
    core.due.failed(why, store.failure.is_some(), store.log_address, core.log_address());
}

/// Makes a checkpoint, and says for how long writers were kept out, if one was needed.
fn attempt<D: Disk>(
    core: &Core<D>,
    files: &Files<D>,
    journal: &Journal<D>,
    pressed: bool,
) -> Result<(Checkpoint, Option<Duration>), Error> {
    let tail = journal.tail();
    if tail == files.store.log_address() && !pressed {
        return Ok((Checkpoint { log_address: tail, images: 0, bytes: 0 }, None));
    }
    // Whoever writes first behind the cut finds memory that has been touched.
    core.pool.ready_spares(SPARES);
    let begun = Instant::now();
    let closed = core.pool.close_gate();
    let cut = core.pool.cut(&closed)?;
    let log_address = journal.tail();
    let meta = core.catalog.meta();
    drop(closed);
    let pause = begun.elapsed();
    let report = files.store.checkpoint(
        log_address,
        &meta.encode(),
        &mut CutImages { cut: &cut, due: Some(&core.due) },
        &mut || journal.wait(log_address, Ack::Sync),
    )?;
    cut.commit();
    core.due.step();
    // The copies that the cut needed are free again.
    core.trash.filled();
    journal.truncate_below(log_address)?;
    files.store.tighten()?;
    let made = Checkpoint { log_address, images: report.images, bytes: report.data_bytes };
    Ok((made, Some(pause)))
}

/// Makes a checkpoint while the log is being replayed, by somebody who has applied all records below
/// `address` and nothing more.
///
/// # Errors
///
/// The failure of the disk. The previous checkpoint counts, or after
/// [`CommitUnknown`](holt_journal::Error::CommitUnknown) perhaps this one; both go with the log.
pub(crate) fn amid_replay<D: Disk>(
    disk: &Arc<D>,
    store: &Store<D>,
    pool: &Arc<Pool>,
    catalog: &Catalog,
    address: u64,
) -> Result<(), Error> {
    let closed = pool.close_gate();
    let cut = pool.cut(&closed)?;
    let meta = catalog.meta();
    drop(closed);
    let from = store.log_address();
    // What was read of the log may never have been synced by whoever wrote it.
    store.checkpoint(
        address,
        &meta.encode(),
        &mut CutImages { cut: &cut, due: None },
        &mut || settle_log(disk, store.db(), from, address),
    )?;
    cut.commit();
    Ok(())
}

/// See [`Db::compact`](crate::Db::compact).
pub(crate) fn compact<D: Disk>(core: &Core<D>) -> Result<Compaction, Error> {
    // What hangs in the trash would be packed, and leave holes as soon as it is freed. Before checkpoints have to
    // wait, as one may be needed to make room for it. Who may not make checkpoints may not do that either.
    core.log_for_checkpoint()?;
    reclaim::empty(core)?;
    let _alone = lock(&core.checkpointing);
    let (bytes_before, live_before) = core.files.as_ref().map_or((0, 0), |files| {
        let stats = files.store.stats();
        (stats.file_bytes, stats.live_bytes)
    });
    tidy(core)?;
    // Also if nothing was logged since the last one: the trash may have been emptied, frames have been tidied, and what was kept for
    // readers of the past is given back by a checkpoint that finds them gone. A file without anything gets no shorter.
    make_alone(core, live_before > 0)?;
    let Some(files) = &core.files else { return Ok(Compaction::default()) };
    let report = files.store.compact()?;
    if let Ok(Log::Journal(journal)) = core.log_for_checkpoint() {
        // A second time: nothing has been written since the first, so nothing is kept for recycling.
        journal.truncate_below(files.store.log_address())?;
    }
    Ok(Compaction { moved: report.moved, bytes_before, bytes_after: report.bytes_after })
}

/// Writes frames anew that have free blocks in them, so that what a checkpoint writes of them is as
/// short as it can be. No key changes, and nothing is logged.
fn tidy<D: Disk>(core: &Core<D>) -> Result<(), Error> {
    for number in 1..core.pool.frame_limit() {
        let tidied = core.pool.tidy(&core.pool.enter(), FrameId::new(number), GAIN);
        match tidied {
            // For want of room the rest stays as it is: nothing depends on it.
            Err(holt_art::Error::PoolFull { .. } | holt_art::Error::TooManyChanged { .. }) => break,
            tidied => drop(tidied?),
        }
    }
    Ok(())
}

/// The frames of a cut as the store sees them: numbers and bytes.
struct CutImages<'a> {
    cut: &'a Cut,
    /// Who hears of each image that was read; nobody during a replay.
    due: Option<&'a Due>,
}

impl ImageSource for CutImages<'_> {
    fn dirty(&mut self) -> Vec<ObjectId> {
        self.cut.dirty().into_iter().map(ObjectId).collect()
    }

    fn freed(&mut self) -> Vec<ObjectId> {
        self.cut.freed().into_iter().map(ObjectId).collect()
    }

    fn still_read(&mut self) -> Vec<ObjectId> {
        self.cut.still_read().into_iter().map(ObjectId).collect()
    }

    fn image(&mut self, id: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
        self.cut.image(id.0, out).map_err(SourceError::from)?;
        // The copy that a writer may have left is room for the next.
        self.cut.done(id.0);
        self.due.iter().for_each(|due| due.step());
        Ok(())
    }
}
