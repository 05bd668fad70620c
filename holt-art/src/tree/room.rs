//! The memory of a list: its batch and its stacks, kept for the next list of the thread.
//!
//! A short list costs less than the memory that it needs, if that has to be asked for and
//! filled with zeros each time. So a list leaves its memory behind for the thread's next
//! one, unless it has become large.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use super::batch::Batch;
use super::walker::Stacks;

/// Most bytes of a batch that a thread keeps between two lists.
const KEPT: usize = 64 << 10;

thread_local! {
    /// What the last list of this thread has left behind.
    static SPARE: Cell<Option<Box<Memory>>> = const { Cell::new(None) };
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) batch: Batch,
    pub(super) stacks: Stacks,
    /// The last name of the last batch, or where to go on behind a group.
    pub(super) behind: Vec<u8>,
}

/// Memory that a list has for its life.
#[derive(Debug)]
pub(super) struct Room(Option<Box<Memory>>);

impl Room {
    /// What the thread's last list has left, or new memory.
    pub(super) fn take() -> Self {
        // A thread that is ending may have given its spare memory back already.
        let mut memory = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        memory.batch.clear();
        Self(Some(memory))
    }
}

impl Deref for Room {
    type Target = Memory;

    #[inline]
    fn deref(&self) -> &Memory {
        self.0.as_deref().expect("a room has its memory until it is dropped")
    }
}

impl DerefMut for Room {
    #[inline]
    fn deref_mut(&mut self) -> &mut Memory {
        self.0.as_deref_mut().expect("a room has its memory until it is dropped")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(memory) = self.0.take()
            && memory.batch.room() <= KEPT
        {
            let _ = SPARE.try_with(|spare| spare.set(Some(memory)));
        }
    }
}
