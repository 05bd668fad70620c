//! The shapes of the keys, each a seeded generator: what the engines are asked to store.
//!
//! - Every key of a [`KeySpace`] is different, whatever the seed and size.
//! - A key space is laid out in one block of memory before anything is timed, so that making a
//!   key is never part of a figure.

use std::path::{Path, PathBuf};

use crate::Failure;
use crate::rng::{Rng, mix};

/// Names of directory levels, so that paths look and compress like paths.
const WORDS: [&str; 16] = [
    "src",
    "lib",
    "share",
    "images",
    "2024",
    "docs",
    "node_modules",
    "assets",
    "test",
    "internal",
    "config",
    "data",
    "build",
    "include",
    "tenant",
    "archive",
];

/// A shape of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Shape {
    /// 32 random bytes, 64-byte values.
    Kv,
    /// `bucket-NN/path/sub/file-NNNN.bin`, about 60 bytes of JSON.
    Objstore,
    /// `/usr/local/share/category-N/file-NNNN`, 32-byte inodes.
    Fs,
    /// Reversed-domain URLs, skewed to few domains.
    Url,
    /// 8 to 12 levels of uneven fan-out.
    Deep,
    /// The file paths of a directory of this machine.
    Real,
}

impl Shape {
    /// Every shape, in the order of the tables.
    pub(crate) const ALL: [Self; 6] =
        [Self::Kv, Self::Objstore, Self::Fs, Self::Url, Self::Deep, Self::Real];

    /// The name on the command line and in the record.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Objstore => "objstore",
            Self::Fs => "fs",
            Self::Url => "url",
            Self::Deep => "deep",
            Self::Real => "real",
        }
    }

    /// What the shape models and why it is fair.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Kv => {
                "32 random bytes with 64-byte values, as a content-addressed index has them. \
                 Nothing is shared between keys, so a path-shaped engine gets no help at all: the \
                 shape where Holt has least to offer."
            }
            Self::Objstore => {
                "`bucket-NN/path-N/sub-N/file-NNNN.bin` with about 60 bytes of JSON: an object \
                 store's listing index. Directories of 128 files, eight to a path, eight paths to \
                 a bucket. B-trees and LSM blocks compress or share these prefixes too."
            }
            Self::Fs => {
                "`/usr/local/share/category-N/file-NNNN` with 32-byte inodes: a file system's \
                 path index, with a long prefix that all keys share. Comparing engines pay for \
                 the prefix on every step, as they do in real use."
            }
            Self::Url => {
                "Reversed-domain URLs (`com.example-7.www/docs/…`) with 40 to 119 bytes, most of \
                 them under few domains: a crawler's index. The skew is in the keys, so caches \
                 help every engine alike."
            }
            Self::Deep => {
                "Paths of 8 to 12 levels with a fan-out that differs from level to level: source \
                 trees and package stores. Many short levels are the worst case for a radix tree \
                 and ordinary for a B-tree."
            }
            Self::Real => {
                "The file paths below a directory given with `--real`, with 60-byte values: \
                 nobody designed these keys, so nobody can have designed for them."
            }
        }
    }

    /// The byte that ends a level, for shapes that have levels.
    pub(crate) fn delimiter(self) -> Option<u8> {
        (self != Self::Kv).then_some(b'/')
    }
}

/// All keys of one run: those that are loaded, and spare ones that are created later.
#[derive(Debug)]
pub(crate) struct KeySpace {
    shape: Shape,
    loaded: usize,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeySpace {
    /// Keys `0..loaded` to load and `spare` more. For [`Shape::Real`] the number loaded is at
    /// most that of the files below `real`.
    ///
    /// # Errors
    ///
    /// Fails when `real` is wanted and missing, unreadable or empty.
    pub(crate) fn new(
        shape: Shape,
        loaded: usize,
        spare: usize,
        seed: u64,
        real: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut space = Self { shape, loaded, bytes: Vec::new(), ends: Vec::new() };
        if shape == Shape::Real {
            let root = real.ok_or("the shape `real` wants a directory: --real DIR")?;
            let mut paths = walk(root)?;
            if paths.is_empty() {
                return Err(format!("no files below {}", root.display()).into());
            }
            Rng::new(seed).shuffle(&mut paths);
            paths.truncate(loaded);
            space.loaded = paths.len();
            for path in &paths {
                space.bytes.extend_from_slice(path);
                space.ends.push(space.bytes.len());
            }
            for index in 0..spare {
                // A file created beside an existing one.
                let beside = &paths[index % paths.len()];
                space.bytes.extend_from_slice(beside);
                space.bytes.extend_from_slice(format!(".new-{index:06}").as_bytes());
                space.ends.push(space.bytes.len());
            }
            return Ok(space);
        }
        for index in 0..loaded + spare {
            generate(shape, index, seed, &mut space.bytes);
            space.ends.push(space.bytes.len());
        }
        Ok(space)
    }

    /// The shape of the keys.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// How many keys are loaded.
    pub(crate) fn loaded(&self) -> usize {
        self.loaded
    }

    /// How many keys there are beyond the loaded ones.
    pub(crate) fn spare(&self) -> usize {
        self.ends.len() - self.loaded
    }

    /// Key number `index`; those from [`loaded`](Self::loaded) on are the spare ones.
    pub(crate) fn key(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// A number of the directory that key `index` is in: the same for all keys of a directory and rarely that of another
    /// one. Keys of random bytes are in 256 directories, by their first byte.
    pub(crate) fn directory(&self, index: usize) -> u64 {
        let key = self.key(index);
        let directory = match self.shape {
            Shape::Kv => &key[..1],
            _ => parent(key),
        };
        directory.iter().fold(0, |hash, &byte| mix(hash ^ u64::from(byte)))
    }

    /// Mean length of a loaded key and its first value, in bytes.
    pub(crate) fn payload(&self) -> f64 {
        let mut value = Vec::new();
        let mut total = 0;
        for index in 0..self.loaded {
            value.clear();
            self.write_value(index, 0, &mut value);
            total += self.key(index).len() + value.len();
        }
        total as f64 / self.loaded.max(1) as f64
    }

    /// Appends the value of key `index` in its `generation` (0 is what is loaded). All
    /// generations of a key are equally long, so an overwrite never changes a size.
    pub(crate) fn write_value(&self, index: usize, generation: u64, out: &mut Vec<u8>) {
        let bits = mix(index as u64 ^ (generation << 48));
        let start = out.len();
        let length = match self.shape {
            Shape::Kv => 64,
            Shape::Objstore => {
                let etag = mix(bits);
                out.extend_from_slice(
                    format!("{{\"size\":{:07},\"etag\":\"{etag:016x}\",", bits % 10_000_000)
                        .as_bytes(),
                );
                out.extend_from_slice(
                    format!("\"mtime\":{:010}}}", 1_500_000_000 + bits % 200_000_000).as_bytes(),
                );
                return;
            }
            Shape::Fs => 32,
            Shape::Url => 40 + (mix(index as u64) % 80) as usize,
            Shape::Deep => 48,
            Shape::Real => 60,
        };
        let mut word = bits;
        while out.len() < start + length {
            word = mix(word);
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.truncate(start + length);
    }

    /// Where a listing of about 100 entries that begins at key `index` looks: the prefix, and the
    /// key after which it starts.
    pub(crate) fn listing(&self, index: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = self.key(index);
        match self.shape {
            // Whole directories of 128 files.
            Shape::Objstore | Shape::Fs => (parent(key).to_vec(), None),
            Shape::Kv => (Vec::new(), Some(key.to_vec())),
            // A page from the middle of a subtree, as a user who scrolls asks for it.
            Shape::Url | Shape::Deep | Shape::Real => {
                let first = key.iter().position(|&byte| byte == b'/').map_or(0, |at| at + 1);
                (key[..first].to_vec(), Some(key.to_vec()))
            }
        }
    }

    /// Where a delimiter listing of up to 8 groups looks: the prefix, and the key after which it
    /// starts. Start keys lie behind a whole group, where all engines agree on what follows.
    pub(crate) fn grouping(&self, index: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = self.key(index);
        let after = |group: &[u8]| {
            let mut start = group.to_vec();
            start.push(0xFF);
            start
        };
        match self.shape {
            Shape::Kv => (Vec::new(), None),
            Shape::Objstore | Shape::Real => (parent(parent_name(key)).to_vec(), None),
            Shape::Fs => {
                let group = parent(key);
                (parent(&group[..group.len() - 1]).to_vec(), Some(after(group)))
            }
            Shape::Url => {
                let domain = key.iter().position(|&byte| byte == b'/').map_or(0, |at| at + 1);
                (Vec::new(), Some(after(&key[..domain])))
            }
            Shape::Deep => {
                let slashes: Vec<usize> = (0..key.len()).filter(|&at| key[at] == b'/').collect();
                (key[..=slashes[slashes.len() / 2]].to_vec(), None)
            }
        }
    }
}

/// The part of a path up to and with its last delimiter.
fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    &path[..end]
}

/// The parent of a path without its trailing delimiter.
fn parent_name(path: &[u8]) -> &[u8] {
    let directory = parent(path);
    &directory[..directory.len().saturating_sub(1)]
}

/// Appends key `index` of a generated shape.
fn generate(shape: Shape, index: usize, seed: u64, out: &mut Vec<u8>) {
    match shape {
        Shape::Kv => {
            // The first word is a bijection of the index, so no two keys are the same.
            let mut word = mix(index as u64 ^ mix(seed));
            for _ in 0..4 {
                out.extend_from_slice(&word.to_be_bytes());
                word = mix(word);
            }
        }
        Shape::Objstore => {
            let (file, sub) = (index % 128, index / 128 % 8);
            let (path, bucket) = (index / 1_024 % 8, index / 8_192);
            out.extend_from_slice(
                format!("bucket-{bucket:02}/path-{path}/sub-{sub}/file-{file:04}.bin").as_bytes(),
            );
        }
        Shape::Fs => {
            let (file, category) = (index % 128, index / 128);
            out.extend_from_slice(
                format!("/usr/local/share/category-{category}/file-{file:04}").as_bytes(),
            );
        }
        Shape::Url => {
            let mut rng = Rng::new(mix(seed) ^ index as u64);
            // The cube of a uniform number: half of the pages lie on an eighth of the domains.
            let domain = (rng.unit().powi(3) * 4_096.0) as usize;
            let top = ["com", "org", "net", "io"][domain % 4];
            out.extend_from_slice(format!("{top}.example-{domain}.www/").as_bytes());
            for _ in 0..1 + rng.below(3) {
                out.extend_from_slice(WORDS[rng.below(WORDS.len())].as_bytes());
                out.push(b'/');
            }
            out.extend_from_slice(format!("page-{index:x}.html").as_bytes());
        }
        Shape::Deep => {
            let mut rng = Rng::new(mix(seed) ^ index as u64);
            let levels = 8 + rng.below(5);
            for level in 0..levels - 1 {
                // Fan-outs of 1 to 16 that depend on the level, low numbers preferred.
                let fan_out = 1 + mix(seed ^ level as u64) as usize % 16;
                let branch = (rng.unit() * rng.unit() * fan_out as f64) as usize;
                out.extend_from_slice(WORDS[(branch + level) % WORDS.len()].as_bytes());
                out.extend_from_slice(format!("{branch}/").as_bytes());
            }
            out.extend_from_slice(format!("f{index:x}").as_bytes());
        }
        Shape::Real => unreachable!("the paths of a directory are not generated"),
    }
}

/// Every file below `root`, as a path relative to it, in order. Symbolic links are files and are
/// not followed; directories that cannot be read are left out.
fn walk(root: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    use std::os::unix::ffi::OsStrExt;

    let mut files = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![root.to_path_buf()];
    std::fs::read_dir(root).map_err(|error| format!("{}: {error}", root.display()))?;
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(path);
            } else if let Ok(relative) = path.strip_prefix(root) {
                // LMDB takes keys of up to 511 bytes, and some names get a suffix later.
                if relative.as_os_str().len() <= 480 {
                    files.push(relative.as_os_str().as_bytes().to_vec());
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const GENERATED: [Shape; 5] = [Shape::Kv, Shape::Objstore, Shape::Fs, Shape::Url, Shape::Deep];

    #[test]
    fn every_key_of_a_space_is_different() {
        for shape in GENERATED {
            let space = KeySpace::new(shape, 20_000, 500, 3, None).expect("generated");
            let keys: BTreeSet<&[u8]> = (0..20_500).map(|index| space.key(index)).collect();
            assert_eq!(keys.len(), 20_500, "{shape:?}");
        }
    }

    #[test]
    fn all_generations_of_a_value_are_equally_long() {
        for shape in GENERATED {
            let space = KeySpace::new(shape, 100, 0, 3, None).expect("generated");
            for index in 0..100 {
                let (mut first, mut later) = (Vec::new(), Vec::new());
                space.write_value(index, 0, &mut first);
                space.write_value(index, 9, &mut later);
                assert_eq!(first.len(), later.len(), "{shape:?}");
                assert_ne!(first, later, "{shape:?}");
            }
        }
    }

    #[test]
    fn listings_of_directories_look_at_the_directory_of_the_key() {
        let space = KeySpace::new(Shape::Objstore, 20_000, 0, 3, None).expect("generated");
        assert_eq!(space.key(9_000), b"bucket-01/path-0/sub-6/file-0040.bin");
        assert_eq!(space.listing(9_000).0, b"bucket-01/path-0/sub-6/");
        assert_eq!(space.grouping(9_000).0, b"bucket-01/path-0/");
        let space = KeySpace::new(Shape::Fs, 20_000, 0, 3, None).expect("generated");
        assert_eq!(space.key(130), b"/usr/local/share/category-1/file-0002");
        let (prefix, after) = space.grouping(130);
        assert_eq!(prefix, b"/usr/local/share/");
        assert_eq!(after.as_deref(), Some(&b"/usr/local/share/category-1/\xff"[..]));
    }

    #[test]
    fn the_paths_of_a_directory_are_found_below_its_subdirectories() {
        let root = std::env::temp_dir().join(format!("holt-peers-walk-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a/b")).expect("directories");
        std::fs::write(root.join("a/b/c"), b"").expect("a file");
        std::fs::write(root.join("d"), b"").expect("a file");
        let found = walk(&root);
        std::fs::remove_dir_all(&root).expect("the directory goes again");
        assert_eq!(found.expect("readable"), vec![b"a/b/c".to_vec(), b"d".to_vec()]);
    }
}
