//! Models of the protocols, over every interleaving and every value that the memory model
//! lets a load return: `RUSTFLAGS="--cfg loom" cargo test -p holt-art --release --test loom`.
//!
//! The files of the protocols are compiled into this test as they are; `crate::sync`
//! gives them the model checker's primitives.
#![cfg(loom)]

#[path = "../src/pool/absent.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod absent;
#[path = "../src/pool/gate.rs"]
#[expect(dead_code, unreachable_pub, reason = "a part of the crate's interface is not modelled")]
mod gate;
#[path = "../src/pool/kept.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod kept;
#[path = "../src/pool/latch.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod latch;
#[path = "../src/pool/lists.rs"]
mod lists;
#[path = "../src/pool/moves.rs"]
#[expect(unreachable_pub, reason = "it is a part of the crate's interface")]
mod moves;
#[path = "../src/pool/pins.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod pins;
#[path = "../src/sync.rs"]
mod sync;

use absent::{Found, Left, Whereabouts};
use gate::Gate;
use kept::{Item, Kept};
use latch::LatchRef;
use lists::Lists;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;
use moves::Moves;
use pins::{Pins, slot_at};

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

/// Slots of a [`Copied`] frame: the live one, an image for each of two pins, and one for a
/// copy that turns out not to be needed.
const COPIES: usize = 4;

/// A frame of one record that is copied before it changes, when a pin needs it as it is.
struct Copied {
    gate: Gate,
    pins: Pins,
    word: AtomicU64,
    epoch: AtomicU64,
    slots: [AtomicU64; COPIES + 1],
    books: loom::sync::Mutex<(Kept, Vec<u32>)>,
}

impl Copied {
    /// The frame in slot 1 with the record 1.
    fn new() -> Arc<Self> {
        let copied = Self {
            gate: Gate::new(),
            pins: Pins::new(),
            word: AtomicU64::new(0),
            epoch: AtomicU64::new(1),
            slots: std::array::from_fn(|slot| AtomicU64::new(u64::from(slot == 1))),
            books: loom::sync::Mutex::new((Kept::default(), (2..=COPIES as u32).collect())),
        };
        let latch = LatchRef::new(&copied.word);
        let seen = latch.acquire();
        latch.release(seen, 1);
        Arc::new(copied)
    }

    /// Changes the record, as `Latched` does it. To be called inside the gate.
    fn change(&self, value: u64) {
        let latch = LatchRef::new(&self.word);
        let seen = latch.acquire();
        let mut slot = seen.slot();
        let since = self.epoch.load(Ordering::Acquire);
        let until = self.pins.epoch();
        if self.pins.need(since) {
            let image = Item { number: 1, slot, since, until };
            slot = self.books.lock().unwrap().1.pop().expect("there is a slot for each pin");
            fence(Ordering::Release);
            let record = self.slots[image.slot as usize].load(Ordering::Relaxed);
            self.slots[slot as usize].store(record, Ordering::Relaxed);
            let mut books = self.books.lock().unwrap();
            if !books.0.keep(image) {
                books.1.push(image.slot);
            }
        }
        self.epoch.store(until, Ordering::Release);
        self.slots[slot as usize].store(value, Ordering::Relaxed);
        latch.release(seen, slot);
    }

    /// Pins what there is now. To be called under the closed gate.
    fn pin(&self) -> u64 {
        let mut books = self.books.lock().unwrap();
        let epoch = self.pins.advance();
        books.0.add(epoch, None);
        let (newest, snapshot) = books.0.newest();
        self.pins.publish(newest, snapshot);
        epoch
    }

    fn unpin(&self, epoch: u64) {
        let mut books = self.books.lock().unwrap();
        let items = books.0.remove(epoch);
        let (newest, snapshot) = books.0.newest();
        self.pins.publish(newest, snapshot);
        drop(books);
        let mut books = self.books.lock().unwrap();
        for item in books.0.leave(&items) {
            books.1.push(item.slot);
        }
    }

    /// The record at the pinned epoch.
    fn at(&self, epoch: u64) -> u64 {
        let slot = slot_at(LatchRef::new(&self.word), &self.epoch, epoch);
        let slot = slot.unwrap_or_else(|| {
            let image = self.books.lock().unwrap().0.image(1, epoch);
            image.expect("the frame has changed since, so its image is kept")
        });
        self.slots[slot as usize].load(Ordering::Relaxed)
    }

    /// The record now, read as a live reader does; none when that has to be done again.
    fn try_live(&self) -> Option<u64> {
        let seen = LatchRef::new(&self.word).try_observe()?;
        let record = self.slots[seen.slot() as usize].load(Ordering::Relaxed);
        LatchRef::new(&self.word).validate(seen).then_some(record)
    }

    /// The record now, while nobody changes it.
    fn live(&self) -> u64 {
        self.slots[LatchRef::new(&self.word).observe().slot() as usize].load(Ordering::Relaxed)
    }

    /// That every slot but the live one is free.
    fn assert_nothing_kept(&self) {
        let books = self.books.lock().unwrap();
        books.0.check().unwrap();
        assert_eq!(books.0.counts(), (0, 0, 0));
        let mut slots = books.1.clone();
        slots.push(LatchRef::new(&self.word).observe().slot());
        slots.sort_unstable();
        assert!(slots.into_iter().eq(1..=COPIES as u32), "a slot is lost or has two owners");
    }
}

#[test]
fn two_pins_each_keep_their_state() {
    model("two_pins_each_keep_their_state", Some(3), || {
        let frame = Copied::new();
        let first = frame.pin();
        frame.change(2);
        let second = frame.pin();
        let writer = {
            let frame = Arc::clone(&frame);
            thread::spawn(move || {
                frame.change(3);
                frame.change(4);
            })
        };
        let reader = {
            let frame = Arc::clone(&frame);
            thread::spawn(move || {
                assert_eq!(frame.at(second), 2);
                frame.unpin(second);
            })
        };
        assert_eq!(frame.at(first), 1);
        frame.unpin(first);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(frame.live(), 4, "both changes are there");
        frame.assert_nothing_kept();
    });
}

#[test]
fn a_snapshot_is_the_state_under_the_closed_gate() {
    model("a_snapshot_is_the_state_under_the_closed_gate", Some(2), || {
        let frame = Copied::new();
        let writer = {
            let frame = Arc::clone(&frame);
            thread::spawn(move || {
                for value in [2, 3] {
                    let _pass = frame.gate.enter();
                    frame.change(value);
                }
            })
        };
        let (epoch, state) = {
            let _closed = frame.gate.close();
            (frame.pin(), frame.live())
        };
        assert_eq!(frame.at(epoch), state);
        assert_eq!(frame.at(epoch), state, "it stays so");
        frame.unpin(epoch);
        writer.join().unwrap();
        assert_eq!(frame.live(), 3);
        frame.assert_nothing_kept();
    });
}

#[test]
fn a_pin_that_goes_while_a_writer_copies_leaks_nothing() {
    model("a_pin_that_goes_while_a_writer_copies_leaks_nothing", Some(3), || {
        let frame = Copied::new();
        let (first, second) = (frame.pin(), frame.pin());
        let droppers = [first, second].map(|epoch| {
            let frame = Arc::clone(&frame);
            thread::spawn(move || {
                assert_eq!(frame.at(epoch), 1);
                frame.unpin(epoch);
            })
        });
        frame.change(2);
        for dropper in droppers {
            dropper.join().unwrap();
        }
        assert_eq!(frame.live(), 2);
        frame.assert_nothing_kept();
    });
}

/// A list of two batches, of a record each, beside a move that changes both records. The
/// list gives both as they were before the move, or both as they are after it.
#[test]
fn a_list_is_overtaken_or_begins_anew() {
    model("a_list_is_overtaken_or_begins_anew", Some(3), || {
        struct Pool {
            moves: Moves,
            lists: Lists,
            frames: [Arc<Copied>; 2],
        }
        let pool = Arc::new(Pool {
            moves: Moves::new(),
            lists: Lists::new(),
            frames: [Copied::new(), Copied::new()],
        });
        let mover = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                // Nobody else changes anything, so the gate counts as closed.
                let pin = || pool.frames.each_ref().map(|frame| frame.pin())[0];
                let _moving = pool.lists.overtake(&pool.moves, pin);
                pool.frames.iter().for_each(|frame| frame.change(2));
            })
        };
        let unpin = |epoch: Option<u64>| {
            if let Some(epoch) = epoch {
                pool.frames.iter().for_each(|frame| frame.unpin(epoch));
            }
        };
        let listed = loop {
            let seen = pool.moves.begin();
            let Some(first) = pool.frames[0].try_live() else { continue };
            if !pool.moves.unchanged(seen) {
                continue;
            }
            if let Some(listed) = pool.lists.register(&pool.moves, seen) {
                break (first, listed);
            }
        };
        let (first, listed) = listed;
        let live = pool.frames[1].try_live();
        let second = match live {
            Some(live) if pool.moves.unchanged(listed.seen()) => live,
            _ => {
                let epoch = pool.lists.epoch(&listed).expect("a move has overtaken the list");
                pool.frames[1].at(epoch)
            }
        };
        assert_eq!(first, second, "a move came between two batches");
        unpin(pool.lists.end(listed));
        mover.join().unwrap();
        pool.frames.iter().for_each(|frame| {
            assert_eq!(frame.live(), 2);
            frame.assert_nothing_kept();
        });
    });
}

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
                    assert!(evicted.whereabouts().install(slot));
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
