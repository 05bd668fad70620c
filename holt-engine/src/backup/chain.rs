//! The archives of a backup, and which of them follow each other.
//!
//! | name | holds |
//! |---|---|
//! | `full-<version>` | everything up to the version |
//! | `changes-<version>-<version>` | what changed after the first, up to the second |
//! | `backup.tmp` | one in the making; of no account |
//!
//! Versions are 16 hexadecimal digits. A file gets its name when its content is durable, so every other name
//! than the last stands for a whole archive. The backup is the newest of everything, and the changes that
//! follow it without a gap. Changes that go further, but follow nothing that is there, say that a link was lost.

use holt_codec::{ARCHIVE_HEADER_LEN, ArchiveError, ArchiveHeader, DbId};
use holt_journal::disk::{Access, Disk, DiskFile};

use super::file::failed;
use crate::error::Error;

/// Name of an archive in the making.
pub(super) const MAKING: &str = "backup.tmp";

/// One archive of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) header: ArchiveHeader,
}

/// The archives of a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Those that make up the backup, in the order in which they are to be applied.
    pub(super) parts: Vec<Part>,
    /// One that goes further, but does not follow them.
    loose: Option<Part>,
}

/// The name of an archive with this header.
pub(super) fn name(header: &ArchiveHeader) -> String {
    match header.after {
        0 => format!("full-{:016x}", header.up_to),
        after => format!("changes-{after:016x}-{:016x}", header.up_to),
    }
}

/// Reads the headers of the archives in a directory.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::Archive`] for a file with a name of an archive that is none; [`Error::WrongArchive`] for one under
/// the name of another, or of another database than the others.
pub(super) fn chain<D: Disk>(disk: &D) -> Result<Chain, Error> {
    let mut parts = Vec::new();
    let mut db: Option<DbId> = None;
    for listed in disk.list().map_err(failed("list", "the backup"))? {
        if !listed.starts_with("full-") && !listed.starts_with("changes-") {
            continue;
        }
        let header = header(disk, &listed)?;
        if name(&header) != listed {
            let what = format!("{listed} holds the archive {}", name(&header));
            return Err(Error::WrongArchive { what });
        }
        if *db.get_or_insert(header.db) != header.db {
            let what = format!("{listed} is of another database than the others");
            return Err(Error::WrongArchive { what });
        }
        parts.push(Part { name: listed, header });
    }
    let full = parts.iter().filter(|part| !part.header.is_of_changes());
    let Some(mut last) = full.max_by_key(|part| part.header.up_to) else {
        return match parts.first() {
            None => Ok(Chain::default()),
            Some(part) => Ok(Chain { parts: Vec::new(), loose: Some(part.clone()) }),
        };
    };
    let mut chain = vec![last.clone()];
    // Each step ends at a higher version, so this comes to an end.
    let follows = |last: &Part, part: &&Part| {
        part.header.after == last.header.up_to && part.header.up_to > last.header.up_to
    };
    while let Some(next) =
        parts.iter().filter(|part| follows(last, part)).max_by_key(|part| part.header.up_to)
    {
        chain.push(next.clone());
        last = next;
    }
    let end = last.header.up_to;
    let loose = parts.iter().filter(|part| part.header.up_to > end);
    let loose = loose.min_by_key(|part| part.header.up_to).cloned();
    Ok(Chain { parts: chain, loose })
}

impl Chain {
    /// The database that the archives are of, if there are any.
    pub(super) fn db(&self) -> Option<DbId> {
        self.parts.first().or(self.loose.as_ref()).map(|part| part.header.db)
    }

    /// The archives, which are all that there should be.
    ///
    /// # Errors
    ///
    /// [`Error::WrongArchive`] if one is missing.
    pub(super) fn whole(self) -> Result<Vec<Part>, Error> {
        let Some(Part { name, header }) = self.loose else { return Ok(self.parts) };
        let end = self.parts.last().map_or_else(
            || "there is no archive of everything".to_owned(),
            |last| format!("the archives before it end with {}", last.name),
        );
        let what = format!(
            "{name} goes on from version {:016x}, but {end}: one is missing; put it back, or remove {name}",
            header.after
        );
        Err(Error::WrongArchive { what })
    }
}

fn header<D: Disk>(disk: &D, name: &str) -> Result<ArchiveHeader, Error> {
    let file = disk.open(name, Access::Read).map_err(failed("open", name))?;
    let mut bytes = [0; ARCHIVE_HEADER_LEN];
    let len = file.len().map_err(failed("measure", name))?;
    let len = usize::try_from(len).map_or(bytes.len(), |len| len.min(bytes.len()));
    file.read_exact_at(&mut bytes[..len], 0).map_err(failed("read", name))?;
    ArchiveHeader::decode(&bytes[..len])
        .map_err(|error| Error::Archive(ArchiveError::Damaged { offset: 0, error }))
}
