//! Making segments ahead of need, on a thread of its own, and waiting for one when need comes first.
//!
//! * The *limit* is the address up to which the log may be granted: the end of the last durable segment less what a
//!   clean end needs. It only grows.
//! * A failure to make a segment is told to those who wait for it and forgotten: the next one who needs it tries again.
//!   Making ahead is not tried again after a failure until something has changed, so that a full disk is not asked
//!   at every record.
//! * A segment is made ahead as soon as addresses are granted beyond the first quarter of the last one. Whoever is granted them asks:
//!   a drain comes too late, for between two of them a writer fills more than the first segments hold.

use crate::Error;
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering, lock};

/// Where needs are written down and the maker reports.
#[derive(Debug)]
pub(super) struct Desk {
    /// Written by the maker, read by whoever gets a permit.
    limit: AtomicU64,
    /// Address beyond which a grant asks for the next segment; at the limit when that was asked for. Written under the lock.
    ahead: AtomicU64,
    order: Mutex<Order>,
    changed: Condvar,
}

#[derive(Debug)]
struct Order {
    /// Address that the limit has to reach.
    wanted: u64,
    /// Bytes of the last segment in which the next one is asked for.
    notice: u64,
    /// Failed attempts so far, and what the last one failed with.
    failures: u64,
    error: Option<Error>,
    stopped: bool,
}

impl Desk {
    /// A desk where nothing is granted beyond `limit`.
    pub(super) fn new(limit: u64) -> Desk {
        Desk {
            limit: AtomicU64::new(limit),
            ahead: AtomicU64::new(limit),
            order: Mutex::new(Order {
                wanted: 0,
                notice: 0,
                failures: 0,
                error: None,
                stopped: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Address up to which the log may be granted.
    #[inline]
    pub(super) fn limit(&self) -> u64 {
        // Acquire: with the release in `raise`; whoever sees the limit can look up the segment below it.
        self.limit.load(Ordering::Acquire)
    }

    /// Address up to which a grant needs nothing of the desk. It never lies beyond the limit.
    #[inline]
    pub(super) fn ahead(&self) -> u64 {
        // Acquire: with the release in `raise`; as for the limit, which is stored before.
        self.ahead.load(Ordering::Acquire)
    }

    /// Grants addresses up to `address`, beyond [`Desk::ahead`]: asks for the next segment, and waits for it if need be.
    ///
    /// # Errors
    ///
    /// Those of [`Desk::provide`].
    pub(super) fn grant(&self, address: u64) -> Result<(), Error> {
        if address > self.limit() {
            return self.provide(address);
        }
        let mut order = lock(&self.order);
        // Once is enough.
        if address > self.ahead() {
            let limit = self.limit();
            order.wanted = order.wanted.max(limit + 1);
            // Release: as in `raise`.
            self.ahead.store(limit, Ordering::Release);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits until the limit is at least `address`.
    ///
    /// # Errors
    ///
    /// What the maker failed with meanwhile, or [`Error::LogClosed`].
    pub(super) fn provide(&self, address: u64) -> Result<(), Error> {
        let mut order = lock(&self.order);
        order.wanted = order.wanted.max(address);
        self.changed.notify_all();
        let before = order.failures;
        while self.limit() < address {
            if order.stopped {
                return Err(Error::LogClosed);
            }
            if order.failures != before {
                return Err(order.error.clone().unwrap_or(Error::LogClosed));
            }
            order = self.changed.wait(order).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Ok(())
    }

    /// Something may have changed that lets an attempt succeed.
    pub(super) fn encourage(&self) {
        let order = lock(&self.order);
        // Release: as in `raise`.
        self.ahead.store(self.limit() - order.notice, Ordering::Release);
    }

    /// Ends the wait of everybody, the maker too.
    pub(super) fn stop(&self) {
        lock(&self.order).stopped = true;
        self.changed.notify_all();
    }

    /// For the maker: waits for something to make, and says whether there is.
    pub(super) fn wait_order(&self) -> bool {
        let mut order = lock(&self.order);
        while !order.stopped && order.wanted <= self.limit() {
            order = self.changed.wait(order).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        !order.stopped
    }

    /// For the maker: a segment is durable. The next one is to be asked for in the last `notice` bytes below `limit`.
    pub(super) fn raise(&self, limit: u64, notice: u64) {
        let mut order = lock(&self.order);
        order.notice = notice.min(limit - self.limit());
        // Release: with the acquire in `limit`.
        self.limit.store(limit, Ordering::Release);
        // Release: with the acquire in `ahead`.
        self.ahead.store(limit - order.notice, Ordering::Release);
        self.changed.notify_all();
    }

    /// For the maker: an attempt has failed. What was wanted is wanted no more, until somebody asks again.
    pub(super) fn report(&self, error: Error) {
        let mut order = lock(&self.order);
        order.wanted = 0;
        order.failures += 1;
        order.error = Some(error);
        // Nobody asks ahead again, until there is a segment more or encouragement. Release: as in `raise`.
        self.ahead.store(self.limit(), Ordering::Release);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_segment_is_asked_for_in_the_notice_once_and_not_again_after_a_failure() {
        let desk = Desk::new(0);
        let state = || (desk.limit(), desk.ahead(), lock(&desk.order).wanted);
        assert_eq!(state(), (0, 0, 0));
        desk.raise(1000, 400);
        assert_eq!(state(), (1000, 600, 0));
        desk.grant(700).unwrap();
        assert_eq!(state(), (1000, 1000, 1001));
        // It cannot be made.
        desk.report(Error::LogClosed);
        assert_eq!(state(), (1000, 1000, 0));
        desk.grant(1000).unwrap();
        assert_eq!(state(), (1000, 1000, 0), "a full disk is asked at every record");
        desk.encourage();
        desk.grant(600).unwrap();
        assert_eq!(state(), (1000, 600, 0));
        desk.grant(1000).unwrap();
        assert_eq!(state(), (1000, 1000, 1001));
        // A segment that is shorter than the notice, and a failure of somebody who wants more than is there.
        desk.raise(1100, 400);
        assert_eq!(state(), (1100, 1000, 1001));
        desk.report(Error::LogClosed);
        assert_eq!(state(), (1100, 1100, 0));
        desk.stop();
        assert!(matches!(desk.grant(1101), Err(Error::LogClosed)));
        assert!(!desk.wait_order());
    }
}
