//! Cursors: lists that own what they need and go on whatever writers do.

use std::ops::{Bound, ControlFlow, Deref};
use std::sync::Arc;

use super::Tree;
use super::entry::{Entry, EntryRef};
use super::room::{Memory, Room};
use super::scan::{Name, Scan, advance};
use super::source::Source;
use super::walker::{Limits, Walked, Walker, Way};
use crate::error::Error;
use crate::pool::Pool;
use crate::pool::blobs::BLOB_OBJECT;

/// Names in the first batch of a cursor; each following one is twice as large.
const FIRST_BATCH: usize = 32;
/// Names in the largest batch.
const LARGEST_BATCH: usize = 512;
/// Bytes after which a batch takes no more names.
const BATCH_BYTES: usize = 256 << 10;
/// Attempts without progress before a walk takes latches.
const ATTEMPTS: u32 = 32;
/// A list with fewer names to come is too short for reading ahead.
const SHORT: u64 = 128;
/// Most frames that are read ahead.
const MOST_AHEAD: usize = 16;

/// An ordered list of a tree's keys, from [`Tree::cursor`].
///
/// A key that exists throughout the list is given exactly once; one that is put or
/// removed meanwhile may be given or not. Names are read ahead in batches, each from one
/// or more consistent states of frames; a batch never contains a value that was mixed
/// from two writes.
///
/// All of a list lies on one side of every *move* (see [`Pool::start_move`]): one that begins
/// after the list's first batch was read does not show in it. For that, what a move and all
/// later mutations change is kept once more until the list ends or is dropped: a cursor that
/// is held for long keeps memory, as a [`Snapshot`](crate::Snapshot) does. A list that fits
/// its first batch keeps nothing.
///
/// [`Pool::start_move`]: crate::Pool::start_move
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow;
/// use holt_art::{Art, Cursor, Scan};
///
/// let map = Art::new()?;
/// for key in [b"a", b"b", b"c"] {
///     map.put(key, b"value")?;
/// }
/// // An iterator that owns what it gives, or lends it, or hands it to a visitor.
/// let mut cursor: Cursor = map.scan(Scan::all());
/// assert_eq!(cursor.next().transpose()?.unwrap().name(), b"a");
/// assert!(cursor.next_ref()?.is_some());
/// let last = cursor.visit(|entry| ControlFlow::Break(entry.to_owned().into_name()))?;
/// assert_eq!(last, ControlFlow::Break(b"c".to_vec()));
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Debug)]
pub struct Cursor(Listing<Arc<Pool>>);

/// A list on its way.
#[derive(Debug)]
struct Listing<P: Deref<Target = Pool>> {
    source: Source<P>,
    scan: Scan,
    from: From,
    room: Room,
    position: usize,
    /// Names in the next batch.
    size: usize,
    /// Names that may still be read.
    left: u64,
    /// Frames to be read ahead at the next one that is absent: more at each.
    ahead: usize,
    /// Absent values to come of which the source knows.
    announced: usize,
}

/// Where the next batch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    /// At the near end of the range.
    Near,
    /// At the name kept.
    At,
    /// Behind the name kept, in the scan's direction.
    Behind,
    /// Nowhere: there is none.
    End,
}

impl Tree {
    /// Lists what `scan` asks for.
    ///
    /// # Examples
    ///
    /// See [`Scan`].
    pub fn cursor(&self, scan: Scan) -> Cursor {
        Cursor::new(Source::live(self), scan)
    }

    /// Calls `visit` with one entry after the other of what `scan` asks for, until it breaks or the list ends. As
    /// [`Cursor::visit`], and quicker for a short list, which keeps nothing of its own.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    ///
    /// # Examples
    ///
    /// See [`Art::visit`](crate::Art::visit).
    #[inline]
    pub fn visit<B>(
        &self,
        scan: Scan,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        Listing::new(Source::lent(self), scan).visit(visit)
    }

    /// The first record whose key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn first(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        self.cursor(Scan::prefix(prefix).limit(1)).next().transpose()
    }

    /// The last record whose key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, Error> {
        self.cursor(Scan::prefix(prefix).reverse(true).limit(1)).next().transpose()
    }
}

impl Cursor {
    pub(super) fn new(source: Source<Arc<Pool>>, scan: Scan) -> Self {
        Self(Listing::new(source, scan))
    }

    /// Calls `visit` with one entry after the other until it breaks or the list ends.
    /// Entries are borrowed from the cursor, so nothing is allocated for them.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    pub fn visit<B>(
        &mut self,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        self.0.visit(visit)
    }

    /// The next entry, borrowed from the cursor.
    ///
    /// # Errors
    ///
    /// As [`Tree::get`].
    #[inline]
    pub fn next_ref(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        if !self.0.ready()? {
            return Ok(None);
        }
        let batch = &self.0.room.batch;
        let item = &batch.items()[self.0.position];
        self.0.position += 1;
        Ok(Some(item.entry(batch.bytes())))
    }
}

impl<P: Deref<Target = Pool>> Listing<P> {
    #[inline]
    fn new(source: Source<P>, mut scan: Scan) -> Self {
        scan.settle();
        let from = if is_empty(&scan.lower, &scan.upper) { From::End } else { From::Near };
        let left = scan.limit;
        // With a limit the first batch is as long as the list.
        let size = if left == u64::MAX { FIRST_BATCH } else { LARGEST_BATCH };
        Self {
            source,
            scan,
            from,
            room: Room::take(),
            position: 0,
            size,
            left,
            ahead: 0,
            announced: 0,
        }
    }

    /// See [`Cursor::visit`].
    fn visit<B>(
        &mut self,
        mut visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        while self.ready()? {
            let batch = &self.room.batch;
            let (bytes, items) = (batch.bytes(), batch.items());
            while let Some(item) = items.get(self.position) {
                self.position += 1;
                if let ControlFlow::Break(value) = visit(item.entry(bytes)) {
                    return Ok(ControlFlow::Break(value));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether there is an entry; reads the next batch when the last one is used up.
    #[inline]
    fn ready(&mut self) -> Result<bool, Error> {
        if self.position == self.room.batch.count() {
            self.fill()?;
        }
        Ok(self.position < self.room.batch.count())
    }

    /// Reads the next batch; leaves it empty at the end.
    fn fill(&mut self) -> Result<(), Error> {
        self.position = 0;
        let Memory { batch, stacks, behind } = &mut *self.room;
        batch.clear();
        let mut attempts = 0;
        while self.from != From::End && self.left > 0 {
            let near = if self.scan.reverse { &self.scan.upper } else { &self.scan.lower };
            let from = match self.from {
                From::Near | From::End => near.as_ref().map(Name::as_slice),
                From::At => Bound::Included(behind.as_slice()),
                From::Behind => Bound::Excluded(behind.as_slice()),
            };
            let names = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.size);
            let ahead = if self.left < SHORT { 0 } else { self.ahead };
            let values = if self.announced > 0 { 0 } else { ahead };
            let limits = Limits { names, bytes: BATCH_BYTES, ahead, values };
            let seen = self.source.begin();
            let way = match self.source.past() {
                Some(past) => Way::Past(past),
                None if attempts >= ATTEMPTS => Way::Latched,
                None => Way::Optimistic,
            };
            let walker = Walker::new(self.source.pool(), &self.scan, way, limits, batch, stacks);
            let walked = walker.walk(self.source.root(), from);
            if !self.source.holds(seen) {
                batch.clear();
                continue;
            }
            if let Err(error) = walked {
                batch.clear();
                if matches!(error, Error::Absent { object } if object >= BLOB_OBJECT) {
                    self.announced = self.announced.checked_sub(1).unwrap_or(values);
                }
                self.source.pool().resolve(error)?;
                self.ahead = (2 * self.ahead + 1).min(MOST_AHEAD);
                continue;
            }
            let found = batch.count() as u64;
            if walked == Ok(Walked::End) || found == self.left {
                self.left -= found;
                self.finish();
                return Ok(());
            }
            if found > 0 {
                if !self.source.register(seen) {
                    batch.clear();
                    continue;
                }
                self.left -= found;
                self.go_on();
                return Ok(());
            }
            attempts += 1;
        }
        Ok(())
    }

    /// Sets where the list goes on behind the last item of the batch.
    fn go_on(&mut self) {
        let Memory { batch, behind, .. } = &mut *self.room;
        let Some(last) = batch.items().last() else { return };
        self.size = (self.size * 2).min(LARGEST_BATCH);
        behind.clear();
        behind.extend_from_slice(last.name(batch.bytes()));
        self.from = From::Behind;
        if last.group && !self.scan.reverse {
            // Backward, everything of a group is greater than its name or equal to it.
            self.from = From::At;
            // A walk does not begin behind the far end of its range.
            let left = advance(behind)
                && match &self.scan.upper {
                    Bound::Unbounded => true,
                    Bound::Included(upper) => behind.as_slice() <= upper.as_slice(),
                    Bound::Excluded(upper) => behind.as_slice() < upper.as_slice(),
                };
            if !left {
                self.finish();
            }
        }
    }

    /// Ends the list: what has been read is the last of it.
    fn finish(&mut self) {
        self.from = From::End;
        self.source.end();
    }
}

impl Iterator for Cursor {
    type Item = Result<Entry, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let list = &mut self.0;
        match list.ready() {
            Ok(_) => {
                let item = list.room.batch.items().get(list.position)?;
                list.position += 1;
                Some(Ok(item.own(list.room.batch.bytes())))
            }
            Err(error) => {
                // A fault ends the list; going on would repeat it for ever.
                list.finish();
                Some(Err(error))
            }
        }
    }
}

/// Whether a range is empty or reversed.
fn is_empty(lower: &Bound<Name>, upper: &Bound<Name>) -> bool {
    match (lower.as_ref().map(Name::as_slice), upper.as_ref().map(Name::as_slice)) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (
            Bound::Included(lower) | Bound::Excluded(lower),
            Bound::Included(upper) | Bound::Excluded(upper),
        ) => lower >= upper,
    }
}
