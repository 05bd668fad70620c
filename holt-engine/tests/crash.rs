//! Power cuts and kills at every single call of a small workload, through the whole engine.
//!
//! The workload runs once for each call on the disk, which is the one that does not return. What
//! every kind of crash leaves then has to open, to verify, to hold the writes up to one point and
//! none after it, that point not before what was acknowledged, and to go on working.

mod common;

use std::sync::Arc;

use common::{Model, contents, seed};
use holt_engine::disk::{CrashPattern, Fault, SimDisk, Target, Trigger};
use holt_engine::{Create, Db, Durability, Error, Options};

/// One step of the workload.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>, Durability),
    Delete(Vec<u8>, Durability),
    /// A record in a tree of its own, which the first one creates.
    Other(Vec<u8>),
    Checkpoint,
    Sync,
    Reopen,
}

/// What the two trees hold after some steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    default: Model,
    other: Model,
}

/// How far a run came before the disk failed it.
#[derive(Default)]
struct Progress {
    /// States after 0, 1, 2… steps; the last step may have been cut short.
    states: Vec<State>,
    /// Steps that survive a power cut by the promise of their acknowledgement.
    durable: usize,
    /// Steps that survive a kill.
    handed_over: usize,
}

fn options() -> Options {
    let mut options = Options::new();
    // Segments so small that the workload crosses their borders; no automatic checkpoints, whose
    // moment would differ from run to run.
    options.segment_bytes(16 << 10).checkpoint_bytes(0);
    options
}

fn steps() -> Vec<Step> {
    use Durability::{Buffered, Os, Sync};
    let key = |number: u32| format!("dir{}/file{number}", number % 3).into_bytes();
    let put = |number, durability| Step::Put(key(number), vec![number as u8; 40], durability);
    let mut steps = vec![put(0, Sync), put(1, Buffered), put(2, Os)];
    steps.extend([Step::Put(Vec::new(), b"the empty key".to_vec(), Sync)]);
    steps.extend([Step::Other(b"first".to_vec()), Step::Delete(key(1), Sync), Step::Checkpoint]);
    steps.extend((3..8).map(|number| put(number, Buffered)));
    // A value that does not fit in a frame, and a record that spans segments.
    steps.extend([Step::Put(b"large".to_vec(), vec![7; 20_000], Os), Step::Reopen]);
    steps.extend([put(8, Sync), Step::Put(b"large".to_vec(), vec![8; 30_000], Buffered)]);
    steps.extend([Step::Sync, Step::Delete(b"never there".to_vec(), Os), Step::Checkpoint]);
    steps.extend([Step::Delete(Vec::new(), Os), Step::Other(b"second".to_vec())]);
    steps.extend([Step::Checkpoint, put(0, Sync), put(9, Buffered)]);
    steps
}

/// Runs the steps until the disk fails one.
fn run(disk: &SimDisk, steps: &[Step], progress: &mut Progress) -> Result<(), Error> {
    let open = || options().open_on(Arc::new(disk.clone()));
    progress.states.push(State::default());
    let mut db = open()?;
    for (number, step) in steps.iter().enumerate() {
        let mut state = progress.states[number].clone();
        match step {
            Step::Put(key, value, _) => drop(state.default.insert(key.clone(), value.clone())),
            Step::Delete(key, _) => drop(state.default.remove(key)),
            Step::Other(key) => drop(state.other.insert(key.clone(), b"other".to_vec())),
            _ => {}
        }
        // From here on the step may be found done after a crash, whatever becomes of the call.
        progress.states.push(state);
        let acknowledged = match step {
            Step::Put(key, value, durability) => {
                db.default_tree().put_with(key, value, *durability)?;
                *durability
            }
            Step::Delete(key, durability) => {
                db.default_tree().delete_with(key, *durability)?;
                *durability
            }
            Step::Other(key) => {
                db.tree("other")?.put_with(key, b"other", Durability::Os)?;
                Durability::Os
            }
            Step::Checkpoint => {
                db.checkpoint()?;
                Durability::Sync
            }
            Step::Sync => {
                db.sync()?;
                Durability::Sync
            }
            Step::Reopen => {
                db.close()?;
                progress.durable = number + 1;
                progress.handed_over = number + 1;
                db = open()?;
                Durability::Sync
            }
        };
        if acknowledged >= Durability::Os {
            progress.handed_over = number + 1;
        }
        if acknowledged >= Durability::Sync {
            progress.durable = number + 1;
        }
    }
    db.close()?;
    progress.durable = steps.len();
    progress.handed_over = steps.len();
    Ok(())
}

fn state(db: &Db<SimDisk>) -> State {
    let mut state = State { default: contents(&db.default_tree()).unwrap(), other: Model::new() };
    if db.tree_names().unwrap().iter().any(|name| name == "other") {
        state.other = contents(&db.tree("other").unwrap()).unwrap();
    }
    state
}

fn check_sound(db: &Db<SimDisk>, what: &str) {
    let report = db.verify().unwrap();
    assert!(report.faults.is_empty(), "{what}: {:?}", report.faults);
}

/// What a crash left behind opens to a state that `progress` allows from `least` on, and works.
fn check_recovery(disk: &SimDisk, progress: &Progress, least: usize, what: &str) {
    let open = || options().open_on(Arc::new(disk.clone()));
    let db = open().unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
    check_sound(&db, what);
    let found = state(&db);
    let allowed = &progress.states[least..];
    assert!(
        allowed.contains(&found),
        "{what}: {found:?} is none of the last {} states",
        allowed.len()
    );
    // A second crash right after the recovery finds the same.
    let again = disk.kill();
    let second = options().open_on(Arc::new(again)).unwrap();
    assert_eq!(state(&second), found, "{what}: recovered twice");
    drop(second);
    // It goes on working, and what is written now is not taken for something from before.
    let tree = db.default_tree();
    tree.put_with(b"after", b"the crash", Durability::Sync).unwrap();
    db.checkpoint().unwrap();
    tree.put_with(b"and after", b"the checkpoint", Durability::Os).unwrap();
    drop(tree);
    db.close().unwrap();
    let db = open().unwrap();
    let mut expected = found;
    expected.default.insert(b"after".to_vec(), b"the crash".to_vec());
    expected.default.insert(b"and after".to_vec(), b"the checkpoint".to_vec());
    assert_eq!(state(&db), expected, "{what}: after going on");
    check_sound(&db, what);
    db.close().unwrap();
    assert_eq!(disk.open_handles(), 0, "{what}: descriptors leak");
}

#[test]
fn a_power_cut_at_any_call_leaves_a_prefix_with_everything_acknowledged() {
    let seed = seed(0x0F_F1CE);
    let steps = steps();
    for call in 0.. {
        let disk = SimDisk::new(seed.wrapping_add(call));
        disk.inject(Trigger::once(Target::Changes, call, Fault::PowerCut));
        let mut progress = Progress::default();
        let outcome = run(&disk, &steps, &mut progress);
        if !disk.is_off() {
            outcome.unwrap();
            assert!(call > 40, "the workload makes {call} calls; is the disk used at all?");
            break;
        }
        for pattern in CrashPattern::ALL {
            let left = disk.crash(seed ^ call, pattern);
            let what = format!("call {call}, {pattern:?}");
            check_recovery(&left, &progress, progress.durable, &what);
        }
    }
}

#[test]
fn a_kill_at_any_call_loses_nothing_that_was_handed_over() {
    let seed = seed(0xBAD_5EED);
    let steps = steps();
    for call in 0.. {
        let disk = SimDisk::new(seed.wrapping_add(call));
        // The call fails and so do all after it, as if the process had ended before it.
        disk.inject(Trigger::lasting(Target::Changes, call, Fault::NoSpace));
        let mut progress = Progress::default();
        let outcome = run(&disk, &steps, &mut progress);
        if disk.count(Target::Changes) <= call {
            outcome.unwrap();
            break;
        }
        let least = progress.handed_over;
        check_recovery(&disk.kill(), &progress, least, &format!("call {call}"));
    }
}

#[test]
fn recovery_that_loses_power_at_any_call_recovers_the_next_time() {
    let seed = seed(0xDEAD_11FE);
    let steps = steps();
    // Leaves a log to replay behind a checkpoint, and a torn end.
    let disk = SimDisk::new(seed);
    let mut progress = Progress::default();
    run(&disk, &steps, &mut progress).unwrap();
    let db = options().open_on(Arc::new(disk.clone())).unwrap();
    for number in 0..20_u32 {
        let key = number.to_be_bytes();
        db.default_tree().put_with(&key, &key, Durability::Os).unwrap();
    }
    let crashed = disk.crash(seed, CrashPattern::TornSectors);
    drop(db);
    let expected = {
        let db = options().open_on(Arc::new(crashed.kill())).unwrap();
        state(&db)
    };
    for call in 0.. {
        let disk = crashed.kill();
        disk.inject(Trigger::once(Target::Changes, call, Fault::PowerCut));
        let outcome = options().open_on(Arc::new(disk.clone())).and_then(|db| {
            db.default_tree().put_with(b"new", b"", Durability::Sync)?;
            db.checkpoint()?;
            db.close()
        });
        if !disk.is_off() {
            outcome.unwrap();
            break;
        }
        for pattern in CrashPattern::ALL {
            let left = disk.crash(seed ^ call, pattern);
            let db = options().create(Create::Never).open_on(Arc::new(left)).unwrap();
            let mut found = state(&db);
            found.default.remove(&b"new"[..]);
            assert_eq!(found, expected, "call {call}, {pattern:?}");
            check_sound(&db, "after a crash in recovery");
        }
    }
}
