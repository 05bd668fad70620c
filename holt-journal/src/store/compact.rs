//! Compaction: the last extents move down into holes, and the file's end is given back.
//!
//! Each pass copies images as they are, byte for byte, syncs them and commits where they lie
//! now, with the log address and meta of the commit before. A crash keeps some of the passes.

use holt_codec::{Commit, EXTENT_UNIT, Mapping};

use super::data_file::PlacedImage;
use super::handle::Store;
use super::state::units_of;
use super::writer::Writer;
use crate::disk::Disk;
use crate::error::Error;

/// What a compaction did. Sizes are bytes.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use holt_journal::{disk::SimDisk, store::{CompactReport, Store}};
///
/// let store = Store::create(Arc::new(SimDisk::new(1)), 4096)?;
/// let CompactReport { moved, bytes_before, bytes_after, .. } = store.compact()?;
/// assert!(moved == 0 && bytes_after <= bytes_before);
/// # Ok::<(), holt_journal::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactReport {
    /// Images that were moved.
    pub moved: u64,
    /// What their extents take.
    pub moved_bytes: u64,
    /// Length of the data file before.
    pub bytes_before: u64,
    /// Length of the data file after.
    pub bytes_after: u64,
}

/// Images moved in one pass take about this many bytes, so that checkpoints get their turn.
/// Tests take little, to see more than one pass.
const PASS_BYTES: u64 = if cfg!(test) { 32 << 10 } else { 8 << 20 };

/// A data file that is longer than it should be by no more than this is left alone, in bytes.
const SLACK: u64 = 128 << 10;

impl<D: Disk> Store<D> {
    /// Moves images down into holes of the data file and gives the file's end back.
    ///
    /// What the last commit says is the same before, after, and after a crash in between.
    /// Checkpoints and reads go on between the passes.
    ///
    /// # Errors
    ///
    /// As [`Store::checkpoint`]; passes that were committed stay so. [`Error::Damaged`] if an
    /// image that is to be moved is damaged: it stays where it is.
    pub fn compact(&self) -> Result<CompactReport, Error> {
        self.compact_to(0)
    }

    /// Moves images down while the data file is over twice as long as what counts in it, and
    /// 128 KiB more: what churn at constant size needs from time to time. Does
    /// nothing otherwise.
    ///
    /// # Errors
    ///
    /// As [`Store::compact`].
    pub fn tighten(&self) -> Result<CompactReport, Error> {
        let (file, live) = {
            let writer = self.writer()?;
            (writer.file_units, writer.live_units())
        };
        if file * EXTENT_UNIT <= 2 * live * EXTENT_UNIT + SLACK {
            let bytes = file * EXTENT_UNIT;
            return Ok(CompactReport {
                bytes_before: bytes,
                bytes_after: bytes,
                ..CompactReport::default()
            });
        }
        // Below the bound, so that the next checkpoint does not reach it at once.
        self.compact_to(live + live * 3 / 4)
    }

    /// Moves images that end beyond the unit `bound`.
    fn compact_to(&self, bound: u64) -> Result<CompactReport, Error> {
        self.writable()?;
        let bytes_before = self.writer()?.file_units * EXTENT_UNIT;
        let mut report = CompactReport { bytes_before, ..CompactReport::default() };
        loop {
            let mut writer = self.writer()?;
            let moved = self.compact_once(&mut writer, bound);
            self.publish_figures(&writer);
            let moved = moved?;
            report.bytes_after = writer.file_units * EXTENT_UNIT;
            if moved.is_empty() {
                return Ok(report);
            }
            report.moved += moved.len() as u64;
            report.moved_bytes += moved.iter().map(|m| m.units() * EXTENT_UNIT).sum::<u64>();
        }
    }

    /// One pass. Every image that moves moves down, so passes come to an end.
    fn compact_once(
        &self,
        writer: &mut Writer<D::File>,
        bound: u64,
    ) -> Result<Vec<Mapping>, Error> {
        let mut from_the_end: Vec<Mapping> = self.current().mapping.values().copied().collect();
        from_the_end.retain(|mapping| units_of(mapping).end > bound);
        from_the_end.sort_unstable_by_key(|mapping| std::cmp::Reverse(mapping.offset));
        let mut moved = Vec::new();
        if let Err(error) = self.copy_down(writer, &from_the_end, &mut moved) {
            writer.take_back(&moved);
            return Err(error);
        }
        if moved.is_empty() {
            // Space that earlier commits left may still wait to be given back.
            writer.tidy(&*self.disk, &self.data, self.db, &self.current(), true);
            return Ok(moved);
        }
        writer.sync_images(&self.data, &moved)?;
        moved.sort_unstable_by_key(|mapping| mapping.object);
        writer.used.generation += 1;
        let (log_address, meta) = {
            let current = self.current();
            (current.log_address, current.meta.clone())
        };
        let delta = Commit {
            base: false,
            sequence: writer.used.sequence + 1,
            generation: writer.used.generation,
            log_address,
            meta,
            changed: moved.clone(),
            freed: Vec::new(),
        };
        self.commit(writer, delta, true)?;
        Ok(moved)
    }

    /// Copies images into holes below them; `moved` gets every place taken, on errors too.
    fn copy_down(
        &self,
        writer: &mut Writer<D::File>,
        from_the_end: &[Mapping],
        moved: &mut Vec<Mapping>,
    ) -> Result<(), Error> {
        let mut bytes = 0;
        for mapping in from_the_end {
            let units = units_of(mapping);
            let Some(unit) = writer.extents.allocate_below(units.end - units.start, units.start)
            else {
                continue;
            };
            let target = Mapping { offset: unit * EXTENT_UNIT, ..*mapping };
            moved.push(target);
            let mut payload = Vec::new();
            self.data.read_image(self.db, mapping, &mut payload)?;
            writer.write_batch(&self.data, &mut [PlacedImage { mapping: target, payload }])?;
            bytes += mapping.units() * EXTENT_UNIT;
            if bytes >= PASS_BYTES {
                break;
            }
        }
        Ok(())
    }
}
