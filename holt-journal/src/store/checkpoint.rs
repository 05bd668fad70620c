//! The checkpoint: new images into free space, one sync, one record, one sync.
//!
//! The states that a writer goes through with the extents of one attempt:
//!
//! | moment | its extents | the next attempt |
//! |---|---|---|
//! | failed before the sync of the data file | free again | a fresh cut, same places |
//! | the sync of the data file failed | out of use until reopened | elsewhere; a second failure closes the store |
//! | failed between that sync and the record | free again | a fresh cut |
//! | the record's write or sync failed | held, as the state before is | writes a new manifest |
//! | the record is durable | live; what they supersede is free | – |

use std::ops::Range;
use std::time::SystemTime;

use holt_codec::{Commit, EXTENT_UNIT, Mapping};

use super::ObjectId;
use super::handle::Store;
use super::state::{State, units_of};
use super::writer::Writer;
use crate::disk::{Access, Disk};
use crate::error::Error;
use crate::sync::PoisonError;

/// What a source of images may fail with.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Where a checkpoint gets its images from: a consistent cut of the objects.
///
/// # Examples
///
/// ```
/// use holt_journal::store::{ImageSource, ObjectId, SourceError};
///
/// /// One object that has changed, and one that is gone.
/// struct Cut(Vec<u8>);
///
/// impl ImageSource for Cut {
///     fn dirty(&mut self) -> Vec<ObjectId> {
///         vec![ObjectId(7)]
///     }
///     fn freed(&mut self) -> Vec<ObjectId> {
///         vec![ObjectId(8)]
///     }
///     fn image(&mut self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
///         assert_eq!(object, ObjectId(7));
///         out.extend_from_slice(&self.0);
///         Ok(())
///     }
/// }
///
/// let (mut cut, mut out) = (Cut(b"image".to_vec()), Vec::new());
/// assert!(!cut.freed().contains(&cut.dirty()[0]));
/// cut.image(ObjectId(7), &mut out)?;
/// assert_eq!(out, b"image");
/// # Ok::<(), SourceError>(())
/// ```
pub trait ImageSource {
    /// Objects whose image differs from the one of the last commit, or is new.
    fn dirty(&mut self) -> Vec<ObjectId>;

    /// Objects that are no more. One that the store never held is ignored; one that is also
    /// dirty is a contradiction.
    fn freed(&mut self) -> Vec<ObjectId>;

    /// Objects that are no more, by this commit or one before, and that [`Store::read`] is still to find
    /// as they last were. Each is kept until a checkpoint begins that does not name it here, or the store
    /// is closed: nothing of that is written down, so after an opening only the commit counts.
    ///
    /// # Examples
    ///
    /// See [`Store::read`].
    fn still_read(&mut self) -> Vec<ObjectId> {
        Vec::new()
    }

    /// Appends the image of a dirty object to `out`, which is empty. Called once an object.
    ///
    /// # Errors
    ///
    /// An error ends the checkpoint without a trace.
    fn image(&mut self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError>;
}

/// What a checkpoint did. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// Whether there was anything to commit.
    pub committed: bool,
    /// Sequence of the last commit.
    pub sequence: u64,
    /// Generation of the last commit.
    pub generation: u64,
    /// Images written.
    pub images: u64,
    /// Bytes written to the data file, padding included.
    pub data_bytes: u64,
    /// Bytes written to the manifest.
    pub manifest_bytes: u64,
    /// Whether the manifest went into a new file.
    pub new_manifest: bool,
}

impl<D: Disk> Store<D> {
    /// Writes a checkpoint: every dirty image, then the commit that makes them and the freed
    /// objects count together with `log_address` and `meta`.
    ///
    /// `before_commit` is called once all images are on stable storage and before the commit:
    /// the place to sync the log up to `log_address`. If nothing differs from the last commit,
    /// nothing is written and it is not called; a `log_address` or `meta` that differs alone
    /// is committed.
    ///
    /// Both `source` and `before_commit` may read from the store; a checkpoint, compaction,
    /// verification or [`Store::close`] from in there would wait for itself for ever.
    ///
    /// After a killed process or a power cut, either this checkpoint counts or the one before,
    /// whole; this one if `Ok` was returned. A panic of the caller's code closes the store for
    /// checkpoints.
    ///
    /// # Errors
    ///
    /// After any error but [`Error::CommitUnknown`] the checkpoint before counts and the source
    /// keeps all that it has to give: the next checkpoint has to be taken from a fresh cut that
    /// includes this one. After [`Error::CommitUnknown`] a crash may show either, and the same
    /// holds for the source. In both cases nothing may be dropped from the log.
    ///
    /// [`Error::ImpossibleCheckpoint`] if `log_address` goes back or an object is both dirty
    /// and freed or dirty twice; [`Error::Source`], the errors of `before_commit`,
    /// [`Error::Encoding`], the disk's errors; [`Error::StoreClosed`] after two failed syncs of
    /// the data file in a row, or a panic; [`Error::ReadOnly`].
    pub fn checkpoint(
        &self,
        log_address: u64,
        meta: &[u8],
        source: &mut dyn ImageSource,
        before_commit: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<CheckpointReport, Error> {
        self.writable()?;
        let mut writer = self.writer()?;
        let result = self.attempt(&mut writer, log_address, meta, source, before_commit);
        self.publish_figures(&writer);
        result
    }

    fn attempt(
        &self,
        writer: &mut Writer<D::File>,
        log_address: u64,
        meta: &[u8],
        source: &mut dyn ImageSource,
        before_commit: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<CheckpointReport, Error> {
        let (dirty, freed) = self.plan(log_address, source)?;
        let mut still = source.still_read();
        still.sort_unstable();
        self.keep_only(writer, &still);
        {
            let current = self.current();
            let same = dirty.is_empty()
                && freed.is_empty()
                && current.log_address == log_address
                && current.meta == meta;
            if same {
                return Ok(report(&current));
            }
        }
        writer.used.generation += 1;
        let generation = writer.used.generation;
        let mut changed = Vec::with_capacity(dirty.len());
        let written =
            writer.write_images(&self.data, self.db, generation, &dirty, source, &mut changed);
        if let Err(error) = written {
            writer.take_back(&changed);
            return Err(error);
        }
        writer.sync_images(&self.data, &changed)?;
        if let Err(error) = before_commit() {
            writer.take_back(&changed);
            return Err(error);
        }
        changed.sort_unstable_by_key(|mapping| mapping.object);
        let delta = Commit {
            base: false,
            sequence: writer.used.sequence + 1,
            generation,
            log_address,
            meta: meta.to_vec(),
            changed,
            freed,
        };
        self.commit(writer, delta, false, &still)
    }

    /// Gives back what is kept for readers and not named here any more. No commit names it.
    fn keep_only(&self, writer: &mut Writer<D::File>, still: &[ObjectId]) {
        let mut kept = self.kept_for_change();
        kept.retain(|&object, mapping| {
            let stays = still.binary_search(&ObjectId(object)).is_ok();
            if !stays {
                writer.kept_units -= mapping.units();
                writer.extents.free(units_of(mapping));
            }
            stays
        });
    }

    /// Asks the source what is to be done and checks that it can be.
    fn plan(
        &self,
        log_address: u64,
        source: &mut dyn ImageSource,
    ) -> Result<(Vec<ObjectId>, Vec<u64>), Error> {
        let impossible = |why| Err(Error::ImpossibleCheckpoint { why });
        let mut dirty = source.dirty();
        dirty.sort_unstable();
        if !dirty.is_sorted_by(|a, b| a < b) {
            return impossible("an object is dirty twice");
        }
        let mut freed: Vec<u64> = source.freed().into_iter().map(|object| object.0).collect();
        freed.sort_unstable();
        freed.dedup();
        if freed.iter().any(|object| dirty.binary_search(&ObjectId(*object)).is_ok()) {
            return impossible("an object is both dirty and freed");
        }
        let current = self.current();
        if log_address < current.log_address {
            return impossible("the log address goes back");
        }
        freed.retain(|object| current.mapping.contains_key(object));
        Ok((dirty, freed))
    }

    pub(super) fn writable(&self) -> Result<(), Error> {
        if self.access == Access::Read { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Writes the record of a commit whose images are durable, makes it count, and gives back
    /// what it superseded, but for those of the freed objects that are still read.
    pub(super) fn commit(
        &self,
        writer: &mut Writer<D::File>,
        delta: Commit,
        cut_exactly: bool,
        still: &[ObjectId],
    ) -> Result<CheckpointReport, Error> {
        let (superseded, left): (Vec<Range<u64>>, Vec<Mapping>) = {
            let current = self.current();
            let is_read = |object: &&u64| still.binary_search(&ObjectId(**object)).is_ok();
            let (left, freed): (Vec<&u64>, Vec<&u64>) = delta.freed.iter().partition(is_read);
            let gone = delta.changed.iter().map(|mapping| &mapping.object).chain(freed);
            let superseded = gone.filter_map(|object| current.mapping.get(object).map(units_of));
            let left = left.into_iter().filter_map(|object| current.mapping.get(object).copied());
            (superseded.collect(), left.collect())
        };
        let (manifest_bytes, new_manifest) = writer.write_record(self, &delta)?;
        let report = CheckpointReport {
            committed: true,
            sequence: delta.sequence,
            generation: delta.generation,
            images: delta.changed.len() as u64,
            data_bytes: delta.changed.iter().map(|m| m.units() * EXTENT_UNIT).sum(),
            manifest_bytes,
            new_manifest,
        };
        {
            // Exclusive: whoever was reading by the old mapping is done when this is held.
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.apply(&delta).expect("only objects that are mapped are freed");
            writer.kept_units += left.iter().map(Mapping::units).sum::<u64>();
            let mut kept = self.kept_for_change();
            kept.extend(left.into_iter().map(|mapping| (mapping.object, mapping)));
        }
        writer.last_checkpoint = Some(SystemTime::now());
        for range in superseded.into_iter().chain(std::mem::take(&mut writer.held)) {
            writer.extents.free(range);
        }
        writer.tidy(&*self.disk, &self.data, self.db, &self.current(), cut_exactly);
        Ok(report)
    }
}

/// A report of a state that was already there.
fn report(state: &State) -> CheckpointReport {
    CheckpointReport {
        committed: false,
        sequence: state.sequence,
        generation: state.generation,
        images: 0,
        data_bytes: 0,
        manifest_bytes: 0,
        new_manifest: false,
    }
}
