//! The examples run, check what they show, and stay short enough to be read.

#[path = "../examples/leases.rs"]
mod leases;
#[path = "../examples/namespace.rs"]
mod namespace;
#[path = "../examples/object_listing.rs"]
mod object_listing;
#[path = "../examples/session_store.rs"]
mod session_store;

use std::fs;
use std::path::Path;

/// The most lines of an example.
const LINES: usize = 150;

#[test]
fn a_table_of_leases_is_safe_against_late_holders() {
    leases::main().unwrap();
}

#[test]
fn a_file_systems_names_are_kept_as_posix_wants_them() {
    namespace::main().unwrap();
}

#[test]
fn an_object_stores_listing_gives_pages() {
    object_listing::main().unwrap();
}

#[test]
fn sessions_end_by_time_by_hand_and_by_user() {
    session_store::main().unwrap();
}

#[test]
fn examples_are_short() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in ["leases", "namespace", "object_listing", "session_store"] {
        let text = fs::read_to_string(examples.join(name).with_extension("rs")).unwrap();
        let lines = text.lines().count();
        assert!(lines < LINES, "{name} has {lines} lines");
    }
}
