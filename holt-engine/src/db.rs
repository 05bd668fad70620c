//! A database: the handle that everything else is reached through.

use std::fmt;
use std::io::Read;
use std::path::Path;

use holt_art::Version;
use holt_codec::GRANULE;
use holt_journal::disk::{Disk, RealDisk};

use crate::archive::{self, ImportOptions, Imported};
use crate::batch::{Applied, Batch};
use crate::checkpoint::{self, Checkpoint, Compaction};
use crate::core::{Core, Lease};
use crate::error::Error;
use crate::feed::Changes;
use crate::options::{Durability, Options};
use crate::replay;
use crate::snapshot::Snapshot;
use crate::stats::{self, Stats};
use crate::sync::Arc;
use crate::transaction::{self, Transaction};
use crate::tree::Tree;
use crate::verify::{self, Report};

/// An open database: one directory, one log, any number of trees.
///
/// A `Db` is a handle: cheap to clone, and usable by many threads at once. The database is closed,
/// and everything written is on stable storage, when [`close`](Self::close) returns or when the
/// last handle has been dropped, be it a `Db`, a [`Tree`], a [`Snapshot`] or an
/// [`Entries`](crate::Entries).
///
/// One process at a time has a database open for writing, or any number for reading alone.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("db");
/// let db = holt_engine::Db::open(&path)?;
/// db.default_tree().put(b"etc/hosts", b"127.0.0.1 localhost")?;
/// db.close()?;
///
/// let db = holt_engine::Db::open(&path)?;
/// assert_eq!(db.default_tree().get(b"etc/hosts")?.as_deref(), Some(&b"127.0.0.1 localhost"[..]));
/// # Ok(())
/// # }
/// ```
pub struct Db<D: Disk = RealDisk> {
    lease: Arc<Lease<D>>,
}

impl Db {
    /// Opens the database in the directory `path` with the default [`Options`]; it is created if
    /// there is none.
    ///
    /// # Errors
    ///
    /// See [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Db, Error> {
        Options::new().open(path)
    }

    /// A new, empty database in memory alone, with the default [`Options`]. It has the whole API and
    /// is gone with its last handle.
    ///
    /// # Errors
    ///
    /// See [`Options::in_memory`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// let db = holt_engine::Db::in_memory()?;
    /// db.default_tree().put(b"session/42", b"alice")?;
    /// assert!(db.default_tree().contains(b"session/42")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_memory() -> Result<Db, Error> {
        Options::new().in_memory()
    }
}

impl<D: Disk> Db<D> {
    pub(crate) fn new(lease: Lease<D>) -> Db<D> {
        Db { lease: Arc::new(lease) }
    }

    pub(crate) fn core(&self) -> &Core<D> {
        self.lease.core()
    }

    /// The tree that every database has, named `default`.
    #[must_use]
    pub fn default_tree(&self) -> Tree<D> {
        Tree::new(&self.lease, self.lease.core().default_tree())
    }

    /// The tree of this name, created if there is none. The creation is as durable as a write.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`] if the name is empty or longer than
    /// [`MAX_TREE_NAME`](crate::MAX_TREE_NAME) bytes, [`Error::ReadOnly`] if it does not exist in a
    /// database that is open for reading alone, and every error of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// let sessions = db.tree("sessions")?;
    /// sessions.put(b"42", b"alice")?;
    /// assert!(!db.default_tree().contains(b"42")?);
    /// assert_eq!(db.tree_names()?, ["default", "sessions"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tree(&self, name: &str) -> Result<Tree<D>, Error> {
        Ok(Tree::new(&self.lease, self.lease.core().tree(name)?))
    }

    /// The tree of this name, which there is.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`], [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// db.create_tree("users")?.put(b"1", b"alice")?;
    /// assert_eq!(db.open_tree("users")?.len()?, 1);
    /// assert!(matches!(db.open_tree("groups"), Err(holt_engine::Error::NoSuchTree { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_tree(&self, name: &str) -> Result<Tree<D>, Error> {
        Ok(Tree::new(&self.lease, self.lease.core().open_tree(name)?))
    }

    /// A new, empty tree of this name. The creation is as durable as a write.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::TreeExists`], [`Error::ReadOnly`], and every error of a write.
    ///
    /// # Examples
    ///
    /// See [`open_tree`](Self::open_tree).
    pub fn create_tree(&self, name: &str) -> Result<Tree<D>, Error> {
        Ok(Tree::new(&self.lease, self.lease.core().create_tree(name)?))
    }

    /// Gives the tree `from` the name `to`. Handles of the tree stay valid. The change is one
    /// record of the log, and as durable as a write.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`] for `from`, [`Error::TreeExists`] for `to`,
    /// [`Error::DefaultTree`], [`Error::ReadOnly`], and every error of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let users = db.create_tree("users.new")?;
    /// users.put(b"1", b"alice")?;
    /// db.rename_tree("users.new", "users")?;
    /// assert_eq!(users.name()?, "users");
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_tree(&self, from: &str, to: &str) -> Result<(), Error> {
        self.lease.core().rename_tree(from, to)
    }

    /// Drops the tree of this name with all that it holds. Its memory is free when this returns,
    /// its space on disk after the next checkpoint. Handles of it get [`Error::TreeDropped`] from
    /// now on. The change is one record of the log, and as durable as a write.
    ///
    /// Writers of all trees wait while its frames are freed, which takes time in proportion to
    /// their number.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`], [`Error::DefaultTree`], [`Error::ReadOnly`],
    /// and every error of a write. [`Error::Tree`] for damage in the tree's frames: the tree is
    /// gone then, and a part of its memory stays taken until the next opening.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let scratch = db.create_tree("scratch")?;
    /// db.drop_tree("scratch")?;
    /// assert!(matches!(scratch.get(b"key"), Err(holt_engine::Error::TreeDropped)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_tree(&self, name: &str) -> Result<(), Error> {
        self.lease.core().drop_tree(name)
    }

    /// The names of all trees, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn tree_names(&self) -> Result<Vec<String>, Error> {
        self.lease.core().check_open()?;
        Ok(self.lease.core().catalog.names())
    }

    /// The name of the tree with this [id](Tree::id); none if there is no such tree any more.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let users = db.tree("users")?;
    /// assert_eq!(db.tree_name(users.id())?.as_deref(), Some("users"));
    /// db.drop_tree("users")?;
    /// assert_eq!(db.tree_name(users.id())?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tree_name(&self, id: u64) -> Result<Option<String>, Error> {
        self.lease.core().check_open()?;
        Ok(self.lease.core().catalog.by_id(id).map(|named| named.name()))
    }

    /// The changes after a version, as long as the log has them: for caches, search indexes and
    /// copies elsewhere. Without a version, from the oldest change that the log has.
    ///
    /// A version is that of any operation, from a write, a [`Change`](crate::Change) or a feed's
    /// [position](crate::Feed::position); [`last_version`](Self::last_version) is the way to start
    /// with what is written from now on. What a checkpoint holds leaves the log, but for
    /// [`keep_log_bytes`](Options::keep_log_bytes) and what open feeds still need.
    ///
    /// [`Changes`] has filters by tree and prefix, and says how safe a change is when it is shown.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use holt_engine::Effect;
    ///
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// let files = db.default_tree();
    /// let before = db.last_version()?;
    /// let put = files.put(b"etc/motd", b"hello")?;
    /// let _moved = files.rename_prefix(b"etc/", b"config/")?;
    ///
    /// let mut feed = db.changes(Some(before)).prefix(&files, "etc/").open()?;
    /// let change = feed.next_within(Duration::from_secs(60))?.expect("the put");
    /// assert_eq!(change.version(), put);
    /// let change = feed.next_within(Duration::from_secs(60))?.expect("the renaming");
    /// let Effect::RenamePrefix { from, to, .. } = &change.operations()[0].effect else { panic!() };
    /// assert_eq!((&from[..], &to[..]), (&b"etc/"[..], &b"config/"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn changes(&self, after: Option<Version>) -> Changes<D> {
        Changes::new(&self.lease, after)
    }

    /// A version that no write up to now exceeds, and every later one does.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let first = db.default_tree().put(b"key", b"value")?;
    /// let last = db.last_version()?;
    /// assert!(first <= last && last < db.default_tree().put(b"key", b"value")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn last_version(&self) -> Result<Version, Error> {
        self.lease.core().check_open()?;
        // The granule before the log's end, which belongs to the last record.
        replay::version(self.lease.core().log_address() - GRANULE as u64)
    }

    /// Does several things together or not at all: `fill` says what, and what must hold for it. See
    /// [`Batch`] for what a batch can have in it. Waits for the database's
    /// [durability](crate::Options::durability), if a guard fails, too.
    ///
    /// - In memory: no get sees a part of it, nor does an operation with a condition. A scan that
    ///   runs meanwhile may.
    /// - In the log and after a crash: it is one record, which counts as a whole or not at all.
    /// - If `fill` returns an error, or a guard fails, or memory runs out half-way, nothing has
    ///   changed.
    ///
    /// All other writers wait while a batch is applied. `fill` itself runs before that, once, and
    /// may do anything.
    ///
    /// # Errors
    ///
    /// What `fill` returns; [`Error::GuardFailed`]; [`Error::TreeDropped`]; every error of a
    /// [`put`](Tree::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::{Error, Guard};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let (files, owners) = (db.tree("files")?, db.tree("owners")?);
    /// let applied = db.atomic(|batch| {
    ///     batch.require_absent(&files, b"report.txt")?;
    ///     batch.put(&files, b"report.txt", b"12 pages")?;
    ///     batch.put(&owners, b"alice/report.txt", b"")
    /// })?;
    /// assert_eq!(files.version(b"report.txt")?, applied.version(0));
    ///
    /// let refused = db.atomic(|batch| {
    ///     batch.delete(&owners, b"alice/report.txt")?;
    ///     batch.require_empty_prefix(&files, b"report")
    /// });
    /// let Err(Error::GuardFailed(failed)) = refused else { panic!("there is such a file") };
    /// assert_eq!((failed.number, failed.guard), (0, Guard::PrefixEmpty));
    /// assert!(owners.contains(b"alice/report.txt")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn atomic(
        &self,
        fill: impl FnOnce(&mut Batch<D>) -> Result<(), Error>,
    ) -> Result<Applied, Error> {
        self.atomic_with(self.lease.core().durability, fill)
    }

    /// As [`atomic`](Self::atomic), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`atomic`](Self::atomic).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let db = holt_engine::Db::in_memory()?;
    /// let tree = db.default_tree();
    /// db.atomic_with(Durability::Sync, |batch| {
    ///     batch.put(&tree, b"debit", b"10")?;
    ///     batch.put(&tree, b"credit", b"10")
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn atomic_with(
        &self,
        durability: Durability,
        fill: impl FnOnce(&mut Batch<D>) -> Result<(), Error>,
    ) -> Result<Applied, Error> {
        self.lease.core().log()?;
        let mut batch = Batch::new(&self.lease);
        fill(&mut batch)?;
        batch.commit(durability)
    }

    /// Runs `run`, which reads, decides and writes, as if nobody else wrote meanwhile: a transaction.
    /// What it has written happens as a whole when it returns, or not at all. See [`Transaction`].
    ///
    /// Nothing is locked while `run` runs. Before its writes are applied, what it has read is looked at
    /// once more, keys and lists as far as they were read, those too that found nothing. If others
    /// have changed it, nothing is applied, and `run` runs again, up to
    /// [`ATTEMPTS`](Transaction::ATTEMPTS) times in all. So transactions are serializable: each is as
    /// if it had happened at one moment, alone. Operations outside of transactions are such
    /// transactions of their own.
    ///
    /// All other writers wait while a transaction is looked over and applied; that takes as long
    /// as reading again what it has read and writing what it has written. One that has written
    /// nothing only reads a [snapshot](Self::snapshot): it is never in vain and waits for nobody.
    ///
    /// # Errors
    ///
    /// What `run` returns: nothing has changed then. [`Error::Conflict`] after the last attempt,
    /// [`Error::BatchTooLong`] if what is written does not fit in one record of the log,
    /// [`Error::TreeDropped`]; every error of a [`put`](Tree::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::Error;
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let accounts = db.tree("accounts")?;
    /// accounts.put(b"alice", &[10])?;
    /// accounts.put(b"bob", &[3])?;
    /// let transfer = |from: &[u8], to: &[u8], amount: u8| {
    ///     db.transact(|tx| {
    ///         let balance = |name| Ok::<_, Error>(tx.get(&accounts, name)?.map_or(0, |value| value[0]));
    ///         let (rich, poor) = (balance(from)?, balance(to)?);
    ///         let rest = rich.checked_sub(amount).ok_or(Error::Aborted("not enough".into()))?;
    ///         tx.put(&accounts, from, &[rest])?;
    ///         tx.put(&accounts, to, &[poor + amount])
    ///     })
    /// };
    /// transfer(b"alice", b"bob", 7)?;
    /// assert!(matches!(transfer(b"alice", b"bob", 7), Err(Error::Aborted(_))));
    /// assert_eq!(accounts.get(b"alice")?, Some(vec![3]));
    /// assert_eq!(accounts.get(b"bob")?, Some(vec![10]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact<R>(
        &self,
        run: impl FnMut(&Transaction<D>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.transact_with(self.lease.core().durability, Transaction::<D>::ATTEMPTS, run)
    }

    /// As [`transact`](Self::transact), waiting for `durability`, and trying `attempts` times, but
    /// at least once.
    ///
    /// # Errors
    ///
    /// As [`transact`](Self::transact).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::{Durability, Error};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let tree = db.default_tree();
    /// let in_vain = db.transact_with(Durability::Sync, 3, |tx| {
    ///     tx.get(&tree, b"key")?;
    ///     tree.put(b"key", b"by somebody else")?;
    ///     tx.put(&tree, b"key", b"mine")
    /// });
    /// assert!(matches!(in_vain, Err(Error::Conflict { attempts: 3 })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact_with<R>(
        &self,
        durability: Durability,
        attempts: u32,
        run: impl FnMut(&Transaction<D>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        transaction::transact(&self.lease, durability, attempts, run)
    }

    /// All trees as they are now, for reading at any time later: see [`Snapshot`].
    ///
    /// It has what has been applied, whether that is on stable storage yet or not. Writers wait for
    /// a moment; how long that is does not depend on what the database holds.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let tree = db.default_tree();
    /// tree.put(b"page", b"draft")?;
    /// let draft = db.snapshot()?;
    /// tree.put(b"page", b"final")?;
    /// assert_eq!(draft.default_tree()?.get(b"page")?.as_deref(), Some(&b"draft"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot<D>, Error> {
        Snapshot::take(&self.lease)
    }

    /// Reads an archive, as [`Snapshot::export`] writes it, into trees of this database: all of it, or
    /// nothing.
    ///
    /// - Into trees that are not there yet; the default tree counts as one while it is empty. The
    ///   archive is read to its end, and known to be whole, before any of its trees has its name.
    /// - With [`merge`](ImportOptions::merge), into trees that are there, too: only after the whole
    ///   archive was read its records are put, some at a time, in place of the values that their
    ///   keys have. Readers may see a part of that.
    ///
    /// After an error, and killed or without power at any moment, all of the archive is there or nothing
    /// of it: the next opening for writing brings to an end what was begun. Until then there are trees
    /// with names that begin with `holt.import`. Memory on the way is bounded but for what
    /// the trees take; writers go on. The records get new versions.
    ///
    /// # Errors
    ///
    /// [`Error::Archive`] for an archive that is cut short or damaged; [`Error::WrongArchive`];
    /// [`Error::TreeExists`] for a tree that is there, unless it is to be merged;
    /// [`Error::Importing`] while another import is under way; and every error of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::{Error, ImportOptions};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let (from, to) = (holt_engine::Db::in_memory()?, holt_engine::Db::in_memory()?);
    /// from.tree("files")?.put(b"a", b"1")?;
    /// let mut archive = Vec::new();
    /// from.snapshot()?.export().write_to(&mut archive)?;
    ///
    /// let imported = to.import(&archive[..], &ImportOptions::new())?;
    /// assert_eq!((imported.trees, imported.records), (2, 1));
    /// let again = to.import(&archive[..], &ImportOptions::new());
    /// assert!(matches!(again, Err(Error::TreeExists { name }) if name == "files"));
    /// to.import(&archive[..], ImportOptions::new().merge(true))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn import(&self, from: impl Read, options: &ImportOptions) -> Result<Imported, Error> {
        archive::import(self, from, options)
    }

    /// Waits until everything written so far is on stable storage, whatever it asked for itself.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], or the failure of the log.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// for number in 0..1000_u32 {
    ///     db.default_tree().put(&number.to_be_bytes(), b"")?;
    /// }
    /// db.sync()?; // all of them, at the price of one
    /// # Ok(())
    /// # }
    /// ```
    pub fn sync(&self) -> Result<(), Error> {
        self.lease.core().sync()
    }

    /// Writes everything that has changed since the last checkpoint to the frame file, and gives up
    /// the log before it. Opening has nothing to replay afterwards, apart from what is written
    /// meanwhile. Readers and writers go on.
    ///
    /// Killed or without power at any moment of it, the database opens with the same contents.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::ReadOnly`], or the failure of the disk. After an error the
    /// previous checkpoint counts and its log is still there.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// db.default_tree().put(b"key", b"value")?;
    /// let made = db.checkpoint()?;
    /// assert_eq!(made.log_address, db.stats()?.log_address, "opening has nothing to replay");
    /// # Ok(())
    /// # }
    /// ```
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        // Before the first image: to a child the parent's newest images may lie in free space.
        self.lease.check_process()?;
        checkpoint::make(self.lease.core())
    }

    /// Makes the frame file as short as it can be: makes a checkpoint, then moves what lies at the
    /// file's end into holes and gives the end back. For after heavy deletion; what churn leaves is
    /// given back without it. Readers and writers go on. Killed or without power at any moment of
    /// it, the database opens with the same contents.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint). What was moved before the error stays moved.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// db.default_tree().delete_prefix(b"tmp/")?;
    /// let compaction = db.compact()?;
    /// assert!(compaction.bytes_after <= compaction.bytes_before);
    /// # Ok(())
    /// # }
    /// ```
    pub fn compact(&self) -> Result<Compaction, Error> {
        self.lease.check_process()?;
        checkpoint::compact(self.lease.core())
    }

    /// What the database holds and takes, as of now.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// db.default_tree().put(b"key", b"value")?;
    /// assert_eq!(db.stats()?.keys, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> Result<Stats, Error> {
        stats::of(self.lease.core())
    }

    /// Checks what is on disk and what is in memory: every checksum of the last checkpoint, every
    /// invariant of the trees, and that every frame is reachable. Writers wait while the trees are
    /// checked. See [`verify`](crate::verify()) for a database that nobody has open.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]. What is found wrong is no error but part of the report.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// db.default_tree().put(b"key", b"value")?;
    /// assert!(db.verify()?.faults.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn verify(&self) -> Result<Report, Error> {
        verify::of(self.lease.core())
    }

    /// Closes the database for all handles, whose calls get [`Error::Closed`] from now on.
    ///
    /// When this returns without an error, everything written is on stable storage. Dropping the
    /// last handle does the same, and has nobody to tell of an error.
    ///
    /// # Errors
    ///
    /// The failure of the log: what was not durable before may be lost. The database counts as
    /// closed all the same.
    pub fn close(self) -> Result<(), Error> {
        self.lease.close()
    }
}

impl<D: Disk> Clone for Db<D> {
    fn clone(&self) -> Db<D> {
        Db { lease: Arc::clone(&self.lease) }
    }
}

impl<D: Disk> fmt::Debug for Db<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Db").field(self.lease.core()).finish()
    }
}
