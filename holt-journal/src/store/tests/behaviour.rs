//! What a store does while nothing goes wrong.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::disk::{Disk, DiskFile, Operation, Target};

#[test]
fn a_new_store_is_empty_durable_and_not_made_twice() {
    let disk = SimDisk::new(1);
    assert!(matches!(open(&disk), Err(Error::NoStore)));
    let store = create(&disk).unwrap();
    assert_clean(&store, &disk, "new");
    assert_eq!(read_all(&store).unwrap(), Model::new());
    assert!(matches!(create(&disk), Err(Error::Occupied { .. })));
    let after = disk.crash(1, crate::disk::CrashPattern::LoseAll);
    let again = open(&after).unwrap();
    assert_eq!((again.db(), read_all(&again).unwrap()), (store.db(), Model::new()));
    let other = create(&SimDisk::new(2)).unwrap();
    assert_ne!(other.db(), store.db());
}

#[test]
fn a_database_is_not_created_among_other_files() {
    let disk = SimDisk::new(1);
    disk.create("notes").unwrap();
    match create(&disk) {
        Err(Error::Occupied { file }) => assert_eq!(file, "notes"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(open(&disk), Err(Error::Missing { .. })));
    let disk = SimDisk::new(1);
    let _lock = disk.lock(LOCK_FILE, true).unwrap();
    create(&disk).unwrap();
}

#[test]
fn checkpoints_read_back_before_and_after_reopening() {
    let disk = SimDisk::new(1);
    let mut store = create(&disk).unwrap();
    let mut random = Random::new(11);
    let mut model = Model::new();
    for round in 0..120 {
        let next = random.next_model(&model, 40, 12);
        let report = go(&store, &model, &next).unwrap();
        assert!(report.committed);
        model = next;
        let context = format!("round {round}");
        assert_eq!(read_all(&store).unwrap(), model, "{context}");
        assert_clean(&store, &disk, &context);
        if round % 7 == 0 {
            if round % 2 == 0 {
                store.close().unwrap();
            }
            store = open(&disk).unwrap();
            assert_eq!(read_all(&store).unwrap(), model, "{context}");
            let sound = faults(&store);
            assert!(sound.is_empty(), "{context}: {sound:?}");
        }
    }
    let stats = store.stats();
    assert_eq!(stats.sequence, 121);
    assert_eq!(stats.objects as usize, model.objects.len());
    assert!(stats.manifest_bytes < 8 << 10, "history is cut: {stats:?}");
}

#[test]
fn opening_changes_nothing() {
    let disk = SimDisk::new(1);
    let mut random = Random::new(3);
    let model = random.next_model(&Model::new(), 20, 20);
    go(&create(&disk).unwrap(), &Model::new(), &model).unwrap();
    disk.put("MANIFEST.tmp", Some(b"left over"));
    disk.reset_counts();
    let before: Vec<_> = disk.list().unwrap().iter().map(|n| disk.contents(n)).collect();
    for access in [Access::Read, Access::ReadWrite] {
        let store = Store::open(Arc::new(disk.clone()), access).unwrap();
        assert_eq!(read_all(&store).unwrap(), model);
        store.verify(&mut |_| {});
        store.stats();
        drop(store);
        assert_eq!(disk.count(Target::Changes), 0);
    }
    let after: Vec<_> = disk.list().unwrap().iter().map(|n| disk.contents(n)).collect();
    assert!(before == after);
}

#[test]
fn a_store_opened_for_reading_takes_no_checkpoint() {
    let disk = SimDisk::new(1);
    create(&disk).unwrap();
    let store = Store::open(Arc::new(disk.clone()), Access::Read).unwrap();
    let to = Model { log_address: 8192, ..Model::new() };
    assert!(matches!(go(&store, &Model::new(), &to), Err(Error::ReadOnly)));
    assert!(matches!(store.compact(), Err(Error::ReadOnly)));
    store.close().unwrap();
    let written = disk.count(Target::Named(Operation::Write, ""));
    assert_eq!(written, 5, "two marks, the log's two marks and a manifest");
}

#[test]
fn a_newer_log_address_alone_is_committed_with_one_sync() {
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let to = Model { log_address: 9000, ..Model::new() };
    disk.reset_counts();
    let report = go(&store, &Model::new(), &to).unwrap();
    assert!(report.committed && report.images == 0);
    assert_eq!(disk.count(Target::Only(Operation::Sync)), 1);
    assert_eq!(open(&disk).unwrap().log_address(), 9000);
}

#[test]
fn a_checkpoint_without_any_difference_writes_nothing() {
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    disk.reset_counts();
    let mut step = Step { dirty: BTreeMap::new(), freed: BTreeSet::from([7]) };
    let mut called = false;
    let report = store
        .checkpoint(LOG_START, &[], &mut step, &mut || {
            called = true;
            Ok(())
        })
        .unwrap();
    assert!(!report.committed && !called);
    assert_eq!(disk.count(Target::Changes), 0);
}

#[test]
fn images_are_durable_before_the_log_is_asked_and_the_commit_comes_last() {
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let mut step = Step { dirty: BTreeMap::from([(1, b"image".to_vec())]), freed: BTreeSet::new() };
    store
        .checkpoint(5000, &[], &mut step, &mut || {
            let durable = disk.durable_contents("DATA").unwrap();
            assert_eq!(&durable[FIRST as usize + 32..][..5], b"image");
            assert_eq!(open(&disk).unwrap().log_address(), LOG_START);
            // Reading is not in the way, even from in here.
            assert!(store.objects().is_empty());
            Ok(())
        })
        .unwrap();
    let after = disk.crash(0, crate::disk::CrashPattern::LoseAll);
    assert_eq!(open(&after).unwrap().log_address(), 5000);
}

#[test]
fn contradictory_checkpoints_are_refused_before_anything_is_written() {
    struct Contradiction(Vec<u64>, Vec<u64>);
    impl ImageSource for Contradiction {
        fn dirty(&mut self) -> Vec<ObjectId> {
            self.0.iter().map(|&id| ObjectId(id)).collect()
        }
        fn freed(&mut self) -> Vec<ObjectId> {
            self.1.iter().map(|&id| ObjectId(id)).collect()
        }
        fn image(&mut self, _: ObjectId, _: &mut Vec<u8>) -> Result<(), SourceError> {
            panic!("nothing is asked of a contradiction")
        }
    }
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    disk.reset_counts();
    for (address, mut source) in [
        (LOG_START, Contradiction(vec![1, 2, 1], vec![])),
        (LOG_START, Contradiction(vec![1, 2], vec![2])),
        (LOG_START - 8, Contradiction(vec![], vec![])),
    ] {
        let refused = store.checkpoint(address, b"m", &mut source, &mut || Ok(()));
        assert!(matches!(refused, Err(Error::ImpossibleCheckpoint { .. })), "{refused:?}");
    }
    assert_eq!(disk.count(Target::Changes), 0);
}

#[test]
fn an_error_of_the_source_or_the_log_leaves_no_trace() {
    struct Failing;
    impl ImageSource for Failing {
        fn dirty(&mut self) -> Vec<ObjectId> {
            vec![ObjectId(1), ObjectId(2)]
        }
        fn freed(&mut self) -> Vec<ObjectId> {
            vec![]
        }
        fn image(&mut self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
            out.push(1);
            if object.0 == 1 { Ok(()) } else { Err("no such frame".into()) }
        }
    }
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let failed = store.checkpoint(5000, &[], &mut Failing, &mut || Ok(()));
    assert!(matches!(failed, Err(Error::Source { object: ObjectId(2), .. })), "{failed:?}");
    let mut step = Step { dirty: BTreeMap::from([(1, vec![1])]), freed: BTreeSet::new() };
    let failed = store.checkpoint(5000, &[], &mut step, &mut || Err(Error::ReadOnly));
    assert!(matches!(failed, Err(Error::ReadOnly)));
    assert_eq!(read_all(&store).unwrap(), Model::new());
    assert_eq!(store.stats().held_bytes, 0);
    assert_sound(&store, "after two failures");

    let next = Model { log_address: 5000, objects: [(1, vec![9])].into(), meta: vec![] };
    go(&store, &Model::new(), &next).unwrap();
    assert_clean(&store, &disk, "after a success");
}

#[test]
fn a_panic_of_the_source_closes_the_store_for_checkpoints_and_not_for_reads() {
    struct Panicking;
    impl ImageSource for Panicking {
        fn dirty(&mut self) -> Vec<ObjectId> {
            vec![ObjectId(1)]
        }
        fn freed(&mut self) -> Vec<ObjectId> {
            vec![]
        }
        fn image(&mut self, _: ObjectId, _: &mut Vec<u8>) -> Result<(), SourceError> {
            std::panic::resume_unwind(Box::new("the caller's own"))
        }
    }
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let model = Model { objects: [(3, vec![7; 9])].into(), ..Model::new() };
    go(&store, &Model::new(), &model).unwrap();
    let run = || store.checkpoint(5000, &[], &mut Panicking, &mut || Ok(()));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    let next = Model { log_address: 6000, ..model.clone() };
    let refused = go(&store, &model, &next);
    assert!(matches!(refused, Err(Error::StoreClosed(_))), "{refused:?}");
    assert_eq!(read_all(&store).unwrap(), model);
    let store = open(&disk).unwrap();
    go(&store, &model, &next).unwrap();
}

#[test]
fn space_is_reused_and_the_tail_given_back() {
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let mut random = Random::new(5);
    let objects: BTreeMap<_, _> = (0..200).map(|id| (id, vec![id as u8; 8000])).collect();
    let full = Model { objects, ..Model::new() };
    go(&store, &Model::new(), &full).unwrap();
    let loaded = store.stats().file_bytes;

    // Churn at constant size.
    let mut model = full;
    for _ in 0..60 {
        let mut next = model.clone();
        for _ in 0..40 {
            let id = random.below(200);
            next.objects.insert(id, vec![random.next() as u8; 4000 + random.below(8000) as usize]);
        }
        next.log_address += 8;
        go(&store, &model, &next).unwrap();
        model = next;
        let stats = store.stats();
        assert!(stats.file_bytes <= 2 * stats.live_bytes, "{stats:?}, loaded {loaded}");
    }
    // Most of it goes; what stays is moved down.
    let mut next = model.clone();
    next.objects.retain(|id, _| id % 10 == 3);
    go(&store, &model, &next).unwrap();
    let report = store.compact().unwrap();
    assert!(report.moved > 0 && report.bytes_after < report.bytes_before, "{report:?}");
    let stats = store.stats();
    assert_eq!(disk.contents("DATA").unwrap().len() as u64, stats.file_bytes);
    let fresh = FIRST + stats.live_bytes;
    assert!(stats.file_bytes * 10 <= fresh * 13, "{stats:?}");
    assert_eq!(read_all(&store).unwrap(), next);
    assert_clean(&store, &disk, "compacted");
    assert_eq!(read_all(&open(&disk).unwrap()).unwrap(), next);
    let again = store.compact().unwrap();
    assert_eq!((again.moved, again.bytes_after), (0, stats.file_bytes));
}

#[test]
fn reads_see_whole_images_while_checkpoints_replace_them() {
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let image = |round: u64, id: u64| vec![(round * 31 + id) as u8; 3000 + id as usize * 700];
    let model = |round: u64| Model {
        objects: (0..8).map(|id| (id, image(round, id))).collect(),
        log_address: LOG_START + round * 8,
        meta: vec![],
    };
    go(&store, &Model::new(), &model(0)).unwrap();
    let done = AtomicBool::new(false);
    /// Ends the reader, also when the other side fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            // The flag only ends the test; no data is published through it.
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut out = Vec::new();
            let mut reads = 0_u64;
            loop {
                // As above.
                let last = done.load(Ordering::Relaxed);
                for id in 0..8 {
                    store.read(ObjectId(id), &mut out).unwrap();
                    assert_eq!(out.len(), 3000 + id as usize * 700);
                    assert!(out.iter().all(|&b| b == out[0]), "half of two images");
                    reads += 1;
                }
                if last {
                    return reads;
                }
            }
        });
        let end = End(&done);
        for round in 1..60 {
            go(&store, &model(round - 1), &model(round)).unwrap();
            if round % 10 == 0 {
                store.compact().unwrap();
            }
        }
        drop(end);
        assert!(reader.join().unwrap() >= 8);
    });
    assert_eq!(read_all(&store).unwrap(), model(59));
}

/// A disk that runs a check in the middle of every read of a file.
struct Watched {
    disk: SimDisk,
    check: Arc<Check>,
}

type Check = crate::sync::Mutex<Option<Box<dyn FnMut() + Send>>>;

struct WatchedFile {
    file: crate::disk::SimFile,
    check: Arc<Check>,
}

impl Watched {
    fn watch(&self, file: crate::disk::SimFile) -> WatchedFile {
        WatchedFile { file, check: self.check.clone() }
    }
}

impl Disk for Watched {
    type File = WatchedFile;
    type Lock = crate::disk::SimLock;

    fn create(&self, name: &str) -> std::io::Result<WatchedFile> {
        self.disk.create(name).map(|file| self.watch(file))
    }
    fn open(&self, name: &str, access: Access) -> std::io::Result<WatchedFile> {
        self.disk.open(name, access).map(|file| self.watch(file))
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> std::io::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self, name: &str, exclusive: bool) -> std::io::Result<Option<Self::Lock>> {
        self.disk.lock(name, exclusive)
    }
    fn entropy(&self) -> std::io::Result<[u8; 32]> {
        self.disk.entropy()
    }
}

impl DiskFile for WatchedFile {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, offset: u64, len: u64) -> std::io::Result<bool> {
        self.file.allocate(offset, len)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        if let Some(check) = self.check.lock().unwrap().as_mut() {
            check();
        }
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, bufs: &[std::io::IoSlice<'_>], offset: u64) -> std::io::Result<usize> {
        self.file.write_at(bufs, offset)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> std::io::Result<()> {
        self.file.sync_all()
    }
}

#[test]
fn a_read_holds_off_the_checkpoint_that_would_free_what_it_reads() {
    let check = Arc::new(Check::new(None));
    let disk = Arc::new(Watched { disk: SimDisk::new(1), check: check.clone() });
    let store = Arc::new(Store::create(disk, LOG_START).unwrap());
    let mut step = Step { dirty: [(1, vec![1; 9000])].into(), freed: BTreeSet::new() };
    store.checkpoint(5000, &[], &mut step, &mut || Ok(())).unwrap();
    let checked = Arc::new(AtomicBool::new(false));
    *check.lock().unwrap() = Some({
        let (store, checked) = (store.clone(), checked.clone());
        Box::new(move || {
            // A checkpoint takes the exclusive side before it frees anything.
            assert!(store.current.try_write().is_err(), "nothing holds a checkpoint off");
            // One thread only, so there is nothing to order.
            checked.store(true, Ordering::Relaxed);
        })
    });
    store.read(ObjectId(1), &mut Vec::new()).unwrap();
    assert!(checked.load(Ordering::Relaxed));
    *check.lock().unwrap() = None;
    assert!(store.current.try_write().is_ok(), "the read let go");
}

#[test]
fn a_missing_object_is_named() {
    let disk = SimDisk::new(1);
    let store = create(&disk).unwrap();
    let mut out = vec![1, 2, 3];
    let missing = store.read(ObjectId(5), &mut out);
    assert!(matches!(missing, Err(Error::NoObject { object: ObjectId(5) })));
    assert!(out.is_empty());
}

#[test]
fn a_store_lives_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(crate::disk::RealDisk::open(directory.path()).unwrap());
    let store = Store::create(disk.clone(), LOG_START).unwrap();
    let objects: BTreeMap<u64, Vec<u8>> =
        (0..100).map(|id| (id, vec![id as u8; id as usize * 997])).collect();
    let mut step = Step { dirty: objects.clone(), freed: BTreeSet::new() };
    store.checkpoint(8192, b"meta", &mut step, &mut || Ok(())).unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    let store = Store::open(disk, Access::ReadWrite).unwrap();
    let mut image = Vec::new();
    for (id, expected) in &objects {
        store.read(ObjectId(*id), &mut image).unwrap();
        assert_eq!(&image, expected);
    }
    assert_eq!((store.log_address(), store.meta()), (8192, b"meta".to_vec()));
    store.verify(&mut |fault| panic!("{fault}"));
}

/// What the golden directory holds.
fn golden_model() -> Model {
    let objects = [(1, b"the first frame".to_vec()), (7, vec![7; 5000]), (1 << 40, Vec::new())];
    Model { objects: objects.into(), log_address: 123_456, meta: b"root 1".to_vec() }
}

/// A directory of format version 1, as it was first written by
/// `HOLT_WRITE_GOLDEN=1 cargo test -p holt-journal the_golden_store`.
#[test]
fn the_golden_store_of_version_1_opens_verifies_and_goes_on() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/store-v1");
    if std::env::var_os("HOLT_WRITE_GOLDEN").is_some() {
        let disk = SimDisk::new(1);
        let store = create(&disk).unwrap();
        let first = Model { objects: [(2, vec![2; 100])].into(), ..Model::new() };
        go(&store, &Model::new(), &first).unwrap();
        go(&store, &first, &golden_model()).unwrap();
        store.compact().unwrap();
        store.close().unwrap();
        std::fs::create_dir_all(path).unwrap();
        for name in disk.list().unwrap() {
            let content = disk.contents(&name).unwrap();
            std::fs::write(std::path::Path::new(path).join(&name), content).unwrap();
        }
    }
    let disk = SimDisk::new(1);
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let content = std::fs::read(entry.path()).unwrap();
        disk.put(entry.file_name().to_str().unwrap(), Some(&content));
    }
    let store = open(&disk).unwrap();
    assert_eq!(read_all(&store).unwrap(), golden_model());
    assert!(faults(&store).is_empty());
    let next = Model { log_address: 200_000, ..golden_model() };
    go(&store, &golden_model(), &next).unwrap();
    assert_eq!(read_all(&open(&disk).unwrap()).unwrap(), next);
}
