//! Where frames come from that are not in memory.

/// What a [`FrameSource`] may fail with.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps the images of committed [cuts](crate::Cut), so that a pool need not have all of its
/// frames and blobs in memory.
///
/// What has not changed since the last committed cut may be given up by the pool and
/// asked for here again, by any thread and several at a time. That goes for what a cut has freed,
/// too, as long as cuts name it as [still read](crate::Cut::still_read).
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use holt_art::{FrameId, FrameSource, Pool, PoolOptions, SourceError};
///
/// #[derive(Debug, Default)]
/// struct Images(Mutex<BTreeMap<u64, Vec<u8>>>);
///
/// impl FrameSource for Images {
///     fn read(&self, object: u64, out: &mut Vec<u8>) -> Result<(), SourceError> {
///         out.clear();
///         out.extend_from_slice(self.0.lock().unwrap().get(&object).ok_or("no such image")?);
///         Ok(())
///     }
/// }
///
/// let images = Arc::new(Images::default());
/// assert!(!images.is_checked());
/// images.will_need(&[1, 2]);
/// let pool = Pool::with_source(PoolOptions::with_bytes(64 << 20, 64 << 20), images)?;
/// assert_eq!(pool.stats().absent, 0);
/// pool.declare(7, 4096)?;
/// assert_eq!(pool.stats().absent, 1);
/// assert!(pool.fetch(FrameId::new(7)).is_err(), "there is no such image");
/// # Ok::<(), holt_art::Error>(())
/// ```
pub trait FrameSource: std::fmt::Debug + Send + Sync {
    /// Replaces `out`, which may have anything in it, by the image that `object` had in the last
    /// committed cut.
    ///
    /// A cut's images have to be here before [`Cut::commit`](crate::Cut::commit) is called for it.
    ///
    /// # Errors
    ///
    /// Whatever is in the way. Who needed the object gets it as
    /// [`Error::Source`](crate::Error::Source); nothing else is affected, and the next one who
    /// needs it asks again.
    fn read(&self, object: u64, out: &mut Vec<u8>) -> Result<(), SourceError>;

    /// Whether what [`read`](Self::read) gives has been checked, by a checksum that covers which object it is,
    /// to be what the cut gave out. Then an image is looked through only before its frame is changed
    /// for the first time, which halves the time of a miss.
    fn is_checked(&self) -> bool {
        false
    }

    /// Says that these objects will most likely be read soon, in this order: a chance to fetch them
    /// all at once. Must not block for long; doing nothing is right, too.
    fn will_need(&self, _objects: &[u64]) {}
}
