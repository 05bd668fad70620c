//! The open log as its handle, its permits and its two threads share it.
//!
//! # Marks
//!
//! *drained by the ring ≥* `written` *≥* `synced` of the group. All are addresses and only grow.
//!
//! | word | written by | read by |
//! |---|---|---|
//! | `written` | who holds the writer | everybody |
//! | `barrier`: address of the first change without a record, or the highest number | dropped reservations | drains, waiters |
//! | `marker`: the log's mark | the maker | the same, and verification, which keeps it still |
//! | `settling`: files of earlier processes that may not be durable | whoever settles first, under its lock | the same |
//!
//! # Locks
//!
//! `marker` before `segments`; `settling` before nothing; `writer` before `segments`; the group's, the desk's and the bell's own locks are leaves. No lock is held
//! over a sync except `settling`, whose holders have nothing to do without it, and `marker`, which nobody waits for.

use std::time::{Duration, Instant};

use holt_codec::{DbId, SEGMENT_RESERVE, Seed, SegmentHeader};
use holt_wal_ring::Ring;

use super::bell::Bell;
use super::group::Group;
use super::journal::LogOptions;
use super::maker::Desk;
use super::mark_file::{FoundMark, Marker};
use super::recovery::Stretch;
use super::segments::{Segment, Segments, Unmade, failed, make};
use super::writer::Writer;
use crate::Error;
use crate::disk::{Disk, DiskFile};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock, yield_now};

/// No change is without its record.
pub(super) const NO_BARRIER: u64 = u64::MAX;

/// A leader waits for the clients of the group before at most this part of what the last sync took.
const LINGER: u32 = 8;

/// Bytes of log between two syncs below which syncs are so frequent that blocks are worth writing before the records: see
/// [`Segment::paved`].
const OFTEN: u64 = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Shared<D: Disk> {
    pub(super) disk: Arc<D>,
    pub(super) db: DbId,
    pub(super) options: LogOptions,
    /// The process that may write.
    owner: u32,
    /// In which process a call is made.
    process: fn() -> u32,
    pub(super) ring: Arc<Ring>,
    /// Address of the first record of this process.
    pub(super) start: u64,
    /// Where the log ended when it was opened.
    pub(super) recovered: u64,
    salt: u64,
    pub(super) seed: Seed,
    pub(super) group: Group<Error>,
    pub(super) desk: Arc<Desk>,
    written: AtomicU64,
    pub(super) barrier: AtomicU64,
    pub(super) writer: Mutex<Writer<D>>,
    pub(super) segments: Mutex<Segments<D::File>>,
    settling: Mutex<Vec<Stretch>>,
    pub(super) marker: Mutex<Marker<D::File>>,
    pace: Mutex<Pace>,
    /// Rung when a mark has moved, and when none will.
    pub(super) bell: Bell,
}

/// What the last sync was like.
#[derive(Debug, Default)]
struct Pace {
    /// Waiters that it had, the leader not counted.
    members: usize,
    took: Duration,
}

impl<D: Disk> Shared<D> {
    #[expect(clippy::too_many_arguments, reason = "one caller, which makes each part")]
    pub(super) fn new(
        disk: Arc<D>,
        db: DbId,
        options: LogOptions,
        process: fn() -> u32,
        salt: u64,
        writer: impl FnOnce(Seed) -> (Arc<Ring>, Writer<D>),
        recovered: u64,
        synced: u64,
        (segments, settling): (Segments<D::File>, Vec<Stretch>),
        mark: FoundMark,
    ) -> Shared<D> {
        let seed = Seed::new(salt);
        let (ring, writer) = writer(seed);
        let start = ring.tail();
        Shared {
            disk,
            db,
            options,
            owner: process(),
            process,
            ring,
            start,
            recovered,
            salt,
            seed,
            group: Group::new(synced, || Error::LogFailed(Box::new(Error::LogPanicked))),
            desk: Arc::new(Desk::new(start)),
            written: AtomicU64::new(start),
            barrier: AtomicU64::new(NO_BARRIER),
            writer: Mutex::new(writer),
            segments: Mutex::new(segments),
            settling: Mutex::new(settling),
            marker: Mutex::new(Marker::new(mark)),
            pace: Mutex::new(Pace::default()),
            bell: Bell::default(),
        }
    }

    /// Address up to which the log is handed to the operating system.
    pub(super) fn written(&self) -> u64 {
        // Acquire: with the release in `drain`; whoever sees the mark may sync the files below it.
        self.written.load(Ordering::Acquire)
    }

    /// The end of the log for the addresses between it and the first new segment, where nothing lies.
    pub(super) fn logged(&self, address: u64) -> u64 {
        if address > self.start { address } else { address.min(self.recovered) }
    }

    /// Holds the log from `address` on, or all of it that there still is, with a bound or none; says from where.
    pub(super) fn hold(&self, address: u64, bound: Option<u64>) -> (u64, u64) {
        let mut segments = lock(&self.segments);
        let held = address.max(segments.oldest().unwrap_or(self.start));
        (segments.pins.hold(held, bound), held)
    }

    /// Waits until everything below `end` is synced, and does it if nobody else is at it.
    pub(super) fn wait_synced(&self, end: u64) -> Result<(), Error> {
        let mut led = false;
        let outcome = self.group.wait(
            end,
            || self.unpublished(end),
            |end| {
                led = true;
                self.flush(end)
            },
        );
        if led {
            self.bell.ring();
        }
        outcome
    }

    /// Address of the first change without a record.
    pub(super) fn barrier(&self) -> u64 {
        // Acquire: with the release in `lose`.
        self.barrier.load(Ordering::Acquire)
    }

    /// Why writing is over, if it is.
    pub(super) fn failure(&self) -> Option<Error> {
        self.group.failure().or_else(|| self.unpublished(u64::MAX))
    }

    /// The error of a wait for `end` if a change below it has no record.
    pub(super) fn unpublished(&self, end: u64) -> Option<Error> {
        let address = self.barrier();
        (address < end).then_some(Error::Unpublished { address })
    }

    /// Refuses to go on in a forked child.
    pub(super) fn check_owner(&self) -> Result<(), Error> {
        if (self.process)() == self.owner {
            Ok(())
        } else {
            Err(Error::Forked { owner: self.owner })
        }
    }

    /// Ends writing for good and wakes everybody who waits for anything.
    pub(super) fn fail(&self, error: Error) -> Error {
        let error = match error {
            failed @ (Error::LogFailed(_) | Error::Forked { .. }) => failed,
            other => Error::LogFailed(Box::new(other)),
        };
        self.group.fail(error.clone());
        self.ring.close();
        self.ring.wake();
        self.desk.stop();
        self.bell.ring();
        error
    }

    /// The change at `address` was applied and will never be logged. Its range becomes a skip after this.
    pub(super) fn lose(&self, address: u64) {
        // Release: before the skip is published, so that no drain passes it; the waiters' loads acquire.
        self.barrier.fetch_min(address, Ordering::AcqRel);
        self.ring.close();
    }

    /// Writes out what is published. Whoever calls has made sure, once for all that he is about to do, that this is
    /// the process that may write: asking the system costs as much as a tenth of the write.
    pub(super) fn drain(&self) -> Result<(), Error> {
        let mut writer = lock(&self.writer);
        if let Some(failure) = self.group.failure() {
            return Err(failure);
        }
        let synced = self.group.synced();
        let outcome = self.guarded(|| writer.drain(&self.segments, &self.barrier, synced));
        // Release: with the acquire in `written`.
        self.written.store(writer.position(), Ordering::Release);
        drop(writer);
        self.bell.ring();
        outcome.map_err(|error| self.fail(error))
    }

    /// Writes out everything below `end`, waiting for those who are still filling it; stops at a change without
    /// its record.
    pub(super) fn drain_to(&self, end: u64) -> Result<(), Error> {
        loop {
            let reachable = end.min(self.barrier());
            if self.written() >= reachable {
                return Ok(());
            }
            if let Some(failure) = self.group.failure() {
                return Err(failure);
            }
            self.ring.wait_committed(reachable, None, || {
                self.group.has_failed() || self.barrier() < reachable
            });
            self.drain()?;
        }
    }

    /// What a leader does: everything below `end` and whatever else is there becomes durable.
    pub(super) fn flush(&self, end: u64) -> Result<u64, Error> {
        self.guarded(|| {
            self.settle()?;
            if end > self.start {
                self.drain_to(end)?;
                self.linger()?;
            }
            self.sync()
        })
    }

    /// Does work in the disk; a panic in it ends writing.
    fn guarded<R>(&self, work: impl FnOnce() -> R) -> R {
        let guard = Panicked(self);
        let outcome = work();
        std::mem::forget(guard);
        outcome
    }

    /// Lets the clients of the group before join this one, for a moment that is short beside a sync.
    ///
    /// Without it two halves of the clients take turns: those who were just acknowledged come a little too late for
    /// the sync that begins at once, every time.
    fn linger(&self) -> Result<(), Error> {
        let (expected, patience) = {
            let pace = lock(&self.pace);
            (pace.members, pace.took / LINGER)
        };
        if expected == 0 {
            return Ok(());
        }
        let begun = Instant::now();
        while self.group.members() < expected && begun.elapsed() < patience {
            yield_now();
        }
        self.drain()
    }

    /// Syncs what is written.
    fn sync(&self) -> Result<u64, Error> {
        let (from, mark) = (self.group.synced(), self.written());
        // What a log that is being closed writes last comes to no further sync.
        if mark - from < OFTEN && !self.ring.is_closed() {
            let outcome = self.guarded(|| lock(&self.writer).pave(&self.segments));
            outcome.map_err(|error| self.fail(error))?;
        }
        let members = self.group.members();
        let begun = Instant::now();
        let segments = lock(&self.segments).between(from, mark);
        for segment in segments {
            segment
                .file
                .sync_data()
                .map_err(|error| self.fail(failed("sync", &segment.name)(error)))?;
        }
        *lock(&self.pace) = Pace { members, took: begun.elapsed() };
        lock(&self.segments).settle(mark);
        Ok(mark)
    }

    /// Makes durable what earlier processes left: recovery has read it, but it may never have been synced.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let mut stretches = lock(&self.settling);
        if let Some(failure) = self.group.failure() {
            return Err(failure);
        }
        for stretch in stretches.iter() {
            stretch.write_again(&*self.disk).map_err(|error| self.fail(error))?;
        }
        stretches.clear();
        // Everything below the first address of this process is durable, or never was part of the log.
        self.group.advance(self.start);
        self.bell.ring();
        Ok(())
    }

    /// Grants addresses up to `end`, making segments for them if there are none, and the next one before it is needed.
    #[cold]
    pub(super) fn provide(&self, end: u64) -> Result<(), Error> {
        self.desk.grant(end).map_err(|error| self.failure().unwrap_or(error))
    }

    /// What the maker does: one segment more.
    pub(super) fn make_segment(&self) {
        let ready = self.check_owner().and_then(|()| self.settle()).map_err(Unmade::Retry);
        match ready.and_then(|()| self.make_marked()) {
            Ok(segment) => {
                let (limit, window) =
                    (segment.header.end() - SEGMENT_RESERVE, segment.header.window);
                lock(&self.segments).push(Arc::new(segment));
                self.desk.raise(limit, window / 4 * 3);
            }
            Err(Unmade::Retry(error)) => self.desk.report(error),
            Err(Unmade::Doubt(error)) => drop(self.fail(error)),
        }
    }

    /// Makes a segment, or takes the one that could not be marked, and marks it.
    fn make_marked(&self) -> Result<Segment<D::File>, Unmade> {
        let mut marker = lock(&self.marker);
        let segment = match marker.unmarked.take() {
            Some(segment) => segment,
            None => {
                let (header, spare) = self.next_header();
                // The mark first: it may pass a tail that was looked at before.
                let (synced, tail) = (self.group.synced(), self.ring.tail());
                let often = tail > self.start && tail - synced < OFTEN;
                make(&*self.disk, header, spare, often)?
            }
        };
        match marker.note(&*self.disk, &segment.header) {
            Ok(()) => Ok(segment),
            Err(error) => {
                marker.unmarked = Some(segment);
                Err(error)
            }
        }
    }

    fn next_header(&self) -> (SegmentHeader, Option<String>) {
        let mut segments = lock(&self.segments);
        let window = segments.next_window(self.options.window());
        let (start, predecessor_end) = match segments.last().map(Arc::<Segment<_>>::as_ref) {
            Some(last) => (last.header.end(), last.header.end()),
            None => (self.start, self.recovered),
        };
        // The longest segments are worth recycling; the short ones of a beginning come once.
        let spare = if window == self.options.window() { segments.take_spare() } else { None };
        (SegmentHeader { db: self.db, salt: self.salt, start, window, predecessor_end }, spare)
    }

    /// Writes and syncs everything, then says that the log ends here.
    pub(super) fn finish(&self) -> Result<(), Error> {
        // Who has a permit may still use it; nobody gets a new one.
        loop {
            let granted = self.ring.granted();
            if self.ring.committed() >= granted {
                break;
            }
            if let Some(failure) = self.group.failure() {
                return Err(failure);
            }
            self.ring.wait_committed(granted, None, || self.group.has_failed());
        }
        let end = self.ring.tail();
        let reachable = end.min(self.barrier());
        self.wait_synced(reachable)?;
        if let Some(error) = self.unpublished(end) {
            return Err(error);
        }
        if end == self.start {
            return Ok(());
        }
        let mut writer = lock(&self.writer);
        let ended = writer.end(&self.segments);
        let mark = writer.position();
        // Release: with the acquire in `written`.
        self.written.store(mark, Ordering::Release);
        drop(writer);
        ended.map_err(|error| self.fail(error))?;
        self.group.wait(mark, || None, |_| self.guarded(|| self.sync()))
    }
}

/// Ends writing when it is dropped: only a panic drops it.
struct Panicked<'a, D: Disk>(&'a Shared<D>);

impl<D: Disk> Drop for Panicked<'_, D> {
    fn drop(&mut self) {
        self.0.fail(Error::LogPanicked);
    }
}
