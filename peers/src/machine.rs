//! What the operating system tells: the machine for the record, memory and I/O of this process.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The machine that a record was made on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// Hardware threads.
    pub(crate) threads: usize,
    /// Main memory in GiB.
    pub(crate) memory_gib: f64,
    /// Kernel name, release and architecture.
    pub(crate) kernel: String,
    /// File system of the data directory.
    pub(crate) file_system: String,
    /// The compiler.
    pub(crate) compiler: String,
    /// When the run ended, in seconds since 1970.
    pub(crate) finished: u64,
}

impl Machine {
    /// This machine, with the file system that holds `dir`.
    pub(crate) fn here(dir: &Path) -> Self {
        let system = rustix::system::uname();
        let compiler = std::process::Command::new("rustc")
            .arg("--version")
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default();
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_default(),
            threads: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib("/proc/meminfo", "MemTotal") as f64 / f64::from(1 << 20),
            kernel: format!(
                "{} {} {}",
                system.sysname().to_string_lossy(),
                system.release().to_string_lossy(),
                system.machine().to_string_lossy()
            ),
            file_system: file_system(dir),
            compiler,
            finished: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }
}

/// Anonymous memory of this process that is resident, in bytes: what it holds itself, without the
/// pages of files that the kernel could drop.
pub(crate) fn resident() -> u64 {
    kib("/proc/self/status", "RssAnon") << 10
}

/// Bytes that this process made the kernel read from devices.
pub(crate) fn device_reads() -> u64 {
    field("/proc/self/io", "read_bytes").and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Bytes that this process made the kernel write to devices, or will have written: pages that it has
/// changed, each as often as it was clean before.
pub(crate) fn device_writes() -> u64 {
    field("/proc/self/io", "write_bytes").and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Drops the pages of all files below `dir` from the kernel's cache.
pub(crate) fn forget(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
            continue;
        }
        let file = std::fs::File::open(&path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// The value after `name` and a colon in a file of such lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// A field in KiB.
fn kib(path: &str, name: &str) -> u64 {
    field(path, name).and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The type of the file system mounted closest above `dir`.
fn file_system(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best = (0, String::new());
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(place), Some(kind)) = (words.next(), words.next()) else { continue };
        let depth = Path::new(place).components().count();
        if dir.starts_with(place) && depth >= best.0 {
            best = (depth, kind.to_owned());
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_grows_with_what_is_touched() {
        let before = resident();
        let held = std::hint::black_box(vec![1u8; 32 << 20]);
        assert!(resident() >= before + (31 << 20));
        drop(held);
    }
}
