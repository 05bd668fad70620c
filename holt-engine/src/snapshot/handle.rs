//! A snapshot: the handle through which the past of a database is read.

use std::fmt;

use holt_art::Version;
use holt_codec::{DbId, GRANULE};
use holt_journal::disk::{Disk, RealDisk};

use super::taken::{Taken, TreeAt, version_at};
use super::tree::SnapshotTree;
use crate::catalog::{DEFAULT_NAME, Named, check_name};
use crate::core::Lease;
use crate::error::Error;
use crate::feed::Changes;
use crate::sync::Arc;

/// All trees of a database as they were at one moment, from [`Db::snapshot`](crate::Db::snapshot).
///
/// It has every write that was made before that moment, and none that came later; so it has each
/// batch, each move of a prefix and each change of the trees themselves whole or not at all. A
/// tree that was dropped or renamed meanwhile is there as it was. Reading it takes no lock and waits
/// for no writer.
///
/// Taking one costs the same whatever the database holds; writers wait for the moment. From
/// then on a frame that is changed for the first time is kept once more, so a snapshot takes at
/// most as much memory as the database took when it was taken, and long-lived ones are to be seen
/// in [`Stats::snapshots`](crate::Stats::snapshots). What was kept is free when the snapshot, its
/// clones, its trees and all lists of them are gone.
///
/// A `Snapshot` is a handle: cheap to clone, usable by many threads at once, and it keeps the
/// database open. It does not outlast [`Db::close`](crate::Db::close): it gives [`Error::Closed`] then.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// let db = holt_engine::Db::in_memory()?;
/// let (files, owners) = (db.tree("files")?, db.tree("owners")?);
/// db.atomic(|batch| {
///     batch.put(&files, b"a", b"12 pages")?;
///     batch.put(&owners, b"a", b"alice")
/// })?;
/// let before = db.snapshot()?;
/// files.clear()?;
/// db.drop_tree("owners")?;
///
/// assert_eq!(before.tree("files")?.get(b"a")?.as_deref(), Some(&b"12 pages"[..]));
/// assert_eq!(before.tree("owners")?.get(b"a")?.as_deref(), Some(&b"alice"[..]));
/// assert_eq!(before.tree_names()?, ["default", "files", "owners"]);
/// # Ok(())
/// # }
/// ```
pub struct Snapshot<D: Disk = RealDisk> {
    taken: Arc<Taken<D>>,
}

impl<D: Disk> Snapshot<D> {
    pub(crate) fn take(lease: &Arc<Lease<D>>) -> Result<Snapshot<D>, Error> {
        Ok(Snapshot { taken: Arc::new(Taken::take(lease)?) })
    }

    /// The tree that had this name.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`], [`Error::Closed`], and [`Error::Tree`] or
    /// [`Error::Damaged`] if the catalogue of the trees cannot be read.
    pub fn tree(&self, name: &str) -> Result<SnapshotTree<D>, Error> {
        check_name(name)?;
        let found = self.taken.trees()?.get(name);
        let at = *found.ok_or_else(|| Error::NoSuchTree { name: name.to_owned() })?;
        SnapshotTree::new(&self.taken, name, at)
    }

    /// A tree that there is now, as it was; none if there was none.
    pub(crate) fn tree_of(&self, named: &Named) -> Result<Option<SnapshotTree<D>>, Error> {
        let taken = &self.taken;
        match taken.core().catalog.root_at(&taken.frames, named.id)? {
            Some(root) => {
                let at = TreeAt { id: named.id, root };
                SnapshotTree::new(taken, &named.name(), at).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Address of the log at which it was taken.
    pub(crate) fn log_address(&self) -> u64 {
        self.taken.log_address()
    }

    /// The tree that every database has.
    ///
    /// # Errors
    ///
    /// As [`tree`](Self::tree).
    pub fn default_tree(&self) -> Result<SnapshotTree<D>, Error> {
        self.tree(DEFAULT_NAME)
    }

    /// The names of all trees, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], and [`Error::Tree`] or [`Error::Damaged`] if the catalogue of the trees
    /// cannot be read.
    pub fn tree_names(&self) -> Result<Vec<String>, Error> {
        Ok(self.taken.trees()?.keys().cloned().collect())
    }

    /// The version at which it was taken: it has all writes of lower versions, and no other.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// # let tree = db.default_tree();
    /// let before = tree.put(b"a", b"")?;
    /// let snapshot = db.snapshot()?;
    /// let after = tree.put(b"b", b"")?;
    /// assert!(before < snapshot.version() && snapshot.version() <= after);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn version(&self) -> Version {
        version_at(self.taken.log_address())
    }

    /// The version up to which it has everything: that of the last write, or one in its record.
    pub(crate) fn last_version(&self) -> Version {
        version_at(self.taken.log_address() - GRANULE as u64)
    }

    /// The changes after this snapshot, as [`Db::changes`](crate::Db::changes) has them: for whoever
    /// begins with all that there is and goes on with what comes.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// # let tree = db.default_tree();
    /// tree.put(b"a", b"")?;
    /// let snapshot = db.snapshot()?;
    /// let put = tree.put(b"b", b"")?;
    /// db.sync()?;
    /// let next = snapshot.changes().open()?.next().transpose()?.expect("one change");
    /// assert_eq!(next.version(), put);
    /// # Ok(())
    /// # }
    /// ```
    pub fn changes(&self) -> Changes<D> {
        Changes::new(self.taken.lease(), Some(self.last_version()))
    }

    pub(crate) fn db_id(&self) -> DbId {
        self.taken.core().db_id()
    }
}

impl<D: Disk> Clone for Snapshot<D> {
    fn clone(&self) -> Snapshot<D> {
        Snapshot { taken: Arc::clone(&self.taken) }
    }
}

impl<D: Disk> fmt::Debug for Snapshot<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Snapshot").field("version", &self.version()).finish_non_exhaustive()
    }
}
