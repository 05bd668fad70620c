//! The ring's bytes: one zeroed allocation, addressed by log address, without knowledge of who owns what.
//!
//! - The physical place of address `a` is `a` modulo the capacity, which is a power of two; so a range of
//!   addresses is at most two straight pieces.
//! - Nothing here is ever uninitialised: the allocation is zeroed, and bytes are only overwritten.
//! - This file hands out raw pointers. Who may use one, and when, is the protocol of [`crate::ring`]; the
//!   two users, [`crate::reservation`] and [`crate::consumer`], argue it where they dereference.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::fmt;

use crate::error::Error;
use crate::mark::GRANULE;
use crate::sync::{Claim, Watch};

/// The bytes of a ring.
pub(crate) struct Storage {
    /// Written by whoever holds a reservation, read by the consumer; never both at once.
    bytes: Box<[UnsafeCell<u8>]>,
    /// Where loom checks the line above.
    watch: Watch,
}

// SAFETY: the only shared state is `bytes`, and all that a shared reference gives is raw pointers into it
// (`piece`); using one takes an `unsafe` block of its own, which has to show that no other thread is at
// those bytes. `Watch` is empty in an ordinary build, and under loom it is loom's own checked cell.
unsafe impl Sync for Storage {}

// SAFETY: the bytes and loom's cells are owned, not borrowed, and tied to no thread.
unsafe impl Send for Storage {}

impl Storage {
    /// `capacity` bytes of zero; a power of two, at least one granule.
    pub(crate) fn new(capacity: usize) -> Result<Storage, Error> {
        debug_assert!(capacity.is_power_of_two() && capacity >= GRANULE);
        Ok(Storage { bytes: zeroed(capacity)?, watch: Watch::new(capacity / GRANULE) })
    }

    /// Bytes held.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The longest straight piece that begins at `address` and is at most `len` bytes long.
    ///
    /// The pointer is valid for reads and writes of its length for as long as the storage lives, and it
    /// points to initialised bytes; whether anyone else is at them is the caller's to know.
    #[inline]
    pub(crate) fn piece(&self, address: u64, len: usize) -> *mut [u8] {
        let offset = (address & (self.bytes.len() as u64 - 1)) as usize;
        let straight = len.min(self.bytes.len() - offset);
        // The pointer is taken from the slice of cells of exactly this piece, so it covers the piece and
        // nothing beyond it.
        let cells: *const [UnsafeCell<u8>] = &raw const self.bytes[offset..offset + straight];
        // `UnsafeCell<u8>` is laid out as `u8`, and what lies in a cell may be written through a pointer
        // derived from a shared reference.
        cells as *mut [u8]
    }

    /// Has the system hand over the memory behind `len` bytes from `address` on, at most the capacity.
    #[cfg(not(loom))]
    pub(crate) fn populate(&self, address: u64, len: usize) {
        populate(&self.bytes, address, len);
    }

    /// Tells loom that the bytes are being written until the claim is released.
    #[inline]
    pub(crate) fn claim_write(&self, address: u64, len: usize) -> Claim {
        self.watch.write(address / GRANULE as u64, len / GRANULE)
    }

    /// Tells loom that the bytes are being read until the claim is released.
    #[inline]
    pub(crate) fn claim_read(&self, address: u64, len: usize) -> Claim {
        self.watch.read(address / GRANULE as u64, len / GRANULE)
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: they may be in another thread's hands.
        f.debug_struct("Storage").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// Types of which all-zero memory is a valid value, and that need no drop.
///
/// # Safety
///
/// Only to be implemented for types that are valid when every byte is zero, whose size is not zero.
pub(crate) unsafe trait Zeroable: Sized {}

// SAFETY: an `UnsafeCell<u8>` is laid out as `u8`, for which zero is valid.
unsafe impl Zeroable for UnsafeCell<u8> {}

#[cfg(not(loom))]
// SAFETY: an `AtomicU64` is laid out as the bits of a `u64`, for which zero is valid.
unsafe impl Zeroable for crate::sync::AtomicU64 {}

/// A boxed slice of zeroes that the operating system hands over page by page as they are touched, so a large
/// ring costs what is used of it; and an error, not an abort, when there is no memory.
pub(crate) fn zeroed<T: Zeroable>(count: usize) -> Result<Box<[T]>, Error> {
    const { assert!(size_of::<T>() != 0) };
    assert!(count != 0, "a ring is never empty");
    let layout =
        Layout::array::<T>(count).map_err(|_| Error::CapacityTooLarge { capacity: count })?;
    // SAFETY: the layout's size is not zero: neither the type nor the count is, as asserted above.
    let memory = unsafe { std::alloc::alloc_zeroed(layout) };
    if memory.is_null() {
        return Err(Error::OutOfMemory { bytes: layout.size() });
    }
    let slice = std::ptr::slice_from_raw_parts_mut(memory.cast::<T>(), count);
    advise_huge(slice);
    // SAFETY: `slice` is not null, was allocated by the global allocator with exactly the layout of a `[T]`
    // of this length, is owned by nobody else, and is zeroed, which `Zeroable` says is valid for `T`.
    Ok(unsafe { Box::from_raw(slice) })
}

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Asks for huge pages where `memory` is long, but not for its first: who writes little takes little. A ring is written from end
/// to end, and with small pages its first lap costs a fault every few records.
fn advise_huge<T>(memory: *mut [T]) {
    #[cfg(all(target_os = "linux", not(loom)))]
    {
        let start = memory.cast::<u8>();
        let skip = HUGE.saturating_add(start.align_offset(HUGE));
        let whole = (memory.len() * size_of::<T>()).saturating_sub(skip) & !(HUGE - 1);
        if whole > 0 {
            // A wish: a system without huge pages runs with small ones.
            // SAFETY: `skip` and `whole` lie within the allocation, which the caller owns, and the advice changes no contents.
            let _ = unsafe {
                rustix::mm::madvise(
                    start.wrapping_add(skip).cast(),
                    whole,
                    rustix::mm::Advice::LinuxHugepage,
                )
            };
        }
    }
    #[cfg(not(all(target_os = "linux", not(loom))))]
    let _ = (memory, HUGE);
}

/// Has the system hand over the pages behind `count` elements from place `from` on, modulo the number of elements, a power of two.
/// Their contents stay, and others may be at them meanwhile.
pub(crate) fn populate<T: Zeroable>(memory: &[T], from: u64, count: usize) {
    let from = (from & (memory.len() as u64 - 1)) as usize;
    let straight = count.min(memory.len() - from);
    hand_over(&memory[from..from + straight]);
    hand_over(&memory[..count - straight]);
}

/// Has the system hand over the whole pages in `memory`, as if every page had been written to.
fn hand_over<T: Zeroable>(memory: &[T]) {
    #[cfg(all(target_os = "linux", not(loom)))]
    {
        let page = rustix::param::page_size();
        let start = memory.as_ptr().cast::<u8>();
        // From the beginning of the first page on, so that nothing is left out between two calls.
        let before = start.addr() & (page - 1);
        let whole = (before + size_of_val(memory)) & !(page - 1);
        if whole > 0 {
            // A wish: without it, pages come one by one as they are touched.
            // SAFETY: every page meant holds a byte of `memory` and so is mapped, and the advice changes no contents.
            let _ = unsafe {
                rustix::mm::madvise(
                    start.wrapping_sub(before).cast_mut().cast(),
                    whole,
                    rustix::mm::Advice::LinuxPopulateWrite,
                )
            };
        }
    }
    #[cfg(not(all(target_os = "linux", not(loom))))]
    let _ = memory;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_at_the_physical_end() {
        let storage = Storage::new(64).unwrap();
        assert_eq!(storage.piece(0, 64).len(), 64);
        assert_eq!(storage.piece(56, 16).len(), 8);
        assert_eq!(storage.piece(64, 16).len(), 16);
        assert_eq!(storage.piece(64 * 1_000_003 + 24, 64).len(), 40);
        assert_eq!(storage.piece(u64::MAX - 7, 8).len(), 8);
    }

    #[test]
    fn no_piece_overlaps_another_of_the_same_lap() {
        let storage = Storage::new(64).unwrap();
        let start = storage.piece(128, 8).cast::<u8>() as usize;
        for granule in 0..8u64 {
            let piece = storage.piece(128 + 8 * granule, 8).cast::<u8>() as usize;
            assert_eq!(piece, start + 8 * granule as usize);
        }
    }

    #[test]
    fn memory_of_any_number_of_huge_pages_is_zero_and_writable_to_its_ends() {
        for count in [HUGE - 1, HUGE, 2 * HUGE + 1, 3 * HUGE + 5, 5 * HUGE] {
            let mut memory = zeroed::<UnsafeCell<u8>>(count).unwrap();
            assert_eq!(memory.len(), count);
            assert!(memory.iter_mut().all(|cell| std::mem::replace(cell.get_mut(), 1) == 0));
            assert!(memory.iter_mut().all(|cell| *cell.get_mut() == 1));
        }
    }

    #[test]
    fn memory_keeps_its_contents_when_it_is_handed_over() {
        let mut memory = zeroed::<UnsafeCell<u8>>(1 << 20).unwrap();
        for (at, cell) in memory.iter_mut().enumerate() {
            *cell.get_mut() = at as u8 | 1;
        }
        for (from, count) in [(0, 0), (0, 1 << 20), (5000, 1 << 20), ((7 << 20) - 1, 9000)] {
            populate(&memory, from, count);
        }
        assert!(memory.iter_mut().enumerate().all(|(at, cell)| *cell.get_mut() == at as u8 | 1));
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        let bytes = isize::MAX as usize / 2 + 1;
        assert_eq!(Storage::new(bytes).unwrap_err(), Error::OutOfMemory { bytes });
    }
}
