//! What happens to whole trees: creating, finding, renaming and dropping them.
//!
//! - Each is one log record and one key of the catalogue.
//! - A tree is given out under a name once the record that gave the name is as durable as the
//!   database's writes are.
//! - A tree is dropped under the closed gate: no writer is in it, and whoever comes later finds it
//!   marked. Readers, who do not take the gate, look for the mark after they have read. What it
//!   holds goes into the trash as one subtree.

use holt_codec::{GRANULE, Record};
use holt_journal::disk::Disk;

use crate::catalog::{DEFAULT_ID, Named, check_name};
use crate::core::Core;
use crate::error::Error;
use crate::sync::Arc;

impl<D: Disk> Core<D> {
    /// The tree of this name, created if there is none.
    pub(crate) fn tree(&self, name: &str) -> Result<Arc<Named>, Error> {
        match self.open_tree(name) {
            Err(Error::NoSuchTree { .. }) => {}
            found => return found,
        }
        // Refused before the mutex is taken: a reader has nothing to wait for.
        self.log()?;
        let changing = self.catalog.changing();
        // Somebody else may have been faster.
        if let Some(named) = self.catalog.by_name(name) {
            drop(changing);
            return self.given_out(named);
        }
        self.create(name)
    }

    /// The tree of this name, which there is.
    pub(crate) fn open_tree(&self, name: &str) -> Result<Arc<Named>, Error> {
        check_name(name)?;
        self.check_open()?;
        let found = self.catalog.by_name(name);
        self.given_out(found.ok_or_else(|| Error::NoSuchTree { name: name.to_owned() })?)
    }

    /// A new tree of this name.
    pub(crate) fn create_tree(&self, name: &str) -> Result<Arc<Named>, Error> {
        check_name(name)?;
        self.log()?;
        let _alone = self.catalog.changing();
        self.check_free(name)?;
        self.create(name)
    }

    /// Gives the tree `from` the name `to`.
    pub(crate) fn rename_tree(&self, from: &str, to: &str) -> Result<(), Error> {
        check_name(from)?;
        check_name(to)?;
        self.log()?;
        let _alone = self.catalog.changing();
        self.rename_alone(from, to)
    }

    /// Gives a tree another name; the caller keeps others from changing trees.
    pub(crate) fn rename_alone(&self, from: &str, to: &str) -> Result<(), Error> {
        let named = self.changeable(from)?;
        self.check_free(to)?;
        let record = Record::RenameTree { tree: named.id, name: to.as_bytes() };
        let length = record.encoded_len()? as u64;
        self.write(&record, self.durability, |pass, sequence| {
            self.catalog.rename(pass, &named, to, || {
                let version = sequence();
                (version, version.get() * GRANULE as u64 + length)
            })
        })
    }

    /// Drops the tree of this name with all that it holds.
    pub(crate) fn drop_tree(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        self.log()?;
        let _alone = self.catalog.changing();
        let named = self.changeable(name)?;
        let record = Record::DropTree { tree: named.id };
        self.write_alone(&record, self.durability, |closed, sequence| {
            self.catalog.drop_tree(&self.pool, closed, &named, sequence)
        })?;
        self.trash.filled();
        Ok(())
    }

    /// The tree that every database has.
    pub(crate) fn default_tree(&self) -> Arc<Named> {
        self.catalog.by_id(DEFAULT_ID).expect("the default tree is not dropped")
    }

    /// Creates a tree of a name that nobody has; the caller keeps it so.
    fn create(&self, name: &str) -> Result<Arc<Named>, Error> {
        let id = self.catalog.next_id();
        let record = Record::CreateTree { tree: id, name: name.as_bytes() };
        let length = record.encoded_len()? as u64;
        self.write(&record, self.durability, |pass, sequence| {
            let tree = self.pool.create_tree(pass)?;
            let mut end = 0;
            let inserted = self.catalog.insert(pass, name, id, &tree, || {
                let version = sequence();
                end = version.get() * GRANULE as u64 + length;
                version
            });
            if let Err(error) = inserted {
                self.pool.discard_tree(pass, tree.root());
                return Err(error);
            }
            Ok(self.catalog.announce(name, id, tree, end))
        })
    }

    /// A tree that is there, once its name is as durable as the database's writes are: somebody
    /// else may have given it and be waiting still.
    fn given_out(&self, named: Arc<Named>) -> Result<Arc<Named>, Error> {
        self.observed(named.since())?;
        Ok(named)
    }

    /// The tree of this name, if it may be renamed or dropped.
    fn changeable(&self, name: &str) -> Result<Arc<Named>, Error> {
        match self.catalog.by_name(name) {
            None => Err(Error::NoSuchTree { name: name.to_owned() }),
            Some(named) if named.id == DEFAULT_ID => Err(Error::DefaultTree),
            Some(named) => Ok(named),
        }
    }

    fn check_free(&self, name: &str) -> Result<(), Error> {
        match self.catalog.by_name(name) {
            Some(_) => Err(Error::TreeExists { name: name.to_owned() }),
            None => Ok(()),
        }
    }
}
