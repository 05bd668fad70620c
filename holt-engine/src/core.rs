//! An open database: the parts, composed, and the one path by which anything is written.
//!
//! # The order of every write
//!
//! 1. The input is validated and the log's permit is taken. Only this step may block. What then finds
//!    no room in memory leaves the gate, waits for room, and begins anew (see `room.rs`).
//! 2. Inside the gate the tree applies the change and calls the sequencer once, which turns the
//!    permit into an address in the log: the version. Whatever fails, fails before that call.
//! 3. Outside the gate the record is written into its place in the ring and published.
//! 4. The caller waits for what its durability asks for.
//!
//! - Between the sequencer's call and the publication nothing can fail. A panic there drops the
//!   reservation unpublished, which closes the journal for good: memory is ahead of the log.
//! - A change that was not applied hands its permit back and leaves no trace in the log.
//! - What keeps a change from being applied for the moment, a frame that is not in memory or too many
//!   that have changed, is dealt with outside the gate and without a permit. Then all begins anew.
//! - An operation that changed nothing waits at [`Durability::Os`] and [`Durability::Sync`] for the
//!   log as it was when it looked, so its answer rests on nothing that can vanish.

use std::fmt;
use std::io::ErrorKind;

use holt_art::{Closed, Pass, Pool, Version};
use holt_codec::{DbId, Record};
use holt_journal::disk::{Access, Disk, DiskFile};
use holt_journal::store::Store;

use crate::background::{Checkpointer, Due};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::log::{Log, Reservation};
use crate::options::{Durability, Options};
use crate::pressure::Patience;
use crate::reclaim::{Reclaimer, Trash};
use crate::snapshot::Snapshots;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, lock};
use crate::{MAX_KEY, MAX_VALUE};

/// Everything of an open database. Shared by its handles, through [`Lease`], and while it works by
/// the background thread.
pub(crate) struct Core<D: Disk> {
    pub(crate) pool: Arc<Pool>,
    pub(crate) catalog: Catalog,
    /// Where the database is kept; none if it lives in memory alone.
    pub(crate) files: Option<Files<D>>,
    /// The order of writes; none if the database was opened for reading alone.
    log: Option<Log<D>>,
    /// What writes wait for that do not say it themselves.
    pub(crate) durability: Durability,
    /// Held while a checkpoint is made: there is one at a time.
    pub(crate) checkpointing: Mutex<()>,
    /// When the next automatic checkpoint is due.
    pub(crate) due: Arc<Due>,
    /// How the thread that empties the trash hears of it.
    pub(crate) trash: Arc<Trash>,
    /// The snapshots that are open.
    pub(crate) snapshots: Snapshots,
    /// Set once, by whoever closes.
    closed: AtomicBool,
}

/// What a database has on disk.
pub(crate) struct Files<D: Disk> {
    pub(crate) store: Arc<Store<D>>,
    pub(crate) disk: Arc<D>,
    /// Address at which the log ended when the database was opened.
    pub(crate) recovered: u64,
    /// Keeps other processes out until the database is closed.
    lock: Mutex<Option<D::Lock>>,
    /// Whether it is read without a lock, and another process may be writing it.
    beside: bool,
}

impl<D: Disk> Files<D> {
    pub(crate) fn new(
        store: Arc<Store<D>>,
        disk: Arc<D>,
        recovered: u64,
        lock: D::Lock,
    ) -> Files<D> {
        Files { store, disk, recovered, lock: Mutex::new(Some(lock)), beside: false }
    }

    /// The files of a database that another process may be writing.
    pub(crate) fn beside(store: Arc<Store<D>>, disk: Arc<D>, recovered: u64) -> Files<D> {
        Files { store, disk, recovered, lock: Mutex::new(None), beside: true }
    }

    /// Syncs what another process may have handed to the operating system alone.
    fn sync(&self) -> Result<(), Error> {
        let failed = |source| Error::Io { doing: "sync the files", source };
        for name in self.disk.list().map_err(failed)? {
            match self.disk.open(&name, Access::Read).and_then(|file| file.sync_data()) {
                // A segment that was given up between the two calls.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                synced => synced.map_err(failed)?,
            }
        }
        Ok(())
    }

    /// Bytes of all files.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        let failed = |source| Error::Io { doing: "measure the files", source };
        let mut bytes = 0;
        for name in self.disk.list().map_err(failed)? {
            match self.disk.open(&name, Access::Read).and_then(|file| file.len()) {
                Ok(length) => bytes += length,
                // A segment that was given up between the two calls.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(bytes)
    }
}

impl<D: Disk> Core<D> {
    pub(crate) fn new(
        (pool, catalog): (Arc<Pool>, Catalog),
        files: Option<Files<D>>,
        log: Option<Log<D>>,
        options: &Options,
    ) -> Core<D> {
        // A database in memory has nothing to make checkpoints of.
        let due = match &files {
            Some(files) => Due::new(files.store.log_address(), options),
            None => Due::new(0, Options::new().checkpoint_bytes(0)),
        };
        Core {
            pool,
            catalog,
            files,
            log,
            durability: options.durability,
            checkpointing: Mutex::new(()),
            due: Arc::new(due),
            trash: Arc::default(),
            snapshots: Snapshots::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// # Errors
    ///
    /// [`Error::Closed`] after the database was closed.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        // Relaxed: a call that overlaps the closing may go either way, and nothing is published
        // through the flag.
        if self.closed.load(Ordering::Relaxed) { Err(Error::Closed) } else { Ok(()) }
    }

    /// The log, for somebody who wants to write.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::ReadOnly`] or [`Error::CheckpointsFail`].
    pub(crate) fn log(&self) -> Result<&Log<D>, Error> {
        self.due.check()?;
        self.log_for_checkpoint()
    }

    /// The log, for somebody who makes a checkpoint, which is what ends the refusal of writes.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] or [`Error::ReadOnly`].
    pub(crate) fn log_for_checkpoint(&self) -> Result<&Log<D>, Error> {
        self.check_open()?;
        self.log.as_ref().ok_or(Error::ReadOnly)
    }

    /// Writes one record: `apply` changes the tree and calls its second argument at the moment at
    /// which the change is certain, or returns without having changed anything. It is called again
    /// if what it lacked has been provided.
    #[inline]
    pub(crate) fn write<R>(
        &self,
        record: &Record<'_>,
        durability: Durability,
        apply: impl FnMut(&Pass<'_>, &mut dyn FnMut() -> Version) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.write_inside(record, durability, || self.pool.enter(), apply)
    }

    /// As [`write`](Self::write), alone behind the closed gate.
    pub(crate) fn write_alone<R>(
        &self,
        record: &Record<'_>,
        durability: Durability,
        apply: impl FnMut(&Closed<'_>, &mut dyn FnMut() -> Version) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.write_inside(record, durability, || self.pool.close_gate(), apply)
    }

    #[inline]
    fn write_inside<G, R>(
        &self,
        record: &Record<'_>,
        durability: Durability,
        gate: impl Fn() -> G,
        mut apply: impl FnMut(&G, &mut dyn FnMut() -> Version) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut patience = Patience::new();
        loop {
            self.wait_for_copies();
            let log = self.log()?;
            let mut permit = Some(log.permit(record.encoded_len()?)?);
            let mut reservation = None;
            let inside = gate();
            let outcome = apply(&inside, &mut || {
                let permit = permit.take().expect("a change is sequenced once");
                reservation.insert(permit.reserve()).version()
            });
            drop(inside);
            match (reservation, outcome) {
                (Some(reservation), outcome) => {
                    self.publish(record, reservation, durability)?;
                    return outcome;
                }
                (None, Ok(done)) => {
                    drop(permit);
                    self.rest(durability)?;
                    return Ok(done);
                }
                // An error promises nothing, so it has nothing to wait for.
                (None, Err(error)) => {
                    drop(permit);
                    self.provide(error, &mut patience)?;
                }
            }
        }
    }

    /// Ends a write that has been applied.
    pub(crate) fn publish(
        &self,
        record: &Record<'_>,
        reservation: Reservation<'_, D>,
        durability: Durability,
    ) -> Result<(), Error> {
        let end = reservation.end();
        reservation.publish(record);
        self.due.passed(end);
        if self.pool.is_pressed() {
            self.due.hurry();
        }
        self.log.as_ref().ok_or(Error::ReadOnly)?.wait(end, durability)
    }

    /// Waits, for an operation that changed nothing, until what it saw cannot vanish.
    pub(crate) fn rest(&self, durability: Durability) -> Result<(), Error> {
        if durability == Durability::Buffered {
            return Ok(());
        }
        let log = self.log.as_ref().ok_or(Error::ReadOnly)?;
        log.wait(log.tail(), durability)
    }

    /// Waits until the log is as safe as the database's writes are up to `end`, which somebody else
    /// has written.
    pub(crate) fn observed(&self, end: u64) -> Result<(), Error> {
        match &self.log {
            Some(log) if end > 0 => log.wait(end, self.durability),
            _ => Ok(()),
        }
    }

    /// Which database this is; zeros for one in memory.
    pub(crate) fn db_id(&self) -> DbId {
        self.files.as_ref().map_or(DbId([0; 16]), |files| files.store.db())
    }

    /// Address at which the log ends.
    pub(crate) fn log_address(&self) -> u64 {
        match (&self.log, &self.files) {
            (Some(log), _) => log.tail(),
            (None, files) => files.as_ref().map_or(0, |files| files.recovered),
        }
    }

    /// Why the database is closed for writing, if a failure closed it.
    pub(crate) fn log_failure(&self) -> Option<holt_journal::Error> {
        self.log.as_ref().and_then(Log::failure)
    }

    /// Waits until everything applied so far is on stable storage.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.check_open()?;
        match (&self.log, &self.files) {
            (Some(log), _) => log.wait(log.tail(), Durability::Sync),
            (None, Some(files)) if files.beside => files.sync(),
            _ => Ok(()),
        }
    }

    /// Ends all use: later calls of every handle get [`Error::Closed`]. What was written is on
    /// stable storage when this returns without an error. The second call does nothing.
    fn close(&self) -> Result<(), Error> {
        // Relaxed: see `check_open`.
        self.closed.store(true, Ordering::Relaxed);
        let Some(files) = &self.files else { return Ok(()) };
        // Whoever takes the lock file's lock closes; who comes second waits for that and is done.
        let mut slot = lock(&files.lock);
        let Some(held) = slot.take() else { return Ok(()) };
        // A checkpoint on its way ends first: it writes to files that the lock protects.
        let checkpointing = lock(&self.checkpointing);
        let log = self.log.as_ref().map_or(Ok(()), Log::close);
        // After a failure of the log the store is left as it is: the next opening sorts it out.
        let outcome = log.and_then(|()| Ok(files.store.close()?));
        drop(checkpointing);
        drop(held);
        outcome
    }
}

impl<D: Disk> fmt::Debug for Core<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let db = self.files.as_ref().map(|files| files.store.db());
        out.debug_struct("Core").field("db", &db).finish_non_exhaustive()
    }
}

/// # Errors
///
/// [`Error::KeyTooLong`].
pub(crate) fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.len() > MAX_KEY { Err(Error::KeyTooLong { length: key.len() }) } else { Ok(()) }
}

/// # Errors
///
/// [`Error::ValueTooLong`].
pub(crate) fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > MAX_VALUE { Err(Error::ValueTooLong { length: value.len() }) } else { Ok(()) }
}

/// What handles own: the database is closed when the last of them goes.
///
/// The background thread never owns one, so it cannot be the last, and whoever drops the last
/// handle returns only when everything is on disk.
#[derive(Debug)]
pub(crate) struct Lease<D: Disk> {
    core: Arc<Core<D>>,
    checkpointer: Option<Checkpointer>,
    reclaimer: Option<Reclaimer>,
    /// The process that opened the database: a forked child has copies of the handles, too.
    process: u32,
}

impl<D: Disk> Lease<D> {
    pub(crate) fn new(core: Core<D>) -> Result<Lease<D>, Error> {
        let automatic = core.log.is_some() && core.due.automatic();
        let core = Arc::new(core);
        let mut lease =
            Lease { core, checkpointer: None, reclaimer: None, process: std::process::id() };
        if lease.core.log.is_some() {
            lease.reclaimer = Some(Reclaimer::start(&lease.core)?);
        }
        if automatic {
            lease.checkpointer = Some(Checkpointer::start(&lease.core)?);
        }
        Ok(lease)
    }

    pub(crate) fn core(&self) -> &Core<D> {
        &self.core
    }

    /// # Errors
    ///
    /// The log's, in a child of the process that opened the database.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.process == std::process::id() {
            Ok(())
        } else {
            Err(holt_journal::Error::Forked { owner: self.process }.into())
        }
    }

    /// Closes the database for all handles.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.check_process().inspect_err(|_| {
            // The parent closes it. The child must not flush, nor wait for threads that it does
            // not have; nor may it drop what they may have held locked.
            std::mem::forget(Arc::clone(&self.core));
        })?;
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.stop();
        }
        if let Some(reclaimer) = &self.reclaimer {
            reclaimer.stop();
        }
        self.core.close()
    }
}

impl<D: Disk> Drop for Lease<D> {
    fn drop(&mut self) {
        // Whoever wants to hear of an error calls `close`.
        let _ = self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_to_the_byte() {
        assert!(check_key(&vec![0; MAX_KEY]).is_ok());
        let long = check_key(&vec![0; MAX_KEY + 1]);
        assert!(matches!(long, Err(Error::KeyTooLong { length }) if length == MAX_KEY + 1));
        assert!(check_value(&vec![0; MAX_VALUE]).is_ok());
        let long = check_value(&vec![0; MAX_VALUE + 1]);
        assert!(matches!(long, Err(Error::ValueTooLong { length }) if length == MAX_VALUE + 1));
    }
}
