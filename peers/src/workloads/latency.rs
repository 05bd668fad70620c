//! The distribution of put latencies while checkpoints run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cell::{Order, Outcome, open_loaded};
use crate::engine::Kind;
use crate::histogram::Histogram;
use crate::operations::Operation;
use crate::stream::Sink;

/// Time between the end of one checkpoint and the beginning of the next.
const PAUSE: Duration = Duration::from_millis(100);

/// The budget of one operation, so many times over.
const STRETCH: u32 = 5;

/// The quantiles of the chart.
const QUANTILES: [f64; 12] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// Times every put of one thread while another asks for checkpoints.
pub(crate) fn run(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let space = order.space()?;
    let engine = open_loaded(kind, order, &space)?;
    let count = Operation::Put.measured(space.loaded());
    let stream = Operation::Put.stream(&space, count, order.stream_seed(4));
    let mut histogram = Histogram::new();
    let done = AtomicBool::new(false);
    let checkpoints = AtomicU64::new(0);
    thread::scope(|scope| -> Result<(), Failure> {
        let tidying = scope.spawn(|| -> Result<(), Failure> {
            // Relaxed: the flag orders nothing but the end of this loop.
            while !done.load(Ordering::Relaxed) {
                engine.checkpoint()?;
                checkpoints.fetch_add(1, Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        let putting = put(engine.as_ref(), order.budget() * STRETCH, &stream, &mut histogram);
        done.store(true, Ordering::Relaxed);
        tidying.join().map_err(|_| "the checkpointing thread panicked")??;
        putting
    })?;
    let mut outcome = Outcome::default();
    for (op, quantile) in [
        ("put while checkpointing, p50", 0.5),
        ("put while checkpointing, p99", 0.99),
        ("put while checkpointing, p99.9", 0.999),
        ("put while checkpointing, max", 1.0),
    ] {
        outcome.figure(op, "ns", histogram.quantile(quantile) as f64);
    }
    outcome.quantiles =
        QUANTILES.map(|quantile| (quantile, histogram.quantile(quantile) as f64)).to_vec();
    if checkpoints.load(Ordering::Relaxed) == 0 {
        return Err("no checkpoint ended while putting".into());
    }
    Ok(outcome)
}

fn put(
    engine: &dyn crate::engine::Engine,
    budget: Duration,
    stream: &crate::stream::Stream,
    histogram: &mut Histogram,
) -> Result<(), Failure> {
    let mut session = engine.session()?;
    let mut sink = Sink::touching();
    let started = Instant::now();
    let mut last = started;
    for step in (0..stream.len()).cycle() {
        stream.run(step, step + 1, session.as_mut(), &mut sink)?;
        let now = Instant::now();
        histogram.record((now - last).as_nanos() as u64);
        last = now;
        if now - started > budget {
            break;
        }
    }
    Ok(())
}
