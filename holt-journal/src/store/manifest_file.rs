//! Manifest files: their names, their birth, and the one writer that appends.
//!
//! - A file has its final name only when its header and first record are durable.
//! - [`ManifestFile::append`] takes the writer by value and gives it back only on success: a
//!   file whose last write or sync failed cannot be appended to.

use holt_codec::{Commit, MANIFEST_HEADER_LEN, Manifest, ManifestHeader, RecordSite};

use super::io;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::Error;

/// The name under which a manifest is written before it gets its own.
pub(crate) const MANIFEST_TMP: &str = "MANIFEST.tmp";

const PREFIX: &str = "MANIFEST-";
const DIGITS: usize = 16;

/// The name of the manifest file of a number.
pub(crate) fn manifest_name(number: u64) -> String {
    format!("{PREFIX}{number:0DIGITS$x}")
}

/// The number in a manifest file's name; `None` for any other name.
pub(crate) fn manifest_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let legal =
        digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    legal.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Reads a whole manifest file.
pub(crate) fn read_file<D: Disk>(disk: &D, name: &str) -> Result<Vec<u8>, Error> {
    let file = disk.open(name, Access::Read).map_err(io("opening", name))?;
    let len = file.len().map_err(io("measuring", name))?;
    let mut bytes = Vec::new();
    let reserved = usize::try_from(len).ok().and_then(|len| bytes.try_reserve_exact(len).ok());
    reserved.ok_or_else(|| io("reading", name)(std::io::ErrorKind::OutOfMemory.into()))?;
    bytes.resize(len as usize, 0);
    file.read_exact_at(&mut bytes, 0).map_err(io("reading", name))?;
    Ok(bytes)
}

/// Why a new manifest file did not come to be.
#[derive(Debug)]
pub(crate) struct NotBorn {
    pub(crate) error: Error,
    /// Whether the file may have got its name: then, after a crash, its commit may count.
    pub(crate) maybe_named: bool,
}

/// A manifest file in which every record is durable.
#[derive(Debug)]
pub(crate) struct ManifestFile<F> {
    file: F,
    header: ManifestHeader,
    /// Where the next record goes.
    end: u64,
    /// Checksum of the last record.
    last: u32,
}

impl<F: DiskFile> ManifestFile<F> {
    /// Writes a new file with this base under a passing name, syncs it, names it, and syncs
    /// the directory.
    pub(crate) fn create<D: Disk<File = F>>(
        disk: &D,
        header: ManifestHeader,
        base: &Commit,
    ) -> Result<ManifestFile<F>, NotBorn> {
        let nameless = |error| NotBorn { error, maybe_named: false };
        let named = |error| NotBorn { error, maybe_named: true };
        let mut bytes = header.encode().to_vec();
        let offset = MANIFEST_HEADER_LEN as u64;
        let site = RecordSite { header: &header, offset, previous: 0 };
        let last = base.encode(site, &mut bytes).map_err(|e| nameless(Error::Encoding(e)))?;

        match disk.remove(MANIFEST_TMP) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(nameless(io("removing", MANIFEST_TMP)(e)));
            }
            _ => {}
        }
        let file = match Self::write_tmp(disk, &bytes) {
            Ok(file) => file,
            Err(error) => {
                // Only to give its space back; the next attempt tries again.
                let _ = disk.remove(MANIFEST_TMP);
                return Err(nameless(error));
            }
        };
        let name = manifest_name(header.number);
        disk.rename(MANIFEST_TMP, &name).map_err(io("naming", &name)).map_err(named)?;
        disk.sync_dir().map_err(io("syncing the directory", "")).map_err(named)?;
        Ok(ManifestFile { file, header, end: bytes.len() as u64, last })
    }

    fn write_tmp<D: Disk<File = F>>(disk: &D, bytes: &[u8]) -> Result<F, Error> {
        let file = disk.create(MANIFEST_TMP).map_err(io("creating", MANIFEST_TMP))?;
        file.write_bytes_at(bytes, 0).map_err(io("writing", MANIFEST_TMP))?;
        file.sync_data().map_err(io("syncing", MANIFEST_TMP))?;
        Ok(file)
    }

    /// Opens a file to append to. The caller has read it, found it clean, and knows that its
    /// last record is durable.
    pub(crate) fn reopen<D: Disk<File = F>>(
        disk: &D,
        manifest: &Manifest,
    ) -> Result<ManifestFile<F>, Error> {
        let name = manifest_name(manifest.header.number);
        let file = disk.open(&name, Access::ReadWrite).map_err(io("opening", &name))?;
        let last = manifest.checksums.last().copied().unwrap_or(0);
        Ok(ManifestFile { file, header: manifest.header, end: manifest.end_offset, last })
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    /// The number in the file's name.
    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    /// Checksum of the last record.
    pub(crate) fn last_checksum(&self) -> u32 {
        self.last
    }

    /// Appends the record of a commit and syncs it.
    ///
    /// # Errors
    ///
    /// The record may or may not be durable. An error of encoding touches no file.
    pub(crate) fn append(mut self, commit: &Commit) -> Result<ManifestFile<F>, Error> {
        let mut bytes = Vec::new();
        let site = RecordSite { header: &self.header, offset: self.end, previous: self.last };
        let last = commit.encode(site, &mut bytes).map_err(Error::Encoding)?;
        let name = manifest_name(self.header.number);
        self.file.write_bytes_at(&bytes, self.end).map_err(io("writing", &name))?;
        self.file.sync_data().map_err(io("syncing", &name))?;
        self.end += bytes.len() as u64;
        self.last = last;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_its_number_and_no_other_name_holds_one() {
        for number in [1, 0xABC, u64::MAX] {
            assert_eq!(manifest_number(&manifest_name(number)), Some(number));
        }
        for name in [
            "MANIFEST",
            "MANIFEST-",
            "MANIFEST.tmp",
            "MANIFEST-1",
            "MANIFEST-00000000000000AB",
            "MANIFEST-+00000000000000a",
            "MANIFEST-00000000000000001",
            "manifest-0000000000000001",
        ] {
            assert_eq!(manifest_number(name), None, "{name}");
        }
    }
}
