//! A database: its handle, and what can be asked of it, by subject. Backups are in `backup`.

mod handle;
mod moments;
mod together;
mod trees;
mod upkeep;

pub use handle::Db;
