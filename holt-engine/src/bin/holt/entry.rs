//! The value that `holt index` stores for one entry of a directory tree.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | tag, [`TAG`]: no UTF-8 text begins with it |
//! | 1 | 1 | format version, [`VERSION`] |
//! | 2 | 1 | kind, see [`Kind`] |
//! | 3 | 1 | zero |
//! | 4 | 4 | permission bits (set-user-id, set-group-id and sticky among them) |
//! | 8 | 4 | owner's user id |
//! | 12 | 4 | group id |
//! | 16 | 8 | size in bytes |
//! | 24 | 8 | seconds of the last modification since 1970, signed |
//! | 32 | 4 | nanoseconds of the last modification |
//! | 36 | … | target of a symbolic link, up to the end; empty for every other kind |
//!
//! All numbers are little endian. What does not decode exactly was not written by `holt index`.

use std::fmt;

/// First byte of every encoded entry.
const TAG: u8 = 0xFE;
/// Version of the layout above.
const VERSION: u8 = 1;
/// Bytes before the link target.
const HEADER: usize = 36;
/// Bits that [`Entry::mode`] may have.
const PERMISSIONS: u32 = 0o7777;
const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// What an entry is; the discriminant is the stored byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    File = 1,
    Directory = 2,
    Link = 3,
    Fifo = 4,
    Socket = 5,
    CharacterDevice = 6,
    BlockDevice = 7,
    Unknown = 8,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::File,
        Kind::Directory,
        Kind::Link,
        Kind::Fifo,
        Kind::Socket,
        Kind::CharacterDevice,
        Kind::BlockDevice,
        Kind::Unknown,
    ];

    fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// The letter that `ls -l` puts in front of the permissions.
    pub(crate) fn letter(self) -> char {
        match self {
            Kind::File => '-',
            Kind::Directory => 'd',
            Kind::Link => 'l',
            Kind::Fifo => 'p',
            Kind::Socket => 's',
            Kind::CharacterDevice => 'c',
            Kind::BlockDevice => 'b',
            Kind::Unknown => '?',
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Link => "symbolic link",
            Kind::Fifo => "fifo",
            Kind::Socket => "socket",
            Kind::CharacterDevice => "character device",
            Kind::BlockDevice => "block device",
            Kind::Unknown => "unknown",
        })
    }
}

/// One entry of an indexed directory tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Permission bits, at most [`PERMISSIONS`].
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes, as the file system reports them.
    pub(crate) size: u64,
    /// Seconds since 1970 of the last modification; negative before.
    pub(crate) seconds: i64,
    /// Nanoseconds after [`seconds`](Self::seconds), below a thousand million.
    pub(crate) nanoseconds: u32,
    /// Where a symbolic link points, as raw bytes; empty for other kinds.
    pub(crate) target: Vec<u8>,
}

impl Entry {
    /// Replaces the contents of `out` by the encoded entry.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(HEADER + self.target.len());
        out.extend([TAG, VERSION, self.kind as u8, 0]);
        out.extend((self.mode & PERMISSIONS).to_le_bytes());
        out.extend(self.uid.to_le_bytes());
        out.extend(self.gid.to_le_bytes());
        out.extend(self.size.to_le_bytes());
        out.extend(self.seconds.to_le_bytes());
        out.extend(self.nanoseconds.to_le_bytes());
        out.extend(&self.target);
    }

    /// The entry that `value` holds, or nothing if `holt index` did not write it.
    pub(crate) fn decode(value: &[u8]) -> Option<Entry> {
        let (header, target) = value.split_first_chunk::<HEADER>()?;
        let [TAG, VERSION, kind, 0, fields @ ..] = header else { return None };
        let (mode, fields) = fields.split_first_chunk()?;
        let (uid, fields) = fields.split_first_chunk()?;
        let (gid, fields) = fields.split_first_chunk()?;
        let (size, fields) = fields.split_first_chunk()?;
        let (seconds, fields) = fields.split_first_chunk()?;
        let (nanoseconds, _) = fields.split_first_chunk()?;
        let entry = Entry {
            kind: Kind::from_byte(*kind)?,
            mode: u32::from_le_bytes(*mode),
            uid: u32::from_le_bytes(*uid),
            gid: u32::from_le_bytes(*gid),
            size: u64::from_le_bytes(*size),
            seconds: i64::from_le_bytes(*seconds),
            nanoseconds: u32::from_le_bytes(*nanoseconds),
            target: target.to_vec(),
        };
        let sound = entry.mode <= PERMISSIONS
            && entry.nanoseconds < NANOSECONDS_PER_SECOND
            && (entry.kind == Kind::Link || entry.target.is_empty());
        sound.then_some(entry)
    }

    /// Kind and permissions in the ten characters of `ls -l`.
    pub(crate) fn mode_string(&self) -> String {
        let mut text = String::with_capacity(10);
        text.push(self.kind.letter());
        for (shift, special, set, unset) in
            [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
        {
            let bits = self.mode >> shift;
            text.push(if bits & 4 != 0 { 'r' } else { '-' });
            text.push(if bits & 2 != 0 { 'w' } else { '-' });
            text.push(match (self.mode & special != 0, bits & 1 != 0) {
                (true, true) => set,
                (true, false) => unset,
                (false, true) => 'x',
                (false, false) => '-',
            });
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Entry {
        Entry {
            kind: Kind::Link,
            mode: 0o777,
            uid: 1000,
            gid: 0xFFFF_FFFE,
            size: 1 << 40,
            seconds: -86_401,
            nanoseconds: 999_999_999,
            target: b"../\xff target".to_vec(),
        }
    }

    fn encoded(entry: &Entry) -> Vec<u8> {
        let mut value = b"left over from before".to_vec();
        entry.encode(&mut value);
        value
    }

    #[test]
    fn an_entry_survives_the_round_trip() {
        let mut entry = link();
        assert_eq!(Entry::decode(&encoded(&entry)), Some(entry.clone()));
        entry.target.clear();
        for kind in Kind::ALL {
            entry.kind = kind;
            assert_eq!(Entry::decode(&encoded(&entry)), Some(entry.clone()));
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut expected = vec![0xFE, 1, 3, 0];
        expected.extend([0xFF, 0x01, 0, 0, 0xE8, 0x03, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF]);
        expected.extend([0, 0, 0, 0, 0, 1, 0, 0]);
        expected.extend([0x7F, 0xAE, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        expected.extend([0xFF, 0xC9, 0x9A, 0x3B]);
        expected.extend(b"../\xff target");
        assert_eq!(encoded(&link()), expected);
    }

    #[test]
    fn what_index_did_not_write_is_not_an_entry() {
        let good = encoded(&link());
        for end in 0..HEADER {
            assert_eq!(Entry::decode(&good[..end]), None, "cut at {end}");
        }
        for (offset, byte) in [(0, b'a'), (1, 2), (2, 0), (2, 9), (3, 1), (5, 0x10), (35, 0x40)] {
            let mut bad = good.clone();
            bad[offset] = byte;
            assert_eq!(Entry::decode(&bad), None, "byte {offset} set to {byte}");
        }
        let mut file_with_target = good;
        file_with_target[2] = Kind::File as u8;
        assert_eq!(Entry::decode(&file_with_target), None);
    }

    #[test]
    fn modes_read_as_ls_writes_them() {
        for (kind, mode, text) in [
            (Kind::File, 0o644, "-rw-r--r--"),
            (Kind::Directory, 0o1777, "drwxrwxrwt"),
            (Kind::Directory, 0o1776, "drwxrwxrwT"),
            (Kind::File, 0o4755, "-rwsr-xr-x"),
            (Kind::File, 0o6644, "-rwSr-Sr--"),
            (Kind::Link, 0o777, "lrwxrwxrwx"),
            (Kind::Fifo, 0, "p---------"),
        ] {
            assert_eq!(Entry { kind, mode, ..link() }.mode_string(), text);
        }
    }
}
