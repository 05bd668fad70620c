//! Opening what a killed process left behind.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Failure;
use crate::cell::{Order, Outcome, lacking, load, random_order};
use crate::engine::{Feature, Kind};

use super::prefix::digest;

/// Has another process load everything and be killed, then times opening and the first get.
pub(crate) fn run(kind: &Kind, order: &Order) -> Result<Outcome, Failure> {
    let op = "reopen after a kill";
    let mut outcome = Outcome::default();
    if lacking(kind, Feature::Reopen, op, &mut outcome) {
        return Ok(outcome);
    }
    let space = order.space()?;
    let setup = order.setup(order.mode);
    if order.die {
        let engine = (kind.open)(&setup)?;
        load(engine.session()?.as_mut(), &space, &random_order(&space, order.seed))?;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        return Err("the process outlived its own SIGKILL".into());
    }
    // The arguments of this process, and one more.
    let mut victim = Command::new(std::env::current_exe()?);
    victim.args(std::env::args_os().skip(1)).arg("--die").stdin(Stdio::null());
    let status = victim.stdout(Stdio::null()).status()?;
    if status.success() || status.code().is_some() {
        return Err(format!("the process to be killed ended by itself: {status}").into());
    }
    let mut session_value = 0usize;
    let started = Instant::now();
    let engine = (kind.open)(&setup)?;
    let mut session = engine.session()?;
    let found = session.get(space.key(0), &mut |value| session_value = value.len())?;
    let elapsed = started.elapsed();
    if !found || session_value == 0 {
        return Err("the first key did not survive the kill".into());
    }
    outcome.figure(op, "ns", elapsed.as_nanos() as f64);
    outcome.figure("reopen, each key", "ns", elapsed.as_nanos() as f64 / space.loaded() as f64);
    outcome.check(op, digest(session.as_mut(), b"")?);
    Ok(outcome)
}
