//! From the ring to the segments: where drained bytes are written.
//!
//! * Bytes go from the ring's memory to the file without a copy; the position in the stream alone says where.
//! * What was written is never written again, though the ring hands it out again after an error.
//! * At the address of a change whose record was never published the log stops for good.

use holt_codec::{Record, Seed};
use holt_wal_ring::{Consumer, Drained};

use super::segments::{Segment, Segments, failed};
use crate::Error;
use crate::disk::{Disk, DiskFile};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// The one consumer of the ring, and where it writes.
#[derive(Debug)]
pub(super) struct Writer<D: Disk> {
    consumer: Consumer,
    /// Address up to which everything is written.
    position: u64,
    /// The segment written to last.
    current: Option<Arc<Segment<D::File>>>,
    seed: Seed,
}

/// Why a drain ended early.
enum Stop {
    Failed(Error),
    /// At a change without a record.
    Unpublished,
}

impl<D: Disk> Writer<D> {
    pub(super) fn new(consumer: Consumer, seed: Seed) -> Writer<D> {
        let position = consumer.drained();
        Writer { consumer, position, current: None, seed }
    }

    /// Address up to which everything is written.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Writes out what is published, up to `barrier` if that comes first; `barrier` may be lowered meanwhile.
    pub(super) fn drain(
        &mut self,
        segments: &Mutex<Segments<D::File>>,
        barrier: &AtomicU64,
        synced: u64,
    ) -> Result<(), Error> {
        let Writer { consumer, position, current, seed } = self;
        let drained = consumer.drain(|piece| match piece {
            Drained::Bytes { address, bytes } => {
                let done = (*position - address).min(bytes.len() as u64) as usize;
                write(segments, current, position, &bytes[done..]).map_err(Stop::Failed)
            }
            // Acquire: a barrier is set before its skip is published.
            Drained::Skip { address, .. } if address >= barrier.load(Ordering::Acquire) => {
                Err(Stop::Unpublished)
            }
            Drained::Skip { address, len } if address >= *position => {
                let mut record = Vec::with_capacity(len);
                Record::Skip { len }.encode(*seed, address, synced, &mut record);
                write(segments, current, position, &record).map_err(Stop::Failed)
            }
            _ => Ok(()),
        });
        match drained {
            Ok(_) | Err(Stop::Unpublished) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Writes zeros ahead of the records, unless there are enough: what is written there next will be synced soon.
    pub(super) fn pave(&mut self, segments: &Mutex<Segments<D::File>>) -> Result<(), Error> {
        match here(segments, &mut self.current, self.position) {
            Some(segment) => segment.pave(self.position),
            None => Ok(()),
        }
    }

    /// Writes the record that says that the log was closed here. Everything before it is synced.
    pub(super) fn end(&mut self, segments: &Mutex<Segments<D::File>>) -> Result<(), Error> {
        let mut record = Vec::new();
        Record::CleanEnd.encode(self.seed, self.position, self.position, &mut record);
        write(segments, &mut self.current, &mut self.position, &record)
    }
}

/// The segment that holds the byte at the position; `current` if it is that one, and afterwards.
fn here<'a, F: DiskFile>(
    segments: &Mutex<Segments<F>>,
    current: &'a mut Option<Arc<Segment<F>>>,
    position: u64,
) -> Option<&'a Arc<Segment<F>>> {
    let holds = |segment: &Arc<Segment<F>>| {
        (segment.header.start..segment.header.end()).contains(&position)
    };
    if !current.as_ref().is_some_and(holds) {
        *current = lock(segments).at(position);
    }
    current.as_ref()
}

/// Writes bytes at the position and moves it behind them.
fn write<F: DiskFile>(
    segments: &Mutex<Segments<F>>,
    current: &mut Option<Arc<Segment<F>>>,
    position: &mut u64,
    mut bytes: &[u8],
) -> Result<(), Error> {
    while !bytes.is_empty() {
        let segment = here(segments, current, *position)
            .expect("no address is granted before its segment is in the list");
        let room = segment.header.end() - *position;
        let (now, later) = bytes.split_at(room.min(bytes.len() as u64) as usize);
        segment
            .file
            .write_bytes_at(now, segment.header.file_offset(*position))
            .map_err(failed("write", &segment.name))?;
        *position += now.len() as u64;
        bytes = later;
    }
    Ok(())
}
