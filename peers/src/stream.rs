//! Seeded streams of operations, made before anything is timed, and the loops that run them.
//!
//! - A stream is one block of bytes read from front to back, so that the harness itself costs the
//!   same few nanoseconds an operation for every engine and every size of the data.
//! - The same seed gives every engine the same stream; the answers to it are hashed while
//!   verifying and merely touched while measuring.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::engine::{Query, Session, Want};
use crate::rng::mix;

/// Entries of a listing.
pub(crate) const LIST: usize = 100;

/// Groups of a delimiter listing.
pub(crate) const GROUPS: usize = 8;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Look a key up.
    Get,
    /// Store a value.
    Put,
    /// Look a key up and store another value for it.
    ReadModifyWrite,
    /// List keys and values.
    ListRecords,
    /// List keys.
    ListKeys,
    /// List one level.
    Groups,
    /// Store a new key and remove it again.
    CreateDelete,
    /// Give a key another name.
    Rename,
}

/// A part of a stream's bytes.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

/// One step: an action with up to two arguments.
#[derive(Debug, Clone, Copy)]
struct Step {
    action: Action,
    first: Span,
    second: Option<Span>,
}

/// A stream of operations.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    steps: Vec<Step>,
    bytes: Vec<u8>,
    delimiter: u8,
}

impl Stream {
    /// An empty stream whose levels end at `delimiter`.
    pub(crate) fn new(delimiter: Option<u8>) -> Self {
        Self { delimiter: delimiter.unwrap_or(b'/'), ..Self::default() }
    }

    /// How many operations there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    fn span(&mut self, bytes: &[u8]) -> Span {
        let start = u32::try_from(self.bytes.len()).expect("a stream is far below 4 GiB");
        self.bytes.extend_from_slice(bytes);
        Span { start, length: bytes.len() as u32 }
    }

    /// Adds an action with its arguments: the key and, where it has one, the value, the new name
    /// or the key after which a listing starts.
    pub(crate) fn push(&mut self, action: Action, first: &[u8], second: Option<&[u8]>) {
        let first = self.span(first);
        let second = second.map(|bytes| self.span(bytes));
        self.steps.push(Step { action, first, second });
    }

    fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..][..span.length as usize]
    }

    /// Runs steps `from..to` and shows every answer to `sink`.
    pub(crate) fn run(
        &self,
        from: usize,
        to: usize,
        session: &mut dyn Session,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        for step in &self.steps[from..to] {
            let first = self.bytes(step.first);
            let second = step.second.map(|span| self.bytes(span));
            let argument = second.unwrap_or(b"");
            match step.action {
                Action::Get => {
                    let found = session.get(first, &mut |value| sink.see(value))?;
                    sink.note(u64::from(found));
                }
                Action::Put => session.put(first, argument)?,
                Action::ReadModifyWrite => {
                    let found = session.get(first, &mut |value| sink.see(value))?;
                    sink.note(u64::from(found));
                    session.put(first, argument)?;
                }
                Action::ListRecords | Action::ListKeys => {
                    let query = Query { prefix: first, after: second, limit: LIST };
                    let want = match step.action {
                        Action::ListRecords => Want::Records,
                        _ => Want::Keys,
                    };
                    let count = session.list(query, want, &mut |key, value| {
                        sink.see(key);
                        if want == Want::Records {
                            sink.see(value);
                        }
                    })?;
                    sink.note(count as u64);
                }
                Action::Groups => {
                    let query = Query { prefix: first, after: second, limit: GROUPS };
                    let count =
                        session.groups(query, self.delimiter, &mut |group| sink.see(group))?;
                    sink.note(count as u64);
                }
                Action::CreateDelete => {
                    session.put(first, argument)?;
                    session.delete(first)?;
                }
                Action::Rename => {
                    let found = session.rename(first, argument)?;
                    sink.note(u64::from(found));
                }
            }
        }
        Ok(())
    }

    /// Runs the whole stream once and returns the hash of its answers.
    pub(crate) fn verify(&self, session: &mut dyn Session) -> Result<u64, Failure> {
        let mut sink = Sink::hashing();
        self.run(0, self.len(), session, &mut sink)?;
        Ok(sink.state)
    }

    /// Runs the stream, again and again if need be, until `budget` is used up, after an eighth of
    /// it to warm up. Returns nanoseconds an operation.
    pub(crate) fn measure(
        &self,
        session: &mut dyn Session,
        budget: Duration,
    ) -> Result<f64, Failure> {
        let warm = self.pace(session, budget / 8, 0)?;
        let timed = self.pace(session, budget, warm.next)?;
        std::hint::black_box((warm.sink.state, timed.sink.state));
        Ok(timed.elapsed.as_nanos() as f64 / timed.count as f64)
    }

    fn pace(
        &self,
        session: &mut dyn Session,
        budget: Duration,
        first: usize,
    ) -> Result<Pace, Failure> {
        if self.steps.is_empty() {
            return Err("an empty stream measures nothing".into());
        }
        // Chunks are even, so that pairs of steps that undo each other stay together.
        let chunk = 32.min(self.len());
        let mut pace =
            Pace { next: first, count: 0, elapsed: Duration::ZERO, sink: Sink::touching() };
        let started = Instant::now();
        while pace.elapsed < budget || pace.count == 0 {
            if pace.next + chunk > self.len() {
                pace.next = 0;
            }
            self.run(pace.next, pace.next + chunk, session, &mut pace.sink)?;
            pace.next += chunk;
            pace.count += chunk as u64;
            pace.elapsed = started.elapsed();
        }
        Ok(pace)
    }
}

struct Pace {
    next: usize,
    count: u64,
    elapsed: Duration,
    sink: Sink,
}

/// Where answers go.
#[derive(Debug)]
pub(crate) struct Sink {
    hashing: bool,
    state: u64,
}

impl Sink {
    /// A sink that hashes every byte.
    pub(crate) fn hashing() -> Self {
        Self { hashing: true, state: 0 }
    }

    /// A sink that touches the first and last byte, as a caller at least does.
    pub(crate) fn touching() -> Self {
        Self { hashing: false, state: 0 }
    }

    /// What was seen so far, in 64 bits.
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// Takes bytes of an answer.
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        if self.hashing {
            self.note(bytes.len() as u64);
            for word in bytes.chunks(8) {
                let mut padded = [0; 8];
                padded[..word.len()].copy_from_slice(word);
                self.note(u64::from_le_bytes(padded));
            }
        } else if let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) {
            self.state =
                self.state.wrapping_add(u64::from(first) + u64::from(last) + bytes.len() as u64);
        }
    }

    /// Takes a number of an answer.
    pub(crate) fn note(&mut self, number: u64) {
        if self.hashing {
            self.state = mix(self.state ^ number);
        } else {
            self.state = self.state.wrapping_add(number);
        }
    }
}
