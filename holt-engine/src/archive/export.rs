//! Writing an archive of a snapshot.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufWriter, Write};

use holt_art::Version;
use holt_codec::{ArchiveHeader, ArchiveWriter, GRANULE, Op, Record};
use holt_journal::disk::{Disk, RealDisk};

use crate::catalog::check_name;
use crate::core::check_key;
use crate::entry::EntryRef;
use crate::error::Error;
use crate::snapshot::{Snapshot, SnapshotTree};

impl<D: Disk> Snapshot<D> {
    /// What to write of this snapshot to an archive: everything, unless it is told otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let files = db.tree("files")?;
    /// files.put(b"etc/motd", b"hello")?;
    /// files.put(b"tmp/1", b"")?;
    /// let mut archive = Vec::new();
    /// let exported = db.snapshot()?.export().prefix("files", "etc/").write_to(&mut archive)?;
    /// assert_eq!((exported.trees, exported.records), (1, 1));
    ///
    /// let other = holt_engine::Db::in_memory()?;
    /// other.import(&archive[..], &holt_engine::ImportOptions::new())?;
    /// assert_eq!(other.open_tree("files")?.get(b"etc/motd")?.as_deref(), Some(&b"hello"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn export(&self) -> Export<D> {
        Export { snapshot: self.clone(), parts: BTreeMap::new() }
    }
}

/// What to write to an archive: what [`Snapshot::export`] gives. [`write_to`](Self::write_to) writes
/// it.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use holt_engine::{Export, Exported};
///
/// # let db = holt_engine::Db::in_memory()?;
/// # let files = db.tree("files")?;
/// files.put(b"etc/motd", b"hello")?;
/// files.put(b"tmp/1", b"")?;
/// let mut archive = Vec::new();
/// let snapshot = db.snapshot()?;
/// let export: Export = snapshot.export().tree("files");
/// let exported: Exported = export.write_to(&mut archive)?;
/// assert_eq!((exported.trees, exported.records), (1, 2));
/// // Without a tree or a prefix it is everything.
/// assert_eq!(snapshot.export().write_to(std::io::sink())?.trees, 2);
/// assert_eq!(snapshot.export().prefix("files", "tmp/").write_to(std::io::sink())?.records, 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "this says what to write; `write_to` writes it"]
pub struct Export<D: Disk = RealDisk> {
    snapshot: Snapshot<D>,
    /// Names of trees and the prefixes of what is written of each; everything if there is none.
    parts: BTreeMap<String, Vec<Vec<u8>>>,
}

/// An archive that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Trees in it.
    pub trees: u64,
    /// Records in it.
    pub records: u64,
    /// The version up to which everything is in it.
    pub version: Version,
}

impl<D: Disk> Export<D> {
    /// Writes all of the tree of this name. With several trees and prefixes: all of them.
    pub fn tree(self, name: &str) -> Export<D> {
        self.prefix(name, b"")
    }

    /// Writes the records of the tree of this name whose keys begin with `prefix`.
    pub fn prefix(mut self, name: &str, prefix: impl AsRef<[u8]>) -> Export<D> {
        self.parts.entry(name.to_owned()).or_default().push(prefix.as_ref().to_vec());
        self
    }

    /// Writes the archive and flushes `out`. Memory is bounded, whatever is written; writers go on.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`] and [`Error::KeyTooLong`] before anything is
    /// written; [`Error::Closed`]; [`Error::Io`] if `out` fails. What was written is no archive
    /// then, and is known as none.
    pub fn write_to(&self, out: impl Write) -> Result<Exported, Error> {
        let mut trees = Vec::new();
        if self.parts.is_empty() {
            for name in self.snapshot.tree_names()? {
                trees.push((self.snapshot.tree(&name)?, vec![Vec::new()]));
            }
        }
        for (name, prefixes) in &self.parts {
            check_name(name)?;
            prefixes.iter().try_for_each(|prefix| check_key(prefix))?;
            trees.push((self.snapshot.tree(name)?, apart(prefixes)));
        }
        let up_to = self.snapshot.last_version();
        let header = ArchiveHeader { db: self.snapshot.db_id(), after: 0, up_to: up_to.get() };
        let mut writer = ArchiveWriter::new(BufWriter::new(out), header).map_err(failed)?;
        for (tree, prefixes) in &trees {
            let record = Record::CreateTree { tree: tree.id(), name: tree.name().as_bytes() };
            writer.push(up_to.get() * GRANULE as u64, &record).map_err(failed)?;
            for prefix in prefixes {
                write_tree(tree, prefix, &mut writer)?;
            }
        }
        let (trees, all) = (trees.len() as u64, writer.records());
        writer.finish().map_err(failed)?;
        Ok(Exported { trees, records: all - trees, version: up_to })
    }
}

/// These prefixes without those that begin with another of them.
fn apart(prefixes: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sorted = prefixes.to_vec();
    sorted.sort_unstable();
    sorted.dedup_by(|next, kept| next.starts_with(kept));
    sorted
}

fn write_tree<D: Disk, W: Write>(
    tree: &SnapshotTree<D>,
    prefix: &[u8],
    writer: &mut ArchiveWriter<W>,
) -> Result<(), Error> {
    let id = tree.id();
    for entry in tree.prefix(prefix) {
        let entry = entry?;
        let EntryRef::Record { key, value, version } = entry.as_ref() else { continue };
        let record = Record::from(Op::Put { tree: id, key, value });
        writer.push(version.get() * GRANULE as u64, &record).map_err(failed)?;
    }
    Ok(())
}

fn failed(source: io::Error) -> Error {
    Error::Io { doing: "write the archive", source }
}

impl<D: Disk> fmt::Debug for Export<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Export")
            .field("snapshot", &self.snapshot)
            .field("parts", &self.parts)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_lie_in_others_are_left_out() {
        let apart_of = |prefixes: &[&str]| {
            let bytes: Vec<Vec<u8>> =
                prefixes.iter().map(|prefix| prefix.as_bytes().to_vec()).collect();
            let apart = apart(&bytes);
            apart.into_iter().map(|prefix| String::from_utf8(prefix).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(apart_of(&["b", "a/b", "a", "a/b/c", "b"]), ["a", "b"]);
        assert_eq!(apart_of(&["a", "", "b"]), [""]);
        assert_eq!(apart_of(&["ab", "ac"]), ["ab", "ac"]);
    }
}
