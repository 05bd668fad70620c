//! Where the bytes of segments come from.

use std::io::{self, Read, Seek, SeekFrom};

/// Random access to the files of a log's segments.
///
/// Segments go by their position in the list that the reader was made with.
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
