//! Where the workspace is, and the cargo that runs this task.

use std::path::PathBuf;
use std::process::Command;

/// The root directory of the workspace: the parent of this crate's own.
pub(crate) fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}

/// Where cargo puts what it builds: `CARGO_TARGET_DIR`, or the directory `own` below the root.
pub(crate) fn target(own: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| own.into(), PathBuf::from);
    root().join(target)
}

/// The cargo that started this task, run from the root of the workspace.
///
/// The variables that cargo sets for the *task* are taken away again: a nested build must not
/// take the task's own manifest or package name for its own.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if own {
            command.env_remove(name);
        }
    }
    command
}
