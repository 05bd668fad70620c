//! Which call of a simulated disk fails, and how.

use std::io;

use rustix::io::Errno;

/// One kind of call on a simulated disk.
///
/// # Examples
///
/// ```
/// use holt_journal::disk::Operation;
///
/// assert!(Operation::Write.is_change() && !Operation::Read.is_change());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// [`Disk::create`](crate::disk::Disk::create).
    Create,
    /// [`Disk::open`](crate::disk::Disk::open).
    Open,
    /// [`Disk::list`](crate::disk::Disk::list).
    List,
    /// [`Disk::rename`](crate::disk::Disk::rename).
    Rename,
    /// [`Disk::remove`](crate::disk::Disk::remove).
    Remove,
    /// [`Disk::sync_dir`](crate::disk::Disk::sync_dir).
    SyncDir,
    /// [`Disk::lock`](crate::disk::Disk::lock).
    Lock,
    /// [`Disk::entropy`](crate::disk::Disk::entropy).
    Entropy,
    /// [`DiskFile::len`](crate::disk::DiskFile::len).
    Len,
    /// [`DiskFile::set_len`](crate::disk::DiskFile::set_len).
    SetLen,
    /// [`DiskFile::allocate`](crate::disk::DiskFile::allocate).
    Allocate,
    /// [`DiskFile::read_at`](crate::disk::DiskFile::read_at).
    Read,
    /// [`DiskFile::write_at`](crate::disk::DiskFile::write_at).
    Write,
    /// [`DiskFile::sync_data`](crate::disk::DiskFile::sync_data) and
    /// [`DiskFile::sync_all`](crate::disk::DiskFile::sync_all).
    Sync,
}

impl Operation {
    /// Every kind of call.
    pub const ALL: [Operation; 14] = [
        Operation::Create,
        Operation::Open,
        Operation::List,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDir,
        Operation::Lock,
        Operation::Entropy,
        Operation::Len,
        Operation::SetLen,
        Operation::Allocate,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
    ];

    /// Whether the call may change what the disk holds, now or after a power cut.
    pub fn is_change(self) -> bool {
        use Operation::{Allocate, Create, Remove, Rename, SetLen, Sync, SyncDir, Write};
        matches!(self, Create | Rename | Remove | SyncDir | SetLen | Allocate | Write | Sync)
    }
}

/// A set of calls to count or to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every call.
    Any,
    /// Calls for which [`Operation::is_change`] holds: a crash between two of the others
    /// leaves nothing new.
    Changes,
    /// Calls of one kind.
    Only(Operation),
    /// Calls of one kind on files whose name begins so. A handle keeps the name it was opened
    /// by; a rename counts under the old name, calls on the directory under the empty name.
    Named(Operation, &'static str),
}

impl Target {
    pub(super) fn covers(self, operation: Operation, name: &str) -> bool {
        match self {
            Target::Any => true,
            Target::Changes => operation.is_change(),
            Target::Only(only) => only == operation,
            Target::Named(only, prefix) => only == operation && name.starts_with(prefix),
        }
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The device fails (`EIO`). A write may have left a first part of its bytes; a sync
    /// loses a random part of what was not yet durable *for good*: the bytes still read
    /// back, but no later sync writes them. Other calls change nothing.
    Io,
    /// No space (`ENOSPC`); nothing is changed, but a sync loses as with [`Fault::Io`].
    NoSpace,
    /// A signal came in between (`EINTR`); as [`Fault::NoSpace`].
    Interrupted,
    /// A read or write moves only half of its bytes, at least one, and succeeds. Calls of
    /// other kinds are not disturbed.
    Short,
    /// A write takes nothing and succeeds. Calls of other kinds are not disturbed.
    Nothing,
    /// The power goes while the call runs: it may or may not have taken effect, and this call
    /// and all after it fail. [`SimDisk::crash`](super::SimDisk::crash) shows what is left.
    PowerCut,
}

impl Fault {
    /// The error that the caller sees.
    pub(super) fn error(self) -> io::Error {
        let errno = match self {
            Fault::NoSpace => Errno::NOSPC,
            Fault::Interrupted => Errno::INTR,
            Fault::Io | Fault::Short | Fault::Nothing | Fault::PowerCut => Errno::IO,
        };
        errno.into()
    }

    /// Whether a call of this kind is disturbed at all.
    pub(super) fn disturbs(self, operation: Operation) -> bool {
        match self {
            Fault::Short => matches!(operation, Operation::Read | Operation::Write),
            Fault::Nothing => operation == Operation::Write,
            _ => true,
        }
    }
}

/// A fault and when it strikes.
///
/// # Examples
///
/// ```
/// use holt_journal::disk::{Disk, Fault, Operation, SimDisk, Target, Trigger};
///
/// let disk = SimDisk::new(1);
/// // The second file is not created, the third is; then none is any more.
/// disk.inject(Trigger::once(Target::Only(Operation::Create), 1, Fault::NoSpace));
/// assert!(disk.create("a").is_ok() && disk.create("b").is_err() && disk.create("c").is_ok());
/// disk.inject(Trigger::lasting(Target::Only(Operation::Create), 0, Fault::NoSpace));
/// assert!(disk.create("d").is_err() && disk.create("e").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The calls that are counted and struck.
    pub target: Target,
    /// Calls of the target that are let through first.
    pub after: u64,
    /// Calls that are struck then. Endless interruptions make callers that retry them retry
    /// for ever.
    pub times: u64,
    /// What strikes.
    pub fault: Fault,
}

impl Trigger {
    /// Strikes one call of `target` after letting `after` of them through.
    pub fn once(target: Target, after: u64, fault: Fault) -> Trigger {
        Trigger { target, after, times: 1, fault }
    }

    /// Strikes every call of `target` after letting `after` of them through.
    pub fn lasting(target: Target, after: u64, fault: Fault) -> Trigger {
        Trigger { target, after, times: u64::MAX, fault }
    }

    /// Counts a call and says whether it is struck.
    pub(super) fn strikes(&mut self, operation: Operation, name: &str) -> bool {
        if !self.target.covers(operation, name) || !self.fault.disturbs(operation) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        let strikes = self.times > 0;
        self.times = if self.times == u64::MAX { u64::MAX } else { self.times.saturating_sub(1) };
        strikes
    }
}
