//! Moving a directory with everything below it, and deleting it.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::cell::{Order, Outcome, lacking, load, random_order};
use crate::engine::{Feature, Kind, Query, Session, Want};
use crate::shapes::{KeySpace, Shape};
use crate::stream::Sink;

/// Keys beside the directory that is moved.
const BESIDE: usize = 20_000;

/// The directory, and where it goes.
const FROM: &[u8] = b"moving/from/";
const TO: &[u8] = b"moving/to/somewhere/else/";

/// Measures one move and one deletion of a directory of `order.size` keys.
pub(crate) fn run(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let renames = !lacking(kind, Feature::RenamePrefix, "rename a prefix", &mut outcome);
    let deletes = !lacking(kind, Feature::DeletePrefix, "delete a prefix", &mut outcome);
    if !renames && !deletes {
        return Ok(outcome);
    }
    let beside = KeySpace::new(order.shape, BESIDE, 0, order.seed, order.real.as_deref())?;
    let below = KeySpace::new(Shape::Objstore, order.size, 0, order.seed, None)?;
    let engine = (kind.open)(&order.setup(order.mode))?;
    let mut session = engine.session()?;
    load(session.as_mut(), &beside, &random_order(&beside, order.seed))?;
    fill(session.as_mut(), &below, &random_order(&below, order.seed))?;
    outcome.check("loaded", digest(session.as_mut(), b"")?);
    let mut here = FROM;
    if renames {
        let mut moves = Vec::new();
        let started = Instant::now();
        // There and back, as long as there is time, and an odd number of times.
        while moves.is_empty() || (started.elapsed() < order.budget() && moves.len() < 101) {
            let there = if here == FROM { TO } else { FROM };
            moves.push(timed(|| session.rename_prefix(here, there))?);
            here = there;
            if moves.len() == 1 {
                outcome.check("moved", digest(session.as_mut(), b"")?);
            }
        }
        moves.sort_unstable();
        outcome.figure("rename a prefix", "ns", moves[moves.len() / 2].as_nanos() as f64);
    }
    if deletes {
        let cost = timed(|| session.delete_prefix(here))?;
        outcome.figure("delete a prefix", "ns", cost.as_nanos() as f64);
        outcome.check("deleted", digest(session.as_mut(), b"")?);
    }
    Ok(outcome)
}

fn timed(run: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}

/// Stores the keys of `space` below the directory.
fn fill(session: &mut dyn Session, space: &KeySpace, numbers: &[u32]) -> Result<(), Failure> {
    for batch in numbers.chunks(1_000) {
        let records: Vec<(Vec<u8>, Vec<u8>)> = batch
            .iter()
            .map(|&index| {
                let mut value = Vec::new();
                space.write_value(index as usize, 0, &mut value);
                ([FROM, space.key(index as usize)].concat(), value)
            })
            .collect();
        let borrowed: Vec<(&[u8], &[u8])> =
            records.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        session.load(&borrowed)?;
    }
    Ok(())
}

/// A hash of everything below a prefix.
pub(super) fn digest(session: &mut dyn Session, prefix: &[u8]) -> Result<u64, Failure> {
    let mut sink = Sink::hashing();
    let query = Query { prefix, after: None, limit: usize::MAX };
    let count = session.list(query, Want::Records, &mut |key, value| {
        sink.see(key);
        sink.see(value);
    })?;
    sink.note(count as u64);
    Ok(sink.state())
}
