//! The data file: two marks, then extents.
//!
//! ```text
//!  unit 0   mark 0, zeros
//!  unit 1   mark 1, zeros
//!  unit 2…  extents: image header, payload, zeros up to a whole unit; holes between them
//! ```
//!
//! Writes go only where the caller says; which units are free is not decided here.

use std::io::{IoSlice, IoSliceMut};

use holt_codec::{
    DbId, EXTENT_UNIT, FIRST_EXTENT, IMAGE_HEADER_LEN, ImageHeader, MARK_LEN, Mapping, Mark,
};

use super::around::Around;
use super::io;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Damage, Error};

/// The data file's name.
pub(crate) const DATA_FILE: &str = "DATA";

/// Zeros behind an image, up to a whole unit.
const ZEROS: [u8; EXTENT_UNIT as usize] = [0; EXTENT_UNIT as usize];

/// Bytes that are read at a time where all that matters is that they are zeros.
const UNIT: usize = EXTENT_UNIT as usize;

/// An image on its way to its extent.
#[derive(Debug)]
pub(crate) struct PlacedImage {
    pub(crate) mapping: Mapping,
    pub(crate) payload: Vec<u8>,
}

/// An open data file.
#[derive(Debug)]
pub(crate) struct DataFile<F> {
    file: F,
    around: Option<Around>,
}

impl<F: DiskFile> DataFile<F> {
    /// Makes a data file without extents; its content is durable, its name not yet.
    pub(crate) fn create<D: Disk<File = F>>(disk: &D, db: DbId) -> Result<DataFile<F>, Error> {
        let file = disk.create(DATA_FILE).map_err(io("creating", DATA_FILE))?;
        file.expect_random();
        // What is written is in the system's cache.
        let data = DataFile { file, around: None };
        let mark = Mark { db, sequence: 0, manifest: 0, record_checksum: 0, generation: 0 };
        data.resize(FIRST_EXTENT)?;
        data.write_mark(0, &mark)?;
        data.write_mark(1, &mark)?;
        data.sync()?;
        Ok(data)
    }

    pub(crate) fn open<D: Disk<File = F>>(disk: &D, access: Access) -> Result<DataFile<F>, Error> {
        let file = disk.open(DATA_FILE, access).map_err(io("opening", DATA_FILE))?;
        // Each image is read whole, and what else to read is known better here.
        file.expect_random();
        let len = file.len().map_err(io("measuring", DATA_FILE))?;
        Ok(DataFile { file, around: Around::new(len, disk.memory()) })
    }

    /// The file's length in bytes.
    pub(crate) fn len(&self) -> Result<u64, Error> {
        self.file.len().map_err(io("measuring", DATA_FILE))
    }

    /// Cuts or lengthens the file.
    pub(crate) fn resize(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(io("resizing", DATA_FILE))
    }

    /// Reserves space.
    pub(crate) fn allocate(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.file.allocate(offset, len).map_err(io("reserving space in", DATA_FILE)).map(|_| ())
    }

    /// Syncs all that was written.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(io("syncing", DATA_FILE))
    }

    /// Writes one of the two marks.
    pub(crate) fn write_mark(&self, slot: usize, mark: &Mark) -> Result<(), Error> {
        let offset = slot as u64 * EXTENT_UNIT;
        self.file.write_bytes_at(&mark.encode(), offset).map_err(io("writing", DATA_FILE))
    }

    /// Reads both marks.
    pub(crate) fn read_marks(&self) -> Result<[Result<Mark, holt_codec::Error>; 2], Error> {
        let read = |slot: u64| {
            let mut bytes = [0; MARK_LEN];
            match self.file.read_exact_at(&mut bytes, slot * EXTENT_UNIT) {
                Ok(()) => Ok(Mark::decode(&bytes)),
                // A file that ends here has no mark here.
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Mark::decode(&[])),
                Err(e) => Err(io("reading", DATA_FILE)(e)),
            }
        };
        Ok([read(0)?, read(1)?])
    }

    /// Writes images to their extents, in the order of the file, neighbours in one go.
    pub(crate) fn write_images(&self, images: &mut [PlacedImage]) -> Result<(), Error> {
        images.sort_unstable_by_key(|image| image.mapping.offset);
        let headers: Vec<_> =
            images.iter().map(|image| header_of(&image.mapping).encode()).collect();
        let mut run: Vec<IoSlice<'_>> = Vec::new();
        let (mut start, mut end) = (0, 0);
        for (image, header) in images.iter().zip(&headers) {
            if image.mapping.offset != end {
                self.write_run(&mut run, start)?;
                start = image.mapping.offset;
            }
            end = image.mapping.end();
            let used = image.mapping.offset + (IMAGE_HEADER_LEN + image.payload.len()) as u64;
            run.push(IoSlice::new(header));
            run.push(IoSlice::new(&image.payload));
            run.push(IoSlice::new(&ZEROS[..(end - used) as usize]));
        }
        self.write_run(&mut run, start)
    }

    fn write_run(&self, run: &mut Vec<IoSlice<'_>>, offset: u64) -> Result<(), Error> {
        let result = self.file.write_all_at(run, offset).map_err(io("writing", DATA_FILE));
        run.clear();
        result
    }

    /// Replaces `out` by the payload of an image, checked against its mapping.
    ///
    /// # Errors
    ///
    /// `out` is empty then.
    pub(crate) fn read_image(
        &self,
        db: DbId,
        mapping: &Mapping,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        // The length is at most `MAX_IMAGE`, and the file was seen to reach to the image's end. What is in
        // the buffer already is read over.
        out.resize(mapping.len as usize, 0);
        let result = self.read_checked(db, mapping, out);
        if result.is_err() {
            out.clear();
        }
        result
    }

    /// Reads the payload and checks it.
    fn read_checked(&self, db: DbId, mapping: &Mapping, payload: &mut [u8]) -> Result<(), Error> {
        let damaged = |error| Error::Damaged {
            file: DATA_FILE.to_owned(),
            offset: mapping.offset,
            what: Damage::Bytes(error),
        };
        let around = self.around.as_ref().and_then(|around| around.read(mapping.offset));
        if let Some((from, bytes)) = around {
            self.file.will_need(from, bytes);
        }
        let mut header = [0; IMAGE_HEADER_LEN];
        let parts = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(payload)];
        self.file
            .read_exact_in_parts_at(parts, mapping.offset)
            .map_err(|error| place(error, mapping.offset))?;
        let header = ImageHeader::decode(&header).map_err(damaged)?;
        header.check(db, mapping.object, mapping.generation, payload).map_err(damaged)?;
        if header.checksum != mapping.checksum {
            // Intact, of the right object and generation, and yet not the image that the
            // commit names: one that an earlier life of the process left behind.
            return Err(damaged(holt_codec::Error::Misplaced {
                what: "checksum of the image",
                expected: u64::from(mapping.checksum),
                found: u64::from(header.checksum),
            }));
        }
        Ok(())
    }

    /// Lets the disk fetch the extent of an image.
    pub(crate) fn will_need(&self, mapping: &Mapping) {
        self.file.will_need(mapping.offset, IMAGE_HEADER_LEN as u64 + u64::from(mapping.len));
    }

    /// Checks that the bytes `from..to` are zeros; `Ok(Some(offset))` names one that is not.
    pub(crate) fn first_nonzero(&self, from: u64, to: u64) -> Result<Option<u64>, Error> {
        let mut buf = [0; UNIT];
        let mut at = from;
        while at < to {
            let n = UNIT.min((to - at) as usize);
            self.read_exact(&mut buf[..n], at)?;
            if let Some(i) = buf[..n].iter().position(|&byte| byte != 0) {
                return Ok(Some(at + i as u64));
            }
            at += n as u64;
        }
        Ok(None)
    }

    fn read_exact(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(buf, offset).map_err(|error| place(error, offset))
    }
}

/// The error of a read at `offset`.
fn place(error: std::io::Error, offset: u64) -> Error {
    let placed = std::io::Error::new(error.kind(), format!("{error}, at byte {offset}"));
    io("reading", DATA_FILE)(placed)
}

/// The header of the image that a mapping names.
fn header_of(mapping: &Mapping) -> ImageHeader {
    ImageHeader {
        object: mapping.object,
        generation: mapping.generation,
        len: mapping.len,
        checksum: mapping.checksum,
    }
}
