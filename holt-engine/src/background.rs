//! Checkpoints by log volume, made by a thread of their own.
//!
//! - The thread holds the database weakly: it ends when the last handle goes, and never keeps the
//!   database open.
//! - A checkpoint that fails changes nothing; the next one is due after as much log again. The
//!   error is kept for [`Db::stats`](crate::Db::stats).

use std::panic::{AssertUnwindSafe, catch_unwind};

use holt_journal::disk::Disk;

use crate::checkpoint;
use crate::core::Core;
use crate::error::Error;
use crate::sync::{
    Arc, AtomicU64, Builder, Condvar, JoinHandle, Mutex, Ordering, Weak, lock, wait,
};

/// An address that no log reaches.
const NEVER: u64 = u64::MAX;

/// When the next automatic checkpoint is due, and how the thread hears of it.
#[derive(Debug)]
pub(crate) struct Due {
    /// Address at which the next checkpoint is due; [`NEVER`] while one is under way, or if there
    /// are no automatic ones. Read by every writer, written by the thread and by whoever wakes it.
    address: AtomicU64,
    /// Bytes of log between two checkpoints; zero for none.
    volume: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    stopped: bool,
    /// Why the last automatic checkpoint failed, if it did.
    failure: Option<String>,
}

impl Due {
    /// The last checkpoint is at `last`; the next one is due `volume` bytes later, never if zero.
    pub(crate) fn new(last: u64, volume: u64) -> Due {
        let due = Due {
            address: AtomicU64::new(NEVER),
            volume,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        due.again(last);
        due
    }

    /// Whether there are automatic checkpoints at all.
    pub(crate) fn automatic(&self) -> bool {
        self.volume > 0
    }

    /// A writer has written up to `end`.
    pub(crate) fn passed(&self, end: u64) {
        // Relaxed, here and below: the address is a hint, the mutex orders what follows from it.
        let due = self.address.load(Ordering::Relaxed);
        if end < due {
            return;
        }
        // One of the writers that passed it wakes the thread, the others go on.
        let claimed =
            self.address.compare_exchange(due, NEVER, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_ok() {
            lock(&self.state).wanted = true;
            self.changed.notify_all();
        }
    }

    /// A checkpoint has been made or attempted at `address`.
    pub(crate) fn again(&self, address: u64) {
        let next = if self.automatic() { address.saturating_add(self.volume) } else { NEVER };
        self.address.store(next, Ordering::Relaxed);
    }

    /// Why the last automatic checkpoint failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.state).failure.clone()
    }

    /// Waits until a checkpoint is wanted; false if the thread is to end.
    fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return false;
            }
            if state.wanted {
                state.wanted = false;
                return true;
            }
            state = wait(&self.changed, state);
        }
    }

    fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }
}

/// The thread that makes automatic checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    due: Arc<Due>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointer {
    pub(crate) fn start<D: Disk>(core: &Arc<Core<D>>) -> Result<Checkpointer, Error> {
        let due = Arc::clone(&core.due);
        let weak = Arc::downgrade(core);
        let thread = Builder::new()
            .name("holt-checkpoint".to_owned())
            .spawn({
                let due = Arc::clone(&due);
                move || run(&due, &weak)
            })
            .map_err(|source| Error::Io { doing: "start the checkpoint thread", source })?;
        Ok(Checkpointer { due, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread, after the checkpoint that it may be making.
    pub(crate) fn stop(&self) {
        self.due.stop();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread has been reported by the panic hook; closing goes on.
            let _ = thread.join();
        }
    }
}

fn run<D: Disk>(due: &Due, weak: &Weak<Core<D>>) {
    while due.wait() {
        let Some(core) = weak.upgrade() else { return };
        // A panic must not end automatic checkpoints in silence: the log would grow for ever.
        let made = catch_unwind(AssertUnwindSafe(|| checkpoint::make(&core)));
        let failure = match made {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the checkpoint panicked; the database has to be reopened".to_owned()),
        };
        if failure.is_some() {
            // The next attempt waits for as much log as after a success: without that a full disk
            // would be asked again by every write.
            due.again(core.log_address());
        }
        lock(&due.state).failure = failure;
    }
}
