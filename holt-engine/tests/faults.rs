//! Calls of the disk that fail, at every single call of a workload with checkpoints, churn and a
//! compaction, once or from then on: the workload goes on past every error, as a program would.
//!
//! At any moment memory holds what the model says: a write that failed has changed nothing, or, when
//! the log failed under it, all of what it was to change. Whatever becomes of the process then, what
//! it left opens, verifies, and is the state after some write, none before the last one that was
//! acknowledged. Nothing leaks: no slot, no extent, no file, no descriptor.

mod common;

use std::sync::Arc;

use common::{Model, contents, seed};
use holt_engine::disk::{CrashPattern, Disk, Fault, SimDisk, Target, Trigger};
use holt_engine::{Db, Durability, Error, Fault as Found, Options};

type Act = Box<dyn Fn(&Db<SimDisk>) -> Result<(), Error>>;
type Effect = Box<dyn Fn(&mut Model)>;

/// One step: what it does, what that makes of the model, and what its answer promises.
struct Step {
    act: Act,
    effect: Effect,
    durability: Durability,
}

fn step(
    durability: Durability,
    act: impl Fn(&Db<SimDisk>) -> Result<(), Error> + 'static,
    effect: impl Fn(&mut Model) + 'static,
) -> Step {
    Step { act: Box::new(act), effect: Box::new(effect), durability }
}

fn options() -> Options {
    let mut options = Options::new();
    // Segments so small that the workload crosses their borders.
    options.segment_bytes(64 << 10).checkpoint_bytes(0);
    options
}

fn key(number: u32) -> Vec<u8> {
    format!("dir{}/file{number:02}", number % 4).into_bytes()
}

fn put(number: u32, length: usize, durability: Durability) -> Step {
    let value = vec![number as u8; length];
    let copy = value.clone();
    step(
        durability,
        move |db| db.default_tree().put_with(&key(number), &value, durability).map(drop),
        move |model| drop(model.insert(key(number), copy.clone())),
    )
}

fn delete(number: u32) -> Step {
    step(
        Durability::Buffered,
        move |db| {
            db.default_tree().delete_with(&key(number), Durability::Buffered)?;
            Ok(())
        },
        move |model| drop(model.remove(&key(number))),
    )
}

fn move_prefix(from: &'static [u8], to: &'static [u8]) -> Step {
    step(
        Durability::Os,
        move |db| {
            let _ = db.default_tree().rename_prefix_with(from, to, Durability::Os)?;
            Ok(())
        },
        move |model| {
            // The target is taken only if an earlier step failed: then nothing moves.
            if model.keys().any(|key| key.starts_with(to)) {
                return;
            }
            let moved = |(key, value): (Vec<u8>, Vec<u8>)| match key.strip_prefix(from) {
                Some(rest) => ([to, rest].concat(), value),
                None => (key, value),
            };
            *model = std::mem::take(model).into_iter().map(moved).collect();
        },
    )
}

fn checkpoint() -> Step {
    step(Durability::Sync, |db| db.checkpoint().map(drop), |_| {})
}

/// Load, checkpoint, churn, checkpoint, deletion, compaction.
fn steps() -> Vec<Step> {
    use Durability::{Buffered, Os, Sync};
    let mut steps: Vec<Step> = Vec::new();
    // Some frames' worth of records.
    steps.extend((0..48).map(|n| put(n, 2800, if n % 12 == 11 { Sync } else { Buffered })));
    steps.push(put(50, 30_000, Os));
    steps.push(checkpoint());
    steps.extend((0..48).step_by(3).map(|n| put(n, 1000 + 50 * n as usize, Buffered)));
    steps.push(step(
        Os,
        |db| {
            let tree = db.default_tree();
            let fill = |batch: &mut holt_engine::Batch<SimDisk>| {
                batch.put(&tree, b"batch/one", &[1; 500])?;
                batch.put(&tree, b"batch/two", &[2; 20_000])?;
                batch.delete(&tree, &key(50))?;
                batch.delete_prefix(&tree, b"dir3/")
            };
            db.atomic_with(Os, fill).map(drop)
        },
        |model| {
            model.insert(b"batch/one".to_vec(), vec![1; 500]);
            model.insert(b"batch/two".to_vec(), vec![2; 20_000]);
            model.remove(&key(50));
            model.retain(|key, _| !key.starts_with(b"dir3/"));
        },
    ));
    steps.push(move_prefix(b"dir1/", b"moved/"));
    steps.push(checkpoint());
    steps.extend((0..40).step_by(4).map(delete));
    steps.push(step(
        Sync,
        |db| db.default_tree().delete_prefix_with(b"moved/file1", Sync).map(drop),
        |model| model.retain(|key, _| !key.starts_with(b"moved/file1")),
    ));
    steps.push(step(Sync, |db| db.compact().map(drop), |_| {}));
    steps.extend([put(60, 100, Buffered), put(61, 100, Sync)]);
    steps
}

/// What a run has seen.
#[derive(Default)]
struct Run {
    /// States after 0, 1, 2… writes that memory has had.
    states: Vec<Model>,
    /// States from this one on survive a power cut, by what was acknowledged.
    durable: usize,
    handed_over: usize,
    errors: usize,
}

impl Run {
    fn now(&self) -> &Model {
        self.states.last().expect("there is the empty one")
    }

    /// Goes through the steps, past all errors.
    fn go(&mut self, db: &Db<SimDisk>, steps: &[Step], what: &str) {
        for step in steps {
            let before = self.now().clone();
            let mut after = before.clone();
            (step.effect)(&mut after);
            let failed_before = db.stats().unwrap().log_failure.is_some();
            let outcome = (step.act)(db);
            let found = contents(&db.default_tree()).unwrap();
            if let Err(error) = &outcome {
                self.errors += 1;
                let failed = db.stats().unwrap().log_failure.is_some();
                let whole = found == before || found == after && failed && !failed_before;
                assert!(whole, "{what}: half of a step after {error}");
            } else {
                assert!(found == after, "{what}: a step that was done is not there");
                assert!(before == after || !failed_before, "{what}: written behind a failed log");
            }
            if found != before {
                self.states.push(found);
            }
            if outcome.is_ok() {
                let count = self.states.len() - 1;
                if step.durability >= Durability::Os {
                    self.handed_over = count;
                }
                if step.durability >= Durability::Sync {
                    self.durable = count;
                }
            }
        }
    }
}

fn open(disk: &SimDisk) -> Result<Db<SimDisk>, Error> {
    options().open_on(Arc::new(disk.clone()))
}

/// What was left opens to one of the states from `least` on, whole, works, and has leaked nothing.
fn check_left(disk: &SimDisk, allowed: &[Model], what: &str) {
    let db = open(disk).unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
    let found = contents(&db.default_tree()).unwrap();
    assert!(allowed.contains(&found), "{what}: none of the last {} states", allowed.len());
    let faults = db.verify().unwrap().faults;
    assert!(faults.is_empty(), "{what}: {faults:?}");
    db.default_tree().put_with(b"after", &[7; 3000], Durability::Sync).unwrap();
    check_accounts(&db, disk, what);
    db.close().unwrap();
    assert_eq!(disk.open_handles(), 0, "{what}: descriptors leak");
    let db = open(disk).unwrap();
    let mut expected = found;
    expected.insert(b"after".to_vec(), vec![7; 3000]);
    assert!(contents(&db.default_tree()).unwrap() == expected, "{what}: after going on");
}

/// Compacts, after which files hold what counts and little else.
fn check_accounts(db: &Db<SimDisk>, disk: &SimDisk, what: &str) {
    db.checkpoint().unwrap();
    db.compact().unwrap();
    let mut report = db.verify().unwrap();
    assert!(report.faults.is_empty(), "{what}: {:?}", report.faults);
    // A mark of the log that was not written whole is written again with the next segment but one.
    report.residue.retain(|fault| !fault.to_string().starts_with("LOG.mark"));
    assert!(report.residue.is_empty(), "{what}: {:?}", report.residue);
    let stats = db.stats().unwrap();
    // The marks' two units, a manifest of few objects, and the holes that are let be.
    assert!(
        stats.store_bytes <= stats.live_bytes + stats.live_bytes / 16 + (24 << 10),
        "{what}: {stats:?}"
    );
    let names = disk.list().unwrap();
    // A segment that was not finished makes way for the next one.
    let others = |name: &&String| !name.starts_with("LOG-") && *name != "LOG.tmp";
    let kept: Vec<_> = names.iter().filter(others).map(|name| &name[..4]).collect();
    assert_eq!(kept, ["DATA", "LOCK", "LOG.", "MANI"], "{what}: {names:?}");
    // The one that is written, the one ahead, and one that was given up and is used again.
    assert!(names.len() <= 4 + 4, "{what}: {names:?}");
}

fn fail_everywhere(seed: u64, fault: Fault, lasting: bool) {
    let steps = steps();
    let mut with_errors = 0;
    for call in 0.. {
        let what = format!("{fault:?} at call {call}, lasting: {lasting}, seed {seed}");
        let disk = SimDisk::new(seed.wrapping_add(call));
        let target = Target::Changes;
        disk.inject(if lasting {
            Trigger::lasting(target, call, fault)
        } else {
            Trigger::once(target, call, fault)
        });
        let mut run = Run { states: vec![Model::new()], ..Run::default() };
        if let Ok(db) = open(&disk) {
            run.go(&db, &steps, &what);
            let reached = disk.count(target) > call;
            check_memory(&db, &what);
            // The process is killed here, or the power is lost.
            let pattern = CrashPattern::ALL[call as usize % CrashPattern::ALL.len()];
            let lost = disk.crash(seed ^ call, pattern);
            check_left(&lost, &run.states[run.durable..], &format!("{what}, {pattern:?}"));
            check_left(&disk.kill(), &run.states[run.handed_over..], &format!("{what}, killed"));
            // Or it finds that there is space again.
            disk.clear_faults();
            let failed = db.stats().unwrap().log_failure;
            if failed.is_none() {
                go_on(&db, &disk, &run, &what);
            }
            let closed = db.close();
            // It may be that nothing was left to be written when the log failed.
            assert!(closed.is_ok() || failed.is_some(), "{what}: {closed:?}");
            assert_eq!(disk.open_handles(), 0, "{what}: descriptors leak");
            let least = if closed.is_ok() { run.states.len() - 1 } else { run.handed_over };
            check_left(&disk, &run.states[least..], &format!("{what}, closed"));
            with_errors += usize::from(run.errors > 0);
            if !reached {
                assert_eq!(run.errors, 0, "{what}");
                assert!(call > 60 && with_errors > 20, "{call} calls, {with_errors} with errors");
                return;
            }
        } else {
            disk.clear_faults();
            assert_eq!(disk.open_handles(), 0, "{what}: descriptors leak");
            check_left(&disk, &[Model::new()], &format!("{what}, created"));
        }
    }
}

/// Every slot, frame number, blob and page has one owner.
fn check_memory(db: &Db<SimDisk>, what: &str) {
    let tree = |fault: &Found| matches!(fault, Found::Tree(_));
    let faults: Vec<_> = db.verify().unwrap().faults.into_iter().filter(tree).collect();
    assert!(faults.is_empty(), "{what}: {faults:?}");
}

/// The same process goes on once the disk works again. Two failed syncs in a row close the store
/// until the next opening, and only they do.
fn go_on(db: &Db<SimDisk>, disk: &SimDisk, run: &Run, what: &str) {
    match db.checkpoint() {
        Ok(_) => {
            let stats = db.stats().unwrap();
            assert_eq!(stats.checkpoint_failure, None, "{what}");
            // A failed sync's units are out of use until the next opening.
            if stats.checkpoints.failures == 0 {
                check_accounts(db, disk, what);
            }
        }
        Err(Error::Journal(error)) if error.to_string().contains("clos") => {}
        Err(error) => panic!("{what}: the disk works again, and {error}"),
    }
    assert!(contents(&db.default_tree()).unwrap() == *run.now(), "{what}: going on");
    check_memory(db, what);
}

#[test]
fn a_device_that_fails_one_call_costs_no_more_than_that_call() {
    fail_everywhere(seed(0xFA_0001), Fault::Io, false);
}

#[test]
fn a_device_that_fails_for_good_loses_nothing_that_was_acknowledged() {
    fail_everywhere(seed(0xFA_0002), Fault::Io, true);
}

#[test]
fn a_disk_that_is_full_for_one_call_costs_no_more_than_that_call() {
    fail_everywhere(seed(0xFA_0003), Fault::NoSpace, false);
}

#[test]
fn a_disk_that_stays_full_loses_nothing_and_goes_on_with_space() {
    fail_everywhere(seed(0xFA_0004), Fault::NoSpace, true);
}
