//! The progress of long work, shown on a terminal and nowhere else.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Steps between two looks at the bar, so that counting costs the work nothing.
const STRIDE: u64 = 256;

/// A bar on standard error; nothing at all where standard error is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Steps taken that the bar has not been told of yet.
    untold: u64,
}

impl Progress {
    /// Begins work of about `expected` steps; zero if nobody knows.
    pub(crate) fn new(expected: u64) -> Progress {
        let (bar, template) = if expected == 0 {
            (ProgressBar::new_spinner(), "{spinner} {human_pos} entries, {rate}, {elapsed}")
        } else {
            let template = "{wide_bar} {human_pos} of about {human_len} entries, {rate}, {eta}";
            (ProgressBar::new(expected), template)
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress { bar, untold: 0 }
    }

    /// Begins work of which only the time is known, named by what is being done.
    pub(crate) fn waiting(doing: &'static str) -> Progress {
        let bar = ProgressBar::new_spinner().with_message(doing);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress { bar, untold: 0 }
    }

    /// Counts one step.
    pub(crate) fn step(&mut self) {
        self.untold += 1;
        if self.untold == STRIDE {
            self.bar.inc(STRIDE);
            self.untold = 0;
            if self.bar.length().is_some_and(|length| length < self.bar.position()) {
                self.bar.set_length(self.bar.position());
            }
        }
    }

    /// Takes the bar away while `print` writes to the terminal.
    pub(crate) fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }
}

/// Steps in a second, without the decimals that nobody reads.
fn rate(state: &ProgressState, out: &mut dyn Write) {
    // The bar has no way to tell an error, and memory gives none.
    let _ = write!(out, "{:.0}/s", state.per_sec());
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
