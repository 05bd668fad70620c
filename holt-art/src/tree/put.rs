//! Putting a record into the tree.

use super::Tree;
use super::outcome::{Condition, Put, Version};
use crate::error::Error;
use crate::frame::edit::Edit;
use crate::frame::key::Key;
use crate::frame::leaf::{Leaf, MAX_INLINE, MAX_SUFFIX, Value};
use crate::frame::node::MAX_PREFIX;
use crate::frame::put::{Done, MAX_REST, Rest, put, rest_length};
use crate::frame::walk::{End, Site};
use crate::frame::{Entry, Kind, Loc, Ref, Target, View};
use crate::pool::Latched;
use crate::pool::gate::Pass;
use crate::{MAX_KEY, MAX_VALUE};

/// Attempts at one mutation before it is given up as a fault of the tree. Every attempt
/// that lost a race has let another writer through.
pub(super) const MAX_ATTEMPTS: u32 = 100_000;

/// Words of a chain that one frame of a long rest takes, the leaf not counted.
const CHAIN_WORDS: usize = 6000;

/// The rest of a long key in frames of its own, not linked yet.
struct Beyond<'p> {
    frames: Vec<Latched<'p>>,
    target: Target,
    /// The leaf, in the last frame, whose version is still to come.
    leaf: Ref,
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
        _pass: &Pass<'_>,
        key: &[u8],
        value: &[u8],
        condition: Condition,
        sequence: impl FnOnce() -> Version,
    ) -> Result<Put, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong { length: key.len() });
        }
        if value.len() > MAX_VALUE {
            return Err(Error::ValueTooLong { length: value.len() });
        }
        let key = Key::new(key);
        if value.len() <= MAX_INLINE {
            return self.put_value(key, Value::Inline(value), condition, sequence);
        }
        // The blob is complete before a latch is taken; the reference is all that is
        // changed under it.
        let number = self.pool.blobs.write(value)?;
        let value = Value::Blob { number, length: value.len() };
        let put = self.put_value(key, value, condition, sequence);
        if !matches!(put, Ok(Put::Inserted(_) | Put::Replaced(_))) {
            self.pool.free_blob(number);
        }
        put
    }

    fn put_value(
        &self,
        key: Key<'_>,
        value: Value<'_>,
        condition: Condition,
        sequence: impl FnOnce() -> Version,
    ) -> Result<Put, Error> {
        let mut sequence = Some(sequence);
        for _ in 0..MAX_ATTEMPTS {
            let Some(step) = self.descend::<false>(key)? else { continue };
            let Some(mut frame) = self.pool.latch_at(step.frame, step.seen) else { continue };
            // From here on the frame is as the descent saw it.
            let found = (step.site.end == End::Found)
                .then(|| Version::of_leaf(Leaf::read(frame.view(), step.site.at).version));
            if !condition.holds(found) {
                return Ok(Put::Refused(found));
            }
            frame.writable()?;
            let mut beyond = None;
            if rest_length(frame.view(), &step.site, key) > MAX_REST {
                beyond = Some(self.build_beyond(frame.view(), &step.site, key, value)?);
            }
            let rest = Rest { key, value, beyond: beyond.as_ref().map(|beyond| beyond.target) };
            let mut edit = frame.edit(step.entry);
            let mut version = None;
            let done = put(&mut edit, &step.site, &rest, || {
                let sequence = sequence.take().expect("the version is asked for once");
                version.insert(sequence()).get()
            });
            edit.finish();
            let Ok(done) = done else {
                discard(beyond);
                drop(frame);
                self.make_room(key)?;
                continue;
            };
            let version = version.expect("a put that was done has a version");
            if let Some(beyond) = &beyond {
                beyond.stamp(version);
            }
            if let Value::Blob { number, .. } = value {
                self.pool.blobs.born(number, self.pool.epoch());
            }
            drop(beyond);
            drop(frame);
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
        Err(Error::NoProgress { attempts: MAX_ATTEMPTS })
    }

    /// Builds the rest of `key` that would hang at `site` in frames of its own.
    fn build_beyond(
        &self,
        view: View<'_>,
        site: &Site,
        key: Key<'_>,
        value: Value<'_>,
    ) -> Result<Beyond<'_>, Error> {
        let from = key.len() - rest_length(view, site, key);
        let rest = key.rest(from);
        let step = MAX_PREFIX + 1;
        let nodes = (rest.len() - MAX_SUFFIX).div_ceil(step);
        let per_frame = CHAIN_WORDS / Edit::n4_words(MAX_PREFIX);
        let frames = nodes.div_ceil(per_frame).max(1);
        let mut made: Vec<Latched<'_>> = Vec::with_capacity(frames);
        for _ in 0..frames {
            match self.pool.new_frame(0) {
                Ok(frame) => made.push(frame),
                Err(error) => {
                    made.into_iter().for_each(Latched::discard);
                    return Err(error);
                }
            }
        }
        let room = "a new frame has room for its share of a chain";
        let mut leaf = Ref::NULL;
        // From the end: each frame's chain ends in what the frame behind it begins with.
        let mut next: Option<Target> = None;
        for index in (0..frames).rev() {
            let frame = &made[index];
            Edit::set_entry(frame.words(), 0, Entry { occupied: true, ..Entry::default() });
            let mut edit = frame.edit(0);
            let first = index * per_frame;
            let last = (first + per_frame).min(nodes);
            let mut below = match next {
                None => {
                    let suffix = &rest[nodes * step..];
                    let shape = crate::frame::leaf::Shape::new(suffix.len(), &value);
                    let at = edit.take_for_good(shape.words()).expect(room);
                    edit.count_keys(1);
                    // The version is stamped once it is known.
                    leaf = edit.write_leaf(at, suffix, &value, 0);
                    leaf
                }
                Some(target) => {
                    let at = edit.take_for_good(1).expect(room);
                    edit.set(at, target.pack());
                    Ref::new(Kind::Crossing, at)
                }
            };
            for node in (first..last).rev() {
                let bytes = &rest[node * step..(node + 1) * step];
                let at = edit.take_for_good(Edit::n4_words(MAX_PREFIX)).expect(room);
                let mut child = [(bytes[MAX_PREFIX], below)];
                below = edit.write_n4(at, &bytes[..MAX_PREFIX], Ref::NULL, &mut child);
            }
            edit.set_ref(Loc::entry(0), below);
            edit.finish();
            next = Some(Target { frame: frame.number(), entry: 0 });
        }
        let target = next.expect("there is at least one frame");
        Ok(Beyond { frames: made, target, leaf })
    }
}

impl Beyond<'_> {
    /// Writes the version into the leaf.
    fn stamp(&self, version: Version) {
        let frame = self.frames.last().expect("there is at least one frame");
        frame.edit(0).set_version(self.leaf, version.get());
    }
}

/// Frees frames that were built and not linked.
fn discard(beyond: Option<Beyond<'_>>) {
    for frame in beyond.into_iter().flat_map(|beyond| beyond.frames) {
        frame.discard();
    }
}
