//! What every engine has to offer to be measured, and how one is opened.
//!
//! - An [`Engine`] is shared by the threads of a workload; each thread works through a
//!   [`Session`] of its own, because some engines have handles that must not be shared.
//! - A session's operations are single transactions at the engine's [`Mode`]: each is visible to
//!   every other thread, and as durable as the mode says, when the call returns.

use std::path::PathBuf;

use crate::Failure;

/// How much of a write survives what, once it was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Nothing survives the process: no log, or a log nobody waits for on a memory file system.
    Memory,
    /// Logged, acknowledged by the process: a clean close keeps it, a killed process may lose the
    /// last moments.
    Buffered,
    /// Handed to the kernel: survives a killed process, not a power cut.
    Os,
    /// On stable storage: survives a power cut.
    Sync,
}

impl Mode {
    /// Every mode, weakest promise first.
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::Buffered, Self::Os, Self::Sync];

    /// The name on the command line and in the record.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Buffered => "buffered",
            Self::Os => "os",
            Self::Sync => "sync",
        }
    }

    /// What an acknowledged write survives.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Memory => {
                "nothing survives the process. No log where an engine can do without, files on a \
                 memory file system where it cannot do without files."
            }
            Self::Buffered => {
                "logged and acknowledged by the process. A clean close keeps everything, a killed \
                 process may lose its last moments."
            }
            Self::Os => "handed to the kernel. Survives a killed process, not a power cut.",
            Self::Sync => "on stable storage. Survives a power cut.",
        }
    }
}

/// How to open an engine.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// A directory of the engine's own; on a memory file system in [`Mode::Memory`].
    pub(crate) dir: PathBuf,
    /// What an acknowledged write survives.
    pub(crate) mode: Mode,
    /// Memory for caching data, in bytes.
    pub(crate) cache: u64,
}

/// An operation that not every engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Use from several threads at once.
    Threads,
    /// Renaming one key.
    Rename,
    /// Renaming all keys below a prefix.
    RenamePrefix,
    /// Deleting all keys below a prefix.
    DeletePrefix,
    /// Opening what an earlier process left.
    Reopen,
    /// Holding less in memory than is stored.
    BeyondMemory,
}

/// An engine that can be measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// The name on the command line and in the record.
    pub(crate) name: &'static str,
    /// The package of the registry whose version is recorded; empty for the standard library.
    pub(crate) package: &'static str,
    /// The modes that it can be opened in.
    pub(crate) modes: &'static [Mode],
    /// The settings used in each mode, for `docs/bench/ENGINES.md`.
    pub(crate) settings: &'static str,
    /// Why it cannot do something, when it cannot.
    pub(crate) lacks: fn(Feature) -> Option<&'static str>,
    /// Opens or creates it.
    pub(crate) open: fn(&Setup) -> Result<Box<dyn Engine>, Failure>,
}

/// An open engine.
pub(crate) trait Engine: Sync {
    /// A handle for the calling thread.
    fn session(&self) -> Result<Box<dyn Session + '_>, Failure>;

    /// Brings everything written so far to its resting place: what the engine calls a
    /// checkpoint or a flush. Returns when it is done.
    fn checkpoint(&self) -> Result<(), Failure>;

    /// The used share of the pages or frames that hold the data, from 0 to 1, where the engine
    /// tells it.
    fn fill(&self) -> Option<f64> {
        None
    }
}

/// Whether a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// To the next record.
    Next,
    /// To the first record at or after the key that the visitor left in its last argument.
    Seek,
    /// No further.
    Stop,
}

/// What a scan delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Keys and values.
    Records,
    /// Keys; the values may be empty.
    Keys,
}

/// The visitor of a scan: key, value, and the place for the target of a [`Flow::Seek`].
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8], &mut Vec<u8>) -> Flow;

/// A range to list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// Only keys that begin with this.
    pub(crate) prefix: &'a [u8],
    /// Only keys greater than this, when given.
    pub(crate) after: Option<&'a [u8]>,
    /// At most so many entries.
    pub(crate) limit: usize,
}

impl Query<'_> {
    /// The smallest key that may belong to the range, written into `out`.
    fn first(&self, out: &mut Vec<u8>) {
        out.clear();
        match self.after {
            Some(after) if after >= self.prefix => {
                out.extend_from_slice(after);
                out.push(0);
            }
            _ => out.extend_from_slice(self.prefix),
        }
    }
}

/// One thread's handle of an engine.
pub(crate) trait Session {
    /// Shows the value of a key to `see`, in place where the engine can. Whether it was found.
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool, Failure>;

    /// Stores a value, over an earlier one if there is one.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure>;

    /// Removes a key if it is there.
    fn delete(&mut self, key: &[u8]) -> Result<(), Failure>;

    /// Gives a value another key, over an earlier value there. Whether it was found.
    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Failure>;

    /// Stores many records in the cheapest way that reads see at once.
    fn load(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Failure>;

    /// Visits the records at or after `from` in key order.
    fn scan(&mut self, from: &[u8], want: Want, visit: Visit<'_>) -> Result<(), Failure>;

    /// Visits the records of a range; returns how many there were.
    fn list(
        &mut self,
        query: Query<'_>,
        want: Want,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize, Failure> {
        let mut from = Vec::with_capacity(64);
        query.first(&mut from);
        let mut count = 0;
        self.scan(&from, want, &mut |key, value, _| {
            if !key.starts_with(query.prefix) {
                return Flow::Stop;
            }
            see(key, value);
            count += 1;
            if count == query.limit { Flow::Stop } else { Flow::Next }
        })?;
        Ok(count)
    }

    /// Visits one level of a range: keys without the delimiter behind the prefix, and each group
    /// of those with it once, as the group's name up to and with the delimiter. What an engine
    /// without such an operation does well: one seek a group, not a scan of its keys.
    fn groups(
        &mut self,
        query: Query<'_>,
        delimiter: u8,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        let mut from = Vec::with_capacity(64);
        query.first(&mut from);
        let mut count = 0;
        self.scan(&from, Want::Keys, &mut |key, _, target| {
            let Some(rest) = key.strip_prefix(query.prefix) else { return Flow::Stop };
            count += 1;
            let flow = match rest.iter().position(|&byte| byte == delimiter) {
                None => {
                    see(key);
                    Flow::Next
                }
                Some(at) => {
                    let group = &key[..query.prefix.len() + at + 1];
                    see(group);
                    target.clear();
                    target.extend_from_slice(group);
                    match successor(target) {
                        true => Flow::Seek,
                        false => Flow::Stop,
                    }
                }
            };
            if count == query.limit { Flow::Stop } else { flow }
        })?;
        Ok(count)
    }

    /// Gives every key below `from` the prefix `to`; nothing lies below `to` yet.
    fn rename_prefix(&mut self, from: &[u8], to: &[u8]) -> Result<(), Failure>;

    /// Removes every key below a prefix.
    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), Failure>;
}

/// Turns a prefix into the smallest key greater than every key that begins with it. False, and
/// nothing useful in `prefix`, when there is none.
pub(crate) fn successor(prefix: &mut Vec<u8>) -> bool {
    while let Some(last) = prefix.last_mut() {
        if *last < 0xFF {
            *last += 1;
            return true;
        }
        prefix.pop();
    }
    false
}

/// A key and its value.
pub(crate) type Owned = (Vec<u8>, Vec<u8>);

/// The records below a prefix, owned: what an engine without an operation on prefixes has to read
/// before it can write the batch.
pub(crate) fn below(
    session: &mut dyn Session,
    prefix: &[u8],
    want: Want,
) -> Result<Vec<Owned>, Failure> {
    let mut records = Vec::new();
    let query = Query { prefix, after: None, limit: usize::MAX };
    session.list(query, want, &mut |key, value| records.push((key.to_vec(), value.to_vec())))?;
    Ok(records)
}

/// A key with its prefix `from` replaced by `to`.
pub(crate) fn moved(key: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut target = Vec::with_capacity(to.len() + key.len() - from.len());
    target.extend_from_slice(to);
    target.extend_from_slice(&key[from.len()..]);
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_of_a_prefix_is_behind_all_of_its_keys() {
        let after = |prefix: &[u8]| {
            let mut key = prefix.to_vec();
            successor(&mut key).then_some(key)
        };
        assert_eq!(after(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(after(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(after(b"\xff\xff"), None);
        assert_eq!(after(b""), None);
    }
}
