//! Values too large for a frame: immutable runs of 4-KiB pages in an arena of their own.
//!
//! A blob is written before the frame that will refer to it is latched, and never
//! changed. Freed pages are reused at once; a reader that raced with that fails the
//! validation of the frame that it found the blob through, because the frame changed
//! before the blob was freed, and whoever fills the pages anew does so after a
//! release fence (see `pool::latch`, edge 3).

use std::collections::{BTreeMap, BTreeSet};

use crate::arena::Arena;
use crate::error::Error;
use crate::sync::{AtomicU64, Mutex, Ordering, fence, lock};

/// Words in a page.
const PAGE_WORDS: usize = 512;
/// Bytes in a page.
const PAGE_BYTES: usize = PAGE_WORDS * 8;
/// Birth of a blob that no frame refers to yet.
pub(crate) const UNBORN: u64 = u64::MAX;
/// Words of a blob's entry in the table.
const TABLE_WORDS: usize = 4;

/// Object numbers of blobs begin here; those of frames are below.
pub(crate) const BLOB_OBJECT: u64 = 1 << 32;

#[derive(Debug)]
struct Books {
    /// Free runs: first page and number of pages. No two are adjacent.
    runs: BTreeMap<u32, u32>,
    /// Smallest page that has never been used.
    next_page: u32,
    free_numbers: BTreeSet<u32>,
    /// Smallest blob number that has never been used; 0 is not given out.
    next_number: u32,
    /// Pages in use.
    pages: usize,
    /// Blobs in use, those kept for a pin included.
    blobs: usize,
}

/// The arena of blobs.
#[derive(Debug)]
pub(crate) struct Blobs {
    pages: Arena<PAGE_WORDS>,
    /// A blob's four words: first page | pages << 32; epoch of birth; length in bytes; 0.
    /// Written before the blob's number gets into a frame.
    table: Arena<TABLE_WORDS>,
    books: Mutex<Books>,
}

impl Blobs {
    pub(crate) fn new(bytes: u64) -> Result<Self, Error> {
        let pages = usize::try_from(bytes / PAGE_BYTES as u64).unwrap_or(usize::MAX);
        let pages = pages.clamp(1, u32::MAX as usize);
        Ok(Self {
            pages: Arena::new(pages, true)?,
            table: Arena::new(pages + 1, false)?,
            books: Mutex::new(Books {
                runs: BTreeMap::new(),
                next_page: 0,
                free_numbers: BTreeSet::new(),
                next_number: 1,
                pages: 0,
                blobs: 0,
            }),
        })
    }

    fn entry(&self, number: u32) -> Option<&[AtomicU64; TABLE_WORDS]> {
        self.table.get(number as usize)
    }

    /// Writes a new blob and returns its number. It belongs to no epoch yet: that is
    /// for [`Blobs::born`], called when the blob gets into a frame, so that a cut in
    /// between does not take it for a part of the tree.
    pub(crate) fn write(&self, value: &[u8]) -> Result<u32, Error> {
        let number = {
            let mut books = lock(&self.books);
            match books.free_numbers.pop_first() {
                Some(number) => number,
                None if (books.next_number as usize) < self.table.slots() => {
                    books.next_number += 1;
                    books.next_number - 1
                }
                None => return Err(self.full()),
            }
        };
        let written = self.fill(number, value, UNBORN);
        if written.is_err() {
            lock(&self.books).free_numbers.insert(number);
        }
        written.map(|()| number)
    }

    /// Stamps the blob with the epoch in which a frame began to refer to it.
    pub(crate) fn born(&self, number: u32, epoch: u64) {
        // Relaxed: a cut reads it after the gate has been closed and opened in between.
        self.table.slot(number as usize)[1].store(epoch, Ordering::Relaxed);
    }

    /// Restores the blob `number` from its image, the value itself.
    pub(crate) fn load(&self, number: u32, value: &[u8], epoch: u64) -> Result<(), Error> {
        let claimed = {
            let mut books = lock(&self.books);
            if number == 0 || number as usize >= self.table.slots() {
                false
            } else if number < books.next_number {
                books.free_numbers.remove(&number)
            } else {
                let gap = books.next_number..number;
                books.free_numbers.extend(gap);
                books.next_number = number + 1;
                true
            }
        };
        if !claimed {
            return Err(Error::Image {
                object: BLOB_OBJECT | u64::from(number),
                what: "its number is taken or out of range".into(),
            });
        }
        let loaded = self.fill(number, value, epoch);
        if loaded.is_err() {
            lock(&self.books).free_numbers.insert(number);
        }
        loaded
    }

    fn fill(&self, number: u32, value: &[u8], epoch: u64) -> Result<(), Error> {
        let count = value.len().div_ceil(PAGE_BYTES).max(1) as u32;
        let first = self.take_pages(count).ok_or_else(|| self.full())?;
        // Release fence: a reader that sees what is stored from here on also sees that
        // the frame through which it came has changed (pool::latch, edge 3).
        fence(Ordering::Release);
        for (page, chunk) in (first as usize..).zip(value.chunks(PAGE_BYTES)) {
            let words = self.pages.slot(page);
            for (word, bytes) in words.iter().zip(chunk.chunks(8)) {
                let mut full = [0; 8];
                full[..bytes.len()].copy_from_slice(bytes);
                // Relaxed: published with the reference to the blob.
                word.store(u64::from_le_bytes(full), Ordering::Relaxed);
            }
        }
        let entry = self.table.slot(number as usize);
        // Relaxed: published with the reference to the blob.
        entry[0].store(u64::from(first) | u64::from(count) << 32, Ordering::Relaxed);
        entry[1].store(epoch, Ordering::Relaxed);
        entry[2].store(value.len() as u64, Ordering::Relaxed);
        lock(&self.books).blobs += 1;
        Ok(())
    }

    fn take_pages(&self, count: u32) -> Option<u32> {
        let mut books = lock(&self.books);
        let fit = books.runs.iter().find(|&(_, &pages)| pages >= count).map(|(&at, &n)| (at, n));
        let first = match fit {
            Some((first, pages)) => {
                books.runs.remove(&first);
                if pages > count {
                    books.runs.insert(first + count, pages - count);
                }
                first
            }
            None => {
                let first = books.next_page;
                let end = first.checked_add(count)?;
                if end as usize > self.pages.slots() {
                    return None;
                }
                books.next_page = end;
                first
            }
        };
        books.pages += count as usize;
        Some(first)
    }

    /// Copies the blob's bytes to the end of `out`; false when there is no blob of that
    /// number and length, which an optimistic reader may meet.
    #[must_use]
    pub(crate) fn read(&self, number: u32, length: usize, out: &mut Vec<u8>) -> bool {
        let Some(entry) = self.entry(number) else { return false };
        let place = entry[0].load(Ordering::Relaxed);
        let (first, count) = (place as u32 as usize, (place >> 32) as usize);
        if count == 0
            || entry[2].load(Ordering::Relaxed) != length as u64
            || length > count * PAGE_BYTES
            || first + count > self.pages.slots()
        {
            return false;
        }
        let start = out.len();
        out.resize(start + length, 0);
        for (page, chunk) in out[start..].chunks_mut(PAGE_BYTES).enumerate() {
            let words = self.pages.slot(first + page);
            for (word, bytes) in words.iter().zip(chunk.chunks_mut(8)) {
                // Relaxed: validated by the reader against the frame that named the blob.
                let full = word.load(Ordering::Relaxed).to_le_bytes();
                bytes.copy_from_slice(&full[..bytes.len()]);
            }
        }
        true
    }

    /// Length of the blob in bytes.
    pub(crate) fn length(&self, number: u32) -> Option<usize> {
        self.entry(number).map(|entry| entry[2].load(Ordering::Relaxed) as usize)
    }

    /// Epoch in which the blob was written.
    pub(crate) fn birth(&self, number: u32) -> u64 {
        self.entry(number).map_or(0, |entry| entry[1].load(Ordering::Relaxed))
    }

    /// Frees a blob that nobody needs any more.
    pub(crate) fn release(&self, number: u32) {
        let mut books = lock(&self.books);
        let books = &mut *books;
        let entry = self.table.slot(number as usize);
        let place = entry[0].load(Ordering::Relaxed);
        // No pages: no blob. An optimistic reader then starts again.
        entry[0].store(0, Ordering::Relaxed);
        // Whoever writes the next blob of this number has it listed before it is complete;
        // it must not look as old as this one until then.
        entry[1].store(UNBORN, Ordering::Relaxed);
        entry[2].store(0, Ordering::Relaxed);
        let (mut first, mut count) = (place as u32, (place >> 32) as u32);
        books.pages -= count as usize;
        books.blobs -= 1;
        if let Some((&before, &pages)) = books.runs.range(..first).next_back()
            && before + pages == first
        {
            books.runs.remove(&before);
            first = before;
            count += pages;
        }
        if let Some(pages) = books.runs.remove(&(first + count)) {
            count += pages;
        }
        if first + count == books.next_page {
            books.next_page = first;
        } else {
            books.runs.insert(first, count);
        }
        books.free_numbers.insert(number);
    }

    /// All blobs that exist, those kept for a pin included.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let books = lock(&self.books);
        (1..books.next_number).filter(|number| !books.free_numbers.contains(number)).collect()
    }

    /// Whether so many more blobs, of so many bytes together, are sure to find a place.
    pub(crate) fn has_room(&self, blobs: usize, bytes: u64) -> bool {
        let pages = (bytes / PAGE_BYTES as u64).saturating_add(blobs as u64);
        let unused = self.pages.slots() - lock(&self.books).next_page as usize;
        pages <= unused as u64
    }

    /// Pages and blobs in use.
    pub(crate) fn used(&self) -> (usize, usize) {
        let books = lock(&self.books);
        (books.pages, books.blobs)
    }

    /// What does not add up: every page that was ever used has to be part of one blob or of
    /// one free run.
    pub(crate) fn check(&self) -> Result<(), String> {
        let books = lock(&self.books);
        let mut runs: Vec<(u32, u32)> = books.runs.iter().map(|(&at, &n)| (at, n)).collect();
        let (mut blobs, mut pages) = (0, 0);
        for number in (1..books.next_number).filter(|n| !books.free_numbers.contains(n)) {
            // Relaxed: nobody writes meanwhile.
            let place = self.table.slot(number as usize)[0].load(Ordering::Relaxed);
            let (first, count) = (place as u32, (place >> 32) as u32);
            if count == 0 {
                return Err(format!("blob {number} is in use and has no pages"));
            }
            blobs += 1;
            pages += count as usize;
            runs.push((first, count));
        }
        if (pages, blobs) != (books.pages, books.blobs) {
            return Err(format!("{blobs} blobs have {pages} pages; {books:?}"));
        }
        runs.sort_unstable();
        let end = runs.iter().try_fold(0, |end, &(at, n)| (at == end).then_some(at + n));
        if end != Some(books.next_page) {
            return Err(format!(
                "pages are lost or used twice: {runs:?} up to {}",
                books.next_page
            ));
        }
        Ok(())
    }

    fn full(&self) -> Error {
        Error::PoolFull { what: "blobs", limit: (self.pages.slots() * PAGE_BYTES) as u64 }
    }
}
