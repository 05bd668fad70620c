//! Loading and single operations, and the mixes of YCSB.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::cell::{Order, Outcome, key_order, lacking, load_batch, open_loaded, random_order};
use crate::engine::{Engine, Feature, Kind, Mode, Session};
use crate::operations::Operation;
use crate::shapes::KeySpace;

/// Up to so many keys, every put of a load is timed by itself.
const ALL_SINGLE: usize = 200_000;

/// Keys of a load that are put and timed together.
const BLOCK: usize = 100;

/// Loads, verifies and measures every single operation.
pub(crate) fn single(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let space = order.space()?;
    let mut outcome = Outcome::default();
    let slow = matches!(order.mode, Mode::Os | Mode::Sync);
    let engine = if slow {
        outcome.refuse("load, random", "loads are timed in the modes memory and buffered");
        outcome.refuse("load, ordered", "loads are timed in the modes memory and buffered");
        open_loaded(kind, order, &space)?
    } else {
        let engine = (kind.open)(&order.setup(order.mode))?;
        let numbers = random_order(&space, order.seed);
        let cost = timed_load(engine.as_ref(), &space, &numbers)?;
        outcome.figure("load, random", "ns", cost);
        engine
    };
    operations(kind, order, &space, engine.as_ref(), &Operation::CORE, &mut outcome)?;
    drop(engine);
    if !slow {
        std::fs::remove_dir_all(&order.dir)?;
        std::fs::create_dir_all(&order.dir)?;
        let engine = (kind.open)(&order.setup(order.mode))?;
        let cost = timed_load(engine.as_ref(), &space, &key_order(&space))?;
        outcome.figure("load, ordered", "ns", cost);
    }
    Ok(outcome)
}

/// Loads, verifies and measures the mixes of YCSB.
pub(crate) fn ycsb(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let space = order.space()?;
    let mut outcome = Outcome::default();
    let engine = open_loaded(kind, order, &space)?;
    operations(kind, order, &space, engine.as_ref(), &Operation::YCSB, &mut outcome)?;
    Ok(outcome)
}

/// Verifies the answers to every operation, then measures each.
fn operations(
    kind: &Kind,
    order: &Order,
    space: &KeySpace,
    engine: &dyn Engine,
    operations: &[Operation],
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let slow = matches!(order.mode, Mode::Os | Mode::Sync);
    let mut session = engine.session()?;
    let mut wanted = Vec::new();
    for &operation in operations {
        if let Some(reason) = operation.refused_by(space.shape()) {
            outcome.refuse(operation.name(), reason);
        } else if slow && !operation.writes() {
            outcome.refuse(operation.name(), "reads do not depend on the acknowledgement");
        } else if matches!(operation, Operation::Rename | Operation::Metadata)
            && lacking(kind, Feature::Rename, operation.name(), outcome)
        {
            // Said already.
        } else {
            wanted.push(operation);
        }
    }
    // All are verified before any is measured: how many operations a measurement runs depends on
    // the engine's speed, and so would the answers after it.
    let verified = until_failure(&wanted, outcome, |operation, outcome| {
        let stream = operation.stream(space, operation.verified(slow), order.stream_seed(1));
        outcome.check(operation.name(), stream.verify(session.as_mut())?);
        Ok(())
    });
    until_failure(&wanted[..verified], outcome, |operation, outcome| {
        let count = operation.measured(space.loaded());
        let stream = operation.stream(space, count, order.stream_seed(2));
        let cost = stream.measure(session.as_mut(), order.budget())?;
        outcome.figure(operation.name(), "ns", cost);
        Ok(())
    });
    Ok(())
}

/// Runs operations until one fails; that one and those after it are refused, since nobody knows
/// what a failure left behind. Returns how many succeeded.
fn until_failure(
    operations: &[Operation],
    outcome: &mut Outcome,
    mut run: impl FnMut(Operation, &mut Outcome) -> Result<(), Failure>,
) -> usize {
    for (number, &operation) in operations.iter().enumerate() {
        if let Err(error) = run(operation, outcome) {
            outcome.refuse(operation.name(), &format!("failed: {error}"));
            for later in &operations[number + 1..] {
                outcome.refuse(later.name(), &format!("after the failure of {}", operation.name()));
            }
            return number;
        }
    }
    operations.len()
}

/// Loads the keys in the given order and returns nanoseconds a put.
fn timed_load(engine: &dyn Engine, space: &KeySpace, numbers: &[u32]) -> Result<f64, Failure> {
    let mut session = engine.session()?;
    let every = if numbers.len() <= ALL_SINGLE { 1 } else { 10 };
    let mut elapsed = Duration::ZERO;
    let mut puts = 0;
    let mut values = Vec::new();
    for (number, block) in numbers.chunks(BLOCK).enumerate() {
        if number % every != 0 {
            load_batch(session.as_mut(), space, block)?;
            continue;
        }
        values.clear();
        let mut ends = [0; BLOCK];
        for (end, &index) in ends.iter_mut().zip(block) {
            space.write_value(index as usize, 0, &mut values);
            *end = values.len();
        }
        elapsed += put_all(session.as_mut(), space, block, &values, &ends)?;
        puts += block.len();
    }
    Ok(elapsed.as_nanos() as f64 / puts.max(1) as f64)
}

fn put_all(
    session: &mut dyn Session,
    space: &KeySpace,
    block: &[u32],
    values: &[u8],
    ends: &[usize],
) -> Result<Duration, Failure> {
    let started = Instant::now();
    let mut start = 0;
    for (&index, &end) in block.iter().zip(ends) {
        session.put(space.key(index as usize), &values[start..end])?;
        start = end;
    }
    Ok(started.elapsed())
}
