//! The segments of a log as far back as they follow each other without a gap: what can still be read of it.
//!
//! * Recovery needs the log from the newest manifest's address on, and whatever is wrong there is damage. Below it there may
//!   be segments that were kept for feeds, and others that wait to be recycled or were left half-way in it. A row
//!   begins behind the newest of those that are not whole.

use holt_codec::{DbId, LogReader, ReadError, SegmentHeader};

use super::recovery::{Files, damaged, header};
use super::segments::Settled;
use crate::Error;
use crate::disk::Disk;
use crate::sync::Arc;

/// See the module.
pub(super) struct Row {
    /// Without a gap, in the order of their addresses.
    headers: Vec<SegmentHeader>,
    names: Vec<String>,
    /// What is wrong with the segment before the first, if there is one and it was looked at.
    before: Option<Error>,
}

impl Row {
    /// The row of these segments, which are in the order of their addresses, as far back as to the one that holds `from`.
    pub(super) fn back_to<D: Disk>(
        disk: &D,
        db: DbId,
        files: &[Settled],
        from: u64,
    ) -> Result<Row, Error> {
        let mut row = Row { headers: Vec::new(), names: Vec::new(), before: None };
        for file in files.iter().rev() {
            match header(disk, db, file) {
                Ok(header) if row.headers.last().is_none_or(|next| next.start == header.end()) => {
                    row.headers.push(header);
                    row.names.push(file.name.clone());
                }
                Ok(_) => break,
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => {
                    row.before = Some(error);
                    break;
                }
            }
            if file.start <= from {
                break;
            }
        }
        row.headers.reverse();
        row.names.reverse();
        Ok(row)
    }

    /// Address at which it begins.
    pub(super) fn start(&self) -> Option<u64> {
        self.headers.first().map(|header| header.start)
    }

    /// What is wrong with the segment before it, if that is why it does not go back further.
    pub(super) fn before(self) -> Option<Error> {
        self.before
    }

    /// Whether `address` lies between the end of one process's log and the beginning of the next one's: what it stood for was
    /// lost in a crash.
    pub(super) fn fell_out(&self, address: u64) -> bool {
        let gap = |header: &SegmentHeader| header.predecessor_end..header.start;
        self.headers.iter().any(|header| gap(header).contains(&address))
    }

    /// A reader of it from `from` on.
    pub(super) fn reader<D: Disk>(
        self,
        disk: &Arc<D>,
        db: DbId,
        from: u64,
    ) -> Result<LogReader<Files<Arc<D>, D>>, Error> {
        let source = Files::new(Arc::clone(disk), self.names);
        LogReader::new(source, db, self.headers, from).map_err(|error| damaged(db, error))
    }

    /// Address of the first record that starts in it and ends below `limit`; `limit` if there is none.
    pub(super) fn first_record<D: Disk>(
        self,
        disk: &Arc<D>,
        db: DbId,
        limit: u64,
    ) -> Result<u64, Error> {
        let Some(start) = self.start() else { return Ok(limit) };
        let mut reader = self.reader(disk, db, start)?;
        reader.align(limit).map_err(|error| read_error(db, error))?;
        Ok(reader.address())
    }
}

/// The crate's error for what a reader of files failed with.
pub(super) fn read_error(db: DbId, error: ReadError<Error>) -> Error {
    match error {
        ReadError::Source(error) => error,
        ReadError::Log(error) => damaged(db, error),
        _ => unreachable!("a reader fails through its source or its log"),
    }
}
