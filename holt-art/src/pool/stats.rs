//! What a pool holds, in numbers.

use super::Pool;
use super::pages::PAGE_BYTES;
use crate::sync::lock;

/// What a pool holds at a moment. The numbers are read one after the other, so they fit
/// together exactly only while nobody writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Frames in use.
    pub frames: u64,
    /// Words in use inside those that are not absent, in bytes; divided by their number ×
    /// [`Pool::FRAME_BYTES`](crate::Pool::FRAME_BYTES) this is the fill.
    pub live_bytes: u64,
    /// Bytes of slots in use: frames, and images of them kept for a pin.
    pub slot_bytes: u64,
    /// Bytes of these images.
    pub kept_bytes: u64,
    /// Blobs in use, those kept for a pin included.
    pub blobs: u64,
    /// Blobs that have been freed and are kept for a pin.
    pub kept_blobs: u64,
    /// Earlier epochs that are pinned: the open cut, each snapshot, and those of cursors
    /// that a move overtook.
    pub pins: u64,
    /// Blobs, of those in use, that are in the source only.
    pub absent_blobs: u64,
    /// Bytes of pages that blobs take in memory, alone or together.
    pub blob_bytes: u64,
    /// Frames, of those in use, that are in the source only.
    pub absent: u64,
    /// Frames that have changed since the last committed cut; counted in a pool with a source.
    pub changed: u64,
    /// Images read from the source so far.
    pub reads: u64,
    /// Times that a frame or blob was given up to make room.
    pub evictions: u64,
}

impl PoolStats {
    /// Words in use as a share of the size of the frames in memory, 0…1.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = holt_art::Art::new()?;
    /// map.put(b"k", b"v")?;
    /// assert!((0.0..=1.0).contains(&map.tree().pool().stats().fill()));
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn fill(&self) -> f64 {
        let frames = self.frames.saturating_sub(self.absent);
        if frames == 0 {
            return 0.0;
        }
        self.live_bytes as f64 / (frames * Pool::FRAME_BYTES as u64) as f64
    }
}

impl Pool {
    /// Counts what is in the pool; cost by frames.
    pub fn stats(&self) -> PoolStats {
        let (frames, slots, limit, (pins, kept, kept_blobs)) = {
            let books = lock(&self.books);
            let counts = books.kept.counts();
            (books.frames_used(), books.slots_used(), books.frame_limit(), counts)
        };
        let live: u64 = (1..limit)
            .filter_map(|number| {
                let seen = self.latch(number)?.observe();
                let resident = seen.slot() != super::latch::NO_SLOT;
                resident.then(|| self.view(seen).counters().live as u64 * 8)
            })
            .sum();
        let (pages, blobs, absent_blobs) = self.blobs.used();
        let (reads, evictions) = self.clock.as_ref().map_or((0, 0), |clock| clock.counts());
        let changed = lock(&self.books).changed.total() as u64;
        let absent = match self.clock {
            Some(_) => (1..limit).filter(|&number| self.place_of(number).1).count() as u64,
            None => 0,
        };
        PoolStats {
            frames: frames as u64,
            live_bytes: live,
            slot_bytes: (slots * Self::FRAME_BYTES) as u64,
            kept_bytes: (kept * Self::FRAME_BYTES) as u64,
            blobs: blobs as u64,
            kept_blobs: kept_blobs as u64,
            absent_blobs: absent_blobs as u64,
            pins: pins as u64,
            blob_bytes: (pages * PAGE_BYTES) as u64,
            absent,
            changed,
            reads,
            evictions,
        }
    }
}
