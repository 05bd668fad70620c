//! The manifest: which image of each object counts, commit by commit.
//!
//! A manifest file is a header and then records back to back. The first record is a *base*:
//! the whole mapping. Each later one is a *delta* to the state before it. A record is the
//! commit of a checkpoint: the moment it is on stable storage, its state counts.
//!
//! # The header of a file
//!
//! ```text
//!  offset  bytes  field
//!       0      8  magic "HOLTMANI"
//!       8      4  format version, 1
//!      12      4  CRC32 of all other bytes of the header
//!      16     16  database id
//!      32      8  number of this file, over 0
//!      40      8  number of the file that it replaces, 0 for the first
//!      48     16  salt, drawn for this file
//! ```
//!
//! # A record
//!
//! ```text
//!  offset  bytes  field
//!       0      4  CRC32 of: the header's bytes, the record's offset in the file (8 bytes),
//!                 the record's bytes from 4 to its end
//!       4      4  length of the record in bytes, a multiple of 8
//!       8      4  CRC32 of the record before, 0 in a base
//!      12      1  kind: 1 base, 2 delta
//!      13      3  zero
//!      16      8  sequence: 1 more than the record before
//!      24      8  generation: grows with every attempt to commit
//!      32      8  log address: replay starts here
//!      40      4  length of meta in bytes
//!      44      4  number of mappings
//!      48      4  number of freed objects, 0 in a base
//!      52      4  zero
//!      56   32·n  mappings, by ascending object id:
//!                   object 8 | generation 8 | offset 8 | length 4 | checksum 4
//!       …    8·n  freed object ids, ascending, none of them among the mappings
//!       …      …  meta, then zeros up to a multiple of 8
//! ```
//!
//! Integers are little endian. An extent begins at its mapping's offset in the data file, holds
//! the image's header and payload, and takes whole units of [`EXTENT_UNIT`] bytes.
//!
//! - A record is bound to its file, its place in it and the record before: bytes of another
//!   file or of another place never pass for one.
//! - A file is appended to only while every record in it is known to be durable. So at most
//!   the last record can be torn, and a valid record behind an invalid one proves damage.

use crc32fast::Hasher;

use crate::fields::{put, take, u32_at, u64_at};
use crate::{DbId, Error, IMAGE_HEADER_LEN, MAX_IMAGE};

/// Bytes of a manifest file's header.
pub const MANIFEST_HEADER_LEN: usize = 64;

/// Version of the manifest's format that this crate reads and writes.
pub const MANIFEST_VERSION: u32 = 1;

/// Bytes of the unit in which the data file is given out.
pub const EXTENT_UNIT: u64 = 4096;

/// Offset of the first extent in the data file; the two units before it hold the marks.
pub const FIRST_EXTENT: u64 = 2 * EXTENT_UNIT;

/// No number, sequence or generation is larger: counting up from one never gets there, and
/// whoever counts on need not look for the end of the range.
const MAX_COUNT: u64 = 1 << 62;

const MAGIC: [u8; 8] = *b"HOLTMANI";
const VERSION: usize = 8;
const HEADER_CHECKSUM: usize = 12;
const DB: usize = 16;
const NUMBER: usize = 32;
const PREDECESSOR: usize = 40;
const SALT: usize = 48;

const _: () = assert!(VERSION == MAGIC.len() && HEADER_CHECKSUM == VERSION + 4);
const _: () = assert!(DB == HEADER_CHECKSUM + 4 && NUMBER == DB + 16);
const _: () = assert!(PREDECESSOR == NUMBER + 8 && SALT == PREDECESSOR + 8);
const _: () = assert!(MANIFEST_HEADER_LEN == SALT + 16);

const CHECKSUM: usize = 0;
const LENGTH: usize = 4;
const PREVIOUS: usize = 8;
const KIND: usize = 12;
const SEQUENCE: usize = 16;
const GENERATION: usize = 24;
const LOG_ADDRESS: usize = 32;
const META_LEN: usize = 40;
const MAPPINGS: usize = 44;
const FREED: usize = 48;
const RESERVED: usize = 52;
const RECORD_HEADER_LEN: usize = 56;
const MAPPING_LEN: usize = 32;
const FREED_LEN: usize = 8;
const ALIGNMENT: usize = 8;

const _: () = assert!(LENGTH == CHECKSUM + 4 && PREVIOUS == LENGTH + 4 && KIND == PREVIOUS + 4);
const _: () = assert!(SEQUENCE == KIND + 4 && GENERATION == SEQUENCE + 8);
const _: () = assert!(LOG_ADDRESS == GENERATION + 8 && META_LEN == LOG_ADDRESS + 8);
const _: () = assert!(MAPPINGS == META_LEN + 4 && FREED == MAPPINGS + 4);
const _: () = assert!(RESERVED == FREED + 4 && RECORD_HEADER_LEN == RESERVED + 4);
const _: () = assert!(RECORD_HEADER_LEN.is_multiple_of(ALIGNMENT));
const _: () = assert!(MANIFEST_HEADER_LEN.is_multiple_of(ALIGNMENT));

const KIND_BASE: u8 = 1;
const KIND_DELTA: u8 = 2;

const WHAT_HEADER: &str = "manifest header";
const WHAT: &str = "manifest record";

/// What stands at the front of a manifest file.
///
/// # Examples
///
/// ```
/// use holt_codec::{DbId, ManifestHeader};
///
/// let header = ManifestHeader { db: DbId([1; 16]), number: 2, predecessor: 1, salt: [7; 16] };
/// assert_eq!(ManifestHeader::decode(&header.encode())?, header);
/// # Ok::<(), holt_codec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestHeader {
    /// The database that the manifest belongs to.
    pub db: DbId,
    /// Number of this file; also part of its name. Over 0.
    pub number: u64,
    /// Number of the file that this one replaces, 0 for the first.
    pub predecessor: u64,
    /// Random bytes that tell this file's records from those of any other.
    pub salt: [u8; 16],
}

impl ManifestHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; MANIFEST_HEADER_LEN] {
        let mut bytes = [0; MANIFEST_HEADER_LEN];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, VERSION, MANIFEST_VERSION.to_le_bytes());
        put(&mut bytes, DB, self.db.0);
        put(&mut bytes, NUMBER, self.number.to_le_bytes());
        put(&mut bytes, PREDECESSOR, self.predecessor.to_le_bytes());
        put(&mut bytes, SALT, self.salt);
        let checksum = header_checksum(&bytes);
        put(&mut bytes, HEADER_CHECKSUM, checksum.to_le_bytes());
        bytes
    }

    /// Reads a header from the front of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Magic`], [`Error::Version`], [`Error::Checksum`],
    /// [`Error::Malformed`] for numbers that cannot be.
    pub fn decode(bytes: &[u8]) -> Result<ManifestHeader, Error> {
        let Some(bytes) = bytes.get(..MANIFEST_HEADER_LEN) else {
            let (needed, found) = (MANIFEST_HEADER_LEN as u64, bytes.len() as u64);
            return Err(Error::CutShort { what: WHAT_HEADER, needed, found });
        };
        if bytes[..VERSION] != MAGIC {
            return Err(Error::Magic { what: "a manifest" });
        }
        // Before the checksum: another version may check itself in another way.
        let version = u32_at(bytes, VERSION);
        if version != MANIFEST_VERSION {
            let (found, supported) = (version, MANIFEST_VERSION);
            return Err(Error::Version { what: "the manifest", found, supported });
        }
        let (expected, found) = (u32_at(bytes, HEADER_CHECKSUM), header_checksum(bytes));
        if expected != found {
            return Err(Error::Checksum { what: WHAT_HEADER, expected, found });
        }
        let header = ManifestHeader {
            db: DbId(take(bytes, DB)),
            number: u64_at(bytes, NUMBER),
            predecessor: u64_at(bytes, PREDECESSOR),
            salt: take(bytes, SALT),
        };
        if header.predecessor >= header.number {
            let why = "a file can only replace one of a lower number";
            return Err(Error::Malformed { what: WHAT_HEADER, why });
        }
        if header.number > MAX_COUNT {
            let why = "no file has so high a number";
            return Err(Error::Malformed { what: WHAT_HEADER, why });
        }
        Ok(header)
    }
}

fn header_checksum(bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&bytes[..HEADER_CHECKSUM]);
    hasher.update(&bytes[DB..]);
    hasher.finalize()
}

/// Where the image of one object lies in the data file.
///
/// # Examples
///
/// ```
/// use holt_codec::{EXTENT_UNIT, FIRST_EXTENT, Mapping};
///
/// let mapping = Mapping { object: 1, generation: 1, offset: FIRST_EXTENT, len: 5000, checksum: 0 };
/// assert_eq!((mapping.units(), mapping.end()), (2, FIRST_EXTENT + 2 * EXTENT_UNIT));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Whose image it is.
    pub object: u64,
    /// Generation in the image's header.
    pub generation: u64,
    /// Offset of the extent in bytes: a multiple of [`EXTENT_UNIT`], at least [`FIRST_EXTENT`].
    pub offset: u64,
    /// Length of the image's payload in bytes.
    pub len: u32,
    /// Checksum in the image's header.
    pub checksum: u32,
}

impl Mapping {
    /// Units that the extent takes.
    pub fn units(&self) -> u64 {
        (IMAGE_HEADER_LEN as u64 + u64::from(self.len)).div_ceil(EXTENT_UNIT)
    }

    /// Offset of the first byte behind the extent.
    pub fn end(&self) -> u64 {
        self.offset + self.units() * EXTENT_UNIT
    }

    fn decode(bytes: &[u8]) -> Result<Mapping, Error> {
        let mapping = Mapping {
            object: u64_at(bytes, 0),
            generation: u64_at(bytes, 8),
            offset: u64_at(bytes, 16),
            len: u32_at(bytes, 24),
            checksum: u32_at(bytes, 28),
        };
        let malformed = |why| Err(Error::Malformed { what: "mapping", why });
        if !mapping.offset.is_multiple_of(EXTENT_UNIT) || mapping.offset < FIRST_EXTENT {
            return malformed("an extent begins at a unit behind the marks");
        }
        if mapping.len > MAX_IMAGE {
            return malformed("an image is longer than the limit");
        }
        // Room above the offset, so that no sum with a length can leave the range of a file.
        if mapping.offset > i64::MAX as u64 - 2 * u64::from(MAX_IMAGE) {
            return malformed("an extent lies beyond the end of any file");
        }
        Ok(mapping)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.object.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }
}

/// What a record's checksum binds it to.
#[derive(Clone, Copy, Debug)]
pub struct RecordSite<'a> {
    /// The header of the file.
    pub header: &'a ManifestHeader,
    /// Offset of the record in the file in bytes.
    pub offset: u64,
    /// Checksum of the record before, 0 for the first.
    pub previous: u32,
}

/// A commit: the content of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Whether `changed` is the whole mapping instead of what differs from the record before.
    pub base: bool,
    /// Counts the commits of the database, from 1.
    pub sequence: u64,
    /// Counts the attempts to commit; no image is newer.
    pub generation: u64,
    /// Where the replay of the log starts.
    pub log_address: u64,
    /// Bytes of the layer above.
    pub meta: Vec<u8>,
    /// Objects with a new image, by ascending id.
    pub changed: Vec<Mapping>,
    /// Objects that are no more, by ascending id.
    pub freed: Vec<u64>,
}

impl Commit {
    /// Bytes of the record that [`Commit::encode`] would append.
    ///
    /// # Errors
    ///
    /// As [`Commit::record_len`].
    pub fn encoded_len(&self) -> Result<u32, Error> {
        Commit::record_len(self.changed.len(), self.freed.len(), self.meta.len())
    }

    /// Bytes of a record with so many mappings, freed objects and bytes of meta.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if no record can hold them.
    pub fn record_len(mappings: usize, freed: usize, meta: usize) -> Result<u32, Error> {
        let mappings = mappings.checked_mul(MAPPING_LEN);
        let freed = freed.checked_mul(FREED_LEN);
        let len = mappings.zip(freed).and_then(|(mappings, freed)| {
            RECORD_HEADER_LEN
                .checked_add(mappings)?
                .checked_add(freed)?
                .checked_add(meta)?
                .checked_next_multiple_of(ALIGNMENT)
        });
        let len = len.map_or(u64::MAX, |len| len as u64);
        let limit = u64::from(u32::MAX);
        u32::try_from(len).map_err(|_| Error::TooLarge { what: WHAT, size: len, limit })
    }

    /// Appends the record to `out` and returns its checksum, which the next record names.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::Malformed`] if ids are out of order or anything else would
    /// not decode again. `out` is then as it was.
    pub fn encode(&self, site: RecordSite<'_>, out: &mut Vec<u8>) -> Result<u32, Error> {
        let len = self.encoded_len()?;
        let start = out.len();
        out.reserve(len as usize);
        out.resize(start + RECORD_HEADER_LEN, 0);
        for mapping in &self.changed {
            mapping.encode(out);
        }
        for object in &self.freed {
            out.extend_from_slice(&object.to_le_bytes());
        }
        out.extend_from_slice(&self.meta);
        out.resize(start + len as usize, 0);

        let record = &mut out[start..];
        put(record, LENGTH, len.to_le_bytes());
        put(record, PREVIOUS, site.previous.to_le_bytes());
        record[KIND] = if self.base { KIND_BASE } else { KIND_DELTA };
        put(record, SEQUENCE, self.sequence.to_le_bytes());
        put(record, GENERATION, self.generation.to_le_bytes());
        put(record, LOG_ADDRESS, self.log_address.to_le_bytes());
        // Each part is shorter than the record, whose length fits.
        put(record, META_LEN, (self.meta.len() as u32).to_le_bytes());
        put(record, MAPPINGS, (self.changed.len() as u32).to_le_bytes());
        put(record, FREED, (self.freed.len() as u32).to_le_bytes());
        let checksum = record_checksum(site.header, site.offset, record);
        put(record, CHECKSUM, checksum.to_le_bytes());
        // What could not be read again must not be written.
        if let Err(error) = Commit::decode_body(record) {
            out.truncate(start);
            return Err(error);
        }
        Ok(checksum)
    }

    /// Reads the record at the front of `bytes`; returns it with its length and checksum.
    ///
    /// # Errors
    ///
    /// [`Error::CutShort`], [`Error::Checksum`], [`Error::Misplaced`] if it does not follow the
    /// record `site` names, [`Error::Malformed`].
    pub fn decode(bytes: &[u8], site: RecordSite<'_>) -> Result<(Commit, u32, u32), Error> {
        let record = framed(bytes)?;
        let expected = u32_at(record, CHECKSUM);
        let found = record_checksum(site.header, site.offset, record);
        if expected != found {
            return Err(Error::Checksum { what: WHAT, expected, found });
        }
        let previous = u32_at(record, PREVIOUS);
        if previous != site.previous {
            return Err(Error::Misplaced {
                what: "checksum of the record before",
                expected: u64::from(site.previous),
                found: u64::from(previous),
            });
        }
        Ok((Commit::decode_body(record)?, record.len() as u32, expected))
    }

    /// Reads a record whose checksum is right, which does not make its fields so.
    fn decode_body(record: &[u8]) -> Result<Commit, Error> {
        let malformed = |why| Error::Malformed { what: WHAT, why };
        let base = match record[KIND] {
            KIND_BASE => true,
            KIND_DELTA => false,
            _ => return Err(malformed("unknown kind")),
        };
        if record[KIND + 1..SEQUENCE] != [0; 3] || u32_at(record, RESERVED) != 0 {
            return Err(malformed("reserved bytes are not zero"));
        }
        let count = |at| u64::from(u32_at(record, at));
        let (meta, mappings, freed) = (count(META_LEN), count(MAPPINGS), count(FREED));
        // Sums of 32-bit numbers times small constants stay far below 2^64.
        let mappings_end = RECORD_HEADER_LEN as u64 + mappings * MAPPING_LEN as u64;
        let freed_end = mappings_end + freed * FREED_LEN as u64;
        let meta_end = freed_end + meta;
        if meta_end.next_multiple_of(ALIGNMENT as u64) != record.len() as u64 {
            return Err(malformed("the counts do not make up the length"));
        }
        let part = |from: u64, to: u64| &record[from as usize..to as usize];
        if part(meta_end, record.len() as u64).iter().any(|&byte| byte != 0) {
            return Err(malformed("padding is not zero"));
        }
        let commit = Commit {
            base,
            sequence: u64_at(record, SEQUENCE),
            generation: u64_at(record, GENERATION),
            log_address: u64_at(record, LOG_ADDRESS),
            changed: part(RECORD_HEADER_LEN as u64, mappings_end)
                .chunks_exact(MAPPING_LEN)
                .map(Mapping::decode)
                .collect::<Result<_, _>>()?,
            freed: part(mappings_end, freed_end)
                .chunks_exact(FREED_LEN)
                .map(|id| u64_at(id, 0))
                .collect(),
            meta: part(freed_end, meta_end).to_vec(),
        };
        commit.validate().map_err(malformed)?;
        Ok(commit)
    }

    fn validate(&self) -> Result<(), &'static str> {
        if self.sequence == 0 {
            return Err("sequences begin at 1");
        }
        if self.sequence > MAX_COUNT || self.generation > MAX_COUNT {
            return Err("no commit has so high a sequence or generation");
        }
        if !self.changed.is_sorted_by(|a, b| a.object < b.object) {
            return Err("mapped objects do not ascend");
        }
        if !self.freed.is_sorted_by(|a, b| a < b) {
            return Err("freed objects do not ascend");
        }
        if self.base && !self.freed.is_empty() {
            return Err("a base frees objects");
        }
        if self.changed.iter().any(|mapping| mapping.generation > self.generation) {
            return Err("an image is newer than its commit");
        }
        let mapped = |id: &u64| self.changed.binary_search_by_key(id, |m| m.object).is_ok();
        if self.freed.iter().any(mapped) {
            return Err("an object is both mapped and freed");
        }
        Ok(())
    }

    /// Whether this commit may stand behind `before` in one file.
    fn follows(&self, before: Option<&Commit>) -> Result<(), Error> {
        let malformed = |why| Err(Error::Malformed { what: WHAT, why });
        match before {
            None if !self.base => malformed("the first record is no base"),
            None => Ok(()),
            Some(_) if self.base => malformed("a base that is not the first record"),
            Some(before) if before.sequence.checked_add(1) != Some(self.sequence) => {
                malformed("sequences do not count up by one")
            }
            Some(before) if self.generation <= before.generation => {
                malformed("generations do not grow")
            }
            Some(before) if self.log_address < before.log_address => {
                malformed("the log address goes back")
            }
            Some(_) => Ok(()),
        }
    }
}

/// The bytes of the record at the front, by its length field.
fn framed(bytes: &[u8]) -> Result<&[u8], Error> {
    let found = bytes.len() as u64;
    if bytes.len() < RECORD_HEADER_LEN {
        return Err(Error::CutShort { what: WHAT, needed: RECORD_HEADER_LEN as u64, found });
    }
    let len = u32_at(bytes, LENGTH) as usize;
    if len < RECORD_HEADER_LEN || !len.is_multiple_of(ALIGNMENT) {
        return Err(Error::Malformed { what: WHAT, why: "no record has this length" });
    }
    bytes.get(..len).ok_or(Error::CutShort { what: WHAT, needed: len as u64, found })
}

fn record_checksum(header: &ManifestHeader, offset: u64, record: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&header.encode());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&record[LENGTH..]);
    hasher.finalize()
}

/// How a manifest file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestEnd {
    /// With its last record.
    Clean,
    /// With bytes that are no record and that nothing valid follows: a commit that did not
    /// get through, or a damaged last record. [`Mark`](crate::Mark) and log tell which.
    Torn {
        /// Why they are no record.
        why: Error,
    },
}

/// A manifest file, read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The file's header.
    pub header: ManifestHeader,
    /// Its records in order; the first is a base.
    pub commits: Vec<Commit>,
    /// Checksum of each record.
    pub checksums: Vec<u32>,
    /// Offset of the first byte behind the last valid record.
    pub end_offset: u64,
    /// What follows there.
    pub end: ManifestEnd,
}

impl Manifest {
    /// Reads a whole file. Time and memory are bounded by its length.
    ///
    /// # Errors
    ///
    /// The header's and the first record's errors: a file is only given its name when both are
    /// durable. For a later record an error only if a valid record follows it, or its own
    /// checksum is right: then it was durable, and is damaged or was written wrongly. The
    /// offset of the record comes with the error.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, (u64, Error)> {
        let header = ManifestHeader::decode(bytes).map_err(|error| (0, error))?;
        let mut manifest = Manifest {
            header,
            commits: Vec::new(),
            checksums: Vec::new(),
            end_offset: MANIFEST_HEADER_LEN as u64,
            end: ManifestEnd::Clean,
        };
        while manifest.end_offset < bytes.len() as u64 || manifest.commits.is_empty() {
            let offset = manifest.end_offset;
            let rest = &bytes[offset as usize..];
            let previous = manifest.checksums.last().copied().unwrap_or(0);
            let site = RecordSite { header: &header, offset, previous };
            match Commit::decode(rest, site) {
                Ok((commit, len, checksum)) => {
                    commit.follows(manifest.commits.last()).map_err(|error| (offset, error))?;
                    manifest.commits.push(commit);
                    manifest.checksums.push(checksum);
                    manifest.end_offset += u64::from(len);
                }
                Err(why) => {
                    let torn = matches!(why, Error::CutShort { .. } | Error::Checksum { .. })
                        || framed(rest).is_err();
                    if manifest.commits.is_empty() || !torn || any_record(&header, offset, rest) {
                        return Err((offset, why));
                    }
                    manifest.end = ManifestEnd::Torn { why };
                    break;
                }
            }
        }
        Ok(manifest)
    }
}

/// Whether a valid record begins anywhere behind the front of `bytes`, which lie at `offset`.
fn any_record(header: &ManifestHeader, offset: u64, bytes: &[u8]) -> bool {
    // Bytes made to look like many records must not make this quadratic. Real ones never look
    // so: to give up is to call damage what a crash cannot have left.
    let mut budget = 8 * bytes.len() as u64 + 4096;
    for at in (ALIGNMENT..bytes.len()).step_by(ALIGNMENT) {
        let Ok(record) = framed(&bytes[at..]) else { continue };
        let plausible = matches!(record[KIND], KIND_BASE | KIND_DELTA)
            && record[KIND + 1..SEQUENCE] == [0; 3]
            && u32_at(record, RESERVED) == 0;
        if !plausible {
            continue;
        }
        let Some(left) = budget.checked_sub(record.len() as u64) else { return true };
        budget = left;
        if record_checksum(header, offset + at as u64, record) == u32_at(record, CHECKSUM) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
