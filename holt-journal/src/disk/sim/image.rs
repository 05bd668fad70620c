//! The bytes of one simulated file: sparse pages that clones share until one of them writes.
//!
//! - No page lies wholly beyond the length, and bytes of a page beyond the length are zero.
//! - A page that is present takes space; one present without bytes is reserved and reads as
//!   zeros; one that is absent is a hole.

use std::collections::BTreeMap;

use crate::sync::Arc;

/// Bytes a page: the unit in which simulated space is taken.
pub(super) const PAGE: u64 = 4096;

type Page = [u8; PAGE as usize];

/// A file's length and pages.
#[derive(Clone, Default)]
pub(super) struct Image {
    len: u64,
    pages: BTreeMap<u64, Option<Arc<Page>>>,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of space that the file takes.
    pub(super) fn taken(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// Bytes of space that pages over `[offset, offset + len)` would take beyond those there.
    pub(super) fn missing(&self, offset: u64, len: u64) -> u64 {
        if len == 0 {
            return 0;
        }
        let (first, last) = (offset / PAGE, (offset + len - 1) / PAGE);
        (last - first + 1 - self.pages.range(first..=last).count() as u64) * PAGE
    }

    /// Copies what lies at `offset` and says how many bytes that were.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let end = self.len.min(offset.saturating_add(buf.len() as u64));
        let mut at = offset;
        while at < end {
            let within = (at % PAGE) as usize;
            let n = (PAGE as usize - within).min((end - at) as usize);
            let to = &mut buf[(at - offset) as usize..][..n];
            match self.pages.get(&(at / PAGE)) {
                Some(Some(page)) => to.copy_from_slice(&page[within..within + n]),
                _ => to.fill(0),
            }
            at += n as u64;
        }
        end.saturating_sub(offset) as usize
    }

    /// Puts `bytes` at `offset`, lengthening the file to their end.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.len = self.len.max(offset + bytes.len() as u64);
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let n = (PAGE as usize - within).min(rest.len());
            let page = self.pages.entry(at / PAGE).or_default();
            let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; PAGE as usize])));
            page[within..within + n].copy_from_slice(&rest[..n]);
            at += n as u64;
            rest = &rest[n..];
        }
    }

    /// As [`Image::write`] for the part of `bytes` that lies below the length.
    pub(super) fn write_within(&mut self, offset: u64, bytes: &[u8]) {
        let n = self.len.saturating_sub(offset).min(bytes.len() as u64) as usize;
        self.write_clipped(offset, &bytes[..n]);
    }

    fn write_clipped(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.write(offset, bytes);
        }
    }

    /// Cuts or lengthens the file.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE));
            let within = (len % PAGE) as usize;
            if within > 0
                && let Some(Some(page)) = self.pages.get_mut(&(len / PAGE))
            {
                Arc::make_mut(page)[within..].fill(0);
            }
        }
        self.len = len;
    }

    /// Lengthens the file to `len` if it is shorter.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Takes the pages over `[offset, offset + len)` and lengthens the file over them.
    pub(super) fn reserve(&mut self, offset: u64, len: u64) {
        if len > 0 {
            for page in offset / PAGE..=(offset + len - 1) / PAGE {
                self.pages.entry(page).or_default();
            }
            self.grow(offset + len);
        }
    }

    /// The whole content.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(&mut bytes, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_bytes_when_the_other_is_written() {
        let mut image = Image::default();
        image.write(4090, b"0123456789");
        let clone = image.clone();
        image.write(4095, b"xyz");
        assert_eq!(&clone.to_vec()[4090..], b"0123456789");
        assert_eq!(&image.to_vec()[4090..], b"01234xyz89");
    }

    #[test]
    fn bytes_cut_off_come_back_as_zeros() {
        let mut image = Image::default();
        image.write(0, &[7; 10_000]);
        image.set_len(5000);
        assert_eq!(image.taken(), 2 * PAGE);
        image.set_len(9000);
        let bytes = image.to_vec();
        assert!(bytes[..5000].iter().all(|&b| b == 7) && bytes[5000..].iter().all(|&b| b == 0));
    }

    #[test]
    fn space_is_counted_by_pages_that_were_written_or_reserved() {
        let mut image = Image::default();
        image.set_len(100 * PAGE);
        assert_eq!(image.taken(), 0);
        image.write(10 * PAGE - 1, b"ab");
        assert_eq!(image.taken(), 2 * PAGE);
        assert_eq!(image.missing(8 * PAGE, 4 * PAGE), 2 * PAGE);
        image.reserve(8 * PAGE, 4 * PAGE);
        assert_eq!((image.taken(), image.missing(8 * PAGE, 4 * PAGE)), (4 * PAGE, 0));
        assert_eq!(&image.to_vec()[10 * PAGE as usize - 2..][..4], b"\0ab\0");
    }

    #[test]
    fn a_read_ends_with_the_file() {
        let mut image = Image::default();
        image.write(0, b"abc");
        let mut buf = [1; 8];
        assert_eq!(image.read(&mut buf, 1), 2);
        assert_eq!(&buf[..3], b"bc\x01");
        assert_eq!(image.read(&mut buf, 3), 0);
        assert_eq!(image.read(&mut buf, u64::MAX), 0);
    }
}
