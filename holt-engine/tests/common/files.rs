//! The files of a directory as they are: what a test compares to see that nothing was changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a change of a file or a directory would change: inode, length, and the times of the last
/// modification and of the last change of that, in seconds and nanoseconds.
pub(crate) type Stamp = (u64, u64, (i64, i64), (i64, i64));

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).unwrap();
    let modified = (meta.mtime(), meta.mtime_nsec());
    (meta.ino(), meta.len(), modified, (meta.ctime(), meta.ctime_nsec()))
}

/// The stamp of the directory, and the stamp and the bytes of every file in it.
pub(crate) fn files(directory: &Path) -> (Stamp, BTreeMap<String, (Stamp, Vec<u8>)>) {
    let entries = fs::read_dir(directory).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, (stamp(&path), fs::read(&path).unwrap()))
    });
    let entries = entries.collect();
    (stamp(directory), entries)
}
