//! A frame that is copied before it changes, because pins need it as it is.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

use crate::gate::Gate;
use crate::kept::{Item, Kept};
use crate::latch::LatchRef;
use crate::pins::{Pins, changed_at, slot_at};
use crate::support::model;

/// Slots of a [`Copied`] frame: the live one, an image for each of two pins, and one for a
/// copy that turns out not to be needed.
const COPIES: usize = 4;

/// A frame of one record that is copied before it changes, when a pin needs it as it is.
pub(crate) struct Copied {
    gate: Gate,
    pins: Pins,
    word: AtomicU64,
    epoch: AtomicU64,
    slots: [AtomicU64; COPIES + 1],
    books: loom::sync::Mutex<(Kept, Vec<u32>)>,
}

impl Copied {
    /// The frame in slot 1 with the record 1.
    pub(crate) fn new() -> Arc<Self> {
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
    pub(crate) fn change(&self, value: u64) {
        let latch = LatchRef::new(&self.word);
        let seen = latch.acquire();
        let mut slot = seen.slot();
        let since = self.epoch.load(Ordering::Acquire);
        let until = self.pins.epoch();
        if self.pins.need(since) && self.books.lock().unwrap().0.needs(1, since) {
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
    pub(crate) fn pin(&self) -> u64 {
        let mut books = self.books.lock().unwrap();
        let epoch = self.pins.advance();
        books.0.add(epoch, None);
        let (newest, snapshot) = books.0.newest();
        self.pins.publish(newest, snapshot);
        epoch
    }

    /// As [`pin`](Self::pin), for a cut.
    fn cut(&self) -> u64 {
        let mut books = self.books.lock().unwrap();
        let epoch = self.pins.advance();
        books.0.add(epoch, Some(self.pins.committed()));
        let (newest, snapshot) = books.0.newest();
        self.pins.publish(newest, snapshot);
        epoch
    }

    /// The cut has read the frame.
    fn done(&self, cut: u64) {
        let mut books = self.books.lock().unwrap();
        if let Some(item) = books.0.done(false, 1, cut) {
            books.1.push(item.slot);
        }
    }

    pub(crate) fn unpin(&self, epoch: u64) {
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
    pub(crate) fn at(&self, epoch: u64) -> u64 {
        let slot = slot_at(LatchRef::new(&self.word), &self.epoch, epoch);
        let slot = slot.unwrap_or_else(|| {
            let image = self.books.lock().unwrap().0.image(1, epoch);
            image.expect("the frame has changed since, so its image is kept")
        });
        self.slots[slot as usize].load(Ordering::Relaxed)
    }

    /// The record now, read as a live reader does; none when that has to be done again.
    pub(crate) fn try_live(&self) -> Option<u64> {
        let seen = LatchRef::new(&self.word).try_observe()?;
        let record = self.slots[seen.slot() as usize].load(Ordering::Relaxed);
        LatchRef::new(&self.word).validate(seen).then_some(record)
    }

    /// The record now, while nobody changes it.
    pub(crate) fn live(&self) -> u64 {
        self.slots[LatchRef::new(&self.word).observe().slot() as usize].load(Ordering::Relaxed)
    }

    /// That every slot but the live one is free.
    pub(crate) fn assert_nothing_kept(&self) {
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

/// Its image is not kept, so a cut that took it for changed would ask for what is not there.
#[test]
fn a_frame_that_is_clean_at_a_cut_is_not_taken_for_changed() {
    model("a_frame_that_is_clean_at_a_cut_is_not_taken_for_changed", None, || {
        let frame = Copied::new();
        let committed = frame.pin();
        frame.pins.commit(committed);
        frame.unpin(committed);
        let cut = frame.cut();
        let writer = {
            let frame = Arc::clone(&frame);
            thread::spawn(move || frame.change(2))
        };
        let latch = LatchRef::new(&frame.word);
        assert!(!changed_at(latch, &frame.epoch, committed, cut));
        writer.join().unwrap();
        frame.unpin(cut);
        assert_eq!(frame.live(), 2);
        frame.assert_nothing_kept();
    });
}

/// A cut reads a frame without its latch, beside a writer who changes it in place once the cut has.
#[test]
fn what_a_cut_reads_is_not_changed_before_it_says_that_it_has() {
    model("what_a_cut_reads_is_not_changed_before_it_says_that_it_has", Some(3), || {
        let frame = Copied::new();
        let snapshot = frame.pin();
        frame.change(2);
        let cut = frame.cut();
        let writer = {
            let frame = Arc::clone(&frame);
            thread::spawn(move || {
                frame.change(3);
                frame.change(4);
            })
        };
        assert_eq!(frame.at(cut), 2);
        frame.done(cut);
        assert_eq!(frame.at(snapshot), 1, "what the snapshot needs stays");
        writer.join().unwrap();
        assert_eq!(frame.live(), 4);
        assert_eq!(frame.books.lock().unwrap().0.for_cuts(), 0);
        frame.unpin(cut);
        frame.unpin(snapshot);
        frame.assert_nothing_kept();
    });
}
