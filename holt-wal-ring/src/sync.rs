//! The one place of this crate that names `std::sync`, `std::thread` and `loom`.
//!
//! - Every other file takes its atomics, locks, fences and threads from here, so that a build with
//!   `--cfg loom` is explored by the model checker as a whole.
//! - [`Watch`] is how the model checker sees *bytes*: it is nothing at all in an ordinary build, and one
//!   tracked cell a granule under loom. Whoever touches the ring's bytes holds a claim on their cells
//!   for as long as the bytes are his, and loom fails the model if two claims are not ordered.

#[cfg(not(loom))]
pub(crate) use self::real::*;

#[cfg(loom)]
pub(crate) use self::modelled::*;

#[cfg(not(loom))]
mod real {
    use std::time::Instant;

    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

    /// Rounds of checking before a waiter parks. A round is one check and one pause of the processor,
    /// some tens of nanoseconds, so the whole spin is shorter than one park and unpark.
    pub(crate) const SPINS: usize = 64;

    /// The rounds of checking, to be looped over.
    pub(crate) fn spins() -> impl Iterator<Item = ()> {
        std::iter::repeat_n((), SPINS)
    }

    /// Where the thread that made it parks. It may wake without reason, so what it waits for is written elsewhere.
    #[derive(Debug)]
    pub(crate) struct Parker {
        thread: std::thread::Thread,
    }

    impl Parker {
        pub(crate) fn new() -> Parker {
            Parker { thread: std::thread::current() }
        }

        /// Parks the calling thread, which made this, until unparked.
        pub(crate) fn park(&self) {
            std::thread::park();
        }

        /// As `park`, but not beyond `deadline`.
        pub(crate) fn park_until(&self, deadline: Instant) {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        }

        /// Ends the present or the next `park`.
        pub(crate) fn unpark(&self) {
            self.thread.unpark();
        }
    }

    /// Stands where loom tracks byte accesses; an ordinary build tracks nothing.
    #[derive(Debug)]
    pub(crate) struct Watch;

    /// The shared or exclusive use of some granules, as far as the model checker is concerned.
    #[derive(Debug)]
    pub(crate) struct Claim;

    impl Watch {
        pub(crate) fn new(_granules: usize) -> Watch {
            Watch
        }

        #[inline]
        pub(crate) fn write(&self, _first: u64, _granules: usize) -> Claim {
            Claim
        }

        #[inline]
        pub(crate) fn read(&self, _first: u64, _granules: usize) -> Claim {
            Claim
        }
    }

    impl Claim {
        #[inline]
        pub(crate) fn release(&mut self) {}
    }
}

#[cfg(loom)]
mod modelled {
    use std::time::Instant;

    use loom::cell::{ConstPtr, MutPtr, UnsafeCell};
    use loom::sync::Condvar;

    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

    /// None: spinning adds no behaviour that parking lacks, only interleavings.
    pub(crate) fn spins() -> impl Iterator<Item = ()> {
        std::iter::empty()
    }

    /// Where the thread that made it parks.
    ///
    /// Not loom's own `park`, whose `unpark` also frees a thread that is blocked at a lock just then and so breaks the model.
    #[derive(Debug)]
    pub(crate) struct Parker {
        token: Mutex<bool>,
        given: Condvar,
    }

    impl Parker {
        pub(crate) fn new() -> Parker {
            Parker { token: Mutex::new(false), given: Condvar::new() }
        }

        pub(crate) fn park(&self) {
            let mut token = super::lock(&self.token);
            while !*token {
                token = self.given.wait(token).unwrap();
            }
            *token = false;
        }

        /// Models know no clock: parks until unparked, whatever the deadline.
        pub(crate) fn park_until(&self, _deadline: Instant) {
            self.park();
        }

        pub(crate) fn unpark(&self) {
            *super::lock(&self.token) = true;
            self.given.notify_one();
        }
    }

    /// One tracked cell a granule.
    #[derive(Debug)]
    pub(crate) struct Watch {
        cells: Box<[UnsafeCell<()>]>,
    }

    /// The tracked cells in use, until released or dropped.
    #[derive(Debug)]
    pub(crate) struct Claim {
        writing: Vec<MutPtr<()>>,
        reading: Vec<ConstPtr<()>>,
    }

    impl Watch {
        pub(crate) fn new(granules: usize) -> Watch {
            Watch { cells: (0..granules).map(|_| UnsafeCell::new(())).collect() }
        }

        fn cell(&self, granule: u64) -> &UnsafeCell<()> {
            &self.cells[granule as usize & (self.cells.len() - 1)]
        }

        /// Claims `granules` cells from granule address `first` for writing.
        pub(crate) fn write(&self, first: u64, granules: usize) -> Claim {
            let cells = first..first + granules as u64;
            let writing = cells.map(|granule| self.cell(granule).get_mut()).collect();
            Claim { writing, reading: Vec::new() }
        }

        /// Claims `granules` cells from granule address `first` for reading.
        pub(crate) fn read(&self, first: u64, granules: usize) -> Claim {
            let cells = first..first + granules as u64;
            let reading = cells.map(|granule| self.cell(granule).get()).collect();
            Claim { writing: Vec::new(), reading }
        }
    }

    impl Claim {
        /// Ends the use, before the store that hands the bytes on.
        pub(crate) fn release(&mut self) {
            self.writing.clear();
            self.reading.clear();
        }
    }
}

/// Locks, also when a holder panicked: what the lock guards is consistent between any two statements
/// that could panic, and a poisoned wait queue would turn one panic into a hang of everybody.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
