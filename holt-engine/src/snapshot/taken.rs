//! The moment that a snapshot is of, and the account of those that are open.
//!
//! - A snapshot is taken under the closed gate, and so between two writes: whatever changes several
//!   places, trees or keys of the catalogue, is in it as a whole or not at all.
//! - The frames are let go of first; then the account forgets the snapshot, and the thread that
//!   empties the trash hears that there may be room again.

use std::collections::BTreeMap;

use holt_art::{FrameId, Version};
use holt_codec::GRANULE;
use holt_journal::disk::Disk;

use crate::core::{Core, Lease};
use crate::error::Error;
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// What the clones of a snapshot share.
pub(super) struct Taken<D: Disk> {
    // In the order in which they are dropped.
    pub(super) frames: holt_art::Snapshot,
    /// The catalogue as it was, once somebody has asked for it.
    trees: OnceLock<BTreeMap<String, TreeAt>>,
    open: Open<D>,
}

/// A tree of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeAt {
    pub(crate) id: u64,
    pub(crate) root: FrameId,
}

impl<D: Disk> Taken<D> {
    pub(super) fn take(lease: &Arc<Lease<D>>) -> Result<Taken<D>, Error> {
        let core = lease.core();
        core.check_open()?;
        // In a child of the process that opened the database, somebody who is not there may have
        // left the gate closed.
        lease.check_process()?;
        let closed = core.pool.close_gate();
        let frames = core.pool.snapshot(&closed);
        // Nobody has a place in the log and has not applied his change.
        let log_address = core.log_address();
        drop(closed);
        core.snapshots.opened(log_address);
        let open = Open { lease: Arc::clone(lease), log_address };
        Ok(Taken { frames, trees: OnceLock::new(), open })
    }

    pub(super) fn core(&self) -> &Core<D> {
        self.open.lease.core()
    }

    pub(super) fn lease(&self) -> &Arc<Lease<D>> {
        &self.open.lease
    }

    /// Address at which the log ended.
    pub(super) fn log_address(&self) -> u64 {
        self.open.log_address
    }

    /// All trees, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], damage of the catalogue, or the failure of the disk.
    pub(super) fn trees(&self) -> Result<&BTreeMap<String, TreeAt>, Error> {
        let core = self.core();
        core.check_open()?;
        if let Some(trees) = self.trees.get() {
            return Ok(trees);
        }
        let trees = core.catalog.at(&self.frames)?;
        Ok(self.trees.get_or_init(|| trees))
    }
}

/// A snapshot's place in the account.
struct Open<D: Disk> {
    lease: Arc<Lease<D>>,
    log_address: u64,
}

impl<D: Disk> Drop for Open<D> {
    fn drop(&mut self) {
        let core = self.lease.core();
        core.snapshots.closed(self.log_address);
        core.trash.freed();
    }
}

/// The snapshots of a database that are open.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// How many there are of each address of the log.
    open: Mutex<BTreeMap<u64, u64>>,
}

impl Snapshots {
    fn opened(&self, log_address: u64) {
        *lock(&self.open).entry(log_address).or_default() += 1;
    }

    fn closed(&self, log_address: u64) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&log_address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&log_address);
            }
        }
    }

    /// How many are open, and of which version the oldest is.
    pub(crate) fn counts(&self) -> (u64, Option<Version>) {
        let open = lock(&self.open);
        let oldest = open.keys().next().map(|&address| version_at(address));
        (open.values().sum(), oldest)
    }
}

/// The lowest version that a write can have whose record begins at this address or behind it.
pub(super) fn version_at(log_address: u64) -> Version {
    Version::new(log_address / GRANULE as u64).unwrap_or(Version::MAX)
}
