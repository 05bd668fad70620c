//! A checkpoint: the trees as of one address of the log, in the frame file, by one atomic commit.
//!
//! 1. Under the closed gate, and so between two writes: the cut of the frames, the tail of the log,
//!    and the roots. The pause does not grow with the database.
//! 2. With the gate open again: the images of the cut are written and synced, the log is synced up
//!    to the cut's address, and the manifest record, which is the commit, is written and synced.
//! 3. Only after the commit: the frames count as clean, and the log below the cut is given up.
//!
//! A checkpoint that fails before its commit gives the frames back as dirty and changes nothing.

use holt_art::Cut;
use holt_journal::Ack;
use holt_journal::disk::Disk;
use holt_journal::store::{ImageSource, ObjectId, SourceError};

use crate::core::Core;
use crate::error::Error;
use crate::log::Log;
use crate::sync::lock;

/// What a checkpoint did.
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

/// Makes a checkpoint. One that would hold nothing new is not written.
///
/// # Errors
///
/// [`Error::Closed`], [`Error::ReadOnly`], or the failure of the disk; the database is then as it
/// was, and the previous checkpoint counts.
pub(crate) fn make<D: Disk>(core: &Core<D>) -> Result<Checkpoint, Error> {
    let _alone = lock(&core.checkpointing);
    let log = core.log()?;
    let (Some(files), Log::Journal(journal)) = (&core.files, log) else {
        // In memory there is nothing to be written.
        return Ok(Checkpoint { log_address: log.tail(), images: 0, bytes: 0 });
    };
    // A closed journal is behind what memory holds: a checkpoint would make that durable.
    if let Some(failure) = journal.failure() {
        return Err(failure.into());
    }
    if journal.tail() == files.store.log_address() {
        return Ok(Checkpoint { log_address: journal.tail(), images: 0, bytes: 0 });
    }
    let closed = core.pool.close_gate();
    let cut = core.pool.cut(&closed)?;
    let log_address = journal.tail();
    let meta = core.catalog.meta();
    drop(closed);
    let report = files.store.checkpoint(
        log_address,
        &meta.encode(),
        &mut CutImages { cut: &cut },
        &mut || journal.wait(log_address, Ack::Sync),
    )?;
    cut.commit();
    core.due.again(log_address);
    // The copies that the cut needed are free again.
    core.trash.filled();
    journal.truncate_below(log_address)?;
    Ok(Checkpoint { log_address, images: report.images, bytes: report.data_bytes })
}

/// The frames of a cut as the store sees them: numbers and bytes.
struct CutImages<'a> {
    cut: &'a Cut,
}

impl ImageSource for CutImages<'_> {
    fn dirty(&mut self) -> Vec<ObjectId> {
        self.cut.dirty().into_iter().map(ObjectId).collect()
    }

    fn freed(&mut self) -> Vec<ObjectId> {
        self.cut.freed().into_iter().map(ObjectId).collect()
    }

    fn image(&mut self, id: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
        self.cut.image(id.0, out).map_err(SourceError::from)
    }
}
