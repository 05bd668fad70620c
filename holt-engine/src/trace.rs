//! What is told to `tracing`, if the feature of that name is on; nothing otherwise.

#[cfg(feature = "tracing")]
pub(crate) use on::{checkpoint, failed, made};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{checkpoint, failed, made};

#[cfg(feature = "tracing")]
mod on {
    use std::time::Duration;

    use crate::checkpoint::Checkpoint;

    /// The span of a checkpoint, until it is dropped.
    pub(crate) fn checkpoint() -> tracing::span::EnteredSpan {
        tracing::info_span!("checkpoint").entered()
    }

    /// A checkpoint ended well.
    pub(crate) fn made(made: &Checkpoint, pause: Option<Duration>) {
        let Some(pause) = pause else { return };
        let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        let &Checkpoint { log_address, images, bytes } = made;
        tracing::info!(log_address, images, bytes, pause_us, "checkpoint made");
    }

    /// A checkpoint failed.
    pub(crate) fn failed(why: &str) {
        tracing::error!(why, "checkpoint failed");
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use std::time::Duration;

    use crate::checkpoint::Checkpoint;

    /// What stands for a span.
    pub(crate) struct Silence;

    pub(crate) fn checkpoint() -> Silence {
        Silence
    }
    pub(crate) fn made(_: &Checkpoint, _: Option<Duration>) {}
    pub(crate) fn failed(_: &str) {}
}
