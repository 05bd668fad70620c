//! A disk in memory that behaves as badly as a disk may, from one seed.
//!
//! [`SimDisk`] keeps, for each file and each name, what is durable apart from what only a
//! running machine knows. A test works on it as on any [`Disk`], then asks what a disaster
//! would leave:
//!
//! - [`SimDisk::kill`]: the disk after the process was killed.
//! - [`SimDisk::crash`]: the disk after a power cut, for a [`CrashPattern`] and a seed.
//!
//! Both give a *new* disk and leave this one alone, and pages are shared between them, so one
//! moment can be crashed in many ways cheaply. Before that, [`SimDisk::inject`] lets any call
//! fail, or cuts the power in the middle of it; [`SimDisk::count`] counts calls, so that a
//! test can run a workload once to count and then once for each call to crash there.
//! [`SimDisk::flip`] and [`SimDisk::put`] damage what is stored,
//! [`SimDisk::set_capacity`] makes the disk run full.
//!
//! The same seed and the same calls in the same order give the same outcome. `Debug` prints
//! the seed.
//!
//! # Examples
//!
//! ```
//! use holt_journal::disk::{Access, CrashPattern, Disk, DiskFile, SimDisk};
//!
//! let disk = SimDisk::new(7);
//! let file = disk.create("f")?;
//! file.write_bytes_at(b"synced", 0)?;
//! file.sync_data()?;
//! disk.sync_dir()?;
//! file.write_bytes_at(b"not so", 0)?;
//!
//! let after = disk.crash(1, CrashPattern::LoseAll);
//! let mut bytes = [0; 6];
//! after.open("f", Access::Read)?.read_exact_at(&mut bytes, 0)?;
//! assert_eq!(&bytes, b"synced");
//! # Ok::<(), std::io::Error>(())
//! ```

mod crash;
mod fault;
mod file;
mod image;
mod random;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use super::{Access, Disk, check_name};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crash::CrashPattern;
pub use fault::{Fault, Operation, Target, Trigger};
pub use file::SimFile;
use state::State;

/// A simulated directory. Clones are handles of the same one.
///
/// # Examples
///
/// ```
/// use holt_journal::disk::{
///     Access, CrashPattern, Disk, DiskFile, Fault, Operation, SimDisk, SimFile, SimLock, Target,
///     Trigger,
/// };
///
/// let disk = SimDisk::new(7);
/// assert_eq!(disk.seed(), 7);
/// let file: SimFile = disk.create("f")?;
/// file.write_bytes_at(b"one", 0)?;
/// assert_eq!((disk.used(), disk.open_handles()), (4096, 1));
/// assert_eq!(disk.count(Target::Only(Operation::Write)), 1);
///
/// // A killed process leaves what was handed over, a power cut only what was synced.
/// assert_eq!(disk.kill().contents("f").as_deref(), Some(&b"one"[..]));
/// assert_eq!(disk.durable_contents("f"), None);
/// assert_eq!(disk.crash(1, CrashPattern::LoseAll).list()?, [""; 0]);
/// file.sync_data()?;
/// disk.sync_dir()?;
/// assert_eq!(disk.durable_contents("f").as_deref(), Some(&b"one"[..]));
///
/// // The next sync fails, and only that one; then the disk is full; then the power goes.
/// disk.reset_counts();
/// disk.inject(Trigger::once(Target::Only(Operation::Sync), 0, Fault::Io));
/// assert!(file.sync_data().is_err() && file.sync_data().is_ok());
/// disk.clear_faults();
/// disk.set_capacity(Some(4096));
/// assert!(file.write_bytes_at(b"x", 8192).is_err());
/// disk.set_capacity(None);
/// disk.inject(Trigger::lasting(Target::Changes, 0, Fault::PowerCut));
/// assert!(file.write_bytes_at(b"two", 0).is_err() && disk.is_off());
///
/// // Damage from outside, whoever has a lock.
/// let after = disk.crash(1, CrashPattern::LoseAll);
/// let _lock: Option<SimLock> = after.lock("f", true)?;
/// after.flip("f", 0, 0);
/// assert_eq!(after.contents("f").as_deref(), Some(&b"nne"[..]));
/// after.put("f", None);
/// assert!(after.open("f", Access::Read).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Mutex<State>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk")
            .field("seed", &state.seed)
            .field("files", &state.names())
            .field("changes", &state.count(Target::Changes))
            .finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk without limits whose random decisions follow from `seed`.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::from_state(State::new(seed))
    }

    fn from_state(state: State) -> SimDisk {
        SimDisk { shared: Arc::new(Mutex::new(state)) }
    }

    /// The state; a test that panicked elsewhere with it in hand must not hide its own report.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seed that repeats this disk's behaviour.
    pub fn seed(&self) -> u64 {
        self.state().seed
    }

    /// The disk that the next process finds after this one was killed: everything handed over
    /// before is there, synced or not, and what was not synced is still at risk. Locks,
    /// triggers and counts are gone. Handles of this disk do not reach the new one.
    pub fn kill(&self) -> SimDisk {
        SimDisk::from_state(self.state().kill())
    }

    /// The disk that the next process finds after a power cut, by `pattern` and `seed`. Its
    /// whole content is durable; locks, triggers and counts are gone. Handles of this disk do
    /// not reach the new one.
    pub fn crash(&self, seed: u64, pattern: CrashPattern) -> SimDisk {
        SimDisk::from_state(self.state().crash(seed, pattern))
    }

    /// Arms a fault. Triggers count separately; if several strike one call, the first one
    /// armed does.
    pub fn inject(&self, trigger: Trigger) {
        self.state().triggers.push(trigger);
    }

    /// Disarms all faults. Power that was cut stays off.
    pub fn clear_faults(&self) {
        self.state().triggers.clear();
    }

    /// Whether a [`Fault::PowerCut`] has struck.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Calls since the disk was made or [`SimDisk::reset_counts`].
    /// For [`Target::Named`] only the kind counts, not the name.
    pub fn count(&self, target: Target) -> u64 {
        self.state().count(target)
    }

    /// Sets all counts to 0.
    pub fn reset_counts(&self) {
        self.state().counts = [0; Operation::ALL.len()];
    }

    /// Limits the space, counted in pages of 4 KiB that files take; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Sets whether files can reserve space, as they can at first; else [`allocate`](crate::disk::DiskFile::allocate) only
    /// lengthens them.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_journal::disk::{Disk, DiskFile, SimDisk};
    ///
    /// let disk = SimDisk::new(1);
    /// disk.set_reserving(false);
    /// let file = disk.create("f")?;
    /// assert!(!file.allocate(0, 8192)?);
    /// assert_eq!((file.len()?, disk.used()), (8192, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_reserving(&self, reserving: bool) {
        self.state().reserving = reserving;
    }

    /// The space in bytes that files take: those with a name, and open ones without.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Files that are held open.
    pub fn open_handles(&self) -> u64 {
        self.state().open_handles()
    }

    /// The content of a file as a running process sees it, `None` if there is no such name.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.state().contents(name)
    }

    /// The content that a power cut is sure to leave, `None` if it may leave no such name.
    pub fn durable_contents(&self, name: &str) -> Option<Vec<u8>> {
        self.state().durable_contents(name)
    }

    /// Puts a durable file of this content in place, whatever was there; `None` removes it.
    /// This is damage or restoration from outside: it counts as no call. Changes of names that
    /// were not yet synced become durable with it. Open handles keep the file they have.
    pub fn put(&self, name: &str, content: Option<&[u8]>) {
        self.state().put(name, content);
    }

    /// Flips one bit of a file, durably and under the eyes of who has it open.
    ///
    /// # Panics
    ///
    /// If there is no such file, or `byte` is beyond its end, or `bit` is over 7.
    pub fn flip(&self, name: &str, byte: u64, bit: u8) {
        self.state().flip(name, byte, bit);
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn create(&self, name: &str) -> io::Result<SimFile> {
        check_name(name)?;
        let id = self.state().create(name)?;
        Ok(SimFile::new(self.clone(), id, name, Access::ReadWrite))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<SimFile> {
        check_name(name)?;
        let id = self.state().open(name)?;
        Ok(SimFile::new(self.clone(), id, name, access))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.state().list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.state().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.state().remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.state().sync_dir()
    }

    fn lock(&self, name: &str, exclusive: bool) -> io::Result<Option<SimLock>> {
        check_name(name)?;
        let taken = self.state().lock(name, exclusive)?;
        Ok(taken.then(|| SimLock { disk: self.clone(), name: name.to_owned(), exclusive }))
    }

    fn entropy(&self) -> io::Result<[u8; 32]> {
        self.state().entropy()
    }
}

/// A lock held on a file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    name: String,
    exclusive: bool,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().unlock(&self.name, self.exclusive);
    }
}
