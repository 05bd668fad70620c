//! Verification: everything that can be checked, checked.

use std::fmt;
use std::path::Path;

use holt_journal::disk::{Disk, RealDisk};

