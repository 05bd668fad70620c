//! Holt's formats: bytes to meaning and back, and nothing else.

#![forbid(unsafe_code)]

mod db_id;
mod error;

pub use db_id::DbId;
pub use error::Error;

// --- images and manifests ---
mod fields;
mod image;
mod manifest;
mod mark;

pub use image::{IMAGE_HEADER_LEN, ImageHeader, MAX_IMAGE};
pub use manifest::{
    Commit, EXTENT_UNIT, FIRST_EXTENT, MANIFEST_HEADER_LEN, MANIFEST_VERSION, Manifest,
    ManifestEnd, ManifestHeader, Mapping, RecordSite,
};
pub use mark::{MARK_LEN, MARK_VERSION, Mark};
