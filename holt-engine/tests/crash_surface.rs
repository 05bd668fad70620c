//! Power cuts and kills at every single call of a workload of what changes more than one thing:
//! batches, renames of keys and prefixes, answers for many keys, trees that come, get other names and go.
//!
//! What is left has to open, to verify, and to be the state after some step, whole: not one of
//! before what was acknowledged, and nothing in between.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Model, contents, seed};
use holt_engine::disk::{CrashPattern, Fault, SimDisk, Target, Trigger};
use holt_engine::{Db, Durability, Error, Options};

/// What a database holds: trees by name.
type State = BTreeMap<String, Model>;

type Act = dyn Fn(&Db<SimDisk>) -> Result<(), Error>;

/// One step: what it does, and what that makes of the state.
struct Step {
    durability: Durability,
    act: Box<Act>,
    effect: Box<dyn Fn(&mut State)>,
}

fn step(
    durability: Durability,
    act: impl Fn(&Db<SimDisk>) -> Result<(), Error> + 'static,
    effect: impl Fn(&mut State) + 'static,
) -> Step {
    Step { durability, act: Box::new(act), effect: Box::new(effect) }
}

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).checkpoint_bytes(0);
    // What is done to whole trees waits for this.
    options.durability(Durability::Os);
    options
}

fn model<'a>(state: &'a mut State, name: &str) -> &'a mut Model {
    state.get_mut(name).expect("the tree is there by then")
}

fn moved(model: &mut Model, from: &[u8], to: &[u8]) {
    let value = model.remove(from).expect("the key is there by then");
    model.insert(to.to_vec(), value);
}

fn move_prefix(model: &mut Model, from: &[u8], to: &[u8]) {
    let moved = |(key, value): (Vec<u8>, Vec<u8>)| match key.strip_prefix(from) {
        Some(rest) => ([to, rest].concat(), value),
        None => (key, value),
    };
    *model = std::mem::take(model).into_iter().map(moved).collect();
}

fn put(name: &'static str, key: &'static [u8], length: usize, durability: Durability) -> Step {
    let value = vec![key[0]; length];
    let copy = value.clone();
    step(
        durability,
        move |db| db.open_tree(name)?.put_with(key, &value, durability).map(drop),
        move |state| drop(model(state, name).insert(key.to_vec(), copy.clone())),
    )
}

fn create(name: &'static str) -> Step {
    let effect = |state: &mut State| drop(state.insert(name.to_owned(), Model::new()));
    step(Durability::Os, |db| db.create_tree(name).map(drop), effect)
}

fn drop_tree(name: &'static str) -> Step {
    let effect = |state: &mut State| drop(state.remove(name));
    step(Durability::Os, |db| db.drop_tree(name), effect)
}

fn rename_tree(from: &'static str, to: &'static str) -> Step {
    let act = |db: &Db<SimDisk>| db.rename_tree(from, to);
    step(Durability::Os, act, |state| {
        let model = state.remove(from).expect("the tree is there by then");
        state.insert(to.to_owned(), model);
    })
}

fn rename(name: &'static str, from: &'static [u8], to: &'static [u8], how: Durability) -> Step {
    let act = move |db: &Db<SimDisk>| {
        let _ = db.open_tree(name)?.rename_replacing_with(from, to, how)?;
        Ok(())
    };
    step(how, act, |state| moved(model(state, name), from, to))
}

fn checkpoint() -> Step {
    step(Durability::Sync, |db| db.checkpoint().map(drop), |_| {})
}

fn steps() -> Vec<Step> {
    use Durability::{Buffered, Os, Sync};
    vec![
        create("a"),
        put("a", b"k", 30, Buffered),
        put("a", b"large", 20_000, Buffered),
        rename("a", b"k", b"l", Sync),
        step(
            Sync,
            |db| {
                let (a, default) = (db.open_tree("a")?, db.default_tree());
                let fill = |batch: &mut holt_engine::Batch<SimDisk>| {
                    batch.put(&default, b"one", b"1")?;
                    batch.rename(&a, b"large", b"moved")?;
                    batch.put(&a, b"large", &[9; 30_000])?;
                    batch.delete(&a, b"l")?;
                    batch.delete(&a, b"never there")
                };
                db.atomic_with(Sync, fill).map(drop)
            },
            |state| {
                model(state, "default").insert(b"one".to_vec(), b"1".to_vec());
                let a = model(state, "a");
                moved(a, b"large", b"moved");
                a.insert(b"large".to_vec(), vec![9; 30_000]);
                a.remove(&b"l"[..]);
            },
        ),
        create("b"),
        put("b", b"x", 10, Os),
        checkpoint(),
        rename_tree("b", "c"),
        create("b"),
        put("b", b"other", 10, Buffered),
        drop_tree("a"),
        step(
            Os,
            |db| {
                let records = [("x", "not this"), ("y", "this"), ("z", "and this")];
                let answers = db.open_tree("c")?.put_all_if_absent_with(&records, Os)?;
                assert!(!answers[0].is_done() && answers[1].is_done() && answers[2].is_done());
                Ok(())
            },
            |state| {
                let c = model(state, "c");
                c.insert(b"y".to_vec(), b"this".to_vec());
                c.insert(b"z".to_vec(), b"and this".to_vec());
            },
        ),
        step(
            Buffered,
            |db| {
                let (b, c) = (db.open_tree("b")?, db.open_tree("c")?);
                let fill = |batch: &mut holt_engine::Batch<SimDisk>| {
                    (0..40_u8).try_for_each(|n| batch.put(&b, &[n, n], &[n; 300]))?;
                    (0..40_u8).step_by(2).try_for_each(|n| batch.rename(&b, &[n, n], &[n]))?;
                    batch.delete(&c, b"y")
                };
                db.atomic_with(Buffered, fill).map(drop)
            },
            |state| {
                for n in 0..40_u8 {
                    let key = if n % 2 == 0 { vec![n] } else { vec![n, n] };
                    model(state, "b").insert(key, vec![n; 300]);
                }
                model(state, "c").remove(&b"y"[..]);
            },
        ),
        step(
            Sync,
            |db| {
                let tree = db.default_tree();
                tree.update_with(b"one", Sync, |old| Some([old.unwrap(), b"2"].concat()))?;
                Ok(())
            },
            |state| drop(model(state, "default").insert(b"one".to_vec(), b"12".to_vec())),
        ),
        step(
            Sync,
            |db| {
                let moved = db.open_tree("b")?.rename_prefix_with(b"\x01", b"moved/", Sync)?;
                assert!(matches!(moved, holt_engine::Moved::Done(_)));
                Ok(())
            },
            |state| move_prefix(model(state, "b"), b"\x01", b"moved/"),
        ),
        step(
            Os,
            |db| db.open_tree("b")?.delete_prefix_with(b"\x02", Os).map(drop),
            |state| model(state, "b").retain(|key, _| !key.starts_with(b"\x02")),
        ),
        step(
            Buffered,
            |db| {
                let (b, c) = (db.open_tree("b")?, db.open_tree("c")?);
                let fill = |batch: &mut holt_engine::Batch<SimDisk>| {
                    batch.put(&b, b"moved/more", b"")?;
                    batch.rename_prefix(&b, b"moved/", b"again/")?;
                    batch.rename(&b, b"again/more", b"more")?;
                    batch.delete_prefix(&c, b"")?;
                    batch.put(&c, b"z", b"new")
                };
                db.atomic_with(Buffered, fill).map(drop)
            },
            |state| {
                let b = model(state, "b");
                move_prefix(b, b"moved/", b"again/");
                b.insert(b"more".to_vec(), Vec::new());
                *model(state, "c") = Model::from([(b"z".to_vec(), b"new".to_vec())]);
            },
        ),
        step(
            Sync,
            |db| {
                let (b, default) = (db.open_tree("b")?, db.default_tree());
                db.transact_with(Sync, 2, |tx| {
                    let one = tx.get(&default, b"one")?.unwrap_or_default();
                    tx.put(&default, b"one", &[&one[..], b"3"].concat())?;
                    let mut count = 0_u8;
                    for entry in tx.prefix(&b, "again/").keys_only() {
                        tx.delete(&b, entry?.name())?;
                        count += 1;
                    }
                    tx.put(&b, b"count", &[count])
                })
            },
            |state| {
                model(state, "default").insert(b"one".to_vec(), b"123".to_vec());
                let b = model(state, "b");
                let before = b.len();
                b.retain(|key, _| !key.starts_with(b"again/"));
                let count = (before - b.len()) as u8;
                b.insert(b"count".to_vec(), vec![count]);
            },
        ),
        drop_tree("b"),
        create("a"),
        put("a", b"new", 100, Sync),
        checkpoint(),
        rename("c", b"z", b"x", Os),
        drop_tree("c"),
        rename_tree("a", "b"),
        put("b", b"last", 5, Sync),
    ]
}

/// How far a run came before the disk failed it.
#[derive(Default)]
struct Progress {
    /// States after 0, 1, 2… steps; the last step may have been cut short.
    states: Vec<State>,
    durable: usize,
    handed_over: usize,
}

fn run(disk: &SimDisk, steps: &[Step], progress: &mut Progress) -> Result<(), Error> {
    progress.states.push(State::from([("default".to_owned(), Model::new())]));
    let db = options().open_on(Arc::new(disk.clone()))?;
    for (number, step) in steps.iter().enumerate() {
        let mut state = progress.states[number].clone();
        (step.effect)(&mut state);
        progress.states.push(state);
        (step.act)(&db)?;
        if step.durability >= Durability::Os {
            progress.handed_over = number + 1;
        }
        if step.durability >= Durability::Sync {
            progress.durable = number + 1;
        }
    }
    db.close()?;
    progress.durable = steps.len();
    progress.handed_over = steps.len();
    Ok(())
}

fn state(db: &Db<SimDisk>) -> State {
    let names = db.tree_names().unwrap().into_iter();
    names.map(|name| (name.clone(), contents(&db.open_tree(&name).unwrap()).unwrap())).collect()
}

fn check(disk: &SimDisk, progress: &Progress, least: usize, what: &str) {
    let open = || options().open_on(Arc::new(disk.clone()));
    let db = open().unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
    let report = db.verify().unwrap();
    assert!(report.faults.is_empty(), "{what}: {:?}", report.faults);
    let mut expected = state(&db);
    let allowed = &progress.states[least..];
    assert!(
        allowed.contains(&expected),
        "{what}: trees {:?} are none of the last {} states",
        expected.keys(),
        allowed.len()
    );
    // It goes on, with new trees and ids, and finds all of it again.
    db.create_tree("after").unwrap().put(b"k", b"v").unwrap();
    db.default_tree().put(b"after", b"").unwrap();
    let _ = db.default_tree().rename(b"after", b"and after").unwrap();
    db.checkpoint().unwrap();
    db.rename_tree("after", "later").unwrap();
    db.close().unwrap();
    let db = open().unwrap();
    expected.insert("later".to_owned(), Model::from([(b"k".to_vec(), b"v".to_vec())]));
    model(&mut expected, "default").insert(b"and after".to_vec(), Vec::new());
    assert_eq!(state(&db), expected, "{what}: after going on");
    let report = db.verify().unwrap();
    assert!(report.faults.is_empty(), "{what}: {:?}", report.faults);
}

#[test]
fn a_power_cut_at_any_call_leaves_whole_steps_and_everything_acknowledged() {
    let seed = seed(0x5EA_F00D);
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
            check(&left, &progress, progress.durable, &format!("call {call}, {pattern:?}"));
        }
    }
}

#[test]
fn a_kill_at_any_call_leaves_whole_steps_and_everything_handed_over() {
    let seed = seed(0xCA_B1E5);
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
        check(&disk.kill(), &progress, progress.handed_over, &format!("call {call}"));
    }
}
