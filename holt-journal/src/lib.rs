//! Group commit, checkpoints and recovery over a small disk trait.

#![forbid(unsafe_code)]

mod error;
mod sync;

pub mod disk;
pub mod store;

pub use error::{Damage, Error};
