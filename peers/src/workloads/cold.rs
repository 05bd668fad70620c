//! Random gets from data ten times larger than the cache.

use std::time::Instant;

use crate::Failure;
use crate::cell::{Order, Outcome, lacking, load, random_order};
use crate::engine::{Feature, Kind};
use crate::machine;
use crate::operations::Operation;
use crate::stream::Sink;

/// Opens a loaded database with a small cache, drops the kernel's pages, and gets at random.
pub(crate) fn run(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let op = "cold get";
    let mut outcome = Outcome::default();
    if lacking(kind, Feature::BeyondMemory, op, &mut outcome) {
        return Ok(outcome);
    }
    let space = order.space()?;
    let mut setup = order.setup(order.mode);
    let engine = (kind.open)(&setup)?;
    load(engine.session()?.as_mut(), &space, &random_order(&space, order.seed))?;
    engine.checkpoint()?;
    drop(engine);
    setup.cache = ((space.payload() * space.loaded() as f64) / 10.0) as u64;
    machine::forget(&order.dir)?;
    let engine = (kind.open)(&setup)?;
    let mut session = engine.session()?;
    // The kernel's cache is empty now. Nobody can limit it here, so whoever reads around or reads something
    // twice gains by it, as he would on a machine with memory to spare.
    let count = (space.loaded() / 100).max(64);
    let stream = Operation::GetHit.stream(&space, count, order.stream_seed(3));
    let mut sink = Sink::hashing();
    let before = machine::device_reads();
    let started = Instant::now();
    stream.run(0, stream.len(), session.as_mut(), &mut sink)?;
    let elapsed = started.elapsed();
    let read = machine::device_reads() - before;
    outcome.figure(op, "ns", elapsed.as_nanos() as f64 / stream.len() as f64);
    outcome.figure("device reads of a cold get", "B", read as f64 / stream.len() as f64);
    outcome.check(op, sink.state());
    Ok(outcome)
}
