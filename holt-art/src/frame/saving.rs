//! Saving what a frame holds, a piece at a time, before it is changed in place.

use std::ops::Range;

use super::pieces::{PIECES, Pieces};
use super::{COUNTERS, Counters, FRAME_WORDS, View, Words};
use crate::sync::Ordering;

/// Words of a piece.
const PIECE_WORDS: usize = FRAME_WORDS / PIECES;

const _: () = assert!(FRAME_WORDS.is_multiple_of(PIECES));

/// A frame and the image of it that is in the making, for the holder of the frame's latch, who holds the image too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saving<'f> {
    frame: &'f Words,
    image: &'f Words,
    pieces: Pieces<'f>,
}

impl<'f> Saving<'f> {
    pub(crate) fn new(frame: &'f Words, image: &'f Words, pieces: Pieces<'f>) -> Self {
        Self { frame, image, pieces }
    }

    /// To be called before words are changed.
    #[inline]
    pub(crate) fn before_change(&self, words: Range<usize>) {
        for piece in words.start / PIECE_WORDS..=(words.end - 1) / PIECE_WORDS {
            // An offset may be garbage, and is then masked into the frame.
            let piece = piece % PIECES;
            if !self.pieces.has(piece) {
                self.save(piece);
            }
        }
    }

    /// Saves all that has not been saved yet, as far as the frame is in use.
    pub(crate) fn save_all(&self) {
        let used = View::new(self.frame).counters().used.min(FRAME_WORDS);
        for piece in 0..PIECES {
            if self.pieces.has(piece) {
                continue;
            }
            if piece * PIECE_WORDS < used {
                self.save(piece);
            } else {
                // What was never handed out means nothing to anybody.
                self.pieces.note(piece);
            }
        }
    }

    #[cold]
    fn save(&self, piece: usize) {
        let words = range(piece);
        for (to, from) in self.image[words.clone()].iter().zip(&self.frame[words]) {
            // Relaxed, both: the frame is latched, and the note publishes the image (frame::pieces, edge 1).
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.pieces.note(piece);
    }
}

/// Writes the used words of an image in the making into `out`, as little-endian bytes. `frame` is the live frame, or
/// none if the image is complete.
pub(crate) fn read(frame: Option<&Words>, image: &Words, pieces: Pieces<'_>, out: &mut Vec<u8>) {
    out.clear();
    let mut used = FRAME_WORDS;
    for piece in 0..PIECES {
        if piece * PIECE_WORDS >= used {
            break;
        }
        let begins = out.len();
        let live = frame.filter(|_| !pieces.has(piece));
        if let Some(live) = live {
            append(View::new(live), range(piece), out);
        }
        if live.is_none() || !pieces.was_untouched(piece) {
            out.truncate(begins);
            append(View::new(image), range(piece), out);
        }
        if piece == COUNTERS / PIECE_WORDS {
            let word = out[COUNTERS * 8..][..8].try_into().expect("eight bytes");
            used = Counters::unpack(u64::from_le_bytes(word)).used.min(FRAME_WORDS);
        }
    }
    out.truncate(used * 8);
}

/// Appends words as little-endian bytes.
pub(crate) fn append(view: View<'_>, words: Range<usize>, out: &mut Vec<u8>) {
    let begins = out.len();
    out.resize(begins + words.len() * 8, 0);
    for (at, bytes) in words.zip(out[begins..].chunks_exact_mut(8)) {
        bytes.copy_from_slice(&view.word(at).to_le_bytes());
    }
}

/// The words of a piece.
fn range(piece: usize) -> Range<usize> {
    piece * PIECE_WORDS..(piece + 1) * PIECE_WORDS
}
