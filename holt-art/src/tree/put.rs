//! Putting a record into the tree.

use super::Tree;
use super::beyond::Beyond;
use super::outcome::{Condition, Put, Version};
use super::path::PATIENCE;
use crate::error::Error;
use crate::frame::key::Key;
use crate::frame::leaf::{Leaf, MAX_PLACED, Value};
use crate::frame::put::{Done, MAX_REST, Rest, RestEnd, put, rest_length};
use crate::frame::walk::End;
use crate::pool::gate::Pass;
use crate::{MAX_KEY, MAX_VALUE};

/// How often room is made for one record, with latches that keep others out, before that is
/// given up as a fault of the tree. Lost races do not count: each lets another writer through.
pub(super) const MAX_ROOMS: u32 = 10_000;

/// The attempts of one mutation at making room.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    attempts: u32,
    /// Those under latches that have changed something.
    made: u32,
}

impl Rooms {
    /// How many there have been.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Makes room for `words` words where the descent for `key` ends, or loses a race.
    ///
    /// # Errors
    ///
    /// [`Error::NoProgress`] when room has been made so often that something must be wrong;
    /// [`Error::PoolFull`]. No key has changed.
    #[cold]
    pub(super) fn make(&mut self, tree: &Tree, key: Key<'_>, words: usize) -> Result<(), Error> {
        let made = tree.make_room(key, words, self.attempts)?;
        self.made += u32::from(made && self.attempts >= PATIENCE);
        self.attempts = self.attempts.saturating_add(1);
        if self.made == MAX_ROOMS { Err(Error::NoProgress { attempts: MAX_ROOMS }) } else { Ok(()) }
    }
}

impl Tree {
    /// Puts a record, if the condition holds.
    ///
    /// `sequence` is called once when the record is being put, after everything that
    /// can fail, while the frame is latched; it gives the record's version. It is not
    /// called when the put is refused or fails. It must not panic, block or touch the
    /// tree.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::ValueTooLong`], [`Error::PoolFull`]: nothing has
    /// changed.
    pub fn put(
        &self,
        pass: &Pass<'_>,
        key: &[u8],
        value: &[u8],
        condition: Condition,
        sequence: impl FnOnce() -> Version,
    ) -> Result<Put, Error> {
        self.put_sequenced(pass, key, value, condition, |_| sequence())
    }

    /// As [`Tree::put`], with a sequence that is told the version that is replaced.
    pub(crate) fn put_sequenced(
        &self,
        _pass: &Pass<'_>,
        key: &[u8],
        value: &[u8],
        condition: Condition,
        sequence: impl FnOnce(Option<Version>) -> Version,
    ) -> Result<Put, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        if value.len() > MAX_VALUE {
            return Err(Error::ValueTooLong { length: value.len() });
        }
        self.allow_length(key.len())?;
        let key = Key::new(key);
        if value.len() <= MAX_PLACED {
            return self.put_value(key, Value::Inline(value), condition, sequence);
        }
        // The blob is complete before a latch is taken; the reference is all that is
        // changed under it.
        let number = self.pool.write_blob(value)?;
        let value = Value::Blob { number, length: value.len() };
        let put = self.put_value(key, value, condition, sequence);
        if !matches!(put, Ok(Put::Inserted(_) | Put::Replaced(_))) {
            self.pool.free_blob(number);
        }
        put
    }

    pub(super) fn put_value(
        &self,
        key: Key<'_>,
        value: Value<'_>,
        condition: Condition,
        sequence: impl FnOnce(Option<Version>) -> Version,
    ) -> Result<Put, Error> {
        let mut sequence = Some(sequence);
        let (mut lost, mut rooms) = (0u32, Rooms::default());
        loop {
            let Some((step, mut frame)) = self.descend_to_latch::<false>(key, lost)? else {
                lost = lost.saturating_add(1);
                continue;
            };
            // From here on the frame is as the descent saw it.
            let found = (step.site.end == End::Found)
                .then(|| Version::of_leaf(Leaf::read(frame.view(), step.site.at).version));
            if !condition.holds(found) {
                return Ok(Put::Refused(found));
            }
            frame.editable()?;
            let meets = frame.meets();
            let mut beyond = None;
            if rest_length(frame.view(), &step.site, key) > MAX_REST {
                let from = key.len() - rest_length(frame.view(), &step.site, key);
                beyond = Some(Beyond::with_value(&self.pool, key.rest(from), value)?);
            }
            let end = match &beyond {
                Some(beyond) => RestEnd::Entry(beyond.target()),
                None => RestEnd::Value(value),
            };
            let rest = Rest { key, end };
            let mut edit = frame.edit(step.entry);
            let before = edit.counters().live;
            let mut version = None;
            let done = put(&mut edit, &step.site, &rest, || {
                let sequence = sequence.take().expect("the version is asked for once");
                version.insert(sequence(found)).get()
            });
            let after = edit.counters().live;
            edit.finish();
            let Ok(done) = done else {
                beyond.into_iter().for_each(Beyond::discard);
                drop(frame);
                rooms.make(self, key, 0)?;
                continue;
            };
            let version = version.expect("a put that was done has a version");
            if let Some(beyond) = &beyond {
                beyond.stamp(version);
            }
            if let Value::Blob { number, .. } = value {
                self.pool.blob_born(number);
            }
            drop(beyond);
            drop(frame);
            self.merge_after(key, before, after);
            if meets {
                self.meet(key, &step);
            }
            return Ok(match done {
                Done::Inserted => Put::Inserted(version),
                Done::Replaced(blob) => {
                    if let Some(number) = blob {
                        self.pool.free_blob(number);
                    }
                    Put::Replaced(version)
                }
            });
        }
    }
}
