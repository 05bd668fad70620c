//! Anonymous memory in slots of one size, never unmapped while the pool lives.
//!
//! A slot is an array of atomic words, so any thread may read any slot at any
//! time without a data race; what the words *mean* is guarded by the version in
//! the frame table. All of the crate's `unsafe` is here, but for a call in `frame/reach.rs`.

use crate::error::Error;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// A contiguous region of `slots × WORDS` zeroed words.
///
/// The region is reserved at once and takes memory only where it is touched. That is in huge
/// pages, where the system has them and they are wanted, but for the first [`SMALL`] bytes:
/// what is small is not to take 2 MiB for each of its arenas. Once [outgrown](Arena::outgrow),
/// they are the system's to join.
#[derive(Debug)]
pub(crate) struct Arena<const WORDS: usize> {
    /// Start of the region; aligned to `ALIGN`.
    base: *const [AtomicU64; WORDS],
    /// Number of slots in the region.
    slots: usize,
    /// The mapping as the operating system gave it, for unmapping.
    mapping: (*mut core::ffi::c_void, usize),
    /// Whether the first bytes are still to stay in small pages.
    small: AtomicBool,
}

/// Alignment of the region: one huge page, so that the system may use them.
const ALIGN: usize = 2 << 20;

/// Bytes behind the last slot that are there to be read, see [`Arena::wide`].
const OVERHANG: usize = 4096;

/// Bytes at the beginning of an arena that take memory by small pages.
const SMALL: usize = 4 << 20;

const _: () = assert!(SMALL.is_multiple_of(ALIGN));

// SAFETY: the region is owned by the arena and consists of atomics, which any
// thread may access through a shared reference; nothing in the arena is tied to
// the thread that made it.
unsafe impl<const WORDS: usize> Send for Arena<WORDS> {}
// SAFETY: as above; all methods but `drop` take `&self` and only hand out shared
// references to atomics.
unsafe impl<const WORDS: usize> Sync for Arena<WORDS> {}

impl<const WORDS: usize> Arena<WORDS> {
    /// Bytes in a slot.
    pub(crate) const SLOT_BYTES: usize = WORDS * 8;

    /// Reserves room for `slots` slots.
    ///
    /// # Errors
    ///
    /// [`Error::Reserve`] when the system has no such stretch of address space.
    pub(crate) fn new(slots: usize, huge_pages: bool) -> Result<Self, Error> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let refuse = |bytes: usize, reason: &dyn core::fmt::Display| Error::Reserve {
            bytes: bytes as u64,
            reason: reason.to_string(),
        };
        let bytes = slots
            .checked_mul(Self::SLOT_BYTES)
            .and_then(|bytes| bytes.checked_add(ALIGN + OVERHANG))
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(|| refuse(usize::MAX, &"more than the address space"))?;
        #[cfg(target_os = "linux")]
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        #[cfg(not(target_os = "linux"))]
        let flags = MapFlags::PRIVATE;
        // SAFETY: a new anonymous mapping at an address of the system's choice
        // aliases no existing memory.
        let start = unsafe {
            mmap_anonymous(core::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags)
        }
        .map_err(|errno| refuse(bytes, &errno))?;
        let skip = start.cast::<u8>().align_offset(ALIGN);
        // What the system does not promise for every type of pointer, it does for bytes.
        assert!(skip < ALIGN, "any address can be rounded up to a multiple of {ALIGN} bytes");
        // SAFETY: `skip < ALIGN` and the mapping has more than `ALIGN` spare bytes, so the
        // result stays inside the one mapping.
        let base = unsafe { start.cast::<u8>().add(skip) };
        let arena = Self {
            base: base.cast(),
            slots,
            mapping: (start, bytes),
            small: AtomicBool::new(huge_pages),
        };
        if huge_pages {
            let length = slots * Self::SLOT_BYTES;
            arena.advise(0, length.min(SMALL), false);
            arena.advise(length.min(SMALL), length, true);
        }
        Ok(arena)
    }

    /// Asks for huge pages, or for small ones, from one byte to another; these are multiples of
    /// the size of a page or the arena's end.
    #[cfg(target_os = "linux")]
    fn advise(&self, from: usize, to: usize, huge: bool) {
        use rustix::mm::{Advice, madvise};
        if from == to {
            return;
        }
        let advice = if huge { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
        // SAFETY: no byte of the range is beyond the slots, which lie inside the mapping.
        let start = unsafe { self.base.cast::<u8>().add(from) };
        // Huge pages are a wish: a system without them runs with small ones.
        // SAFETY: as above, and the advice changes no contents.
        let _ = unsafe { madvise(start.cast_mut().cast(), to - from, advice) };
    }

    #[cfg(not(target_os = "linux"))]
    fn advise(&self, _from: usize, _to: usize, _huge: bool) {}

    /// Takes a huge page for the first bytes after all: for an arena of which much is used at once.
    pub(crate) fn begin_huge(&self) {
        self.advise(0, ALIGN.min(self.slots * Self::SLOT_BYTES), true);
    }

    /// Leaves the last bytes in small pages, too: for an arena that is used from both ends.
    pub(crate) fn end_small(&self) {
        let length = self.slots * Self::SLOT_BYTES;
        self.advise(length.saturating_sub(SMALL), length, false);
    }

    /// Notes that `slot` is used: once it is beyond the bytes in small pages, these may be joined.
    pub(crate) fn outgrow(&self, slot: u32) {
        // Relaxed, both: an advice that is given twice does nothing the second time.
        if slot as usize * Self::SLOT_BYTES >= SMALL && self.small.load(Ordering::Relaxed) {
            self.small.store(false, Ordering::Relaxed);
            self.advise(0, SMALL, true);
        }
    }

    /// Number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// The words of slot `slot`.
    ///
    /// # Panics
    ///
    /// When there is no such slot.
    #[inline]
    pub(crate) fn slot(&self, slot: usize) -> &[AtomicU64; WORDS] {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        // SAFETY: `slot` is below the number of slots, whose memory lies inside the mapping.
        let pointer = unsafe { self.base.add(slot) };
        // SAFETY: the pointer is aligned (the base is aligned to 2 MiB and a slot
        // is a multiple of 8 bytes), the memory is mapped and zero-initialised, a
        // zero bit pattern is a valid `AtomicU64`, the mapping lives until the
        // arena is dropped, which the borrow outlaws, and no exclusive reference
        // to it is ever made.
        unsafe { &*pointer }
    }
}

impl<const WORDS: usize> Arena<WORDS> {
    /// The words of slot `slot` and those behind it, `WIDE` together: for readers, who may then look a
    /// little beyond any word of the slot without asking whether that is still in it. What is
    /// behind is the next slot's and says nothing.
    ///
    /// # Panics
    ///
    /// When there is no such slot.
    #[inline]
    pub(crate) fn wide<const WIDE: usize>(&self, slot: usize) -> &[AtomicU64; WIDE] {
        const { assert!(WIDE >= WORDS && (WIDE - WORDS) * 8 <= OVERHANG) };
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        // SAFETY: as in `slot`.
        let pointer = unsafe { self.base.add(slot) }.cast::<[AtomicU64; WIDE]>();
        // SAFETY: the pointer is aligned as in `slot`. The slot is one of the mapping, behind whose last slot are
        // `OVERHANG` bytes more (`new`), so all `WIDE` words are mapped, and zero-initialised like all of it;
        // the mapping lives until the arena is dropped, which the borrow outlaws. Slots and what is behind
        // them overlap, as shared references to atomics may; no exclusive one is ever made.
        unsafe { &*pointer }
    }

    /// The words of slot `slot`, if there is one: for numbers that were read
    /// optimistically and may be garbage.
    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<&[AtomicU64; WORDS]> {
        (slot < self.slots).then(|| self.slot(slot))
    }
}

impl<const WORDS: usize> Arena<WORDS> {
    /// Gives the memory of `count` slots from `first` on back to the system. They are zeros then, and
    /// take memory again when they are stored to. Nobody may rely on what is in them.
    ///
    /// # Panics
    ///
    /// When there are no such slots.
    pub(crate) fn give_back(&self, first: usize, count: usize) {
        assert!(first + count <= self.slots, "slots {first} and {count} more of {}", self.slots);
        #[cfg(target_os = "linux")]
        {
            use rustix::mm::{Advice, madvise};
            // SAFETY: `first` is at most the number of slots, whose memory lies inside the mapping.
            let start = unsafe { self.base.add(first) };
            // SAFETY: the range lies inside the mapping made in `new`, which is private and anonymous,
            // so its words become zeros, which are valid; they are atomics, so that readers may race
            // with that as with any other store. A range that the system refuses, as it is not
            // aligned to its pages, keeps its memory.
            let _ = unsafe {
                madvise(start.cast_mut().cast(), count * Self::SLOT_BYTES, Advice::LinuxDontNeed)
            };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (first, count);
    }
}

/// Asks for the line of memory that `word` is in, without waiting for it. Only a hint: it
/// does nothing where there is no stable instruction for it.
#[inline(always)]
pub(crate) fn prefetch(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = core::ptr::from_ref(word).cast::<i8>();
        // SAFETY: every x86-64 processor has the instruction (it is part of SSE), which
        // reads nothing that the program can see and does not fault at any address; this
        // one belongs to a live reference besides.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

impl<const WORDS: usize> Drop for Arena<WORDS> {
    fn drop(&mut self) {
        let (start, bytes) = self.mapping;
        // SAFETY: `start` and `bytes` are exactly what `mmap_anonymous` returned,
        // and `&mut self` proves that no reference into the region is left.
        // A failure would leave the mapping in place, which is harmless here.
        let _ = unsafe { rustix::mm::munmap(start, bytes) };
    }
}
