//! A cut: the pool as it was at one moment, for a checkpoint to write out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pool;
use super::blobs::{BLOB_OBJECT, UNBORN};
use super::gate::Closed;
use super::latch::NO_SLOT;
use crate::error::Error;
use crate::frame::View;
use crate::sync::{Ordering, lock};

/// The state of a pool at the moment when the cut was taken, as far as it differs from
/// the last committed cut.
///
/// Taking one costs the same whatever the pool holds. Writers go on meanwhile: the first
/// that touches a frame of the cut leaves an image behind. Dropping a cut without
/// [`commit`](Cut::commit) gives everything back: the next cut has it again.
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
                // Acquire: a frame that a writer has moved on since then is among the
                // preserved images, which are looked through afterwards.
                let since = pool.epoch_of(number).load(Ordering::Acquire);
                latch.observe().slot() != NO_SLOT && since > floor && since <= self.epoch
            })
            .map(u64::from)
            .collect();
        let books = lock(&pool.books);
        let images = books.kept.images_at(self.epoch).filter(|&(_, since)| since > floor);
        dirty.extend(images.map(|(number, _)| u64::from(number)));
        // Freed before the cut and kept for somebody else. Collected before the blobs are
        // looked at: what is let go meanwhile is not taken for a part of the cut.
        let dead: BTreeSet<u32> = books
            .kept
            .blobs()
            .filter(|&(_, until)| until <= self.epoch)
            .map(|(number, _)| number)
            .collect();
        drop(books);
        dirty.sort_unstable();
        dirty.dedup();
        let of_cut = |&number: &u32| {
            let birth = pool.blobs.birth(number);
            birth != UNBORN && birth > floor && birth <= self.epoch && !dead.contains(&number)
        };
        dirty.extend(
            pool.blobs.numbers().into_iter().filter(of_cut).map(|n| BLOB_OBJECT | u64::from(n)),
        );
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
            return self.pool.blobs.read(number, length, out).then_some(()).ok_or_else(unknown);
        }
        let number = u32::try_from(object).map_err(|_| unknown())?;
        // The live frame, while no writer has touched it since the cut.
        if let Some(latched) = self.pool.latch_now(number) {
            // Acquire: as in `dirty`.
            if self.pool.epoch_of(number).load(Ordering::Acquire) <= self.epoch {
                copy(latched.view(), out);
                return Ok(());
            }
        }
        let books = lock(&self.pool.books);
        let slot = books.kept.image(number, self.epoch);
        drop(books);
        // The slot stays as it is until the cut is over, and only this cut ends it.
        let slot = slot.ok_or_else(unknown)?;
        copy(View::new(self.pool.slot_words(slot)), out);
        Ok(())
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
        }
        books.cut = None;
        self.pool.drop_pin(books, self.epoch);
    }
}

/// Appends the used words of a frame as little-endian bytes.
fn copy(view: View<'_>, out: &mut Vec<u8>) {
    let used = view.counters().used.min(crate::frame::FRAME_WORDS);
    out.reserve(used * 8);
    for at in 0..used {
        out.extend_from_slice(&view.word(at).to_le_bytes());
    }
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
