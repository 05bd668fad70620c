//! Running the built command.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A call of the `holt` command that is not started yet. Its input is closed.
pub(crate) fn holt(arguments: &[&str], db: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holt"));
    command.args(arguments).arg("--db").arg(db).stdin(Stdio::null());
    command
}

/// Runs the command to its end and expects success; returns standard output.
pub(crate) fn success(arguments: &[&str], db: &Path) -> String {
    let output = holt(arguments, db).output().expect("the command starts");
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("the output is text")
}

/// Runs the command to its end and expects it to fail with `code`; returns its one line on
/// standard error.
pub(crate) fn failure(arguments: &[&str], db: &Path, code: i32) -> String {
    let output = holt(arguments, db).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    let text = stderr(&output);
    assert!(text.starts_with("holt: ") && text.ends_with('\n'), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
