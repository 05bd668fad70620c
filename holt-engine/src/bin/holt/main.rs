//! The `holt` command.
fn main() {}
