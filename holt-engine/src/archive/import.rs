//! Reading an archive into trees, all of it or nothing.
//!
//! # How it stays all or nothing
//!
//! What is read goes into *staged* trees, under names that nobody else uses, and a list of them is kept in a tree of its own,
//! [`LIST`]. Only when the archive has ended, and all of it was whole, the list gets its *mark*: one write, with which the import has
//! happened. Then the staged trees get their names, or what they hold is put into the trees that there are.
//!
//! | the list is | an import ended by an error, and opening after a crash, |
//! |---|---|
//! | not there | do nothing |
//! | there, without the mark | drop the staged trees, then the list |
//! | there, with the mark | finish: what is named or put already is so once more, to no effect |

use std::io::Read;

use holt_art::Version;
use holt_codec::{ArchiveReader, Op, Record};
use holt_journal::disk::Disk;

use super::load::{text, wrong};
use crate::catalog::{DEFAULT_NAME, check_name};
use crate::db::Db;
use crate::error::Error;
use crate::options::Durability;
use crate::tree::Tree;

/// Name of the tree that lists the staged ones.
const LIST: &str = "holt.import";
/// Key in it of the mark that the import has happened.
const MARK: &[u8] = b"mark";
/// What the keys in it of the staged trees begin with; their values are the names that they will have.
const STAGED: &[u8] = b"tree/";

/// Bytes of keys and values that are put together into a tree that is there.
const TOGETHER: usize = 1 << 20;

/// Keys that are removed at a time where there is no room to drop a tree as a whole.
const AT_ONCE: u64 = 256;

/// How an archive is read into a database.
///
/// # Examples
///
/// See [`Db::import`].
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use holt_engine::{Db, ImportOptions, Imported};
///
/// let (from, to) = (Db::in_memory()?, Db::in_memory()?);
/// from.default_tree().put(b"a", b"new")?;
/// to.default_tree().put(b"b", b"old")?;
/// let mut archive = Vec::new();
/// from.snapshot()?.export().write_to(&mut archive)?;
/// // What is there is not replaced unless that is asked for.
/// assert!(to.import(&archive[..], &ImportOptions::new()).is_err());
/// let imported: Imported = to.import(&archive[..], ImportOptions::new().merge(true))?;
/// assert_eq!(imported.records, 1);
/// assert_eq!(to.default_tree().len()?, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    merge: bool,
}

impl ImportOptions {
    /// Only into trees that are not there yet.
    #[must_use]
    pub fn new() -> ImportOptions {
        ImportOptions::default()
    }

    /// Puts what the archive has into trees that are there, too: in place of the values that their
    /// keys may have, and beside all other keys. Off by default.
    pub fn merge(&mut self, merge: bool) -> &mut ImportOptions {
        self.merge = merge;
        self
    }
}

/// An archive that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Trees in it.
    pub trees: u64,
    /// Records in it.
    pub records: u64,
    /// The version up to which everything is in it, of the database that it was written from.
    pub version: Version,
}

/// See [`Db::import`].
pub(crate) fn import<D: Disk>(
    db: &Db<D>,
    from: impl Read,
    options: &ImportOptions,
) -> Result<Imported, Error> {
    db.core().log()?;
    let mut reader = ArchiveReader::new(from)?;
    let header = reader.header();
    if header.is_of_changes() {
        return Err(wrong("it holds changes and no state".to_owned()));
    }
    let version = Version::new(header.up_to);
    let version = version.ok_or_else(|| wrong("it is of an impossible version".to_owned()))?;
    let staging = Staging::begin(db)?;
    let mut trees = 0;
    let finished = stage(&staging, &mut reader, options, &mut trees)
        .and_then(|()| staging.finish(options.merge));
    if let Err(error) = finished {
        // With the mark it has happened, and what failed then is tried once more. If that fails as well, as when
        // the log takes nothing any more, opening the database does it.
        let marked = staging.list.contains(MARK)?;
        let settled = settle(db);
        if !marked || settled.is_err() {
            return Err(error);
        }
    }
    Ok(Imported { trees, records: reader.records() - trees, version })
}

/// Reads an archive into staged trees, and counts them.
fn stage<D: Disk, R: Read>(
    staging: &Staging<'_, D>,
    reader: &mut ArchiveReader<R>,
    options: &ImportOptions,
    trees: &mut u64,
) -> Result<(), Error> {
    let mut last: Option<(u64, Tree<D>)> = None;
    while let Some(archived) = reader.next_record()? {
        match (archived.record, &last) {
            (Record::CreateTree { tree, name }, _) => {
                let name = text(name)?;
                check_name(name)?;
                staging.check_possible(name)?;
                if !options.merge {
                    staging.check_new(name)?;
                }
                last = Some((tree, staging.add(*trees, name)?));
                *trees += 1;
            }
            (Record::Op(Op::Put { tree, key, value }), Some((id, staged))) if tree == *id => {
                staged.put_with(key, value, Durability::Buffered)?;
            }
            _ => return Err(wrong("it is not a state, tree by tree".to_owned())),
        }
    }
    Ok(())
}

/// Ends an import that was under way when the database was closed or its process ended.
///
/// # Errors
///
/// Every error of a write.
pub(crate) fn settle<D: Disk>(db: &Db<D>) -> Result<(), Error> {
    match db.open_tree(LIST) {
        Ok(list) => {
            let staging = Staging { db, list };
            match staging.list.contains(MARK)? {
                true => staging.carry_out(),
                false => staging.clear(),
            }
        }
        Err(Error::NoSuchTree { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The staged trees of an import.
struct Staging<'a, D: Disk> {
    db: &'a Db<D>,
    list: Tree<D>,
}

impl<'a, D: Disk> Staging<'a, D> {
    fn begin(db: &'a Db<D>) -> Result<Staging<'a, D>, Error> {
        let list = db.create_tree(LIST).map_err(|error| match error {
            Error::TreeExists { .. } => Error::Importing,
            error => error,
        })?;
        Ok(Staging { db, list })
    }

    /// A new staged tree that will have this name.
    fn add(&self, number: u64, name: &str) -> Result<Tree<D>, Error> {
        let key = [STAGED, format!("{number:08}").as_bytes()].concat();
        self.list.put_with(&key, name.as_bytes(), Durability::Buffered)?;
        self.db.create_tree(&format!("{LIST}.{number:08}"))
    }

    /// The names of all staged trees, and those that they will have.
    fn all(&self) -> Result<Vec<(String, String)>, Error> {
        let mut all = Vec::new();
        for entry in self.list.prefix(STAGED) {
            let Some((key, value)) = entry?.into_record() else { continue };
            let number = String::from_utf8_lossy(&key[STAGED.len()..]).into_owned();
            let name = String::from_utf8_lossy(&value).into_owned();
            all.push((format!("{LIST}.{number}"), name));
        }
        Ok(all)
    }

    /// # Errors
    ///
    /// [`Error::WrongArchive`] for the name of a staged tree, or one that comes twice.
    fn check_possible(&self, name: &str) -> Result<(), Error> {
        if name.starts_with(LIST) || self.all()?.iter().any(|(_, known)| known == name) {
            return Err(wrong(format!("it has a tree {name:?} that it cannot have")));
        }
        Ok(())
    }

    /// # Errors
    ///
    /// [`Error::TreeExists`] for what is no new tree, nor the default one while it is empty.
    fn check_new(&self, name: &str) -> Result<(), Error> {
        match self.db.open_tree(name) {
            Err(Error::NoSuchTree { .. }) => Ok(()),
            Ok(tree) if name == DEFAULT_NAME && tree.is_empty()? => Ok(()),
            Ok(_) => Err(Error::TreeExists { name: name.to_owned() }),
            Err(error) => Err(error),
        }
    }

    /// The archive was whole: makes the import happen.
    fn finish(&self, merge: bool) -> Result<(), Error> {
        {
            // Nobody gives a name between the look at it and the mark.
            let _alone = self.db.core().catalog.changing();
            if !merge {
                self.all()?.iter().try_for_each(|(_, name)| self.check_new(name))?;
            }
            self.list.put(MARK, b"")?;
            for (staged, name) in self.all()? {
                if self.db.core().catalog.by_name(&name).is_none() {
                    self.db.core().rename_alone(&staged, &name)?;
                }
            }
        }
        self.carry_out()
    }

    /// Makes of the staged trees what they are to be; all of it may have been done already.
    fn carry_out(&self) -> Result<(), Error> {
        for (staged, name) in self.all()? {
            let tree = match self.db.open_tree(&staged) {
                Ok(tree) => tree,
                Err(Error::NoSuchTree { .. }) => continue,
                Err(error) => return Err(error),
            };
            match self.db.open_tree(&name) {
                Ok(target) => put_all(self.db, &tree, &target)?,
                Err(Error::NoSuchTree { .. }) => self.db.rename_tree(&staged, &name)?,
                Err(error) => return Err(error),
            }
        }
        self.clear()
    }

    /// Drops what is left of the staged trees, and the list last.
    fn clear(&self) -> Result<(), Error> {
        for (staged, _) in self.all()? {
            self.discard(&staged)?;
        }
        self.discard(LIST)
    }

    /// Drops a tree, if it is there.
    fn discard(&self, name: &str) -> Result<(), Error> {
        loop {
            match self.db.drop_tree(name) {
                Ok(()) | Err(Error::NoSuchTree { .. }) => return Ok(()),
                // To drop a tree takes a frame or two, to remove keys one by one takes none.
                Err(Error::Tree(holt_art::Error::PoolFull { .. })) => {
                    let tree = self.db.open_tree(name)?;
                    let keys = tree.scan().keys_only().limit(AT_ONCE).into_iter();
                    let keys = keys.map(|entry| Ok(entry?.into_name()));
                    let keys = keys.collect::<Result<Vec<_>, Error>>()?;
                    if keys.is_empty() {
                        return self.db.drop_tree(name);
                    }
                    for key in &keys {
                        tree.delete_with(key, Durability::Buffered)?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Puts all records of one tree into another.
fn put_all<D: Disk>(db: &Db<D>, from: &Tree<D>, to: &Tree<D>) -> Result<(), Error> {
    let mut entries = from.scan().into_iter().peekable();
    while entries.peek().is_some() {
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < TOGETHER
            && let Some(entry) = entries.next()
        {
            let Some((key, value)) = entry?.into_record() else { continue };
            bytes += key.len() + value.len();
            records.push((key, value));
        }
        db.atomic_with(Durability::Buffered, |batch| {
            records.iter().try_for_each(|(key, value)| batch.put(to, key, value))
        })?;
    }
    Ok(())
}
