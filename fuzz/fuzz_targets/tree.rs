//! Bytes as a program of operations on a tree, run beside a `BTreeMap`, as in the test
//! `holt-art/tests/programs.rs`.

#![no_main]

#[path = "../../holt-art/tests/support/bytes.rs"]
mod bytes;
#[path = "../../holt-art/tests/support/change.rs"]
mod change;
#[path = "../../holt-art/tests/support/list.rs"]
mod list;
#[path = "../../holt-art/tests/support/model.rs"]
mod model;
#[path = "../../holt-art/tests/support/program.rs"]
mod program;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| program::run(bytes));
