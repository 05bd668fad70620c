//! Compaction: the last extents move down into holes, and the file's end is given back. Where that
//! leaves many small holes, what lies between them is moved behind the end first.
//!
//! Each pass copies images as they are, byte for byte, syncs them and commits where they lie
//! now, with the log address and meta of the commit before. A crash keeps some of the passes.

use std::io::ErrorKind;

use holt_codec::{Commit, EXTENT_UNIT, Mapping};

use super::data_file::PlacedImage;
use super::extents::Extents;
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

/// Holes that no image from above fits into may take one unit for so many that count.
const WASTE: u64 = 16;

/// A data file that is longer than it should be by no more than this is left alone, in bytes.
const SLACK: u64 = 128 << 10;

/// What a pass came to.
enum Pass {
    /// There is nothing that could be moved.
    Nothing,
    /// The last commit is known to be durable now, which may have freed space below.
    Freed,
    /// These images lie elsewhere now.
    Moved(Vec<Mapping>),
}

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
        let mut report = self.compact_to(0)?;
        // Where holes are too small for what lies above them, neighbours of holes are moved out of the
        // way, so that these holes become one; then images from the end fill it without a gap.
        let mut packed = 0;
        while let Some(hole) = self.worst_hole().filter(|&hole| hole > packed) {
            packed = hole;
            let out_of_the_way = {
                let mut writer = self.writer()?;
                let pass = self.clear_from(&mut writer, hole);
                self.publish_figures(&writer);
                pass
            };
            match out_of_the_way {
                Ok(pass) => report.add(pass),
                // That takes space for a while. Without it the file stays as it is.
                Err(Error::Io { error, .. }) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
            let filled = self.compact_to(0)?;
            report.moved += filled.moved;
            report.moved_bytes += filled.moved_bytes;
            report.bytes_after = filled.bytes_after;
        }
        Ok(report)
    }

    /// The first unit of the lowest hole, if holes take more than they should.
    fn worst_hole(&self) -> Option<u64> {
        let writer = self.writer().ok()?;
        let wasted = writer.extents.free_units() > writer.live_units() / WASTE;
        if wasted { writer.extents.first_hole() } else { None }
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
            match moved {
                Pass::Nothing => return Ok(report),
                pass => report.add(pass),
            }
        }
    }

    /// One pass. Every image that moves moves down, so passes come to an end.
    fn compact_once(&self, writer: &mut Writer<D::File>, bound: u64) -> Result<Pass, Error> {
        let mut from_the_end: Vec<Mapping> = self.current().mapping.values().copied().collect();
        from_the_end.retain(|mapping| units_of(mapping).end > bound);
        from_the_end.sort_unstable_by_key(|mapping| std::cmp::Reverse(mapping.offset));
        let down = |extents: &mut Extents, units, from| extents.allocate_below(units, from);
        let moved = self.copy(writer, &from_the_end, down)?;
        if moved.is_empty() && (writer.manifest.is_none() || !writer.held.is_empty()) {
            // What a state before this one may need, space and files, goes once this one is known to be
            // durable.
            let delta = self.again(writer, Vec::new());
            self.commit(writer, delta, true, &[])?;
            return Ok(Pass::Freed);
        }
        if moved.is_empty() {
            // Space that earlier commits left may still wait to be given back.
            writer.tidy(&*self.disk, &self.data, self.db, &self.current(), true);
            return Ok(Pass::Nothing);
        }
        self.moved(writer, moved)
    }

    /// One pass that moves images from the unit `from` on, the lowest first, behind all others.
    fn clear_from(&self, writer: &mut Writer<D::File>, from: u64) -> Result<Pass, Error> {
        let mut from_the_hole: Vec<Mapping> = self.current().mapping.values().copied().collect();
        from_the_hole.retain(|mapping| units_of(mapping).start >= from);
        from_the_hole.sort_unstable_by_key(|mapping| mapping.offset);
        let away = |extents: &mut Extents, units, _| Some(extents.allocate_at_end(units));
        let moved = self.copy(writer, &from_the_hole, away)?;
        self.moved(writer, moved)
    }

    /// Makes copies durable, and commits that they count.
    fn moved(&self, writer: &mut Writer<D::File>, mut moved: Vec<Mapping>) -> Result<Pass, Error> {
        writer.sync_images(&self.data, &moved)?;
        moved.sort_unstable_by_key(|mapping| mapping.object);
        let delta = self.again(writer, moved.clone());
        self.commit(writer, delta, true, &[])?;
        Ok(Pass::Moved(moved))
    }

    /// A commit of what the last one says, but for where these images lie.
    fn again(&self, writer: &mut Writer<D::File>, changed: Vec<Mapping>) -> Commit {
        writer.used.generation += 1;
        let current = self.current();
        Commit {
            base: false,
            sequence: writer.used.sequence + 1,
            generation: writer.used.generation,
            log_address: current.log_address,
            meta: current.meta.clone(),
            changed,
            freed: Vec::new(),
        }
    }

    /// Copies images to where `place` finds room for them, as many as one pass takes. On an error
    /// their places are free again.
    fn copy(
        &self,
        writer: &mut Writer<D::File>,
        images: &[Mapping],
        place: impl Fn(&mut Extents, u64, u64) -> Option<u64>,
    ) -> Result<Vec<Mapping>, Error> {
        let mut moved = Vec::new();
        let outcome = self.copy_some(writer, images, place, &mut moved);
        if outcome.is_err() {
            writer.take_back(&moved);
        }
        outcome.map(|()| moved)
    }

    /// As [`copy`](Self::copy); `moved` gets every place taken, on errors too.
    fn copy_some(
        &self,
        writer: &mut Writer<D::File>,
        images: &[Mapping],
        place: impl Fn(&mut Extents, u64, u64) -> Option<u64>,
        moved: &mut Vec<Mapping>,
    ) -> Result<(), Error> {
        let mut bytes = 0;
        for mapping in images {
            let units = units_of(mapping);
            let room = place(&mut writer.extents, units.end - units.start, units.start);
            let Some(unit) = room else { continue };
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

impl CompactReport {
    fn add(&mut self, pass: Pass) {
        if let Pass::Moved(moved) = pass {
            self.moved += moved.len() as u64;
            let bytes = moved.iter().map(|mapping| mapping.units() * EXTENT_UNIT);
            self.moved_bytes += bytes.sum::<u64>();
        }
    }
}
