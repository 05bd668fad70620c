//! Optimistic reads beside changes, the reuse of a slot, and latches beside one another.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

use crate::support::{Frames, change, model};

#[test]
fn optimistic_read_is_never_torn() {
    model("optimistic_read_is_never_torn", None, || {
        let frames = Frames::new();
        let writer = {
            let frames = Arc::clone(&frames);
            thread::spawn(move || {
                change(&frames, 1);
                change(&frames, 2);
            })
        };
        if let Some((first, second)) = frames.read() {
            assert_eq!(first, second, "half of one change and half of another");
        }
        writer.join().unwrap();
        assert_eq!(frames.read(), Some((2, 2)), "both changes are there");
    });
}

#[test]
fn a_later_read_sees_no_earlier_state() {
    model("a_later_read_sees_no_earlier_state", None, || {
        let frames = Frames::new();
        let writer = {
            let frames = Arc::clone(&frames);
            thread::spawn(move || change(&frames, 1))
        };
        let earlier = frames.read();
        let later = frames.read();
        if let (Some(earlier), Some(later)) = (earlier, later) {
            assert!(earlier <= later, "time went backwards");
        }
        writer.join().unwrap();
        assert_eq!(frames.read(), Some((1, 1)), "the change is there");
    });
}

#[test]
fn reuse_of_a_slot_fails_validation() {
    model("reuse_of_a_slot_fails_validation", None, || {
        let frames = Frames::new();
        frames.slots[1][0].store(1, Ordering::Relaxed);
        frames.slots[1][1].store(1, Ordering::Relaxed);
        // The list of free slots: the pool's books, behind their mutex.
        let free = Arc::new(loom::sync::Mutex::new(Vec::new()));
        let mover = {
            let (frames, free) = (Arc::clone(&frames), Arc::clone(&free));
            thread::spawn(move || {
                let seen = frames.latch().acquire();
                // The frame moves to slot 2 with another content.
                frames.slots[2][0].store(2, Ordering::Relaxed);
                frames.slots[2][1].store(2, Ordering::Relaxed);
                frames.latch().release(seen, 2);
                free.lock().unwrap().push(1);
            })
        };
        let filler = {
            let (frames, free) = (Arc::clone(&frames), Arc::clone(&free));
            thread::spawn(move || {
                let slot: Option<usize> = free.lock().unwrap().pop();
                if let Some(slot) = slot {
                    // As `Pool::take_slot` does.
                    fence(Ordering::Release);
                    frames.slots[slot][0].store(99, Ordering::Relaxed);
                    frames.slots[slot][1].store(99, Ordering::Relaxed);
                }
                u64::from(slot.is_some())
            })
        };
        if let Some((first, second)) = frames.read() {
            assert_eq!(first, second);
            assert_ne!(first, 99, "another frame's content passed for this one's");
        }
        mover.join().unwrap();
        let filled = filler.join().unwrap();
        assert_eq!(frames.read(), Some((2, 2)));
        let left = free.lock().unwrap().len() as u64;
        assert_eq!(filled + left, 1, "the slot that came free has one owner");
    });
}

#[test]
fn latches_exclude_each_other() {
    model("latches_exclude_each_other", None, || {
        let frames = Frames::new();
        let add = |frames: &Frames| {
            let seen = frames.latch().acquire();
            let word = &frames.slots[1][0];
            let value = word.load(Ordering::Relaxed);
            word.store(value + 1, Ordering::Relaxed);
            frames.latch().release(seen, 1);
        };
        let other = {
            let frames = Arc::clone(&frames);
            thread::spawn(move || {
                add(&frames);
                // A latch that was taken to look only leaves the word as it was.
                let seen = frames.latch().acquire();
                let value = frames.slots[1][0].load(Ordering::Relaxed);
                frames.latch().release_unchanged(seen);
                value
            })
        };
        // A writer that goes the optimistic way: nothing changed since it looked, or again.
        let mut upgraded = 0;
        if let Some(seen) = frames.latch().try_observe() {
            let value = frames.slots[1][0].load(Ordering::Relaxed);
            if frames.latch().upgrade(seen) {
                assert_eq!(frames.slots[1][0].load(Ordering::Relaxed), value);
                frames.slots[1][0].store(value + 1, Ordering::Relaxed);
                frames.latch().release(seen, 1);
                upgraded = 1;
            }
        }
        let seen = other.join().unwrap();
        assert!(seen >= 1);
        let (total, _) = frames.read().expect("nobody has the latch");
        assert_eq!(total, 1 + upgraded, "no addition is lost");
    });
}

/// As a frame that is copied gives its old slot back before it gives its latch back: whoever
/// fills the slot may be ahead of the new word, but not of the latch bit.
#[test]
fn a_slot_that_is_given_away_under_the_latch_fails_validation() {
    model("a_slot_that_is_given_away_under_the_latch_fails_validation", None, || {
        let frames = Frames::new();
        frames.slots[1].iter().for_each(|word| word.store(1, Ordering::Relaxed));
        let free = Arc::new(loom::sync::Mutex::new(None));
        let mover = {
            let (frames, free) = (Arc::clone(&frames), Arc::clone(&free));
            thread::spawn(move || {
                let seen = frames.latch().acquire();
                frames.slots[2].iter().for_each(|word| word.store(2, Ordering::Relaxed));
                *free.lock().unwrap() = Some(1);
                frames.latch().release(seen, 2);
            })
        };
        let filler = {
            let (frames, free) = (Arc::clone(&frames), Arc::clone(&free));
            thread::spawn(move || {
                let slot: Option<usize> = free.lock().unwrap().take();
                if let Some(slot) = slot {
                    // As `Pool::take_slot` does.
                    fence(Ordering::Release);
                    frames.slots[slot].iter().for_each(|word| word.store(99, Ordering::Relaxed));
                }
            })
        };
        if let Some((first, second)) = frames.read() {
            assert_eq!(first, second);
            assert_ne!(first, 99, "another frame's content passed for this one's");
        }
        mover.join().unwrap();
        filler.join().unwrap();
        assert_eq!(frames.read(), Some((2, 2)));
    });
}

/// Who latched a frame only to look has seen all of the change before and nothing of the one
/// after, although the word that it leaves is the one that it found.
#[test]
fn a_look_under_the_latch_is_between_two_changes() {
    model("a_look_under_the_latch_is_between_two_changes", None, || {
        let frames = Frames::new();
        let looker = {
            let frames = Arc::clone(&frames);
            thread::spawn(move || {
                let seen = frames.latch().acquire();
                let slot = &frames.slots[seen.slot() as usize];
                let words = (slot[0].load(Ordering::Relaxed), slot[1].load(Ordering::Relaxed));
                frames.latch().release_unchanged(seen);
                words
            })
        };
        change(&frames, 1);
        change(&frames, 2);
        let (first, second) = looker.join().unwrap();
        assert_eq!(first, second, "half of one change and half of another");
        assert_eq!(frames.read(), Some((2, 2)), "no change is lost");
    });
}

/// The row of a frame has copies of the roots of its entries, stored under the latch beside the
/// change of the frame: a reader who takes a root from there finds what it leads to, or fails
/// validation.
#[test]
fn a_root_in_the_row_leads_to_what_the_frame_has() {
    model("a_root_in_the_row_leads_to_what_the_frame_has", None, || {
        let frames = Frames::new();
        // The word of the slot that the root names; the other one has nothing.
        let root = Arc::new(AtomicU64::new(0));
        frames.slots[1][0].store(7, Ordering::Relaxed);
        let writer = {
            let (frames, root) = (Arc::clone(&frames), Arc::clone(&root));
            thread::spawn(move || {
                let seen = frames.latch().acquire();
                frames.slots[1][1].store(7, Ordering::Relaxed);
                frames.slots[1][0].store(0, Ordering::Relaxed);
                root.store(1, Ordering::Relaxed);
                frames.latch().release(seen, 1);
            })
        };
        let read = || {
            let seen = frames.latch().try_observe()?;
            let at = root.load(Ordering::Relaxed) as usize;
            let found = frames.slots[seen.slot() as usize][at].load(Ordering::Relaxed);
            frames.latch().validate(seen).then_some(found)
        };
        if let Some(found) = read() {
            assert_eq!(found, 7, "the root of one state, and the frame of another");
        }
        writer.join().unwrap();
        assert_eq!(read(), Some(7));
    });
}
