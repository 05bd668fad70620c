//! What a group of clients can have of the machine at best: threads that share plain writes and `fdatasync`, and nothing else.
//!
//! No log, no tree, no records: whoever comes first writes as many bytes as all have asked for, syncs, and wakes the others, who
//! are parked. What is left is the device, and for each client one wake-up and one park. It gathers as the log does: the one that
//! leads waits a little for as many as there were before.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The part of the last sync's time that the leader waits for others, at most.
const LINGER: u32 = 8;

/// What the clients share.
#[derive(Default)]
struct State {
    /// How many writes were asked for, and how many are durable.
    asked: u64,
    durable: u64,
    leading: bool,
    waiting: Vec<(Thread, Arc<AtomicBool>)>,
    /// What the last sync was like.
    members: usize,
    took: Duration,
}

/// Clients that write `record` bytes at a time to one file.
pub(crate) struct Floor<'a> {
    file: &'a File,
    /// Bytes of the file, which is gone round in.
    room: u64,
    record: usize,
    state: Mutex<State>,
}

impl<'a> Floor<'a> {
    pub(crate) fn new(file: &'a File, room: u64, record: usize) -> Floor<'a> {
        Floor { file, room, record, state: Mutex::default() }
    }

    /// One write of one client, which is durable afterwards.
    pub(crate) fn put(&self) -> std::io::Result<()> {
        let mut state = self.lock();
        state.asked += 1;
        let own = state.asked;
        while state.durable < own {
            if state.leading {
                let woken = Arc::new(AtomicBool::new(false));
                state.waiting.push((thread::current(), Arc::clone(&woken)));
                drop(state);
                while !woken.load(Ordering::Acquire) {
                    thread::park();
                }
                state = self.lock();
                continue;
            }
            state.leading = true;
            let (members, patience) = (state.members, state.took / LINGER);
            drop(state);
            let begun = Instant::now();
            while self.lock().waiting.len() < members && begun.elapsed() < patience {
                thread::yield_now();
            }
            state = self.lock();
            let (from, to) = (state.durable, state.asked);
            state.members = state.waiting.len();
            drop(state);
            let begun = Instant::now();
            let bytes = vec![7; (to - from) as usize * self.record];
            self.file.write_all_at(&bytes, from * self.record as u64 % self.room)?;
            self.file.sync_data()?;
            state = self.lock();
            state.took = begun.elapsed();
            state.durable = to;
            state.leading = false;
            // Who is not covered leads next, or waits again.
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            for (thread, woken) in waiting {
                woken.store(true, Ordering::Release);
                thread.unpark();
            }
            state = self.lock();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
