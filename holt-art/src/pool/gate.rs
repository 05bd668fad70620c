//! The gate: a lock with many cheap shared holders and one exclusive side.
//!
//! Every mutation of a frame happens inside a [`Pass`] (shared) or under
//! [`Closed`] (exclusive). The exclusive side is for what must be alone for a
//! moment: taking a cut, a batch, a move of a whole prefix.
//!
//! # State
//!
//! * `shards[i]`: how many passes entered through shard `i` are open. A thread
//!   always uses one shard, so passes on different cores share no cache line.
//! * `closed`: 1 while somebody wants or holds the exclusive side.
//!
//! # Happens-before
//!
//! 1. *enter against close*: `enter` adds to its shard, then loads `closed`;
//!    `close` stores `closed`, then reads the shards by adding zero. Both sides change
//!    the shard, so one of the two comes second there and acquires what the first
//!    released: the closer sees the pass, or the pass sees `closed` and steps back.
//! 2. *leave → close*: the subtraction is (at least) a release, the closer's addition
//!    of zero an acquire: what passes did is visible under the closed gate.
//! 3. *open → enter*: the store of `closed` = 0 is a release, the load in `enter`
//!    an acquire: what was done under the closed gate is visible to later passes.
//! 4. *leave against close*: `leave` subtracts from its shard, then loads `closed`;
//!    `close` stores `closed`, then adds zero to the shard. As in edge 1, one comes second
//!    there: the closer sees the subtraction, or who leaves sees `closed` and wakes the closer.
//!    The mutex of `left` makes the closer's look and its wait one step against that.
//!
//! # Liveness
//!
//! New passes wait while the gate is closed or closing, so a closer cannot starve;
//! closers queue on a mutex. Holders of a pass never wait for the gate.
//!
//! Checked by `tests/loom/gates.rs`: `closed_gate_is_alone`,
//! `what_a_pass_did_is_visible_under_the_closed_gate`, `gate_wakes_everyone`.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU32, Condvar, Mutex, MutexGuard, Ordering, lock, thread_number, wait};

#[cfg(not(loom))]
const SHARDS: usize = 16;
#[cfg(loom)]
const SHARDS: usize = 1;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Gate {
    shards: [CachePadded<AtomicU32>; SHARDS],
    closed: CachePadded<AtomicU32>,
    /// Serializes closers; held while the gate is closed.
    closers: Mutex<()>,
    /// Guards the two conditions below; protects no data of its own.
    waiting: Mutex<()>,
    /// A pass was left while the gate was closing.
    left: Condvar,
    /// The gate was opened.
    opened: Condvar,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| CachePadded::new(AtomicU32::new(0))),
            closed: CachePadded::new(AtomicU32::new(0)),
            closers: Mutex::new(()),
            waiting: Mutex::new(()),
            left: Condvar::new(),
            opened: Condvar::new(),
        }
    }

    /// Enters the shared side; waits while the gate is closed.
    #[inline]
    pub(crate) fn enter(&self) -> Pass<'_> {
        let shard = &self.shards[thread_number() % SHARDS];
        loop {
            // SeqCst: edge 1, ordered before the load of `closed` below.
            shard.fetch_add(1, Ordering::SeqCst);
            // SeqCst: edge 1; and edge 3, acquire of what the closer did.
            if self.closed.load(Ordering::SeqCst) == 0 {
                return Pass { gate: self, shard: Some(shard) };
            }
            self.leave(shard);
            let mut guard = lock(&self.waiting);
            // SeqCst: edge 3 when it reads 0; the mutex makes the check and the wait one step
            // against `open`, which notifies under it.
            while self.closed.load(Ordering::SeqCst) != 0 {
                guard = wait(&self.opened, guard);
            }
        }
    }

    #[inline]
    fn leave(&self, shard: &AtomicU32) {
        // SeqCst: edge 2 (release); and edge 4, ordered before the load of `closed` below.
        shard.fetch_sub(1, Ordering::SeqCst);
        // SeqCst: edge 4, acquire of what the closer stored if its addition came first.
        if self.closed.load(Ordering::SeqCst) != 0 {
            let _guard = lock(&self.waiting);
            self.left.notify_all();
        }
    }

    /// Closes the gate: waits until every pass has been left.
    pub(crate) fn close(&self) -> Closed<'_> {
        let closer = lock(&self.closers);
        // SeqCst: edges 1 and 4, ordered before the additions to the shards below.
        self.closed.store(1, Ordering::SeqCst);
        let mut guard = lock(&self.waiting);
        // SeqCst: edge 2 (acquire); and edges 1 and 4, for which it is an addition and no load.
        while self.shards.iter().any(|shard| shard.fetch_add(0, Ordering::SeqCst) != 0) {
            guard = wait(&self.left, guard);
        }
        drop(guard);
        Closed { pass: Pass { gate: self, shard: None }, _closer: closer }
    }

    fn open(&self) {
        // SeqCst: edge 3 (release).
        self.closed.store(0, Ordering::SeqCst);
        let _guard = lock(&self.waiting);
        self.opened.notify_all();
    }
}

/// Proof that the holder is inside the gate's shared side.
///
/// A thread must not enter twice, or close the gate while it holds a pass: it
/// would wait for itself.
#[derive(Debug)]
#[must_use = "the gate is left when the pass is dropped"]
pub struct Pass<'a> {
    gate: &'a Gate,
    /// The shard that was entered; none when the pass belongs to a closed gate.
    shard: Option<&'a AtomicU32>,
}

impl Drop for Pass<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(shard) = self.shard {
            self.gate.leave(shard);
        }
    }
}

/// Proof that the holder is alone inside the gate.
#[derive(Debug)]
#[must_use = "the gate opens when this is dropped"]
pub struct Closed<'a> {
    pass: Pass<'a>,
    _closer: MutexGuard<'a, ()>,
}

impl<'a> Closed<'a> {
    /// The pass to hand to operations that run under the closed gate.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Condition, Pool, PoolOptions, Version};
    ///
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let tree = pool.create_tree(&pool.enter())?;
    /// let version = || Version::new(1).unwrap();
    /// let closed = pool.close_gate();
    /// tree.put(closed.pass(), b"k", b"v", Condition::Always, version)?;
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn pass(&self) -> &Pass<'a> {
        &self.pass
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.pass.gate.open();
    }
}
