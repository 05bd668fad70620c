//! A blob that leaves memory and comes back, or moves, beside its readers, who validate nothing else.

use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::presence::{ABSENT, MOVING, Presence, STORED};
use crate::support::model;

/// A stored blob of two equal words in one of two pages, and one more than which page that is; zero when it
/// has none.
struct Stored {
    presence: AtomicU64,
    place: AtomicU64,
    pages: [[AtomicU64; 2]; 2],
    /// The mutex of the books, and the pages that are free.
    free: Mutex<Vec<usize>>,
}

impl Stored {
    fn new() -> Arc<Self> {
        Self::with_free(Vec::new())
    }

    fn with_free(free: Vec<usize>) -> Arc<Self> {
        let page = |value| [AtomicU64::new(value), AtomicU64::new(value)];
        let stored = Self {
            presence: AtomicU64::new(STORED),
            place: AtomicU64::new(1),
            pages: [page(1), page(0)],
            free: Mutex::new(free),
        };
        Arc::new(stored)
    }

    fn presence(&self) -> Presence<'_> {
        Presence::new(&self.presence)
    }

    /// Gives the page up.
    fn leave(&self) {
        let mut free = self.free.lock().unwrap();
        let place = self.place.load(Ordering::Relaxed);
        self.presence().begin(STORED | ABSENT);
        self.place.store(0, Ordering::Release);
        free.push(place as usize - 1);
    }

    /// Fills a free page, as for any blob.
    fn fill(&self, value: u64) -> Option<usize> {
        let page = self.free.lock().unwrap().pop()?;
        fence(Ordering::Release);
        self.pages[page].iter().for_each(|word| word.store(value, Ordering::Relaxed));
        Some(page)
    }

    /// Puts the blob into a page that was filled with it.
    fn install(&self, page: usize) {
        let _free = self.free.lock().unwrap();
        self.place.store(page as u64 + 1, Ordering::Relaxed);
        self.presence().begin(STORED);
    }

    /// Moves the blob to the other page, which is free.
    fn move_over(&self) {
        let mut free = self.free.lock().unwrap();
        let from = self.place.load(Ordering::Relaxed) as usize - 1;
        let to = free.pop().unwrap();
        self.presence().begin(STORED | MOVING);
        fence(Ordering::Release);
        for (from, to) in self.pages[from].iter().zip(&self.pages[to]) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.place.store(to as u64 + 1, Ordering::Relaxed);
        self.presence().begin(STORED);
        free.push(from);
    }

    /// One attempt to read: none when the blob is absent, or that has to be done again.
    fn read(&self) -> Option<(u64, u64)> {
        let known = self.presence().observe();
        if known.is(ABSENT) {
            return None;
        }
        if known.is(MOVING) {
            drop(self.free.lock().unwrap());
            return None;
        }
        let place = self.place.load(Ordering::Relaxed);
        if place == 0 {
            assert!(!self.presence().holds(known), "no pages in a life that has some");
            return None;
        }
        let page = &self.pages[place as usize - 1];
        let words = (page[0].load(Ordering::Relaxed), page[1].load(Ordering::Relaxed));
        if !self.presence().holds(known) {
            return None;
        }
        self.presence().touch(known);
        Some(words)
    }
}

#[test]
fn a_blob_that_leaves_is_read_whole_or_not_at_all() {
    model("a_blob_that_leaves_is_read_whole_or_not_at_all", Some(3), || {
        let stored = Stored::new();
        let clock = {
            let stored = Arc::clone(&stored);
            thread::spawn(move || {
                stored.leave();
                // Another blob gets the page.
                assert_eq!(stored.fill(7), Some(0));
            })
        };
        for _ in 0..2 {
            if let Some(words) = stored.read() {
                assert_eq!(words, (1, 1), "another blob's words");
            }
        }
        clock.join().unwrap();
        assert_eq!(stored.read(), None, "it is absent");
    });
}

#[test]
fn a_blob_that_comes_back_is_the_same_also_where_another_has_been() {
    model("a_blob_that_comes_back_is_the_same_also_where_another_has_been", Some(3), || {
        let stored = Stored::new();
        let clock = {
            let stored = Arc::clone(&stored);
            thread::spawn(move || {
                stored.leave();
                let page = stored.fill(7).unwrap();
                stored.free.lock().unwrap().push(page);
                let page = stored.fill(1).unwrap();
                stored.install(page);
            })
        };
        for _ in 0..2 {
            if let Some(words) = stored.read() {
                assert_eq!(words, (1, 1), "another blob's words");
            }
        }
        clock.join().unwrap();
        assert_eq!(stored.read(), Some((1, 1)));
    });
}

#[test]
fn a_tail_that_moves_is_read_whole_while_another_blob_gets_its_units() {
    let name = "a_tail_that_moves_is_read_whole_while_another_blob_gets_its_units";
    model(name, Some(3), || {
        let stored = Stored::with_free(vec![1]);
        let writer = {
            let stored = Arc::clone(&stored);
            thread::spawn(move || {
                stored.move_over();
                assert_eq!(stored.fill(7), Some(0));
            })
        };
        for _ in 0..2 {
            if let Some(words) = stored.read() {
                assert_eq!(words, (1, 1), "another blob's words, or some that were not there yet");
            }
        }
        writer.join().unwrap();
        assert_eq!(stored.read(), Some((1, 1)));
    });
}
