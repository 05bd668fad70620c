//! Several threads at once: synced puts and their grouping, and the scaling of two threads.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cell::{Order, Outcome, lacking, open_loaded};
use crate::engine::{Engine, Feature, Kind};
use crate::operations::{Operation, Owner};
use crate::shapes::KeySpace;
use crate::stream::{Sink, Stream};

/// The numbers of threads that commit at once.
const COMMITTERS: [usize; 4] = [1, 2, 8, 32];

/// Synced puts from growing numbers of threads.
pub(crate) fn synced(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let space = order.space()?;
    let engine = open_loaded(kind, order, &space)?;
    let mut outcome = Outcome::default();
    for threads in COMMITTERS {
        let op = format!("synced put, {threads} threads");
        let op = if threads == 1 { "synced put, 1 thread" } else { &op };
        if threads > 1 && lacking(kind, Feature::Threads, op, &mut outcome) {
            continue;
        }
        let put = (Operation::Put, Keys::All);
        let cost = together(engine.as_ref(), order, &space, put, threads, 1)?;
        outcome.figure(op, "ns", cost);
    }
    Ok(outcome)
}

/// What the streams of several threads have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Each takes any key.
    All,
    /// Each has directories of its own.
    Own,
}

/// Gets, puts and their mix by one thread and by two, and puts to directories of each thread.
pub(crate) fn scaling(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let space = order.space()?;
    let engine = open_loaded(kind, order, &space)?;
    let mut outcome = Outcome::default();
    let kinds = [
        (Operation::GetHit, Keys::All),
        (Operation::Put, Keys::All),
        (Operation::Put, Keys::Own),
        (Operation::Mixed, Keys::All),
    ];
    for (operation, keys) in kinds {
        for threads in [1, 2] {
            let number = if threads == 1 { "1 thread" } else { "2 threads" };
            let own = if keys == Keys::Own { " in own directories" } else { "" };
            let op = format!("{}{own}, {number}", operation.name());
            if threads > 1 && lacking(kind, Feature::Threads, &op, &mut outcome) {
                continue;
            }
            let kind = (operation, keys);
            let cost = together(engine.as_ref(), order, &space, kind, threads, 32)?;
            outcome.figure(&op, "ns", cost);
        }
    }
    Ok(outcome)
}

/// Runs one operation on several threads at once for the order's budget and returns nanoseconds of
/// wall time for each operation of all threads together. The clock is read every `chunk` steps.
fn together(
    engine: &dyn Engine,
    order: &Order,
    space: &KeySpace,
    (operation, keys): (Operation, Keys),
    threads: usize,
    chunk: usize,
) -> Result<f64, Failure> {
    let count = (operation.measured(space.loaded()) / threads).max(1 << 12);
    let streams: Vec<Stream> = (0..threads)
        .map(|number| {
            let seed = order.stream_seed(100 + number as u64);
            let owner = match keys {
                Keys::All => Owner::of_all(),
                Keys::Own => Owner::new(number, threads),
            };
            operation.stream_of(space, count, seed, owner)
        })
        .collect();
    let barrier = Barrier::new(threads);
    let finished: Vec<Result<(u64, Duration), Failure>> = thread::scope(|scope| {
        let handles: Vec<_> = streams
            .iter()
            .map(|stream| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let session = engine.session();
                    // Everybody waits here, also who failed to begin: nobody hangs.
                    barrier.wait();
                    let mut session = session?;
                    let mut sink = Sink::touching();
                    let started = Instant::now();
                    let (mut next, mut done) = (0, 0);
                    while started.elapsed() < order.budget() || done == 0 {
                        if next + chunk > stream.len() {
                            next = 0;
                        }
                        stream.run(next, next + chunk, session.as_mut(), &mut sink)?;
                        next += chunk;
                        done += chunk as u64;
                    }
                    std::hint::black_box(sink.state());
                    Ok((done, started.elapsed()))
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect()
    });
    // Each thread's own rate: at the end of the time some have stopped before others.
    let mut rate = 0.0;
    for result in finished {
        let (done, elapsed) = result?;
        rate += done as f64 / elapsed.as_nanos() as f64;
    }
    Ok(1.0 / rate)
}
