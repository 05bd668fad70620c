//! Lists under way, and what a move owes them.
//!
//! A list that gives out its names in several batches promises that no move comes between
//! them: a subtree that gets another name would be listed twice or not at all. So before
//! a list gives out a first batch that is not its last, it *registers*. A move looks here
//! before it changes anything. When a list is registered, the epoch ends and stays pinned
//! for it: the list is *overtaken*, and goes on with the frames as they were (see
//! [`past`](super::past)).
//!
//! # State
//!
//! * `shards[i]`: how many lists are registered by threads of that shard, and the count of
//!   [moves](super::moves) with which they began. No move has begun since, or they would
//!   have been overtaken, so all lists of all shards have the same count.
//! * `overtaken`: by the count of moves with which they began, how many lists there are
//!   that a move has overtaken, and the epoch that is pinned for them. The last of them to
//!   end lets it go.
//!
//! # Happens-before
//!
//! 1. *Move against registration*: a move makes the count odd and then locks every shard,
//!    one after the other; a list locks its shard and then looks at the count. Whoever comes
//!    second to the shard sees what the first did: the move sees the list, or the list sees
//!    the move and has to begin anew. (The odd count is a relaxed store, but it comes before the
//!    move's unlocking of the shard, and the list's look at it after its own locking.)
//! 2. *Overtaken list → its epoch*: a move holds the mutex of `overtaken` from before the
//!    count is odd until the epoch is there. A list that sees that the count has changed
//!    and then locks that mutex finds its epoch.
//! 3. *Pin → reading the past*: the epoch is pinned under the closed gate before the move's
//!    first change; its frames' epoch words and images follow (`pool::pins`, edge 3).
//!
//! # Liveness
//!
//! The mutexes are held for some additions, and nobody who holds one waits for anything else
//! but the books. A move's cost here is the shards' number, whatever lists there are.
//!
//! Checked by `tests/loom/listing.rs`: `a_list_is_overtaken_or_begins_anew`.

use std::collections::BTreeMap;

use crossbeam_utils::CachePadded;

use super::moves::{Moves, Moving, Seen};
use crate::sync::{Mutex, lock, thread_number};

#[cfg(not(loom))]
const SHARDS: usize = 16;
#[cfg(loom)]
const SHARDS: usize = 1;

/// Lists of one shard that no move has overtaken.
#[derive(Debug, Default)]
struct Shard {
    lists: usize,
    /// What the count of moves was when they began; of no meaning without a list.
    seen: Option<Seen>,
}

/// Lists that one move has overtaken.
#[derive(Debug)]
struct Overtaken {
    lists: usize,
    epoch: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Lists {
    shards: [CachePadded<Mutex<Shard>>; SHARDS],
    overtaken: Mutex<BTreeMap<Seen, Overtaken>>,
}

/// The registration of one list, to be given back with [`Lists::end`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Listed {
    seen: Seen,
    shard: usize,
}

impl Listed {
    /// The count of moves with which the list began.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }
}

impl Lists {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| CachePadded::new(Mutex::new(Shard::default()))),
            overtaken: Mutex::new(BTreeMap::new()),
        }
    }

    /// Registers a list whose first batch was read with this count of moves; none when a
    /// move has begun since.
    pub(crate) fn register(&self, moves: &Moves, seen: Seen) -> Option<Listed> {
        let number = thread_number() % SHARDS;
        // Edge 1: the shard is locked before the count is looked at.
        let mut shard = lock(&self.shards[number]);
        if !moves.unchanged(seen) {
            return None;
        }
        shard.lists += 1;
        shard.seen = Some(seen);
        Some(Listed { seen, shard: number })
    }

    /// Begins a move. When there is a registered list, `pin` has to end the epoch and pin
    /// it; that is done before this returns.
    pub(crate) fn overtake<'m>(&self, moves: &'m Moves, pin: impl FnOnce() -> u64) -> Moving<'m> {
        // Edge 2: held from before the count is odd.
        let mut overtaken = lock(&self.overtaken);
        let moving = moves.start();
        let (mut lists, mut began) = (0, None);
        for shard in &self.shards {
            let shard = std::mem::take(&mut *lock(shard));
            if shard.lists > 0 {
                debug_assert!(began.is_none() || began == shard.seen);
                lists += shard.lists;
                began = shard.seen;
            }
        }
        if let Some(seen) = began {
            overtaken.insert(seen, Overtaken { lists, epoch: pin() });
        }
        moving
    }

    /// The epoch that is pinned for a list; none when no move has overtaken it.
    pub(crate) fn epoch(&self, listed: &Listed) -> Option<u64> {
        lock(&self.overtaken).get(&listed.seen).map(|overtaken| overtaken.epoch)
    }

    /// Ends a list. Returns the epoch that nobody needs any more, if it was the last list
    /// that did.
    #[must_use]
    pub(crate) fn end(&self, listed: Listed) -> Option<u64> {
        {
            let mut shard = lock(&self.shards[listed.shard]);
            if shard.lists > 0 && shard.seen == Some(listed.seen) {
                shard.lists -= 1;
                return None;
            }
        }
        let mut overtaken = lock(&self.overtaken);
        let lists = overtaken.get_mut(&listed.seen)?;
        lists.lists -= 1;
        if lists.lists > 0 {
            return None;
        }
        overtaken.remove(&listed.seen).map(|overtaken| overtaken.epoch)
    }
}
