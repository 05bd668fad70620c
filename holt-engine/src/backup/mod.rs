//! Backups: archives in a directory, one of everything and others of what came after, and a database made of them again.

mod chain;
mod file;
mod make;
mod restore;

pub use make::Backup;
pub use restore::{Restored, restore, restore_on};
