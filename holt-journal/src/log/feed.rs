//! Following the log: its records in order, while it is being written.
//!
//! * A feed shows what is as safe as its [`Ack`] says, and nothing before: up to the written mark, or the synced one.
//! * It begins after any address that a record or an operation in it has had. One of which nothing is in the log any more, since
//!   a crash took it, is an error: whoever has seen what was there has seen what never was.
//! * It holds the segments that it still needs, up to a bound ([`LogOptions::feed_bytes`](crate::LogOptions)). A feed
//!   that lags further behind is cut off and told so.
//! * What it reads is checked like everything else: a segment that was recycled under a feed that is cut off cannot pass for
//!   the log, since each checksum covers its record's address.

use std::fmt;
use std::time::Duration;

use holt_codec::{DbId, FIRST_ADDRESS, GRANULE, LogReader, Record};

use super::journal::{Ack, Journal};
use super::recovery::{Files, list, undecodable};
use super::row::{Row, read_error};
use super::segments::Settled;
use super::shared::Shared;
use crate::Error;
use crate::disk::Disk;
use crate::sync::{Arc, lock};

/// Bytes that a feed goes on before it says that it needs no more what lies behind it.
const STEP: u64 = 256 << 10;

/// What the feeds of a log hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFeeds {
    /// Feeds that are open and not cut off.
    pub open: u64,
    /// The lowest address from which one of them needs the log, to within 256 KiB.
    pub slowest: Option<u64>,
    /// Feeds that were cut off since the log was opened.
    pub cut_off: u64,
}

/// The records of a log after an address, in order; those to come, too, if the log is open.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
/// use holt_journal::disk::SimDisk;
/// use holt_journal::{Ack, Journal, LogFeed, LogFeeds, LogOptions, create_log, recover_log};
///
/// let (disk, db) = (Arc::new(SimDisk::new(1)), DbId([1; 16]));
/// create_log(&disk, db)?;
/// let nothing = recover_log::<_, holt_journal::Error>(&disk, db, FIRST_ADDRESS, &mut |_, _| Ok(()))?;
/// let options = LogOptions { segment_bytes: 1 << 16, ..LogOptions::default() };
/// let journal = Journal::start(Arc::clone(&disk), db, nothing, options)?;
/// let mut feed = LogFeed::follow(&journal, None, Ack::Os)?;
/// assert!(!feed.wait(Duration::ZERO)?);
///
/// let record = Record::from(Op::Put { tree: 1, key: b"k", value: b"v" });
/// let reservation = journal.permit(record.encoded_len()?)?.reserve();
/// let end = reservation.end();
/// reservation.publish(&record);
/// journal.wait(end, Ack::Os)?;
///
/// assert!(feed.wait(Duration::from_secs(60))?);
/// let address = feed.next_record(|address, found| (found == record).then_some(address))?;
/// assert_eq!(address, Some(Some(FIRST_ADDRESS)));
/// assert_eq!(feed.next_record(|_, _| ())?, None);
/// let feeds: LogFeeds = journal.feeds();
/// assert_eq!((feeds.open, feeds.cut_off), (1, 0));
///
/// // A new one goes on where this one is, also when nobody writes the log any more.
/// let after = feed.passed();
/// drop(feed);
/// journal.close()?;
/// let log = recover_log::<_, holt_journal::Error>(&disk, db, FIRST_ADDRESS, &mut |_, _| Ok(()))?;
/// let mut feed = LogFeed::of_files(&disk, db, log.end(), Some(after))?;
/// assert_eq!(feed.next_record(|_, _| ())?, None);
/// # Ok::<(), holt_journal::Error>(())
/// ```
pub struct LogFeed<D: Disk> {
    disk: Arc<D>,
    db: DbId,
    origin: Origin<D>,
    /// Where the next record is looked for.
    position: u64,
    /// Up to where it was looked at last. A failed write may leave a mark behind which there is no whole record.
    seen: u64,
    /// Whether a record starts at `position`, or the log ends there.
    aligned: bool,
    /// Records that start here or below are not given out.
    after: Option<u64>,
    /// Made anew when the log has outgrown its segments.
    reader: Option<LogReader<Files<Arc<D>, D>>>,
}

/// Where the records come from.
enum Origin<D: Disk> {
    /// A log that is open.
    Open {
        shared: Arc<Shared<D>>,
        /// How safe a record is when it is shown.
        ack: Ack,
        ticket: u64,
        /// The address that the ticket is for.
        held: u64,
    },
    /// The files of one that nobody writes, and where it ends.
    Files { files: Vec<Settled>, end: u64 },
}

impl<D: Disk> LogFeed<D> {
    /// Follows an open log from behind `after`, the address of a record or one inside of it; without it, from the oldest
    /// record that there is. Shows what is as safe as `ack` says; [`Ack::Buffered`] is the same as [`Ack::Os`] here.
    ///
    /// # Errors
    ///
    /// [`Error::FeedGone`] when records behind `after` were given up; [`Error::NotInLog`] when the log has or will have no
    /// such address, as after a crash that took it; the disk's errors and [`Error::Damaged`].
    pub fn follow(journal: &Journal<D>, after: Option<u64>, ack: Ack) -> Result<LogFeed<D>, Error> {
        let shared = Arc::clone(&journal.shared);
        if let Some(address) = after
            && (address >= journal.tail() || (shared.recovered..shared.start).contains(&address))
        {
            return Err(Error::NotInLog { address });
        }
        // Held before it is looked at.
        let (ticket, held) = shared.hold(after.unwrap_or(0), Some(shared.options.feed_bytes));
        let (disk, db) = (Arc::clone(&shared.disk), shared.db);
        LogFeed::start(disk, db, Origin::Open { shared, ack, ticket, held }, after)
    }

    /// Reads the log of a database that nobody writes, of which recovery has found that it ends at `end`. `after` is as
    /// for [`LogFeed::follow`].
    ///
    /// # Errors
    ///
    /// As [`LogFeed::follow`].
    pub fn of_files(
        disk: &Arc<D>,
        db: DbId,
        end: u64,
        after: Option<u64>,
    ) -> Result<LogFeed<D>, Error> {
        if let Some(address) = after.filter(|&after| after >= end) {
            return Err(Error::NotInLog { address });
        }
        let files = list(&**disk)?;
        LogFeed::start(Arc::clone(disk), db, Origin::Files { files, end }, after)
    }

    fn start(
        disk: Arc<D>,
        db: DbId,
        origin: Origin<D>,
        after: Option<u64>,
    ) -> Result<LogFeed<D>, Error> {
        let (position, aligned, reader) = (after.unwrap_or(0), false, None);
        let mut feed = LogFeed { disk, db, origin, position, seen: 0, aligned, after, reader };
        let row = feed.row(feed.position)?;
        let start = row.start().unwrap_or(FIRST_ADDRESS);
        if feed.position < start {
            let first = row.first_record(&feed.disk, db, feed.end())?;
            let oldest = oldest(start, first);
            if after.is_some_and(|after| after < oldest) {
                return Err(Error::FeedGone { oldest });
            }
            (feed.position, feed.aligned) = (first, true);
        } else if row.fell_out(feed.position) {
            return Err(Error::NotInLog { address: feed.position });
        }
        Ok(feed)
    }

    /// Hands the next record and its address to `then`, if there is one that is as safe as the feed shows. Records that
    /// mean nothing are left out.
    ///
    /// # Errors
    ///
    /// [`Error::FeedGone`] when the feed has lagged too far behind; the disk's errors, after which the call can be
    /// repeated; [`Error::Damaged`].
    pub fn next_record<R>(
        &mut self,
        then: impl FnOnce(u64, Record<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let outcome = self.read(then);
        let at_end = matches!(outcome, Ok(None));
        if self.keep(at_end) && !(outcome.is_err() && self.is_cut_off()) {
            return outcome;
        }
        // What a feed that is cut off finds may be gone, or another's.
        Err(self.gone()?)
    }

    /// The address behind which a new feed goes on where this one is.
    #[must_use]
    pub fn passed(&self) -> u64 {
        (self.position - GRANULE as u64).max(self.after.unwrap_or(0))
    }

    /// Waits until there is something to read, for at most `timeout`, and says whether there is. Whoever writes or
    /// syncs the log wakes it. At the end of a log that nobody writes it does not wait.
    ///
    /// # Errors
    ///
    /// Why nothing will come any more, once everything was read: [`Error::LogClosed`], or the failure of the log.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let ready = || self.limit() > self.position.max(self.seen);
        let Origin::Open { shared, .. } = &self.origin else { return Ok(ready()) };
        let over = || shared.group.has_failed() || shared.ring.is_closed();
        shared.bell.wait(timeout, || ready() || over());
        if !ready() && over() {
            return Err(shared.failure().unwrap_or(Error::LogClosed));
        }
        Ok(ready())
    }

    fn read<R>(&mut self, then: impl FnOnce(u64, Record<'_>) -> R) -> Result<Option<R>, Error> {
        let (limit, db) = (self.limit(), self.db);
        if limit <= self.position {
            return Ok(None);
        }
        self.seen = 0;
        let reader = match &mut self.reader {
            Some(reader) if reader.segments_end() >= limit => reader,
            _ => {
                let row = self.row(self.position)?;
                if row.start().is_none_or(|start| start > self.position) {
                    return match row.before() {
                        Some(damage) => Err(damage),
                        None => Err(self.gone()?),
                    };
                }
                self.reader.insert(row.reader(&self.disk, db, self.position)?)
            }
        };
        if !self.aligned {
            reader.align(limit).map_err(|error| read_error(db, error))?;
            self.aligned = true;
        }
        loop {
            let Some(entry) = reader.next_below(limit).map_err(|error| read_error(db, error))?
            else {
                (self.position, self.seen) = (reader.address(), limit);
                return Ok(None);
            };
            let (address, end) = (entry.address(), entry.address() + entry.bytes().len() as u64);
            let record = match entry.record() {
                Ok(Record::Skip { .. } | Record::CleanEnd) => continue,
                _ if self.after.is_some_and(|after| address <= after) => continue,
                Ok(record) => record,
                Err(error) => return Err(undecodable(reader.segments(), address, error)),
            };
            self.position = end;
            return Ok(Some(then(address, record)));
        }
    }

    /// Address up to which the feed shows records.
    fn limit(&self) -> u64 {
        match &self.origin {
            Origin::Open { shared, ack: Ack::Sync, .. } => shared.logged(shared.group.synced()),
            _ => self.end(),
        }
    }

    /// Address up to which there is something in the files.
    fn end(&self) -> u64 {
        match &self.origin {
            Origin::Open { shared, .. } => shared.logged(shared.written()),
            Origin::Files { end, .. } => *end,
        }
    }

    /// The segments back to the one that holds `from`.
    fn row(&self, from: u64) -> Result<Row, Error> {
        match &self.origin {
            Origin::Open { shared, .. } => {
                let files = lock(&shared.segments).files();
                Row::back_to(&*self.disk, self.db, &files, from)
            }
            Origin::Files { files, .. } => Row::back_to(&*self.disk, self.db, files, from),
        }
    }

    /// Gives up what lies behind, now and then, and `at_end`; false if the feed was cut off.
    fn keep(&mut self, at_end: bool) -> bool {
        let Origin::Open { shared, ticket, held, .. } = &mut self.origin else { return true };
        let passed = self.position.saturating_sub(*held);
        if passed < STEP && !(at_end && passed > 0) {
            return true;
        }
        *held = self.position;
        lock(&shared.segments).pins.advance(*ticket, self.position)
    }

    fn is_cut_off(&self) -> bool {
        match &self.origin {
            Origin::Open { shared, ticket, .. } => !lock(&shared.segments).pins.holds(*ticket),
            Origin::Files { .. } => false,
        }
    }

    /// The error that the log begins behind the feed.
    fn gone(&self) -> Result<Error, Error> {
        let ticket = match &self.origin {
            Origin::Open { shared, .. } => Some((shared, shared.hold(0, None).0)),
            Origin::Files { .. } => None,
        };
        let oldest = self.row(0).and_then(|row| {
            let start = row.start().unwrap_or(FIRST_ADDRESS);
            Ok(oldest(start, row.first_record(&self.disk, self.db, self.end())?))
        });
        if let Some((shared, ticket)) = ticket {
            lock(&shared.segments).pins.release(ticket);
        }
        Ok(Error::FeedGone { oldest: oldest? })
    }
}

/// The lowest address behind which every record is there, in segments from `start` on with `first` as the first record that
/// starts in them: one that starts at the very beginning is behind the granule before, too.
fn oldest(start: u64, first: u64) -> u64 {
    start.min(first - GRANULE as u64)
}

impl<D: Disk> Drop for LogFeed<D> {
    fn drop(&mut self) {
        if let Origin::Open { shared, ticket, .. } = &self.origin {
            lock(&shared.segments).pins.release(*ticket);
        }
    }
}

impl<D: Disk> fmt::Debug for LogFeed<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LogFeed")
            .field("position", &self.position)
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
