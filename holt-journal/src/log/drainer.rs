//! The two background threads: one writes out what nobody waits for, one makes segments.
//!
//! * They hold weak handles: a log that nobody uses any more goes, and they with it.
//! * The drainer is woken by the first record after a pause and then lets records gather for the interval: at most one
//!   wake-up an interval, none while there is nothing. Producers short of space cut the interval short.
//! * While the ring's memory is new, it asks the system for as much of it ahead as producers are about to write, so that the faults
//!   are its own and not theirs. For that it looks up a few times in an interval, as long as much is written.
//! * A panic in either ends writing and is told to everybody.

use std::time::{Duration, Instant};

use holt_codec::GRANULE;
use holt_wal_ring::{Ring, Waited};

use super::shared::Shared;
use crate::Error;
use crate::disk::Disk;
use crate::sync::{Arc, Builder, JoinHandle, Weak};

/// Starts both.
pub(super) fn start<D: Disk>(shared: &Arc<Shared<D>>) -> Result<[JoinHandle<()>; 2], Error> {
    let thread = |name: &str| Builder::new().name(name.to_owned());
    let cannot = |error| Error::Thread(Arc::new(error));
    let weak = Arc::downgrade(shared);
    let desk = Arc::clone(&shared.desk);
    let maker = thread("holt-segments")
        .spawn(move || {
            let alarm = Alarm(weak);
            while desk.wait_order() {
                match alarm.0.upgrade() {
                    Some(shared) => shared.make_segment(),
                    None => break,
                }
            }
            std::mem::forget(alarm);
        })
        .map_err(cannot)?;
    let weak = Arc::downgrade(shared);
    let ring = Arc::clone(&shared.ring);
    let interval = shared.options.flush_interval;
    let drainer = thread("holt-drain").spawn(move || {
        let alarm = Alarm(weak);
        loop {
            let over = || alarm.0.upgrade().is_none_or(|shared| shared.ring.is_closed());
            ring.wait_committed(ring.drained().saturating_add(GRANULE as u64), None, over);
            if over() {
                break;
            }
            gather(&ring, interval, over);
            match alarm.0.upgrade() {
                // A failure is told to everybody by itself.
                Some(shared) if shared.drain().is_ok() => {}
                _ => break,
            }
        }
        std::mem::forget(alarm);
    });
    match drainer {
        Ok(drainer) => Ok([maker, drainer]),
        Err(error) => {
            shared.desk.stop();
            let _ = maker.join();
            Err(cannot(error))
        }
    }
}

/// Bytes of the ring that are made ready ahead of writers who have written little yet.
const READY: u64 = 256 << 10;

/// Bytes in one look from which on writers are fast enough for another in the same interval.
const FAST: u64 = 16 << 10;

/// Lets records gather for the interval, and makes the ring's memory ready for them while it is new.
fn gather(ring: &Ring, interval: Duration, over: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut look = interval / 32;
    let mut ahead = READY;
    while ring.prepare(ahead as usize) && begun.elapsed() + look < interval {
        let before = ring.tail();
        if ring.wait_drainable(u64::MAX, Some(look), &over) != Waited::TimedOut {
            return;
        }
        let written = ring.tail() - before;
        if written < FAST {
            break;
        }
        // The next look comes after twice the time; and twice as much as they write may be a little late.
        look *= 2;
        ahead = READY.max(4 * written);
    }
    let left = interval.saturating_sub(begun.elapsed());
    ring.wait_drainable(u64::MAX, Some(left), over);
}

/// Ends writing when its thread panics.
struct Alarm<D: Disk>(Weak<Shared<D>>);

impl<D: Disk> Drop for Alarm<D> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.fail(Error::LogPanicked);
        }
    }
}
