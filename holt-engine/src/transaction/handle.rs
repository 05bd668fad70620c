//! A transaction as whoever fills it sees it, and how often it is tried.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use holt_journal::disk::{Disk, RealDisk};

use super::shared::{End, Shared};
use crate::core::{Lease, check_key, check_value};
use crate::error::Error;
use crate::options::Durability;
use crate::range::KeyRange;
use crate::scan::Scan;
use crate::source::Source;
use crate::sync::{Arc, random, sleep, yield_now};
use crate::tree::Tree;

/// Reads and writes that happen at one moment or not at all: what
/// [`Db::transact`](crate::Db::transact) hands out.
///
/// - Reads are those of one moment, the same for all trees, and see what the transaction itself has
///   written before. Lists do, too; of such a record they tell the version
///   [`Version::MAX`](crate::Version::MAX), which no write gets.
/// - Writes are kept back until the closure has returned.
///
/// It is of use only while the closure runs. A list that is taken out of it gives
/// [`Error::TransactionOver`].
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let db = holt_engine::Db::in_memory()?;
/// // Books a room for a day, if it is free from the day before to the day after.
/// let bookings = db.tree("bookings")?;
/// let book = |day: u8| {
///     db.transact(|tx| {
///         let mut near = tx.range(&bookings, [day - 1]..=[day + 1]).into_iter();
///         if near.next().transpose()?.is_some() {
///             return Ok(false);
///         }
///         tx.put(&bookings, &[day], b"alice")?;
///         assert!(tx.contains(&bookings, &[day])?);
///         Ok(true)
///     })
/// };
/// assert!(book(10)? && !book(11)? && book(12)?);
/// # Ok(())
/// # }
/// ```
pub struct Transaction<D: Disk = RealDisk> {
    pub(super) shared: Arc<Shared<D>>,
}

impl<D: Disk> Transaction<D> {
    /// How often [`Db::transact`](crate::Db::transact) tries.
    pub const ATTEMPTS: u32 = 100;

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::TreeDropped`], [`Error::Closed`], [`Error::OtherDatabase`],
    /// [`Error::Tree`] for damage; [`Error::Conflict`] for a tree that is younger than the moment that
    /// is read, whereupon the transaction is tried again whatever the closure returns.
    pub fn get(&self, tree: &Tree<D>, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        check_key(key)?;
        let own = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        self.shared.read(tree, key, own, |past, key| Ok(past.get_with_version(key)?.unzip()))
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, tree: &Tree<D>, key: &[u8]) -> Result<bool, Error> {
        check_key(key)?;
        let own = |value: Option<&[u8]>| value.is_some();
        self.shared.read(tree, key, own, |past, key| {
            let version = past.version(key)?;
            Ok((version.is_some(), version))
        })
    }

    /// Gives `key` the value `value`, in place of the one that it may have.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::ValueTooLong`], [`Error::TreeDropped`],
    /// [`Error::OtherDatabase`], [`Error::ReadOnly`], [`Error::Closed`].
    pub fn put(&self, tree: &Tree<D>, key: &[u8], value: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        check_value(value)?;
        self.shared.write(tree, key, Some(value.to_vec()))
    }

    /// Removes `key` and its value, if it is there.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete(&self, tree: &Tree<D>, key: &[u8]) -> Result<(), Error> {
        check_key(key)?;
        self.shared.write(tree, key, None)
    }

    /// All keys, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let db = holt_engine::Db::in_memory()?;
    /// # let queue = db.default_tree();
    /// for job in ["1", "2", "3"] {
    ///     queue.put(job.as_bytes(), b"")?;
    /// }
    /// // Takes the first job; nobody else gets the same.
    /// let job = db.transact(|tx| {
    ///     let first = tx.scan(&queue).keys_only().into_iter().next().transpose()?;
    ///     let Some(job) = first.map(holt_engine::Entry::into_name) else { return Ok(None) };
    ///     tx.delete(&queue, &job)?;
    ///     Ok(Some(job))
    /// })?;
    /// assert_eq!(job, Some(b"1".to_vec()));
    /// assert_eq!(queue.len()?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scan<'h>(&self, tree: &'h Tree<D>) -> Scan<'h, D> {
        self.prefix(tree, [])
    }

    /// The keys that begin with `prefix`, in order, `prefix` itself among them.
    ///
    /// # Examples
    ///
    /// See [`scan`](Self::scan).
    pub fn prefix<'h>(&self, tree: &'h Tree<D>, prefix: impl AsRef<[u8]>) -> Scan<'h, D> {
        let (source, refused) = self.source(tree);
        Scan::prefix(source, prefix.as_ref()).requires(refused)
    }

    /// The keys of a range, in order.
    ///
    /// # Examples
    ///
    /// See [`scan`](Self::scan).
    pub fn range<'h>(&self, tree: &'h Tree<D>, range: impl KeyRange) -> Scan<'h, D> {
        let (source, refused) = self.source(tree);
        Scan::range(source, range.into_bounds()).requires(refused)
    }

    fn source<'h>(&self, tree: &'h Tree<D>) -> (Source<'h, D>, Result<(), Error>) {
        match self.shared.reader(tree) {
            Ok(reader) => (Source::Transaction(reader), Ok(())),
            Err(error) => (Source::Live(Cow::Borrowed(tree)), Err(error)),
        }
    }
}

impl<D: Disk> fmt::Debug for Transaction<D> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Transaction").finish_non_exhaustive()
    }
}

/// How often others may write while room is made for a commit. From then on a commit persists: it keeps what
/// it has read until it is over, and so can always tell what has changed.
const OVERTAKEN: u32 = 8;

/// See [`Db::transact_with`](crate::Db::transact_with).
pub(crate) fn transact<D: Disk, R>(
    lease: &Arc<Lease<D>>,
    durability: Durability,
    attempts: u32,
    mut run: impl FnMut(&Transaction<D>) -> Result<R, Error>,
) -> Result<R, Error> {
    let attempts = attempts.max(1);
    let (mut attempt, mut overtaken) = (0, 0);
    while attempt < attempts {
        lease.core().check_open()?;
        let transaction = Transaction { shared: Shared::new(lease) };
        let outcome = run(&transaction);
        let (stale, ended) = transaction.shared.end();
        if !stale {
            let value = outcome?;
            match transaction.shared.commit(ended, durability, overtaken >= OVERTAKEN)? {
                End::Done => return Ok(value),
                // Nobody was in its way that is known of, so that does not count.
                End::Overtaken => {
                    overtaken += 1;
                    continue;
                }
                End::Changed => {}
            }
        }
        attempt += 1;
        if attempt < attempts {
            pause(attempt - 1);
        }
    }
    Err(Error::Conflict { attempts })
}

/// Lets others go first, for longer the more often it was in vain, and by chance, so that two that
/// are in each other's way do not stay so.
fn pause(attempt: u32) {
    match attempt {
        0..2 => yield_now(),
        _ => {
            let longest = 10_u64 << attempt.min(8);
            sleep(Duration::from_micros(random() % longest));
        }
    }
}
