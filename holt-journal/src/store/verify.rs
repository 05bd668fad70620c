//! Verification: every byte of every file of the store that means something.
//!
//! | bytes | checked by |
//! |---|---|
//! | marks, and the zeros behind them | their checksums; that they name a commit of this manifest |
//! | manifest | its checksums; that it leads to the state in memory |
//! | marks of the log, and the zeros behind them | their checksums |
//! | live extents | checksum, object, generation; zeros up to the unit's end |
//! | the rest of the data file | nothing: no state leads there |
//! | units taken and free | that no two extents overlap and nothing has leaked |

use holt_codec::{EXTENT_UNIT, IMAGE_HEADER_LEN, MARK_LEN, Manifest, ManifestEnd, Mapping};

use super::ObjectId;
use super::data_file::DATA_FILE;
use super::handle::Store;
use super::manifest_file::{MANIFEST_TMP, manifest_name, manifest_number, read_file};
use super::open::extents_of;
use super::writer::Writer;
use super::{io, state::State};
use crate::disk::Disk;
use crate::error::{Damage, Error};
use crate::log::mark_file;
use crate::log::names::MARK;

/// Something that a verification found.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use holt_journal::{disk::SimDisk, store::{Fault, Store}};
///
/// let store = Store::create(Arc::new(SimDisk::new(1)), 4096)?;
/// let mut faults = Vec::new();
/// store.verify(&mut |fault| match fault {
///     Fault::Residue { .. } => {} // goes with the next checkpoint
///     other => faults.push(other),
/// });
/// assert!(faults.is_empty());
/// # Ok::<(), holt_journal::Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Something that counts is damaged or cannot be read.
    #[error(transparent)]
    Broken(#[from] Error),
    /// What an interrupted process leaves, or damage in a place that does not count at the
    /// moment. The next checkpoint does away with it, or with a mark of the log a later segment.
    #[error("{file}, from byte {offset}: {what}, to be replaced by later writing")]
    Residue {
        /// The file's name.
        file: String,
        /// Where it begins, in bytes.
        offset: u64,
        /// What it looks like.
        what: String,
    },
    /// Space that no object, no held state and no hole accounts for.
    #[error("{taken} units of {DATA_FILE} are taken, {explained} are accounted for")]
    Leak {
        /// Units of 4 KiB that are taken.
        taken: u64,
        /// Units that something is known to take.
        explained: u64,
    },
}

/// Images that the disk may fetch together.
const AHEAD: usize = 32;

impl<D: Disk> Store<D> {
    /// Reads all that the store holds and reports whatever is not as it should be. Reports
    /// nothing for a sound store whose last commit was followed by no crash.
    ///
    /// Changes nothing. Waits for a checkpoint that runs when it begins; later ones, and reads,
    /// go on meanwhile. An object that is replaced meanwhile is checked before or after.
    pub fn verify(&self, report: &mut dyn FnMut(Fault)) {
        let objects = match self.writer_even_if_closed() {
            Ok(writer) => {
                let current = self.current();
                self.verify_space(&writer, &current, report);
                self.verify_marks(&writer, &current, report);
                self.verify_manifests(&writer, &current, report);
                self.verify_log_marks(report);
                current.mapping.keys().map(|&object| ObjectId(object)).collect::<Vec<_>>()
            }
            Err(error) => {
                report(error.into());
                self.objects().into_iter().map(|(object, _)| object).collect()
            }
        };
        let mut image = Vec::new();
        for (at, object) in objects.iter().enumerate() {
            if at.is_multiple_of(AHEAD) {
                self.will_need(&objects[at..objects.len().min(at + AHEAD)]);
            }
            let current = self.current();
            if let Some(mapping) = current.mapping.get(&object.0)
                && let Err(error) = self.verify_extent(mapping, &mut image)
            {
                drop(current);
                report(error.into());
            }
        }
    }

    fn verify_extent(&self, mapping: &Mapping, image: &mut Vec<u8>) -> Result<(), Error> {
        self.data.read_image(self.db, mapping, image)?;
        let used = mapping.offset + IMAGE_HEADER_LEN as u64 + u64::from(mapping.len);
        self.verify_zeros(used, mapping.end())
    }

    fn verify_zeros(&self, from: u64, to: u64) -> Result<(), Error> {
        match self.data.first_nonzero(from, to)? {
            None => Ok(()),
            Some(offset) => {
                let what = Damage::Padding;
                Err(Error::Damaged { file: DATA_FILE.to_owned(), offset, what })
            }
        }
    }

    fn verify_space(
        &self,
        writer: &Writer<D::File>,
        current: &State,
        report: &mut dyn FnMut(Fault),
    ) {
        if let Err(what) = extents_of(current) {
            let file = manifest_name(writer.committed_in.0);
            report(Error::Damaged { file, offset: 0, what }.into());
        }
        let live: u64 = current.mapping.values().map(Mapping::units).sum();
        let figures = writer.figures();
        let (taken, explained) = (figures.taken_units, live + figures.held_units);
        if taken != explained {
            report(Fault::Leak { taken, explained });
        }
        match self.data.len() {
            Err(error) => report(error.into()),
            Ok(len) => {
                let last = current.mapping.values().max_by_key(|mapping| mapping.offset);
                if let Some(last) = last.filter(|last| last.end() > len) {
                    let object = ObjectId(last.object);
                    let what = Damage::CutShort { object, needed: last.end() };
                    let file = DATA_FILE.to_owned();
                    report(Error::Damaged { file, offset: len, what }.into());
                }
            }
        }
    }

    fn verify_marks(
        &self,
        writer: &Writer<D::File>,
        current: &State,
        report: &mut dyn FnMut(Fault),
    ) {
        let marks = match self.data.read_marks() {
            Ok(marks) => marks,
            Err(error) => return report(error.into()),
        };
        let broken = |offset, what| Error::Damaged { file: DATA_FILE.to_owned(), offset, what };
        for (slot, mark) in marks.into_iter().enumerate() {
            let offset = slot as u64 * EXTENT_UNIT;
            match mark {
                Err(error) => {
                    let (file, what) = (DATA_FILE.to_owned(), error.to_string());
                    report(Fault::Residue { file, offset, what });
                }
                Ok(mark) if mark.db != self.db => {
                    let (file, found) = (DATA_FILE.to_owned(), mark.db);
                    report(Error::Foreign { file, expected: self.db, found }.into());
                }
                Ok(mark) if mark.sequence > current.sequence => {
                    let (found, durable) = (current.sequence, mark.sequence);
                    report(broken(offset, Damage::LostCommit { found, durable }).into());
                }
                Ok(mark)
                    if mark.sequence == current.sequence
                        && (mark.manifest, mark.record_checksum) != writer.committed_in =>
                {
                    let sequence = mark.sequence;
                    report(broken(offset, Damage::OtherCommit { sequence }).into());
                }
                Ok(_) => {}
            }
            let zeros = self.verify_zeros(offset + MARK_LEN as u64, offset + EXTENT_UNIT);
            if let Err(error) = zeros {
                report(error.into());
            }
        }
    }

    fn verify_log_marks(&self, report: &mut dyn FnMut(Fault)) {
        match mark_file::unreadable(&*self.disk) {
            Err(error) => report(error.into()),
            Ok(broken) => {
                for (offset, error) in broken {
                    let (file, what) = (MARK.to_owned(), error.to_string());
                    report(Fault::Residue { file, offset, what });
                }
            }
        }
    }

    fn verify_manifests(
        &self,
        writer: &Writer<D::File>,
        current: &State,
        report: &mut dyn FnMut(Fault),
    ) {
        let names = match self.disk.list().map_err(io("listing the directory", "")) {
            Ok(names) => names,
            Err(error) => return report(error.into()),
        };
        let counts = manifest_name(writer.committed_in.0);
        for file in names {
            let residue =
                file == MANIFEST_TMP || (manifest_number(&file).is_some() && file != counts);
            if residue {
                let what = "a manifest that does not count".to_owned();
                report(Fault::Residue { file, offset: 0, what });
            }
        }
        let bytes = match read_file(&*self.disk, &counts) {
            Ok(bytes) => bytes,
            Err(error) => return report(error.into()),
        };
        match Manifest::decode(&bytes) {
            Err((offset, error)) => {
                let what = Damage::Bytes(error);
                report(Error::Damaged { file: counts, offset, what }.into());
            }
            Ok(manifest) => {
                if let Err(what) = leads_to(&manifest, writer.committed_in.1, current) {
                    let (file, offset) = (counts.clone(), manifest.end_offset);
                    report(Error::Damaged { file, offset, what }.into());
                }
                if let ManifestEnd::Torn { why } = manifest.end {
                    let (offset, what) = (manifest.end_offset, why.to_string());
                    report(Fault::Residue { file: counts, offset, what });
                }
            }
        }
    }
}

/// Checks that the file's commits up to the current one, which has this checksum, add up to
/// the current state. One behind it may have failed without being undone.
fn leads_to(manifest: &Manifest, checksum: u32, current: &State) -> Result<(), Damage> {
    let at = manifest.commits.iter().position(|commit| commit.sequence == current.sequence);
    let Some(at) = at else {
        let found = manifest.commits.last().map_or(0, |commit| commit.sequence);
        return Err(Damage::LostCommit { found, durable: current.sequence });
    };
    let mut state = State::default();
    for commit in &manifest.commits[..=at] {
        state.apply(commit)?;
    }
    if state != *current || manifest.checksums[at] != checksum {
        return Err(Damage::OtherCommit { sequence: current.sequence });
    }
    Ok(())
}
