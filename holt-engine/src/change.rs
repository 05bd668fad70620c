//! What a feed tells of: changes, and the operations that they are made of.

use holt_art::Version;
use holt_codec::{Batch, Op, Record};

use crate::error::Error;
use crate::replay;

/// Something that happened to a database as a whole: one operation, or all of a batch. What a
/// [`Feed`](crate::Feed) hands out.
///
/// # Examples
///
/// See [`Db::changes`](crate::Db::changes).
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// use holt_engine::{Change, Effect};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let db = holt_engine::Db::open(directory.path())?;
/// let tree = db.create_tree("files")?;
/// let before = db.last_version()?;
/// db.atomic(|batch| {
///     batch.put(&tree, b"a", b"1")?;
///     batch.delete(&tree, b"b")
/// })?;
/// db.sync()?;
/// // A batch is one change of several operations.
/// let change: Change = db.changes(Some(before)).open()?.next().transpose()?.expect("the batch");
/// assert!(change.version() > before);
/// let [put, delete] = change.operations() else { panic!("two operations") };
/// assert_eq!((put.tree, put.version), (tree.id(), change.version()));
/// assert_eq!(delete.effect, Effect::Delete { key: b"b".to_vec() });
/// assert_eq!(change.into_operations().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    version: Version,
    operations: Vec<Operation>,
}

impl Change {
    /// The version of the change: that of its first operation. A feed that is opened after it goes
    /// on behind the change.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The operations, in the order in which they took effect; at least one. Of a batch a feed with
    /// a filter shows those that touch what it is filtered by.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations, to keep.
    #[must_use]
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }
}

/// One operation of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// Its version: that of a record that it put.
    pub version: Version,
    /// The [id](crate::Tree::id) of the tree; [`Db::tree_name`](crate::Db::tree_name) has its name.
    pub tree: u64,
    /// What it did.
    pub effect: Effect,
}

/// What an [`Operation`] did. Conditions and guards held when it was made, so none is here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The key has this value from now on.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The whole new value.
        value: Vec<u8>,
    },
    /// The key is gone. In a batch it may not have been there.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
    /// The value of `from` is that of `to` from now on, whatever `to` had, and `from` is gone.
    Rename {
        /// The key that is gone.
        from: Vec<u8>,
        /// The key that has its value.
        to: Vec<u8>,
    },
    /// Every key that began with `from` begins with `to` instead.
    RenamePrefix {
        /// The prefix that no key has any more.
        from: Vec<u8>,
        /// The prefix that they have.
        to: Vec<u8>,
        /// Whether what began with `to` before is gone. Otherwise nothing did.
        replace: bool,
    },
    /// Every key that began with the prefix is gone.
    DeletePrefix {
        /// The prefix; empty for all keys of the tree.
        prefix: Vec<u8>,
    },
    /// The tree was created, and is empty.
    CreateTree {
        /// Its name.
        name: String,
    },
    /// The tree is gone with all that it held. Its id is never given again.
    DropTree,
    /// The tree has another name.
    RenameTree {
        /// The new name.
        name: String,
    },
}

/// What a feed shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Trees and prefixes in them; everything if there is none.
    parts: Vec<(u64, Vec<u8>)>,
}

impl Filter {
    pub(crate) fn add(&mut self, tree: u64, prefix: &[u8]) {
        self.parts.push((tree, prefix.to_vec()));
    }

    /// Whether something that happened to a whole tree is shown.
    fn shows_tree(&self, tree: u64) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|(shown, _)| *shown == tree)
    }

    /// Whether an operation touches anything that is shown.
    fn shows(&self, op: &Op<'_>) -> bool {
        self.parts.is_empty()
            || self.parts.iter().any(|(tree, prefix)| {
                *tree == op.tree()
                    && match *op {
                        Op::Put { key, .. } | Op::Delete { key, .. } => key.starts_with(prefix),
                        Op::Rename { from, to, .. } => {
                            from.starts_with(prefix) || to.starts_with(prefix)
                        }
                        Op::RenamePrefix { from, to, .. } => meet(from, prefix) || meet(to, prefix),
                        Op::DeletePrefix { prefix: gone, .. } => meet(gone, prefix),
                        // Shown rather than missed.
                        _ => true,
                    }
            })
    }
}

/// Whether a key may begin with both.
fn meet(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The change that the record at `address` stands for; none if the filter shows nothing of it.
///
/// # Errors
///
/// [`Error::UnknownRecord`] for one of a kind that this version does not write, [`Error::Damaged`].
pub(crate) fn of_record(
    address: u64,
    record: Record<'_>,
    filter: &Filter,
) -> Result<Option<Change>, Error> {
    let version = replay::version(address)?;
    let unknown = || Error::UnknownRecord { address };
    let of_tree = |tree, effect: Effect| {
        let operations = filter.shows_tree(tree).then_some(Operation { version, tree, effect });
        Ok(operations.into_iter().collect())
    };
    let operations: Result<Vec<_>, Error> = match record {
        Record::Op(op) => match filter.shows(&op) {
            true => Ok(vec![operation(version, &op).ok_or_else(unknown)?]),
            false => Ok(Vec::new()),
        },
        Record::Batch(batch) => of_batch(address, version, &batch, filter),
        Record::CreateTree { tree, name } => {
            of_tree(tree, Effect::CreateTree { name: text(address, name)? })
        }
        Record::RenameTree { tree, name } => {
            of_tree(tree, Effect::RenameTree { name: text(address, name)? })
        }
        Record::DropTree { tree } => of_tree(tree, Effect::DropTree),
        _ => Err(unknown()),
    };
    let operations = operations?;
    Ok((!operations.is_empty()).then_some(Change { version, operations }))
}

fn of_batch(
    address: u64,
    first: Version,
    batch: &Batch<'_>,
    filter: &Filter,
) -> Result<Vec<Operation>, Error> {
    let mut operations = Vec::new();
    for (number, op) in (0..).zip(batch.ops()) {
        let op = op?;
        if filter.shows(&op) {
            let version = Version::new(first.get() + number).unwrap_or(first);
            let operation = operation(version, &op);
            operations.push(operation.ok_or(Error::UnknownRecord { address })?);
        }
    }
    Ok(operations)
}

fn operation(version: Version, op: &Op<'_>) -> Option<Operation> {
    let effect = match *op {
        Op::Put { key, value, .. } => Effect::Put { key: key.to_vec(), value: value.to_vec() },
        Op::Delete { key, .. } => Effect::Delete { key: key.to_vec() },
        Op::Rename { from, to, .. } => Effect::Rename { from: from.to_vec(), to: to.to_vec() },
        Op::RenamePrefix { from, to, replace, .. } => {
            Effect::RenamePrefix { from: from.to_vec(), to: to.to_vec(), replace }
        }
        Op::DeletePrefix { prefix, .. } => Effect::DeletePrefix { prefix: prefix.to_vec() },
        _ => return None,
    };
    Some(Operation { version, tree: op.tree(), effect })
}

fn text(address: u64, name: &[u8]) -> Result<String, Error> {
    let name = std::str::from_utf8(name).map(str::to_owned);
    name.map_err(|_| Error::Damaged {
        place: format!("log, record at address {address}"),
        what: "gives an impossible name".to_owned(),
    })
}
