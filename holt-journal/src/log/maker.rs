//! Making segments ahead of need, on a thread of its own, and waiting for one when need comes first.
//!
//! * The *limit* is the address up to which the log may be granted: the end of the last durable segment less what a
//!   clean end needs. It only grows.
//! * A failure to make a segment is told to those who wait for it and forgotten: the next one who needs it tries again.
//!   Making ahead is not tried again after a failure until something has changed, so that a full disk is not asked
//!   at every flush.

use crate::Error;
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, lock};

/// Where needs are written down and the maker reports.
#[derive(Debug)]
pub(super) struct Desk {
    /// Written by the maker, read by whoever gets a permit.
    limit: AtomicU64,
    /// Making ahead has failed since the limit was last raised.
    discouraged: AtomicBool,
    order: Mutex<Order>,
    changed: Condvar,
}

#[derive(Debug)]
struct Order {
    /// Address that the limit has to reach.
    wanted: u64,
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
            discouraged: AtomicBool::new(false),
            order: Mutex::new(Order { wanted: 0, failures: 0, error: None, stopped: false }),
            changed: Condvar::new(),
        }
    }

    /// Address up to which the log may be granted.
    #[inline]
    pub(super) fn limit(&self) -> u64 {
        // Acquire: with the release in `raise`; whoever sees the limit can look up the segment below it.
        self.limit.load(Ordering::Acquire)
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

    /// Asks for one segment more and does not wait.
    pub(super) fn ask_ahead(&self) {
        // Relaxed: a hint.
        if self.discouraged.load(Ordering::Relaxed) {
            return;
        }
        let mut order = lock(&self.order);
        order.wanted = order.wanted.max(self.limit() + 1);
        self.changed.notify_all();
    }

    /// Something may have changed that lets an attempt succeed.
    pub(super) fn encourage(&self) {
        // Relaxed: a hint.
        self.discouraged.store(false, Ordering::Relaxed);
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

    /// For the maker: a segment is durable.
    pub(super) fn raise(&self, limit: u64) {
        let _order = lock(&self.order);
        // Release: with the acquire in `limit`.
        self.limit.store(limit, Ordering::Release);
        self.encourage();
        self.changed.notify_all();
    }

    /// For the maker: an attempt has failed. What was wanted is wanted no more, until somebody asks again.
    pub(super) fn report(&self, error: Error) {
        let mut order = lock(&self.order);
        order.wanted = 0;
        order.failures += 1;
        order.error = Some(error);
        // Relaxed: a hint.
        self.discouraged.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }
}
