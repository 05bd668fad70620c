//! Reading the log back at opening.
//!
//! * Nothing is written, whatever is found: a torn tail is cut by the next segment's header, which is written by
//!   the first append.
//! * Memory is bounded, whatever the log's size or content.
//! * Files that lie wholly below the address from which the log is needed are not opened: they may be half
//!   recycled. All others have to be whole.

use std::io;
use std::ops::{Deref, Range};

use holt_codec::{
    Damage as LogDamage, DbId, Error as CodecError, LogReader, LogSource, ReadError, Record,
    SEGMENT_HEADER_LEN, SegmentHeader,
};

use super::mark_file::{self, FoundMark};
use super::names;
use super::pipeline::{self, Ended};
use super::segments::{Settled, failed};
use crate::disk::{Access, Disk, DiskFile};
use crate::sync::Arc;
use crate::{Damage, Error};

/// What recovery found, for [`Journal::start`](crate::Journal::start) to go on behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredLog {
    /// Where the log ends.
    pub(super) end: u64,
    /// Address below which it is known to be on stable storage.
    pub(super) synced: u64,
    /// Address behind every segment.
    pub(super) segments_end: u64,
    /// All segments, the needed and the others, in the order of their addresses.
    pub(super) segments: Vec<Settled>,
    /// Stretches of them whose records may never have been synced.
    pub(super) unsynced: Vec<Stretch>,
    /// Which segment was durable last.
    pub(super) mark: FoundMark,
    clean: bool,
    replayed: Replayed,
}

/// Bytes of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) name: String,
    /// Offsets in the file.
    pub(super) bytes: Range<u64>,
}

impl Stretch {
    /// Writes bytes of an earlier process again, as they are, and syncs them.
    ///
    /// A sync alone proves nothing: if one failed before, the operating system may still hold bytes that it has given
    /// up writing, and calls them clean.
    pub(super) fn write_again<D: Disk>(&self, disk: &D) -> Result<(), Error> {
        const CHUNK: u64 = 256 << 10;
        let (name, Range { start, end }) = (&self.name, self.bytes.clone());
        let file = disk.open(name, Access::ReadWrite).map_err(failed("open", name))?;
        let mut bytes = vec![0; CHUNK.min(end - start) as usize];
        let mut at = start;
        while at < end {
            let part = &mut bytes[..CHUNK.min(end - at) as usize];
            file.read_exact_at(part, at).map_err(failed("read", name))?;
            file.write_bytes_at(part, at).map_err(failed("write", name))?;
            at += part.len() as u64;
        }
        file.sync_data().map_err(failed("sync", name))
    }
}

/// The bytes of segments that hold these addresses.
fn stretches(headers: &[SegmentHeader], addresses: Range<u64>) -> Vec<Stretch> {
    let touches =
        |header: &&SegmentHeader| header.end() > addresses.start && header.start < addresses.end;
    let stretch = |header: &SegmentHeader| {
        let from = header.file_offset(addresses.start.max(header.start));
        let to = header.file_offset(addresses.end.min(header.end()));
        Stretch { name: names::segment(header.start), bytes: from..to }
    };
    headers.iter().filter(touches).map(stretch).collect()
}

/// Makes the log between two addresses durable, which an earlier process wrote and which may never have been synced. For a
/// checkpoint that has to be made while the log is still being [recovered](recover_log): `to` is the address of a
/// record, and all before it has been read. Changes no byte.
///
/// # Errors
///
/// As [`recover_log`], and those of writing. What was to become durable may not be, then.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use holt_codec::{DbId, FIRST_ADDRESS};
/// use holt_journal::disk::SimDisk;
/// use holt_journal::{create_log, settle_log};
///
/// let (disk, db) = (Arc::new(SimDisk::new(1)), DbId([1; 16]));
/// create_log(&disk, db)?;
/// settle_log(&disk, db, FIRST_ADDRESS, FIRST_ADDRESS)?;
/// # Ok::<(), holt_journal::Error>(())
/// ```
pub fn settle_log<D: Disk>(disk: &Arc<D>, db: DbId, from: u64, to: u64) -> Result<(), Error> {
    let found = Found::new(&**disk, db, from)?;
    stretches(&found.headers, from..to)
        .iter()
        .try_for_each(|stretch| stretch.write_again(&**disk))?;
    // A name may have been recovered that its maker never made durable.
    disk.sync_dir().map_err(failed("sync the directory of", names::MARK))
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records applied, without those that mean nothing.
    pub records: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// Bytes of log that there are at most; the last segments are seldom full.
    pub at_most: u64,
}

impl RecoveredLog {
    /// Address behind the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether the log was closed in order; otherwise the process was killed, the power was lost, or writing had failed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// What was read.
    #[must_use]
    pub fn replayed(&self) -> Replayed {
        self.replayed
    }
}

/// Creates a log with nothing in it; it survives a power cut when this returns.
///
/// [`Store::create`](crate::store::Store::create) does this for the log of a database.
///
/// # Errors
///
/// [`Error::Occupied`] if there is one; the disk's errors.
pub fn create_log<D: Disk>(disk: &Arc<D>, db: DbId) -> Result<(), Error> {
    mark_file::create(&**disk, db)?;
    disk.sync_dir().map_err(failed("sync the directory of", names::MARK))
}

/// Hands every record of the log of `db` from the address `from` on to `apply`, with its address, in order.
///
/// `from` is the newest manifest's log address, or [`FIRST_ADDRESS`](holt_codec::FIRST_ADDRESS) for a database without
/// one. Changes nothing. Records that mean nothing are left out.
///
/// # Errors
///
/// As the crate's [`Error`], converted: [`Error::Damaged`] when the log lacks what was durable, [`Error::Missing`] when
/// it lacks the newest file that it had or was never created, [`Error::Foreign`], [`Error::Format`], [`Error::Io`]. `apply`'s own errors end the replay and come back as they are.
///
/// # Panics
///
/// When `apply` does.
pub fn recover_log<D: Disk, E: From<Error>>(
    disk: &Arc<D>,
    db: DbId,
    from: u64,
    apply: &mut dyn FnMut(u64, Record<'_>) -> Result<(), E>,
) -> Result<RecoveredLog, E> {
    recover_log_with(disk, db, from, &mut |_| {}, apply)
}

/// [`recover_log`] that says how far it has come, every few thousand records and at the end.
///
/// # Errors
///
/// As [`recover_log`].
///
/// # Panics
///
/// When `apply` or `progress` does.
pub fn recover_log_with<D: Disk, E: From<Error>>(
    disk: &Arc<D>,
    db: DbId,
    from: u64,
    progress: &mut dyn FnMut(Replayed),
    apply: &mut dyn FnMut(u64, Record<'_>) -> Result<(), E>,
) -> Result<RecoveredLog, E> {
    const REPORT: u64 = 8192;
    let found = Found::new(&**disk, db, from)?;
    let source = Files::new(&**disk, found.names.clone());
    let mut reader = LogReader::new(source, db, found.headers.clone(), from)
        .map_err(|error| damaged(db, error))?;
    let at_most = reader.segments_end().saturating_sub(from);
    let mut replayed = Replayed { at_most, ..Replayed::default() };
    let outcome = pipeline::run(&mut reader, &mut |address, len, record| {
        replayed.bytes += len;
        if matches!(record, Record::Skip { .. } | Record::CleanEnd) {
            return Ok(());
        }
        apply(address, record)?;
        replayed.records += 1;
        if replayed.records.is_multiple_of(REPORT) {
            progress(replayed);
        }
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(Ended::Applying(error)) => return Err(error),
        Err(Ended::Thread(error)) => return Err(Error::Thread(Arc::new(error)).into()),
        Err(Ended::Reading(ReadError::Source(error))) => return Err(error.into()),
        Err(Ended::Reading(ReadError::Log(error))) => return Err(damaged(db, error).into()),
        Err(Ended::Reading(_)) => unreachable!("a reader fails through its source or its log"),
        Err(Ended::Decoding(address, error)) => {
            return Err(found.undecodable(address, error).into());
        }
    }
    progress(replayed);
    let end = reader.end().expect("a reader without an error has read to the end");
    let unsynced = stretches(&found.headers, end.synced..end.address);
    Ok(RecoveredLog {
        end: end.address,
        synced: end.synced,
        segments_end: reader.segments_end(),
        segments: found.all,
        unsynced,
        mark: found.mark,
        clean: end.clean,
        replayed,
    })
}

/// The files of the log.
pub(super) struct Found {
    /// All of them.
    all: Vec<Settled>,
    /// Names of the needed ones.
    pub(super) names: Vec<String>,
    /// Headers of the needed ones.
    headers: Vec<SegmentHeader>,
    mark: FoundMark,
}

impl Found {
    pub(super) fn new<D: Disk>(disk: &D, db: DbId, from: u64) -> Result<Found, Error> {
        let all = list(disk)?;
        let first = all.iter().rposition(|file| file.start <= from).unwrap_or(0);
        let (mut names, mut headers) = (Vec::new(), Vec::new());
        for file in &all[first..] {
            headers.push(header(disk, db, file)?);
            names.push(file.name.clone());
        }
        // After the headers: those of another format say so, and may know no mark.
        let mark = mark_file::read(disk, db)?;
        mark.mark.check(&headers, from).map_err(|error| damaged(db, error))?;
        Ok(Found { all, names, headers, mark })
    }

    /// Headers of the needed ones, in the order of their addresses.
    pub(super) fn headers(&self) -> &[SegmentHeader] {
        &self.headers
    }

    /// The error that there is no record at `address`, although the log was written up to `written`.
    pub(super) fn cut_short(&self, address: u64, written: u64) -> Error {
        let behind = self.headers.partition_point(|header| header.start <= address);
        let header = behind.checked_sub(1).map(|at| &self.headers[at]);
        Error::Damaged {
            file: names::segment(header.map_or(address, |header| header.start)),
            offset: header.map_or(0, |header| header.file_offset(address.min(header.end()))),
            what: Damage::CutOff { written },
        }
    }

    /// The error that a record's body breaks the format.
    pub(super) fn undecodable(&self, address: u64, error: CodecError) -> Error {
        undecodable(self.headers.iter(), address, error)
    }
}

/// The error that the body of the record at `address` breaks the format.
pub(super) fn undecodable<'a>(
    segments: impl Iterator<Item = &'a SegmentHeader>,
    address: u64,
    error: CodecError,
) -> Error {
    let header = segments.take_while(|header| header.start <= address).last();
    let header = header.expect("a record lies in a segment");
    Error::Damaged {
        file: names::segment(header.start),
        offset: header.file_offset(address),
        what: Damage::Bytes(error),
    }
}

/// All segments by their names, in the order of their addresses.
pub(super) fn list<D: Disk>(disk: &D) -> Result<Vec<Settled>, Error> {
    let listed = disk.list().map_err(failed("list", ""))?;
    let mut all: Vec<Settled> = listed
        .into_iter()
        .filter_map(|name| Some(Settled { start: names::start_of(&name)?, name, whole: false }))
        .collect();
    all.sort_by_key(|file| file.start);
    Ok(all)
}

/// Reads and checks the header of a segment.
pub(super) fn header<D: Disk>(
    disk: &D,
    db: DbId,
    listed: &Settled,
) -> Result<SegmentHeader, Error> {
    let name = &listed.name;
    let file = disk.open(name, Access::Read).map_err(failed("open", name))?;
    let len = file.len().map_err(failed("measure", name))?;
    let damaged = |offset, what| Error::Damaged { file: name.clone(), offset, what };
    let mut bytes = vec![0; SEGMENT_HEADER_LEN.min(usize::try_from(len).unwrap_or(usize::MAX))];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(failed("read", name)(error));
        }
        _ => {}
    }
    let header = SegmentHeader::decode(&bytes).map_err(|error| match error {
        CodecError::Version { .. } => Error::Format { file: name.clone(), error },
        other => damaged(0, Damage::Bytes(other)),
    })?;
    if header.db != db {
        return Err(Error::Foreign { file: name.clone(), expected: db, found: header.db });
    }
    if header.start != listed.start {
        let what = Damage::Start { expected: listed.start, found: header.start };
        return Err(damaged(0, what));
    }
    if header.file_len() != len {
        return Err(damaged(len, Damage::Length { expected: header.file_len(), found: len }));
    }
    Ok(header)
}

/// The crate's error for what the reader found.
pub(super) fn damaged(db: DbId, error: CodecError) -> Error {
    match error {
        CodecError::Damaged { segment, damage: LogDamage::LostSegment, .. } => Error::Missing {
            file: names::segment(segment),
            why: "the log's mark says that it was durable",
        },
        CodecError::Damaged { damage: LogDamage::MissingStart { wanted }, .. } => Error::Damaged {
            file: names::segment(wanted),
            offset: 0,
            what: Damage::Log(LogDamage::MissingStart { wanted }),
        },
        CodecError::Damaged { segment, offset, damage, .. } => {
            Error::Damaged { file: names::segment(segment), offset, what: Damage::Log(damage) }
        }
        other => Error::Damaged { file: db.to_string(), offset: 0, what: Damage::Bytes(other) },
    }
}

/// Segments by name, opened one at a time.
pub(super) struct Files<R, D: Disk> {
    disk: R,
    names: Vec<String>,
    /// The one that was read last, by its place in the list.
    open: Option<(usize, D::File)>,
}

impl<R: Deref<Target = D>, D: Disk> Files<R, D> {
    pub(super) fn new(disk: R, names: Vec<String>) -> Files<R, D> {
        Files { disk, names, open: None }
    }
}

impl<R: Deref<Target = D>, D: Disk> LogSource for Files<R, D> {
    type Error = Error;

    fn read_at(&mut self, segment: usize, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let name = &self.names[segment];
        let file = match self.open.take() {
            Some((at, file)) if at == segment => file,
            _ => self.disk.open(name, Access::Read).map_err(failed("open", name))?,
        };
        let (_, file) = self.open.insert((segment, file));
        loop {
            match file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map_err(failed("read", name)),
            }
        }
    }
}
