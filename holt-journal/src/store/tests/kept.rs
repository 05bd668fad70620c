//! Images that no commit names any more and that are still read.

use super::*;
use crate::disk::{CrashPattern, Fault as DiskFault, Target, Trigger};

/// A step that names objects as still read.
struct Keeping(Step, Vec<u64>);

impl ImageSource for Keeping {
    fn dirty(&mut self) -> Vec<ObjectId> {
        self.0.dirty()
    }

    fn freed(&mut self) -> Vec<ObjectId> {
        self.0.freed()
    }

    fn still_read(&mut self) -> Vec<ObjectId> {
        self.1.iter().map(|&id| ObjectId(id)).collect()
    }

    fn image(&mut self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
        self.0.image(object, out)
    }
}

fn go_keeping(store: &SimStore, from: &Model, to: &Model, still: &[u64]) -> Result<(), Error> {
    let mut step = Keeping(Step::between(from, to), still.to_vec());
    store.checkpoint(to.log_address, &to.meta, &mut step, &mut || Ok(())).map(drop)
}

fn read(store: &SimStore, id: u64) -> Result<Vec<u8>, Error> {
    let mut image = Vec::new();
    store.read(ObjectId(id), &mut image).map(|()| image)
}

#[test]
fn images_that_are_still_read_outlive_commits_and_compactions_and_then_leave_nothing() {
    for seed in 1..30 {
        let disk = SimDisk::new(seed);
        let store = create(&disk).unwrap();
        let mut random = Random::new(seed);
        let mut model = Model::new();
        let mut kept: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        // A number is not used again while an image of it is read, as the layer above has it.
        let mut first = 0;
        for round in 0..40 {
            let context = format!("seed {seed}, round {round}");
            let mut next = model.clone();
            for _ in 0..random.below(6) {
                next.objects.insert(first + random.below(12), random.image());
            }
            for id in kept.keys() {
                next.objects.remove(id);
            }
            let gone = model.objects.keys().copied().filter(|_| random.below(4) == 0);
            for id in gone.collect::<Vec<_>>() {
                let image = next.objects.remove(&id).unwrap();
                // Written with this very commit, it was never in the store.
                if random.below(2) == 0 && model.objects.get(&id) == Some(&image) {
                    kept.insert(id, image);
                }
            }
            kept.retain(|_, _| random.below(5) != 0);
            first += random.below(2);
            next.log_address += 8;
            let still: Vec<u64> = kept.keys().copied().collect();
            go_keeping(&store, &model, &next, &still).unwrap();
            model = next;
            match random.below(4) {
                0 => drop(store.compact().unwrap()),
                1 => drop(store.tighten().unwrap()),
                _ => {}
            }
            for (id, image) in &kept {
                assert_eq!(&read(&store, *id).unwrap(), image, "{context}");
            }
            assert_eq!(read_all(&store).unwrap(), model, "{context}");
            assert_sound(&store, &context);
            if random.below(8) == 0 {
                // They are not what an opening finds.
                let store = open(&disk.crash(round, CrashPattern::ALL[0])).unwrap();
                assert_eq!(read_all(&store).unwrap(), model, "{context}");
                for id in kept.keys() {
                    let error = read(&store, *id).unwrap_err();
                    assert!(matches!(error, Error::NoObject { .. }), "{context}: {error}");
                }
                assert_eq!(store.stats().held_bytes, 0, "{context}");
            }
        }
        let mut next = model.clone();
        next.log_address += 8;
        go_keeping(&store, &model, &next, &[]).unwrap();
        for id in kept.keys() {
            assert!(matches!(read(&store, *id), Err(Error::NoObject { .. })));
        }
        store.compact().unwrap();
        assert_clean(&store, &disk, "at the end");
    }
}

#[test]
fn a_checkpoint_that_fails_keeps_what_is_read() {
    let before = {
        let mut model = Model::new();
        for id in 0..6 {
            model.objects.insert(id, vec![id as u8; 5_000 + id as usize]);
        }
        model
    };
    let mut after = before.clone();
    after.objects.remove(&2);
    after.objects.remove(&4);
    after.objects.insert(9, vec![9; 9_000]);
    after.log_address += 8;
    let count = {
        let disk = SimDisk::new(1);
        let store = create(&disk).unwrap();
        go(&store, &Model::new(), &before).unwrap();
        disk.reset_counts();
        go_keeping(&store, &before, &after, &[2, 4]).unwrap();
        disk.count(Target::Any)
    };
    for at in 0..count {
        let disk = SimDisk::new(1);
        let store = create(&disk).unwrap();
        go(&store, &Model::new(), &before).unwrap();
        disk.inject(Trigger::once(Target::Any, at, DiskFault::Io));
        let failed = go_keeping(&store, &before, &after, &[2, 4]).is_err();
        let check = |context: &str| {
            for id in [2, 4] {
                assert_eq!(read(&store, id).unwrap(), before.objects[&id], "call {at}, {context}");
            }
        };
        check("after the failure");
        if failed {
            go_keeping(&store, &before, &after, &[2, 4]).unwrap();
            check("after the next");
        }
        // Space is not used for anything else meanwhile.
        let mut next = after.clone();
        next.objects.insert(10, vec![10; 20_000]);
        next.log_address += 8;
        go_keeping(&store, &after, &next, &[2, 4]).unwrap();
        check("after one more");
        assert_sound(&store, "call");
        assert_eq!(read_all(&store).unwrap(), next);
    }
}
