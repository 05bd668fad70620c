//! The segment files of an open log: which there are, how one is made, and which are needed no more.
//!
//! * A segment gets its name only when its whole content is durable, and an address in it is granted only when
//!   its name is: who finds a segment by name finds a whole one.
//! * Its file has its full length and allocated blocks from the start: no append changes its size or wants space. Where the
//!   file system cannot allocate, zeros take the space.
//! * Blocks that were allocated and never written cost a sync more: their first write changes metadata. So the file is *paved*
//!   with zeros ahead of records that are synced soon, and only of those, for zeros are as many bytes to the device as the
//!   records: the next segment as a whole while it is made, or the one in use step by step.
//! * A segment is recycled by becoming the one in the making first. Until then it keeps its old name, which lies
//!   below the address from which the log is needed and is therefore never looked at.
//! * All segments of one process share a salt. Each record's checksum covers its 64-bit address, so bytes of an earlier
//!   place in this very run cannot pass for new ones either.

use std::collections::VecDeque;
use std::io;

use holt_codec::{MAX_ADDRESS, SEGMENT_HEADER_LEN, SegmentHeader};

use super::names;
use super::pins::Pins;
use crate::Error;
use crate::disk::{Access, Disk, DiskFile};
use crate::sync::{Arc, AtomicU64, Ordering};

/// Segments that are kept for recycling.
const SPARES: usize = 2;

/// Window of the first segment after opening; each next one is twice as long, up to the option. A process that
/// writes a little makes a small file.
const FIRST_WINDOW: u64 = 1 << 20;

/// Bytes that are paved at once in a segment in use, by who leads a sync: that one takes 1 ms, once in 8,000 short records.
const STEP: u64 = 1 << 20;

/// As long as so many bytes ahead of the records are paved, no step is taken.
const AHEAD: u64 = 64 << 10;

/// Bytes of zeros written at once. Linux caches what one write brings in pieces as large as the write, and a later write of
/// a record pays for the whole piece: 1.00 µs after 1 MiB at once, 0.61 after 256 KiB, 0.53 after 64 KiB, 0.51 after 16 KiB. The
/// zeros themselves, 64 MiB of them, take 6, 6, 7 and 13 ms (ext4, Linux 6.18).
const ZEROS: usize = 64 << 10;

/// A segment that can still be written to, or whose writes are not all synced.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) header: SegmentHeader,
    pub(super) name: String,
    /// The one descriptor from creation to last sync.
    pub(super) file: F,
    /// Whether the file was another segment's before.
    pub(super) recycled: bool,
    /// Address up to which every block has been written at some time. Written by who holds the writer.
    paved: AtomicU64,
}

impl<F: DiskFile> Segment<F> {
    /// Paves ahead of `position`, up to which records are written, unless there is enough.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn pave(&self, position: u64) -> Result<(), Error> {
        // Relaxed, here and below: the writer's lock orders them.
        let paved = self.paved.load(Ordering::Relaxed).max(position);
        let end = self.header.end();
        if paved == end || paved - position >= AHEAD {
            return Ok(());
        }
        let to = end.min(paved.saturating_add(STEP));
        zero(&self.file, &self.name, self.header.file_offset(paved), self.header.file_offset(to))?;
        self.paved.store(to, Ordering::Relaxed);
        Ok(())
    }
}

/// What became of the segment files of an open log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SegmentStats {
    /// Segments that the log is in, the one that is written and those made ahead among them.
    pub segments: u64,
    /// Files that are kept to be recycled.
    pub spares: u64,
    /// Segments made since the log was opened.
    pub made: u64,
    /// Those of them that were made out of a spare file.
    pub recycled: u64,
}

/// A segment whose bytes are durable, or that an earlier process left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) start: u64,
    pub(super) name: String,
    /// Whether this process wrote all of it, so that every block of the file has been written.
    pub(super) whole: bool,
}

/// The files of an open log.
#[derive(Debug)]
pub(super) struct Segments<F> {
    /// In the order of their addresses; all of them below every live one.
    settled: VecDeque<Settled>,
    /// In the order of their addresses.
    live: VecDeque<Arc<Segment<F>>>,
    /// Below the manifest's address and not deleted: to be recycled.
    spares: Vec<String>,
    /// The address up to which the log was given up last; before that, where its oldest segment starts.
    given_up: Option<u64>,
    /// Those who need the log from an address on.
    pub(super) pins: Pins,
    /// Segments made, and those of them that were recycled.
    made: (u64, u64),
}

impl<F: DiskFile> Segments<F> {
    /// The files that recovery found, in the order of their addresses.
    pub(super) fn new(settled: Vec<Settled>) -> Segments<F> {
        Segments {
            settled: settled.into(),
            live: VecDeque::new(),
            spares: Vec::new(),
            given_up: None,
            pins: Pins::default(),
            made: (0, 0),
        }
    }

    /// The live segment that holds the byte at `address`.
    pub(super) fn at(&self, address: u64) -> Option<Arc<Segment<F>>> {
        let behind = self.live.partition_point(|segment| segment.header.start <= address);
        let segment = self.live.get(behind.checked_sub(1)?)?;
        (address < segment.header.end()).then(|| Arc::clone(segment))
    }

    /// The live segments that hold any byte of `from..to`.
    pub(super) fn between(&self, from: u64, to: u64) -> Vec<Arc<Segment<F>>> {
        let touches =
            |segment: &&Arc<Segment<F>>| segment.header.start < to && segment.header.end() > from;
        self.live.iter().filter(touches).cloned().collect()
    }

    /// The last live segment.
    pub(super) fn last(&self) -> Option<&Arc<Segment<F>>> {
        self.live.back()
    }

    pub(super) fn push(&mut self, segment: Arc<Segment<F>>) {
        self.made.0 += 1;
        self.made.1 += u64::from(segment.recycled);
        self.live.push_back(segment);
    }

    pub(super) fn stats(&self) -> SegmentStats {
        SegmentStats {
            segments: (self.settled.len() + self.live.len()) as u64,
            spares: self.spares.len() as u64,
            made: self.made.0,
            recycled: self.made.1,
        }
    }

    /// Lets go of the descriptors of segments that end at or below `synced`.
    pub(super) fn settle(&mut self, synced: u64) {
        while self.live.front().is_some_and(|segment| segment.header.end() <= synced) {
            if let Some(segment) = self.live.pop_front() {
                let (start, name) = (segment.header.start, segment.name.clone());
                self.settled.push_back(Settled { start, name, whole: true });
            }
        }
    }

    /// Window of the next segment, when no segment is longer than `longest`.
    pub(super) fn next_window(&self, longest: u64) -> u64 {
        self.last().map_or(FIRST_WINDOW, |segment| segment.header.window * 2).min(longest)
    }

    pub(super) fn take_spare(&mut self) -> Option<String> {
        self.spares.pop()
    }

    /// Address at which the oldest segment starts.
    pub(super) fn oldest(&self) -> Option<u64> {
        let settled = self.settled.front().map(|segment| segment.start);
        settled.or_else(|| self.live.front().map(|segment| segment.header.start))
    }

    /// All segments, in the order of their addresses.
    pub(super) fn files(&self) -> Vec<Settled> {
        let live = self
            .live
            .iter()
            .map(|segment| (segment.header.start, segment.name.clone()))
            .map(|(start, name)| Settled { start, name, whole: false });
        self.settled.iter().cloned().chain(live).collect()
    }

    /// Takes the segments that nobody needs who needs the log from `address` on out of the list: spares are
    /// kept, the names returned are to be removed.
    ///
    /// Kept are segments of the `longest` window, since no other is ever recycled, if this process wrote them, since the end
    /// of another's last one was never written; and altogether no more of them than the log has taken since it was
    /// given up before: a database that writes little keeps nothing.
    pub(super) fn obsolete(&mut self, address: u64, longest: u64) -> Vec<String> {
        let first = self.settled.front().map(|segment| segment.start);
        let since = self.given_up.or(first).unwrap_or(address);
        let used = address.saturating_sub(since);
        self.given_up = Some(address.max(since));
        let needed = self.pins.needed(address);
        let mut gone = Vec::new();
        // A segment is needed until the next one starts at or below the address.
        while let Some(next) = self.settled.get(1).map(|next| next.start).or_else(|| {
            self.settled.front()?;
            self.live.front().map(|live| live.header.start)
        }) {
            if next > needed {
                break;
            }
            if let Some(segment) = self.settled.pop_front() {
                gone.push((segment.name, segment.whole && next - segment.start == longest));
            }
        }
        if let Some(oldest) = self.oldest() {
            self.pins.begins_at(oldest);
        }
        let most = SPARES.min((used / longest) as usize);
        let mut names: Vec<String> = self.spares.drain(most.min(self.spares.len())..).collect();
        // The newest are the most likely to be in the system's memory still.
        for (name, serves) in gone.into_iter().rev() {
            if serves && self.spares.len() < most {
                self.spares.push(name);
            } else {
                names.push(name);
            }
        }
        names
    }
}

/// Why a segment could not be made, or not marked.
#[derive(Debug)]
pub(super) enum Unmade {
    /// Nothing has changed; it can be tried again.
    Retry(Error),
    /// Names or marks are in doubt for good.
    Doubt(Error),
}

/// Makes a segment, durable content and name, out of a spare file or a new one, which is paved if `pave`.
pub(super) fn make<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    spare: Option<String>,
    pave: bool,
) -> Result<Segment<D::File>, Unmade> {
    if header.start.checked_add(header.window).is_none_or(|end| end > MAX_ADDRESS) {
        return Err(Unmade::Retry(Error::LogExhausted));
    }
    let (mut recycled, mut paved) = (false, header.end());
    let file = match spare.map(|spare| recycle(disk, &header, &spare)) {
        Some(Ok(Some(file))) => {
            recycled = true;
            file
        }
        // A spare that does not serve is no reason to fail while a new file may.
        Some(Ok(None) | Err(_)) | None => {
            remove_leftover(disk).map_err(Unmade::Retry)?;
            match create(disk, &header, pave) {
                Ok((file, whole)) => {
                    paved = if whole { header.end() } else { header.start };
                    file
                }
                Err(error) => {
                    // Gives the space back; if that fails too, the next attempt begins with it.
                    let _ = remove_leftover(disk);
                    return Err(Unmade::Retry(error));
                }
            }
        }
    };
    let name = names::segment(header.start);
    disk.rename(names::MAKING, &name).map_err(|error| {
        let _ = remove_leftover(disk);
        Unmade::Retry(failed("name", &name)(error))
    })?;
    disk.sync_dir().map_err(|error| {
        // No later sync of the directory proves that the name is durable, and the next process must not build on it.
        let _ = disk.remove(&name);
        Unmade::Doubt(failed("sync the directory of", &name)(error))
    })?;
    Ok(Segment { header, name, file, recycled, paved: AtomicU64::new(paved) })
}

/// Turns a spare file into the segment in the making, if it has the right length.
fn recycle<D: Disk>(
    disk: &D,
    header: &SegmentHeader,
    spare: &str,
) -> Result<Option<D::File>, Error> {
    remove_leftover(disk)?;
    disk.rename(spare, names::MAKING).map_err(failed("recycle", spare))?;
    let file = disk.open(names::MAKING, Access::ReadWrite).map_err(failed("open", spare))?;
    if file.len().map_err(failed("measure", spare))? != header.file_len() {
        return Ok(None);
    }
    file.write_bytes_at(&header.encode(), 0).map_err(failed("write", spare))?;
    file.sync_all().map_err(failed("sync", spare))?;
    Ok(Some(file))
}

/// Creates the segment in the making: allocated, durable but for its name; says whether it is paved.
fn create<D: Disk>(disk: &D, header: &SegmentHeader, pave: bool) -> Result<(D::File, bool), Error> {
    let name = names::MAKING;
    let file = disk.create(name).map_err(failed("create", name))?;
    let reserved = file.allocate(0, header.file_len()).map_err(failed("allocate", name))?;
    file.write_bytes_at(&header.encode(), 0).map_err(failed("write", name))?;
    let whole = pave || !reserved;
    if whole {
        zero(&file, name, SEGMENT_HEADER_LEN as u64, header.file_len())?;
    }
    file.sync_all().map_err(failed("sync", name))?;
    Ok((file, whole))
}

/// Writes zeros to the bytes `from..to` of a file.
fn zero<F: DiskFile>(file: &F, name: &str, mut from: u64, to: u64) -> Result<(), Error> {
    let zeros = vec![0; ZEROS.min((to - from) as usize)];
    while from < to {
        let len = (to - from).min(zeros.len() as u64) as usize;
        file.write_bytes_at(&zeros[..len], from).map_err(failed("write", name))?;
        from += len as u64;
    }
    Ok(())
}

/// Removes what an interrupted making left.
fn remove_leftover<D: Disk>(disk: &D) -> Result<(), Error> {
    match disk.remove(names::MAKING) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", names::MAKING)(error))
        }
        _ => Ok(()),
    }
}

/// Turns a disk's error into the crate's.
pub(super) fn failed(doing: &'static str, file: &str) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::Io { doing, file: file.to_owned(), error: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use holt_codec::DbId;

    use super::*;
    use crate::disk::{Operation, SimDisk, Target};

    fn list(starts: &[u64]) -> Segments<<SimDisk as Disk>::File> {
        let settled = |&start| Settled { start, name: names::segment(start), whole: true };
        Segments::new(starts.iter().map(settled).collect())
    }

    #[test]
    fn a_segment_is_needed_until_the_next_one_starts_at_or_below_the_address() {
        let starts = [4096, 8192, 12288, 16384, 20480];
        for (address, gone) in
            [(4096, 0), (8191, 0), (8192, 1), (12287, 1), (16384, 3), (u64::MAX, 4)]
        {
            let mut segments = list(&starts);
            let removed = segments.obsolete(address, 4096);
            assert_eq!(removed.len() + segments.spares.len(), gone, "{address}");
            assert_eq!(segments.settled[0].start, starts[gone], "{address}");
        }
    }

    #[test]
    fn a_pinned_address_keeps_its_segment_until_it_is_unpinned() {
        let mut segments = list(&[4096, 8192, 12288]);
        let ticket = segments.pins.hold(9000, None);
        segments.obsolete(u64::MAX, 4096);
        assert_eq!(segments.settled.len(), 2);
        segments.pins.release(ticket);
        segments.obsolete(u64::MAX, 4096);
        assert_eq!(segments.settled.len(), 1);
    }

    #[test]
    fn a_pin_with_a_bound_keeps_no_more_than_that_and_is_cut_off() {
        let mut segments = list(&[4096, 8192, 12288, 16384]);
        let [near, far] = [9000, 5000].map(|address| segments.pins.hold(address, Some(4096)));
        segments.obsolete(5000 + 4096, 4096);
        assert_eq!((segments.oldest(), segments.pins.feeds().open), (Some(4096), 2));
        // What stays for another reason stays for everybody.
        let firm = segments.pins.hold(4096, None);
        segments.obsolete(9000 + 4096, 4096);
        assert_eq!((segments.oldest(), segments.pins.feeds().cut_off), (Some(4096), 0));
        segments.pins.release(firm);
        segments.obsolete(9000 + 4096, 4096);
        let feeds = segments.pins.feeds();
        assert_eq!((feeds.open, feeds.slowest, feeds.cut_off), (1, Some(9000), 1));
        assert_eq!(segments.oldest(), Some(8192));
        assert!(segments.pins.advance(near, 9008) && !segments.pins.advance(far, 9008));
        assert!(segments.pins.holds(near) && !segments.pins.holds(far));
    }

    #[test]
    fn no_more_is_kept_for_recycling_than_the_log_has_taken_since() {
        let mut segments = list(&[4096, 8192, 12288, 16384, 20480, 24576]);
        assert_eq!(segments.obsolete(20480, 4096).len(), 2);
        assert_eq!(segments.spares.len(), 2);
        // A quiet interval.
        let removed = segments.obsolete(20488, 4096);
        assert_eq!((removed.len(), segments.spares.len()), (2, 0));
    }

    #[test]
    fn a_segment_that_is_not_of_the_longest_window_is_not_kept() {
        let mut segments = list(&[4096, 8192, 12288, 20480]);
        assert_eq!(segments.obsolete(u64::MAX, 8192).len(), 2);
        assert_eq!(segments.spares, [names::segment(12288)]);
    }

    #[test]
    fn paving_goes_step_by_step_ahead_of_the_records_and_leaves_them_alone() {
        let disk = SimDisk::new(1);
        let window = 2 * STEP + 8192;
        let header = SegmentHeader {
            db: DbId([1; 16]),
            salt: 1,
            start: 8192,
            window,
            predecessor_end: 8192,
        };
        let segment = make(&disk, header, None, false).unwrap();
        let write = |address, byte| {
            segment.file.write_bytes_at(&[byte; 100], header.file_offset(address)).unwrap();
        };
        let paved = || segment.paved.load(Ordering::Relaxed);
        let writes = || disk.count(Target::Only(Operation::Write));
        write(8192, 1);
        segment.pave(8292).unwrap();
        assert_eq!(paved(), 8292 + STEP);
        let before = writes();
        segment.pave(8292 + STEP - AHEAD).unwrap();
        assert_eq!((paved(), writes()), (8292 + STEP, before), "there was enough");
        // Records that passed what was paved.
        let far = 8192 + STEP + 5000;
        write(far, 2);
        segment.pave(far + 100).unwrap();
        assert_eq!(paved(), far + 100 + STEP);
        segment.pave(header.end() - 50_000).unwrap();
        assert_eq!(paved(), header.end());
        let before = writes();
        segment.pave(header.end()).unwrap();
        assert_eq!(writes(), before, "all of it was paved");
        let bytes = disk.contents(&segment.name).unwrap();
        assert_eq!(bytes.len() as u64, header.file_len());
        let records = bytes[SEGMENT_HEADER_LEN..].iter().filter(|&&byte| byte != 0);
        assert_eq!(records.count(), 200);

        // One that is paved while it is made.
        let next = SegmentHeader { start: header.end(), ..header };
        let segment = make(&disk, next, None, true).unwrap();
        assert_eq!(segment.paved.load(Ordering::Relaxed), next.end());

        // One on a disk where nothing but zeros takes the space.
        disk.set_reserving(false);
        let before = disk.used();
        let last = SegmentHeader { start: next.end(), ..header };
        let segment = make(&disk, last, None, false).unwrap();
        assert_eq!(segment.paved.load(Ordering::Relaxed), last.end());
        assert_eq!(disk.used() - before, last.file_len());
    }

    #[test]
    fn a_segment_that_an_earlier_process_left_is_not_kept() {
        let mut segments = list(&[4096, 8192, 12288, 16384]);
        segments.settled[1].whole = false;
        assert_eq!(segments.obsolete(u64::MAX, 4096), [names::segment(8192)]);
        assert_eq!(segments.spares, [names::segment(12288), names::segment(4096)]);
    }
}
