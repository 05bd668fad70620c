//! Versions for a map that has no log to take them from.
//!
//! Threads that took each number from one counter would wait for its line with every put, which costs two
//! of them all that the second one gains. So a thread takes a block of numbers at a time from the counter
//! and keeps it in a *share*.
//!
//! - No number is given twice.
//! - The numbers of one record grow. Whoever replaces a version that is not below what his share would give lets
//!   his block go and takes another one, which is above all that were given.
//! - Between records, and between a record that was removed and the next one of its key, numbers that different
//!   threads gave have any order.
//!
//! A block is twice as long as the one before it if that was used up, and half as long if it was let go: threads
//! that take turns at a record take one number or two each time, so numbers are used up hardly faster for it.
//!
//! # Happens-before
//!
//! 1. *Share → number from it*: taking a number from a share is an acquire of the release with which its block
//!    was put there. So whoever got a number comes after the addition to the counter that it stems from, and
//!    so does, by the latch of the record's frame, whoever finds it there: his own addition gives more.
//!
//! Checked by `tests/loom/versions.rs`: `versions_are_unique_and_grow_with_their_record`.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering, thread_number};

/// Shares; threads beyond their number share one.
#[cfg(not(loom))]
const SHARES: usize = 16;
#[cfg(loom)]
const SHARES: usize = 1;

/// Longest block.
#[cfg(not(loom))]
const MOST: u64 = 128;
#[cfg(loom)]
const MOST: u64 = 2;

const _: () = assert!(MOST < 1 << 8);

/// What a thread has in store: one word, of 48 bits, eight and eight.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// The next number.
    next: u64,
    /// How many there are.
    count: u64,
    /// How many the block had.
    block: u64,
}

impl Share {
    #[inline]
    fn of(word: u64) -> Self {
        Self { next: word >> 16, count: word >> 8 & 0xFF, block: word & 0xFF }
    }

    #[inline]
    fn word(self) -> u64 {
        self.next << 16 | self.count << 8 | self.block
    }

    /// Without its first number.
    #[inline]
    fn rest(self) -> Self {
        Self { next: self.next + 1, count: self.count - 1, ..self }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Versions {
    /// The largest number that a share has had or that was given.
    last: CachePadded<AtomicU64>,
    shares: [CachePadded<AtomicU64>; SHARES],
}

impl Versions {
    pub(crate) fn new() -> Self {
        let zero = || CachePadded::new(AtomicU64::new(0));
        Self { last: zero(), shares: std::array::from_fn(|_| zero()) }
    }

    /// A number for a record that has the number `replaced`; zero if there is none.
    #[inline]
    pub(crate) fn next(&self, replaced: u64) -> u64 {
        let place = &self.shares[thread_number() % SHARES];
        // Acquire: edge 1.
        let mut word = place.load(Ordering::Acquire);
        loop {
            let share = Share::of(word);
            if share.count == 0 || share.next <= replaced {
                return self.refill(place, share);
            }
            // AcqRel: edge 1, handed on to the next one who takes from this share.
            let rest = share.rest().word();
            match place.compare_exchange_weak(word, rest, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return share.next,
                Err(now) => word = now,
            }
        }
    }

    /// A number above all that were given.
    pub(crate) fn newest(&self) -> u64 {
        self.take(1)
    }

    /// Takes so many numbers, above all that were given, and returns the first.
    fn take(&self, count: u64) -> u64 {
        // Relaxed: an addition is above all that come before it, and these are all of the numbers that the
        // caller can know of.
        self.last.fetch_add(count, Ordering::Relaxed) + 1
    }

    /// Takes a block, of which the first number is the caller's and the others are the share's, unless
    /// another thread has changed that meanwhile.
    #[cold]
    fn refill(&self, place: &AtomicU64, old: Share) -> u64 {
        let block = if old.count == 0 { old.block * 2 } else { old.block / 2 }.clamp(1, MOST);
        let share = Share { next: self.take(block), count: block, block };
        // Release: edge 1. Relaxed, where it fails: what is there is not used.
        let (old, new) = (old.word(), share.rest().word());
        let _ = place.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed);
        share.next
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn numbers_begin_at_one_and_follow_each_other_in_one_thread() {
        let versions = Versions::new();
        assert!((1..=300).all(|number| versions.next(number - 1) == number));
    }

    #[test]
    fn a_block_is_let_go_for_a_record_that_has_a_later_number() {
        let versions = Versions::new();
        // Blocks of 1, 2, 4 and so on, up to one of 128 from 128 on.
        assert_eq!((0..127).map(|_| versions.next(0)).last(), Some(127));
        assert_eq!((versions.next(0), versions.newest(), versions.next(256)), (128, 256, 257));
        // A block of 64, then, and shorter ones as long as others are faster.
        assert_eq!((versions.next(0), versions.newest()), (258, 321));
        for length in [32, 16, 8, 4, 2, 1, 2, 1, 2] {
            let newest = versions.newest();
            assert_eq!(versions.next(newest), newest + 1);
            assert_eq!(versions.newest(), newest + length + 1);
        }
    }

    #[test]
    fn no_number_is_given_twice_and_those_of_a_record_grow() {
        let versions = Versions::new();
        let records: Vec<Mutex<u64>> = (0..3).map(|_| Mutex::new(0)).collect();
        // More threads than shares.
        let given = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..20)
                .map(|thread| {
                    let (versions, records) = (&versions, &records);
                    scope.spawn(move || {
                        let mut given = Vec::new();
                        for round in 0..2_000 {
                            let mut record = records[(thread + round / 50) % 3].lock().unwrap();
                            let number = versions.next(*record);
                            assert!(number > *record);
                            *record = number;
                            given.push(number);
                        }
                        given
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
    }
}
