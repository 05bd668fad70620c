//! Group commit, checkpoints and recovery over a small disk trait.

#![forbid(unsafe_code)]

// The models explore the group's acknowledgement, the one place where threads meet without a lock around all of it.
// Under `cfg(loom)` nothing else of the crate is built.
mod log;
mod sync;

#[cfg(not(loom))]
mod error;

#[cfg(not(loom))]
pub mod disk;
#[cfg(not(loom))]
pub mod store;

#[cfg(not(loom))]
pub use error::{Damage, Error};
#[cfg(loom)]
pub use log::Group;
#[cfg(not(loom))]
pub use log::{
    Ack, Journal, LogFeed, LogFeeds, LogOptions, LogPermit, LogPin, LogReservation, RecoveredLog,
    Replayed, create_log, recover_log, recover_log_with, settle_log,
};
