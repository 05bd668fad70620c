//! Who syncs, who waits: the acknowledgement of group commit, apart from any log.
//!
//! One of those who wait leads: it makes durable what there is and says up to which address. The others
//! join and sleep. Whoever waits first leads, so a single client pays for no hand-over.
//!
//! # State
//!
//! | word | written by | read by |
//! |---|---|---|
//! | `synced`: address below which all is durable; only grows | leader, under the lock | everybody |
//! | `leading`, `failure`, `members` | everybody, under the lock | the same |
//! | a member's `woken` | who takes it off the list, once | the member |
//!
//! # Happens-before
//!
//! * **G1** the leader's store of `synced` (release) to a waiter's load (acquire): what the leader did to make it true.
//! * **G2** the store of `woken` (release) to the member's load (acquire): the waker's view of the list.
//!
//! # Liveness
//!
//! A waiter registers and looks for a leader under one lock, and a leader leaves under it. So either the waiter
//! leads, or it is on the list of a leader that has not left. A leader that leaves, in whatever way, takes
//! off the list and wakes every member that is covered and one that is not, who leads next unless somebody else
//! already does; and that one will leave, too. After a failure, a leader's panic included, everybody is woken.
//!
//! # Order of verdicts
//!
//! A waiter looks at `synced` before it looks at the failure: what is durable is acknowledged.
//!
//! Checked by `tests/loom.rs`.

#![cfg_attr(not(loom), expect(unreachable_pub, reason = "public for the models alone"))]

use crate::sync::{
    Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, Thread, current, lock, park,
};

/// The waiters of one log and the mark that they wait for. `E` is the error that ends it.
#[derive(Debug)]
pub struct Group<E> {
    synced: AtomicU64,
    /// Whether `failure` holds something, for a look without the lock.
    failed: AtomicBool,
    state: Mutex<State<E>>,
    /// The failure that a leader's panic is.
    panicked: fn() -> E,
}

#[derive(Debug)]
struct State<E> {
    leading: bool,
    failure: Option<E>,
    members: Vec<Arc<Member>>,
}

/// One that joined.
#[derive(Debug)]
struct Member {
    end: u64,
    woken: AtomicBool,
    thread: Thread,
}

impl<E: Clone> Group<E> {
    /// A group with everything below `synced` durable; `panicked` makes the failure of a leader that panics.
    pub fn new(synced: u64, panicked: fn() -> E) -> Group<E> {
        Group {
            synced: AtomicU64::new(synced),
            failed: AtomicBool::new(false),
            state: Mutex::new(State { leading: false, failure: None, members: Vec::new() }),
            panicked,
        }
    }

    /// Address below which everything is durable.
    pub fn synced(&self) -> u64 {
        // G1.
        self.synced.load(Ordering::Acquire)
    }

    /// Whether the group has failed.
    pub fn has_failed(&self) -> bool {
        // Acquire: whoever sees it finds the failure under the lock.
        self.failed.load(Ordering::Acquire)
    }

    /// What the group failed with.
    pub fn failure(&self) -> Option<E> {
        if self.has_failed() { lock(&self.state).failure.clone() } else { None }
    }

    /// How many wait for the leader at this moment.
    pub fn members(&self) -> usize {
        lock(&self.state).members.len()
    }

    /// Waits until everything below `end` is durable, by leading if nobody else does.
    ///
    /// `hopeless` says why `end` will never be durable, if so; whoever makes it true calls [`Group::nudge`] after. It is
    /// called under the group's lock. `flush` makes durable what there is, at least up to `end` unless that is
    /// hopeless, and returns the address below which all is durable then.
    ///
    /// # Errors
    ///
    /// The group's failure, or why it is hopeless; never when `end` is durable.
    pub fn wait(
        &self,
        end: u64,
        hopeless: impl Fn() -> Option<E>,
        mut flush: impl FnMut(u64) -> Result<u64, E>,
    ) -> Result<(), E> {
        loop {
            if self.synced() >= end {
                return Ok(());
            }
            let member = {
                let mut state = lock(&self.state);
                if self.synced() >= end {
                    return Ok(());
                }
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
                if let Some(why) = hopeless() {
                    return Err(why);
                }
                if state.leading {
                    let woken = AtomicBool::new(false);
                    let member = Arc::new(Member { end, woken, thread: current() });
                    state.members.push(Arc::clone(&member));
                    Some(member)
                } else {
                    state.leading = true;
                    None
                }
            };
            match member {
                None => {
                    let lead = Lead { group: self };
                    let outcome = flush(end);
                    lead.leave(outcome);
                }
                Some(member) => {
                    // G2.
                    while !member.woken.load(Ordering::Acquire) {
                        park();
                    }
                }
            }
        }
    }

    /// Notes that everything below `mark` is durable.
    pub fn advance(&self, mark: u64) {
        let mut state = lock(&self.state);
        self.raise(mark);
        let covered = take(&mut state.members, |member| member.end <= mark);
        drop(state);
        wake(covered);
    }

    /// Ends the group for good, unless it has failed before, and wakes everybody.
    pub fn fail(&self, failure: E) {
        let mut state = lock(&self.state);
        let everybody = self.note(&mut state, failure);
        drop(state);
        wake(everybody);
    }

    /// Wakes everybody to look again.
    pub fn nudge(&self) {
        let everybody = std::mem::take(&mut lock(&self.state).members);
        wake(everybody);
    }

    /// Raises the mark; the caller holds the lock.
    fn raise(&self, mark: u64) {
        // Relaxed: only written under the lock. G1.
        if mark > self.synced.load(Ordering::Relaxed) {
            self.synced.store(mark, Ordering::Release);
        }
    }

    /// Notes a failure and takes everybody off the list.
    fn note(&self, state: &mut MutexGuard<'_, State<E>>, failure: E) -> Vec<Arc<Member>> {
        state.failure.get_or_insert(failure);
        // Release: see `has_failed`.
        self.failed.store(true, Ordering::Release);
        std::mem::take(&mut state.members)
    }
}

/// The office of leader, given up in whatever way its holder ends.
struct Lead<'a, E: Clone> {
    group: &'a Group<E>,
}

impl<E: Clone> Lead<'_, E> {
    fn leave(self, outcome: Result<u64, E>) {
        let group = self.group;
        std::mem::forget(self);
        let mut state = lock(&group.state);
        state.leading = false;
        let awake = match outcome {
            Ok(mark) => {
                group.raise(mark);
                let mut awake = take(&mut state.members, |member| member.end <= mark);
                if !state.members.is_empty() {
                    awake.push(state.members.remove(0));
                }
                awake
            }
            Err(failure) => group.note(&mut state, failure),
        };
        drop(state);
        wake(awake);
    }
}

impl<E: Clone> Drop for Lead<'_, E> {
    fn drop(&mut self) {
        // Only a panic comes here.
        let mut state = lock(&self.group.state);
        state.leading = false;
        let everybody = self.group.note(&mut state, (self.group.panicked)());
        drop(state);
        wake(everybody);
    }
}

/// Takes the members that `which` names off the list.
fn take(members: &mut Vec<Arc<Member>>, which: impl Fn(&Member) -> bool) -> Vec<Arc<Member>> {
    let (taken, kept) = members.drain(..).partition(|member| which(member));
    *members = kept;
    taken
}

/// Wakes members that are off the list.
fn wake(members: Vec<Arc<Member>>) {
    for member in members {
        let thread = member.thread.clone();
        // G2. The member may be gone right after, its thread handle is not.
        member.woken.store(true, Ordering::Release);
        thread.unpark();
    }
}
