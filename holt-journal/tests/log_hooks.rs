//! What happens in the log while the disk is busy: a disk that calls back in the middle of a sync.

mod common;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use common::{DB, numbers, open_at, options, publish, put};
use holt_codec::FIRST_ADDRESS;
use holt_journal::disk::{Access, CrashPattern, Disk, DiskFile, SimDisk, SimFile, SimLock};
use holt_journal::{Ack, Journal, LogOptions, create_log};

/// What runs in the middle of a sync, once.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A simulated disk that runs a hook once, when the next sync of a file has done its work and has not returned.
struct HookedDisk {
    disk: SimDisk,
    hook: Hook,
}

struct HookedFile {
    file: SimFile,
    hook: Hook,
}

impl fmt::Debug for HookedDisk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(out)
    }
}

impl HookedDisk {
    fn hooked(&self, file: SimFile) -> HookedFile {
        HookedFile { file, hook: Arc::clone(&self.hook) }
    }
}

impl Disk for HookedDisk {
    type File = HookedFile;
    type Lock = SimLock;

    fn create(&self, name: &str) -> io::Result<HookedFile> {
        Ok(self.hooked(self.disk.create(name)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<HookedFile> {
        Ok(self.hooked(self.disk.open(name, access)?))
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
        self.file.write_at(bufs, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        let hook = self.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// A log on such a disk, with one synced record, and where to put the hook.
fn log() -> (SimDisk, Hook, Arc<Journal<HookedDisk>>) {
    let disk = SimDisk::new(1);
    create_log(&Arc::new(disk.clone()), DB).unwrap();
    let hook = Arc::new(Mutex::new(None));
    let hooked = Arc::new(HookedDisk { disk: disk.clone(), hook: Arc::clone(&hook) });
    // So long that no other segment is made, which is synced as well.
    let options = LogOptions { segment_bytes: 1 << 20, ..options() };
    let journal = Arc::new(open_at(&hooked, FIRST_ADDRESS, options).unwrap());
    put(&journal, 0, Ack::Sync).unwrap();
    (disk, hook, journal)
}

#[test]
fn a_record_written_during_a_sync_is_not_taken_for_synced() {
    let (disk, hook, journal) = log();
    let during = Arc::clone(&journal);
    *hook.lock().unwrap() = Some(Box::new(move || {
        // Writing goes on during a sync: this would hang if the sync held what writing needs.
        put(&during, 2, Ack::Os).unwrap();
    }));
    let end = put(&journal, 1, Ack::Sync).unwrap();
    assert!(hook.lock().unwrap().is_none(), "nothing was synced");
    assert_eq!(journal.synced(), end);
    assert!(journal.written() > end);
    let crashed = Arc::new(disk.crash(1, CrashPattern::LoseAll));
    assert_eq!(numbers(&crashed, FIRST_ADDRESS).unwrap(), [0, 1]);
    // And it is synced by the next one.
    journal.wait(journal.tail(), Ack::Sync).unwrap();
    let crashed = Arc::new(disk.crash(1, CrashPattern::LoseAll));
    assert_eq!(numbers(&crashed, FIRST_ADDRESS).unwrap(), [0, 1, 2]);
}

#[test]
fn a_panic_in_the_disk_ends_writing_and_wakes_everybody() {
    let (disk, hook, journal) = log();
    let (_, follower_end) = publish(&journal, 1).unwrap();
    let follower = Arc::clone(&journal);
    let (handed, handle) = std::sync::mpsc::channel();
    *hook.lock().unwrap() = Some(Box::new(move || {
        // Somebody joins while the leader is in the disk.
        handed
            .send(std::thread::spawn(move || follower.wait(follower_end + 24, Ack::Sync).is_err()))
            .unwrap();
        std::panic::resume_unwind(Box::new("a disk with a mind of its own"));
    }));
    let leader = Arc::clone(&journal);
    let (_, end) = publish(&journal, 3).unwrap();
    assert!(end >= follower_end + 24, "the follower waits for something that is reserved");
    assert!(std::thread::spawn(move || leader.wait(follower_end, Ack::Sync)).join().is_err());
    assert!(handle.recv().unwrap().join().unwrap(), "acknowledged by a leader that panicked");
    assert!(journal.failure().is_some());
    assert!(journal.permit(64).is_err(), "writing goes on");
    assert!(journal.close().is_err());
    let left = numbers(&Arc::new(disk.kill()), FIRST_ADDRESS).unwrap();
    assert!([0, 1, 3].starts_with(&left), "{left:?}");
}
