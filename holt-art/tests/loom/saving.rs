//! A frame of two pieces that changes in place while its image for a cut is made piece by piece.

use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::kept::{Item, Kept};
use crate::latch::LatchRef;
use crate::pieces::{Pieces, ROW};
use crate::pins::{Pins, Since, slot_at};
use crate::support::model;

/// Slots: the live frame's, an image's and one to move to.
const SLOTS: usize = 3;

/// The frame with number 1, of two words, each of which is a piece.
struct Pieced {
    pins: Pins,
    word: AtomicU64,
    epoch: AtomicU64,
    row: [AtomicU64; ROW],
    slots: [[AtomicU64; 2]; SLOTS + 1],
    books: Mutex<(Kept, Vec<u32>)>,
}

impl Pieced {
    /// The frame in slot 1 with two words of 1.
    fn new() -> Arc<Self> {
        let slot = |slot| std::array::from_fn(|_| AtomicU64::new(u64::from(slot == 1)));
        let pieced = Self {
            pins: Pins::new(),
            word: AtomicU64::new(0),
            epoch: AtomicU64::new(1),
            row: std::array::from_fn(|_| AtomicU64::new(0)),
            slots: std::array::from_fn(slot),
            books: Mutex::new((Kept::default(), (2..=SLOTS as u32).collect())),
        };
        let latch = LatchRef::new(&pieced.word);
        let seen = latch.acquire();
        latch.release(seen, 1);
        Arc::new(pieced)
    }

    fn cut(&self) -> u64 {
        let mut books = self.books.lock().unwrap();
        let epoch = self.pins.advance();
        books.0.add(epoch, Some(self.pins.committed()));
        let (newest, snapshot) = books.0.newest();
        self.pins.publish(newest, snapshot);
        epoch
    }

    /// The cut has read the frame, or does without.
    fn done(&self, cut: u64) {
        let mut books = self.books.lock().unwrap();
        if let Some(item) = books.0.done(false, 1, cut)
            && Pieces::new(&self.row).give_up(item.slot)
        {
            books.1.push(item.slot);
        }
    }

    fn unpin(&self, cut: u64) {
        let mut books = self.books.lock().unwrap();
        let items = books.0.remove(cut);
        let (newest, snapshot) = books.0.newest();
        self.pins.publish(newest, snapshot);
        for item in books.0.leave(&items) {
            if Pieces::new(&self.row).give_up(item.slot) {
                books.1.push(item.slot);
            }
        }
    }

    /// Sets a word, as `Latched::editable` and an edit do it.
    fn set(&self, at: usize, value: u64) {
        let latch = LatchRef::new(&self.word);
        let pieces = Pieces::new(&self.row);
        let seen = latch.acquire();
        let slot = seen.slot();
        let since = Since::of(self.epoch.load(Ordering::Acquire));
        let epoch = self.pins.epoch();
        let mut image = None;
        if since.epoch() == epoch {
            if since.is_in_pieces() {
                image = pieces.hold();
            }
        } else {
            let mut books = self.books.lock().unwrap();
            let fresh = books.1.pop().expect("there is a slot for the image");
            // As `Pool::take_slot`.
            fence(Ordering::Release);
            let item = Item { number: 1, slot: fresh, since: since.epoch(), until: epoch };
            if books.0.keep(item) {
                pieces.open(fresh);
                image = Some(fresh);
            } else {
                books.1.push(fresh);
            }
            drop(books);
            let since = Since::new(epoch, image.is_some());
            self.epoch.store(since.word(), Ordering::Release);
        }
        if let Some(image) = image {
            self.save(slot, image, at);
        }
        self.slots[slot as usize][at].store(value, Ordering::Relaxed);
        if image.is_some()
            && let Some(slot) = pieces.release()
        {
            self.books.lock().unwrap().1.push(slot);
        }
        latch.release(seen, slot);
    }

    fn save(&self, slot: u32, image: u32, at: usize) {
        let pieces = Pieces::new(&self.row);
        if !pieces.has(at) {
            let word = self.slots[slot as usize][at].load(Ordering::Relaxed);
            self.slots[image as usize][at].store(word, Ordering::Relaxed);
            pieces.note(at);
        }
    }

    /// Moves the frame to another slot, as `Latched::leave_slot` does it, and writes over the old one.
    fn move_away(&self) {
        let latch = LatchRef::new(&self.word);
        let pieces = Pieces::new(&self.row);
        let seen = latch.acquire();
        let slot = seen.slot();
        let since = Since::of(self.epoch.load(Ordering::Acquire));
        if since.is_in_pieces() {
            if let Some(image) = pieces.hold() {
                self.save(slot, image, 0);
                self.save(slot, image, 1);
                if let Some(slot) = pieces.release() {
                    self.books.lock().unwrap().1.push(slot);
                }
            }
            self.epoch.store(since.epoch(), Ordering::Release);
        }
        let next = self.books.lock().unwrap().1.pop().expect("there is a slot to move to");
        fence(Ordering::Release);
        for at in 0..2 {
            let word = self.slots[slot as usize][at].load(Ordering::Relaxed);
            self.slots[next as usize][at].store(word, Ordering::Relaxed);
        }
        self.books.lock().unwrap().1.push(slot);
        latch.release(seen, next);
        // Somebody else gets the old slot.
        let other = self.books.lock().unwrap().1.pop().expect("one was just given back");
        fence(Ordering::Release);
        for word in &self.slots[other as usize] {
            word.store(99, Ordering::Relaxed);
        }
        self.books.lock().unwrap().1.push(other);
    }

    /// The words at the cut, as `Cut::image` reads them.
    fn at(&self, cut: u64) -> [u64; 2] {
        let latch = LatchRef::new(&self.word);
        let words = |slot: u32| {
            std::array::from_fn(|at| self.slots[slot as usize][at].load(Ordering::Relaxed))
        };
        if let Some(slot) = slot_at(latch, &self.epoch, cut) {
            let read = words(slot);
            fence(Ordering::Acquire);
            if Since::of(self.epoch.load(Ordering::Relaxed)).epoch() <= cut {
                return read;
            }
        }
        let image = self.books.lock().unwrap().0.image(1, cut).expect("its image is kept");
        let pieces = Pieces::new(&self.row);
        assert!(pieces.is_image(image));
        let live = latch.slot();
        std::array::from_fn(|at| {
            if !pieces.has(at) {
                let word = self.slots[live as usize][at].load(Ordering::Relaxed);
                if pieces.was_untouched(at) {
                    return word;
                }
            }
            self.slots[image as usize][at].load(Ordering::Relaxed)
        })
    }

    /// That every slot but the live one is free, and what the live one holds.
    fn end(&self) -> [u64; 2] {
        let books = self.books.lock().unwrap();
        books.0.check().unwrap();
        assert_eq!(books.0.counts(), (0, 0, 0));
        let live = LatchRef::new(&self.word).observe().slot();
        let mut slots = books.1.clone();
        slots.push(live);
        slots.sort_unstable();
        assert!(slots.into_iter().eq(1..=SLOTS as u32), "a slot is lost or has two owners");
        std::array::from_fn(|at| self.slots[live as usize][at].load(Ordering::Relaxed))
    }
}

/// Another thread that reads the frame at the cut while this one changes it: the model checker interleaves loads
/// with the stores that it has seen.
fn read_beside<R: 'static>(
    frame: &Arc<Pieced>,
    cut: u64,
    then: impl FnOnce(&Pieced) -> R + 'static,
) -> thread::JoinHandle<([u64; 2], R)> {
    let frame = Arc::clone(frame);
    thread::spawn(move || (frame.at(cut), then(&frame)))
}

#[test]
fn a_cut_reads_the_pieces_that_it_was_taken_of() {
    model("a_cut_reads_the_pieces_that_it_was_taken_of", Some(3), || {
        let frame = Pieced::new();
        let cut = frame.cut();
        let reader = read_beside(&frame, cut, |_| ());
        frame.set(0, 2);
        frame.set(1, 3);
        frame.set(0, 4);
        assert_eq!(reader.join().unwrap().0, [1, 1]);
        assert_eq!(frame.at(cut), [1, 1], "it stays so");
        frame.unpin(cut);
        assert_eq!(frame.end(), [4, 3]);
    });
}

#[test]
fn an_image_that_is_given_up_while_it_is_held_is_freed_once() {
    model("an_image_that_is_given_up_while_it_is_held_is_freed_once", Some(3), || {
        let frame = Pieced::new();
        let cut = frame.cut();
        let reader = read_beside(&frame, cut, move |frame| frame.done(cut));
        frame.set(0, 2);
        frame.set(1, 3);
        assert_eq!(reader.join().unwrap().0, [1, 1]);
        frame.unpin(cut);
        assert_eq!(frame.end(), [2, 3]);
    });
}

#[test]
fn a_frame_that_moves_leaves_a_complete_image() {
    model("a_frame_that_moves_leaves_a_complete_image", Some(3), || {
        let frame = Pieced::new();
        let cut = frame.cut();
        frame.set(0, 2);
        let reader = read_beside(&frame, cut, |_| ());
        frame.move_away();
        assert_eq!(reader.join().unwrap().0, [1, 1]);
        frame.unpin(cut);
        assert_eq!(frame.end(), [2, 1]);
    });
}

#[test]
fn the_next_cut_has_an_image_of_its_own() {
    model("the_next_cut_has_an_image_of_its_own", Some(3), || {
        let frame = Pieced::new();
        let first = frame.cut();
        frame.set(0, 2);
        frame.unpin(first);
        let second = frame.cut();
        let reader = read_beside(&frame, second, move |frame| frame.done(second));
        frame.set(1, 3);
        frame.set(0, 4);
        assert_eq!(reader.join().unwrap().0, [2, 1]);
        frame.unpin(second);
        assert_eq!(frame.end(), [4, 3]);
    });
}
