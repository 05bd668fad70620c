//! The file of the log's marks: which segment was durable last, so that one that goes missing is missed.
//!
//! ```text
//!  offset 0      mark 0, zeros
//!  offset 4096   mark 1, zeros
//! ```
//!
//! * It is there from the log's creation on and is never removed or renamed.
//! * A mark is durable before any address of its segment is granted, and after the segment is.
//! * While one mark is written, the other is the newest and known to be durable, so a torn one leaves the other. What
//!   an earlier process wrote last it may not have synced: this one first writes it again, as it is.
//! * Where only an older mark can be read, less is missed and nothing is refused wrongly: every segment that a mark ever
//!   named was durable before.

use std::io;

use holt_codec::{DbId, Error as CodecError, LOG_MARK_LEN, LogMark, SegmentHeader};

use super::names::MARK;
use super::segments::{Segment, Unmade, failed};
use crate::disk::{Access, Disk, DiskFile};
use crate::{Damage, Error};

/// Bytes from one mark to the next: no sector and no page holds both.
const SLOT: u64 = 4096;

/// What the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundMark {
    /// The newest mark that can be read.
    pub(super) mark: LogMark,
    /// Where it is.
    slot: u64,
}

/// Creates the mark of a log without segments. Its content is durable, its name not yet.
///
/// # Errors
///
/// [`Error::Occupied`] if there is one; the disk's errors.
pub(crate) fn create<D: Disk>(disk: &D, db: DbId) -> Result<(), Error> {
    let file = disk.create(MARK).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Occupied { file: MARK.to_owned() },
        _ => failed("create", MARK)(error),
    })?;
    file.allocate(0, 2 * SLOT).map_err(failed("allocate", MARK))?;
    let mut slot = [0; SLOT as usize];
    slot[..LOG_MARK_LEN].copy_from_slice(&LogMark::new(db).encode());
    for at in [0, SLOT] {
        file.write_bytes_at(&slot, at).map_err(failed("write", MARK))?;
    }
    file.sync_all().map_err(failed("sync", MARK))
}

/// Reads the marks of the log of `db`.
///
/// # Errors
///
/// [`Error::Missing`], [`Error::Damaged`] when neither can be read, [`Error::Format`], [`Error::Foreign`]; the disk's.
pub(super) fn read<D: Disk>(disk: &D, db: DbId) -> Result<FoundMark, Error> {
    let found = match slots(disk)? {
        None => {
            let why = "every log has one from its creation on";
            return Err(Error::Missing { file: MARK.to_owned(), why });
        }
        Some([Ok(zero), Ok(one)]) if one.sequence > zero.sequence => {
            FoundMark { mark: one, slot: 1 }
        }
        Some([Ok(mark), _]) => FoundMark { mark, slot: 0 },
        Some([Err(_), Ok(mark)]) => FoundMark { mark, slot: 1 },
        Some([Err(error @ CodecError::Version { .. }), Err(CodecError::Version { .. })]) => {
            return Err(Error::Format { file: MARK.to_owned(), error });
        }
        Some([Err(error), Err(_)]) => {
            let what = Damage::NoMark(error);
            return Err(Error::Damaged { file: MARK.to_owned(), offset: 0, what });
        }
    };
    if found.mark.db != db {
        let (expected, found) = (db, found.mark.db);
        return Err(Error::Foreign { file: MARK.to_owned(), expected, found });
    }
    Ok(found)
}

/// Whether there is a mark that names a segment: then there was a log, whatever else is there.
///
/// # Errors
///
/// The disk's.
pub(crate) fn is_used<D: Disk>(disk: &D) -> Result<bool, Error> {
    let marks = slots(disk)?;
    Ok(marks.is_some_and(|marks| marks.iter().flatten().any(|mark| mark.sequence > 0)))
}

/// Offsets of marks that cannot be read, with the reason: torn by a crash, or damaged.
///
/// # Errors
///
/// The disk's.
pub(crate) fn unreadable<D: Disk>(disk: &D) -> Result<Vec<(u64, CodecError)>, Error> {
    let broken = || -> Result<Vec<(u64, CodecError)>, Error> {
        let marks = slots(disk)?.into_iter().flatten().zip([0, SLOT]);
        Ok(marks.filter_map(|(mark, at)| Some((at, mark.err()?))).collect())
    };
    // Twice: one that is being written may be read half-way.
    let mut first = broken()?;
    if !first.is_empty() {
        let second = broken()?;
        first.retain(|one| second.contains(one));
    }
    Ok(first)
}

/// Both marks, if the file is there.
fn slots<D: Disk>(disk: &D) -> Result<Option<[Result<LogMark, CodecError>; 2]>, Error> {
    let file = match disk.open(MARK, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", MARK)(error)),
    };
    let read = |at| {
        let mut bytes = [0; SLOT as usize];
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) if bytes[LOG_MARK_LEN..].iter().any(|&byte| byte != 0) => {
                let (what, why) = ("the log's mark", "reserved bytes are not zero");
                Ok(Err(CodecError::Malformed { what, why }))
            }
            Ok(()) => Ok(LogMark::decode(&bytes)),
            // A file that ends here has no mark here.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(LogMark::decode(&[])),
            Err(error) => Err(failed("read", MARK)(error)),
        }
    };
    Ok(Some([read(0)?, read(SLOT)?]))
}

/// Writes the marks of an open log. Only the maker of segments has it.
#[derive(Debug)]
pub(super) struct Marker<F> {
    newest: FoundMark,
    /// The newest mark is known to be durable.
    settled: bool,
    /// Opened with the first segment of the process.
    file: Option<F>,
    /// A segment that is durable and not marked, since marking it failed.
    pub(super) unmarked: Option<Segment<F>>,
}

impl<F: DiskFile> Marker<F> {
    pub(super) fn new(newest: FoundMark) -> Marker<F> {
        // Both marks of a new log are the same, and durable since its creation.
        let settled = newest.mark.sequence == 0;
        Marker { newest, settled, file: None, unmarked: None }
    }

    /// Makes it durable that there is this segment, which is durable itself.
    pub(super) fn note<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        segment: &SegmentHeader,
    ) -> Result<(), Unmade> {
        let file = match self.file.take() {
            Some(file) => file,
            None => disk
                .open(MARK, Access::ReadWrite)
                .map_err(|error| Unmade::Retry(failed("open", MARK)(error)))?,
        };
        let file = self.file.insert(file);
        if !self.settled {
            write(file, self.newest)?;
            self.settled = true;
        }
        let next = FoundMark { mark: self.newest.mark.of(segment), slot: 1 - self.newest.slot };
        write(file, next)?;
        self.newest = next;
        Ok(())
    }
}

/// Writes a mark to its slot and syncs it.
fn write<F: DiskFile>(file: &F, FoundMark { mark, slot }: FoundMark) -> Result<(), Unmade> {
    file.write_bytes_at(&mark.encode(), slot * SLOT)
        .map_err(|error| Unmade::Retry(failed("write", MARK)(error)))?;
    // After a failed sync a later one would prove nothing.
    file.sync_data().map_err(|error| Unmade::Doubt(failed("sync", MARK)(error)))
}
