//! What happens in a database in the middle of a call to the disk: a disk that calls back.

use std::io;
use std::sync::{Arc, Mutex};

use holt_engine::disk::{Access, CrashPattern, Disk, DiskFile, SimDisk, SimFile, SimLock};
use holt_engine::{Db, Durability, Error, Options};

/// What runs at the beginning of a call, once.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A simulated disk with a hook in the syncs of the log and one in the writes of images.
struct HookedDisk {
    disk: SimDisk,
    log_sync: Hook,
    data_write: Hook,
}

struct HookedFile {
    file: SimFile,
    sync: Option<Hook>,
    write: Option<Hook>,
}

fn run(hook: &Option<Hook>) {
    let hook = hook.as_ref().and_then(|hook| hook.lock().unwrap().take());
    if let Some(hook) = hook {
        hook();
    }
}

impl HookedDisk {
    fn new(disk: &SimDisk) -> Arc<HookedDisk> {
        let hook = || Arc::new(Mutex::new(None));
        Arc::new(HookedDisk { disk: disk.clone(), log_sync: hook(), data_write: hook() })
    }

    fn hooked(&self, name: &str, file: SimFile) -> HookedFile {
        HookedFile {
            file,
            // A segment is made under another name, so these are syncs of records.
            sync: name.starts_with("LOG.tmp").then(|| Arc::clone(&self.log_sync)),
            write: (name == "DATA").then(|| Arc::clone(&self.data_write)),
        }
    }
}

impl Disk for HookedDisk {
    type File = HookedFile;
    type Lock = SimLock;

    fn create(&self, name: &str) -> io::Result<HookedFile> {
        Ok(self.hooked(name, self.disk.create(name)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<HookedFile> {
        Ok(self.hooked(name, self.disk.open(name, access)?))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self, name: &str, exclusive: bool) -> io::Result<Option<SimLock>> {
        self.disk.lock(name, exclusive)
    }
    fn entropy(&self) -> io::Result<[u8; 32]> {
        self.disk.entropy()
    }
}

impl DiskFile for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<bool> {
        self.file.allocate(offset, len)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        run(&self.write);
        self.file.write_at(bufs, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        run(&self.sync);
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn open(disk: &Arc<HookedDisk>, checkpoint_bytes: u64) -> Db<HookedDisk> {
    let mut options = Options::new();
    options.durability(Durability::Sync).segment_bytes(1 << 16).checkpoint_bytes(checkpoint_bytes);
    options.open_on(Arc::clone(disk)).unwrap()
}

fn names(disk: &SimDisk) -> Vec<String> {
    Options::new().open_on(Arc::new(disk.clone())).unwrap().tree_names().unwrap()
}

#[test]
fn a_tree_is_given_to_nobody_before_its_creation_is_durable() {
    let disk = SimDisk::new(1);
    let hooked = HookedDisk::new(&disk);
    let db = open(&hooked, 0);
    // So that the segment is there, and the next sync is that of the creation.
    db.default_tree().put(b"key", b"value").unwrap();
    let (observer_db, observed_disk) = (db.clone(), disk.clone());
    let (handed, observer) = std::sync::mpsc::channel();
    *hooked.log_sync.lock().unwrap() = Some(Box::new(move || {
        // The creator has announced the tree and is about to sync its record.
        let thread = std::thread::spawn(move || {
            observer_db.tree("new").unwrap();
            names(&observed_disk.crash(1, CrashPattern::LoseAll))
        });
        // Long enough for one who does not wait to be caught; nothing depends on it.
        for _ in 0..10_000 {
            if thread.is_finished() {
                break;
            }
            std::thread::yield_now();
        }
        handed.send(thread).unwrap();
    }));
    db.tree("new").unwrap();
    assert_eq!(names(&disk.crash(1, CrashPattern::LoseAll)), ["default", "new"], "the creator");
    let observer = observer.recv().expect("the creation is synced");
    assert_eq!(observer.join().unwrap(), ["default", "new"], "who saw it");
}

#[test]
fn a_checkpoint_thread_that_panics_is_told_of_and_checkpoints_and_writes_are_refused() {
    let disk = SimDisk::new(2);
    let hooked = HookedDisk::new(&disk);
    let db = open(&hooked, 4096);
    let (said, done) = std::sync::mpsc::channel();
    *hooked.data_write.lock().unwrap() = Some(Box::new(move || {
        said.send(()).unwrap();
        std::panic::resume_unwind(Box::new("a disk with a mind of its own"));
    }));
    let mut number = 0_u64;
    let mut put = || {
        number += 1;
        db.default_tree().put(&number.to_be_bytes(), &[7; 100])
    };
    // As many as make a checkpoint due, unless it has panicked before the last of them.
    let acknowledged = (0..100).take_while(|_| match put() {
        Ok(_) => true,
        Err(Error::CheckpointsFail { .. }) => false,
        Err(error) => panic!("{error}"),
    });
    let acknowledged = acknowledged.count() as u64;
    done.recv().expect("an automatic checkpoint is made");
    let refused = db.checkpoint();
    assert!(
        matches!(
            &refused,
            Err(Error::Journal(holt_journal::Error::StoreClosed(why)))
                if matches!(**why, holt_journal::Error::CheckpointPanicked)
        ),
        "{refused:?}"
    );
    // The call waited for the thread's checkpoint to be over, but not for its report.
    while db.stats().unwrap().checkpoint_failure.is_none() {
        std::thread::yield_now();
    }
    // The log would grow for ever, so writes are refused; what was acknowledged is there.
    let refused = put();
    assert!(matches!(&refused, Err(Error::CheckpointsFail { .. })), "{refused:?}");
    assert_eq!(db.default_tree().len().unwrap(), acknowledged);
    let left = Options::new().open_on(Arc::new(disk.crash(2, CrashPattern::LoseAll))).unwrap();
    assert_eq!(left.default_tree().len().unwrap(), acknowledged);
    assert!(db.close().is_err(), "the store cannot settle what panicked");
}

const FRAME: u64 = 64 << 10;
const FRAMES: u64 = 64;

/// Makes a checkpoint in a small memory of which the trees take `load` frames, and holds it while it writes
/// its first images until a writer who changes every frame has come as far as it can: there is no room
/// for that many copies. Then the checkpoint goes on, or panics; the writer is to come to its end.
fn hold_a_checkpoint(load: u64, panics: bool) -> Db<HookedDisk> {
    let disk = HookedDisk::new(&SimDisk::new(7));
    let mut options = Options::new();
    options.memory_bytes(FRAMES * FRAME).checkpoint_bytes(0);
    let db = options.open_on(Arc::clone(&disk)).unwrap();
    let tree = db.default_tree();
    let mut count = 0_u32;
    while !count.is_multiple_of(100) || db.stats().unwrap().frames < load {
        tree.put(&count.to_be_bytes(), &[1; 800]).unwrap();
        count += 1;
    }
    let frames = db.stats().unwrap().frames;
    let (started, writer) = std::sync::mpsc::channel();
    let in_hook = db.clone();
    *disk.data_write.lock().unwrap() = Some(Box::new(move || {
        let tree = in_hook.default_tree();
        let overwrite = move || {
            for number in 0..count {
                tree.put(&number.to_be_bytes(), &[2; 800])?;
            }
            Ok::<_, Error>(())
        };
        let thread = std::thread::spawn(overwrite);
        // Until it has come as far as it can, or has failed.
        let full = (frames + FRAMES / 4).min(FRAMES - 8) * FRAME;
        while in_hook.stats().unwrap().memory_bytes < full && !thread.is_finished() {
            std::thread::yield_now();
        }
        drop(in_hook);
        started.send(thread).unwrap();
        assert!(!panics, "the disk panics");
    }));
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.checkpoint()));
    assert_eq!(made.is_err(), panics);
    writer.recv().unwrap().join().unwrap().unwrap_or_else(|error| panic!("{load}: {error}"));
    assert!(tree.scan().into_iter().all(|entry| entry.unwrap().value() == Some(&[2; 800][..])));
    let stats = db.stats().unwrap();
    assert!(!stats.checkpoints.running);
    assert_eq!(stats.memory_bytes, stats.frames * FRAME, "copies are kept");
    db
}

#[test]
fn writers_wait_for_a_checkpoint_that_holds_the_memory_they_need() {
    // In the first the copies' share of the memory is used up, in the second all of the memory.
    for load in [44, 54] {
        let db = hold_a_checkpoint(load, false);
        assert!(db.verify().unwrap().faults.is_empty());
        db.checkpoint().unwrap();
    }
}

#[test]
fn writers_that_wait_for_a_checkpoint_go_on_when_it_panics() {
    for load in [44, 54] {
        drop(hold_a_checkpoint(load, true));
    }
}
