//! The operating system's disk: one directory, files reached through its descriptor.
//!
//! - Every call goes through the directory's descriptor, so a directory that is moved while
//!   it is open stays the one that was opened.
//! - Every descriptor is close-on-exec.
//! - On Apple systems a sync is `F_FULLFSYNC`: plain `fsync` leaves the bytes in the drive's
//!   cache there.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Access, Disk, DiskFile, check_name};

/// Slices that one vectored write takes on every supported system.
const MAX_SLICES: usize = 1024;

/// Permissions of created files, less the process's mask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// A directory of the operating system as a [`Disk`].
#[derive(Debug)]
pub struct RealDisk {
    directory: OwnedFd,
    path: PathBuf,
}

impl RealDisk {
    /// Opens a directory that exists.
    ///
    /// # Errors
    ///
    /// The operating system's, if the path is missing or no directory.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_journal::disk::{Disk, DiskFile, RealDisk, RealFile, RealLock};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let disk = RealDisk::open(directory.path())?;
    /// let lock: Option<RealLock> = disk.lock("LOCK", true)?;
    /// assert!(lock.is_some(), "somebody else has the lock");
    /// let file: RealFile = disk.create("greeting")?;
    /// file.write_bytes_at(b"hello", 0)?;
    /// file.sync_data()?; // the bytes survive a power cut …
    /// disk.sync_dir()?; // … and so does the name
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> io::Result<RealDisk> {
        let path = path.as_ref().to_path_buf();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty()))?;
        Ok(RealDisk { directory, path })
    }

    /// Opens a directory, making it first if it is missing. Its parent has to exist.
    ///
    /// The new directory's own name is durable when this returns.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn create(path: impl AsRef<Path>) -> io::Result<RealDisk> {
        let path = path.as_ref();
        match DirBuilder::new().create(path) {
            Ok(()) => {
                let parent = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                sync_directory(&OwnedFd::from(File::open(parent)?))?;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        RealDisk::open(path)
    }

    /// The path that the directory was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        check_name(name)?;
        let flags = flags | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.directory, name, flags, FILE_MODE))?)
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = RealLock;

    fn create(&self, name: &str) -> io::Result<RealFile> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(RealFile { descriptor: self.open_file(name, flags)? })
    }

    fn open(&self, name: &str, access: Access) -> io::Result<RealFile> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        Ok(RealFile { descriptor: self.open_file(name, flags)? })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let kind = match entry.file_type() {
                // Some file systems do not keep the type beside the name.
                FileType::Unknown => {
                    match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                        Err(Errno::NOENT) => continue,
                        Err(e) => return Err(e.into()),
                    }
                }
                kind => kind,
            };
            if kind == FileType::RegularFile {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        Ok(rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    fn lock(&self, name: &str, exclusive: bool) -> io::Result<Option<RealLock>> {
        let (flags, operation) = if exclusive {
            (OFlags::RDWR | OFlags::CREATE, FlockOperation::NonBlockingLockExclusive)
        } else {
            (OFlags::RDONLY, FlockOperation::NonBlockingLockShared)
        };
        let descriptor = self.open_file(name, flags)?;
        match retry_on_intr(|| rustix::fs::flock(&descriptor, operation)) {
            Ok(()) => Ok(Some(RealLock { descriptor, owner: std::process::id() })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn entropy(&self) -> io::Result<[u8; 32]> {
        let mut bytes = [0; 32];
        io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
        Ok(bytes)
    }

    #[cfg(target_os = "linux")]
    fn memory(&self) -> Option<u64> {
        let system = rustix::system::sysinfo();
        Some(system.totalram.saturating_mul(system.mem_unit.into()))
    }
}

/// A lock held on a file of a [`RealDisk`].
///
/// The lock belongs to the open file, not to the process. Its owner gives it up when he drops it,
/// also while another thread is starting a process, which has a copy of the descriptor until it
/// runs. A forked child that drops its copy only closes it, so it cannot unlock.
#[derive(Debug)]
pub struct RealLock {
    descriptor: OwnedFd,
    /// The process that took the lock.
    owner: u32,
}

impl Drop for RealLock {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // If this fails, closing the descriptor gives the lock up.
            let _ = rustix::fs::flock(&self.descriptor, FlockOperation::Unlock);
        }
    }
}

/// A file of a [`RealDisk`].
#[derive(Debug)]
pub struct RealFile {
    descriptor: OwnedFd,
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        let len = rustix::fs::fstat(&self.descriptor)?.st_size;
        u64::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.descriptor, len))?)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        let end = offset.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let flags = FallocateFlags::empty();
            match retry_on_intr(|| fallocate(&self.descriptor, flags, offset, len)) {
                // A file system without reservations: lengthen the file instead.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                result => return Ok(result.map(|()| true)?),
            }
        }
        if self.len()? < end {
            self.set_len(end)?;
        }
        Ok(false)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&self.descriptor, buf, offset)?)
    }

    fn read_parts_at(&self, bufs: &mut [io::IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        // As in `write_at`.
        let most = bufs.len().min(MAX_SLICES);
        Ok(rustix::io::preadv(&self.descriptor, &mut bufs[..most], offset)?)
    }

    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        // The common case, and cheaper than a vector of one.
        if let [bytes] = bufs {
            return Ok(rustix::io::pwrite(&self.descriptor, bytes, offset)?);
        }
        // More slices than the system takes would be refused whole; a first part is legal.
        let bufs = &bufs[..bufs.len().min(MAX_SLICES)];
        Ok(rustix::io::pwritev(&self.descriptor, bufs, offset)?)
    }

    fn will_need(&self, offset: u64, len: u64) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // A hint that is refused is no loss.
            let _ = fadvise(&self.descriptor, offset, len.try_into().ok(), Advice::WillNeed);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, len);
    }

    fn expect_random(&self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // As above.
            let _ = fadvise(&self.descriptor, 0, None, Advice::Random);
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(target_vendor = "apple")]
        return sync_apple(&self.descriptor);
        #[cfg(not(target_vendor = "apple"))]
        Ok(rustix::fs::fdatasync(&self.descriptor)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        #[cfg(target_vendor = "apple")]
        return sync_apple(&self.descriptor);
        #[cfg(not(target_vendor = "apple"))]
        Ok(rustix::fs::fsync(&self.descriptor)?)
    }
}

fn sync_directory(directory: &OwnedFd) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    return sync_apple(directory);
    #[cfg(not(target_vendor = "apple"))]
    Ok(rustix::fs::fsync(directory)?)
}

/// `F_FULLFSYNC`, or `fsync` where the file system knows no such thing.
#[cfg(target_vendor = "apple")]
fn sync_apple(descriptor: &OwnedFd) -> io::Result<()> {
    match rustix::fs::fcntl_fullfsync(descriptor) {
        Err(Errno::NOTSUP | Errno::INVAL | Errno::NOTTY) => Ok(rustix::fs::fsync(descriptor)?),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        (directory, disk)
    }

    #[test]
    fn bytes_written_in_many_slices_read_back() {
        let (_directory, disk) = disk();
        let file = disk.create("f").unwrap();
        let pieces: Vec<[u8; 3]> = (0..3000_u32).map(|i| [i as u8, (i >> 8) as u8, 7]).collect();
        let mut bufs: Vec<_> = pieces.iter().map(|p| io::IoSlice::new(p)).collect();
        assert!(bufs.len() > 2 * MAX_SLICES);
        file.write_all_at(&mut bufs, 5).unwrap();
        let mut back = vec![0; pieces.len() * 3];
        file.read_exact_at(&mut back, 5).unwrap();
        assert_eq!(back, pieces.concat());
        assert_eq!(file.len().unwrap(), 5 + back.len() as u64);
        assert_eq!(file.read_at(&mut back, 5 + 9000).unwrap(), 0);
        file.sync_data().unwrap();
        file.sync_all().unwrap();
    }

    #[test]
    fn a_name_is_created_once_and_listed_until_it_is_removed() {
        let (_directory, disk) = disk();
        let missing = disk.open("f", Access::Read).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        disk.create("f").unwrap();
        let taken = disk.create("f").unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        std::fs::create_dir(disk.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("f", disk.path().join("link")).unwrap();
        disk.create("e").unwrap();
        assert_eq!(disk.list().unwrap(), ["e", "f"]);
        // A listing reads the directory anew, it does not go on where the last one stopped.
        assert_eq!(disk.list().unwrap(), ["e", "f"]);
        disk.rename("f", "e").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["e"]);
        disk.remove("e").unwrap();
        assert!(disk.list().unwrap().is_empty());
        assert_eq!(disk.rename("../x", "e").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_opened_for_reading_takes_no_write() {
        let (_directory, disk) = disk();
        disk.create("f").unwrap();
        let file = disk.open("f", Access::Read).unwrap();
        assert!(file.write_bytes_at(b"x", 0).is_err());
        assert!(file.set_len(9).is_err());
        assert!(disk.open("f", Access::ReadWrite).unwrap().is_empty().unwrap());
    }

    #[test]
    fn allocation_lengthens_with_zeros_and_keeps_what_is_there() {
        let (_directory, disk) = disk();
        let file = disk.create("f").unwrap();
        file.write_bytes_at(b"abc", 0).unwrap();
        file.allocate(0, 10_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        file.allocate(0, 100).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        let mut back = [9; 6];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(&back, b"abc\0\0\0");
        assert_eq!(file.allocate(u64::MAX, 2).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        file.set_len(2).unwrap();
        assert_eq!(file.len().unwrap(), 2);
    }

    #[test]
    fn a_lock_excludes_others_until_it_is_dropped() {
        let (_directory, disk) = disk();
        let missing = disk.lock("LOCK", false).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let held = disk.lock("LOCK", true).unwrap().expect("nobody holds it");
        let other = RealDisk::open(disk.path()).unwrap();
        assert!(other.lock("LOCK", true).unwrap().is_none());
        assert!(other.lock("LOCK", false).unwrap().is_none());
        drop(held);
        let one = other.lock("LOCK", false).unwrap().expect("free again");
        let two = disk.lock("LOCK", false).unwrap().expect("shared locks go together");
        assert!(disk.lock("LOCK", true).unwrap().is_none());
        drop((one, two));
        assert!(disk.lock("LOCK", true).unwrap().is_some());
    }

    #[test]
    fn a_directory_is_made_once_and_opened_after() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        assert!(RealDisk::open(&path).is_err());
        RealDisk::create(&path).unwrap().create("f").unwrap();
        assert_eq!(RealDisk::create(&path).unwrap().list().unwrap(), ["f"]);
        assert_ne!(
            RealDisk::open(&path).unwrap().entropy().unwrap(),
            RealDisk::open(&path).unwrap().entropy().unwrap()
        );
    }
}
