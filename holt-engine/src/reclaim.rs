//! Giving back the room of what was removed by the prefix, by a thread of its own.
//!
//! - What is removed as a whole, a prefix or a tree, first hangs in the trash, so removing it takes
//!   as long as one descent. Here it is taken apart, a few subtrees in each pass of the gate.
//! - Nothing of this is logged: whoever replays the removal has the same in his trash, and frees it
//!   himself. A checkpoint finds ordinary frames.
//! - The thread holds the database weakly: it never keeps the database open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use holt_art::{Error as TreeError, Pool};
use holt_journal::disk::Disk;

use crate::catalog::Catalog;
use crate::core::Core;
use crate::error::Error;
use crate::pressure::Patience;
use crate::sync::{
    Arc, AtomicBool, Builder, Condvar, JoinHandle, Mutex, Ordering, Weak, lock, wait,
};

/// Subtrees that are freed in one pass of the gate, which a checkpoint has to wait for.
const AT_ONCE: usize = 4;

/// Most passes that somebody makes who wants the trash to be empty.
const MOST_STEPS: u32 = 1 << 20;

/// How the thread hears that there is something to do.
#[derive(Debug, Default)]
pub(crate) struct Trash {
    /// Held by whoever takes a subtree apart: one at a time does.
    emptying: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the thread has stopped half-way, for want of memory most likely. Written by the
    /// thread, read by whoever gives memory back.
    stalled: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    stopped: bool,
}

impl Trash {
    /// Something may have come into the trash, or there may be room again to take it apart.
    pub(crate) fn filled(&self) {
        lock(&self.state).wanted = true;
        self.changed.notify_all();
    }

    /// Memory may have become free that was kept for a reader of the past. Wakes the thread if it
    /// was waiting for that.
    pub(crate) fn freed(&self) {
        // Relaxed: see `run`.
        if self.stalled.load(Ordering::Relaxed) {
            self.filled();
        }
    }

    /// Takes a few subtrees apart; says whether there may be more room now.
    ///
    /// # Errors
    ///
    /// A lack of room for copies, or damage.
    pub(crate) fn take_apart(&self, catalog: &Catalog, pool: &Pool) -> Result<bool, Error> {
        let _alone = lock(&self.emptying);
        let some = !catalog.trash().is_empty();
        if some {
            catalog.trash().reclaim(&pool.enter(), AT_ONCE)?;
        }
        Ok(some)
    }

    /// Waits until there is something to do; false if the thread is to end.
    fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        while !state.wanted && !state.stopped {
            state = wait(&self.changed, state);
        }
        state.wanted = false;
        !state.stopped
    }

    fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }
}

/// The thread that empties the trash.
#[derive(Debug)]
pub(crate) struct Reclaimer {
    trash: Arc<Trash>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Reclaimer {
    /// Starts with what an earlier process may have left.
    pub(crate) fn start<D: Disk>(core: &Arc<Core<D>>) -> Result<Reclaimer, Error> {
        let trash = Arc::clone(&core.trash);
        trash.filled();
        let weak = Arc::downgrade(core);
        let thread = Builder::new()
            .name("holt-reclaim".to_owned())
            .spawn({
                let trash = Arc::clone(&trash);
                move || run(&trash, &weak)
            })
            .map_err(|source| Error::Io { doing: "start the reclaiming thread", source })?;
        Ok(Reclaimer { trash, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread, wherever it is.
    pub(crate) fn stop(&self) {
        lock(&self.trash.state).stopped = true;
        self.trash.changed.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread has been reported by the panic hook; closing goes on.
            let _ = thread.join();
        }
    }
}

/// Frees a few subtrees; says whether there may be more. What has to be read for that is read, and what
/// has changed too much is written first. A lack of other room is not waited for here.
fn reclaim<D: Disk>(core: &Core<D>) -> Result<bool, Error> {
    let mut patience = Patience::new();
    loop {
        match core.trash.take_apart(&core.catalog, &core.pool) {
            Err(error @ (Error::Tree(TreeError::Absent { .. }) | Error::CacheTooSmall { .. })) => {
                core.provide(error, &mut patience)?;
            }
            outcome => return outcome,
        }
    }
}

/// Takes all of the trash apart that there is, or as much as there is room for, beside the thread that does it otherwise. For
/// who must not hold back checkpoints meanwhile.
///
/// # Errors
///
/// Damage, or the failure of the disk.
pub(crate) fn empty<D: Disk>(core: &Core<D>) -> Result<(), Error> {
    // Bounded, as others may go on removing.
    for _ in 0..MOST_STEPS {
        match reclaim(core) {
            Ok(true) => {}
            // What has no room now is taken apart later.
            Ok(false)
            | Err(Error::Tree(TreeError::PoolFull { .. }) | Error::CacheTooSmall { .. }) => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn run<D: Disk>(trash: &Trash, weak: &Weak<Core<D>>) {
    while trash.wait() {
        loop {
            let Some(core) = weak.upgrade() else { return };
            // A lack of room for copies, or damage, is met again by the next attempt: after the
            // next removal or checkpoint, or when a snapshot goes. A panic must not end all attempts.
            let step = || reclaim(&core);
            let more = catch_unwind(AssertUnwindSafe(step));
            if trash.is_stopped() {
                return;
            }
            // Relaxed, all three: an attempt that finds no room has looked for it under the pool's
            // mutex, which those who make room take, too. Room that was made before is found by the
            // attempt that follows the store; who makes some after it has seen the store.
            match more {
                Ok(Ok(true)) => {}
                Ok(Err(_)) if !trash.stalled.load(Ordering::Relaxed) => {
                    trash.stalled.store(true, Ordering::Relaxed);
                    continue;
                }
                Ok(Err(_)) => break,
                Ok(Ok(false)) | Err(_) => {
                    trash.stalled.store(false, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}
