//! Backups: archives in a directory, one of everything and others of what came after, and a database made of them again.

mod beside;
mod chain;
mod file;
mod make;
mod restore;

pub use beside::{
    backup_beside, backup_beside_on, backup_changes_beside, backup_changes_beside_on,
};
pub use make::Backup;
pub use restore::{Restored, restore, restore_on};
