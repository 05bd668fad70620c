//! Group commit, checkpoints and recovery over a small disk trait.

#![forbid(unsafe_code)]

mod error;
mod log;
mod sync;

pub mod disk;
pub mod store;

pub use error::{Damage, Error};

#[cfg(loom)]
pub use log::Group;
#[cfg(not(loom))]
pub use log::{
    Ack, Journal, LogOptions, LogPermit, LogPin, LogReservation, RecoveredLog, Replayed,
    recover_log, recover_log_with,
};
