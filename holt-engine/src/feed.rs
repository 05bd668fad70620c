//! Feeds: the changes of a database after a version, those to come among them.
//!
//! - What a feed shows is read from the log, which writers have written anyway: a feed costs them
//!   nothing but the segments that it still needs.
//! - It shows changes in the order of their versions, each once, and each batch as one.

use std::fmt;
use std::time::{Duration, Instant};

use holt_art::Version;
use holt_codec::GRANULE;
use holt_journal::disk::{Disk, RealDisk};
use holt_journal::{Ack, LogFeed};

use crate::change::{Change, Filter, of_record};
use crate::core::{Core, Lease, check_key};
use crate::error::Error;
use crate::log::Log;
use crate::options::Durability;
use crate::replay;
use crate::sync::Arc;
use crate::tree::Tree;

/// What to show of a database's changes, and from where on: what
/// [`Db::changes`](crate::Db::changes) gives. [`open`](Self::open) makes the [`Feed`] of it.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use holt_engine::Durability;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let db = holt_engine::Db::open(directory.path())?;
/// let (files, other) = (db.create_tree("files")?, db.create_tree("other")?);
/// let start = db.last_version()?;
/// // What touches one tree, or a prefix of another, as soon as the operating system has it.
/// let feed = db.changes(Some(start)).tree(&files).prefix(&other, "config/").durability(Durability::Os);
/// let mut feed = feed.open()?;
/// files.put(b"a", b"")?;
/// other.put(b"cache/1", b"")?;
/// other.put(b"config/port", b"80")?;
/// db.sync()?;
/// assert_eq!(feed.next().transpose()?.expect("a").operations()[0].tree, files.id());
/// assert_eq!(feed.next().transpose()?.expect("the port").operations()[0].tree, other.id());
/// assert!(feed.next().is_none());
/// # Ok(())
/// # }
/// ```
#[must_use = "this says what a feed is to show; `open` makes the feed"]
pub struct Changes<D: Disk = RealDisk> {
    lease: Arc<Lease<D>>,
    after: Option<Version>,
    filter: Filter,
    /// What is wrong with the filter.
    wrong: Option<Error>,
    durability: Durability,
}

impl<D: Disk> Changes<D> {
    pub(crate) fn new(lease: &Arc<Lease<D>>, after: Option<Version>) -> Changes<D> {
        let (lease, durability) = (Arc::clone(lease), lease.core().durability);
        Changes { lease, after, filter: Filter::default(), wrong: None, durability }
    }

    /// Shows what touches this tree. With several trees and prefixes: what touches any of them.
    pub fn tree(self, tree: &Tree<D>) -> Changes<D> {
        self.prefix(tree, b"")
    }

    /// Shows what touches keys of this tree that begin with `prefix`: operations on such a key, on a
    /// prefix that may have had such keys, and on the whole tree.
    pub fn prefix(mut self, tree: &Tree<D>, prefix: impl AsRef<[u8]>) -> Changes<D> {
        let prefix = prefix.as_ref();
        if !std::ptr::eq(tree.core(), self.lease.core()) {
            self.wrong.get_or_insert(Error::OtherDatabase);
        } else if let Err(error) = check_key(prefix) {
            self.wrong.get_or_insert(error);
        }
        self.filter.add(tree.id(), prefix);
        self
    }

    /// Shows a change once it is so safe, whatever its writer waited for. By default as safe as the
    /// database's [durability](crate::Options::durability).
    ///
    /// - [`Durability::Sync`]: once it is on stable storage. What is shown survives everything. A
    ///   change that nobody waits for to be synced comes with the next one, the next checkpoint or
    ///   [`Db::sync`](crate::Db::sync).
    /// - [`Durability::Os`] and [`Durability::Buffered`]: once it has been handed to the operating
    ///   system, which is within the [window](crate::Options::buffer_window). What is shown
    ///   survives the process being killed. A loss of power may take back what was shown last;
    ///   opening a feed after a version that was lost is [`Error::UnknownVersion`].
    pub fn durability(mut self, durability: Durability) -> Changes<D> {
        self.durability = durability;
        self
    }

    /// Opens the feed.
    ///
    /// # Errors
    ///
    /// - [`Error::ChangesGone`]: the log no longer has all changes after the version.
    /// - [`Error::UnknownVersion`]: the version was lost in a crash, is not given yet, or is another
    ///   database's.
    /// - [`Error::NoLog`] for a database in memory, [`Error::Closed`], [`Error::OtherDatabase`] and
    ///   [`Error::KeyTooLong`] for the filter, [`Error::Journal`] if the log cannot be read.
    pub fn open(self) -> Result<Feed<D>, Error> {
        let Changes { lease, after, filter, wrong, durability } = self;
        if let Some(error) = wrong {
            return Err(error);
        }
        let log = open_log(lease.core(), after, durability)?;
        Ok(Feed { lease, log, filter })
    }
}

impl<D: Disk> fmt::Debug for Changes<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Changes")
            .field("after", &self.after)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

pub(crate) fn open_log<D: Disk>(
    core: &Core<D>,
    after: Option<Version>,
    durability: Durability,
) -> Result<LogFeed<D>, Error> {
    let after = after.map(|version| version.get() * GRANULE as u64);
    let ack = if durability == Durability::Sync { Ack::Sync } else { Ack::Os };
    match (core.log_for_checkpoint(), &core.files) {
        (Ok(Log::Journal(journal)), _) => Ok(LogFeed::follow(journal, after, ack)?),
        (Err(Error::ReadOnly), Some(files)) => {
            Ok(LogFeed::of_files(&files.disk, files.store.db(), files.recovered, after)?)
        }
        (Err(error), _) => Err(error),
        (Ok(Log::Memory(_)), _) => Err(Error::NoLog),
    }
}

/// The changes of a database in the order of their versions, from one on.
///
/// It is an iterator that ends for the moment when everything was shown: asked later, it goes on
/// with what came meanwhile. [`next_within`](Self::next_within) waits for it.
///
/// A feed keeps the database open, and the log from where it is on, up to
/// [`feed_bytes`](crate::Options::feed_bytes) of it. One that lags further behind gets
/// [`Error::ChangesGone`]. One that was closed meanwhile can go on after
/// [`position`](Self::position) as long as the log is there, for which
/// [`keep_log_bytes`](crate::Options::keep_log_bytes) cares.
///
/// # Examples
///
/// See [`Db::changes`](crate::Db::changes).
pub struct Feed<D: Disk = RealDisk> {
    lease: Arc<Lease<D>>,
    log: LogFeed<D>,
    filter: Filter,
}

impl<D: Disk> Feed<D> {
    /// The next change, for which it waits up to `timeout`; none if there is none by then. It is woken
    /// by the write, or by the sync, that makes the change as safe as the feed shows.
    ///
    /// A database that is open for reading alone does not change, so there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// - [`Error::ChangesGone`]: the feed has lagged too far behind.
    /// - [`Error::Closed`]: the database was closed.
    /// - [`Error::Journal`]: the log cannot be read, or a failure has closed it and everything
    ///   that was written before has been shown.
    /// - [`Error::UnknownRecord`]: a later version has written the log.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use std::time::Duration;
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// let mut feed = db.changes(Some(db.last_version()?)).open()?;
    /// assert!(feed.next_within(Duration::ZERO)?.is_none());
    /// let put = db.default_tree().put_with(b"key", b"value", holt_engine::Durability::Os)?;
    /// let change = feed.next_within(Duration::from_secs(60))?.expect("it is there");
    /// assert_eq!(change.version(), put);
    /// // Here a feed that is opened later goes on.
    /// assert!(feed.position()? >= put);
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Change>, Error> {
        // Beyond what a clock can say is for ever.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(change) = self.pull()? {
                return Ok(Some(change));
            }
            let left =
                deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if !self.log.wait(left)? {
                return Ok(None);
            }
        }
    }

    /// The version after which a new feed goes on where this one is. It moves on over changes that
    /// the filter leaves out, too, and is what to keep for the next start.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], if the log is at an address that is no version.
    pub fn position(&self) -> Result<Version, Error> {
        replay::version(self.log.passed())
    }

    /// The next change, if there is one by now.
    fn pull(&mut self) -> Result<Option<Change>, Error> {
        loop {
            self.lease.core().check_open()?;
            let filter = &self.filter;
            match self.log.next_record(|address, record| of_record(address, record, filter))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(Some(change))) => return Ok(Some(change)),
                // Nothing that the filter shows.
                Some(Ok(None)) => {}
            }
        }
    }
}

impl<D: Disk> Iterator for Feed<D> {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Result<Change, Error>> {
        self.pull().transpose()
    }
}

impl<D: Disk> fmt::Debug for Feed<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Feed").field("log", &self.log).finish_non_exhaustive()
    }
}
