//! Verification of a log that is being written: everything that was handed over is still there.
//!
//! * The reader races with the writer, so the end of the log is no fixed place. What had been written when the
//!   verification began has to be whole; what came later is of no account, whatever it looks like from afar.
//! * Segments that the verification needs are pinned, and none is made while their headers are read: a list of the files
//!   and the mark that names the newest would not fit together otherwise.

use holt_codec::{LogReader, ReadError};

use super::journal::Journal;
use super::pipeline::{self, Ended};
use super::recovery::{Files, Found, damaged};
use crate::Error;
use crate::disk::Disk;
use crate::sync::{Arc, lock};

impl<D: Disk> Journal<D> {
    /// Reads the log from the address `from` on, which is not below the one it was last truncated to, and checks every record.
    /// Returns the address up to which everything was handed to the operating system when the call began, and is whole.
    ///
    /// Changes nothing. Writing goes on meanwhile.
    ///
    /// # Errors
    ///
    /// As [`recover_log`](crate::recover_log); [`Error::Damaged`] also when the log ends before that address.
    pub fn verify(&self, from: u64) -> Result<u64, Error> {
        let shared = &*self.shared;
        let _pin = self.pin(from);
        let written = self.written();
        let (disk, db) = (&*shared.disk, shared.db);
        let found = {
            let _none_is_made = lock(&shared.marker);
            Found::new(disk, db, from)?
        };
        let source = Files::new(disk, found.names.clone());
        let mut reader = LogReader::new(source, db, found.headers().to_vec(), from)
            .map_err(|error| damaged(db, error))?;
        let mut whole = from;
        let outcome = pipeline::run(&mut reader, &mut |address, len, _| {
            whole = address + len;
            Ok::<(), Error>(())
        });
        let end = reader.end().map_or(whole, |end| whole.max(end.address));
        if end >= written {
            return Ok(written);
        }
        Err(match outcome {
            Ok(()) => found.cut_short(end, written),
            Err(Ended::Applying(error) | Ended::Reading(ReadError::Source(error))) => error,
            Err(Ended::Thread(error)) => Error::Thread(Arc::new(error)),
            Err(Ended::Reading(ReadError::Log(error))) => damaged(db, error),
            Err(Ended::Reading(_)) => {
                unreachable!("a reader fails through its source or its log")
            }
            Err(Ended::Decoding(address, error)) => found.undecodable(address, error),
        })
    }
}
