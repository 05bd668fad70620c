//! The reader: one record after the other, then the verdict on the end.

use std::error::Error as StdError;
use std::fmt;

use super::chain::{Chain, Jump, Run};
use super::source::LogSource;
use super::window::Window;
use super::witness;
use crate::error::Damage;
use crate::{DbId, Error, HEADER_LEN, Kind, Record, RecordHeader, SegmentHeader};

/// What reading a log can fail with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError<E> {
    /// The source failed; the log may be all right.
    Source(E),
    /// The log is not all right.
    Log(Error),
}

impl<E> From<Error> for ReadError<E> {
    fn from(error: Error) -> Self {
        ReadError::Log(error)
    }
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Source(error) => write!(out, "reading the log: {error}"),
            ReadError::Log(error) => error.fmt(out),
        }
    }
}

impl<E: StdError + 'static> StdError for ReadError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ReadError::Source(error) => Some(error),
            ReadError::Log(error) => Some(error),
        }
    }
}

/// How a log ends.
///
/// # Examples
///
/// ```
/// use holt_codec::{DbId, FIRST_ADDRESS, LogEnd, LogReader, Op, Record, SegmentBytes, SegmentHeader};
///
/// let header = SegmentHeader {
///     db: DbId([1; 16]), salt: 9, start: FIRST_ADDRESS, window: 4096, predecessor_end: FIRST_ADDRESS,
/// };
/// let mut file = header.encode().to_vec();
/// let record = Record::from(Op::Delete { tree: 1, key: b"k" });
/// record.encode(header.seed(), FIRST_ADDRESS, FIRST_ADDRESS, &mut file);
/// file.resize(header.file_len() as usize, 0);
/// let source = SegmentBytes::new([&file[..]]);
/// let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS)?;
/// while reader.next_entry()?.is_some() {}
/// let Some(LogEnd { address, clean, synced }) = reader.end() else { unreachable!() };
/// assert!(address > FIRST_ADDRESS && !clean && synced == FIRST_ADDRESS);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// Address behind the last record.
    pub address: u64,
    /// Whether the log was closed there in order; otherwise its tail was torn off, or nothing more was written.
    pub clean: bool,
    /// Address below which the log is known to be on stable storage; at most `address`.
    pub synced: u64,
}

/// One record of the log, with a checksum that was verified.
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
/// file.resize(header.file_len() as usize, 0);
/// let source = SegmentBytes::new([&file[..]]);
/// let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS)?;
/// let entry = reader.next_entry()?.expect("one record");
/// assert_eq!((entry.address(), entry.record()?), (FIRST_ADDRESS, record));
/// assert_eq!(entry.header().len(), entry.bytes().len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    address: u64,
    header: RecordHeader,
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Address of the record.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// The whole record, header and padding included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The record itself.
    ///
    /// # Errors
    ///
    /// Those of [`Record::decode_verified`]: the checksum is right, but a body that breaks the format was written.
    pub fn record(&self) -> Result<Record<'a>, Error> {
        Record::decode_verified(&self.header, self.bytes)
    }
}

/// Reads the records of a log in order, from its segments.
///
/// See [the crate](crate) for an example and [`LogReader::next_entry`] for what ends a log.
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
/// file.resize(header.file_len() as usize, 0);
/// let source = SegmentBytes::new([&file[..]]);
/// let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS)?;
/// assert_eq!(reader.segments().count(), 1);
/// while let Some(entry) = reader.next_entry()? {
///     println!("{}: {:?}", entry.address(), entry.record()?);
/// }
/// let end = reader.end().expect("it has been read to its end");
/// assert!(!end.clean && end.address == reader.address());
/// assert_eq!(reader.segments_end(), header.end());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LogReader<S> {
    pub(super) source: S,
    pub(super) chain: Chain,
    pub(super) window: Window,
    /// Index of the run that `address` is in.
    pub(super) run: usize,
    /// Where the next record is expected.
    pub(super) address: u64,
    /// Everything below was on stable storage, as records and segments say.
    synced: u64,
    /// The last record was a clean end.
    closed: bool,
    end: Option<LogEnd>,
}

impl<S: LogSource> LogReader<S> {
    /// A reader of the log of `db` from `from`, an address at which a record starts or the log ends.
    ///
    /// `segments` are the headers of the files in the order in which `source` knows them. Segments wholly below `from`
    /// are not looked at. Everything below `from` is taken to be on stable storage.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when the segments do not fit each other or do not hold `from`.
    pub fn new(
        source: S,
        db: DbId,
        segments: Vec<SegmentHeader>,
        from: u64,
    ) -> Result<LogReader<S>, Error> {
        Ok(LogReader {
            source,
            chain: Chain::new(db, segments, from)?,
            window: Window::default(),
            run: 0,
            address: from,
            synced: from,
            closed: false,
            end: None,
        })
    }

    /// Address of the next record.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How the log ends, once [`LogReader::next_entry`] has said that it does.
    #[must_use]
    pub fn end(&self) -> Option<LogEnd> {
        self.end
    }

    /// Address behind the last segment, where a new one may start; the log's first address if there is none.
    #[must_use]
    pub fn segments_end(&self) -> u64 {
        self.chain.end()
    }

    /// Headers of the segments that hold the log, in the order of their addresses.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentHeader> {
        self.chain.links().iter().map(|link| &link.header)
    }

    /// The next record, skips and clean ends included, or nothing at the log's end.
    ///
    /// # Errors
    ///
    /// [`ReadError::Source`] when the source fails, after which the call can be repeated;
    /// [`ReadError::Log`] with [`Error::Damaged`] when the log is damaged here, and each time after.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ReadError<S::Error>> {
        let Some(header) = self.step()? else { return Ok(None) };
        Ok(Some(self.pass(header)))
    }

    /// Gives out the record at the current address, which the window holds, and goes on behind it.
    pub(super) fn pass(&mut self, header: RecordHeader) -> Entry<'_> {
        let address = self.address;
        self.address += header.len() as u64;
        self.synced = self.synced.max(header.synced().unwrap_or(0));
        self.closed = header.kind() == Kind::CleanEnd;
        let bytes = self.window.held(address, header.len());
        Entry { address, header, bytes }
    }

    /// Goes on in the next run.
    pub(super) fn jump(&mut self, jump: Jump) {
        self.run += 1;
        self.address = jump.to;
        self.closed = false;
        // Whoever starts a run first makes the log before it durable.
        self.synced = self.synced.max(jump.to);
    }

    /// Finds the next record and holds it in the window.
    fn step(&mut self) -> Result<Option<RecordHeader>, ReadError<S::Error>> {
        if self.end.is_some() {
            return Ok(None);
        }
        let run = loop {
            let Some(run) = self.chain.run(self.run) else { return Ok(self.finish(false)) };
            match run.jump {
                Some(jump) if self.address == jump.from => self.jump(jump),
                _ => break run,
            }
        };
        if self.closed {
            return match run.jump {
                None => Ok(self.finish(true)),
                Some(jump) => Err(self.damaged(Damage::Declared { end: jump.from })),
            };
        }
        let header = match self.header(&run)? {
            Some(header) => header,
            None => return self.gap(&run),
        };
        if !witness::verify(
            &mut self.source,
            &self.chain,
            &run,
            &mut self.window,
            self.address,
            &header,
        )? {
            return self.gap(&run);
        }
        self.window.hold(&mut self.source, &self.chain, &run, self.address, header.len())?;
        Ok(Some(header))
    }

    /// The header at the current address, if there is one that can be.
    fn header(&mut self, run: &Run) -> Result<Option<RecordHeader>, ReadError<S::Error>> {
        let address = self.address;
        if address == run.end {
            // A run always ends beyond its last record, so there was another segment.
            return Err(self.damaged(Damage::MissingSegment));
        }
        let head = self.window.hold(&mut self.source, &self.chain, run, address, HEADER_LEN)?;
        let Ok(header) = RecordHeader::parse(address, head) else { return Ok(None) };
        let end = address + header.len() as u64;
        // No record reaches beyond the segments: no address there was ever granted. That none of them is missing is for
        // the log's mark to say, so these are bytes of a torn record, whatever they look like.
        let limit = run.jump.map_or(run.end, |jump| jump.from);
        Ok((end <= limit).then_some(header))
    }

    /// There is no valid record at the current address: is this the end, or damage?
    fn gap(&mut self, run: &Run) -> Result<Option<RecordHeader>, ReadError<S::Error>> {
        if let Some(jump) = run.jump {
            return Err(self.damaged(Damage::Declared { end: jump.from }));
        }
        let gap = self.address;
        match witness::search(&mut self.source, &self.chain, run, &mut self.window, gap)? {
            Some(damage) => Err(self.damaged(damage)),
            None => Ok(self.finish(false)),
        }
    }

    fn finish(&mut self, clean: bool) -> Option<RecordHeader> {
        let (address, synced) = (self.address, self.synced);
        self.end = Some(LogEnd { address, clean, synced: synced.min(address) });
        None
    }

    pub(super) fn damaged(&self, damage: Damage) -> ReadError<S::Error> {
        self.chain.damaged(self.address, damage).into()
    }
}
