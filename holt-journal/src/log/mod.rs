//! The log: group commit over segments, and recovery.
//!
//! # What an acknowledgement means
//!
//! | [`Ack`] | returns when the record is | the process is killed | the power is lost |
//! |---|---|---|---|
//! | `Buffered` | in the ring | lost if younger than the window | lost unless synced since |
//! | `Os` | written to the file | kept | lost unless synced since |
//! | `Sync` | synced | kept | kept |
//!
//! *Lost* never means a hole: what is recovered is the log up to some point. The window is
//! [`LogOptions::flush_interval`]: a record is written out at the latest that long after the background drainer saw that
//! there is one, however few writes there are. [`Journal::close`] loses nothing in any mode.
//!
//! # What keeps it right
//!
//! - **No address is used twice.** The first append after opening starts a segment beyond all others, which says
//!   where the log before it ends. Nothing is ever appended to a segment of another process.
//! - **An address is granted when its segment is durable**, content and name. A full disk is met before anything changes.
//! - **What is rarely synced is written once.** Segments are allocated in full; zeros are written ahead of the records only where
//!   syncs are frequent: there a sync that comes to a new page takes 0.05 ms in place of 2 to 4.
//! - **A segment that was granted is missed when it is gone.** The log's mark names the newest one, durable before the first
//!   address in it is granted.
//! - **Written and synced are two marks.** Writing goes on during a sync; the synced mark becomes what was written before the
//!   sync began.
//! - **A failed write or sync is the end of writing.** Nothing is retried, nothing is acknowledged after it, everybody who waits
//!   is told. A segment that could not be *made* is no such failure: no record was in it.
//! - **A feed shows what is marked.** It reads the files below the written or the synced mark, and holds the segments that it
//!   needs, up to a bound.
//! - **Reading comes first.** Recovery writes nothing; what it found is made durable before the first new segment
//!   declares it.
//!
//! # Threads
//!
//! Two, started by the first permit and joined by close: the drainer writes out what nobody waits for, the
//! maker makes segments ahead. Neither is on the way of a synced write, which its own thread carries to the disk.

mod group;

#[cfg(not(loom))]
mod bell;
#[cfg(not(loom))]
mod drainer;
#[cfg(not(loom))]
mod feed;
#[cfg(not(loom))]
mod journal;
#[cfg(not(loom))]
mod maker;
#[cfg(not(loom))]
pub(crate) mod mark_file;
#[cfg(not(loom))]
pub(crate) mod names;
#[cfg(not(loom))]
mod permit;
#[cfg(not(loom))]
mod pins;
#[cfg(not(loom))]
mod pipeline;
#[cfg(not(loom))]
mod recovery;
#[cfg(not(loom))]
mod row;
#[cfg(not(loom))]
mod segments;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
mod verify;
#[cfg(not(loom))]
mod writer;

#[cfg(loom)]
pub use group::Group;
#[cfg(not(loom))]
pub use {
    feed::{LogFeed, LogFeeds},
    journal::{Ack, Journal, LogOptions, LogPin},
    permit::{LogPermit, LogReservation},
    recovery::{RecoveredLog, Replayed, create_log, recover_log, recover_log_with, settle_log},
    segments::SegmentStats,
};
