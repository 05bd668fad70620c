//! Several reads and writes as one: batches and transactions.

use holt_journal::disk::Disk;

use super::Db;
use crate::batch::{Applied, Batch};
use crate::error::Error;
use crate::options::Durability;
use crate::transaction::{self, Transaction};

/// # Several things together
impl<D: Disk> Db<D> {
    /// Does several things together or not at all: `fill` says what, and what must hold for it. See
    /// [`Batch`] for what a batch can have in it. Waits for the database's
    /// [durability](crate::Options::durability), if a guard fails, too.
    ///
    /// - In memory: no get sees a part of it, nor does an operation with a condition. A scan that
    ///   runs meanwhile may.
    /// - In the log and after a crash: it is one record, which counts as a whole or not at all.
    /// - If `fill` returns an error, or a guard fails, or memory runs out half-way, nothing has
    ///   changed.
    ///
    /// All other writers wait while a batch is applied. `fill` itself runs before that, once, and
    /// may do anything.
    ///
    /// # Errors
    ///
    /// What `fill` returns; [`Error::GuardFailed`]; [`Error::TreeDropped`]; every error of a
    /// [`put`](crate::Tree::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::{Error, Guard};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let (files, owners) = (db.tree("files")?, db.tree("owners")?);
    /// let applied = db.atomic(|batch| {
    ///     batch.require_absent(&files, b"report.txt")?;
    ///     batch.put(&files, b"report.txt", b"12 pages")?;
    ///     batch.put(&owners, b"alice/report.txt", b"")
    /// })?;
    /// assert_eq!(files.version(b"report.txt")?, applied.version(0));
    ///
    /// let refused = db.atomic(|batch| {
    ///     batch.delete(&owners, b"alice/report.txt")?;
    ///     batch.require_empty_prefix(&files, b"report")
    /// });
    /// let Err(Error::GuardFailed(failed)) = refused else { panic!("there is such a file") };
    /// assert_eq!((failed.number, failed.guard), (0, Guard::PrefixEmpty));
    /// assert!(owners.contains(b"alice/report.txt")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn atomic(
        &self,
        fill: impl FnOnce(&mut Batch<D>) -> Result<(), Error>,
    ) -> Result<Applied, Error> {
        self.atomic_with(self.lease.core().durability, fill)
    }

    /// As [`atomic`](Self::atomic), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`atomic`](Self::atomic).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let db = holt_engine::Db::in_memory()?;
    /// let tree = db.default_tree();
    /// db.atomic_with(Durability::Sync, |batch| {
    ///     batch.put(&tree, b"debit", b"10")?;
    ///     batch.put(&tree, b"credit", b"10")
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn atomic_with(
        &self,
        durability: Durability,
        fill: impl FnOnce(&mut Batch<D>) -> Result<(), Error>,
    ) -> Result<Applied, Error> {
        self.lease.core().log()?;
        let mut batch = Batch::new(&self.lease);
        fill(&mut batch)?;
        batch.commit(durability)
    }

    /// Runs `run`, which reads, decides and writes, as if nobody else wrote meanwhile: a transaction.
    /// What it has written happens as a whole when it returns, or not at all. See [`Transaction`].
    ///
    /// Nothing is locked while `run` runs. Before its writes are applied, what it has read is looked at
    /// once more, keys and lists as far as they were read, those too that found nothing. If others
    /// have changed it, nothing is applied, and `run` runs again, up to
    /// [`ATTEMPTS`](Transaction::ATTEMPTS) times in all. So transactions are serializable: each is as
    /// if it had happened at one moment, alone. Operations outside of transactions are such
    /// transactions of their own.
    ///
    /// Whole prefixes can be moved, removed and counted in it, too.
    ///
    /// All other writers wait while a transaction is looked over and applied; that takes as long
    /// as reading again what it has read and writing what it has written. One that has written
    /// nothing only reads a [snapshot](Self::snapshot): it is never in vain and waits for nobody.
    ///
    /// # Errors
    ///
    /// What `run` returns: nothing has changed then. [`Error::Conflict`] after the last attempt (an
    /// attempt that others have overtaken while room was made for it is repeated, and not counted),
    /// [`Error::BatchTooLong`] if what is written does not fit in one record of the log,
    /// [`Error::TreeDropped`]; every error of a [`put`](crate::Tree::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::Error;
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let accounts = db.tree("accounts")?;
    /// accounts.put(b"alice", &[10])?;
    /// accounts.put(b"bob", &[3])?;
    /// let transfer = |from: &[u8], to: &[u8], amount: u8| {
    ///     db.transact(|tx| {
    ///         let balance = |name| Ok::<_, Error>(tx.get(&accounts, name)?.map_or(0, |value| value[0]));
    ///         let (rich, poor) = (balance(from)?, balance(to)?);
    ///         let rest = rich.checked_sub(amount).ok_or(Error::Aborted("not enough".into()))?;
    ///         tx.put(&accounts, from, &[rest])?;
    ///         tx.put(&accounts, to, &[poor + amount])
    ///     })
    /// };
    /// transfer(b"alice", b"bob", 7)?;
    /// assert!(matches!(transfer(b"alice", b"bob", 7), Err(Error::Aborted(_))));
    /// assert_eq!(accounts.get(b"alice")?, Some(vec![3]));
    /// assert_eq!(accounts.get(b"bob")?, Some(vec![10]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact<R>(
        &self,
        run: impl FnMut(&Transaction<D>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.transact_with(self.lease.core().durability, Transaction::<D>::ATTEMPTS, run)
    }

    /// As [`transact`](Self::transact), waiting for `durability`, and trying `attempts` times, but
    /// at least once.
    ///
    /// # Errors
    ///
    /// As [`transact`](Self::transact).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::{Durability, Error};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// let tree = db.default_tree();
    /// let in_vain = db.transact_with(Durability::Sync, 3, |tx| {
    ///     tx.get(&tree, b"key")?;
    ///     tree.put(b"key", b"by somebody else")?;
    ///     tx.put(&tree, b"key", b"mine")
    /// });
    /// assert!(matches!(in_vain, Err(Error::Conflict { attempts: 3 })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact_with<R>(
        &self,
        durability: Durability,
        attempts: u32,
        run: impl FnMut(&Transaction<D>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        transaction::transact(&self.lease, durability, attempts, run)
    }
}
