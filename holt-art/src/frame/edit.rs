//! Changing a latched frame: blocks of words, lanes, counters.
//!
//! An [`Edit`] belongs to whoever holds the frame's latch (or has a frame that nobody
//! can reach yet). Blocks are taken first; when one cannot be had, all are given
//! back and the frame means what it meant before. Only then are they linked.

use super::saving::Saving;
use super::{
    COUNTERS, Counters, ENTRIES, Entry, Extent, FRAME_WORDS, FREE_HEADS, FREE_SIZES, IDENTITY, Loc,
    MIN_ENTRIES, Nature, Ref, View, Words,
};
use crate::sync::Ordering;

/// The frame has no block of the size asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoRoom;

/// Most blocks that one operation takes: a chain of nodes for a long rest, and a few.
const MAX_TAKEN: usize = 32;

/// Exclusive access to a frame's words on behalf of one of its entries.
#[derive(Debug)]
pub(crate) struct Edit<'f> {
    words: &'f Words,
    counters: Counters,
    /// Index of the entry whose subtree is changed.
    entry: usize,
    /// That entry's counters, written back by [`Edit::finish`].
    root_words: usize,
    /// The upper half of the entry's word as it is packed: one number to carry for all of it.
    counts: u64,
    /// Blocks taken since the beginning: offset and words.
    taken: [(u16, u16); MAX_TAKEN],
    taken_len: usize,
    /// Where words go before they are changed, if somebody needs them.
    saving: Option<Saving<'f>>,
}

impl<'f> Edit<'f> {
    /// Begins to change the subtree of `entry`.
    #[inline]
    pub(crate) fn new(words: &'f Words, entry: usize) -> Self {
        Self::saving(words, entry, None)
    }

    /// As [`Edit::new`]; words are saved before they are changed, if somebody needs them.
    #[inline]
    pub(crate) fn saving(words: &'f Words, entry: usize, saving: Option<Saving<'f>>) -> Self {
        let view = View::new(words);
        let word = view.word(ENTRIES + entry);
        Self {
            words,
            counters: view.counters(),
            entry,
            root_words: Entry::unpack(word).words,
            counts: word >> 32,
            taken: [(0, 0); MAX_TAKEN],
            taken_len: 0,
            saving,
        }
    }

    /// Saves words that are about to be changed. Apart, so that those who have nothing to save are not slowed down
    /// by it: a put stores a dozen words.
    #[cold]
    #[inline(never)]
    fn save(&self, at: usize, count: usize) {
        if let Some(saving) = &self.saving {
            saving.before_change(at..at + count);
        }
    }

    /// Makes an empty frame of `words`, with an entry table of `entries`.
    pub(crate) fn format(words: &Words, nature: Nature, entries: usize) {
        let entries = entries.max(MIN_ENTRIES);
        let used = ENTRIES + entries;
        let set = |at: usize, word: u64| {
            // Relaxed: nobody can reach the frame yet.
            words[at].store(word, Ordering::Relaxed);
        };
        for at in FREE_HEADS..used {
            set(at, 0);
        }
        set(COUNTERS, Counters { used, live: used, entries, ascending: nature.ascending }.pack());
        set(IDENTITY, nature.pack());
    }

    #[inline]
    pub(crate) fn view(&self) -> View<'f> {
        View::new(self.words)
    }

    #[inline]
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    #[inline]
    pub(crate) fn set(&self, at: usize, word: u64) {
        if self.saving.is_some() {
            self.save(at, 1);
        }
        // Relaxed: published by the release of the latch (pool::latch, edge 1).
        self.words[at & (FRAME_WORDS - 1)].store(word, Ordering::Relaxed);
    }

    /// Stores a reference.
    #[inline]
    pub(crate) fn set_ref(&self, loc: Loc, reference: Ref) {
        let word = self.view().word(loc.word());
        let cleared = word & !(0xFFFF << loc.shift());
        self.set(loc.word(), cleared | u64::from(reference.0) << loc.shift());
    }

    /// Takes a block of `count` words.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<usize, NoRoom> {
        debug_assert!(count > 0);
        let at = if let Some(at) = self.pop_free(count) {
            at
        } else if self.counters.used + count <= FRAME_WORDS {
            let at = self.counters.used;
            self.counters.used += count;
            at
        } else {
            match self.take_from_larger(count) {
                Some(at) => at,
                None => {
                    self.give_back_all();
                    return Err(NoRoom);
                }
            }
        };
        self.counters.live += count;
        self.root_words += count;
        assert!(self.taken_len < MAX_TAKEN, "an operation took more than {MAX_TAKEN} blocks");
        self.taken[self.taken_len] = (at as u16, count as u16);
        self.taken_len += 1;
        Ok(at)
    }

    /// Takes a block that is not given back when a later one cannot be had: for copies,
    /// whose room has been made sure of before.
    pub(crate) fn take_for_good(&mut self, count: usize) -> Result<usize, NoRoom> {
        let at = self.take(count)?;
        self.taken_len = 0;
        Ok(at)
    }

    /// As [`Edit::take_for_good`], from the words never handed out while there are enough: a
    /// copy keeps the order in which it is made.
    #[inline]
    pub(crate) fn take_in_order(&mut self, count: usize) -> Result<usize, NoRoom> {
        let at = self.counters.used;
        if at + count > FRAME_WORDS {
            return self.take_for_good(count);
        }
        self.counters.used += count;
        self.counters.live += count;
        self.root_words += count;
        Ok(at)
    }

    /// Copies `count` words of another frame to `at`.
    #[inline]
    pub(crate) fn copy_words(&self, from: View<'_>, start: usize, at: usize, count: usize) {
        if let (Some(source), Some(target)) =
            (from.run(start, count), self.words.get(at..at + count))
        {
            if self.saving.is_some() {
                self.save(at, count);
            }
            // Relaxed, all: the source is latched, the target published by its latch.
            let (fours, rest) = target.as_chunks::<4>();
            let (source_fours, source_rest) = source.as_chunks::<4>();
            for (target, source) in fours.iter().zip(source_fours) {
                for (target, source) in target.iter().zip(source) {
                    target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
            for (target, source) in rest.iter().zip(source_rest) {
                target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }

    /// Words that can be taken one after the other without a look at the free lists.
    pub(crate) fn bump_room(&self) -> usize {
        FRAME_WORDS - self.counters.used
    }

    /// Returns a block.
    #[inline]
    pub(crate) fn give(&mut self, at: usize, count: usize) {
        self.counters.live -= count;
        self.root_words -= count;
        self.push_free(at, count);
    }

    /// Counts records of the entry's subtree that came or went.
    #[inline]
    pub(crate) fn count_keys(&mut self, change: isize) {
        self.counts = self.counts.wrapping_add_signed(change as i64);
    }

    /// Counts crossings of the entry's subtree that came or went.
    #[inline]
    pub(crate) fn count_crossings(&mut self, change: isize) {
        self.counts = self.counts.wrapping_add_signed((change as i64) << 16);
    }

    /// Counts blocks and records that are in the frame already as the entry's own.
    pub(crate) fn adopt(&mut self, part: Extent) {
        self.root_words += part.words;
        self.count_keys(part.keys as isize);
        self.count_crossings(part.crossings as isize);
    }

    /// Counts blocks and records that stay in the frame as the entry's own no longer.
    pub(crate) fn disown(&mut self, part: Extent) {
        self.root_words -= part.words;
        self.count_keys(-(part.keys as isize));
        self.count_crossings(-(part.crossings as isize));
    }

    /// Notes whether an insertion was behind everything below its node, for the
    /// choice of the cut when the frame is split.
    #[inline]
    pub(crate) fn note_insertion(&mut self, last: bool) {
        self.counters.ascending =
            if last { (self.counters.ascending + 1).min(64) } else { self.counters.ascending / 4 };
    }

    /// Changes what the frame is, apart from its number and its counters.
    pub(crate) fn set_nature(words: &Words, nature: Nature) {
        // Relaxed: published by the release of the latch.
        words[IDENTITY].store(nature.pack(), Ordering::Relaxed);
    }

    /// Writes the counters back. The edit must end with it.
    #[inline]
    pub(crate) fn finish(self) {
        self.update(COUNTERS, self.counters.pack());
        self.end();
    }

    /// Goes on with another entry, which is new and empty, when the one before has come to its [`end`](Edit::end).
    #[inline]
    pub(crate) fn begin(&mut self, entry: usize) {
        (self.entry, self.root_words, self.counts) = (entry, 0, 0);
        self.set(ENTRIES + entry, Entry { occupied: true, ..Entry::default() }.pack());
    }

    /// Writes the entry's counters back.
    #[inline]
    pub(crate) fn end(&self) {
        let root = self.view().reference(Loc::entry(self.entry));
        let entry = Entry { root, words: self.root_words, occupied: true, ..Entry::default() };
        self.update(ENTRIES + self.entry, entry.pack() | self.counts << 32);
    }

    /// Stores a word if it is another one than before: a line that is only read may stay in the caches of all
    /// processors. A record that is replaced by one of its size changes neither of the two words.
    #[inline]
    fn update(&self, at: usize, word: u64) {
        if self.view().word(at) != word {
            self.set(at, word);
        }
    }

    /// Writes the counters back and takes the entry, whose subtree is gone, out of use.
    pub(crate) fn vacate(self) {
        debug_assert_eq!(
            (self.root_words, Entry::unpack(self.counts << 32).extent()),
            (0, Extent::default())
        );
        self.set(COUNTERS, self.counters.pack());
        self.set(ENTRIES + self.entry, Entry::default().pack());
    }

    fn give_back_all(&mut self) {
        while self.taken_len > 0 {
            self.taken_len -= 1;
            let (at, count) = self.taken[self.taken_len];
            let (at, count) = (usize::from(at), usize::from(count));
            if at + count == self.counters.used {
                self.counters.used = at;
                self.counters.live -= count;
                self.root_words -= count;
            } else {
                self.give(at, count);
            }
        }
    }

    fn head(count: usize) -> Loc {
        Loc::nth(FREE_HEADS, count - 1)
    }

    /// Takes a block of exactly `count` words from its free list.
    #[inline]
    fn pop_free(&mut self, count: usize) -> Option<usize> {
        if count > FREE_SIZES {
            return None;
        }
        let head = self.view().reference(Self::head(count)).0;
        if head == 0 {
            return None;
        }
        let at = usize::from(head);
        let next = self.view().word(at) as u16;
        self.set_ref(Self::head(count), Ref(next));
        Some(at)
    }

    /// Puts a block on the free lists, in pieces where it is larger than their largest.
    fn push_free(&mut self, mut at: usize, mut count: usize) {
        while count > 0 {
            let piece = count.min(FREE_SIZES);
            let head = Self::head(piece);
            self.set(at, u64::from(self.view().reference(head).0));
            self.set_ref(head, Ref(at as u16));
            at += piece;
            count -= piece;
        }
    }

    /// Cuts a block of `count` words off a larger free one.
    #[cold]
    fn take_from_larger(&mut self, count: usize) -> Option<usize> {
        for larger in count + 1..=FREE_SIZES {
            if let Some(at) = self.pop_free(larger) {
                self.push_free(at + count, larger - count);
                return Some(at);
            }
        }
        None
    }

    /// Puts `entry` into the table at `index`, outside the counters of this edit's entry.
    pub(crate) fn set_entry(words: &Words, index: usize, entry: Entry) {
        // Relaxed: published by the release of the latch.
        words[ENTRIES + index].store(entry.pack(), Ordering::Relaxed);
    }
}
