//! A directory tree as one stream of entries in the byte order of their keys.
//!
//! - The key of an entry is its path below the root, as raw bytes; a directory's ends in `/`, and
//!   the children of a directory are sorted with that slash in place. So the stream is in strict
//!   byte order of the keys over the whole tree, whatever the names are.
//! - Symbolic links are entries and are never followed, not even when one takes the place of a
//!   directory while the walk is under way: each directory is opened relative to its parent.
//! - One directory, the one that holds the database, is left out with all that it holds.
//! - What vanishes during the walk is skipped; what cannot be read is a [`Step::Unreadable`].

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::{io, vec};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::entry::{Entry, Kind};

/// Separates the names in a key, and ends the key of a directory.
pub(crate) const SEPARATOR: u8 = b'/';

/// One thing that the walk met.
#[derive(Debug)]
pub(crate) enum Step {
    /// An entry that could be read.
    Entry { key: Vec<u8>, entry: Entry },
    /// An entry, or a directory's list of names, that could not be read.
    Unreadable { key: Vec<u8>, hides: Hides, error: io::Error },
}

/// The keys about which an unreadable entry leaves the walk in the dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hides {
    /// The key alone.
    Key,
    /// The key, which is that of a directory, and every key below it.
    Below,
    /// The key, and every key below a directory of that name: its kind is unknown.
    KeyAndBelow,
}

/// The walk over one directory tree.
pub(crate) struct Walk {
    /// Device and inode of the directory to leave out.
    skip: Option<(u64, u64)>,
    /// The open directories from the root down.
    levels: Vec<Level>,
    /// Key of the deepest open directory: empty, or ending in the separator.
    prefix: Vec<u8>,
    /// A directory whose entry has been handed out and which is to be opened next.
    pending: Option<Vec<u8>>,
}

/// An open directory.
struct Level {
    directory: OwnedFd,
    /// Length of its key in [`Walk::prefix`].
    prefix: usize,
    children: vec::IntoIter<Child>,
}

/// An entry of an open directory.
struct Child {
    /// The name; a directory's ends in the separator.
    name: Vec<u8>,
    found: Result<Entry, (Hides, Errno)>,
}

impl Walk {
    /// Opens the directory `root`, whose own entry is no part of the walk, and leaves out the
    /// directory `skip`, if there is one of that name.
    ///
    /// # Errors
    ///
    /// `root` cannot be opened or listed or is itself the directory to leave out, or `skip` exists
    /// and cannot be examined.
    pub(crate) fn new(root: &Path, skip: &Path) -> io::Result<Walk> {
        let skip = match rustix::fs::stat(skip) {
            Ok(stat) => Some(identity(&stat)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        // The root is the only name that is followed if it is a link: the user wrote it.
        let directory = rustix::fs::open(root, OPEN, Mode::empty())?;
        if skip == Some(identity(&rustix::fs::fstat(&directory)?)) {
            return Err(io::Error::other("it is the directory of the database"));
        }
        let mut walk = Walk { skip, levels: Vec::new(), prefix: Vec::new(), pending: None };
        if let Some(error) = walk.enter(directory) {
            return Err(error.into());
        }
        Ok(walk)
    }

    /// Lists an open directory, whose key is the current prefix, and makes it the deepest level.
    /// An error is one of listing; what was listed before it is kept.
    fn enter(&mut self, directory: OwnedFd) -> Option<Errno> {
        let mut children = Vec::new();
        let outcome = list(directory.as_fd(), self.skip, &mut children);
        children.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        let prefix = self.prefix.len();
        self.levels.push(Level { directory, prefix, children: children.into_iter() });
        outcome.err()
    }

    /// Opens the directory `name`, whose entry was the last one handed out.
    fn descend(&mut self, name: &[u8]) -> Option<Step> {
        let parent = self.levels.last()?;
        self.prefix.truncate(parent.prefix);
        let plain = name.strip_suffix(&[SEPARATOR]).unwrap_or(name);
        let error = match rustix::fs::openat(&parent.directory, plain, NEVER_FOLLOW, Mode::empty())
        {
            Ok(directory) => {
                self.prefix.extend_from_slice(name);
                let error = self.enter(directory)?;
                return Some(self.unreadable(b"", Hides::Below, error));
            }
            Err(Errno::NOENT) => return None,
            Err(error) => error,
        };
        Some(self.unreadable(name, Hides::Below, error))
    }

    fn unreadable(&self, name: &[u8], hides: Hides, error: Errno) -> Step {
        Step::Unreadable { key: [&self.prefix, name].concat(), hides, error: error.into() }
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(name) = self.pending.take()
                && let Some(step) = self.descend(&name)
            {
                return Some(step);
            }
            let level = self.levels.last_mut()?;
            self.prefix.truncate(level.prefix);
            let Some(Child { name, found }) = level.children.next() else {
                self.levels.pop();
                continue;
            };
            return Some(match found {
                Ok(entry) => {
                    let key = [&self.prefix[..], &name].concat();
                    self.pending = (entry.kind == Kind::Directory).then_some(name);
                    Step::Entry { key, entry }
                }
                Err((hides, error)) => self.unreadable(&name, hides, error),
            });
        }
    }
}

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const NEVER_FOLLOW: OFlags = OPEN.union(OFlags::NOFOLLOW);

/// Device and inode: what makes a directory the same one under any name.
#[allow(clippy::useless_conversion, reason = "the fields' types differ between platforms")]
fn identity(stat: &Stat) -> (u64, u64) {
    (u64::from(stat.st_dev), u64::from(stat.st_ino))
}

/// Appends the entries of `directory` to `children`, in no order.
fn list(
    directory: BorrowedFd<'_>,
    skip: Option<(u64, u64)>,
    children: &mut Vec<Child>,
) -> rustix::io::Result<()> {
    for item in Dir::read_from(directory)? {
        let item = item?;
        let name = item.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match examine(directory, name, skip) {
            Ok(Some(entry)) => {
                let directory = entry.kind == Kind::Directory;
                children.push(Child { name: key_part(name, directory), found: Ok(entry) });
            }
            Ok(None) | Err(Errno::NOENT) => {}
            Err(error) => {
                let (directory, hides) = match item.file_type() {
                    FileType::Directory => (true, Hides::Below),
                    FileType::Unknown => (false, Hides::KeyAndBelow),
                    _ => (false, Hides::Key),
                };
                let name = key_part(name, directory);
                children.push(Child { name, found: Err((hides, error)) });
            }
        }
    }
    Ok(())
}

fn key_part(name: &CStr, directory: bool) -> Vec<u8> {
    let mut part = name.to_bytes().to_vec();
    if directory {
        part.push(SEPARATOR);
    }
    part
}

/// Reads what is to be stored of one entry; nothing for the directory to leave out.
fn examine(
    directory: BorrowedFd<'_>,
    name: &CStr,
    skip: Option<(u64, u64)>,
) -> rustix::io::Result<Option<Entry>> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if skip == Some(identity(&stat)) {
        return Ok(None);
    }
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharacterDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        _ => Kind::Unknown,
    };
    let target = if kind == Kind::Link {
        rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes()
    } else {
        Vec::new()
    };
    Ok(Some(Entry {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        seconds: stat.st_mtime,
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        target,
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn keys(root: &Path, skip: &Path) -> Vec<Vec<u8>> {
        Walk::new(root, skip)
            .unwrap()
            .map(|step| match step {
                Step::Entry { key, .. } => key,
                Step::Unreadable { key, error, .. } => panic!("{key:?} is unreadable: {error}"),
            })
            .collect()
    }

    #[test]
    fn the_stream_is_in_byte_order_of_the_keys() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["a", "a-b", "a/b", "a/b/c", "b", "b0", "empty"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        for file in ["a.txt", "a-b/x", "a/b.txt", "a/b/c/d", "a0", "b/\u{1}", "b!"] {
            fs::write(root.path().join(file), file).unwrap();
        }
        fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"b/\xff")), "").unwrap();
        let keys = keys(root.path(), &root.path().join("nowhere"));
        let expected: [&[u8]; 15] = [
            b"a-b/", b"a-b/x", b"a.txt", b"a/", b"a/b.txt", b"a/b/", b"a/b/c/", b"a/b/c/d", b"a0",
            b"b!", b"b/", b"b/\x01", b"b/\xff", b"b0/", b"empty/",
        ];
        assert_eq!(keys, expected);
        assert!(keys.is_sorted());
    }

    #[test]
    fn links_are_entries_and_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        fs::write(root.path().join("real/file"), "four").unwrap();
        symlink("real", root.path().join("link")).unwrap();
        symlink("nowhere", root.path().join("dangling")).unwrap();
        let mut targets = Vec::new();
        for step in Walk::new(root.path(), Path::new("/nowhere")).unwrap() {
            let Step::Entry { key, entry } = step else { panic!("{step:?}") };
            if entry.kind == Kind::Link {
                targets.push((key, entry.target));
            } else if key == b"real/file" {
                assert_eq!((entry.kind, entry.size), (Kind::File, 4));
            }
        }
        assert_eq!(
            targets,
            [(b"dangling".to_vec(), b"nowhere".to_vec()), (b"link".to_vec(), b"real".to_vec())]
        );
    }

    #[test]
    fn the_directory_to_skip_is_left_out_under_any_name() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sub/database")).unwrap();
        fs::write(root.path().join("sub/database/file"), "").unwrap();
        fs::write(root.path().join("sub/other"), "").unwrap();
        symlink("sub/database", root.path().join("alias")).unwrap();
        let expected = [&b"alias"[..], b"sub/", b"sub/other"];
        assert_eq!(keys(root.path(), &root.path().join("sub/../sub/database")), expected);
        assert_eq!(keys(root.path(), &root.path().join("alias")), expected);
    }

    #[test]
    fn a_directory_that_may_not_be_listed_is_an_entry_and_then_unreadable() {
        let root = tempfile::tempdir().unwrap();
        let closed = root.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("inside"), "").unwrap();
        fs::write(root.path().join("next"), "").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let steps: Vec<_> = Walk::new(root.path(), Path::new("/nowhere")).unwrap().collect();
        let privileged = fs::read_dir(&closed).is_ok();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let steps: Vec<_> = steps
            .iter()
            .map(|step| match step {
                Step::Entry { key, .. } => (&key[..], None),
                Step::Unreadable { key, hides, .. } => (&key[..], Some(*hides)),
            })
            .collect();
        // The superuser reads every directory, whatever its permissions say.
        let second: (&[u8], _) =
            if privileged { (b"closed/inside", None) } else { (b"closed/", Some(Hides::Below)) };
        assert_eq!(steps, [(&b"closed/"[..], None), second, (b"next", None)]);
    }

    #[test]
    fn a_root_that_is_missing_or_no_directory_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        for name in ["missing", "file"] {
            assert!(Walk::new(&root.path().join(name), Path::new("/nowhere")).is_err(), "{name}");
        }
    }
}
