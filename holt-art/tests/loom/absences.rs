//! A frame that leaves memory and comes back beside its readers.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

use crate::absent::{Found, Left, Whereabouts};
use crate::support::{Frames, model};

/// A clean frame of two equal words, its mark, and two slots, one of which is free.
struct Evicted {
    frames: Arc<Frames>,
    mark: AtomicU64,
    free: loom::sync::Mutex<Vec<u32>>,
}

impl Evicted {
    fn new() -> Arc<Self> {
        let frames = Frames::new();
        frames.slots[1].iter().for_each(|word| word.store(1, Ordering::Relaxed));
        let mark = AtomicU64::new(0);
        Arc::new(Self { frames, mark, free: loom::sync::Mutex::new(Vec::new()) })
    }

    fn whereabouts(&self) -> Whereabouts<'_> {
        Whereabouts::new(self.frames.latch(), &self.mark)
    }

    /// What the clock does with the frame when nobody wants it.
    fn evict(&self) {
        if self.whereabouts().cool(|| true) {
            let give = |slot| {
                self.free.lock().unwrap().push(slot);
                true
            };
            let left = self.whereabouts().leave(give);
            assert!(matches!(left, Left::Gone | Left::Stays | Left::Busy));
        }
    }

    /// Fills a free slot, if there is one.
    fn fill(&self, value: u64) -> Option<u32> {
        let slot = self.free.lock().unwrap().pop()?;
        fence(Ordering::Release);
        self.frames.slots[slot as usize]
            .iter()
            .for_each(|word| word.store(value, Ordering::Relaxed));
        Some(slot)
    }

    /// Reads as a reader does who does not load: none when it has to be done again.
    fn read(&self) -> Option<(u64, u64)> {
        let seen = self.frames.latch().try_observe()?;
        if seen.slot() == 0 {
            let found = self.whereabouts().reach(Some(seen));
            assert_ne!(found, Found::Nowhere, "the frame is lost");
            return None;
        }
        let slot = &self.frames.slots[seen.slot() as usize];
        let words = (slot[0].load(Ordering::Relaxed), slot[1].load(Ordering::Relaxed));
        self.frames.latch().validate(seen).then_some(words)
    }
}

#[test]
fn a_frame_that_cools_is_read_whole_or_not_at_all() {
    model("a_frame_that_cools_is_read_whole_or_not_at_all", Some(3), || {
        let evicted = Evicted::new();
        let clock = {
            let evicted = Arc::clone(&evicted);
            thread::spawn(move || {
                evicted.evict();
                // Another frame gets the slot.
                evicted.fill(7)
            })
        };
        for _ in 0..2 {
            if let Some(words) = evicted.read() {
                assert_eq!(words, (1, 1), "another frame's words");
            }
        }
        let taken = clock.join().unwrap();
        let (slot, absent) = evicted.whereabouts().slot();
        assert_eq!((slot == 0, absent), (taken.is_some(), taken.is_some()), "one owner");
    });
}

#[test]
fn a_frame_that_is_loaded_again_is_the_same() {
    model("a_frame_that_is_loaded_again_is_the_same", Some(3), || {
        let evicted = Evicted::new();
        let clock = {
            let evicted = Arc::clone(&evicted);
            thread::spawn(move || {
                evicted.evict();
                // The image comes back from the source, and the record changes.
                if let Some(slot) = evicted.fill(1) {
                    assert!(evicted.whereabouts().install(slot, false, || {}));
                }
                let seen = evicted.frames.latch().acquire();
                if seen.slot() == 0 {
                    evicted.frames.latch().release_unchanged(seen);
                    return 1;
                }
                let slot = &evicted.frames.slots[seen.slot() as usize];
                slot.iter().for_each(|word| word.store(2, Ordering::Relaxed));
                evicted.frames.latch().release(seen, seen.slot());
                2
            })
        };
        let mut last = 1;
        for _ in 0..2 {
            if let Some((first, second)) = evicted.read() {
                assert_eq!(first, second, "half of one state and half of another");
                assert!(first >= last, "time went backwards");
                last = first;
            }
        }
        let end = clock.join().unwrap();
        // Whoever was in the way of the clock has left the frame in reach or cooling.
        let (slot, absent) = evicted.whereabouts().slot();
        assert!(slot != 0 && !absent, "the frame is in one slot");
        assert_eq!(evicted.frames.slots[slot as usize][0].load(Ordering::Relaxed), end);
        assert!(evicted.free.lock().unwrap().is_empty());
    });
}
