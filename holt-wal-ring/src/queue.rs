//! The wait queues: who is parked, for what, and how he is told.
//!
//! Plain data behind the ring's one lock, used on slow paths only. Two queues: producers waiting for space, first come
//! first served; and threads waiting for publication, ordered by the address they wait for. What the conditions *are*
//! is the business of [`crate::waiting`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::sync::{Arc, AtomicU32, Ordering, Parker};

/// The address that stands for "nobody waits": no record ends there, because addresses are multiples of 8.
pub(crate) const NOBODY: u64 = u64::MAX;

/// Why a parked thread was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Signal {
    /// The space asked for is granted, and counted as his.
    Granted = 1,
    /// The ring is closed and the wait can never be fulfilled.
    Closed = 2,
    /// No address is left for the space asked for.
    Exhausted = 3,
    /// The address is published.
    Committed = 4,
    /// Producers wait for space and something can be drained.
    Pressure = 5,
    /// Somebody woke all waiters.
    Woken = 6,
}

/// One parked thread and the one word that tells it to go on.
#[derive(Debug)]
pub(crate) struct Sleeper {
    parker: Parker,
    /// 0, then a [`Signal`]; stored once, by the waker that took the sleeper out of its queue.
    signal: AtomicU32,
}

impl Sleeper {
    /// A sleeper for the calling thread.
    pub(crate) fn new() -> Arc<Sleeper> {
        Arc::new(Sleeper { parker: Parker::new(), signal: AtomicU32::new(0) })
    }

    /// Ends the sleep. The caller has taken the sleeper out of its queue.
    pub(crate) fn wake(&self, signal: Signal) {
        // E6: releases what the waker saw, above all the granter's view of `drained`, to the sleeper
        // (`Sleeper::signal`).
        self.signal.store(signal as u32, Ordering::Release);
        self.parker.unpark();
    }

    /// The signal, if it has come.
    pub(crate) fn signal(&self) -> Option<Signal> {
        // E6: acquires what the waker saw before `Sleeper::wake`.
        match self.signal.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Signal::Granted),
            2 => Some(Signal::Closed),
            3 => Some(Signal::Exhausted),
            4 => Some(Signal::Committed),
            5 => Some(Signal::Pressure),
            _ => Some(Signal::Woken),
        }
    }

    /// Parks until the signal comes. The calling thread is the one that made the sleeper.
    pub(crate) fn sleep(&self) -> Signal {
        loop {
            if let Some(signal) = self.signal() {
                return signal;
            }
            self.parker.park();
        }
    }

    /// Parks until the signal comes or the time is over.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Option<Signal> {
        loop {
            let signal = self.signal();
            if signal.is_some() || Instant::now() >= deadline {
                return signal;
            }
            self.parker.park_until(deadline);
        }
    }
}

/// A thread waiting for publication.
#[derive(Debug)]
struct Reader {
    sleeper: Arc<Sleeper>,
    /// Wants to know as well when producers are short of space.
    eager: bool,
}

/// The place of a waiter in the queue for publication; no two are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    /// Address waited for.
    address: u64,
    /// Order of arrival, for uniqueness.
    number: u64,
}

/// Both queues.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// Bytes asked for, and by whom; in order of arrival.
    space: VecDeque<(usize, Arc<Sleeper>)>,
    readers: BTreeMap<Ticket, Reader>,
    /// Number of `readers` that are eager.
    eager: usize,
    next_ticket: u64,
}

impl Queues {
    /// Queues a producer for `len` bytes.
    pub(crate) fn push_space(&mut self, len: usize, sleeper: Arc<Sleeper>) {
        self.space.push_back((len, sleeper));
    }

    /// What the first producer of the queue asks for.
    pub(crate) fn first_space(&self) -> Option<usize> {
        self.space.front().map(|&(len, _)| len)
    }

    /// Wakes the first producer of the queue.
    pub(crate) fn pop_space(&mut self, signal: Signal) {
        if let Some((_, sleeper)) = self.space.pop_front() {
            sleeper.wake(signal);
        }
    }

    /// Queues a thread until `address` is published.
    pub(crate) fn push_reader(
        &mut self,
        address: u64,
        eager: bool,
        sleeper: Arc<Sleeper>,
    ) -> Ticket {
        let ticket = Ticket { address, number: self.next_ticket };
        self.next_ticket += 1;
        self.eager += usize::from(eager);
        self.readers.insert(ticket, Reader { sleeper, eager });
        ticket
    }

    /// Takes a thread out that stops waiting on its own account; nothing happens if it was woken already.
    pub(crate) fn remove_reader(&mut self, ticket: Ticket) {
        if let Some(reader) = self.readers.remove(&ticket) {
            self.eager -= usize::from(reader.eager);
        }
    }

    /// Wakes every reader for whom `judge` of his address and eagerness gives a signal.
    ///
    /// Asks in the order of the addresses and, without eager readers, no further than the first who has to go on waiting
    /// when `ordered` says that whoever waits for a higher address has to as well.
    pub(crate) fn wake_readers(
        &mut self,
        ordered: bool,
        judge: impl Fn(u64, bool) -> Option<Signal>,
    ) {
        if ordered && self.eager == 0 {
            while let Some(first) = self.readers.first_entry()
                && let Some(signal) = judge(first.key().address, false)
            {
                first.remove().sleeper.wake(signal);
            }
            return;
        }
        let eager = &mut self.eager;
        self.readers.retain(|ticket, reader| match judge(ticket.address, reader.eager) {
            None => true,
            Some(signal) => {
                *eager -= usize::from(reader.eager);
                reader.sleeper.wake(signal);
                false
            }
        });
    }

    /// The lowest address that a reader waits for, where an eager one counts as waiting for `eager_address` or his own.
    pub(crate) fn awaited(&self, eager_address: u64) -> u64 {
        let first = self.readers.first_key_value().map_or(NOBODY, |(ticket, _)| ticket.address);
        if self.eager == 0 { first } else { first.min(eager_address) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn sleepers<const N: usize>() -> [Arc<Sleeper>; N] {
        std::array::from_fn(|_| Sleeper::new())
    }

    #[test]
    fn only_covered_readers_are_woken() {
        let mut queues = Queues::default();
        let [low, same, high] = sleepers();
        queues.push_reader(64, false, high.clone());
        queues.push_reader(8, false, low.clone());
        queues.push_reader(8, false, same.clone());
        assert_eq!(queues.awaited(NOBODY), 8);
        queues.wake_readers(true, |address, _| (address <= 56).then_some(Signal::Committed));
        assert_eq!(low.signal(), Some(Signal::Committed));
        assert_eq!(same.signal(), Some(Signal::Committed));
        assert_eq!(high.signal(), None);
        assert_eq!(queues.awaited(NOBODY), 64);
    }

    #[test]
    fn an_eager_reader_lowers_the_awaited_address() {
        let mut queues = Queues::default();
        let [patient, eager] = sleepers();
        queues.push_reader(64, false, patient.clone());
        assert_eq!(queues.awaited(16), 64);
        let ticket = queues.push_reader(128, true, eager.clone());
        assert_eq!(queues.awaited(16), 16);
        queues.wake_readers(true, |_, eager| eager.then_some(Signal::Pressure));
        assert_eq!(eager.signal(), Some(Signal::Pressure));
        assert_eq!(patient.signal(), None);
        assert_eq!(queues.awaited(16), 64);
        // Leaving after having been woken changes no count.
        queues.remove_reader(ticket);
        assert_eq!(queues.awaited(16), 64);
    }

    #[test]
    fn an_eager_reader_that_leaves_on_his_own_account_lowers_nothing_any_more() {
        let mut queues = Queues::default();
        let [patient, eager] = sleepers();
        queues.push_reader(64, false, patient);
        let ticket = queues.push_reader(128, true, eager);
        assert_eq!(queues.awaited(16), 16);
        queues.remove_reader(ticket);
        assert_eq!(queues.awaited(16), 64);
    }

    #[test]
    fn producers_are_served_in_order_of_arrival() {
        let mut queues = Queues::default();
        let [first, second] = sleepers();
        queues.push_space(48, first.clone());
        queues.push_space(8, second.clone());
        assert_eq!(queues.first_space(), Some(48));
        queues.pop_space(Signal::Granted);
        assert_eq!((first.signal(), second.signal()), (Some(Signal::Granted), None));
        assert_eq!(queues.first_space(), Some(8));
        queues.pop_space(Signal::Closed);
        assert_eq!(second.signal(), Some(Signal::Closed));
        assert_eq!(queues.first_space(), None);
    }

    #[test]
    fn every_signal_arrives_as_what_it_was() {
        use Signal::*;
        for signal in [Granted, Closed, Exhausted, Committed, Pressure, Woken] {
            let [sleeper] = sleepers();
            assert_eq!(sleeper.signal(), None);
            sleeper.wake(signal);
            assert_eq!(sleeper.sleep(), signal);
        }
    }
}
