//! Backups that are made beside the process that writes the database, from its files.

mod common;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Model, contents};
use holt_engine::disk::{Access, Disk, DiskFile, SimDisk, SimFile, SimLock};
use holt_engine::{
    Db, Durability, Error, Options, backup_beside_on, backup_changes_beside_on, restore_on,
};

fn open(disk: &SimDisk) -> Db<SimDisk> {
    let mut options = Options::new();
    options.durability(Durability::Os).segment_bytes(16 << 10).keep_log_bytes(1 << 30);
    options.checkpoint_bytes(0).open_on(Arc::new(disk.clone())).unwrap()
}

/// What the default tree of a backup holds.
fn restored(backup: &Arc<SimDisk>) -> Model {
    let disk = Arc::new(SimDisk::new(99));
    restore_on(backup, Arc::clone(&disk)).unwrap();
    let db = Options::new().open_on(disk).unwrap();
    assert!(db.verify().unwrap().faults.is_empty());
    contents(&db.default_tree()).unwrap()
}

fn number(model: &Model, key: &[u8]) -> u64 {
    model.get(key).map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
}

/// Batches that belong together, until there are so many or somebody says that it is enough; checkpoints, if
/// there are to be any, whenever so many more have been written.
fn write(db: &Db<SimDisk>, checkpoints: Option<u64>, written: &AtomicU64, enough: &AtomicBool) {
    let tree = db.default_tree();
    for count in 1..8_000 {
        let bytes = u64::to_be_bytes(count);
        let batch = |batch: &mut holt_engine::Batch<SimDisk>| {
            batch.put(&tree, b"one", &bytes)?;
            batch.put(&tree, &[b"some/", &bytes[6..]].concat(), &[7; 100])?;
            batch.put(&tree, b"two", &bytes)
        };
        db.atomic(batch).unwrap();
        written.store(count, Ordering::Release);
        if checkpoints.is_some_and(|each| count.is_multiple_of(each)) {
            db.checkpoint().unwrap();
        }
        if enough.load(Ordering::Relaxed) {
            break;
        }
    }
}

#[test]
fn it_has_everything_that_was_handed_over_before_it_began() {
    for checkpoints in [None, Some(500)] {
        let disk = SimDisk::new(1);
        let db = open(&disk);
        let (written, enough) = (AtomicU64::new(0), AtomicBool::new(false));
        let backup = Arc::new(SimDisk::new(2));
        let reader = Arc::new(disk.clone());
        thread::scope(|scope| {
            scope.spawn(|| write(&db, checkpoints, &written, &enough));
            backup_beside_on(&reader, &backup).or_else(|_| db.backup_on(&backup)).unwrap();
            for round in 0..12 {
                let before = written.load(Ordering::Acquire);
                let made = match round % 3 {
                    0 => backup_beside_on(&reader, &backup),
                    _ => backup_changes_beside_on(&reader, &backup),
                };
                match made {
                    Ok(_) => {}
                    // Checkpoints come as fast as this machine makes them.
                    Err(Error::Overtaken) if checkpoints.is_some() => continue,
                    Err(error) => {
                        enough.store(true, Ordering::Relaxed);
                        panic!("round {round}: {error}");
                    }
                }
                let model = restored(&backup);
                let count = number(&model, b"one");
                assert_eq!(count, number(&model, b"two"), "half of a batch");
                assert!(count >= before, "{count} of {before}");
            }
            enough.store(true, Ordering::Relaxed);
        });
        // While nothing is written, it is never in vain; and what the process itself adds fits.
        backup_changes_beside_on(&reader, &backup).unwrap();
        assert!(restored(&backup) == contents(&db.default_tree()).unwrap());
        db.default_tree().put(b"new", b"").unwrap();
        assert_eq!(db.backup_changes_on(&backup).unwrap().records, 1);
        assert!(restored(&backup) == contents(&db.default_tree()).unwrap());
    }
}

#[test]
fn what_it_has_is_on_stable_storage_in_the_database_too() {
    let disk = SimDisk::new(3);
    let db = open(&disk);
    db.default_tree().put(b"a", b"handed to the system, and not synced").unwrap();
    let backup = Arc::new(SimDisk::new(4));
    let made = backup_beside_on(&Arc::new(disk.clone()), &backup).unwrap();
    for pattern in holt_engine::disk::CrashPattern::ALL {
        let after = open(&disk.crash(5, pattern));
        assert!(contents(&after.default_tree()).unwrap() == restored(&backup), "{pattern:?}");
        assert!(after.default_tree().put(b"b", b"").unwrap() > made.version);
        after.backup_changes_on(&backup).unwrap();
        assert_eq!(restored(&backup).len(), 2, "{pattern:?}");
        db.backup_on(&backup).unwrap();
        let names = backup.list().unwrap();
        names.iter().filter(|name| name.starts_with("changes")).for_each(|name| {
            backup.remove(name).unwrap();
        });
    }
}

#[test]
fn without_a_writer_it_is_an_ordinary_backup_and_without_a_database_an_error() {
    let (disk, backup) = (SimDisk::new(6), Arc::new(SimDisk::new(7)));
    let missing = backup_beside_on(&Arc::new(disk.clone()), &backup);
    assert!(matches!(missing, Err(Error::Missing)), "{missing:?}");
    assert!(disk.list().unwrap().is_empty() && backup.list().unwrap().is_empty());
    let db = open(&disk);
    db.default_tree().put(b"a", b"").unwrap();
    let none = backup_changes_beside_on(&Arc::new(disk.clone()), &backup);
    assert!(matches!(none, Err(Error::NoBackup)), "{none:?}");
    db.close().unwrap();
    backup_beside_on(&Arc::new(disk.clone()), &backup).unwrap();
    assert_eq!(restored(&backup).len(), 1);
    // Of another database, and found beside its writer.
    let other = SimDisk::new(8);
    let _writer = open(&other);
    let wrong = backup_beside_on(&Arc::new(other.clone()), &backup);
    assert!(matches!(wrong, Err(Error::WrongArchive { .. })), "{wrong:?}");
    // Directories of the system.
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let missing = holt_engine::backup_beside(at("none"), at("backup"));
    assert!(matches!(missing, Err(Error::Missing)), "{missing:?}");
}

type Meddle = Arc<Mutex<Box<dyn FnMut() + Send>>>;

/// The disk as the reader sees it, on which something happens whenever he reads a frame.
struct BusyDisk {
    disk: SimDisk,
    meddle: Meddle,
}

struct BusyFile {
    file: SimFile,
    meddle: Option<Meddle>,
}

impl Disk for BusyDisk {
    type File = BusyFile;
    type Lock = SimLock;

    fn create(&self, _name: &str) -> io::Result<BusyFile> {
        unreachable!("nothing is written")
    }
    fn open(&self, name: &str, access: Access) -> io::Result<BusyFile> {
        assert_eq!(access, Access::Read, "{name}");
        let meddle = (name == "DATA").then(|| Arc::clone(&self.meddle));
        Ok(BusyFile { file: self.disk.open(name, access)?, meddle })
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn remove(&self, _name: &str) -> io::Result<()> {
        unreachable!("nothing is written")
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

impl DiskFile for BusyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, _len: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<bool> {
        unreachable!("nothing is written")
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(meddle) = &self.meddle {
            meddle.lock().unwrap()();
        }
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, _bufs: &[io::IoSlice<'_>], _offset: u64) -> io::Result<usize> {
        unreachable!("nothing is written")
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// All frames are written anew by checkpoints, several of them while one frame is read.
#[test]
fn frames_that_are_replaced_while_it_reads_are_noticed_and_it_begins_anew_or_gives_up() {
    for (times, succeeds) in [(0, true), (1, true), (4, true), (u64::MAX, false)] {
        let disk = SimDisk::new(9);
        let db = open(&disk);
        let tree = db.default_tree();
        let write = {
            let (db, tree) = (db.clone(), tree.clone());
            move |round: u64| {
                for key in 0..300_u16 {
                    let value = [round.to_be_bytes(), [7; 8]].concat().repeat(60);
                    tree.put(&key.to_be_bytes(), &value).unwrap();
                }
                db.checkpoint().unwrap();
            }
        };
        write(0);
        let mut left = times;
        let meddle: Meddle = Arc::new(Mutex::new(Box::new(move || {
            if left > 0 {
                left -= 1;
                (1..4).for_each(|round| write(left % 1000 * 4 + round));
            }
        })));
        let backup = Arc::new(SimDisk::new(10));
        let made = backup_beside_on(&Arc::new(BusyDisk { disk, meddle }), &backup);
        if succeeds {
            made.unwrap_or_else(|error| panic!("{times}: {error}"));
            assert!(restored(&backup) == contents(&tree).unwrap(), "{times}");
        } else {
            assert!(matches!(made, Err(Error::Overtaken)), "{made:?}");
            assert!(matches!(
                restore_on(&backup, Arc::new(SimDisk::new(11))),
                Err(Error::NoBackup)
            ));
        }
    }
}
