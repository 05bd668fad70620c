//! A cut: the pool as it was at one moment, for a checkpoint to write out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pool;
use super::blobs::{BLOB_OBJECT, Copied, UNBORN};
use super::books::Books;
use super::gate::Closed;
use super::latch::NO_SLOT;
use super::pins::{Since, changed_at, slot_at};
use crate::error::Error;
use crate::frame::{FRAME_WORDS, View, saving};
use crate::sync::{Ordering, fence, lock};

/// The state of a pool at the moment when the cut was taken, as far as it differs from
/// the last committed cut.
///
/// Taking one costs the same whatever the pool holds. Writers go on meanwhile: the first
/// that touches a frame of the cut leaves an image behind. Dropping a cut without
/// [`commit`](Cut::commit) gives everything back: the next cut has it again.
///
/// # Examples
///
/// ```
/// use holt_art::{Condition, Pool, PoolOptions, Version};
///
/// let pool = Pool::new(PoolOptions::default())?;
/// let tree = pool.create_tree(&pool.enter())?;
/// let version = || Version::new(1).unwrap();
/// tree.put(&pool.enter(), b"k", b"v", Condition::Always, version)?;
///
/// // What a checkpoint writes: every object that has changed since the last one.
/// let cut = pool.cut(&pool.close_gate())?;
/// let mut images = Vec::new();
/// for object in cut.dirty() {
///     let mut image = Vec::new();
///     cut.image(object, &mut image)?;
///     images.push((object, image));
/// }
/// assert_eq!(cut.freed(), []);
/// cut.commit();
///
/// // What opening does with it.
/// let later = Pool::new(PoolOptions::default())?;
/// for (object, image) in &images {
///     later.load(*object, image)?;
/// }
/// let tree = later.open_tree(tree.root())?;
/// assert_eq!(tree.get(b"k", |value, _| value.to_vec())?, Some(b"v".to_vec()));
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Debug)]
pub struct Cut {
    pool: Arc<Pool>,
    epoch: u64,
    committed: bool,
}

impl Pool {
    /// Takes a cut. Proof that the gate is closed makes it a moment in which no
    /// mutation is under way.
    ///
    /// # Errors
    ///
    /// [`Error::CutOpen`] while an earlier cut has neither been committed nor dropped.
    pub fn cut(self: &Arc<Self>, _closed: &Closed<'_>) -> Result<Cut, Error> {
        let mut books = lock(&self.books);
        if books.cut.is_some() {
            return Err(Error::CutOpen);
        }
        let epoch = self.pins.advance();
        books.cut = Some(epoch);
        books.stored = true;
        self.add_pin(&mut books, epoch, Some(self.pins.committed()));
        drop(books);
        Ok(Cut { pool: Arc::clone(self), epoch, committed: false })
    }
}

impl Cut {
    /// Objects (frames and blobs) that have changed since the last committed cut, in
    /// ascending order.
    pub fn dirty(&self) -> Vec<u64> {
        let pool = &self.pool;
        let floor = self.floor();
        let limit = lock(&pool.books).frame_limit();
        let mut dirty: Vec<u64> = (1..limit)
            .filter(|&number| {
                let latch = pool.latch(number).expect("below the limit");
                let epoch = pool.epoch_of(number);
                // A frame that a writer has moved on since then is among the preserved images,
                // which are looked through afterwards (pool::pins, edge 3).
                changed_at(latch, epoch, floor, self.epoch)
            })
            .map(u64::from)
            .collect();
        let books = lock(&pool.books);
        let images = books.kept.images_at(self.epoch).filter(|&(_, since)| since > floor);
        dirty.extend(images.map(|(number, _)| u64::from(number)));
        // Collected before the blobs are looked at: what is let go meanwhile is not taken for a part of
        // the cut.
        let dead = dead(&books, self.epoch);
        drop(books);
        dirty.sort_unstable();
        dirty.dedup();
        let of_cut = |&number: &u32| {
            let birth = pool.blobs.birth(number);
            birth != UNBORN && birth > floor && birth <= self.epoch && !dead.contains(&number)
        };
        let unstored = pool.blobs.unstored().into_iter().filter(of_cut);
        dirty.extend(unstored.map(|number| BLOB_OBJECT | u64::from(number)));
        dirty
    }

    /// Objects that were freed since the last committed cut and do not exist at this one.
    /// Some of them may never have been part of a committed cut.
    pub fn freed(&self) -> Vec<u64> {
        let dirty = self.dirty();
        let books = lock(&self.pool.books);
        let mut freed: Vec<u64> = books
            .gone
            .iter()
            .filter(|&&(object, epoch)| {
                epoch <= self.epoch && dirty.binary_search(&object).is_err()
            })
            .map(|&(object, _)| object)
            .collect();
        drop(books);
        freed.sort_unstable();
        freed.dedup();
        freed
    }

    /// Objects that were freed by this cut or before, and whose images are still read, by snapshots: in a
    /// pool with a source they have to be found there until a later cut does not name them here. Nothing
    /// of them outlives the process.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = holt_art::Art::new()?;
    /// let pool = map.tree().pool();
    /// let cut = pool.cut(&pool.close_gate())?;
    /// assert_eq!(cut.still_read(), [], "nothing is read from a source");
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn still_read(&self) -> Vec<u64> {
        if self.pool.clock.is_none() {
            return Vec::new();
        }
        let books = lock(&self.pool.books);
        let gone = books.kept.blobs().filter(|&(_, until)| until <= self.epoch);
        let stored = gone.filter(|&(number, _)| self.pool.blobs.is_stored(number));
        stored.map(|(number, _)| BLOB_OBJECT | u64::from(number)).collect()
    }

    /// Writes the image of a dirty object into `out`, replacing what is there.
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when the object is not one of this cut.
    pub fn image(&self, object: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        let unknown = || Error::Image { object, what: "it is not part of the cut".into() };
        if let Some(number) = object.checked_sub(BLOB_OBJECT) {
            let number = u32::try_from(number).map_err(|_| unknown())?;
            let length = self.pool.blobs.length(number).ok_or_else(unknown)?;
            // A blob of the cut is immutable, and freed only after the cut.
            let copied = self.pool.blobs.read(number, length, out);
            return if copied == Copied::Done { Ok(()) } else { Err(unknown()) };
        }
        let number = u32::try_from(object).map_err(|_| unknown())?;
        let latch = self.pool.latch(number).ok_or_else(unknown)?;
        // No latch: whoever holds the latch of a frame of the cut must not wait for this copy,
        // nor this one for him.
        let epoch = self.pool.epoch_of(number);
        match slot_at(latch, epoch, self.epoch) {
            Some(NO_SLOT) => return Err(unknown()),
            Some(slot) => {
                copy(View::new(self.pool.slot_words(slot)), out);
                // Acquire: frame::pieces, edge 3. A writer who came meanwhile may have changed the frame
                // in its place.
                fence(Ordering::Acquire);
                // Relaxed: after the fence.
                if Since::of(epoch.load(Ordering::Relaxed)).epoch() <= self.epoch {
                    return Ok(());
                }
            }
            None => {}
        }
        let image = lock(&self.pool.books).kept.image(number, self.epoch).ok_or_else(unknown)?;
        let pieces = self.pool.pieces_of(number);
        if pieces.is_image(image) {
            let live = latch.slot();
            let live = (live != NO_SLOT).then(|| self.pool.slot_words(live));
            saving::read(live, self.pool.slot_words(image), pieces, out);
        } else {
            copy(View::new(self.pool.slot_words(image)), out);
        }
        Ok(())
    }

    /// Says that the cut is not asked for this object again. Writers who change it from now on need
    /// no copy for the cut, and a copy that was made for it alone is given back: memory for copies
    /// is for what the cut has not read yet.
    ///
    /// [`dirty`](Self::dirty) and [`freed`](Self::freed) are to be asked before the first such
    /// call.
    ///
    /// # Examples
    ///
    /// ```
    /// # let map = holt_art::Art::new()?;
    /// # map.put(b"k", b"v")?;
    /// let pool = map.tree().pool();
    /// let cut = pool.cut(&pool.close_gate())?;
    /// let mut image = Vec::new();
    /// for object in cut.dirty() {
    ///     cut.image(object, &mut image)?;
    ///     // … is written somewhere …
    ///     cut.done(object);
    /// }
    /// cut.commit();
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn done(&self, object: u64) {
        let (blob, number) = match object.checked_sub(BLOB_OBJECT) {
            Some(number) => (true, number),
            None => (false, object),
        };
        let Ok(number) = u32::try_from(number) else { return };
        let mut books = lock(&self.pool.books);
        let free = books.kept.done(blob, number, self.epoch);
        self.pool.let_go(&mut books, free);
    }

    /// Ends the cut after all that it gave out has become durable.
    pub fn commit(mut self) {
        self.committed = true;
    }

    /// The epoch of the last committed cut.
    fn floor(&self) -> u64 {
        self.pool.pins.committed()
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let mut books = lock(&self.pool.books);
        if self.committed {
            self.pool.pins.commit(self.epoch);
            books.gone.retain(|&(_, epoch)| epoch > self.epoch);
            books.changed.commit(self.epoch);
            self.pool.blobs.store(self.epoch, &dead(&books, self.epoch));
            self.pool.tell_pressure(&books);
        }
        books.cut = None;
        self.pool.drop_pin(books, self.epoch);
    }
}

/// Blobs that were freed before the cut at `epoch` and are kept for somebody else.
fn dead(books: &Books, epoch: u64) -> BTreeSet<u32> {
    let dead = books.kept.blobs().filter(|&(_, until)| until <= epoch);
    dead.map(|(number, _)| number).collect()
}

/// Writes the used words of a frame into `out` as little-endian bytes.
fn copy(view: View<'_>, out: &mut Vec<u8>) {
    out.clear();
    saving::append(view, 0..view.counters().used.min(FRAME_WORDS), out);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Art, PoolOptions};

    fn gone(map: &Art) -> usize {
        lock(&map.tree().pool().books).gone.len()
    }

    fn change(map: &Art) {
        for length in [5_000, 6_000, 10] {
            map.put(b"k", &vec![1; length]).unwrap();
        }
    }

    /// Small, so that a memory checker has the address space.
    fn small() -> Art {
        Art::with_options(crate::PoolOptions::with_bytes(16 << 20, 16 << 20)).unwrap()
    }

    #[test]
    fn what_is_gone_is_noted_for_cuts_alone() {
        let map = small();
        for _ in 0..10 {
            change(&map);
        }
        assert_eq!(gone(&map), 0, "nobody ever asks");
        let pool = map.tree().pool();
        let take = || pool.cut(&pool.close_gate()).unwrap();
        // A blob of the first cut, freed while that is open, is gone for the second.
        map.put(b"k", &[1; 5_000]).unwrap();
        let first = take();
        let blob = *first.dirty().last().unwrap();
        change(&map);
        first.commit();
        let second = take();
        assert!(second.freed().contains(&blob));
        second.commit();
        assert_eq!(gone(&map), 0);
    }

    #[test]
    fn a_frame_that_is_edited_behind_a_cut_stays_where_it_is() {
        let map = small();
        for number in 0..100_u8 {
            map.put(&[number], &[1; 20]).unwrap();
        }
        let pool = map.tree().pool();
        let (root, slot) = {
            let root = map.tree().root().get();
            (root, move || pool.latch(root).unwrap().slot())
        };
        let (before, mut expected, mut image) = (slot(), Vec::new(), Vec::new());
        let cut = pool.cut(&pool.close_gate()).unwrap();
        cut.image(u64::from(root), &mut expected).unwrap();
        map.put(&[7], &[2; 20]).unwrap();
        map.remove(&[8]).unwrap();
        assert_eq!((slot(), pool.stats().kept_bytes), (before, Pool::FRAME_BYTES as u64));
        cut.image(u64::from(root), &mut image).unwrap();
        assert!(image == expected);
        // For a snapshot it moves, and the image is complete before.
        let snapshot = pool.snapshot(&pool.close_gate());
        map.put(&[7], &[3; 20]).unwrap();
        assert!(slot() != before);
        drop(snapshot);
        cut.image(u64::from(root), &mut image).unwrap();
        assert!(image == expected);
        // An image that nobody wants any more is given back while the frame goes on.
        cut.done(u64::from(root));
        map.put(&[7], &[4; 20]).unwrap();
        assert_eq!(pool.stats().kept_bytes, 0);
        assert_eq!(pool.stats().slot_bytes, Pool::FRAME_BYTES as u64);
    }

    #[test]
    fn what_was_loaded_is_gone_for_the_first_cut() {
        let map = small();
        map.put(b"k", &[1; 5_000]).unwrap();
        let cut = map.tree().pool().cut(&map.tree().pool().close_gate()).unwrap();
        for kind in [0, BLOB_OBJECT] {
            let pool = Pool::new(PoolOptions::default()).unwrap();
            let mut image = Vec::new();
            let object = cut.dirty().into_iter().find(|object| *object >= kind).unwrap();
            cut.image(object, &mut image).unwrap();
            pool.load(object, &image).unwrap();
            assert!(lock(&pool.books).stored, "object {object:#x}");
        }
    }
}
