//! `cargo xtask bench`: builds the peers package with every engine that this machine can build,
//! and hands the rest of the command line to it.
//!
//! The package `peers/` is no member of the workspace and has its own `Cargo.lock` and target
//! directory. Every engine is a cargo feature of it; an engine whose system package is missing is
//! left out, and the run says so in one line with the command that installs it.

use std::path::Path;
use std::process::Command;

use crate::{Outcome, workspace};

/// Engines that compile with nothing but a Rust toolchain.
const PURE: [&str; 6] = ["holt-peer", "redb", "fjall", "sled", "skiplist", "blart"];

/// Engines that compile C or C++ and so want something of the system.
const NATIVE: [Native; 3] = [
    Native { feature: "heed", tool: "cc", libclang: false, install: "apt-get install gcc" },
    Native { feature: "rusqlite", tool: "cc", libclang: false, install: "apt-get install gcc" },
    Native {
        feature: "rocksdb",
        tool: "c++",
        libclang: true,
        install: "apt-get install g++ libclang-dev",
    },
];

/// What an engine wants of the system before it can be compiled.
struct Native {
    feature: &'static str,
    tool: &'static str,
    libclang: bool,
    install: &'static str,
}

/// Builds the peers and runs the harness with `arguments`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let mut features: Vec<&str> = PURE.to_vec();
    let mut skipped = Vec::new();
    for native in &NATIVE {
        match native.missing() {
            None => features.push(native.feature),
            Some(what) => skipped.push(format!(
                "{}: {what} is missing; `{}` brings it",
                native.feature, native.install
            )),
        }
    }
    let manifest = workspace::root().join("peers/Cargo.toml");
    let status = workspace::cargo()
        .args(["build", "--release", "--locked", "--no-default-features", "--manifest-path"])
        .arg(&manifest)
        .args(["--features", &features.join(",")])
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !status.success() {
        return Err(format!("the peers did not build ({status})").into());
    }
    let mut harness = Command::new(workspace::target("peers/target").join("release/holt-peers"));
    harness.current_dir(workspace::root()).arg("bench").args(arguments);
    for line in &skipped {
        harness.args(["--left-out", line]);
    }
    let status = harness.status().map_err(|error| format!("the harness did not start: {error}"))?;
    if !status.success() {
        return Err(format!("the benchmark failed ({status})").into());
    }
    Ok(())
}

impl Native {
    /// Names what is missing for this engine, or nothing.
    fn missing(&self) -> Option<&'static str> {
        if !runs(self.tool) {
            return Some(self.tool);
        }
        if self.libclang && !libclang() {
            return Some("libclang");
        }
        None
    }
}

/// Whether a compiler answers.
fn runs(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Whether a `libclang` lies where the bindings' generator looks for one.
fn libclang() -> bool {
    let mut places: Vec<std::path::PathBuf> = Vec::new();
    places.extend(std::env::var_os("LIBCLANG_PATH").map(Into::into));
    if let Ok(output) = Command::new("llvm-config").arg("--libdir").output() {
        places.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    for parent in ["/usr/lib", "/usr/local"] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        places.extend(
            entries
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
                .map(|entry| entry.path().join("lib")),
        );
    }
    places.extend(
        ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu"]
            .iter()
            .chain(["/usr/lib/aarch64-linux-gnu"].iter())
            .map(Into::into),
    );
    places.iter().any(|place| holds_libclang(place))
}

/// Whether a directory (or the path of the library itself) holds a `libclang`.
fn holds_libclang(place: &Path) -> bool {
    let shared = |name: &str| {
        (name.starts_with("libclang.so") || name.starts_with("libclang-") && name.contains(".so"))
            && !name.starts_with("libclang-cpp")
    };
    if place.is_file() {
        return place.file_name().and_then(|name| name.to_str()).is_some_and(shared);
    }
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_counts_only_with_the_c_interface_of_clang() {
        let place = std::env::temp_dir().join(format!("holt-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&place).expect("a temporary directory");
        let empty = holds_libclang(&place);
        std::fs::write(place.join("libclang-cpp.so.14"), b"").expect("a file");
        let other = holds_libclang(&place);
        std::fs::write(place.join("libclang-14.so.1"), b"").expect("a file");
        let right = holds_libclang(&place);
        std::fs::remove_dir_all(&place).expect("the directory goes again");
        assert_eq!((empty, other, right), (false, false, true));
    }
}
