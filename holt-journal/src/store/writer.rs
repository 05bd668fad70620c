//! The writer's side of the store: what only the running checkpoint may touch.
//!
//! - `extents` takes all that any state needs that a crash may bring back; what is free in it
//!   may be written over at once.
//! - `manifest` is there only while every record of that file is known to be durable.
//! - A number, sequence or generation that may have reached the disk is never used again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::SystemTime;

use holt_codec::{Commit, DbId, EXTENT_UNIT, ImageHeader, ManifestHeader, Mapping, Mark};

use super::checkpoint::ImageSource;
use super::data_file::{DataFile, PlacedImage};
use super::extents::Extents;
use super::handle::Store;
use super::manifest_file::{MANIFEST_TMP, ManifestFile, manifest_name};
use super::state::{State, units_of};
use super::{ObjectId, io};
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::sync::Arc;

/// Images are gathered up to this many bytes and then written: enough to make one long write
/// of neighbours, little beside the memory of the objects themselves.
/// Tests take little, so that an image more or less makes a write more or less.
const BATCH_BYTES: usize = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// A manifest moves to a new file when it is over this many times its own base …
const HISTORY_FACTOR: u64 = 4;

/// … and over this many bytes: a new file costs a rename and a directory sync.
/// Tests take little, to see files change.
const HISTORY_MIN: u64 = if cfg!(test) { 1 << 10 } else { 64 << 10 };

/// The file grows and is cut by an eighth of what is taken, within these bounds, so that
/// neither happens at every checkpoint.
const STEP_UNITS: std::ops::RangeInclusive<u64> = 16..=4096;

/// Failed syncs of the data file in a row that close the store.
const MAX_FAILED_SYNCS: u32 = 2;

/// Everything that only the running checkpoint may touch.
#[derive(Debug)]
pub(crate) struct Writer<F> {
    /// Space taken by any state that may count, and by what is out of use.
    pub(super) extents: Extents,
    /// Length of the data file in units, as far as it is whole units.
    pub(super) file_units: u64,
    /// The manifest to append to; `None`: the next commit starts a new file.
    pub(super) manifest: Option<ManifestFile<F>>,
    /// Number of the file that holds the last commit, and the checksum of its record.
    pub(super) committed_in: (u64, u32),
    /// The highest number, sequence and generation that anything ever used.
    pub(super) used: Used,
    /// Taken by states other than the last commit's that may count after a crash; free once
    /// the next commit is durable.
    pub(super) held: Vec<Range<u64>>,
    /// Units of images that no commit names any more and that are still read.
    pub(super) kept_units: u64,
    /// Units that a failed sync left in doubt: taken, and named by nothing, until reopened.
    pub(super) out_of_use: u64,
    /// Names of manifest files that the next commit makes worthless, or that one has already.
    pub(super) stale: BTreeSet<String>,
    pub(super) marks: Marks,
    pub(super) failed_syncs: u32,
    pub(super) last_checkpoint: Option<SystemTime>,
    pub(super) failure: Option<Error>,
}

/// What a writer says of itself when it rests.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(super) file_units: u64,
    pub(super) free_units: u64,
    pub(super) taken_units: u64,
    /// The part of the taken ones that no object of the last commit takes.
    pub(super) held_units: u64,
    pub(super) manifest_bytes: u64,
    pub(super) last_checkpoint: Option<SystemTime>,
    pub(super) failure: Option<Error>,
}

/// Numbers that are not given twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) generation: u64,
}

/// The state of the data file's two marks.
///
/// Only the slot that is not known to be durable is ever written, so a torn mark leaves one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// The slot that a crash leaves as it is.
    pub(super) durable_slot: usize,
    /// The other slot has been written since the last sync of the file.
    pub(super) unsynced: bool,
    /// The sequence that the newer of the marks names, durable or not.
    pub(super) sequence: u64,
}

impl<F: DiskFile> Writer<F> {
    pub(super) fn figures(&self) -> Figures {
        let held: u64 = self.held.iter().map(|range| range.end - range.start).sum();
        Figures {
            file_units: self.file_units,
            free_units: self.extents.free_units(),
            taken_units: self.extents.taken_units(),
            held_units: held + self.kept_units + self.out_of_use,
            manifest_bytes: self.manifest.as_ref().map_or(0, ManifestFile::len),
            last_checkpoint: self.last_checkpoint,
            failure: self.failure.clone(),
        }
    }

    /// Units that the objects of the last commit take.
    pub(super) fn live_units(&self) -> u64 {
        let figures = self.figures();
        figures.taken_units - figures.held_units
    }

    /// Writes the images of `dirty`; `placed` gets every extent that was taken, on errors too.
    pub(super) fn write_images(
        &mut self,
        data: &DataFile<F>,
        db: DbId,
        generation: u64,
        dirty: &[ObjectId],
        source: &mut dyn ImageSource,
        placed: &mut Vec<Mapping>,
    ) -> Result<(), Error> {
        let mut batch: Vec<PlacedImage> = Vec::new();
        let mut spare: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        for &object in dirty {
            let mut payload = spare.pop().unwrap_or_default();
            payload.clear();
            source
                .image(object, &mut payload)
                .map_err(|error| Error::Source { object, error: Arc::from(error) })?;
            let header = ImageHeader::new(db, object.0, generation, &payload);
            let header = header.map_err(Error::Encoding)?;
            bytes += payload.len();
            batch.push(self.place(header, payload));
            placed.push(batch[batch.len() - 1].mapping);
            if bytes >= BATCH_BYTES {
                self.write_batch(data, &mut batch)?;
                bytes = 0;
                spare.extend(batch.drain(..).map(|image| image.payload));
            }
        }
        self.write_batch(data, &mut batch)
    }

    /// Finds the lowest place for an image.
    fn place(&mut self, header: ImageHeader, payload: Vec<u8>) -> PlacedImage {
        let mut mapping = Mapping {
            object: header.object,
            generation: header.generation,
            offset: 0,
            len: header.len,
            checksum: header.checksum,
        };
        mapping.offset = self.extents.allocate(mapping.units()) * EXTENT_UNIT;
        PlacedImage { mapping, payload }
    }

    /// Makes the file long enough for all that is taken, then writes.
    pub(super) fn write_batch(
        &mut self,
        data: &DataFile<F>,
        batch: &mut [PlacedImage],
    ) -> Result<(), Error> {
        self.grow(data)?;
        data.write_images(batch)
    }

    fn grow(&mut self, data: &DataFile<F>) -> Result<(), Error> {
        let needed = self.extents.end();
        if needed <= self.file_units {
            return Ok(());
        }
        let from = self.file_units * EXTENT_UNIT;
        let ahead = needed + self.step();
        // Space ahead spares later calls; on a full disk what is needed has to do.
        if data.allocate(from, ahead * EXTENT_UNIT - from).is_ok() {
            self.file_units = ahead;
        } else {
            data.allocate(from, needed * EXTENT_UNIT - from)?;
            self.file_units = needed;
        }
        Ok(())
    }

    fn step(&self) -> u64 {
        (self.extents.taken_units() / 8).clamp(*STEP_UNITS.start(), *STEP_UNITS.end())
    }

    /// Gives back the extents of an attempt that no durable record can name.
    pub(super) fn take_back(&mut self, placed: &[Mapping]) {
        for mapping in placed {
            self.extents.free(units_of(mapping));
        }
    }

    /// Makes written images durable. On an error they are out of use: the operating system may
    /// have dropped them and yet call the next sync a success.
    pub(super) fn sync_images(
        &mut self,
        data: &DataFile<F>,
        placed: &[Mapping],
    ) -> Result<(), Error> {
        if placed.is_empty() {
            return Ok(());
        }
        let result = self.sync_data(data);
        if let Err(error) = &result {
            self.out_of_use += placed.iter().map(Mapping::units).sum::<u64>();
            if self.failed_syncs >= MAX_FAILED_SYNCS {
                self.failure = Some(error.clone());
            }
        }
        result
    }

    fn sync_data(&mut self, data: &DataFile<F>) -> Result<(), Error> {
        let result = data.sync();
        if result.is_ok() {
            self.failed_syncs = 0;
            if std::mem::take(&mut self.marks.unsynced) {
                self.marks.durable_slot = 1 - self.marks.durable_slot;
            }
        } else {
            self.failed_syncs += 1;
            // A mark that was not synced may be torn now; it is written again.
            if std::mem::take(&mut self.marks.unsynced) {
                self.marks.sequence = 0;
            }
        }
        result
    }

    /// Writes the commit's record, appending or into a new file.
    ///
    /// On an error after which the record may be durable, its extents are held beside those of
    /// the state before. Otherwise they are free again.
    pub(super) fn write_record<D: Disk<File = F>>(
        &mut self,
        store: &Store<D>,
        delta: &Commit,
    ) -> Result<(u64, bool), Error> {
        let (disk, db) = (&*store.disk, store.db);
        let base_len = {
            let current = store.current();
            let new = delta.changed.iter().filter(|m| !current.mapping.contains_key(&m.object));
            let objects = current.mapping.len() + new.count() - delta.freed.len();
            Commit::record_len(objects, 0, delta.meta.len())
        };
        let lens = delta.encoded_len().and_then(|delta| Ok((delta, base_len?)));
        let (delta_len, base_len) = match lens {
            Ok(lens) => lens,
            Err(error) => {
                self.take_back(&delta.changed);
                return Err(Error::Encoding(error));
            }
        };
        let limit = (u64::from(base_len) * HISTORY_FACTOR).max(HISTORY_MIN);
        let fits = |file: &ManifestFile<F>| file.len() + u64::from(delta_len) <= limit;
        let result = if self.manifest.as_ref().is_some_and(fits) {
            let file = self.manifest.take().expect("just looked at");
            file.append(delta)
                .map(|file| (file, u64::from(delta_len), false))
                .map_err(|error| (!matches!(error, Error::Encoding(_)), error))
        } else {
            let mut next = store.current().clone();
            next.apply(delta).expect("only objects that are mapped are freed");
            self.write_manifest(disk, db, &next.to_base()).map(|file| {
                let len = file.len();
                (file, len, true)
            })
        };
        match result {
            Ok((file, len, new)) => {
                if new {
                    self.stale.insert(manifest_name(self.committed_in.0));
                    self.stale.remove(&manifest_name(file.number()));
                }
                self.committed_in = (file.number(), file.last_checksum());
                self.manifest = Some(file);
                self.used.sequence = delta.sequence;
                Ok((len, new))
            }
            Err((false, error)) => {
                self.take_back(&delta.changed);
                Err(error)
            }
            Err((true, error)) => {
                // The file is gone for appending: either its writer was used up above, or it
                // is older than one that may have got its name.
                self.manifest = None;
                self.used.sequence = delta.sequence;
                self.held.extend(delta.changed.iter().map(units_of));
                Err(Error::CommitUnknown(Box::new(error)))
            }
        }
    }

    /// Starts a new manifest file with this base. The `bool` of an error: whether it may
    /// nevertheless count.
    fn write_manifest<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        db: DbId,
        base: &Commit,
    ) -> Result<ManifestFile<F>, (bool, Error)> {
        let entropy = disk.entropy().map_err(|e| (false, io("drawing a salt for", "")(e)))?;
        let mut salt = [0; 16];
        salt.copy_from_slice(&entropy[..16]);
        let number = self.used.number + 1;
        let header = ManifestHeader { db, number, predecessor: self.committed_in.0, salt };
        ManifestFile::create(disk, header, base).inspect(|_| self.used.number = number).map_err(
            |not_born| {
                self.stale.insert(MANIFEST_TMP.to_owned());
                if not_born.maybe_named {
                    self.used.number = number;
                    self.stale.insert(manifest_name(number));
                }
                (not_born.maybe_named, not_born.error)
            },
        )
    }

    /// What is good to do after a commit and no harm to leave to the next one: give the file's
    /// tail back, remove worthless manifests, write the mark. So errors are left to the next.
    pub(super) fn tidy<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        data: &DataFile<F>,
        db: DbId,
        current: &State,
        cut_exactly: bool,
    ) {
        if self.manifest.is_none() {
            // The current state is not known to be durable: older ones may still count.
            return;
        }
        let end = self.extents.end();
        // What may be kept ahead, as long as the file is not over twice what counts for it.
        let room = (2 * self.live_units()).saturating_sub(end).max(*STEP_UNITS.start());
        let spare = if cut_exactly { 0 } else { (2 * self.step()).min(room) };
        if self.file_units > end + spare && data.resize(end * EXTENT_UNIT).is_ok() {
            self.file_units = end;
        }
        self.stale.retain(|name| match disk.remove(name) {
            Ok(()) => false,
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        });
        let _ = self.write_mark(data, db, current);
    }

    /// Writes the mark of the last commit into the slot that is free for it.
    fn write_mark(&mut self, data: &DataFile<F>, db: DbId, current: &State) -> Result<(), Error> {
        let (manifest, record_checksum) = self.committed_in;
        let mark = Mark {
            db,
            sequence: current.sequence,
            manifest,
            record_checksum,
            generation: current.generation,
        };
        // Even a failed write may have changed the slot.
        self.marks.unsynced = true;
        self.marks.sequence = 0;
        data.write_mark(1 - self.marks.durable_slot, &mark)?;
        self.marks.sequence = current.sequence;
        Ok(())
    }

    /// Makes the mark of the last commit durable.
    pub(super) fn settle_mark(
        &mut self,
        data: &DataFile<F>,
        db: DbId,
        current: &State,
    ) -> Result<(), Error> {
        if self.manifest.is_none() {
            // The current state is not known to be durable, and a mark would say that it is.
            return Ok(());
        }
        if self.marks.sequence != current.sequence {
            self.write_mark(data, db, current)?;
        }
        if self.marks.unsynced { self.sync_data(data) } else { Ok(()) }
    }
}
