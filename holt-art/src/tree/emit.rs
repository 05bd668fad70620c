//! What a walk adds to its batch: records and groups, as far as they are in the range.

use std::ops::Bound;

use super::get::Taken;
use super::walker::{Limits, Stop, Walker};
use crate::error::Error;
use crate::frame::Ref;
use crate::frame::leaf::Leaf;
use crate::pool::blobs::BLOB_OBJECT;

impl Walker<'_, '_> {
    /// Whether the path, which was on the edge, still is; an error when it lies beyond.
    pub(super) fn on_edge(&self) -> Result<bool, Stop> {
        let (Some(far), path) = (self.far, self.path.bytes()) else { return Ok(false) };
        if far.starts_with(path) {
            Ok(true)
        } else if (path > far) == self.scan.reverse {
            Ok(false)
        } else {
            Err(Stop::Bound)
        }
    }

    /// Whether the path lies behind the far end of the range.
    pub(super) fn beyond(&self) -> bool {
        let path = self.path.bytes();
        if self.scan.reverse {
            match &self.scan.lower {
                Bound::Unbounded => false,
                Bound::Included(lower) => path < lower.as_slice(),
                Bound::Excluded(lower) => path <= lower.as_slice(),
            }
        } else {
            match &self.scan.upper {
                Bound::Unbounded => false,
                Bound::Included(upper) => path > upper.as_slice(),
                Bound::Excluded(upper) => path >= upper.as_slice(),
            }
        }
    }

    /// Where the group that the path belongs to ends: behind the first delimiter after the
    /// prefix. The first `clear` bytes have none.
    #[inline]
    pub(super) fn group_end(&self, clear: usize) -> Option<usize> {
        match self.byte {
            Some(byte) => self.path.find(clear.max(self.scan.prefix), byte).map(|at| at + 1),
            None => {
                // One may have begun there.
                let begun = self.scan.delimiter.len() - 1;
                let from = clear.saturating_sub(begun).max(self.scan.prefix);
                self.scan.group_end_behind(self.path.bytes(), from)
            }
        }
    }

    /// Adds the group that the path belongs to, if there is one and all that hangs here is
    /// in the range. Behind every reference there is a key, so what hangs here need not be
    /// read for that. If there is none, all of the path is clear.
    #[inline]
    pub(super) fn roll(&mut self, edge: bool, clear: &mut usize) -> Result<bool, Stop> {
        if !self.rolls || edge {
            return Ok(false);
        }
        let Some(end) = self.group_end(*clear) else {
            *clear = self.path.len();
            return Ok(false);
        };
        self.whole_group(end)?;
        Ok(true)
    }

    /// Adds a record, or the group that it belongs to, to the batch. The path leads to it;
    /// `edge` says whether its name has to be compared with the far end, and `clear` is as for
    /// [`visit`](Self::visit).
    pub(super) fn emit(&mut self, item: Ref, edge: bool, clear: usize) -> Result<(), Stop> {
        if !self.rolls && !edge {
            return self.record(item);
        }
        let leaf = self.leaf(item)?;
        let length = self.path.len();
        self.path.append(self.view, leaf.data, leaf.suffix);
        if edge && self.beyond() {
            return Err(Stop::Bound);
        }
        if self.rolls
            && let Some(end) = self.group_end(clear)
        {
            return self.whole_group(end);
        }
        self.path.resize(length);
        self.record(item)
    }

    /// Adds the record behind the path to the batch.
    fn record(&mut self, item: Ref) -> Result<(), Stop> {
        let leaf = self.leaf(item)?;
        let keys_only = self.scan.keys_only;
        let names = self.limits.names;
        match self.batch.push(self.pool, self.view, self.path, &leaf, keys_only, names) {
            Taken::Done => self.full(),
            Taken::Absent => self.lack(&leaf),
            Taken::Garbage => Err(self.garbage()),
        }
    }

    /// Stops before a record whose value is not in memory. What was read so far is given out first: all
    /// values of a batch need not be in memory together.
    #[cold]
    fn lack(&mut self, leaf: &Leaf) -> Result<(), Stop> {
        let number = leaf.blob_number(self.view);
        self.settle()?;
        if self.batch.certain == 0 {
            self.announce_values();
        }
        Err(self.stop(Error::Absent { object: BLOB_OBJECT | u64::from(number) }))
    }

    /// Stops the walk when the batch has all that it may have.
    #[inline]
    pub(super) fn full(&self) -> Result<(), Stop> {
        let Limits { names, bytes, .. } = self.limits;
        let full = self.batch.count() >= names || self.batch.len() >= bytes;
        if full { Err(Stop::Full) } else { Ok(()) }
    }

    /// Adds a group and leaves all nodes of it. A node on the edge of the range is entered
    /// before one of its children tells that the group is one to add.
    fn whole_group(&mut self, end: usize) -> Result<(), Stop> {
        self.group(end)?;
        while self.levels.last().is_some_and(|level| level.name >= end) {
            self.levels.pop();
            self.leave()?;
        }
        Ok(())
    }

    /// Adds the group whose name is the first `end` bytes of the path, if it is one to be
    /// shown.
    pub(super) fn group(&mut self, end: usize) -> Result<(), Stop> {
        let name = &self.path.bytes()[..end];
        if self.scan.start_after.as_ref().is_some_and(|after| name <= after.as_slice()) {
            return Ok(());
        }
        self.batch.push_group(self.path, end, self.limits.names);
        self.full()
    }
}
