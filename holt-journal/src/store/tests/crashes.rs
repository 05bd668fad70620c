//! Power cuts and kills at every call that changes the disk.

use super::*;
use crate::disk::{CrashPattern, Fault as DiskFault, Operation, Target, Trigger};

/// What a run of the workload was told before it ended.
#[derive(Debug)]
struct Outcome {
    /// The last state that was acknowledged; `None` before the creation was.
    sure: Option<Model>,
    /// A state that may count instead.
    maybe: Option<Model>,
}

impl Outcome {
    fn allows(&self, found: &Model) -> bool {
        self.sure.as_ref() == Some(found) || self.maybe.as_ref() == Some(found)
    }
}

/// Load, checkpoint, churn, checkpoints that change the manifest file, a reopening, deletion,
/// compaction, one more checkpoint; until the first error. Starts from what `disk` holds.
fn workload(disk: &SimDisk, seed: u64) -> (Outcome, Result<(), Error>) {
    let mut outcome = Outcome { sure: None, maybe: Some(Model::new()) };
    let result = run(disk, seed, &mut outcome);
    (outcome, result)
}

fn run(disk: &SimDisk, seed: u64, outcome: &mut Outcome) -> Result<(), Error> {
    let mut random = Random::new(seed);
    let mut store = create(disk)?;
    let mut model = Model::new();
    *outcome = Outcome { sure: Some(model.clone()), maybe: None };
    let mut commit = |store: &SimStore, model: &mut Model, next: Model| {
        outcome.maybe = Some(next.clone());
        let result = go(store, model, &next);
        if !matches!(result, Ok(_) | Err(Error::CommitUnknown(_))) {
            // The error says that the state before counts, so nothing else may.
            outcome.maybe = None;
        }
        result?;
        *outcome = Outcome { sure: Some(next.clone()), maybe: None };
        *model = next;
        Ok::<(), Error>(())
    };

    let mut load = model.clone();
    load.objects = (0..12).map(|id| (id, random.image())).collect();
    load.log_address += 100;
    commit(&store, &mut model, load)?;
    for round in 0..7 {
        let next = random.next_model(&model, 14, 6);
        commit(&store, &mut model, next)?;
        if round == 3 {
            let next = Model { log_address: model.log_address + 8, ..model.clone() };
            commit(&store, &mut model, next)?;
            drop(store);
            store = open(disk)?;
        }
    }
    let mut next = model.clone();
    next.objects.retain(|id, _| id % 3 == 0);
    next.log_address += 8;
    commit(&store, &mut model, next)?;
    // Compaction changes where things lie, not what they are.
    store.compact()?;
    store.close()?;
    drop(store);
    store = open(disk)?;
    let next = random.next_model(&model, 14, 6);
    commit(&store, &mut model, next)
}

/// Opens what a disaster left, checks that it is a legal state, goes on with it, and checks
/// that nothing leaked.
fn check_and_go_on(disk: &SimDisk, outcome: &Outcome, context: &str) {
    let store = match open(disk) {
        Ok(store) => store,
        Err(Error::NoStore) if outcome.sure.is_none() => {
            // The creation was not acknowledged; it has to be possible now.
            let store = create(disk).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_clean(&store, disk, context);
            return;
        }
        Err(error) => panic!("{context}: {error}"),
    };
    let found = read_all(&store).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(outcome.allows(&found), "{context}: {found:?} is none of {outcome:?}");
    assert_sound(&store, context);

    let mut next = found.clone();
    next.objects.insert(99, vec![7; 5000]);
    next.log_address += 8;
    go(&store, &found, &next).unwrap_or_else(|e| panic!("{context}: {e}"));
    let mut last = next.clone();
    last.objects.insert(98, vec![8; 100]);
    last.log_address += 8;
    go(&store, &next, &last).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_clean(&store, disk, context);
    assert_eq!(read_all(&open(disk).unwrap()).unwrap(), last, "{context}");
}

#[test]
fn a_power_cut_at_any_change_leaves_one_of_two_states() {
    let seed = 17;
    let disk = SimDisk::new(seed);
    let (_, result) = workload(&disk, seed);
    result.unwrap();
    let changes = disk.count(Target::Changes);
    assert!(changes > 60, "{changes}");
    for at in 0..changes {
        let disk = SimDisk::new(seed);
        disk.inject(Trigger::once(Target::Changes, at, DiskFault::PowerCut));
        let (outcome, result) = workload(&disk, seed);
        // What follows a commit is allowed to fail unseen.
        assert!(result.is_err() || disk.is_off(), "change {at} of {changes}");
        for pattern in CrashPattern::ALL {
            for crash_seed in 0..3 {
                let context = format!("seed {seed}, change {at}, {pattern:?} {crash_seed}");
                let after = disk.crash(crash_seed, pattern);
                check_and_go_on(&after, &outcome, &context);
            }
        }
        let context = format!("seed {seed}, killed at change {at}");
        check_and_go_on(&disk.kill(), &outcome, &context);
    }
}

#[test]
fn crashes_follow_each_other_without_losing_or_leaking_anything() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut disk = SimDisk::new(seed);
        let mut model = Model::new();
        create(&disk).unwrap();
        for crash in 0..10 {
            let context = format!("seed {seed}, crash {crash}");
            let store = open(&disk).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(read_all(&store).unwrap(), model, "{context}");
            assert_sound(&store, &context);
            let after = random.below(40);
            disk.inject(Trigger::once(Target::Changes, after, DiskFault::PowerCut));
            let mut legal = vec![model.clone()];
            for _ in 0..8 {
                let next = random.next_model(&model, 10, 5);
                match go(&store, &model, &next) {
                    Ok(_) => {
                        model = next;
                        legal = vec![model.clone()];
                    }
                    Err(Error::CommitUnknown(_)) => {
                        legal.push(next);
                        break;
                    }
                    Err(_) => break,
                }
            }
            let pattern = CrashPattern::ALL[random.below(11) as usize];
            disk = disk.crash(random.next(), pattern);
            let found = open(&disk).and_then(|store| read_all(&store));
            model = found.unwrap_or_else(|e| panic!("{context}, {pattern:?}: {e}"));
            assert!(legal.contains(&model), "{context}, {pattern:?}: {model:?} not in {legal:?}");
        }
        let store = open(&disk).unwrap();
        for _ in 0..2 {
            let mut next = model.clone();
            next.log_address += 8;
            next.objects.insert(50, random.image());
            go(&store, &model, &next).unwrap();
            model = next;
        }
        assert_clean(&store, &disk, &format!("seed {seed}"));
    }
}

/// Kills, power cuts, failing calls, reopenings and closings in any order. A commit that is
/// not known to be durable stays in doubt over kills, until a commit or a power cut decides.
#[test]
fn any_mix_of_disasters_leaves_a_legal_state() {
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut disk = SimDisk::new(seed);
        let mut store = create(&disk).unwrap();
        let mut model = Model::new();
        // States that a power cut may show; the last one is what a process sees.
        let mut legal = vec![model.clone()];
        for step in 0..40 {
            let context = format!("seed {seed}, step {step}");
            match random.below(10) {
                0 => {
                    if random.below(2) == 0 {
                        // The power goes in the middle of a checkpoint.
                        let at = random.below(12);
                        disk.inject(Trigger::once(Target::Changes, at, DiskFault::PowerCut));
                        let next = random.next_model(&model, 10, 5);
                        match go(&store, &model, &next) {
                            Ok(_) => legal = vec![next],
                            Err(Error::CommitUnknown(_)) => legal.push(next),
                            Err(_) => {}
                        }
                    }
                    let (seed, pattern) = (random.next(), random.below(11) as usize);
                    disk = disk.crash(seed, CrashPattern::ALL[pattern]);
                    (store, model) = reopen(&disk, &legal, &context);
                    legal = vec![model.clone()];
                }
                1 => {
                    disk = disk.kill();
                    (store, model) = reopen(&disk, &legal, &context);
                    legal.retain(|state| *state != model);
                    legal.push(model.clone());
                }
                2 => {
                    disk.clear_faults();
                    (store, model) = reopen(&disk, &legal, &context);
                    legal.retain(|state| *state != model);
                    legal.push(model.clone());
                }
                3 => {
                    let fault = [
                        DiskFault::Io,
                        DiskFault::NoSpace,
                        DiskFault::Interrupted,
                        DiskFault::Short,
                    ][random.below(4) as usize];
                    disk.inject(Trigger::once(Target::Changes, random.below(12), fault));
                }
                4 => {
                    let _ = store.compact();
                }
                5 => {
                    let _ = store.close();
                }
                _ => {
                    let next = random.next_model(&model, 10, 5);
                    match go(&store, &model, &next) {
                        Ok(_) => {
                            model = next;
                            legal = vec![model.clone()];
                        }
                        Err(Error::CommitUnknown(_)) => legal.push(next),
                        Err(_) => {}
                    }
                }
            }
            assert_sound(&store, &context);
        }
    }
}

fn reopen(disk: &SimDisk, legal: &[Model], context: &str) -> (SimStore, Model) {
    disk.clear_faults();
    let store = open(disk).unwrap_or_else(|e| panic!("{context}: {e}"));
    let model = read_all(&store).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(legal.contains(&model), "{context}: {model:?} is none of {legal:?}");
    (store, model)
}

/// A commit fails in a way that drops it later; the process is killed; the next one reads the
/// commit from memory that never reaches the medium, and goes on from it.
fn kill_in_doubt(new_file: bool) {
    for seed in 0..40 {
        let mut disk = SimDisk::new(seed);
        let mut store = create(&disk).unwrap();
        let image = |n: u8| vec![n; 9000];
        let at = |n: u8| Model {
            objects: [(1, image(n)), (2, image(n + 100))].into(),
            log_address: LOG_START + u64::from(n) * 8,
            meta: vec![n],
        };
        go(&store, &Model::new(), &at(1)).unwrap();
        let fails = if new_file {
            // The mark of the first commit is lost. Nothing else proves that commit, so the
            // second goes into a new file.
            disk = disk.crash(seed, CrashPattern::LoseAll);
            (store, _) = reopen(&disk, &[at(1)], "crashed");
            Target::Only(Operation::SyncDir)
        } else {
            Target::Named(Operation::Sync, "MANIFEST")
        };
        disk.inject(Trigger::once(fails, 0, DiskFault::Io));
        let unknown = go(&store, &at(1), &at(2));
        assert!(matches!(unknown, Err(Error::CommitUnknown(_))), "{unknown:?}");
        let disk = disk.kill();
        let store = open(&disk).unwrap();
        let seen = read_all(&store).unwrap();
        assert_eq!(seen, at(2), "the kernel still has it");
        // Images of the next checkpoint are written, and then the power goes: were they where
        // the first state's lie, that would be gone.
        let mut step = Step::between(&seen, &at(3));
        let result =
            store.checkpoint(at(3).log_address, &[3], &mut step, &mut || Err(Error::ReadOnly));
        assert!(matches!(result, Err(Error::ReadOnly)));
        for pattern in CrashPattern::ALL {
            let context = format!("seed {seed}, {pattern:?}");
            reopen(&disk.crash(seed, pattern), &[at(1), at(2)], &context);
        }
    }
}

#[test]
fn a_kill_in_doubt_of_a_record_does_not_give_away_what_the_older_state_needs() {
    kill_in_doubt(false);
}

#[test]
fn a_kill_in_doubt_of_a_file_does_not_give_away_what_the_older_file_needs() {
    kill_in_doubt(true);
}

#[test]
fn closing_a_store_in_doubt_promises_nothing() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let store = create(&disk).unwrap();
        let at = |n: u8| Model {
            objects: [(1, vec![n; 100])].into(),
            log_address: LOG_START + u64::from(n) * 8,
            meta: vec![],
        };
        go(&store, &Model::new(), &at(1)).unwrap();
        let manifest = Target::Named(Operation::Sync, "MANIFEST");
        disk.inject(Trigger::once(manifest, 0, DiskFault::Io));
        assert!(matches!(go(&store, &at(1), &at(2)), Err(Error::CommitUnknown(_))));
        store.close().unwrap();
        let disk = disk.kill();
        let (store, _) = reopen(&disk, &[at(1), at(2)], "killed");
        // A mark that named the second commit would turn its loss into damage.
        store.close().unwrap();
        for pattern in CrashPattern::ALL {
            let context = format!("seed {seed}, {pattern:?}");
            reopen(&disk.crash(seed, pattern), &[at(1), at(2)], &context);
        }
    }
}
