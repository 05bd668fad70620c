//! What another process writes, read from its files beside it.
//!
//! - No lock is taken and the database is not opened: only the manifest and the log are read, and
//!   nothing is written.
//! - The writer does not wait for us, so what is read may just be changing, and a look is then
//!   repeated. What stays wrong is told.
//! - A checkpoint gives up log that has perhaps not been read yet. Its bytes are counted all the
//!   same, by addresses; its operations are not, and that is told.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use holt_codec::{Op, Record};
use holt_engine::disk::{Access, RealDisk};
use holt_journal::store::Store;
use holt_journal::{Error, recover_log};

/// How often a look is repeated before its error is believed.
const ATTEMPTS: u32 = 20;
/// The attempt from which on the log is taken to have been given up where it was left off.
const GIVEN_UP: u32 = 5;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// What has been written since a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Operations, whether alone or in a batch.
    pub(crate) puts: u64,
    pub(crate) deletes: u64,
    /// Of single keys.
    pub(crate) renames: u64,
    /// Renames and removals of prefixes.
    pub(crate) prefix_operations: u64,
    pub(crate) batches: u64,
    /// Trees created, renamed and dropped.
    pub(crate) tree_changes: u64,
    /// Bytes of log.
    pub(crate) log_bytes: u64,
    pub(crate) checkpoints: u64,
    /// Bytes of log that were gone before they were read.
    pub(crate) missed_bytes: u64,
}

impl Counts {
    fn add(&mut self, record: &Record<'_>) {
        match record {
            Record::Op(op) => self.operation(op),
            Record::Batch(batch) => {
                self.batches += 1;
                batch.ops().flatten().for_each(|op| self.operation(&op));
            }
            Record::CreateTree { .. } | Record::RenameTree { .. } | Record::DropTree { .. } => {
                self.tree_changes += 1;
            }
            _ => {}
        }
    }

    fn operation(&mut self, op: &Op<'_>) {
        match op {
            Op::Put { .. } => self.puts += 1,
            Op::Delete { .. } => self.deletes += 1,
            Op::Rename { .. } => self.renames += 1,
            _ => self.prefix_operations += 1,
        }
    }
}

/// What one look has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// What has been written since the first look.
    pub(crate) since: Counts,
    /// Address at which the log ends.
    pub(crate) log_address: u64,
    /// Address up to which the last checkpoint holds everything.
    pub(crate) checkpoint_address: u64,
    /// Bytes of frame file and manifest.
    pub(crate) store_bytes: u64,
}

/// Looks at a database again and again.
pub(crate) struct Follower {
    disk: Arc<RealDisk>,
    /// Where the last look stopped: the address in the log, and the number of the checkpoint.
    stopped: Option<(u64, u64)>,
    since: Counts,
}

impl Follower {
    pub(crate) fn new(disk: Arc<RealDisk>) -> Follower {
        Follower { disk, stopped: None, since: Counts::default() }
    }

    /// Looks. The first time everything since the last checkpoint is read, to find the end.
    ///
    /// # Errors
    ///
    /// What [`Store::open`] and [`recover_log`] find, and find again.
    pub(crate) fn look(&mut self) -> Result<Look, Error> {
        let mut attempt = 0;
        loop {
            match self.attempt(attempt >= GIVEN_UP) {
                Err(error) if attempt == ATTEMPTS || matches!(error, Error::NoStore) => {
                    return Err(error);
                }
                Err(_) => thread::sleep(PAUSE),
                look => return look,
            }
            attempt += 1;
        }
    }

    fn attempt(&mut self, given_up: bool) -> Result<Look, Error> {
        let store = Store::open(Arc::clone(&self.disk), Access::Read)?;
        let stats = store.stats();
        let (last, sequence) = self.stopped.unwrap_or((stats.log_address, stats.sequence));
        let from = if given_up { last.max(stats.log_address) } else { last };
        let mut counts = Counts::default();
        let log = recover_log(&self.disk, store.db(), from, &mut |_, record| {
            counts.add(&record);
            Ok::<(), Error>(())
        })?;
        let end = log.end();
        if self.stopped.is_some() {
            let since = &mut self.since;
            since.puts += counts.puts;
            since.deletes += counts.deletes;
            since.renames += counts.renames;
            since.prefix_operations += counts.prefix_operations;
            since.batches += counts.batches;
            since.tree_changes += counts.tree_changes;
            since.log_bytes += end - last;
            since.missed_bytes += from - last;
            since.checkpoints += stats.sequence.saturating_sub(sequence);
        }
        self.stopped = Some((end, stats.sequence));
        Ok(Look {
            since: self.since,
            log_address: end,
            checkpoint_address: stats.log_address,
            store_bytes: stats.file_bytes + stats.manifest_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use holt_engine::{Db, Options};

    use super::*;

    /// The counts of `since`, without bytes.
    fn counts(since: Counts) -> [u64; 7] {
        let Counts { puts, deletes, renames, prefix_operations, batches, tree_changes, .. } = since;
        [puts, deletes, renames, prefix_operations, batches, tree_changes, since.checkpoints]
    }

    #[test]
    fn what_an_open_database_writes_is_counted_from_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let db = Options::new().checkpoint_bytes(0).open(directory.path()).unwrap();
        let tree = db.default_tree();
        tree.put(b"before", b"").unwrap();
        db.sync().unwrap();
        let disk = Arc::new(RealDisk::open(directory.path()).unwrap());
        let mut follower = Follower::new(disk);
        let first = follower.look().unwrap();
        assert_eq!(first.since, Counts::default());
        assert_eq!(first.log_address, db.stats().unwrap().log_address);

        for number in 0..10_u8 {
            tree.put(&[number], b"value").unwrap();
        }
        tree.delete(&[3]).unwrap();
        let _ = tree.rename(&[4], b"four").unwrap();
        db.create_tree("other").unwrap();
        db.atomic(|batch| {
            batch.put(&tree, b"a/b", b"")?;
            batch.delete_prefix(&tree, b"a/")
        })
        .unwrap();
        db.sync().unwrap();
        let second = follower.look().unwrap();
        assert_eq!(counts(second.since), [11, 1, 1, 1, 1, 1, 0]);
        assert_eq!(second.log_address, db.stats().unwrap().log_address);
        assert_eq!(second.since.log_bytes, second.log_address - first.log_address);

        // What a checkpoint gives up before it was read is counted in bytes.
        tree.put(b"gone", &[7; 4000]).unwrap();
        db.checkpoint().unwrap();
        tree.put(b"after", b"").unwrap();
        db.sync().unwrap();
        let third = follower.look().unwrap();
        assert_eq!(third.since.checkpoints, 1);
        assert_eq!(third.since.log_bytes, third.log_address - first.log_address);
        assert!(third.since.puts == 13 || third.since.missed_bytes >= 4000, "{third:?}");
        assert_eq!(third.checkpoint_address, db.stats().unwrap().checkpoint_address.unwrap());

        // The next process goes on elsewhere in the log.
        drop(tree);
        db.close().unwrap();
        let before = follower.look().unwrap();
        let db = Db::open(directory.path()).unwrap();
        db.default_tree().put(b"next", b"").unwrap();
        db.sync().unwrap();
        let after = follower.look().unwrap();
        assert_eq!(after.since.puts, before.since.puts + 1);
    }
}
