//! Memory and disk that a key takes, and what is written for it, after loading and after churn.

use crate::Failure;
use crate::cell::{Order, Outcome, disk_bytes, load_batch, random_order};
use crate::engine::{Engine, Kind, Mode, Session};
use crate::machine;
use crate::rng::Rng;
use crate::shapes::KeySpace;

use super::prefix::digest;

/// How often half of the keys are deleted and stored again.
const CHURNS: u64 = 4;

/// Measures the footprint after loading and after churn.
pub(crate) fn run(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let space = order.space()?;
    let numbers = random_order(&space, order.seed);
    let mut outcome = Outcome::default();
    let before = Before { memory: machine::resident(), written: machine::device_writes() };
    let engine = (kind.open)(&order.setup(order.mode))?;
    let mut session = engine.session()?;
    for block in numbers.chunks(1_000) {
        put_all(session.as_mut(), &space, block)?;
    }
    let mut put = space.loaded();
    note(engine.as_ref(), order, &space, &before, ("after load", put), &mut outcome)?;
    outcome.check("after load", digest(session.as_mut(), b"")?);
    let mut half = numbers;
    for churn in 0..CHURNS {
        Rng::new(order.stream_seed(200 + churn)).shuffle(&mut half);
        for block in half[..half.len() / 2].chunks(1_000) {
            for &index in block {
                session.delete(space.key(index as usize))?;
            }
        }
        Rng::new(order.stream_seed(300 + churn)).shuffle(&mut half[..space.loaded() / 2]);
        for block in half[..half.len() / 2].chunks(1_000) {
            load_batch(session.as_mut(), &space, block)?;
        }
        put += half.len() / 2;
    }
    note(engine.as_ref(), order, &space, &before, ("after churn", put), &mut outcome)?;
    outcome.check("after churn", digest(session.as_mut(), b"")?);
    Ok(outcome)
}

/// What there was before the engine.
struct Before {
    /// Resident memory in bytes.
    memory: u64,
    /// Bytes written to devices.
    written: u64,
}

/// Puts a block of keys one by one.
fn put_all(session: &mut dyn Session, space: &KeySpace, block: &[u32]) -> Result<(), Failure> {
    let mut value = Vec::new();
    for &index in block {
        value.clear();
        space.write_value(index as usize, 0, &mut value);
        session.put(space.key(index as usize), &value)?;
    }
    Ok(())
}

fn note(
    engine: &dyn Engine,
    order: &Order,
    space: &KeySpace,
    before: &Before,
    (when, put): (&str, usize),
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    engine.checkpoint()?;
    let keys = space.loaded() as f64;
    let files = disk_bytes(&order.dir);
    // Key and value alone: what an engine without any overhead would take.
    let when = format!("{when} (payload {:.0} B)", space.payload());
    let mut memory = machine::resident().saturating_sub(before.memory);
    if order.mode == Mode::Memory {
        memory += files;
    } else {
        outcome.figure(&format!("disk of a key, {when}"), "B", files as f64 / keys);
        // Everything since the beginning, for every byte of a key or a value that was put since then.
        let written = machine::device_writes().saturating_sub(before.written);
        let amplification = written as f64 / (put as f64 * space.payload());
        outcome.figure(&format!("written for a byte put, {when}"), "", amplification);
    }
    outcome.figure(&format!("memory of a key, {when}"), "B", memory as f64 / keys);
    if let Some(fill) = engine.fill() {
        outcome.figure(&format!("unused share of frames, {when}"), "", 1.0 - fill);
    }
    Ok(())
}
