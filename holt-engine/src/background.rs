//! Checkpoints that nobody asked for, made by a thread of their own.
//!
//! | when | why |
//! |---|---|
//! | the log has grown by the volume | opening has to replay no more than that |
//! | half of the frames have changed that may | changed frames do not leave the cache otherwise |
//! | nobody has written for a while | an idle database has an empty log |
//! | a while after a failure, or after as much log again | what failed before a sync may succeed now |
//!
//! - The thread holds the database weakly: it ends when the last handle goes, and never keeps the
//!   database open.
//! - A checkpoint that fails changes nothing, and the next attempt takes a fresh cut. A failed sync is
//!   never repeated: the store writes elsewhere, and closes itself after the second one.
//! - A failure that lasts is not kept from writers. Once the log is [`PATIENCE`] volumes long, or as
//!   soon as the store has closed itself, writes are refused until a checkpoint succeeds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use holt_journal::disk::Disk;

use crate::checkpoint::{self, Checkpoint};
use crate::core::Core;
use crate::error::Error;
use crate::options::Options;
use crate::stats::CheckpointStats;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, Builder, Condvar, JoinHandle, Mutex, Ordering, Weak, lock, wait,
    wait_for,
};

/// An address that no log reaches.
const NEVER: u64 = u64::MAX;

/// How long the log may become while checkpoints fail, in volumes.
const PATIENCE: u64 = 4;

/// The pause after the first failure; it doubles with each one in a row, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When the next automatic checkpoint is due, and how the thread hears of it.
#[derive(Debug)]
pub(crate) struct Due {
    /// Address at which the next checkpoint is due; [`NEVER`] while one is under way, or if there
    /// are no automatic ones. Read by every writer, written by the thread and by whoever wakes it.
    address: AtomicU64,
    /// Bytes of log between two checkpoints; zero for none.
    volume: u64,
    /// How long nobody has to write for a checkpoint to be made.
    idle: Duration,
    /// Whether writes are refused. Read by every writer, written by who makes a checkpoint.
    refusing: AtomicBool,
    /// Writers that wait for a checkpoint's next step; written with the state's mutex held.
    waiting: AtomicU64,
    /// Whether the last one failed. Written by who makes one.
    failing: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    stopped: bool,
    /// Steps of checkpoints that somebody may have waited for.
    steps: u64,
    /// Checkpoints that have ended, well or not.
    ended: u64,
    figures: CheckpointStats,
}

/// What waiting for a checkpoint came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// One has read on, or ended. With the number of those that have ended.
    Made(u64),
    /// None was being made.
    None,
}

/// Why the thread goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Woken {
    /// The database is being closed.
    Stopped,
    /// The log has grown by the volume.
    Wanted,
    /// The time is over.
    Elapsed,
}

impl Due {
    /// The last checkpoint is at `last`.
    pub(crate) fn new(last: u64, options: &Options) -> Due {
        let due = Due {
            address: AtomicU64::new(NEVER),
            volume: options.checkpoint_bytes,
            idle: options.checkpoint_idle,
            refusing: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            failing: AtomicBool::new(false),
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

    /// A writer has found that many frames have changed: a checkpoint is due, whatever the log's
    /// length. While they fail they come at their own pace.
    #[cold]
    pub(crate) fn hurry(&self) {
        // Relaxed: a hint, as the address is.
        if !self.failing.load(Ordering::Relaxed) {
            self.passed(NEVER - 1);
        }
    }

    /// Refuses a write while checkpoints keep failing.
    ///
    /// # Errors
    ///
    /// [`Error::CheckpointsFail`].
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        // Relaxed: a write that overlaps the change may go either way.
        if self.refusing.load(Ordering::Relaxed) { Err(self.refusal()) } else { Ok(()) }
    }

    #[cold]
    fn refusal(&self) -> Error {
        let why = lock(&self.state).figures.failure.clone();
        Error::CheckpointsFail { why: why.unwrap_or_default() }
    }

    fn again(&self, address: u64) {
        let next = if self.automatic() { address.saturating_add(self.volume) } else { NEVER };
        self.address.store(next, Ordering::Relaxed);
    }

    /// A checkpoint begins. It ends at the latest when what this returns is dropped: should it panic, those
    /// who wait for it go on.
    pub(crate) fn begins(&self) -> Running<'_> {
        lock(&self.state).figures.running = true;
        Running(self)
    }

    /// The checkpoint that is being made has read an object, and needs no copy of it any more.
    pub(crate) fn step(&self) {
        // Relaxed: whoever is missed here hears of the next step, or of the end.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            lock(&self.state).steps += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until the checkpoint that is being made has taken a step or has ended.
    pub(crate) fn wait_for_progress(&self) -> Progress {
        let mut state = lock(&self.state);
        if !state.figures.running {
            return Progress::None;
        }
        // Relaxed, both: see `step`.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (steps, ended) = (state.steps, state.ended);
        while (state.steps, state.ended) == (steps, ended) {
            state = wait(&self.changed, state);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Progress::Made(state.ended)
    }

    /// A checkpoint has ended: `state` is its figures' guard.
    fn end(&self, state: &mut State) {
        state.figures.running = false;
        state.ended += 1;
        self.changed.notify_all();
    }

    /// A checkpoint ended well. `pause` is for how long its cut kept writers out, if it took one.
    pub(crate) fn made(&self, made: &Checkpoint, pause: Option<Duration>) {
        self.again(made.log_address);
        let mut state = lock(&self.state);
        self.end(&mut state);
        let figures = &mut state.figures;
        figures.failure = None;
        figures.failures_in_a_row = 0;
        if let Some(pause) = pause {
            figures.made += 1;
            figures.images += made.images;
            figures.bytes += made.bytes;
            figures.last_pause = pause;
            figures.longest_pause = figures.longest_pause.max(pause);
        }
        // Relaxed, both: as in `check` and `hurry`.
        self.refusing.store(false, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
    }

    /// A checkpoint failed, when the log was at `tail` and the last checkpoint at `last`. `closed`
    /// says that none can be made any more.
    pub(crate) fn failed(&self, why: String, closed: bool, last: u64, tail: u64) {
        // Without that a full disk would be asked again by every write.
        self.again(tail);
        let mut state = lock(&self.state);
        self.end(&mut state);
        let figures = &mut state.figures;
        figures.failure = Some(why);
        figures.failures += 1;
        figures.failures_in_a_row += 1;
        let long = self.automatic() && tail - last >= self.volume.saturating_mul(PATIENCE);
        // Relaxed, both: as in `check` and `hurry`.
        self.refusing.store(closed || long, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// What became of the checkpoints so far.
    pub(crate) fn figures(&self) -> CheckpointStats {
        lock(&self.state).figures.clone()
    }

    /// How long the thread waits for somebody to want a checkpoint.
    fn patience(&self) -> Duration {
        let failures = lock(&self.state).figures.failures_in_a_row;
        if failures == 0 {
            return self.idle;
        }
        let doubled = u32::try_from(failures - 1).map_or(u32::MAX, |n| 1 << n.min(16));
        FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
    }

    /// Waits until a checkpoint is wanted, or so long.
    fn wait(&self, time: Duration) -> Woken {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return Woken::Stopped;
            }
            if std::mem::take(&mut state.wanted) {
                return Woken::Wanted;
            }
            let (next, elapsed) = wait_for(&self.changed, state, time);
            state = next;
            if elapsed && !state.stopped && !state.wanted {
                return Woken::Elapsed;
            }
        }
    }

    fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }
}

/// A checkpoint that is being made.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Due);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        if state.figures.running {
            self.0.end(&mut state);
        }
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
    // Where the log ended when the thread looked last.
    let mut seen = NEVER;
    loop {
        let woken = due.wait(due.patience());
        if woken == Woken::Stopped {
            return;
        }
        let Some(core) = weak.upgrade() else { return };
        // After a failure of the log no checkpoint can be made, and every write says why.
        if core.log_failure().is_some() {
            continue;
        }
        let tail = core.log_address();
        let quiet = std::mem::replace(&mut seen, tail) == tail;
        let retry = due.figures().failures_in_a_row > 0;
        if woken == Woken::Elapsed && !retry && !quiet {
            continue;
        }
        // A panic must not end automatic checkpoints in silence: the log would grow for ever. An
        // error has been noted for the statistics, and for the writers if it lasts.
        let made = catch_unwind(AssertUnwindSafe(|| checkpoint::make(&core)));
        if made.is_err() {
            checkpoint::note_failure(
                &core,
                "the checkpoint panicked; the database has to be reopened".to_owned(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(volume: u64) -> Due {
        let mut options = Options::new();
        options.checkpoint_bytes(volume);
        Due::new(100, &options)
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_a_success_ends_them() {
        let due = due(1000);
        assert_eq!(due.patience(), due.idle);
        let mut last = Duration::ZERO;
        for number in 0..100 {
            due.failed(String::new(), false, 100, 100);
            let pause = due.patience();
            let doubled = number == 0 || pause == (last * 2).min(LONGEST_PAUSE);
            assert!(doubled, "{number}: {pause:?} after {last:?}");
            last = pause;
        }
        assert_eq!(last, LONGEST_PAUSE);
        due.made(&Checkpoint { log_address: 100, images: 0, bytes: 0 }, None);
        assert_eq!(due.patience(), due.idle);
    }

    #[test]
    fn writes_are_refused_once_a_failure_has_lasted_and_not_before() {
        let due = due(1000);
        due.failed("no space".to_owned(), false, 100, 100 + PATIENCE * 1000 - 1);
        assert!(due.check().is_ok());
        due.failed("no space".to_owned(), false, 100, 100 + PATIENCE * 1000);
        let refused = due.check();
        assert!(matches!(refused, Err(Error::CheckpointsFail { why }) if why == "no space"));
        due.made(&Checkpoint { log_address: 5000, images: 0, bytes: 0 }, None);
        assert!(due.check().is_ok());
        due.failed("failed sync".to_owned(), true, 5000, 5000);
        assert!(due.check().is_err());
    }

    #[test]
    fn without_a_volume_nothing_is_due_and_only_a_closed_store_refuses() {
        let due = due(0);
        due.passed(NEVER - 1);
        assert!(!due.automatic() && !lock(&due.state).wanted);
        due.failed("no space".to_owned(), false, 0, u64::MAX);
        assert!(due.check().is_ok());
    }
}
