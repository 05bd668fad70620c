//! Writers that meet: which threads change a frame in turns, and what of it each of them changes.
//!
//! Threads that write to different directories never wait for each other's records, but they do for each
//! other's frames: a processor that changes a frame which another one has changed last fetches the lines of its
//! row from there, and now and then finds it latched. Where all frames hold directories of both threads, a put of two costs nearly
//! what it costs one of them alone. So writers that keep meeting in a frame part: the entries of
//! one of them move to a frame of its own (`tree/apart.rs`).
//!
//! A frame's row says who changed it last. One in [`SAMPLED`] of a frame's changes is looked at, and if the last
//! one was another thread's, the entry and the thread are noted here. [`ENOUGH`] such *samples* of a frame decide: when
//! nearly all entries that were seen more than once belong to one thread each, the writers can part. When they write to
//! the same entries nothing would be gained, and the samples are forgotten. To part costs 26 to 45 µs, a
//! few hundredths of what the changes took that had to be seen before, so writers that change places all the time lose little by it.
//!
//! So that frames stay full, a frame that is left to one thread is noted as one of its *homes*, which takes what
//! of that thread is found elsewhere. All of this is a hint: a frame or an entry of that number may be another one by
//! now, and a thread may have ended.

use std::collections::{BTreeMap, VecDeque};

use crate::sync::thread_number;

/// One in so many of a frame's changes is looked at.
const SAMPLED: u64 = 32;
/// So many samples of a frame decide about it.
const ENOUGH: usize = 128;
/// Frames with samples; with more, all samples are forgotten.
const MOST_FRAMES: usize = 1024;
/// Threads with homes; with more, all homes are forgotten.
const MOST_THREADS: usize = 256;
/// Homes of a thread.
const HOMES: usize = 8;

/// Whether the change that follows this version of a frame is looked at. Which ones are has nothing to do with what
/// threads do in turns: these are the multiples of the golden ratio that are a little above an integer (Knuth, *The Art of
/// Computer Programming*, volume 3, 6.4).
#[inline]
pub(super) fn is_sampled(version: u64) -> bool {
    version.wrapping_mul(0x9E37_79B9_7F4A_7C15) < u64::MAX / SAMPLED
}

/// A number of this thread, which few others have.
#[inline]
pub(crate) fn this_thread() -> u16 {
    #[cfg(test)]
    if let Some(thread) = PLAYED.get() {
        return thread;
    }
    thread_number() as u16
}

#[cfg(test)]
thread_local! {
    /// Whom this thread plays.
    pub(crate) static PLAYED: std::cell::Cell<Option<u16>> = const { std::cell::Cell::new(None) };
}

/// The entry that was changed, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Sample {
    entry: u16,
    thread: u16,
}

/// One of two writers that can part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Side {
    pub(crate) thread: u16,
    /// The entries that only this thread was seen to change.
    pub(crate) entries: Vec<u16>,
    /// Frames that may have been left to it, the latest first.
    pub(crate) homes: Vec<u32>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Meetings {
    /// The samples of a frame, by its number. After a split some are of entries that are elsewhere now.
    frames: BTreeMap<u32, Vec<Sample>>,
    homes: BTreeMap<u16, VecDeque<u32>>,
}

impl Meetings {
    /// Notes that `thread` changed an entry of a frame that another thread had changed last. Returns the two writers
    /// that are to part there, if it is time for that.
    pub(crate) fn note(&mut self, frame: u32, entry: usize, thread: u16) -> Option<[Side; 2]> {
        if self.frames.len() == MOST_FRAMES && !self.frames.contains_key(&frame) {
            self.frames.clear();
        }
        let samples = self.frames.entry(frame).or_default();
        samples.push(Sample { entry: entry as u16, thread });
        if samples.len() < ENOUGH {
            return None;
        }
        let sides = sides(self.frames.remove(&frame)?)?;
        Some(sides.map(|(thread, entries)| {
            let homes = self.homes.get(&thread).into_iter().flatten();
            Side { thread, entries, homes: homes.copied().filter(|&home| home != frame).collect() }
        }))
    }

    /// Notes a frame that has been left to `thread`.
    pub(crate) fn note_home(&mut self, thread: u16, frame: u32) {
        if self.homes.len() == MOST_THREADS && !self.homes.contains_key(&thread) {
            self.homes.clear();
        }
        for homes in self.homes.values_mut() {
            homes.retain(|&home| home != frame);
        }
        let homes = self.homes.entry(thread).or_default();
        homes.push_front(frame);
        homes.truncate(HOMES);
    }
}

/// The two threads with the most samples of entries that nobody else was seen to change, and these entries,
/// unless entries that were seen more than once are few or often belong to several threads.
fn sides(mut samples: Vec<Sample>) -> Option<[(u16, Vec<u16>); 2]> {
    samples.sort_unstable();
    let (mut seen, mut parted) = (0, 0);
    let mut threads: BTreeMap<u16, (usize, Vec<u16>)> = BTreeMap::new();
    for group in samples.chunk_by(|one, other| one.entry == other.entry) {
        let alone =
            group.first().map(|sample| sample.thread) == group.last().map(|sample| sample.thread);
        // An entry that was seen once proves nothing, and belongs to its thread if the others do.
        if group.len() > 1 {
            seen += group.len();
            parted += if alone { group.len() } else { 0 };
        }
        if alone {
            let (count, entries) = threads.entry(group[0].thread).or_default();
            *count += group.len();
            entries.push(group[0].entry);
        }
    }
    if 2 * seen < ENOUGH || 10 * parted < 9 * seen {
        return None;
    }
    let mut threads: Vec<_> = threads.into_iter().collect();
    threads.sort_by_key(|&(_, (count, _))| std::cmp::Reverse(count));
    let mut threads = threads.into_iter().map(|(thread, (_, entries))| (thread, entries));
    Some([threads.next()?, threads.next()?])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Notes changes by two threads in turns until there is an answer, or for four times as many as are enough.
    fn decide(meetings: &mut Meetings, entry: impl Fn(usize, u16) -> usize) -> Option<[Side; 2]> {
        (0..4 * ENOUGH).find_map(|n| {
            let thread = (n % 2) as u16;
            meetings.note(7, entry(n / 2, thread), thread)
        })
    }

    #[test]
    fn writers_of_different_entries_part() {
        let mut meetings = Meetings::default();
        meetings.note_home(1, 9);
        meetings.note_home(1, 7);
        meetings.note_home(1, 11);
        let sides = decide(&mut meetings, |n, thread| n % 10 * 2 + usize::from(thread)).unwrap();
        let side = |thread: u16, homes| {
            let entries = (0..10).map(|n| n * 2 + thread).collect();
            Side { thread, entries, homes }
        };
        assert_eq!(sides, [side(0, vec![]), side(1, vec![11, 9])]);
        // What has been decided is forgotten.
        assert_eq!(meetings.note(7, 0, 0), None);
    }

    #[test]
    fn writers_of_the_same_entries_stay() {
        let mut meetings = Meetings::default();
        assert_eq!(decide(&mut meetings, |n, _| n % 10), None);
        // One entry of three is common.
        assert_eq!(decide(&mut meetings, |n, thread| [4, 5, thread.into()][n % 3]), None);
        // So many that hardly one is seen twice.
        assert_eq!(decide(&mut meetings, |n, thread| n * 2 + usize::from(thread)), None);
        // All are of one thread: there is nobody to part from.
        assert_eq!((0..4 * ENOUGH).find_map(|n| meetings.note(8, n % 10, 0)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut meetings = Meetings::default();
        for n in 0..10 * MOST_FRAMES as u32 {
            assert_eq!(meetings.note(n, 0, 0), None);
            meetings.note_home(n as u16, n);
            meetings.note_home(0, n);
            assert!(meetings.frames.len() <= MOST_FRAMES);
            assert!(meetings.homes.len() <= MOST_THREADS);
        }
        assert!(meetings.homes.values().all(|homes| homes.len() <= HOMES));
    }
}
