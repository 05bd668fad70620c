//! A file of a disk as a stream.

use std::io::{self, Read, Write};

use holt_journal::disk::DiskFile;

use crate::error::Error;

/// Reads or writes a file front to back.
pub(super) struct Stream<F> {
    file: F,
    at: u64,
}

impl<F: DiskFile> Stream<F> {
    pub(super) fn new(file: F) -> Stream<F> {
        Stream { file, at: 0 }
    }

    /// Bytes read or written.
    pub(super) fn bytes(&self) -> u64 {
        self.at
    }

    pub(super) fn file(&self) -> &F {
        &self.file
    }
}

impl<F: DiskFile> Write for Stream<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_bytes_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: DiskFile> Read for Stream<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Turns a disk's error into the crate's.
pub(super) fn failed(doing: &'static str, file: &str) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let (file, error) = (file.to_owned(), std::sync::Arc::new(error));
        Error::Journal(holt_journal::Error::Io { doing, file, error })
    }
}
