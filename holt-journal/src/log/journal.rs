//! The handle of an open log.

use std::time::Duration;
use std::{fmt, process};

use holt_codec::{DbId, HEADER_LEN, MAX_RECORD, SEGMENT_HEADER_LEN};
use holt_wal_ring::{Error as RingError, Ring};

use super::drainer;
use super::feed::LogFeeds;
use super::permit::LogPermit;
use super::recovery::RecoveredLog;
use super::segments::{SegmentStats, Segments, failed};
use super::shared::Shared;
use super::writer::Writer;
use crate::Error;
use crate::disk::Disk;
use crate::sync::{Arc, AtomicBool, JoinHandle, Mutex, Ordering, lock};

/// What is true of a record when the call that wrote it returns. See [`Journal::wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ack {
    /// It is in memory and will be written out within [`LogOptions::flush_interval`]. A killed process loses it if
    /// it is younger; a power cut may lose it until something later is synced.
    Buffered,
    /// It is handed to the operating system. A killed process loses nothing; a power cut may lose it until something
    /// later is synced.
    Os,
    /// It is on stable storage. Neither a killed process nor a power cut loses it.
    Sync,
}

/// How a log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of records that memory holds before they are written out; rounded up to a power of two. It bounds
    /// the longest record.
    pub ring_capacity: usize,
    /// Bytes of log that a segment file holds, rounded up to a multiple of 4096. The first segments after opening are
    /// shorter.
    pub segment_bytes: u64,
    /// How long a record that nobody waits for stays in memory, at most; a wait for the processor or the disk
    /// comes on top.
    pub flush_interval: Duration,
    /// Bytes of log that are kept below the address to which it is truncated, for feeds that are not open at that time.
    /// Segments are kept whole, so there may be one more.
    pub keep_bytes: u64,
    /// Bytes of log, beyond those, that a [feed](crate::LogFeed) which lags behind may hold back from truncation.
    pub feed_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            ring_capacity: MAX_RECORD,
            segment_bytes: 64 << 20,
            flush_interval: Duration::from_millis(10),
            keep_bytes: 0,
            feed_bytes: 1 << 30,
        }
    }
}

impl LogOptions {
    /// Window of the longest segment.
    pub(super) fn window(&self) -> u64 {
        let unit = SEGMENT_HEADER_LEN as u64;
        self.segment_bytes.clamp(unit, 1 << 40).next_multiple_of(unit)
    }
}

/// An open log.
///
/// Dropping it closes it; call [`Journal::close`] to learn how that went.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use holt_codec::{DbId, FIRST_ADDRESS, Op, Record};
/// use holt_journal::disk::SimDisk;
/// use holt_journal::{Ack, Journal, LogOptions, create_log, recover_log};
///
/// let (disk, db) = (Arc::new(SimDisk::new(1)), DbId([1; 16]));
/// create_log(&disk, db)?;
/// let nothing = recover_log::<_, holt_journal::Error>(&disk, db, FIRST_ADDRESS, &mut |_, _| Ok(()))?;
/// let options = LogOptions { segment_bytes: 1 << 16, ..LogOptions::default() };
/// let journal = Journal::start(Arc::clone(&disk), db, nothing, options)?;
///
/// let record = Record::from(Op::Put { tree: 1, key: b"k", value: b"v" });
/// let permit = journal.permit(record.encoded_len()?)?;
/// let reservation = permit.reserve(); // the tree is changed here
/// let end = reservation.end();
/// reservation.publish(&record);
/// journal.wait(end, Ack::Sync)?;
/// journal.close()?;
///
/// let mut seen = 0;
/// recover_log::<_, holt_journal::Error>(&disk, db, FIRST_ADDRESS, &mut |_, found| {
///     assert_eq!(found, record);
///     seen += 1;
///     Ok(())
/// })?;
/// assert_eq!(seen, 1);
/// # Ok::<(), holt_journal::Error>(())
/// ```
pub struct Journal<D: Disk> {
    pub(super) shared: Arc<Shared<D>>,
    /// Whether the threads were started.
    started: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// How closing went, once it did.
    closed: Mutex<Option<Result<(), Error>>>,
}

impl<D: Disk> Journal<D> {
    /// Opens the log for writing, behind what recovery found. Touches no file: the first append does.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the disk gives no entropy, [`Error::Buffer`] when the ring cannot be made.
    pub fn start(
        disk: Arc<D>,
        db: DbId,
        recovered: RecoveredLog,
        options: LogOptions,
    ) -> Result<Journal<D>, Error> {
        Journal::start_as(disk, db, recovered, options, process::id)
    }

    /// [`Journal::start`], with `process` to say in which process a call is made.
    fn start_as(
        disk: Arc<D>,
        db: DbId,
        recovered: RecoveredLog,
        options: LogOptions,
        process: fn() -> u32,
    ) -> Result<Journal<D>, Error> {
        let entropy = disk.entropy().map_err(failed("draw a salt for", "the log"))?;
        let mut salt = [0; 8];
        salt.copy_from_slice(&entropy[..8]);
        let (ring, consumer) =
            Ring::new(options.ring_capacity, recovered.segments_end).map_err(Error::Buffer)?;
        let shared = Shared::new(
            disk,
            db,
            options,
            process,
            u64::from_le_bytes(salt),
            |seed| (ring, Writer::new(consumer, seed)),
            recovered.end,
            recovered.synced,
            (Segments::new(recovered.segments), recovered.unsynced),
            recovered.mark,
        );
        Ok(Journal {
            shared: Arc::new(shared),
            started: AtomicBool::new(false),
            threads: Mutex::new(Vec::new()),
            closed: Mutex::new(None),
        })
    }

    /// Gets the right to log a record of `record_len` bytes, as [`Record::encoded_len`](holt_codec::Record::encoded_len)
    /// says. To be called before anything is latched or changed: it may wait for space in memory or on disk.
    ///
    /// # Errors
    ///
    /// [`Error::RecordTooLarge`]; [`Error::Io`] when there is no space for another segment, after which the
    /// next call tries again; [`Error::LogClosed`], [`Error::LogFailed`] or [`Error::Unpublished`] when writing is over.
    ///
    /// # Panics
    ///
    /// When no record has that length.
    #[inline]
    pub fn permit(&self, record_len: usize) -> Result<LogPermit<'_, D>, Error> {
        assert!(record_len >= HEADER_LEN, "no record is as short as {record_len} bytes");
        let shared = &*self.shared;
        // Acquire: with the release in `start_threads`.
        if !self.started.load(Ordering::Acquire) {
            self.start_threads()?;
        }
        let permit = match shared.ring.try_acquire(record_len) {
            Ok(permit) => permit,
            Err(RingError::Full) => {
                shared.check_owner()?;
                shared.drain()?;
                shared.ring.acquire(record_len).map_err(|error| self.refused(error))?
            }
            Err(error) => return Err(self.refused(error)),
        };
        // The permit counts once everything granted so far has its place on disk. One that is given back without
        // having counted leaves the others where they were.
        let granted = shared.ring.granted();
        if granted > shared.desk.ahead() {
            shared.provide(granted)?;
        }
        Ok(LogPermit { permit, shared })
    }

    #[cold]
    fn refused(&self, error: RingError) -> Error {
        match error {
            RingError::TooLarge { len, capacity } => Error::RecordTooLarge { len, capacity },
            RingError::Exhausted { .. } => Error::LogExhausted,
            _ => self.shared.failure().unwrap_or(Error::LogClosed),
        }
    }

    #[cold]
    fn start_threads(&self) -> Result<(), Error> {
        self.shared.check_owner()?;
        let mut threads = lock(&self.threads);
        // Relaxed: only written under the lock.
        if !self.started.load(Ordering::Relaxed) && !self.shared.ring.is_closed() {
            threads.extend(drainer::start(&self.shared)?);
            // Release: with the acquire in `permit`.
            self.started.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Address behind the last record that was reserved; where the log ended at opening, before the first append.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.shared.logged(self.shared.ring.tail())
    }

    /// Address up to which the log is handed to the operating system: this survives the process being killed.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.logged(self.shared.written())
    }

    /// Address up to which the log is on stable storage: this survives a power cut.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.shared.logged(self.shared.group.synced())
    }

    /// Waits until everything below `end` is as `ack` says, and does the work if nobody else is at it.
    ///
    /// # Errors
    ///
    /// [`Error::LogFailed`] or [`Error::Unpublished`]: whether the records are in the log is not known then, but for those
    /// below [`Journal::synced`]. Never for an `end` that has reached `ack` already, except that a buffered record
    /// is not acknowledged once writing is over.
    ///
    /// # Panics
    ///
    /// When nothing was reserved up to `end`.
    pub fn wait(&self, end: u64, ack: Ack) -> Result<(), Error> {
        let shared = &*self.shared;
        assert!(end <= self.tail(), "{end} is beyond the log's end {}", self.tail());
        let over = || shared.unpublished(end);
        match ack {
            Ack::Buffered if shared.group.has_failed() || over().is_some() => {
                if shared.written() >= end {
                    return Ok(());
                }
                Err(shared.failure().unwrap_or(Error::LogClosed))
            }
            Ack::Buffered => Ok(()),
            Ack::Os => {
                shared.check_owner()?;
                // What was there at opening came from the operating system.
                shared.drain_to(end)?;
                if shared.written() >= end { Ok(()) } else { over().map_or(Ok(()), Err) }
            }
            Ack::Sync => {
                // Before the group, in which an error of its leader is everybody's.
                shared.check_owner()?;
                shared.wait_synced(end)
            }
        }
    }

    /// Gives up the segments that nobody needs who needs the log from `address` on, the newest durable manifest's. A
    /// few are kept to be recycled, no more than the log has taken since the call before.
    ///
    /// # Errors
    ///
    /// [`Error::LogFailed`] or [`Error::Unpublished`] when writing is over: the log is then needed as it is.
    /// [`Error::Io`] when a file cannot be removed; it goes with the next opening's truncation.
    pub fn truncate_below(&self, address: u64) -> Result<(), Error> {
        let shared = &*self.shared;
        shared.check_owner()?;
        if let Some(failure) = shared.failure() {
            return Err(failure);
        }
        let names = {
            let mut segments = lock(&shared.segments);
            let synced = shared.group.synced();
            segments.settle(synced);
            let address = address.min(synced).saturating_sub(shared.options.keep_bytes);
            segments.obsolete(address, shared.options.window())
        };
        shared.desk.encourage();
        let mut outcome = Ok(());
        for name in names {
            outcome = outcome.and(shared.disk.remove(&name).map_err(failed("remove", &name)));
        }
        outcome
    }

    /// How many segments there are, and what they were made of.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use holt_codec::{DbId, FIRST_ADDRESS};
    /// use holt_journal::disk::SimDisk;
    /// use holt_journal::{Error, Journal, LogOptions, SegmentStats, create_log, recover_log};
    ///
    /// let (disk, db) = (Arc::new(SimDisk::new(1)), DbId([1; 16]));
    /// create_log(&disk, db)?;
    /// let nothing = recover_log(&disk, db, FIRST_ADDRESS, &mut |_, _| Ok::<(), Error>(()))?;
    /// let journal = Journal::start(disk, db, nothing, LogOptions::default())?;
    /// let SegmentStats { made, recycled, .. } = journal.segments();
    /// assert_eq!((made, recycled), (0, 0), "nothing has been logged");
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn segments(&self) -> SegmentStats {
        lock(&self.shared.segments).stats()
    }

    /// What the [feeds](crate::LogFeed) of this log hold.
    ///
    /// # Examples
    ///
    /// See [`LogFeed`](crate::LogFeed).
    #[must_use]
    pub fn feeds(&self) -> LogFeeds {
        lock(&self.shared.segments).pins.feeds()
    }

    /// Keeps the log from `address` on, whatever is truncated, until the pin is dropped: for a backup, a replay.
    pub fn pin(&self, address: u64) -> LogPin<'_, D> {
        let ticket = lock(&self.shared.segments).pins.hold(address, None);
        LogPin { shared: &self.shared, ticket }
    }

    /// Why writing is over, if a failure ended it.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.shared.failure()
    }

    /// Writes and syncs everything, marks the log as closed in order, and ends writing. Waits for permits that are
    /// still held. The second call says what the first did.
    ///
    /// After it everything that was published is on stable storage, however it was acknowledged.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::wait`] with [`Ack::Sync`]; [`Error::Forked`] in a forked child, which changes nothing.
    pub fn close(&self) -> Result<(), Error> {
        let shared = &*self.shared;
        shared.check_owner()?;
        let mut closed = lock(&self.closed);
        if let Some(outcome) = &*closed {
            return outcome.clone();
        }
        shared.ring.close();
        shared.ring.wake();
        shared.bell.ring();
        let outcome = shared.finish();
        shared.desk.stop();
        for thread in lock(&self.threads).drain(..) {
            // A panic in it has failed the log already.
            let _ = thread.join();
        }
        *closed = Some(outcome.clone());
        outcome
    }
}

impl<D: Disk> Drop for Journal<D> {
    fn drop(&mut self) {
        if let Err(Error::Forked { .. }) = self.close() {
            // Dropping the rest would take locks that a thread of the parent held when this process was made.
            std::mem::forget(Arc::clone(&self.shared));
        }
        // Whoever wants to know how closing went calls `close`.
    }
}

impl<D: Disk> fmt::Debug for Journal<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Journal")
            .field("tail", &self.tail())
            .field("written", &self.written())
            .field("synced", &self.synced())
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

/// Keeps a stretch of the log. See [`Journal::pin`].
#[must_use = "a pin that is dropped keeps nothing"]
pub struct LogPin<'a, D: Disk> {
    shared: &'a Shared<D>,
    ticket: u64,
}

impl<D: Disk> Drop for LogPin<'_, D> {
    fn drop(&mut self) {
        lock(&self.shared.segments).pins.release(self.ticket);
    }
}

impl<D: Disk> fmt::Debug for LogPin<'_, D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LogPin").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use holt_codec::{FIRST_ADDRESS, Op, Record};

    use super::*;
    use crate::disk::{CrashPattern, SimDisk};
    use crate::sync::AtomicU64;
    use crate::{create_log, recover_log};

    const DB: DbId = DbId([7; 16]);

    fn records(disk: &Arc<SimDisk>) -> (u64, RecoveredLog) {
        let mut count = 0;
        let log = recover_log::<_, Error>(disk, DB, FIRST_ADDRESS, &mut |_, _| {
            count += 1;
            Ok(())
        })
        .unwrap();
        (count, log)
    }

    fn put(journal: &Journal<SimDisk>) -> u64 {
        let record = Record::from(Op::Delete { tree: 1, key: b"k" });
        let reservation = journal.permit(record.encoded_len().unwrap()).unwrap().reserve();
        let end = reservation.end();
        reservation.publish(&record);
        end
    }

    /// The process that `process` says this is.
    static PROCESS: AtomicU64 = AtomicU64::new(1);

    /// A child has its parent's memory and files and another process id: that is all that this imitates, and all that
    /// the log looks at.
    ///
    /// A real fork takes `unsafe`, by itself or as a hook before an `exec`, and this crate has none; and a process that is
    /// started as a program has not got its parent's memory, so there is nothing in it to refuse.
    #[test]
    fn a_forked_child_neither_writes_nor_closes_what_its_parent_has_open() {
        const SEGMENT: &str = "LOG-0000000000001000";
        let disk = Arc::new(SimDisk::new(1));
        create_log(&disk, DB).unwrap();
        let options =
            LogOptions { flush_interval: Duration::from_secs(3600), ..LogOptions::default() };
        let process = || PROCESS.load(Ordering::Relaxed) as u32;
        let log = records(&disk).1;
        let journal = Journal::start_as(Arc::clone(&disk), DB, log, options, process).unwrap();
        journal.wait(put(&journal), Ack::Sync).unwrap();
        let end = put(&journal);
        let before = disk.contents(SEGMENT).unwrap();

        PROCESS.store(2, Ordering::Relaxed);
        for ack in [Ack::Os, Ack::Sync] {
            assert!(matches!(journal.wait(end, ack), Err(Error::Forked { owner: 1 })));
        }
        assert!(matches!(journal.close(), Err(Error::Forked { owner: 1 })));
        assert!(matches!(journal.truncate_below(end), Err(Error::Forked { owner: 1 })));
        assert_eq!(disk.contents(SEGMENT).unwrap(), before);

        // The parent goes on as if there had been no child.
        PROCESS.store(1, Ordering::Relaxed);
        journal.wait(end, Ack::Sync).unwrap();
        drop(journal);
        let disk = Arc::new(disk.crash(1, CrashPattern::LoseAll));
        let (count, log) = records(&disk);
        assert_eq!((count, log.is_clean()), (2, true));
    }
}
