//! The trees of a database, by their names.

use holt_journal::disk::Disk;

use super::Db;
use crate::error::Error;
use crate::tree::Tree;

/// # Trees
impl<D: Disk> Db<D> {
    /// The tree that every database has, named `default`.
    #[must_use]
    pub fn default_tree(&self) -> Tree<D> {
        Tree::new(&self.lease, self.lease.core().default_tree())
    }

    /// The tree of this name, created if there is none. The creation is as durable as a write.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`] if the name is empty or longer than
    /// [`MAX_TREE_NAME`](crate::MAX_TREE_NAME) bytes, [`Error::ReadOnly`] if it does not exist in a
    /// database that is open for reading alone, and every error of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let db = holt_engine::Db::open(directory.path())?;
    /// let sessions = db.tree("sessions")?;
    /// sessions.put(b"42", b"alice")?;
    /// assert!(!db.default_tree().contains(b"42")?);
    /// assert_eq!(db.tree_names()?, ["default", "sessions"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tree(&self, name: &str) -> Result<Tree<D>, Error> {
        Ok(Tree::new(&self.lease, self.lease.core().tree(name)?))
    }

    /// The tree of this name, which there is.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`], [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// db.create_tree("users")?.put(b"1", b"alice")?;
    /// assert_eq!(db.open_tree("users")?.len()?, 1);
    /// assert!(matches!(db.open_tree("groups"), Err(holt_engine::Error::NoSuchTree { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_tree(&self, name: &str) -> Result<Tree<D>, Error> {
        Ok(Tree::new(&self.lease, self.lease.core().open_tree(name)?))
    }

    /// A new, empty tree of this name. The creation is as durable as a write.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::TreeExists`], [`Error::ReadOnly`], and every error of a write.
    ///
    /// # Examples
    ///
    /// See [`open_tree`](Self::open_tree).
    pub fn create_tree(&self, name: &str) -> Result<Tree<D>, Error> {
        Ok(Tree::new(&self.lease, self.lease.core().create_tree(name)?))
    }

    /// Gives the tree `from` the name `to`. Handles of the tree stay valid. The change is one
    /// record of the log, and as durable as a write.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`] for `from`, [`Error::TreeExists`] for `to`,
    /// [`Error::DefaultTree`], [`Error::ReadOnly`], and every error of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let users = db.create_tree("users.new")?;
    /// users.put(b"1", b"alice")?;
    /// db.rename_tree("users.new", "users")?;
    /// assert_eq!(users.name()?, "users");
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_tree(&self, from: &str, to: &str) -> Result<(), Error> {
        self.lease.core().rename_tree(from, to)
    }

    /// Drops the tree of this name with all that it holds, in the time of a descent. Its memory is given
    /// back in the background, its space on disk after the next checkpoint. Handles of it get
    /// [`Error::TreeDropped`] from now on. The change is one record of the log, and as durable as a
    /// write.
    ///
    /// It works in a database that is full, too: then its frames are freed at once, and writers of all
    /// trees wait as long as that takes.
    ///
    /// # Errors
    ///
    /// [`Error::TreeName`], [`Error::NoSuchTree`], [`Error::DefaultTree`], [`Error::ReadOnly`],
    /// and every error of a write. [`Error::Tree`] for damage in the tree's frames: the tree is
    /// gone then, and a part of its memory stays taken until the next opening.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let scratch = db.create_tree("scratch")?;
    /// db.drop_tree("scratch")?;
    /// assert!(matches!(scratch.get(b"key"), Err(holt_engine::Error::TreeDropped)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_tree(&self, name: &str) -> Result<(), Error> {
        self.lease.core().drop_tree(name)
    }

    /// The names of all trees, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn tree_names(&self) -> Result<Vec<String>, Error> {
        self.lease.core().check_open()?;
        Ok(self.lease.core().catalog.names())
    }

    /// The name of the tree with this [id](Tree::id); none if there is no such tree any more.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let users = db.tree("users")?;
    /// assert_eq!(db.tree_name(users.id())?.as_deref(), Some("users"));
    /// db.drop_tree("users")?;
    /// assert_eq!(db.tree_name(users.id())?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tree_name(&self, id: u64) -> Result<Option<String>, Error> {
        self.lease.core().check_open()?;
        Ok(self.lease.core().catalog.by_id(id).map(|named| named.name()))
    }
}
