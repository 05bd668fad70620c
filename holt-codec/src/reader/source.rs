//! Where the bytes of segments come from.

use std::io::{self, Read, Seek, SeekFrom};

/// Random access to the files of a log's segments.
///
/// Segments go by their position in the list that the reader was made with.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use holt_codec::LogSource;
///
/// /// Segments that hold nothing but zeros.
/// struct Zeros;
///
/// impl LogSource for Zeros {
///     type Error = Infallible;
///
///     fn read_at(&mut self, _segment: usize, _offset: u64, buf: &mut [u8]) -> Result<usize, Infallible> {
///         buf.fill(0);
///         Ok(buf.len())
///     }
/// }
///
/// let mut buf = [1; 8];
/// assert_eq!(Zeros.read_at(0, 4096, &mut buf), Ok(8));
/// ```
pub trait LogSource {
    /// What a failed read gives.
    type Error;

    /// Reads at most `buf.len()` bytes at a file offset and says how many; 0 means that the file ends there.
    ///
    /// # Errors
    ///
    /// The source's own.
    fn read_at(
        &mut self,
        segment: usize,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Self::Error>;
}

/// Segment files that are in memory, in the order of the list of headers.
#[derive(Debug, Clone)]
pub struct SegmentBytes<B>(Vec<B>);

impl<B: AsRef<[u8]>> SegmentBytes<B> {
    /// Whole files, headers included.
    pub fn new(files: impl IntoIterator<Item = B>) -> Self {
        SegmentBytes(files.into_iter().collect())
    }
}

impl<B: AsRef<[u8]>> LogSource for SegmentBytes<B> {
    type Error = std::convert::Infallible;

    fn read_at(
        &mut self,
        segment: usize,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Self::Error> {
        let file = self.0.get(segment).map_or(&[][..], AsRef::as_ref);
        let rest = usize::try_from(offset).ok().and_then(|at| file.get(at..)).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// Segment files behind anything that reads and seeks, in the order of the list of headers.
///
/// For reading a log offline: open the files, decode their headers, and hand both to a
/// [`LogReader`](crate::LogReader).
///
/// # Examples
///
/// ```
/// use std::io::Cursor;
/// use holt_codec::{DbId, FIRST_ADDRESS, LogReader, ReadError, SegmentFiles, SegmentHeader};
///
/// let header = SegmentHeader {
///     db: DbId([1; 16]), salt: 9, start: FIRST_ADDRESS, window: 4096, predecessor_end: FIRST_ADDRESS,
/// };
/// let mut file = header.encode().to_vec();
/// file.resize(header.file_len() as usize, 0);
/// // Files that were opened work as well.
/// let source = SegmentFiles::new([Cursor::new(file)]);
/// let mut reader = LogReader::new(source, header.db, vec![header], FIRST_ADDRESS)?;
/// match reader.next_entry() {
///     Ok(entry) => assert!(entry.is_none(), "nothing was written"),
///     Err(ReadError::Source(error)) => panic!("the file cannot be read: {error}"),
///     Err(other) => panic!("the log is damaged: {other}"),
/// };
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Debug)]
pub struct SegmentFiles<R>(Vec<R>);

impl<R: Read + Seek> SegmentFiles<R> {
    /// Whole files, headers included.
    pub fn new(files: impl IntoIterator<Item = R>) -> Self {
        SegmentFiles(files.into_iter().collect())
    }
}

impl<R: Read + Seek> LogSource for SegmentFiles<R> {
    type Error = io::Error;

    fn read_at(&mut self, segment: usize, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let Some(file) = self.0.get_mut(segment) else { return Ok(0) };
        file.seek(SeekFrom::Start(offset))?;
        loop {
            match file.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}
