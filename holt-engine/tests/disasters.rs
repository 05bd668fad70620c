//! One disaster after the other: power cuts, kills and failing calls at random moments, ten on one
//! database, with more writes and checkpoints between them, and within the recovery itself. And no
//! disaster at all, but everything at once: writers, prefix moves, batches, checkpoints, compactions,
//! snapshots.
//!
//! After each of them the database holds the writes up to one point, everything acknowledged among
//! them, verifies, and every slot and extent is accounted for.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Model, Random, contents, seed};
use holt_engine::disk::{CrashPattern, Disk, Fault, SimDisk, Target, Trigger};
use holt_engine::{Batch, Create, Db, Durability, Error, Moved, Options, Tree};

/// How often each story is told, each time with another seed.
fn rounds(usual: u64) -> u64 {
    let rounds = std::env::var("HOLT_ROUNDS").ok().and_then(|text| text.parse().ok());
    rounds.unwrap_or(usual)
}

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(64 << 10).checkpoint_bytes(0);
    options
}

fn open(disk: &SimDisk) -> Result<Db<SimDisk>, Error> {
    options().open_on(Arc::new(disk.clone()))
}

/// Something to do in a directory of a tree.
#[derive(Clone, Debug)]
enum Op {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    DeletePrefix(Vec<u8>),
    Batch(Vec<(Vec<u8>, Option<Vec<u8>>)>),
}

impl Op {
    fn random(random: &mut Random, home: &str) -> Op {
        let directory = |random: &mut Random| format!("{home}/d{}/", random.below(5)).into_bytes();
        let key = |random: &mut Random| {
            [directory(random), format!("{:03}", random.below(150)).into_bytes()].concat()
        };
        let value = |random: &mut Random| {
            // Some are too large for a frame.
            let length = if random.below(40) == 0 { 6000 } else { random.below(900) };
            vec![random.next() as u8; length as usize]
        };
        match random.below(40) {
            0 | 1 => Op::Rename(directory(random), directory(random)),
            2 => Op::DeletePrefix(directory(random)),
            3..=5 => {
                let count = 1 + random.below(12);
                let change = |random: &mut Random| {
                    let value = if random.below(3) > 0 { Some(value(random)) } else { None };
                    (key(random), value)
                };
                Op::Batch((0..count).map(|_| change(random)).collect())
            }
            6..=15 => Op::Delete(key(random)),
            _ => Op::Put(key(random), value(random)),
        }
    }

    fn run<D: Disk>(&self, db: &Db<D>, tree: &Tree<D>, how: Durability) -> Result<(), Error> {
        match self {
            Op::Put(key, value) => drop(tree.put_with(key, value, how)?),
            Op::Delete(key) => drop(tree.delete_with(key, how)?),
            Op::Rename(from, to) => {
                let moved = tree.rename_prefix_replacing_with(from, to, how)?;
                assert!(!matches!(moved, Moved::Occupied), "it replaces");
            }
            Op::DeletePrefix(prefix) => drop(tree.delete_prefix_with(prefix, how)?),
            Op::Batch(changes) => {
                let fill = |batch: &mut Batch<D>| {
                    changes.iter().try_for_each(|(key, value)| match value {
                        Some(value) => batch.put(tree, key, value),
                        None => batch.delete(tree, key),
                    })
                };
                db.atomic_with(how, fill)?;
            }
        }
        Ok(())
    }

    fn apply(&self, model: &mut Model) {
        match self {
            Op::Put(key, value) => drop(model.insert(key.clone(), value.clone())),
            Op::Delete(key) => drop(model.remove(key)),
            Op::Rename(from, to) => {
                if from == to || !model.keys().any(|key| key.starts_with(from)) {
                    return;
                }
                model.retain(|key, _| !key.starts_with(to));
                let moved = |(key, value): (Vec<u8>, Vec<u8>)| match key.strip_prefix(&from[..]) {
                    Some(rest) => ([to, rest].concat(), value),
                    None => (key, value),
                };
                *model = std::mem::take(model).into_iter().map(moved).collect();
            }
            Op::DeletePrefix(prefix) => model.retain(|key, _| !key.starts_with(prefix)),
            Op::Batch(changes) => {
                for (key, value) in changes {
                    match value {
                        Some(value) => drop(model.insert(key.clone(), value.clone())),
                        None => drop(model.remove(key)),
                    }
                }
            }
        }
    }
}

fn sound(db: &Db<SimDisk>, what: &str) {
    let report = db.verify().unwrap();
    assert!(report.faults.is_empty(), "{what}: {:?}", report.faults);
}

/// After a checkpoint and a compaction files hold what counts and little else.
fn accounted<D: Disk>(db: &Db<D>, what: &str) {
    db.checkpoint().unwrap();
    db.compact().unwrap();
    let mut report = db.verify().unwrap();
    // A mark of the log that was not written whole is written again with the next segment but one.
    report.residue.retain(|fault| !fault.to_string().starts_with("LOG.mark"));
    assert!(report.faults.is_empty() && report.residue.is_empty(), "{what}: {report:?}");
    let stats = db.stats().unwrap();
    // The marks' two units, a manifest with its history, and the holes that are let be.
    let most = stats.live_bytes + stats.live_bytes / 16 + (80 << 10);
    assert!(stats.store_bytes <= most, "{what}: {stats:?}");
}

/// What a life of the process came to.
struct Life {
    /// States after 0, 1, 2… writes, the first being what it found.
    states: Vec<Model>,
    durable: usize,
    handed_over: usize,
}

/// Writes until the disk fails, or for long enough.
fn live(disk: &SimDisk, random: &mut Random, found: &Model) -> (Life, Result<(), Error>) {
    let mut life = Life { states: vec![found.clone()], durable: 0, handed_over: 0 };
    let outcome = live_on(disk, random, &mut life);
    (life, outcome)
}

fn live_on(disk: &SimDisk, random: &mut Random, life: &mut Life) -> Result<(), Error> {
    let db = open(disk)?;
    let tree = db.default_tree();
    for _ in 0..50 + random.below(250) {
        let last = life.states.len() - 1;
        match random.below(60) {
            0 => {
                db.checkpoint()?;
                life.durable = last;
            }
            1 => {
                db.compact()?;
                life.durable = last;
            }
            _ => {
                use Durability::{Buffered, Os, Sync};
                let how = [Buffered, Buffered, Buffered, Os, Sync][random.below(5) as usize];
                let op = Op::random(random, "home");
                let mut next = life.states[last].clone();
                op.apply(&mut next);
                // From here on the write may be found done after a crash.
                life.states.push(next);
                op.run(&db, &tree, how)?;
                match how {
                    Buffered => {}
                    Os => life.handed_over = last + 1,
                    _ => (life.durable, life.handed_over) = (last + 1, last + 1),
                }
            }
        }
        life.handed_over = life.handed_over.max(life.durable);
    }
    drop(tree);
    db.close()?;
    life.durable = life.states.len() - 1;
    life.handed_over = life.durable;
    Ok(())
}

/// A disaster at a random call.
fn arm(disk: &SimDisk, random: &mut Random) {
    let after = random.below(160);
    let fault = [Fault::PowerCut, Fault::PowerCut, Fault::Io, Fault::NoSpace];
    let fault = fault[random.below(4) as usize];
    disk.inject(if random.below(2) == 0 || fault == Fault::PowerCut {
        Trigger::once(Target::Changes, after, fault)
    } else {
        Trigger::lasting(Target::Changes, after, fault)
    });
}

fn pattern(random: &mut Random) -> CrashPattern {
    CrashPattern::ALL[random.below(CrashPattern::ALL.len() as u64) as usize]
}

/// Recovers, perhaps after attempts that lose power themselves, and says what there is.
fn recover(
    mut disk: SimDisk,
    random: &mut Random,
    (life, mut least): (&Life, usize),
    what: &str,
) -> (SimDisk, Model) {
    for _ in 0..random.below(3) {
        let after = random.below(25);
        disk.inject(Trigger::once(Target::Changes, after, Fault::PowerCut));
        // A checkpoint writes what an opening alone does not. It changes no key.
        let _ = open(&disk).and_then(|db| db.checkpoint());
        disk = disk.crash(random.next(), pattern(random));
        // What a kill had left unsynced is lost with the power.
        least = life.durable;
    }
    let allowed = &life.states[least..];
    let db = options().create(Create::IfMissing).open_on(Arc::new(disk.clone()));
    let db = db.unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
    sound(&db, what);
    let found = contents(&db.default_tree()).unwrap();
    assert!(allowed.contains(&found), "{what}: none of the last {} states", allowed.len());
    if random.below(4) == 0 {
        accounted(&db, what);
    }
    db.close().unwrap();
    assert_eq!(disk.open_handles(), 0, "{what}: descriptors leak");
    (disk, found)
}

#[test]
fn ten_disasters_in_a_row_lose_nothing_and_leak_nothing() {
    let seed = seed(0x0DD5_EA11);
    for round in 0..rounds(25) {
        let mut random = Random::new(seed.wrapping_add(round));
        let mut disk = SimDisk::new(random.next());
        let mut found = Model::new();
        for disaster in 0..10 {
            let what = format!("seed {seed}, round {round}, disaster {disaster}");
            arm(&disk, &mut random);
            let (life, outcome) = live(&disk, &mut random, &found);
            let killed = random.below(3) == 0 && !disk.is_off();
            let (left, least) = if killed {
                (disk.kill(), life.handed_over)
            } else {
                (disk.crash(random.next(), pattern(&mut random)), life.durable)
            };
            let what = format!("{what}, killed: {killed}, {outcome:?}");
            (disk, found) = recover(left, &mut random, (&life, least), &what);
        }
        let db = open(&disk).unwrap();
        accounted(&db, &format!("seed {seed}, round {round}, in the end"));
        let names = disk.list().unwrap();
        assert!(names.len() <= 8, "files are left over: {names:?}");
    }
}

/// Writers in directories of their own, of which each knows exactly what is in it, beside
/// checkpoints and compactions without a pause, and on demand a reader of snapshots. `frames` is the room
/// in memory.
fn everything_at_once(seed: u64, frames: u64, operations: u64, snapshots: bool) {
    const WRITERS: u64 = 3;
    let disk = SimDisk::new(seed);
    let mut options = options();
    options.memory_bytes(frames * (64 << 10));
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    let done = AtomicBool::new(false);
    let (models, checkpoints) = thread::scope(|scope| {
        let maker = scope.spawn(|| {
            let (mut made, mut random) = (0_u64, Random::new(!seed));
            while !done.load(Ordering::Relaxed) {
                if random.below(8) == 0 {
                    db.compact().unwrap();
                } else {
                    db.checkpoint().unwrap();
                }
                made += 1;
            }
            made
        });
        let reader = scope.spawn(|| {
            if !snapshots {
                return;
            }
            loop {
                let snapshot = db.snapshot().unwrap().default_tree().unwrap();
                let read = || -> Model {
                    let records = snapshot.scan().into_iter();
                    records.map(|entry| entry.unwrap().into_record().unwrap()).collect()
                };
                let first = read();
                // Checkpoints, compactions and every kind of change come in between.
                thread::yield_now();
                assert!(read() == first, "seed {seed}: a snapshot has changed");
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let write = |writer: u64| {
            let (db, tree) = (&db, db.default_tree());
            move || {
                let mut random = Random::new(seed ^ writer << 32);
                let (mut model, home) = (Model::new(), format!("writer{writer}"));
                for _ in 0..operations {
                    let op = Op::random(&mut random, &home);
                    op.apply(&mut model);
                    let outcome = op.run(db, &tree, Durability::Buffered);
                    outcome.unwrap_or_else(|error| panic!("seed {seed}, {op:?}: {error}"));
                }
                model
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
        let models: Vec<Model> =
            writers.into_iter().map(|writer| writer.join().expect("it did not panic")).collect();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        (models, maker.join().unwrap())
    });
    assert!(checkpoints > 0);
    let expected: Model = models.into_iter().flatten().collect();
    let what = format!("seed {seed}, {frames} frames");
    assert!(contents(&db.default_tree()).unwrap() == expected, "{what}");
    accounted(&db, &what);
    // Copies for checkpoints are all gone: memory is what the frames and large values take.
    assert!(contents(&db.default_tree()).unwrap() == expected, "{what}, compacted");
    db.sync().unwrap();
    let left = disk.crash(seed, CrashPattern::LoseAll);
    let recovered = open(&left).unwrap();
    assert!(contents(&recovered.default_tree()).unwrap() == expected, "{what}, recovered");
    sound(&recovered, &what);
}

#[test]
fn checkpoints_beside_writers_moves_snapshots_and_compactions_keep_what_the_model_has() {
    let seed = seed(0xA11_0115);
    for round in 0..rounds(4) {
        everything_at_once(seed.wrapping_add(round), 1 << 14, 3000, true);
    }
}

#[test]
fn checkpoints_beside_writers_in_a_small_memory_make_nothing_fail() {
    let seed = seed(0x5_3A11);
    for round in 0..rounds(4) {
        everything_at_once(seed.wrapping_add(round), 96, 3000, false);
    }
}
