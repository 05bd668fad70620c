//! What the models share: running one, and a frame of two words behind its table word.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};

use crate::latch::LatchRef;

/// Runs a model and says how many executions it has. `preemptions` bounds how often a
/// thread is interrupted where it could go on, for models with too many interleavings.
pub(crate) fn model(
    name: &str,
    preemptions: Option<usize>,
    story: impl Fn() + Sync + Send + 'static,
) {
    // Not the model checker's atomic: it counts across executions.
    let iterations = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&iterations);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        story();
    });
    println!("loom {name}: {} iterations", iterations.load(std::sync::atomic::Ordering::Relaxed));
}

/// A table word and the two words of the frames that it may name.
pub(crate) struct Frames {
    pub(crate) word: AtomicU64,
    pub(crate) slots: [[AtomicU64; 2]; 3],
}

impl Frames {
    /// The frame in slot 1.
    pub(crate) fn new() -> Arc<Self> {
        let slot = || [AtomicU64::new(0), AtomicU64::new(0)];
        let frames = Self { word: AtomicU64::new(0), slots: [slot(), slot(), slot()] };
        let latch = frames.latch();
        let seen = latch.acquire();
        latch.release(seen, 1);
        Arc::new(frames)
    }

    pub(crate) fn latch(&self) -> LatchRef<'_> {
        LatchRef::new(&self.word)
    }

    /// An optimistic read of both words; `None` when it has to be done again.
    pub(crate) fn read(&self) -> Option<(u64, u64)> {
        let seen = self.latch().try_observe()?;
        let slot = &self.slots[seen.slot() as usize];
        let words = (slot[0].load(Ordering::Relaxed), slot[1].load(Ordering::Relaxed));
        self.latch().validate(seen).then_some(words)
    }
}

/// Changes both words as the holder of the latch.
pub(crate) fn change(frames: &Frames, value: u64) {
    let seen = frames.latch().acquire();
    let slot = &frames.slots[seen.slot() as usize];
    slot[0].store(value, Ordering::Relaxed);
    slot[1].store(value, Ordering::Relaxed);
    frames.latch().release(seen, seen.slot());
}
