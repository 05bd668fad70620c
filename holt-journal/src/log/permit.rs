//! The way of one record into the log: permit, reservation, publication.
//!
//! Only the permit can fail or wait; it comes before anything changes. From the reservation on there is no way back:
//! whoever reserves has applied the change, or is about to with nothing in the way.

use std::fmt;

use bytes::BufMut;
use holt_codec::Record;
use holt_wal_ring::{Permit, Reservation};

use super::shared::Shared;
use crate::disk::Disk;

/// The right to log one record of a certain length.
///
/// Dropping it gives it back; nothing has happened then.
#[must_use = "a permit that is dropped is given back"]
pub struct LogPermit<'a, D: Disk> {
    pub(super) permit: Permit<'a>,
    pub(super) shared: &'a Shared<D>,
}

impl<'a, D: Disk> LogPermit<'a, D> {
    /// Fixes the record's address. Infallible: one atomic addition.
    #[inline]
    pub fn reserve(self) -> LogReservation<'a, D> {
        LogReservation { range: Some(self.permit.reserve()), shared: self.shared }
    }
}

impl<D: Disk> fmt::Debug for LogPermit<'_, D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LogPermit").field("len", &self.permit.len()).finish_non_exhaustive()
    }
}

/// A record's place in the log, to be filled without delay.
///
/// Dropping it unpublished, as a panic does, means that a change was applied and is not in the log. That closes the log
/// for good: what was reserved before it can still become durable, nothing behind it ever does.
#[must_use = "a reservation that is dropped closes the log"]
pub struct LogReservation<'a, D: Disk> {
    /// Taken when it is published or given up.
    range: Option<Reservation<'a>>,
    shared: &'a Shared<D>,
}

impl<'a, D: Disk> LogReservation<'a, D> {
    fn range(&self) -> &Reservation<'a> {
        self.range.as_ref().expect("taken only by what consumes the reservation")
    }

    /// Address of the record: its version in bytes.
    #[inline]
    #[must_use]
    pub fn address(&self) -> u64 {
        self.range().address()
    }

    /// Address behind the record: what to [wait](crate::Journal::wait) for.
    #[inline]
    #[must_use]
    pub fn end(&self) -> u64 {
        self.range().end()
    }

    /// Encodes the record into its place and publishes it.
    ///
    /// # Panics
    ///
    /// When the record has another length than the permit was for. That counts as a reservation that is dropped.
    #[inline]
    pub fn publish(mut self, record: &Record<'_>) {
        let shared = self.shared;
        let Some(range) = &mut self.range else { return };
        record.encode(shared.seed, range.address(), shared.group.synced(), range);
        assert!(!range.has_remaining_mut(), "the record is shorter than its permit");
        if let Some(range) = self.range.take() {
            range.publish();
        }
    }

    /// Gives the place up, when nothing was applied: it becomes a record that means nothing.
    pub fn skip(mut self) {
        // Dropping the range publishes it as a skip.
        self.range = None;
    }
}

impl<D: Disk> Drop for LogReservation<'_, D> {
    fn drop(&mut self) {
        let Some(range) = self.range.take() else { return };
        self.shared.lose(range.address());
        // After the barrier, so that no drain passes the skip that this makes.
        drop(range);
        self.shared.group.nudge();
        self.shared.ring.wake();
        self.shared.desk.stop();
        self.shared.bell.ring();
    }
}

impl<D: Disk> fmt::Debug for LogReservation<'_, D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LogReservation").field("range", &self.range).finish_non_exhaustive()
    }
}
