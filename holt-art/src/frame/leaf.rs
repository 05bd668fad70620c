//! Leaves: the rest of a key below its parent, a version and a value.
//!
//! ```text
//! Leaf      word 0: suffix length (8) | value length (8) | version (48)
//!           then:   suffix and value, packed
//! LongLeaf  word 0: version (64)
//!           word 1: suffix length (16) | value length (32) | blob (1) | 0 (15)
//!           then:   suffix and value, packed; or suffix, padded, and the blob's number
//! ```

use super::key::Key;
use super::{Kind, MAX_ITEM_WORDS, Ref, View, low_bytes, words_for};

/// Longest suffix of a leaf in bytes; longer rests hang below a chain of inner nodes.
pub(crate) const MAX_SUFFIX: usize = 512;
/// Longest value in bytes that a leaf may have in it. Frames of older databases have such leaves.
pub(crate) const MAX_INLINE: usize = (MAX_ITEM_WORDS - 2) * 8 - MAX_SUFFIX;
/// Longest value in bytes that is put into a frame; longer ones become blobs. Of longer ones so few fit a
/// frame that what the last of them leaves free is a large share, under lasting change above all.
pub(crate) const MAX_PLACED: usize = if MAX_INLINE < 3000 { MAX_INLINE } else { 3000 };

const _: () = assert!(2 + words_for(MAX_SUFFIX + MAX_INLINE) <= MAX_ITEM_WORDS);

/// The value of a leaf about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Kept in the leaf; at most [`MAX_INLINE`] bytes.
    Inline(&'a [u8]),
    /// Kept in the blob with this number.
    Blob {
        /// Number of the blob.
        number: u32,
        /// Length of the value in bytes.
        length: usize,
    },
}

impl Value<'_> {
    /// Length of the value in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Value::Inline(bytes) => bytes.len(),
            Value::Blob { length, .. } => *length,
        }
    }
}

/// The lengths of a leaf, which decide its kind and size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Bytes of the suffix.
    pub(crate) suffix: usize,
    /// Bytes of the value.
    pub(crate) value: usize,
    /// Whether the value is a blob.
    pub(crate) blob: bool,
}

impl Shape {
    #[inline]
    pub(crate) fn new(suffix: usize, value: &Value<'_>) -> Self {
        Self { suffix, value: value.len(), blob: matches!(value, Value::Blob { .. }) }
    }

    /// The kind of leaf for these lengths.
    #[inline]
    pub(crate) fn kind(self) -> Kind {
        let short = !self.blob && self.suffix <= 255 && self.value <= 255;
        if short { Kind::Leaf } else { Kind::LongLeaf }
    }

    /// Words of the head.
    #[inline]
    pub(crate) fn head(self) -> usize {
        if self.kind() == Kind::Leaf { 1 } else { 2 }
    }

    /// Words of the whole leaf.
    #[inline]
    pub(crate) fn words(self) -> usize {
        let data = if self.blob {
            words_for(self.suffix) + 1
        } else {
            words_for(self.suffix + self.value)
        };
        self.head() + data
    }
}

/// The decoded head of a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// Bytes of the suffix.
    pub(crate) suffix: usize,
    /// Bytes of the value.
    pub(crate) value: usize,
    /// Version of the record.
    pub(crate) version: u64,
    /// First word behind the head.
    pub(crate) data: usize,
    /// Whether the value is a blob.
    pub(crate) blob: bool,
}

impl Leaf {
    /// Decodes the head of the leaf `leaf`.
    #[inline]
    pub(crate) fn read(view: View<'_>, leaf: Ref) -> Self {
        let at = leaf.at();
        let head = view.word(at);
        if leaf.kind() == Kind::Leaf {
            Self {
                suffix: (head & 0xFF) as usize,
                value: (head >> 8 & 0xFF) as usize,
                version: head >> 16,
                data: at + 1,
                blob: false,
            }
        } else {
            let lengths = view.word(at + 1);
            Self {
                suffix: (lengths & 0xFFFF) as usize,
                value: (lengths >> 16 & 0xFFFF_FFFF) as usize,
                version: head,
                data: at + 2,
                blob: lengths >> 48 & 1 == 1,
            }
        }
    }

    /// Whether the lengths are ones that a writer can have written. Read
    /// optimistically, they have to be checked before they size anything.
    #[inline]
    pub(crate) fn plausible(&self) -> bool {
        self.suffix <= MAX_SUFFIX
            && self.value <= if self.blob { crate::MAX_VALUE } else { MAX_INLINE }
    }

    /// The leaf's lengths.
    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        Shape { suffix: self.suffix, value: self.value, blob: self.blob }
    }

    /// Number of the blob that holds the value.
    pub(crate) fn blob_number(&self, view: View<'_>) -> u32 {
        view.word(self.data + words_for(self.suffix)) as u32
    }

    /// Whether the suffix is exactly the rest of `key` from `from`.
    #[inline]
    pub(crate) fn matches(&self, view: View<'_>, key: Key<'_>, from: usize) -> bool {
        from + self.suffix == key.len() && {
            let (words, rest) = key.rest(from).as_chunks::<8>();
            equal_words(view, self.data, words)
                && (view.word(self.data + words.len()) ^ key.end(rest.len()))
                    & low_bytes(rest.len())
                    == 0
        }
    }

    /// Copies the inline value into `out`, which has the value's length.
    #[inline]
    pub(crate) fn copy_value(&self, view: View<'_>, out: &mut [u8]) {
        copy_bytes(view, self.data, self.suffix, out);
    }

    /// Copies the words that hold the inline value to `out`, which has a word more than the value
    /// needs, and returns where in it the value begins. Cheaper than [`Leaf::copy_value`], as
    /// nothing is shifted.
    #[inline]
    pub(crate) fn copy_value_words(&self, view: View<'_>, out: &mut [u8]) -> usize {
        let start = self.suffix % 8;
        let first = self.data + self.suffix / 8;
        let words = &mut out.as_chunks_mut().0[..words_for(start + self.value)];
        for (index, word) in words.iter_mut().enumerate() {
            *word = view.word(first + index).to_le_bytes();
        }
        start
    }

    /// Copies the suffix from byte `skip` on to the end of `out`.
    pub(crate) fn append_suffix(&self, view: View<'_>, skip: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.suffix.saturating_sub(skip), 0);
        copy_bytes(view, self.data, skip, &mut out[start..]);
    }
}

/// Whether `length` bytes packed from word `at` equal the key's bytes from `from`.
/// The key must be at least `from + length` long.
#[inline]
pub(crate) fn equal(view: View<'_>, at: usize, length: usize, key: Key<'_>, from: usize) -> bool {
    let (words, rest) = key.bytes()[from..from + length].as_chunks::<8>();
    let last = view.word(at + words.len()) ^ key.load(from + length - rest.len());
    equal_words(view, at, words) && last & low_bytes(rest.len()) == 0
}

/// Whether the words from `at` on are these.
#[inline(always)]
fn equal_words(view: View<'_>, at: usize, words: &[[u8; 8]]) -> bool {
    let mut at = at;
    words.iter().all(|word| {
        let equal = view.word(at) == u64::from_le_bytes(*word);
        at += 1;
        equal
    })
}

/// How many of `length` bytes packed from word `at` the key shares from `from` on.
#[inline]
pub(crate) fn common(view: View<'_>, at: usize, length: usize, key: Key<'_>, from: usize) -> usize {
    let length = length.min(key.len() - from);
    let mut done = 0;
    while done < length {
        let differing = view.word(at + done / 8) ^ key.load(from + done);
        if differing != 0 {
            return length.min(done + (differing.trailing_zeros() / 8) as usize);
        }
        done += 8;
    }
    length
}

/// Copies bytes out of packed words, starting `skip` bytes behind word `at`: aligned
/// loads on the shared side, plain stores on the private one.
#[inline]
pub(crate) fn copy_bytes(view: View<'_>, at: usize, skip: usize, out: &mut [u8]) {
    let mut at = at + skip / 8;
    let shift = (skip % 8 * 8) as u32;
    let mut current = view.word(at);
    let mut next = || {
        at += 1;
        let low = current >> shift;
        // The last word of the data may have no successor worth reading; what is
        // read there is masked into the frame and dropped with the padding.
        current = view.word(at);
        if shift == 0 { low } else { low | current << (64 - shift) }
    };
    let mut chunks = out.chunks_exact_mut(8);
    for chunk in &mut chunks {
        chunk.copy_from_slice(&next().to_le_bytes());
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let word = next().to_le_bytes();
        let length = rest.len();
        rest.copy_from_slice(&word[..length]);
    }
}
