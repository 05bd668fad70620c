//! Models of the protocols, over every interleaving and every value that the memory model
//! lets a load return: `RUSTFLAGS="--cfg loom" cargo test -p holt-art --release --test loom`.
//!
//! The files of the protocols are compiled into this test as they are; `crate::sync`
//! gives them the model checker's primitives.
#![cfg(loom)]

#[path = "../src/pool/gate.rs"]
#[expect(dead_code, unreachable_pub, reason = "a part of the crate's interface is not modelled")]
mod gate;
#[path = "../src/pool/latch.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod latch;
#[path = "../src/pool/moves.rs"]
mod moves;
#[path = "../src/sync.rs"]
mod sync;

use gate::Gate;
use latch::LatchRef;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;
use moves::Moves;

/// Runs a model and says how many executions it has. `preemptions` bounds how often a
/// thread is interrupted where it could go on, for models with too many interleavings.
fn model(name: &str, preemptions: Option<usize>, story: impl Fn() + Sync + Send + 'static) {
    // Not the model checker's atomic: it counts across executions.
    let iterations = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&iterations);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        story();
    });
    println!("loom {name}: {} iterations", iterations.load(std::sync::atomic::Ordering::Relaxed));
}

/// A table word and the two words of the frames that it may name.
struct Frames {
    word: AtomicU64,
    slots: [[AtomicU64; 2]; 3],
}

impl Frames {
    /// The frame in slot 1.
    fn new() -> Arc<Self> {
        let slot = || [AtomicU64::new(0), AtomicU64::new(0)];
        let frames = Self { word: AtomicU64::new(0), slots: [slot(), slot(), slot()] };
        let latch = frames.latch();
        let seen = latch.acquire();
        latch.release(seen, 1);
        Arc::new(frames)
    }

    fn latch(&self) -> LatchRef<'_> {
        LatchRef::new(&self.word)
    }

    /// An optimistic read of both words; `None` when it has to be done again.
    fn read(&self) -> Option<(u64, u64)> {
        let seen = self.latch().try_observe()?;
        let slot = &self.slots[seen.slot() as usize];
        let words = (slot[0].load(Ordering::Relaxed), slot[1].load(Ordering::Relaxed));
        self.latch().validate(seen).then_some(words)
    }
}

/// Changes both words as the holder of the latch.
fn change(frames: &Frames, value: u64) {
    let seen = frames.latch().acquire();
    let slot = &frames.slots[seen.slot() as usize];
    slot[0].store(value, Ordering::Relaxed);
    slot[1].store(value, Ordering::Relaxed);
    frames.latch().release(seen, seen.slot());
}

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

#[test]
fn closed_gate_is_alone() {
    model("closed_gate_is_alone", None, || {
        let gate = Arc::new(Gate::new());
        let steps = Arc::new(AtomicU64::new(0));
        let writer = {
            let (gate, steps) = (Arc::clone(&gate), Arc::clone(&steps));
            thread::spawn(move || {
                let _pass = gate.enter();
                steps.fetch_add(1, Ordering::Relaxed);
                steps.fetch_add(1, Ordering::Relaxed);
            })
        };
        let closed = gate.close();
        assert_ne!(steps.load(Ordering::Relaxed), 1, "a pass is under way");
        drop(closed);
        writer.join().unwrap();
        assert_eq!(steps.load(Ordering::Relaxed), 2, "the pass was granted once");
    });
}

#[test]
fn closers_exclude_each_other() {
    model("closers_exclude_each_other", None, || {
        let gate = Arc::new(Gate::new());
        let count = Arc::new(AtomicU64::new(0));
        let add = |gate: &Gate, count: &AtomicU64| {
            let _closed = gate.close();
            let value = count.load(Ordering::Relaxed);
            count.store(value + 1, Ordering::Relaxed);
        };
        let other = {
            let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
            thread::spawn(move || add(&gate, &count))
        };
        add(&gate, &count);
        other.join().unwrap();
        let _pass = gate.enter();
        assert_eq!(count.load(Ordering::Relaxed), 2, "no addition is lost");
    });
}

#[test]
fn what_a_pass_did_is_visible_under_the_closed_gate() {
    model("what_a_pass_did_is_visible_under_the_closed_gate", None, || {
        let gate = Arc::new(Gate::new());
        let cell = Arc::new(loom::cell::UnsafeCell::new(0u64));
        let writer = {
            let (gate, cell) = (Arc::clone(&gate), Arc::clone(&cell));
            thread::spawn(move || {
                let _pass = gate.enter();
                // The only pass, so the access is exclusive unless the gate leaks.
                cell.with_mut(|value| {
                    // SAFETY: the model checker reports any other access at the time.
                    unsafe { *value += 1 }
                });
            })
        };
        let closed = gate.close();
        let seen = cell.with_mut(|value| {
            // SAFETY: as above.
            unsafe {
                *value += 10;
                *value
            }
        });
        assert!(seen == 10 || seen == 11);
        drop(closed);
        writer.join().unwrap();
        let _closed = gate.close();
        // SAFETY: all threads are joined.
        let total = cell.with(|value| unsafe { *value });
        assert_eq!(total, 11, "both changes are there, once");
    });
}

#[test]
fn gate_wakes_everyone() {
    model("gate_wakes_everyone", Some(3), || {
        let gate = Arc::new(Gate::new());
        let entered = Arc::new(AtomicU64::new(0));
        let closed = gate.close();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
                thread::spawn(move || {
                    let _pass = gate.enter();
                    entered.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        assert_eq!(entered.load(Ordering::Relaxed), 0, "the gate is closed");
        drop(closed);
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(entered.load(Ordering::Relaxed), 2, "all who waited came in");
    });
}

/// Two names, a subtree that hangs below one of them (1 in a name's cell says that it does),
/// and a record below the subtree. The subtree stands between, because its frame does not
/// change when it is hung elsewhere: validating it does not notice.
struct Names {
    gate: Gate,
    moves: Moves,
    words: [AtomicU64; 4],
    cells: [AtomicU64; 4],
}

impl Names {
    fn latch(&self, cell: usize) -> LatchRef<'_> {
        LatchRef::new(&self.words[cell])
    }

    fn load(&self, cell: usize) -> u64 {
        self.cells[cell].load(Ordering::Relaxed)
    }

    /// Stores into a cell as the holder of its latch.
    fn store(&self, cell: usize, value: u64) {
        let seen = self.latch(cell).acquire();
        self.cells[cell].store(value, Ordering::Relaxed);
        self.latch(cell).release(seen, 0);
    }

    /// The record below the first name, read as a get does; `None` when it has to be
    /// read again.
    fn read(&self) -> Option<Option<u64>> {
        let moves = self.moves.begin();
        let name = self.latch(0).try_observe()?;
        let hangs = self.load(0) == 1;
        let subtree = self.latch(2).try_observe()?;
        if !self.latch(0).validate(name) {
            return None;
        }
        let leads = self.load(2) == 1;
        let record = self.latch(3).try_observe()?;
        if !self.latch(2).validate(subtree) {
            return None;
        }
        let value = self.load(3);
        let sound = self.latch(3).validate(record) && self.moves.unchanged(moves);
        sound.then_some((hangs && leads).then_some(value))
    }
}

#[test]
fn a_reader_never_sees_half_a_move() {
    model("a_reader_never_sees_half_a_move", Some(3), || {
        let cell = |value| AtomicU64::new(value);
        let names = Arc::new(Names {
            gate: Gate::new(),
            moves: Moves::new(),
            words: [cell(0), cell(0), cell(0), cell(0)],
            cells: [cell(1), cell(0), cell(1), cell(10)],
        });
        let writer = {
            let names = Arc::clone(&names);
            thread::spawn(move || {
                {
                    let _closed = names.gate.close();
                    let _moving = names.moves.start();
                    names.store(0, 0);
                    names.store(1, 1);
                }
                // The record is changed under its new name.
                let _pass = names.gate.enter();
                names.store(3, 20);
            })
        };
        if let Some(found) = names.read() {
            assert!(matches!(found, Some(10) | None), "{found:?} never was below the first name");
        }
        writer.join().unwrap();
        assert_eq!(names.read(), Some(None));
    });
}
