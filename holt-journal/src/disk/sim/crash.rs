//! What a power cut leaves of the changes that no sync covered.
//!
//! Changes of a file are applied to its durable content in the order in which they were made,
//! each whole, in part or not at all. As each byte ends with the value of the last change of
//! it that was kept, this reaches every outcome of writes that arrive in any order.

use super::image::Image;
use super::random::Random;

/// Which of the unsynced changes a power cut keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrashPattern {
    /// Everything: as if all had been synced just before.
    KeepAll,
    /// Nothing: exactly what was synced.
    LoseAll,
    /// The changes up to a random moment, in order over all files and names, the one at that
    /// moment torn.
    KeepFirst,
    /// Only the changes since a random moment: later ones overtook earlier ones.
    KeepLast,
    /// Each change whole or not at all, by a coin.
    Subset,
    /// Each aligned 512-byte sector of each write by a coin.
    TornSectors,
    /// Each aligned 4-KiB block of each write by a coin.
    TornBlocks,
    /// Of each write a range of bytes that begins and ends anywhere.
    TornBytes,
    /// Every new length, but of the content only what was synced; the rest reads as zeros.
    GrowthWithoutContent,
    /// No new length, but all content that fits into the old one.
    ContentWithoutGrowth,
    /// Each change its own fate, drawn from all of these.
    Mixed,
}

impl CrashPattern {
    /// Every pattern.
    pub const ALL: [CrashPattern; 11] = [
        CrashPattern::KeepAll,
        CrashPattern::LoseAll,
        CrashPattern::KeepFirst,
        CrashPattern::KeepLast,
        CrashPattern::Subset,
        CrashPattern::TornSectors,
        CrashPattern::TornBlocks,
        CrashPattern::TornBytes,
        CrashPattern::GrowthWithoutContent,
        CrashPattern::ContentWithoutGrowth,
        CrashPattern::Mixed,
    ];
}

/// A change of one file that no sync has covered yet.
#[derive(Clone)]
pub(super) struct Change {
    /// Position among the changes of the whole disk.
    pub(super) moment: u64,
    pub(super) kind: ChangeKind,
}

#[derive(Clone)]
pub(super) enum ChangeKind {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    Reserve { offset: u64, len: u64 },
}

/// What becomes of one change.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    Keep,
    Lose,
    /// Units of this many bytes by a coin; 1 stands for one range of any bytes.
    Torn(u64),
    LengthOnly,
    ContentOnly,
}

/// Draws the fates of one crash.
pub(super) struct Fates {
    pattern: CrashPattern,
    cut: u64,
    random: Random,
}

impl Fates {
    /// For a crash while the changes at the moments `first..end` are not yet durable.
    pub(super) fn new(pattern: CrashPattern, seed: u64, first: u64, end: u64) -> Fates {
        let mut random = Random::new(seed);
        let cut = first + random.below(end.saturating_sub(first) + 1);
        Fates { pattern, cut, random }
    }

    /// The fate of a change of a file.
    pub(super) fn draw(&mut self, moment: u64) -> Fate {
        let coin = |random: &mut Random| if random.coin() { Fate::Keep } else { Fate::Lose };
        match self.pattern {
            CrashPattern::KeepAll => Fate::Keep,
            CrashPattern::LoseAll => Fate::Lose,
            CrashPattern::KeepFirst => match moment.cmp(&self.cut) {
                std::cmp::Ordering::Less => Fate::Keep,
                std::cmp::Ordering::Equal => Fate::Torn(1),
                std::cmp::Ordering::Greater => Fate::Lose,
            },
            CrashPattern::KeepLast if moment >= self.cut => Fate::Keep,
            CrashPattern::KeepLast => Fate::Lose,
            CrashPattern::Subset => coin(&mut self.random),
            CrashPattern::TornSectors => Fate::Torn(512),
            CrashPattern::TornBlocks => Fate::Torn(4096),
            CrashPattern::TornBytes => Fate::Torn(1),
            CrashPattern::GrowthWithoutContent => Fate::LengthOnly,
            CrashPattern::ContentWithoutGrowth => Fate::ContentOnly,
            CrashPattern::Mixed => match self.random.below(8) {
                0 | 1 => Fate::Keep,
                2 => Fate::Lose,
                3 => Fate::Torn(512),
                4 => Fate::Torn(4096),
                5 => Fate::Torn(1),
                6 => Fate::LengthOnly,
                _ => Fate::ContentOnly,
            },
        }
    }

    /// Whether a change of a name is kept. Names do not tear; patterns that tear or split
    /// writes leave names to a coin.
    pub(super) fn keeps_name(&mut self, moment: u64) -> bool {
        match self.draw(moment) {
            Fate::Keep => true,
            Fate::Lose => false,
            Fate::Torn(_) | Fate::LengthOnly | Fate::ContentOnly => self.random.coin(),
        }
    }

    /// Applies a change to a file's durable content as far as its fate lets it.
    pub(super) fn apply(&mut self, change: &Change, image: &mut Image) {
        let fate = self.draw(change.moment);
        match &change.kind {
            ChangeKind::Write { offset, bytes } => self.write(fate, *offset, bytes, image),
            ChangeKind::SetLen(len) => match fate {
                Fate::Keep | Fate::LengthOnly => image.set_len(*len),
                Fate::Lose => {}
                // Without the new length: the bytes cut off are gone nevertheless.
                Fate::Torn(_) | Fate::ContentOnly => {
                    let before = image.len();
                    if *len < before {
                        image.set_len(*len);
                        image.grow(before);
                    }
                }
            },
            ChangeKind::Reserve { offset, len } => match fate {
                Fate::Keep => image.reserve(*offset, *len),
                Fate::LengthOnly => image.grow(offset + len),
                Fate::Lose | Fate::Torn(_) | Fate::ContentOnly => {}
            },
        }
    }

    fn write(&mut self, fate: Fate, offset: u64, bytes: &[u8], image: &mut Image) {
        let end = offset + bytes.len() as u64;
        match fate {
            Fate::Keep => image.write(offset, bytes),
            Fate::Lose => {}
            Fate::LengthOnly => image.grow(end),
            Fate::ContentOnly => image.write_within(offset, bytes),
            Fate::Torn(unit) => {
                if self.random.coin() {
                    image.grow(end);
                }
                if unit == 1 {
                    let (a, b) = (self.cut_in(bytes.len()), self.cut_in(bytes.len()));
                    let (from, to) = (a.min(b), a.max(b));
                    image.write_within(offset + from as u64, &bytes[from..to]);
                } else {
                    let mut at = offset;
                    while at < end {
                        let next = (at / unit + 1).saturating_mul(unit).min(end);
                        if self.random.coin() {
                            let piece = &bytes[(at - offset) as usize..(next - offset) as usize];
                            image.write_within(at, piece);
                        }
                        at = next;
                    }
                }
            }
        }
    }

    /// A place in `0..=len`; the two ends come up often, so that whole prefixes and suffixes do.
    fn cut_in(&mut self, len: usize) -> usize {
        match self.random.below(4) {
            0 => 0,
            1 => len,
            _ => self.random.below(len as u64 + 1) as usize,
        }
    }
}
