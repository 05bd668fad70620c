//! Waiting and waking: for space, and for publication.
//!
//! # Protocol
//!
//! A waiter checks for a moment, then queues and parks. Those who make a condition true look at one word that
//! says whether anybody is queued, and take the lock only if so:
//!
//! | condition | made true by | word looked at |
//! |---|---|---|
//! | space | a drain, a raised limit | the bit *queued* of the space word |
//! | space | a returned permit | the same bit, in the same read-modify-write |
//! | publication | a publication | `awaited`, the lowest address waited for |
//! | pressure (somebody is queued for space, and bytes can be drained) | queueing; a publication | `awaited`, lowered when space is queued for |
//! | closed for good | `close`, a permit returned after it | none: both take the lock |
//!
//! # Why no wake-up is lost (E5)
//!
//! Waiter: store the word, *full fence*, check the condition, park. Waker: store the counter or mark, *full fence*, load the word.
//! Full fences are totally ordered, so either the waiter's check sees the waker's store, or the waker sees the word. Where a
//! condition takes several stores (the marks of several producers), the last fence among theirs is behind all their stores, so that
//! producer sees every mark and, being behind the waiter's fence as well, the word.
//!
//! # Who is woken
//!
//! Only he whose condition holds. A producer is handed his space with the wake-up, in order of arrival, and new callers do not overtake
//! the queue; so nobody wakes to find the space gone.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::mark::GRANULE;
use crate::queue::{NOBODY, Queues, Signal, Sleeper, Ticket};
use crate::ring::Ring;
use crate::sync::{self, Arc, Mutex, Ordering, fence};

/// How a wait for publication ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waited {
    /// Everything below the address is published.
    Committed,
    /// The ring is closed and no permit or reservation is left that could reach the address.
    Closed,
    /// Producers wait for space and something can be drained; only
    /// [`wait_drainable`](Ring::wait_drainable) ends so.
    Pressure,
    /// [`Ring::wake`] was called, or the caller's own reason to stop came true.
    Woken,
    /// The time was over.
    TimedOut,
}

impl Ring {
    /// Parks until everything below `address` is published.
    ///
    /// Needs no [`Consumer`](crate::Consumer) and no progress of one: any number of threads may wait here while another drains.
    /// `stop` is the caller's own reason to give up, such as a sticky error: it is asked before the thread parks
    /// and after everyone could see that it waits, so whoever first makes `stop` true and then calls [`wake`](Ring::wake)
    /// is never missed. It is called without any lock of the ring held. Without a `timeout` the wait is unbounded.
    ///
    /// An address that nobody ever reserves is waited for until the ring is closed, the time is over or someone wakes
    /// the waiters.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BufMut;
    /// use holt_wal_ring::{Ring, Waited};
    ///
    /// let (ring, _consumer) = Ring::new(64, 0)?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         let mut record = ring.acquire(8).unwrap().reserve();
    ///         record.put_u64_le(7);
    ///         record.publish();
    ///     });
    ///     assert_eq!(ring.wait_committed(8, None, || false), Waited::Committed);
    /// });
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn wait_committed(
        &self,
        address: u64,
        timeout: Option<Duration>,
        stop: impl Fn() -> bool,
    ) -> Waited {
        self.wait(address, false, timeout, &stop)
    }

    /// Parks until everything below `address` is published, or producers are short of space and something can be drained.
    ///
    /// This is the wait of a background drainer that lets records gather: it names an address some way ahead and a time, and is
    /// called earlier when somebody needs the space. `u64::MAX` as address waits for pressure and time alone. Otherwise as
    /// [`wait_committed`](Ring::wait_committed).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use holt_wal_ring::{Ring, Waited};
    ///
    /// let (ring, _consumer) = Ring::new(64, 0)?;
    /// ring.acquire(8)?.reserve().publish();
    /// assert_eq!(ring.wait_drainable(8, None, || false), Waited::Committed);
    /// // Nobody is short of space, so this lets records gather for the time.
    /// let waited = ring.wait_drainable(u64::MAX, Some(Duration::from_millis(1)), || false);
    /// assert_eq!(waited, Waited::TimedOut);
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn wait_drainable(
        &self,
        address: u64,
        timeout: Option<Duration>,
        stop: impl Fn() -> bool,
    ) -> Waited {
        self.wait(address, true, timeout, &stop)
    }

    /// Wakes every thread that waits for publication, the consumer too.
    ///
    /// The consumer is not missed if it does not wait yet: its next [`wait_published`](crate::Consumer::wait_published) returns at once.
    /// Producers waiting for space go on waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let (ring, mut consumer) = holt_wal_ring::Ring::new(64, 0)?;
    /// ring.wake();
    /// assert!(!consumer.wait_published(None), "it was woken, and nothing is published");
    /// # Ok::<(), holt_wal_ring::Error>(())
    /// ```
    pub fn wake(&self) {
        let mut queues = sync::lock(&self.queues);
        // Release: whoever sees the new number sees what the waker did before (`Ring::wakes`).
        self.wakes.fetch_add(1, Ordering::Release);
        queues.wake_readers(false, |_, _| Some(Signal::Woken));
        self.post_awaited(&queues);
    }

    /// How often [`wake`](Ring::wake) was called.
    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Acquire)
    }

    /// The common body of the waits for publication.
    pub(crate) fn wait(
        &self,
        address: u64,
        eager: bool,
        timeout: Option<Duration>,
        stop: &dyn Fn() -> bool,
    ) -> Waited {
        let check = || {
            let signal = self.judge(self.advance(), address, eager);
            signal.or_else(|| stop().then_some(Signal::Woken))
        };
        for () in sync::spins() {
            if let Some(signal) = check() {
                return waited(signal);
            }
            sync::spin_loop();
        }
        // A time too far away to be told is no bound.
        let deadline = timeout.and_then(|time| Instant::now().checked_add(time));
        let sleeper = Sleeper::new();
        let enlisted = Enlisted::new(self, address, eager, &sleeper);
        // E5: the word `awaited` before the marks; the publisher's fence stands between its mark and its look at the word.
        fence(Ordering::SeqCst);
        if let Some(signal) = check() {
            return waited(signal);
        }
        match deadline {
            None => waited(sleeper.sleep()),
            Some(deadline) => {
                let signal = sleeper.sleep_until(deadline);
                // After this nobody can signal any more, so a signal that came with the deadline counts.
                drop(enlisted);
                signal.or_else(|| sleeper.signal()).map_or(Waited::TimedOut, waited)
            }
        }
    }

    /// Whether a wait for `address` ends, when `committed` is published.
    fn judge(&self, committed: u64, address: u64, eager: bool) -> Option<Signal> {
        if committed >= address {
            return Some(Signal::Committed);
        }
        let granted = self.space.granted();
        if granted.is_closed() && address > granted.end() {
            // Nothing is granted any more, so what is granted only shrinks: this stays true.
            return Some(Signal::Closed);
        }
        let pressure = eager && granted.is_queued() && committed > self.space.drained();
        pressure.then_some(Signal::Pressure)
    }

    /// After a publication, or after the awaited address was lowered: wakes whom it concerns.
    #[cold]
    pub(crate) fn notify_published(&self) {
        let committed = self.advance();
        // Relaxed: the caller has fenced (E5).
        if committed >= self.awaited.load(Ordering::Relaxed) {
            self.serve_readers(&mut sync::lock(&self.queues));
        }
    }

    /// Wakes the readers whose condition holds.
    fn serve_readers(&self, queues: &mut Queues) {
        let committed = self.watermark.committed();
        let ordered = !self.space.granted().is_closed();
        queues.wake_readers(ordered, |address, eager| self.judge(committed, address, eager));
        self.post_awaited(queues);
    }

    /// Writes down the lowest address waited for. Whoever may lower it fences afterwards and checks for himself.
    fn post_awaited(&self, queues: &Queues) {
        let pressed = self.space.granted().is_queued();
        let eager =
            if pressed { self.space.drained().saturating_add(GRANULE as u64) } else { NOBODY };
        // Relaxed: ordered by the fences of E5, not by itself.
        self.awaited.store(queues.awaited(eager), Ordering::Relaxed);
    }

    /// Waits for `len` bytes of space, a multiple of the granule.
    #[cold]
    pub(crate) fn wait_space(&self, len: usize) -> Result<(), Error> {
        for () in sync::spins() {
            match self.space.take(len) {
                Err(Error::Full) => sync::spin_loop(),
                taken_or_hopeless => return taken_or_hopeless,
            }
        }
        let sleeper = Sleeper::new();
        {
            let mut queues = sync::lock(&self.queues);
            queues.push_space(len, Arc::clone(&sleeper));
            self.space.set_queued(true);
            // E5: the bit *queued* before the counters that `serve_space` looks at; the fences of the consumer and
            // of `set_limit` stand between those counters and their look at the bit.
            fence(Ordering::SeqCst);
            self.serve_space(&mut queues);
        }
        if sleeper.signal().is_none() {
            // The space is wanted now: who waits eagerly has a new condition.
            // E5: the lowered `awaited` before the marks.
            fence(Ordering::SeqCst);
            if self.awaited.load(Ordering::Relaxed) != NOBODY {
                self.notify_published();
            }
        }
        match sleeper.sleep() {
            Signal::Granted => Ok(()),
            Signal::Exhausted => Err(Error::Exhausted { len }),
            _ => Err(Error::Closed),
        }
    }

    /// Hands space to the queue, in order, as far as it goes, and keeps the words true.
    fn serve_space(&self, queues: &mut Queues) {
        while let Some(len) = queues.first_space() {
            let signal = match self.space.take_queued(len) {
                Ok(()) => Signal::Granted,
                Err(Error::Full) => break,
                Err(Error::Exhausted { .. }) => Signal::Exhausted,
                Err(_) => Signal::Closed,
            };
            queues.pop_space(signal);
        }
        if queues.first_space().is_none() {
            self.space.set_queued(false);
        }
        self.post_awaited(queues);
    }

    /// After more space became available: serves the queue if there is one.
    pub(crate) fn notify_space(&self) {
        // E5: the counter that was stored before the bit *queued*; the waiter's fence stands between the bit and its look at
        // the counter.
        fence(Ordering::SeqCst);
        if self.space.granted().is_queued() {
            self.serve_space(&mut sync::lock(&self.queues));
        }
    }

    /// Returns `len` bytes of an unused permit.
    pub(crate) fn return_permit(&self, len: usize) {
        let granted = self.space.give_back(len);
        if granted.is_queued() || granted.is_closed() {
            let mut queues = sync::lock(&self.queues);
            if granted.is_queued() {
                self.serve_space(&mut queues);
            }
            if granted.is_closed() {
                self.serve_readers(&mut queues);
            }
        }
    }

    /// Wakes everybody who waits for what can no longer come.
    pub(crate) fn notify_closed(&self) {
        let mut queues = sync::lock(&self.queues);
        self.serve_space(&mut queues);
        self.serve_readers(&mut queues);
    }
}

/// What a signal means to somebody waiting for publication.
fn waited(signal: Signal) -> Waited {
    match signal {
        Signal::Committed => Waited::Committed,
        Signal::Closed => Waited::Closed,
        Signal::Pressure => Waited::Pressure,
        Signal::Woken => Waited::Woken,
        Signal::Granted | Signal::Exhausted => unreachable!("only producers are sent {signal:?}"),
    }
}

/// A place in the queue for publication, left when dropped: also when the caller's `stop` panics.
struct Enlisted<'a> {
    ring: &'a Ring,
    sleeper: &'a Sleeper,
    ticket: Ticket,
}

impl<'a> Enlisted<'a> {
    fn new(ring: &'a Ring, address: u64, eager: bool, sleeper: &'a Arc<Sleeper>) -> Self {
        let mut queues = sync::lock(&ring.queues);
        let ticket = queues.push_reader(address, eager, Arc::clone(sleeper));
        ring.post_awaited(&queues);
        Enlisted { ring, sleeper, ticket }
    }
}

impl Drop for Enlisted<'_> {
    fn drop(&mut self) {
        if self.sleeper.signal().is_none() {
            let mut queues = sync::lock(&self.ring.queues);
            queues.remove_reader(self.ticket);
            self.ring.post_awaited(&queues);
        }
    }
}

/// The lock around the queues, named here so that only this file and the ring's constructor know it.
pub(crate) type Waiting = Mutex<Queues>;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;
    use crate::sync::SPINS;

    #[test]
    fn a_wait_whose_stop_panics_leaves_the_queue() {
        let (ring, _consumer) = Ring::new(64, 0).unwrap();
        let asked = Cell::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            ring.wait_committed(8, None, || {
                asked.set(asked.get() + 1);
                if asked.get() > SPINS {
                    // The first question after the spinning: by now the waiter is queued.
                    assert_eq!(ring.awaited.load(Ordering::Relaxed), 8);
                    resume_unwind(Box::new("the caller's panic"));
                }
                false
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(ring.awaited.load(Ordering::Relaxed), NOBODY);
        assert_eq!(sync::lock(&ring.queues).awaited(NOBODY), NOBODY);
    }

    #[test]
    fn a_wait_that_is_fulfilled_at_once_leaves_the_queue() {
        let (ring, _consumer) = Ring::new(64, 0).unwrap();
        assert_eq!(ring.wait_committed(8, Some(Duration::ZERO), || false), Waited::TimedOut);
        assert_eq!(ring.awaited.load(Ordering::Relaxed), NOBODY);
        assert_eq!(ring.wait_committed(0, None, || false), Waited::Committed);
        assert_eq!(ring.awaited.load(Ordering::Relaxed), NOBODY);
    }

    #[test]
    fn a_waiter_who_is_served_is_looked_for_no_more() {
        let (ring, _consumer) = Ring::new(64, 0).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| ring.wait_committed(8, None, || false));
            while ring.awaited.load(Ordering::Relaxed) == NOBODY {
                std::thread::yield_now();
            }
            ring.acquire(8).unwrap().reserve().publish();
            assert_eq!(waiter.join().unwrap(), Waited::Committed);
        });
        // Otherwise every later publication would take the lock.
        assert_eq!(ring.awaited.load(Ordering::Relaxed), NOBODY);
    }

    #[test]
    fn a_wake_up_of_the_consumer_counts_once() {
        let (ring, mut consumer) = Ring::new(64, 0).unwrap();
        ring.wake();
        assert!(!consumer.wait_published(None));
        let over = std::sync::atomic::AtomicBool::new(false);
        let published = std::thread::scope(|scope| {
            scope.spawn(|| {
                while ring.awaited.load(Ordering::Relaxed) == NOBODY
                    && !over.load(std::sync::atomic::Ordering::Relaxed)
                {
                    std::thread::yield_now();
                }
                ring.acquire(8).unwrap().reserve().publish();
            });
            let published = consumer.wait_published(None);
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            published
        });
        assert!(published, "it was told twice of one call");
    }

    #[test]
    fn space_wanted_lowers_what_an_eager_reader_awaits_and_space_served_raises_it() {
        let (ring, _consumer) = Ring::new(64, 0).unwrap();
        let mut queues = sync::lock(&ring.queues);
        queues.push_reader(1000, true, Sleeper::new());
        ring.post_awaited(&queues);
        assert_eq!(ring.awaited.load(Ordering::Relaxed), 1000);
        ring.space.take(64).unwrap();
        queues.push_space(8, Sleeper::new());
        ring.space.set_queued(true);
        ring.serve_space(&mut queues);
        assert_eq!(ring.awaited.load(Ordering::Relaxed), GRANULE as u64);
        ring.space.give_back(64);
        ring.serve_space(&mut queues);
        assert_eq!(ring.awaited.load(Ordering::Relaxed), 1000);
        assert!(!ring.space.granted().is_queued());
    }
}
