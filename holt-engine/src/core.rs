//! An open database: the parts, composed, and the one path by which anything is written.
//!
//! # The order of every write
//!
//! 1. The input is validated and the log's permit is taken. Only this step may block or be refused
//!    for want of space.
//! 2. Inside the gate the tree applies the change and calls the sequencer once, which turns the
//!    permit into an address in the log: the version. Whatever fails, fails before that call.
//! 3. Outside the gate the record is written into its place in the ring and published.
//! 4. The caller waits for what its durability asks for.
//!
//! - Between the sequencer's call and the publication nothing can fail. A panic there drops the
//!   reservation unpublished, which closes the journal for good: memory is ahead of the log.
//! - A change that was not applied hands its permit back and leaves no trace in the log.
//! - An operation that changed nothing waits at [`Durability::Os`] and [`Durability::Sync`] for the
//!   log as it was when it looked, so its answer rests on nothing that can vanish.

use std::fmt;
use std::io::ErrorKind;

use holt_art::{Pass, Pool, Version};
use holt_codec::{GRANULE, Record};
use holt_journal::disk::{Access, Disk, DiskFile};
use holt_journal::store::Store;
use holt_journal::{Ack, Journal};

use crate::background::{Checkpointer, Due};
use crate::catalog::{Catalog, DEFAULT_ID, MAX_TREE_NAME, Named};
use crate::error::Error;
use crate::options::{Durability, Options};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, lock};
use crate::{MAX_KEY, MAX_VALUE};

/// Beyond this address of the log no write is begun: versions end a margin of a tebibyte later.
const LAST_ADDRESS: u64 = (1 << 51) - (1 << 40);

/// Everything of an open database. Shared by its handles, through [`Lease`], and while it works by
/// the background thread.
pub(crate) struct Core<D: Disk> {
    pub(crate) pool: Arc<Pool>,
    pub(crate) catalog: Catalog,
    pub(crate) store: Store<D>,
    /// The log; none if the database was opened for reading alone.
    journal: Option<Journal<D>>,
    /// Address at which the log ended when the database was opened.
    recovered: u64,
    disk: Arc<D>,
    /// What writes wait for that do not say it themselves.
    pub(crate) durability: Durability,
    /// Held while a checkpoint is made: there is one at a time.
    pub(crate) checkpointing: Mutex<()>,
    /// When the next automatic checkpoint is due.
    pub(crate) due: Arc<Due>,
    /// Set once, by whoever closes.
    closed: AtomicBool,
    /// Keeps other processes out until the database is closed.
    lock: Mutex<Option<D::Lock>>,
}

impl<D: Disk> Core<D> {
    pub(crate) fn new(
        (pool, catalog): (Arc<Pool>, Catalog),
        (store, journal, recovered): (Store<D>, Option<Journal<D>>, u64),
        (disk, lock): (Arc<D>, D::Lock),
        options: &Options,
    ) -> Core<D> {
        let due = Due::new(store.log_address(), options.checkpoint_bytes);
        Core {
            pool,
            catalog,
            store,
            journal,
            recovered,
            disk,
            durability: options.durability,
            checkpointing: Mutex::new(()),
            due: Arc::new(due),
            closed: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
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
    /// [`Error::Closed`] or [`Error::ReadOnly`].
    pub(crate) fn journal(&self) -> Result<&Journal<D>, Error> {
        self.check_open()?;
        self.journal.as_ref().ok_or(Error::ReadOnly)
    }

    /// The log, if there is one, in whatever state.
    pub(crate) fn log(&self) -> Option<&Journal<D>> {
        self.journal.as_ref()
    }

    /// Writes one record: `apply` changes the tree and calls its second argument at the moment at
    /// which the change is certain, or returns without having changed anything.
    pub(crate) fn write<R>(
        &self,
        record: &Record<'_>,
        durability: Durability,
        apply: impl FnOnce(&Pass<'_>, &mut dyn FnMut() -> Version) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let journal = self.journal()?;
        // The margin is more than everybody together can reserve between this and his own turn.
        if journal.tail() > LAST_ADDRESS {
            return Err(holt_journal::Error::LogExhausted.into());
        }
        let mut permit = Some(journal.permit(record.encoded_len()?)?);
        let mut reservation = None;
        let pass = self.pool.enter();
        let outcome = apply(&pass, &mut || {
            let permit = permit.take().expect("a change is sequenced once");
            let address = reservation.insert(permit.reserve()).address();
            Version::new(address / GRANULE as u64).expect("addresses were checked to be versions")
        });
        drop(pass);
        let end = match reservation {
            Some(reservation) => {
                let end = reservation.end();
                reservation.publish(record);
                self.due.passed(end);
                end
            }
            None => {
                drop(permit);
                if outcome.is_err() || durability == Durability::Buffered {
                    return outcome;
                }
                journal.tail()
            }
        };
        journal.wait(end, ack(durability))?;
        outcome
    }

    /// The tree of this name, created if there is none.
    pub(crate) fn tree(&self, name: &str) -> Result<Arc<Named>, Error> {
        if name.is_empty() || name.len() > MAX_TREE_NAME {
            return Err(Error::TreeName { length: name.len() });
        }
        self.check_open()?;
        if let Some(named) = self.catalog.by_name(name) {
            return self.observed(named);
        }
        // Refused before the mutex is taken: a reader has nothing to wait for.
        self.journal()?;
        let _alone = self.catalog.creating();
        // Somebody else may have been faster.
        if let Some(named) = self.catalog.by_name(name) {
            return self.observed(named);
        }
        let id = self.catalog.next_id();
        let record = Record::CreateTree { tree: id, name: name.as_bytes() };
        let length = record.encoded_len()? as u64;
        let mut stray = None;
        let created = self.write(&record, self.durability, |pass, sequence| {
            let tree = self.pool.create_tree(pass)?;
            stray = Some(tree.root());
            let mut end = 0;
            self.catalog.insert(pass, name, id, &tree, || {
                let version = sequence();
                end = version.get() * GRANULE as u64 + length;
                version
            })?;
            stray = None;
            Ok(self.catalog.announce(name, id, tree, end))
        });
        if let Some(root) = stray {
            self.pool.free_tree(&self.pool.close_gate(), root)?;
        }
        created
    }

    /// A tree that is there, once its creation is as durable as the database's writes are: somebody
    /// else may have announced it and be waiting still.
    fn observed(&self, named: Arc<Named>) -> Result<Arc<Named>, Error> {
        if let Some(journal) = &self.journal
            && named.created > 0
        {
            journal.wait(named.created, ack(self.durability))?;
        }
        Ok(named)
    }

    /// The tree that every database has.
    pub(crate) fn default_tree(&self) -> Arc<Named> {
        self.catalog.by_id(DEFAULT_ID).expect("opening checks that the default tree is there")
    }

    /// Address at which the log ends.
    pub(crate) fn log_address(&self) -> u64 {
        self.journal.as_ref().map_or(self.recovered, Journal::tail)
    }

    /// Bytes of all files.
    pub(crate) fn file_bytes(&self) -> Result<u64, Error> {
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

    /// Waits until everything applied so far is on stable storage.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.check_open()?;
        match &self.journal {
            Some(journal) => Ok(journal.wait(journal.tail(), Ack::Sync)?),
            None => Ok(()),
        }
    }

    /// Ends all use: later calls of every handle get [`Error::Closed`]. What was written is on
    /// stable storage when this returns without an error. The second call does nothing.
    fn close(&self) -> Result<(), Error> {
        // Relaxed: see `check_open`.
        self.closed.store(true, Ordering::Relaxed);
        // Whoever takes the lock file's lock closes; who comes second waits for that and is done.
        let mut slot = lock(&self.lock);
        let Some(held) = slot.take() else { return Ok(()) };
        // A checkpoint on its way ends first: it writes to files that the lock protects.
        let checkpointing = lock(&self.checkpointing);
        let log = self.journal.as_ref().map_or(Ok(()), Journal::close);
        // After a failure of the log the store is left as it is: the next opening sorts it out.
        let outcome = log.and_then(|()| self.store.close());
        drop(checkpointing);
        drop(held);
        Ok(outcome?)
    }
}

impl<D: Disk> fmt::Debug for Core<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Core").field("db", &self.store.db()).finish_non_exhaustive()
    }
}

fn ack(durability: Durability) -> Ack {
    match durability {
        Durability::Buffered => Ack::Buffered,
        Durability::Os => Ack::Os,
        Durability::Sync => Ack::Sync,
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
    /// The process that opened the database: a forked child has copies of the handles, too.
    process: u32,
}

impl<D: Disk> Lease<D> {
    pub(crate) fn new(core: Core<D>) -> Result<Lease<D>, Error> {
        let automatic = core.journal.is_some() && core.due.automatic();
        let core = Arc::new(core);
        let mut lease = Lease { core, checkpointer: None, process: std::process::id() };
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
    fn the_last_address_and_its_margin_are_versions() {
        let end = LAST_ADDRESS + (1 << 40);
        assert_eq!(Version::new(end / GRANULE as u64 - 1), Some(Version::MAX));
    }

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
