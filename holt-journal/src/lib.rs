//! Group commit, checkpoints and recovery over a small disk trait.

#![forbid(unsafe_code)]

mod sync;

pub mod disk;
