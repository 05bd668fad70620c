//! Opening and creating: evidence gathered, the table asked, the store built.
//!
//! Opening reads and never writes. See [`recovery`](super::recovery) for the decisions.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Range;

use holt_codec::{
    Commit, DbId, EXTENT_UNIT, FIRST_EXTENT, Manifest, ManifestEnd, ManifestHeader, Mark,
};

use super::data_file::{DATA_FILE, DataFile};
use super::extents::Extents;
use super::handle::Store;
use super::manifest_file::{MANIFEST_TMP, ManifestFile, manifest_name, manifest_number, read_file};
use super::recovery::{DataEvidence, Decision, Evidence, ManifestEvidence, MarkEvidence, decide};
use super::state::{State, units_of};
use super::writer::{Marks, Used, Writer};
use super::{ObjectId, io};
use crate::disk::{Access, Disk};
use crate::error::{Damage, Error};
use crate::log::mark_file;
use crate::log::names::MARK;
use crate::sync::{Arc, Mutex, RwLock};

/// The file that a database's lock is taken on: no part of the store, and in nobody's way.
pub const LOCK_FILE: &str = "LOCK";

type Marking = [Result<Mark, holt_codec::Error>; 2];

/// Everything that was found.
struct Found<D: Disk> {
    /// Numbers of the manifest files, ascending.
    numbers: Vec<u64>,
    /// A manifest under its passing name is there.
    tmp: bool,
    /// A file that is not the store's own, nor the lock.
    other: Option<String>,
    newest: Option<Result<Newest, (u64, Damage)>>,
    data: Option<FoundData<D>>,
}

/// The manifest of the highest number, and what it adds up to.
struct Newest {
    manifest: Manifest,
    state: State,
    /// The extents of the state.
    extents: Extents,
}

struct FoundData<D: Disk> {
    file: DataFile<D::File>,
    len: u64,
    marks: Marking,
}

impl<D: Disk> FoundData<D> {
    /// The mark of the newer commit.
    fn best(&self) -> Option<&Mark> {
        self.marks.iter().flatten().max_by_key(|mark| mark.sequence)
    }
}

pub(super) fn open<D: Disk>(disk: Arc<D>, access: Access) -> Result<Store<D>, Error> {
    let found = find(&*disk, access)?;
    let evidence = weigh(&found);
    let row = decide(&evidence);
    let Decision::Open { proven } = row.decision else {
        return Err(refusal(row.decision, found));
    };
    let (Some(Ok(newest)), Some(data)) = (found.newest, found.data) else {
        unreachable!("the table opens only with a manifest and a data file")
    };
    let older: Vec<u64> = found.numbers.iter().rev().skip(1).copied().collect();
    let mut store = build(disk, access, newest, &older, data, proven)?;
    if found.tmp
        && let Ok(writer) = store.writer.get_mut()
    {
        writer.stale.insert(MANIFEST_TMP.to_owned());
    }
    Ok(store)
}

/// Lists and reads everything that the decision rests on.
fn find<D: Disk>(disk: &D, access: Access) -> Result<Found<D>, Error> {
    let names = disk.list().map_err(io("listing the directory", ""))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| manifest_number(name)).collect();
    numbers.sort_unstable();
    // A creation that did not get to its end leaves a mark of a log without segments.
    let unused = names.iter().any(|name| name == MARK) && !mark_file::is_used(disk)?;
    let own = |name: &str| {
        [DATA_FILE, MANIFEST_TMP, LOCK_FILE].contains(&name)
            || manifest_number(name).is_some()
            || (unused && name == MARK)
    };
    let other = names.iter().find(|name| !own(name)).cloned();
    let tmp = names.iter().any(|name| name == MANIFEST_TMP);
    let newest = numbers.last().map(|&number| read_newest(disk, number)).transpose()?;
    let data = if names.iter().any(|name| name == DATA_FILE) {
        let file = DataFile::open(disk, access)?;
        Some(FoundData { len: file.len()?, marks: file.read_marks()?, file })
    } else {
        None
    };
    Ok(Found { numbers, tmp, other, newest, data })
}

fn read_newest<D: Disk>(disk: &D, number: u64) -> Result<Result<Newest, (u64, Damage)>, Error> {
    Ok(read_manifest(disk, number)?.and_then(|manifest| {
        let start = holt_codec::MANIFEST_HEADER_LEN as u64;
        let (state, _) = add_up(&manifest).map_err(|damage| (start, damage))?;
        let extents = extents_of(&state).map_err(|damage| (start, damage))?;
        Ok(Newest { manifest, state, extents })
    }))
}

fn read_manifest<D: Disk>(disk: &D, number: u64) -> Result<Result<Manifest, (u64, Damage)>, Error> {
    let bytes = read_file(disk, &manifest_name(number))?;
    Ok(Manifest::decode(&bytes).map_err(|(offset, error)| (offset, Damage::Bytes(error))).and_then(
        |manifest| match manifest.header.number {
            found if found == number => Ok(manifest),
            found => Err((0, Damage::Number { expected: number, found })),
        },
    ))
}

/// The state after the last commit, and the one before it if the file has it.
pub(super) fn add_up(manifest: &Manifest) -> Result<(State, Option<State>), Damage> {
    let (last, before) = manifest.commits.split_last().expect("a manifest has a base");
    let mut state = State::default();
    for commit in before {
        state.apply(commit)?;
    }
    let previous = (!before.is_empty()).then(|| state.clone());
    state.apply(last)?;
    Ok((state, previous))
}

/// Takes the extents of a state; every one of them has to be alone.
pub(super) fn extents_of(state: &State) -> Result<Extents, Damage> {
    let mut by_offset: Vec<_> = state.mapping.values().collect();
    by_offset.sort_unstable_by_key(|mapping| mapping.offset);
    let mut extents = Extents::new(first_unit());
    for mapping in by_offset {
        extents
            .take(units_of(mapping))
            .map_err(|_| Damage::Overlap { object: ObjectId(mapping.object) })?;
    }
    Ok(extents)
}

/// The first unit behind the marks.
fn first_unit() -> u64 {
    FIRST_EXTENT / EXTENT_UNIT
}

/// Names what was found in the terms of the table.
fn weigh<D: Disk>(found: &Found<D>) -> Evidence {
    let newest = match &found.newest {
        Some(Ok(newest)) => Some(newest),
        _ => None,
    };
    let manifest = match &found.newest {
        None => ManifestEvidence::Absent,
        Some(Err((_, Damage::Bytes(holt_codec::Error::Version { .. })))) => ManifestEvidence::Newer,
        Some(Err(_)) => ManifestEvidence::Damaged,
        Some(Ok(newest)) if newest.manifest.end == ManifestEnd::Clean => ManifestEvidence::Clean,
        Some(Ok(_)) => ManifestEvidence::Torn,
    };
    let data = match &found.data {
        None => DataEvidence::Absent,
        Some(data) => weigh_data(data),
    };
    let mark = match (newest, found.data.as_ref().and_then(FoundData::best)) {
        (Some(newest), Some(mark)) => compare(&newest.manifest, mark),
        _ => MarkEvidence::None,
    };
    let reaches = match (newest, &found.data) {
        (Some(newest), Some(data)) => newest.extents.end() * EXTENT_UNIT <= data.len,
        _ => true,
    };
    Evidence { manifest, data, mark, reaches, others: found.other.is_some() }
}

fn weigh_data<D: Disk>(data: &FoundData<D>) -> DataEvidence {
    let newer = |mark: &Result<Mark, _>| matches!(mark, Err(holt_codec::Error::Version { .. }));
    match data.best() {
        None if data.marks.iter().all(newer) => DataEvidence::Newer,
        None if data.len <= FIRST_EXTENT => DataEvidence::Bare,
        None => DataEvidence::Unmarked,
        Some(mark) if data.len <= FIRST_EXTENT && mark.sequence == 0 => DataEvidence::Bare,
        Some(_) => DataEvidence::Marked,
    }
}

fn compare(manifest: &Manifest, mark: &Mark) -> MarkEvidence {
    let newest = manifest.commits.last().expect("a manifest has a base");
    if mark.db != manifest.header.db {
        return MarkEvidence::Foreign;
    }
    if mark.sequence > newest.sequence {
        return MarkEvidence::Ahead;
    }
    let at = manifest.commits.iter().position(|commit| commit.sequence == mark.sequence);
    let Some(at) = at else { return MarkEvidence::Behind };
    let known = (manifest.header.number, manifest.checksums[at], manifest.commits[at].generation);
    if known != (mark.manifest, mark.record_checksum, mark.generation) {
        MarkEvidence::Other
    } else if mark.sequence == newest.sequence {
        MarkEvidence::Same
    } else {
        MarkEvidence::Behind
    }
}

/// The error of a decision not to open, with the place and the values that led to it.
fn refusal<D: Disk>(decision: Decision, found: Found<D>) -> Error {
    let name = found.numbers.last().map(|&n| manifest_name(n)).unwrap_or_default();
    let data = || DATA_FILE.to_owned();
    let mark = found.data.as_ref().and_then(FoundData::best).copied();
    let damaged = |file, offset, what| Error::Damaged { file, offset, what };
    match (decision, found.newest) {
        (Decision::NoStore, _) => Error::NoStore,
        (Decision::ManifestMissing, _) => Error::Missing {
            file: "MANIFEST-*".to_owned(),
            why: match found.other {
                Some(_) => "other files are there, so this directory is not empty",
                None => "the data file holds images",
            },
        },
        (Decision::DataMissing, _) => {
            Error::Missing { file: data(), why: "there is a manifest of its content" }
        }
        (Decision::NewerManifest, Some(Err((_, Damage::Bytes(error))))) => {
            Error::Format { file: name, error }
        }
        (Decision::ManifestDamaged, Some(Err((offset, what)))) => damaged(name, offset, what),
        (Decision::ForeignData, Some(Ok(newest))) if let Some(mark) = mark => {
            Error::Foreign { file: data(), expected: newest.manifest.header.db, found: mark.db }
        }
        (Decision::LostCommit, Some(Ok(newest))) if let Some(mark) = mark => {
            let what = Damage::LostCommit { found: newest.state.sequence, durable: mark.sequence };
            damaged(name, newest.manifest.end_offset, what)
        }
        (Decision::OtherCommit, Some(Ok(newest))) if let Some(mark) = mark => {
            let what = Damage::OtherCommit { sequence: mark.sequence };
            damaged(name, newest.manifest.end_offset, what)
        }
        (Decision::DataCutShort, Some(Ok(newest))) => {
            let last = newest.state.mapping.values().max_by_key(|mapping| mapping.offset);
            let last = last.expect("without extents no file is too short");
            let object = ObjectId(last.object);
            let what = Damage::CutShort { object, needed: last.end() };
            damaged(data(), found.data.map_or(0, |data| data.len), what)
        }
        (Decision::NewerData | Decision::NoMark, _)
            if let Some([Err(error), _]) = found.data.as_ref().map(|data| data.marks.clone()) =>
        {
            if decision == Decision::NewerData {
                Error::Format { file: data(), error }
            } else {
                damaged(data(), 0, Damage::NoMark(error))
            }
        }
        (decision, _) => unreachable!("{decision:?} rests on evidence that is there"),
    }
}

/// Puts the store together from what the table let pass.
fn build<D: Disk>(
    disk: Arc<D>,
    access: Access,
    newest: Newest,
    older: &[u64],
    data: FoundData<D>,
    proven: bool,
) -> Result<Store<D>, Error> {
    let Newest { manifest, state, mut extents } = newest;
    let mark = *data.best().expect("the table opens only with a mark");
    let held = match access {
        Access::Read => Vec::new(),
        Access::ReadWrite if proven => Vec::new(),
        Access::ReadWrite => hold(&*disk, &manifest, older, &mark, &mut extents)?,
    };
    let clean = proven && manifest.end == ManifestEnd::Clean;
    let appendable = if clean && access == Access::ReadWrite {
        Some(ManifestFile::reopen(&*disk, &manifest)?)
    } else {
        None
    };
    let writer = Writer {
        file_units: data.len / EXTENT_UNIT,
        extents,
        manifest: appendable,
        committed_in: (manifest.header.number, last_checksum(&manifest)),
        used: used_by(&manifest),
        held,
        kept_units: 0,
        out_of_use: 0,
        stale: older.iter().map(|&number| manifest_name(number)).collect(),
        marks: marks_of(&data.marks),
        failed_syncs: 0,
        last_checkpoint: None,
        failure: None,
    };
    Ok(Store {
        disk,
        db: manifest.header.db,
        access,
        data: data.file,
        current: RwLock::new(state),
        kept: RwLock::default(),
        figures: Mutex::new(writer.figures()),
        writer: Mutex::new(writer),
    })
}

fn last_checksum(manifest: &Manifest) -> u32 {
    *manifest.checksums.last().expect("a manifest has a base")
}

fn used_by(manifest: &Manifest) -> Used {
    let last = manifest.commits.last().expect("a manifest has a base");
    Used { number: manifest.header.number, sequence: last.sequence, generation: last.generation }
}

/// Which slot a crash leaves as it is: the one of the older mark, since the newer was only
/// written when the older was durable; or the only one that can be read.
fn marks_of(marks: &Marking) -> Marks {
    let durable_slot = match marks {
        [Ok(zero), Ok(one)] => usize::from(one.sequence < zero.sequence),
        [Err(_), _] => 1,
        [_, Err(_)] => 0,
    };
    let newest = marks.iter().flatten().map(|mark| mark.sequence).max().unwrap_or(0);
    Marks { durable_slot, unsynced: false, sequence: newest }
}

/// Takes the extents of every older state that a power cut could still bring back, for as long
/// as nothing newer is known to be durable.
///
/// A record is known to be durable if a mark names it or a later one, or if another record
/// stands behind it in its file. So, from the newest back, states are held until one is known.
fn hold<D: Disk>(
    disk: &D,
    newest: &Manifest,
    older: &[u64],
    mark: &Mark,
    extents: &mut Extents,
) -> Result<Vec<Range<u64>>, Error> {
    let mut held = Vec::new();
    let mut hold_state = |state: &State| {
        for mapping in state.mapping.values() {
            // What a newer state took over was free when that one was made, so this older one
            // cannot come back.
            held.extend(extents.take_free_parts(units_of(mapping)));
        }
    };
    let mut before: Option<Manifest> = None;
    let mut older = older.iter();
    loop {
        let manifest = before.as_ref().unwrap_or(newest);
        let number = manifest.header.number;
        let damaged =
            |number, offset, what| Error::Damaged { file: manifest_name(number), offset, what };
        let (last, previous) = add_up(manifest).map_err(|what| damaged(number, 0, what))?;
        hold_state(&last);
        if let Some(previous) = previous {
            hold_state(&previous);
            return Ok(held);
        }
        let Some(&number) = older.next() else { return Ok(held) };
        if last.sequence <= mark.sequence {
            return Ok(held);
        }
        let read = read_manifest(disk, number)?;
        before = Some(read.map_err(|(offset, what)| damaged(number, offset, what))?);
    }
}

/// Creates a database with nothing in it.
pub(super) fn create<D: Disk>(disk: Arc<D>, log_address: u64) -> Result<Store<D>, Error> {
    let found = find(&*disk, Access::Read)?;
    if decide(&weigh(&found)).decision != Decision::NoStore {
        let file = match (found.numbers.last(), found.other) {
            (Some(&number), _) => manifest_name(number),
            (None, Some(other)) => other,
            (None, None) => DATA_FILE.to_owned(),
        };
        return Err(Error::Occupied { file });
    }
    // A creation that did not get to its end left files without content.
    drop(found);
    for name in [DATA_FILE, MARK] {
        match disk.remove(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io("removing", name)(error));
            }
            _ => {}
        }
    }
    let entropy = disk.entropy().map_err(io("drawing an identity", ""))?;
    let mut db = DbId([0; 16]);
    let mut salt = [0; 16];
    db.0.copy_from_slice(&entropy[..16]);
    salt.copy_from_slice(&entropy[16..]);

    // These files' names have to be durable before a manifest counts on them.
    let data = DataFile::create(&*disk, db)?;
    mark_file::create(&*disk, db)?;
    disk.sync_dir().map_err(io("syncing the directory", ""))?;
    let base = Commit {
        base: true,
        sequence: 1,
        generation: 1,
        log_address,
        meta: Vec::new(),
        changed: Vec::new(),
        freed: Vec::new(),
    };
    let header = ManifestHeader { db, number: 1, predecessor: 0, salt };
    let manifest = ManifestFile::create(&*disk, header, &base).map_err(|not_born| {
        if not_born.maybe_named {
            // The next process must not take for a database what a power cut may still undo.
            let _ = disk.remove(&manifest_name(1));
        }
        not_born.error
    })?;
    let mut state = State::default();
    state.apply(&base).expect("a base frees nothing");
    let writer = Writer {
        extents: Extents::new(first_unit()),
        file_units: first_unit(),
        committed_in: (manifest.number(), manifest.last_checksum()),
        manifest: Some(manifest),
        used: Used { number: 1, sequence: 1, generation: 1 },
        held: Vec::new(),
        kept_units: 0,
        out_of_use: 0,
        stale: BTreeSet::new(),
        marks: Marks { durable_slot: 0, unsynced: false, sequence: 0 },
        failed_syncs: 0,
        last_checkpoint: None,
        failure: None,
    };
    Ok(Store {
        disk,
        db,
        access: Access::ReadWrite,
        data,
        current: RwLock::new(state),
        kept: RwLock::default(),
        figures: Mutex::new(writer.figures()),
        writer: Mutex::new(writer),
    })
}
