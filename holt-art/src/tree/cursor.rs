//! Cursors: lists that own what they need and go on whatever writers do.

use std::ops::{Bound, ControlFlow};

use super::Tree;
use super::scan::{Entry, EntryRef, Scan, successor};
use super::walker::{Batch, Item, Limits, Walked, Walker};
use crate::error::Error;

/// Names in the first batch of a cursor; each following one is twice as large.
const FIRST_BATCH: usize = 32;
/// Names in the largest batch.
const LARGEST_BATCH: usize = 512;
/// Bytes after which a batch takes no more names.
const BATCH_BYTES: usize = 256 << 10;
/// Attempts without progress before a walk takes latches.
const ATTEMPTS: u32 = 32;

/// An ordered list of a tree's keys, from [`Tree::cursor`].
///
/// A key that exists throughout the list is given exactly once; one that is put or
/// removed meanwhile may be given or not. Names are read ahead in batches, each from one
/// or more consistent states of frames; a batch never contains a value that was mixed
/// from two writes.
#[derive(Debug)]
pub struct Cursor {
    tree: Tree,
    scan: Scan,
    /// Where the next batch begins, in the scan's direction; none at the end.
    from: Option<Bound<Vec<u8>>>,
    batch: Batch,
    position: usize,
    size: usize,
}

impl Tree {
    /// Lists what `scan` asks for.
    ///
    /// # Examples
    ///
    /// See [`Scan`].
    pub fn cursor(&self, scan: Scan) -> Cursor {
        let near = if scan.reverse { &scan.upper } else { &scan.lower };
        let empty = is_empty(&scan.lower, &scan.upper);
        let from = (!empty).then(|| near.clone());
        Cursor {
            tree: self.clone(),
            scan,
            from,
            batch: Batch::default(),
            position: 0,
            size: FIRST_BATCH,
        }
    }

    /// The first record whose key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn first(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        self.cursor(Scan::prefix(prefix)).next().transpose()
    }

    /// The last record whose key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        self.cursor(Scan::prefix(prefix).reverse(true)).next().transpose()
    }
}

impl Cursor {
    /// Calls `visit` with one entry after the other until it breaks or the list ends.
    /// Entries are borrowed from the cursor, so nothing is allocated for them.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn visit<B>(
        &mut self,
        mut visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        while let Some(item) = self.advance()? {
            if let ControlFlow::Break(value) = visit(self.entry(&item)) {
                return Ok(ControlFlow::Break(value));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The next entry, borrowed from the cursor.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn next_ref(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        let item = self.advance()?;
        Ok(item.map(|item| self.entry(&item)))
    }

    fn entry(&self, item: &Item) -> EntryRef<'_> {
        let name = self.batch.name(item);
        match item.version {
            Some(version) => {
                let value = &self.batch.bytes[item.name_end..item.end];
                EntryRef::Key { key: name, value, version }
            }
            None => EntryRef::Group { name },
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<Option<Item>, Error> {
        if self.position == self.batch.items.len() {
            self.fill()?;
        }
        let item = self.batch.items.get(self.position).copied();
        self.position += usize::from(item.is_some());
        Ok(item)
    }

    /// Reads the next batch; leaves it empty at the end.
    fn fill(&mut self) -> Result<(), Error> {
        self.batch.clear();
        self.position = 0;
        let mut attempts = 0;
        while let Some(from) = &self.from {
            let limits = Limits { names: self.size, bytes: BATCH_BYTES };
            let latched = attempts >= ATTEMPTS;
            let walker = Walker::new(&self.tree.pool, &self.scan, latched, limits, &mut self.batch);
            let walked = walker.walk(self.tree.root, from);
            let walked = match walked {
                Ok(walked) => walked,
                Err(error) => {
                    self.batch.clear();
                    return Err(error);
                }
            };
            if walked == Walked::End {
                self.from = None;
                return Ok(());
            }
            if let Some(last) = self.batch.items.last() {
                self.from = behind(&self.batch, last, self.scan.reverse);
                self.size = (self.size * 2).min(LARGEST_BATCH);
                return Ok(());
            }
            attempts += 1;
        }
        Ok(())
    }
}

impl Iterator for Cursor {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_ref() {
            Ok(entry) => entry.map(|entry| Ok(entry.to_owned())),
            Err(error) => {
                // A fault ends the list; going on would repeat it for ever.
                self.from = None;
                Some(Err(error))
            }
        }
    }
}

/// Where a list goes on behind `item`.
fn behind(batch: &Batch, item: &Item, reverse: bool) -> Option<Bound<Vec<u8>>> {
    let name = batch.name(item);
    if item.version.is_none() && !reverse {
        return successor(name).map(Bound::Included);
    }
    // Backward, everything of a group is greater than its name or equal to it.
    Some(Bound::Excluded(name.to_vec()))
}

/// Whether a range is empty or reversed.
fn is_empty(lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> bool {
    match (lower, upper) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (
            Bound::Included(lower) | Bound::Excluded(lower),
            Bound::Included(upper) | Bound::Excluded(upper),
        ) => lower >= upper,
    }
}
