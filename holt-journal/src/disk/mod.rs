//! The disk as the journal sees it: two small traits, and what each call leaves behind.
//!
//! Everything the journal stores goes through [`Disk`] (one flat directory of files) and
//! [`DiskFile`] (one file of it). [`RealDisk`] is a directory of the operating system;
//! [`SimDisk`] is a directory in memory that can lose power, tear writes, fail any call and
//! run full, for tests.
//!
//! # What survives what
//!
//! Two disasters are told apart throughout:
//!
//! - **The process is killed.** Everything that a call handed to the operating system before
//!   is kept: written bytes, lengths, created, renamed and removed names. Locks are gone.
//! - **The power is cut.** Only what a successful sync covered is sure. Of everything later,
//!   any subset may be there: a write may be kept, lost, or torn at any byte; two writes may
//!   arrive in either order; a file's new length may be kept without its content (which then
//!   reads as zeros) or the content without the length; a created, renamed or removed name
//!   may be kept or lost. Each file and each name goes its own way.
//!
//! | call | after a kill | after a power cut |
//! |---|---|---|
//! | [`Disk::create`], [`Disk::rename`], [`Disk::remove`] | done | done or not, until [`Disk::sync_dir`] |
//! | [`DiskFile::write_at`], [`DiskFile::set_len`], [`DiskFile::allocate`] | done | any part of it, until [`DiskFile::sync_data`] |
//! | [`DiskFile::sync_data`] | – | content and length are kept, the file's *name* is not covered |
//! | [`Disk::sync_dir`] | – | names are kept, the files' *content* is not covered |
//!
//! A rename is atomic under both: afterwards the target name stands for the old file or for
//! the new one, never for nothing.
//!
//! # A failed sync proves nothing, now or later
//!
//! After a failed sync an operating system may drop what it could not write and report
//! success the next time. So the bytes written since the last *successful* sync are in doubt
//! for good: they have to be written again, elsewhere, and calling sync once more must not be
//! taken as proof of them.

mod real;
mod sim;

use std::io;

pub use real::{RealDisk, RealFile, RealLock};
pub use sim::{CrashPattern, Fault, Operation, SimDisk, SimFile, SimLock, Target, Trigger};

/// The longest file name in bytes that a disk takes.
pub const MAX_NAME: usize = 255;

/// How a file is opened.
///
/// # Examples
///
/// ```
/// use holt_journal::disk::{Access, Disk, DiskFile, SimDisk};
///
/// let disk = SimDisk::new(1);
/// disk.create("file")?;
/// let file = disk.open("file", Access::Read)?;
/// assert!(file.write_bytes_at(b"x", 0).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only reads; works on read-only media.
    Read,
    /// Reads and writes.
    ReadWrite,
}

/// One flat directory of files.
///
/// Names are single path components: see [`check_name`]. All methods take `&self` and may be
/// called from several threads at once.
///
/// # Errors
///
/// Every method returns the operating system's error as it came. A name that
/// [`check_name`] refuses gives [`io::ErrorKind::InvalidInput`] before anything happens.
///
/// # Examples
///
/// ```
/// use holt_journal::disk::{Access, Disk, DiskFile, SimDisk};
///
/// /// Replaces a file as a whole: after a crash there is the old one or the new one.
/// fn replace<D: Disk>(disk: &D, name: &str, bytes: &[u8]) -> std::io::Result<()> {
///     let file = disk.create("making")?;
///     file.write_bytes_at(bytes, 0)?;
///     file.sync_data()?;
///     disk.rename("making", name)?;
///     disk.sync_dir()
/// }
///
/// let disk = SimDisk::new(1);
/// let lock = disk.lock("LOCK", true)?.expect("nobody else has it");
/// replace(&disk, "settings", b"old")?;
/// replace(&disk, "settings", b"new")?;
/// assert_eq!(disk.list()?, ["LOCK", "settings"]);
/// assert_eq!(disk.open("settings", Access::Read)?.len()?, 3);
/// disk.remove("settings")?;
/// assert_ne!(disk.entropy()?, disk.entropy()?);
/// drop(lock);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// A held lock; dropping it gives the lock back.
    type Lock: Send + Sync + 'static;

    /// Creates an empty file and opens it for reading and writing.
    ///
    /// A killed process leaves the file. A power cut may take the name away until
    /// [`Disk::sync_dir`] succeeds, however often the file itself was synced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    fn open(&self, name: &str, access: Access) -> io::Result<Self::File>;

    /// The names of all regular files of the directory, sorted. Names that are not UTF-8 are
    /// left out: no file of this crate has such a name.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives the file `from` the name `to`, atomically; a file that had that name loses it.
    ///
    /// A killed process leaves the new name. A power cut may bring the old state of both
    /// names back until [`Disk::sync_dir`] succeeds. Open handles stay valid.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes the name away. Handles that are open stay valid until they are dropped.
    ///
    /// A power cut may bring the file back until [`Disk::sync_dir`] succeeds.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, rename and removal so far durable. Covers no file's content.
    ///
    /// # Errors
    ///
    /// After an error every change of a name since the last success is in doubt for good.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes an advisory lock on a file that exists for this purpose, without waiting:
    /// `None` if another holder, in this process or another, excludes it.
    ///
    /// An exclusive lock creates the file if it is missing; a shared one does not, so it
    /// works on read-only media. The file is never removed by this crate: a lock on a file
    /// that somebody may unlink and make anew excludes nobody. The lock ends when it is
    /// dropped or its process ends, however that happens. A forked child that drops its copy
    /// does not give up its parent's lock.
    fn lock(&self, name: &str, exclusive: bool) -> io::Result<Option<Self::Lock>>;

    /// 32 bytes that nobody can guess or repeat, for salts and identities.
    fn entropy(&self) -> io::Result<[u8; 32]>;

    /// Bytes of memory that the system may use to cache files, if it has any for that and tells. Where files
    /// are small beside it, what lies near what is read may be [fetched](DiskFile::will_need), too.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_journal::disk::{Disk, SimDisk};
    ///
    /// assert_eq!(SimDisk::new(1).memory(), None);
    /// ```
    fn memory(&self) -> Option<u64> {
        None
    }
}

/// One open file.
///
/// Offsets and lengths are bytes. Methods take `&self`; calls that touch different bytes may
/// run at the same time. Overlapping reads and writes may see each other half done.
///
/// # Examples
///
/// ```
/// use std::io::IoSlice;
/// use holt_journal::disk::{Disk, DiskFile, SimDisk};
///
/// let file = SimDisk::new(1).create("file")?;
/// assert!(file.is_empty()?);
/// assert!(file.allocate(0, 4096)?, "every file system that keeps databases can reserve");
/// file.write_bytes_at(b"header", 0)?;
/// file.write_all_at(&mut [IoSlice::new(b"one "), IoSlice::new(b"two")], 6)?;
/// file.sync_data()?; // the bytes are on stable storage
/// let mut bytes = [0; 13];
/// file.read_exact_at(&mut bytes, 0)?;
/// assert_eq!(&bytes, b"headerone two");
/// assert!(file.read_at(&mut bytes, 4090)? <= 6, "the end comes first");
/// let mut left = &b"three"[..];
/// while !left.is_empty() {
///     // A write may end early.
///     let written = file.write_at(&[IoSlice::new(left)], 13 + (5 - left.len()) as u64)?;
///     left = &left[written..];
/// }
/// file.set_len(18)?;
/// assert_eq!(file.len()?, 18);
/// file.sync_all()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait DiskFile: Send + Sync + 'static {
    /// The file's length in bytes, as a killed process would leave it.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    ///
    /// # Errors
    ///
    /// As [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file or lengthens it with zeros that take no space.
    ///
    /// A killed process leaves the new length. A power cut may bring the old length back, and
    /// with it the bytes cut off or zeros in their place, until a sync succeeds.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves space for `[offset, offset + len)`, so that later writes there do not fail
    /// for want of it, and lengthens the file to `offset + len` if it is shorter. Bytes that
    /// were there keep their value, new ones read as zeros.
    ///
    /// False where the file system cannot reserve: the file is only lengthened then, and writes may still
    /// run out of space. Survives as [`DiskFile::set_len`] does.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::StorageFull`] leaves content and length as they were, though part of
    /// the space may have been reserved.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<bool>;

    /// Reads at most `buf.len()` bytes at `offset`. Fewer bytes are no sign of the end, 0 is.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], into a first part of the concatenated `bufs`.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{IoSlice, IoSliceMut};
    /// use holt_journal::disk::{Disk, DiskFile, SimDisk};
    ///
    /// let file = SimDisk::new(1).create("file")?;
    /// file.write_all_at(&mut [IoSlice::new(b"headbody")], 0)?;
    /// let (mut head, mut body) = ([0; 4], [0; 4]);
    /// file.read_exact_in_parts_at(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)], 0)?;
    /// assert_eq!((&head, &body), (b"head", b"body"));
    /// let read = file.read_parts_at(&mut [IoSliceMut::new(&mut head)], 4)?;
    /// assert_eq!(&head[..read], &b"body"[..read]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn read_parts_at(&self, bufs: &mut [io::IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let first = bufs.iter_mut().find(|buf| !buf.is_empty());
        first.map_or(Ok(0), |buf| self.read_at(buf, offset))
    }

    /// Writes a first part of the concatenated `bufs` at `offset` and says how long it was.
    /// Writing beyond the end lengthens the file.
    ///
    /// A killed process leaves what was written. A power cut keeps any part of it, byte by
    /// byte, until a sync that *began after* this call returned has succeeded.
    ///
    /// # Errors
    ///
    /// After an error any part of the range may hold the new bytes.
    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Makes content and length durable: everything that write, `set_len` and `allocate`
    /// calls finished before this call began.
    ///
    /// # Errors
    ///
    /// After an error, whichever, everything since the last success is in doubt for good (see
    /// [the module](self#a-failed-sync-proves-nothing-now-or-later)); an interrupted sync
    /// counts as a failed one.
    fn sync_data(&self) -> io::Result<()>;

    /// As [`DiskFile::sync_data`], and the file's other attributes too (times, reserved space).
    ///
    /// # Errors
    ///
    /// As [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Says that these bytes will most likely be read soon, so that the system may fetch them without
    /// anybody waiting. A hint: it changes nothing, and doing nothing is right, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_journal::disk::{Disk, DiskFile, SimDisk};
    ///
    /// let file = SimDisk::new(1).create("file")?;
    /// file.will_need(0, 4096);
    /// assert_eq!(file.len()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn will_need(&self, _offset: u64, _len: u64) {}

    /// Says that what is read of this file does not tell what will be: the system need not guess, and
    /// read more than it is asked for. A hint: it changes nothing, and doing nothing is right, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_journal::disk::{Disk, DiskFile, SimDisk};
    ///
    /// let file = SimDisk::new(1).create("file")?;
    /// file.expect_random();
    /// assert_eq!(file.len()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn expect_random(&self) {}

    /// Fills `buf` from `offset`, finishing short and interrupted reads.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends first.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Fills all of `bufs` from `offset`, finishing short and interrupted reads. The slices are used up.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends first.
    ///
    /// # Examples
    ///
    /// See [`DiskFile::read_parts_at`].
    fn read_exact_in_parts_at(
        &self,
        mut bufs: &mut [io::IoSliceMut<'_>],
        mut offset: u64,
    ) -> io::Result<()> {
        io::IoSliceMut::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            match self.read_parts_at(bufs, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    io::IoSliceMut::advance_slices(&mut bufs, n);
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes all of `bufs` at `offset`, finishing short and interrupted writes. The slices
    /// are used up.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WriteZero`] if the file takes nothing and gives no reason;
    /// [`io::ErrorKind::InvalidInput`] if the range ends beyond 2^63 − 1, where no file does.
    /// After an error any part of the range may hold the new bytes.
    fn write_all_at(&self, mut bufs: &mut [io::IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        // Empty slices in front would make "nothing was written" look like a refusal.
        io::IoSlice::advance_slices(&mut bufs, 0);
        let total = bufs.iter().try_fold(offset, |end, b| end.checked_add(b.len() as u64));
        if total.is_none_or(|end| end > i64::MAX as u64) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        while !bufs.is_empty() {
            match self.write_at(bufs, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    io::IoSlice::advance_slices(&mut bufs, n);
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// [`DiskFile::write_all_at`] for bytes in one piece.
    ///
    /// # Errors
    ///
    /// As [`DiskFile::write_all_at`].
    fn write_bytes_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(&mut [io::IoSlice::new(bytes)], offset)
    }
}

/// Accepts the name of a file in a [`Disk`]: one to [`MAX_NAME`] bytes that name exactly one
/// entry of one directory on every platform.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for an empty or too long name, `.`, `..`, and names with a
/// separator (`/`, `\`, `:`) or a control character.
///
/// # Examples
///
/// ```
/// assert!(holt_journal::disk::check_name("LOCK").is_ok());
/// assert!(holt_journal::disk::check_name("../LOCK").is_err());
/// ```
pub fn check_name(name: &str) -> io::Result<()> {
    let legal = !name.is_empty()
        && name.len() <= MAX_NAME
        && name != "."
        && name != ".."
        && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control());
    if legal {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is not the name of one file in one directory"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    #[test]
    fn a_name_with_a_separator_is_refused() {
        for name in ["", ".", "..", "a/b", "/a", "a\\b", "c:d", "a\0b", "a\nb"] {
            assert_eq!(check_name(name).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        assert!(check_name(&"n".repeat(MAX_NAME)).is_ok());
        assert!(check_name(&"n".repeat(MAX_NAME + 1)).is_err());
    }

    /// A file whose calls answer from a script, to see what the provided methods make of it.
    struct Scripted {
        answers: Mutex<Vec<io::Result<usize>>>,
        bytes: Mutex<Vec<u8>>,
    }

    impl Scripted {
        fn new(answers: impl IntoIterator<Item = io::Result<usize>>) -> Scripted {
            let mut answers: Vec<_> = answers.into_iter().collect();
            answers.reverse();
            Scripted { answers: Mutex::new(answers), bytes: Mutex::new(Vec::new()) }
        }

        fn next(&self) -> io::Result<usize> {
            self.answers.lock().unwrap().pop().expect("one call more than the script has answers")
        }
    }

    impl DiskFile for Scripted {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!("not scripted")
        }
        fn allocate(&self, _: u64, _: u64) -> io::Result<bool> {
            unreachable!("not scripted")
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            let n = self.next()?.min(buf.len());
            for (i, byte) in buf[..n].iter_mut().enumerate() {
                *byte = (offset as usize + i) as u8;
            }
            Ok(n)
        }
        fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
            let n = self.next()?;
            let mut bytes = self.bytes.lock().unwrap();
            assert_eq!(bytes.len() as u64, offset, "a continuation begins where the last ended");
            let all: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
            bytes.extend_from_slice(&all[..n]);
            Ok(n)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn sync_all(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn interrupted() -> io::Result<usize> {
        Err(io::ErrorKind::Interrupted.into())
    }

    #[test]
    fn short_and_interrupted_writes_are_finished() {
        let file = Scripted::new([interrupted(), Ok(1), Ok(3), interrupted(), Ok(2)]);
        let mut bufs = [&b""[..], b"ab", b"", b"cdef"].map(io::IoSlice::new);
        file.write_all_at(&mut bufs, 0).unwrap();
        assert_eq!(&*file.bytes.lock().unwrap(), b"abcdef");
    }

    #[test]
    fn a_write_of_nothing_is_an_error() {
        let file = Scripted::new([Ok(2), Ok(0)]);
        let error = file.write_bytes_at(b"abcd", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        // Nothing to write is no write at all.
        Scripted::new([]).write_all_at(&mut [io::IoSlice::new(b"")], 0).unwrap();
    }

    #[test]
    fn a_write_beyond_the_end_of_addresses_is_refused_before_it_starts() {
        let file = Scripted::new([]);
        for offset in [u64::MAX, u64::MAX - 3, i64::MAX as u64 - 3] {
            let error = file.write_bytes_at(b"abcd", offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn short_and_interrupted_reads_are_finished_and_an_early_end_is_an_error() {
        let file = Scripted::new([Ok(3), interrupted(), Ok(1), Ok(9)]);
        let mut buf = [0; 7];
        file.read_exact_at(&mut buf, 10).unwrap();
        assert_eq!(buf, [10, 11, 12, 13, 14, 15, 16]);
        let file = Scripted::new([Ok(3), Ok(0)]);
        let error = file.read_exact_at(&mut buf, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
