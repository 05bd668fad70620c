//! The store's handle: reading, figures, and closing.
//!
//! - `current` is what reads see. A read holds its shared side until it has its bytes, so a
//!   checkpoint that takes the exclusive side knows that nobody reads what it then frees.
//! - `kept` has the images that no commit names any more and that are read all the same. It is taken after
//!   `current`, and a read holds both.
//! - `writer` belongs to the one checkpoint or compaction that runs. It is taken before
//!   `current`, never after.
//! - `figures` is taken last, and only to copy it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use holt_codec::{DbId, EXTENT_UNIT, Mapping};

use super::ObjectId;
use super::data_file::DataFile;
use super::open;
use super::state::State;
use super::writer::{Figures, Writer};
use crate::disk::{Access, Disk};
use crate::error::Error;
use crate::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};

/// The images of a database and the manifest that says which count.
///
/// All methods may be called from several threads; checkpoints and compactions wait for each
/// other, reads only for the moment in which a checkpoint takes effect.
///
/// The store takes no lock on its directory: whoever opens it makes sure that it is alone.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use holt_journal::disk::SimDisk;
/// use holt_journal::store::{CheckpointReport, ImageSource, ObjectId, SourceError, Store, StoreStats};
///
/// /// Two objects that have changed.
/// struct Changed;
///
/// impl ImageSource for Changed {
///     fn dirty(&mut self) -> Vec<ObjectId> {
///         vec![ObjectId(1), ObjectId(2)]
///     }
///     fn freed(&mut self) -> Vec<ObjectId> {
///         Vec::new()
///     }
///     fn image(&mut self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
///         out.extend_from_slice(&[object.0 as u8; 100]);
///         Ok(())
///     }
/// }
///
/// let store = Store::create(Arc::new(SimDisk::new(1)), 4096)?;
/// // The log below 5000 is in the images, so it is made durable before the commit.
/// let report: CheckpointReport = store.checkpoint(5000, b"meta", &mut Changed, &mut || Ok(()))?;
/// assert_eq!((report.images, store.log_address()), (2, 5000));
/// assert_eq!(store.meta(), b"meta");
/// assert_eq!(store.objects(), [(ObjectId(1), 100), (ObjectId(2), 100)]);
/// let mut image = Vec::new();
/// store.read(ObjectId(2), &mut image)?;
/// assert_eq!(image, [2; 100]);
///
/// store.tighten()?;
/// let compact = store.compact()?;
/// let stats: StoreStats = store.stats();
/// assert_eq!(stats.file_bytes, compact.bytes_after);
/// store.verify(&mut |fault| panic!("{fault}"));
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Store<D: Disk> {
    pub(super) disk: Arc<D>,
    pub(super) db: DbId,
    pub(super) access: Access,
    pub(super) data: DataFile<D::File>,
    pub(super) current: RwLock<State>,
    /// Where they lie, by object.
    pub(super) kept: RwLock<BTreeMap<u64, Mapping>>,
    pub(super) writer: Mutex<Writer<D::File>>,
    /// What the writer last said of itself, for those who must not wait for it.
    pub(super) figures: Mutex<Figures>,
}

impl<D: Disk> Store<D> {
    /// Creates a database with nothing in it, under a fresh random identity, and its log, which begins at
    /// `log_address`.
    ///
    /// When this returns the database survives a power cut. If it is interrupted or fails,
    /// nothing or all of it is there; what is left of an incomplete creation is in nobody's
    /// way.
    ///
    /// # Errors
    ///
    /// [`Error::Occupied`] if the directory holds any file but a lock and what an interrupted
    /// creation left; the disk's errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use holt_journal::disk::{Access, SimDisk};
    /// use holt_journal::store::Store;
    ///
    /// let disk = Arc::new(SimDisk::new(1));
    /// let id = Store::create(disk.clone(), 4096)?.db();
    /// let store = Store::open(disk, Access::ReadWrite)?;
    /// assert_eq!((store.db(), store.log_address()), (id, 4096));
    /// # Ok::<(), holt_journal::Error>(())
    /// ```
    pub fn create(disk: Arc<D>, log_address: u64) -> Result<Store<D>, Error> {
        open::create(disk, log_address)
    }

    /// Opens a database at its newest commit. Changes nothing, whatever the access; with
    /// [`Access::Read`] no file is opened for writing.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`] if there is none; [`Error::Missing`], [`Error::Damaged`],
    /// [`Error::Foreign`], [`Error::Format`] if what is there is not whole; the disk's errors.
    pub fn open(disk: Arc<D>, access: Access) -> Result<Store<D>, Error> {
        open::open(disk, access)
    }

    /// The database's identity.
    pub fn db(&self) -> DbId {
        self.db
    }

    /// Where the replay of the log starts: the address that the last commit was given.
    pub fn log_address(&self) -> u64 {
        self.current().log_address
    }

    /// The bytes that the last commit was given.
    pub fn meta(&self) -> Vec<u8> {
        self.current().meta.clone()
    }

    /// Every object, by ascending id, with the length of its image in bytes.
    pub fn objects(&self) -> Vec<(ObjectId, u64)> {
        let current = self.current();
        current.mapping.values().map(|m| (ObjectId(m.object), u64::from(m.len))).collect()
    }

    /// Replaces `out` by an object's image, as the last commit has it. One that it has not any more is
    /// found as it was, while it is [still read](super::ImageSource::still_read).
    ///
    /// # Errors
    ///
    /// [`Error::NoObject`]; [`Error::Damaged`] if the bytes there are not that image, whole;
    /// the disk's errors, after which other images can still be read. `out` is empty then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use holt_journal::disk::SimDisk;
    /// use holt_journal::store::{ImageSource, ObjectId, SourceError, Store};
    ///
    /// /// An object that is there first, then gone and still read, and then gone.
    /// struct Going(u32);
    ///
    /// impl ImageSource for Going {
    ///     fn dirty(&mut self) -> Vec<ObjectId> {
    ///         if self.0 == 0 { vec![ObjectId(1)] } else { Vec::new() }
    ///     }
    ///     fn freed(&mut self) -> Vec<ObjectId> {
    ///         if self.0 == 1 { vec![ObjectId(1)] } else { Vec::new() }
    ///     }
    ///     fn still_read(&mut self) -> Vec<ObjectId> {
    ///         if self.0 == 1 { vec![ObjectId(1)] } else { Vec::new() }
    ///     }
    ///     fn image(&mut self, _: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
    ///         out.extend_from_slice(b"image");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let store = Store::create(Arc::new(SimDisk::new(1)), 4096)?;
    /// let mut found = Vec::new();
    /// for stage in 0..3 {
    ///     store.checkpoint(5000, b"", &mut Going(stage), &mut || Ok(()))?;
    ///     found.push((store.objects().len(), store.read(ObjectId(1), &mut Vec::new()).is_ok()));
    /// }
    /// assert_eq!(found, [(1, true), (0, true), (0, false)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(&self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), Error> {
        let current = self.current();
        // The guards are held: what a mapping names is not given to anybody meanwhile.
        if let Some(mapping) = current.mapping.get(&object.0) {
            return self.data.read_image(self.db, mapping, out);
        }
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&object.0) {
            Some(mapping) => self.data.read_image(self.db, mapping, out),
            None => {
                out.clear();
                Err(Error::NoObject { object })
            }
        }
    }

    /// Says that these objects will most likely be read soon, so that the disk may fetch their images
    /// all at once. Reads nothing itself; unknown objects are ignored.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use holt_journal::disk::SimDisk;
    /// use holt_journal::store::{ObjectId, Store};
    ///
    /// let store = Store::create(Arc::new(SimDisk::new(1)), 4096)?;
    /// store.will_need(&[ObjectId(7)]);
    /// # Ok::<(), holt_journal::Error>(())
    /// ```
    pub fn will_need(&self, objects: &[ObjectId]) {
        let current = self.current();
        for mapping in objects.iter().filter_map(|object| current.mapping.get(&object.0)) {
            self.data.will_need(mapping);
        }
    }

    /// Makes the mark of the last commit durable, so that the next opening need not doubt it.
    ///
    /// Nothing is lost without it: a store may be dropped at any time.
    ///
    /// # Errors
    ///
    /// The disk's errors. No commit is in doubt for them.
    pub fn close(&self) -> Result<(), Error> {
        if self.access == Access::Read {
            return Ok(());
        }
        let mut writer = self.writer()?;
        let result = writer.settle_mark(&self.data, self.db, &self.current());
        self.publish_figures(&writer);
        result
    }

    /// Figures as of the last commit or failure. Waits for nobody.
    pub fn stats(&self) -> StoreStats {
        let panicked = matches!(self.writer.try_lock().map(drop), Err(TryLockError::Poisoned(_)));
        let figures = self.figures().clone();
        let current = self.current();
        let live = figures.taken_units - figures.held_units;
        StoreStats {
            objects: current.mapping.len() as u64,
            file_bytes: figures.file_units * EXTENT_UNIT,
            live_bytes: live * EXTENT_UNIT,
            image_bytes: current.image_bytes,
            free_bytes: figures.free_units * EXTENT_UNIT,
            held_bytes: figures.held_units * EXTENT_UNIT,
            manifest_bytes: figures.manifest_bytes,
            sequence: current.sequence,
            generation: current.generation,
            log_address: current.log_address,
            last_checkpoint: figures.last_checkpoint,
            failure: if panicked { Some(Error::CheckpointPanicked) } else { figures.failure },
        }
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        // Replaced whole, as the state is.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish_figures(&self, writer: &Writer<D::File>) {
        *self.figures() = writer.figures();
    }

    pub(super) fn current(&self) -> RwLockReadGuard<'_, State> {
        // A state is replaced whole: a panic elsewhere cannot leave half of one.
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept for readers, by the writer, when nobody reads it.
    pub(super) fn kept_for_change(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Mapping>> {
        // Each entry is whole.
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer, unless an earlier failure closed the store.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Writer<D::File>>, Error> {
        let writer = self.writer_even_if_closed()?;
        match &writer.failure {
            Some(failure) => Err(Error::StoreClosed(Box::new(failure.clone()))),
            None => Ok(writer),
        }
    }

    pub(super) fn writer_even_if_closed(&self) -> Result<MutexGuard<'_, Writer<D::File>>, Error> {
        let panicked = |_| Error::StoreClosed(Box::new(Error::CheckpointPanicked));
        self.writer.lock().map_err(panicked)
    }
}

/// Figures of a store. Sizes are bytes; those of a checkpoint that runs are not in yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreStats {
    /// Objects with an image.
    pub objects: u64,
    /// Length of the data file as this process knows it.
    pub file_bytes: u64,
    /// What the extents of the last commit take.
    pub live_bytes: u64,
    /// The part of `live_bytes` that is images with their headers, and not padding.
    pub image_bytes: u64,
    /// Holes below the last extent, free to be taken.
    pub free_bytes: u64,
    /// Space that is neither: of states that may still count, of images that are gone and still read, and
    /// of failed syncs.
    pub held_bytes: u64,
    /// Length of the manifest file, 0 before the first commit after an opening that starts a
    /// new one.
    pub manifest_bytes: u64,
    /// Commits since the database was created.
    pub sequence: u64,
    /// Generation of the last commit.
    pub generation: u64,
    /// Log address of the last commit.
    pub log_address: u64,
    /// When this process last committed a checkpoint, by the system's clock. Only for people
    /// to read.
    pub last_checkpoint: Option<SystemTime>,
    /// What closed the store for checkpoints.
    pub failure: Option<Error>,
}
