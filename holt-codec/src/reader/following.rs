//! Reading a log that somebody is still writing: up to a limit below which it is known to be whole.
//!
//! * Whoever follows a log knows how far it reaches, so there is no verdict on an end. What is no record below the limit is
//!   damage; what is at or behind it is not looked at.
//! * A reader may begin at any address, such as that of an operation in a batch: it looks for the first record that
//!   starts there or behind. The address under the checksum keeps the bytes of keys and values from passing for one.
//! * The window never holds bytes from behind the limit, so that nothing stale is in it when the limit has moved.

use super::chain::Run;
use super::log_reader::{Entry, LogReader, ReadError};
use super::source::LogSource;
use super::witness;
use crate::error::Damage;
use crate::{GRANULE, HEADER_LEN, RecordHeader};

impl<S: LogSource> LogReader<S> {
    /// The next record, skips and clean ends included, if it ends at or below `limit`, an address below which the log
    /// is known to be whole. Otherwise nothing, and the call can be repeated with a greater limit.
    ///
    /// The reader has to have every segment that holds an address below `limit`.
    ///
    /// # Errors
    ///
    /// As [`LogReader::next_entry`]; whatever is no record below `limit` is damage.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_codec::{DbId, FIRST_ADDRESS, LogReader, Op, Record, SegmentBytes, SegmentHeader};
    /// # let header = SegmentHeader {
    /// #     db: DbId([1; 16]), salt: 99, start: FIRST_ADDRESS, window: 4096, predecessor_end: FIRST_ADDRESS,
    /// # };
    /// # let mut file = header.encode().to_vec();
    /// # let record = Record::from(Op::Put { tree: 1, key: b"a/b", value: b"c" });
    /// # record.encode(header.seed(), FIRST_ADDRESS, FIRST_ADDRESS, &mut file);
    /// # let end = FIRST_ADDRESS + record.encoded_len()? as u64;
    /// # file.resize(header.file_len() as usize, 0);
    /// // `file` is a segment, and `end` how far it is written.
    /// let source = SegmentBytes::new([&file[..]]);
    /// let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS)?;
    /// assert!(reader.next_below(FIRST_ADDRESS)?.is_none());
    /// assert_eq!(reader.next_below(end)?.expect("one record").record()?, record);
    /// assert!(reader.next_below(end)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_below(&mut self, limit: u64) -> Result<Option<Entry<'_>>, ReadError<S::Error>> {
        let Some(run) = self.run_below(limit) else { return Ok(None) };
        let address = self.address;
        let stop = stop(&run, limit);
        if address >= run.end {
            return Err(self.damaged(Damage::MissingSegment));
        }
        let promised = Damage::Promised { end: limit };
        let below = Run { end: stop, ..run };
        let head = self.window.hold(&mut self.source, &self.chain, &below, address, HEADER_LEN)?;
        let header = RecordHeader::parse(address, head).ok();
        let len = header.map_or(HEADER_LEN, |header| header.len());
        if address + len as u64 > limit {
            // A failed write may leave the mark inside of a record, which is then not there yet.
            return Ok(None);
        }
        let Some(header) = header.filter(|_| address + len as u64 <= stop) else {
            return Err(self.damaged(promised));
        };
        let (source, chain, window) = (&mut self.source, &self.chain, &mut self.window);
        if !witness::verify(source, chain, &below, window, address, &header)? {
            return Err(self.damaged(promised));
        }
        window.hold(source, chain, &below, address, header.len())?;
        Ok(Some(self.pass(header)))
    }

    /// Moves on to the first record that starts at the reader's address or behind it, and to `limit` if there is none
    /// below. For a reader that was made with an address that may lie inside of a record.
    ///
    /// # Errors
    ///
    /// As [`LogReader::next_entry`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_codec::{DbId, FIRST_ADDRESS, LogReader, Op, Record, SegmentBytes, SegmentHeader};
    ///
    /// let header = SegmentHeader {
    ///     db: DbId([1; 16]), salt: 9, start: FIRST_ADDRESS, window: 4096, predecessor_end: FIRST_ADDRESS,
    /// };
    /// let mut file = header.encode().to_vec();
    /// let record = Record::from(Op::Delete { tree: 1, key: b"k" });
    /// record.encode(header.seed(), FIRST_ADDRESS, FIRST_ADDRESS, &mut file);
    /// let end = FIRST_ADDRESS + record.encoded_len()? as u64;
    /// file.resize(header.file_len() as usize, 0);
    ///
    /// let source = SegmentBytes::new([&file[..]]);
    /// let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS + 8)?;
    /// reader.align(end)?; // there is no record behind the one that it begins in
    /// assert_eq!(reader.address(), end);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn align(&mut self, limit: u64) -> Result<(), ReadError<S::Error>> {
        let Some(run) = self.run_below(limit) else { return Ok(()) };
        let stop = stop(&run, limit);
        let below = Run { end: stop, ..run };
        let mut address = self.address;
        while address + HEADER_LEN as u64 <= stop {
            let (source, chain, window) = (&mut self.source, &self.chain, &mut self.window);
            let bytes = window.hold(source, chain, &below, address, HEADER_LEN)?;
            let Some((at, header)) = first_header(bytes, address, stop) else {
                // The last header of this stretch may begin in the next.
                address += (bytes.len() - (HEADER_LEN - GRANULE)) as u64;
                continue;
            };
            if witness::verify(source, chain, &below, window, at, &header)? {
                self.address = at;
                return Ok(());
            }
            address = at + GRANULE as u64;
        }
        self.address = stop;
        Ok(())
    }

    /// The run that the next record is in, after the jump that there may be before it; nothing at the limit.
    fn run_below(&mut self, limit: u64) -> Option<Run> {
        loop {
            let run = self.chain.run(self.run)?;
            if self.address >= limit {
                return None;
            }
            match run.jump {
                Some(jump) if self.address == jump.from => self.jump(jump),
                _ => return Some(run),
            }
        }
    }
}

/// Where the records of `run` end, as far as anybody may look.
fn stop(run: &Run, limit: u64) -> u64 {
    run.jump.map_or(run.end, |jump| jump.from).min(limit)
}

/// The first position in `bytes`, which begin at `base`, that might hold a record that ends at or below `end`.
fn first_header(bytes: &[u8], base: u64, end: u64) -> Option<(u64, RecordHeader)> {
    bytes.windows(HEADER_LEN).step_by(GRANULE).enumerate().find_map(|(index, head)| {
        let address = base + (index * GRANULE) as u64;
        let header = RecordHeader::parse(address, head).ok()?;
        (address + header.len() as u64 <= end).then_some((address, header))
    })
}
