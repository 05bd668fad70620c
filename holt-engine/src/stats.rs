//! What a database holds and takes, in numbers.

use std::time::Duration;

use holt_art::{Pool, Version};
use holt_journal::SegmentStats;
use holt_journal::disk::Disk;

use crate::core::Core;
use crate::error::Error;
use crate::log::Log;

/// What a database holds and takes at a moment.
///
/// The numbers are read one after the other: they fit together exactly only while nobody writes.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// let db = holt_engine::Db::in_memory()?;
/// db.default_tree().put(b"key", b"value")?;
/// let stats = db.stats()?;
/// assert_eq!((stats.trees, stats.keys), (1, Some(1)));
/// assert_eq!(stats.log_segments, holt_engine::SegmentStats::default(), "in memory there is no log");
/// assert!(stats.memory_bytes > 0 && stats.log_failure.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Trees.
    pub trees: u64,
    /// Keys in all trees; none if some frames are not in memory, and counting would read them, as
    /// [`Tree::len`](crate::Tree::len) does.
    pub keys: Option<u64>,
    /// Frames that the trees take, those that are not in memory among them.
    pub frames: u64,
    /// How full the frames in memory are, from 0 to 1.
    pub fill: f64,
    /// The frames that are not in memory.
    pub cache: CacheStats,
    /// Whether there is memory that is still to be given back, by a thread in the background, from
    /// prefixes and trees that are gone.
    pub reclaiming: bool,
    /// Bytes of memory that frames and large values take, those among them that are kept as they
    /// were, for a checkpoint or for [`snapshots`](Self::snapshots).
    pub memory_bytes: u64,
    /// The snapshots that are open, and what is kept as it was.
    pub snapshots: SnapshotStats,
    /// Bytes of disk that the frame file and the manifest take.
    pub store_bytes: u64,
    /// The part of it that the last checkpoint's frames and values take, padding included.
    pub live_bytes: u64,
    /// Bytes of disk that the segments of the log take, reserved space among them.
    pub log_bytes: u64,
    /// The segment files of the log: how many there are, and how many were used again. None for a
    /// database in memory or open for reading alone.
    pub log_segments: SegmentStats,
    /// Address at which the log ends: every write moves it on, and it never goes back.
    pub log_address: u64,
    /// Address of the log up to which the last checkpoint holds everything; none before the first.
    /// Opening replays the log from here.
    pub checkpoint_address: Option<u64>,
    /// Why the last checkpoint failed, if it did.
    pub checkpoint_failure: Option<String>,
    /// The checkpoints since the database was opened.
    pub checkpoints: CheckpointStats,
    /// Why the database is closed for writing, if a failure of the log closed it.
    pub log_failure: Option<String>,
    /// The feeds that are open.
    pub feeds: FeedStats,
}

/// What [feeds](crate::Feed) read and hold.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let db = holt_engine::Db::open(directory.path())?;
/// let feed = db.changes(None).open()?;
/// let feeds: holt_engine::FeedStats = db.stats()?.feeds;
/// assert_eq!((feeds.open, feeds.cut_off), (1, 0));
/// # drop(feed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeedStats {
    /// Feeds that are open, but for those that were cut off.
    pub open: u64,
    /// Bytes of log before the last checkpoint that stay on disk for the slowest of them, up to
    /// 256 KiB more than it needs.
    pub held_bytes: u64,
    /// Feeds that have lagged too far behind since the database was opened, and were cut off.
    pub cut_off: u64,
}

/// What became of checkpoints since the database was opened, asked for or automatic.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let db = holt_engine::Db::open(directory.path())?;
/// db.default_tree().put(b"key", b"value")?;
/// db.checkpoint()?;
/// let holt_engine::CheckpointStats { made, failures, longest_pause, .. } = db.stats()?.checkpoints;
/// assert_eq!((made, failures), (1, 0));
/// println!("writers were kept out for {longest_pause:?} at most");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointStats {
    /// Whether one is being made.
    pub running: bool,
    /// Those that were made; not those that found nothing to write.
    pub made: u64,
    /// Frames and values that they wrote.
    pub images: u64,
    /// Bytes that they wrote to the frame file.
    pub bytes: u64,
    /// For how long the last one kept writers out while it took its cut.
    pub last_pause: Duration,
    /// The longest of these times.
    pub longest_pause: Duration,
    /// Those that failed.
    pub failures: u64,
    /// Those that failed since one last succeeded.
    pub failures_in_a_row: u64,
    /// Why the last one failed, if it did.
    pub failure: Option<String>,
}

/// The snapshots that are open, and what is kept as it was.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// # let db = holt_engine::Db::in_memory()?;
/// let snapshot = db.snapshot()?;
/// db.default_tree().put(b"key", b"value")?;
/// let stats = db.stats()?.snapshots;
/// assert_eq!((stats.open, stats.oldest), (1, Some(snapshot.version())));
/// assert_eq!(stats.kept_frames, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotStats {
    /// How many there are; clones of one count once.
    pub open: u64,
    /// The [version](crate::Snapshot::version) of the oldest, if there is one. A snapshot that was
    /// forgotten somewhere shows in that this does not move on.
    pub oldest: Option<Version>,
    /// Frames that have changed and are kept as they were: for snapshots, for a checkpoint that is
    /// being made, and for lists that a move has overtaken.
    pub kept_frames: u64,
    /// Large values that are gone and are kept for the same readers.
    pub kept_values: u64,
}

/// What left memory and came back since the database was opened.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holt_engine::Error> {
/// let cache = holt_engine::Db::in_memory()?.stats()?.cache;
/// assert_eq!((cache.absent, cache.reads, cache.evictions), (0, 0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Frames that are on disk only.
    pub absent: u64,
    /// Values of more than 3,000 bytes that are on disk only.
    pub absent_values: u64,
    /// Frames that have changed since the last checkpoint.
    pub changed: u64,
    /// Frames and such values that were read from disk.
    pub reads: u64,
    /// Frames and such values that left memory.
    pub evictions: u64,
}

/// # Errors
///
/// [`Error::Closed`].
pub(crate) fn of<D: Disk>(core: &Core<D>) -> Result<Stats, Error> {
    core.check_open()?;
    let trees = core.catalog.all();
    let pool = core.pool.stats();
    let checkpoints = core.due.figures();
    let (open, oldest) = core.snapshots.counts();
    let mut stats = Stats {
        trees: trees.len() as u64,
        keys: core.pool.is_whole().then(|| trees.iter().map(|named| named.tree.len()).sum()),
        frames: pool.frames,
        cache: CacheStats {
            absent: pool.absent,
            absent_values: pool.absent_blobs,
            changed: pool.changed,
            reads: pool.reads,
            evictions: pool.evictions,
        },
        fill: pool.fill(),
        reclaiming: !core.catalog.trash().is_empty(),
        memory_bytes: pool.slot_bytes + pool.blob_bytes,
        snapshots: SnapshotStats {
            open,
            oldest,
            kept_frames: pool.kept_bytes / Pool::FRAME_BYTES as u64,
            kept_values: pool.kept_blobs,
        },
        store_bytes: 0,
        live_bytes: 0,
        log_bytes: 0,
        log_segments: SegmentStats::default(),
        log_address: core.log_address(),
        checkpoint_address: None,
        checkpoint_failure: checkpoints.failure.clone(),
        checkpoints,
        log_failure: core.log_failure().map(|error| error.to_string()),
        feeds: FeedStats::default(),
    };
    if let Some(files) = &core.files {
        let store = files.store.stats();
        stats.store_bytes = store.file_bytes + store.manifest_bytes;
        stats.live_bytes = store.live_bytes;
        stats.log_bytes = files.bytes()?.saturating_sub(stats.store_bytes);
        if let Ok(Log::Journal(journal)) = core.log_for_checkpoint() {
            let feeds = journal.feeds();
            let held = feeds.slowest.map(|slowest| store.log_address.saturating_sub(slowest));
            let held_bytes = held.unwrap_or(0);
            stats.feeds = FeedStats { open: feeds.open, held_bytes, cut_off: feeds.cut_off };
            stats.log_segments = journal.segments();
        }
        stats.checkpoint_address = (store.sequence > 1).then_some(store.log_address);
    }
    Ok(stats)
}
