//! Archives: what a snapshot has as one stream of bytes, and back into trees.

mod export;
mod import;
mod load;

pub use export::{Export, Exported};
pub use import::{ImportOptions, Imported};
pub(crate) use import::{import, settle};
pub(crate) use load::Loader;
