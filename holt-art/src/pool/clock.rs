//! Frames and blobs that leave memory and come back.
//!
//! A pool with a [source](super::source) has room for less than its trees have. When memory
//! is wanted and none is free, the clock gives up the frame or blob that has been without a reader longest,
//! among those that are clean. That writes nothing, so it may happen anywhere, under a
//! latch too. Reading a frame is another matter: who meets one that is absent gets
//! [`Error::Absent`], gives up all that it holds, and [fetches](Pool::fetch) it.
//!
//! What may not be given up: frames that have changed since the last committed cut and blobs that it has
//! not, images kept for pins, and roots of open trees. All of these are bounded (see
//! [`changed`](super::changed)), so that a quarter of the memory stays for reading.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::absent::{Found, Whereabouts};
use super::blobs::BLOB_OBJECT;
use super::latch::{NO_SLOT, Observed};
use super::source::FrameSource;
use super::{FrameId, Latched, Pool};
use crate::arena::Arena;
use crate::error::Error;
use crate::frame::check::{check, check_format};
use crate::frame::{View, Words};
use crate::pool::gate::{Closed, Gate, Pass};
use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, lock, wait};

/// Fewest slots of a pool with a source: enough for what an operation on prefixes makes sure of on paths
/// of four frames.
pub(super) const MIN_SLOTS: usize = 128;
/// Buffers that are kept for images, of a frame's size each: for as many threads that miss at the same time.
const BUFFERS: usize = 4;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Arc<dyn FrameSource>,
    /// By frame number: see [`absent`](super::absent).
    marks: Arena<1>,
    pub(super) hand: Mutex<Hand>,
    loading: Mutex<Loads>,
    /// One of them has ended.
    loaded: Condvar,
    /// For images on their way into words: memory that has been touched and need not be cleared.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Readers of the past are inside, for one read each.
    pub(super) past: Gate,
    /// Images read, and frames and blobs given up.
    reads: AtomicU64,
    pub(super) evictions: AtomicU64,
    /// Frames that are absent now. Counted after the fact, but under the frame's latch.
    pub(super) absent: AtomicU64,
    /// Roots of open trees.
    roots: AtomicU64,
}

/// What is being read from the source.
#[derive(Debug, Default)]
struct Loads {
    objects: BTreeSet<u64>,
    /// Threads that wait for one of them to end: there is hardly ever one, and waking nobody would
    /// be a call of the system for each read.
    waiting: usize,
}

/// Where the clock stands.
#[derive(Debug)]
pub(super) struct Hand {
    /// The frame looked at last.
    pub(super) at: u32,
    /// Frames that cool, the oldest first. One that was wanted meanwhile is still here.
    pub(super) cooling: VecDeque<u32>,
    /// Adds up to the turn of a blob.
    pub(super) turn: usize,
}

/// Frames that stay in reach until this is dropped.
#[derive(Debug)]
pub(crate) struct Holding<'p> {
    pool: &'p Pool,
    frames: Mutex<Vec<u32>>,
}

impl<'p> Holding<'p> {
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Self { pool, frames: Mutex::new(Vec::new()) }
    }

    /// Holds a frame, if it is as `seen` says.
    #[must_use]
    pub(crate) fn hold(&self, number: u32, seen: Observed) -> bool {
        let Some(frame) = self.pool.whereabouts(number) else { return true };
        let held = frame.hold(seen);
        if held == Some(true) {
            lock(&self.frames).push(number);
        }
        held.is_some()
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        for number in lock(&self.frames).drain(..) {
            if let Some(frame) = self.pool.whereabouts(number) {
                frame.let_go();
            }
        }
    }
}

/// The one who reads an object from the source.
pub(super) struct Loading<'p> {
    clock: &'p Clock,
    object: u64,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut loading = lock(&self.clock.loading);
        loading.objects.remove(&self.object);
        if loading.waiting > 0 {
            self.clock.loaded.notify_all();
        }
    }
}

impl Clock {
    pub(super) fn new(source: Arc<dyn FrameSource>, frames: usize) -> Result<Self, Error> {
        Ok(Self {
            source,
            marks: Arena::new(frames, false)?,
            hand: Mutex::new(Hand { at: 0, cooling: VecDeque::new(), turn: 0 }),
            loading: Mutex::default(),
            loaded: Condvar::new(),
            buffers: Mutex::default(),
            past: Gate::new(),
            reads: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            absent: AtomicU64::new(0),
            roots: AtomicU64::new(0),
        })
    }

    /// Frames that are absent. Exact for whoever keeps frames from being read and given up.
    pub(super) fn absent(&self) -> u64 {
        // Relaxed: who relies on it has the gate closed and slots to spare, so nobody gives a
        // frame up meanwhile, and who did so before has been inside the gate or was read from.
        self.absent.load(Ordering::Relaxed)
    }

    /// Roots of open trees, which are never given up.
    pub(super) fn roots(&self) -> usize {
        // Relaxed: a bound that is kept with slots to spare.
        self.roots.load(Ordering::Relaxed) as usize
    }

    /// Images read, and frames and blobs given up, so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        // Relaxed, both: numbers to look at.
        (self.reads.load(Ordering::Relaxed), self.evictions.load(Ordering::Relaxed))
    }

    /// Waits until nothing is being read, and keeps frames and blobs from being read or given up.
    pub(super) fn quiet(&self) -> impl Sized + '_ {
        let loading = self.wait_until(|loading| loading.objects.is_empty());
        let hand: MutexGuard<'_, Hand> = lock(&self.hand);
        (loading, hand)
    }

    /// Becomes the one who reads the object; none when another one has just done it.
    pub(super) fn begin(&self, object: u64) -> Option<Loading<'_>> {
        if lock(&self.loading).objects.insert(object) {
            return Some(Loading { clock: self, object });
        }
        drop(self.wait_until(|loading| !loading.objects.contains(&object)));
        None
    }

    fn wait_until(&self, ended: impl Fn(&Loads) -> bool) -> MutexGuard<'_, Loads> {
        let mut loading = lock(&self.loading);
        loading.waiting += 1;
        while !ended(&loading) {
            loading = wait(&self.loaded, loading);
        }
        loading.waiting -= 1;
        loading
    }

    /// Replaces `out` by an image.
    pub(super) fn read_image(&self, object: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        // Relaxed: a number to look at.
        self.reads.fetch_add(1, Ordering::Relaxed);
        let read = self.source.read(object, out);
        read.map_err(|error| Error::Source { object, reason: error.to_string() })
    }

    /// Reads an image and stores it into the words.
    fn read(&self, number: u32, words: &Words) -> Result<(), Error> {
        let object = u64::from(number);
        let kept = lock(&self.buffers).pop();
        let mut image = kept.unwrap_or_else(|| Vec::with_capacity(Pool::FRAME_BYTES));
        let read = self.read_image(object, &mut image).and_then(|()| {
            fill(words, &image)
                .and_then(|()| match self.source.is_checked() {
                    true => check_head(words, number, image.len()),
                    false => check_image(words, number, image.len()),
                })
                .map_err(|what| Error::Image { object, what })
        });
        // A source that is wrong may have made it larger.
        if image.capacity() <= Pool::FRAME_BYTES {
            let mut buffers = lock(&self.buffers);
            if buffers.len() < BUFFERS {
                buffers.push(image);
            }
        }
        read
    }
}

/// Stores an image into the words of a frame.
pub(super) fn fill(words: &Words, image: &[u8]) -> Result<(), String> {
    if !image.len().is_multiple_of(8) || image.is_empty() || image.len() > Pool::FRAME_BYTES {
        return Err(format!("it has {} bytes", image.len()));
    }
    for (word, bytes) in words.iter().zip(image.chunks_exact(8)) {
        let mut full = [0; 8];
        full.copy_from_slice(bytes);
        // Relaxed: published by the release of the frame's word.
        word.store(u64::from_le_bytes(full), Ordering::Relaxed);
    }
    Ok(())
}

/// Whether words that were filled from so many bytes are frame `number`, as a whole.
pub(super) fn check_image(words: &Words, number: u32, bytes: usize) -> Result<(), String> {
    check_head(words, number, bytes)?;
    check(View::new(words), number).map(drop)
}

/// Whether words that were filled from so many bytes are frame `number`, by the frame's own head.
fn check_head(words: &Words, number: u32, bytes: usize) -> Result<(), String> {
    let view = View::new(words);
    let used = view.counters().used;
    if used * 8 != bytes {
        return Err(format!("{used} of its words are used, and {} came", bytes / 8));
    }
    if view.number() != number {
        return Err(format!("it is frame {}", view.number()));
    }
    check_format(view)
}

/// The number of the blob that the object is; none for a frame, and for what cannot be a blob.
fn blob_of(object: u64) -> Option<u32> {
    object.checked_sub(BLOB_OBJECT).and_then(|number| u32::try_from(number).ok())
}

impl Pool {
    /// The two words of a frame, in a pool with a source.
    pub(super) fn whereabouts(&self, number: u32) -> Option<Whereabouts<'_>> {
        let clock = self.clock.as_deref()?;
        let mark = &clock.marks.get(number as usize)?[0];
        Some(Whereabouts::new(self.latch(number)?, mark))
    }

    /// What to do about a frame that was met without a slot, by the word `met` if nothing keeps the
    /// frame from being freed since: nothing but starting again, or an error. Waits for nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`]; [`Error::MissingFrame`].
    #[cold]
    pub(crate) fn miss(&self, number: u32, met: Option<Observed>) -> Result<(), Error> {
        match self.whereabouts(number).map(|frame| frame.reach(met)) {
            Some(Found::Again) => Ok(()),
            Some(Found::Absent) => Err(Error::Absent { object: u64::from(number) }),
            Some(Found::Nowhere) | None => Err(Error::MissingFrame { frame: number }),
        }
    }

    /// Brings an absent frame into memory. To be called outside the gate, as it reads from the source
    /// and may wait for others who do: of several who fetch one frame, one reads it. Of a
    /// frame that is not absent there is nothing to do.
    ///
    /// # Errors
    ///
    /// [`Error::Source`]; [`Error::Image`] when what came is not the frame;
    /// [`Error::PoolFull`] when nothing in memory can be given up for it.
    pub fn fetch(&self, frame: FrameId) -> Result<(), Error> {
        let (Some(clock), Some(at)) = (self.clock.as_deref(), self.whereabouts(frame.0)) else {
            return Ok(());
        };
        let Some(_loading) = clock.begin(u64::from(frame.0)) else { return Ok(()) };
        if at.reach(None) != Found::Absent {
            return Ok(());
        }
        let slot = self.take_slot()?;
        let words = self.slot_words(slot);
        let read = clock.read(frame.0, words);
        let copy_roots = || {
            if let Some(row) = self.row(frame.0) {
                row.copy_roots(View::new(words));
            }
        };
        if read.is_ok() && at.install(slot, !clock.source.is_checked(), copy_roots) {
            clock.absent.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.give_slot(slot);
        }
        read
    }

    /// Whether every frame is in memory.
    pub fn is_whole(&self) -> bool {
        self.clock.as_deref().is_none_or(|clock| clock.absent() == 0)
    }

    /// Tells the source that these objects are absent and will be wanted.
    pub(crate) fn will_need_blobs(&self, numbers: &[u32]) {
        let Some(clock) = self.clock.as_deref() else { return };
        let absent = numbers.iter().filter(|number| self.blobs.absent(**number).is_some());
        let objects: Vec<u64> = absent.map(|number| BLOB_OBJECT | u64::from(*number)).collect();
        clock.source.will_need(&objects);
    }

    /// Tells the source which of these frames are absent and will be wanted.
    pub(crate) fn will_need(&self, frames: &[u32]) {
        let Some(clock) = self.clock.as_deref() else { return };
        let absent = |number: &u32| {
            let seen = self.latch(*number).and_then(|latch| latch.try_observe());
            self.whereabouts(*number).zip(seen).is_some_and(|(frame, seen)| frame.is_absent(seen))
        };
        let objects: Vec<u64> = frames.iter().copied().filter(absent).map(u64::from).collect();
        clock.source.will_need(&objects);
    }

    /// Fetches the frame or blob that was absent when something failed with this error. To be called
    /// outside the gate; then the operation begins anew.
    ///
    /// # Errors
    ///
    /// The error itself, if it is another one; otherwise as [`Pool::fetch`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Error, Pool, PoolOptions};
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let tree = pool.mutate(|pass| pool.create_tree(pass))?;
    /// pool.fetch(tree.root())?; // in memory already
    /// // An error that says that a frame is absent is gone when this returns; others are not.
    /// let other = Error::EmptyPrefix;
    /// assert!(matches!(pool.resolve(other), Err(Error::EmptyPrefix)));
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn resolve(&self, error: Error) -> Result<(), Error> {
        match error {
            Error::Absent { object } => match blob_of(object) {
                Some(number) => self.fetch_blob(number),
                None => self.fetch(FrameId(object as u32)),
            },
            error => Err(error),
        }
    }

    /// Repeats a read until no frame is absent that it needs.
    pub(crate) fn fetching<T>(
        &self,
        mut read: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match read() {
                Err(error) => self.resolve(error)?,
                done => return done,
            }
        }
    }

    /// Runs a mutation inside the gate, again and again as long as a frame that it needs is
    /// absent: then the gate is left, the frame fetched, and the gate entered again.
    ///
    /// # Errors
    ///
    /// As the mutation, and as [`Pool::fetch`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Condition, Pool, PoolOptions, Version};
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let tree = pool.mutate(|pass| pool.create_tree(pass))?;
    /// let version = || Version::new(1).unwrap();
    /// pool.mutate(|pass| tree.put(pass, b"k", b"v", Condition::Always, version))?;
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn mutate<T>(
        &self,
        mut mutation: impl FnMut(&Pass<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.fetching(|| mutation(&self.enter()))
    }

    /// As [`Pool::mutate`], under the closed gate.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::{Condition, Pool, PoolOptions, Version};
    /// let pool = Pool::new(PoolOptions::default())?;
    /// let tree = pool.mutate_alone(|closed| pool.create_tree(closed.pass()))?;
    /// assert!(tree.is_empty());
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn mutate_alone<T>(
        &self,
        mut mutation: impl FnMut(&Closed<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.fetching(|| mutation(&self.close_gate()))
    }

    /// Says that the source has this object, an image of a committed cut, which is to be read
    /// when it is needed, and that it has so many bytes. For a pool that is being filled, like
    /// [`Pool::load`].
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when the number is in use or out of range, or the pool has no source.
    ///
    /// # Examples
    ///
    /// See [`FrameSource`](crate::FrameSource).
    pub fn declare(&self, object: u64, bytes: u64) -> Result<(), Error> {
        let damaged = |what: &str| Error::Image { object, what: what.into() };
        let Some(clock) = self.clock.as_deref() else {
            return Err(damaged("the pool has no source to read it from"));
        };
        if let Some(number) = blob_of(object) {
            return self.declare_blob(number, bytes);
        }
        let number = u32::try_from(object).map_err(|_| damaged("no object has this number"))?;
        let mut books = lock(&self.books);
        if !books.claim_frame(number) {
            return Err(damaged("its number is taken or out of range"));
        }
        books.stored = true;
        drop(books);
        // Relaxed: published by the release of the latch.
        self.epoch_of(number).store(0, Ordering::Relaxed);
        self.whereabouts(number).expect("a claimed number is in the table").declare();
        clock.absent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes sure that a frame, which the caller has latched and is about to change, is sound, if its
    /// image has not been looked through yet.
    ///
    /// # Errors
    ///
    /// [`Error::Image`].
    pub(crate) fn prove(&self, number: u32, view: View<'_>) -> Result<(), Error> {
        let Some(frame) = self.whereabouts(number) else { return Ok(()) };
        if frame.is_unproven() {
            let object = u64::from(number);
            check(view, number).map_err(|what| Error::Image { object, what })?;
            frame.prove();
        }
        Ok(())
    }

    /// Makes frame `number` the root of an open tree, which stays in memory.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFrame`]; as [`Pool::fetch`].
    pub(super) fn root_frame(&self, number: u32) -> Result<(), Error> {
        let Some(clock) = self.clock.as_deref() else { return Ok(()) };
        while let Some(frame) = self.whereabouts(number) {
            match frame.make_root() {
                Some(new) => {
                    clock.roots.fetch_add(u64::from(new), Ordering::Relaxed);
                    break;
                }
                None => self.fetching(|| self.miss(number, None))?,
            }
        }
        Ok(())
    }

    /// Forgets that a frame which is being freed was a root.
    pub(super) fn forget_mark(&self, number: u32) {
        if let (Some(frame), Some(clock)) = (self.whereabouts(number), self.clock.as_deref()) {
            clock.roots.fetch_sub(u64::from(frame.forget()), Ordering::Relaxed);
        }
    }

    /// Frame `number` as it is: latched, or, when it is absent, as a copy from the source.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFrame`]; [`Error::Source`]; [`Error::Image`].
    pub(crate) fn with_frame<T>(
        &self,
        number: u32,
        look: impl FnOnce(View<'_>) -> T,
    ) -> Result<T, Error> {
        loop {
            if let Some(frame) = self.latch_now(number) {
                return Ok(look(frame.view()));
            }
            let met = self.latch(number).map(|latch| latch.observe());
            match self.miss(number, met) {
                Ok(()) => {}
                Err(Error::Absent { .. }) => {
                    if let Some(words) = met.and_then(|met| self.glimpse(number, met).transpose()) {
                        return Ok(look(View::new(&*words?)));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the latch of frame `number`, which is fetched when it is absent; none when there is
    /// no such frame.
    ///
    /// # Errors
    ///
    /// As [`Pool::fetch`].
    pub(crate) fn latch_fetched(&self, number: u32) -> Result<Option<Latched<'_>>, Error> {
        loop {
            if let Some(frame) = self.latch_now(number) {
                return Ok(Some(frame));
            }
            match self.fetching(|| self.miss(number, None)) {
                Ok(()) => {}
                Err(Error::MissingFrame { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// A copy of an absent frame from the source, which leaves all in memory as it is; none when
    /// the frame is not absent by the word `met`.
    ///
    /// # Errors
    ///
    /// [`Error::Source`]; [`Error::Image`].
    pub(crate) fn glimpse(&self, number: u32, met: Observed) -> Result<Option<Box<Words>>, Error> {
        let (Some(clock), Some(at)) = (self.clock.as_deref(), self.whereabouts(number)) else {
            return Ok(None);
        };
        if !at.is_absent(met) {
            return Ok(None);
        }
        let words: Vec<AtomicU64> =
            (0..crate::frame::FRAME_WORDS).map(|_| AtomicU64::new(0)).collect();
        let words: Box<Words> = words.into_boxed_slice().try_into().expect("the length is right");
        let read = clock.read(number, &words);
        // What a frame was that has come back meanwhile, and perhaps changed, counts for nothing.
        if at.is_absent(met) { read.map(|()| Some(words)) } else { Ok(None) }
    }

    /// Lets a reader of the past in, where it needs that.
    pub(super) fn read_past(&self) -> Option<Pass<'_>> {
        self.clock.as_deref().map(|clock| clock.past.enter())
    }

    /// For the accounts: the slot that a frame has, and whether it is absent.
    pub(super) fn place_of(&self, number: u32) -> (u32, bool) {
        match self.whereabouts(number) {
            Some(frame) => frame.slot(),
            None => (self.latch(number).map_or(NO_SLOT, |latch| latch.slot()), false),
        }
    }
}
