//! The pool: frames, blobs, the frame table, the gate, and the epochs of cuts.
//!
//! Several trees share one pool. Frames live in slots of one arena of anonymous memory;
//! the *frame table* maps a frame's number to a row of one line (see [`row`]): a word with
//! latch, version and slot (see [`latch`]), one with the epoch of the frame's last change, and
//! copies of its first roots. Following a crossing is one line of the table and some arithmetic.
//!
//! # Epochs
//!
//! The pool's epoch advances under the closed gate with each cut, snapshot, trial, and move
//! that overtakes a cursor, so a mutation sees one epoch from its beginning to its end. A frame
//! is *dirty* when its epoch is later than that of the last committed cut. The first writer
//! that touches a frame as a pinned epoch has it moves the live frame to another slot and
//! leaves the old slot as the preserved image (see [`pins`], [`kept`]), or, where that is all for a
//! cut, goes on in its slot and saves what it changes (see [`pieces`](crate::frame::pieces)); a cut that is given up
//! needs no bookkeeping, because its frames are simply still dirty.

mod absent;
mod audit;
pub(crate) mod blobs;
mod books;
mod changed;
pub(crate) mod clock;
mod cut;
pub(crate) mod gate;
mod kept;
pub(crate) mod latch;
mod latched;
pub(crate) mod lists;
pub(crate) mod meetings;
pub(crate) mod moves;
mod pages;
pub(crate) mod past;
mod pins;
mod place;
mod presence;
pub(crate) mod row;
pub(crate) mod snapshot;
mod source;
mod spare;
mod stats;
mod tails;
mod trial;
mod values;
mod victims;

pub use cut::Cut;
pub use snapshot::Snapshot;
pub use source::{FrameSource, SourceError};
pub use spare::Reserve;
pub use stats::PoolStats;
pub use trial::{Outlook, Trial};

use std::sync::Arc;

use crate::MAX_VALUE;
use crate::arena::Arena;
use crate::error::Error;
use crate::frame::edit::Edit;
use crate::frame::pieces::{self, Pieces};
use crate::frame::reach::{Counting, Wide};
use crate::frame::{FRAME_WORDS, View, Words};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, fence, lock};
use crate::tree::Tree;
use blobs::{BLOB_OBJECT, Blobs};
use books::{Books, SLOT_PAGES};
use clock::Clock;
use gate::{Closed, Gate, Pass};
use latch::{LatchRef, Observed, SLOT_LIMIT};
pub(crate) use latched::Latched;
use lists::Lists;
use meetings::Meetings;
use moves::Moves;
pub use moves::Moving;
use pages::Budget;
use pins::Pins;
use row::{ROW_WORDS, Row};

/// Attempts at a latch before somebody who holds another one gives up.
const SOON: u32 = 256;

/// What [`Pool::latch_soon`] came to.
pub(crate) enum Soon<'p> {
    /// The frame is latched.
    Latched(Latched<'p>),
    /// There is no such frame.
    Missing,
    /// Somebody else holds the latch, perhaps waiting for one that the caller holds.
    Busy,
}

/// The number of a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrameId(pub(crate) u32);

impl FrameId {
    /// The number, for keeping it somewhere.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The frame with this number. Whether it exists is found out when it is used.
    pub fn new(number: u32) -> Self {
        Self(number)
    }
}

/// Sizes of a [`Pool`]. They bound address space; memory is taken where it is used.
///
/// # Examples
///
/// ```
/// use holt_art::PoolOptions;
/// let mut options = PoolOptions::default();
/// options.frame_bytes = 64 << 20;
/// assert!(options.blob_bytes >= 1 << 30);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PoolOptions {
    /// Most bytes of frames in memory, copies kept for a cut included; at most 512 GiB are used. In a pool
    /// [with a source](Pool::with_source) the blobs in memory are part of this.
    pub frame_bytes: u64,
    /// Most bytes of blobs (values over 3,000 bytes). Not used in a pool with a source.
    pub blob_bytes: u64,
    /// Whether to ask the system for huge pages.
    pub huge_pages: bool,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { frame_bytes: 64 << 30, blob_bytes: 64 << 30, huge_pages: true }
    }
}

impl PoolOptions {
    /// Options with the two sizes in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Art, PoolOptions};
    /// let map = Art::with_options(PoolOptions::with_bytes(16 << 20, 1 << 20))?;
    /// map.put(b"k", b"v")?;
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn with_bytes(frame_bytes: u64, blob_bytes: u64) -> Self {
        Self { frame_bytes, blob_bytes, ..Self::default() }
    }
}

/// See the module's documentation. Shared by all trees made from it.
///
/// # Examples
///
/// ```
/// use holt_art::{Closed, Condition, FrameId, Moving, Pass, Pool, PoolOptions, PoolStats, Version};
///
/// let pool = Pool::new(PoolOptions::default())?;
/// let tree = pool.create_tree(&pool.enter())?;
/// let version = || Version::new(1).unwrap();
/// // Any number of mutations at a time, each inside the gate.
/// let pass: Pass = pool.enter();
/// tree.put(&pass, b"k", b"v", Condition::Always, version)?;
/// drop(pass);
/// let stats: PoolStats = pool.stats();
/// assert!(stats.frames == 1 && stats.fill() > 0.0);
///
/// // Or one that is alone.
/// let closed: Closed = pool.close_gate();
/// let moving: Moving = pool.start_move(&closed);
/// tree.put(closed.pass(), b"k", b"w", Condition::Always, version)?;
/// drop(moving);
/// let root: FrameId = tree.root();
/// assert_eq!(pool.verify(&closed, &[root]), []);
/// let snapshot = pool.snapshot(&closed);
/// pool.free_tree(&closed, root)?;
/// drop(closed);
/// assert!(pool.open_tree(root).is_err());
/// assert_eq!(snapshot.tree(root)?.len(), 1);
/// assert!(pool.cut(&pool.close_gate()).is_ok());
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Debug)]
pub struct Pool {
    frames: Arena<FRAME_WORDS>,
    /// By frame number: see [`row`].
    table: Arena<ROW_WORDS>,
    /// By frame number: which part of an image is made; see [`pieces`].
    pieces: Arena<{ pieces::ROW }>,
    pub(crate) blobs: Blobs,
    /// Memory of frames and blobs together.
    budget: Arc<Budget>,
    gate: Gate,
    pub(crate) moves: Moves,
    /// What point reads may ask of the processor.
    pub(crate) counting: Counting,
    /// What writers have met in which frames.
    pub(crate) meetings: Mutex<Meetings>,
    pub(crate) lists: Lists,
    pins: Pins,
    /// Whether a trial is open that can be taken back; written under the closed gate.
    trial: AtomicBool,
    /// Whether much has changed, in a pool with a source; written with the books' mutex held.
    pressed: AtomicBool,
    /// The next name that [`Pool::next_name`] gives.
    names: AtomicU64,
    books: Mutex<Books>,
    /// See [`Pool::is_crowded`]; written with the books' mutex held.
    crowded: AtomicBool,
    /// Frames leave memory and come back, if there is where from.
    clock: Option<Box<Clock>>,
}

impl Pool {
    /// Bytes of one frame.
    pub const FRAME_BYTES: usize = FRAME_WORDS * 8;

    /// Makes an empty pool.
    ///
    /// # Errors
    ///
    /// [`Error::Reserve`] when the system does not give the address space.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Pool, PoolOptions};
    /// let pool = Pool::new(PoolOptions::default())?;
    /// assert_eq!(pool.stats().frames, 0);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn new(options: PoolOptions) -> Result<Arc<Self>, Error> {
        Self::make(options, None)
    }

    /// Makes an empty pool that need not have all of its frames and blobs in memory: it gives up those
    /// that have not changed since the last committed cut, and reads them from `source` again.
    /// Together they take `frame_bytes`, or 8 MiB if that is less; a blob that does not fit into this is
    /// in memory beyond it while it is wanted.
    ///
    /// Mutations in such a pool may fail with [`Error::Absent`], in which case nothing has
    /// changed, and with [`Error::TooManyChanged`]; see [`Pool::mutate`]. Reads fetch what they
    /// need.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`].
    ///
    /// # Examples
    ///
    /// See [`FrameSource`].
    pub fn with_source(
        options: PoolOptions,
        source: Arc<dyn FrameSource>,
    ) -> Result<Arc<Self>, Error> {
        Self::make(options, Some(source))
    }

    fn make(
        options: PoolOptions,
        source: Option<Arc<dyn FrameSource>>,
    ) -> Result<Arc<Self>, Error> {
        let slots = (options.frame_bytes / Self::FRAME_BYTES as u64).saturating_add(1);
        let least = if source.is_some() { clock::MIN_SLOTS + 1 } else { 2 };
        let slots = slots.clamp(least as u64, SLOT_LIMIT as u64) as usize;
        // Frames that are not in memory have a number too.
        let frames = if source.is_some() { SLOT_LIMIT } else { slots };
        let arena = Arena::new(slots, options.huge_pages)?;
        if options.huge_pages {
            // Small pages throughout cost small trees 4 % of a put.
            arena.begin_huge();
        }
        let budget = Budget::new(source.is_some().then_some((slots - 1) * SLOT_PAGES));
        // Addresses beyond the budget: for the largest values, as holes are not used when they are
        // too short, and as whole pages and shared ones do not take one another's holes.
        let addresses = 3 * (slots * Self::FRAME_BYTES) as u64 + 4 * MAX_VALUE as u64;
        let blob_bytes = if source.is_some() { addresses } else { options.blob_bytes };
        Ok(Arc::new(Self {
            frames: arena,
            table: Arena::new(frames, options.huge_pages)?,
            pieces: Arena::new(frames, options.huge_pages)?,
            blobs: Blobs::new(blob_bytes, Arc::clone(&budget))?,
            gate: Gate::new(),
            moves: Moves::new(),
            counting: Counting::detect(),
            meetings: Mutex::new(Meetings::default()),
            lists: Lists::new(),
            pins: Pins::new(),
            trial: AtomicBool::new(false),
            pressed: AtomicBool::new(false),
            names: AtomicU64::new(0),
            books: Mutex::new(Books::new(slots as u32, frames as u32, Arc::clone(&budget))),
            budget,
            crowded: AtomicBool::new(false),
            clock: source.map(|source| Clock::new(source, frames).map(Box::new)).transpose()?,
        }))
    }

    /// Enters the shared side of the gate, as every mutation must; waits while the gate
    /// is closed. A thread must not enter twice at a time, or it may wait for itself.
    #[inline]
    pub fn enter(&self) -> Pass<'_> {
        self.gate.enter()
    }

    /// Closes the gate: waits until all passes are left, and keeps new ones out.
    pub fn close_gate(&self) -> Closed<'_> {
        self.gate.close()
    }

    /// Begins a *move*: until it is dropped, point reads wait, so that they see all of what
    /// is changed under it or nothing. For prefix operations, and for changes of several
    /// keys with the pass of the closed gate. A list that has begun before goes on with what
    /// there was; the images that it needs for that are kept until it ends.
    ///
    /// The thread must not read through a [`Tree`] or a cursor before the move has ended: it
    /// would wait for itself.
    pub fn start_move<'c>(&'c self, closed: &'c Closed<'_>) -> Moving<'c> {
        self.lists.overtake(&self.moves, || self.pin(closed))
    }

    /// Makes a new, empty tree.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`].
    pub fn create_tree(self: &Arc<Self>, _pass: &Pass<'_>) -> Result<Tree, Error> {
        let root = self.new_frame(0)?;
        Edit::set_entry(
            root.words(),
            0,
            crate::frame::Entry { occupied: true, ..Default::default() },
        );
        let number = root.number();
        drop(root);
        self.root_frame(number)?;
        Ok(Tree::new(Arc::clone(self), number))
    }

    /// The tree whose root is the frame `root`.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFrame`] when there is no such frame; when it is absent, as
    /// [`Pool::fetch`].
    pub fn open_tree(self: &Arc<Self>, root: FrameId) -> Result<Tree, Error> {
        if self.clock.is_some() {
            self.root_frame(root.0)?;
        }
        match self.latch(root.0) {
            Some(latch) if latch.observe().slot() != latch::NO_SLOT => {
                Ok(Tree::new(Arc::clone(self), root.0))
            }
            _ => Err(Error::MissingFrame { frame: root.0 }),
        }
    }

    /// Frees all frames and blobs of a tree; a frame that it shares with the trash stays with
    /// what is there. Handles of the tree must not be used any more: they would find another
    /// tree's frames or none.
    ///
    /// # Errors
    ///
    /// * [`Error::PoolFull`] when an open cut or snapshot needs a shared frame as it is and
    ///   there is no room for a copy; nothing has changed.
    /// * [`Error::MissingFrame`] and [`Error::Damaged`]; what was found is freed.
    pub fn free_tree(self: &Arc<Self>, closed: &Closed<'_>, root: FrameId) -> Result<(), Error> {
        self.open_tree(root)?.free(closed)
    }

    /// Restores a frame or blob from the image that a [`Cut`] gave out. All objects of a
    /// cut are loaded into an empty pool, in any order, before a tree is opened.
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when the image breaks an invariant; [`Error::PoolFull`].
    ///
    /// # Examples
    ///
    /// See [`Cut`].
    pub fn load(&self, object: u64, image: &[u8]) -> Result<(), Error> {
        if let Some(number) = object.checked_sub(BLOB_OBJECT) {
            let number = u32::try_from(number)
                .map_err(|_| Error::Image { object, what: "no such object number".into() })?;
            return self.load_blob(number, image);
        }
        let damaged = |what: String| Error::Image { object, what };
        let number = object as u32;
        let slot = self.take_slot()?;
        let words = self.words(slot);
        let checked =
            clock::fill(words, image).and_then(|()| clock::check_image(words, number, image.len()));
        let claimed = checked.and_then(|()| {
            let mut books = lock(&self.books);
            let claimed = books.claim_frame(number);
            books.stored |= claimed;
            claimed.then_some(()).ok_or_else(|| "its number is taken or out of range".into())
        });
        if let Err(what) = claimed {
            lock(&self.books).give_slot(slot);
            return Err(damaged(what));
        }
        let row = self.row(number).expect("a claimed number is in the table");
        let seen = row.latch().acquire();
        // Relaxed: published by the release of the latch.
        row.epoch().store(0, Ordering::Relaxed);
        row.copy_roots(View::new(words));
        row.latch().release(seen, slot);
        Ok(())
    }

    /// The latch word of frame `number`; none when there is no such number.
    #[inline]
    pub(crate) fn latch(&self, number: u32) -> Option<LatchRef<'_>> {
        self.row(number).map(Row::latch)
    }

    /// The row of frame `number`; none when there is no such number.
    #[inline]
    pub(crate) fn row(&self, number: u32) -> Option<Row<'_>> {
        self.table.get(number as usize).map(Row::new)
    }

    /// The epoch word of frame `number`, which is in the table.
    #[inline]
    fn epoch_of(&self, number: u32) -> &AtomicU64 {
        Row::new(self.table.slot(number as usize)).epoch()
    }

    /// Which part of an image of frame `number`, which is in the table, is made.
    fn pieces_of(&self, number: u32) -> Pieces<'_> {
        Pieces::new(self.pieces.slot(number as usize))
    }

    #[inline]
    fn words(&self, slot: u32) -> &Words {
        self.frames.slot(slot as usize)
    }

    /// The frame in the slot that `seen` names.
    #[inline]
    pub(crate) fn view(&self, seen: Observed) -> View<'_> {
        View::new(self.words(seen.slot()))
    }

    /// As [`Pool::view`], with what is behind the frame.
    #[inline]
    pub(crate) fn wide(&self, seen: Observed) -> Wide<'_> {
        Wide::new(self.frames.wide(seen.slot() as usize))
    }

    /// Latches frame `number` if it has not changed since `seen`.
    #[inline]
    pub(crate) fn latch_at(&self, number: u32, seen: Observed) -> Option<Latched<'_>> {
        self.latch(number)?.upgrade(seen).then(|| Latched::new(self, number, seen))
    }

    /// Latches frame `number` if that is possible soon: for whoever holds another latch
    /// meanwhile. Frames may hang below one another in a circle, so waiting without an end
    /// could be waiting for oneself.
    pub(crate) fn latch_soon(&self, number: u32) -> Soon<'_> {
        let Some(latch) = self.latch(number) else { return Soon::Missing };
        for _ in 0..SOON {
            if let Some(seen) = latch.try_observe() {
                if seen.slot() == latch::NO_SLOT {
                    return Soon::Missing;
                }
                if latch.upgrade(seen) {
                    return Soon::Latched(Latched::new(self, number, seen));
                }
            }
            crate::sync::yield_now();
        }
        Soon::Busy
    }

    /// Waits for the latch of frame `number`; none when there is no such frame.
    pub(crate) fn latch_now(&self, number: u32) -> Option<Latched<'_>> {
        let latch = self.latch(number)?;
        let seen = latch.acquire();
        if seen.slot() == latch::NO_SLOT {
            latch.release_unchanged(seen);
            return None;
        }
        Some(Latched::new(self, number, seen))
    }

    /// The word of a frame that may be changed along with another one, if it is in reach.
    #[inline]
    pub(crate) fn neighbour(&self, number: u32) -> Option<Observed> {
        let seen = self.latch(number)?.try_observe()?;
        (seen.slot() != latch::NO_SLOT).then_some(seen)
    }

    /// A new, empty frame of the level, latched.
    pub(crate) fn new_frame(&self, level: u16) -> Result<Latched<'_>, Error> {
        Latched::create(self, level)
    }

    /// Takes a slot to be filled.
    pub(crate) fn take_slot(&self) -> Result<u32, Error> {
        let slot = lock(&self.books).take_slot();
        let slot = slot.or_else(|| self.find_slot()).ok_or_else(|| self.full())?;
        self.frames.outgrow(slot);
        // Release fence: a reader that sees what is stored into the slot from here on also
        // sees that the frame it came for has left the slot (pool::latch, edge 3).
        fence(Ordering::Release);
        Ok(slot)
    }

    /// The words of a slot that was taken and belongs to no frame yet.
    pub(crate) fn slot_words(&self, slot: u32) -> &Words {
        self.words(slot)
    }

    /// Returns a slot that was taken and not used.
    pub(crate) fn give_slot(&self, slot: u32) {
        lock(&self.books).give_slot(slot);
    }

    /// Makes sure that so many frames, each with a slot, are free. Under the closed gate
    /// nobody else takes them.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`]; [`Error::TooManyChanged`].
    pub(crate) fn require(&self, frames: usize) -> Result<(), Error> {
        if self.clock.is_some() {
            // Slots are found when they are wanted: what may change is bounded below their number.
            return self.admit(frames);
        }
        if lock(&self.books).free() >= frames { Ok(()) } else { Err(self.full()) }
    }

    /// A number for naming something; no two calls give the same one.
    pub(crate) fn next_name(&self) -> u64 {
        // Relaxed: the number orders nothing.
        self.names.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn full(&self) -> Error {
        let limit = (self.frames.slots() - 1) * Self::FRAME_BYTES;
        Error::PoolFull { what: "frames", limit: limit as u64 }
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.pins.epoch()
    }
}
