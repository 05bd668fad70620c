//! Snapshots: pins for whoever wants to read the past, and how pins come and go.

use std::sync::Arc;

use super::Pool;
use super::books::Books;
use super::gate::Closed;
use super::kept::Item;
use super::past::{Memo, Past};
use crate::sync::{MutexGuard, lock};

/// Things that a pin lets go of with the books' mutex held at a time.
const AT_A_TIME: usize = 1024;

/// All trees of a pool as they were at one moment, for reading.
///
/// Taking one costs the same whatever the pool holds, and any number may be open, beside
/// one [`Cut`](crate::Cut). Clones are the same snapshot. What writers change meanwhile is kept
/// once more, a frame at a time: a snapshot that is held for long keeps at most as much
/// memory as the pool had when it was taken. When its last clone goes, what only it needed
/// is free; that costs by what was kept.
///
/// # Examples
///
/// ```
/// use holt_art::{Condition, Pool, PoolOptions, Version};
///
/// let pool = Pool::new(PoolOptions::default())?;
/// let tree = pool.create_tree(&pool.enter())?;
/// let put = |value: &[u8], number| {
///     let version = || Version::new(number).unwrap();
///     tree.put(&pool.enter(), b"k", value, Condition::Always, version)
/// };
/// put(b"old", 1)?;
/// let snapshot = pool.snapshot(&pool.close_gate());
/// put(b"new", 2)?;
/// let before = snapshot.tree(tree.root())?;
/// assert_eq!(before.get(b"k", |value, _| value.to_vec())?, Some(b"old".to_vec()));
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Pinned>);

/// An epoch that stays pinned until this is dropped.
#[derive(Debug)]
struct Pinned {
    pool: Arc<Pool>,
    epoch: u64,
    memo: Memo,
}

impl Pool {
    /// Takes a snapshot. Proof that the gate is closed makes it a moment in which no
    /// mutation is under way.
    pub fn snapshot(self: &Arc<Self>, closed: &Closed<'_>) -> Snapshot {
        let epoch = self.pin(closed);
        Snapshot(Arc::new(Pinned { pool: Arc::clone(self), epoch, memo: Memo::new() }))
    }

    /// Begins the next epoch and pins the one that ends, until [`Pool::unpin`].
    pub(crate) fn pin(&self, _closed: &Closed<'_>) -> u64 {
        let mut books = lock(&self.books);
        let epoch = self.pins.advance();
        self.add_pin(&mut books, epoch, None);
        epoch
    }

    /// Frees what only this pin needed.
    pub(crate) fn unpin(&self, epoch: u64) {
        self.drop_pin(lock(&self.books), epoch);
    }

    pub(super) fn add_pin(&self, books: &mut Books, epoch: u64, floor: Option<u64>) {
        books.kept.add(epoch, floor);
        let (newest, snapshot) = books.kept.newest();
        self.pins.publish(newest, snapshot);
    }

    pub(super) fn drop_pin<'p>(&'p self, mut books: MutexGuard<'p, Books>, epoch: u64) {
        let items = books.kept.remove(epoch);
        let (newest, snapshot) = books.kept.newest();
        self.pins.publish(newest, snapshot);
        drop(books);
        // A piece at a time, as writers who want a slot wait meanwhile.
        for items in items.chunks(AT_A_TIME) {
            let mut books = lock(&self.books);
            let free = books.kept.leave(items);
            self.let_go(&mut books, free);
        }
    }

    /// Gives back what no pin needs any more.
    pub(super) fn let_go(&self, books: &mut Books, free: impl IntoIterator<Item = Item>) {
        for item in free {
            match item.slot {
                0 => self.blobs.release(item.number),
                // Else who is at it gives it back.
                slot if self.pieces_of(item.number).give_up(slot) => books.give_slot(slot),
                _ => {}
            }
        }
        self.note_copies(books);
    }
}

impl Snapshot {
    /// The pool of which this is a snapshot.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Pool, PoolOptions};
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let snapshot = pool.snapshot(&pool.close_gate());
    /// assert!(std::sync::Arc::ptr_eq(snapshot.pool(), &pool));
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }

    pub(crate) fn past(&self) -> Past<'_> {
        Past::new(&self.0.pool, self.0.epoch, Some(&self.0.memo))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.pool.unpin(self.epoch);
    }
}
